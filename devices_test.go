package famfs

// File systems on several devices: finding the devices, those that are not here, and everything
// that is done with files on them.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// formatDevices returns the paths of n devices with a new file system.
func formatDevices(t testing.TB, n int, size int64, opts ...FormatOption) []string {
	t.Helper()
	needsFile(t, "it needs several devices")
	paths, dir := make([]string, n), testDir(t)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("device%d", i))
		require.NoError(t, CreateBacking(paths[i], size))
	}
	require.NoError(t, Format(paths[0], append(opts, WithSystemUUID(testHost), Secondaries(paths[1:]...))...))
	return paths
}

// oneDevice returns a file system on one device, whatever FAMFS_TEST_DEVICES says, and its path.
func oneDevice(t testing.TB, size int64) (*FS, string) {
	t.Helper()
	m, paths := severalDevices(t, 1, size)
	return m, paths[0]
}

// severalDevices returns a file system on n devices, open for writing, and their paths.
func severalDevices(t testing.TB, n int, size int64, opts ...Option) (*FS, []string) {
	t.Helper()
	paths := formatDevices(t, n, size)
	return openMaster(t, paths[0], append([]Option{WithDevices(paths[1:]...)}, opts...)...), paths
}

// addFile makes a file with a pattern of its own.
func addFile(t testing.TB, m *FS, name string, size int, opts ...CreateOption) []byte {
	t.Helper()
	p, err := m.Create(name, int64(size), opts...)
	require.NoError(t, err)
	defer p.Close()
	content := pattern(size, uint64(len(name)))
	_, err = p.Write(content)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	return content
}

func devicesOf(t testing.TB, f *FS, name string) (devices []int) {
	t.Helper()
	st, err := f.Stat(name)
	require.NoError(t, err)
	for _, x := range st.Sys().(*Attr).Layout.Extents {
		devices = append(devices, x.Device)
	}
	return devices
}

// assertContent compares a file in all ways in which it can be read.
func assertContent(t testing.TB, f *FS, name string, want []byte) {
	t.Helper()
	got, err := f.ReadFile(name)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, got), "%s, read", name)
	m, err := f.Map(name)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, m.Bytes()), "%s, mapped", name)
	require.NoError(t, m.Close())
	require.NoError(t, f.View(name, func(data []byte) error {
		assert.True(t, bytes.Equal(want, data), "%s, viewed", name)
		return nil
	}))
}

func TestAddDevice(t *testing.T) {
	t.Parallel()
	needsFile(t, "it needs several devices")
	first, second := fileBacking(t, testSize), fileBacking(t, testSize)
	require.NoError(t, Format(first, WithSystemUUID(testHost)))
	m := openMaster(t, first)
	before := addFile(t, m, "before", 3*mib)
	reader := openTest(t, first, WithDevices(second))
	blind := openTest(t, first)
	old := m.Superblock().UUID

	require.NoError(t, m.AddDevice(second))
	assert.ErrorIs(t, m.AddDevice(second), ErrBusy, "a second time")
	assert.ErrorIs(t, m.AddDevice(second, Force()), ErrBusy)
	assert.ErrorIs(t, m.AddDevice(first, Force()), ErrBusy, "the device with the log")
	after := addFile(t, m, "after", 3*mib, OnDevice(1))
	assert.Equal(t, []int{1}, devicesOf(t, m, "after"))
	for _, f := range []*FS{m, reader} {
		_, err := f.Refresh()
		require.NoError(t, err)
		assertContent(t, f, "before", before)
		assertContent(t, f, "after", after)
		assert.Empty(t, f.Problems())
		require.Len(t, f.Devices(), 2)
		assert.NoError(t, f.Devices()[1].Err)
	}
	_, err := blind.Refresh()
	require.NoError(t, err)
	assertContent(t, blind, "before", before)
	_, err = blind.Stat("after")
	assert.NoError(t, err)

	again := openTest(t, first, WithDevices(second))
	sb := again.Superblock()
	assert.Equal(t, old, sb.UUID, "hosts that have it open go on")
	assert.Equal(t, uint64(formatVersion|1<<33), sb.Version)
	assertContent(t, again, "after", after)
	report, err := Check(first, WithDevices(second))
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
	assert.Len(t, report.Devices, 2)
}

// What AddDevice refuses is as Format refuses it; without Force nothing is lost.
func TestAddDeviceRefuses(t *testing.T) {
	t.Parallel()
	needsFile(t, "it needs several devices")
	m, first := oneDevice(t, testSize)
	other := fileBacking(t, testSize)
	require.NoError(t, Format(other, WithSystemUUID(testHost)))
	assert.ErrorIs(t, m.AddDevice(other), fs.ErrExist)
	full := fileBacking(t, testSize)
	require.NoError(t, os.WriteFile(full, bytes.Repeat([]byte{7}, testSize), 0o600))
	assert.ErrorIs(t, m.AddDevice(full), ErrNotEmpty)
	assert.ErrorIs(t, m.AddDevice(fileBacking(t, superblockArea+defaultUnit-1)), fs.ErrInvalid)
	assert.ErrorIs(t, m.AddDevice(first+"-missing"), fs.ErrNotExist)
	assert.Len(t, m.Devices(), 1)
	assert.EqualValues(t, formatVersion, openTest(t, first).Superblock().Version, "nothing was changed")
	assert.ErrorIs(t, openTest(t, first).AddDevice(full, Force()), ErrReadOnly)
	assert.ErrorIs(t, Format(fileBacking(t, testSize), WithSystemUUID(testHost), Secondaries(other)), fs.ErrExist)
	require.NoError(t, m.AddDevice(full, Force()))
	require.NoError(t, m.AddDevice(other, Force()))
	require.NoError(t, m.AddDevice(fileBacking(t, superblockArea+defaultUnit)))
	assert.Len(t, m.Devices(), 4)
	_, err := Open(other)
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, m.Superblock().UUID.String(), "a secondary device says what it belongs to")
	_, err = Check(other)
	require.ErrorIs(t, err, ErrDevice)
	_, err = Open(other, Salvage())
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorIs(t, Format(other, WithSystemUUID(testHost)), fs.ErrExist)
	require.NoError(t, Wipe(other))
	require.NoError(t, Format(other, WithSystemUUID(testHost)), "wiped")
}

// Adding a device that was formatted and not logged succeeds.
func TestAddDeviceAgain(t *testing.T) {
	t.Parallel()
	needsFile(t, "it needs several devices")
	m, _ := oneDevice(t, testSize)
	path := fileBacking(t, testSize)
	n := newSecondary{path: path, primary: m.sb}
	require.NoError(t, n.format(formatConfig{}, false))
	require.NoError(t, m.AddDevice(path))
	assert.Len(t, m.Devices(), 2)
}

// A device that is not here: what lies on it is listed, and using it says what to do.
func TestDeviceNotHere(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	content := make(map[string][]byte)
	for i := range 3 {
		name := fmt.Sprint("on", i)
		content[name] = addFile(t, m, name, 3*mib, OnDevice(i))
	}
	content["all"] = addFile(t, m, "all", 7*mib, Interleave(Interleaving{Strips: 3, Chunk: 2 * mib}))
	uuid := m.Devices()[2].UUID
	for _, test := range []struct {
		name string
		opt  Option
	}{{"reader", nil}, {"tolerant", Tolerant()}, {"salvage", Salvage()}, {"master", ReadWrite()}} {
		t.Run(test.name, func(t *testing.T) {
			f := openTest(t, paths[0], test.opt, WithDevices(paths[1]))
			entries, err := f.ReadDir(".")
			require.NoError(t, err)
			assert.Len(t, entries, 4)
			assert.Empty(t, f.Problems())
			assertContent(t, f, "on0", content["on0"])
			assertContent(t, f, "on1", content["on1"])
			for _, absent := range []string{"on2", "all"} {
				st, err := f.Stat(absent)
				require.NoError(t, err)
				assert.EqualValues(t, len(content[absent]), st.Size())
				_, readErr := f.ReadFile(absent)
				_, mapErr := f.Map(absent)
				viewErr := f.View(absent, func([]byte) error { return nil })
				for _, err := range []error{readErr, mapErr, viewErr} {
					require.ErrorIs(t, err, ErrDevice)
					assert.ErrorContains(t, err, uuid.String())
					assert.ErrorContains(t, err, fmt.Sprint(testSize))
					assert.ErrorContains(t, err, "WithDevices")
				}
			}
			if test.name != "salvage" {
				report, err := f.Scrub(t.Context())
				require.NoError(t, err, "it goes on")
				assert.Equal(t, 2, report.Files)
				require.Len(t, report.Bad, 2)
				for i, absent := range []string{"on2", "all"} {
					assert.Equal(t, absent, report.Bad[i].Name)
					assert.EqualValues(t, len(content[absent]), report.Bad[i].Length)
					assert.ErrorIs(t, report.Bad[i], ErrDevice)
				}
			}
			infos := f.Devices()
			require.Len(t, infos, 3)
			assert.Equal(t, uuid, infos[2].UUID)
			assert.EqualValues(t, testSize, infos[2].Size)
			assert.ErrorIs(t, infos[2].Err, ErrDevice)
			assert.Zero(t, f.UsageByDevice()[2].Free)
			for x := range f.FreeSpace() {
				assert.NotEqual(t, 2, x.Device)
			}
			if test.name == "master" {
				_, err := f.Create("new", mib, OnDevice(2))
				assert.ErrorIs(t, err, ErrDevice)
				_, err = f.Create("new", mib, OnDevice(3))
				assert.ErrorIs(t, err, fs.ErrInvalid)
				_, err = f.Create("new", mib, OnDevice(-1))
				assert.ErrorIs(t, err, fs.ErrInvalid)
				for i := range 30 {
					name := fmt.Sprint("new", i)
					addFile(t, f, name, mib)
					assert.NotEqual(t, 2, devicesOf(t, f, name)[0], "nothing is allocated on it")
				}
				assert.ErrorIs(t, Compact(paths[0], WithSystemUUID(testHost), WithDevices(paths[1])), ErrDevice)
				require.NoError(t, f.Remove("on2"), "a name needs no memory")
			}
		})
	}
}

// Refresh looks again when an entry adds a device.
func TestDeviceIsFoundLater(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, testSize)
	content := addFile(t, m, "file", 3*mib, OnDevice(1))
	link := filepath.Join(testDir(t), "link")
	reader := openTest(t, paths[0], WithDevices(link))
	_, err := reader.ReadFile("file")
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, link, "why it is not here")
	require.NoError(t, os.Symlink(paths[1], link))
	require.NoError(t, m.AddDevice(fileBacking(t, testSize)))
	_, err = reader.Refresh()
	require.NoError(t, err)
	assertContent(t, reader, "file", content)
	assert.Error(t, reader.Devices()[2].Err)
	assert.Equal(t, m.UsageByDevice()[:2], reader.UsageByDevice()[:2])
}

// A device is known by its UUID, whatever its path, and counts once, whatever its paths.
func TestDevicePaths(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	content := addFile(t, m, "file", 3*mib, OnDevice(2))
	dir := testDir(t)
	chain := paths[2]
	for i := range 5 {
		link := filepath.Join(dir, fmt.Sprint("link", i))
		require.NoError(t, os.Symlink(chain, link))
		chain = link
	}
	loop := filepath.Join(dir, "loop")
	require.NoError(t, os.Symlink(loop, loop))
	hard := paths[1] + "-hard"
	require.NoError(t, os.Link(paths[1], hard))
	f := openTest(t, paths[0], WithDevices(chain, paths[2], paths[0], loop, dir), WithDevices(hard, paths[1]))
	assertContent(t, f, "file", content)
	infos := f.Devices()
	assert.Equal(t, []string{paths[0], hard, chain}, []string{infos[0].Path, infos[1].Path, infos[2].Path})
	assert.Empty(t, f.Problems())

	config := newOpenConfig([]Option{WithSystemUUID(testHost)})
	config.discover = func() []string { return slices.Clone(paths) }
	found, err := open(paths[0], config)
	require.NoError(t, err)
	defer found.release()
	assert.NoError(t, found.absent(), "by looking around")
}

// Devices that cannot be the one that is wanted.
func TestHostileDevices(t *testing.T) {
	t.Parallel()
	copyOf := func(t *testing.T, path string, change func(b []byte)) string {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		change(b)
		clear(b[copyAt:][:copySize]) // which Check would use
		to := path + "-copy"
		require.NoError(t, os.WriteFile(to, b, 0o600))
		return to
	}
	sum := func(b []byte) { binary.LittleEndian.PutUint64(b[superblockCRC:], checksum(b[:superblockCRC])) }
	for _, test := range []struct {
		name    string
		change  func(b []byte)
		want    string
		problem bool
	}{
		{"another file system's", func(b []byte) { b[fsUUIDAt]++; sum(b) }, "of file system", true},
		{"formatted anew", func(b []byte) { b[fsUUIDAt]++; b[deviceUUIDAt]++; sum(b) }, "of file system", true},
		{"without a checksum", func(b []byte) { b[superblockCRC]++ }, "CRC", true},
		{"another version", func(b []byte) { b[versionAt]++; sum(b) }, "version", true},
		{"unknown feature", func(b []byte) { b[versionAt+7] = 0x80; sum(b) }, "version", true},
		{"older format", func(b []byte) { b[omfMajorAt]--; sum(b) }, "on-media format", true},
		{"another unit", func(b []byte) { binary.LittleEndian.PutUint64(b[allocUnitAt:], smallUnit); sum(b) }, "allocation unit", true},
		{"with a log", func(b []byte) { b[flagsAt] = flagPrimary }, "with the log", true},
		{"with a log length", func(b []byte) { b[logSizeAt+3] = 1; sum(b) }, "with the log", true},
		{"no superblock", func(b []byte) { clear(b[:superblockSize]) }, "magic", true},
		{"too large for what it is", func(b []byte) {}, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 2, 16*mib)
			content := addFile(t, m, "file", mib, OnDevice(1))
			f := openTest(t, paths[0], WithDevices(copyOf(t, paths[1], test.change)))
			if !test.problem {
				assertContent(t, f, "file", content)
				return
			}
			_, err := f.ReadFile("file")
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, test.want)
			require.Len(t, f.Problems(), 1)
			assert.ErrorContains(t, f.Problems()[0], test.want)
			assert.ErrorContains(t, f.Problems()[0], "-copy")
			report, err := Check(paths[0], WithDevices(paths[1]+"-copy"))
			require.NoError(t, err)
			assert.Len(t, report.Problems, 1)
			assert.Error(t, report.Devices[1].Err)
		})
	}
	t.Run("too small", func(t *testing.T) {
		t.Parallel()
		m, paths := severalDevices(t, 2, 16*mib)
		addFile(t, m, "file", mib, OnDevice(1))
		for _, size := range []int64{16*mib - 1, superblockArea, superblockArea - 1, superblockSize, 1} {
			require.NoError(t, m.Close())
			require.NoError(t, os.Truncate(paths[1], size))
			m = openTest(t, paths[0], WithDevices(paths[1]))
			_, err := m.Map("file")
			require.ErrorIs(t, err, ErrDevice)
			require.Len(t, m.Problems(), 1, "%d bytes", size)
		}
	})
	t.Run("equal UUIDs", func(t *testing.T) {
		t.Parallel()
		_, paths := severalDevices(t, 2, 16*mib)
		twin := copyOf(t, paths[1], func([]byte) {})
		for _, try := range []func() error{
			func() error { _, err := Open(paths[0], WithDevices(paths[1], twin)); return err },
			func() error { _, err := Open(paths[0], WithDevices(paths[1], twin), Salvage()); return err },
		} {
			err := try()
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, paths[1])
			assert.ErrorContains(t, err, twin)
		}
		report, err := Check(paths[0], WithDevices(paths[1], twin))
		require.NoError(t, err, "it can be read all the same")
		require.Len(t, report.Problems, 1)
		assert.ErrorIs(t, report.Err(), ErrDevice)
		assert.ErrorContains(t, report.Err(), twin)
		assert.Error(t, report.Devices[1].Err)
	})
}

// Entries of devices and files, forged: whatever they say, nothing is mapped that is no file's.
func TestHostileDeviceExtents(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]Extent{
		"in the superblock": {Device: 1, Offset: 0, Length: 2 * mib},
		"behind the end":    {Device: 1, Offset: 16 * mib, Length: 2 * mib},
		"over the end":      {Device: 1, Offset: 14 * mib, Length: 4 * mib},
		"no such device":    {Device: 2, Offset: 4 * mib, Length: 2 * mib},
		"another file's":    {Device: 1, Offset: 2 * mib, Length: 2 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, here := range []bool{true, false} {
				m, paths := severalDevices(t, 2, 16*mib)
				addFile(t, m, "first", mib, OnDevice(1))
				p, err := m.Create("forged", 2*mib)
				require.NoError(t, err)
				p.home.place.Extents = []Extent{x}
				p.runs = nil
				require.Error(t, p.Commit())
				require.NoError(t, p.Close())
				var opts []Option
				if here {
					opts = append(opts, WithDevices(paths[1]))
				}
				f := openTest(t, paths[0], opts...)
				_, err = f.Stat("forged")
				assert.ErrorIs(t, err, fs.ErrNotExist)
				require.Len(t, f.Problems(), 1)
				_, err = f.Stat("first")
				assert.NoError(t, err)
			}
		})
	}
}

func TestRunSet(t *testing.T) {
	t.Parallel()
	var s runSet
	taken := make(map[int64]bool)
	x := uint64(1)
	for range 20_000 {
		x = x*6364136223846793005 + 1442695040888963407
		r := unitRun{int64(x>>33) % 50_000, int64(x>>20)%3 + 1}
		want := false
		for i := r.start; i < r.end(); i++ {
			want = want || taken[i]
		}
		require.Equal(t, want, s.overlaps(r), "%+v", r)
		if want {
			continue
		}
		s.add(r)
		for i := r.start; i < r.end(); i++ {
			taken[i] = true
		}
	}
	last, n := int64(-1), 0
	for _, c := range s.chunks {
		require.NotEmpty(t, c)
		require.LessOrEqual(t, len(c), runChunk)
		for _, r := range c {
			require.GreaterOrEqual(t, r.start, last)
			last, n = r.end(), n+1
		}
	}
	assert.Greater(t, len(s.chunks), 10)
	assert.Greater(t, n, 5000)
}

// Files go to the device with the most free space, so that devices fill evenly.
func TestDevicesFillEvenly(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, 32*mib)
	for i := range 30 {
		addFile(t, m, fmt.Sprint("f", i), 1)
	}
	usage := m.UsageByDevice()
	least, most := usage[0].Free, usage[0].Free
	for _, u := range usage {
		least, most = min(least, u.Free), max(most, u.Free)
		assert.Equal(t, u.Size, u.Allocated+u.Free)
	}
	assert.LessOrEqual(t, most-least, int64(defaultUnit))
	total := m.Usage()
	var sum DeviceUsage
	for _, u := range usage {
		sum.Size, sum.Allocated, sum.Free, sum.FileBytes = sum.Size+u.Size, sum.Allocated+u.Allocated, sum.Free+u.Free, sum.FileBytes+u.FileBytes
	}
	assert.Equal(t, DeviceUsage{Size: total.Size, Allocated: total.Allocated, Free: total.Free, FileBytes: total.FileBytes}, sum)
	assert.EqualValues(t, 3*32*mib, total.Size)

	// One run where any device has one, and else several over all devices, as few as can be.
	free := m.Usage().Free
	content := addFile(t, m, "rest", int(free))
	assert.Greater(t, len(devicesOf(t, m, "rest")), 1)
	assert.Zero(t, m.Usage().Free)
	_, err := m.Create("more", 1)
	assert.ErrorIs(t, err, ErrNoSpace)
	f := openTest(t, paths[0], WithDevices(paths[2], paths[1]))
	assertContent(t, f, "rest", content)
	assert.Equal(t, m.UsageByDevice(), f.UsageByDevice())
	require.NoError(t, m.Remove("rest"))
	removed := int64(0)
	for _, u := range m.UsageByDevice() {
		removed += u.Removed
	}
	assert.Equal(t, m.Usage().Removed, removed)
	assert.Equal(t, roundUp(free, defaultUnit), removed)
}

func TestInterleaveOverDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	content := make(map[string][]byte)
	begin := make(map[int]bool)
	for i := range 3 {
		name := fmt.Sprint("three", i)
		content[name] = addFile(t, m, name, 9*mib+5, Interleave(Interleaving{Strips: 3, Chunk: 2 * mib}))
		on := devicesOf(t, m, name)
		begin[on[0]] = true
		slices.Sort(on)
		assert.Equal(t, []int{0, 1, 2}, on)
	}
	assert.Len(t, begin, 3, "each begins with another device")
	content["eight"] = addFile(t, m, "eight", 17*mib, Interleave(Interleaving{Strips: 8, Chunk: 2 * mib}))
	count := make(map[int]int)
	for _, device := range devicesOf(t, m, "eight") {
		count[device]++
	}
	for _, n := range count {
		assert.GreaterOrEqual(t, n, 2)
		assert.LessOrEqual(t, n, 3)
	}
	content["bucket"] = addFile(t, m, "bucket", 9*mib, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: 2 * mib}))
	on := devicesOf(t, m, "bucket")
	assert.Equal(t, on[0], on[1], "buckets are of one device")
	content["one"] = addFile(t, m, "one", 9*mib, Interleave(Interleaving{Strips: 2, Chunk: 2 * mib}), OnDevice(1))
	assert.Equal(t, []int{1, 1}, devicesOf(t, m, "one"))
	content["small"] = addFile(t, m, "small", mib, Interleave(Interleaving{Strips: 2, Chunk: 2 * mib}))
	assert.Len(t, devicesOf(t, m, "small"), 1)
	f := openTest(t, paths[0], WithDevices(paths[1:]...))
	for name, want := range content {
		assertContent(t, m, name, want)
		assertContent(t, f, name, want)
	}
	_, err := m.Create("bad", 9*mib, Interleave(Interleaving{Strips: 2, Buckets: -1, Chunk: 2 * mib}))
	assert.ErrorIs(t, err, fs.ErrInvalid)
	single, _ := oneDevice(t, testSize)
	want := addFile(t, single, "single", 9*mib, Interleave(Interleaving{Strips: 3, Chunk: 2 * mib}))
	assertContent(t, single, "single", want)
}

// Stores through Bytes and mappings of a file on several devices reach all of them.
func TestWriteOverDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, testSize)
	p, err := m.Create("file", 9*mib, Interleave(Interleaving{Strips: 2, Chunk: 2 * mib}))
	require.NoError(t, err)
	defer p.Close()
	want := pattern(9*mib, 3)
	copy(p.Bytes(), want)
	require.NoError(t, p.Commit())
	mapping, err := m.Map("file", Writable(), Populate())
	require.NoError(t, err)
	fillPattern(mapping.Bytes()[mib:6*mib], 9)
	fillPattern(want[mib:6*mib], 9)
	require.NoError(t, mapping.FlushRange(mib, 5*mib))
	require.NoError(t, mapping.Invalidate())
	require.NoError(t, mapping.Close())
	assertContent(t, openTest(t, paths[0], WithDevices(paths[1])), "file", want)
}

// Compaction, removal and replacement with files over several devices.
func TestCompactDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	keep := addFile(t, m, "keep", 9*mib, Interleave(Interleaving{Strips: 3, Chunk: 2 * mib}))
	for i := range 3 {
		addFile(t, m, fmt.Sprint("gone", i), 3*mib, OnDevice(i))
	}
	require.NoError(t, m.Remove("gone0"))
	require.NoError(t, m.Remove("gone2"))
	addFile(t, m, "gone1", 5*mib, Replace())
	old := m.Superblock().UUID
	require.NoError(t, m.Close())
	require.NoError(t, Compact(paths[0], WithSystemUUID(testHost), WithDevices(paths[1:]...)))
	f := openMaster(t, paths[0], WithDevices(paths[1:]...))
	assert.NotEqual(t, old, f.Superblock().UUID)
	assert.NoError(t, f.absent(), "the devices belong to the new one")
	assert.Empty(t, f.Problems())
	assert.Zero(t, f.Usage().Removed)
	assertContent(t, f, "keep", keep)
	assert.Equal(t, 4, f.Usage().LogUsed)
}

// A log may add a device in each of its entries: the list of devices is not copied for each.
func TestSpaceGrowsSeldom(t *testing.T) {
	t.Parallel()
	s := newSpace(21, newAllocator(100))
	moved, at := 0, &(*s.all.Load())[0]
	for i := range 20_000 {
		before := *s.all.Load()
		s.add(1<<30, false)
		require.Len(t, before, i+1, "what readers have stays")
		if now := &(*s.all.Load())[0]; now != at {
			moved, at = moved+1, now
		}
	}
	assert.Equal(t, 20_001, s.devices())
	assert.Less(t, moved, 100)
}
