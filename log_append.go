package famfs

// Appending to the log, in the order that makes an entry appear whole or not at all
// for every reader on every host. The caller holds the writers' lock of the device
// and has replayed the log to its end.

import "fmt"

// append writes e as the next entry, then replays it, so that this host knows of it
// just what the others will. Before the counters are raised a failure changes
// nothing.
func (r *replica) append(e *entry) (int64, error) {
	index := r.next
	if last := lastIndex(r.sb.LogSize); index > last {
		return 0, fmt.Errorf("all %d entries are in use: %w", last+1, ErrLogFull)
	}
	e.seq = index
	record := e.encode()
	r.meta.store(entryAt(index), record[:])
	if err := r.meta.flush(entryAt(index), entrySize); err != nil {
		return 0, err
	}
	r.meta.fenceStores()
	// Both counters share a cache line. The index is the authority, so it goes first:
	// a crash in between leaves a sequence number behind it, which the next append
	// overwrites.
	r.meta.store64(logOffset+nextIndexAt, index+1)
	r.meta.store64(logOffset+nextSeqAt, index+1)
	flushErr := r.meta.flush(logOffset, logHeaderSize)
	r.meta.fenceStores()
	if _, err := r.catchUp(failAtCorrupt, false); err != nil {
		return 0, fmt.Errorf("read back log entry %d: %w", index, err)
	}
	if flushErr != nil {
		return 0, fmt.Errorf("log entry %d is written, but may be lost if the host fails: %w", index, flushErr)
	}
	return int64(index), nil
}
