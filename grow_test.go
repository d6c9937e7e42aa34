package famfs

// A device that has grown since it was formatted.

import (
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const grownSize = testSize + 32*mib

// grown returns a device that has grown, and the free space on it before.
func grown(t testing.TB) (f *forgery, free int64) {
	t.Helper()
	f = newForgery(t)
	f.good("first", firstUnit)
	fsys, err := Open(f.path)
	require.NoError(t, err)
	free = fsys.Usage().Free
	require.NoError(t, fsys.Close())
	require.NoError(t, os.Truncate(f.path, grownSize))
	return f, free
}

func TestGrow(t *testing.T) {
	t.Parallel()
	f, free := grown(t)
	before := openTest(t, f.path, ReadWrite())
	usage := before.Usage()
	assert.EqualValues(t, testSize, usage.Size)
	assert.EqualValues(t, grownSize, before.Device().Size)
	assert.Equal(t, free, usage.Free, "what the device has gained is not given out")
	assert.Equal(t, usage.Size, usage.Allocated+usage.Free)
	for x := range before.FreeSpace() {
		assert.LessOrEqual(t, x.Offset+x.Length, int64(testSize))
	}
	p, err := before.Create("large", usage.LargestFree+1)
	require.NoError(t, err, "in several extents")
	defer p.Close()
	require.NoError(t, before.Mkdir("d", 0o755))
	old := f.read(0, superblockSize)
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.True(t, report.Clean(), "%v", report.Err())
	assert.EqualValues(t, testSize, report.Usage.Size)

	// Grow waits for an FS with pending files.
	_, err = Open(f.path, ReadWrite(), Grow(), WithSystemUUID(testHost), WithLockTimeout(0))
	require.ErrorIs(t, err, ErrLocked)
	requireBytes(t, old, f.read(0, superblockSize), "the superblock")
	_, err = before.Create("whole", usage.Size)
	require.ErrorIs(t, err, ErrNoSpace)
	assert.ErrorContains(t, err, "the device has grown by 33554432, which Grow would add")
}

func TestGrowWrites(t *testing.T) {
	t.Parallel()
	f, free := grown(t)
	beside := openTest(t, f.path, ReadWrite())
	old := f.read(0, superblockSize)
	m := openTest(t, f.path, ReadWrite(), Grow())
	put64(deviceSizeAt, grownSize)(old)
	requireBytes(t, old, f.read(0, superblockSize), "the superblock, but for the size")
	assert.EqualValues(t, grownSize, m.Superblock().DeviceSize)
	assert.EqualValues(t, grownSize, m.Usage().Size)
	assert.Equal(t, free+grownSize-testSize, m.Usage().Free)
	data := pattern(int(52*mib), 7)
	require.NoError(t, m.WriteFile("new", data, 0o644))
	st, err := m.Stat("new")
	require.NoError(t, err)
	require.Greater(t, st.Sys().(*Attr).Layout.Extents[0].Offset+st.Size(), int64(testSize), "it lies where the device has grown")

	// An FS that knows the device's new size, but not the new superblock, sees the file, and
	// still allocates only the space that it did before.
	_, err = beside.Refresh()
	require.NoError(t, err)
	assert.Empty(t, beside.Problems())
	found, err := beside.ReadFile("new")
	require.NoError(t, err)
	requireBytes(t, data, found, "the file")
	assert.EqualValues(t, testSize, beside.Usage().Size)
	p, err := beside.Create("small", 1)
	require.NoError(t, err)
	require.NoError(t, p.Close())

	// Another Grow does nothing.
	require.NoError(t, m.Close())
	openTest(t, f.path, ReadWrite(), Grow())
	requireBytes(t, old, f.read(0, superblockSize), "the superblock")
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.True(t, report.Clean(), "%v", report.Err())
	for _, opts := range [][]Option{{Grow()}, {Grow(), Tolerant()}} {
		_, err = Open(f.path, append(opts, WithSystemUUID(testHost))...)
		assert.ErrorIs(t, err, fs.ErrInvalid)
	}
	_, err = Open(f.path, Grow(), ReadWrite(), WithSystemUUID(otherHost))
	assert.ErrorIs(t, err, ErrNotMaster)
}

// An FS that opened the device before it grew cannot reach the new part.
func TestGrowBehindReader(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	reader := openTest(t, f.path)
	require.NoError(t, os.Truncate(f.path, grownSize))
	m := openTest(t, f.path, ReadWrite(), Grow())
	require.NoError(t, m.WriteFile("beyond", make([]byte, testSize), 0o644))
	require.NoError(t, m.Mkdir("d", 0o755))
	n, err := reader.Refresh()
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	require.Len(t, reader.Problems(), 1)
	assert.ErrorContains(t, reader.Problems()[0], "passes the end of the device at 67108864")
	assertAbsent(t, reader, "beyond")
	_, err = openTest(t, f.path).Stat("beyond")
	require.NoError(t, err)
}

// No CRC covers the size. A size that leaves no room for a file is ignored. Files beyond a size
// that leaves room are served, if they are on the device.
func TestSuperblockDeviceSize(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size  uint64
		used  int64
		check string // what Check says
		grows bool
	}{
		"as it is":      {testSize, testSize, "", false},
		"zero":          {0, testSize, "found 0 as the size of the device, which has 67108864; Grow writes that", true},
		"within log":    {formatArea, testSize, "found 10485760 as the size", true},
		"a byte short":  {formatArea + defaultUnit - 1, testSize, "found 12582911 as the size", true},
		"room for one":  {formatArea + defaultUnit, formatArea + defaultUnit, "there are files beyond", true},
		"up to a file":  {(lastUnit + 1) * defaultUnit, (lastUnit + 1) * defaultUnit, "", true},
		"within a file": {(lastUnit+1)*defaultUnit - 1, (lastUnit+1)*defaultUnit - 1, "there are files beyond", true},
		"more":          {testSize + 1, testSize, "had 67108865 bytes when it was formatted, now it has 67108864", false},
		"huge":          {math.MaxUint64, testSize, "now it has 67108864", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			f.good("last", lastUnit)
			f.superblock(nil, put64(deviceSizeAt, test.size))
			fsys := openTest(t, f.path)
			assert.Empty(t, fsys.Problems())
			assertGood(t, fsys, "first", firstUnit)
			assertGood(t, fsys, "last", lastUnit)
			u := fsys.Usage()
			assert.Equal(t, test.used, u.Size)
			assert.Equal(t, u.Size, u.Allocated+u.Free)
			for x := range fsys.FreeSpace() {
				assert.LessOrEqual(t, x.Offset+x.Length, test.used)
			}
			report, err := Check(f.path)
			require.NoError(t, err)
			if test.check == "" {
				assert.True(t, report.Clean(), "%v", report.Err())
			} else {
				require.Len(t, report.Problems, 1)
				assert.ErrorContains(t, report.Problems[0], test.check)
			}
			m := openTest(t, f.path, ReadWrite(), Grow())
			assert.EqualValues(t, testSize, m.Usage().Size)
			want := test.size
			if test.grows {
				want = testSize
			}
			assert.Equal(t, want, binary.LittleEndian.Uint64(f.read(deviceSizeAt, 8)))
		})
	}
}

// The strips of an interleaved file lie in equal parts of the space that is given out.
func TestGrowBuckets(t *testing.T) {
	t.Parallel()
	f, _ := grown(t)
	m := openTest(t, f.path, ReadWrite())
	p, err := m.Create("striped", 4*defaultUnit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: defaultUnit}))
	require.NoError(t, err)
	defer p.Close()
	for _, x := range p.home.place.Extents {
		assert.LessOrEqual(t, x.Offset+x.Length, int64(testSize))
	}
}

// If everything stops while the size is written, the superblock has the old or the new size.
func TestCrashGrow(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	for _, removed := range []string{"", "flush", "fenceStores"} {
		medium := newSimMedium(logOffset + minLogSize)
		sb := crashSuperblock(1, minLogSize)
		require.NoError(t, writeFileSystem(&simImage{mem: medium.mem}, sb))
		h := newSimHost(medium)
		h.keep = true
		h.ignore = func(op simOp) bool { return op.kind == removed }
		found, err := readSuperblock(h, grownSize)
		require.NoError(t, err)
		require.Equal(t, sb, found)
		require.NoError(t, writeDeviceSize(h, grownSize))
		h.dropAll() // the power is cut after it returned
		found, err = readSuperblock(&simImage{mem: medium.mem}, grownSize)
		require.NoError(t, err)
		if removed != "" {
			assert.Equal(t, sb.DeviceSize, found.DeviceSize, "without %s it is not certain", removed)
			continue
		}
		sb.DeviceSize = grownSize
		assert.Equal(t, sb, found)
	}
	stores := 0
	h := newSimHost(newSimMedium(logOffset + minLogSize))
	h.beforeStore = func() { stores++ }
	require.NoError(t, writeDeviceSize(h, grownSize))
	assert.Equal(t, 1, stores, "it is there, or it is not")
}
