package famfs

// What options do, and the defaults without them.

import (
	"io/fs"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Without options: the log of the default size, the mode of a file and of a directory,
// and the user and group of the process.
func TestDefaults(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	assert.EqualValues(t, DefaultLogSize, m.Superblock().LogSize)
	assert.Equal(t, 15420, m.Usage().LogCapacity)
	p, err := m.Create("file", 1)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	require.NoError(t, m.MkdirWith("dir"))
	for name, want := range map[string]fs.FileMode{"file": 0o644, "dir": fs.ModeDir | 0o755} {
		st, err := m.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, want, st.Mode(), name)
		attr := st.Sys().(*Attr)
		assert.EqualValues(t, max(os.Getuid(), 0), attr.UID, name)
		assert.EqualValues(t, max(os.Getgid(), 0), attr.GID, name)
		assert.Zero(t, attr.Layout.Chunk, "not interleaved")
	}
	assert.Equal(t, 10*time.Second, DefaultLockTimeout)
	assert.Equal(t, DefaultLockTimeout, newOpenConfig(nil).lockTimeout)
	assert.Equal(t, time.Duration(0), newOpenConfig([]Option{WithLockTimeout(0)}).lockTimeout)
}

// Modes are used as they are given: without umask, and only permissions, setuid, setgid and sticky.
func TestModesAsGiven(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	for i, mode := range []fs.FileMode{0, 0o777, 0o666, fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky | 0o111} {
		file, dir := "f"+itoa(i), "d"+itoa(i)
		require.NoError(t, m.WriteFile(file, []byte("x"), mode))
		require.NoError(t, m.Mkdir(dir, mode))
		st, err := m.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, mode, st.Mode())
		st, err = m.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, fs.ModeDir|mode, st.Mode())
	}
	require.NoError(t, m.WriteFile("device", []byte("x"), fs.ModeDevice|fs.ModeNamedPipe|0o600))
	st, err := m.Stat("device")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), st.Mode())
}

// A log may be larger than the default, and has the number of entries in the documentation.
func TestLogSizes(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, 320*mib, LogSize(256*mib))
	assert.EqualValues(t, 256*mib, m.Superblock().LogSize)
	assert.Equal(t, 493447, m.Usage().LogCapacity)
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	st, err := m.Stat("f")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, st.Sys().(*Attr).Layout.Extents[0].Offset, int64(258*mib))
}

// A nil option, for example one that is set only sometimes, changes nothing.
func TestNilOptions(t *testing.T) {
	t.Parallel()
	path := testBacking(t, testSize)
	require.NoError(t, Format(path, nil, WithSystemUUID(testHost), Force(), nil))
	m := openTest(t, path, nil, ReadWrite(), nil)
	p, err := m.Create("f", 1, nil, Mode(0o600), nil)
	require.NoError(t, err)
	_, err = p.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	mapped, err := m.Map("f", nil, Populate(), nil)
	require.NoError(t, err)
	require.NoError(t, mapped.Close())
	src := fstest.MapFS{"g": {Data: []byte("y"), Mode: 0o640}}
	require.NoError(t, m.CopyFS(t.Context(), ".", src, nil, CreateWith(nil), nil))
	st, err := m.Stat("f")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), st.Mode())
	_, err = Check(path, nil)
	assert.NoError(t, err)
}
