// Package famfs reads and writes famfs, a file system for memory that several hosts
// share, without a kernel file system, a daemon or cgo.
//
// A device (devdax, a file on fs-dax or, in tests, a plain file) is made with Format
// and opened with Open. Its metadata is one append-only log, which the master alone
// writes and every host replays into a namespace of its own. FS.Map gives a file as
// one []byte over the shared memory itself; *FS is also an fs.FS.
//
// Space is allocated when a file is created, and a file's size never changes. A file
// exists from PendingFile.Commit on, whole, and is never removed. Clients may be
// behind the log at any time and stay correct: they see what was there at their last
// Refresh.
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
// pieces stand in rooms of their own: device (dax.go), log (log_replay.go,
// log_append.go), names (namespace.go); what users do with an FS is in mapping.go,
// iofs.go, create.go, watch.go.

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
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
	log    *slog.Logger

	// window is the whole device, mapped for reading; all reading through fs.FS
	// comes out of it. metaRegion is superblock and log, mapped for writing, nil
	// where they may not be written.
	window, metaRegion *region

	gate gate
	// holders counts mappings and pending files, which forbid closing.
	holders atomic.Int64

	// mu is held while the log is replayed or appended to, never while waiting for
	// another process.
	mu      sync.Mutex
	replica *replica
	pending map[string]struct{} // names of pending files
	lock    *writeLock

	regions regionTable
}

// Open opens the file system on the device or file at path, read-only unless
// ReadWrite is given.
//
// It fails with fs.ErrNotExist or fs.ErrPermission as os.Open does, ErrDevice where
// path is nothing that can be mapped as shared memory, or where this architecture
// has no cache instructions and path needs them; ErrNotFormatted, ErrVersion,
// ErrChecksum or ErrCorrupt for what stands on the device; ErrNotMaster where
// ReadWrite is wanted on a host that is not the master; fs.ErrInvalid for options
// that exclude each other. Log entries that are sound but unacceptable are passed
// over: see Problems.
func Open(path string, opts ...Option) (*FS, error) {
	fsys, err := open(path, newOpenConfig(opts))
	if err != nil {
		return nil, fmt.Errorf("famfs: open %s: %w", path, err)
	}
	return fsys, nil
}

func open(path string, c openConfig) (_ *FS, err error) {
	if c.tolerant && c.readWrite {
		return nil, fmt.Errorf("Tolerant and ReadWrite exclude each other: %w", fs.ErrInvalid)
	}
	f, err := openMedium(path, c)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.release())
		}
	}()
	// Memory faults are errors from here on.
	err = Guard(func() error {
		m := &mappedMemory{f.dev, f.window.mem}
		if f.sb, err = readSuperblock(m, f.size()); err != nil {
			return err
		}
		host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
		f.role = roleOf(host, f.sb)
		if c.readWrite && f.role != Master {
			return fmt.Errorf("for writing: the superblock names host %s, this one is %v: %w", f.sb.SystemUUID, host, errors.Join(ErrNotMaster, identityErr))
		}
		if c.readWrite {
			if f.metaRegion, err = f.dev.mapPrefix(f.sb.logEnd()); err != nil {
				return err
			}
			mapped.add(f.metaRegion.mem, path)
			m = &mappedMemory{f.dev, f.metaRegion.mem}
		}
		f.replica = newReplica(m, f.sb, f.size(), c.log)
		f.replica.pause = c.pause
		policy := failAtCorrupt
		if c.tolerant {
			policy = stopAtCorrupt
		}
		_, err = f.replica.catchUp(policy, true)
		return err
	})
	return f, err
}

// openMedium opens the device and maps it, whatever stands on it.
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
	return &FS{dev: dev, config: c, log: c.log, window: window, pending: make(map[string]struct{}), lock: newWriteLock(dev)}, nil
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

// Close unmaps and closes the device. While Mappings or PendingFiles are open it
// fails with ErrBusy and changes nothing. It waits for reads under way; files opened
// through fs.FS give fs.ErrClosed afterwards. Closing again is fs.ErrClosed.
func (f *FS) Close() error {
	if err := f.close(); err != nil {
		return fmt.Errorf("famfs: close %s: %w", f.dev.info.Path, err)
	}
	return nil
}

func (f *FS) close() error {
	busy := func() error {
		if n := f.holders.Load(); n > 0 {
			return fmt.Errorf("%d mappings or pending files are open, close them first: %w", n, ErrBusy)
		}
		return nil
	}
	if err := busy(); err != nil {
		return err
	}
	if !f.gate.shut() {
		return fs.ErrClosed
	}
	if err := busy(); err != nil { // one was made in between
		f.gate.reopen()
		return err
	}
	return f.release()
}

// Superblock returns what the device's superblock said when it was opened.
func (f *FS) Superblock() Superblock { return f.sb }

// Role says whether this host may write the metadata of this file system.
func (f *FS) Role() Role { return f.role }

// Device describes the device.
func (f *FS) Device() DeviceInfo { return f.dev.info }

// Usage tells how full a file system is.
type Usage struct {
	// Size is that of the device in bytes. Allocated of them are taken, by metadata,
	// by files, by files that are being created through this FS, and by what
	// unacceptable log entries claim; Free are not. LargestFree is the longest
	// contiguous run of free bytes.
	Size, Allocated, Free, LargestFree int64
	// FileBytes is the sum of the sizes of all files.
	FileBytes int64
	// Files and Dirs are how many there are, not counting the root directory.
	Files, Dirs int
	// LogUsed of LogCapacity entries of the log are in use.
	LogUsed, LogCapacity int
}

// Usage returns how full the file system is, as of the last Refresh.
func (f *FS) Usage() Usage { return f.replica.usage() }

func (r *replica) usage() Usage {
	free, longest := r.alloc.space()
	return Usage{
		Size:        r.geo.size,
		Allocated:   r.geo.size - free*r.geo.unit,
		Free:        free * r.geo.unit,
		LargestFree: longest * r.geo.unit,
		FileBytes:   r.fileBytes.Load(),
		Files:       int(r.files.Load()),
		Dirs:        int(r.dirs.Load()),
		LogUsed:     int(r.ns.end()),
		LogCapacity: int(lastIndex(r.sb.LogSize) + 1),
	}
}

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
// ErrDevice (a file on a device that is not this one). At most 100,000 are kept.
func (f *FS) Problems() []Problem { return f.replica.listProblems() }

// Refresh replays what the master has added to the log since Open or the last
// Refresh, and returns how many entries that were. It costs little when there are
// none. An entry that is corrupt, also after it was read again a few times over some
// milliseconds, is ErrCorrupt, and the namespace stays as it was; with Tolerant, what
// comes before it is served. Goroutines may call Refresh at the same time; those that
// read meanwhile do not wait.
func (f *FS) Refresh() (int, error) {
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
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.catchUp()
}

// catchUp replays what is new. f.mu must be held.
func (f *FS) catchUp() (n int, err error) {
	policy := failAtCorrupt
	if f.config.tolerant {
		policy = stopAtCorrupt
	}
	err = Guard(func() error {
		n, err = f.replica.catchUp(policy, false)
		return err
	})
	return n, err
}

// gate lets an FS be closed only when nobody is inside.
type gate struct{ inside atomic.Int64 }

// gateShut is added to the number of those inside when the gate is shut.
const gateShut = math.MinInt64 / 2

// enter reports whether the gate is open, and if so, keeps it from being shut until
// leave.
func (g *gate) enter() bool {
	if g.inside.Add(1) > 0 {
		return true
	}
	g.inside.Add(-1)
	return false
}

func (g *gate) leave() { g.inside.Add(-1) }

// isOpen tells without entering.
func (g *gate) isOpen() bool { return g.inside.Load() >= 0 }

// shut lets nobody in any more and waits until all have left. It reports false if the
// gate was shut already.
func (g *gate) shut() bool {
	for {
		n := g.inside.Load()
		if n < 0 {
			return false
		}
		if g.inside.CompareAndSwap(n, n+gateShut) {
			break
		}
	}
	for g.inside.Load() != gateShut {
		time.Sleep(50 * time.Microsecond)
	}
	return true
}

func (g *gate) reopen() { g.inside.Add(-gateShut) }
