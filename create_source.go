package famfs

// What pending files are filled from: a source that may be read at several places at a
// time, by its ReadAt or, where its pages are memory anyway, out of a mapping of it
// (create_source_linux.go).

import (
	"errors"
	"io"
	"os"
)

// source is a reader that is read from where it stood.
type source struct {
	at     io.ReaderAt
	seeker io.Seeker
	start  int64
	cache  *cacheLines // how what is read gets to memory
	// mem is the mapped part of it from start on, may be empty.
	mem   []byte
	unmap func() error
}

// openSource returns r as a source of up to n bytes, or nil where it has to be, or as
// well can be, read in one go.
func openSource(r io.Reader, n int64, cache *cacheLines) *source {
	at, ok := r.(io.ReaderAt)
	seeker, ok2 := r.(io.Seeker)
	if !ok || !ok2 || n <= workPiece {
		return nil
	}
	file, isFile := r.(*os.File)
	if isFile {
		// Other files, such as terminals, need not do what they are asked.
		if st, err := file.Stat(); err != nil || !st.Mode().IsRegular() {
			return nil
		}
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil // a pipe, for example
	}
	s := &source{at: at, seeker: seeker, start: start, cache: cache}
	if isFile {
		s.mem, s.unmap = mapSource(file, start, n)
	}
	return s
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
		n, err := s.at.ReadAt(b, s.start+off)
		off += int64(max(n, 0))
		return n, err
	}, step)
}

// copyMapped copies from a mapping of a source. It reports false where the source
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

// close ends the reading after n bytes.
func (s *source) close(n int64) error {
	_, err := s.seeker.Seek(s.start+n, io.SeekStart)
	if s.unmap != nil {
		err = errors.Join(err, s.unmap())
	}
	return err
}
