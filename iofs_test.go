package famfs

// Reading through io/fs.

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallTree makes a tree with one file of each layout.
func smallTree(t testing.TB, m *FS) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"simple":         pattern(1000, 1),
		"dir/interleave": pattern(9*mib+3, 2),
		"dir/sub/one":    {1},
	}
	require.NoError(t, m.MkdirAll("dir/sub", 0o755))
	require.NoError(t, m.MkdirAll("empty", 0o700))
	for name, content := range files {
		p, err := m.Create(name, int64(len(content)), Interleave(Interleaving{3, 4, 2 * mib}))
		require.NoError(t, err)
		copy(p.Bytes(), content)
		require.NoError(t, p.Commit())
	}
	return files
}

func TestOwnTestFS(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.MkdirAll("dir/sub", 0o755))
	require.NoError(t, m.MkdirAll("empty", 0o700))
	var names []string
	for i, name := range []string{"a", "dir/b", "dir/sub/c", "dir/sub/été", "dir/-[x]*"} {
		require.NoError(t, m.WriteFile(name, pattern(1+1000*i, uint64(i)), 0o644))
		names = append(names, name)
	}
	require.NoError(t, fstest.TestFS(openTest(t, path), append(names, "empty")...))
}

func TestFiles(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	files := smallTree(t, m)
	fsys := openTest(t, path)
	for name, content := range files {
		f, err := fsys.Open(name)
		require.NoError(t, err)
		data, err := io.ReadAll(f)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, data), name)

		at := f.(io.ReaderAt)
		part := make([]byte, 100)
		for _, off := range []int64{0, int64(len(content)) / 2, int64(len(content)) - 1, 2*mib - 50, 4*mib - 50} {
			n, err := at.ReadAt(part, off)
			if off >= int64(len(content)) {
				assert.ErrorIs(t, err, io.EOF)
				continue
			}
			want := content[off:min(off+100, int64(len(content)))]
			assert.Equal(t, want, part[:n])
			if n < 100 {
				assert.ErrorIs(t, err, io.EOF)
			} else {
				assert.NoError(t, err)
			}
		}
		_, err = at.ReadAt(part, -1)
		assert.ErrorIs(t, err, fs.ErrInvalid)

		s := f.(io.Seeker)
		for _, seek := range []struct {
			off    int64
			whence int
			want   int64
		}{{0, io.SeekStart, 0}, {5, io.SeekCurrent, 5}, {-1, io.SeekEnd, int64(len(content)) - 1}, {1 << 40, io.SeekStart, 1 << 40}} {
			got, err := s.Seek(seek.off, seek.whence)
			assert.NoError(t, err)
			assert.Equal(t, seek.want, got)
		}
		n, err := f.Read(part)
		assert.Zero(t, n)
		assert.ErrorIs(t, err, io.EOF, "past the end")
		_, err = s.Seek(-1, io.SeekStart)
		assert.ErrorIs(t, err, fs.ErrInvalid)
		_, err = s.Seek(0, 9)
		assert.ErrorIs(t, err, fs.ErrInvalid)

		_, err = s.Seek(0, io.SeekStart)
		require.NoError(t, err)
		var out bytes.Buffer
		written, err := f.(io.WriterTo).WriteTo(&out)
		require.NoError(t, err)
		assert.Equal(t, int64(len(content)), written)
		assert.True(t, bytes.Equal(content, out.Bytes()))
		_, err = s.Seek(0, io.SeekStart)
		require.NoError(t, err)
		_, err = f.(io.WriterTo).WriteTo(shortWriter{})
		assert.ErrorIs(t, err, io.ErrShortWrite)

		require.NoError(t, f.Close())
		assert.ErrorIs(t, f.Close(), fs.ErrClosed)
		_, err = f.Read(part)
		assert.ErrorIs(t, err, fs.ErrClosed)
		_, err = f.(io.WriterTo).WriteTo(&out)
		assert.ErrorIs(t, err, fs.ErrClosed)
		_, err = f.Stat()
		assert.ErrorIs(t, err, fs.ErrClosed)
	}
}

// shortWriter writes one byte less than it is given, without an error.
type shortWriter struct{}

func (shortWriter) Write(b []byte) (int, error) { return len(b) - 1, nil }

func TestDirectories(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	smallTree(t, m)
	var all []string
	require.NoError(t, fs.WalkDir(m, ".", func(path string, d fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	assert.Equal(t, []string{".", "dir", "dir/interleave", "dir/sub", "dir/sub/one", "empty", "simple"}, all)

	d, err := m.Open(".")
	require.NoError(t, err)
	dir := d.(fs.ReadDirFile)
	_, err = d.Read(make([]byte, 1))
	assert.ErrorIs(t, err, fs.ErrInvalid)
	var names []string
	for {
		part, err := dir.ReadDir(2)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		for _, e := range part {
			names = append(names, e.Name())
		}
	}
	assert.Equal(t, []string{"dir", "empty", "simple"}, names)
	require.NoError(t, d.Close())

	st, err := m.Stat(".")
	require.NoError(t, err)
	assert.True(t, st.IsDir())
	assert.Equal(t, ".", st.Name())
	assert.Equal(t, Attr{Index: -1}, *st.Sys().(*Attr))
	assert.True(t, st.ModTime().IsZero())

	_, err = m.ReadDir("simple")
	assert.ErrorIs(t, err, fs.ErrInvalid)
	_, err = m.ReadFile("dir")
	assert.ErrorIs(t, err, fs.ErrInvalid)
	for _, name := range []string{"missing", "simple/x", "dir/missing"} {
		_, err = m.Open(name)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		_, err = m.Stat(name)
		assert.ErrorIs(t, err, fs.ErrNotExist)
	}
	for _, name := range []string{"", "/", "/simple", "dir/", "./dir", "../dir", "a\\../b/.."} {
		_, err = m.Open(name)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		_, err = m.ReadDir(name)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
	}
}

// What is open stays as it was: a file for ever, a directory from its first reading on.
func TestOpenStays(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	content := pattern(5000, 1)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/f", content, 0o644))
	reader := openTest(t, path)
	file, err := reader.Open("d/f")
	require.NoError(t, err)
	early, err := reader.Open("d")
	require.NoError(t, err)
	late, err := reader.Open("d")
	require.NoError(t, err)
	list := func(f fs.File) (names []string) {
		entries, err := f.(fs.ReadDirFile).ReadDir(-1)
		require.NoError(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	part, err := early.(fs.ReadDirFile).ReadDir(1)
	require.NoError(t, err)
	assert.Len(t, part, 1)
	require.NoError(t, m.WriteFile("d/g", pattern(5000, 2), 0o644))
	_, err = reader.Refresh()
	require.NoError(t, err)
	assert.Empty(t, list(early), "listed before")
	assert.Equal(t, []string{"f", "g"}, list(late), "listed now")
	got, err := io.ReadAll(file)
	require.NoError(t, err)
	assert.Equal(t, content, got)

	// ReadAt has no offset of its own: several goroutines can use one file.
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for off := i; off+100 <= len(content); off += 37 {
				b := make([]byte, 100)
				n, err := file.(io.ReaderAt).ReadAt(b, int64(off))
				assert.NoError(t, err)
				assert.Equal(t, content[off:off+100], b[:n])
			}
		})
	}
	readers.Wait()
}

// The value that Sys returns belongs to the caller.
func TestAttrIsACopy(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	files := smallTree(t, m)
	for name := range files {
		st, err := m.Stat(name)
		require.NoError(t, err)
		want := *st.Sys().(*Attr)
		want.Layout.Extents = slices.Clone(want.Layout.Extents)
		attr := st.Sys().(*Attr)
		for i := range attr.Layout.Extents {
			attr.Layout.Extents[i] = Extent{Device: 7, Offset: -1, Length: -1}
		}
		attr.Layout.Chunk, attr.Index, attr.UID = 1, 2, 3
		assert.Equal(t, want, *st.Sys().(*Attr), name)
		again, err := m.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, want, *again.Sys().(*Attr), name)
		data, err := m.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(files[name], data), name)
	}
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// While WriteTo runs, Close returns ErrBusy, whoever calls it. A writer that never returns does
// not make anybody wait.
func TestCloseWhileWriteTo(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	content := pattern(3*writeToPiece+5, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	fsys := openTest(t, path)
	file, err := fsys.Open("f")
	require.NoError(t, err)

	// From the writer itself.
	var out bytes.Buffer
	n, err := file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) {
		assert.ErrorIs(t, fsys.Close(), ErrBusy)
		return out.Write(b)
	}))
	require.NoError(t, err)
	assert.EqualValues(t, len(content), n)
	assert.True(t, bytes.Equal(content, out.Bytes()))

	// While the writer is stuck.
	_, err = file.(io.Seeker).Seek(0, io.SeekStart)
	require.NoError(t, err)
	in, end, done := make(chan struct{}), make(chan struct{}), make(chan error)
	broken := errors.New("connection broken")
	go func() {
		_, err := file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) {
			close(in)
			<-end
			return 0, broken
		}))
		done <- err
	}()
	<-in
	for range 3 {
		assert.ErrorIs(t, fsys.Close(), ErrBusy)
		_, err := fsys.ReadFile("f")
		assert.NoError(t, err)
	}
	close(end)
	assert.Same(t, broken, <-done, "the writer's own error")

	// A writer that panics does not hold anything any more.
	assert.PanicsWithValue(t, "writer", func() {
		file.(io.WriterTo).WriteTo(writerFunc(func([]byte) (int, error) { panic("writer") }))
	})
	require.NoError(t, fsys.Close())
	_, err = file.(io.WriterTo).WriteTo(io.Discard)
	assert.ErrorIs(t, err, fs.ErrClosed)
}

// If a writer closes the file, WriteTo ends there.
func TestWriteToClosed(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(2*writeToPiece, 1), 0o644))
	file, err := m.Open("f")
	require.NoError(t, err)
	n, err := file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) { return len(b), file.Close() }))
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.EqualValues(t, writeToPiece, n)
}

// Impossible counts of a writer are not believed.
func TestWriteToBadWriter(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(100, 1), 0o644))
	for _, said := range []int{-1, 101} {
		file, err := m.Open("f")
		require.NoError(t, err)
		n, err := file.(io.WriterTo).WriteTo(writerFunc(func([]byte) (int, error) { return said, nil }))
		assert.ErrorContains(t, err, "more than it was given")
		assert.Zero(t, n)
	}
}

// A web server serves a Range request directly from the mapping.
func TestHTTPRange(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	files := smallTree(t, m)
	server := httptest.NewServer(http.FileServerFS(m))
	defer server.Close()
	content := files["dir/interleave"]
	req, err := http.NewRequest(http.MethodGet, server.URL+"/dir/interleave", nil)
	require.NoError(t, err)
	req.Header.Set("Range", "bytes=2097100-4194400")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusPartialContent, resp.StatusCode)
	assert.Equal(t, "bytes 2097100-4194400/9437187", resp.Header.Get("Content-Range"))
	assert.True(t, bytes.Equal(content[2097100:4194401], body))

	whole, err := http.Get(server.URL + "/simple")
	require.NoError(t, err)
	defer whole.Body.Close()
	body, err = io.ReadAll(whole.Body)
	require.NoError(t, err)
	assert.Equal(t, files["simple"], body)
}
