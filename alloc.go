package famfs

// Free space: which allocation units of the device are taken, and finding free
// ones. Units are bits; over blocks of them stands a tree that knows of the runs
// of free units below, so that nothing ever walks over the bits of a device.
//
// Two kinds of units are not free. A unit is owned if a file of the namespace has
// it: another file that claims it is refused. A unit is only taken if it belongs to
// the metadata, to a pending file, or to an entry that was passed over: it is never
// given out, but a sound entry may own it.
//
// A log is hostile until proven otherwise: nothing that an entry can say may cost
// time in proportion to the device, only to the space that sound entries own.
//
// Nothing here knows of files or of what is on the medium.

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// blockUnits is the number of units under a leaf of the tree.
const (
	blockWords = 64
	blockUnits = blockWords * 64
)

// unitRun is a run of allocation units.
type unitRun struct{ start, n int64 }

func (r unitRun) end() int64 { return r.start + r.n }

// freeRuns says what a range of units holds: how many free units it begins and ends
// with, the longest run in it, and how many are free at all.
type freeRuns struct{ prefix, suffix, longest, free int64 }

// join returns what two neighbouring ranges, of nl and nr units, hold together.
func join(l freeRuns, nl int64, r freeRuns, nr int64) freeRuns {
	s := freeRuns{prefix: l.prefix, suffix: r.suffix, longest: max(l.longest, r.longest, l.suffix+r.prefix), free: l.free + r.free}
	if l.prefix == nl {
		s.prefix = nl + r.prefix
	}
	if r.suffix == nr {
		s.suffix = nr + l.suffix
	}
	return s
}

// maxClaims bounds the memory of claims that wait to be taken.
const maxClaims = 1 << 20

// fanOut is how many counters of one level are summed up in one of the next.
const fanOut = 64

// block holds the bits of blockUnits units: taken includes owned.
type block struct {
	taken, owned [blockWords]uint64
	stale        bool // its leaf of the tree is yet to be brought up to date
}

// allocator keeps the units of one device. Its methods may be called concurrently.
type allocator struct {
	mu    sync.Mutex
	units int64
	limit int64 // units from here on are never given out
	// blocks are made when the first unit of theirs is claimed: nil means all free.
	blocks []*block
	// tree is a complete binary tree in an array: node i has the children 2i and
	// 2i+1, the leaves, one per block, begin at leaves.
	tree   []freeRuns
	leaves int
	stale  []int // blocks whose leaf is out of date
	// owned counts owned units: per block, then per fanOut of the counters below, up
	// to a single one. It is what makes asking about any range cheap.
	owned [][]int64
	// claims are to be taken when the tree is next brought up to date. Entries that
	// were passed over may claim all of the device, each: they are merged first.
	claims []unitRun
}

// newAllocator returns one for a device of units units, all free.
func newAllocator(units int64) *allocator {
	n := int((units + blockUnits - 1) / blockUnits)
	a := &allocator{units: units, limit: units, blocks: make([]*block, n), leaves: 1}
	for a.leaves < n {
		a.leaves *= 2
	}
	a.tree = make([]freeRuns, 2*a.leaves)
	for i := range n {
		free := min(blockUnits, units-int64(i)*blockUnits)
		a.tree[a.leaves+i] = freeRuns{prefix: free, longest: free, free: free}
		if free == blockUnits {
			a.tree[a.leaves+i].suffix = free
		}
	}
	for i := a.leaves - 1; i >= 1; i-- {
		a.refresh(i)
	}
	for ; ; n = (n + fanOut - 1) / fanOut {
		a.owned = append(a.owned, make([]int64, n))
		if n <= 1 {
			return a
		}
	}
}

// refresh recomputes inner node i from its children.
func (a *allocator) refresh(i int) {
	half := int64(blockUnits) * int64(a.leaves>>(bits.Len(uint(i))-1)) / 2
	a.tree[i] = join(a.tree[2*i], half, a.tree[2*i+1], half)
}

// block returns block i for changing it.
func (a *allocator) block(i int64) *block {
	b := a.blocks[i]
	if b == nil {
		b = &block{}
		// What lies behind the end of the device is never free.
		if end := a.units - i*blockUnits; end < blockUnits {
			for w := range b.taken {
				b.taken[w] = ^maskBelow(end - int64(w)*64)
			}
		}
		a.blocks[i] = b
	}
	if !b.stale {
		b.stale = true
		a.stale = append(a.stale, int(i))
	}
	return b
}

// maskBelow has the lowest n bits set, none for n <= 0, all for n >= 64.
func maskBelow(n int64) uint64 {
	switch {
	case n <= 0:
		return 0
	case n >= 64:
		return ^uint64(0)
	}
	return 1<<uint(n) - 1
}

// holds says that r lies on the device.
func (a *allocator) holds(r unitRun) bool { return r.start >= 0 && r.n >= 0 && r.n <= a.units-r.start }

// eachWord calls f for every word that r touches, with the bits of r in it, until f
// returns false.
func (a *allocator) eachWord(r unitRun, f func(block int64, word int, mask uint64) bool) {
	if !a.holds(r) {
		panic(fmt.Sprintf("famfs: units %d to %d of a device of %d", r.start, r.start+r.n, a.units))
	}
	for at := r.start; at < r.end(); at = (at/64 + 1) * 64 {
		if !f(a.word(at, r.end())) {
			return
		}
	}
}

// word returns where unit at stands, and a mask of the units from there to end that the
// same word has.
func (a *allocator) word(at, end int64) (block int64, word int, mask uint64) {
	first := at % 64
	return at / blockUnits, int(at / 64 % blockWords), maskBelow(min(64, first+end-at)) &^ maskBelow(first)
}

// claim makes units unavailable, whether they were or not.
func (a *allocator) claim(r unitRun) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.claims = append(a.claims, r)
	if len(a.claims) >= maxClaims {
		a.takeClaims()
	}
}

// restrict keeps the units from limit on from being given out. Files may own them. It is
// to be called before anything else.
func (a *allocator) restrict(limit int64) {
	a.limit = limit
	a.claim(unitRun{limit, a.units - limit})
}

// ownedBeyond says whether files own units that are not given out.
func (a *allocator) ownedBeyond() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isOwned(unitRun{a.limit, a.units - a.limit})
}

// take sets units that are claimed or have been found free.
func (a *allocator) take(r unitRun) {
	a.eachWord(r, func(i int64, w int, mask uint64) bool {
		a.block(i).taken[w] |= mask
		return true
	})
}

// release makes units that were taken, and are not owned, free again.
func (a *allocator) release(runs []unitRun) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range runs {
		a.eachWord(r, func(i int64, w int, mask uint64) bool {
			b := a.block(i)
			b.taken[w] &^= mask &^ b.owned[w]
			return true
		})
	}
}

// own gives all runs to one file. If one of the units is owned already, by another
// file or by an earlier run of these, nothing changes and own returns false and the
// number of that run.
func (a *allocator) own(runs []unitRun) (bad int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(runs) == 1 && a.holds(runs[0]) && runs[0].start/64 == (runs[0].end()-1)/64 {
		// As most files: one word and no more.
		i, w, mask := a.word(runs[0].start, runs[0].end())
		if b := a.blocks[i]; b != nil && b.owned[w]&mask != 0 {
			return 0, false
		}
		return 0, a.ownWord(i, w, mask)
	}
	for i, r := range runs {
		if a.isOwned(r) {
			return i, false
		}
		for _, earlier := range runs[:i] {
			if r.start < earlier.end() && earlier.start < r.end() {
				return i, false
			}
		}
	}
	for _, r := range runs {
		a.eachWord(r, a.ownWord)
	}
	return 0, true
}

// ownWord owns the units of one word of one block that mask has set. It returns true, for
// eachWord.
func (a *allocator) ownWord(i int64, w int, mask uint64) bool {
	b := a.block(i)
	b.taken[w] |= mask
	b.owned[w] |= mask
	n := int64(bits.OnesCount64(mask))
	for _, counters := range a.owned {
		counters[i] += n
		i /= fanOut
	}
	return true
}

// isOwned says whether any unit of r is owned.
func (a *allocator) isOwned(r unitRun) (owned bool) {
	inWords := func(r unitRun) bool {
		a.eachWord(r, func(i int64, w int, mask uint64) bool {
			b := a.blocks[i]
			owned = b != nil && b.owned[w]&mask != 0
			return !owned
		})
		return owned
	}
	// Blocks that r covers whole are asked by their counters.
	from, to := (r.start+blockUnits-1)/blockUnits, r.end()/blockUnits
	if from >= to {
		return inWords(r)
	}
	if inWords(unitRun{r.start, from*blockUnits - r.start}) || inWords(unitRun{to * blockUnits, r.end() - to*blockUnits}) {
		return true
	}
	for _, counters := range a.owned {
		for ; from < to && from%fanOut != 0; from++ {
			if counters[from] > 0 {
				return true
			}
		}
		for ; from < to && to%fanOut != 0; to-- {
			if counters[to-1] > 0 {
				return true
			}
		}
		from, to = from/fanOut, to/fanOut
	}
	return false
}

// takeClaims takes all claims, every unit once however many claim it.
func (a *allocator) takeClaims() {
	slices.SortFunc(a.claims, func(x, y unitRun) int { return cmp.Compare(x.start, y.start) })
	done := int64(0)
	for _, r := range a.claims {
		start := max(r.start, done)
		if start < r.end() {
			a.take(unitRun{start, r.end() - start})
			done = r.end()
		}
	}
	a.claims = a.claims[:0]
}

// settle brings the tree up to date. Claims only note which blocks they changed, so
// that replaying a long log costs no more than setting bits.
func (a *allocator) settle() {
	if len(a.claims) > 0 {
		a.takeClaims()
	}
	if len(a.stale) == 0 {
		return
	}
	for _, i := range a.stale {
		b := a.blocks[i]
		b.stale = false
		a.tree[a.leaves+i] = b.runs()
	}
	if len(a.stale) > 8 {
		for i := a.leaves - 1; i >= 1; i-- {
			a.refresh(i)
		}
	} else {
		for _, i := range a.stale {
			for i = (a.leaves + i) / 2; i >= 1; i /= 2 {
				a.refresh(i)
			}
		}
	}
	a.stale = a.stale[:0]
}

// runs computes a block's leaf from its bits.
func (b *block) runs() freeRuns {
	var s freeRuns
	run := int64(0) // free units up to here without a gap
	begun := false  // whether a taken unit was met
	end := func() {
		if !begun {
			s.prefix, begun = run, true
		}
		s.longest = max(s.longest, run)
	}
	for _, taken := range b.taken {
		switch taken {
		case 0:
			run += 64
			s.free += 64
			continue
		case ^uint64(0):
			end()
			run = 0
			continue
		}
		s.free += int64(bits.OnesCount64(^taken))
		run += int64(bits.TrailingZeros64(taken))
		end()
		s.longest = max(s.longest, longestRun(^taken))
		run = int64(bits.LeadingZeros64(taken))
	}
	s.suffix = run
	end()
	return s
}

// longestRun is the length of the longest run of ones: each step shortens all runs
// by one.
func longestRun(w uint64) (n int64) {
	for ; w != 0; n++ {
		w &= w << 1
	}
	return n
}

// search looks for the first run of n free units within [from, to).
type search struct {
	from, to, n int64
	run         unitRun // free units that end where the search stands
}

// find visits node i, which covers units from lo on, and reports whether the run is
// long enough.
func (a *allocator) find(q *search, i int, lo, units int64) bool {
	hi := lo + units
	if hi <= q.from || lo >= q.to {
		return false
	}
	s := &a.tree[i]
	if lo >= q.from && hi <= q.to && s.longest < q.n {
		// No run inside is enough; one that began before may end here.
		if q.run.end() != lo || q.run.n == 0 {
			q.run = unitRun{lo, 0}
		}
		if q.run.n+s.prefix >= q.n {
			q.run.n += s.prefix
			return true
		}
		if s.prefix == units {
			q.run.n += units
		} else {
			q.run = unitRun{hi - s.suffix, s.suffix}
		}
		return false
	}
	if i >= a.leaves {
		return a.findInBlock(q, a.blocks[i-a.leaves], lo)
	}
	half := units / 2
	return a.find(q, 2*i, lo, half) || a.find(q, 2*i+1, lo+half, half)
}

// findInBlock goes through the words of one block; nil is all free.
func (a *allocator) findInBlock(q *search, b *block, lo int64) bool {
	if q.run.end() != lo || q.run.n == 0 {
		q.run = unitRun{lo, 0}
	}
	for w := range int64(blockWords) {
		at := lo + 64*w
		free := ^uint64(0)
		if b != nil {
			free = ^b.taken[w]
		}
		free &= maskBelow(min(q.to, a.units)-at) &^ maskBelow(q.from-at)
		for bit := int64(0); bit < 64; {
			skip := int64(bits.TrailingZeros64(free >> uint(bit)))
			if skip >= 64-bit {
				q.run = unitRun{at + 64, 0}
				break
			}
			if skip > 0 {
				bit += skip
				q.run = unitRun{at + bit, 0}
			}
			ones := min(int64(bits.TrailingZeros64(^(free >> uint(bit)))), 64-bit)
			q.run.n += ones
			if q.run.n >= q.n {
				return true
			}
			bit += ones
			if bit < 64 {
				q.run = unitRun{at + bit, 0}
			}
		}
	}
	return false
}

// allocate takes the first run of n free units within [from, to), clipped to the
// device.
func (a *allocator) allocate(n, from, to int64) (unitRun, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.allocateLocked(n, from, to)
}

func (a *allocator) allocateLocked(n, from, to int64) (unitRun, bool) {
	a.settle()
	q := search{from: max(from, 0), to: min(to, a.units), n: n}
	if n <= 0 || a.tree[1].longest < n || !a.find(&q, 1, 0, int64(a.leaves)*blockUnits) {
		return unitRun{}, false
	}
	r := unitRun{q.run.start, n}
	a.take(r)
	return r, true
}

// gather takes n free units in as few runs as there can be, at most maxRuns: the
// longest first, so that if this fails no choice would do. The runs are in the order
// in which they were taken.
func (a *allocator) gather(n int64, maxRuns int) ([]unitRun, bool) {
	var runs []unitRun
	for n > 0 && len(runs) < maxRuns {
		a.mu.Lock()
		a.settle()
		// The last piece needs no more than a run that just suffices.
		want := min(n, a.tree[1].longest)
		r, ok := a.allocateLocked(want, 0, a.units)
		a.mu.Unlock()
		if !ok {
			break
		}
		runs = append(runs, r)
		n -= r.n
	}
	if n > 0 {
		a.release(runs)
		return nil, false
	}
	return runs, true
}

// space returns the number of free units, and of those in the longest run.
func (a *allocator) space() (free, longest int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle()
	return a.tree[1].free, a.tree[1].longest
}

// spread takes strips runs of n units each, every one in another of buckets equal
// parts of the device, beginning with bucket first and going round.
func (a *allocator) spread(n int64, strips, buckets, first int) ([]unitRun, bool) {
	size := a.limit / int64(buckets)
	var runs []unitRun
	for i := 0; i < buckets && len(runs) < strips; i++ {
		bucket := int64((first + i) % buckets)
		if r, ok := a.allocate(n, bucket*size, (bucket+1)*size); ok {
			runs = append(runs, r)
		}
	}
	if len(runs) < strips {
		a.release(runs)
		return nil, false
	}
	return runs, true
}

// freeRun returns the first run of free units that begins at or after from, whole.
func (a *allocator) freeRun(from int64) (unitRun, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle()
	q := search{from: from, to: a.units, n: 1}
	if !a.find(&q, 1, 0, int64(a.leaves)*blockUnits) {
		return unitRun{}, false
	}
	start, end := q.run.start, q.run.start
	for end < a.units {
		b, at := a.blocks[end/blockUnits], end%blockUnits
		if b == nil {
			end = min(a.units, end-at+blockUnits)
			continue
		}
		taken := b.taken[at/64] >> uint(at%64)
		if taken == 0 {
			end += 64 - at%64
			continue
		}
		end += int64(bits.TrailingZeros64(taken))
		break
	}
	return unitRun{start, min(end, a.units) - start}, true
}
