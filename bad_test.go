package famfs

// Bad memory that the system lists, or that failed: what is on it is served, and nothing is put there.

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listsBad has the system list these segments of the device at path as bad.
func listsBad(path string, bad ...segment) prepareOption {
	return func(d *device) {
		if d.info.Path == path {
			d.listBad = func() ([]segment, error) { return bad, nil }
			d.lookForBad()
		}
	}
}

// extentsOf returns the extents of a file.
func extentsOf(t testing.TB, f *FS, name string) []Extent {
	t.Helper()
	st, err := f.Stat(name)
	require.NoError(t, err)
	return st.Sys().(*Attr).Layout.Extents
}

// requireApart fails if a file has any of the units of a device that bad memory is in.
func requireApart(t testing.TB, f *FS, name string, device int, bad ...DeviceRange) {
	t.Helper()
	for _, x := range extentsOf(t, f, name) {
		for _, b := range bad {
			apart := x.Device != device || x.Offset+x.Length <= b.Offset/defaultUnit*defaultUnit || b.Offset+b.Length <= x.Offset
			require.True(t, apart, "%s has %+v, and %+v is bad", name, x, b)
		}
	}
}

// fill makes files of one unit until nothing is free, and returns their names.
func fill(t testing.TB, f *FS) (names []string) {
	t.Helper()
	for i := f.Usage().LogUsed; ; i++ {
		name := fmt.Sprint("fill", i)
		p, err := f.Create(name, 1)
		if errors.Is(err, ErrNoSpace) {
			return names
		}
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		names = append(names, name)
	}
}

func TestBadMemory(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("before", firstUnit)
	f.good("hit", firstUnit+1)
	f.good("behind its end", firstUnit+2)
	free := openTest(t, f.path).Usage().Free
	bad := []segment{
		{(firstUnit+1)*defaultUnit + 4096, 512},
		{(firstUnit+2)*defaultUnit + 8192, 512}, // the file has 5000 bytes
		{(firstUnit+5)*defaultUnit - 512, 1024}, // in two units
		{(firstUnit+5)*defaultUnit + 512, 512},  // beside it
		{testSize - 512, 1 << 40},               // beyond the end
		{testSize + 4096, 512},
	}
	var told bytes.Buffer
	options := []Option{listsBad(f.path, bad...), ReadWrite(), WithLogger(slog.New(slog.NewTextHandler(&told, nil)))}
	m := openTest(t, f.path, options...)
	want := []DeviceRange{{bad[0].off, 512}, {bad[1].off, 512}, {bad[2].off, 1536}, {testSize - 512, 512}}
	assert.Equal(t, want, m.Device().Bad)
	assert.Equal(t, want, m.Devices()[0].Bad)
	assert.Equal(t, 1, strings.Count(told.String(), "the system lists memory of the device as bad"), told.String())

	// It is served, and listed.
	for name, unit := range map[string]int64{"before": firstUnit, "hit": firstUnit + 1, "behind its end": firstUnit + 2} {
		assertGood(t, m, name, unit)
	}
	problems := m.Problems()
	require.Len(t, problems, 1)
	assert.Equal(t, 1, problems[0].Index)
	assert.Equal(t, "hit", problems[0].Path)
	assert.ErrorIs(t, problems[0], ErrBadMemory)
	assert.ErrorIs(t, problems[0], ErrDevice)
	assert.ErrorContains(t, problems[0], `file "hit": 512 bytes, the first at offset 4096 of the file`)
	report, err := Check(f.path, listsBad(f.path, bad...))
	require.NoError(t, err)
	assert.Equal(t, want, report.Device.Bad)
	require.Len(t, report.Problems, 1)
	assert.ErrorIs(t, report.Problems[0], ErrBadMemory)

	// Nothing is put there: two units in the middle, and the last one.
	assert.Equal(t, free-3*defaultUnit, m.Usage().Free)
	for x := range m.FreeSpace() {
		for _, b := range want {
			assert.True(t, x.Offset+x.Length <= b.Offset || b.Offset+b.Length <= x.Offset, "%+v is free, and %+v is bad", x, b)
		}
	}
	for _, name := range fill(t, m) {
		requireApart(t, m, name, 0, want...)
	}
	// A file that is removed leaves its memory to nobody.
	require.NoError(t, m.Remove("hit"))
	assert.Empty(t, m.Problems())
	require.NoError(t, m.Close())
	require.NoError(t, Compact(f.path, WithSystemUUID(testHost), listsBad(f.path, bad...)))
	m = openTest(t, f.path, options...)
	assert.Zero(t, m.Usage().Free, "what was removed is bad")
	assert.Empty(t, m.Problems())
}

// A file in several extents, of strips, and the metadata.
func TestBadMemoryOfLayouts(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	p, err := m.Create("strips", 6*defaultUnit-100, Interleave(Interleaving{Strips: 3, Buckets: 3, Chunk: defaultUnit}))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	x := extentsOf(t, m, "strips")
	require.Len(t, x, 3)
	// The second strip has chunks 1 and 4 of the file.
	s := openTest(t, path, listsBad(path, segment{x[1].Offset + defaultUnit - 512, 1024}, segment{logOffset, 512}, segment{0, 512}))
	problems := s.Problems()
	require.Len(t, problems, 2)
	assert.Equal(t, -1, problems[0].Index)
	assert.ErrorIs(t, problems[0], ErrBadMemory)
	assert.ErrorContains(t, problems[0], "superblock or log of "+path)
	assert.ErrorContains(t, problems[1], `file "strips": 1024 bytes, the first at offset 4193792 of the file`)
	// Behind the end of the file there is nothing.
	s = openTest(t, path, listsBad(path, segment{x[2].Offset + 2*defaultUnit - 100, 50}))
	assert.Empty(t, s.Problems())
}

func TestBadMemoryOnSecondary(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, 32*mib)
	content := addFile(t, m, "hit", 3*defaultUnit, OnDevice(1))
	at := extentsOf(t, m, "hit")[0].Offset
	free := m.UsageByDevice()
	require.NoError(t, m.Close())
	bad := []segment{{at + defaultUnit, 4096}, {30 * mib, 512}}
	m = openMaster(t, paths[0], WithDevices(paths[1:]...), listsBad(paths[1], bad...))
	want := []DeviceRange{{at + defaultUnit, 4096}, {30 * mib, 512}}
	assert.Equal(t, want, m.Devices()[1].Bad)
	assert.Empty(t, m.Devices()[0].Bad)
	assert.Equal(t, free[1].Free-defaultUnit, m.UsageByDevice()[1].Free)
	assert.Equal(t, free[2].Free, m.UsageByDevice()[2].Free)
	require.Len(t, m.Problems(), 1)
	assert.ErrorContains(t, m.Problems()[0], `file "hit": 4096 bytes, the first at offset 2097152 of the file`)
	assertContent(t, m, "hit", content)
	for _, name := range fill(t, m) {
		requireApart(t, m, name, 1, want...)
	}
}

// A fault says whether the device is still there.
func TestFaultSaysGone(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	f := newForgery(t)
	f.good("f", lastUnit)
	fsys := openTest(t, f.path)
	mapping, err := fsys.Map("f")
	require.NoError(t, err)
	defer mapping.Close()
	require.NoError(t, os.Truncate(f.path, lastUnit*defaultUnit))
	_, read := fsys.ReadFile("f")
	guarded := Guard(func() error { loadPages(mapping.Bytes()[4200:4300]); return nil })
	for _, err := range []error{read, guarded} {
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, "f", fault.Name)
		assert.True(t, fault.Gone)
		assert.False(t, fault.Listed)
		assert.ErrorContains(t, err, "the device is gone, unbound, or shorter than it was")
	}
	assert.Empty(t, fsys.badMemory.failed, "that memory is not there is no reason to avoid it")
}

// Memory fails that the device still has, and that the system begins to list: it is not given out again.
func TestFailedMemoryIsAvoided(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	for _, listed := range []bool{false, true} {
		f := newForgery(t)
		require.NoError(t, Format(f.path, WithSystemUUID(testHost), Force(), Reuse()))
		var bad []segment
		fails := prepareOption(func(d *device) {
			d.whyGone = nil // nothing says that it was cut
			d.shared = true
			d.listBad = func() ([]segment, error) { return bad, nil }
		})
		m := openTest(t, f.path, ReadWrite(), fails)
		names := fill(t, m)
		last := names[len(names)-1]
		at := extentsOf(t, m, last)[0]
		require.NoError(t, os.Truncate(f.path, at.Offset))
		if listed {
			bad = []segment{{at.Offset, 512}}
		}
		_, err := m.ReadFile(last)
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, last, fault.Name)
		assert.False(t, fault.Gone)
		assert.Equal(t, listed, fault.Listed)
		if listed {
			assert.ErrorContains(t, err, "the system lists this memory as bad")
			assert.Len(t, m.Problems(), 1)
		}
		require.NoError(t, os.Truncate(f.path, testSize))
		require.NoError(t, m.Remove(last))
		require.NoError(t, m.Remove(names[0]))
		_, err = m.Reclaim()
		require.NoError(t, err)
		assert.EqualValues(t, defaultUnit, m.Usage().Free, "of two units one is bad")
		for _, name := range fill(t, m) {
			requireApart(t, m, name, 0, DeviceRange{at.Offset, at.Length})
		}
	}
}

// A fault of a store to memory that cannot be written is no reason to avoid it.
func TestReadOnlyMemoryIsNotBad(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	f := newForgery(t)
	f.good("f", firstUnit)
	fsys := openTest(t, f.path, prepareOption(func(d *device) { d.shared = true }))
	mapping, err := fsys.Map("f")
	require.NoError(t, err)
	defer mapping.Close()
	err = Guard(func() error { mapping.Bytes()[0] = 1; return nil })
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.False(t, fault.Gone || fault.Listed)
	assert.ErrorContains(t, err, "or mapped read-only")
	assert.Empty(t, fsys.badMemory.failed)
}

// Scrub asks the system anew.
func TestScrubLooksForBad(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	var bad []segment
	m.dev.listBad = func() ([]segment, error) { return bad, nil }
	free := m.Usage().Free
	bad = []segment{{lastUnit * defaultUnit, 512}}
	_, err := m.Scrub(t.Context())
	require.NoError(t, err)
	assert.Equal(t, free-defaultUnit, m.Usage().Free)
	assert.Len(t, m.Device().Bad, 1, path)
}

func TestJoinSegments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ all, want []segment }{
		{nil, nil},
		{[]segment{{8, 2}, {0, 4}}, []segment{{0, 4}, {8, 2}}},
		{[]segment{{4, 4}, {0, 4}}, []segment{{0, 8}}},
		{[]segment{{0, 8}, {2, 2}, {7, 3}}, []segment{{0, 10}}},
	} {
		assert.Equal(t, test.want, joinSegments(test.all))
	}
}

// The second look is at the device that the byte is on.
func TestFaultOnSecondary(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	m, paths := severalDevices(t, 2, 32*mib)
	addFile(t, m, "here", mib, OnDevice(0))
	addFile(t, m, "both", 4*defaultUnit, Interleave(Interleaving{Strips: 2, Chunk: defaultUnit}))
	require.ElementsMatch(t, []int{0, 1}, devicesOf(t, m, "both"))
	mapping, err := m.Map("both")
	require.NoError(t, err)
	defer mapping.Close()
	require.NoError(t, os.Truncate(paths[1], superblockArea))
	gone := 0
	for chunk := range 4 {
		err := Guard(func() error { loadPages(mapping.Bytes()[chunk*defaultUnit:][:100]); return nil })
		if err == nil {
			continue
		}
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, "both", fault.Name)
		assert.True(t, fault.Gone)
		gone++
	}
	assert.Equal(t, 2, gone)
	_, err = m.ReadFile("both")
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.True(t, fault.Gone)
	_, err = m.ReadFile("here")
	require.NoError(t, err)
}

// A device that is found after the FS was opened brings its bad memory with it.
func TestBadMemoryOfLateDevice(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	addFile(t, m, "hit", defaultUnit, OnDevice(1))
	at := extentsOf(t, m, "hit")[0].Offset
	bad := []segment{{at, 512}, {30 * mib, 512}}
	third := fileBacking(t, 32*mib)
	moved := paths[1] + "-elsewhere"
	require.NoError(t, os.Rename(paths[1], moved))
	reader := openTest(t, paths[0], WithDevices(paths[1]), listsBad(paths[1], bad...))
	require.Error(t, reader.absent())
	assert.Empty(t, reader.Problems())
	require.NoError(t, os.Rename(moved, paths[1]))
	require.NoError(t, m.AddDevice(third)) // which has the reader look again
	_, err := reader.Refresh()
	require.NoError(t, err)
	require.NoError(t, reader.Devices()[1].Err)
	require.Len(t, reader.Problems(), 1)
	assert.ErrorIs(t, reader.Problems()[0], ErrBadMemory)
	for x := range reader.FreeSpace() {
		assert.False(t, x.Device == 1 && x.Offset <= 30*mib && 30*mib < x.Offset+x.Length, "%+v", x)
	}
}

// What the messages say of bad memory helps: copying a file in again in its place puts it elsewhere, whether
// it can still be read or not.
func TestCopyReplacesOnBadMemory(t *testing.T) {
	t.Parallel()
	for _, how := range [][]CopyOption{nil, {Atomically()}} {
		f := newForgery(t)
		f.good("hit", firstUnit)
		m := openTest(t, f.path, listsBad(f.path, segment{firstUnit*defaultUnit + 4096, 512}), ReadWrite())
		data, err := m.ReadFile("hit")
		require.NoError(t, err)
		src := fstest.MapFS{"hit": {Data: data}}
		require.NoError(t, m.CopyFS(t.Context(), ".", src, how...))
		require.Len(t, m.Problems(), 1, "nothing was to be replaced")
		require.NoError(t, m.CopyFS(t.Context(), ".", src, append(how, CreateWith(Replace()))...))
		assert.Empty(t, m.Problems())
		again, err := m.ReadFile("hit")
		require.NoError(t, err)
		assert.Equal(t, data, again)
	}
}

func TestCopyReplacesWhatFaults(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	for i, how := range [][]CopyOption{nil, nil, {Atomically()}, {Atomically()}} {
		path, second := fileBacking(t, testSize), fileBacking(t, testSize)
		require.NoError(t, Format(path, WithSystemUUID(testHost), Secondaries(second)))
		m := openTest(t, path, ReadWrite(), WithDevices(second))
		seal := [][]CreateOption{nil, {Seal()}}[i%2]
		data := addFile(t, m, "hit", 8*mib, append(seal, OnDevice(1))...)
		require.NoError(t, os.Truncate(second, extentsOf(t, m, "hit")[0].Offset+3*mib))
		src := fstest.MapFS{"hit": {Data: data}}
		var fault *FaultError
		if len(seal) == 0 {
			require.ErrorAs(t, m.CopyFS(t.Context(), ".", src, how...), &fault)
		}
		require.NoError(t, m.CopyFS(t.Context(), ".", src, append(how, CreateWith(Replace(), OnDevice(0)))...))
		again, err := m.ReadFile("hit")
		require.NoError(t, err)
		assert.Equal(t, data, again)
	}
}
