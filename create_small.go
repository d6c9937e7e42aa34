package famfs

// Filling a pending file by system calls, if it is on a stand-in: small files, and large ones whose
// pages are small. That takes less time than mapping the file, its page faults, and unmapping it.
// Which files are filled so is decided here. create_fill.go fills all other files, and those that are
// mapped already, as by Bytes.

import (
	"errors"
	"io"
)

const (
	// smallFile is the size up to which a file is small. Copying a larger one straight into its
	// memory saves more time than mapping costs.
	smallFile = int64(len(buffer{}))
	// fewCalls is after how many calls a file is mapped all the same: more calls would cost more
	// than the mapping.
	fewCalls = 8
	// largeCall is how much is to be written at once to a large file for calls to be faster.
	largeCall = 1 << 20
)

// byCall says whether to write the next bytes by a system call. Before the first call it reserves
// room for the whole file, unless whole says that all of it is to be written now, from what nobody
// misses if that fails. If there is no room, the answer is no: mapping the file then fails, and so
// the error comes before a source is read.
func (p *PendingFile) byCall(whole bool) bool {
	if p.region != nil || p.size > smallFile || p.calls == fewCalls || !p.home.every((*device).takesCalls) {
		return false
	}
	return p.hasRoom(whole)
}

// byManyCalls says whether to write the next n bytes, of a large file, by many calls. It
// always reserves room for all of it before: what is written of a large file that does not fit would
// fill up the file system under the stand-in.
func (p *PendingFile) byManyCalls(n int64) bool {
	return p.region == nil && n >= largeCall && p.home.every((*device).prefersCalls) && p.hasRoom(false)
}

// hasRoom says whether calls may write the file. Before the first of them it reserves room for
// the whole file, or leaves that to makeRoom where writing reserves it.
func (p *PendingFile) hasRoom(whole bool) bool {
	if !p.home.every(func(d *device) bool { return mayReach(d.info.Size) }) { // any longer
		return false
	}
	if p.calls == 0 {
		p.unreserved = whole && p.home.every((*device).prefersCalls)
		if !p.unreserved && p.reserve() != nil {
			return false
		}
	}
	p.calls++
	return true
}

// reserve reserves room for the whole file. Then it can be written, whatever was wrong before.
func (p *PendingFile) reserve() error {
	parts, err := p.home.parts(min(roundUp(p.size, p.home.align()), roundUp(p.size, p.fs.sb.AllocUnit)))
	if err == nil {
		err = reserve(parts)
	}
	if err == nil {
		p.memErr = nil // of a mapping that was tried before
	}
	return err
}

// makeRoom ends a call that was to write the whole file, and wrote n bytes of it. If that is not all,
// it reserves room for the rest, as if that had been done before. If there is none, what was written
// gives its room back and no longer counts, and Commit fails until there is. It returns how many bytes count.
func (p *PendingFile) makeRoom(n int64) (int64, error) {
	if !p.unreserved {
		return n, nil
	}
	p.unreserved = false
	if p.state != pendingFilling {
		return n, nil
	}
	if n == p.size {
		p.memErr = nil
		return n, nil
	}
	err := p.reserve()
	if err != nil {
		p.calls, p.memErr = 0, err
		if parts, err := p.home.parts(roundUp(p.size, p.fs.sb.AllocUnit)); err == nil {
			for _, s := range parts {
				s.dev.giveBack(s.segment)
			}
		}
		n = 0
	}
	return n, err
}

// put writes b, which does not reach past the end of the file, to offset from. It returns how
// much of it was written from the first byte on.
func (p *PendingFile) put(b []byte, from int64) (n int64, err error) {
	summing := p.sums.filling(p.config.seal)
	if summing {
		p.sums.drop(from, from+int64(len(b)))
	}
	var m *member
	var at int64
	for n < int64(len(b)) && err == nil {
		var on int
		var run int64
		on, at, run = p.home.place.locate(from + n)
		m = p.home.member(on)
		var done int
		done, err = m.dev.writeAt(b[n:min(n+run, int64(len(b)))], at)
		n += int64(done)
		at += int64(done)
	}
	p.fs.counts.copied.Add(n)
	if p.home.writeBack() {
		p.touch(from, from+n)
	}
	if summing {
		if fault := Guard(func() error { p.sums.add(crcPart{from, from + n, crc32c(b[:n])}); return nil }); err == nil {
			err = fault
		}
	}
	switch {
	case errors.Is(err, errCut):
		fault := &FaultError{Name: p.name, Offset: from + n, Addr: addressOf(m.window.mem) + uintptr(at)}
		p.fs.faults.Add(1)
		p.fs.lookAgain(m, at, fault)
		err = fault
		p.failsOnce(err)
	case isBadAddress(err):
		// The caller's memory is gone: loading from b makes that a fault, which names it.
		if fault := Guard(func() error { loadPages(b[n:]); return nil }); fault != nil {
			err = fault
		}
	case p.unreserved && errors.Is(err, ErrNoSpace): // see makeRoom
	case err != nil:
		p.failsOnce(err)
	}
	return n, err
}

// failsOnce is fails for one of several goroutines.
func (p *PendingFile) failsOnce(err error) {
	p.failing.Lock()
	defer p.failing.Unlock()
	p.fails(err)
}

// putMany writes b to offset from, on several processors.
func (p *PendingFile) putMany(b []byte, from int64) (int64, error) {
	return p.putPieces(from, from+int64(len(b)), func(at, to int64) (int64, error) {
		return p.put(b[at-from:to-from], at)
	})
}

// putSource writes what src has from where Write continues, on several processors. The bounds
// and errors are those of fillFrom.
func (p *PendingFile) putSource(src *source, step func(n int64) error) (n int64, err error) {
	start := p.at
	n, err = p.putPieces(start, p.size, func(from, to int64) (int64, error) {
		buffer, lent := p.fs.buffers.take(to-from, false)
		defer p.fs.buffers.giveBack(lent)
		at := from
		for at < to {
			piece := buffer[:min(int64(len(buffer)), to-at)]
			got, err := src.readPiece(nil, piece, at-start, nil, step)
			done, putErr := p.put(piece[:got], at)
			at += done
			if err == nil {
				err = putErr
			}
			if err != nil || done < int64(len(piece)) {
				return at - from, err
			}
		}
		return at - from, nil
	})
	return n, errors.Join(err, src.leaveAt(n))
}

// putPieces is fill for bytes that do writes by calls.
func (p *PendingFile) putPieces(from, to int64, do pieceFunc) (int64, error) {
	return inParallel(from, to, func(from, to int64) (n int64, err error) {
		err = Guard(func() error {
			n, err = do(from, to)
			return err
		})
		return n, err
	})
}

// sourceForCalls returns r as a source if calls are to fill the rest of the file from it, and
// otherwise nil. A reader that may keep its buffer would need many.
func (p *PendingFile) sourceForCalls(r io.Reader) *source {
	if mayKeep(r) {
		return nil
	}
	src := openSeeker(r, p.size-p.at)
	if src == nil || !p.byManyCalls(p.size-p.at) {
		return nil
	}
	return src
}

// putFrom writes what r has from where Write continues, as far as there is room. The bounds and
// errors are those of fillFrom.
func (p *PendingFile) putFrom(r io.Reader, step func(n int64) error) (int64, error) {
	b, lent := p.fs.buffers.take(p.size-p.at, mayKeep(r))
	defer p.fs.buffers.giveBack(lent)
	var n int64
	err := Guard(func() (err error) {
		n, err = readPieces(nil, b, r.Read, nil, step)
		return err
	})
	n, putErr := p.put(b[:n], p.at)
	if putErr != nil {
		return n, putErr
	}
	return n, err
}

// flushDirty writes back what may have been written and not been written back.
func (p *PendingFile) flushDirty() error {
	if p.region != nil {
		return p.home.flush(p.data[p.dirtyFrom:p.dirtyTo], p.dirtyFrom, p.since)
	}
	// It came by calls, or was written back before: the pages are those of the window, too.
	for at := p.dirtyFrom; at < p.dirtyTo; {
		device, off, run := p.home.place.locate(at)
		run = min(run, p.dirtyTo-at)
		m, err := p.fs.on(device)
		if err != nil {
			return err
		}
		if err := p.home.waitForDisk(m.window.mem[off:off+run], at, p.since); err != nil {
			return err
		}
		at += run
	}
	return nil
}
