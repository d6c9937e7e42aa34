package famfs

// Filling pending files from readers: that every byte gets to its place, whichever way it
// takes, and what is left where a source ends early or fails.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources returns readers of content that stand at offset at, by name: streams, readers
// that can be read anywhere, and files.
func sources(t *testing.T, content []byte, at int64) map[string]io.Reader {
	t.Helper()
	path := filepath.Join(testDir(t), "source")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	all := map[string]io.Reader{
		"stream":         struct{ io.Reader }{bytes.NewReader(content)},
		"halves":         iotest.HalfReader(bytes.NewReader(content)),
		"data and EOF":   iotest.DataErrReader(bytes.NewReader(content)),
		"bytes.Reader":   bytes.NewReader(content),
		"section":        io.NewSectionReader(bytes.NewReader(append(pattern(77, 9), content...)), 77, int64(len(content))),
		"file":           file,
		"buffered bytes": bytes.NewBuffer(bytes.Clone(content)),
	}
	for name, r := range all {
		if s, ok := r.(io.Seeker); ok {
			_, err := s.Seek(at, io.SeekStart)
			require.NoError(t, err)
			continue
		}
		_, err := io.CopyN(io.Discard, r, at)
		require.NoError(t, err, name)
	}
	return all
}

func TestReadFromSources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ size, prefix, content, at int64 }{
		"small":               {1000, 0, 1000, 0},
		"one unit":            {workPiece, 0, workPiece, 0},
		"many units":          {9*workPiece + 77, 0, 9*workPiece + 77, 0},
		"from within":         {5*workPiece + 1, 0, 5*workPiece + 12346, 12345},
		"behind a prefix":     {5*workPiece + 1, 4097, 4*workPiece + 1, 0},
		"longer than needed":  {3*workPiece + 5, 0, 7 * workPiece, 100},
		"shorter by a byte":   {4 * workPiece, 0, 4*workPiece - 1, 0},
		"shorter by units":    {8 * workPiece, 3, 3*workPiece + 5, 3},
		"nothing left":        {3 * workPiece, 0, 1000, 1000},
		"ends where one ends": {6 * workPiece, 0, 2 * workPiece, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, 128*mib)
			content, prefix := pattern(int(test.content), 1), pattern(int(test.prefix), 2)
			want := min(test.size-test.prefix, test.content-test.at)
			for name, r := range sources(t, content, test.at) {
				p, err := m.Create("f", test.size)
				require.NoError(t, err)
				_, err = p.Write(prefix)
				require.NoError(t, err)
				n, err := p.ReadFrom(r)
				require.NoError(t, err, name)
				require.Equal(t, want, n, name)
				require.True(t, bytes.Equal(prefix, p.Bytes()[:test.prefix]), name)
				require.True(t, bytes.Equal(content[test.at:][:n], p.Bytes()[test.prefix:][:n]), name)
				// Both go on where this ended.
				if s, ok := r.(io.Seeker); ok {
					at, err := s.Seek(0, io.SeekCurrent)
					require.NoError(t, err)
					assert.Equal(t, test.at+n, at, name)
				}
				assert.Equal(t, test.prefix+n, p.at, name)
				require.NoError(t, p.Close())
			}
		})
	}
}

// brokenAt fails to read from offset at on.
type brokenAt struct {
	*bytes.Reader
	at    int64
	err   error
	calls atomic.Int64
}

func (b *brokenAt) ReadAt(p []byte, off int64) (int, error) {
	b.calls.Add(1)
	if off+int64(len(p)) > b.at {
		n, _ := b.Reader.ReadAt(p[:max(b.at-off, 0)], off)
		return n, b.err
	}
	return b.Reader.ReadAt(p, off)
}

func TestReadFromBrokenSource(t *testing.T) {
	t.Parallel()
	const size = 20 * workPiece
	content := pattern(size, 3)
	broken := errors.New("broken")
	for _, at := range []int64{0, 1, fillPiece, workPiece - 1, workPiece, 3*workPiece + 5, size - 1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, testSize)
			p, err := m.Create("f", size)
			require.NoError(t, err)
			r := &brokenAt{Reader: bytes.NewReader(content), at: at, err: broken}
			n, err := p.ReadFrom(r)
			require.ErrorIs(t, err, broken)
			require.ErrorContains(t, err, "write f: broken")
			require.Equal(t, at, n, "all before it has been read")
			require.True(t, bytes.Equal(content[:at], p.Bytes()[:at]))
			require.Less(t, r.calls.Load(), int64((at/workPiece+maxWorkers+1)*(workPiece/fillPiece)), "it ends there")
			// What is missing can be had from elsewhere.
			n, err = p.ReadFrom(bytes.NewReader(content[at:]))
			require.NoError(t, err)
			require.Equal(t, size-at, n)
			require.NoError(t, p.Commit())
			data, err := m.ReadFile("f")
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, data))
		})
	}
}

// wrongReader says that it read more than there is room for.
type wrongReader struct{ *bytes.Reader }

func (wrongReader) ReadAt(p []byte, _ int64) (int, error) { return len(p) + 1, nil }

// idleReader reads nothing, and says that this is fine.
type idleReader struct{ *bytes.Reader }

func (idleReader) ReadAt([]byte, int64) (int, error) { return 0, nil }

func TestReadFromBadReader(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p, err := m.Create("f", 3*workPiece)
	require.NoError(t, err)
	defer p.Close()
	content := bytes.NewReader(pattern(4*workPiece, 1))
	_, err = p.ReadFrom(wrongReader{content})
	assert.ErrorContains(t, err, "more than it was asked for")
	_, err = p.ReadFrom(idleReader{content})
	assert.ErrorIs(t, err, io.ErrNoProgress)
}

// A file that becomes shorter while it is copied ends the copy like any end of file: its
// mapping faults, and reading tells.
func TestReadFromTruncated(t *testing.T) {
	t.Parallel()
	content := pattern(4*workPiece, 4)
	file := sources(t, content, 0)["file"].(*os.File)
	src := openSource(file, 4*workPiece, thisMachine)
	require.NotNil(t, src)
	if src.mem == nil {
		t.Skip("files in this folder are not copied out of a mapping: FAMFS_TEST_DIR is not on tmpfs")
	}
	const end = workPiece + 1000
	require.NoError(t, os.Truncate(file.Name(), end))
	step := func(int64) error { return nil }
	to := make([]byte, workPiece)
	n, err := src.read(to, 0, step)
	require.NoError(t, err)
	require.Equal(t, int64(workPiece), n)
	require.True(t, bytes.Equal(content[:workPiece], to))
	n, err = src.read(to, workPiece, step)
	require.NoError(t, err)
	require.Equal(t, int64(1000), n)
	require.True(t, bytes.Equal(content[workPiece:end], to[:1000]))
	n, err = src.read(to, 2*workPiece, step)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, src.close(end))
}

// To copy a file with holes does not fill them.
func TestReadFromSparse(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	path := filepath.Join(testDir(t), "sparse")
	require.NoError(t, CreateBacking(path, 4*workPiece))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	src := openSource(file, 4*workPiece, thisMachine)
	require.NotNil(t, src)
	assert.Nil(t, src.mem)
	require.NoError(t, src.close(0))
	p, err := m.Create("f", 4*workPiece)
	require.NoError(t, err)
	defer p.Close()
	fillPattern(p.Bytes(), 1)
	n, err := p.ReadFrom(file)
	require.NoError(t, err)
	require.Equal(t, int64(4*workPiece), n)
	assert.True(t, allZeros(p.Bytes()))
}

func allZeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// An error of the step that is told of progress ends the reading, and is told.
func TestReadFromStopped(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	stopped := errors.New("stopped")
	for name, r := range sources(t, pattern(8*workPiece, 1), 0) {
		p, err := m.Create("f", 8*workPiece)
		require.NoError(t, err)
		var told atomic.Int64
		n, err := p.readFrom(r, func(n int64) error {
			if told.Add(n) > workPiece {
				return stopped
			}
			return nil
		})
		require.ErrorIs(t, err, stopped, name)
		require.Less(t, n, int64(8*workPiece), name)
		require.NoError(t, p.Close())
	}
}

// Where the memory is gone, that is what the error says, whoever found out.
func TestReadFromIntoFault(t *testing.T) {
	t.Parallel()
	content := pattern(3*workPiece, 1)
	for name, r := range sources(t, content, 0) {
		c := newCutFS(t, ReadWrite())
		p, err := c.Create("f", int64(len(content)))
		require.NoError(t, err)
		_, err = p.ReadFrom(r)
		var fault *FaultError
		require.ErrorAs(t, err, &fault, name)
		require.ErrorIs(t, err, ErrDevice, name)
		require.Equal(t, "f", fault.Name, name)
		require.ErrorIs(t, p.Commit(), ErrDevice, name)
		require.NoError(t, p.Close())
		_, err = c.Stat("f")
		require.ErrorIs(t, err, fs.ErrNotExist)
		c.requireClose(t)
	}
}
