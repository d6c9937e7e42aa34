package famfs

// A mapping as a reader, for callers that want copies, offsets and errors instead of memory.

import (
	"fmt"
	"io"
	"io/fs"
)

// Section returns a reader that copies the file out of the mapping, for functions that want an
// io.ReaderAt, io.Seeker or io.Reader. Each reader has its own offset. ReadAt may be called
// concurrently.
//
// The reader is valid while the mapping is open. After Close, reading returns fs.ErrClosed, and at
// its end still io.EOF; Close
// during a read lets that read finish. If memory faults, the error is a *FaultError.
func (m *Mapping) Section() *io.SectionReader {
	return io.NewSectionReader(mappingReader{m}, 0, m.size)
}

// mappingReader is a Mapping as an io.ReaderAt.
type mappingReader struct{ m *Mapping }

func (r mappingReader) ReadAt(p []byte, off int64) (n int, err error) {
	m := r.m
	fail := func(err error) error { return &fs.PathError{Op: "read", Path: m.name, Err: err} }
	if off < 0 {
		return 0, fail(fmt.Errorf("offset %d: %w", off, fs.ErrInvalid))
	}
	s := m.fs.regions.share(&m.shared)
	if s == nil {
		return 0, fail(fs.ErrClosed)
	}
	defer func() {
		if leaveErr := m.fs.leaveRegion(s); leaveErr != nil && err == nil {
			err = fail(leaveErr)
		}
	}()
	if off >= int64(len(s.data)) {
		return 0, io.EOF
	}
	if err := Guard(func() error { n = copy(p, s.data[off:]); return nil }); err != nil {
		return 0, fail(err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
