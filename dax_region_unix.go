//go:build unix

package famfs

// Address space on Unix: a reservation of the right size and alignment, and the
// segments of the device mapped over it with MAP_FIXED, or, for a single run, a guess
// that saves the reservation. The segments were checked by mapSegments: with MAP_FIXED
// a wrong one would destroy what is there already.

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapRegion maps segs, total bytes together, at an address that is a multiple of
// regionAlign and of the device's alignment.
func (d *device) mapRegion(segs []segment, total int64, write, populate bool) (*region, error) {
	prot, flags := unix.PROT_READ, d.mapFlags
	if write {
		prot |= unix.PROT_WRITE
	}
	if flags == 0 {
		flags = unix.MAP_SHARED
	}
	align := uintptr(max(regionAlign, d.info.Align))
	runs := mergeSegments(segs)
	var r *region
	if len(runs) == 1 {
		r = d.mapRun(runs[0], align, prot, flags)
	}
	if r == nil {
		var err error
		if r, err = d.mapRuns(runs, total, align, prot, flags); err != nil {
			return nil, err
		}
	}
	if d.hugePages {
		adviseHugePages(r.mem)
	}
	if populate {
		if err := populateMemory(r.mem, write); err != nil {
			r.unmap()
			return nil, fmt.Errorf("populate %d bytes of %s: %w", total, d.info.Path, err)
		}
	}
	return r, nil
}

// mapRun maps a single run with one system call, by asking for an aligned address that
// is probably free. It returns nil where it does not get one, or an error: mapRuns then tries
// for good.
func (d *device) mapRun(s segment, align uintptr, prot, flags int) *region {
	size := uintptr(s.len)
	hint := d.space.below(size, align)
	for range 2 {
		p, err := unix.MmapPtr(int(d.file.Fd()), s.off, hint, size, prot, flags)
		if err != nil {
			return nil
		}
		if uintptr(p)&(align-1) == 0 {
			return &region{mem: unsafe.Slice((*byte)(p), s.len), unmap: d.space.used(p, size, func() error { return unix.MunmapPtr(p, size) })}
		}
		unix.MunmapPtr(p, size)
		// What the kernel gives instead is the upper end of a gap: further down in it there
		// is room for this one, and for those to come.
		hint = unsafe.Add(p, -int(uintptr(p)&(align-1)))
	}
	return nil
}

// mapRuns maps runs side by side into a reservation.
func (d *device) mapRuns(runs []segment, total int64, align uintptr, prot, flags int) (*region, error) {
	reserved := uintptr(total) + align
	base, err := unix.MmapPtr(-1, 0, nil, reserved, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space for %s: %w", reserved, d.info.Path, mapError(err))
	}
	release := func() error { return unix.MunmapPtr(base, reserved) }
	start := unsafe.Add(base, -uintptr(base)&(align-1))
	at := start
	for i, s := range runs {
		if _, err := unix.MmapPtr(int(d.file.Fd()), s.off, at, uintptr(s.len), prot, flags|unix.MAP_FIXED); err != nil {
			release()
			return nil, fmt.Errorf("map run %d of %d, %d bytes at %d of %s: %w", i, len(runs), s.len, s.off, d.info.Path, mapError(err))
		}
		at = unsafe.Add(at, s.len)
	}
	return &region{mem: unsafe.Slice((*byte)(start), total), unmap: d.space.used(start, uintptr(total), release)}, nil
}

// mapError says what to do about an error of mmap.
func mapError(err error) error {
	if errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("the system allows no further mapping (sysctl vm.max_map_count, ulimit -v); reading through fs.FS needs none: %w", err)
	}
	return err
}

// addressSpace remembers where regions lie, to guess where the next can: kernels go
// downwards, so right below the last. A wrong guess costs time and nothing else.
type addressSpace struct {
	mu     sync.Mutex
	lowest unsafe.Pointer
}

// below returns an aligned address with size bytes between it and the last region, or
// nil if there is nothing to go by.
func (a *addressSpace) below(size, align uintptr) unsafe.Pointer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if uintptr(a.lowest) <= size+align {
		return nil
	}
	p := unsafe.Add(a.lowest, -int(size))
	return unsafe.Add(p, -int(uintptr(p)&(align-1)))
}

// used notes that a region lies at p. What it returns unmaps it, and makes its place the
// next guess if it was the last.
func (a *addressSpace) used(p unsafe.Pointer, size uintptr, unmap func() error) func() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lowest = p
	return func() error {
		a.mu.Lock()
		if a.lowest == p {
			a.lowest = unsafe.Add(p, size)
		}
		a.mu.Unlock()
		return unmap()
	}
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
func syncMemory(mem []byte) error { return unix.Msync(wholePages(mem), unix.MS_SYNC) }

// wholePages returns mem from the start of its first page: calls about pages want that.
func wholePages(mem []byte) []byte {
	p := unsafe.Pointer(unsafe.SliceData(mem))
	head := uintptr(p) & uintptr(os.Getpagesize()-1)
	return unsafe.Slice((*byte)(unsafe.Add(p, -int(head))), len(mem)+int(head))
}
