package famfs

// A stand-in without room under it; and files that take only the room that is written.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// smallTmpfs mounts a tmpfs of so many bytes until the end of the test.
func smallTmpfs(t testing.TB, size int64) string {
	t.Helper()
	needsFile(t, "the test works on a file system of its own")
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,huge=never", size)); err != nil {
		t.Skipf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fillUp takes all room that is left, and returns a function that gives it back.
func fillUp(t testing.TB, dir string) (giveBack func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	require.NoError(t, err)
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			return func() { require.NoError(t, os.Remove(f.Name())) }
		}
	}
}

func TestNoRoomUnderStandIn(t *testing.T) {
	needsAdvice(t)
	t.Parallel()
	dir := smallTmpfs(t, 16*mib)
	path := filepath.Join(dir, "device")
	require.NoError(t, CreateBacking(path, 256*mib))
	noRoom := func(err error, what string) {
		t.Helper()
		require.ErrorIs(t, err, ErrNoSpace, what)
		assert.NotErrorIs(t, err, ErrDevice, "%s: %v", what, err)
		assert.ErrorContains(t, err, "the file system that "+path+" is on has no room", what)
	}
	giveBack := fillUp(t, dir)
	noRoom(Format(path, WithSystemUUID(testHost)), "format")
	giveBack()
	require.NoError(t, Format(path, WithSystemUUID(testHost)))

	m := openTest(t, path, ReadWrite())
	content := pattern(3*mib-5, 1)
	require.NoError(t, m.WriteFile("first", content, 0o644))
	hole, err := m.Create("hole", 8*mib)
	require.NoError(t, err)
	require.NoError(t, hole.Commit(), "nothing of it was written")
	noRoom(m.WriteFile("large", make([]byte, 8*mib), 0o644), "write")
	_, err = m.Stat("large")
	assert.Error(t, err)
	giveBack = fillUp(t, dir)
	noRoom(m.WriteFile("small", make([]byte, smallFile), 0o644), "write a small file")
	small, err := m.Create("small", smallFile)
	require.NoError(t, err)
	n, err := small.ReadFrom(bytes.NewReader(make([]byte, smallFile)))
	noRoom(err, "read into a small file")
	assert.Less(t, n, smallFile)
	noRoom(small.Commit(), "commit a small file")
	giveBack()
	_, err = small.WriteAt(make([]byte, smallFile), 0)
	require.NoError(t, err, "there is room now")
	require.NoError(t, small.Commit())
	p, err := m.Create("bytes", 8*mib)
	require.NoError(t, err)
	assert.Nil(t, p.Bytes())
	noRoom(p.Commit(), "commit")
	require.NoError(t, p.Close())
	_, err = m.Map("hole", Writable())
	noRoom(err, "map writable")
	_, err = m.Map("hole", Populate())
	noRoom(err, "populate")

	// The log can have holes as well, and entries do not end with pages.
	require.NoError(t, unix.Fallocate(int(m.dev.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, logOffset+4096, DefaultLogSize-4096))
	giveBack = fillUp(t, dir)
	made := 0
	for err = nil; err == nil && made < 100; made++ {
		err = m.Mkdir(fmt.Sprintf("d%d", made), 0o755)
	}
	noRoom(err, "mkdir")
	giveBack()
	require.NoError(t, m.Mkdir("again", 0o755))
	require.NoError(t, m.WriteFile("bytes", content, 0o644))
	for _, name := range []string{"first", "bytes"} {
		data, err := m.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, hexSum(content), hexSum(data), name)
	}
	report, err := Check(path)
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
}

// A file takes the room of its pages, not of its allocation units, wherever the stand-in is. The
// part of it that is not written reads as zeros.
func TestRoomForWhatIsWritten(t *testing.T) {
	needsAdvice(t)
	t.Parallel()
	const files = 50
	for name, dir := range map[string]string{"temporary folder": t.TempDir(), "tmpfs": smallTmpfs(t, 64*mib)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "device")
			require.NoError(t, CreateBacking(path, 256*mib))
			require.NoError(t, Format(path, WithSystemUUID(testHost)))
			m := openTest(t, path, ReadWrite())
			taken := func() int64 {
				var st unix.Stat_t
				require.NoError(t, unix.Stat(path, &st))
				return st.Blocks * 512
			}
			before := taken()
			for n := range files {
				require.NoError(t, m.WriteFile(fmt.Sprint(n), []byte("hello"), 0o644))
			}
			// The log's pages may still come in dozens.
			assert.Less(t, taken()-before, int64(files*4096+mib))
			before = taken()
			p, err := m.Create("large", 5*mib-5)
			require.NoError(t, err)
			p.Bytes()[mib] = 1
			assert.GreaterOrEqual(t, taken()-before, int64(5*mib))
			assert.Less(t, taken()-before, int64(6*mib), "not whole units")
			require.NoError(t, p.Commit())
			data, err := m.ReadFile("large")
			require.NoError(t, err)
			want := make([]byte, 5*mib-5)
			want[mib] = 1
			assert.Equal(t, hexSum(want), hexSum(data))
		})
	}
}

// Segments are cut at the end of the file, and nothing is reserved if there are no holes.
func TestReserve(t *testing.T) {
	t.Parallel()
	const size = 3*mib + 100
	d := testDevice(t, fileBacking(t, size), true)
	if d.info.Kind != File {
		t.Skip("not on a plain file")
	}
	assert.True(t, d.sparse())
	require.NoError(t, d.reserve([]segment{{3 * mib, 4096}, {0, 4096}, {4 * mib, 4096}}))
	st, err := d.file.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, size, st.Size(), "it has not grown")
	assert.True(t, d.sparse())
	require.NoError(t, d.reserve([]segment{{0, size}}))
	assert.False(t, d.sparse())

	// A device that cannot be changed has nothing to reserve, which is not an error.
	reader := testDevice(t, fileBacking(t, size), false)
	assert.NoError(t, reader.reserve([]segment{{0, 4096}}))
	assert.True(t, reader.sparse())
	assert.Equal(t, assert.AnError, reader.explain(assert.AnError, []segment{{0, 4096}}))
	assert.NoError(t, reader.explain(nil, nil))
}

// What has no holes is not allocated again; of anything else that is not known.
func TestKnownRoom(t *testing.T) {
	t.Parallel()
	path := filepath.Join(smallTmpfs(t, 16*mib), "device")
	require.NoError(t, CreateBacking(path, 64*mib))
	writeTo(t, path, 2*mib, pattern(2*mib, 1))
	d := testDevice(t, path, true)
	for s, want := range map[segment]bool{
		{2 * mib, 2 * mib}:            true,
		{2*mib + 4096, 8192}:          true,
		{2 * mib, 2*mib + 4096}:       false,
		{2*mib - 4096, 2 * mib}:       false,
		{0, 4096}:                     false,
		{64*mib - 4096, 4096}:         false,
		{2 * mib, 62 * mib}:           false,
		{4*mib - 4096, 4096}:          true,
		{4*mib - 4096, 4096 + 1}:      false,
		{4 * mib, 4096}:               false,
		{2*mib + 1, 2*mib - 1 - 4096}: true,
	} {
		assert.Equal(t, want, d.hasRoom(s), "%v", s)
	}
	d.giveBack(segment{2 * mib, mib})
	assert.False(t, d.hasRoom(segment{2 * mib, 2 * mib}))
	assert.True(t, d.hasRoom(segment{3 * mib, mib}))
	d.writeBack = true
	assert.False(t, d.hasRoom(segment{3 * mib, mib}), "on a disk")
}
