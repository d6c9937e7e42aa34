package famfs

// Giving memory of removed files out again, on the master (see Reuse): when somebody asks, when
// space is needed, and after removals. Who may still reach what is the concern of pins.go.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Reclaimed says what Reclaim has done.
type Reclaimed struct {
	// Freed is how many bytes of removed files can be used again now. Held is how many still
	// cannot, because slots hold them.
	Freed, Held int64
	// Holders are the slots that hold memory back, those that hold most first.
	Holders []Slot
}

// Reclaim gives out again what nobody can reach any more of the memory of removed files, and says
// what is held back, and by whom. Creating files does the same when there is no free space, and so
// does removing them, so that Reclaim is needed only to know.
//
// It needs ReadWrite. Errors: ErrNotMaster; ErrReadOnly; ErrLocked; ErrReformatted; ErrCorrupt if
// it cannot be known who may reach what; fs.ErrClosed; errors.ErrUnsupported on a file system
// without Reuse.
func (f *FS) Reclaim() (Reclaimed, error) {
	defer f.journal.tell()
	var r Reclaimed
	err := f.asMaster(func() error {
		before := f.replica.space.held()
		if err := f.reclaim(); err != nil {
			return err
		}
		unit := f.sb.AllocUnit
		r.Held = f.replica.space.held() * unit
		r.Freed = before*unit - r.Held
		if r.Held > 0 {
			r.Holders = f.holders()
		}
		return nil
	})
	if err != nil {
		return Reclaimed{}, fmt.Errorf("famfs: reclaim %s: %w", f.dev.info.Path, err)
	}
	return r, nil
}

// reclaim gives out again what can be. f.mu and the writers' lock must be held, and the log must
// have been replayed. f.mu is let go for a while, so what the caller has checked has to be checked
// again.
func (f *FS) reclaim() error {
	f.mu.Unlock()
	err := f.sweepAll()
	f.mu.Lock()
	if err != nil {
		return err
	}
	if _, err := f.catchUp(); err != nil {
		return err
	}
	return Guard(func() error {
		_, err := f.replica.reclaim()
		f.replica.removedUnits.Store(f.replica.space.held())
		return err
	})
}

// sweepAll frees the slots of processes of this host that have died. The writers' lock must be held, and
// the log must have been replayed since.
func (f *FS) sweepAll() error {
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	return Guard(func() error {
		place, err := f.openSlots()
		switch {
		case errors.Is(err, ErrNotAdmitted):
			return nil // it can have no slots
		case err != nil:
			return err
		}
		return f.sweepSlots(place, 0, nil)
	})
}

// allocate allocates space for a file. If there is none, it first gives out again what can be.
// f.mu and the writers' lock must be held, and the log must have been replayed.
func (f *FS) allocate(size int64, interleave *Interleaving, on int) (Layout, []spaceRun, error) {
	layout, runs, err := f.replica.allocate(size, interleave, on)
	if err == nil || !f.pins.on || f.replica.space.held() == 0 {
		return layout, runs, err
	}
	if reclaimErr := f.reclaim(); reclaimErr != nil {
		return layout, runs, errors.Join(err, fmt.Errorf("give out memory of removed files: %w", reclaimErr))
	}
	layout, runs, err = f.replica.allocate(size, interleave, on)
	if held := f.replica.space.held(); err != nil && held > 0 {
		err = fmt.Errorf("%w; %d bytes of removed files are held back, as somebody may still reach them (see Reclaim)", err, held*f.sb.AllocUnit)
	}
	return layout, runs, err
}

// afterRemoval gives out again what b has removed, if nobody can reach it. Errors are told when
// somebody needs the space.
func (f *FS) afterRemoval(b *batch) {
	for i := range b.items {
		if b.items[i].kind == typeRemoval {
			_ = f.raisePin()
			_ = Guard(func() error {
				_, err := f.replica.reclaim()
				f.replica.removedUnits.Store(f.replica.space.held())
				return err
			})
			return
		}
	}
}

// heldBehind returns a function that says how many held units entries from pin on have removed.
// Pins, of which none is above r.next, must be asked about only while the replica does not change.
func (r *replica) heldBehind() func(pin uint64) int64 {
	sums := []int64{0} // what the last entries hold, by how many they are
	return func(pin uint64) int64 {
		behind := r.next - max(pin, r.giveFrom)
		for n := uint64(len(sums)); n <= behind; n++ { // each entry once, however many pins there are
			units, i := sums[n-1], r.next-n
			r.eachRemoved(i, func(x *Extent) { units += r.space.heldBy(x, int64(i)) })
			sums = append(sums, units)
		}
		return sums[behind]
	}
}

// holders returns the slots that hold memory back, those that hold most first.
func (f *FS) holders() (slots []Slot) {
	for _, h := range f.readHosts() {
		if h.State != HostAdmitted {
			continue
		}
		for _, s := range h.Slots {
			if s.Holds > 0 {
				slots = append(slots, s)
			}
		}
	}
	slices.SortStableFunc(slots, func(a, b Slot) int { return cmp.Compare(b.Holds, a.Holds) })
	return slots
}
