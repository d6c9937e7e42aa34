package famfs

// The space of several devices, by itself: which device a file's extents are on. What is free on one is
// in alloc_test.go; what users see of it, in devices_test.go.

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// spaceOf returns the space of devices that have these runs free, in units, apart from each other.
func spaceOf(t testing.TB, free ...[]int64) *space {
	t.Helper()
	layout := func(lengths []int64) (units int64, claims []unitRun) {
		units = superblockArea / defaultUnit
		for _, n := range lengths {
			claims = append(claims, unitRun{units + n, 1})
			units += n + 1
		}
		return units, claims
	}
	units, claims := layout(free[0])
	primary := newAllocator(units)
	s := newSpace(21, primary)
	primary.claim(unitRun{0, superblockArea / defaultUnit})
	for _, r := range claims {
		primary.claim(r)
	}
	for i, lengths := range free[1:] {
		units, claims := layout(lengths)
		s.add(units*defaultUnit, true)
		for _, r := range claims {
			s.of(i + 1).claim(r)
		}
	}
	return s
}

// lengthsOf returns devices and lengths of runs.
func lengthsOf(runs []spaceRun) (all [][2]int64) {
	for _, r := range runs {
		all = append(all, [2]int64{int64(r.device), r.n})
	}
	return all
}

func TestSpaceAllocate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		free  [][]int64
		units int64
		on    int
		want  [][2]int64 // device and length of each run; nil: there is no room
	}{
		"the device with the most free space":          {[][]int64{{5}, {9}, {7}}, 3, -1, [][2]int64{{1, 3}}},
		"the first of those with as much":              {[][]int64{{5}, {9}, {9}}, 3, -1, [][2]int64{{1, 3}}},
		"the one that has a run":                       {[][]int64{{5}, {4, 4, 4}, {3}}, 5, -1, [][2]int64{{0, 5}}},
		"of those with a run the one with most":        {[][]int64{{9}, {5, 5}, {3}}, 5, -1, [][2]int64{{1, 5}}},
		"several runs, the longest first":              {[][]int64{{2, 3}, {4}, {6}}, 12, -1, [][2]int64{{2, 6}, {1, 4}, {0, 2}}},
		"as few as can be, whatever device":            {[][]int64{{1, 1, 1, 1, 1, 1, 1, 1}, {3, 2}, {1}}, 5, -1, [][2]int64{{1, 3}, {1, 2}}},
		"only on one, which has no run":                {[][]int64{{9}, {2, 2}, {9}}, 4, 1, [][2]int64{{1, 2}, {1, 2}}},
		"only on one, which has no room":               {[][]int64{{9}, {2, 2}, {9}}, 5, 1, nil},
		"no room on all together":                      {[][]int64{{3}, {2, 2}, {4}}, 12, -1, nil},
		"nothing free at all":                          {[][]int64{{}, {}, {}}, 1, -1, nil},
		"more than 16 runs":                            {[][]int64{{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}, 17, -1, nil},
		"16 runs":                                      {[][]int64{{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}, {2, 1, 1, 1, 1, 1}}, 17, -1, [][2]int64{{2, 2}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {2, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
		"only on the first, although others have more": {[][]int64{{3}, {9}}, 2, 0, [][2]int64{{0, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spaceOf(t, test.free...)
			before, _ := s.free(-1)
			runs, ok := s.allocate(test.units, test.on)
			assert.Equal(t, test.want != nil, ok)
			if ok {
				assert.Equal(t, test.want, lengthsOf(runs))
				after, _ := s.free(-1)
				assert.Equal(t, before-test.units, after)
				s.release(runs)
			}
			after, _ := s.free(-1)
			assert.Equal(t, before, after, "all is given back")
		})
	}
}

func TestSpaceSpreadOverDevices(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		free   [][]int64
		units  int64
		strips int
		on     int
		want   []int64 // the strips' devices
	}{
		"one each":                          {[][]int64{{9}, {9}, {9}}, 2, 3, -1, []int64{0, 1, 2}},
		"as evenly as can be":               {[][]int64{{9}, {9}, {9}}, 1, 7, -1, []int64{0, 1, 2, 0, 1, 2, 0}},
		"one has no room for a second":      {[][]int64{{9}, {2}, {9}}, 2, 6, -1, []int64{0, 1, 2, 0, 2, 0}},
		"one has no room at all":            {[][]int64{{9}, {1}, {9}}, 2, 4, -1, []int64{0, 2, 0, 2}},
		"only on one":                       {[][]int64{{9}, {9}, {9}}, 2, 3, 1, []int64{1, 1, 1}},
		"too many":                          {[][]int64{{4}, {1}, {5}}, 2, 5, -1, nil},
		"too many for the one that is said": {[][]int64{{9}, {5}, {9}}, 2, 3, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spaceOf(t, test.free...)
			before, _ := s.free(-1)
			runs, ok := s.spreadOverDevices(test.units, test.strips, test.on)
			require.Equal(t, test.want != nil, ok)
			var on []int64
			for _, r := range runs {
				assert.Equal(t, test.units, r.n)
				on = append(on, int64(r.device))
			}
			assert.Equal(t, test.want, on)
			s.release(runs)
			after, _ := s.free(-1)
			assert.Equal(t, before, after, "all is given back")
		})
	}
}

// A file gets all of its extents or none, whatever devices they are on, and whether these are here.
func TestSpaceOwn(t *testing.T) {
	t.Parallel()
	x := func(device int, unit, units int64) Extent {
		return Extent{Device: device, Offset: unit * defaultUnit, Length: units * defaultUnit}
	}
	s := spaceOf(t, []int64{20}, []int64{20})
	s.add(20*defaultUnit, false)
	_, ok := s.own([]Extent{x(0, 5, 2), x(1, 5, 2), x(2, 5, 2)})
	require.True(t, ok)
	for name, test := range map[string]struct {
		extents []Extent
		bad     int
	}{
		"another's, on the first":         {[]Extent{x(1, 9, 1), x(0, 6, 1)}, 1},
		"another's, on one that is here":  {[]Extent{x(1, 4, 2), x(0, 9, 1)}, 0},
		"another's, on one that is not":   {[]Extent{x(0, 9, 1), x(1, 9, 1), x(2, 6, 9)}, 2},
		"its own, twice":                  {[]Extent{x(0, 9, 1), x(1, 9, 2), x(1, 10, 2)}, 2},
		"its own, on one that is not":     {[]Extent{x(2, 9, 3), x(2, 8, 2)}, 1},
		"its own, within":                 {[]Extent{x(2, 9, 5), x(0, 9, 1), x(2, 10, 1)}, 2},
		"its own, on one, with another's": {[]Extent{x(0, 9, 2), x(0, 9, 2)}, 1},
	} {
		bad, ok := s.own(test.extents)
		assert.False(t, ok, name)
		assert.Equal(t, test.bad, bad, name)
	}
	_, ok = s.own([]Extent{x(0, 9, 2), x(1, 9, 2), x(2, 9, 2), x(2, 11, 1), x(2, 8, 1), x(1, 11, 1)})
	assert.True(t, ok, "what was refused has taken nothing, and what touches does not overlap")
}

// A device that comes later has the state that it would have if it had been there from the beginning.
func TestSpaceArrives(t *testing.T) {
	t.Parallel()
	play := func(s *space, device int) {
		x := func(unit, units int64) []Extent {
			return []Extent{{Device: device, Offset: unit * defaultUnit, Length: units * defaultUnit}}
		}
		for _, e := range [][]Extent{x(3, 2), x(6, 3), x(12, 1), x(20, 9)} {
			_, ok := s.own(e)
			require.True(t, ok)
		}
		s.claim([]spaceRun{{device, unitRun{30, 2}}, {device, unitRun{35, 1 << 40}}, {device, unitRun{1 << 50, 5}}, {device + 7, unitRun{1, 1}}})
		s.hold(x(6, 3), 11)
		s.hold(x(20, 9), 12)
		_, ok := s.own(x(7, 1))
		require.True(t, ok)
		s.hold(x(7, 1), 13)
		_, ok = s.own(x(20, 2))
		require.True(t, ok)
	}
	always, later := spaceOf(t, []int64{9}), spaceOf(t, []int64{9})
	always.add(40*defaultUnit, true)
	later.add(40*defaultUnit, false)
	play(always, 1)
	play(later, 1)
	assert.Nil(t, later.here(1))
	assert.True(t, later.wereUsed([]Extent{{Device: 1, Offset: 2 * defaultUnit, Length: defaultUnit}}), "it is not known")
	later.of(1).arrive()
	a, b := always.here(1), later.here(1)
	for unit := range int64(40) {
		r := []unitRun{{unit, 1}}
		assert.Equal(t, a.ownsAny(r), b.ownsAny(r), "owned %d", unit)
		assert.Equal(t, a.wereUsed(r), b.wereUsed(r), "used %d", unit)
		for by := range int64(15) {
			assert.Equal(t, a.heldBy(r[0], by), b.heldBy(r[0], by), "held %d by %d", unit, by)
		}
	}
	var free [2][]unitRun
	for i, a := range []*allocator{a, b} {
		for at := int64(0); ; {
			r, ok := a.freeRun(at)
			if !ok {
				break
			}
			free[i] = append(free[i], r)
			at = r.end()
		}
	}
	assert.Equal(t, free[0], free[1])
	assert.Equal(t, always.held(), later.held())
}
