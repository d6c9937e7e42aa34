package famfs

// Cache line operations on arm64: by address, to the point of coherency or persistence.
//
// A DSB waits only for operations of its own processor, so every run of the loops ends with one:
// between two calls the scheduler may move the goroutine to another processor, where a DSB would
// wait for nothing. (The system may move a thread at any time, but then it waits itself.) The
// fences only have to order stores, or loads.

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// canFlush says that this architecture can keep memory between hosts coherent.
const canFlush = true

// lineSize is the size of the smallest data cache line of this processor in bytes, from CTR_EL0.
var lineSize = smallestLine()

// machineLines returns what this processor can do.
//
// Lines that must be durable are written back to the point of persistence. It is never before
// the point of coherency, so other hosts see them too. If a system has no such point, DC CVAP acts
// as DC CVAC. If the processor does not have DC CVAP, DC CVAC is used. The point of deep
// persistence (DC CVADP) is not used: it is for the case that even the power that saves a
// platform's buffers fails, and CLWB on amd64 does not cover that case either. Stand-ins do not use
// DC CVAP, because user-mode emulators claim to have it and do not (QEMU 7.2).
func machineLines() (coherent, durable *cacheLines) {
	coherent = &cacheLines{
		writeBackLines:  func(p unsafe.Pointer, lines uintptr) { cvacLines(p, lines, lineSize) },
		invalidateLines: func(p unsafe.Pointer, lines uintptr) { civacLines(p, lines, lineSize) },
		fenceStores:     storeFence,
		fenceLoads:      loadFence,
	}
	if !cpu.ARM64.HasDCPOP {
		return coherent, coherent
	}
	through := *coherent
	through.writeBackLines = func(p unsafe.Pointer, lines uintptr) { cvapLines(p, lines, lineSize) }
	return coherent, &through
}

func smallestLine() uintptr {
	const dminLine = 16 // bits 16 to 19: log2 of the number of 4-byte words
	return 4 << (cacheType() >> dminLine & 0xf)
}

// The functions below are in coherence_arm64.s. p must be the start of a line, and lines must be
// at least 1.

//go:noescape
func cvacLines(p unsafe.Pointer, lines, size uintptr)

//go:noescape
func cvapLines(p unsafe.Pointer, lines, size uintptr)

//go:noescape
func civacLines(p unsafe.Pointer, lines, size uintptr)

// storeFence orders stores before later stores, also for observers outside this host (DMB ST).
// Lines that were written back are complete before it.
func storeFence()

// loadFence orders loads before later loads and stores, also for observers outside this host (DMB
// LD). Lines that were invalidated are complete before it.
func loadFence()

func cacheType() uint64
