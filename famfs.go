// Package famfs reads and writes famfs, a file system for memory that several hosts
// share, without a kernel file system, a daemon or cgo.
//
// Format makes a file system on a device (devdax, a file on fs-dax or, in tests, a plain
// file), and Open opens it. Its metadata is one append-only log. Only the master writes the
// log; every host replays it into a namespace of its own. FS.Map returns a file as one []byte
// over the shared memory itself; *FS is also an fs.FS.
//
// Space is allocated when a file is created, and a file's size never changes. A file exists
// from PendingFile.Commit on, whole, until it is removed or replaced. Removing or replacing a
// file does not disturb anyone who has it open or mapped. Clients may be behind the log at any
// time and stay correct: they see what was there at their last Refresh. So the memory of removed
// files is kept, unless the file system was made to give it out again once nobody can reach it
// any more; Reuse says what that asks of hosts.
//
// A file takes whole allocation units, mostly of 2 MiB. Many small ones are better kept in one
// file; the example of Mapping.Section opens a zip file as an fs.FS over its mapping.
//
// Three ways of sharing are promised: files that are written once and then read by all hosts;
// files that hosts write one at a time, if each host flushes after writing (Mapping.Flush)
// and invalidates before reading (Mapping.Invalidate); and queues (FS.CreateQueue). The
// package keeps its own metadata coherent.
//
// Any number of goroutines may use an FS and its Mappings. Readers never wait for writers. A
// forked child process must not use its parent's FS.
package famfs

// Opening and closing a file system, and its state as a whole. Its parts have files of their
// own: device (dax.go), log (log_replay.go, log_append.go), names (namespace.go). What users
// do with an FS is in mapping.go, iofs.go, create.go and watch.go.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// FS is an open file system. It is an fs.FS, fs.StatFS, fs.ReadDirFS and fs.ReadFileFS. Close
// it after use.
type FS struct {
	// member is the device with superblock and log; devices.go has the others. Its window is
	// mapped for reading; reading through fs.FS, and most of View, uses the windows.
	member
	sb     Superblock
	role   Role
	config openConfig
	// journal collects what the caller's logger is to be told. Exported methods that may have
	// something to tell do it as their last step, when nothing is locked.
	journal *journal

	// uid and gid are those of the process at Open, who own what it creates.
	uid, gid uint32

	// metaRegion is superblock and log, mapped for writing. It is nil if they may not be
	// written.
	metaRegion *region

	gate gate

	// mu is held while the log is replayed or appended to, but not while waiting for another
	// process.
	mu      sync.Mutex
	replica *replica
	// pending holds the files that are being created, by name. promised is how many log
	// entries they may need. created counts all files that were ever pending.
	pending  map[string]*pendingFile
	promised int
	created  uint64
	lock     *writeLock

	// salvaging says that second copies of superblocks are used where these are lost.
	salvaging bool

	// usedFrom is the first log entry whose file may be in memory that had another owner.
	usedFrom int64

	// reformatted holds the error of everything that needs the device, or nil. What is mapped
	// can still be used.
	reformatted atomic.Pointer[error]

	devices memberSet // those that entries have added
	pins    pinning

	regions regionTable
	queues  queueHolds // ends of queues that are open
	buffers bufferPool

	badMemory badMemory

	counts counts
	// faults counts the memory faults of this FS. The address book has it too.
	faults *atomic.Int64
}

// Open opens the file system on the device or file at path, read-only unless ReadWrite is
// given.
//
// Errors: fs.ErrNotExist or fs.ErrPermission as from os.Open; ErrDevice if path cannot be
// mapped as shared memory, or needs cache instructions that this architecture does not have;
// ErrNotFormatted, ErrVersion, ErrChecksum or ErrCorrupt because of what is on the device;
// ErrNotMaster if ReadWrite is given on a host that is not the master; fs.ErrInvalid if
// options exclude each other. Log entries that are sound but unacceptable are passed over: see
// Problems.
//
// If a Compact was interrupted, Open fails with ErrBusy. With ReadWrite it finishes the compaction
// instead, and fails with ErrLocked if another writer prevents that for too long.
func Open(path string, opts ...Option) (*FS, error) {
	c := newOpenConfig(opts)
	c.dropProblems = false
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
	// From here on, memory faults are returned as errors.
	err = Guard(func() error {
		if c.salvage {
			_, err := f.salvage()
			if err == nil {
				host, _ := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
				f.role = roleOf(host, f.sb.SystemUUID)
				f.pins.on, f.pins.hosts = f.sb.reuses(), host
			}
			return err
		}
		m := &mappedMemory{dev: f.dev, mem: f.window.mem}
		if err := f.findFileSystem(m); err != nil {
			return err
		}
		if c.readWrite {
			if f.metaRegion, err = f.dev.mapPrefix(f.sb.dataStart()); err != nil {
				return err
			}
			mapped.addOf(f.faults, f.metaRegion.mem, path)
			f.watchMemory(&f.member, f.metaRegion.mem)
			m = &mappedMemory{dev: f.dev, mem: f.metaRegion.mem}
		}
		if c.grow {
			if err := f.grow(m); err != nil {
				return err
			}
		}
		f.replica = newReplica(m, f.sb, f.size(), c.log)
		f.replica.pause = c.pause
		f.replica.attach = f.attach
		_, err = f.replica.catchUp(c.onCorrupt(), true)
		err = errors.Join(err, f.endSearch())
		if err == nil && c.readWrite {
			err = errors.Join(f.repairLog(), f.voidAbandoned())
			f.repairCopy()
		}
		return err
	})
	if opened = err == nil; opened {
		mapped.addFiles(f.faults, f.window.mem, path, f.filesOn(0))
		f.watchMemory(&f.member, f.window.mem)
		f.claimBad()
		f.warnOfBad()
	}
	return f, err
}

// findFileSystem reads the superblock and what belongs to it. It returns an error if this FS must
// not use what it finds. If a compaction was interrupted, it finishes that first.
func (f *FS) findFileSystem(m sharedMemory) (err error) {
	c := &f.config
	var records compactionRecords
	var underWay *compactionRecord
	var stands standing
	ok := false
	for try := 0; ; try++ {
		f.sb, err = readSuperblock(m, f.size())
		records = readRecords(m, f.size())
		underWay, stands, ok = records.underWay(m, f.size())
		// If a compaction goes on, the superblock may go, or come, between these reads.
		missing := errors.Is(err, ErrNotFormatted)
		if missing && !ok {
			err = explainUnformatted(m, f.size(), err)
		}
		settled := missing == (ok && stands == noneStands) || missing && records.latest() < 0
		lost := missing && errors.Is(err, ErrCorrupt) // or it came after it was missed
		if settled && !lost || try == len(settleTimes) {
			break
		}
		c.pause(settleTimes[try])
	}
	switch {
	case !ok:
	case c.readWrite:
		if err != nil {
			if f.sb, err = decodeSuperblock(&underWay.superblock, f.size()); err != nil {
				return err
			}
		}
		if err := f.mayOpen(f.sb); err != nil {
			return err
		}
		if err := f.finishCompaction(); err != nil {
			return err
		}
		f.sb, err = readSuperblock(m, f.size())
		records = readRecords(m, f.size())
	case underWay.replacing() && err == nil: // either superblock will do
	case underWay.replacing() || stands != newStands:
		return underWay.interrupted()
	}
	if ok && errors.Is(err, ErrNotFormatted) { // otherwise it is explained already
		err = explainUnformatted(m, f.size(), err)
	}
	if err != nil {
		return mentionCopy(m, f.size(), err)
	}
	f.usedFrom = records.usedFrom(f.sb.UUID)
	return f.mayOpen(f.sb)
}

// mayOpen finds out the role of this host. It returns an error if the file system of sb must not be
// opened with the given options.
func (f *FS) mayOpen(sb Superblock) error {
	c := &f.config
	if newer := sb.newerFormat(); newer != nil {
		// The newer format may forbid what this package would do.
		if c.readWrite || c.clientWrites {
			return fmt.Errorf("for writing: %w; it can be read: open without ReadWrite and WithClientWrites", newer)
		}
		c.log.Warn("reading a file system of a newer format", "path", f.dev.info.Path, "err", newer)
	}
	host, identityErr := hostUUIDs(c.systemUUID, systemUUIDFile, machineIDFile)
	f.role = roleOf(host, sb.SystemUUID)
	f.pins.on, f.pins.hosts = sb.reuses(), host
	if f.role == Master {
		f.pins.hosts = []UUID{sb.SystemUUID}
	}
	if c.readWrite && f.role != Master {
		return fmt.Errorf("for writing: the superblock names host %s, this one is %v: %w", sb.SystemUUID, host, errors.Join(ErrNotMaster, identityErr))
	}
	return nil
}

// grow writes the device's size into the superblock, if the device is larger than it says.
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
	return writeDeviceSize(m, f.dev.info.Size) // and repairCopy writes the copy
}

// repairLog repairs what a crashed writer may have left in the log's header. Opening does not
// wait: if another writer has the lock now, the repair is left to it, or to this FS when it
// creates something.
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

// openMedium opens the device and maps it, whatever its content.
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
	faults := new(atomic.Int64)
	mapped.addOf(faults, window.mem, path)
	f := &FS{
		faults: faults, member: member{dev: dev, window: window}, config: c, journal: c.journal,
		pending: make(map[string]*pendingFile), lock: newWriteLock(dev),
		uid: uint32(max(os.Getuid(), 0)), gid: uint32(max(os.Getgid(), 0)),
	}
	f.watchMemory(&f.member, window.mem)
	return f, nil
}

// size returns how many bytes of the device can be used: the length of the window.
func (f *FS) size() int64 { return int64(len(f.window.mem)) }

// release unmaps and closes the device.
func (f *FS) release() error {
	errs := []error{f.endPinning(), f.lock.end()}
	for _, r := range []*region{f.metaRegion, f.window} {
		if r != nil {
			mapped.remove(r.mem)
			errs = append(errs, r.unmap())
		}
	}
	for _, m := range f.devices.list() {
		errs = append(errs, m.release())
	}
	if s := f.devices.search; s != nil { // memory failed in the middle of it
		errs = append(errs, s.release())
	}
	return errors.Join(append(errs, f.dev.close())...)
}

// Close unmaps and closes the device.
//
// It fails with ErrBusy while a Mapping, a PendingFile, a Producer or a Consumer is open, and while
// a call of Map, Create, Verify, Scrub, a method that makes, seals or removes files or directories,
// or WriteTo of an open file is running. Then it changes nothing and disturbs nobody. Such calls may take as long as a lock or
// a writer makes them take, so Close does not wait for them. A writer that WriteTo calls may call
// Close. Try again when they are done.
//
// Otherwise Close succeeds. It waits for running reads and calls of Refresh, which wait for
// nobody else, and of View. A function that View runs, of this FS or of another, may call Close too,
// which then waits for nobody: it is ErrBusy if there is something to wait for. Files opened
// through fs.FS need not be closed before; afterwards they return fs.ErrClosed. Closing again is fs.ErrClosed.
func (f *FS) Close() error {
	if err := f.close(); err != nil {
		return fmt.Errorf("famfs: close %s: %w", f.dev.info.Path, err)
	}
	return nil
}

func (f *FS) close() error {
	holders, ok := f.gate.shut(!insideView())
	switch {
	case holders == visitsOnly:
		return fmt.Errorf("a function of View calls Close, while that View or others are running; end them first: %w", ErrBusy)
	case holders > 0:
		return fmt.Errorf("%d mappings (two of each end of a queue), pending files, or calls of Map, Create, Mkdir or WriteTo are open; end them first: %w", holders, ErrBusy)
	case !ok:
		return fs.ErrClosed
	}
	return f.release()
}

// Superblock returns the content of the device's superblock at the time of Open.
func (f *FS) Superblock() Superblock { return f.sb }

// Role says whether this host may write the metadata of this file system.
func (f *FS) Role() Role { return f.role }

// Device describes the device that the FS was opened with; Devices describes all.
func (f *FS) Device() DeviceInfo { return f.dev.describe() }

// Usage returns how full the file system is, as of the last Refresh.
func (f *FS) Usage() Usage { return f.replica.usage() }

// UsageByDevice returns how full each device is, by index, as of the last Refresh.
func (f *FS) UsageByDevice() []DeviceUsage {
	all := make([]DeviceUsage, f.replica.space.devices())
	for i := range all {
		all[i] = f.replica.usageOf(i)
	}
	return all
}

// FreeSpace yields the runs of free space, device by device and in ascending order. There are none
// on a device that is not here. Space that is taken or given back meanwhile may or may not be in
// them.
func (f *FS) FreeSpace() iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		unit := f.sb.AllocUnit
		for device := range f.replica.space.devices() {
			a := f.replica.space.of(device).open()
			for at := int64(0); a != nil; {
				r, ok := a.freeRun(at)
				if !ok {
					break
				}
				if !yield(Extent{Device: device, Offset: r.start * unit, Length: r.n * unit}) {
					return
				}
				at = r.end()
			}
		}
	}
}

// Problems returns the log entries that were passed over, and why, in the order of the log,
// including those that Refresh met. A mkdir of a directory that exists is not a problem. The
// errors wrap ErrCorrupt, fs.ErrExist (the path was logged before) or ErrDevice (the file is
// on another device). At most 100,000 are kept, and as many more of entries that a Tolerant FS
// does not serve. The slice is the caller's own.
//
// First come devices of the file system, at index -1, that were found and cannot be used, such as
// one that was formatted anew for another file system, before it was opened or since. A device that
// was not found is no problem: see Devices.
//
// Last come files, and superblock and log at index -1, that are on memory that the system lists as
// bad, with errors that wrap ErrBadMemory: DeviceInfo.Bad. They are served all the same.
func (f *FS) Problems() []Problem { return append(f.passedOver(), f.onBadMemory()...) }

// passedOver returns the problems of what is not served.
func (f *FS) passedOver() []Problem {
	return append(f.devices.listProblems(), f.replica.listProblems()...)
}

// Refresh replays what the master has added to the log since Open or the last Refresh, and
// returns the number of entries. If there are none, it costs little. If an entry is corrupt,
// Refresh reads it again a few times over some milliseconds; if it stays corrupt, Refresh
// returns ErrCorrupt and leaves the namespace as it was. With Tolerant, the entries before it
// are served. Goroutines may call Refresh at the same time, and readers do not wait for it.
//
// ErrReformatted means that the device was formatted anew, or wiped. The error is permanent:
// everything that needs the device, such as reading, mapping and creating, fails with it until
// the FS is closed and opened again. What is mapped stays mapped, but shows whatever is in
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
	if f.pins.on {
		return f.refreshAdmitted()
	}
	return f.refreshLocked()
}

func (f *FS) refreshLocked() (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, err = f.catchUp(); err == nil {
		f.lookAtDevices()
	}
	return n, err
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
	f.endSearch() // what it finds is said of the device: see FS.Devices
	if err = f.notice(err); err == nil && f.pins.on {
		err = f.raisePin()
	}
	return n, err
}

// gate lets an FS be closed only while nobody uses it. There are two kinds of users. Visitors,
// such as reads, take a bounded time and call no code of others, except the function of View:
// closing waits for them.
// Holders, such as mappings, stay as long as others like: closing fails while there are any.
// One atomic step both checks that there are none and closes, so no user is refused unless the
// FS is really closed.
type gate struct {
	// state is the number of visitors times visitor, plus the number of holders times holder.
	// When the gate is shut, gateShut is added, which makes state negative.
	state atomic.Int64
}

const (
	visitor  = 1
	holder   = 1 << 28 // more than there can be visitors: each is a goroutine
	gateShut = math.MinInt64 / 2
)

// enter reports whether the gate is open. If it is, it stays open until leave.
func (g *gate) enter() bool { return g.add(visitor) }

func (g *gate) leave() { g.state.Add(-visitor) }

// hold reports whether the gate is open. If it is, shut fails until letGo.
func (g *gate) hold() bool { return g.add(holder) }

func (g *gate) letGo() { g.state.Add(-holder) }

func (g *gate) add(n int64) bool {
	if g.state.Add(n) > 0 {
		return true
	}
	g.state.Add(-n)
	return false
}

// isOpen reports whether the gate is open, without entering.
func (g *gate) isOpen() bool { return g.state.Load() >= 0 }

// visitsOnly is the number of holders where there are none, but visitors that were not waited for.
const visitsOnly = -1

// shut closes the gate to everybody and waits until all visitors have left. If the gate was
// shut already, if there are holders, or if there are visitors and it must not wait, it does nothing
// and returns false and the number of holders.
func (g *gate) shut(wait bool) (holders int64, ok bool) {
	for {
		n := g.state.Load()
		switch {
		case n < 0:
			return 0, false
		case n >= holder:
			return n / holder, false
		case n > 0 && !wait:
			return visitsOnly, false
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

// lookup finds a name that was given to a method of fs.FS.
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
