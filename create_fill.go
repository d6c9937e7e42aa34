package famfs

// Filling a pending file: bytes of slices and readers, copied straight into its memory and
// written back as they come, on several processors where there are many. What a pending
// file is stands in create.go, what its bytes come from in create_source.go.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// fillPiece is how much is read before it is written back: little enough that it is
// still in the nearest caches then.
const fillPiece = 256 << 10

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

// ReadFrom reads from r straight into the file's memory, from where the last Write
// or ReadFrom ended, until the file is full or r is at its end, which may come early.
//
// Where r is an io.ReaderAt and an io.Seeker, as an os.File is, and there is much to
// read, several goroutines call ReadAt at the same time, as its contract allows. Then r
// is left at the end of what was read.
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
	n, start := int64(0), p.at
	if src := openSource(r, p.size-start, p.fs.dev.cache); src != nil {
		n, err = p.fill(start, p.size, func(from, to int64) (int64, error) {
			return src.read(data[from:to], from-start, step)
		})
		err = errors.Join(err, src.close(n))
	} else {
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
	}
	p.at += n
	if err != nil {
		return n, p.fail("write", err)
	}
	return n, nil
}

// readPieces fills mem with what read gives, piece by piece, and writes it back.
func readPieces(cache *cacheLines, mem []byte, read func([]byte) (int, error), step func(n int64) error) (int64, error) {
	const patience = 100 // reads of nothing in a row
	for at, idle := 0, 0; at < len(mem); idle++ {
		piece := mem[at:min(at+fillPiece, len(mem))]
		n, err := read(piece)
		if n < 0 || n > len(piece) {
			return int64(at), errors.New("the reader says that it read more than it was asked for")
		}
		cache.writeBack(piece[:n])
		if at += n; n > 0 {
			idle = 0
		}
		if stepErr := step(int64(n)); stepErr != nil {
			return int64(at), stepErr
		}
		switch {
		case err == io.EOF:
			return int64(at), nil
		case err != nil && at < len(mem): // a full read may come with the error of the next
			// A system call that was given memory which is gone has an error of its own
			// for it; a store makes it the fault that it is.
			mem[at] = 0
			return int64(at), err
		case idle == patience:
			return int64(at), io.ErrNoProgress
		}
	}
	return int64(len(mem)), nil
}

// fill has the bytes from and to filled, unit by unit, on several processors where it is
// worth it. It returns how many were filled from the first on without a gap, and why not
// all. A memory fault is an error, and for good.
func (p *PendingFile) fill(from, to int64, do pieceFunc) (int64, error) {
	n, err := inParallel(from, to, func(from, to int64) (n int64, err error) {
		defer p.fs.dev.cache.fenceStores() // what this goroutine wrote back
		err = Guard(func() error {
			p.fs.dev.prefault(p.data[from:to], true)
			n, err = do(from, to)
			return err
		})
		return n, err
	})
	if p.fs.dev.writeBack {
		p.touch(from, from+n)
	}
	var fault *FaultError
	if errors.As(err, &fault) {
		p.fails(err)
	}
	return n, err
}
