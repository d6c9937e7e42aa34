package famfs

// Appending to the log, in the order that makes entries appear whole or not at all for
// every reader on every host: all of those that are appended at once, or none. The caller
// holds the writers' lock of the device.
//
// Every append looks before it stores: at the superblock, as the device may have been
// formatted anew, and at the log's header, as an append that failed half way, or another
// process, may have left entries that this replica does not know. So no entry that
// anybody can have seen is ever overwritten.
//
// How the log is read is log_replay.go's concern, and what an entry means replica.go's.

import (
	"errors"
	"fmt"
)

// append makes entries the next ones of the log, applies them, and returns the index of the
// first, or -1 if there are none. prepare is called when the log has been replayed to its
// end, and says how many they are, at r.next. fill gives each its content, and must give the
// same when it is asked again.
//
// An error with an index of -1 means that nobody can see the entries: trying again is as
// good as the first try. With another index they are in the log and were applied, but may
// be lost if the host fails. Where the memory faults, which is a panic, or another panic
// passes through, either may be true: inLog says so once the log has been replayed.
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
	// They are there for everybody. What was stored is applied, not what could be read back.
	if passedOver := r.applyAppended(index, n, fill); passedOver != nil {
		err = passedOver
	}
	return int64(index), err
}

// encode makes r.record the entry of this index that fill gives as number i.
func (r *replica) encode(index uint64, i int, fill func(i int, e *entry)) {
	r.appending = entry{}
	fill(i, &r.appending)
	r.appending.seq = index
	r.record = r.appending.encode()
}

var (
	// errUncertain: an entry is in the log, but it may be lost.
	errUncertain = errors.New("may be lost if the host fails")
	// errPassedOver: an entry is in the log, but it is unacceptable beside what is there.
	errPassedOver = errors.New("is written, but was passed over (see Problems)")
)

// announce stores the counters that say that there are next entries, which are all written
// back. Until it succeeds the replica is uncertain.
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

// makeCertain stores the counters again if an append of this replica could not write them
// back: all that is in the log is then sure to be there, also after the host has failed.
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

// inLog says whether n entries of the log from index on are just what fill gives, as after
// an append that failed half way. All of them count: another append may have begun with the
// same entry.
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

// confirm stores n entries that are in the log from index on again, and the counters that
// announce them. A disk that failed to write a page takes it for written afterwards, unless
// it is stored to.
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

// applyAppended applies n entries from index on, the next ones, as fill gives them.
func (r *replica) applyAppended(index uint64, n int, fill func(i int, e *entry)) (err error) {
	var e entry
	for done := 0; done < n; {
		first := index + uint64(done)
		end := min(index+uint64(n), (first|(slabNodes-1))+1)
		d := &decoded{first: first, end: end, slab: r.ns.slab(int64(first >> slabBits))}
		if d.slab == nil {
			d.slab = newSlab()
		}
		d.slab.begin(r.single.text)
		for at := first; at < end; at++ {
			if n > 1 { // otherwise it is there still
				r.encode(at, done, fill)
			}
			r.single.stage(d, at, &r.record, &e)
			done++
		}
		r.apply(d, end)
		for at := first; at < end && err == nil; at++ {
			if n := r.ns.node(int64(at)); n.gone() && !n.isRemoval() {
				err = fmt.Errorf("log entry %d: %w: %w", at, errPassedOver, ErrCorrupt)
			}
		}
	}
	r.show()
	return err
}

// repairSequence makes the log's sequence number equal to its index again: a crash
// between two stores, or a writer that stores them apart, can leave it behind or ahead.
// This package goes by the index alone, but the reference stamps its next entry with the
// sequence number, and would make one that nobody accepts.
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
