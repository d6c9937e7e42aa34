package famfs

// Appending to the log, with stores in an order that makes the entries appear whole or not at
// all for every reader on every host: all entries of one append, or none. The caller holds the
// writers' lock of the device.
//
// Every append first reads the superblock, because the device may have been formatted anew, and
// the log's header, because an append that failed half way, or another process, may have left
// entries that this replica does not know. So no entry that anybody may have seen is ever
// overwritten.
//
// Reading the log is log_replay.go's concern; what an entry means is replica.go's.

import (
	"errors"
	"fmt"
)

// append adds entries to the end of the log, applies them, and returns the index of the first,
// or -1 if there are none. It calls prepare when the log has been replayed to its end; prepare
// returns the number of new entries, the first of which gets index r.next. fill sets the content
// of each, and must do it in the same way every time. It may put the path into the room that
// the path of the entry has.
//
// An error with index -1 means that nobody can see the entries, and append can be called again
// as if for the first time. An error with another index means that the entries are in the log
// and were applied, but may be lost if the host fails. If the memory faults, which is a panic,
// or another panic passes through, both are possible: replay the log and call inLog.
func (r *replica) append(prepare func() (n int, err error), fill func(i int, e *entry)) (first int64, err error) {
	if _, err := r.catchUp(failAtCorrupt, false); err != nil {
		return -1, err
	}
	n, err := prepare()
	if n == 0 || err != nil {
		return -1, err
	}
	index := r.next
	if capacity := lastIndex(r.sb.LogSize) + 1; uint64(n) > capacity-index {
		return -1, fmt.Errorf("%d of %d entries are in use, and %d more are wanted: %w", index, capacity, n, ErrLogFull)
	}
	for i := range n {
		r.encode(index+uint64(i), i, fill)
		r.meta.store(entryAt(index+uint64(i)), r.record[:])
	}
	if err := r.meta.flush(entryAt(index), int64(n)*entrySize); err != nil {
		return -1, fmt.Errorf("log entry %d: %w", index, err)
	}
	r.meta.fenceStores()
	if err = r.announce(index + uint64(n)); err != nil {
		err = fmt.Errorf("log entry %d %w", index, err)
	}
	// All hosts can see the entries now. Apply what was stored, not what could be read back.
	if passedOver := r.applyAppended(index, n, fill); passedOver != nil {
		err = passedOver
	}
	return int64(index), err
}

// encode makes r.record the entry of this index, filled by fill as number i.
func (r *replica) encode(index uint64, i int, fill func(i int, e *entry)) {
	r.appending = entry{path: r.appending.path[:0]}
	fill(i, &r.appending)
	r.appending.seq = index
	r.appending.encodeTo(&r.record)
}

var (
	// errUncertain says that an entry is in the log, but may be lost.
	errUncertain = errors.New("may be lost if the host fails")
	// errPassedOver says that an entry is in the log, but conflicts with earlier ones.
	errPassedOver = errors.New("is written, but was passed over (see Problems)")
)

// announce stores the counters, which say that there are next entries. All entries must have been
// written back. The replica is uncertain until announce succeeds.
func (r *replica) announce(next uint64) error {
	r.uncertain.Store(true)
	r.meta.storePair(logOffset+nextSeqAt, next, next)
	err := r.meta.flush(logOffset, logHeaderSize)
	r.meta.fenceStores()
	if err != nil {
		return fmt.Errorf("is written, but %w: %w", errUncertain, err)
	}
	r.uncertain.Store(false)
	return nil
}

// makeCertain stores the counters again if an append of this replica could not write them back.
// After that, all entries of the log are there even if the host fails.
func (r *replica) makeCertain() error {
	if !r.uncertain.Load() {
		return nil
	}
	if _, err := r.catchUp(failAtCorrupt, false); err != nil {
		return err
	}
	if err := r.announce(r.next); err != nil {
		return fmt.Errorf("the log's last entry %w", err)
	}
	return nil
}

// inLog reports whether n entries of the log from index on are exactly what fill gives. It is
// used after an append that failed half way. It compares all n entries, because another append
// may have begun with the same entry.
func (r *replica) inLog(index uint64, n int, fill func(i int, e *entry)) bool {
	if index > r.next || uint64(n) > r.next-index {
		return false
	}
	var b [entrySize]byte
	r.meta.invalidate(entryAt(index), int64(n)*entrySize)
	r.meta.fenceLoads()
	for i := range n {
		r.encode(index+uint64(i), i, fill)
		if r.meta.load(b[:], entryAt(index+uint64(i))); b != r.record {
			return false
		}
	}
	return true
}

// confirm stores n entries, which are in the log from index on, again, and then the counters. If
// a disk failed to write a page, the page counts as written unless something is stored to it.
func (r *replica) confirm(index uint64, n int, fill func(i int, e *entry)) error {
	for i := range n {
		r.encode(index+uint64(i), i, fill)
		r.meta.store(entryAt(index+uint64(i)), r.record[:])
	}
	if err := r.meta.flush(entryAt(index), int64(n)*entrySize); err != nil {
		return fmt.Errorf("log entry %d is written, but %w: %w", index, errUncertain, err)
	}
	r.meta.fenceStores()
	if err := r.announce(r.next); err != nil {
		return fmt.Errorf("log entry %d %w", index, err)
	}
	return nil
}

// applyAppended applies the next n entries, which begin at index, as fill gives them.
func (r *replica) applyAppended(index uint64, n int, fill func(i int, e *entry)) (err error) {
	for done := 0; done < n; {
		first := index + uint64(done)
		end := min(index+uint64(n), (first|(slabNodes-1))+1)
		d := &decoded{first: first, end: end, slab: r.ns.slab(int64(first >> slabBits))}
		if d.slab == nil {
			d.slab = newSlab()
		}
		d.slab.begin(r.single.text)
		for at := first; at < end; at++ {
			if n > 1 { // otherwise r.record has it
				r.encode(at, done, fill)
			}
			r.single.stage(d, at, &r.record, &r.applying)
			done++
		}
		r.apply(d, end)
		for at := first; at < end && err == nil; at++ {
			if n := r.ns.node(int64(at)); n.gone() && !n.isNote() && !d.adds(at) {
				err = fmt.Errorf("log entry %d: %w: %w", at, errPassedOver, ErrCorrupt)
			}
		}
	}
	r.show()
	return err
}

// repairSequence sets the log's sequence number to its index. They can differ after a crash
// between two stores, or because of a writer that stores them separately. This package uses
// only the index, but the reference stamps its next entry with the sequence number, and nobody
// would accept that entry.
func (r *replica) repairSequence() error {
	h, err := r.look()
	if err != nil || h.seq == h.next {
		return err
	}
	r.header = h
	r.log.Info("log header repaired", "sequence", h.seq, "index", h.next)
	r.meta.store64(logOffset+nextSeqAt, h.next)
	err = r.meta.flush(logOffset, logHeaderSize)
	r.meta.fenceStores()
	return err
}
