package famfs

// The arithmetic of layouts: which bytes of a file are where, in extents and in strips.

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layoutPlace returns the device and the place on it of byte x of a file, as the format's
// description has it.
func layoutPlace(l *Layout, x int64) (device int, off int64) {
	if l.Chunk == 0 {
		for _, e := range l.Extents {
			if x < e.Length {
				return e.Device, e.Offset + x
			}
			x -= e.Length
		}
		return -1, -1
	}
	n := int64(len(l.Extents))
	c := x / l.Chunk
	return l.Extents[c%n].Device, l.Extents[c%n].Offset + (c/n)*l.Chunk + x%l.Chunk
}

// layoutByte is layoutPlace for files whose devices do not matter.
func layoutByte(l *Layout, x int64) int64 {
	_, off := layoutPlace(l, x)
	return off
}

// stripedLayout has strips of the length that a file of size bytes needs, gap bytes apart, on
// devices in turn.
func stripedLayout(size, chunk, n, gap, devices int64) Layout {
	l := Layout{Chunk: chunk}
	length := (size + n*chunk - 1) / (n * chunk) * chunk
	for i := range n {
		l.Extents = append(l.Extents, Extent{Device: int(i % devices), Offset: 1000 + (n-1-i)*(length+gap), Length: length})
	}
	return l
}

func TestLayout(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	type layoutCase struct {
		name string
		l    Layout
		size int64
		want []deviceRun // nil: only compared with the formula
	}
	cases := []layoutCase{
		{"one extent", Layout{Extents: []Extent{{0, 40, 20}}}, 17, []deviceRun{{0, segment{40, 17}}}},
		{"three extents", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 40, []deviceRun{{0, segment{40, 20}}, {0, segment{0, 8}}, {0, segment{100, 12}}}},
		{"last extent in part", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 29, []deviceRun{{0, segment{40, 20}}, {0, segment{0, 8}}, {0, segment{100, 1}}}},
		{"last extent not at all", Layout{Extents: []Extent{{0, 40, 20}, {0, 0, 8}, {0, 100, 12}}}, 28, []deviceRun{{0, segment{40, 20}}, {0, segment{0, 8}}}},
		{"neighbours are one run", Layout{Extents: []Extent{{0, 40, 20}, {0, 60, 8}, {0, 68, 12}, {0, 20, 20}}}, 60, []deviceRun{{0, segment{40, 40}}, {0, segment{20, 20}}}},
		{"one strip is one run", Layout{Chunk: 4, Extents: []Extent{{0, 40, 20}}}, 19, []deviceRun{{0, segment{40, 19}}}},
		{"two strips", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}}}, 16, []deviceRun{{0, segment{100, 4}}, {0, segment{40, 4}}, {0, segment{104, 4}}, {0, segment{44, 4}}}},
		{"last stripe in part", Layout{Chunk: 4, Extents: []Extent{{0, 100, 8}, {0, 40, 8}, {0, 60, 8}}}, 14, []deviceRun{{0, segment{100, 4}}, {0, segment{40, 4}}, {0, segment{60, 4}}, {0, segment{104, 2}}}},
		{"strips of one chunk, side by side", Layout{Chunk: 8, Extents: []Extent{{0, 0, 8}, {0, 8, 8}, {0, 16, 8}}}, 24, []deviceRun{{0, segment{0, 24}}}},
		{"neighbours of several devices", Layout{Extents: []Extent{{1, 40, 20}, {2, 60, 8}, {2, 68, 12}, {0, 80, 20}}}, 60, []deviceRun{{1, segment{40, 20}}, {2, segment{60, 20}}, {0, segment{80, 20}}}},
		{"two strips on two devices", Layout{Chunk: 4, Extents: []Extent{{1, 100, 8}, {0, 100, 8}}}, 15, []deviceRun{{1, segment{100, 4}}, {0, segment{100, 4}}, {1, segment{104, 4}}, {0, segment{104, 3}}}},
		{"one strip on another device", Layout{Chunk: 4, Extents: []Extent{{3, 40, 20}}}, 19, []deviceRun{{3, segment{40, 19}}}},
	}
	for n := int64(1); n <= 16; n += 3 {
		for _, chunk := range []int64{1, 2, 8} {
			for _, size := range []int64{1, chunk, chunk + 1, n * chunk, n*chunk + 1, 3*n*chunk - 1, 5 * n * chunk} {
				for _, gap := range []int64{0, 3} {
					for _, devices := range []int64{1, 2, 3} {
						cases = append(cases, layoutCase{"", stripedLayout(size, chunk, n, gap, devices), size, nil})
					}
				}
			}
		}
	}
	for _, c := range cases {
		if c.want != nil {
			runs, err := c.l.runs(c.size)
			require.NoError(t, err, c.name)
			assert.Equal(t, c.want, runs, c.name)
		}
		for size := int64(1); size <= c.size; size++ {
			runs, err := c.l.runs(size)
			require.NoError(t, err)
			at := int64(0)
			for i, s := range runs {
				require.Positive(t, s.len)
				if i > 0 && runs[i-1].device == s.device {
					require.NotEqual(t, runs[i-1].end(), s.off, "runs that could be one: %+v of %+v", runs, c.l)
				}
				for j := range s.len {
					if device, want := layoutPlace(&c.l, at); s.device != device || s.off+j != want {
						t.Fatalf("byte %d of %+v: found at %d of device %d, want %d of device %d", at, c.l, s.off+j, s.device, want, device)
					}
					at++
				}
			}
			require.Equal(t, size, at)
			device, off, ok := c.l.oneRun(size)
			require.Equal(t, len(runs) == 1, ok, "the first %d bytes of %+v", size, c.l)
			if ok {
				require.Equal(t, runs[0].device, device)
				require.Equal(t, runs[0].off, off)
			}
		}
		for x := range c.size {
			device, off, run := c.l.locate(x)
			require.Positive(t, run)
			for j := range min(run, c.size-x) {
				if on, want := layoutPlace(&c.l, x+j); device != on || off+j != want {
					t.Fatalf("byte %d of %+v: found at %d of device %d, want %d of device %d", x+j, c.l, off+j, device, want, on)
				}
			}
			found, ok := c.l.find(device, off)
			require.True(t, ok)
			require.Equal(t, x, found, "%+v", c.l)
		}
		devices := make(map[int]bool)
		lowest, highest := c.l.Extents[0].Offset, int64(0)
		for _, e := range c.l.Extents {
			devices[e.Device] = true
			lowest, highest = min(lowest, e.Offset), max(highest, e.Offset+e.Length)
		}
		one, ok := c.l.oneDevice()
		require.Equal(t, len(devices) == 1, ok)
		require.True(t, !ok || devices[one])
		for _, e := range c.l.Extents {
			for _, off := range []int64{lowest - 1, highest} {
				_, ok := c.l.find(e.Device, off)
				require.False(t, ok, "%d of %+v", off, c.l)
			}
			_, ok := c.l.find(4, e.Offset)
			require.False(t, ok, "another device than those of %+v", c.l)
		}
	}
}

// A layout with more runs than any system can map is refused before it costs much memory.
func TestLayoutOfTooManyRuns(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	const chunk = smallUnit
	size := int64(maxSegments+2) * chunk
	l := stripedLayout(size, chunk, 2, chunk, 1)
	_, err := l.runs(size)
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "runs")
	_, err = l.runs(int64(maxSegments+1) * chunk)
	require.ErrorIs(t, err, ErrDevice, "one too many")
	runs, err := l.runs(int64(maxSegments) * chunk)
	require.NoError(t, err)
	assert.Len(t, runs, maxSegments)
}

func TestAppendRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ runs, want []deviceRun }{
		"none":                    {nil, nil},
		"one":                     {[]deviceRun{{0, segment{5, 3}}}, []deviceRun{{0, segment{5, 3}}}},
		"neighbours":              {[]deviceRun{{0, segment{0, 4}}, {0, segment{4, 4}}, {0, segment{8, 1}}}, []deviceRun{{0, segment{0, 9}}}},
		"with a gap":              {[]deviceRun{{0, segment{0, 4}}, {0, segment{5, 4}}}, []deviceRun{{0, segment{0, 4}}, {0, segment{5, 4}}}},
		"in the wrong order":      {[]deviceRun{{0, segment{4, 4}}, {0, segment{0, 4}}}, []deviceRun{{0, segment{4, 4}}, {0, segment{0, 4}}}},
		"overlapping":             {[]deviceRun{{0, segment{0, 4}}, {0, segment{3, 4}}}, []deviceRun{{0, segment{0, 4}}, {0, segment{3, 4}}}},
		"of two devices":          {[]deviceRun{{0, segment{0, 4}}, {1, segment{4, 4}}, {1, segment{8, 4}}}, []deviceRun{{0, segment{0, 4}}, {1, segment{4, 8}}}},
		"some":                    {[]deviceRun{{0, segment{0, 4}}, {0, segment{4, 4}}, {0, segment{100, 4}}, {0, segment{104, 4}}, {0, segment{8, 4}}}, []deviceRun{{0, segment{0, 8}}, {0, segment{100, 8}}, {0, segment{8, 4}}}},
		"neighbours not in place": {[]deviceRun{{0, segment{0, 4}}, {0, segment{100, 4}}, {0, segment{4, 4}}}, []deviceRun{{0, segment{0, 4}}, {0, segment{100, 4}}, {0, segment{4, 4}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var joined []deviceRun
			for _, s := range test.runs {
				joined = appendRun(joined, s)
			}
			assert.Equal(t, test.want, joined)
		})
	}
}
