package famfs

// Appending to the log, in the order that makes an entry appear whole or not at all
// for every reader on every host. The caller holds the writers' lock of the device.
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
	"io/fs"
)

// append makes e the next entry of the log, applies it, and returns its index. If an
// entry with just this content is in the log already, as after an append that failed half
// way, that is made certain instead.
//
// An error with an index of -1 means that nobody can see the entry: trying again is as
// good as the first try. With another index the entry is in the log and was applied, but
// may be lost if the host fails. Where the memory faults, which is a panic, or another
// panic passes through, either may be true, and the next append finds out.
func (r *replica) append(e *entry) (int64, error) {
	if _, err := r.catchUp(failAtCorrupt, false); err != nil {
		return -1, err
	}
	if index, ok := r.ns.lookup(string(e.path)); ok {
		return r.appended(e, index)
	}
	index := r.next
	if last := lastIndex(r.sb.LogSize); index > last {
		return -1, fmt.Errorf("all %d entries are in use: %w", last+1, ErrLogFull)
	}
	e.seq = index
	r.record = e.encode()
	err := r.publish(index, index+1)
	if err != nil && !errors.Is(err, errUncertain) {
		return -1, err
	}
	// It is there for everybody. What was stored is applied, not what could be read back.
	r.applyRecord(index)
	if r.ns.node(int64(index)).gone() {
		err = fmt.Errorf("log entry %d: %w: %w", index, errPassedOver, ErrCorrupt)
	}
	return int64(index), err
}

var (
	// errUncertain: an entry is in the log, but it may be lost.
	errUncertain = errors.New("may be lost if the host fails")
	// errPassedOver: an entry is in the log, but it is unacceptable beside what is there.
	errPassedOver = errors.New("is written, but was passed over (see Problems)")
)

// publish stores r.record as entry index, and then the counters that say that there are
// next entries. An error that is not errUncertain means that the counters are as they were.
func (r *replica) publish(index, next uint64) error {
	r.meta.store(entryAt(index), r.record[:])
	if err := r.meta.flush(entryAt(index), entrySize); err != nil {
		return fmt.Errorf("log entry %d: %w", index, err)
	}
	r.meta.fenceStores()
	if err := r.announce(next); err != nil {
		return fmt.Errorf("log entry %d %w", index, err)
	}
	return nil
}

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

// appended makes entry index certain if it is e; its path is the same. A disk that failed
// to write a page takes it for written afterwards, unless it is stored to again.
func (r *replica) appended(e *entry, index int64) (int64, error) {
	if index < 0 {
		return -1, fs.ErrExist
	}
	at := uint64(index)
	e.seq = at
	want := e.encode()
	r.meta.invalidate(entryAt(at), entrySize)
	r.meta.fenceLoads()
	if r.meta.load(r.record[:], entryAt(at)); r.record != want {
		return -1, fmt.Errorf("is there since log entry %d: %w", index, fs.ErrExist)
	}
	if err := r.publish(at, r.next); err != nil {
		return index, err
	}
	return index, nil
}

// applyRecord applies r.record, which is entry index, the next one.
func (r *replica) applyRecord(index uint64) {
	d := &decoded{first: index, end: index + 1, slab: r.ns.slab(int64(index >> slabBits))}
	if d.slab == nil {
		d.slab = newSlab()
	}
	d.slab.begin(r.single.text)
	var e entry
	r.single.stage(d, index, &r.record, &e)
	r.apply(d, d.end)
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
