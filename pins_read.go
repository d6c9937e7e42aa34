package famfs

// Reading files without a slot (see Reuse): what was copied counts only if the log, looked at
// afterwards, has not removed the file.

import (
	"fmt"
)

// errUnknown: which memory belongs to which file is not known behind a corrupt entry.
func errUnknown(index uint64) error {
	return fmt.Errorf("entry %d is corrupt, and what is removed behind it, whose memory may be another file's, is not known; only names are served: %w", index, ErrCorrupt)
}

// dataKnown returns an error if it is not known which memory belongs to which file.
func (f *FS) dataKnown() error {
	if f.replica.skipped.Load() {
		return fmt.Errorf("some entries are corrupt, and what they removed is not known; on a file system that gives memory out again, only names can be salvaged: %w", ErrCorrupt)
	}
	return nil
}

// stillThere is called after bytes of a file were copied without a slot. It returns an error if
// the memory may have been another file's by then.
func (f *FS) stillThere(index int64, n node) error {
	// First the copying is done, then the log is looked at.
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	m.fenceReads()
	m.invalidate(0, superblockLine)
	m.invalidate(logOffset+nextIndexAt, 8)
	seat := f.pins.seat.Load()
	state := f.replica.pinsAt() + hostStateAt(int(max(seat, 1)-1))
	if seat > 0 {
		m.invalidate(state, 8)
	}
	m.fenceReads()
	if seat > 0 && m.load64(state) == hostEvicted {
		if err := f.stillAdmitted(); err != nil {
			return err
		}
	}
	next := m.load64(logOffset + nextIndexAt)
	if f.replica.loadIdentity() != nil || next != uint64(f.replica.ns.end()) {
		f.mu.Lock()
		err := f.stillKnown(next)
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return f.notRemoved(index, n)
}

// stillKnown replays what is new, all of it. f.mu must be held.
func (f *FS) stillKnown(next uint64) error {
	if f.config.salvage {
		return fmt.Errorf("log header: found next index %d after %d entries were salvaged: the file may have been removed since; open it again: %w", next, f.replica.next, ErrCorrupt)
	}
	if err := f.sameDevice(); err != nil {
		return err
	}
	return f.notice(Guard(f.catchUpKnown))
}

// notRemoved returns ErrRemoved if the file of entry index is known to be removed.
func (f *FS) notRemoved(index int64, n node) error {
	if n.slab.removedBefore(index, f.replica.ns.end()) {
		return ErrRemoved
	}
	return nil
}

// mayRead is called before bytes of a file are copied without a slot.
func (f *FS) mayRead(index int64, n node) error {
	if f.pins.evicted.Load() {
		return ErrEvicted
	}
	if err := f.dataKnown(); err != nil {
		return err
	}
	return f.notRemoved(index, n)
}
