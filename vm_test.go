//go:build linux

package famfs

// Tests that need a real device. They run in guests that test/vm/run boots. Each belongs to some
// of its scenarios and skips elsewhere. vm_hosts_test.go has the tests of several guests
// together.

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// inScenario skips a test unless it runs in a guest of one of these scenarios. It returns the
// scenario.
func inScenario(t testing.TB, names ...string) string {
	t.Helper()
	scenario := os.Getenv("FAMFS_TEST_SCENARIO")
	if !slices.Contains(names, scenario) {
		t.Skipf("runs in guests of test/vm/run, scenarios %s", strings.Join(names, ", "))
	}
	return scenario
}

func TestVMRecognition(t *testing.T) {
	scenario := inScenario(t, "devdax", "fsdax")
	fsys, path := master(t, testSize)
	d := fsys.Device()
	assert.Equal(t, path, d.Path)
	assert.True(t, d.Synchronous)
	switch {
	case scenario == "devdax" && runtime.GOARCH == "arm64": // made of persistent memory, which begins with a note of that
		assert.Equal(t, DeviceInfo{
			Path: "/dev/dax0.0", Kind: DevDAX, Size: 4<<30 - 2*mib, Align: 2 * mib,
			NUMANode: -1, TargetNode: -1, Driver: "device_dax", Synchronous: true,
		}, d)
	case scenario == "devdax":
		assert.Equal(t, DeviceInfo{
			Path: "/dev/dax0.0", Kind: DevDAX, Size: 4 << 30, Align: 2 * mib,
			NUMANode: readNode("/sys/bus/dax/devices/dax0.0", "numa_node"), TargetNode: 1, Driver: "device_dax", Synchronous: true,
		}, d)
	default:
		assert.Equal(t, DeviceInfo{
			Path: path, Kind: FSDAX, Size: 1536 * mib, Align: 4096, NUMANode: -1, TargetNode: -1, Synchronous: true,
		}, d)
	}
}

func TestVMUnbound(t *testing.T) {
	inScenario(t, "unbound")
	assertRefused(t, "is bound to no driver", "daxctl reconfigure-device --mode=devdax dax0.0")
}

func TestVMSystemRAM(t *testing.T) {
	inScenario(t, "kmem")
	assertRefused(t, "serves as system RAM (driver kmem)", "daxctl reconfigure-device --mode=devdax --force dax0.0")
}

func TestVMBlockDevice(t *testing.T) {
	inScenario(t, "pmem")
	assertRefused(t, "is a block device, which is mapped through the page cache", "mount -o dax=always")
}

// assertRefused checks that every way to open the device says what is wrong and what to do.
func assertRefused(t *testing.T, fragments ...string) {
	t.Helper()
	path := os.Getenv("FAMFS_TEST_DEVICE")
	_, openErr := Open(path)
	_, checkErr := Check(path)
	for name, err := range map[string]error{"Open": openErr, "Check": checkErr, "Format": Format(path, WithSystemUUID(testHost))} {
		assert.ErrorIs(t, err, ErrDevice, name)
		for _, f := range append(fragments, path) {
			assert.ErrorContains(t, err, f, name)
		}
	}
}

// A file of 16 scattered extents, and an interleaved one, are one slice each, which reaches
// these extents and no other byte of the device.
func TestVMOneSlice(t *testing.T) {
	inScenario(t, "devdax", "fsdax")
	m, path := master(t, testSize)
	contents := map[string][]byte{"scattered": pattern(31*mib+1, 1), "interleaved": pattern(33*mib+1, 2), "neighbour": pattern(mib, 3)}
	createScattered(t, m, "scattered", contents["scattered"], 16)
	p, err := m.Create("interleaved", int64(len(contents["interleaved"])), Interleave(Interleaving{5, 11, 2 * mib}))
	require.NoError(t, err)
	copy(p.Bytes(), contents["interleaved"])
	require.NoError(t, p.Commit())
	require.NoError(t, m.WriteFile("neighbour", contents["neighbour"], 0o644))

	reader := openTest(t, path)
	for name, content := range contents {
		for _, opts := range [][]MapOption{nil, {Populate()}} {
			mapping, err := reader.Map(name, opts...)
			require.NoError(t, err)
			b := mapping.Bytes()
			assert.Equal(t, len(content), len(b))
			assert.Equal(t, len(b), cap(b))
			assert.Equal(t, hexSum(content), hexSum(b), name)
			assert.Zero(t, addressOf(b)%regionAlign)
			_, n, err := reader.lookup(name)
			require.NoError(t, err)
			place := n.place()
			want, err := place.runs(roundUp(n.size, reader.sb.AllocUnit))
			require.NoError(t, err)
			assert.Equal(t, want, mappedSegments(t, b, path), "%s: what the kernel has mapped", name)
			require.NoError(t, mapping.Close())
		}
	}
}

// createScattered makes a file of n extents that are far apart.
func createScattered(t testing.TB, m *FS, name string, content []byte, n int) {
	t.Helper()
	c := m.newCreateConfig(nil)
	require.NoError(t, m.beginWrite(name, c))
	p := &PendingFile{pendingFile: &pendingFile{fs: m, name: name, size: int64(len(content)), config: c}}
	func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		require.NoError(t, m.checkNew(name, &c))
		units := (p.size-1)/m.sb.AllocUnit + 1
		each := (units + int64(n) - 1) / int64(n)
		runs, ok := m.replica.alloc.spread(each, n, 64, int(m.replica.next)%64)
		require.True(t, ok)
		slices.Reverse(runs) // in an order that is not that of the device
		p.runs = runsOn(0, runs)
		p.home.one = &m.member
		for _, r := range runs {
			p.home.place.Extents = append(p.home.place.Extents, Extent{Offset: r.start * m.sb.AllocUnit, Length: r.n * m.sb.AllocUnit})
		}
		m.promise(p.pendingFile)
	}()
	require.True(t, m.gate.hold())
	copy(p.Bytes(), content)
	require.NoError(t, p.Commit())
}

// mappedSegments returns what /proc reports as mapped at the slice: segments of the device,
// joined if they follow each other.
func mappedSegments(t testing.TB, b []byte, device string) []deviceRun {
	t.Helper()
	start, end := addressOf(b), addressOf(b)+uintptr(len(b))
	var segs []deviceRun
	eachMapping(t, func(lo, hi uintptr, offset int64, path string, _ []string) {
		if hi <= start || lo >= end {
			return
		}
		assert.Equal(t, device, path)
		segs = appendRun(segs, deviceRun{0, segment{offset, int64(hi - lo)}})
	})
	return segs
}

// eachMapping goes through /proc/self/smaps.
func eachMapping(t testing.TB, f func(lo, hi uintptr, offset int64, path string, flags []string)) {
	t.Helper()
	text, err := os.Open("/proc/self/smaps")
	require.NoError(t, err)
	defer text.Close()
	var lo, hi uintptr
	var offset int64
	var path string
	for lines := bufio.NewScanner(text); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case fields[0] == "VmFlags:":
			f(lo, hi, offset, path, fields[1:])
		case !strings.HasSuffix(fields[0], ":"): // a mapping's first line: range, permissions, offset, device, inode, path
			_, err := fmt.Sscanf(fields[0]+" "+fields[2], "%x-%x %x", &lo, &hi, &offset)
			require.NoError(t, err)
			path = strings.Join(fields[5:], " ")
		}
	}
}

// Flushing caches is enough to make data durable, because the mappings have MAP_SYNC.
func TestVMSynchronous(t *testing.T) {
	inScenario(t, "devdax", "fsdax")
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(100, 1), 0o644))
	mapping, err := m.Map("f", Writable())
	require.NoError(t, err)
	defer mapping.Close()
	found := false
	eachMapping(t, func(lo, hi uintptr, _ int64, _ string, flags []string) {
		if at := addressOf(mapping.Bytes()); at >= lo && at < hi {
			found = true
			assert.Contains(t, flags, "sf", "MAP_SYNC")
		}
	})
	assert.True(t, found)
}

// A mapping takes one page fault per 2 MiB, and none after Populate.
func TestVMFaults(t *testing.T) {
	inScenario(t, "devdax", "fsdax")
	const size = 256 * mib
	m, path := master(t, testSize)
	p, err := m.Create("f", size)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	reader := openTest(t, path, WithClientWrites())

	runtime.LockOSThread() // faults are counted for this thread alone
	defer runtime.UnlockOSThread()
	for _, tc := range []struct {
		name  string
		opts  []MapOption
		write bool
		// How many faults there may be; a few are the runtime's.
		least, most int64
	}{
		{"read", nil, false, size / (2 * mib), size/(2*mib) + 16},
		{"write", []MapOption{Writable()}, true, size / (2 * mib), size/(2*mib) + 16},
		{"populated", []MapOption{Populate()}, false, 0, 16},
		{"populated for writing", []MapOption{Writable(), Populate()}, true, 0, 16},
	} {
		mapping, err := reader.Map("f", tc.opts...)
		require.NoError(t, err)
		before := threadFaults(t)
		b := mapping.Bytes()
		sum := byte(0)
		for at := 0; at < size; at += 4096 {
			if tc.write {
				b[at] = 1
			} else {
				sum += b[at]
			}
		}
		faults := threadFaults(t) - before
		t.Logf("%s: %d faults (%d)", tc.name, faults, sum)
		assert.GreaterOrEqual(t, faults, tc.least, tc.name)
		assert.LessOrEqual(t, faults, tc.most, tc.name)
		require.NoError(t, mapping.Close())
	}
}

func threadFaults(t testing.TB) int64 {
	t.Helper()
	var usage unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_THREAD, &usage))
	return int64(usage.Minflt) + int64(usage.Majflt)
}

// Two opens of the device node exclude each other as writers, even read-only descriptors.
func TestVMFlock(t *testing.T) {
	inScenario(t, "devdax", "fsdax")
	m, path := master(t, testSize)
	p, err := m.Create("f", 1)
	require.NoError(t, err)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	assert.ErrorIs(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
	require.NoError(t, p.Close())
	assert.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

// Containers have their own device nodes, network namespaces, and so their own sysfs. Writers
// that use different nodes still exclude each other. The locks of nodes, and of the device's
// files in sysfs, do not achieve that, so the library has another lock.
func TestVMNodes(t *testing.T) {
	inScenario(t, "nodes", "devdax")
	m, path := master(t, testSize)
	assert.Empty(t, m.Device().Caution)
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	node := filepath.Join(t.TempDir(), "dax-of-a-container")
	require.NoError(t, unix.Mknod(node, unix.S_IFCHR|0o600, int(st.Rdev)))
	other := openTest(t, node, ReadWrite(), WithLockTimeout(0))
	assert.Empty(t, other.Device().Caution, "another node alone is no reason to worry")

	flock := func(file string) (end func()) {
		f, err := os.Open(file)
		require.NoError(t, err)
		require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), file)
		return func() { f.Close() }
	}
	again := filepath.Join(t.TempDir(), "dax-again")
	require.NoError(t, unix.Mknod(again, unix.S_IFCHR|0o600, int(st.Rdev)))
	first, second := flock(node), flock(again) // both at once, so they are two locks
	first()
	second()
	devtmpfs := t.TempDir()
	require.NoError(t, unix.Mount("dev", devtmpfs, "devtmpfs", 0, ""))
	defer unix.Unmount(devtmpfs, unix.MNT_DETACH)
	var anew unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(devtmpfs, filepath.Base(path)), &anew))
	assert.Equal(t, [2]uint64{uint64(st.Dev), st.Ino}, [2]uint64{uint64(anew.Dev), anew.Ino}, "devtmpfs is the same, mounted anew")

	node = again
	for name, namespaces := range map[string]uintptr{"mounts": unix.CLONE_NEWNS, "network": unix.CLONE_NEWNS | unix.CLONE_NEWNET, "a container's": containerNamespaces} {
		t.Run(name, func(t *testing.T) {
			p, err := m.Create("pending", 1)
			require.NoError(t, err)
			assert.Contains(t, lockElsewhere(t, namespaces, "node:"+node), ErrLocked.Error())
			require.NoError(t, p.Close())
		})
	}
	p, err := m.Create("pending", 1)
	require.NoError(t, err)
	_, err = openTest(t, node, ReadWrite(), WithLockTimeout(0)).Create("f", 1)
	assert.ErrorIs(t, err, ErrLocked)
	require.NoError(t, p.Close())
}

// The device is removed under mappings: everything returns errors, nothing crashes, and the FS
// can still be closed.
func TestVMUnplugged(t *testing.T) {
	inScenario(t, "unplugged")
	path := formatted(t, testSize)
	m, err := Open(path, ReadWrite(), WithSystemUUID(testHost))
	require.NoError(t, err)
	content := pattern(5*mib, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	mapping, err := m.Map("f")
	require.NoError(t, err)
	assert.Equal(t, hexSum(content), hexSum(mapping.Bytes()))
	open, err := m.Open("f")
	require.NoError(t, err)
	p, err := m.Create("pending", mib)
	require.NoError(t, err)
	fillPattern(p.Bytes(), 1)

	driver, err := filepath.EvalSymlinks("/sys/bus/dax/devices/dax0.0/driver")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(driver+"/unbind", []byte("dax0.0"), 0))

	sum := 0
	guarded := func() error {
		return Guard(func() error {
			for _, b := range mapping.Bytes() {
				sum += int(b)
			}
			return nil
		})
	}
	readFile := func() error { _, err := m.ReadFile("f"); return err }
	read := func() error { _, err := open.Read(make([]byte, 100)); return err }
	refresh := func() error { _, err := m.Refresh(); return err }
	mkdir := func() error { return m.Mkdir("d", 0o755) }
	for name, op := range map[string]func() error{
		"Guard": guarded, "ReadFile": readFile, "Read": read, "Refresh": refresh, "Mkdir": mkdir, "Commit": p.Commit,
	} {
		err := op()
		assert.ErrorIs(t, err, ErrDevice, name)
		t.Logf("%s: %v", name, err)
	}
	_, err = m.Stat("f")
	assert.NoError(t, err, "names need no device")
	_, err = Open(path)
	assert.ErrorContains(t, err, "is bound to no driver")
	require.NoError(t, p.Close())
	require.NoError(t, mapping.Close())
	require.NoError(t, open.Close())
	require.NoError(t, m.Close())
}
