package famfs

// Copying into shared memory: the result is equal to the source, and nothing next to it changes,
// for all addresses and lengths.

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// copyLengths are near the lengths at which CopyInto changes its way.
func copyLengths() []int {
	const least = streamAtLeast
	return []int{0, 1, 7, 63, 64, 65, 127, 128, 129, 1000, 4096, least - 1, least, least + 1, least + 64, least + 127, linesPerCall*int(lineSize) + 77}
}

func TestCopyInto(t *testing.T) {
	t.Parallel()
	for _, n := range copyLengths() {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			const around = 200
			memory, source := alignedBytes(n+2*around), pattern(n+64, 2)
			for head := range int(lineSize) {
				for _, skew := range []int{0, 1, 8, 33} {
					fillPattern(memory, 1)
					dst := memory[around/2+head:][:n]
					require.Equal(t, n, CopyInto(dst, source[skew:][:n]))
					require.True(t, bytes.Equal(source[skew:][:n], dst), "to line start + %d, from + %d", head, skew)
					untouched := pattern(len(memory), 1)
					require.True(t, bytes.Equal(untouched[:around/2+head], memory[:around/2+head]), "before it")
					require.True(t, bytes.Equal(untouched[around/2+head+n:], memory[around/2+head+n:]), "behind it")
				}
			}
		})
	}
}

func TestCopyIntoTakesTheShorter(t *testing.T) {
	t.Parallel()
	for _, n := range copyLengths() {
		long, short := pattern(n+10, 1), pattern(n, 2)
		assert.Equal(t, n, CopyInto(long, short))
		assert.Equal(t, append(bytes.Clone(short), pattern(n+10, 1)[n:]...), long)
		long = pattern(n+10, 1)
		assert.Equal(t, n, CopyInto(short, long))
		assert.Equal(t, long[:n], short)
	}
	assert.Zero(t, CopyInto(nil, nil))
}

// Slices that share memory are copied as copy does it.
func TestCopyIntoOverlap(t *testing.T) {
	t.Parallel()
	const n = 4096
	for _, shift := range []int{-n, -n + 1, -100, -64, -1, 0, 1, 64, 100, n - 1, n} {
		memory := pattern(3*n, 1)
		want := bytes.Clone(memory)
		copy(want[n+shift:][:n], want[n:2*n])
		CopyInto(memory[n+shift:][:n], memory[n:2*n])
		assert.True(t, bytes.Equal(want, memory), "shifted by %d", shift)
	}
}

// Copies to neighbours that begin and end within the same lines do not disturb each other.
func TestCopyIntoNeighbours(t *testing.T) {
	t.Parallel()
	const parts, size = 8, 5000 // not a multiple of a line
	memory := make([]byte, parts*size)
	var copies sync.WaitGroup
	for i := range parts {
		copies.Go(func() {
			for range 200 {
				CopyInto(memory[i*size:][:size], pattern(size, uint64(i)))
			}
		})
	}
	copies.Wait()
	for i := range parts {
		require.Equal(t, pattern(size, uint64(i)), memory[i*size:][:size])
	}
}
