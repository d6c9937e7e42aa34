package famfs

// Selection of the cache line instructions on amd64, made once from CPUID.

import "unsafe"

// canFlush says that this architecture can keep memory between hosts coherent.
const canFlush = true

// lineSize is the size of a cache line on every amd64 processor so far.
const lineSize uintptr = 64

const (
	cpuidSSE42      = 1 << 20 // leaf 1, ECX
	cpuidCLFLUSHOPT = 1 << 23 // leaf 7, EBX
	cpuidCLWB       = 1 << 24
)

// machineLines returns the best instruction of this processor for each job. All amd64 processors
// have CLFLUSH. Data that has left the caches is in the platform's power-fail protected domain,
// so durable is the same as coherent.
func machineLines() (coherent, durable *cacheLines) {
	c := &cacheLines{
		writeBackLines:  clflushLines,
		invalidateLines: clflushLines,
		streamLines:     movntdqLines,
		fenceStores:     storeFence,
		fenceLoads:      loadFence,
	}
	if _, _, features, _ := cpuid(1, 0); features&cpuidSSE42 != 0 {
		c.streamSumLines = movntdqSumLines
		if canFold() {
			c.streamSumLines = foldLines
		}
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

// The functions below are in coherence_amd64.s. p must be the start of a line, and lines must be
// at least 1.

//go:noescape
func clwbLines(p unsafe.Pointer, lines uintptr)

//go:noescape
func clflushoptLines(p unsafe.Pointer, lines uintptr)

//go:noescape
func clflushLines(p unsafe.Pointer, lines uintptr)

// storeFence orders flushes before later stores (SFENCE). It does not order loads: they may be
// done before it.
//
// It still works if the goroutine moves to another processor in between, because the scheduler
// executes locked instructions then, and these wait for CLWB, CLFLUSHOPT and stores past the
// caches as a fence does.
func storeFence()

// loadFence orders invalidations before later loads (MFENCE). SFENCE does not delay loads. LFENCE
// does, but it does not wait for CLFLUSHOPT, which, like a store, counts as done before the line
// is gone.
func loadFence()

func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
