package famfs

// Cache line operations on arm64: by address, to the point of coherency or persistence.
//
// A DSB waits for what its own processor did. So it is part of every run of the loops:
// between two calls the scheduler may move a goroutine to another processor, whose DSB would
// wait for nothing. (The system may move a thread at any time; it waits itself then.) What
// is left for the fences is the order of stores, or of loads.

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// canFlush says that this architecture can keep memory between hosts coherent.
const canFlush = true

// lineSize is the smallest data cache line of this processor in bytes, as
// CTR_EL0 says.
var lineSize = smallestLine()

// machineLines has what this processor can do. Lines that are to be durable are written
// back to the point of persistence, which never lies before the point of coherency: other
// hosts have them as well. Where there is no such point, DC CVAP is DC CVAC, and where the
// processor does not know DC CVAP, there is none. The point of deep persistence (DC CVADP)
// is not asked for: it is for when the power that saves the buffers of a platform fails too,
// against which CLWB on amd64 does nothing either. DC CVAP is not used on stand-ins, as user-mode
// emulators say that they know it and do not (QEMU 7.2).
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

// The functions below are in coherence_arm64.s. p must be the start of a line and
// lines at least 1.

//go:noescape
func cvacLines(p unsafe.Pointer, lines, size uintptr)

//go:noescape
func cvapLines(p unsafe.Pointer, lines, size uintptr)

//go:noescape
func civacLines(p unsafe.Pointer, lines, size uintptr)

// storeFence orders stores before later stores, for observers outside this host too (DMB
// ST). What was written back is complete by then.
func storeFence()

// loadFence orders loads before later loads and stores, for observers outside this host too
// (DMB LD). What was invalidated is complete by then.
func loadFence()

func cacheType() uint64
