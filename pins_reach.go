package famfs

// What is done with files while this host has a slot (see Reuse): Map and View begin and end here,
// and so does writing; and how far the slot's pin may rise meanwhile. Having a slot is
// pins_slot.go's concern.

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
)

// viewers counts who uses files that they have looked up, in the order of two epochs. So the pin
// can rise while there are always some: it is enough that those of the epoch before are gone.
// Nobody waits.
type viewers struct {
	epoch atomic.Uint32
	count [2]atomic.Int64
}

// enter begins a use. A name that is looked up afterwards is looked up after the epoch began.
func (v *viewers) enter() (epoch uint32) {
	for {
		epoch = v.epoch.Load()
		v.count[epoch&1].Add(1)
		if v.epoch.Load() == epoch {
			return epoch
		}
		v.count[epoch&1].Add(-1)
	}
}

func (v *viewers) leave(epoch uint32) { v.count[epoch&1].Add(-1) }

// next begins a new epoch.
func (v *viewers) next() { v.epoch.Add(1) }

// drained reports whether all uses that began before this epoch have ended.
func (v *viewers) drained() bool { return v.count[(v.epoch.Load()-1)&1].Load() == 0 }

// reach begins to use files by name, until f.pins.viewers.leave. It takes a slot if this FS has
// none yet, and fails if this host may not have one, or was evicted.
func (f *FS) reach() (epoch uint32, err error) {
	if !f.pins.on {
		return 0, nil
	}
	if err := f.dataKnown(); err != nil {
		return 0, err
	}
	if f.pins.seat.Load() == 0 {
		if err := f.takeSlot(0); err != nil {
			return 0, err
		}
	}
	epoch = f.pins.viewers.enter()
	if err := f.stillAdmitted(); err != nil {
		f.pins.viewers.leave(epoch)
		return 0, err
	}
	return epoch, nil
}

// leave ends what reach began.
func (f *FS) leave(epoch uint32) {
	if f.pins.on {
		f.pins.viewers.leave(epoch)
	}
}

// raisePin raises the pin as far as what is mapped or being used allows it. If another goroutine
// is doing that, or takes the slot, it is left to the next call.
func (f *FS) raisePin() error {
	p := &f.pins
	if p.seat.Load() == 0 || !p.mu.TryLock() {
		return nil
	}
	defer p.mu.Unlock()
	if p.slot == nil {
		return nil
	}
	end := uint64(f.replica.ns.end())
	for range 2 {
		if p.draining && !p.viewers.drained() {
			break
		}
		p.draining = false
		if p.target >= end {
			break
		}
		// From now on nobody finds what was removed before end. Those who looked for it before
		// are in the epoch that ends.
		p.target, p.draining = end, true
		p.viewers.next()
	}
	if p.draining {
		return nil
	}
	pin := min(p.target, f.lowestMapped())
	err := f.notice(Guard(func() error { return p.slot.raise(pin) }))
	if errors.Is(err, ErrEvicted) {
		f.revokeLocked()
	}
	return err
}

// lowestMapped returns the first entry that removed a file which is mapped, or a number above all.
func (f *FS) lowestMapped() uint64 {
	lowest := uint64(math.MaxUint64)
	f.regions.each(func(index int64) {
		if by, ok := f.replica.ns.node(index).slab.removedBy(index); ok {
			lowest = min(lowest, uint64(by))
		}
	})
	return lowest
}

// beginWrites is called before a file is mapped for writing, and endWrites after it is unmapped.
// In between, the slot says so.
func (f *FS) beginWrites() error {
	if !f.pins.on {
		return nil
	}
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	if f.pins.slot == nil {
		return ErrEvicted // reach has taken it
	}
	if err := f.markSlot(f.pins.flags | slotWrites); err != nil {
		return err
	}
	f.pins.writers++
	return nil
}

func (f *FS) endWrites() error {
	if !f.pins.on {
		return nil
	}
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	if f.pins.writers--; f.pins.writers > 0 || f.pins.slot == nil {
		return nil
	}
	return f.markSlot(f.pins.flags &^ slotWrites)
}

// lockWriters takes the writers' lock, or shares it, until unlockWriters. On devices whose memory
// other hosts share, the slot says so meanwhile: a process that dies may leave lines of files that
// were never logged in this host's caches. Before anything is given out, they are thrown out.
func (f *FS) lockWriters(ctx context.Context) error {
	if err := f.lock.acquire(ctx, f.config.lockTimeout); err != nil {
		return err
	}
	if err := f.beginCreates(); err != nil {
		return errors.Join(err, f.lock.release())
	}
	return nil
}

func (f *FS) unlockWriters() error { return errors.Join(f.endCreates(), f.lock.release()) }

func (f *FS) beginCreates() error {
	if !f.pins.on || !f.dev.shared {
		return nil
	}
	shared, err := f.shareSlot()
	if shared {
		return nil
	}
	if err == nil {
		err = f.takeSlot(slotCreates)
	}
	if err != nil {
		err = errors.Join(err, f.endCreates())
	}
	return err
}

// shareSlot counts one who creates, and reports whether the slot says already that somebody does. If not,
// it frees the slots of those that have died while they did.
func (f *FS) shareSlot() (shared bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	// That others share the lock is not enough: they may be taking the slot just now, or fail to.
	f.pins.creators++
	if f.pins.slot != nil && f.pins.flags&slotCreates != 0 {
		return true, nil
	}
	return false, Guard(func() error {
		place, err := f.openSlots()
		if err != nil {
			return err
		}
		return f.sweepSlots(place, slotCreates, f.catchUpKnown)
	})
}

func (f *FS) endCreates() error {
	if !f.pins.on || !f.dev.shared {
		return nil
	}
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	if f.pins.creators--; f.pins.creators > 0 || f.pins.slot == nil {
		return nil
	}
	return f.markSlot(f.pins.flags &^ slotCreates)
}
