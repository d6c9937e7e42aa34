package famfs

// File systems on several devices, where a device is not what it was a moment ago, or is something
// else: it vanishes, it is there twice, it is the one with the log. Superblocks that are wrong from
// the beginning are in devices_test.go.

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needsCuts skips a test on a system that does not let mapped files be cut.
func needsCuts(t testing.TB) {
	t.Helper()
	needsFaults(t)
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut")
	}
}

// Goroutines that add the same device do not format it one over the other.
func TestAddDeviceAtOnce(t *testing.T) {
	t.Parallel()
	m, first := oneDevice(t, testSize)
	second := fileBacking(t, testSize)
	errs := make(chan error)
	const goroutines = 8
	for range goroutines {
		go func() { errs <- m.AddDevice(second) }()
	}
	added := 0
	for range goroutines {
		if err := <-errs; err == nil {
			added++
		} else {
			assert.ErrorIs(t, err, ErrBusy)
		}
	}
	assert.Equal(t, 1, added)
	require.Len(t, m.Devices(), 2)
	assert.NoError(t, m.absent())
	f := openTest(t, first, WithDevices(second))
	assert.NoError(t, f.absent())
	assert.Empty(t, f.Problems())
}

// A device that is gone between being formatted and being used is not logged: the entry would stay
// for good.
func TestAddDeviceVanishes(t *testing.T) {
	t.Parallel()
	needsCuts(t)
	for _, test := range []struct {
		name string
		// formatting and finding are called with the device's path when it was opened to be formatted,
		// and to be used.
		formatting, finding func(t *testing.T, path string)
		want                error
	}{
		{"removed", func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, nil, fs.ErrNotExist},
		{"another in its place", func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, CreateBacking(path, testSize))
		}, nil, ErrNotFormatted},
		{"cut when it is found", nil, func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) }, ErrDevice},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			first, second := formatDevices(t, 1, testSize)[0], fileBacking(t, testSize)
			once := sync.OnceFunc(func() {
				if test.finding != nil {
					test.finding(t, second)
				}
			})
			m := openMaster(t, first, prepareOption(func(d *device) {
				if d.info.Path == second {
					once()
				}
			}))
			formatting := prepareOption(func(*device) {
				if test.formatting != nil {
					test.formatting(t, second)
				}
			})
			known := m.config.devices
			err := m.AddDevice(second, formatting)
			require.ErrorIs(t, err, test.want)
			assert.ErrorContains(t, err, second)
			assert.Zero(t, m.Usage().LogUsed, "nothing was logged")
			assert.Len(t, m.Devices(), 1)
			assert.EqualValues(t, formatVersion, openTest(t, first).Superblock().Version, "and nothing marked")
			assert.Equal(t, known, m.config.devices)

			third := fileBacking(t, testSize)
			require.NoError(t, m.AddDevice(third))
			content := addFile(t, m, "file", mib, OnDevice(1))
			assertContent(t, openTest(t, first, WithDevices(third)), "file", content)
		})
	}
	t.Run("smaller than it was", func(t *testing.T) {
		t.Parallel()
		m, _ := oneDevice(t, testSize)
		second := fileBacking(t, testSize)
		n := newSecondary{path: second, primary: m.sb}
		require.NoError(t, n.format(formatConfig{}, false))
		require.NoError(t, os.Truncate(second, superblockArea))
		s := &deviceSearch{}
		s.add(m, second, true)
		err := s.has(n.added)
		require.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, "has 2097152 now")
		require.NoError(t, s.release())
	})
}

// A device that vanishes while it is looked at is not here, and everything else works: between
// opening it and mapping it, between mapping it and reading its superblock, and between that and
// mapping a file.
func TestDeviceVanishes(t *testing.T) {
	t.Parallel()
	needsCuts(t)
	for _, test := range []struct {
		name   string
		vanish func(t *testing.T, d *device, path string)
		want   string
	}{
		{"before it is mapped", func(t *testing.T, d *device, _ string) {
			file := d.file
			var err error
			d.file, err = os.Open(os.DevNull) // which cannot be mapped
			require.NoError(t, err)
			require.NoError(t, file.Close())
		}, "cannot be mapped"},
		{"before its superblock is read", func(t *testing.T, _ *device, path string) { require.NoError(t, os.Truncate(path, 0)) }, "memory fault"},
		{"its link points nowhere", nil, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 3, 32*mib)
			content := [][]byte{addFile(t, m, "on0", mib, OnDevice(0)), nil, addFile(t, m, "on2", mib, OnDevice(2))}
			addFile(t, m, "on1", mib, OnDevice(1))
			require.NoError(t, m.Close())
			link := paths[1] + "-link"
			require.NoError(t, os.Symlink(paths[1], link))
			if test.vanish == nil {
				require.NoError(t, os.Remove(link))
				require.NoError(t, os.Symlink(link+"-missing", link))
			}
			prepare := prepareOption(func(d *device) {
				if d.info.Path == link {
					test.vanish(t, d, paths[1])
				}
			})
			f := openMaster(t, paths[0], WithDevices(link, paths[2]), prepare)
			assertContent(t, f, "on0", content[0])
			assertContent(t, f, "on2", content[2])
			_, err := f.Map("on1")
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, link)
			assert.ErrorContains(t, err, test.want)
			assert.Error(t, f.Devices()[1].Err)
			addFile(t, f, "more", mib)
			assert.NotEqual(t, []int{1}, devicesOf(t, f, "more"))
		})
	}
	t.Run("unbound before a file is mapped", func(t *testing.T) {
		t.Parallel()
		if runtime.GOOS != "linux" {
			t.Skip("other systems have no such devices")
		}
		m, paths := severalDevices(t, 2, 32*mib)
		addFile(t, m, "on1", mib, OnDevice(1))
		addFile(t, m, "both", 5*mib, overDevices(2))
		f := openTest(t, paths[0], WithDevices(paths[1]))
		dev := f.devices.list()[0].dev
		null, err := os.Open(os.DevNull) // which cannot be mapped, as a device that is unbound
		require.NoError(t, err)
		file := dev.file
		dev.file = null
		for _, name := range []string{"on1", "both"} {
			_, err := f.Map(name)
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, "unbound")
		}
		assert.ErrorIs(t, f.View("both", func([]byte) error { return nil }), ErrDevice)
		dev.file = file
		require.NoError(t, null.Close())
	})
	t.Run("before a file is mapped", func(t *testing.T) {
		t.Parallel()
		m, paths := severalDevices(t, 2, 32*mib)
		addFile(t, m, "on1", mib, OnDevice(1))
		before := addFile(t, m, "on0", mib, OnDevice(0))
		require.NoError(t, m.Close())
		f := openTest(t, paths[0], WithDevices(paths[1]))
		require.NoError(t, os.Truncate(paths[1], superblockArea))
		mapping, err := f.Map("on1")
		if err == nil {
			err = Guard(func() error { sink1 += int(mapping.Bytes()[5]); return nil })
			require.NoError(t, mapping.Close())
		}
		assert.ErrorIs(t, err, ErrDevice)
		assert.ErrorIs(t, f.View("on1", func(b []byte) error { sink1 += int(b[5]); return nil }), ErrDevice)
		_, err = f.Refresh()
		require.NoError(t, err)
		assertContent(t, f, "on0", before)
	})
}

var sink1 int // keeps what is read from being left out

// If memory fails while devices are looked for, none of them stays open.
func TestSearchEnds(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	require.NoError(t, m.Close())
	f, err := openMedium(paths[0], newOpenConfig([]Option{WithDevices(paths[1])}))
	require.NoError(t, err)
	f.sb, err = readSuperblock(&mappedMemory{dev: f.dev, mem: f.window.mem}, f.size())
	require.NoError(t, err)
	f.devices.search = f.startSearch() // and there it ended
	candidate := f.devices.search.candidates[0].dev
	require.NotNil(t, candidate)
	require.NoError(t, f.release())
	_, err = candidate.file.Stat()
	assert.ErrorIs(t, err, os.ErrClosed)
}

// A copy of a device that is in use is a problem when it is found, and is not used.
func TestTwinFoundLater(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 16*mib)
	content := addFile(t, m, "file", mib, OnDevice(1))
	twin := paths[1] + "-twin"
	f := openTest(t, paths[0], WithDevices(paths[1], twin))
	assert.Empty(t, f.Problems(), "a path without a device does no harm")
	b, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(twin, b, 0o600))
	require.NoError(t, m.AddDevice(fileBacking(t, 16*mib)))
	_, err = f.Refresh()
	require.NoError(t, err)
	assertContent(t, f, "file", content)
	var about []string
	for _, p := range f.Problems() {
		assert.ErrorIs(t, p, ErrDevice)
		about = append(about, p.Error())
	}
	require.Len(t, about, 1)
	assert.Contains(t, about[0], paths[1])
	assert.Contains(t, about[0], twin)
	assert.Equal(t, paths[1], f.Devices()[1].Path)
}

// The device with the log is none of the others, by whatever path, and neither is a copy of it.
func TestPrimaryIsNoSecondary(t *testing.T) {
	t.Parallel()
	needsFile(t, "it needs several devices")
	first, second := fileBacking(t, 32*mib), fileBacking(t, 32*mib)
	link, hard := first+"-link", first+"-hard"
	require.NoError(t, os.Symlink(first, link))
	require.NoError(t, os.Link(first, hard))
	loop := filepath.Join(testDir(t), "loop")
	require.NoError(t, os.Symlink(loop, loop))
	before, err := os.ReadFile(first)
	require.NoError(t, err)
	for name, others := range map[string][]string{
		"itself": {first}, "a link to it": {link}, "its other name": {second, hard}, "one twice": {second, second}, "a loop": {second, loop},
	} {
		err := Format(first, WithSystemUUID(testHost), Secondaries(others...))
		require.Error(t, err, name)
		assert.ErrorContains(t, err, others[len(others)-1], name)
		if name != "a loop" {
			assert.ErrorIs(t, err, ErrBusy, name)
		}
		for _, path := range []string{first, second} {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			requireBytes(t, before, b, name+": nothing is changed")
		}
	}
	require.NoError(t, Format(first, WithSystemUUID(testHost)))
	m := openMaster(t, first)
	for _, path := range []string{first, link, hard} {
		assert.ErrorIs(t, m.AddDevice(path, Force()), ErrBusy, path)
	}
	assert.Error(t, m.AddDevice(loop, Force()))
	assert.Zero(t, m.Usage().LogUsed)
	require.NoError(t, m.AddDevice(second))
	content := addFile(t, m, "file", mib, OnDevice(1))
	copied, err := os.ReadFile(first)
	require.NoError(t, err)
	copyPath := first + "-copy"
	require.NoError(t, os.WriteFile(copyPath, copied, 0o600))
	f := openTest(t, first, WithDevices(first, link, hard, loop, copyPath, second))
	assertContent(t, f, "file", content)
	assert.Empty(t, f.Problems())
	var opened []*device
	blind := openTest(t, first, WithDevices(link, copyPath), prepareOption(func(d *device) { opened = append(opened, d) }))
	require.Len(t, opened, 2, "the link is no other device")
	_, err = opened[1].file.Stat()
	assert.ErrorIs(t, err, os.ErrClosed, "what is not used is closed")
	require.Len(t, blind.Problems(), 1)
	assert.ErrorContains(t, blind.Problems()[0], copyPath)
	_, err = blind.ReadFile("file")
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "with the log")
}

// Devices cost time and memory in proportion to the log, however many it adds.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	const n = 5000
	b := make([]byte, n*entrySize)
	for i := range n {
		e := entry{seq: uint64(i), kind: typeAddDev, deviceSize: 1 << 62, deviceUUID: UUID{1, byte(i), byte(i >> 8)}, deviceIndex: uint32(i + 1)}
		record := e.encode()
		copy(b[i*entrySize:], record[:])
	}
	f.write(entryAt(0), b)
	f.setNext(n)
	m := openMaster(t, f.path, WithDevices(f.path+"-missing"))
	assert.Len(t, m.Devices(), n+1)
	assert.Empty(t, m.Problems())
	assert.EqualValues(t, testSize, m.Usage().Size)
	require.NoError(t, m.WriteFile("file", []byte("x"), 0o644))
	assert.Equal(t, []int{0}, devicesOf(t, m, "file"))
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.Empty(t, report.Problems)
}

// After an interrupted Format with further devices there is no file system. The same call needs Force
// then: of a device that is formatted it cannot be known what it belongs to.
func TestFormatDevicesInterrupted(t *testing.T) {
	t.Parallel()
	needsFile(t, "it needs several devices")
	first, second := fileBacking(t, 32*mib), fileBacking(t, 32*mib)
	n := newSecondary{path: second, primary: Superblock{Version: formatVersion, AllocUnit: defaultUnit, OMFMajor: omfMajor, OMFMinor: omfMinor, UUID: UUID{5}, SystemUUID: testHost}}
	require.NoError(t, n.format(formatConfig{}, false)) // and there it ended
	_, err := Open(first)
	assert.ErrorIs(t, err, ErrNotFormatted)
	assert.ErrorIs(t, Format(first, WithSystemUUID(testHost), Secondaries(second)), fs.ErrExist)
	require.NoError(t, Format(first, WithSystemUUID(testHost), Secondaries(second), Force()))
	m := openMaster(t, first, WithDevices(second))
	content := addFile(t, m, "file", mib, OnDevice(1))
	assertContent(t, m, "file", content)
}

// A device that is formatted for another file system, or wiped, while it is used: nothing more is put
// there or read there, and all else goes on.
func TestDeviceLost(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, path string){
		"wiped": func(t *testing.T, path string) { require.NoError(t, Wipe(path)) },
		"another file system's": func(t *testing.T, path string) {
			other := openMaster(t, formatDevices(t, 1, 32*mib)[0])
			require.NoError(t, other.AddDevice(path, Force()))
		},
		"a file system of its own": func(t *testing.T, path string) {
			require.NoError(t, Format(path, WithSystemUUID(testHost), Force()))
		},
		"added once more": func(t *testing.T, path string) { // with another UUID
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			b[deviceUUIDAt] ^= 1
			fixCRC(b, superblockCRC)
			writeBytes(t, path, 0, b[:superblockSize])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 3, 64*mib)
			content := make(map[string][]byte)
			for i := range 3 {
				name := fmt.Sprint("on", i)
				content[name] = addFile(t, m, name, 3*mib, OnDevice(i))
			}
			addFile(t, m, "fill0", 20*mib, OnDevice(0))
			addFile(t, m, "fill2", 20*mib, OnDevice(2))
			content["all"] = addFile(t, m, "all", 5*mib, overDevices(3))
			f := openTest(t, paths[0], WithDevices(paths[1:]...))
			mapping, err := f.Map("on1")
			require.NoError(t, err)
			pending, err := m.Create("pending", mib, OnDevice(1))
			require.NoError(t, err)
			require.NoError(t, pending.Close())
			take(t, paths[1])
			before, err := os.ReadFile(paths[1])
			require.NoError(t, err)

			// It has the most free space, and gets nothing.
			for i := range 4 {
				addFile(t, m, fmt.Sprint("new", i), mib)
				assert.NotEqual(t, []int{1}, devicesOf(t, m, fmt.Sprint("new", i)))
			}
			addFile(t, m, "spread", 9*mib, overDevices(4))
			assert.NotContains(t, devicesOf(t, m, "spread"), 1)
			_, err = m.Create("asked for", 1, OnDevice(1))
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, paths[1])
			after, err := os.ReadFile(paths[1])
			require.NoError(t, err)
			requireBytes(t, before, after, "nothing is written to it")

			refreshed(t, f)
			for _, fsys := range []*FS{m, f} {
				for _, lost := range []string{"on1", "all"} {
					_, err = fsys.Stat(lost)
					assert.NoError(t, err)
					_, err = fsys.ReadFile(lost)
					assert.ErrorIs(t, err, ErrDevice)
					_, err = fsys.Map(lost)
					assert.ErrorIs(t, err, ErrDevice)
					assert.ErrorIs(t, fsys.View(lost, func([]byte) error { return nil }), ErrDevice)
				}
				assertContent(t, fsys, "on0", content["on0"])
				assertContent(t, fsys, "on2", content["on2"])
				require.Len(t, fsys.Problems(), 1)
				assert.ErrorContains(t, fsys.Problems()[0], "while it was used")
				assert.ErrorIs(t, fsys.Devices()[1].Err, ErrDevice)
				assert.Zero(t, fsys.UsageByDevice()[1].Free)
				for x := range fsys.FreeSpace() {
					assert.NotEqual(t, 1, x.Device)
				}
				report, err := fsys.Scrub(t.Context())
				require.NoError(t, err)
				assert.Len(t, report.Bad, 2)
			}
			assert.Len(t, mapping.Bytes(), 3*mib, "what is mapped stays mapped")
			require.NoError(t, mapping.Close())
			require.NoError(t, m.AddDevice(fileBacking(t, 32*mib)), "more can be added")
			content["on3"] = addFile(t, m, "on3", mib, OnDevice(3))
			assertContent(t, m, "on3", content["on3"])
			require.Len(t, m.Problems(), 1)
			require.NoError(t, f.Close())
			again := openTest(t, paths[0], WithDevices(paths[1:]...))
			assert.ErrorIs(t, again.Devices()[1].Err, ErrDevice)
			assert.Equal(t, name != "added once more", len(again.Problems()) > 0)
		})
	}
}

// A device of whose file system a host may have files mapped is not taken, not even with Force.
func TestAddDeviceInUse(t *testing.T) {
	t.Parallel()
	needsSlots(t)
	used := formatDevices(t, 1, reuseSize, Reuse())[0]
	owner := openMaster(t, used)
	require.NoError(t, owner.Admit(otherHost))
	addFile(t, owner, "a", mib)
	require.NoError(t, owner.Close())
	c := openClient(t, used)
	mapping, err := c.Map("a")
	require.NoError(t, err)
	m, _ := oneDevice(t, testSize)
	fresh := fileBacking(t, testSize)
	for name, take := range map[string]func() error{
		"AddDevice": func() error { return m.AddDevice(used, Force()) },
		"Format":    func() error { return Format(fresh, WithSystemUUID(testHost), Secondaries(used), Force()) },
	} {
		err := take()
		require.ErrorIs(t, err, ErrBusy, name)
		assert.ErrorContains(t, err, otherHost.String(), name)
		assert.ErrorContains(t, err, used, name)
		again := openClient(t, used)
		require.NoError(t, again.View("a", func([]byte) error { return nil }), "%s has left no trace", name)
		require.NoError(t, again.Close())
	}
	_, err = Open(fresh)
	assert.ErrorIs(t, err, ErrNotFormatted)
	assert.Len(t, m.Devices(), 1)
	require.NoError(t, mapping.Close())
	require.NoError(t, c.Close())
	report, err := Check(used)
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, m.AddDevice(used, Force()))
	assert.Len(t, m.Devices(), 2)
}

// If the second of two devices is refused, the first stays what it was, and can be used.
func TestFormatDevicesRefusedLater(t *testing.T) {
	t.Parallel()
	needsSlots(t)
	used := formatDevices(t, 1, reuseSize, Reuse())[0]
	owner := openMaster(t, used)
	addFile(t, owner, "a", mib)
	require.NoError(t, owner.Close())
	fresh := fileBacking(t, testSize)
	require.ErrorIs(t, Format(fresh, WithSystemUUID(testHost), Secondaries(used, fresh+"-missing"), Force()), fs.ErrNotExist)
	again := openTest(t, used)
	require.NoError(t, again.View("a", func([]byte) error { return nil }))
}

// What an entry claims on a device that a later entry adds is not given out there.
func TestClaimBeforeDevice(t *testing.T) {
	t.Parallel()
	m, path := oneDevice(t, 32*mib)
	p, err := m.Create("early", 4*mib)
	require.NoError(t, err)
	p.home.place.Extents = []Extent{{Device: 1, Offset: 6 * mib, Length: 4 * mib}}
	p.runs = nil
	require.Error(t, p.Commit())
	require.NoError(t, p.Close())
	require.Len(t, m.Problems(), 1)
	added := fileBacking(t, 32*mib)
	require.NoError(t, m.AddDevice(added))
	again := openMaster(t, path, WithDevices(added))
	for _, fsys := range []*FS{m, again} {
		assert.EqualValues(t, (32-2-4)*mib, fsys.UsageByDevice()[1].Free)
	}
	addFile(t, again, "all", 24*mib, OnDevice(1))
	for _, x := range attrOf(t, again, "all").Layout.Extents {
		assert.True(t, x.Offset+x.Length <= 6*mib || x.Offset >= 10*mib, "%+v", x)
	}
}
