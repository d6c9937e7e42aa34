package famfs

// Units of removed files, on a file system that gives space out again: they are held until no
// host can reach them by the removed name any more, and then free. Each held unit knows the log
// entry that removed its file, because what is known of hosts is up to which entry they have
// come (pins.go).
//
// A unit that was held once is used from then on, whatever happens to it: other hosts may have
// lines of the removed file in their caches.

import "math/bits"

// heldUnits says for the units of a block who holds them.
type heldUnits struct {
	units *bitmap
	// by has, for each held unit, the index plus 1 of the log entry that removed its file. It is
	// nil if that is all for every unit.
	by  *[blockUnits]uint32
	all uint32
}

// heldBy returns 1 plus the index of the entry that holds unit i of the block.
func (h *heldUnits) heldBy(i int) uint32 {
	if h.by == nil {
		return h.all
	}
	return h.by[i]
}

// spread prepares h for units that are held by different entries.
func (h *heldUnits) spread() {
	if h.by == nil {
		h.by = new([blockUnits]uint32)
		for i := range h.by {
			h.by[i] = h.all
		}
	}
}

// hold ends the ownership of runs, which one file owns. They are held by log entry by until
// unhold, or until another entry owns them.
func (a *allocator) hold(runs []unitRun, by int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	holder := uint32(by + 1)
	for _, r := range runs {
		a.change(r,
			func(i int64) {
				b := a.block(i)
				a.held += blockUnits
				b.owned, b.used = nil, &a.all
				b.held = &heldUnits{units: &a.all, all: holder}
				a.countOwned(i, -blockUnits)
			},
			func(i int64, w int, mask uint64) {
				b := a.block(i)
				a.remove(&b.owned, w, mask)
				a.add(&b.used, w, mask)
				a.holdWord(i, w, mask, holder)
				a.countOwned(i, -int64(bits.OnesCount64(mask)))
			})
	}
}

// holdAlso holds those units of r that no file owns, and notes that all of them were used.
func (a *allocator) holdAlso(r unitRun, by int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	holder := uint32(by + 1)
	a.eachWord(r, func(i int64, w int, mask uint64) bool {
		b := a.block(i)
		a.add(&b.used, w, mask)
		a.holdWord(i, w, mask&^b.isOwned(w), holder)
		return true
	})
}

// holdWord makes holder the holder of the units in mask, which nobody owns.
func (a *allocator) holdWord(i int64, w int, mask uint64, holder uint32) {
	b := a.block(i)
	if b.held == nil {
		b.held = &heldUnits{}
	}
	b.held.spread()
	before := uint64(0)
	if b.held.units != nil {
		before = b.held.units[w]
	}
	a.held += int64(bits.OnesCount64(mask &^ before))
	a.add(&b.held.units, w, mask)
	for bit := mask; bit != 0; bit &= bit - 1 {
		b.held.by[w*64+bits.TrailingZeros64(bit)] = holder
	}
}

// unhold frees those units of r that log entry by holds.
func (a *allocator) unhold(r unitRun, by int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	holder := uint32(by + 1)
	a.change(r,
		func(i int64) {
			b := a.blocks[i]
			switch {
			case b == nil || b.held == nil:
			case b.held.units == &a.all && b.held.by == nil:
				if b.held.all == holder {
					a.dropHeld(a.block(i), blockUnits)
				}
			default:
				for w := range blockWords {
					a.unholdWord(i, w, ^uint64(0), holder)
				}
			}
		},
		func(i int64, w int, mask uint64) { a.unholdWord(i, w, mask, holder) })
}

// unholdWord frees those of the units in mask that holder holds. A holder of 0 is any.
func (a *allocator) unholdWord(i int64, w int, mask uint64, holder uint32) {
	b := a.blocks[i]
	if b == nil || b.held == nil || b.held.units == nil {
		return
	}
	mask &= b.held.units[w]
	if holder != 0 {
		for bit := mask; bit != 0; bit &= bit - 1 {
			if at := bits.TrailingZeros64(bit); b.held.heldBy(w*64+at) != holder {
				mask &^= 1 << at
			}
		}
	}
	if mask == 0 {
		return
	}
	a.touch(i)
	a.held -= int64(bits.OnesCount64(mask))
	a.remove(&b.held.units, w, mask)
}

// dropHeld notes that nothing of b is held any more; n units were.
func (a *allocator) dropHeld(b *block, n int64) {
	a.held -= n
	b.held = nil
}

// heldIn returns how many units of block b are held.
func (b *block) heldIn() (n int64) {
	if b.held == nil || b.held.units == nil {
		return 0
	}
	for _, w := range b.held.units {
		n += int64(bits.OnesCount64(w))
	}
	return n
}

// heldBy returns how many units of r log entry by holds.
func (a *allocator) heldBy(r unitRun, by int64) (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	holder := uint32(by + 1)
	a.change(r,
		func(i int64) { n += a.blocks[i].heldAmong(0, blockUnits, holder) },
		func(i int64, w int, mask uint64) {
			from := bits.TrailingZeros64(mask)
			n += a.blocks[i].heldAmong(w*64+from, bits.OnesCount64(mask), holder)
		})
	return n
}

// heldAmong returns how many of n units of b, from unit from on, holder holds.
func (b *block) heldAmong(from, n int, holder uint32) (held int64) {
	if b == nil || b.held == nil || b.held.units == nil {
		return 0
	}
	for i := from; i < from+n; i++ {
		if b.held.units[i/64]>>uint(i%64)&1 == 1 && b.held.heldBy(i) == holder {
			held++
		}
	}
	return held
}

// heldSpace returns how many units are held.
func (a *allocator) heldSpace() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// wereUsed reports whether a removed file had any unit of runs, which must be on the device.
func (a *allocator) wereUsed(runs []unitRun) (used bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range runs {
		if !a.holds(r) {
			continue
		}
		for at := r.start; at < r.end() && !used; {
			b := a.blocks[at/blockUnits]
			if b == nil || b.used == nil {
				at = (at/blockUnits + 1) * blockUnits
				continue
			}
			_, w, mask := a.word(at, r.end())
			used = b.used[w]&mask != 0
			at = (at/64 + 1) * 64
		}
	}
	return used
}
