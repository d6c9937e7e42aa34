package famfs

// Linux: telling a usable devdax device from everything that looks like one, with sysfs. A
// folder of the test stands in for sysfs.

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakeSysfs is a device's folder: files with their text, and links.
func fakeSysfs(t testing.TB, files, links map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for name, target := range links {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	return dir
}

// with returns a copy of m in which one entry is changed, or missing if it is "".
func with(m map[string]string, key, value string) map[string]string {
	changed := map[string]string{}
	for k, v := range m {
		changed[k] = v
	}
	if changed[key] = value; value == "" {
		delete(changed, key)
	}
	return changed
}

var (
	devdaxFiles = map[string]string{"size": "4294967296\n", "align": "2097152\n", "numa_node": "1\n", "target_node": "2\n"}
	devdaxLinks = map[string]string{"subsystem": "../../../bus/dax", "driver": "../../../bus/dax/drivers/device_dax"}
)

func TestReadDevDAX(t *testing.T) {
	t.Parallel()
	usable := DeviceInfo{Path: "/dev/dax0.0", Kind: DevDAX, Size: 4 << 30, Align: 2 << 20, NUMANode: 1, TargetNode: 2, Driver: "device_dax", Synchronous: true}
	changed := func(change func(*DeviceInfo)) DeviceInfo {
		d := usable
		change(&d)
		return d
	}
	tests := map[string]struct {
		files map[string]string
		want  DeviceInfo
	}{
		"of one GiB pages":    {with(devdaxFiles, "align", "1073741824\n"), changed(func(d *DeviceInfo) { d.Align = 1 << 30 })},
		"of 4 KiB pages":      {with(devdaxFiles, "align", "65536"), changed(func(d *DeviceInfo) { d.Align = 65536 })},
		"usual":               {devdaxFiles, usable},
		"of no node":          {with(devdaxFiles, "numa_node", "-1\n"), changed(func(d *DeviceInfo) { d.NUMANode = -1 })},
		"without numa_node":   {with(devdaxFiles, "numa_node", ""), changed(func(d *DeviceInfo) { d.NUMANode = -1 })},
		"without target_node": {with(devdaxFiles, "target_node", ""), changed(func(d *DeviceInfo) { d.TargetNode = -1 })},
		"with a strange node": {with(devdaxFiles, "numa_node", "many"), changed(func(d *DeviceInfo) { d.NUMANode = -1 })},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := readDevDAX("/dev/dax0.0", fakeSysfs(t, test.files, devdaxLinks))
			require.NoError(t, err)
			assert.Equal(t, test.want, info)
		})
	}
}

func TestReadDevDAXRefuses(t *testing.T) {
	t.Parallel()
	const reconfigure = "daxctl reconfigure-device --mode=devdax "
	tests := map[string]struct {
		files, links map[string]string
		says         []string
	}{
		"kmem":              {devdaxFiles, with(devdaxLinks, "driver", "../drivers/kmem"), []string{"system RAM", "kmem", reconfigure + "--force dax0.0"}},
		"fsdev_dax":         {devdaxFiles, with(devdaxLinks, "driver", "../drivers/fsdev_dax"), []string{"famfs mode", "fsdev_dax", reconfigure + "dax0.0"}},
		"another driver":    {devdaxFiles, with(devdaxLinks, "driver", "../drivers/other"), []string{"driver other", "want device_dax", reconfigure + "dax0.0"}},
		"unbound":           {devdaxFiles, with(devdaxLinks, "driver", ""), []string{"no driver", reconfigure + "dax0.0"}},
		"another subsystem": {devdaxFiles, with(devdaxLinks, "subsystem", "../../class/mem"), []string{"not a DAX device"}},
		"no subsystem":      {devdaxFiles, with(devdaxLinks, "subsystem", ""), []string{"not a DAX device"}},
		"nothing":           {nil, nil, []string{"not a DAX device"}},
		"no size":           {with(devdaxFiles, "size", ""), devdaxLinks, []string{"size", "no such file"}},
		"size 0":            {with(devdaxFiles, "size", "0\n"), devdaxLinks, []string{"size 0"}},
		"negative size":     {with(devdaxFiles, "size", "-4096\n"), devdaxLinks, []string{"size -4096"}},
		"size of no number": {with(devdaxFiles, "size", "much\n"), devdaxLinks, []string{"size", "much"}},
		"size of 65 bits":   {with(devdaxFiles, "size", "18446744073709551616\n"), devdaxLinks, []string{"size", "out of range"}},
		"no align":          {with(devdaxFiles, "align", ""), devdaxLinks, []string{"alignment", "no such file"}},
		"align 0":           {with(devdaxFiles, "align", "0\n"), devdaxLinks, []string{"alignment 0"}},
		"negative align":    {with(devdaxFiles, "align", "-2097152\n"), devdaxLinks, []string{"alignment -2097152"}},
		"align 1":           {with(devdaxFiles, "align", "1\n"), devdaxLinks, []string{"alignment 1"}},
		"no power of two":   {with(devdaxFiles, "align", "3145728\n"), devdaxLinks, []string{"alignment 3145728"}},
		"align of no sense": {with(devdaxFiles, "align", "2M\n"), devdaxLinks, []string{"alignment", "2M"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info, err := readDevDAX("/dev/dax0.0", fakeSysfs(t, test.files, test.links))
			require.ErrorIs(t, err, ErrDevice)
			assert.Zero(t, info)
			assert.ErrorContains(t, err, "/dev/dax0.0")
			for _, text := range test.says {
				assert.ErrorContains(t, err, text)
			}
			assert.NotContains(t, err.Error(), "%!")
		})
	}
}

// A message says no more than is known: if a number is only wrong, it names no other error.
func TestReadDevDAXMessage(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"size", "align"} {
		_, err := readDevDAX("/dev/dax0.0", fakeSysfs(t, with(devdaxFiles, key, "0"), devdaxLinks))
		require.ErrorIs(t, err, ErrDevice)
		assert.NotContains(t, err.Error(), "nil")
	}
}

// Paths may contain what fmt takes for verbs.
func TestReadDevDAXPathWithPercent(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/dev/100%done", "/dev/%w%s%d", "/dev/%"} {
		for _, links := range []map[string]string{nil, with(devdaxLinks, "driver", ""), with(devdaxLinks, "driver", "drivers/kmem")} {
			_, err := readDevDAX(path, fakeSysfs(t, devdaxFiles, links))
			require.ErrorIs(t, err, ErrDevice)
			assert.ErrorContains(t, err, path+" ")
		}
	}
}

func TestOpenDeviceRefusesSpecial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	socket := filepath.Join(dir, "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: socket}))
	tests := map[string]struct{ path, says string }{
		"null":                          {os.DevNull, "is a character device, but not a DAX device"},
		"zero":                          {"/dev/zero", "is a character device, but not a DAX device"},
		"a FIFO, without waiting on it": {fifo, "want a DAX device or a file"},
		"a socket":                      {socket, "want a DAX device or a file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, write := range []bool{false, true} {
				_, err := openDevice(test.path, write, slog.New(slog.DiscardHandler))
				require.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, test.path)
				assert.ErrorContains(t, err, test.says)
			}
		})
	}
}

// A block device could be mapped, through the page cache, but hosts would not see each other's
// stores: it is not even opened.
func TestOpenDeviceRefusesBlockDevice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pmem0")
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0))); err != nil {
		t.Skipf("making a device node: %v", err)
	}
	for _, write := range []bool{false, true} {
		_, err := openDevice(path, write, slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, path+" is a block device")
		assert.ErrorContains(t, err, "dax=always")
		assert.ErrorContains(t, err, "ndctl create-namespace --mode=devdax")
	}
}

func TestMountWantsAdvice(t *testing.T) {
	t.Parallel()
	const (
		root  = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
		plain = "25 22 0:22 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,inode64\n"
		bind  = "97 22 0:22 /sub /mnt/sub rw,relatime - tmpfs tmpfs rw,inode64\n"
	)
	huge := func(number, value string) string {
		return "61 22 " + number + " / /mnt/huge\\040tmp rw,relatime shared:31 - tmpfs none rw,size=1048576k," + value + ",inode64\n"
	}
	tests := map[string]struct {
		mounts string
		want   bool
	}{
		"nothing":              {"", false},
		"without the option":   {root + plain, false},
		"always":               {root + huge("0:22", "huge=always"), false},
		"advise":               {root + huge("0:22", "huge=advise"), true},
		"within_size":          {huge("0:22", "huge=within_size") + root, false},
		"never":                {root + huge("0:22", "huge=never"), false},
		"of another mount":     {root + plain + huge("0:23", "huge=advise"), false},
		"of a number with it":  {huge("0:222", "huge=advise") + huge("10:22", "huge=advise"), false},
		"mounted twice":        {bind + huge("0:22", "huge=advise"), true},
		"without the kernel's": {"0:22 huge=advise\n\n 61 22 0:22\n", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, test.want, mountWantsAdvice(bufio.NewScanner(strings.NewReader(test.mounts)), "0:22"))
		})
	}
}

// If mapping fails half way through, nothing stays mapped.
func TestMapSegmentsFailsWhole(t *testing.T) {
	t.Parallel()
	d := testDevice(t, fileBacking(t, 4*mib), false)
	mappings := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		return strings.Count(string(maps), d.info.Path+"\n")
	}
	r, err := d.mapSegments([]segment{{0, mib}, {2 * mib, mib}}, false, false)
	require.NoError(t, err)
	assert.Equal(t, 2, mappings())
	require.NoError(t, r.unmap())
	assert.Zero(t, mappings())
	// The kernel refuses what a smaller alignment would have let through here.
	d.info.Align = 1
	_, err = d.mapSegments([]segment{{0, mib}, {2*mib + 1, mib}}, false, false)
	require.ErrorIs(t, err, unix.EINVAL)
	assert.ErrorContains(t, err, d.info.Path)
	assert.Zero(t, mappings())
}

// If populating fails, nothing stays mapped, whatever the region is made of.
func TestPopulateFailsWhole(t *testing.T) {
	needsAdvice(t)
	t.Parallel()
	d := testDevice(t, fileBacking(t, 8*mib), true)
	require.NoError(t, os.Truncate(d.info.Path, mib))
	for _, segs := range [][]segment{{{0, 4 * mib}}, {{4 * mib, 2 * mib}, {0, 2 * mib}}} {
		for _, write := range []bool{false, true} {
			_, err := d.mapSegments(segs, write, true)
			require.ErrorIs(t, err, ErrDevice)
			maps, err := os.ReadFile("/proc/self/maps")
			require.NoError(t, err)
			assert.NotContains(t, string(maps), d.info.Path+"\n")
		}
	}
}

// Data on a disk must be written there; memory needs no write.
func TestWriteBack(t *testing.T) {
	t.Parallel()
	needsFile(t, "the test is about plain files")
	for _, parent := range []string{os.TempDir(), ".", "/dev/shm"} {
		dir, err := os.MkdirTemp(parent, "famfs-test-")
		if err != nil {
			continue
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "device")
		require.NoError(t, CreateBacking(path, 4*mib))
		d := testDevice(t, path, true)
		var on unix.Statfs_t
		require.NoError(t, unix.Statfs(path, &on))
		assert.Equal(t, on.Type != unix.TMPFS_MAGIC && d.info.Kind == File, d.writeBack, dir)
	}
}

func TestFileCaution(t *testing.T) {
	t.Parallel()
	for _, fsType := range []int64{unix.TMPFS_MAGIC, unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.RAMFS_MAGIC} {
		assert.Empty(t, fileCaution(fsType, false))
		assert.Empty(t, fileCaution(fsType, true))
	}
	for fsType, name := range map[int64]string{unix.NFS_SUPER_MAGIC: "NFS", unix.SMB2_SUPER_MAGIC: "SMB 2", unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "virtiofs", 0x01161970: "GFS2"} {
		for _, write := range []bool{false, true} {
			assert.Contains(t, fileCaution(fsType, write), name)
			assert.Contains(t, fileCaution(fsType, write), "a cache of its own")
		}
	}
	assert.Contains(t, fileCaution(unix.OVERLAYFS_SUPER_MAGIC, false), "lower layer")
	assert.Empty(t, fileCaution(unix.OVERLAYFS_SUPER_MAGIC, true), "the writer has the copy")
}

// On overlayfs the first writer gets its own copy of a file. Whoever opened the file for reading
// before does not see the writes, and is warned.
func TestOverlay(t *testing.T) {
	t.Parallel()
	needsFile(t, "the test is about plain files")
	base, err := os.MkdirTemp("/dev/shm", "famfs-test-") // not on overlayfs itself, as it may be in containers
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	for _, dir := range []string{"lower", "upper", "work", "merged"} {
		require.NoError(t, os.Mkdir(filepath.Join(base, dir), 0o755))
	}
	lower, path := filepath.Join(base, "lower", "device"), filepath.Join(base, "merged", "device")
	require.NoError(t, CreateBacking(lower, testSize))
	require.NoError(t, Format(lower, WithSystemUUID(testHost)))
	layers := "lowerdir=" + base + "/lower,upperdir=" + base + "/upper,workdir=" + base + "/work"
	if err := unix.Mount("overlay", base+"/merged", "overlay", 0, layers); err != nil {
		t.Skipf("mounting an overlay: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(base+"/merged", unix.MNT_DETACH) })

	var said strings.Builder
	early := openTest(t, path, WithLogger(slog.New(slog.NewTextHandler(&said, nil))))
	assert.Contains(t, early.Device().Caution, "overlayfs")
	assert.Contains(t, said.String(), "level=WARN")
	assert.Contains(t, said.String(), "lower layer")
	m := openTest(t, path, ReadWrite())
	assert.Empty(t, m.Device().Caution)
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644))
	n, err := early.Refresh()
	require.NoError(t, err)
	assert.Zero(t, n, "which is what the warning is for")
	_, err = openTest(t, path).Stat("f")
	assert.NoError(t, err, "who opens it later has the copy")
}
