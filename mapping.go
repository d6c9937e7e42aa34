package famfs

// Files as slices: mapping them, and sharing their memory.

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
)

// Mapping is a file as one contiguous slice of shared memory. It may be used by any
// number of goroutines, and must be closed.
type Mapping struct {
	fs   *FS
	name string
	home home
	// since has the disks' counts before anything could be stored.
	since diskCounts
	size  int64 // of the file
	// shared is nil after Close. A slice of unmapped memory must not be kept, because its
	// addresses may later belong to the Go heap.
	shared atomic.Pointer[sharedRegion]
}

// regionKey identifies a region: a file has at most two.
type regionKey struct {
	index    int64
	writable bool
}

// sharedRegion is a mapped file and the number of Mappings that use it.
type sharedRegion struct {
	key    regionKey
	region *region
	data   []byte // the file: region.mem up to the file's end
	name   string

	// The table's mutex guards users and mapped. While the region is being mapped, users is
	// 0. A goroutine that waits for that makes mapped, which is closed when the mapping is
	// done or has failed.
	users  int
	mapped chan struct{}
}

// regionTable holds the regions of an FS that are mapped or being mapped. Its mutex is never
// held during a system call: using one file does not wait for the mapping, populating or
// unmapping of another.
type regionTable struct {
	mu      sync.Mutex
	regions map[regionKey]*sharedRegion
	// leaving counts, by file, the regions that are being unmapped.
	leaving map[int64]int
	// sealing holds the files that are being sealed, which must not be mapped for writing.
	sealing map[int64]bool
}

// errSealing says that a file is being sealed.
var errSealing = fmt.Errorf("writable: it is being sealed: %w", ErrBusy)

// beginSealing keeps a file from being mapped for writing until endSealing. It fails if the file
// is mapped so, or being sealed already.
func (t *regionTable) beginSealing(index int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.sealing[index]:
		return fmt.Errorf("it is being sealed: %w", ErrBusy)
	case t.regions[regionKey{index, true}] != nil:
		return fmt.Errorf("it is mapped for writing; close the mapping first: %w", ErrBusy)
	}
	if t.sealing == nil {
		t.sealing = make(map[int64]bool)
	}
	t.sealing[index] = true
	return nil
}

func (t *regionTable) endSealing(index int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sealing, index)
}

// use returns the region of key, and maps it with mapIt if it is not mapped yet. If another
// goroutine is mapping the region, use waits for it, and tries again itself if that failed.
// The caller is a user of the region until leave.
func (t *regionTable) use(key regionKey, mapIt func(*sharedRegion) error) (*sharedRegion, error) {
	t.mu.Lock()
	for {
		if key.writable && t.sealing[key.index] {
			t.mu.Unlock()
			return nil, errSealing
		}
		s := t.regions[key]
		if s == nil {
			break
		}
		if s.users > 0 {
			s.users++
			t.mu.Unlock()
			return s, nil
		}
		if s.mapped == nil {
			s.mapped = make(chan struct{})
		}
		wait := s.mapped
		t.mu.Unlock()
		<-wait
		t.mu.Lock()
	}
	s := &sharedRegion{key: key}
	if t.regions == nil {
		t.regions = make(map[regionKey]*sharedRegion)
	}
	t.regions[key] = s
	t.mu.Unlock()
	defer func() { // also if mapIt panics
		t.mu.Lock()
		defer t.mu.Unlock()
		if s.region != nil {
			s.users = 1
		} else {
			delete(t.regions, key)
		}
		if s.mapped != nil {
			close(s.mapped)
		}
	}()
	return s, mapIt(s)
}

// share adds one user to the region of a Mapping, until leave. It returns nil if the Mapping is
// closed: Close first takes the region from the Mapping and then leaves it.
func (t *regionTable) share(of *atomic.Pointer[sharedRegion]) *sharedRegion {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := of.Load()
	if s != nil {
		s.users++
	}
	return s
}

// leave removes one user of s. The last one unmaps it, and has to call left.
func (t *regionTable) leave(s *sharedRegion) (last bool, err error) {
	t.mu.Lock()
	s.users--
	if last = s.users == 0; last {
		delete(t.regions, s.key)
		if t.leaving == nil {
			t.leaving = make(map[int64]int)
		}
		t.leaving[s.key.index]++
	}
	t.mu.Unlock()
	if !last {
		return false, nil
	}
	mapped.remove(s.data)
	return true, s.region.unmap()
}

// left notes that nothing of s is left, neither mapped nor in a cache.
func (t *regionTable) left(s *sharedRegion) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaving[s.key.index]--; t.leaving[s.key.index] == 0 {
		delete(t.leaving, s.key.index)
	}
}

// each calls use with every file that is mapped, being mapped, or being unmapped.
func (t *regionTable) each(use func(index int64)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.regions {
		use(key.index)
	}
	for index := range t.leaving {
		use(index)
	}
}

// revoke makes all regions that are mapped inaccessible. Who is mapping one has to look, when that
// is done, whether it may be used.
func (t *regionTable) revoke() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.regions {
		if s.users > 0 { // otherwise it is being mapped
			err = errors.Join(err, denyAccess(s.region.mem))
		}
	}
	return err
}

// leaveRegion removes one user of s.
func (f *FS) leaveRegion(s *sharedRegion) error {
	last, err := f.regions.leave(s)
	if !last {
		return err
	}
	index := s.key.index
	n := f.replica.ns.node(index)
	if s.key.writable {
		err = errors.Join(err, f.throwOut(n), f.endWrites())
	}
	f.regions.left(s)
	if f.pins.on && n.slab.removedBefore(index, f.replica.ns.end()) {
		// If the pin does not rise, the next Refresh says why.
		_ = f.raisePin()
	}
	return err
}

// inUse returns how many users all regions have, and how much memory is mapped for them.
func (t *regionTable) inUse() (users int, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.regions {
		if s.users > 0 { // otherwise it is being mapped
			users += s.users
			bytes += int64(len(s.region.mem))
		}
	}
	return users, bytes
}

// Map returns the file name as a slice over the device's memory: one slice whatever the
// layout, at an address that is a multiple of 2 MiB. If the file is mapped already with the same
// protection, Map makes no system call and shares that memory. A call does not wait for calls
// that map other files, even if those take long to populate them.
//
// Without Writable the memory cannot be written: a store is a fault. Writable is refused with
// ErrNotMaster on a client, and with ErrReadOnly if the FS was opened without ReadWrite;
// WithClientWrites allows both. It is refused with fs.ErrPermission if the file is sealed (the log
// is read up to its end first; if that fails, so does Map, with the error of Refresh), is read-only on all hosts, or has no write permission bit, and
// with ErrBusy while this FS is sealing it.
//
// Other errors: fs.ErrNotExist; fs.ErrInvalid if name is a directory or invalid;
// fs.ErrClosed; ErrDevice if the file cannot be mapped or the memory is gone; the system's
// error if it has no more address space or mappings (vm.max_map_count). In that last case
// reading through fs.FS still works.
func (f *FS) Map(name string, opts ...MapOption) (*Mapping, error) {
	var c mapConfig
	for _, o := range opts {
		if o != nil {
			o.applyMap(&c)
		}
	}
	m, err := f.mapFile(name, c)
	if err != nil {
		return nil, &fs.PathError{Op: "map", Path: name, Err: err}
	}
	return m, nil
}

func (f *FS) mapFile(name string, c mapConfig) (m *Mapping, err error) {
	if !f.gate.hold() {
		return nil, fs.ErrClosed
	}
	defer func() {
		if m == nil {
			f.gate.letGo()
		}
	}()
	if c.writable {
		if err := f.lookForSeals(); err != nil {
			return nil, err
		}
	}
	epoch, err := f.reach()
	if err != nil {
		return nil, err
	}
	defer f.leave(epoch)
	index, n, err := f.lookup(name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	if c.writable {
		if err := f.mayWrite(index, n); err != nil {
			return nil, err
		}
	}
	if err := f.forgetOwner(index, n); err != nil {
		return nil, err
	}
	h, err := f.homeOf(n.place())
	if err != nil {
		return nil, err
	}
	if c.verified {
		var sum *SumError
		if err := f.verifyNode(index, n, nil); err != nil && !(errors.As(err, &sum) && sum.Stale) {
			return nil, err
		}
	}
	s, err := f.useRegion(index, n, &h, c.writable)
	if err != nil {
		return nil, err
	}
	if c.writable {
		// It may have been sealed after mayWrite, and before the region was there to prevent it.
		if err := f.mayWrite(index, n); err != nil {
			return nil, errors.Join(err, f.leaveRegion(s))
		}
	}
	if f.pins.evicted.Load() { // it may have been mapped when all others had been made inaccessible
		return nil, errors.Join(ErrEvicted, f.leaveRegion(s))
	}
	if c.populate {
		// Others may be using the region already.
		if err := populateMemory(s.region.mem, c.writable); err != nil {
			err = fmt.Errorf("populate %d bytes: %w", len(s.region.mem), h.explain(err, n.size))
			return nil, errors.Join(err, f.leaveRegion(s))
		}
	}
	m = &Mapping{fs: f, name: s.name, home: h, size: n.size, since: h.diskCounts()}
	m.shared.Store(s)
	return m, nil
}

// useRegion has the file n of entry index mapped, or shares what is mapped already, until
// that is left.
func (f *FS) useRegion(index int64, n node, h *home, writable bool) (*sharedRegion, error) {
	return f.regions.use(regionKey{index, writable}, func(s *sharedRegion) error {
		if writable {
			if err := f.beginWrites(); err != nil {
				return err
			}
		}
		r, err := h.mapWhole(n.size, f.sb.AllocUnit, writable)
		if err != nil {
			if writable {
				err = errors.Join(err, f.endWrites())
			}
			return err
		}
		s.region, s.data, s.name = r, r.mem[:n.size:n.size], n.path()
		mapped.addOf(f.faults, s.data, s.name)
		f.watchFile(*h, s.data)
		return nil
	})
}

// mapWhole maps the space of a file in whole allocation units, so that the system can use large
// pages up to the file's end. If the file is to be written and a device is a file with holes,
// it first reserves room for this part of it, and for no more.
func (h *home) mapWhole(size, unit int64, writable bool) (*region, error) {
	if writable && h.sparse() {
		parts, err := h.parts(min(roundUp(size, h.align()), roundUp(size, unit)))
		if err != nil {
			return nil, err
		}
		if err := reserve(parts); err != nil {
			return nil, err
		}
	}
	parts, err := h.parts(roundUp(size, unit))
	if err != nil {
		return nil, err
	}
	return mapParts(parts, writable, false)
}

// unaligned reports whether the space of a file does not consist of whole pages of its devices, as
// may be where units are smaller than pages. Then it cannot be mapped.
func (h *home) unaligned(size, unit int64) bool {
	parts, err := h.parts(roundUp(size, unit))
	return err == nil && slices.ContainsFunc(parts, func(p part) bool {
		return (p.off|p.len)%p.dev.info.Align != 0
	})
}

// mapToFill is mapWhole for a file that is being created, also if it is unaligned: then the pages
// around it are mapped, and the region is the part of them that is the file's.
func (h *home) mapToFill(size, unit int64) (*region, error) {
	if !h.unaligned(size, unit) {
		return h.mapWhole(size, unit, true)
	}
	parts, err := h.parts(roundUp(size, unit))
	if err != nil || len(parts) > 1 {
		return h.mapWhole(size, unit, true) // its error says why not
	}
	p := parts[0]
	if err := reserve(parts); err != nil {
		return nil, err
	}
	from := p.off / p.dev.info.Align * p.dev.info.Align
	r, err := mapParts([]part{{p.dev, segment{from, roundUp(p.off+p.len, p.dev.info.Align) - from}}}, true, false)
	if err == nil {
		r.mem = r.mem[p.off-from:][:p.len:p.len]
	}
	return r, err
}

// mayWrite returns an error if the data of n may not be written.
func (f *FS) mayWrite(index int64, n node) error {
	switch {
	case f.config.clientWrites, f.config.readWrite:
	case f.role != Master:
		return fmt.Errorf("writable: %w; open with WithClientWrites to write data: %w", ErrNotMaster, ErrReadOnly)
	default:
		return fmt.Errorf("writable: %w; open with ReadWrite or WithClientWrites", ErrReadOnly)
	}
	_, sealed := f.sealOf(index, n)
	switch {
	case sealed:
		return fmt.Errorf("writable: the file is sealed: %w", fs.ErrPermission)
	case n.flags&fileFlagReadOnly != 0:
		return fmt.Errorf("writable: the file is read-only on all hosts: %w", fs.ErrPermission)
	case n.mode()&0o222 == 0:
		return fmt.Errorf("writable: the file's mode %v has no write permission: %w", n.fileMode(), fs.ErrPermission)
	}
	return nil
}

// Bytes returns the file's memory. Length and capacity are the file's size. The slice is the
// shared memory itself. It is valid until Close; touching it after Close crashes the program.
// After Close, Bytes returns nil. If the memory may fail, see Guard.
func (m *Mapping) Bytes() []byte {
	s := m.shared.Load()
	if s == nil {
		return nil
	}
	return s.data
}

// Flush writes back what was stored to the slice, so that the medium has it, and other hosts
// see it once they invalidate their caches. If the device is a plain file that is not on
// tmpfs, Flush also waits for the disk. If the disk fails, something that was stored through
// this FS may be lost, although the memory shows it, and it is not possible to know what.
// From then on, Flush fails for every Mapping that was open. Map the file and write it again.
func (m *Mapping) Flush() error { return m.FlushRange(0, int64(len(m.Bytes()))) }

// FlushRange flushes n bytes from off, as Flush does. It writes back whole cache lines. The
// error is fs.ErrInvalid if the range is not inside the file.
func (m *Mapping) FlushRange(off, n int64) error {
	return m.onRange("flush", off, n, func(mem []byte) error { return m.home.flush(mem, off, m.since) })
}

// Invalidate drops this host's cached lines of the file, so that reads see what another host
// wrote and flushed. Lines that this host has changed are written back, so invalidate before
// you write, not after.
func (m *Mapping) Invalidate() error { return m.InvalidateRange(0, int64(len(m.Bytes()))) }

// InvalidateRange invalidates n bytes from off, as Invalidate does. It drops whole cache
// lines. The error is fs.ErrInvalid if the range is not inside the file.
func (m *Mapping) InvalidateRange(off, n int64) error {
	return m.onRange("invalidate", off, n, func(mem []byte) error {
		m.home.strictest().cache.invalidate(mem)
		return nil
	})
}

// onRange applies op to a part of the slice. A memory fault is returned as an error.
func (m *Mapping) onRange(name string, off, n int64, op func([]byte) error) error {
	fail := func(err error) error { return &fs.PathError{Op: name, Path: m.name, Err: err} }
	s := m.shared.Load()
	if s == nil {
		return fail(fs.ErrClosed)
	}
	data := s.data
	if off < 0 || n < 0 || off > int64(len(data)) || n > int64(len(data))-off {
		return fail(fmt.Errorf("range of %d bytes at %d, want one within the file's %d: %w", n, off, len(data), fs.ErrInvalid))
	}
	if err := Guard(func() error { return op(data[off : off+n]) }); err != nil {
		return fail(err)
	}
	return nil
}

// Close ends the mapping. When the last Mapping of a file is closed, the memory is unmapped.
// Closing again is fs.ErrClosed.
//
// Close does not flush. Data that was stored and not flushed may reach the memory at any later
// time, even over what another host has written there since.
func (m *Mapping) Close() error {
	s := m.shared.Swap(nil)
	if s == nil {
		return &fs.PathError{Op: "unmap", Path: m.name, Err: fs.ErrClosed}
	}
	defer m.fs.gate.letGo()
	if err := m.fs.leaveRegion(s); err != nil {
		return &fs.PathError{Op: "unmap", Path: m.name, Err: err}
	}
	return nil
}
