package famfs

// Cache lines: writing them back, invalidating them, and the fences that order this. The
// instructions are in coherence_*.s. This file has the exported functions, the table of
// functions that tests replace to see which instructions are used, and the arithmetic that
// turns a slice into lines. Nothing here knows of devices, files or the format.
//
// The rule that keeps memory coherent between hosts is: after a store, write the lines back and
// fence, and only then announce the data; before a load of another host's data, invalidate the
// lines and fence. All stores and loads of metadata in this package go through sharedmem.go,
// which obeys this rule.
//
// There are two fences, because there are two orders. The writers' fence orders written-back
// lines before later stores. The readers' fence orders invalidated lines before later loads. On
// some processors neither does the work of the other.

import (
	"unsafe"
)

// linesPerCall limits one run of the assembly loops, which the scheduler cannot interrupt:
// 256 KiB, some tens of microseconds.
const linesPerCall = 4096

// cacheLines holds everything that this package does to cache lines. Every device has one. It
// uses the machine's instructions, except in tests that record what is done and in which order.
type cacheLines struct {
	// writeBackLines writes lines back; invalidateLines also drops them. p is the start of a
	// line, and lines is at least 1.
	writeBackLines, invalidateLines func(p unsafe.Pointer, lines uintptr)
	// streamLines copies lines past the caches. It is nil if this architecture has no way to
	// do that. dst is the start of a line, and lines is at least 1.
	streamLines func(dst, src unsafe.Pointer, lines uintptr)
	// streamSumLines is streamLines that also goes on with the register of a CRC-32C. It is nil if
	// this processor has no instruction for that.
	streamSumLines func(dst, src unsafe.Pointer, lines uintptr, register uint32) uint32
	// fenceStores orders lines that were written back, or copied past the caches, before later
	// stores.
	fenceStores func()
	// fenceLoads orders invalidated lines before later loads and stores.
	fenceLoads func()
}

// thisMachine makes stores visible to other hosts. thisMachineDurable also makes them survive a
// loss of power, on memory that can. Neither is ever changed.
var thisMachine, thisMachineDurable = machineLines()

// FlushCache writes every cache line that b touches back to memory, and orders that before all
// later stores (CLWB, CLFLUSHOPT or CLFLUSH and SFENCE on amd64; DC CVAC and DSB on arm64). Lines
// may stay in the cache. From then on other hosts see the content of b, if they invalidate their
// own copies.
//
// b may have any address and length. Whole lines are written back, so up to one line less a
// byte on either side of b is affected. For an empty b, FlushCache is only a fence. On
// architectures other than amd64 and arm64, FlushCache writes nothing back, and devices that need
// it cannot be opened (see Open). Any number of goroutines may call it. It does not call msync,
// and on arm64 it does not write to the point of persistence (DC CVAP): for mappings, use
// Mapping.Flush.
func FlushCache(b []byte) { thisMachine.flush(b) }

// InvalidateCache drops every cache line that b touches, so that the next load comes from memory
// and shows what another host wrote back (CLFLUSHOPT or CLFLUSH and MFENCE on amd64; DC CIVAC and
// DSB on arm64). A line that this host has changed is written back first, so invalidate before
// storing, never after.
//
// The bounds of b and the rules for concurrent calls are those of FlushCache.
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

// forLines calls op for the lines of b, with the address of the first line and their number, in
// pieces small enough to keep the scheduler responsive.
//
// A slice smaller than a line may share it with other objects. Then the address of the line is
// outside of b, and the race detector's check of pointers would object. It is switched off,
// because nothing is read or written there.
//
//go:nocheckptr
func forLines(b []byte, op func(p unsafe.Pointer, lines uintptr)) {
	if len(b) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	head := uintptr(p) % lineSize
	// Round the address down to the start of its line, which is in the same page.
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
