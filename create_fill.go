package famfs

// Filling a pending file: bytes of slices and readers are copied straight into its memory and
// written back at once, by several processors if there are many bytes. create.go defines a
// pending file, create_source.go its sources; create_small.go fills small ones on stand-ins.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
)

// WriteAt copies b to offset off. If b does not fit, WriteAt copies what fits, and the error is
// io.ErrShortWrite.
func (p *PendingFile) WriteAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeAt(b, off)
}

// Write copies b to the position where the last Write or ReadFrom ended. The first Write begins at
// the start. If b does not fit, see WriteAt.
func (p *PendingFile) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.writeAt(b, p.at)
	p.at += int64(n)
	return n, err
}

func (p *PendingFile) writeAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, p.fail("write", fmt.Errorf("offset %d: %w", off, fs.ErrInvalid))
	}
	if err := p.mayFill(); err != nil {
		return 0, p.fail("write", err)
	}
	n, err := int64(0), error(nil)
	end := min(p.size, off+int64(len(b)))
	switch {
	case off >= end:
	case p.byCall(off == 0 && end == p.size):
		n, err = p.put(b[:end-off], off)
	case p.byManyCalls(end - off):
		n, err = p.putMany(b[:end-off], off)
	default:
		var data []byte
		if data, err = p.memory(); err != nil {
			return 0, p.fail("write", err)
		}
		n, err = p.fill(off, end, func(from, to int64, sum *crcRun) (int64, error) {
			return int64(sum.copyInto(p.home.strictest().cache, data[from:to], b[from-off:])), nil
		})
	}
	n, full := p.makeRoom(n)
	if err == nil {
		err = full
	}
	if err == nil && n < int64(len(b)) {
		err = fmt.Errorf("%d bytes at %d of a file of %d: %w", len(b), off, p.size, io.ErrShortWrite)
	}
	if err != nil {
		return int(n), p.fail("write", err)
	}
	return int(n), nil
}

// ReadFrom reads from r into the file until r ends, which may be before the
// file is full. It begins where the last Write or ReadFrom ended. If r has more bytes than fit,
// ReadFrom fills the file, and the error is io.ErrShortWrite; to copy a part of r, use
// io.CopyN. ReadFrom returns any error of r, even one that comes with the last bytes or in
// place of io.EOF. In every case the result is the number of bytes that were read without a
// gap, and the next call continues after them.
//
// Several goroutines read at the same time if there is much to read and r is a regular
// *os.File, a *bytes.Reader, *strings.Reader or *io.SectionReader, or a file of an FS. These
// readers are left at the end of what was read. Every other reader, even one that embeds one of
// these, is read only with its Read method, in order, in the caller's goroutine, and up to one
// byte further than fits. To let several goroutines read your own io.ReaderAt, pass an
// io.SectionReader of it.
//
// If r panics, the panic reaches the caller unchanged, after all goroutines are done. The file
// is then in the same state as after an error. r must not use the PendingFile: it would wait
// for itself.
func (p *PendingFile) ReadFrom(r io.Reader) (int64, error) {
	return p.readFrom(r, func(int64) error { return nil })
}

// readFrom is ReadFrom, but calls step after every piece with its size, perhaps from several
// goroutines. An error of step ends the reading.
func (p *PendingFile) readFrom(r io.Reader, step func(n int64) error) (n int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.mayFill(); err != nil {
		return 0, p.fail("write", err)
	}
	defer p.makeRoom(0) // if r or step panics
	if p.at < p.size && p.byCall(p.onlyWhole && p.at == 0) {
		n, err = p.putFrom(r, step)
	} else if src := p.sourceForCalls(r); src != nil {
		n, err = p.putSource(src, step)
	} else {
		var data []byte
		if data, err = p.memory(); err != nil {
			return 0, p.fail("write", err)
		}
		n, err = p.fillFrom(data, r, step)
	}
	n, full := p.makeRoom(n)
	p.at += n
	if err == nil {
		err = full
	}
	if err == nil && p.at == p.size {
		err = checkEnd(r, p.size)
	}
	if err != nil {
		return n, p.fail("write", err)
	}
	return n, nil
}

// fillFrom fills data from r, beginning where Write continues, until r ends or data is full.
func (p *PendingFile) fillFrom(data []byte, r io.Reader, step func(n int64) error) (n int64, err error) {
	start := p.at
	if src := openSource(r, p.size-start, p.home.strictest().cache); src != nil {
		defer src.close() // also if step panics
		n, err = p.fill(start, p.size, func(from, to int64, sum *crcRun) (int64, error) {
			return src.read(data[from:to], from-start, sum, step)
		})
		return n, errors.Join(err, src.leaveAt(n), src.close())
	}
	// A stream can be read only in order.
	for err == nil && start+n < p.size {
		from := start + n
		to := min(p.size, (from/workPiece+1)*workPiece)
		var more int64
		more, err = p.fill(from, to, func(from, to int64, sum *crcRun) (int64, error) {
			return readPieces(p.home.strictest().cache, data[from:to], r.Read, sum, step)
		})
		if n += more; more < to-from {
			break
		}
	}
	return n, err
}

// patience is how many reads in a row may return nothing before reading gives up.
const patience = 100

// fill calls do for each piece of the bytes from from to to, on several processors if that is
// worth it. It returns the number of bytes filled without a gap, and the error that stopped it.
// A memory fault is an error; if the faulting memory is this file's, Commit fails from then on.
// If the file is to be sealed, do computes the sum of what it stores; otherwise its sum is nil.
func (p *PendingFile) fill(from, to int64, do func(from, to int64, sum *crcRun) (int64, error)) (n int64, err error) {
	summing := p.sums.filling(p.config.seal)
	var begun atomic.Int64 // the end of the furthest piece
	defer func() {
		if p.home.writeBack() {
			p.touch(from, from+n)
		}
		// Memory behind the bytes that count may have been stored to and not written back, even
		// if do panics.
		p.touch(from+n, begun.Load())
	}()
	defer func() { p.fs.counts.copied.Add(n) }()
	n, err = inParallel(from, to, func(from, to int64) (n int64, err error) {
		for far := begun.Load(); far < to && !begun.CompareAndSwap(far, to); far = begun.Load() {
		}
		defer p.home.strictest().cache.fenceStores() // what this goroutine wrote back
		var sum *crcRun
		if summing {
			p.sums.drop(from, to)
			sum = new(crcRun)
		}
		err = Guard(func() error {
			p.home.strictest().prefault(p.data[from:to], true)
			n, err = do(from, to, sum)
			return err
		})
		if summing {
			p.sums.add(crcPart{from, from + n, sum.crc})
		}
		return n, err
	})
	// The fault may be in the source, or in the reader's own memory.
	var fault *FaultError
	if errors.As(err, &fault) && fault.Addr-addressOf(p.data) < uintptr(len(p.data)) {
		p.fails(err)
	}
	return n, err
}
