package famfs

// The allocator against a simple model: a slice of flags and a search from its start. Random
// operations come from a seed that a failure prints; FAMFS_TEST_SEED repeats it. A model cannot
// show that nothing walks over the bits of a large device; BenchmarkAllocate measures that.

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unitCounts are near the ends of words and blocks, and of the ranges that counters cover.
var unitCounts = []int64{1, 63, 64, 65, 4095, 4096, 4097, 3*4096 + 17, 100_000, 2*fanOut*blockUnits + 4097}

// unitState is the state of a unit, as in the table in alloc.go.
type unitState struct {
	pending, owned, claimed bool
	heldBy                  uint32 // as in heldUnits
	used                    bool
}

// free reports whether a unit in this state may be given out.
func (u unitState) free() bool {
	u.used = false
	return u == unitState{}
}

// modelAllocator has the state of every unit.
type modelAllocator []unitState

func newModelAllocator(units int64) modelAllocator { return make(modelAllocator, units) }

func (m modelAllocator) taken(i int64) bool { return !m[i].free() }

func (m modelAllocator) each(runs []unitRun, change func(u *unitState)) {
	for _, r := range runs {
		for i := r.start; i < r.end(); i++ {
			change(&m[i])
		}
	}
}

func (m modelAllocator) reserve(r unitRun) {
	m.each([]unitRun{r}, func(u *unitState) { u.pending = true })
}

func (m modelAllocator) claim(runs ...unitRun) {
	m.each(runs, func(u *unitState) { u.claimed = true })
}

func (m modelAllocator) release(runs []unitRun) {
	m.each(runs, func(u *unitState) { u.pending = false })
}

func (m modelAllocator) own(runs []unitRun) (bad int, ok bool) {
	before := slices.Clone(m)
	for n, r := range runs {
		for i := r.start; i < r.end(); i++ {
			if m[i].owned {
				copy(m, before)
				return n, false
			}
		}
		m.each(runs[n:n+1], func(u *unitState) { u.owned, u.heldBy = true, 0 })
	}
	return 0, true
}

func (m modelAllocator) hold(runs []unitRun, by int64) {
	m.each(runs, func(u *unitState) { u.owned, u.heldBy, u.used = false, uint32(by+1), true })
}

func (m modelAllocator) unhold(r unitRun, by int64) {
	m.each([]unitRun{r}, func(u *unitState) {
		if u.heldBy == uint32(by+1) {
			u.heldBy = 0
		}
	})
}

// find returns the start of the first run of n free units within [from, to).
func (m modelAllocator) find(n, from, to int64) (int64, bool) {
	run := int64(0)
	for i := max(from, 0); i < min(to, int64(len(m))); i++ {
		if run++; m.taken(i) {
			run = 0
		}
		if run == n {
			return i + 1 - n, true
		}
	}
	return 0, false
}

// freeRunLengths returns the lengths of the free runs, the longest first.
func (m modelAllocator) freeRunLengths() (lengths []int64) {
	run := int64(0)
	for i := range int64(len(m)) + 1 {
		if i < int64(len(m)) && !m.taken(i) {
			run++
		} else if run > 0 {
			lengths = append(lengths, run)
			run = 0
		}
	}
	slices.Sort(lengths)
	slices.Reverse(lengths)
	return lengths
}

// fewestRuns returns the smallest number of free runs that hold n units, or that maxRuns do not.
func (m modelAllocator) fewestRuns(n int64, maxRuns int) (int, bool) {
	for i, length := range m.freeRunLengths() {
		if i == maxRuns {
			break
		}
		if n -= length; n <= 0 {
			return i + 1, true
		}
	}
	return 0, false
}

func (m modelAllocator) isFree(r unitRun) bool {
	return !slices.ContainsFunc(m[r.start:r.end()], func(u unitState) bool { return !u.free() })
}

// sameSpace compares only the sums of free units.
func sameSpace(t testing.TB, m modelAllocator, a *allocator) {
	t.Helper()
	var wantFree, wantLongest int64
	for i, length := range m.freeRunLengths() {
		if wantFree += length; i == 0 {
			wantLongest = length
		}
	}
	free, longest := a.space()
	require.Equal(t, [2]int64{wantFree, wantLongest}, [2]int64{free, longest}, "free units, and those in the longest run")
}

// sameUnits compares allocator and model unit by unit.
func sameUnits(t testing.TB, m modelAllocator, a *allocator) {
	t.Helper()
	for i := range int64(len(m)) {
		found := unitState{claimed: a.isClaimed(unitRun{i, 1})}
		if b := a.blocks[i/blockUnits]; b != nil {
			has := func(m *bitmap) bool { return m != nil && m[i%blockUnits/64]>>uint(i%64)&1 == 1 }
			found.owned, found.pending, found.used = has(b.owned), has(b.pending), has(b.used)
			if b.held != nil && has(b.held.units) {
				found.heldBy = b.held.heldBy(int(i % blockUnits))
				require.NotZero(t, found.heldBy, "unit %d", i)
			}
		}
		if found != m[i] {
			require.Equal(t, m[i], found, "unit %d", i)
		}
	}
	held := int64(0)
	for _, u := range m {
		if u.heldBy > 0 {
			held++
		}
	}
	require.Equal(t, held, a.heldSpace())
	// Claimed runs are as few as possible.
	for i, r := range a.claimed {
		require.Positive(t, r.n)
		if i > 0 {
			require.Less(t, a.claimed[i-1].end(), r.start)
		}
	}
	// Runs of free units, one after the other, each whole.
	for at := int64(0); ; {
		start, some := m.find(1, at, math.MaxInt64)
		r, ok := a.freeRun(at)
		require.Equal(t, some, ok, "a free run from %d on", at)
		if !ok {
			break
		}
		end := start
		for end < int64(len(m)) && !m.taken(end) {
			end++
		}
		require.Equal(t, unitRun{start, end - start}, r, "the first free run from %d on", at)
		at = end
	}
	// The counters say the same of ever larger parts.
	for part, level := int64(blockUnits), 0; level < len(a.owned); part, level = part*fanOut, level+1 {
		for i, found := range a.owned[level] {
			want := int64(0)
			for _, owned := range m[int64(i)*part : min(int64(i+1)*part, int64(len(m)))] {
				if owned.owned {
					want++
				}
			}
			require.Equal(t, want, found, "owned units in part %d of %d units", i, part)
		}
	}
	require.Len(t, a.owned[len(a.owned)-1], 1, "asking about all of the device takes one counter")
}

// testSeed returns a new seed each time, so that tests do not always do the same, and prints it for
// whoever looks into a failure.
func testSeed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("FAMFS_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("to repeat: FAMFS_TEST_SEED=%d", seed)
	return seed
}

// allocatorPair is an allocator and its model, changed together.
type allocatorPair struct {
	t     testing.TB
	rng   *rand.Rand
	units int64
	a     *allocator
	m     modelAllocator
	files [][]unitRun // that own their units
	gone  []unitRun   // of removed files
	next  int64       // the next log entry
}

// someRun returns a run that is usually short and often ends where a word or block does.
func (p *allocatorPair) someRun() unitRun {
	limit := []int64{1, 3, 64, 200, blockUnits, p.units}[p.rng.IntN(6)]
	n := p.rng.Int64N(min(limit, p.units)) + 1
	start := p.rng.Int64N(p.units - n + 1)
	if p.rng.IntN(3) == 0 {
		start = start / 64 * 64
	}
	return unitRun{start, n}
}

func (p *allocatorPair) someRuns() []unitRun {
	runs := make([]unitRun, p.rng.IntN(maxExtents)+1)
	for i := range runs {
		runs[i] = p.someRun()
	}
	return runs
}

func (p *allocatorPair) allocate() {
	n := p.someRun().n
	from, to := int64(0), int64(math.MaxInt64)
	if p.rng.IntN(2) == 0 {
		from, to = p.rng.Int64N(p.units+20)-10, p.rng.Int64N(p.units+20)-10
	}
	start, wantOK := p.m.find(n, from, to)
	r, ok := p.a.allocate(n, from, to)
	require.Equal(p.t, wantOK, ok, "%d units in [%d, %d)", n, from, to)
	if !ok {
		require.Zero(p.t, r)
		return
	}
	require.Equal(p.t, unitRun{start, n}, r, "%d units in [%d, %d)", n, from, to)
	p.m.reserve(r)
}

func (p *allocatorPair) own() {
	runs := p.someRuns()
	runs = runs[:min(len(runs), 3)]
	for i := range runs {
		if p.rng.IntN(4) > 0 {
			runs[i].n = min(runs[i].n, 100)
		}
	}
	if len(p.gone) > 0 && p.rng.IntN(2) == 0 {
		runs[0] = p.gone[p.rng.IntN(len(p.gone))] // maybe shifted by a little
		runs[0].start = min(p.units-runs[0].n, runs[0].start+p.rng.Int64N(3)*p.rng.Int64N(2))
	}
	wantBad, wantOK := p.m.own(runs)
	bad, ok := p.a.own(runs)
	require.Equal(p.t, wantOK, ok, "own %v", runs)
	require.Equal(p.t, wantBad, bad, "own %v", runs)
	require.Equal(p.t, slices.ContainsFunc(runs, func(r unitRun) bool {
		return slices.ContainsFunc(p.m[r.start:r.end()], func(u unitState) bool { return u.used })
	}), p.a.wereUsed(runs))
	if ok {
		p.files = append(p.files, runs)
	} else {
		// The replica does this with an entry that is passed over.
		for _, r := range runs {
			p.a.claim(r)
		}
		p.m.claim(runs...)
	}
}

// remove removes a file.
func (p *allocatorPair) remove() {
	if len(p.files) == 0 {
		return
	}
	i := p.rng.IntN(len(p.files))
	runs := p.files[i]
	p.files = slices.Delete(p.files, i, i+1)
	p.next++
	p.a.hold(runs, p.next)
	p.m.hold(runs, p.next)
	p.gone = append(p.gone, runs...)
}

// giveBack frees what one of the last removals holds of some run.
func (p *allocatorPair) giveBack() {
	r := p.someRun()
	if len(p.gone) > 0 && p.rng.IntN(4) > 0 {
		r = p.gone[p.rng.IntN(len(p.gone))]
	}
	by := max(0, p.next-p.rng.Int64N(4))
	p.a.unhold(r, by)
	p.m.unhold(r, by)
}

func (p *allocatorPair) gather() {
	maxRuns := []int{1, 2, maxExtents}[p.rng.IntN(3)]
	n := p.rng.Int64N(p.units) + 1
	if p.rng.IntN(2) == 0 {
		n = p.rng.Int64N(min(p.units, 100)) + 1
	}
	want, wantOK := p.m.fewestRuns(n, maxRuns)
	runs, ok := p.a.gather(n, maxRuns)
	require.Equal(p.t, wantOK, ok, "%d units in at most %d runs of %v", n, maxRuns, p.m.freeRunLengths())
	if !ok {
		require.Empty(p.t, runs)
		return
	}
	require.Len(p.t, runs, want, "%d units: %v", n, runs)
	p.gains(runs, n)
}

func (p *allocatorPair) spread() {
	strips := p.rng.IntN(maxExtents) + 1
	buckets := strips + p.rng.IntN(64-strips+1)
	first := p.rng.IntN(buckets)
	size := p.units / int64(buckets)
	n := min(p.someRun().n, max(size, 1))
	inBucket := func(i int) (int64, int64) { return int64(i) * size, int64(i+1) * size }
	able := 0
	for i := range buckets {
		from, to := inBucket(i)
		if _, ok := p.m.find(n, from, to); ok {
			able++
		}
	}
	runs, ok := p.a.spread(n, strips, buckets, first)
	require.Equal(p.t, able >= strips, ok, "%d strips of %d units in %d buckets, of which %d have room", strips, n, buckets, able)
	if !ok {
		require.Empty(p.t, runs)
		return
	}
	require.Len(p.t, runs, strips)
	seen := map[int64]bool{}
	for _, r := range runs {
		require.Equal(p.t, n, r.n)
		bucket := r.start / size
		require.False(p.t, seen[bucket], "two strips in bucket %d: %v", bucket, runs)
		seen[bucket] = true
		from, to := inBucket(int(bucket))
		require.GreaterOrEqual(p.t, r.start, from)
		require.LessOrEqual(p.t, r.end(), to, "run %v in bucket %d of %d units", r, bucket, size)
	}
	p.gains(runs, n*int64(strips))
}

// gains checks that runs, total units together, were free, and removes them from the free units
// of the model.
func (p *allocatorPair) gains(runs []unitRun, total int64) {
	for _, r := range runs {
		require.Positive(p.t, r.n)
		require.True(p.t, p.m.isFree(r), "%v was not free, or came twice", r)
		p.m.reserve(r)
		total -= r.n
	}
	require.Zero(p.t, total, "units too few: %v", runs)
}

func (p *allocatorPair) step() {
	switch p.rng.IntN(26) {
	case 0, 1, 2, 3, 4, 5:
		p.allocate()
	case 6, 7:
		p.gather()
	case 8, 9:
		p.spread()
	case 10, 11:
		r := p.someRun()
		p.a.claim(r)
		p.m.claim(r)
	case 12, 20, 21:
		p.own()
	case 22, 23:
		p.remove()
	case 24, 25:
		p.giveBack()
	default:
		runs := p.someRuns()
		p.a.release(runs)
		p.m.release(runs)
	}
}

func TestAllocatorAgainstModel(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	for _, units := range unitCounts {
		t.Run(fmt.Sprint(units), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(testSeed(t), uint64(units)))
			rounds, steps := 20, 150
			switch {
			case units > 200_000:
				rounds, steps = 1, 40
			case units > 20_000:
				rounds, steps = 2, 100
			}
			for range rounds {
				p := &allocatorPair{t: t, rng: rng, units: units, a: newAllocator(units), m: newModelAllocator(units)}
				sameSpace(t, p.m, p.a)
				for range steps {
					p.step()
					sameSpace(t, p.m, p.a)
				}
				sameUnits(t, p.m, p.a)
			}
		})
	}
}

func TestAllocatorOwn(t *testing.T) {
	t.Parallel()
	const units = 2*blockUnits + 100
	tests := map[string]struct {
		owned []unitRun
		runs  []unitRun
		bad   int
		ok    bool
	}{
		"free":                    {runs: []unitRun{{10, 5}, {20, 5}}, ok: true},
		"all":                     {runs: []unitRun{{0, units}}, ok: true},
		"touching":                {owned: []unitRun{{10, 10}}, runs: []unitRun{{0, 10}, {20, 10}}, ok: true},
		"the same":                {owned: []unitRun{{10, 10}}, runs: []unitRun{{10, 10}}},
		"first unit":              {owned: []unitRun{{10, 10}}, runs: []unitRun{{5, 6}}},
		"last unit":               {owned: []unitRun{{10, 10}}, runs: []unitRun{{19, 6}}},
		"inside":                  {owned: []unitRun{{10, 10}}, runs: []unitRun{{15, 1}}},
		"around":                  {owned: []unitRun{{500, 1}}, runs: []unitRun{{0, units}}},
		"second run":              {owned: []unitRun{{10, 10}}, runs: []unitRun{{50, 200}, {0, 11}}, bad: 1},
		"itself":                  {runs: []unitRun{{0, 100}, {200, 5000}, {99, 1}}, bad: 2},
		"last unit of the device": {owned: []unitRun{{units - 1, 1}}, runs: []unitRun{{0, 1}, {blockUnits - 1, blockUnits + 101}}, bad: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAllocator(units)
			_, ok := a.own(test.owned)
			require.True(t, ok)
			bad, ok := a.own(test.runs)
			assert.Equal(t, test.ok, ok)
			assert.Equal(t, test.bad, bad)
			// If it failed, nobody owns more than before: what is not owned can be owned.
			for i := range int64(units) {
				owned := slices.ContainsFunc(test.owned, func(r unitRun) bool { return i >= r.start && i < r.end() })
				if ok {
					owned = owned || slices.ContainsFunc(test.runs, func(r unitRun) bool { return i >= r.start && i < r.end() })
				}
				if _, ok := a.own([]unitRun{{i, 1}}); ok == owned {
					require.NotEqual(t, owned, ok, "unit %d", i)
				}
			}
		})
	}
}

// isOwned uses counters for long ranges. It must find the one unit that is owned, wherever the
// range begins and ends.
func TestAllocatorIsOwned(t *testing.T) {
	t.Parallel()
	for _, units := range []int64{1, 4097, fanOut*blockUnits - 1, fanOut * blockUnits, 1 << 23, 1<<24 + 12345} {
		t.Run(fmt.Sprint(units), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(testSeed(t), uint64(units)))
			// Offsets at, or next to, the ends of what one counter covers.
			place := func() int64 {
				part := []int64{1, 64, blockUnits, fanOut * blockUnits, fanOut * fanOut * blockUnits}[rng.IntN(5)]
				return min(max(rng.Int64N(units+1)/part*part+rng.Int64N(3)-1, 0), units)
			}
			for range 100 {
				a := newAllocator(units)
				unit := min(place(), units-1)
				_, ok := a.own([]unitRun{{unit, 1}})
				require.True(t, ok)
				require.True(t, a.isOwned(unitRun{0, units}))
				require.False(t, a.isOwned(unitRun{0, unit}))
				require.False(t, a.isOwned(unitRun{unit + 1, units - unit - 1}))
				for range 200 {
					from, to := place(), place()
					from, to = min(from, to), max(from, to)
					want := from <= unit && unit < to
					if found := a.isOwned(unitRun{from, to - from}); found != want {
						require.Equal(t, want, found, "unit %d is owned, asked about [%d, %d) of %d", unit, from, to, units)
					}
				}
			}
		})
	}
}

// Claims may be many, overlap, and come in any order; a hostile log may make only such claims.
// Together they claim exactly what each of them claims.
func TestAllocatorClaims(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		claims        []unitRun
		free, longest int64
	}{
		"none":                 {nil, 10_000, 10_000},
		"empty":                {[]unitRun{{5, 0}}, 10_000, 10_000},
		"one":                  {[]unitRun{{100, 50}}, 9_950, 9_850},
		"the same again":       {[]unitRun{{100, 50}, {100, 50}, {100, 50}}, 9_950, 9_850},
		"nested, outer first":  {[]unitRun{{100, 500}, {200, 10}}, 9_500, 9_400},
		"nested, inner first":  {[]unitRun{{200, 10}, {100, 500}}, 9_500, 9_400},
		"same start":           {[]unitRun{{100, 500}, {100, 10}, {100, 600}}, 9_400, 9_300},
		"overlapping":          {[]unitRun{{300, 200}, {100, 250}}, 9_600, 9_500},
		"neighbours":           {[]unitRun{{200, 100}, {100, 100}}, 9_800, 9_700},
		"with a gap":           {[]unitRun{{5000, 100}, {0, 100}}, 9_800, 4_900},
		"behind a longer one":  {[]unitRun{{0, 9000}, {10, 5}, {9500, 5}}, 995, 500},
		"all of it, many ways": {[]unitRun{{0, 10_000}, {0, 10_000}, {9_999, 1}, {0, 1}}, 0, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAllocator(10_000)
			for range 2 { // claiming what is claimed already changes nothing
				for _, r := range test.claims {
					a.claim(r)
				}
				free, longest := a.space()
				assert.Equal(t, [2]int64{test.free, test.longest}, [2]int64{free, longest})
			}
			// A file can own units that are only claimed.
			_, ok := a.own([]unitRun{{0, 10_000}})
			assert.True(t, ok)
		})
	}
}

// If there are more claims than may wait, they are merged early.
func TestAllocatorManyClaims(t *testing.T) {
	t.Parallel()
	a := newAllocator(1000)
	for i := range int64(maxClaims + 10) {
		a.claim(unitRun{i % 500, 2})
	}
	assert.Less(t, len(a.claims), maxClaims)
	free, longest := a.space()
	assert.EqualValues(t, 499, free)
	assert.EqualValues(t, 499, longest)
}

// Owned units stay owned when they are released: PendingFile releases them after a commit.
func TestAllocatorReleaseKeepsOwned(t *testing.T) {
	t.Parallel()
	a := newAllocator(1000)
	run, ok := a.allocate(100, 0, 1000)
	require.True(t, ok)
	_, ok = a.own([]unitRun{{run.start + 10, 50}})
	require.True(t, ok)
	a.release([]unitRun{run})
	free, longest := a.space()
	assert.Equal(t, int64(950), free)
	assert.Equal(t, int64(940), longest)
	next, ok := a.allocate(11, 0, 1000)
	require.True(t, ok)
	assert.Equal(t, unitRun{60, 11}, next)
}

// The table in alloc.go: the next states of a run of units, and whether it is given out.
func TestAllocatorStates(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	type step func(t *testing.T, a *allocator, run unitRun)
	type steps []step
	reserve := func(t *testing.T, a *allocator, run unitRun) {
		r, ok := a.allocate(run.n, run.start, run.end())
		require.True(t, ok)
		require.Equal(t, run, r)
	}
	release := func(_ *testing.T, a *allocator, run unitRun) { a.release([]unitRun{run}) }
	claim := func(_ *testing.T, a *allocator, run unitRun) { a.claim(run) }
	own := func(t *testing.T, a *allocator, run unitRun) {
		_, ok := a.own([]unitRun{run})
		require.True(t, ok)
	}
	settle := func(_ *testing.T, a *allocator, _ unitRun) { a.space() }
	hold := func(_ *testing.T, a *allocator, run unitRun) { a.hold([]unitRun{run}, 6) }
	unhold := func(_ *testing.T, a *allocator, run unitRun) { a.unhold(run, 6) }
	other := func(_ *testing.T, a *allocator, run unitRun) { a.unhold(run, 5) }
	for name, test := range map[string]struct {
		steps steps
		state unitState
	}{
		"free":                              {nil, unitState{}},
		"pending":                           {steps{reserve}, unitState{pending: true}},
		"given back":                        {steps{reserve, release}, unitState{}},
		"committed":                         {steps{reserve, own, release}, unitState{owned: true}},
		"owned":                             {steps{own}, unitState{owned: true}},
		"given back though free":            {steps{release}, unitState{}},
		"given back though owned":           {steps{own, release}, unitState{owned: true}},
		"claimed":                           {steps{claim}, unitState{claimed: true}},
		"claimed, and given back":           {steps{claim, release}, unitState{claimed: true}},
		"claimed while pending":             {steps{reserve, claim}, unitState{pending: true, claimed: true}},
		"and given back":                    {steps{reserve, claim, release}, unitState{claimed: true}},
		"and given back after it was told":  {steps{reserve, claim, settle, release}, unitState{claimed: true}},
		"claimed while owned":               {steps{own, claim}, unitState{owned: true, claimed: true}},
		"owned while claimed":               {steps{claim, own}, unitState{owned: true, claimed: true}},
		"claimed while pending, then owned": {steps{reserve, claim, own, release}, unitState{owned: true, claimed: true}},
		"removed":                           {steps{own, hold}, unitState{heldBy: 7, used: true}},
		"removed before it was given back":  {steps{reserve, own, hold, release}, unitState{heldBy: 7, used: true}},
		"removed, and not by this entry":    {steps{own, hold, other}, unitState{heldBy: 7, used: true}},
		"removed, and free again":           {steps{own, hold, unhold}, unitState{used: true}},
		"removed while claimed":             {steps{own, claim, hold, unhold}, unitState{claimed: true, used: true}},
		"removed, and owned by an entry":    {steps{own, hold, own}, unitState{owned: true, used: true}},
		"and freed too late":                {steps{own, hold, own, unhold}, unitState{owned: true, used: true}},
		"claimed twice":                     {steps{claim, settle, claim}, unitState{claimed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, shift := range []int64{0, blockUnits - 100 - 15, 5 * blockUnits} { // within a block, across two
				run := unitRun{100 + shift, 30}
				a, m := newAllocator(9*blockUnits+7), newModelAllocator(9*blockUnits+7)
				for _, step := range test.steps {
					step(t, a, run)
				}
				m.each([]unitRun{run}, func(u *unitState) { *u = test.state })
				sameSpace(t, m, a)
				sameUnits(t, m, a)
				_, ok := a.allocate(run.n, run.start, run.end())
				assert.Equal(t, test.state.free(), ok, "given out")
				_, ok = a.own([]unitRun{run})
				assert.Equal(t, !test.state.owned, ok, "owned by an entry")
			}
		})
	}
}

// made counts the things that an allocator has made or changed that could grow with the device.
func made(a *allocator) (blocks, nodes int) {
	for _, b := range a.blocks {
		if b != nil {
			blocks++
		}
	}
	for _, s := range a.states {
		if s != allFree {
			nodes++
		}
	}
	return blocks, nodes
}

// For any size of device, a new allocator, and an entry that claims as much as possible, change
// only a path or two of the tree.
func TestAllocatorClaimsOfLargeDevice(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for name, units := range map[string]int64{"8 TiB in units of 4 KiB": 8 << 40 / smallUnit, "and some": 8<<40/smallUnit - 4321} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const depth = 20 // of a tree over 2^19 blocks
			a := newAllocator(units)
			free, longest := a.space()
			require.Equal(t, [2]int64{units, units}, [2]int64{free, longest})
			blocks, nodes := made(a)
			assert.Zero(t, blocks)
			assert.LessOrEqual(t, nodes, 3*depth)

			a.claim(unitRun{2561, units - 2561 - 10_000}) // as an entry that claims all
			free, longest = a.space()
			require.Equal(t, [2]int64{12_561, 10_000}, [2]int64{free, longest})
			r, ok := a.allocate(9000, 0, math.MaxInt64)
			require.True(t, ok)
			assert.Equal(t, unitRun{units - 10_000, 9000}, r)
			run, ok := a.freeRun(2000)
			require.True(t, ok)
			assert.Equal(t, unitRun{2000, 561}, run)
			blocks, nodes = made(a)
			assert.LessOrEqual(t, blocks, 4)
			assert.LessOrEqual(t, nodes, 9*depth)

			// Claims of single units all over the device cost at most their own size and one
			// path each. Claims of what is claimed already cost nothing.
			for i := range int64(1000) {
				a.claim(unitRun{2561 + i*2_000_000, 1})
			}
			a.space()
			blocksAfter, nodesAfter := made(a)
			assert.Equal(t, [2]int{blocks, nodes}, [2]int{blocksAfter, nodesAfter})
			assert.LessOrEqual(t, len(a.claimed), 2)

			b := newAllocator(units)
			for i := range int64(1000) {
				b.claim(unitRun{i * 2_000_000, 1})
				if i%7 == 0 {
					b.space()
				}
			}
			free, _ = b.space()
			assert.Equal(t, units-1000, free)
			blocks, nodes = made(b)
			assert.Zero(t, blocks)
			assert.LessOrEqual(t, nodes, 1001*depth)
			assert.Len(t, b.claimed, 1001-btoi(units%blockUnits == 0))
		})
	}
}

// Files of many whole blocks, pending or logged, need bitmaps only for their ends.
func TestAllocatorWholeBlocks(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	const units = 1000*blockUnits + 77
	a, m := newAllocator(units), newModelAllocator(units)
	bitmaps := func() (n int) {
		for _, b := range a.blocks {
			if b == nil {
				continue
			}
			for _, state := range []*bitmap{b.owned, b.pending} {
				if state != nil && state != &a.all {
					n++
				}
			}
		}
		return n
	}
	large := unitRun{100, 900 * blockUnits}
	r, ok := a.allocate(large.n, large.start, units)
	require.True(t, ok)
	require.Equal(t, large, r)
	m.reserve(r)
	assert.Equal(t, 2, bitmaps())
	sameUnits(t, m, a)
	for _, part := range []unitRun{{3*blockUnits + 17, 5}, {7 * blockUnits, blockUnits}, {9*blockUnits - 1, blockUnits + 2}} {
		a.release([]unitRun{part})
		m.release([]unitRun{part})
	}
	sameSpace(t, m, a)
	sameUnits(t, m, a)
	a.release([]unitRun{large})
	m.release([]unitRun{large})
	_, ok = a.own([]unitRun{large})
	require.True(t, ok)
	m.own([]unitRun{large})
	sameSpace(t, m, a)
	sameUnits(t, m, a)
	_, ok = a.own([]unitRun{{500 * blockUnits, 1}})
	assert.False(t, ok)
	for w := range a.all {
		require.Equal(t, ^uint64(0), a.all[w], "what blocks share does not change")
		require.Zero(t, a.none[w])
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Nothing gives out, or takes, units behind the end of the device.
func TestAllocatorEnd(t *testing.T) {
	t.Parallel()
	for _, units := range unitCounts {
		t.Run(fmt.Sprint(units), func(t *testing.T) {
			t.Parallel()
			a := newAllocator(units)
			_, ok := a.allocate(units+1, 0, math.MaxInt64)
			assert.False(t, ok)
			_, ok = a.gather(units+1, maxExtents)
			assert.False(t, ok)
			all, ok := a.allocate(units, math.MinInt64, math.MaxInt64)
			require.True(t, ok)
			assert.Equal(t, unitRun{0, units}, all)
			_, ok = a.allocate(1, 0, math.MaxInt64)
			assert.False(t, ok)

			a.release([]unitRun{{units - 1, 1}})
			_, ok = a.allocate(2, 0, math.MaxInt64)
			assert.False(t, ok)
			_, ok = a.allocate(1, units, math.MaxInt64)
			assert.False(t, ok)
			last, ok := a.allocate(1, 0, math.MaxInt64)
			require.True(t, ok)
			assert.Equal(t, unitRun{units - 1, 1}, last)

			for _, r := range []unitRun{{units, 1}, {0, units + 1}, {-1, 1}, {1, units}, {0, -1}, {1, math.MaxInt64}} {
				assert.Panics(t, func() { a.reserve(r) }, "%v", r)
				assert.Panics(t, func() { a.own([]unitRun{r}) }, "%v", r)
				assert.Panics(t, func() { a.claim(r) }, "%v", r)
				assert.Panics(t, func() { a.release([]unitRun{r}) }, "%v", r)
			}
		})
	}
}

func TestAllocatorRefusesNonsense(t *testing.T) {
	t.Parallel()
	a := newAllocator(1000)
	for _, test := range []struct{ n, from, to int64 }{
		{0, 0, 1000}, {-1, 0, 1000}, {math.MinInt64, 0, 1000}, {1, 10, 10}, {1, 20, 10}, {1, 1000, 2000}, {1, 0, 0}, {1, 0, -1}, {11, 10, 20}, {math.MaxInt64, 0, math.MaxInt64},
	} {
		_, ok := a.allocate(test.n, test.from, test.to)
		assert.False(t, ok, "%+v", test)
	}
	_, ok := a.spread(1001, 1, 1, 0)
	assert.False(t, ok)
	_, ok = newAllocator(0).allocate(1, 0, math.MaxInt64)
	assert.False(t, ok)
	free, longest := a.space()
	assert.Equal(t, int64(1000), free)
	assert.Equal(t, int64(1000), longest)
}

// Only the sixteen longest runs matter: one unit more than they hold is refused, however much is
// free.
func TestAllocatorGatherLimit(t *testing.T) {
	t.Parallel()
	const units = 3 * blockUnits
	a := newAllocator(units)
	a.reserve(unitRun{0, units})
	sum := int64(0)
	for i := range int64(40) { // runs of 1 to 40 units, far apart
		a.release([]unitRun{{i * 300, i + 1}})
		if i >= 40-maxExtents {
			sum += i + 1
		}
	}
	free, longest := a.space()
	require.Equal(t, int64(40*41/2), free)
	require.Equal(t, int64(40), longest)

	runs, ok := a.gather(sum+1, maxExtents)
	require.False(t, ok)
	require.Empty(t, runs)
	after, _ := a.space()
	require.Equal(t, free, after, "what was gathered in vain is free again")

	runs, ok = a.gather(sum, maxExtents)
	require.True(t, ok)
	require.Len(t, runs, maxExtents)
	for i, r := range runs {
		assert.Equal(t, unitRun{int64(39-i) * 300, int64(40 - i)}, r)
	}
}

// Strips begin with the given bucket, go round, and pass over full buckets.
func TestAllocatorSpreadOrder(t *testing.T) {
	t.Parallel()
	a := newAllocator(1003) // ten buckets of 100, and three units in none
	a.claim(unitRun{0, 50})
	a.claim(unitRun{900, 95})
	runs, ok := a.spread(10, 3, 10, 8)
	require.True(t, ok)
	assert.Equal(t, []unitRun{{800, 10}, {50, 10}, {100, 10}}, runs)

	free, _ := a.space()
	_, ok = a.spread(60, 10, 10, 0)
	require.False(t, ok)
	after, _ := a.space()
	assert.Equal(t, free, after)
}

// scattered returns an allocator in which one unit in a hundred is free, and no two free units are
// neighbours.
func scattered(units int64) *allocator {
	a := newAllocator(units)
	a.reserve(unitRun{0, units}) // not a claim, which would still wait when the runs are free
	runs := make([]unitRun, 0, units/100)
	for i := int64(50); i < units; i += 100 {
		runs = append(runs, unitRun{i, 1})
	}
	a.release(runs)
	return a
}

func TestAllocatorLargeDevices(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	tests := map[string]int64{
		"16 TiB in units of 2 MiB": 16 << 40 / defaultUnit,
		"32 GiB in units of 4 KiB": 1 << 35 / smallUnit,
		"and a part of a block":    1<<35/smallUnit + 17,
	}
	for name, units := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := scattered(units)
			free, longest := a.space()
			assert.Equal(t, (units+49)/100, free)
			assert.Equal(t, int64(1), longest)
			for i := range int64(1000) {
				r, ok := a.allocate(1, 0, math.MaxInt64)
				require.True(t, ok)
				require.Equal(t, unitRun{50 + 100*i, 1}, r)
			}
			_, ok := a.allocate(2, 0, math.MaxInt64)
			assert.False(t, ok)
			runs, ok := a.gather(maxExtents, maxExtents)
			require.True(t, ok)
			assert.Len(t, runs, maxExtents)
			_, ok = a.gather(maxExtents+1, maxExtents)
			assert.False(t, ok)
			// The only longer run is at the end.
			a.release([]unitRun{{units - 5, 5}})
			r, ok := a.allocate(5, 0, math.MaxInt64)
			require.True(t, ok)
			assert.Equal(t, unitRun{units - 5, 5}, r)
		})
	}
}

// Goroutines that allocate at the same time never get the same unit.
func TestAllocatorConcurrent(t *testing.T) {
	t.Parallel()
	const units, workers = 5000, 4
	a := newAllocator(units)
	results := make(chan []unitRun)
	for w := range workers {
		go func() {
			var mine []unitRun
			for i := range int64(200) {
				if r, ok := a.allocate(i%7+1, 0, math.MaxInt64); ok {
					mine = append(mine, r)
				}
				if runs, ok := a.gather(3, maxExtents); ok && w%2 == 0 {
					mine = append(mine, runs...)
				} else {
					a.release(runs)
				}
				a.space()
				a.claim(unitRun{units - 1 - i%100, 1})
				a.freeRun(i)
				a.ownedBeyond()
			}
			results <- mine
		}()
	}
	m := newModelAllocator(units)
	for range workers {
		for _, r := range <-results {
			require.True(t, m.isFree(r), "%v was given out twice", r)
			m.reserve(r)
		}
	}
	m.claim(unitRun{units - 100, 100})
	sameSpace(t, m, a)
	sameUnits(t, m, a)
}
