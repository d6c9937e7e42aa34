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
	"time"
)

// maxSettle bounds all the pausing of one replay: an image full of nonsense must not
// take forever.
const maxSettle = 500 * time.Millisecond

// settleTimes are the pauses before a record that does not add up is read again.
var settleTimes = [...]time.Duration{100 * time.Microsecond, 400 * time.Microsecond, time.Millisecond, 3 * time.Millisecond}

// onCorrupt says what a replay does about corrupt entries.
type onCorrupt uint8

const (
	failAtCorrupt onCorrupt = iota // return an error, having applied nothing
	stopAtCorrupt                  // serve what comes before
	skipCorrupt                    // read past it
)

// readLogHeader loads and checks the header.
func (r *replica) readLogHeader() (logHeader, error) {
	for try := 0; ; try++ {
		var b [logHeaderSize]byte
		r.meta.invalidate(logOffset, logHeaderSize)
		r.meta.fenceLoads()
		for at := 0; at < len(b); at += 8 {
			binary.LittleEndian.PutUint64(b[at:], r.meta.load64(logOffset+int64(at)))
		}
		h, err := decodeLogHeader(&b, r.sb.LogSize)
		if err == nil && h.next < r.next {
			err = fmt.Errorf("log header: found next index %d after %d entries were replayed: %w", h.next, r.next, ErrCorrupt)
		}
		if err == nil && h.next > math.MaxUint32-1 {
			return h, fmt.Errorf("log header: %d entries, more than this package can hold: %w", h.next, ErrCorrupt)
		}
		if err == nil {
			return h, nil
		}
		if try == len(settleTimes) {
			// Another file system's log, if the superblock says so.
			if other := r.sameFileSystem(); errors.Is(other, ErrReformatted) {
				err = other
			}
			return h, err
		}
		r.settle(try)
	}
}

// settle waits before the next attempt at reading something.
func (r *replica) settle(try int) {
	if time.Duration(r.settled.Add(int64(settleTimes[try]))) <= maxSettle {
		r.pause(settleTimes[try])
	}
}

// catchUp replays all that is in the log and was not replayed yet, and returns how
// many entries that was. Where it fails the replica is as it was, unless it is a
// new one (fresh), which is then not to be used.
func (r *replica) catchUp(policy onCorrupt, fresh bool) (int, error) {
	r.settled.Store(0)
	h, err := r.readLogHeader()
	if err != nil || h.next == r.next {
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
		// Format and Wipe take the magic away first.
		return fmt.Errorf("superblock: found none, want that of file system %s: %w", r.sb.UUID, ErrReformatted)
	case err != nil:
		return err
	case sb.UUID != r.sb.UUID || sb.LogSize != r.sb.LogSize || sb.AllocUnit != r.sb.AllocUnit || sb.SystemUUID != r.sb.SystemUUID:
		return fmt.Errorf("superblock: found file system %s, want %s: %w", sb.UUID, r.sb.UUID, ErrReformatted)
	}
	return nil
}

// replay replays entries up to end.
func (r *replica) replay(end uint64, policy onCorrupt, fresh bool) error {
	r.ns.unseen = fresh
	defer func() { r.ns.unseen = false }()
	var kept []*decoded // what is to be applied only once all of it is known to be sound
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
		case len(d.corrupt) == 0 || policy == skipCorrupt:
			for _, c := range d.corrupt {
				// It is passed over without claiming anything, as its bytes mean nothing.
				d.odd = insertOdd(d.odd, oddEntry{index: c.index, err: c.err})
			}
			if fresh || policy != failAtCorrupt {
				r.apply(d, d.end)
			} else {
				kept = append(kept, d)
			}
			return policy != skipCorrupt || len(*r.problems.Load()) <= maxProblems, nil
		case policy == failAtCorrupt:
			return false, ofEntry(d.corrupt[0].index, d.corrupt[0].err)
		}
		r.apply(d, d.corrupt[0].index)
		return false, nil
	}
	r.ns.reserve(int(min(end-r.next, 1<<20)))
	if err := r.decodeBlocks(end, finish); err != nil {
		return err
	}
	for _, d := range kept {
		r.apply(d, d.end)
	}
	if policy == stopAtCorrupt {
		return r.listUnread(end)
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
		workers.start(func() { work(newDecoder(r)) })
	}
	workers.lead(func() { work(r.single) })
	return line.err
}

// ofEntry says which entry an error is about.
func ofEntry(index uint64, err error) error { return fmt.Errorf("log entry %d: %w", index, err) }

// listUnread lists the entries from r.next to end, of which a tolerant replay serves
// none, as problems.
func (r *replica) listUnread(end uint64) error {
	var unread []Problem
	err := Guard(func() error {
		var b [entrySize]byte
		var e entry
		for index := r.next; index < end; index++ {
			r.meta.invalidate(entryAt(index), entrySize)
			r.meta.fenceLoads()
			r.meta.load(b[:], entryAt(index))
			p, err := Problem{Index: int(index)}, checkEntry(&b, index)
			if err == nil {
				e.decode(&b)
				p.Path, err = string(e.path), fmt.Errorf("%w: entry %d: %w", errTail, r.next, ErrCorrupt)
			}
			p.Err = ofEntry(index, err)
			if len(unread) == maxProblems {
				p = Problem{Index: int(index), Err: fmt.Errorf("log entries %d to %d: %w: entry %d: %w", index, end-1, errTail, r.next, ErrCorrupt)}
				index = end
			}
			unread = append(unread, p)
		}
		return nil
	})
	r.unread.Store(&unread)
	return err
}
