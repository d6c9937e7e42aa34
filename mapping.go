package famfs

// Files as slices: mapping them, and sharing what is mapped already.

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
)

// Mapping is a file as one contiguous slice of shared memory. It may be used by any
// number of goroutines, and must be closed.
type Mapping struct {
	fs   *FS
	name string
	// since is what the device's disk.count was before anything could be stored.
	since uint64
	size  int64 // of the file
	// shared is nil after Close: a slice of memory that was given back must not be kept,
	// as its addresses may come to be those of the Go heap.
	shared atomic.Pointer[sharedRegion]
}

// regionKey tells regions apart: a file has at most two.
type regionKey struct {
	index    int64
	writable bool
}

// sharedRegion is a mapped file and the number of Mappings that use it.
type sharedRegion struct {
	key    regionKey
	region *region
	data   []byte // the file: region.mem without what lies behind its end
	name   string

	// Both are guarded by the table's mutex. users is 0 as long as the region is being
	// mapped; who wants it then makes mapped, which is closed when that came to an end.
	users  int
	mapped chan struct{}
}

// regionTable holds the regions of an FS that are mapped or are being mapped. Its mutex
// is never held during a system call: those that use one file do not wait for the
// mapping, populating or unmapping of another.
type regionTable struct {
	mu      sync.Mutex
	regions map[regionKey]*sharedRegion
}

// use returns the region of key, which it has mapped by mapIt if it is not yet. Who
// wants a region that another goroutine is mapping waits for that, and tries by itself
// if it failed. The caller becomes one of its users, until leave.
func (t *regionTable) use(key regionKey, mapIt func(*sharedRegion) error) (*sharedRegion, error) {
	t.mu.Lock()
	for {
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

// share becomes one more user of the region that a Mapping has, until leave. It returns nil
// if the Mapping is closed: that takes the region from it first, and then leaves it.
func (t *regionTable) share(of *atomic.Pointer[sharedRegion]) *sharedRegion {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := of.Load()
	if s != nil {
		s.users++
	}
	return s
}

// leave ends one use of s; the last one unmaps it.
func (t *regionTable) leave(s *sharedRegion) error {
	t.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(t.regions, s.key)
	}
	t.mu.Unlock()
	if !last {
		return nil
	}
	mapped.remove(s.data)
	return s.region.unmap()
}

// Map returns the file name as a slice over the device's memory: one slice whatever
// its layout, at an address that is a multiple of 2 MiB. Mapping a file that is mapped
// already, with the same protection, makes no system call and shares that memory. Calls
// do not wait for those that map other files, however long these take to populate them.
//
// Without Writable the memory cannot be written: a store is a fault. Writable is
// refused with ErrNotMaster on a client, and with ErrReadOnly if the FS was opened
// without ReadWrite, unless WithClientWrites was given; with fs.ErrPermission if
// the file is read-only on all hosts or has no write permission bit.
//
// Other errors: fs.ErrNotExist, fs.ErrInvalid for a directory or an invalid name,
// fs.ErrClosed, ErrDevice if the file cannot be mapped or the memory is gone, and
// the system's if it has no more address space or mappings (vm.max_map_count): then
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
	index, n, err := f.lookup(name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, fmt.Errorf("is a directory: %w", fs.ErrInvalid)
	}
	if c.writable {
		if err := f.mayWrite(n); err != nil {
			return nil, err
		}
	}
	s, err := f.regions.use(regionKey{index, c.writable}, func(s *sharedRegion) error {
		r, err := f.mapNode(n.place(), n.size, c.writable)
		if err != nil {
			return err
		}
		s.region, s.data, s.name = r, r.mem[:n.size:n.size], n.path()
		mapped.add(s.data, s.name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.populate {
		// Others may use the region meanwhile.
		if err := populateMemory(s.region.mem, c.writable); err != nil {
			place := n.place()
			if segs, tooMany := place.segments(n.size); tooMany == nil {
				err = f.dev.explain(err, segs)
			}
			err = fmt.Errorf("populate %d bytes: %w", len(s.region.mem), err)
			return nil, errors.Join(err, f.regions.leave(s))
		}
	}
	m = &Mapping{fs: f, name: s.name, size: n.size, since: f.dev.disk.count.Load()}
	m.shared.Store(s)
	return m, nil
}

// mapNode maps the space of a file, whole allocation units, so that the system can
// use large pages up to its end. If it is to be written, there is room under a stand-in for
// the file afterwards, and for no more.
func (f *FS) mapNode(place Layout, size int64, writable bool) (*region, error) {
	if writable && f.dev.sparse() {
		segs, err := place.segments(roundUp(size, f.dev.info.Align))
		if err != nil {
			return nil, err
		}
		if err := f.dev.reserve(segs); err != nil {
			return nil, err
		}
	}
	segs, err := place.segments(roundUp(size, f.sb.AllocUnit))
	if err != nil {
		return nil, err
	}
	return f.dev.mapSegments(segs, writable, false)
}

// mayWrite says why the data of n may not be written.
func (f *FS) mayWrite(n node) error {
	switch {
	case f.config.clientWrites, f.config.readWrite:
	case f.role != Master:
		return fmt.Errorf("writable: %w; open with WithClientWrites to write data: %w", ErrNotMaster, ErrReadOnly)
	default:
		return fmt.Errorf("writable: %w; open with ReadWrite", ErrReadOnly)
	}
	switch {
	case n.flags&fileFlagReadOnly != 0:
		return fmt.Errorf("writable: the file is read-only on all hosts: %w", fs.ErrPermission)
	case n.mode()&0o222 == 0:
		return fmt.Errorf("writable: the file's mode %v has no write permission: %w", n.fileMode(), fs.ErrPermission)
	}
	return nil
}

// Bytes returns the file. Its length and capacity are the file's size. It is the
// shared memory itself: valid until Close, after which touching it crashes the
// program; nil after Close. See Guard for memory that may fail.
func (m *Mapping) Bytes() []byte {
	s := m.shared.Load()
	if s == nil {
		return nil
	}
	return s.data
}

// Flush writes what was stored to the slice back, so that other hosts, once they
// invalidate their caches, and the medium have it. On a plain file that is not on
// tmpfs it also waits for the disk. If the disk fails, something of what was stored through
// this FS may be lost, though the memory shows it, and nobody can tell what: Flush fails for
// every Mapping that was open, from then on. Map the file again, and write it again.
func (m *Mapping) Flush() error { return m.FlushRange(0, int64(len(m.Bytes()))) }

// FlushRange is Flush for n bytes from off; whole cache lines are written back. A
// range outside the file is fs.ErrInvalid.
func (m *Mapping) FlushRange(off, n int64) error {
	return m.onRange("flush", off, n, func(mem []byte) error { return m.fs.dev.flush(mem, m.since) })
}

// Invalidate forgets this host's cached lines of the file, to see what another host
// wrote and flushed. Lines that this host has changed are written back: invalidate
// before you write, not after.
func (m *Mapping) Invalidate() error { return m.InvalidateRange(0, int64(len(m.Bytes()))) }

// InvalidateRange is Invalidate for n bytes from off; whole cache lines are
// forgotten. A range outside the file is fs.ErrInvalid.
func (m *Mapping) InvalidateRange(off, n int64) error {
	return m.onRange("invalidate", off, n, func(mem []byte) error {
		m.fs.dev.cache.invalidate(mem)
		return nil
	})
}

// onRange applies op to a part of the slice; a memory fault is an error.
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

// Close gives the mapping up; when the last one of a file goes, its memory is
// unmapped. Closing again is fs.ErrClosed.
//
// Close does not flush: what was stored and not flushed may reach the memory at any later
// time, also over what another host has written there since.
func (m *Mapping) Close() error {
	s := m.shared.Swap(nil)
	if s == nil {
		return &fs.PathError{Op: "unmap", Path: m.name, Err: fs.ErrClosed}
	}
	defer m.fs.gate.letGo()
	if err := m.fs.regions.leave(s); err != nil {
		return &fs.PathError{Op: "unmap", Path: m.name, Err: err}
	}
	return nil
}
