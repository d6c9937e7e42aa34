package famfs

// Listing the log. golden_test.go has the content of the reference's images.

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A listing ends with an error if the file system is closed, before it or during it.
func TestLogAfterClose(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, m.Mkdir(name, 0o755))
	}
	fsys := openTest(t, path)
	var paths []string
	var failed error
	for e, err := range fsys.Log() {
		if err != nil {
			assert.Zero(t, e)
			require.NoError(t, failed, "one error, and it is the last")
			failed = err
			continue
		}
		paths = append(paths, e.Path)
		if e.Path == "b" {
			require.NoError(t, fsys.Close())
		}
	}
	assert.Equal(t, []string{"a", "b"}, paths)
	assert.ErrorIs(t, failed, fs.ErrClosed)
	n := 0
	for _, err := range fsys.Log() {
		n++
		assert.ErrorIs(t, err, fs.ErrClosed)
		assert.ErrorContains(t, err, path)
	}
	assert.Equal(t, 1, n)
}

// The listing shows the numbers of the entry, as far as they can be shown.
func TestLogShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	huge := forgedDevice(math.MaxUint32, 1)
	huge.deviceSize = math.MaxUint64
	f.append(huge, nil)
	f.append(forgedFile("f", math.MaxUint64, rawExtent{math.MaxUint32, math.MaxUint64, 1 << 62}, rawExtent{math.MaxUint64, 1, 2}), nil)
	fsys := openTest(t, f.path)
	var entries []LogEntry
	for e, err := range fsys.Log() {
		assert.ErrorIs(t, err, ErrCorrupt)
		entries = append(entries, e)
	}
	require.Len(t, entries, 2)
	index := int64(math.MaxUint32)
	if strconv.IntSize == 32 {
		index = math.MaxInt32
	}
	assert.EqualValues(t, index, entries[0].Device.Index)
	assert.Equal(t, int64(math.MaxInt64), entries[0].Device.Size)
	assert.Equal(t, int64(math.MaxInt64), entries[1].Size)
	assert.Equal(t, Layout{Extents: []Extent{{int(index), math.MaxInt64, 1 << 62}, {math.MaxInt, 1, 2}}}, entries[1].Layout)
}

// A tolerant FS shows all entries that it does not serve, even if it does not keep all of their
// problems.
func TestLogOfTolerant(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	const count = maxProblems + 500
	f := &forgery{t: t, path: fileBacking(t, 80*mib)}
	require.NoError(t, Format(f.path, LogSize(64*mib), WithSystemUUID(testHost)))
	var err error
	f.file, err = os.OpenFile(f.path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.file.Close() })
	f.appendDirs(count, nil)
	f.entry(7, nil, flip(50))
	fsys := openTest(t, f.path, Tolerant())
	require.Len(t, fsys.Problems(), maxProblems+1)
	n, unserved := 0, 0
	for e, err := range fsys.Log() {
		if e.Index != n {
			require.Equal(t, n, e.Index)
		}
		n++
		if err == nil {
			continue
		}
		unserved++
		if e.Index == 7 || e.Index == 8 || e.Index >= count-2 {
			assert.ErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, fmt.Sprintf("log entry %d", e.Index))
		}
	}
	assert.Equal(t, count, n)
	assert.Equal(t, count-7, unserved)
	// Entries logged later show after a Refresh.
	f.appendDirs(1, nil)
	_, err = fsys.Refresh()
	require.NoError(t, err)
	n = 0
	for range fsys.Log() {
		n++
	}
	assert.Equal(t, count+1, n)
}

// The log shows removals as they are.
func TestLogRemovals(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/f", []byte{1}, 0o644))
	require.NoError(t, m.RemoveAll("d"))
	var found []LogEntry
	for e, err := range openTest(t, path).Log() {
		require.NoError(t, err)
		if e.Type == "removal" {
			e.CRC = 0
			found = append(found, e)
		}
	}
	assert.Equal(t, []LogEntry{
		{Index: 2, Seq: 2, Type: "removal", Path: "d/f", Removes: 1},
		{Index: 3, Seq: 3, Type: "removal", Path: "d", Removes: 0},
	}, found)
}
