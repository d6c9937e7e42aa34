package famfs

// Verifying: whether the content of a sealed file is what was sealed, and whether a source has the
// content of one.

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
)

// SumError says that a sealed file does not have the content that was sealed. It wraps
// ErrChecksum.
type SumError struct {
	Name string
	// Want is the sum in the seal, and Found that of what was read.
	Want, Found Sum
	// Stale says that the content was right when it was read again: the memory is sound, and what
	// was read first came out of a cache. Otherwise the memory is damaged, or somebody wrote to it.
	Stale bool
}

func (e *SumError) Error() string {
	if e.Stale {
		return fmt.Sprintf("content of %s: found sum %v, want %v; when it was read again, the sum was right: a cache was stale, the memory is not damaged", e.Name, e.Found, e.Want)
	}
	return fmt.Sprintf("content of %s: found sum %v, want %v: the memory is damaged, or was written to after the file was sealed; copy the file in again from a sound source, in its place", e.Name, e.Found, e.Want)
}

// Unwrap makes errors.Is(err, ErrChecksum) true.
func (e *SumError) Unwrap() error { return ErrChecksum }

// Verify reads all of a sealed file and compares its content with the seal. It first forgets what
// this host has of the file in its caches, so that it reads the memory itself. If the sum is not
// right, Verify reads the file again, after a moment, to find out whether only a cache was stale.
//
// The error is a *fs.PathError. It wraps a *SumError, which wraps ErrChecksum, if the content is
// not what was sealed; a *FaultError if memory cannot be read (Scrub lists all such places);
// fs.ErrInvalid if name is a directory or a file that is not sealed; fs.ErrNotExist; ErrRemoved if it
// is removed meanwhile from a file system that gives memory out again;
// ErrReformatted or fs.ErrClosed. Close is ErrBusy meanwhile.
func (f *FS) Verify(name string) error {
	if err := f.verify(name); err != nil {
		return &fs.PathError{Op: "verify", Path: name, Err: err}
	}
	return nil
}

func (f *FS) verify(name string) error {
	if !f.gate.hold() {
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	index, n, err := f.lookup(name)
	if err != nil {
		return err
	}
	if n.isDir() {
		return fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	return f.verifyNode(index, n, nil)
}

// verifyNode is Verify for the file of entry index. The caller keeps f open. pace, if not nil, is called
// before so many bytes are read, and ends it with an error.
func (f *FS) verifyNode(index int64, n node, pace func(bytes int64) error) error {
	want, sealed := f.sealOf(index, n)
	if !sealed {
		return fmt.Errorf("it is not sealed, so nothing says what its content should be: %w", fs.ErrInvalid)
	}
	found, err := f.sumNode(index, n, want.Kind, pace)
	if err != nil || found == want {
		return err
	}
	return f.readAgain(index, n, want, found, pace)
}

// isSound is Verify for a file that a copy would pass over. One that is not sealed is sound.
func (f *FS) isSound(ctx context.Context, index int64, n node) error {
	if _, sealed := f.sealOf(index, n); !sealed {
		return nil
	}
	if !f.gate.hold() {
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	return f.verifyNode(index, n, func(int64) error { return context.Cause(ctx) })
}

// readAgain finds out what is wrong with a file whose sum was found, and not the one wanted.
func (f *FS) readAgain(index int64, n node, want, found Sum, pace func(bytes int64) error) error {
	f.config.pause(settleTimes[0])
	again, err := f.sumNode(index, n, want.Kind, pace)
	switch {
	case err != nil:
		return err
	case again == want:
		return &SumError{Name: n.ownPath(), Want: want, Found: found, Stale: true}
	}
	return &SumError{Name: n.ownPath(), Want: want, Found: again}
}

// sourceHasSum fails with errOther if what r reads does not have this sum. Otherwise it is
// sameContent.
func (f *FS) sourceHasSum(ctx context.Context, r io.Reader, size int64, want Sum) (int64, error) {
	if want.Kind == CRC32C {
		if src := openSeeker(r, size); src != nil {
			return f.seekerHasSum(ctx, src, size, want)
		}
	}
	var sum crcRun
	add, end := sum.add, func() Sum { return crcSum(sum.crc) }
	if want.Kind == SHA256 {
		hash := sha256.New()
		add, end = func(b []byte) { hash.Write(b) }, func() Sum { return Sum{SHA256, [sumSize]byte(hash.Sum(nil))} }
	}
	b, lent := f.buffers.take(size, mayKeep(r))
	defer f.buffers.giveBack(lent)
	read, err := readAll(ctx, r, size, b, add)
	if err == nil && end() != want {
		err = errOther
	}
	return read, err
}

// seekerHasSum is sourceHasSum for a source that can be read at several places at a time.
func (f *FS) seekerHasSum(ctx context.Context, src *source, size int64, want Sum) (int64, error) {
	var parts crcParts
	read, err := inParallel(0, size, func(from, to int64) (int64, error) {
		b, lent := f.buffers.take(to-from, false)
		defer f.buffers.giveBack(lent)
		var sum crcRun
		n, err := readAll(ctx, io.NewSectionReader(src.reader, src.start+from, to-from), to-from, b, sum.add)
		if err == nil {
			parts.add(crcPart{from, to, sum.crc})
		}
		return n, err
	})
	if leaveErr := src.leaveAt(read); err == nil {
		err = leaveErr
	}
	if err == nil && crcSum(parts.parts[0].crc) != want {
		err = errOther
	}
	return read, err
}

// readAll reads size bytes of r, as many at a time as b holds, and gives them to add.
func readAll(ctx context.Context, r io.Reader, size int64, b []byte, add func([]byte)) (int64, error) {
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return at, context.Cause(ctx)
		}
		n, err := readFull(r, b[:min(int64(len(b)), size-at)])
		if err != nil {
			return at + int64(n), err
		}
		add(b[:n])
		at += int64(n)
	}
	return size, nil
}
