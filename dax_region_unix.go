//go:build unix

package famfs

// Address space on Unix. The segments of the device are mapped with MAP_FIXED over a reservation
// of the right size and alignment. A guessed address usually avoids the reservation: for a single
// run, and for several. mapSegments has checked the segments: with MAP_FIXED, a wrong one would destroy
// other mappings.

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canMap says whether this system can map files.
const canMap = true

// mapRegion maps parts, of total bytes together, at an address that is a multiple of regionAlign
// and of the alignment of every device.
func mapRegion(parts []part, total int64, write, populate bool) (*region, error) {
	align := int64(regionAlign)
	for _, p := range parts {
		align = max(align, p.dev.info.Align)
	}
	var r *region
	if len(parts) == 1 {
		p := parts[0]
		r = p.dev.mapRun(p.segment, uintptr(align), write)
	} else {
		r = mapBeside(parts, total, uintptr(align), write)
	}
	if r == nil {
		var err error
		if r, err = mapRuns(parts, total, uintptr(align), write); err != nil {
			return nil, err
		}
	}
	at := int64(0)
	for i := 0; i < len(parts); { // neighbours of one device at once
		d, from := parts[i].dev, at
		for ; i < len(parts) && parts[i].dev == d; i++ {
			at += parts[i].len
		}
		if d.hugePages {
			adviseHugePages(r.mem[from:at])
		}
		if write && d.writeBack && d.sparse() {
			adviseSingly(r.mem[from:at])
		}
	}
	if populate {
		if err := populateMemory(r.mem, write); err != nil {
			r.unmap()
			for _, p := range parts {
				err = p.dev.explain(err, []segment{p.segment})
			}
			return nil, fmt.Errorf("populate %d bytes of %s: %w", total, parts[0].dev.info.Path, err)
		}
	}
	return r, nil
}

// mmapFlags returns protection and flags for mapping d.
func (d *device) mmapFlags(write bool) (prot, flags int) {
	prot, flags = unix.PROT_READ, d.mapFlags
	if write {
		prot |= unix.PROT_WRITE
	}
	if flags == 0 {
		flags = unix.MAP_SHARED
	}
	return prot, flags
}

// mapRun maps a single run with one system call: it asks for an aligned address that is probably
// free. If it does not get one, or if there is an error, it returns nil, and mapRuns must be used.
func (d *device) mapRun(s segment, align uintptr, write bool) *region {
	prot, flags := d.mmapFlags(write)
	size := uintptr(s.len)
	hint := d.space.below(size, align)
	for range 2 {
		// The hint need not be mapped memory, so it stays a number until the call.
		p, err := unix.MmapPtr(int(d.file.Fd()), s.off, unsafe.Add(nil, hint), size, prot, flags)
		if err != nil {
			return nil
		}
		if uintptr(p)&(align-1) == 0 {
			return d.space.used(p, s.len, func() error { return unix.MunmapPtr(p, size) })
		}
		unix.MunmapPtr(p, size)
		// The kernel has returned the upper end of a gap: below it there is room for this
		// region, and for later ones.
		hint = uintptr(p) &^ (align - 1)
	}
	return nil
}

// mapBeside maps runs side by side where probably nothing is. It needs no reservation, which each run
// would split. Each run asks for an address and may get another: no other mapping is replaced. If one is somewhere else, or if there is an error, mapBeside returns nil, and
// mapRuns must be used.
func mapBeside(runs []part, total int64, align uintptr, write bool) *region {
	space := &runs[0].dev.space
	// The hint need not be mapped memory, so it stays a number until the calls.
	hint := space.below(uintptr(total), align)
	if hint == 0 {
		return nil
	}
	done := uintptr(0)
	undo := func() error { return unix.MunmapPtr(unsafe.Add(nil, hint), done) }
	for _, s := range runs {
		prot, flags := s.dev.mmapFlags(write)
		p, err := unix.MmapPtr(int(s.dev.file.Fd()), s.off, unsafe.Add(nil, hint+done), uintptr(s.len), prot, flags)
		if err == nil && uintptr(p) == hint+done {
			done += uintptr(s.len)
			continue
		}
		if err == nil {
			unix.MunmapPtr(p, uintptr(s.len))
		}
		if done > 0 {
			undo()
		}
		return nil
	}
	return space.used(unsafe.Add(nil, hint), total, undo)
}

// mapRuns maps runs side by side over a reservation.
func mapRuns(runs []part, total int64, align uintptr, write bool) (*region, error) {
	reserved := uintptr(total) + align
	r, err := reserveAddresses(reserved)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of address space for %s: %w", reserved, runs[0].dev.info.Path, mapError(err))
	}
	start := unsafe.Add(r.base, -uintptr(r.base)&(align-1))
	at := start
	for i, s := range runs {
		prot, flags := s.dev.mmapFlags(write)
		if _, err := unix.MmapPtr(int(s.dev.file.Fd()), s.off, at, uintptr(s.len), prot, flags|unix.MAP_FIXED); err != nil {
			r.abandon(at, uintptr(s.len))
			return nil, fmt.Errorf("map run %d of %d, %d bytes at %d of %s: %w", i, len(runs), s.len, s.off, s.dev.info.Path, mapError(err))
		}
		at = unsafe.Add(at, s.len)
	}
	return runs[0].dev.space.used(start, total, r.release), nil
}

// reservation is address space that belongs to this package until it is released.
type reservation struct {
	base unsafe.Pointer
	size uintptr
	// marked says that no other mapping of the process can be joined with it.
	marked bool
}

func (r reservation) release() error { return unix.MunmapPtr(r.base, r.size) }

// abandon releases the reservation after mapping size bytes over it at p has failed. The system may
// have removed that piece of it before it noticed the error, and another thread may have mapped
// something there since. So abandon leaves the piece alone, unless it is known to be unchanged. In
// the worst case, unused addresses are lost.
func (r reservation) abandon(p unsafe.Pointer, size uintptr) {
	// First release what is surely ours: the process may be at its limit of mappings.
	if before := uintptr(p) - uintptr(r.base); before > 0 {
		unix.MunmapPtr(r.base, before)
	}
	// The reservation reaches beyond every run, because aligning the first run took less than
	// the space that was added for it.
	end := unsafe.Add(r.base, r.size)
	if !r.marked || !oneMapping(uintptr(p), uintptr(end)) {
		p = unsafe.Add(p, size)
	}
	unix.MunmapPtr(p, uintptr(end)-uintptr(p))
}

// mapError adds to an error of mmap what to do about it.
func mapError(err error) error {
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("the device was unbound, or is gone: %w: %w", err, ErrDevice)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("the system allows no further mapping (sysctl vm.max_map_count, ulimit -v); reading through fs.FS needs none: %w", err)
	}
	return err
}

// addressSpace remembers where regions are, to guess where the next one can be: kernels go
// downwards, so the guess is directly below the last one. A wrong guess only costs time.
//
// Addresses are numbers here, because the memory at them may be gone: see region.unmap.
type addressSpace struct {
	mu     sync.Mutex
	lowest uintptr
}

// below returns an aligned address with size bytes between it and the last region, or 0 if there
// is nothing to guess from.
func (a *addressSpace) below(size, align uintptr) uintptr {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lowest <= size || a.lowest-size <= align {
		return 0
	}
	return (a.lowest - size) &^ (align - 1)
}

// used returns the n bytes at p as a region that ends with release. The next guess is below it. If
// it is still the last region when it ends, the next guess is its place.
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

// denyAccess makes any access to mem a fault.
func denyAccess(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	return unix.Mprotect(mem, unix.PROT_NONE)
}

// syncMemory writes the pages that mem touches to their file.
func syncMemory(mem []byte) error { return unix.Msync(wholePages(mem), unix.MS_SYNC) }
