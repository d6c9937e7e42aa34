package famfs

// Comparing a file that is there already with its source. The source is read in pieces, and each
// piece is compared with the window. If there is much, and the source can be read at any place,
// several processors do it. What follows from the result is copyfs.go's concern.

import (
	"bytes"
	"context"
	"io"
	"io/fs"
)

// sameContent compares all of n, a file of f, with what r reads. It fails with errOther if they
// differ, and with io.ErrUnexpectedEOF if r ends early; it does not check whether r goes on.
// read is the number of bytes from the start, without a gap, before the piece that differs, or,
// if reading failed, before the place where it did.
//
// If n is sealed, what r reads is compared with the seal, and n is not read: see isSound.
func (f *FS) sameContent(ctx context.Context, r io.Reader, index int64, n node) (read int64, err error) {
	if sum, sealed := f.sealOf(index, n); sealed {
		return f.sourceHasSum(ctx, r, n.size, sum)
	}
	if !f.gate.enter() {
		return 0, fs.ErrClosed
	}
	if f.pins.on {
		err = f.mayRead(index, n)
	}
	if err == nil {
		err = f.forgetOwner(index, n)
	}
	f.gate.leave()
	if err != nil {
		return 0, err
	}
	if f.pins.on { // what was compared may have become another file's meanwhile
		defer func() {
			if !f.gate.enter() {
				err = fs.ErrClosed
				return
			}
			defer f.gate.leave()
			if gone := f.notice(Guard(func() error { return f.stillThere(index, n) })); gone != nil {
				err = gone
			}
		}()
	}
	src := openSeeker(r, n.size)
	if src == nil {
		return f.sameAsStream(ctx, r, n)
	}
	read, err = inParallel(0, n.size, func(from, to int64) (int64, error) {
		b, lent := f.buffers.take(to-from, mayKeep(r))
		defer f.buffers.giveBack(lent)
		part := io.NewSectionReader(src.reader, src.start+from, to-from)
		return f.samePieces(ctx, part, n, from, to, b)
	})
	if leaveErr := src.leaveAt(read); err == nil {
		err = leaveErr
	}
	return read, err
}

// sameAsStream is sameContent for what has one order, or is too short to be divided.
func (f *FS) sameAsStream(ctx context.Context, r io.Reader, n node) (int64, error) {
	b, lent := f.buffers.take(n.size, mayKeep(r))
	defer f.buffers.giveBack(lent)
	return f.samePieces(ctx, r, n, 0, n.size, b)
}

// samePieces compares the bytes of n from from and up to to with what r reads, as many at a time
// as b holds.
func (f *FS) samePieces(ctx context.Context, r io.Reader, n node, from, to int64, b []byte) (int64, error) {
	for at := from; at < to; {
		if ctx.Err() != nil {
			return at - from, context.Cause(ctx)
		}
		read, err := readFull(r, b[:min(int64(len(b)), to-at)])
		if err != nil {
			return at - from + int64(read), err
		}
		if err := f.sameBytes(n, at, b[:read]); err != nil {
			return at - from, err
		}
		at += int64(read)
	}
	return to - from, nil
}

// aroundFault is how much one page fault maps on Linux, if the pages are in memory. For so little,
// a fault costs less than the call that maps all pages in advance.
const aroundFault = 64 << 10

// sameBytes fails with errOther if the bytes of n from off on are not b.
func (f *FS) sameBytes(n node, off int64, b []byte) error {
	if !f.gate.enter() {
		return fs.ErrClosed
	}
	defer f.gate.leave()
	return f.eachRun(n, off, int64(len(b)), func(dev *device, mem []byte) error {
		if len(mem) > aroundFault {
			dev.prefault(mem, false)
		}
		if !bytes.Equal(mem, b[:len(mem)]) {
			return errOther
		}
		b = b[len(mem):]
		return nil
	})
}
