package famfs

// File systems on several devices: everything that is done with files elsewhere, done with files that lie
// on secondary devices, or on several at once; and what goes on when one device fails.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// overDevices spreads a file over n devices in chunks of 2 MiB.
func overDevices(n int) CreateOption {
	return Interleave(Interleaving{Strips: n, Chunk: 2 * mib})
}

// A device whose memory fails takes its files with it, and no others: they are read, mapped, verified
// and written meanwhile.
func TestFaultOnOneDevice(t *testing.T) {
	t.Parallel()
	needsCuts(t)
	m, paths := severalDevices(t, 3, testSize)
	content := make(map[string][]byte)
	for i := range 3 {
		name := fmt.Sprint("on", i)
		content[name] = addFile(t, m, name, 3*mib+i, OnDevice(i), Seal())
	}
	content["all"] = addFile(t, m, "all", 12*mib+7, overDevices(3), Seal())
	f := openTest(t, paths[0], WithDevices(paths[1:]...))
	mappings := make(map[string]*Mapping)
	for name := range content {
		mapping, err := f.Map(name)
		require.NoError(t, err)
		mappings[name] = mapping
	}
	open, err := f.Open("on1")
	require.NoError(t, err)
	pending, err := m.Create("pending", 3*mib, OnDevice(1))
	require.NoError(t, err)
	_ = pending.Bytes()
	before := f.Stats().Faults
	require.NoError(t, os.Truncate(paths[1], superblockArea))

	var done atomic.Bool
	var serving sync.WaitGroup
	for _, name := range []string{"on0", "on2"} {
		want := content[name]
		serving.Go(func() {
			for !done.Load() {
				b, err := f.ReadFile(name)
				if !assert.NoError(t, err) || !assert.True(t, bytes.Equal(want, b)) {
					return
				}
			}
		})
	}
	var fault *FaultError
	fails := func(name, what string, err error) {
		t.Helper()
		require.ErrorAs(t, err, &fault, "%s, %s", name, what)
		assert.Equal(t, name, fault.Name, what)
		assert.ErrorIs(t, err, ErrDevice)
	}
	for _, name := range []string{"on1", "all"} {
		_, err := f.ReadFile(name)
		fails(name, "read", err)
		fails(name, "viewed", f.View(name, func(b []byte) error { return fmt.Errorf("it can be seen: %d", sumOf(b)) }))
		fails(name, "mapped", Guard(func() error { return fmt.Errorf("it can be seen: %d", sumOf(mappings[name].Bytes())) }))
		fails(name, "verified", f.Verify(name))
		_, err = f.Map(name, Verified())
		fails(name, "mapped and verified", err)
	}
	_, err = open.Read(make([]byte, 10))
	fails("on1", "read of what was open", err)
	require.NoError(t, open.Close())
	assert.Greater(t, f.Stats().Faults, before)
	fails("pending", "stored to", Guard(func() error { pending.Bytes()[5] = 1; return nil }))
	if cachesFault {
		assert.ErrorIs(t, pending.Commit(), ErrDevice)
	}
	require.NoError(t, pending.Close())

	// What lies on the other devices of an interleaved file can still be read.
	place := attrOf(t, f, "all").Layout
	all, err := f.Open("all")
	require.NoError(t, err)
	good := 0
	for off := int64(0); off < int64(len(content["all"])); off += 2 * mib {
		device, _, _ := place.locate(off)
		b := make([]byte, 1000)
		_, err := all.(io.ReaderAt).ReadAt(b, off)
		if device == 1 {
			fails("all", fmt.Sprint(off), err)
			assert.GreaterOrEqual(t, fault.Offset, off)
			assert.Less(t, fault.Offset, off+1000)
			continue
		}
		if err != io.EOF { // the last piece is shorter
			require.NoError(t, err)
		}
		n := min(len(b), len(content["all"])-int(off))
		requireBytes(t, content["all"][off:][:n], b[:n], fmt.Sprint(off))
		good++
	}
	assert.Equal(t, 5, good)
	require.NoError(t, all.Close())

	report, err := f.Scrub(t.Context())
	require.NoError(t, err)
	bad := make(map[string]int64)
	for _, b := range report.Bad {
		assert.ErrorIs(t, b, ErrDevice)
		bad[b.Name] += b.Length
	}
	assert.Equal(t, map[string]int64{"on1": 3*mib + 1, "all": 4 * mib}, bad, "page by page, and nothing else")
	content["new"] = addFile(t, m, "new", 3*mib, OnDevice(2))
	refreshed(t, f)
	for _, name := range []string{"on0", "on2", "new"} {
		assertContent(t, f, name, content[name])
		assertContent(t, m, name, content[name])
	}
	require.NoError(t, f.Verify("on2"))
	require.NoError(t, m.Remove("on1"), "a name needs no memory")
	done.Store(true)
	serving.Wait()
	for _, mapping := range mappings {
		require.NoError(t, mapping.Close())
	}
	require.NoError(t, f.Close())
	require.NoError(t, m.Close())
	again := openTest(t, paths[0], WithDevices(paths[1:]...))
	require.Len(t, again.Problems(), 1)
	assert.ErrorContains(t, again.Problems()[0], "the log says")
	assertContent(t, again, "new", content["new"])
}

// sumOf reads all of b.
func sumOf(b []byte) (sum int) {
	for _, x := range b {
		sum += int(x)
	}
	return sum
}

// Queues whose files lie on secondary devices, or on several, between the master and another host.
func TestQueueOnDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	client := openClient(t, paths[0], WithDevices(paths[1:]...), WithClientWrites())
	for name, opts := range map[string][]CreateOption{"one": {OnDevice(1)}, "two": {OnDevice(2)}, "all": {overDevices(3)}} {
		for _, master := range []bool{true, false} {
			queue := fmt.Sprintf("%s-%v", name, master)
			require.NoError(t, m.CreateQueue(queue, 2049, 4096, opts...))
			on := devicesOf(t, m, queue)
			assert.NotContains(t, on[1:], on[0], "one on each device")
			refreshed(t, client)
			from, to := client, m
			if master {
				from, to = m, client
			}
			p, c := openProducer(t, from, queue), openConsumer(t, to, queue)
			_, err := to.Producer(queue)
			assert.ErrorIs(t, err, ErrBusy)
			_, err = from.Consumer(queue)
			assert.ErrorIs(t, err, ErrBusy)
			for i := range 3000 { // more than a lap
				message := fmt.Sprint("message ", i)
				require.NoError(t, p.Put(t.Context(), []byte(message)))
				require.Equal(t, message, getText(t, c))
			}
			info, err := client.StatQueue(queue)
			require.NoError(t, err)
			assert.EqualValues(t, 3000, info.Taken)
			assert.ErrorIs(t, m.RemoveQueue(queue), ErrBusy)
			require.NoError(t, p.Close())
			require.NoError(t, c.Close())
			if master {
				require.NoError(t, m.RemoveQueue(queue))
			}
		}
	}
	absent := openTest(t, paths[0], WithDevices(paths[2]), WithClientWrites())
	_, err := absent.Consumer("one-false")
	assert.ErrorIs(t, err, ErrDevice)
	openConsumer(t, absent, "two-false")
}

// The ends of queues at the same place of different devices do not keep each other out.
func TestQueueLocksByDevice(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	other := openTest(t, paths[0], WithDevices(paths[1:]...), WithClientWrites())
	var places []Extent
	for i, fsys := range []*FS{m, other} {
		name := fmt.Sprint("q", i)
		require.NoError(t, m.CreateQueue(name, 4, 64, OnDevice(1+i)))
		refreshed(t, other)
		places = append(places, attrOf(t, m, name).Layout.Extents[0])
		openProducer(t, fsys, name)
		openConsumer(t, fsys, name)
	}
	assert.Equal(t, places[0].Offset, places[1].Offset)
	assert.NotEqual(t, places[0].Device, places[1].Device)
}

// A queue on a device that fails is an error, and one on another goes on.
func TestQueueDeviceFails(t *testing.T) {
	t.Parallel()
	needsCuts(t)
	m, paths := severalDevices(t, 3, testSize)
	var ps []*Producer
	var cs []*Consumer
	for i := range 2 {
		name := fmt.Sprint("q", i)
		require.NoError(t, m.CreateQueue(name, 64, 4096, OnDevice(1+i)))
		ps, cs = append(ps, openProducer(t, m, name)), append(cs, openConsumer(t, m, name))
		require.NoError(t, ps[i].Put(t.Context(), []byte("x")))
	}
	require.NoError(t, os.Truncate(paths[1], superblockArea))
	var fault *FaultError
	require.ErrorAs(t, ps[0].Put(t.Context(), []byte("y")), &fault)
	assert.Contains(t, fault.Name, "q0")
	_, err := cs[0].Get(t.Context(), make([]byte, cs[0].MessageSize()))
	require.ErrorAs(t, err, &fault)
	require.NoError(t, ps[1].Put(t.Context(), []byte("y")))
	assert.Equal(t, "x", getText(t, cs[1]))
	assert.Equal(t, "y", getText(t, cs[1]))
}

// Grow is about the device with the log; what others have gained belongs to nobody.
func TestGrowWithDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	content := addFile(t, m, "file", 5*mib, overDevices(2))
	before := m.UsageByDevice()
	require.NoError(t, m.Close())
	for _, path := range paths {
		require.NoError(t, os.Truncate(path, 64*mib))
	}
	m = openMaster(t, paths[0], WithDevices(paths[1]))
	assert.Equal(t, before, m.UsageByDevice(), "nothing is used unasked")
	assert.Empty(t, m.Problems())
	assert.EqualValues(t, 64*mib, m.Devices()[1].Size)
	require.NoError(t, m.Close())
	m = openMaster(t, paths[0], WithDevices(paths[1]), Grow())
	after := m.UsageByDevice()
	assert.Equal(t, before[0].Size+32*mib, after[0].Size)
	assert.Equal(t, before[0].Free+32*mib, after[0].Free)
	assert.Equal(t, before[1], after[1])
	more := addFile(t, m, "more", int(after[0].Free), OnDevice(0))
	rest := addFile(t, m, "rest", int(after[1].Free), OnDevice(1))
	_, err := m.Create("none", 1)
	assert.ErrorIs(t, err, ErrNoSpace)
	f := openTest(t, paths[0], WithDevices(paths[1]))
	assertContent(t, f, "file", content)
	assertContent(t, f, "more", more)
	assertContent(t, f, "rest", rest)
	for _, x := range attrOf(t, f, "rest").Layout.Extents {
		assert.LessOrEqual(t, x.Offset+x.Length, int64(32*mib))
	}
}

// reusingDevices returns a file system on n devices that gives memory out again, with a client.
func reusingDevices(t testing.TB, n int) (m, c *FS, paths []string) {
	t.Helper()
	needsSlots(t)
	paths = formatDevices(t, n, reuseSize, Reuse())
	m = openMaster(t, paths[0], WithDevices(paths[1:]...))
	require.NoError(t, m.Admit(otherHost))
	return m, openClient(t, paths[0], WithDevices(paths[1:]...)), paths
}

// Memory of removed files comes back on every device, once nobody can reach it.
func TestReuseOnDevices(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"closed", "evicted"} {
		t.Run(ends, func(t *testing.T) {
			t.Parallel()
			needsFaults(t)
			m, c, paths := reusingDevices(t, 3)
			empty := m.UsageByDevice()
			content := make(map[string][]byte)
			for i := range 3 {
				name := fmt.Sprint("on", i)
				content[name] = addFile(t, m, name, 2*defaultUnit, OnDevice(i))
			}
			content["all"] = addFile(t, m, "all", 6*defaultUnit, overDevices(3))
			content["stays"] = addFile(t, m, "stays", defaultUnit, OnDevice(1))
			refreshed(t, c)
			var mappings []*Mapping
			for name := range content {
				mapping, err := c.Map(name)
				require.NoError(t, err)
				mappings = append(mappings, mapping)
				requireBytes(t, content[name], mapping.Bytes(), name)
				if name != "stays" {
					require.NoError(t, m.Remove(name))
				}
			}
			removed, err := m.Reclaim()
			require.NoError(t, err)
			assert.Zero(t, removed.Freed)
			assert.EqualValues(t, 12*defaultUnit, removed.Held)
			for i, u := range m.UsageByDevice() {
				assert.EqualValues(t, 4*defaultUnit, u.Removed, "device %d", i)
			}
			assert.Equal(t, m.Usage().Removed, refreshed(t, c).Usage().Removed)
			if ends == "evicted" {
				require.NoError(t, m.Evict(otherHost))
				_, err = c.Refresh()
				require.ErrorIs(t, err, ErrEvicted)
				var fault *FaultError
				for _, mapping := range mappings {
					assert.ErrorAs(t, Guard(func() error { return fmt.Errorf("it can be seen: %d", mapping.Bytes()[0]) }), &fault)
				}
				for i := range 3 {
					on, err := c.on(i)
					require.NoError(t, err)
					assert.ErrorAs(t, Guard(func() error { return fmt.Errorf("it can be seen: %d", on.window.mem[reuseSize-1]) }), &fault, "device %d", i)
				}
			}
			for _, mapping := range mappings {
				require.NoError(t, mapping.Close())
			}
			if ends == "closed" {
				refreshed(t, c)
			}
			removed, err = m.Reclaim()
			require.NoError(t, err)
			assert.Zero(t, removed.Held)
			now := m.UsageByDevice()
			assert.Equal(t, empty[1].Free-defaultUnit, now[1].Free)
			assert.Equal(t, []DeviceUsage{empty[0], empty[2]}, []DeviceUsage{now[0], now[2]})
			for i := range 3 { // and it is used again
				name := fmt.Sprint("again", i)
				content[name] = addFile(t, m, name, int(now[i].Free), OnDevice(i))
			}
			f := openTest(t, paths[0], WithDevices(paths[2], paths[1]))
			assertContent(t, f, "stays", content["stays"])
			for i := range 3 {
				name := fmt.Sprint("again", i)
				assertContent(t, f, name, content[name])
			}
		})
	}
}

// What was removed on a device that was not here is held when it comes, and given out again.
func TestReuseDeviceComesLater(t *testing.T) {
	t.Parallel()
	m, c, paths := reusingDevices(t, 2)
	addFile(t, m, "a", 3*defaultUnit, OnDevice(1))
	mapping, err := refreshed(t, c).Map("a")
	require.NoError(t, err)
	empty := m.UsageByDevice()[1].Size - superblockArea
	require.NoError(t, m.Close())
	link := filepath.Join(testDir(t), "link")
	m = openMaster(t, paths[0], WithDevices(link))
	require.ErrorIs(t, m.absent(), ErrDevice)
	require.NoError(t, m.Remove("a"))
	_, err = m.Reclaim()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(paths[1], link))
	require.NoError(t, m.AddDevice(fileBacking(t, reuseSize)))
	require.NoError(t, m.absent())
	assert.EqualValues(t, 3*defaultUnit, m.UsageByDevice()[1].Removed)
	assert.EqualValues(t, 3*defaultUnit, m.Usage().Removed, "the total is that of all")
	_, err = m.Create("b", empty-2*defaultUnit, OnDevice(1))
	require.ErrorIs(t, err, ErrNoSpace)
	require.NoError(t, mapping.Close())
	refreshed(t, c)
	removed, err := m.Reclaim()
	require.NoError(t, err)
	assert.EqualValues(t, 3*defaultUnit, removed.Freed)
	assert.Zero(t, removed.Held)
	content := addFile(t, m, "b", int(empty), OnDevice(1))
	assertContent(t, openTest(t, paths[0], WithDevices(paths[1])), "b", content)
}

// So is what was removed when nobody could reach it any more.
func TestReuseDeviceComesLaterUnused(t *testing.T) {
	t.Parallel()
	m, c, paths := reusingDevices(t, 2)
	require.NoError(t, c.Close())
	addFile(t, m, "a", 3*defaultUnit, OnDevice(1))
	before := m.UsageByDevice()[1].Free
	require.NoError(t, m.Close())
	link := filepath.Join(testDir(t), "link")
	m = openMaster(t, paths[0], WithDevices(link))
	require.NoError(t, m.Remove("a"))
	_, err := m.Reclaim()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(paths[1], link))
	require.NoError(t, m.AddDevice(fileBacking(t, reuseSize)))
	_, err = m.Reclaim()
	require.NoError(t, err)
	assert.Equal(t, before+3*defaultUnit, m.UsageByDevice()[1].Free)
	assert.Zero(t, m.Usage().Removed)
}

// Memory of each device is thrown out of the caches if other hosts have it, whatever the device with
// the log is.
func TestReuseForgetsByDevice(t *testing.T) {
	t.Parallel()
	m, c, paths := reusingDevices(t, 3)
	require.NoError(t, m.Close())
	require.NoError(t, c.Close())
	lines, ops := recordLines()
	f := openMaster(t, paths[0], WithDevices(paths[1:]...), prepareOption(func(d *device) {
		if d.info.Path == paths[1] {
			d.shared, d.cache = true, lines
		}
	}))
	*ops = nil
	require.NoError(t, f.forgetAllData())
	forgotten := uintptr(0)
	on, err := f.on(1)
	require.NoError(t, err)
	for _, op := range *ops {
		if op.kind == "invalidate" {
			assert.True(t, on.inWindow(op.from))
			forgotten += op.lines * lineSize
		}
	}
	assert.EqualValues(t, reuseSize-superblockArea, forgotten)
}

// With the superblock of the device with the log lost, files on other devices are salvaged, whatever
// the unit is; devices of other file systems do no harm.
func TestSalvageDevices(t *testing.T) {
	t.Parallel()
	for _, unit := range []int64{defaultUnit, smallUnit} {
		for name, size := range map[string]int{"superblock": superblockSize, "first line": 1, "superblock and log header": logOffset + logHeaderSize} {
			t.Run(fmt.Sprintf("%s, units of %d", name, unit), func(t *testing.T) {
				t.Parallel()
				paths, others := formatDevices(t, 3, testSize, AllocUnit(unit)), formatDevices(t, 2, 32*mib)
				m := openMaster(t, paths[0], WithDevices(paths[1:]...))
				content := map[string][]byte{
					"on1": addFile(t, m, "on1", 5000, OnDevice(1)),
					"on2": addFile(t, m, "on2", 3*mib, OnDevice(2)),
					"all": addFile(t, m, "all", 9*mib, overDevices(3)),
				}
				require.NoError(t, m.Close())
				file, err := os.OpenFile(paths[0], os.O_RDWR, 0)
				require.NoError(t, err)
				defer file.Close()
				b := make([]byte, size)
				if size == 1 {
					readAt(t, file, b, 0)
					b[0] ^= 1
				}
				_, err = file.WriteAt(b, 0)
				require.NoError(t, err)
				_, err = Open(paths[0], WithDevices(paths[1:]...))
				require.ErrorIs(t, err, ErrCorrupt)
				f := openTest(t, paths[0], Salvage(), WithDevices(others[1], paths[2], paths[1]))
				assert.NotEmpty(t, f.Problems())
				require.NoError(t, f.absent())
				for name, want := range content {
					assertContent(t, f, name, want)
				}
				report, err := Check(paths[0], WithDevices(paths[1:]...))
				require.NoError(t, err)
				assert.Len(t, report.Devices, 3)
				assert.Equal(t, len(content), report.Usage.Files)
				f = openTest(t, paths[0], Salvage(), WithDevices(paths[1]))
				assertContent(t, f, "on1", content["on1"])
				_, err = f.ReadFile("on2")
				assert.ErrorIs(t, err, ErrDevice)
			})
		}
	}
}

// stoppingMemory panics at a store, as if power were lost then.
type stoppingMemory struct {
	sharedMemory
	left *int // how many stores go on
}

func (m stoppingMemory) count() {
	if *m.left--; *m.left < 0 {
		panic(crashed{})
	}
}

func (m stoppingMemory) store(off int64, p []byte) {
	m.count()
	m.sharedMemory.store(off, p)
}

func (m stoppingMemory) store64(off int64, v uint64) {
	m.count()
	m.sharedMemory.store64(off, v)
}

func (m stoppingMemory) storePair(off int64, a, b uint64) {
	m.count()
	m.sharedMemory.storePair(off, a, b)
}

// stoppedCompaction compacts the log of a file system on three devices, up to so many stores. It
// returns the file system's devices, what is there, and whether the compaction came to its end.
func stoppedCompaction(t *testing.T, stores int) (paths []string, live map[string][]byte, done bool) {
	t.Helper()
	m, paths := severalDevices(t, 3, 32*mib)
	live = map[string][]byte{"all": addFile(t, m, "all", 5*mib, overDevices(3))}
	addFile(t, m, "gone", mib, OnDevice(2))
	live["on1"] = addFile(t, m, "on1", mib, OnDevice(1))
	require.NoError(t, m.Remove("gone"))
	func() {
		defer func() {
			if r := recover(); r != nil {
				require.Equal(t, crashed{}, r)
			}
		}()
		m.mu.Lock()
		defer m.mu.Unlock()
		meta := stoppingMemory{m.replica.meta, &stores}
		records := readRecords(meta, m.size())
		log, err := m.replica.planLog(m.usedFrom)
		require.NoError(t, err)
		c, err := m.replica.stageLog(meta, &records, log, entryAt(m.replica.next), NewUUID())
		require.NoError(t, err)
		require.NoError(t, m.withSecondaries(m.devices.list(), func(others []sharedMemory) error {
			for i := range others {
				others[i] = stoppingMemory{others[i], &stores}
			}
			return c.finish(meta, &records, m.size(), log.fresh, others...)
		}))
		done = true
	}()
	require.NoError(t, m.Close())
	return paths, live, done
}

// A compaction stops at any store. Without one of the devices nothing is finished, and nothing written;
// with all of them it is, and they belong to the new file system.
func TestCompactDevicesInterrupted(t *testing.T) {
	notUnderEmulator(t)
	notUnderRace(t)
	t.Parallel()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return b
	}
	outcomes := make(map[string]int)
	for stores, done := 0, false; !done; stores++ {
		var paths []string
		var live map[string][]byte
		paths, live, done = stoppedCompaction(t, stores)
		before := [][]byte{read(paths[0]), read(paths[2])}
		reader, err := Open(paths[0], WithDevices(paths[1:]...))
		if err == nil {
			for name, want := range live {
				assertContent(t, reader, name, want)
			}
			require.NoError(t, reader.Close())
			outcomes["can be read"]++
		} else {
			require.ErrorIs(t, err, ErrBusy, "after %d stores", stores)
			outcomes["must be finished"]++
		}
		records := readRecords(&simImage{mem: before[0]}, int64(len(before[0])))
		_, stands, underWay := records.underWay(&simImage{mem: before[0]}, int64(len(before[0])))
		if underWay && stands != newStands {
			_, err = Open(paths[0], ReadWrite(), WithSystemUUID(testHost), WithDevices(paths[2]))
			require.ErrorIs(t, err, ErrDevice, "after %d stores", stores)
			assert.ErrorContains(t, err, "every device must be here")
			for i, path := range []string{paths[0], paths[2]} {
				requireBytes(t, before[i], read(path), path+": nothing is written")
			}
			outcomes["a device is missing"]++
		}
		m := openMaster(t, paths[0], WithDevices(paths[1:]...))
		require.NoError(t, m.absent(), "after %d stores", stores)
		assert.Empty(t, m.Problems())
		for name, want := range live {
			assertContent(t, m, name, want)
		}
		for _, path := range paths[1:] {
			b := [superblockSize]byte(read(path))
			sb, err := decodeSecondary(&b)
			require.NoError(t, err)
			assert.Equal(t, m.Superblock().UUID, sb.UUID)
		}
		addFile(t, m, "more", mib, OnDevice(2))
		require.NoError(t, m.Close())
		require.Less(t, stores, 200)
	}
	for _, outcome := range []string{"can be read", "must be finished", "a device is missing"} {
		assert.Greater(t, outcomes[outcome], 2, outcome)
	}
}

// The superblock of a secondary device was being changed when power was lost: each half of the UUID,
// and the CRC, may be old or new. One that says anything else is another device's.
func TestCompactDevicesTorn(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	// The state between taking the superblock away and changing the secondaries.
	stores := 0
	for ; ; stores++ {
		paths, _, done := stoppedCompaction(t, stores)
		require.False(t, done)
		if b, err := os.ReadFile(paths[0]); assert.NoError(t, err) && binary.LittleEndian.Uint64(b[magicAt:]) == 0 {
			break
		}
	}
	for torn := range 8 {
		t.Run(fmt.Sprintf("%03b", torn), func(t *testing.T) {
			t.Parallel()
			paths, live, _ := stoppedCompaction(t, stores)
			b, err := os.ReadFile(paths[0])
			require.NoError(t, err)
			records := readRecords(&simImage{mem: b}, int64(len(b)))
			c := records.at[records.latest()]
			newer := c.newUUID()
			file, err := os.OpenFile(paths[1], os.O_RDWR, 0)
			require.NoError(t, err)
			defer file.Close()
			sb := make([]byte, superblockSize)
			readAt(t, file, sb, 0)
			renewed := slices.Clone(sb)
			copy(renewed[fsUUIDAt:], newer[:])
			fixCRC(renewed, superblockCRC)
			for i, at := range []int{fsUUIDAt, fsUUIDAt + 8, superblockCRC} {
				if torn>>i&1 == 1 {
					copy(sb[at:][:8], renewed[at:])
				}
			}
			_, err = file.WriteAt(sb, 0)
			require.NoError(t, err)
			m := openMaster(t, paths[0], WithDevices(paths[2], paths[1]))
			require.NoError(t, m.absent())
			assert.Empty(t, m.Problems())
			for name, want := range live {
				assertContent(t, m, name, want)
			}
		})
	}
	t.Run("another's", func(t *testing.T) {
		t.Parallel()
		paths, live, _ := stoppedCompaction(t, stores)
		file, err := os.OpenFile(paths[1], os.O_RDWR, 0)
		require.NoError(t, err)
		defer file.Close()
		sb := make([]byte, superblockSize)
		readAt(t, file, sb, 0)
		odd := slices.Clone(sb)
		odd[fsUUIDAt] ^= 1
		fixCRC(odd, superblockCRC)
		_, err = file.WriteAt(odd, 0)
		require.NoError(t, err)
		_, err = Open(paths[0], ReadWrite(), WithSystemUUID(testHost), WithDevices(paths[1:]...))
		require.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, "every device must be here")
		assert.ErrorContains(t, err, "for another file system")
		_, err = file.WriteAt(sb, 0)
		require.NoError(t, err)
		m := openMaster(t, paths[0], WithDevices(paths[1:]...))
		for name, want := range live {
			assertContent(t, m, name, want)
		}
	})
}

// A bit that flips on any of the devices of a sealed file is found, and the seal outlives a compaction.
func TestSealOverDevices(t *testing.T) {
	t.Parallel()
	for _, kind := range []SumKind{CRC32C, SHA256} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 3, testSize)
			content := addFile(t, m, "all", 12*mib+5, overDevices(3), SealWith(kind))
			later := addFile(t, m, "later", 3*mib, OnDevice(2))
			require.NoError(t, m.Seal("later"))
			f := openTest(t, paths[0], WithDevices(paths[1:]...))
			require.NoError(t, f.Verify("all"))
			require.NoError(t, f.Verify("later"))
			report, err := f.Scrub(t.Context())
			require.NoError(t, err)
			assert.Empty(t, report.Bad)
			assert.Equal(t, 2, report.Sealed)
			place := attrOf(t, f, "all").Layout
			offsets := []int64{5, 2*mib + 5, 4*mib + 5, 12*mib + 4}
			if slow() {
				offsets = offsets[2:3]
			}
			for _, x := range offsets {
				device, at, _ := place.locate(x)
				file, err := os.OpenFile(paths[device], os.O_RDWR, 0)
				require.NoError(t, err)
				flipBit := func() {
					b := make([]byte, 1)
					readAt(t, file, b, at)
					b[0] ^= 4
					_, err := file.WriteAt(b, at)
					require.NoError(t, err)
				}
				flipBit()
				assert.ErrorIs(t, f.Verify("all"), ErrChecksum, "byte %d, device %d", x, device)
				_, err = f.Map("all", Verified())
				assert.ErrorIs(t, err, ErrChecksum)
				report, err := f.Scrub(t.Context())
				require.NoError(t, err)
				require.Len(t, report.Bad, 1)
				assert.Equal(t, "all", report.Bad[0].Name)
				require.NoError(t, f.Verify("later"))
				flipBit()
				require.NoError(t, f.Verify("all"))
				require.NoError(t, file.Close())
			}
			_, err = m.Map("all", Writable())
			assert.ErrorIs(t, err, fs.ErrPermission)
			require.NoError(t, m.Mkdir("d", 0o755))
			require.NoError(t, m.Remove("d"))
			require.NoError(t, m.Close())
			require.NoError(t, f.Close())
			require.NoError(t, Compact(paths[0], WithSystemUUID(testHost), WithDevices(paths[1:]...)))
			f = openTest(t, paths[0], WithDevices(paths[1:]...))
			require.NoError(t, f.Verify("all"))
			require.NoError(t, f.Verify("later"))
			assertContent(t, f, "all", content)
			assertContent(t, f, "later", later)
		})
	}
}

// A tree is copied onto all devices, interleaved; what was interrupted goes on where it was.
func TestCopyFSOverDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 3, testSize)
	src := fstest.MapFS{}
	for i := range 6 {
		src[fmt.Sprintf("d%d/f%d", i%2, i)] = &fstest.MapFile{Data: pattern(5*mib+i*100_000, uint64(i)), Mode: 0o644}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("it was stopped")
	var done atomic.Int32
	err := m.CopyFS(ctx, "copy", src, CreateWith(overDevices(3)), Workers(1), OnProgress(func(p Progress) {
		if p.Done && done.Add(1) == 3 {
			cancel(stop)
		}
	}))
	require.ErrorIs(t, err, stop)
	there := m.Usage().Files
	assert.GreaterOrEqual(t, there, 3)
	assert.Less(t, there, 6)
	require.NoError(t, m.CopyFS(t.Context(), "copy", src, CreateWith(overDevices(3))))
	assert.Equal(t, 6, m.Usage().Files)
	assert.Equal(t, 2+3+6, m.Usage().LogUsed, "devices, directories and files, each once")
	f := openTest(t, paths[0], WithDevices(paths[1:]...))
	for name, file := range src {
		assertContent(t, f, "copy/"+name, file.Data)
		on := devicesOf(t, f, "copy/"+name)
		slices.Sort(on)
		assert.Equal(t, []int{0, 1, 2}, on)
	}

	// A new version that does not fit on all devices together leaves the old one as it was.
	large := fstest.MapFS{"d0/f0": {Data: pattern(5*mib, 9), Mode: 0o644}}
	zeros := make([]byte, 50*mib)
	for i := range 3 {
		large[fmt.Sprint("large", i)] = &fstest.MapFile{Data: zeros, Mode: 0o644}
	}
	before, log := m.UsageByDevice(), m.Usage().LogUsed
	err = m.CopyFS(t.Context(), "copy", large, Atomically(), CreateWith(Replace()))
	require.ErrorIs(t, err, ErrNoSpace)
	assert.Equal(t, log, m.Usage().LogUsed)
	assert.Equal(t, before, m.UsageByDevice(), "and all space is given back, on all devices")
	assertContent(t, m, "copy/d0/f0", src["d0/f0"].Data)
	delete(large, "large0")
	delete(large, "large1")
	delete(large, "large2")
	require.NoError(t, m.CopyFS(t.Context(), "copy", large, Atomically(), CreateWith(Replace(), overDevices(2))))
	assertContent(t, refreshed(t, f), "copy/d0/f0", large["d0/f0"].Data)
}

// The caches and the disks of all devices that a file is on are taken into account, and of no others.
func TestDevicesOfOneFile(t *testing.T) {
	t.Parallel()
	failure := errors.New("no room on the disk")
	lines, ops := recordLines()
	var synced [3]int
	var fails [3]atomic.Bool
	paths := formatDevices(t, 3, testSize)
	m := openMaster(t, paths[0], WithDevices(paths[1:]...), prepareOption(func(d *device) {
		i := slices.Index(paths, d.info.Path)
		if i == 1 { // other hosts have this one
			d.shared, d.cache = true, lines
		}
		if i > 0 {
			d.writeBack = true
			d.sync = func([]byte) error {
				if synced[i]++; fails[i].Swap(false) {
					return failure
				}
				return nil
			}
		}
	}))
	commit := func(name string, opts ...CreateOption) error {
		p, err := m.Create(name, 9*mib, opts...)
		require.NoError(t, err)
		defer p.Close()
		copy(p.Bytes(), pattern(9*mib, 1))
		*ops, synced = nil, [3]int{}
		return p.Commit()
	}
	flushed := func() (n uintptr) {
		for _, op := range *ops {
			if op.kind == "write back" {
				n += op.lines * lineSize
			}
		}
		return n
	}
	require.NoError(t, commit("on0", OnDevice(0)))
	assert.Zero(t, flushed())
	assert.Equal(t, [3]int{}, synced)
	require.NoError(t, commit("on1", OnDevice(1)))
	assert.EqualValues(t, 9*mib, flushed())
	assert.Equal(t, [3]int{0, 1, 0}, synced)
	require.NoError(t, commit("on2", OnDevice(2)))
	assert.Zero(t, flushed())
	assert.Equal(t, [3]int{0, 0, 1}, synced)
	p, err := m.Create("written", 9*mib, overDevices(3))
	require.NoError(t, err)
	assert.Zero(t, p.home.place.Extents[0].Device, "the device without a disk comes first")
	_, err = p.Write(pattern(9*mib, 2))
	require.NoError(t, err)
	synced = [3]int{}
	require.NoError(t, p.Commit())
	assert.Positive(t, synced[1])
	assert.Positive(t, synced[2])
	require.NoError(t, commit("all", overDevices(3)))
	assert.EqualValues(t, 9*mib, flushed(), "what is right for the one that needs most is done for all")
	assert.Positive(t, synced[1])
	assert.Positive(t, synced[2])

	x, err := m.Map("all", Writable())
	require.NoError(t, err)
	defer x.Close()
	*ops = nil
	require.NoError(t, x.Invalidate())
	assert.NotEmpty(t, *ops)
	other, err := m.Map("on1", Writable())
	require.NoError(t, err)
	defer other.Close()
	fails[2].Store(true)
	assert.ErrorIs(t, x.Flush(), failure)
	require.NoError(t, other.Flush(), "its device has no such disk")
	assert.ErrorIs(t, x.FlushRange(0, 9*mib), failure, "for good")
	for i := 1; i < 3; i++ {
		fails[i].Store(true)
		assert.ErrorIs(t, commit("failed", overDevices(3)), failure)
		fails[i].Store(false)
		_, err := m.Stat("failed")
		assert.ErrorIs(t, err, fs.ErrNotExist)
	}
	require.NoError(t, commit("later", overDevices(3)))
}

// The writers' lock is that of the device with the log, whatever devices are written to.
func TestDevicesLock(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	p, err := m.Create("pending", mib, OnDevice(1))
	require.NoError(t, err)
	defer p.Close()
	for i, path := range paths {
		dev, err := openDevice(path, true, newOpenConfig(nil).log)
		require.NoError(t, err)
		ok, err := dev.tryLock()
		require.NoError(t, err)
		assert.Equal(t, i == 1, ok, path)
		require.NoError(t, dev.close())
	}
	_, err = openMaster(t, paths[0], WithDevices(paths[1]), WithLockTimeout(time.Millisecond)).Create("other", 1, OnDevice(1))
	assert.ErrorIs(t, err, ErrLocked)
}

// Each device has its own alignment: what cannot be mapped on one can be on another.
func TestDevicesAlign(t *testing.T) {
	t.Parallel()
	const align = 64 << 10
	if os.Getpagesize() > smallUnit {
		t.Skip("pages of this system are larger than the unit")
	}
	paths := formatDevices(t, 2, 32*mib, AllocUnit(smallUnit))
	prepare := prepareOption(func(d *device) {
		if d.info.Path == paths[1] {
			d.info.Align = align
		}
	})
	m := openMaster(t, paths[0], WithDevices(paths[1]), prepare)
	f := openTest(t, paths[0], WithDevices(paths[1]), prepare)
	for i, name := range []string{"on0", "on1", "on1 in whole pages"} {
		size := 5000
		if i == 2 {
			size = 2 * align
			p, err := m.Create("up to whole pages", align-2*smallUnit, OnDevice(1))
			require.NoError(t, err)
			require.NoError(t, p.Commit())
		}
		content := addFile(t, m, name, size, OnDevice(min(i, 1)))
		for _, fsys := range []*FS{m, refreshed(t, f)} {
			b, err := fsys.ReadFile(name)
			require.NoError(t, err)
			requireBytes(t, content, b, name)
			require.NoError(t, fsys.View(name, func(b []byte) error { requireBytes(t, content, b, name); return nil }))
			mapping, err := fsys.Map(name)
			if i == 1 {
				require.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, paths[1])
				continue
			}
			require.NoError(t, err)
			requireBytes(t, content, mapping.Bytes(), name)
			require.NoError(t, mapping.Close())
		}
	}
}

// A file in several extents, of units that are smaller than pages, is filled by calls, and cannot be
// mapped.
func TestSmallUnitsInExtents(t *testing.T) {
	t.Parallel()
	const align, units = 64 << 10, 16
	paths := formatDevices(t, 1, 32*mib, AllocUnit(smallUnit))
	m := openMaster(t, paths[0], prepareOption(func(d *device) { d.info.Align = max(align, d.info.Align) }))
	require.NoError(t, m.AddDevice(fileBacking(t, superblockArea+units*smallUnit)))
	var pending []*PendingFile
	for i := range units {
		p, err := m.Create(fmt.Sprint("pending", i), 1, OnDevice(1))
		require.NoError(t, err)
		pending = append(pending, p)
	}
	for i, p := range pending {
		if i%2 == 0 {
			require.NoError(t, p.Close())
		}
	}
	content := addFile(t, m, "file", 3*smallUnit-5, OnDevice(1))
	assert.Len(t, devicesOf(t, m, "file"), 3)
	b, err := m.ReadFile("file")
	require.NoError(t, err)
	requireBytes(t, content, b, "file")
	require.NoError(t, m.View("file", func(b []byte) error { requireBytes(t, content, b, "file"); return nil }))
	_, err = m.Map("file")
	assert.ErrorIs(t, err, ErrDevice)
	for _, p := range pending {
		require.NoError(t, p.Close())
	}
}

// A pending file on a device that was formatted for another file system is neither filled nor
// committed, whether or not that was noticed before.
func TestPendingOnLostDevice(t *testing.T) {
	t.Parallel()
	for _, noticed := range []bool{true, false} {
		t.Run(fmt.Sprint("noticed ", noticed), func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 2, 32*mib)
			p, err := m.Create("a", 2*mib, OnDevice(1))
			require.NoError(t, err)
			defer p.Close()
			if !noticed {
				_, err = p.Write(pattern(2*mib, 1))
				require.NoError(t, err)
			}
			require.NoError(t, Format(paths[1], WithSystemUUID(testHost), Force()))
			if noticed {
				refreshed(t, m)
				require.ErrorIs(t, m.Devices()[1].Err, ErrDevice)
				before, err := os.ReadFile(paths[1])
				require.NoError(t, err)
				_, err = p.Write(pattern(2*mib, 1))
				assert.ErrorIs(t, err, ErrDevice)
				assert.Nil(t, p.Bytes())
				after, err := os.ReadFile(paths[1])
				require.NoError(t, err)
				assert.True(t, bytes.Equal(before, after), "it is another file system's log")
			}
			assert.ErrorIs(t, p.Commit(), ErrDevice)
			_, err = m.Stat("a")
			assert.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// A device is lost while Scrub reads a file on it: the file is listed, and the others are read.
func TestScrubDeviceLostMeanwhile(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 64*mib)
	addFile(t, m, "first", 48*mib, OnDevice(1))
	addFile(t, m, "second", 5000, OnDevice(0))
	done := false
	report, err := m.Scrub(t.Context(), OnScrub(func(p ScrubProgress) {
		if p.Name == "first" && !done {
			done = true
			writeTo(t, paths[1], 0, make([]byte, superblockSize))
			_, err := m.Refresh()
			assert.NoError(t, err)
		}
	}))
	require.NoError(t, err)
	require.NotEmpty(t, report.Bad)
	assert.Equal(t, "first", report.Bad[0].Name)
	assert.ErrorIs(t, report.Bad[0], ErrDevice)
	assert.Equal(t, 1, report.Files, "the second was read")
}

// Memory fails at any access of AddDevice: if the device was logged, it is here.
func TestAddDeviceInterrupted(t *testing.T) {
	notUnderEmulator(t)
	t.Parallel()
	logged := 0
	for after := range 80 {
		m, _ := severalDevices(t, 2, 16*mib) // the superblock has the feature already
		third := fileBacking(t, 16*mib)
		failing := failAccess(m, after, func() error { panic(memoryFault{errors.New("gone")}) })
		err := m.AddDevice(third)
		failing.repair(m)
		if err == nil {
			break
		}
		refreshed(t, m)
		if len(m.Devices()) == 3 {
			logged++
			assert.NoError(t, m.Devices()[2].Err, "after %d accesses: it was logged, and is here", after)
		}
		require.NoError(t, m.Close())
	}
	assert.Positive(t, logged)
}

// Adding the first device is interrupted while the superblock is changed: Check says so, and reads the
// rest, whatever stands of the superblock.
func TestCheckInterruptedAddDevice(t *testing.T) {
	t.Parallel()
	interrupted := 0
	for stores, done := 0, false; !done; stores++ {
		m, path := oneDevice(t, 16*mib)
		addFile(t, m, "f", mib)
		usage := m.Usage()
		func() {
			defer func() {
				if r := recover(); r != nil {
					require.Equal(t, crashed{}, r)
				}
			}()
			left := stores
			sb := m.sb
			require.NoError(t, addFeature(stoppingMemory{m.replica.meta, &left}, &sb, m.size(), m.usedFrom))
			done = true
		}()
		require.NoError(t, m.Close())
		report, err := Check(path)
		require.NoError(t, err)
		assert.Equal(t, usage, report.Usage, "after %d stores", stores)
		switch len(report.Problems) {
		case 0:
		case 1:
			interrupted++
			assert.ErrorIs(t, report.Err(), ErrBusy)
			assert.ErrorContains(t, report.Err(), "a device is added")
			assert.NotContains(t, report.Err().Error(), "compact")
		default:
			t.Errorf("after %d stores: %v", stores, report.Err())
		}
	}
	assert.GreaterOrEqual(t, interrupted, 2, "with the old superblock, and with none")
}

// A process has died that wrote files, and a device is missing, of which the caches cannot be told to forget
// what it stored: its slot stays in use, and everybody else goes on.
func TestReuseDeadSlotWithoutDevice(t *testing.T) {
	t.Parallel()
	m, c, paths := reusingDevices(t, 2)
	want := addFile(t, m, "on0", defaultUnit, OnDevice(0))
	addFile(t, m, "on1", defaultUnit, OnDevice(1))
	require.NoError(t, c.Close())
	dead := openClient(t, paths[0], WithDevices(paths[1]), WithClientWrites())
	mapping, err := dead.Map("on0", Writable())
	require.NoError(t, err)
	requireBytes(t, want, mapping.Bytes(), "on0")
	require.NoError(t, dead.pins.unlock()) // as the system does when a process dies
	require.NoError(t, m.Remove("on0"))
	content := addFile(t, m, "again", defaultUnit, OnDevice(0))

	var said bytes.Buffer
	left := openClient(t, paths[0], WithLogger(slog.New(slog.NewTextHandler(&said, nil))))
	for range 2 {
		again, err := left.Map("again")
		require.NoError(t, err)
		requireBytes(t, content, again.Bytes(), "again")
		require.NoError(t, again.Close())
		require.NoError(t, left.sweepAll())
	}
	removed, err := m.Reclaim()
	require.NoError(t, err)
	assert.EqualValues(t, defaultUnit, removed.Held, "it is held on")
	refreshed(t, left) // which tells the logger
	assert.Equal(t, 1, strings.Count(said.String(), "dead processes"), "told once: %s", said.String())
	all := openClient(t, paths[0], WithDevices(paths[1]))
	_, err = all.Map("again")
	require.NoError(t, err)
	removed, err = m.Reclaim()
	require.NoError(t, err)
	assert.EqualValues(t, defaultUnit, removed.Freed, "until a process comes that has all devices")
}

// A device that was added while Compact waited for the lock, and is not here, would be lost.
func TestCompactDeviceAddedMeanwhile(t *testing.T) {
	t.Parallel()
	m, path := oneDevice(t, 16*mib)
	addFile(t, m, "gone", 5000)
	require.NoError(t, m.Remove("gone"))
	c := newOpenConfig([]Option{WithSystemUUID(testHost)})
	c.readWrite = true
	f, err := open(path, c)
	require.NoError(t, err)
	defer f.Close()
	added := fileBacking(t, 16*mib)
	require.NoError(t, m.AddDevice(added))
	content := addFile(t, m, "on1", 5000, OnDevice(1))
	require.NoError(t, m.Close())
	require.NoError(t, f.lock.acquire(t.Context(), c.lockTimeout))
	err = f.compact()
	require.NoError(t, f.lock.release())
	assert.ErrorIs(t, err, ErrDevice)
	assertContent(t, openTest(t, path, WithDevices(added)), "on1", content)
}

// forgotten returns how many bytes of files on a device ops invalidate.
func forgotten(t testing.TB, f *FS, device int, ops []recordedOp) (n int64) {
	m, err := f.on(device)
	require.NoError(t, err)
	from := addressOf(m.window.mem) + uintptr(f.metadataOf(m))
	for _, op := range ops {
		if op.kind == "invalidate" && op.from >= from && m.inWindow(op.from) {
			n += int64(op.lines * lineSize)
		}
	}
	return n
}

// What a dead process may have stored on the devices that are here is thrown out of the caches once,
// and not at each Create, although its slot stays in use.
func TestReuseDeadSlotForgetsOnce(t *testing.T) {
	t.Parallel()
	m, c, paths := reusingDevices(t, 2)
	require.NoError(t, c.Close())
	require.NoError(t, m.Close())
	dead := openMaster(t, paths[0], WithDevices(paths[1]))
	require.NoError(t, dead.takeSlot(slotCreates))
	require.NoError(t, dead.pins.unlock()) // as the system does when a process dies
	dead.pins.unlock = func() error { return nil }
	shared, ops := asSharedMemory()
	left := openMaster(t, paths[0], shared)
	for i := range 3 {
		*ops = nil
		require.NoError(t, left.WriteFile(fmt.Sprint("f", i), pattern(100, 1), 0o644))
		n := forgotten(t, left, 0, *ops)
		if i == 0 {
			assert.GreaterOrEqual(t, n, int64(reuseUnits*defaultUnit))
		} else {
			assert.LessOrEqual(t, n, int64(defaultUnit), "for file %d", i)
		}
	}
}

// A process has died that used a device which was added since this one has read the log: what it stored
// there is thrown out of the caches too before its slot is free.
func TestReuseDeadSlotOnNewDevice(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"create", "map", "reclaim"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			m, path := reusing(t)
			require.NoError(t, m.WriteFile("a", big(1, 1), 0o644))
			added := fileBacking(t, reuseSize)
			shared, ops := asSharedMemory()
			behind := openMaster(t, path, shared, WithDevices(added))
			require.NoError(t, m.AddDevice(added))
			require.NoError(t, m.takeSlot(slotCreates))
			require.NoError(t, m.pins.unlock()) // as the system does when a process dies
			m.pins.unlock = func() error { return nil }
			*ops = nil
			switch what {
			case "create":
				require.NoError(t, behind.WriteFile("b", big(1, 2), 0o644))
			case "map":
				require.NoError(t, behind.View("a", func([]byte) error { return nil }))
				refreshed(t, behind)
			case "reclaim":
				_, err := behind.Reclaim()
				require.NoError(t, err)
			}
			require.Len(t, behind.Devices(), 2)
			assert.GreaterOrEqual(t, forgotten(t, behind, 1, *ops), int64(reuseSize-superblockArea))
		})
	}
}

// Adding the first device to a file system with Reuse is interrupted: nothing of the log is lost, so
// Salvage serves content too.
func TestSalvageInterruptedAddDevice(t *testing.T) {
	t.Parallel()
	for stores, done := 0, false; !done; stores++ {
		m, path := reusing(t)
		content := addFile(t, m, "f", mib)
		func() {
			defer func() {
				if r := recover(); r != nil {
					require.Equal(t, crashed{}, r)
				}
			}()
			left := stores
			sb := m.sb
			require.NoError(t, addFeature(stoppingMemory{m.replica.meta, &left}, &sb, m.size(), m.usedFrom))
			done = true
		}()
		require.NoError(t, m.Close())
		s := openTest(t, path, Salvage())
		b, err := s.ReadFile("f")
		assert.NoError(t, err, "after %d stores", stores)
		if err == nil {
			requireBytes(t, content, b, "f")
		}
		require.NoError(t, s.Close())
	}
}

// While the first device is added, version and CRC of the superblock are of two moments for a moment.
// Who looks just then looks again.
func TestLookWhileDeviceIsAdded(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(f *FS) error{
		"scrub": func(f *FS) error {
			report, err := f.Scrub(t.Context())
			assert.Empty(t, report.Bad)
			return err
		},
		"replay": func(f *FS) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.replica.replay(f.replica.next+1, failAtCorrupt, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, path := oneDevice(t, 16*mib)
			goOn := func() {}
			f := openTest(t, path, openOption(func(c *openConfig) { c.pause = func(time.Duration) { goOn() } }))
			addFile(t, m, "f", 5000)
			sb := m.sb
			func() {
				defer func() { require.Equal(t, crashed{}, recover()) }()
				left := 2
				_ = addFeature(stoppingMemory{m.replica.meta, &left}, &sb, m.size(), m.usedFrom)
			}()
			goOn = func() {
				records := readRecords(m.replica.meta, m.size())
				c, _, ok := records.underWay(m.replica.meta, m.size())
				if ok {
					assert.NoError(t, c.replaceSuperblock(m.replica.meta, &records))
				}
			}
			require.NoError(t, look(f))
		})
	}
}

// A superblock that is damaged is not that of a device which was formatted anew: once it is put back,
// whoever has the file system open goes on, also who tried to add a device meanwhile.
func TestAddDeviceToDamaged(t *testing.T) {
	t.Parallel()
	m, path := oneDevice(t, 16*mib)
	b := bytesAt(t, path, systemUUIDAt, 1)
	writeTo(t, path, systemUUIDAt, []byte{b[0] ^ 1})
	err := m.AddDevice(fileBacking(t, 16*mib))
	require.ErrorIs(t, err, ErrCorrupt)
	assert.NotErrorIs(t, err, ErrReformatted)
	require.NoError(t, RestoreSuperblock(path, WithSystemUUID(testHost)))
	content := addFile(t, m, "f", 5000)
	assertContent(t, m, "f", content)
}
