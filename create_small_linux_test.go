package famfs

// Stand-ins on a file system that is full: a small file's source is not read before there is
// room for all of the file, and an error is forgotten only when there is.

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// onSmallTmpfs returns a file system on a stand-in that is larger than what the tmpfs it is on still takes.
// fill fills that up to its last page, and returns what makes room again.
func onSmallTmpfs(t *testing.T) (m *FS, fill func() (empty func())) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skip("a full file system is mounted, which needs root: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "device")
	require.NoError(t, CreateBacking(path, 64*mib))
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m = openMaster(t, path)
	needsCalls(t, m)
	return m, func() func() {
		ballast, err := os.Create(filepath.Join(dir, "ballast"))
		require.NoError(t, err)
		for err == nil {
			_, err = ballast.Write(make([]byte, 4096))
		}
		require.NoError(t, ballast.Close())
		return func() { require.NoError(t, os.Remove(ballast.Name())) }
	}
}

func TestSmallFileWithoutRoom(t *testing.T) {
	t.Parallel()
	m, fill := onSmallTmpfs(t)
	want := pattern(100<<10, 1)
	p, err := m.Create("f", int64(len(want)))
	require.NoError(t, err)
	defer p.Close()
	empty := fill()

	r := bytes.NewReader(want)
	n, err := p.ReadFrom(r)
	require.ErrorIs(t, err, ErrNoSpace)
	at, err := r.Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	assert.Equal(t, n, at, "the source is where it was")
	require.ErrorIs(t, p.Commit(), ErrNoSpace)
	_, err = p.ReadFrom(bytes.NewReader(nil))
	if err == nil {
		require.ErrorIs(t, p.Commit(), ErrNoSpace, "reading nothing makes no room")
	}

	empty()
	n, err = p.ReadFrom(r)
	require.NoError(t, err)
	assert.EqualValues(t, len(want), n)
	require.NoError(t, p.Commit())
	got, err := m.ReadFile("f")
	require.NoError(t, err)
	requireBytes(t, want, got, "f")
}

// CopyFS, which drops a file whose source it cannot take whole, finds out by writing it that there is
// no room: the file is not there, and its space on the device is free. It can be copied again.
func TestCopyWithoutRoom(t *testing.T) {
	t.Parallel()
	m, fill := onSmallTmpfs(t)
	src := fstest.MapFS{"f": {Data: pattern(100<<10, 1)}}
	free := m.Usage().Free
	empty := fill()
	for range 2 {
		require.ErrorIs(t, m.CopyFS(t.Context(), ".", src), ErrNoSpace)
		_, err := m.Stat("f")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Equal(t, free, m.Usage().Free)
	}
	empty()
	require.NoError(t, m.CopyFS(t.Context(), ".", src))
	got, err := m.ReadFile("f")
	require.NoError(t, err)
	requireBytes(t, src["f"].Data, got, "f")
}
