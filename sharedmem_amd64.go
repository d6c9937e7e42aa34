package famfs

// Storing two words at once, on amd64.

import "unsafe"

const cpuidAVX = 1 << 28 // leaf 1, ECX

// loadsInOrder says that the processor does not load before an earlier load is done.
const loadsInOrder = true

// storesPairs says that storePair is one store for every observer. Processors with AVX promise
// that for an aligned 16-byte store in ordinary memory, even if it is an SSE store.
var storesPairs = hasAVX()

func hasAVX() bool {
	_, _, features, _ := cpuid(1, 0)
	return features&cpuidAVX != 0
}

// storePair stores a at p, which must be a multiple of 16, and b behind it.
//
//go:noescape
func storePair(p unsafe.Pointer, a, b uint64)
