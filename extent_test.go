package famfs

// The arithmetic of layouts: where the bytes of a file lie, in extents and in strips.

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layoutByte is where byte x of a file lies, by the words of the format.
func layoutByte(l *Layout, x int64) int64 {
	if l.Chunk == 0 {
		for _, e := range l.Extents {
			if x < e.Length {
				return e.Offset + x
			}
			x -= e.Length
		}
		return -1
	}
	n := int64(len(l.Extents))
	c := x / l.Chunk
	return l.Extents[c%n].Offset + (c/n)*l.Chunk + x%l.Chunk
}

// stripedLayout has strips of the length that a file of size bytes needs, gap bytes apart.
func stripedLayout(size, chunk, n, gap int64) Layout {
	l := Layout{Chunk: chunk}
	length := (size + n*chunk - 1) / (n * chunk) * chunk
	for i := range n {
		l.Extents = append(l.Extents, Extent{Offset: 1000 + (n-1-i)*(length+gap), Length: length})
	}
	return l
}

func TestLayout(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	type layoutCase struct {
		name string
		l    Layout
		size int64
		want []segment // nil: only compared with the formula
	}
	cases := []layoutCase{
		{"one extent", Layout{Extents: []Extent{{0, 40, 20}}}, 17, []segment{{40, 17}}},
		{"three extents", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 40, []segment{{40, 20}, {0, 8}, {100, 12}}},
		{"last extent in part", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 29, []segment{{40, 20}, {0, 8}, {100, 1}}},
		{"last extent not at all", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 28, []segment{{40, 20}, {0, 8}}},
		{"neighbours are one run", Layout{Extents: []Extent{{0, 40, 20}, {0, 60, 8}, {0, 68, 12}, {0, 20, 20}}}, 60, []segment{{40, 40}, {20, 20}}},
		{"one strip is one run", Layout{Chunk: 4, Extents: []Extent{{0, 40, 20}}}, 19, []segment{{40, 19}}},
		{"two strips", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}}}, 16, []segment{{100, 4}, {40, 4}, {104, 4}, {44, 4}}},
		{"last stripe in part", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}, {0, 60, 8}}}, 14, []segment{{100, 4}, {40, 4}, {60, 4}, {104, 2}}},
		{"strips of one chunk, side by side", Layout{Chunk: 8, Extents: []Extent{{0, 0, 8}, {0, 8, 8}, {0, 16, 8}}}, 24, []segment{{0, 24}}},
	}
	for n := int64(1); n <= 16; n += 3 {
		for _, chunk := range []int64{1, 2, 8} {
			for _, size := range []int64{1, chunk, chunk + 1, n * chunk, n*chunk + 1, 3*n*chunk - 1, 5 * n * chunk} {
				for _, gap := range []int64{0, 3} {
					cases = append(cases, layoutCase{"", stripedLayout(size, chunk, n, gap), size, nil})
				}
			}
		}
	}
	for _, c := range cases {
		if c.want != nil {
			segs, err := c.l.segments(c.size)
			require.NoError(t, err, c.name)
			assert.Equal(t, c.want, segs, c.name)
		}
		for size := int64(1); size <= c.size; size++ {
			segs, err := c.l.segments(size)
			require.NoError(t, err)
			at := int64(0)
			for i, s := range segs {
				require.Positive(t, s.len)
				if i > 0 {
					require.NotEqual(t, segs[i-1].off+segs[i-1].len, s.off, "runs that could be one: %+v of %+v", segs, c.l)
				}
				for j := range s.len {
					if want := layoutByte(&c.l, at); s.off+j != want {
						t.Fatalf("byte %d of %+v: found at %d, want %d", at, c.l, s.off+j, want)
					}
					at++
				}
			}
			require.Equal(t, size, at)
		}
		for x := range c.size {
			off, run := c.l.locate(x)
			require.Positive(t, run)
			for j := range min(run, c.size-x) {
				if want := layoutByte(&c.l, x+j); off+j != want {
					t.Fatalf("byte %d of %+v: found at %d, want %d", x+j, c.l, off+j, want)
				}
			}
		}
	}
}

// A layout of more runs than any system maps is refused before it costs much memory.
func TestLayoutOfTooManyRuns(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	const chunk = smallUnit
	size := int64(maxSegments+2) * chunk
	l := stripedLayout(size, chunk, 2, chunk)
	_, err := l.segments(size)
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "runs")
	_, err = l.segments(int64(maxSegments+1) * chunk)
	require.ErrorIs(t, err, ErrDevice, "one too many")
	segs, err := l.segments(int64(maxSegments) * chunk)
	require.NoError(t, err)
	assert.Len(t, segs, maxSegments)
}
