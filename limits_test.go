package famfs

// When something runs out: entries of the log, space, extents of a file, runs of a mapping. Each
// has its own error, which says what has run out. Nothing has changed, and everything else goes
// on. Limits that a system sets to a process are in limits_linux_test.go, memory that faults in
// fault_test.go.

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unchanged records a file system, to check later that nothing has changed.
type unchanged struct {
	t            testing.TB
	fsys         *FS
	usage        Usage
	sharedMemory []byte
	listing      []string
}

func newUnchanged(t testing.TB, fsys *FS) *unchanged {
	t.Helper()
	return &unchanged{t, fsys, fsys.Usage(), readMetadata(t, fsys.Device().Path), listing(t, fsys)}
}

func (u *unchanged) assert() {
	u.t.Helper()
	assert.Equal(u.t, u.usage, u.fsys.Usage())
	assert.True(u.t, bytes.Equal(u.sharedMemory, readMetadata(u.t, u.fsys.Device().Path)), "the bytes of superblock and log")
	assert.Equal(u.t, u.listing, listing(u.t, u.fsys))
}

// assertLimit checks that err is of this kind and contains all of these texts.
func assertLimit(t testing.TB, err, is error, fragments ...string) {
	t.Helper()
	assert.ErrorIs(t, err, is)
	for _, fragment := range fragments {
		assert.ErrorContains(t, err, fragment)
	}
}

// assertGoesOn uses everything in a file system that does not need what has run out. There must
// be a file "first" with content.
func assertGoesOn(t testing.TB, fsys *FS, content []byte) {
	t.Helper()
	data, err := fsys.ReadFile("first")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
	m, err := fsys.Map("first")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, m.Bytes()))
	require.NoError(t, m.Close())
	_, err = fsys.Refresh()
	require.NoError(t, err)
	assert.Empty(t, fsys.Problems())
	reader := openTest(t, fsys.Device().Path)
	assert.Equal(t, fsys.Usage(), reader.Usage())
	data, err = reader.ReadFile("first")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
	report, err := Check(fsys.Device().Path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

func TestLimitLog(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(3*mib, 1)
	require.NoError(t, m.WriteFile("first", content, 0o644))
	for i := range m.Usage().LogCapacity - 1 {
		require.NoError(t, m.Mkdir(itoa(i), 0o755))
	}
	before := newUnchanged(t, m)
	require.Equal(t, before.usage.LogCapacity, before.usage.LogUsed)
	const all = "all 15420 entries are in use"
	_, err := m.Create("more", 1)
	assertLimit(t, err, ErrLogFull, "create more", all)
	assert.NotErrorIs(t, err, ErrNoSpace)
	assertLimit(t, m.WriteFile("more", content, 0o644), ErrLogFull, "create more", all)
	assertLimit(t, m.Mkdir("more", 0o755), ErrLogFull, "mkdir more", all)
	assertLimit(t, m.MkdirAll("more/of/it", 0o755), ErrLogFull, "mkdir more", all)
	assertLimit(t, m.MkdirAll(itoa(7)+"/more", 0o755), ErrLogFull, all)
	require.NoError(t, m.MkdirAll(itoa(7), 0o755), "what is there needs no entry")
	src := fstest.MapFS{"a": {Data: []byte("x")}, "b": {Data: []byte("x")}, "d/c": {Data: []byte("x")}}
	assertLimit(t, m.CopyFS(context.Background(), itoa(8), src), ErrLogFull, all)
	assert.ErrorIs(t, m.WriteFile("first", content, 0o644), fs.ErrExist)
	before.assert()
	assertGoesOn(t, m, content)
}

func TestLimitSpace(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(3*mib, 1)
	require.NoError(t, m.WriteFile("first", content, 0o644))
	rest := m.Usage().Free
	p, err := m.Create("rest", rest)
	require.NoError(t, err)
	_, err = m.Create("more", 1)
	assertLimit(t, err, ErrNoSpace, "create more", "0 bytes are free") // what is pending is taken
	require.NoError(t, p.Close())
	p, err = m.Create("rest", rest-2*mib+1)
	require.NoError(t, err, "and free again")
	require.NoError(t, p.Commit())

	before := newUnchanged(t, m)
	require.Zero(t, before.usage.Free)
	_, err = m.Create("more", 1)
	assertLimit(t, err, ErrNoSpace, "create more", "1 bytes in at most 16 extents", "0 bytes are free, 0 of them in one run")
	assert.NotErrorIs(t, err, ErrLogFull)
	_, err = m.Create("more", before.usage.Size+1)
	assertLimit(t, err, ErrNoSpace, "on a device of")
	_, err = m.Create("more", 4*mib, Interleave(Interleaving{2, 4, 2 * mib}))
	assertLimit(t, err, ErrNoSpace, "as 2 strips in different ones of 4 buckets")
	assertLimit(t, m.WriteFile("more", content, 0o644), ErrNoSpace, "create more")
	src := fstest.MapFS{"a": {Data: []byte("x")}, "b": {Data: []byte("x")}}
	assertLimit(t, m.CopyFS(context.Background(), ".", src), ErrNoSpace, "famfs: copy to .", "0 bytes are free")
	before.assert()
	require.NoError(t, m.Mkdir("d", 0o755), "a directory needs no space")
	assertGoesOn(t, m, content)
}

// If a copy does not fit, the part that fits stays, whole, and the copy can be resumed elsewhere.
func TestLimitSpaceWhileCopying(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, testSize)
	const fit = 20 // whatever the size of the device
	require.NoError(t, m.MkdirAll("d", 0o755))
	rest, err := m.Create("rest", m.Usage().Free-fit*m.Superblock().AllocUnit)
	require.NoError(t, err)
	require.NoError(t, rest.Commit())
	src := fstest.MapFS{}
	for i := range 2 * fit {
		src["d/"+itoa(i)] = &fstest.MapFile{Data: pattern(1000+i, uint64(i)), Mode: 0o644}
	}
	err = m.CopyFS(context.Background(), ".", src)
	assertLimit(t, err, ErrNoSpace, "famfs: copy to .", "0 bytes are free")
	u := m.Usage()
	assert.Zero(t, u.Free)
	assert.Equal(t, fit+1, u.Files)
	entries, err := m.ReadDir("d")
	require.NoError(t, err)
	for _, e := range entries {
		data, err := m.ReadFile("d/" + e.Name())
		require.NoError(t, err)
		assert.True(t, bytes.Equal(src["d/"+e.Name()].Data, data), e.Name())
	}
	require.Error(t, m.CopyFS(context.Background(), ".", src))
	assert.Equal(t, u, m.Usage())
	requireNoneMissing(t, m)
}

// requireNoneMissing checks that all space belongs to the metadata or to a file, or is free.
func requireNoneMissing(t testing.TB, fsys *FS) {
	t.Helper()
	sb, u := fsys.Superblock(), fsys.Usage()
	free := u.Size/sb.AllocUnit*sb.AllocUnit - roundUp(sb.logEnd(), sb.AllocUnit)
	free -= int64(len(fsys.Devices())-1) * superblockArea
	require.NoError(t, fs.WalkDir(fsys, ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		for _, x := range st.Sys().(*Attr).Layout.Extents {
			free -= x.Length
		}
		return nil
	}))
	require.Equal(t, free-u.Removed, u.Free, "free space")
}

// There is enough space, but sixteen pieces of it are not enough.
func TestLimitExtents(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, 128*mib)
	content := pattern(3*mib, 1)
	require.NoError(t, m.WriteFile("first", content, 0o644))
	fragment(t, m, 20)
	before := newUnchanged(t, m)
	for _, size := range []int64{16*2*mib + 1, 40 * mib} {
		_, err := m.Create("more", size)
		assertLimit(t, err, ErrNoSpace, "create more", "in at most 16 extents", "41943040 bytes are free, 2097152 of them in one run")
	}
	before.assert()
	most := pattern(16*2*mib, 2)
	require.NoError(t, m.WriteFile("sixteen", most, 0o644))
	st, err := m.Stat("sixteen")
	require.NoError(t, err)
	assert.Len(t, st.Sys().(*Attr).Layout.Extents, 16)
	mapped, err := m.Map("sixteen")
	if runtime.GOOS == "windows" {
		assert.ErrorIs(t, err, ErrDevice)
	} else {
		require.NoError(t, err)
		assert.True(t, bytes.Equal(most, mapped.Bytes()))
		require.NoError(t, mapped.Close())
	}
	assertGoesOn(t, m, content)
}

// A layout with more runs than any system can map is refused without asking the system. Reading
// it needs no mapping.
func TestLimitRuns(t *testing.T) {
	needsNoDevice(t)
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" || runtime.GOOS == "windows" {
		t.Skip("needs a sparse device of some GiB")
	}
	t.Parallel()
	const strip = (maxSegments/2 + 1) * smallUnit
	path := fileBacking(t, fuzzDataStart+2*strip+2*defaultUnit)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	f := &forgery{t: t, path: path, file: file}
	f.superblock(put64(32, smallUnit), nil)
	const start = fuzzDataStart
	f.append(forgedStrips("many", 2*strip, smallUnit, rawExtent{0, start, strip}, rawExtent{0, start + strip, strip}), nil)
	f.write(start+strip+5*smallUnit+7, []byte("here"))
	m := openTest(t, path, ReadWrite())
	content := pattern(1*mib, 1)
	require.NoError(t, m.WriteFile("first", content, 0o644))
	before := newUnchanged(t, m)
	for _, opts := range [][]MapOption{nil, {Writable()}, {Populate()}} {
		_, err = m.Map("many", opts...)
		assertLimit(t, err, ErrDevice, "map many", "more than 1048576 runs", "reading through fs.FS still works")
	}
	before.assert()
	many, err := m.Open("many")
	require.NoError(t, err)
	b := make([]byte, 4)
	_, err = many.(interface {
		ReadAt([]byte, int64) (int, error)
	}).ReadAt(b, 11*smallUnit+7)
	require.NoError(t, err)
	assert.Equal(t, "here", string(b))
	require.NoError(t, many.Close())
	assertGoesOn(t, m, content)
}
