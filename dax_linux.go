package famfs

// Linux: recognising devdax devices with sysfs, and fs-dax files by asking for MAP_SYNC, and
// telling them from things that only look like them. Other systems have plain files only
// (dax_other.go).

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysfsCharDevices is the folder in which sysfs describes character devices by number.
const sysfsCharDevices = "/sys/dev/char"

// openSpecial opens something that is neither a file nor a directory. Only a devdax device that
// device_dax holds can be used. sysfs is read first, because the errors of opening or mapping
// anything else do not say what is wrong.
func openSpecial(path string, st os.FileInfo, write bool) (*device, error) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch mode := st.Mode(); {
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		return nil, fmt.Errorf("%s is a block device, which is mapped through the page cache and so not shared between hosts; use a file on it (mkfs.ext4, then mount -o dax=always) or make it devdax (ndctl create-namespace --mode=devdax --reconfigure): %w", path, ErrDevice)
	case mode&fs.ModeCharDevice == 0 || !ok:
		return nil, fmt.Errorf("%s has type %v, want a DAX device or a file: %w", path, mode.Type(), ErrDevice)
	}
	rdev := uint64(sys.Rdev)
	info, err := readDevDAX(path, filepath.Join(sysfsCharDevices, deviceNumber(rdev)))
	if err != nil {
		return nil, err
	}
	f, err := openPath(path, write)
	if err != nil {
		return nil, err
	}
	// sysfs was read before the node was opened: check that it is still the same device.
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil || uint64(now.Rdev) != rdev {
		f.Close()
		return nil, fmt.Errorf("open %s: the device node changed while it was opened: %w", path, errors.Join(err, ErrDevice))
	}
	d := &device{file: f, info: info, mapFlags: syncFlags}
	watchDevDAX(d, path, filepath.Join(sysfsCharDevices, deviceNumber(rdev)))
	if write {
		d.lockNodes(uint64(now.Dev), rdev)
	}
	return d, nil
}

// lockNodes adds the lock of the device itself to the lock of its node, which is on the file
// system dev. If that is not possible, it sets a caution: writers that use another node of the
// device are not kept out.
func (d *device) lockNodes(dev, rdev uint64) {
	var err error
	d.hostLock, err = openHostLock(rdev)
	switch {
	case err != nil && !onSystemNodes(dev):
		d.info.Caution = fmt.Sprintf("this device node is not the system's own, and writers that use another node of the device are not kept out, as this kernel has no lock that all nodes share (%v): give every container the host's node, by a bind mount", err)
	case err == nil && !d.hostLock.initial:
		d.info.Caution = "this process is in a time namespace of its own, and writers outside of it that use another node of the device are not kept out: give every container the host's node, by a bind mount"
	}
}

// onSystemNodes reports whether the file system with this device number is devtmpfs, in which the
// system itself makes device nodes. Another mount of devtmpfs has the same inodes.
func onSystemNodes(dev uint64) bool {
	mounts, err := os.Open(mountInfo)
	if err != nil {
		return false
	}
	defer mounts.Close()
	for kind := range mountsOf(bufio.NewScanner(mounts), deviceNumber(dev)) {
		if kind == "devtmpfs" {
			return true
		}
	}
	return false
}

func deviceNumber(dev uint64) string { return fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)) }

// readDevDAX reads from the sysfs folder dir what it says of the character device at path.
func readDevDAX(path, dir string) (DeviceInfo, error) {
	fail := func(format string, args ...any) (DeviceInfo, error) {
		return DeviceInfo{}, fmt.Errorf("%s %s: %w", path, fmt.Sprintf(format, args...), ErrDevice)
	}
	if subsystem, err := os.Readlink(filepath.Join(dir, "subsystem")); err != nil || filepath.Base(subsystem) != "dax" {
		return fail("is a character device, but not a DAX device")
	}
	name := filepath.Base(path) // path may be a link, so sysfs is asked below
	if device, err := os.Readlink(dir); err == nil {
		name = filepath.Base(device)
	}
	driver := ""
	if link, err := os.Readlink(filepath.Join(dir, "driver")); err == nil {
		driver = filepath.Base(link)
	}
	switch driver {
	case "device_dax":
	case "":
		return fail("is bound to no driver; bind it with: daxctl reconfigure-device --mode=devdax %s", name)
	case "kmem":
		return fail("serves as system RAM (driver kmem); free it with: daxctl reconfigure-device --mode=devdax --force %s", name)
	case "fsdev_dax":
		return fail("is in famfs mode for the kernel's famfs (driver fsdev_dax); change it with: daxctl reconfigure-device --mode=devdax %s", name)
	default:
		return fail("is held by driver %s, want device_dax; change it with: daxctl reconfigure-device --mode=devdax %s", driver, name)
	}
	size, err := readNumber(dir, "size")
	switch {
	case err != nil:
		return fail("has no readable size in sysfs: %v", err)
	case size <= 0:
		return fail("has size %d in sysfs, want at least 1", size)
	}
	align, err := readNumber(dir, "align")
	switch {
	case err != nil:
		return fail("has no readable alignment in sysfs: %v", err)
	case align < int64(os.Getpagesize()) || align&(align-1) != 0:
		return fail("has alignment %d in sysfs, want a power of two of at least a page", align)
	}
	return DeviceInfo{
		Path:        path,
		Kind:        DevDAX,
		Size:        size,
		Align:       align,
		NUMANode:    readNode(dir, "numa_node"),
		TargetNode:  readNode(dir, "target_node"),
		Driver:      driver,
		Synchronous: true,
	}, nil
}

func readNumber(dir, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func readNode(dir, name string) int {
	n, err := readNumber(dir, name)
	if err != nil {
		return -1
	}
	return int(n)
}

// probeFile completes d, a regular file. It finds out whether the file is on fs-dax, on a file
// system whose files are not the same memory for all who open them, or on a tmpfs that gives huge
// pages only on request.
func probeFile(d *device, write bool) {
	defer watchFile(d, sysfsBlockDevices)
	fd := int(d.file.Fd())
	page := uintptr(os.Getpagesize())
	// Only a DAX mapping can have MAP_SYNC, and no other check is as reliable.
	if syncFlags != 0 {
		if p, err := unix.MmapPtr(fd, 0, nil, page, unix.PROT_READ, syncFlags); err == nil {
			unix.MunmapPtr(p, page)
			d.info.Kind, d.info.Synchronous, d.mapFlags = FSDAX, true, syncFlags
			return
		}
	}
	var fsType unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsType); err != nil {
		d.writeBack = true
		return
	}
	kind := int64(fsType.Type) & math.MaxUint32
	d.info.Caution = fileCaution(kind, write)
	d.coherentCalls = write && slices.Contains(coherentFiles, kind) && mayReach(d.info.Size)
	if fsType.Type != unix.TMPFS_MAGIC {
		d.writeBack = true
		return
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	d.smallPages = int64(st.Blksize) <= int64(page) // those of a tmpfs that has large ones are large
	if mounts, err := os.Open(mountInfo); err == nil {
		defer mounts.Close()
		d.hugePages = mountWantsAdvice(bufio.NewScanner(mounts), deviceNumber(uint64(st.Dev)))
		d.smallPages = d.smallPages && !d.hugePages
	}
}

// coherentFiles are the file systems that are known to have one set of pages per file, for system
// calls and for mappings.
var coherentFiles = []int64{unix.TMPFS_MAGIC, unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC}

// mayReach says that system calls of this process may write files of size bytes. A signal (SIGXFSZ)
// ends a process that tries it and may not. The limit does not apply to stores to mappings.
func mayReach(size int64) bool {
	var limit unix.Rlimit
	return unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil && uint64(limit.Cur) >= uint64(size)
}

// unshared lists the file systems, by their statfs type, on which each host has its own cache of
// a file. The numbers are the kernel's. Those that x/sys/unix does not have belong to file systems
// outside of the kernel.
var unshared = map[int64]string{
	unix.NFS_SUPER_MAGIC:   "NFS",
	unix.SMB_SUPER_MAGIC:   "SMB",
	unix.CIFS_SUPER_MAGIC:  "SMB (CIFS)",
	unix.SMB2_SUPER_MAGIC:  "SMB 2",
	unix.V9FS_MAGIC:        "9p",
	unix.FUSE_SUPER_MAGIC:  "FUSE or virtiofs",
	unix.CEPH_SUPER_MAGIC:  "Ceph",
	unix.AFS_SUPER_MAGIC:   "AFS",
	unix.AFS_FS_MAGIC:      "AFS",
	unix.CODA_SUPER_MAGIC:  "Coda",
	unix.OCFS2_SUPER_MAGIC: "OCFS2",
	0x01161970:             "GFS2",
	0x0bd00bd0:             "Lustre",
	0x47504653:             "GPFS",
	0x19830326:             "BeeGFS",
	0x786f4256:             "a VirtualBox shared folder",
}

// fileCaution returns the Caution of a file on a file system of this type.
func fileCaution(fsType int64, write bool) string {
	if fsType == unix.OVERLAYFS_SUPER_MAGIC && !write {
		return "this file is on overlayfs: if it is still that of a lower layer, the first who opens it for writing gets a copy, and what is written there is never seen here: use a file outside of image layers, on a volume or on tmpfs"
	}
	if name, ok := unshared[fsType]; ok {
		return "this file is on " + name + ", where each host, and maybe each mount, has a cache of its own: processes that use the same mount see each other's writes, others do not see them, or see them late, and are not all kept apart as writers"
	}
	return ""
}

// mountInfo is the file in which the kernel lists the mounts.
const mountInfo = "/proc/self/mountinfo"

// mountsOf yields the type and the options of the mounts of the file system with this device
// number. The options are those of the file system, not those of the mount.
func mountsOf(mountinfo *bufio.Scanner, number string) iter.Seq2[string, string] {
	return func(yield func(kind, options string) bool) {
		for mountinfo.Scan() {
			fields := strings.Fields(mountinfo.Text())
			end := slices.Index(fields, "-") // the number of fields before it varies
			if end < 6 || len(fields) < end+4 || fields[2] != number {
				continue
			}
			if !yield(fields[end+1], fields[end+3]) {
				return
			}
		}
	}
}

// mountWantsAdvice reports whether the tmpfs with this device number was mounted so that it gives
// huge pages only to those who ask. Asking costs a system call per mapping, so it is done only if
// it helps.
func mountWantsAdvice(mountinfo *bufio.Scanner, number string) bool {
	for _, options := range mountsOf(mountinfo, number) {
		for option := range strings.SplitSeq(options, ",") {
			if huge, ok := strings.CutPrefix(option, "huge="); ok && huge == "advise" {
				return true
			}
		}
	}
	return false
}

// sameNode reports whether two device nodes are of one device.
func sameNode(a, b os.FileInfo) bool {
	if a.Mode().IsRegular() || b.Mode().IsRegular() {
		return false
	}
	x, ok := a.Sys().(*syscall.Stat_t)
	y, otherOK := b.Sys().(*syscall.Stat_t)
	return ok && otherOK && x.Rdev == y.Rdev
}

// devdaxPaths returns the paths of the DAX devices of this host that can be mapped.
func devdaxPaths() []string { return devdaxIn("/sys/bus/dax/devices", "/dev") }

func devdaxIn(sys, dev string) (paths []string) {
	entries, _ := os.ReadDir(sys) // without devices there is no such folder
	for _, e := range entries {
		if driver, err := os.Readlink(filepath.Join(sys, e.Name(), "driver")); err == nil && filepath.Base(driver) == "device_dax" {
			paths = append(paths, filepath.Join(dev, e.Name()))
		}
	}
	return paths
}
