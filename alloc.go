package famfs

// Free space: which allocation units of the device may be given out, and finding them.
//
// A unit has one of these states:
//
//	state    whose                     given out  an entry may have it  becomes
//	free     nobody's                  yes        yes: owned            pending, owned
//	pending  a pending file's          no         yes: owned            free, owned
//	owned    a file of the namespace's no         no: it is refused     -
//
// Beside that, whatever its state, a unit may be claimed: by the metadata, by an entry that
// was passed over, or because it lies behind what the superblock gives the file system. A
// claimed unit is never given out, and stays claimed: what a pending file or a file that has
// it too does changes nothing. An entry may own it, as if it were free. A further state is a
// further bitmap of blocks, which blockView takes into account.
//
// Owned and pending units are bits, in blocks that are made when they are first needed;
// claimed ones are runs. Over both stands a tree that knows of the runs of free units, so
// that nothing ever walks over the bits of a device.
//
// A log is hostile until proven otherwise: nothing that an entry can say may cost
// time or memory in proportion to the device, only to the space that sound entries own.
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

// maxClaims is how many claims at least wait for being merged with those before.
const maxClaims = 1 << 16

// fanOut is how many counters of one level are summed up in one of the next.
const fanOut = 64

// bitmap has a bit for each unit of a block.
type bitmap [blockWords]uint64

// block holds the states of blockUnits units: a bitmap for each state, nil if none of them
// has it, allocator.all if all have.
type block struct{ owned, pending *bitmap }

// isOwned returns the units of word w that are owned.
func (b *block) isOwned(w int) uint64 {
	if b == nil || b.owned == nil {
		return 0
	}
	return b.owned[w]
}

// add gives units of word w the state whose bitmap is at m.
func (a *allocator) add(m **bitmap, w int, mask uint64) {
	switch *m {
	case &a.all:
		return
	case nil:
		*m = new(bitmap)
	}
	(*m)[w] |= mask
}

// remove takes that state from units of word w.
func (a *allocator) remove(m **bitmap, w int, mask uint64) {
	switch *m {
	case nil:
		return
	case &a.all:
		own := a.all
		*m = &own
	}
	(*m)[w] &^= mask
}

// nodeState says how a node of the tree stands to the array that keeps it.
type nodeState uint8

const (
	allFree nodeState = iota // nothing below it was ever touched; the array knows nothing
	known                    // the array has it
	closed                   // all of its units are claimed; it never changes again
)

// allocator keeps the units of one device. Its methods may be called concurrently.
type allocator struct {
	mu    sync.Mutex
	units int64
	limit int64 // units from here on are never given out
	// none and all stand for the bitmaps of blocks of which no unit, or every unit, has a
	// state: a file of many blocks needs none of its own. Nobody writes to them.
	none, all bitmap
	// blocks are made when a unit of theirs is first owned or pending.
	blocks []*block
	// claimed are the claimed units, in ascending order; runs do not touch each other.
	claimed []unitRun
	// claims are to be merged into claimed when the tree is next brought up to date.
	claims []unitRun
	// tree is a complete binary tree in an array: node i has the children 2i and
	// 2i+1, the leaves, one per block, begin at leaves.
	tree   []freeRuns
	states []nodeState
	leaves int
	// stale are the blocks whose leaf is out of date, isStale has a bit for each.
	stale   []int
	isStale []uint64
	// owned counts owned units: per block, then per fanOut of the counters below, up
	// to a single one. It is what makes asking about any range cheap.
	owned [][]int64
}

// newAllocator returns one for a device of units units, all free. It touches little memory,
// however large the device is.
func newAllocator(units int64) *allocator {
	n := int((units + blockUnits - 1) / blockUnits)
	a := &allocator{units: units, limit: units, blocks: make([]*block, n), leaves: 1, isStale: make([]uint64, (n+63)/64)}
	for a.leaves < n {
		a.leaves *= 2
	}
	for w := range a.all {
		a.all[w] = ^uint64(0)
	}
	a.tree = make([]freeRuns, 2*a.leaves)
	a.states = make([]nodeState, 2*a.leaves)
	// The rest of the last block, and leaves without one.
	if rest := a.span() - units; rest > 0 {
		a.claims = append(a.claims, unitRun{units, rest})
	}
	for ; ; n = (n + fanOut - 1) / fanOut {
		a.owned = append(a.owned, make([]int64, n))
		if n <= 1 {
			return a
		}
	}
}

// span is how many units the tree covers.
func (a *allocator) span() int64 { return int64(a.leaves) * blockUnits }

// node returns node i of the tree.
func (a *allocator) node(i int) freeRuns {
	switch a.states[i] {
	case allFree:
		n := a.span() >> (bits.Len(uint(i)) - 1)
		return freeRuns{n, n, n, n}
	case closed:
		return freeRuns{}
	}
	return a.tree[i]
}

// refresh recomputes inner node i from its children.
func (a *allocator) refresh(i int) {
	if a.states[i] != closed {
		half := a.span() >> bits.Len(uint(i))
		a.tree[i], a.states[i] = join(a.node(2*i), half, a.node(2*i+1), half), known
	}
}

// block returns block i for changing it.
func (a *allocator) block(i int64) *block {
	b := a.blocks[i]
	if b == nil {
		b = &block{}
		a.blocks[i] = b
	}
	a.touch(i)
	return b
}

// touch notes that the leaf of block i has to be brought up to date.
func (a *allocator) touch(i int64) {
	if w, bit := i/64, uint64(1)<<uint(i%64); a.isStale[w]&bit == 0 {
		a.isStale[w] |= bit
		a.stale = append(a.stale, int(i))
	}
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

func (a *allocator) mustHold(r unitRun) {
	if !a.holds(r) {
		panic(fmt.Sprintf("famfs: units %d to %d of a device of %d", r.start, r.start+r.n, a.units))
	}
}

// eachWord calls f for every word that r touches, with the bits of r in it, until f
// returns false.
func (a *allocator) eachWord(r unitRun, f func(block int64, word int, mask uint64) bool) {
	a.mustHold(r)
	for at := r.start; at < r.end(); at = (at/64 + 1) * 64 {
		if !f(a.word(at, r.end())) {
			return
		}
	}
}

// change calls whole for every block that r has whole, and part for every other word that
// it touches.
func (a *allocator) change(r unitRun, whole func(block int64), part func(block int64, word int, mask uint64)) {
	a.mustHold(r)
	for at := r.start; at < r.end(); {
		if at%blockUnits == 0 && r.end()-at >= blockUnits {
			whole(at / blockUnits)
			at += blockUnits
			continue
		}
		part(a.word(at, r.end()))
		at = (at/64 + 1) * 64
	}
}

// word returns where unit at stands, and a mask of the units from there to end that the
// same word has.
func (a *allocator) word(at, end int64) (block int64, word int, mask uint64) {
	first := at % 64
	return at / blockUnits, int(at / 64 % blockWords), maskBelow(min(64, first+end-at)) &^ maskBelow(first)
}

// claim keeps units from being given out, for good, whatever else becomes of them.
func (a *allocator) claim(r unitRun) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mustHold(r)
	if r.n == 0 {
		return
	}
	a.claims = append(a.claims, r)
	if len(a.claims) >= max(maxClaims, len(a.claimed)) {
		a.mergeClaims()
	}
}

// restrict keeps the units from limit on from being given out. Files may own them. It is
// to be called before anything else.
func (a *allocator) restrict(limit int64) {
	a.limit = limit
	a.claim(unitRun{limit, a.units - limit})
}

// ownsAny says whether a file owns any of these units.
func (a *allocator) ownsAny(runs []unitRun) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(runs, a.isOwned)
}

// ownedBeyond says whether files own units that are not given out.
func (a *allocator) ownedBeyond() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isOwned(unitRun{a.limit, a.units - a.limit})
}

// reserve makes free units pending.
func (a *allocator) reserve(r unitRun) {
	a.change(r,
		func(i int64) { a.block(i).pending = &a.all },
		func(i int64, w int, mask uint64) { a.add(&a.block(i).pending, w, mask) })
}

// release ends that units are pending: those that nobody owns or claims are free again.
func (a *allocator) release(runs []unitRun) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range runs {
		a.change(r,
			func(i int64) {
				if a.blocks[i] != nil {
					a.block(i).pending = nil
				}
			},
			func(i int64, w int, mask uint64) {
				if a.blocks[i] != nil {
					a.remove(&a.block(i).pending, w, mask)
				}
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
		if a.blocks[i].isOwned(w)&mask != 0 {
			return 0, false
		}
		a.ownWord(i, w, mask)
		return 0, true
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
		a.change(r, a.ownBlock, a.ownWord)
	}
	return 0, true
}

// ownBlock owns all units of a block of which none is owned.
func (a *allocator) ownBlock(i int64) {
	a.block(i).owned = &a.all
	a.countOwned(i, blockUnits)
}

// ownWord owns the units of one word of one block that mask has set, of which none is owned.
func (a *allocator) ownWord(i int64, w int, mask uint64) {
	a.add(&a.block(i).owned, w, mask)
	a.countOwned(i, int64(bits.OnesCount64(mask)))
}

// countOwned notes that n more units of block i are owned.
func (a *allocator) countOwned(i, n int64) {
	for _, counters := range a.owned {
		counters[i] += n
		i /= fanOut
	}
}

// isOwned says whether any unit of r is owned.
func (a *allocator) isOwned(r unitRun) (owned bool) {
	inWords := func(r unitRun) bool {
		a.eachWord(r, func(i int64, w int, mask uint64) bool {
			owned = a.blocks[i].isOwned(w)&mask != 0
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

// mergeClaims adds the claims to those that were merged before. Entries that were passed
// over may claim all of the device, each.
func (a *allocator) mergeClaims() {
	slices.SortFunc(a.claims, func(x, y unitRun) int { return cmp.Compare(x.start, y.start) })
	fresh := a.claims[:0] // joined, and without what is claimed already
	for _, r := range a.claims {
		if n := len(fresh); n > 0 && r.start <= fresh[n-1].end() {
			fresh[n-1].n = max(fresh[n-1].end(), r.end()) - fresh[n-1].start
			continue
		}
		if n := len(fresh); n > 0 && a.isClaimed(fresh[n-1]) {
			fresh = fresh[:n-1]
		}
		fresh = append(fresh, r)
	}
	if n := len(fresh); n > 0 && a.isClaimed(fresh[n-1]) {
		fresh = fresh[:n-1]
	}
	for _, r := range fresh {
		a.cover(1, 0, a.span(), r)
	}
	const few = 16
	if len(fresh) <= few {
		for _, r := range fresh {
			a.insertClaim(r)
		}
	} else {
		a.claimed = joinRuns(a.claimed, fresh)
	}
	a.claims = a.claims[:0]
}

// isClaimed says whether all of r is claimed.
func (a *allocator) isClaimed(r unitRun) bool {
	at := a.claimedFrom(r.start)
	return at < len(a.claimed) && a.claimed[at].start <= r.start && a.claimed[at].end() >= r.end()
}

// claimedFrom returns the place of the first claimed run that ends behind unit.
func (a *allocator) claimedFrom(unit int64) int {
	at, _ := slices.BinarySearchFunc(a.claimed, unit, func(r unitRun, unit int64) int {
		if r.end() > unit {
			return 1
		}
		return -1
	})
	return at
}

// insertClaim adds one run to those that are claimed.
func (a *allocator) insertClaim(r unitRun) {
	from := a.claimedFrom(r.start - 1)
	to := from
	for ; to < len(a.claimed) && a.claimed[to].start <= r.end(); to++ {
		start := min(r.start, a.claimed[to].start)
		r = unitRun{start, max(r.end(), a.claimed[to].end()) - start}
	}
	a.claimed = slices.Replace(a.claimed, from, to, r)
}

// joinRuns merges two lists of runs, each in ascending order, into one whose runs do not
// touch each other.
func joinRuns(x, y []unitRun) []unitRun {
	all := make([]unitRun, 0, len(x)+len(y))
	for len(x) > 0 || len(y) > 0 {
		from := &x
		if len(x) == 0 || len(y) > 0 && y[0].start < x[0].start {
			from = &y
		}
		r := (*from)[0]
		*from = (*from)[1:]
		if n := len(all); n > 0 && r.start <= all[n-1].end() {
			all[n-1].n = max(all[n-1].end(), r.end()) - all[n-1].start
			continue
		}
		all = append(all, r)
	}
	return all
}

// cover makes the tree below node i, which covers units from lo on, know that r is claimed.
// Blocks that r covers in part are brought up to date by settle.
func (a *allocator) cover(i int, lo, units int64, r unitRun) {
	hi := lo + units
	switch {
	case r.end() <= lo || r.start >= hi || a.states[i] == closed:
		return
	case r.start <= lo && r.end() >= hi:
		a.states[i] = closed
		return
	case i >= a.leaves:
		a.touch(int64(i - a.leaves))
		return
	}
	half := units / 2
	a.cover(2*i, lo, half, r)
	a.cover(2*i+1, lo+half, half, r)
	a.refresh(i)
}

// settle brings the tree up to date. Changes only note which blocks they are in, so
// that replaying a long log costs no more than setting bits.
func (a *allocator) settle() {
	if len(a.claims) > 0 {
		a.mergeClaims()
	}
	if len(a.stale) == 0 {
		return
	}
	nodes := a.stale
	slices.Sort(nodes)
	for n, i := range nodes {
		a.isStale[i/64] &^= 1 << uint(i%64)
		nodes[n] = a.leaves + i
		if leaf := &a.states[nodes[n]]; *leaf != closed {
			a.tree[nodes[n]], *leaf = a.freeIn(int64(i)), known
		}
	}
	// Level by level, every parent once.
	for nodes[0] > 1 {
		n := 0
		for _, i := range nodes {
			if parent := i / 2; n == 0 || nodes[n-1] != parent {
				nodes[n] = parent
				n++
				a.refresh(parent)
			}
		}
		nodes = nodes[:n]
	}
	a.stale = a.stale[:0]
}

// claimsIn returns the claimed runs that touch block i. Claims must be merged.
func (a *allocator) claimsIn(i int64) []unitRun {
	if len(a.claimed) == 0 {
		return nil
	}
	from := a.claimedFrom(i * blockUnits)
	to := from
	for to < len(a.claimed) && a.claimed[to].start < (i+1)*blockUnits {
		to++
	}
	return a.claimed[from:to]
}

// blockView is a block for looking at which of its units may be given out.
type blockView struct {
	owned, pending *bitmap // never nil
	claims         []unitRun
	lo             int64 // its first unit
}

// view returns block i for looking at it. Claims must be merged.
func (a *allocator) view(i int64) blockView {
	v := blockView{&a.none, &a.none, a.claimsIn(i), i * blockUnits}
	if b := a.blocks[i]; b != nil && b.owned != nil {
		v.owned = b.owned
	}
	if b := a.blocks[i]; b != nil && b.pending != nil {
		v.pending = b.pending
	}
	return v
}

// free returns which units of word w may be given out: those that have no other state than
// free, and are not claimed.
func (v *blockView) free(w int) uint64 {
	busy := v.owned[w] | v.pending[w]
	if len(v.claims) > 0 {
		busy |= v.claimed(w)
	}
	return ^busy
}

// claimed returns which units of word w are claimed.
func (v *blockView) claimed(w int) (claimed uint64) {
	at := v.lo + int64(w)*64
	for _, r := range v.claims {
		claimed |= maskBelow(r.end()-at) &^ maskBelow(r.start-at)
	}
	return claimed
}

// freeIn says what block i holds.
func (a *allocator) freeIn(i int64) (s freeRuns) {
	v := a.view(i)
	owned, pending, claimed := v.owned, v.pending, len(v.claims) > 0
	run := int64(0)       // free units up to here without a gap
	s.prefix = blockUnits // until a unit is met that is not free
	for w := range owned {
		free := ^(owned[w] | pending[w])
		if claimed {
			free &^= v.claimed(w)
		}
		if free == ^uint64(0) {
			run += 64
			s.free += 64
			continue
		}
		n := int64(bits.OnesCount64(free))
		s.free += n
		run += int64(bits.TrailingZeros64(^free))
		if s.prefix == blockUnits {
			s.prefix = run
		}
		s.longest = max(s.longest, run)
		if n > s.longest { // more than a run that is known: it may hold a longer one
			s.longest = max(s.longest, longestRun(free))
		}
		run = int64(bits.LeadingZeros64(^free))
	}
	s.suffix, s.longest = run, max(s.longest, run)
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
	s := a.node(i)
	if s.free == 0 {
		q.run = unitRun{hi, 0}
		return false
	}
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
		return a.findInBlock(q, int64(i-a.leaves), lo)
	}
	half := units / 2
	return a.find(q, 2*i, lo, half) || a.find(q, 2*i+1, lo+half, half)
}

// findInBlock goes through the words of block i.
func (a *allocator) findInBlock(q *search, i, lo int64) bool {
	v := a.view(i)
	if q.run.end() != lo || q.run.n == 0 {
		q.run = unitRun{lo, 0}
	}
	for w := range int64(blockWords) {
		at := lo + 64*w
		free := v.free(int(w)) & (maskBelow(q.to-at) &^ maskBelow(q.from-at))
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

// allocate makes the first run of n free units within [from, to), clipped to the
// device, pending.
func (a *allocator) allocate(n, from, to int64) (unitRun, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.allocateLocked(n, from, to)
}

func (a *allocator) allocateLocked(n, from, to int64) (unitRun, bool) {
	a.settle()
	q := search{from: max(from, 0), to: min(to, a.units), n: n}
	if n <= 0 || a.node(1).longest < n || !a.find(&q, 1, 0, a.span()) {
		return unitRun{}, false
	}
	r := unitRun{q.run.start, n}
	a.reserve(r)
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
		want := min(n, a.node(1).longest)
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
	return a.node(1).free, a.node(1).longest
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
	if !a.find(&q, 1, 0, a.span()) {
		return unitRun{}, false
	}
	start := q.run.start
	return unitRun{start, a.end(1, 0, a.span(), start) - start}, true
}

// end returns the first unit from from on, below node i, that is not free; where the node
// ends if there is none.
func (a *allocator) end(i int, lo, units, from int64) int64 {
	hi := lo + units
	if hi <= from {
		return hi
	}
	switch s := a.node(i); {
	case s.free == units:
		return hi
	case from <= lo:
		return lo + s.prefix
	case i >= a.leaves:
		v := a.view(int64(i - a.leaves))
		for at := from - lo; at < blockUnits; at = (at/64 + 1) * 64 {
			if taken := ^v.free(int(at/64)) >> uint(at%64); taken != 0 {
				return lo + at + int64(bits.TrailingZeros64(taken))
			}
		}
		return hi
	}
	half := units / 2
	if e := a.end(2*i, lo, half, from); e < lo+half {
		return e
	}
	return a.end(2*i+1, lo+half, half, max(from, lo+half))
}
