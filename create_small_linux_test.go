package famfs

// Stand-ins on a file system that is full: a small file's source is not read before there is
// room for all of the file, unless nobody misses what was read, and an error is forgotten only
// when there is room.

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

// onSmallTmpfs returns a file system on a stand-in that is larger than the tmpfs that it is on, and the
// folder that this is.
func onSmallTmpfs(t *testing.T) (m *FS, dir string) {
	dir = smallTmpfs(t, 32*mib)
	path := filepath.Join(dir, "device")
	require.NoError(t, CreateBacking(path, 64*mib))
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m = openMaster(t, path)
	needsCalls(t, m)
	return m, dir
}

func TestSmallFileWithoutRoom(t *testing.T) {
	t.Parallel()
	m, dir := onSmallTmpfs(t)
	want := pattern(100<<10, 1)
	p, err := m.Create("f", int64(len(want)))
	require.NoError(t, err)
	defer p.Close()
	empty := fillUp(t, dir)

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

// A file for which there is no room leaves as much as there was, so that others that fit can be copied.
func TestCopyWithoutRoomLeavesRoom(t *testing.T) {
	t.Parallel()
	m, dir := onSmallTmpfs(t)
	require.NoError(t, m.CopyFS(t.Context(), ".", fstest.MapFS{"before": {Data: pattern(1<<10, 2)}}))
	room := func() int64 {
		var st unix.Statfs_t
		require.NoError(t, unix.Statfs(dir, &st))
		return int64(st.Bfree) * int64(st.Bsize)
	}
	const some = 64 << 10
	left := filepath.Join(dir, "left")
	require.NoError(t, os.WriteFile(left, make([]byte, some), 0o600))
	fillUp(t, dir)
	require.NoError(t, os.Remove(left))
	require.EqualValues(t, some, room())
	require.ErrorIs(t, m.CopyFS(t.Context(), ".", fstest.MapFS{"f": {Data: pattern(100<<10, 1)}}), ErrNoSpace)
	require.EqualValues(t, some, room())
	require.ErrorIs(t, m.WriteFile("f", pattern(100<<10, 1), 0o644), ErrNoSpace)
	require.EqualValues(t, some, room())
	others := make(fstest.MapFS)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		others[name] = &fstest.MapFile{Data: pattern(4<<10, 1)}
	}
	require.NoError(t, m.CopyFS(t.Context(), ".", others))
}

// CopyFS, which drops a file whose source it cannot take whole, finds out by writing it that there is
// no room: the file is not there, and its space on the device is free. It can be copied again.
func TestCopyWithoutRoom(t *testing.T) {
	t.Parallel()
	m, dir := onSmallTmpfs(t)
	src := fstest.MapFS{"f": {Data: pattern(100<<10, 1)}}
	free := m.Usage().Free
	empty := fillUp(t, dir)
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

// What is written at once, if it is small, is not preceded by a reservation. If there is no room, all is
// as if it had been: Commit fails until there is room for the whole file, and filling can go on.
func TestWholeFileWithoutRoom(t *testing.T) {
	t.Parallel()
	const size = 100 << 10
	content := pattern(size, 1)
	for name, fill := range map[string]func(p *PendingFile) error{
		"at once": func(p *PendingFile) error {
			_, err := p.WriteAt(content, 0)
			return err
		},
		"from a source": func(p *PendingFile) error {
			p.onlyWhole = true
			_, err := p.ReadFrom(bytes.NewReader(content[p.at:]))
			return err
		},
		"from a source that is short": func(p *PendingFile) error {
			p.onlyWhole = true
			_, err := p.ReadFrom(bytes.NewReader(content[p.at:min(p.at+64<<10, size)]))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, dir := onSmallTmpfs(t)
			p, err := m.Create("f", size)
			require.NoError(t, err)
			defer p.Close()
			left := filepath.Join(dir, "left")
			require.NoError(t, os.WriteFile(left, make([]byte, 80<<10), 0o600)) // enough for what is short
			empty := fillUp(t, dir)
			require.NoError(t, os.Remove(left))
			for range 2 {
				require.ErrorIs(t, fill(p), ErrNoSpace)
				require.ErrorIs(t, p.Commit(), ErrNoSpace)
			}
			if p.at == 0 {
				require.Panics(t, func() {
					p.onlyWhole = true
					p.readFrom(bytes.NewReader(content), func(int64) error { panic("step") })
				})
			}
			require.ErrorIs(t, p.Commit(), ErrNoSpace)
			empty()
			for again := true; again; again = p.at > 0 && p.at < size {
				require.NoError(t, fill(p))
			}
			require.NoError(t, p.Commit())
			got, err := m.ReadFile("f")
			require.NoError(t, err)
			requireBytes(t, content, got, "f")
		})
	}
}
