package famfs

// What happens on a host that was evicted (see Evict): it finds that out, and makes everything that
// it has mapped inaccessible, as the memory may be another file's by now.

import (
	"errors"
)

// stillAdmitted looks whether this host was evicted. If so, everything that is mapped becomes
// inaccessible.
func (f *FS) stillAdmitted() error {
	if f.pins.evicted.Load() {
		return ErrEvicted
	}
	seat := f.pins.seat.Load()
	if seat == 0 {
		return nil
	}
	err := f.notice(Guard(func() error { return f.replica.mayPin(int(seat - 1)) }))
	if errors.Is(err, ErrEvicted) {
		f.revoke()
	}
	return err
}

// refreshAdmitted is Refresh of a file system with reuse: it fails if this host was evicted. The state
// of the host is looked at with the log's header, under the same fence.
func (f *FS) refreshAdmitted() (n int, err error) {
	seat := f.pins.seat.Load()
	if seat == 0 || f.pins.evicted.Load() {
		if err := f.stillAdmitted(); err != nil {
			return 0, err
		}
		return f.refreshLocked()
	}
	m := &mappedMemory{dev: f.dev, mem: f.window.mem}
	at := f.replica.pinsAt() + hostStateAt(int(seat-1))
	if err := f.notice(Guard(func() error { m.invalidate(at, 8); return nil })); err != nil {
		return 0, err
	}
	n, err = f.refreshLocked()
	admitted := errors.Is(err, ErrReformatted) // then it is no state of a host of this file system
	if !admitted && !errors.Is(err, ErrEvicted) {
		_ = Guard(func() error { admitted = m.load64(at) == hostAdmitted; return nil })
	}
	if admitted {
		return n, err
	}
	if evicted := f.stillAdmitted(); evicted != nil {
		return 0, evicted
	}
	return n, err
}

// revoke makes everything that is mapped inaccessible, as its memory may be given out again.
func (f *FS) revoke() {
	f.pins.mu.Lock()
	defer f.pins.mu.Unlock()
	f.revokeLocked()
}

func (f *FS) revokeLocked() {
	if f.pins.evicted.Swap(true) {
		return
	}
	err := f.regions.revoke()
	if f.pins.flags&slotWrites != 0 {
		// Nothing can be stored any more. What was must not come out of this host's caches after the
		// slot is free, as the host may then be admitted again.
		err = errors.Join(err, Guard(f.forgetAllData))
	}
	err = errors.Join(err, f.eachData(func(_ *device, mem []byte) error { return denyAccess(mem) }))
	if err == nil {
		err = f.dropSlot()
	}
	f.config.log.Warn("this host was evicted: mappings are inaccessible from now on", "path", f.dev.info.Path, "err", err)
}

// forgetAllData throws all data out of this host's caches.
func (f *FS) forgetAllData() error {
	return f.eachData(func(dev *device, mem []byte) error {
		if dev.shared {
			dev.cache.invalidate(mem)
		}
		return nil
	})
}

// eachData calls use with each device, and its memory that files may be in. It fails if a device is
// not here, but then does the others all the same.
func (f *FS) eachData(use func(dev *device, mem []byte) error) (errs error) {
	for i := range f.replica.space.devices() {
		m, err := f.on(i)
		if err != nil && m.dev == nil {
			errs = errors.Join(errs, err)
			continue
		}
		mem, from := m.window.mem, int64(superblockArea)
		if i == 0 {
			from = f.sb.dataStart()
		}
		if from < int64(len(mem)) {
			errs = errors.Join(errs, use(m.dev, mem[from:]))
		}
	}
	return errs
}
