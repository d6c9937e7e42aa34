package famfs

// The protocol of the pins unit: how a process says that it may still reach the memory of
// removed files, and how the master finds out that nobody does.
//
// A process has a slot, with a pin in it. Pin p promises: through it, nobody reaches memory of
// a file that an entry before p has removed. The master gives out what entry d removed once every
// slot in use, of every admitted host, pins at least d+1.
//
// Nothing here is atomic between hosts. Instead, both sides store, write back, fence, and only
// then look at what the other stores. The process stores its slot and then loads the log's
// header; the master has a removal in the log, counters and all, and then loads the slots. So
// either the master sees the slot, or the process sees the removal.
//
// Which processes live is known by locks, which are pins_slot.go's concern, like mappings. The
// simulations run this file on simulated caches: sim_pins_test.go.

import (
	"errors"
	"fmt"
	"math"
)

// pinsAt is where the pins unit of the replica's file system begins.
func (r *replica) pinsAt() int64 { return r.sb.logEnd() }

// mayPin returns an error if this host must not store to its slots: the device was formatted
// anew, or the host is not admitted (any more).
func (r *replica) mayPin(place int) error {
	at := r.pinsAt() + hostStateAt(place)
	r.meta.invalidate(0, superblockLine)
	r.meta.invalidate(at, 8)
	r.meta.fenceLoads()
	if err := r.loadIdentity(); err != nil {
		return err
	}
	return hostError(r.meta.load64(at))
}

// loadIdentity returns an error if the first line of the superblock, as it is in the caches, is
// not that of this file system.
func (r *replica) loadIdentity() error {
	var line [superblockLine]byte
	if r.meta.load(line[:], 0); line == r.opened {
		return nil
	}
	sb, err := readSuperblock(r.meta, r.geo.size)
	for try := 0; err != nil && !errors.Is(err, ErrNotFormatted) && try < len(settleTimes); try++ {
		r.pause(settleTimes[try]) // it may be getting a feature just now
		sb, err = readSuperblock(r.meta, r.geo.size)
	}
	switch {
	case errors.Is(err, ErrNotFormatted):
		return fmt.Errorf("superblock: found none, want that of file system %s: %w", r.sb.UUID, ErrReformatted)
	case err != nil:
		return err
	case sb.UUID != r.sb.UUID || sb.LogSize != r.sb.LogSize || !sb.reuses():
		return fmt.Errorf("superblock: found file system %s, want %s: %w", sb.UUID, r.sb.UUID, ErrReformatted)
	}
	return nil // it has got a feature
}

// hostError says what a host in this state may not do.
func hostError(state uint64) error {
	switch state {
	case hostAdmitted:
		return nil
	case hostEvicted:
		return ErrEvicted
	}
	return ErrNotAdmitted
}

// ownSlot is the slot of this process.
type ownSlot struct {
	r     *replica
	place int
	// m is where the slot is written, and off where it is in m.
	m    sharedMemory
	off  int64
	word uint64 // what was stored
}

// take takes the slot, whose lock this process has, for owner. It pins everything until the log
// was replayed to its end with catchUp.
func (s *ownSlot) take(owner slotOwner, flags uint64, deviceSize int64, catchUp func() error) error {
	if err := s.r.mayPin(s.place); err != nil {
		return err
	}
	slot := pinSlot{owner: owner, flags: flags}
	b := slot.encode()
	s.m.store(s.off, b[:])
	if err := flushAndFence(s.m, s.off, slotSize); err != nil {
		return err
	}
	if err := s.put(1); err != nil {
		return err
	}
	// What is loaded from here on is loaded after the slot is in memory.
	err := s.r.mayPin(s.place)
	if err == nil {
		err = s.r.notClosing(deviceSize)
	}
	if err == nil {
		err = catchUp()
	}
	if err != nil {
		return errors.Join(err, s.free())
	}
	return nil
}

// notClosing returns an error if somebody is about to compact the log, and looks for slots.
func (r *replica) notClosing(deviceSize int64) error {
	records := readRecords(r.meta, deviceSize)
	if latest := records.latest(); latest >= 0 {
		if c := &records.at[latest]; c.state == recordClosing && c.uuid == r.sb.UUID {
			return errClosing
		}
	}
	return nil
}

// errClosing: a compaction waits for everybody to close.
var errClosing = fmt.Errorf("its log is about to be compacted, or that was interrupted: nothing can be mapped until that is done, or the master opens it with ReadWrite: %w", ErrBusy)

// put stores a word and makes it certain.
func (s *ownSlot) put(word uint64) error {
	s.m.store64(s.off+slotWordAt, word)
	s.word = word
	return flushAndFence(s.m, s.off, slotSize)
}

// raise sets the pin, which must not become lower, if this host may still do that.
func (s *ownSlot) raise(pin uint64) error {
	if pin+1 <= s.word {
		return nil
	}
	if err := s.r.mayPin(s.place); err != nil {
		return err
	}
	return s.put(1 + pin)
}

// mark sets the flags.
func (s *ownSlot) mark(flags uint64) error {
	if err := s.r.mayPin(s.place); err != nil {
		return err
	}
	s.m.store64(s.off+slotFlagsAt, flags)
	return flushAndFence(s.m, s.off, slotSize)
}

// free gives the slot up. It needs no admission: that nobody is there may be said also by a
// host that was evicted.
func (s *ownSlot) free() error {
	s.word = 0
	s.r.meta.invalidate(0, superblockLine)
	s.r.meta.fenceLoads()
	if err := s.r.loadIdentity(); err != nil {
		return err
	}
	return s.put(0)
}

// lowestPin returns the lowest pin of all slots in use of all admitted hosts. The caller holds
// the writers' lock and has replayed the log to its end.
func (r *replica) lowestPin() (uint64, error) {
	// A writer that died may have left counters in this host's caches which no other host has
	// seen yet. A host that takes a slot must see the removals that this one acts on.
	if err := r.makeCertain(); err != nil {
		return 0, err
	}
	if err := r.meta.flush(logOffset, logHeaderSize); err != nil {
		return 0, err
	}
	r.meta.fenceStores()
	at := r.pinsAt()
	if err := checkPins(r.meta, at, r.sb.UUID); err != nil {
		return 0, err
	}
	hosts := readHosts(r.meta, at)
	for place, state := range hosts.states {
		if state != hostUnknown && state != hostEvicted {
			r.meta.invalidate(at+slotAt(place, 0), hostSlots*slotSize)
		}
	}
	r.meta.fenceLoads()
	lowest := uint64(math.MaxUint64)
	for place, state := range hosts.states {
		if state == hostUnknown || state == hostEvicted {
			continue
		}
		for slot := range hostSlots {
			s := pinSlot{word: r.meta.load64(at + slotAt(place, slot) + slotWordAt)}
			lowest = min(lowest, s.pin(r.next))
		}
	}
	return lowest, nil
}

// reclaim gives out again what nobody can reach any more, and returns how many units that are.
// The caller holds the writers' lock and has replayed the log to its end.
func (r *replica) reclaim() (units int64, err error) {
	if !r.reuses || r.giveFrom == r.next {
		return 0, nil
	}
	lowest, err := r.lowestPin()
	if err != nil {
		return 0, err
	}
	return r.giveBack(min(lowest, r.next)), nil
}

// giveBack frees what entries before end have removed, and returns how many units that are.
func (r *replica) giveBack(end uint64) int64 {
	before := r.space.held()
	for ; r.giveFrom < end; r.giveFrom++ {
		r.eachRemoved(r.giveFrom, func(x *Extent) { r.space.unhold(x, int64(r.giveFrom)) })
	}
	return before - r.space.held()
}

// eachRemoved calls use for the extents of the file that entry index has removed, if it did.
func (r *replica) eachRemoved(index uint64, use func(*Extent)) {
	n := r.ns.node(int64(index))
	if !n.isRemoval() {
		return
	}
	if old := r.ns.node(n.size); !old.isDir() {
		extents := old.place().Extents
		for i := range extents {
			use(&extents[i])
		}
	}
}

// admit makes host one whose slots are waited for, and returns its place. The caller holds the
// writers' lock, and has replayed the log.
func admitHost(m sharedMemory, at int64, host UUID) (place int, err error) {
	hosts := readHosts(m, at)
	if place = hosts.find(host); place < 0 {
		if place = hosts.vacant(host); place < 0 {
			return -1, fmt.Errorf("all %d places for hosts are given away: %w", maxHosts, ErrNoSpace)
		}
		m.store(at+hostUUIDAt(place), host[:])
		if err := flushAndFence(m, at+hostUUIDAt(place), int64(len(host))); err != nil {
			return -1, err
		}
	}
	if hosts.states[place] == hostAdmitted {
		return place, nil
	}
	if used := readSlots(m, at, place); len(used) > 0 {
		return -1, fmt.Errorf("%d of its slots still stand in use, the first by process %d (%s); a process on that host frees those of dead processes when it maps something, and living ones have to close: %w", len(used), used[0].owner.pid, used[0].owner.program, ErrBusy)
	}
	m.store64(at+hostStateAt(place), hostAdmitted)
	return place, flushAndFence(m, at+hostStateAt(place), 8)
}

// evictHost makes the host at place one that is not waited for.
func evictHost(m sharedMemory, at int64, place int) error {
	m.store64(at+hostStateAt(place), hostEvicted)
	return flushAndFence(m, at+hostStateAt(place), 8)
}

// freeDead frees those slots of this host, which is at place, whose processes are dead. try locks
// the lock of a slot and returns how to unlock it, or nil if a living process has it. m is where
// this host's slots are written, and base where the first is. isDead says of a slot whose lock is
// free whether that means that its process is dead. forget throws everything out of the caches
// that the dead process of a slot may have stored to files. Where it cannot, as a device is not here, the slot
// stays in use, for a process of this host that has the device: kept says which and why.
func (r *replica) freeDead(place int, m sharedMemory, base int64, isDead func(*pinSlot) bool, try func(slot int) (func() error, error), forget func(*pinSlot) error) (kept, err error) {
	for _, s := range readSlots(r.meta, r.pinsAt(), place) {
		if !isDead(&s) {
			continue
		}
		unlock, err := try(s.slot)
		if err != nil {
			return kept, err
		}
		if unlock == nil {
			continue
		}
		own := &ownSlot{r: r, place: place, m: m, off: base + int64(s.slot)*slotSize}
		notForgotten, err := r.freeDeadSlot(s, own, isDead, forget)
		kept = errors.Join(kept, notForgotten)
		if err := errors.Join(err, unlock()); err != nil {
			return kept, err
		}
	}
	return kept, nil
}

// freeDeadSlot frees a slot, whose lock the caller has. notForgotten says why forget failed, so that
// the slot stays in use.
func (r *replica) freeDeadSlot(s pinSlot, own *ownSlot, isDead func(*pinSlot) bool, forget func(*pinSlot) error) (notForgotten, err error) {
	var b [slotSize]byte
	own.m.load(b[:], own.off) // it may have changed before it was locked
	if s.decode(b[:]); s.word == 0 || !isDead(&s) {
		return nil, nil
	}
	if s.flags != 0 {
		if err := forget(&s); err != nil {
			return fmt.Errorf("slot %d of process %d, which has died, is not freed: %w", s.slot, s.owner.pid, err), nil
		}
	}
	return nil, own.free()
}
