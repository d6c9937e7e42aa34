package famfs

// Free space: which allocation units of the device are free, and how to find them.
//
// A unit is in one of these states:
//
//	state    belongs to               given out  an entry may have it  becomes
//	free     nobody                   yes        yes: owned            pending, owned
//	pending  a pending file           no         yes: owned            free, owned
//	owned    a file of the namespace  no         no: it is refused     held
//	held     a removed file           no         yes: owned            free, owned
//
// (Units of removed files become held only where space is given out again: alloc_held.go.)
//
// In any of these states a unit may also be claimed: by the metadata, by an entry that was
// passed over, or because it is behind the end of the file system that the superblock gives.
// A claimed unit is never given out, and stays claimed, even if a pending file or a file has
// it too. An entry may own a claimed unit as if it were free.
//
// To add a state, add a bitmap to block, and take it into account in blockView and freeIn.
//
// Owned and pending units are bits in blocks; a block is made when it is first needed.
// Claimed units are runs. A tree above both knows the runs of free units, so that nothing
// has to walk over all bits of a device.
//
// A log is hostile until it is checked: an entry must not cost time or memory in proportion
// to the device, only in proportion to the space that sound entries own.
//
// Nothing here knows of files or of the format on the medium.

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

// freeRuns describes a range of units: the number of free units at its beginning and at its
// end, the length of its longest free run, and the number of all its free units.
type freeRuns struct{ prefix, suffix, longest, free int64 }

// join returns the freeRuns of two neighbouring ranges, of nl and nr units, taken together.
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

// maxClaims is the smallest number of waiting claims that claim merges by itself.
const maxClaims = 1 << 16

// fanOut is how many counters of one level add up to one counter of the next.
const fanOut = 64

// bitmap has a bit for each unit of a block.
type bitmap [blockWords]uint64

// block holds the states of blockUnits units, one bitmap per state. A bitmap is nil if no
// unit has the state, and allocator.all if every unit has it.
type block struct {
	owned, pending *bitmap
	held           *heldUnits
	used           *bitmap // units that were held at any time
}

// isOwned returns a mask of the units of word w that are owned.
func (b *block) isOwned(w int) uint64 {
	if b == nil || b.owned == nil {
		return 0
	}
	return b.owned[w]
}

// add sets the bits of mask in word w of the bitmap at m.
func (a *allocator) add(m **bitmap, w int, mask uint64) {
	switch *m {
	case &a.all:
		return
	case nil:
		*m = new(bitmap)
	}
	(*m)[w] |= mask
}

// remove clears the bits of mask in word w of the bitmap at m.
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

// nodeState says whether the array has the value of a node of the tree.
type nodeState uint8

const (
	allFree nodeState = iota // nothing below it was ever touched; the array has no value
	known                    // the array has the value
	closed                   // all of its units are claimed; this never changes again
)

// allocator manages the units of one device. Its methods may be called concurrently.
type allocator struct {
	mu    sync.Mutex
	units int64
	limit int64 // units from here on are never given out
	// none and all are shared bitmaps, for blocks of which no unit, or every unit, has a
	// state, so that a large file needs no bitmaps of its own. They are never written to.
	none, all bitmap
	// blocks[i] is nil until a unit of block i is first owned or pending.
	blocks []*block
	// claimed holds the claimed units, in ascending order; runs do not touch each other.
	claimed []unitRun
	// claims holds runs that are not merged into claimed yet; settle does it.
	claims []unitRun
	// tree is a complete binary tree in an array: node i has the children 2i and 2i+1.
	// There is one leaf per block; the first leaf is node leaves.
	tree   []freeRuns
	states []nodeState
	leaves int
	// stale lists the blocks whose leaf is out of date; isStale has a bit for each block.
	stale   []int
	isStale []uint64
	// owned counts owned units: first per block, then each level sums up fanOut counters of
	// the level before, up to a single one. So it is cheap to ask about a range of any size.
	owned [][]int64
	held  int64 // the number of held units
}

// newAllocator returns an allocator for a device of the given number of units, all free. It
// touches little memory, however large the device is.
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
	// Claim the rest of the last block, and the leaves that have no block.
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

// span returns the number of units that the tree covers.
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

// block returns block i, to be changed.
func (a *allocator) block(i int64) *block {
	b := a.blocks[i]
	if b == nil {
		b = &block{}
		a.blocks[i] = b
	}
	a.touch(i)
	return b
}

// touch notes that the leaf of block i is out of date.
func (a *allocator) touch(i int64) {
	if w, bit := i/64, uint64(1)<<uint(i%64); a.isStale[w]&bit == 0 {
		a.isStale[w] |= bit
		a.stale = append(a.stale, int(i))
	}
}

// maskBelow returns a mask of the lowest n bits: none for n <= 0, all for n >= 64.
func maskBelow(n int64) uint64 {
	switch {
	case n <= 0:
		return 0
	case n >= 64:
		return ^uint64(0)
	}
	return 1<<uint(n) - 1
}

// holds reports whether r lies on the device.
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

// change calls whole for every block that lies in r completely, and part for every other
// word that r touches.
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

// word returns the block and the word of unit at, and a mask of the units from at to end
// that are in this word.
func (a *allocator) word(at, end int64) (block int64, word int, mask uint64) {
	first := at % 64
	return at / blockUnits, int(at / 64 % blockWords), maskBelow(min(64, first+end-at)) &^ maskBelow(first)
}

// claim keeps units from being given out, for good, whatever else happens to them.
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

// restrict keeps the units from limit on from being given out. Files may own them. It must
// be called before any other method.
func (a *allocator) restrict(limit int64) {
	a.limit = limit
	a.claim(unitRun{limit, a.units - limit})
}

// ownsAny reports whether a file owns any of these units.
func (a *allocator) ownsAny(runs []unitRun) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(runs, a.isOwned)
}

// ownedBeyond reports whether files own units beyond the limit.
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

// release ends the pending state of units: they are free again if no file owns them and
// nothing claims them.
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

// own gives all runs to one file. If a unit is owned already, by another file or through an
// earlier one of these runs, own changes nothing and returns the number of the bad run and
// false.
func (a *allocator) own(runs []unitRun) (bad int, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(runs) == 1 && a.holds(runs[0]) && runs[0].start/64 == (runs[0].end()-1)/64 {
		// The usual case: the whole file is within one word.
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

// ownBlock marks all units of a block as owned; none of them may be owned before.
func (a *allocator) ownBlock(i int64) {
	b := a.block(i)
	b.owned = &a.all
	if b.held != nil {
		a.dropHeld(b, b.heldIn())
	}
	a.countOwned(i, blockUnits)
}

// ownWord marks the units in mask as owned; none of them may be owned before.
func (a *allocator) ownWord(i int64, w int, mask uint64) {
	b := a.block(i)
	a.add(&b.owned, w, mask)
	if b.held != nil {
		a.unholdWord(i, w, mask, 0)
	}
	a.countOwned(i, int64(bits.OnesCount64(mask)))
}

// countOwned adds n to the counters of owned units of block i.
func (a *allocator) countOwned(i, n int64) {
	for _, counters := range a.owned {
		counters[i] += n
		i /= fanOut
	}
}

// isOwned reports whether any unit of r is owned.
func (a *allocator) isOwned(r unitRun) (owned bool) {
	inWords := func(r unitRun) bool {
		a.eachWord(r, func(i int64, w int, mask uint64) bool {
			owned = a.blocks[i].isOwned(w)&mask != 0
			return !owned
		})
		return owned
	}
	// For blocks that lie in r completely, the counters are enough.
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

// mergeClaims merges the waiting claims into claimed. Each entry that was passed over may
// claim the whole device.
func (a *allocator) mergeClaims() {
	slices.SortFunc(a.claims, func(x, y unitRun) int { return cmp.Compare(x.start, y.start) })
	fresh := a.claims[:0] // joined, and without runs that are claimed already
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

// isClaimed reports whether all of r is claimed.
func (a *allocator) isClaimed(r unitRun) bool {
	at := a.claimedFrom(r.start)
	return at < len(a.claimed) && a.claimed[at].start <= r.start && a.claimed[at].end() >= r.end()
}

// claimedFrom returns the index of the first claimed run that ends behind unit.
func (a *allocator) claimedFrom(unit int64) int {
	at, _ := slices.BinarySearchFunc(a.claimed, unit, func(r unitRun, unit int64) int {
		if r.end() > unit {
			return 1
		}
		return -1
	})
	return at
}

// insertClaim adds one run to claimed.
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

// cover records in the tree below node i that r is claimed. Node i covers units from lo on.
// Blocks that r covers only in part are left to settle.
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

// settle brings the tree up to date. Changes only note which blocks they are in, so that
// replaying a long log costs no more than setting bits.
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
	// Refresh the inner nodes level by level, each parent once.
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

// claimsIn returns the claimed runs that touch block i. All claims must be merged.
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

// blockView shows which units of a block may be given out.
type blockView struct {
	owned, pending, held *bitmap // never nil
	claims               []unitRun
	lo                   int64 // its first unit
}

// view returns a view of block i. All claims must be merged.
func (a *allocator) view(i int64) blockView {
	v := blockView{&a.none, &a.none, &a.none, a.claimsIn(i), i * blockUnits}
	if b := a.blocks[i]; b != nil && b.owned != nil {
		v.owned = b.owned
	}
	if b := a.blocks[i]; b != nil && b.pending != nil {
		v.pending = b.pending
	}
	if b := a.blocks[i]; b != nil && b.held != nil && b.held.units != nil {
		v.held = b.held.units
	}
	return v
}

// free returns a mask of the units of word w that may be given out: those that are neither
// owned, pending, held nor claimed.
func (v *blockView) free(w int) uint64 {
	busy := v.owned[w] | v.pending[w] | v.held[w]
	if len(v.claims) > 0 {
		busy |= v.claimed(w)
	}
	return ^busy
}

// claimed returns a mask of the units of word w that are claimed.
func (v *blockView) claimed(w int) (claimed uint64) {
	at := v.lo + int64(w)*64
	for _, r := range v.claims {
		claimed |= maskBelow(r.end()-at) &^ maskBelow(r.start-at)
	}
	return claimed
}

// freeIn computes the freeRuns of block i.
func (a *allocator) freeIn(i int64) (s freeRuns) {
	v := a.view(i)
	owned, pending, held, claimed := v.owned, v.pending, v.held, len(v.claims) > 0
	if owned == &a.all || held == &a.all {
		return s
	}
	run := int64(0)       // length of the free run that ends here
	s.prefix = blockUnits // until a unit is found that is not free
	for w := range owned {
		free := ^(owned[w] | pending[w] | held[w])
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
		if n > s.longest { // more free units than the longest run so far: this word may hold a longer one
			s.longest = max(s.longest, longestRun(free))
		}
		run = int64(bits.LeadingZeros64(^free))
	}
	s.suffix, s.longest = run, max(s.longest, run)
	return s
}

// longestRun returns the length of the longest run of ones. Each step shortens all runs by
// one.
func longestRun(w uint64) (n int64) {
	for ; w != 0; n++ {
		w &= w << 1
	}
	return n
}

// search looks for the first run of n free units within [from, to).
type search struct {
	from, to, n int64
	run         unitRun // the free units that end where the search is now
}

// find searches node i, which covers units from lo on, and reports whether q.run is long
// enough.
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
		// No run inside is long enough, but one that began before may end here.
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

// findInBlock searches block i, word by word.
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

// allocate finds the first run of n free units within [from, to), clipped to the device, and
// makes it pending.
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

// gather takes n free units in as few runs as possible, at most maxRuns. It takes the longest
// runs first, so if it fails, no other choice would succeed. The runs are in the order in
// which they were taken.
func (a *allocator) gather(n int64, maxRuns int) ([]unitRun, bool) {
	var runs []unitRun
	for n > 0 && len(runs) < maxRuns {
		a.mu.Lock()
		a.settle()
		// The last piece takes the first run that is long enough.
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

// space returns the number of free units, and the length of the longest free run.
func (a *allocator) space() (free, longest int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle()
	return a.node(1).free, a.node(1).longest
}

// spread divides the device into buckets of equal size and takes a run of n units from each of
// strips different buckets. It begins with bucket first and goes round.
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

// freeRun returns the first run of free units at or after from, up to its end.
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

// end returns the first unit below node i, at or after from, that is not free, or the end of
// the node if there is none.
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
