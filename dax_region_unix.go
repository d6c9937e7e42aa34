//go:build unix

package famfs

// Address space on Unix: a reservation of the right size and alignment, and the
// segments of the device mapped over it with MAP_FIXED, or, for a single run, a guess
// that saves the reservation. The segments were checked by mapSegments: with MAP_FIXED
// a wrong one would destroy what is there already.

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canMap says that this system maps files.
const canMap = true

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
	var r *region
	if len(segs) == 1 {
		r = d.mapRun(segs[0], align, prot, flags)
	}
	if r == nil {
		var err error
		if r, err = d.mapRuns(segs, total, align, prot, flags); err != nil {
			return nil, err
		}
	}
	if d.hugePages {
		adviseHugePages(r.mem)
	}
	if write && d.writeBack && d.sparse() {
		adviseSingly(r.mem)
	}
	if populate {
		if err := populateMemory(r.mem, write); err != nil {
			r.unmap()
			return nil, fmt.Errorf("populate %d bytes of %s: %w", total, d.info.Path, d.explain(err, segs))
		}
	}
	return r, nil
}

// mapRun maps a single run with one system call, by asking for an aligned address that
// is probably free. It returns nil if it does not get one, or an error: mapRuns then tries
// for good.
func (d *device) mapRun(s segment, align uintptr, prot, flags int) *region {
	size := uintptr(s.len)
	hint := d.space.below(size, align)
	for range 2 {
		// A hint need not be memory of anybody's, so it is a number up to the call.
		p, err := unix.MmapPtr(int(d.file.Fd()), s.off, unsafe.Add(nil, hint), size, prot, flags)
		if err != nil {
			return nil
		}
		if uintptr(p)&(align-1) == 0 {
			return d.space.used(p, s.len, func() error { return unix.MunmapPtr(p, size) })
		}
		unix.MunmapPtr(p, size)
		// What the kernel gives instead is the upper end of a gap: further down in it there
		// is room for this one, and for those to come.
		hint = uintptr(p) &^ (align - 1)
	}
	return nil
}

// mapRuns maps runs side by side into a reservation.
func (d *device) mapRuns(runs []segment, total int64, align uintptr, prot, flags int) (*region, error) {
	reserved := uintptr(total) + align
	r, err := reserveAddresses(reserved)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space for %s: %w", reserved, d.info.Path, mapError(err))
	}
	start := unsafe.Add(r.base, -uintptr(r.base)&(align-1))
	at := start
	for i, s := range runs {
		if _, err := unix.MmapPtr(int(d.file.Fd()), s.off, at, uintptr(s.len), prot, flags|unix.MAP_FIXED); err != nil {
			r.abandon(at, uintptr(s.len))
			return nil, fmt.Errorf("map run %d of %d, %d bytes at %d of %s: %w", i, len(runs), s.len, s.off, d.info.Path, mapError(err))
		}
		at = unsafe.Add(at, s.len)
	}
	return d.space.used(start, total, r.release), nil
}

// reservation is address space that is this package's until it is released.
type reservation struct {
	base unsafe.Pointer
	size uintptr
	// marked says that no other mapping of the process can be joined with it.
	marked bool
}

func (r reservation) release() error { return unix.MunmapPtr(r.base, r.size) }

// abandon releases the reservation after mapping size bytes over it at p failed. The
// system may have removed that piece of it before it noticed what was wrong, and another
// thread may have mapped something there since: unless the piece is known to be as it was,
// it is left alone. Then, at worst, addresses that nothing lies behind are lost.
func (r reservation) abandon(p unsafe.Pointer, size uintptr) {
	// First what is surely ours: it may be the last mappings that the process is allowed.
	if before := uintptr(p) - uintptr(r.base); before > 0 {
		unix.MunmapPtr(r.base, before)
	}
	// The reservation reaches beyond every run, as aligning the first took less than was
	// added for it.
	end := unsafe.Add(r.base, r.size)
	if !r.marked || !oneMapping(uintptr(p), uintptr(end)) {
		p = unsafe.Add(p, size)
	}
	unix.MunmapPtr(p, uintptr(end)-uintptr(p))
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
//
// Addresses are numbers here, as what lay there may be gone: see region.unmap.
type addressSpace struct {
	mu     sync.Mutex
	lowest uintptr
}

// below returns an aligned address with size bytes between it and the last region, or
// 0 if there is nothing to go by.
func (a *addressSpace) below(size, align uintptr) uintptr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lowest <= size || a.lowest-size <= align {
		return 0
	}
	return (a.lowest - size) &^ (align - 1)
}

// used returns the n bytes at p as a region that ends with release, and makes their place
// the one to guess by. If it is still the last when the region ends, the next guess is
// that place.
func (a *addressSpace) used(p unsafe.Pointer, n int64, release func() error) *region {
	at := uintptr(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lowest = at
	return &region{mem: unsafe.Slice((*byte)(p), n), release: func() error {
		a.mu.Lock()
		if a.lowest == at {
			a.lowest = at + uintptr(n)
		}
		a.mu.Unlock()
		return release()
	}}
}

// syncMemory writes the pages that mem touches to their file.
func syncMemory(mem []byte) error { return unix.Msync(wholePages(mem), unix.MS_SYNC) }
