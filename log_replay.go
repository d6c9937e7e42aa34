package famfs

// Following the log: its header, and the order in which blocks of entries are read, on
// all processors, and applied. Memory that another host wrote may arrive late: what does
// not add up is read again before it is called corrupt. How a block is read is log_decode.go's
// concern, who finishes it and when log_order.go's, what entries mean replica.go's.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
)

// onCorrupt says what a replay does about corrupt entries.
type onCorrupt uint8

const (
	failAtCorrupt onCorrupt = iota // return an error, having applied nothing
	stopAtCorrupt                  // serve what comes before
	skipCorrupt                    // read past it
)

// look loads the log's header and checks it, and that the superblock is the one that was
// opened: ErrReformatted if it is not. Both are loaded after one fence. That is not the
// same moment: who finds a header that is not as it was must see afterwards that the file
// system is the same (sameFileSystem), before it is believed.
func (r *replica) look() (logHeader, error) {
	for try := 0; ; try++ {
		r.meta.invalidate(0, superblockLine)
		r.meta.invalidate(logOffset, logHeaderSize)
		r.meta.fenceLoads()
		h, err := r.loadLogHeader()
		r.meta.load(r.line[:], 0)
		if r.line != r.identity {
			switch other := r.sameFileSystem(); {
			case errors.Is(other, ErrReformatted):
				return logHeader{}, other
			case other != nil:
				err = other
			case err == nil:
				err = fmt.Errorf("superblock: changes while it is read: %w", ErrCorrupt)
			}
		}
		if err == nil || try == len(settleTimes) {
			return h, err
		}
		r.settle(try)
	}
}

// readLogHeader loads and checks the header alone, for a superblock that is not to be
// believed.
func (r *replica) readLogHeader() (logHeader, error) {
	for try := 0; ; try++ {
		r.meta.invalidate(logOffset, logHeaderSize)
		r.meta.fenceLoads()
		h, err := r.loadLogHeader()
		if err == nil || try == len(settleTimes) {
			return h, err
		}
		r.settle(try)
	}
}

// loadLogHeader loads and checks the header as this host's caches have it.
func (r *replica) loadLogHeader() (logHeader, error) {
	var b [logHeaderSize]byte
	for at := 0; at < len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], r.meta.load64(logOffset+int64(at)))
	}
	h, err := decodeLogHeader(&b, r.sb.LogSize)
	switch {
	case err != nil:
	case h.next < r.next:
		err = fmt.Errorf("log header: found next index %d after %d entries were replayed: %w", h.next, r.next, ErrCorrupt)
	case h.next > math.MaxUint32-1:
		err = fmt.Errorf("log header: %d entries, more than this package can hold: %w", h.next, ErrCorrupt)
	}
	return h, err
}

// catchUp replays all that is in the log and was not replayed yet, and returns how
// many entries that was. Where it fails the replica is as it was, unless it is a
// new one (fresh), which is then not to be used.
func (r *replica) catchUp(policy onCorrupt, fresh bool) (int, error) {
	r.settled.Store(0)
	h, err := r.look()
	if err != nil {
		return 0, err
	}
	if r.header = h; h.next == r.next {
		r.bad = nil
		r.setUnread(nil, r.next, r.next)
		return 0, nil
	}
	if stuck, err := r.stillCorrupt(h.next, policy); stuck || err != nil {
		return 0, err
	}
	before := r.next
	err = r.replay(h.next, policy, fresh)
	return int(r.next - before), err
}

// sameFileSystem fails with ErrReformatted if the superblock is no longer the one that
// was opened.
func (r *replica) sameFileSystem() error {
	sb, err := readSuperblock(r.meta, r.geo.size)
	switch {
	case errors.Is(err, ErrNotFormatted):
		// Format and Wipe take the magic away first, whole, and then the rest.
		var line [superblockLine]byte
		r.meta.load(line[:], 0)
		if magic := binary.LittleEndian.Uint64(line[magicAt:]); magic != 0 && string(line[versionAt:]) == string(r.identity[versionAt:]) {
			return fmt.Errorf("superblock: found magic %#x, want %#x, and all else as it was: %w", magic, uint64(superblockMagic), ErrCorrupt)
		}
		return fmt.Errorf("superblock: found none, want that of file system %s: %w", r.sb.UUID, ErrReformatted)
	case err != nil:
		return err
	case sb.UUID != r.sb.UUID || sb.LogSize != r.sb.LogSize || sb.AllocUnit != r.sb.AllocUnit || sb.SystemUUID != r.sb.SystemUUID:
		return fmt.Errorf("superblock: found file system %s, want %s: %w", sb.UUID, r.sb.UUID, ErrReformatted)
	}
	return nil
}

// stillCorrupt reports whether the corrupt entry at which the last replay ended is what it
// was, so that reading all of the log again would come to the same end. What was logged
// behind it is listed, if the replay is tolerant.
func (r *replica) stillCorrupt(end uint64, policy onCorrupt) (bool, error) {
	bad := r.bad
	if bad == nil || bad.index >= end || policy == skipCorrupt || policy == stopAtCorrupt && bad.index != r.next {
		return false, nil
	}
	at := entryAt(bad.index)
	r.meta.invalidate(at, entrySize)
	r.meta.fenceLoads()
	var b [entrySize]byte
	if r.meta.load(b[:], at); b != bad.record {
		return false, nil
	}
	if err := r.sameFileSystem(); err != nil {
		return false, err
	}
	if policy == failAtCorrupt {
		return true, ofEntry(bad.index, bad.err)
	}
	list := r.listed.Load()
	if list.end >= end {
		return list.end == end, nil
	}
	unread, err := r.readUnread(list.unread, list.end, end)
	if err == nil {
		r.setUnread(unread, bad.index, end)
	}
	return true, err
}

// replay replays entries up to end.
func (r *replica) replay(end uint64, policy onCorrupt, fresh bool) error {
	r.ns.unseen = fresh
	defer func() { r.ns.unseen = false }()
	var kept []*decoded // what is to be applied only once all of it is known to be sound
	r.bad = nil
	finish := func(d *decoded) (bool, error) {
		if policy != skipCorrupt && d.err == nil {
			// A log that grew may be another one: the device could have been formatted
			// and filled again, also while these entries were read. Format takes the old
			// superblock away before it touches the log.
			d.err = r.sameFileSystem()
		}
		switch {
		case d.err != nil:
			return false, d.err
		case policy == skipCorrupt:
			for _, c := range d.corrupt {
				// It is passed over without claiming anything, as its bytes mean nothing.
				d.odd = insertOdd(d.odd, oddEntry{index: c.index, err: c.err})
			}
		case d.bad != nil:
			r.bad = d.bad
			if policy == failAtCorrupt {
				return false, ofEntry(d.bad.index, d.bad.err)
			}
			d.end = d.bad.index
		}
		switch {
		case d.first == d.end:
		case fresh:
			r.apply(d, d.end)
		default:
			kept = append(kept, d)
		}
		return r.bad == nil, nil
	}
	r.ns.reserve(int(min(end-r.next, 1<<20)))
	if err := r.decodeBlocks(end, finish); err != nil {
		return err
	}
	var unread []Problem
	from := end
	if r.bad != nil {
		from = r.bad.index
		var err error
		if unread, err = r.readUnread(nil, from, end); err != nil {
			r.bad = nil
			return err
		}
	}
	// From here on nothing fails: the log was read, and is applied as a whole.
	for _, d := range kept {
		r.apply(d, d.end)
	}
	r.show()
	r.setUnread(unread, from, end)
	if r.bad != nil {
		r.log.Warn("log is corrupt: entries from here on are not served", "index", from, "entries", end-from, "err", unread[0].Err)
	}
	return nil
}

// decodeBlocks decodes all entries from r.next to end and hands the blocks to finish
// in order, until it returns false or an error.
func (r *replica) decodeBlocks(end uint64, finish func(*decoded) (bool, error)) error {
	const ofBlock = 1<<slabBits - 1
	from := r.next
	if from >= end {
		return nil
	}
	begin := from &^ ofBlock
	blocks := (end - begin + ofBlock) >> slabBits
	half := r.ns.slab(int64(begin >> slabBits)) // begun in an earlier replay
	if blocks == 1 {
		d := &decoded{first: from, end: end, slab: half}
		r.single.decodeGuarded(d)
		_, err := finish(d)
		return err
	}
	var claimed atomic.Uint64
	slabs := &slabSupply{wanted: int(blocks)}
	line := newInTurn(finish)
	work := func(w *decoder) {
		for more := true; more; {
			block := claimed.Add(1) - 1
			if block >= blocks {
				return
			}
			first := begin + block<<slabBits
			d := &decoded{first: max(first, from), end: min(first+ofBlock+1, end)}
			if block == 0 {
				d.slab = half
			}
			if d.slab == nil {
				d.slab = slabs.take(w.text)
			}
			w.decodeGuarded(d)
			more = line.hand(block, d)
		}
	}
	workers := crew{stop: line.end}
	for range min(uint64(runtime.GOMAXPROCS(0)), maxWorkers, blocks) - 1 {
		workers.start(func() { work(r.newDecoder()) })
	}
	workers.lead(func() { work(r.single) })
	return line.err
}

// readUnread adds to unread the problems of entries from to end, which are not served
// because r.bad is corrupt. What readers have of unread does not change.
func (r *replica) readUnread(unread []Problem, from, end uint64) ([]Problem, error) {
	tail := unservedBehind(r.bad.index)
	err := Guard(func() error {
		var b [entrySize]byte
		var e entry
		for index := from; index < end && len(unread) <= maxProblems; index++ {
			if len(unread) == maxProblems {
				unread = append(unread, Problem{Index: int(index), Err: fmt.Errorf("log entry %d and all behind it: %w", index, tail)})
				return nil
			}
			if index == r.bad.index {
				unread = append(unread, Problem{Index: int(index), Err: ofEntry(index, r.bad.err)})
				continue
			}
			r.meta.invalidate(entryAt(index), entrySize)
			r.meta.fenceLoads()
			r.meta.load(b[:], entryAt(index))
			p, err := Problem{Index: int(index)}, checkEntry(&b, index)
			if err == nil {
				e.decode(&b)
				p.Path, err = string(e.path), tail
			}
			p.Err = ofEntry(index, err)
			unread = append(unread, p)
		}
		return nil
	})
	return unread, err
}

// unservedBehind says why entries behind that of index bad are not served.
func unservedBehind(bad uint64) error {
	return fmt.Errorf("not served, because an entry before it is corrupt: entry %d: %w", bad, ErrCorrupt)
}

// setUnread lets readers have the problems of entries from to end, which are not served.
func (r *replica) setUnread(unread []Problem, from, end uint64) {
	before := r.listed.Load()
	if unread == nil && before.unread == nil {
		return
	}
	list := *before
	list.unread, list.from, list.end = unread, from, end
	r.listed.Store(&list)
}
