//go:build unix && (amd64 || arm64)

package famfs

// What cache instructions really touch: memory between protected pages, where an instruction on
// one line too many is a fault at an address that says which.

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// lineOp is one of this architecture's line functions.
type lineOp struct {
	name string
	do   func(p unsafe.Pointer, lines uintptr)
	// missing says that this processor does not have the instruction.
	missing bool
}

// guardedPages returns pages of memory between two that cannot be touched.
func guardedPages(t testing.TB, pages int) []byte {
	t.Helper()
	needsFaults(t)
	page := os.Getpagesize()
	all, err := unix.Mmap(-1, 0, (pages+2)*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Munmap(all) })
	memory := all[page : (pages+1)*page]
	require.NoError(t, unix.Mprotect(memory, unix.PROT_READ|unix.PROT_WRITE))
	fillPattern(memory, 1) // so that the pages are there
	return memory
}

// pointerTo returns the address off bytes from the start of memory, which may lie
// outside.
func pointerTo(memory []byte, off int) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(memory)), off)
}

// faultOf runs op under Guard and returns the address of the fault, or 0 if there is none.
func faultOf(t testing.TB, op func()) uintptr {
	t.Helper()
	err := Guard(func() error {
		op()
		return nil
	})
	if err == nil {
		return 0
	}
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	return fault.Addr
}

// eachLineOp runs test for every line function of this processor. Under emulation the
// instructions may do nothing, and never fault: then nothing can be shown.
func eachLineOp(t *testing.T, test func(t *testing.T, op lineOp)) {
	for _, op := range lineOps() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			if op.missing {
				t.Skip("this processor does not have the instruction")
			}
			memory := guardedPages(t, 1)
			if faultOf(t, func() { op.do(pointerTo(memory, len(memory)), 1) }) == 0 && emulated() {
				t.Skip("this is an emulated processor, which ignores the instruction")
			}
			test(t, op)
		})
	}
}

// One line more, at either end, is a fault: the function visits exactly the given number of
// lines, at a distance of lineSize.
func TestLineOpCounts(t *testing.T) {
	t.Parallel()
	eachLineOp(t, func(t *testing.T, op lineOp) {
		memory := guardedPages(t, 1)
		start, end := addressOf(memory), addressOf(memory)+uintptr(len(memory))
		for lines := 1; lines <= len(memory)/int(lineSize); lines++ {
			size := lines * int(lineSize)
			require.Zero(t, faultOf(t, func() { op.do(pointerTo(memory, 0), uintptr(lines)) }), "the first %d lines", lines)
			require.Zero(t, faultOf(t, func() { op.do(pointerTo(memory, len(memory)-size), uintptr(lines)) }), "the last %d lines", lines)
			require.Equal(t, end, faultOf(t, func() { op.do(pointerTo(memory, len(memory)-size), uintptr(lines+1)) }), "the last %d lines and one more", lines)
			require.Equal(t, start-lineSize, faultOf(t, func() { op.do(pointerTo(memory, -int(lineSize)), uintptr(lines+1)) }), "one line too early")
		}
		assert.Equal(t, pattern(len(memory), 1), memory)
	})
}

// All positions of a slice in its first and last line: nothing outside of its lines is touched.
// If the arithmetic were off by a line, this test would fail.
func TestLineOpStaysWithinSlice(t *testing.T) {
	t.Parallel()
	eachLineOp(t, func(t *testing.T, op lineOp) {
		memory := guardedPages(t, 1)
		start, end := addressOf(memory), addressOf(memory)+uintptr(len(memory))
		size := int(lineSize)
		oneMore := func(p unsafe.Pointer, lines uintptr) { op.do(p, lines+1) }
		oneBefore := func(p unsafe.Pointer, lines uintptr) { op.do(unsafe.Add(p, -size), lines) }
		for head := range size {
			for length := range 2*size + 3 {
				first := memory[head : head+length]
				last := memory[len(memory)-head-length : len(memory)-head]
				require.Zero(t, faultOf(t, func() { forLines(first, op.do) }), "%d bytes from %d", length, head)
				require.Zero(t, faultOf(t, func() { forLines(last, op.do) }), "%d bytes up to %d before the end", length, head)
				if length > 0 {
					require.Equal(t, start-lineSize, faultOf(t, func() { forLines(first, oneBefore) }), "%d bytes from %d", length, head)
					require.Equal(t, end, faultOf(t, func() { forLines(last, oneMore) }), "%d bytes up to %d before the end", length, head)
				}
			}
		}
	})
}

// Every page of a long range is visited, in order: if one of them is protected, the fault is at
// its first line, and the page before was visited.
func TestLineOpVisitsEveryPage(t *testing.T) {
	t.Parallel()
	const pages = 2*linesPerCall*64/4096 + 3 // the pieces end within
	eachLineOp(t, func(t *testing.T, op lineOp) {
		memory := guardedPages(t, pages)
		page := os.Getpagesize()
		for i := range pages {
			hole := memory[i*page : (i+1)*page]
			require.NoError(t, unix.Mprotect(hole, unix.PROT_NONE))
			// From the last byte of the range's first line to the first of its last.
			long := memory[int(lineSize)-1 : len(memory)-int(lineSize)+1]
			require.Equal(t, addressOf(hole), faultOf(t, func() { forLines(long, op.do) }), "page %d", i)
			require.NoError(t, unix.Mprotect(hole, unix.PROT_READ|unix.PROT_WRITE))
		}
		require.Zero(t, faultOf(t, func() { forLines(memory, op.do) }))
		assert.Equal(t, pattern(len(memory), 1), memory)
	})
}

// Clients map memory read-only, and invalidate it too.
func TestLineOpOnReadOnlyMemory(t *testing.T) {
	t.Parallel()
	eachLineOp(t, func(t *testing.T, op lineOp) {
		memory := guardedPages(t, 2)
		require.NoError(t, unix.Mprotect(memory, unix.PROT_READ))
		assert.Zero(t, faultOf(t, func() { forLines(memory, op.do) }))
		assert.Equal(t, pattern(len(memory), 1), memory)
	})
}

// The exported functions, whichever instruction they use.
func TestCacheStaysWithinSlice(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]func([]byte){"flush": FlushCache, "invalidate": InvalidateCache} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const pages = linesPerCall*64/4096 + 2
			memory := guardedPages(t, pages)
			size := int(lineSize)
			for _, n := range []int{0, 1, size - 1, size, size + 1, len(memory) - size - 1, len(memory) - size, len(memory) - 1, len(memory)} {
				for what, b := range map[string][]byte{
					"at the start": memory[:n],
					"at the end":   memory[len(memory)-n:],
				} {
					assert.Zero(t, faultOf(t, func() { op(b) }), fmt.Sprintf("%d bytes %s", n, what))
				}
			}
			outside := unsafe.Slice((*byte)(pointerTo(memory, len(memory))), 10)
			assert.Zero(t, faultOf(t, func() { op(outside[:0]) }), "an empty slice has no lines")
			assert.Equal(t, pattern(len(memory), 1), memory)
		})
	}
}

// A fault in the middle of the instructions is an error like any other, in any goroutine, and
// everything stays usable.
func TestCacheFault(t *testing.T) {
	t.Parallel()
	memory := guardedPages(t, 3)
	page := os.Getpagesize()
	if faultOf(t, func() { FlushCache(unsafe.Slice((*byte)(pointerTo(memory, len(memory))), 1)) }) == 0 && emulated() {
		t.Skip("this is an emulated processor, which ignores the instructions")
	}
	require.NoError(t, unix.Mprotect(memory[page:2*page], unix.PROT_NONE))
	for range 3 {
		for name, op := range map[string]func([]byte){"flush": FlushCache, "invalidate": InvalidateCache} {
			done := make(chan uintptr)
			go func() { done <- faultOf(t, func() { op(memory) }) }()
			assert.Equal(t, addressOf(memory[page:]), <-done, name)
		}
	}
}
