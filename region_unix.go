//go:build unix

package famfs

// Address space on Unix: a reservation of the right size and alignment, and the
// segments of the device mapped over it with MAP_FIXED. The segments were checked
// by mapSegments: with MAP_FIXED a wrong one would destroy what is there already.

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapRegion maps segs, total bytes together, at an address that is a multiple of
// regionAlign and of the device's alignment.
func (d *device) mapRegion(segs []segment, total int64, write, populate bool) (*region, error) {
	align := max(regionAlign, d.info.Align)
	reserved := uintptr(total + align)
	base, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space for %s: %w", reserved, d.info.Path, err)
	}
	release := func() error { return unix.MunmapPtr(base, reserved) }

	prot, flags := unix.PROT_READ, unix.MAP_FIXED|d.mapFlags
	if write {
		prot |= unix.PROT_WRITE
	}
	if d.mapFlags == 0 {
		flags |= unix.MAP_SHARED
	}
	head := -uintptr(base) & uintptr(align-1)
	start := unsafe.Add(base, head)
	at := start
	merged := mergeSegments(segs)
	for i, s := range merged {
		if _, err := unix.MmapPtr(int(d.file.Fd()), s.off, at, uintptr(s.len), prot, flags); err != nil {
			release()
			if errors.Is(err, unix.ENOMEM) {
				return nil, fmt.Errorf("map run %d of %d of a file on %s: the system allows no further mapping (sysctl vm.max_map_count, ulimit -v); reading through fs.FS needs none: %w", i, len(merged), d.info.Path, err)
			}
			return nil, fmt.Errorf("map %d bytes at %d of %s: %w", s.len, s.off, d.info.Path, err)
		}
		at = unsafe.Add(at, s.len)
	}
	r := &region{mem: unsafe.Slice((*byte)(start), total), unmap: release}
	if d.hugePages {
		adviseHugePages(r.mem)
	}
	if populate {
		if err := populateMemory(r.mem, write); err != nil {
			release()
			return nil, fmt.Errorf("populate %d bytes of %s: %w", total, d.info.Path, err)
		}
	}
	return r, nil
}

// mergeSegments joins neighbours that are contiguous on the device, so that they
// take one mapping instead of two.
func mergeSegments(segs []segment) []segment {
	merged := segs[:0:0]
	for _, s := range segs {
		if n := len(merged); n > 0 && merged[n-1].off+merged[n-1].len == s.off {
			merged[n-1].len += s.len
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// syncMemory writes the pages that mem touches to their file.
func syncMemory(mem []byte) error {
	page := uintptr(os.Getpagesize())
	p := unsafe.Pointer(unsafe.SliceData(mem))
	head := uintptr(p) & (page - 1)
	return unix.Msync(unsafe.Slice((*byte)(unsafe.Add(p, -int(head))), len(mem)+int(head)), unix.MS_SYNC)
}
