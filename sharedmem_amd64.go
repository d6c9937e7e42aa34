package famfs

// Two words in one store, on amd64.

import "unsafe"

const cpuidAVX = 1 << 28 // leaf 1, ECX

// storesPairs says that storePair is one store for every observer: processors that have
// AVX promise that of an aligned store of 16 bytes, also of SSE's, in ordinary memory.
var storesPairs = hasAVX()

func hasAVX() bool {
	_, _, features, _ := cpuid(1, 0)
	return features&cpuidAVX != 0
}

// storePair stores a at p, which must be a multiple of 16, and b behind it.
//
//go:noescape
func storePair(p unsafe.Pointer, a, b uint64)
