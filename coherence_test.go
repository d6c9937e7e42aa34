package famfs

// Cache lines: a slice is turned into exactly the lines that it touches, and its content survives.
// coherence_unix_test.go shows on protected pages what the instructions really touch.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
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

// alignedBytes returns n bytes that begin with a cache line. Nothing else is in their last line,
// as far as this test knows.
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

// Long slices are processed in pieces that follow one another without gap or overlap.
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

// recordedOp is an operation on cache lines: "write back", "invalidate" or "copy past" of
// lines from an address, "fence stores" or "fence loads".
type recordedOp struct {
	kind        string
	from, lines uintptr
}

// recordLines returns cacheLines that work as this machine does, with a way past the caches even
// if it has none, and record every operation.
func recordLines() (*cacheLines, *[]recordedOp) {
	ops := new([]recordedOp)
	var mu sync.Mutex // several goroutines fill a large file
	note := func(kind string, p unsafe.Pointer, lines uintptr) {
		mu.Lock()
		defer mu.Unlock()
		*ops = append(*ops, recordedOp{kind, uintptr(p), lines})
	}
	real := *thisMachine
	return &cacheLines{
		writeBackLines: func(p unsafe.Pointer, lines uintptr) {
			note("write back", p, lines)
			real.writeBackLines(p, lines)
		},
		invalidateLines: func(p unsafe.Pointer, lines uintptr) {
			note("invalidate", p, lines)
			real.invalidateLines(p, lines)
		},
		streamLines: func(dst, src unsafe.Pointer, lines uintptr) {
			note("copy past", dst, lines)
			copy(unsafe.Slice((*byte)(dst), lines*lineSize), unsafe.Slice((*byte)(src), lines*lineSize))
		},
		fenceStores: func() {
			note("fence stores", nil, 0)
			real.fenceStores()
		},
		fenceLoads: func() {
			note("fence loads", nil, 0)
			real.fenceLoads()
		},
	}, ops
}

// What the exported functions do to cache lines, and in which order. They use thisMachine, which
// this test replaces and restores, so it does not run in parallel with others.
func TestCacheOperations(t *testing.T) {
	real := thisMachine
	defer func() { thisMachine = real }()
	var ops *[]recordedOp
	thisMachine, ops = recordLines()

	size := int(lineSize)
	memory := alignedBytes((linesPerCall + 8) * size)
	start := addressOf(memory)
	source := pattern(len(memory), 1)
	lines := func(kind string, from, lines int) recordedOp {
		return recordedOp{kind, start + uintptr(from*size), uintptr(lines)}
	}
	stores, loads := recordedOp{kind: "fence stores"}, recordedOp{kind: "fence loads"}
	for _, c := range []struct {
		name string
		do   func()
		want []recordedOp
	}{
		{"FlushCache of nothing", func() { FlushCache(nil) }, []recordedOp{stores}},
		{"FlushCache of a byte", func() { FlushCache(memory[size-1 : size]) }, []recordedOp{lines("write back", 0, 1), stores}},
		{"FlushCache across lines", func() { FlushCache(memory[size-1 : size+1]) }, []recordedOp{lines("write back", 0, 2), stores}},
		{"FlushCache in pieces", func() { FlushCache(memory) },
			[]recordedOp{lines("write back", 0, linesPerCall), lines("write back", linesPerCall, 8), stores}},
		{"InvalidateCache of nothing", func() { InvalidateCache(nil) }, []recordedOp{loads}},
		{"InvalidateCache of a byte", func() { InvalidateCache(memory[size : size+1]) }, []recordedOp{lines("invalidate", 1, 1), loads}},
		{"InvalidateCache in pieces", func() { InvalidateCache(memory) },
			[]recordedOp{lines("invalidate", 0, linesPerCall), lines("invalidate", linesPerCall, 8), loads}},
		{"CopyInto of nothing", func() { CopyInto(nil, source) }, []recordedOp{stores}},
		{"CopyInto of little", func() { CopyInto(memory, source[:streamAtLeast-1]) },
			[]recordedOp{lines("write back", 0, (streamAtLeast-1+size-1)/size), stores}},
		{"CopyInto of lines", func() { CopyInto(memory[:8*size], source) }, []recordedOp{lines("copy past", 0, 8), stores}},
		{"CopyInto across lines", func() { CopyInto(memory[1:8*size+1], source) },
			[]recordedOp{lines("write back", 0, 1), lines("write back", 8, 1), lines("copy past", 1, 7), stores}},
		{"CopyInto in pieces", func() { CopyInto(memory, source) },
			[]recordedOp{lines("copy past", 0, linesPerCall), lines("copy past", linesPerCall, 8), stores}},
		{"CopyInto of itself", func() { CopyInto(memory[:8*size], memory[size:]) }, []recordedOp{lines("write back", 0, 8), stores}},
	} {
		*ops = nil
		c.do()
		assert.Equal(t, c.want, *ops, c.name)
	}

	thisMachine.streamLines = nil
	*ops = nil
	CopyInto(memory[:8*size], source)
	assert.Equal(t, []recordedOp{lines("write back", 0, 8), stores}, *ops, "CopyInto where there is no way past the caches")
	assert.Equal(t, source[:8*size], memory[:8*size])
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
				// What was just stored must survive too, not only what had reached memory.
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

// An object smaller than a line lies somewhere in it, and the start of the line is other memory.
// None of Go's checks of pointers (-race, -d=checkptr) may object. They end the process if they
// do, so this has a test of its own.
func TestCacheSmallObjects(t *testing.T) {
	needsProcesses(t)
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

// Small objects share lines with others. Writing those lines back must not disturb the others,
// which goroutines change meanwhile.
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
