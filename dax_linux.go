package famfs

// Linux: recognising devdax devices through sysfs and fs-dax files by asking for
// MAP_SYNC, and telling apart what looks like either and is not. The other systems
// have plain files only (dax_other.go).

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// sysfsCharDevices is where sysfs describes character devices by number.
const sysfsCharDevices = "/sys/dev/char"

// openSpecial opens what is neither a file nor a directory. Only a devdax device
// held by device_dax can be used; sysfs is asked first, because opening or mapping
// the others fails in ways that say nothing.
func openSpecial(path string, st os.FileInfo, write bool) (*device, error) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch mode := st.Mode(); {
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		return nil, fmt.Errorf("%s is a block device, which is mapped through the page cache and so not shared between hosts; use a file on it (mkfs.ext4, then mount -o dax=always) or make it devdax (ndctl create-namespace --mode=devdax --reconfigure): %w", path, ErrDevice)
	case mode&fs.ModeCharDevice == 0 || !ok:
		return nil, fmt.Errorf("%s has type %v, want a DAX device or a file: %w", path, mode.Type(), ErrDevice)
	}
	rdev := uint64(sys.Rdev)
	number := fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev))
	info, err := readDevDAX(path, filepath.Join(sysfsCharDevices, number))
	if err != nil {
		return nil, err
	}
	f, err := openPath(path, write)
	if err != nil {
		return nil, err
	}
	// The node was looked at before it was opened; it must still be the same.
	var now unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &now); err != nil || uint64(now.Rdev) != rdev {
		f.Close()
		return nil, fmt.Errorf("open %s: the device node changed while it was opened: %w", path, errors.Join(err, ErrDevice))
	}
	return &device{file: f, info: info, mapFlags: unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC}, nil
}

// readDevDAX reads what sysfs, in folder dir, says of the character device at
// path.
func readDevDAX(path, dir string) (DeviceInfo, error) {
	fail := func(format string, args ...any) (DeviceInfo, error) {
		return DeviceInfo{}, fmt.Errorf("%s %s: %w", path, fmt.Sprintf(format, args...), ErrDevice)
	}
	if subsystem, err := os.Readlink(filepath.Join(dir, "subsystem")); err != nil || filepath.Base(subsystem) != "dax" {
		return fail("is a character device, but not a DAX device")
	}
	name := filepath.Base(path) // unless sysfs knows better: the path may be a link
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

// probeFile completes d, a regular file: is it on fs-dax, or on a tmpfs that wants to be
// asked for huge pages?
func probeFile(d *device) {
	fd := int(d.file.Fd())
	page := uintptr(os.Getpagesize())
	// Only a DAX mapping can be had with MAP_SYNC; no other question is answered as
	// reliably.
	const flags = unix.MAP_SHARED_VALIDATE | unix.MAP_SYNC
	if p, err := unix.MmapPtr(fd, 0, nil, page, unix.PROT_READ, flags); err == nil {
		unix.MunmapPtr(p, page)
		d.info.Kind, d.info.Synchronous, d.mapFlags = FSDAX, true, flags
		return
	}
	var fsType unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsType); err != nil || fsType.Type != unix.TMPFS_MAGIC {
		d.writeBack = true
		return
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return
	}
	if mounts, err := os.Open("/proc/self/mountinfo"); err == nil {
		defer mounts.Close()
		number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
		d.hugePages = mountWantsAdvice(bufio.NewScanner(mounts), number)
	}
}

// mountWantsAdvice says whether the tmpfs with this device number was mounted so that it
// gives huge pages to those who ask, and to nobody else. Asking costs a system call per
// mapping, so it is not done in vain.
func mountWantsAdvice(mountinfo *bufio.Scanner, number string) bool {
	for mountinfo.Scan() {
		fields := strings.Fields(mountinfo.Text())
		if len(fields) < 6 || fields[2] != number {
			continue
		}
		for option := range strings.SplitSeq(fields[len(fields)-1], ",") {
			if huge, ok := strings.CutPrefix(option, "huge="); ok && huge == "advise" {
				return true
			}
		}
	}
	return false
}
