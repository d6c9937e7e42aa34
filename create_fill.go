package famfs

// Filling a pending file: bytes of slices and readers, copied straight into its memory and
// written back as they come, on several processors where there are many. What a pending
// file is: see create.go; where its bytes come from: create_source.go.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
)

// WriteAt copies b to offset off. What does not fit is not written, and then the
// error is io.ErrShortWrite.
func (p *PendingFile) WriteAt(b []byte, off int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writeAt(b, off)
}

// Write copies b to where the last Write or ReadFrom ended, at first to the start. See
// WriteAt.
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
	data, err := p.memory()
	if err != nil {
		return 0, p.fail("write", err)
	}
	n := int64(0)
	if off < p.size {
		n, err = p.fill(off, min(p.size, off+int64(len(b))), func(from, to int64) (int64, error) {
			return int64(p.fs.dev.cache.copyInto(data[from:to], b[from-off:])), nil
		})
	}
	if err == nil && n < int64(len(b)) {
		err = fmt.Errorf("%d bytes at %d of a file of %d: %w", len(b), off, p.size, io.ErrShortWrite)
	}
	if err != nil {
		return int(n), p.fail("write", err)
	}
	return int(n), nil
}

// ReadFrom reads from r straight into the file's memory, from where the last Write or
// ReadFrom ended, until r ends, which may be before the file is full. If r has more than
// fits, the file is filled and the error is io.ErrShortWrite; to copy a part of r, use
// io.CopyN. An error of r counts, also one that comes with its last bytes or instead of
// their end. In any case the result is how many bytes were read without a gap, and the next
// call goes on behind them.
//
// Several goroutines read at the same time if r is a regular *os.File, a *bytes.Reader,
// *strings.Reader or *io.SectionReader, or a file of an FS, and there is much to read.
// These are left at the end of what was read. Every other reader, also one that embeds one
// of these, is read by its Read alone, in order and in the caller's goroutine, and up to one
// byte further than fits. To have an io.ReaderAt of your own read by several goroutines,
// pass an io.SectionReader of it.
//
// If r panics, the panic reaches the caller as it is, after all goroutines are done; the file
// is then as after an error. r must not use the PendingFile: it would wait for itself.
func (p *PendingFile) ReadFrom(r io.Reader) (int64, error) {
	return p.readFrom(r, func(int64) error { return nil })
}

// readFrom is ReadFrom. After every piece it calls step with its size, maybe from several
// goroutines; an error of it ends the reading.
func (p *PendingFile) readFrom(r io.Reader, step func(n int64) error) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := p.memory()
	if err != nil {
		return 0, p.fail("write", err)
	}
	n, err := p.fillFrom(data, r, step)
	p.at += n
	if err == nil && p.at == p.size {
		err = checkEnd(r, p.size)
	}
	if err != nil {
		return n, p.fail("write", err)
	}
	return n, nil
}

// fillFrom fills data from where Write continues with what r has, as far as there is room.
func (p *PendingFile) fillFrom(data []byte, r io.Reader, step func(n int64) error) (n int64, err error) {
	start := p.at
	if src := openSource(r, p.size-start, p.fs.dev.cache); src != nil {
		defer src.close() // also if step panics
		n, err = p.fill(start, p.size, func(from, to int64) (int64, error) {
			return src.read(data[from:to], from-start, step)
		})
		return n, errors.Join(err, src.leaveAt(n), src.close())
	}
	// A stream has one order.
	for err == nil && start+n < p.size {
		from := start + n
		to := min(p.size, (from/workPiece+1)*workPiece)
		var more int64
		more, err = p.fill(from, to, func(from, to int64) (int64, error) {
			return readPieces(p.fs.dev.cache, data[from:to], r.Read, step)
		})
		if n += more; more < to-from {
			break
		}
	}
	return n, err
}

// patience is how many reads of nothing in a row are waited for.
const patience = 100

// fill has the bytes from and up to to filled, piece by piece, on several processors if it is
// worth it. It returns how many were filled from the first on without a gap, and why not
// all. A fault is an error; if it is one of this file's memory, Commit fails from then on.
func (p *PendingFile) fill(from, to int64, do pieceFunc) (n int64, err error) {
	var begun atomic.Int64 // the end of the furthest piece
	defer func() {
		if p.fs.dev.writeBack {
			p.touch(from, from+n)
		}
		// What does not count may have been stored to all the same, also if do panics, and
		// was not written back.
		p.touch(from+n, begun.Load())
	}()
	n, err = inParallel(from, to, func(from, to int64) (n int64, err error) {
		for far := begun.Load(); far < to && !begun.CompareAndSwap(far, to); far = begun.Load() {
		}
		defer p.fs.dev.cache.fenceStores() // what this goroutine wrote back
		err = Guard(func() error {
			p.fs.dev.prefault(p.data[from:to], true)
			n, err = do(from, to)
			return err
		})
		return n, err
	})
	// The fault may be one of the source, or the reader's own.
	var fault *FaultError
	if errors.As(err, &fault) && fault.Addr-addressOf(p.data) < uintptr(len(p.data)) {
		p.fails(err)
	}
	return n, err
}
