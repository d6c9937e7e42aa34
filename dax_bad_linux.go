package famfs

// What Linux says of bad memory, and of whether a device is still there: lists in sysfs, the driver
// of a devdax device, the size of a file. What is known from that is dax_bad.go's concern.
//
// A devdax device made of persistent memory lies in a region, whose folder in sysfs lists bad blocks
// by their distance from the region's beginning. A block device of persistent memory lists its own;
// where the blocks of a file on it are, the file system says. Other memory (CXL, or soft-reserved)
// has no such list.

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysfsBlockDevices is the folder in which sysfs describes block devices by number.
const sysfsBlockDevices = "/sys/dev/block"

// sectorSize is the unit of lists of bad blocks.
const sectorSize = 512

// watchDevDAX has d ask the sysfs folder dir about the devdax device at path.
func watchDevDAX(d *device, path, dir string) {
	d.listBad = func() ([]segment, error) { return badOfDevDAX(dir, d.info.Size) }
	d.whyGone = func(int64) error {
		_, err := readDevDAX(path, dir)
		return err
	}
}

// watchFile does that for a file: blocks is the folder with block devices.
func watchFile(d *device, blocks string) {
	d.whyGone = func(at int64) error {
		st, err := d.file.Stat()
		if err == nil && at >= st.Size() {
			err = fmt.Errorf("%s has been cut to %d bytes: %w", d.info.Path, st.Size(), ErrDevice)
		}
		return err
	}
	if d.info.Kind != FSDAX {
		return
	}
	var st unix.Stat_t
	if unix.Fstat(int(d.file.Fd()), &st) != nil {
		return
	}
	dir := filepath.Join(blocks, deviceNumber(uint64(st.Dev)))
	if _, err := os.Stat(dir); err != nil {
		return // the file system is on several devices, or on none
	}
	d.listBad = func() ([]segment, error) {
		return badOfFile(dir, func() ([]fileExtent, error) { return fileExtents(d.file) })
	}
	cut := d.whyGone
	d.whyGone = func(at int64) error {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("the block device under %s is gone: %w", d.info.Path, err)
		}
		return cut(at)
	}
}

// badOfDevDAX returns the bad parts of the devdax device that sysfs describes in dir.
func badOfDevDAX(dir string, size int64) ([]segment, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	for region := filepath.Dir(dir); region != filepath.Dir(region); region = filepath.Dir(region) {
		text, err := os.ReadFile(filepath.Join(region, "badblocks"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		bad, err := parseBadBlocks(string(text))
		if err != nil || len(bad) == 0 {
			return nil, err // without asking for addresses, which only root may do
		}
		start, err := readAddress(region, "resource")
		if err != nil {
			return nil, err
		}
		parts, err := partsOfDevDAX(dir, size)
		if err != nil {
			return nil, err
		}
		var all []segment
		for _, b := range bad {
			if b.off > math.MaxInt64-start {
				continue // behind the end of everything
			}
			b.off += start
			for _, p := range parts {
				all = appendShared(all, b, segment{p.address, p.len}, p.off)
			}
		}
		return all, nil
	}
	return nil, nil
}

// appendShared appends what b and within have in common, moved to where within begins at to.
func appendShared(all []segment, b, within segment, to int64) []segment {
	from, end := max(b.off, within.off), min(b.end(), within.end())
	if from < end {
		all = append(all, segment{to + from - within.off, end - from})
	}
	return all
}

// addressedPart is a part of a device and its physical address.
type addressedPart struct {
	segment
	address int64
}

// partsOfDevDAX returns where the parts of a devdax device are in memory.
func partsOfDevDAX(dir string, size int64) (parts []addressedPart, err error) {
	for i := 0; ; i++ {
		mapping := filepath.Join(dir, "mapping"+strconv.Itoa(i))
		if _, err := os.Stat(mapping); err != nil {
			break
		}
		var values [3]int64
		for k, name := range []string{"start", "end", "page_offset"} {
			if values[k], err = readAddress(mapping, name); err != nil {
				return nil, err
			}
		}
		start, last, page := values[0], values[1], values[2]
		pageSize := int64(os.Getpagesize())
		if last < start || last == math.MaxInt64 || page > size/pageSize {
			return nil, fmt.Errorf("%s: found memory from %#x to %#x at page %d of a device of %d bytes", mapping, start, last, page, size)
		}
		parts = append(parts, addressedPart{segment{page * pageSize, last - start + 1}, start})
	}
	if len(parts) > 0 {
		return parts, nil
	}
	start, err := readAddress(dir, "resource")
	return []addressedPart{{segment{0, size}, start}}, err
}

// badOfFile returns the bad parts of a file on the block device that sysfs describes in dir.
func badOfFile(dir string, extents func() ([]fileExtent, error)) ([]segment, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	first := int64(0)
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		if first, err = readNumber(dir, "start"); err != nil {
			return nil, err
		}
		dir = filepath.Dir(dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "badblocks"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	bad, err := parseBadBlocks(string(text))
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	parts, err := extents()
	if err != nil {
		return nil, fmt.Errorf("find out where the blocks of the file are: %w", err)
	}
	var all []segment
	for _, b := range bad {
		for _, x := range parts {
			all = appendShared(all, b, segment{first*sectorSize + x.physical, x.length}, x.logical)
		}
	}
	return all, nil
}

// parseBadBlocks reads a list of bad blocks: in each line the first sector, and how many.
func parseBadBlocks(text string) (bad []segment, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		first, n := int64(0), int64(1)
		if first, err = strconv.ParseInt(fields[0], 10, 64); err == nil && len(fields) > 1 {
			n, err = strconv.ParseInt(fields[1], 10, 64)
		}
		if err == nil && (first < 0 || n < 1 || first > math.MaxInt64/sectorSize-n) {
			err = strconv.ErrRange
		}
		if err != nil {
			return nil, fmt.Errorf("list of bad blocks: found line %q, want a sector and a number of sectors: %w", strings.TrimSpace(line), err)
		}
		bad = append(bad, segment{first * sectorSize, n * sectorSize})
	}
	return bad, nil
}

// readAddress reads a number that sysfs may give in hexadecimal.
func readAddress(dir, name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 0, 64)
	if err == nil && n < 0 {
		err = strconv.ErrRange
	}
	return n, err
}

// fileExtent says where on its block device a part of a file is.
type fileExtent struct{ logical, physical, length int64 }

// These are of linux/fiemap.h.
const (
	fiemapRequest = 0xc020660b // FS_IOC_FIEMAP
	fiemapLast    = 0x1        // FIEMAP_EXTENT_LAST
	fiemapUnknown = 0x2        // FIEMAP_EXTENT_UNKNOWN: it has no place yet
	fiemapAtOnce  = 128
)

// fiemap is struct fiemap, and room for extents behind it.
type fiemap struct {
	start, length                        uint64
	flags, mapped, extentCount, reserved uint32
	extents                              [fiemapAtOnce]struct {
		logical, physical, length uint64
		reserved64                [2]uint64
		flags                     uint32
		reserved                  [3]uint32
	}
}

// fileExtents asks the file system where a file is.
func fileExtents(file *os.File) (all []fileExtent, err error) {
	next := uint64(0)
	for {
		m := fiemap{start: next, length: math.MaxUint64 - next, extentCount: fiemapAtOnce}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), fiemapRequest, uintptr(unsafe.Pointer(&m))); errno != 0 {
			return nil, os.NewSyscallError("ioctl FS_IOC_FIEMAP", errno)
		}
		for _, x := range m.extents[:min(m.mapped, fiemapAtOnce)] {
			if x.flags&fiemapUnknown == 0 && x.logical <= math.MaxInt64 && x.physical <= math.MaxInt64-x.length && x.length <= math.MaxInt64 {
				all = append(all, fileExtent{int64(x.logical), int64(x.physical), int64(x.length)})
			}
			if x.flags&fiemapLast != 0 {
				return all, nil
			}
			before := next
			if next = x.logical + x.length; next <= before {
				return nil, fmt.Errorf("ioctl FS_IOC_FIEMAP: found an extent that ends at %d behind one that ends at %d", next, before)
			}
		}
		if m.mapped == 0 {
			return all, nil
		}
	}
}
