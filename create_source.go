package famfs

// What pending files are filled from: a source that may be read at several places at a
// time, by its ReadAt or, if its pages are memory anyway, out of a mapping of it
// (create_source_linux.go); and whether a reader ends when the file is full.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// source is a reader that is read by its ReadAt, from where it stood.
type source struct {
	reader seekerAt
	start  int64
	cache  *cacheLines // how what is read gets to memory
	// mem is the mapped part of it from start on, may be empty.
	mem   []byte
	unmap func() error
}

type seekerAt interface {
	io.ReaderAt
	io.Seeker
}

// openSource returns r as a source of up to n bytes, or nil if it has to be, or as well
// can be, read in one go.
func openSource(r io.Reader, n int64, cache *cacheLines) *source {
	at := knownSeekerAt(r)
	if at == nil || n <= workPiece {
		return nil
	}
	file, isFile := at.(*os.File)
	if isFile {
		// Other files, such as terminals, need not do what they are asked.
		if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
			return nil
		}
	}
	start, err := at.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil // closed, for example: reading will tell
	}
	s := &source{reader: at, start: start, cache: cache}
	if isFile {
		s.mem, s.unmap = mapSource(file, start, n)
	}
	return s
}

// knownSeekerAt returns r if its type is one whose Read and ReadAt are known to give the
// same. A type that only has the methods, because it embeds one of these, may change what
// is read in its Read, and count on being asked in order.
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
	// io.Copy of an *os.File passes the file in a struct of package os, to hide its WriteTo.
	if v := reflect.ValueOf(r); v.Kind() == reflect.Struct && v.Type().PkgPath() == "os" {
		if f := v.FieldByName("File"); f.IsValid() && f.CanInterface() {
			if file, ok := f.Interface().(*os.File); ok {
				return file
			}
		}
	}
	return nil
}

// errBadReader says that the count that a Read returned is none.
var errBadReader = errors.New("the reader says that it read more than it was asked for")

// readFull fills b from r like io.ReadFull, but does not believe r: memory that faults, a
// count that is none, and nothing for ever are errors, as is one that comes with the last
// bytes.
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

// checkEnd fails unless r, which was read for a file of size bytes, is at its end.
func checkEnd(r io.Reader, size int64) error {
	var b [1]byte
	for range patience {
		var n int
		err := Guard(func() (err error) { n, err = r.Read(b[:]); return err })
		switch {
		case n != 0:
			if at := knownSeekerAt(r); at != nil {
				at.Seek(-1, io.SeekCurrent) // that it stays one further is no further error
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

// read fills mem, which is workPiece at most, from offset off.
func (s *source) read(mem []byte, off int64, step func(n int64) error) (int64, error) {
	if end := off + int64(len(mem)); end <= int64(len(s.mem)) {
		if done, err := copyMapped(s.cache, mem, s.mem[off:end]); err != nil {
			return 0, err
		} else if done {
			return int64(len(mem)), step(int64(len(mem)))
		}
	}
	return readPieces(s.cache, mem, func(b []byte) (int, error) {
		n, err := s.reader.ReadAt(b, s.start+off)
		off += int64(max(n, 0))
		return n, err
	}, step)
}

// copyMapped copies from a mapping of a source. It reports false if the source
// faults: its file may have become shorter, and ReadAt will tell.
func copyMapped(cache *cacheLines, to, from []byte) (done bool, err error) {
	err = Guard(func() error {
		prefault(from, false)
		cache.copyInto(to, from)
		return nil
	})
	var fault *FaultError
	if errors.As(err, &fault) && fault.Addr-addressOf(from) < uintptr(len(from)) {
		return false, nil
	}
	return err == nil, err
}

// leaveAt leaves the reader behind the n bytes that were read.
func (s *source) leaveAt(n int64) error {
	_, err := s.reader.Seek(s.start+n, io.SeekStart)
	return err
}

// close gives the mapping back. Closing again does nothing.
func (s *source) close() error {
	if s.unmap == nil {
		return nil
	}
	unmap := s.unmap
	s.mem, s.unmap = nil, nil
	return unmap()
}

// fillPiece is how much is read before it is written back: little enough that it is
// still in the nearest caches then.
const fillPiece = 256 << 10

// readPieces fills mem with what read gives, piece by piece, and writes it back.
func readPieces(cache *cacheLines, mem []byte, read func([]byte) (int, error), step func(n int64) error) (int64, error) {
	for at, idle := 0, 0; at < len(mem); idle++ {
		piece := mem[at:min(at+fillPiece, len(mem))]
		n, err := read(piece)
		if n < 0 || n > len(piece) {
			return int64(at), errBadReader
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
		case err != nil:
			if at < len(mem) {
				// A system call that was given memory which is gone has an error of its
				// own for it; a store makes it the fault that it is.
				mem[at] = 0
			}
			return int64(at), err
		case idle == patience:
			return int64(at), io.ErrNoProgress
		}
	}
	return int64(len(mem)), nil
}
