package famfs

// The choice of cache line instructions on amd64, made once from CPUID.

import "unsafe"

// canFlush says that this architecture can keep memory between hosts coherent.
const canFlush = true

// lineSize is that of every amd64 processor made.
const lineSize uintptr = 64

const (
	cpuidCLFLUSHOPT = 1 << 23 // leaf 7, EBX
	cpuidCLWB       = 1 << 24
)

// machineLines has the best instruction of this processor for each job; all amd64
// processors have CLFLUSH. What has left the caches is in the platform's power-fail
// protected domain, so durable is the same.
func machineLines() (coherent, durable *cacheLines) {
	c := &cacheLines{
		writeBackLines:  clflushLines,
		invalidateLines: clflushLines,
		streamLines:     movntdqLines,
		fenceStores:     storeFence,
		fenceLoads:      loadFence,
	}
	if maxLeaf, _, _, _ := cpuid(0, 0); maxLeaf < 7 {
		return c, c
	}
	_, features, _, _ := cpuid(7, 0)
	if features&cpuidCLFLUSHOPT != 0 {
		c.writeBackLines, c.invalidateLines = clflushoptLines, clflushoptLines
	}
	if features&cpuidCLWB != 0 {
		c.writeBackLines = clwbLines
	}
	return c, c
}

// The functions below are in coherence_amd64.s. p must be the start of a line and
// lines at least 1.

//go:noescape
func clwbLines(p unsafe.Pointer, lines uintptr)

//go:noescape
func clflushoptLines(p unsafe.Pointer, lines uintptr)

//go:noescape
func clflushLines(p unsafe.Pointer, lines uintptr)

// storeFence orders flushes before later stores (SFENCE). It says nothing of loads, which
// may have been done before it.
//
// A goroutine that goes on on another processor in between loses nothing: to get there it
// passes through locked instructions of the scheduler, and these wait for CLWB, CLFLUSHOPT
// and stores past the caches as a fence does.
func storeFence()

// loadFence orders invalidations before later loads (MFENCE). SFENCE does not hold loads
// back. LFENCE does, but it does not wait for CLFLUSHOPT, which, like a store, counts as
// done before the line is gone.
func loadFence()

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
