package famfs

// Cache lines: writing them back, forgetting them, and the fences that order
// it. The instructions themselves are in coherence_*.s; this file has the
// public face, the seam behind which tests see which instructions are used, and the
// arithmetic that turns a slice into lines. Nothing here knows of devices, files or
// the format.
//
// The rule that makes memory between hosts coherent: after a store, write the
// lines back and fence, then say that they are there; before a load of what
// another host wrote, invalidate the lines and fence. Every store and load of
// metadata in this package goes through sharedmem.go, which obeys it.
//
// There are two fences, as there are two orders. One is for writers: what was
// written back comes before later stores. The other is for readers: what was invalidated
// comes before later loads. Neither does the other's work on every processor.

import (
	"unsafe"
)

// linesPerCall bounds one run of the assembly loops, which the scheduler cannot
// interrupt: 256 KiB, some tens of microseconds.
const linesPerCall = 4096

// cacheLines is all that this package does to cache lines. Every device has one. It is
// the machine's, but in tests that look at what is done, and in which order.
type cacheLines struct {
	// writeBackLines writes lines back, and invalidateLines also forgets them. p is the
	// start of a line and lines at least 1.
	writeBackLines, invalidateLines func(p unsafe.Pointer, lines uintptr)
	// streamLines copies lines past the caches; nil if this architecture has no way to.
	// dst is the start of a line, and lines at least 1.
	streamLines func(dst, src unsafe.Pointer, lines uintptr)
	// fenceStores orders what was written back, and what was copied past the caches,
	// before later stores.
	fenceStores func()
	// fenceLoads orders what was invalidated before later loads and stores.
	fenceLoads func()
}

// thisMachine is what the processor can do so that other hosts see it; thisMachineDurable
// so that it also outlasts a loss of power, on memory that does. They are never changed.
var thisMachine, thisMachineDurable = machineLines()

// FlushCache writes every cache line that b touches back to memory and waits
// until that is ordered before all later stores (CLWB, CLFLUSHOPT or CLFLUSH and
// SFENCE on amd64; DC CVAC and DSB on arm64). Lines may stay in the cache. Other
// hosts see b's content from then on, provided that they invalidate their own
// copies.
//
// b may have any address and length; whole lines are affected, so up to one line
// less a byte on either side. An empty b is no more than a fence. On
// architectures other than amd64 and arm64 nothing is written back and a device
// that needs it cannot be opened (see Open). FlushCache may be called from any
// number of goroutines. It does not call msync, nor does it ask for the point of
// persistence on arm64 (DC CVAP): for mappings use Mapping.Flush.
func FlushCache(b []byte) { thisMachine.flush(b) }

// InvalidateCache drops every cache line that b touches, so that the next load
// comes from memory and shows what another host wrote back (CLFLUSHOPT or
// CLFLUSH and MFENCE on amd64; DC CIVAC and DSB on arm64). A line that this host
// had changed is written back first: invalidate before storing, never after.
//
// Bounds and concurrency are those of FlushCache.
func InvalidateCache(b []byte) { thisMachine.invalidate(b) }

// flush is FlushCache.
func (c *cacheLines) flush(b []byte) {
	c.writeBack(b)
	c.fenceStores()
}

// invalidate is InvalidateCache.
func (c *cacheLines) invalidate(b []byte) {
	c.drop(b)
	c.fenceLoads()
}

// writeBack is flush without the fence.
func (c *cacheLines) writeBack(b []byte) { forLines(b, c.writeBackLines) }

// drop is invalidate without the fence.
func (c *cacheLines) drop(b []byte) { forLines(b, c.invalidateLines) }

// forLines hands op the lines of b, first address and number, in pieces that
// keep the scheduler responsive.
//
// A slice smaller than a line may share it with other objects: the address of the line
// is then outside of b, which the race detector's check of pointers would object to.
// Nothing is read or written there, so it is switched off.
//
//go:nocheckptr
func forLines(b []byte, op func(p unsafe.Pointer, lines uintptr)) {
	if len(b) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	head := uintptr(p) % lineSize
	// The address is rounded down within its line, which lies in the same page.
	p = unsafe.Add(p, -int(head))
	lines := (head + uintptr(len(b)) + lineSize - 1) / lineSize
	for lines > linesPerCall {
		op(p, linesPerCall)
		p = unsafe.Add(p, linesPerCall*int(lineSize))
		lines -= linesPerCall
	}
	op(p, lines)
}

func addressOf(mem []byte) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
}
