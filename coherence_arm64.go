package famfs

// Cache line operations on arm64: by address, to the point of coherency.

import "unsafe"

// canFlush says that this architecture can keep memory between hosts coherent.
const canFlush = true

// lineSize is the smallest data cache line of this processor in bytes, as
// CTR_EL0 says.
var lineSize = smallestLine()

func machineLines() *cacheLines {
	return &cacheLines{
		writeBackLines:  func(p unsafe.Pointer, lines uintptr) { cvacLines(p, lines, lineSize) },
		invalidateLines: func(p unsafe.Pointer, lines uintptr) { civacLines(p, lines, lineSize) },
		fenceStores:     storeFence,
		fenceLoads:      loadFence,
	}
}

func smallestLine() uintptr {
	const dminLine = 16 // bits 16 to 19: log2 of the number of 4-byte words
	return 4 << (cacheType() >> dminLine & 0xf)
}

// The functions below are in coherence_arm64.s. p must be the start of a line and
// lines at least 1.

//go:noescape
func cvacLines(p unsafe.Pointer, lines, size uintptr)

//go:noescape
func civacLines(p unsafe.Pointer, lines, size uintptr)

// storeFence orders flushes before later stores, for observers outside this host
// too (DSB SY).
func storeFence()

// loadFence orders invalidations before later loads (DSB SY).
func loadFence()

func cacheType() uint64
