package famfs

// Following the log: reading its header, and replaying blocks of entries on all processors.
// Memory that another host wrote may arrive late, so an unsound record is read again before it
// is called corrupt. log_decode.go decodes a block, log_order.go decides which goroutine
// finishes it and when, and replica.go applies the entries.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
)

// onCorrupt says what a replay does at corrupt entries.
type onCorrupt uint8

const (
	failAtCorrupt onCorrupt = iota // return an error and apply nothing
	stopAtCorrupt                  // serve the entries before it
	skipCorrupt                    // skip it and go on
)

// look loads the log's header and checks it. It also checks that the superblock is still the one
// that was opened, and returns ErrReformatted if not. Both are loaded after one fence, but not
// at the same moment. So if the header has changed, call sameFileSystem before believing the
// header.
func (r *replica) look() (logHeader, error) {
	for try := 0; ; try++ {
		r.meta.invalidate(0, superblockLine)
		r.meta.invalidate(logOffset, logHeaderSize)
		r.meta.fenceLoads()
		h, err := r.loadLogHeader()
		r.meta.load(r.line[:], 0)
		if r.line != r.identity {
			switch other := r.sameSuperblock(); {
			case errors.Is(other, ErrReformatted):
				return logHeader{}, other
			case other != nil:
				err = other
			case r.line == r.identity: // it has got a feature
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

// readLogHeader loads and checks only the header. It is used if the superblock cannot be
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

// loadLogHeader loads and checks the header as it is in this host's caches.
func (r *replica) loadLogHeader() (logHeader, error) {
	b := &r.headerBytes
	for at := 0; at < len(b); at += 8 {
		binary.LittleEndian.PutUint64(b[at:], r.meta.load64(logOffset+int64(at)))
	}
	h, err := decodeLogHeader(b, r.sb.LogSize)
	switch {
	case err != nil:
	case h.next < r.next:
		err = fmt.Errorf("log header: found next index %d after %d entries were replayed: %w", h.next, r.next, ErrCorrupt)
	case h.next > math.MaxUint32-1:
		err = fmt.Errorf("log header: %d entries, more than this package can hold: %w", h.next, ErrCorrupt)
	}
	return h, err
}

// catchUp replays all entries of the log that were not replayed yet, and returns their number.
// If it fails, the replica is unchanged, unless it is a new one (fresh), which must then not be
// used.
func (r *replica) catchUp(policy onCorrupt, fresh bool) (int, error) {
	r.looks.Add(1)
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

// lookForOther is sameFileSystem, by the first line of the superblock alone where that is as it was.
func (r *replica) lookForOther() error {
	r.meta.invalidate(0, superblockLine)
	r.meta.fenceLoads()
	r.meta.load(r.line[:], 0)
	if r.line == r.identity {
		return nil
	}
	return r.sameFileSystem()
}

// sameFileSystem returns ErrReformatted if the superblock is no longer the one that was opened. One that is
// unsound is read again: it may be getting a feature just now.
func (r *replica) sameFileSystem() error {
	for try := 0; ; try++ {
		err := r.sameSuperblock()
		if err == nil || errors.Is(err, ErrReformatted) || try == len(settleTimes) {
			return err
		}
		r.settle(try)
	}
}

// sameSuperblock is sameFileSystem, and reads it once.
func (r *replica) sameSuperblock() error {
	sb, err := readSuperblock(r.meta, r.geo.size)
	switch {
	case errors.Is(err, ErrNotFormatted):
		// Format and Wipe first clear the whole magic, and then the rest.
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
	case sb.Version&r.sb.Version != r.sb.Version:
		return fmt.Errorf("superblock: found version %#x, want the features of %#x: %w", sb.Version, r.sb.Version, ErrCorrupt)
	case sb.Version != r.sb.Version:
		r.sb.Version = sb.Version
		binary.LittleEndian.PutUint64(r.identity[versionAt:], sb.Version)
	}
	return nil
}

// stillCorrupt reports whether the corrupt entry at which the last replay ended is unchanged, so
// that reading the whole log again would end there again. If the replay is tolerant, it lists
// the entries that were logged behind it.
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

// replay replays the entries up to end.
func (r *replica) replay(end uint64, policy onCorrupt, fresh bool) error {
	r.ns.unseen = fresh
	defer func() { r.ns.unseen = false }()
	var kept []*decoded // applied only after all entries are known to be sound
	r.bad = nil
	finish := func(d *decoded) (bool, error) {
		if policy != skipCorrupt && d.err == nil {
			// A log that has grown may be another log: the device may have been formatted and
			// filled again, even while these entries were read. Format clears the old superblock
			// before it touches the log.
			d.err = r.sameFileSystem()
		}
		switch {
		case d.err != nil:
			return false, d.err
		case policy == skipCorrupt:
			if len(d.corrupt) > 0 {
				r.skipped.Store(true)
			}
			for _, c := range d.corrupt {
				// Pass it over. It claims no space, because its bytes mean nothing.
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
	// From here on nothing can fail: the log was read, and is applied as a whole.
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

// decodeBlocks decodes all entries from r.next to end and gives the blocks to finish in order,
// until finish returns false or an error.
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

// readUnread adds the problems of the entries from from to end to unread. These entries are not
// served, because r.bad is corrupt. It does not change the part of unread that readers have.
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

// unservedBehind returns the error of entries that are not served because entry bad is corrupt.
func unservedBehind(bad uint64) error {
	return fmt.Errorf("not served, because an entry before it is corrupt: entry %d: %w", bad, ErrCorrupt)
}

// setUnread gives readers the problems of the entries from from to end, which are not served.
func (r *replica) setUnread(unread []Problem, from, end uint64) {
	before := r.listed.Load()
	if unread == nil && before.unread == nil {
		return
	}
	list := *before
	list.unread, list.from, list.end = unread, from, end
	r.listed.Store(&list)
}
