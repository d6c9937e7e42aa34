package famfs

// Copying trees: what arrives, what is passed over, and what ends it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sourceTree() fstest.MapFS {
	return fstest.MapFS{
		"a":           {Data: pattern(100, 1), Mode: 0o600},
		"dir/b":       {Data: pattern(3*mib+1, 2), Mode: 0o644},
		"dir/sub/c":   {Data: pattern(4096, 3), Mode: 0o444},
		"dir/sub/d":   {Data: pattern(9*mib, 4), Mode: 0o640},
		"dir/nothing": {Mode: fs.ModeDir | 0o700},
	}
}

func assertTree(t testing.TB, fsys *FS, dir string, src fstest.MapFS) {
	t.Helper()
	sub, err := fs.Sub(fsys, dir)
	require.NoError(t, err)
	for name, file := range src {
		st, err := fs.Stat(sub, name)
		require.NoError(t, err)
		assert.Equal(t, file.Mode, st.Mode(), name)
		if !st.IsDir() {
			data, err := fs.ReadFile(sub, name)
			require.NoError(t, err)
			assert.Equal(t, hexSum(file.Data), hexSum(data), name)
		}
	}
}

func TestCopyFS(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "to/here"} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s by %d", path.Base(dir), workers), func(t *testing.T) { testCopyFS(t, dir, workers) })
		}
	}
}

func testCopyFS(t *testing.T, dir string, workers int) {
	m, device := master(t, testSize)
	src := sourceTree()
	var last Progress
	done := 0
	require.NoError(t, m.CopyFS(context.Background(), dir, src, Workers(workers), OnProgress(func(p Progress) {
		last = p
		if p.Done {
			done++
		}
		assert.False(t, p.Passed)
	}), CreateWith(Interleave(Interleaving{2, 4, 2 * mib}))))
	assert.Equal(t, 4, done)
	assert.Equal(t, 4, last.Files)
	assert.Equal(t, int64(100+3*mib+1+4096+9*mib), last.Bytes)
	assertTree(t, openTest(t, device), dir, src)

	// Again: all is there, nothing is written.
	before := readMetadata(t, device)
	passed := 0
	require.NoError(t, m.CopyFS(context.Background(), dir, src, OnProgress(func(p Progress) {
		assert.True(t, p.Passed)
		passed++
	})))
	assert.Equal(t, 4, passed)
	assert.Equal(t, before, readMetadata(t, device))
}

func TestCopyFSResumes(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	src := sourceTree()
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("enough")
	err := m.CopyFS(ctx, "x", src, Workers(1), OnProgress(func(p Progress) {
		if p.Done {
			cancel(stop)
		}
	}))
	assert.ErrorIs(t, err, stop)
	assert.Equal(t, 1, m.Usage().Files, "no half files")
	require.NoError(t, m.CopyFS(context.Background(), "x", src))
	assertTree(t, m, "x", src)
}

// What cannot be copied is reported, and does not keep the rest from it.
func TestCopyFSUnsuitable(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("a", pattern(100, 99), 0o644))
	require.NoError(t, m.Mkdir("dir", 0o755))
	require.NoError(t, m.WriteFile("dir/b", []byte("short"), 0o644))
	src := sourceTree()
	src["empty"] = &fstest.MapFile{Mode: 0o644}
	src["link"] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte("a")}
	src["dir/bad\x00name"] = &fstest.MapFile{Data: []byte("x")}
	err := m.CopyFS(context.Background(), ".", src)
	for _, want := range []string{"empty: is empty", "copy link: has type L", "a is there already and has other content", "dir/b is there already and has 5 bytes instead of 3145729", "holds a NUL"} {
		assert.ErrorContains(t, err, want)
	}
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorIs(t, err, fs.ErrInvalid)
	delete(src, "a")
	delete(src, "dir/b")
	delete(src, "empty")
	delete(src, "link")
	delete(src, "dir/bad\x00name")
	assertTree(t, m, ".", src)
}

func TestCopyFSEnds(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 16*mib)
	rest, err := m.Create("rest", m.Usage().LargestFree-4*mib)
	require.NoError(t, err)
	require.NoError(t, rest.Commit())
	err = m.CopyFS(context.Background(), ".", sourceTree())
	assert.ErrorIs(t, err, ErrNoSpace)
	assert.ErrorIs(t, m.CopyFS(context.Background(), "../x", sourceTree()), fs.ErrInvalid)
	assert.Empty(t, m.pending)
}

// A source that is shorter than it said makes no file.
func TestCopyFSShortSource(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	err := m.CopyFS(context.Background(), ".", liarFS{})
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.ErrorContains(t, err, "ended after 3 of 5 bytes")
	assert.Zero(t, m.Usage().Files)
}

// liarFS holds one file, whose size is not what it says.
type liarFS struct{}

func (liarFS) Open(name string) (fs.File, error) {
	f, err := fstest.MapFS{"f": {Data: []byte("abc")}}.Open(name)
	if err != nil || name != "f" {
		return f, err
	}
	return liar{f}, nil
}

type liar struct{ fs.File }

func (l liar) Stat() (fs.FileInfo, error) {
	st, err := l.File.Stat()
	return liarInfo{st}, err
}

type liarInfo struct{ fs.FileInfo }

func (liarInfo) Size() int64 { return 5 }
