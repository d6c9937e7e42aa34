package famfs

// Cache lines: that a slice is turned into just the lines that it touches, and that
// its content survives. Where the instructions really reach is shown on protected
// pages, in coherence_unix_test.go.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lineSpan is one call of a line function: lines from address from.
type lineSpan struct{ from, lines uintptr }

// linesOf returns the calls that forLines makes for b.
func linesOf(b []byte) (calls []lineSpan) {
	forLines(b, func(p unsafe.Pointer, lines uintptr) {
		calls = append(calls, lineSpan{uintptr(p), lines})
	})
	return calls
}

// alignedBytes returns n bytes that begin with a cache line, and are as much as is
// known of that memory: neighbours in the same line belong to nobody.
func alignedBytes(n int) []byte {
	whole := make([]byte, n+2*int(lineSize))
	head := int(-addressOf(whole) & (lineSize - 1))
	return whole[head : head+n]
}

func TestLinesOfSlice(t *testing.T) {
	t.Parallel()
	size := int(lineSize)
	memory := alignedBytes(16 * size)
	for head := range size {
		for length := range 2*size + 3 {
			b := memory[head : head+length]
			calls := linesOf(b)
			if length == 0 {
				require.Empty(t, calls, "head %d", head)
				continue
			}
			first, last := addressOf(b)/lineSize, (addressOf(b)+uintptr(length)-1)/lineSize
			require.Equal(t, []lineSpan{{first * lineSize, last - first + 1}}, calls, "head %d, length %d", head, length)
		}
	}
}

// Long slices are done in pieces that follow one another without gap or overlap.
func TestLinesOfLongSlice(t *testing.T) {
	t.Parallel()
	size := int(lineSize)
	piece := linesPerCall * size
	memory := alignedBytes(3*piece + 4*size)
	for _, length := range []int{piece - size, piece - 1, piece, piece + 1, piece + size, 2 * piece, 2*piece + 1, 3*piece + size + 1} {
		for _, head := range []int{0, 1, size - 1, size, size + 1} {
			t.Run(fmt.Sprintf("%d bytes from %d", length, head), func(t *testing.T) {
				b := memory[head : head+length]
				calls := linesOf(b)
				at := addressOf(b) / lineSize * lineSize
				for _, call := range calls {
					assert.Equal(t, at, call.from)
					assert.Positive(t, call.lines)
					assert.LessOrEqual(t, call.lines, uintptr(linesPerCall))
					at += call.lines * lineSize
				}
				end := addressOf(b) + uintptr(length)
				assert.Equal(t, (end+lineSize-1)/lineSize*lineSize, at)
			})
		}
	}
}

func TestCacheKeepsContent(t *testing.T) {
	t.Parallel()
	ops := map[string]func([]byte){"flush": FlushCache, "invalidate": InvalidateCache}
	for name, op := range ops {
		for _, length := range []int{0, 1, 63, 64, 65, 4096, 1<<20 + 5} {
			t.Run(fmt.Sprintf("%s %d", name, length), func(t *testing.T) {
				t.Parallel()
				const around = 100
				memory := pattern(length+2*around, uint64(length))
				op(memory[around : around+length])
				assert.Equal(t, pattern(length+2*around, uint64(length)), memory)
				// What was just stored is kept too, not only what had reached memory.
				for i := range memory {
					memory[i] ^= 0xff
				}
				op(memory[around : around+length])
				want := pattern(length+2*around, uint64(length))
				for i := range want {
					want[i] ^= 0xff
				}
				assert.Equal(t, want, memory)
			})
		}
	}
}

func TestCacheEmptySlices(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]func([]byte){"flush": FlushCache, "invalidate": InvalidateCache} {
		assert.NotPanics(t, func() { op(nil) }, name)
		assert.NotPanics(t, func() { op([]byte{}) }, name)
		assert.NotPanics(t, func() { op(make([]byte, 8)[8:]) }, name)
	}
	assert.Empty(t, linesOf(nil))
	assert.Empty(t, linesOf(make([]byte, 8)[8:]))
}

// An object smaller than a line lies somewhere in it, and the line's start is somebody
// else's memory: none of Go's checks of pointers (-race, -d=checkptr) may object. They
// end the process where they do, so the test has one of its own.
func TestCacheSmallObjects(t *testing.T) {
	t.Parallel()
	const inside = "FAMFS_TEST_SMALL_OBJECTS"
	if os.Getenv(inside) == "" {
		self, err := os.Executable()
		require.NoError(t, err)
		run := exec.Command(self, "-test.run=^"+t.Name()+"$")
		run.Env = append(os.Environ(), inside+"=1")
		output, err := run.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Skipf("cannot run a process here, as under emulation: %v", err)
		}
		require.NoError(t, err, "%.400s", output)
		return
	}
	for size := 1; size < 64; size++ {
		objects := make([][]byte, 100)
		for i := range objects {
			objects[i] = make([]byte, size)
			objects[i][0] = byte(i)
			FlushCache(objects[i])
			InvalidateCache(objects[i][size-1:])
		}
		for i, b := range objects {
			require.Equal(t, byte(i), b[0])
		}
	}
}

// Small objects share lines with others; writing those back must not disturb the
// others, which goroutines change meanwhile.
func TestCacheConcurrentNeighbours(t *testing.T) {
	t.Parallel()
	memory := alignedBytes(int(lineSize) * 4)
	const rounds = 2000
	done := make(chan int)
	for part := range 8 {
		go func() {
			mine := memory[part*len(memory)/8 : (part+1)*len(memory)/8]
			wrong := 0
			for i := range rounds {
				for j := range mine {
					mine[j] = byte(i + j)
				}
				if i%2 == 0 {
					FlushCache(mine)
				} else {
					InvalidateCache(mine)
				}
				for j := range mine {
					if mine[j] != byte(i+j) {
						wrong++
					}
				}
			}
			done <- wrong
		}()
	}
	for range 8 {
		assert.Zero(t, <-done, "bytes that were not what had been stored")
	}
}
