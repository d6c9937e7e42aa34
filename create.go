package famfs

// Creating files and directories: a pending file, its space and its memory. The commit is in
// create_commit.go.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"
)

// PendingFile is a file that is being created. Its space is allocated, but the file does not
// exist yet: if the PendingFile is closed, or its process dies, nothing of it is left. End it
// with Commit or Close; it is safe to defer Close. If a PendingFile becomes unreachable
// without being ended, the garbage collector closes it at some time, and the FS's logger is
// told.
//
// While an FS has pending files, other processes wait before they create files. Methods may be
// called concurrently, but goroutines must not write to the same bytes at the same time.
type PendingFile struct {
	*pendingFile // separate, because it is needed after the PendingFile has become garbage
	dropped      runtime.Cleanup
}

// pendingFile is the state of a PendingFile.
type pendingFile struct {
	fs     *FS
	name   string
	size   int64
	config createConfig
	home   home
	runs   []spaceRun
	number uint64 // pending files of an FS are locked in this order

	mu     sync.Mutex
	state  pendingState
	region *region // mapped when it is first needed
	data   []byte  // the part of region that is the file
	// memErr says why the memory could not be mapped, which may be tried again, or why
	// filling it failed, which is final.
	memErr error
	// The bytes from dirtyFrom to dirtyTo may have been written and may not have been written
	// back yet. Once Bytes has returned the slice, the caller can write to it at any time, so
	// the range stays until the file is logged.
	dirtyFrom, dirtyTo int64
	since              diskCounts // of before the first of these writes
	at                 int64      // where Write continues
	calls              int        // how often something was written by a system call
	onlyWhole          bool       // who fills it drops it unless one call of ReadFrom fills all of it
	unreserved         bool       // it is being written by calls that find out whether there is room: see makeRoom
	failing            sync.Mutex // for fails, if several goroutines write by calls
	batch              *batch     // the batch it was appended in; it may be in the log
	sums               fileSums
}

// pendingState is the state of a pending file. It decides what the methods do:
//
//	          Bytes       Write, ReadFrom  Commit                  Close
//	filling   the memory  fill it          -> closed, or an error  gives the space back -> closed
//	failed    nil         memErr           memErr                  gives the space back -> closed
//	logged    nil         fs.ErrClosed     flushes the log again   the file keeps it    -> closed
//	                                       -> closed
//	closed    nil         fs.ErrClosed     fs.ErrClosed            nothing
//
// If Commit fails, the state becomes failed if the data cannot be written back, and logged if
// the entry is in the log but may be lost. Otherwise it stays filling.
type pendingState uint8

const (
	pendingFilling pendingState = iota // space is allocated, but no other host sees the file
	pendingFailed                      // data written to it may be lost: it can only be closed
	pendingLogged                      // all hosts see it, but its log entry may be lost
	pendingClosed                      // committed or given up
)

// Create allocates space for a file of size bytes, at least 1. The file exists from Commit
// on. Its memory still holds whatever was there before, so write all of it.
//
// Space is one contiguous run, the first that is long enough on the device with the most free space.
// If no device has one, Create takes up to 16 runs, on any devices; Interleave is the alternative.
// OnDevice asks for one device. Allocation is in units of
// Superblock.AllocUnit.
//
// Errors: ErrNotMaster; ErrReadOnly; fs.ErrInvalid if size is below 1, or if the name is no
// valid path, is longer than 79 bytes, or lies under .meta; fs.ErrExist if the name exists
// (but see Replace) or is pending; fs.ErrNotExist if its directory is missing, and
// fs.ErrInvalid if that is a file; ErrNoSpace; ErrLogFull; ErrLocked if another process
// writes for longer than WithLockTimeout or WithContext allow; fs.ErrClosed.
func (f *FS) Create(name string, size int64, opts ...CreateOption) (*PendingFile, error) {
	p, err := f.create(name, size, f.newCreateConfig(opts))
	f.journal.tellOr(func() {
		if err == nil {
			p.Close()
		}
	})
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return p, nil
}

// CreateContext is Create, but stops waiting for a writer in another process when ctx is done.
// The error then wraps ErrLocked and the cause of ctx. ctx has no other effect.
func (f *FS) CreateContext(ctx context.Context, name string, size int64, opts ...CreateOption) (*PendingFile, error) {
	return f.Create(name, size, append(slices.Clone(opts), WithContext(ctx))...)
}

func (f *FS) create(name string, size int64, c createConfig) (made *PendingFile, err error) {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return nil, fs.ErrClosed
	}
	defer func() {
		if made == nil {
			f.gate.letGo()
		}
	}()
	if size <= 0 {
		return nil, fmt.Errorf("size %d, want at least 1 byte: %w", size, fs.ErrInvalid)
	}
	if c.interleave != nil {
		if err := c.interleave.check(f.sb.AllocUnit); err != nil {
			return nil, err
		}
	}
	if c.seal != 0 {
		if err := c.seal.check(); err != nil {
			return nil, err
		}
	}
	if err := f.beginWrite(name, c); err != nil {
		return nil, err
	}
	p := &pendingFile{fs: f, name: name, size: size, config: c}
	p.sums.most = maxParts
	defer func() {
		if err != nil {
			err = errors.Join(err, p.giveBack())
		}
	}()
	if err = p.reserve(); err != nil {
		return nil, err
	}
	made = &PendingFile{pendingFile: p}
	made.dropped = runtime.AddCleanup(made, func(p *pendingFile) { go p.drop() }, p)
	return made, nil
}

// beginWrite checks that this FS may create name, and takes the writers' lock.
func (f *FS) beginWrite(name string, c createConfig) error {
	if err := f.mayLog(); err != nil {
		return err
	}
	if err := checkNewName(name); err != nil {
		return err
	}
	return f.lockWriters(c.ctx)
}

// mayLog returns an error if this FS cannot write to the log.
func (f *FS) mayLog() error {
	switch {
	case f.role != Master:
		return fmt.Errorf("the superblock names host %s: %w", f.sb.SystemUUID, ErrNotMaster)
	case !f.config.readWrite:
		return fmt.Errorf("open with ReadWrite to create: %w", ErrReadOnly)
	}
	return nil
}

// checkNewName returns an error if no file or directory can have this name.
func checkNewName(name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("path of %d bytes, want at most %d: %w", len(name), maxPath, fs.ErrInvalid)
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	return nil
}

// checkNew returns an error if name cannot be created now with c. f.mu and the writers' lock
// must be held, and the log must have been replayed.
func (f *FS) checkNew(name string, c *createConfig) error {
	if _, pending := f.pending[name]; pending {
		return fmt.Errorf("is being created: %w", fs.ErrExist)
	}
	if index, ok := f.replica.ns.lookupLatest(name); ok {
		if err := f.checkThere(index, c.replace); err != nil {
			return err
		}
	}
	return f.checkParent(name, c.planned)
}

// checkThere returns an error if the file or directory made by entry index cannot be replaced.
func (f *FS) checkThere(index int64, replace bool) error {
	switch {
	case index < 0:
		return fs.ErrExist // the root
	case f.replica.ns.node(index).isDir():
		return fmt.Errorf("is a directory since log entry %d: %w", index, fs.ErrExist)
	case !replace:
		return fmt.Errorf("is there since log entry %d: %w", index, fs.ErrExist)
	}
	return nil
}

// checkParent returns an error if there is no directory for name. planned are directories that
// are made together with it.
func (f *FS) checkParent(name string, planned map[string]bool) error {
	parent := parentPath(name)
	if planned[parent] {
		return nil
	}
	switch index, ok := f.replica.ns.lookupLatest(parent); {
	case !ok:
		return fmt.Errorf("directory %q: %w", parent, fs.ErrNotExist)
	case !f.replica.ns.node(index).isDir():
		return fmt.Errorf("%q is not a directory: %w", parent, fs.ErrInvalid)
	}
	return nil
}

// checkRoom returns an error if n more entries do not fit into the log beside those that are
// promised to pending files.
func (f *FS) checkRoom(n int) error {
	capacity := lastIndex(f.sb.LogSize) + 1
	switch taken := f.replica.next + uint64(f.promised); {
	case taken >= capacity && n > 0:
		return fmt.Errorf("all %d entries are in use or promised to pending files: %w", capacity, ErrLogFull)
	case taken+uint64(n) > capacity:
		return fmt.Errorf("%d of %d entries are in use or promised to pending files, and %d more are wanted: %w", taken, capacity, n, ErrLogFull)
	}
	return nil
}

// entries returns how many log entries a file with this configuration may need.
func (c *createConfig) entries() int {
	n := 1
	if c.replace {
		n++ // a removal
	}
	if c.seal != 0 {
		n++
	}
	return n
}

// promise makes p pending.
func (f *FS) promise(p *pendingFile) {
	f.pending[p.name] = p
	f.promised += p.config.entries()
	f.created++
	p.number = f.created
}

// unpromise makes p no longer pending.
func (f *FS) unpromise(p *pendingFile) {
	if f.pending[p.name] == p {
		delete(f.pending, p.name)
		f.promised -= p.config.entries()
	}
}

// reserve takes the name and the space of p.
func (p *pendingFile) reserve() error {
	f := p.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.catchUp(); err != nil {
		return err
	}
	if h := f.replica.header; h.seq != h.next {
		if err := Guard(f.replica.repairSequence); err != nil {
			return err
		}
	}
	if total := f.replica.space.size(); p.size > total {
		return fmt.Errorf("size %d on a device of %d bytes: %w", p.size, total, ErrNoSpace)
	}
	if err := f.checkNew(p.name, &p.config); err != nil {
		return err
	}
	if err := f.checkRoom(p.config.entries()); err != nil {
		return err
	}
	var place Layout
	var runs []spaceRun
	for {
		if err := f.checkDevice(p.config.device); err != nil {
			return err
		}
		var err error
		if place, runs, err = f.allocate(p.size, p.config.interleave, p.config.device); err != nil {
			return err
		}
		if f.areOurs(runs) {
			break
		}
		f.replica.space.release(runs) // some are on a device that is not used any more
	}
	// Others may have used f.mu meanwhile: see FS.reclaim.
	err := f.checkNew(p.name, &p.config)
	if err == nil {
		err = f.checkRoom(p.config.entries())
	}
	if err == nil {
		p.home, err = f.homeOf(place)
	}
	if err != nil {
		f.replica.space.release(runs)
		return err
	}
	p.runs = runs
	f.promise(p)
	return nil
}

// checkDevice returns an error if nothing can be allocated on a device that the caller wants.
func (f *FS) checkDevice(device int) error {
	switch n := f.replica.space.devices(); {
	case device == anyDevice:
		return nil
	case device < 0 || device >= n:
		return fmt.Errorf("device %d, want one of 0 to %d: %w", device, n-1, fs.ErrInvalid)
	}
	_, err := f.on(device)
	return err
}

// giveBack releases everything that p holds, as if p had never been. If p was logged, its space
// belongs to the file and stays taken.
func (p *pendingFile) giveBack() error {
	f := p.fs
	var err error
	if p.region != nil {
		p.forget()
		mapped.remove(p.data)
		err = p.region.unmap()
		p.region, p.data = nil, nil
	}
	f.mu.Lock()
	if p.runs != nil {
		f.unpromise(p)
		f.replica.space.release(p.runs)
		p.runs = nil
	}
	f.mu.Unlock()
	if releaseErr := f.unlockWriters(); releaseErr != nil {
		err = errors.Join(err, releaseErr)
	}
	return err
}

// settle writes back the data and unmaps the file until it is needed again, so that not all
// files of a large commit are mapped at once. The caller must not have the slice of Bytes.
func (p *PendingFile) settle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writeBack(); err != nil {
		return err
	}
	p.dirtyFrom, p.dirtyTo = 0, 0
	if p.region == nil {
		return nil
	}
	mapped.remove(p.data)
	err := p.region.unmap()
	p.region, p.data = nil, nil
	return err
}

// forget removes from this host's caches what was stored to p and not written back. Otherwise
// the caches would write it back at some time, perhaps over data of the next file in this
// space, written by another host.
func (p *pendingFile) forget() {
	if p.dirtyFrom >= p.dirtyTo {
		return
	}
	dev := p.home.strictest()
	if !dev.shared {
		return
	}
	// If the memory is gone, no cache has lines of it.
	_ = Guard(func() error {
		dev.cache.invalidate(p.data[p.dirtyFrom:p.dirtyTo])
		return nil
	})
}

// finish ends p after a commit, or gives it up.
func (p *pendingFile) finish() error {
	p.state = pendingClosed
	defer p.fs.gate.letGo()
	return p.giveBack()
}

// drop ends p after its PendingFile has become garbage, and tells the logger.
func (p *pendingFile) drop() {
	p.mu.Lock()
	if p.state == pendingClosed {
		p.mu.Unlock()
		return
	}
	log, journal := p.fs.config.log, p.fs.journal
	err := p.finish()
	p.mu.Unlock()
	log.Warn("pending file was dropped without Commit or Close, and kept other writers waiting", "path", p.name, "err", err)
	// Nothing could recover from a logger that panics here.
	defer func() { _ = recover() }()
	journal.tell()
}

// mayFill says why the file cannot be written to.
func (p *PendingFile) mayFill() error {
	switch {
	case p.state == pendingFailed:
		return p.memErr
	case p.state != pendingFilling:
		return fs.ErrClosed
	}
	if err := p.home.why(); err != nil {
		p.fails(err) // another file system may have the memory by now
		return err
	}
	if p.dirtyFrom == p.dirtyTo {
		p.since = p.home.diskCounts()
	}
	return nil
}

// memory returns the file's memory, and maps it if it is not mapped yet.
func (p *PendingFile) memory() ([]byte, error) {
	if err := p.mayFill(); err != nil {
		return nil, err
	}
	if p.region != nil {
		return p.data, nil
	}
	var r *region
	if r, p.memErr = p.home.mapToFill(p.size, p.fs.sb.AllocUnit); p.memErr != nil {
		return nil, p.memErr
	}
	p.region, p.data = r, r.mem[:p.size:p.size]
	mapped.addOf(p.fs.faults, p.data, p.name)
	p.fs.watchFile(p.home, p.data)
	return p.data, nil
}

// fails records err; from then on, p can only be closed.
func (p *pendingFile) fails(err error) { p.state, p.memErr = pendingFailed, err }

// Bytes returns the file's memory for writing. It maps the memory at the first call. The
// slice's length and capacity are the file's size. The slice is valid until Commit succeeds or
// Close is called, and only as long as the PendingFile is reachable. Touching it afterwards
// crashes the program. Bytes returns nil after that, and also if the memory cannot be mapped,
// or if data written to it may be lost: Commit then fails and says why.
func (p *PendingFile) Bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := p.memory()
	if err != nil {
		return nil
	}
	p.touch(0, p.size) // what is written to the slice from now on cannot be known
	p.sums.exposed = true
	p.sums.ready.Store(false) // of a Commit that failed
	return data
}

// touch notes that these bytes may have to be written back.
func (p *PendingFile) touch(from, to int64) {
	if from >= to {
		return
	}
	if p.dirtyFrom == p.dirtyTo {
		p.dirtyFrom, p.dirtyTo = from, to
		return
	}
	p.dirtyFrom, p.dirtyTo = min(p.dirtyFrom, from), max(p.dirtyTo, to)
}

func (p *PendingFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: p.name, Err: err}
}

// Close gives the space back if the file was not committed. Otherwise it does nothing. It may
// be called more than once, so it is safe to defer.
func (p *PendingFile) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == pendingClosed {
		return nil
	}
	p.dropped.Stop()
	if err := p.finish(); err != nil {
		return p.fail("close", err)
	}
	return nil
}

// WriteFile creates the file name with this content and these permission bits, all or
// nothing. Unlike os.WriteFile, it does not replace a file (see Replace), and data must not be
// empty, because famfs has no empty files. Errors are those of Create, which takes options, such as
// Seal.
func (f *FS) WriteFile(name string, data []byte, perm fs.FileMode) error {
	p, err := f.Create(name, int64(len(data)), Mode(perm))
	if err != nil {
		return err
	}
	defer p.Close() // in case a logger panics
	if _, err := p.Write(data); err != nil {
		return errors.Join(err, p.Close())
	}
	return errors.Join(p.Commit(), p.Close())
}

// Mkdir makes a directory in an existing one. It gets the owner that Create would give it. Errors
// are those of Create.
func (f *FS) Mkdir(name string, perm fs.FileMode) error { return f.MkdirWith(name, Mode(perm)) }

// MkdirContext is Mkdir, but stops waiting as CreateContext does.
func (f *FS) MkdirContext(ctx context.Context, name string, perm fs.FileMode) error {
	return f.MkdirWith(name, Mode(perm), WithContext(ctx))
}

// MkdirWith is Mkdir with the options of Create. The default mode is 0755. Interleave,
// Replace and Seal have no effect.
func (f *FS) MkdirWith(name string, opts ...CreateOption) error {
	defer f.journal.tell()
	c := f.newCreateConfig(append([]CreateOption{Mode(0o755)}, opts...))
	c.replace, c.seal = false, 0
	if err := f.mkdir(name, c); err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return nil
}

func (f *FS) mkdir(name string, c createConfig) error {
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.beginWrite(name, c); err != nil {
		return err
	}
	f.mu.Lock()
	var b batch
	err := f.append(&b, func() error {
		b.items = []batchItem{{kind: typeMkdir, path: name, config: &c}}
		if err := f.checkNew(name, &c); err != nil {
			return err
		}
		return f.checkRoom(1)
	})
	f.mu.Unlock()
	return errors.Join(err, f.unlockWriters())
}

// MkdirAll makes a directory and all missing directories above it. If the directory exists
// already, that is no error. If the disk under a plain file failed when the directory was
// made, so that it "may be lost if the host fails", MkdirAll first makes it certain. The error
// is fs.ErrExist if a file has the name. Other errors are those of Create.
func (f *FS) MkdirAll(name string, perm fs.FileMode) error {
	return f.mkdirAll(name, Mode(perm))
}

func (f *FS) mkdirAll(name string, opts ...CreateOption) error {
	if err := f.usable(); err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	certain := func() error {
		defer f.journal.tell()
		if err := f.makeCertain(f.newCreateConfig(opts)); err != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: err}
		}
		return nil
	}
	if index, ok := f.replica.ns.lookup(name); ok {
		if f.replica.ns.node(index).isDir() {
			return certain()
		}
		return &fs.PathError{Op: "mkdir", Path: name, Err: fmt.Errorf("a file stands there: %w", fs.ErrExist)}
	}
	if parent := parentPath(name); parent != "." && fs.ValidPath(name) {
		if err := f.mkdirAll(parent, opts...); err != nil {
			return err
		}
	}
	err := f.MkdirWith(name, opts...)
	if errors.Is(err, fs.ErrExist) {
		// Another writer may have made it: look again.
		if index, ok := f.replica.ns.lookup(name); ok && f.replica.ns.node(index).isDir() {
			return certain()
		}
	}
	return err
}
