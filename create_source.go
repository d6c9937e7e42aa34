package famfs

// The sources that pending files are filled from. A source may be read at several places at
// the same time, with its ReadAt or, if its pages are in memory anyway, from a mapping of it
// (create_source_linux.go). Here is also the check that a reader ends when the file is full.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// source is a reader that is read with ReadAt, from the position that it had.
type source struct {
	reader seekerAt
	start  int64
	cache  *cacheLines // how the bytes are copied and written back
	// mem is the mapped part of the reader from start on; it may be empty.
	mem   []byte
	unmap func() error
}

type seekerAt interface {
	io.ReaderAt
	io.Seeker
}

// openSource returns r as a source of up to n bytes, and maps it if that is worth it. It returns
// nil if r must be read in order, or if n is so small that a source is not worth it.
func openSource(r io.Reader, n int64, cache *cacheLines) *source {
	s := openSeeker(r, n)
	if s == nil {
		return nil
	}
	s.cache = cache
	if file, ok := s.reader.(*os.File); ok {
		s.mem, s.unmap = mapSource(file, s.start, n)
	}
	return s
}

// openSeeker is openSource for what is read only, by ReadAt.
func openSeeker(r io.Reader, n int64) *source {
	at := knownSeekerAt(r)
	if at == nil || n <= workPiece {
		return nil
	}
	if file, ok := at.(*os.File); ok {
		// Other files, such as terminals, may not support ReadAt or Seek.
		if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
			return nil
		}
	}
	start, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil // for example, it is closed: the read will return the error
	}
	return &source{reader: at, start: start}
}

// knownSeekerAt returns r if it has a type whose Read and ReadAt are known to return the same
// bytes. A type that only embeds one of these may change the bytes in its own Read, and may
// rely on being read in order.
func knownSeekerAt(r io.Reader) seekerAt {
	switch r := r.(type) {
	case *os.File:
		return r
	case *bytes.Reader:
		return r
	case *strings.Reader:
		return r
	case *io.SectionReader:
		return r
	case *openFileHandle:
		return r
	}
	// io.Copy wraps an *os.File in a struct of package os to hide its WriteTo.
	if v := reflect.ValueOf(r); v.Kind() == reflect.Struct && v.Type().PkgPath() == "os" {
		if f := v.FieldByName("File"); f.IsValid() && f.CanInterface() {
			if file, ok := f.Interface().(*os.File); ok {
				return file
			}
		}
	}
	return nil
}

// mayKeep says that r may keep the buffer that it is given to read into. A reader must not do
// that; one that does it could later store to a buffer that belongs to another file by then.
func mayKeep(r io.Reader) bool {
	switch knownSeekerAt(r).(type) {
	case *os.File, *bytes.Reader, *strings.Reader, *openFileHandle:
		return false
	}
	return true
}

// errBadReader says that Read returned an impossible count.
var errBadReader = errors.New("the reader says that it read more than it was asked for")

// readFull fills b from r like io.ReadFull, but does not trust r. It returns an error if memory
// faults, if a count is impossible, if reads return nothing again and again, and if an error
// comes with the last bytes.
func readFull(r io.Reader, b []byte) (at int, err error) {
	for idle := 0; at < len(b); idle++ {
		var n int
		err := Guard(func() (err error) { n, err = r.Read(b[at:]); return err })
		if n < 0 || n > len(b)-at {
			return at, errBadReader
		}
		if at += n; n > 0 {
			idle = 0
		}
		switch {
		case err == io.EOF && at < len(b):
			return at, io.ErrUnexpectedEOF
		case err != nil && err != io.EOF:
			return at, err
		case idle == patience:
			return at, io.ErrNoProgress
		}
	}
	return at, nil
}

// checkEnd fails unless r is at its end. r was read for a file of size bytes.
func checkEnd(r io.Reader, size int64) error {
	var b [1]byte
	for range patience {
		var n int
		err := Guard(func() (err error) { n, err = r.Read(b[:]); return err })
		switch {
		case n != 0:
			if at := knownSeekerAt(r); at != nil {
				at.Seek(-1, io.SeekCurrent) // an error would only mean that r stays one byte further on
			}
			return fmt.Errorf("the source goes on behind the file's %d bytes: %w", size, io.ErrShortWrite)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// read fills mem, at most workPiece bytes, from offset off. sum, if there is one, becomes that of
// what was filled.
func (s *source) read(mem []byte, off int64, sum *crcRun, step func(n int64) error) (int64, error) {
	if end := off + int64(len(mem)); end <= int64(len(s.mem)) {
		if done, err := copyMapped(s.cache, mem, s.mem[off:end], sum); err != nil {
			return 0, err
		} else if done {
			return int64(len(mem)), step(int64(len(mem)))
		}
	}
	return s.readPiece(s.cache, mem, off, sum, step)
}

// readPiece fills mem from offset off by ReadAt.
func (s *source) readPiece(cache *cacheLines, mem []byte, off int64, sum *crcRun, step func(n int64) error) (int64, error) {
	return readPieces(cache, mem, func(b []byte) (int, error) {
		n, err := s.reader.ReadAt(b, s.start+off)
		off += int64(max(n, 0))
		return n, err
	}, sum, step)
}

// copyMapped copies from a mapping of a source. It reports false if the source faults: its file
// may have become shorter, and ReadAt will find out.
func copyMapped(cache *cacheLines, to, from []byte, sum *crcRun) (done bool, err error) {
	err = Guard(func() error {
		prefault(from, false)
		sum.copyInto(cache, to, from)
		return nil
	})
	var fault *FaultError
	if errors.As(err, &fault) && fault.Addr-addressOf(from) < uintptr(len(from)) {
		return false, nil
	}
	return err == nil, err
}

// leaveAt moves the reader to the end of the n bytes that were read.
func (s *source) leaveAt(n int64) error {
	_, err := s.reader.Seek(s.start+n, io.SeekStart)
	return err
}

// close unmaps the source. Closing again does nothing.
func (s *source) close() error {
	if s.unmap == nil {
		return nil
	}
	unmap := s.unmap
	s.mem, s.unmap = nil, nil
	return unmap()
}

// fillPiece is how many bytes are read before they are written back: few enough that they are
// still in the nearest caches then.
const fillPiece = 256 << 10

// readPieces fills mem with read, piece by piece, and writes the pieces back, unless cache is nil.
// sum, if there is one, goes on with what was filled.
func readPieces(cache *cacheLines, mem []byte, read func([]byte) (int, error), sum *crcRun, step func(n int64) error) (int64, error) {
	for at, idle := 0, 0; at < len(mem); idle++ {
		piece := mem[at:min(at+fillPiece, len(mem))]
		n, err := read(piece)
		if n < 0 || n > len(piece) {
			return int64(at), errBadReader
		}
		sum.add(piece[:n])
		if cache != nil {
			cache.writeBack(piece[:n])
		}
		if at += n; n > 0 {
			idle = 0
		}
		if stepErr := step(int64(n)); stepErr != nil {
			return int64(at), stepErr
		}
		switch {
		case err == io.EOF:
			return int64(at), nil
		case err != nil:
			if at < len(mem) {
				// A system call reports an error of its own for memory that is gone. A store turns
				// that into a memory fault.
				mem[at] = 0
			}
			return int64(at), err
		case idle == patience:
			return int64(at), io.ErrNoProgress
		}
	}
	return int64(len(mem)), nil
}
