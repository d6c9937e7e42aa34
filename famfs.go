// Package famfs reads and writes famfs, a file system for memory that several hosts
// share, without a kernel file system, a daemon or cgo.
//
// A device (devdax, a file on fs-dax or, in tests, a plain file) is made with Format
// and opened with Open. Its metadata is one append-only log, which the master alone
// writes and every host replays into a namespace of its own. FS.Map gives a file as
// one []byte over the shared memory itself; *FS is also an fs.FS.
//
// Space is allocated when a file is created, and a file's size never changes. A file
// exists from PendingFile.Commit on, whole, until it is removed or replaced, which does
// not disturb who has it open or mapped. Clients may be behind the log at any time and stay
// correct: they see what was there at their last Refresh.
//
// Two ways of sharing are promised: files that are written once and then read by
// all, and files that hosts write one at a time, each flushing after writing
// (Mapping.Flush) and invalidating before reading (Mapping.Invalidate). The package
// keeps its metadata coherent by itself.
//
// An FS, and the Mappings it hands out, may be used by any number of goroutines;
// readers never wait for writers. An FS must not outlive its process by fork.
package famfs

// Opening and closing a file system, and what is known of it as a whole. The
// pieces have rooms of their own: device (dax.go), log (log_replay.go,
// log_append.go), names (namespace.go); what users do with an FS is in mapping.go,
// iofs.go, create.go, watch.go.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// FS is an open file system. It is an fs.FS, fs.StatFS, fs.ReadDirFS and
// fs.ReadFileFS. It must be closed.
type FS struct {
	dev    *device
	sb     Superblock
	role   Role
	config openConfig
	// journal is what the caller's logger is to be told. Exported methods that may find
	// something to tell do so last, when nothing is locked.
	journal *journal

	// window is the whole device, mapped for reading; all reading through fs.FS
	// comes out of it. metaRegion is superblock and log, mapped for writing, nil
	// where they may not be written.
	window, metaRegion *region

	gate gate

	// mu is held while the log is replayed or appended to, never while waiting for
	// another process.
	mu      sync.Mutex
	replica *replica
	// pending are the files that are being created, by name; promised is how many log entries
	// they may need; created counts them.
	pending  map[string]*pendingFile
	promised int
	created  uint64
	lock     *writeLock

	// reformatted is why nothing but what is mapped can be used any more, or nil.
	reformatted atomic.Pointer[error]

	regions regionTable
}

// Open opens the file system on the device or file at path, read-only unless
// ReadWrite is given.
//
// It fails with fs.ErrNotExist or fs.ErrPermission as os.Open does, ErrDevice if
// path is nothing that can be mapped as shared memory, or if this architecture
// has no cache instructions and path needs them; ErrNotFormatted, ErrVersion,
// ErrChecksum or ErrCorrupt for what is on the device; ErrNotMaster if
// ReadWrite is wanted on a host that is not the master; fs.ErrInvalid for options
// that exclude each other. Log entries that are sound but unacceptable are passed
// over: see Problems.
func Open(path string, opts ...Option) (*FS, error) {
	c := newOpenConfig(opts)
	fsys, err := open(path, c)
	c.journal.tellOr(func() {
		if err == nil {
			fsys.release()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("famfs: open %s: %w", path, err)
	}
	return fsys, nil
}

func open(path string, c openConfig) (_ *FS, err error) {
	if c.tolerant && c.readWrite {
		return nil, fmt.Errorf("Tolerant and ReadWrite exclude each other: %w", fs.ErrInvalid)
	}
	if c.salvage && (c.readWrite || c.clientWrites) {
		return nil, fmt.Errorf("Salvage excludes ReadWrite and WithClientWrites: %w", fs.ErrInvalid)
	}
	if c.grow && !c.readWrite {
		return nil, fmt.Errorf("Grow needs ReadWrite: %w", fs.ErrInvalid)
	}
	f, err := openMedium(path, c)
	if err != nil {
		return nil, err
	}
	opened := false
	defer func() {
		if !opened {
			err = errors.Join(err, f.release())
		}
	}()
	// Memory faults are errors from here on.
	err = Guard(func() error {
		if c.salvage {
			_, err := f.salvage()
			if err == nil {
				host, _ := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
				f.role = roleOf(host, f.sb.SystemUUID)
			}
			return err
		}
		m := &mappedMemory{dev: f.dev, mem: f.window.mem}
		f.sb, err = readSuperblock(m, f.size())
		if errors.Is(err, ErrNotFormatted) {
			err = explainUnformatted(m, f.size(), err)
		}
		if err != nil {
			return err
		}
		if newer := f.sb.newerFormat(); newer != nil {
			// What it has added may forbid what this package would do.
			if c.readWrite || c.clientWrites {
				return fmt.Errorf("for writing: %w; it can be read: open without ReadWrite and WithClientWrites", newer)
			}
			c.log.Warn("reading a file system of a newer format", "path", path, "err", newer)
		}
		host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
		f.role = roleOf(host, f.sb.SystemUUID)
		if c.readWrite && f.role != Master {
			return fmt.Errorf("for writing: the superblock names host %s, this one is %v: %w", f.sb.SystemUUID, host, errors.Join(ErrNotMaster, identityErr))
		}
		if c.readWrite {
			if f.metaRegion, err = f.dev.mapPrefix(f.sb.logEnd()); err != nil {
				return err
			}
			mapped.add(f.metaRegion.mem, path)
			m = &mappedMemory{dev: f.dev, mem: f.metaRegion.mem}
		}
		if c.grow {
			if err := f.grow(m); err != nil {
				return err
			}
		}
		f.replica = newReplica(m, f.sb, f.size(), c.log)
		f.replica.pause = c.pause
		if _, err = f.replica.catchUp(c.onCorrupt(), true); err == nil && c.readWrite {
			err = f.repairLog()
		}
		return err
	})
	opened = err == nil
	return f, err
}

// grow makes the superblock say what size the device has, if that is more than it said.
func (f *FS) grow(m sharedMemory) (err error) {
	if err := f.lock.acquire(context.Background(), f.config.lockTimeout); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lock.release()) }()
	now, err := readSuperblock(m, f.size())
	if err != nil {
		return err
	}
	if now.UUID != f.sb.UUID {
		return fmt.Errorf("superblock: found file system %s, want %s: %w", now.UUID, f.sb.UUID, ErrReformatted)
	}
	f.sb.DeviceSize = now.DeviceSize
	if !now.canGrow(f.dev.info.Size) {
		return nil
	}
	f.sb.DeviceSize = f.dev.info.Size
	return writeDeviceSize(m, f.dev.info.Size)
}

// repairLog repairs what a writer that crashed may have left in the log's header. If
// another writer has the lock just now it is left to that one, or to this FS when it
// creates something: opening does not wait.
func (f *FS) repairLog() error {
	if f.replica.header.seq == f.replica.header.next {
		return nil
	}
	if err := f.lock.acquire(context.Background(), 0); err != nil {
		f.config.log.Debug("log header not repaired now", "err", err)
		return nil
	}
	return errors.Join(f.replica.repairSequence(), f.lock.release())
}

// openMedium opens the device and maps it, whatever is on it.
func openMedium(path string, c openConfig) (*FS, error) {
	dev, err := openDevice(path, c.readWrite || c.clientWrites, c.log)
	if err != nil {
		return nil, err
	}
	if c.prepare != nil {
		c.prepare(dev)
	}
	window, err := dev.mapWhole()
	if err != nil {
		dev.close()
		return nil, err
	}
	mapped.add(window.mem, path)
	return &FS{dev: dev, config: c, journal: c.journal, window: window, pending: make(map[string]*pendingFile), lock: newWriteLock(dev)}, nil
}

// size is how much of the device can be used: what the window reaches.
func (f *FS) size() int64 { return int64(len(f.window.mem)) }

// release unmaps and closes the device.
func (f *FS) release() error {
	var errs []error
	for _, r := range []*region{f.metaRegion, f.window} {
		if r != nil {
			mapped.remove(r.mem)
			errs = append(errs, r.unmap())
		}
	}
	return errors.Join(append(errs, f.dev.close())...)
}

// Close unmaps and closes the device.
//
// It fails with ErrBusy, changes nothing and disturbs nobody while a Mapping or a
// PendingFile is open, and while Map, Create, a method that makes files or directories,
// or WriteTo of an open file is under way. These may take as long as a lock or a writer
// makes them: Close does not wait for them, and may be called from a writer that WriteTo
// calls. Try again when they are done.
//
// Otherwise Close succeeds. It waits for reads and calls of Refresh under way, which
// wait for nobody else. Files opened through fs.FS need not be closed before; they give
// fs.ErrClosed afterwards. Closing again is fs.ErrClosed.
func (f *FS) Close() error {
	if err := f.close(); err != nil {
		return fmt.Errorf("famfs: close %s: %w", f.dev.info.Path, err)
	}
	return nil
}

func (f *FS) close() error {
	holders, ok := f.gate.shut()
	switch {
	case holders > 0:
		return fmt.Errorf("%d mappings, pending files, or calls of Map, Create, Mkdir or WriteTo are open; end them first: %w", holders, ErrBusy)
	case !ok:
		return fs.ErrClosed
	}
	return f.release()
}

// Superblock returns what the device's superblock said when it was opened.
func (f *FS) Superblock() Superblock { return f.sb }

// Role says whether this host may write the metadata of this file system.
func (f *FS) Role() Role { return f.role }

// Device describes the device.
func (f *FS) Device() DeviceInfo { return f.dev.info }

// Usage returns how full the file system is, as of the last Refresh.
func (f *FS) Usage() Usage { return f.replica.usage() }

// FreeSpace yields the runs of free space, as extents of device 0 in ascending order.
// What is created or given back meanwhile may or may not show.
func (f *FS) FreeSpace() iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		unit := f.sb.AllocUnit
		for at := int64(0); ; {
			r, ok := f.replica.alloc.freeRun(at)
			if !ok || !yield(Extent{Offset: r.start * unit, Length: r.n * unit}) {
				return
			}
			at = r.end()
		}
	}
}

// Problems returns the log entries that were passed over, and why, in the order of
// the log, those met by Refresh included. A mkdir of a directory that exists is none.
// The errors wrap ErrCorrupt, fs.ErrExist (a path that was logged before) or
// ErrDevice (a file on a device that is not this one). At most 100,000 are kept, and as
// many of entries that a Tolerant FS does not serve. The slice is the caller's own.
func (f *FS) Problems() []Problem { return f.replica.listProblems() }

// Refresh replays what the master has added to the log since Open or the last
// Refresh, and returns how many entries that were. It costs little when there are
// none. An entry that is corrupt, also after it was read again a few times over some
// milliseconds, is ErrCorrupt, and the namespace stays as it was; with Tolerant, what
// comes before it is served. Goroutines may call Refresh at the same time; those that
// read meanwhile do not wait.
//
// ErrReformatted means that the device was formatted anew, or wiped. Then it lasts:
// everything that needs the device fails with it, reading, mapping and creating, until the
// FS is closed and opened again. What is mapped stays mapped, but shows whatever is in
// that memory now.
func (f *FS) Refresh() (int, error) {
	defer f.journal.tell()
	n, err := f.refresh()
	if err != nil {
		return n, fmt.Errorf("famfs: refresh %s: %w", f.dev.info.Path, err)
	}
	return n, nil
}

func (f *FS) refresh() (n int, err error) {
	if !f.gate.enter() {
		return 0, fs.ErrClosed
	}
	defer f.gate.leave()
	if f.config.salvage {
		return 0, fmt.Errorf("it was opened with Salvage, which shows what was there then; open it again: %w", errors.ErrUnsupported)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.catchUp()
}

// catchUp replays what is new. f.mu must be held.
func (f *FS) catchUp() (n int, err error) {
	if err := f.sameDevice(); err != nil {
		return 0, err
	}
	err = Guard(func() error {
		n, err = f.replica.catchUp(f.config.onCorrupt(), false)
		return err
	})
	return n, f.notice(err)
}

// gate lets an FS be closed only when nobody uses it. Those who use it are of two kinds.
// Visitors, such as reads, take a bounded time and call no code of others: closing
// waits for them. Holders, such as mappings, stay as long as others like: closing is
// refused while there are any. Whether there are any and that it is closed are decided
// in one step, so nobody is ever shut out of an FS that is not closed.
type gate struct {
	// state is the number of visitors, in units of visitor, and that of holders, in
	// units of holder. It is negative if the gate is shut: gateShut is added to it then.
	state atomic.Int64
}

const (
	visitor  = 1
	holder   = 1 << 28 // visitors are goroutines, of which there are fewer
	gateShut = math.MinInt64 / 2
)

// enter reports whether the gate is open, and if so, keeps it open until leave.
func (g *gate) enter() bool { return g.add(visitor) }

func (g *gate) leave() { g.state.Add(-visitor) }

// hold reports whether the gate is open, and if so, refuses that it is shut until
// letGo.
func (g *gate) hold() bool { return g.add(holder) }

func (g *gate) letGo() { g.state.Add(-holder) }

func (g *gate) add(n int64) bool {
	if g.state.Add(n) > 0 {
		return true
	}
	g.state.Add(-n)
	return false
}

// isOpen tells without entering.
func (g *gate) isOpen() bool { return g.state.Load() >= 0 }

// shut lets nobody in any more and waits until all visitors have left. It does nothing
// and reports false if the gate was shut already, or if there are holders, whose number
// it returns.
func (g *gate) shut() (holders int64, ok bool) {
	for {
		n := g.state.Load()
		switch {
		case n < 0:
			return 0, false
		case n >= holder:
			return n / holder, false
		}
		if g.state.CompareAndSwap(n, n+gateShut) {
			break
		}
	}
	for g.state.Load() != gateShut {
		time.Sleep(50 * time.Microsecond)
	}
	return 0, true
}

// lookup finds a name as it is given to the methods of fs.FS.
func (f *FS) lookup(name string) (int64, node, error) {
	if !fs.ValidPath(name) {
		return 0, node{}, fmt.Errorf("not a path relative to the root (see fs.ValidPath): %w", fs.ErrInvalid)
	}
	if err := f.sameDevice(); err != nil {
		return 0, node{}, err
	}
	index, ok := f.replica.ns.lookup(name)
	if !ok {
		return 0, node{}, fs.ErrNotExist
	}
	return index, f.replica.ns.node(index), nil
}
