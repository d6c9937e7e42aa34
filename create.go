package famfs

// Creating files and directories: a pending file, its space and its memory. The commit
// that makes it exist is create_commit.go's concern.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"
)

// PendingFile is a file that is being created. It has its space, but exists nowhere:
// if it is closed, or its process dies, no trace of it is left. It must be ended by
// Commit or Close; to defer Close is safe. One that is dropped, unreachable and not ended,
// is closed by the garbage collector at some time, and the FS's logger is told.
//
// While an FS has pending files, other processes wait with creating theirs. Methods
// may be called concurrently, though writing to the same bytes at the same time is as
// wrong as ever.
type PendingFile struct {
	*pendingFile // apart, as it is needed after this has become garbage
	dropped      runtime.Cleanup
}

// pendingFile is what a PendingFile consists of.
type pendingFile struct {
	fs     *FS
	name   string
	size   int64
	config createConfig
	layout Layout
	runs   []unitRun
	number uint64 // pending files of an FS are locked in this order

	mu     sync.Mutex
	state  pendingState
	region *region // mapped when it is first needed
	data   []byte  // the part of region that is the file
	// memErr is why the memory could not be mapped, which may be tried again, or why
	// filling it failed, which is final.
	memErr error
	// The bytes from dirtyFrom to dirtyTo may have been written and are not known to be
	// written back. Only a file that is logged has none: as long as the caller has the
	// slice that Bytes returned, it may be written to at any time.
	dirtyFrom, dirtyTo int64
	since              uint64 // what the device's disk.count was before the first of them
	at                 int64  // where Write continues
	batch              *batch // what it was appended in: it may be in the log
}

// pendingState says what became of a pending file so far. What its methods do:
//
//	          Bytes       Write, ReadFrom  Commit                  Close
//	filling   the memory  fill it          -> closed, or an error  gives the space back -> closed
//	failed    nil         memErr           memErr                  gives the space back -> closed
//	logged    nil         fs.ErrClosed     flushes the log again   leaves it the space  -> closed
//	                                       -> closed
//	closed    nil         fs.ErrClosed     fs.ErrClosed            nothing
//
// A Commit that fails makes it failed if the data cannot be written back, and logged if
// its entry is in the log but may be lost; otherwise it goes on being filled.
type pendingState uint8

const (
	pendingFilling pendingState = iota // space is allocated, nobody else knows of it
	pendingFailed                      // what was written to it may be lost: it can only be closed
	pendingLogged                      // all hosts see it, but its log entry may be lost
	pendingClosed                      // committed or given up
)

// Create allocates space for a file of size bytes, at least 1. The file comes into
// being with Commit. Its content is whatever stood in the memory before: write all of
// it.
//
// Space is one contiguous run, the first that is long enough; if there is none, up
// to 16 runs; see Interleave for the alternative. Allocation is in units of
// Superblock.AllocUnit. Errors: ErrNotMaster, ErrReadOnly, fs.ErrInvalid for a name
// that is no valid path, is longer than 79 bytes or lies under .meta, and for a size
// below 1; fs.ErrExist, also for a file that is pending, and see Replace; fs.ErrNotExist if the
// directory is missing; ErrNoSpace, ErrLogFull; ErrLocked if another process wrote
// for longer than WithLockTimeout or WithContext allow; fs.ErrClosed.
func (f *FS) Create(name string, size int64, opts ...CreateOption) (*PendingFile, error) {
	p, err := f.create(name, size, newCreateConfig(opts))
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

// CreateContext is Create, and gives up waiting for a writer in another process when ctx is
// done: the error wraps ErrLocked and the context's. It does not end anything else.
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
	switch {
	case size <= 0:
		return nil, fmt.Errorf("size %d, want at least 1 byte: %w", size, fs.ErrInvalid)
	case size > f.size():
		return nil, fmt.Errorf("size %d on a device of %d bytes: %w", size, f.size(), ErrNoSpace)
	}
	if c.interleave != nil {
		if err := c.interleave.check(f.sb.AllocUnit); err != nil {
			return nil, err
		}
	}
	if err := f.beginWrite(name, c); err != nil {
		return nil, err
	}
	p := &pendingFile{fs: f, name: name, size: size, config: c}
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

// beginWrite checks that name may be made and takes the writers' lock.
func (f *FS) beginWrite(name string, c createConfig) error {
	if err := f.mayLog(); err != nil {
		return err
	}
	if err := checkNewName(name); err != nil {
		return err
	}
	return f.lock.acquire(c.ctx, f.config.lockTimeout)
}

// mayLog says why this FS cannot write to the log.
func (f *FS) mayLog() error {
	switch {
	case f.role != Master:
		return fmt.Errorf("the superblock names host %s: %w", f.sb.SystemUUID, ErrNotMaster)
	case !f.config.readWrite:
		return fmt.Errorf("open with ReadWrite to create: %w", ErrReadOnly)
	}
	return nil
}

// checkNewName says why no file or directory can have this name.
func checkNewName(name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("path of %d bytes, want at most %d: %w", len(name), maxPath, fs.ErrInvalid)
	}
	if err := checkName(name); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	return nil
}

// checkNew says why name cannot be made now as c says. f.mu and the writers' lock must be
// held, and the log must have been replayed.
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

// checkThere says why the place of what is there, made by the entry of index, cannot be taken.
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

// checkParent says what is wrong with the directory that name is to be in. Those that are
// planned are to be made together with it.
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

// checkRoom says that n more entries do not fit into the log, beside those that are promised
// to pending files.
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

// entries is how many log entries p may need.
func (c *createConfig) entries() int {
	if c.replace {
		return 2 // a removal, and the file
	}
	return 1
}

// promise makes p pending.
func (f *FS) promise(p *pendingFile) {
	f.pending[p.name] = p
	f.promised += p.config.entries()
	f.created++
	p.number = f.created
}

// unpromise ends that p is pending.
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
	if err := f.checkNew(p.name, &p.config); err != nil {
		return err
	}
	if err := f.checkRoom(p.config.entries()); err != nil {
		return err
	}
	var err error
	if p.layout, p.runs, err = f.replica.allocate(p.size, p.config.interleave); err != nil {
		return err
	}
	f.promise(p)
	return nil
}

// giveBack returns what p holds, after which it is as if it had never been; if it was
// logged its space is the file's.
func (p *pendingFile) giveBack() error {
	f := p.fs
	var errs []error
	if p.region != nil {
		p.forget()
		mapped.remove(p.data)
		errs = append(errs, p.region.unmap())
		p.region, p.data = nil, nil
	}
	f.mu.Lock()
	if p.runs != nil {
		f.unpromise(p)
		f.replica.alloc.release(p.runs)
		p.runs = nil
	}
	f.mu.Unlock()
	return errors.Join(append(errs, f.lock.release())...)
}

// settle writes back what was written, and gives up the mapping until it is needed again:
// where many files are committed at once, they are not all mapped. Nobody may have the slice
// of Bytes.
func (p *PendingFile) settle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writeBack(); err != nil || p.region == nil {
		return err
	}
	p.dirtyFrom, p.dirtyTo = 0, 0
	mapped.remove(p.data)
	err := p.region.unmap()
	p.region, p.data = nil, nil
	return err
}

// forget takes out of this host's caches what was stored to p and not written back. Left
// there, it would be written back at some time: over what another host may have written
// meanwhile to the file that gets this space.
func (p *pendingFile) forget() {
	dev := p.fs.dev
	if !dev.shared || p.dirtyFrom >= p.dirtyTo {
		return
	}
	// Memory that is gone has no lines in any cache.
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

// drop ends p if nobody can any more, as its PendingFile is garbage, and says so.
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
	// Nobody could recover from a logger that panics here.
	defer func() { _ = recover() }()
	journal.tell()
}

// memory maps the file's space if that was not done yet.
func (p *PendingFile) memory() ([]byte, error) {
	switch {
	case p.state == pendingFailed:
		return nil, p.memErr
	case p.state != pendingFilling:
		return nil, fs.ErrClosed
	}
	if p.dirtyFrom == p.dirtyTo {
		p.since = p.fs.dev.disk.count.Load()
	}
	if p.region != nil {
		return p.data, nil
	}
	var r *region
	if r, p.memErr = p.fs.mapNode(p.layout, p.size, true); p.memErr != nil {
		return nil, p.memErr
	}
	p.region, p.data = r, r.mem[:p.size:p.size]
	mapped.add(p.data, p.name)
	return p.data, nil
}

// fails makes p one that can only be closed.
func (p *pendingFile) fails(err error) { p.state, p.memErr = pendingFailed, err }

// Bytes returns the file's memory for writing, mapped when it is first asked for; its
// length and capacity are the file's size. It is valid until Commit succeeds or Close,
// and as long as the PendingFile is reachable; touching it afterwards crashes the program,
// and Bytes returns nil. It is nil too if the memory cannot be mapped, or if what was
// written to it may be lost: Commit then fails and says why.
func (p *PendingFile) Bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := p.memory()
	if err != nil {
		return nil
	}
	p.touch(0, p.size) // what is written to the slice from now on cannot be known
	return data
}

// touch notes that bytes may have to be written back.
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

// Close gives the space back if the file was not committed; otherwise it does
// nothing. It may be called more than once, so it is safe to defer.
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
// nothing. Unlike os.WriteFile it replaces no file (see Replace), and data must not be empty:
// famfs has no empty files. For the errors see Create.
func (f *FS) WriteFile(name string, data []byte, perm fs.FileMode) error {
	p, err := f.Create(name, int64(len(data)), Mode(perm))
	if err != nil {
		return err
	}
	defer p.Close() // if a logger panics
	if _, err := p.Write(data); err != nil {
		return errors.Join(err, p.Close())
	}
	return errors.Join(p.Commit(), p.Close())
}

// Mkdir makes a directory in one that exists, owned by the user and group of the
// process. For the errors see Create.
func (f *FS) Mkdir(name string, perm fs.FileMode) error { return f.MkdirWith(name, Mode(perm)) }

// MkdirContext is Mkdir, and gives up waiting as CreateContext does.
func (f *FS) MkdirContext(ctx context.Context, name string, perm fs.FileMode) error {
	return f.MkdirWith(name, Mode(perm), WithContext(ctx))
}

// MkdirWith is Mkdir with the options of Create, of which Interleave means nothing
// here. The default mode is 0755.
func (f *FS) MkdirWith(name string, opts ...CreateOption) error {
	defer f.journal.tell()
	c := newCreateConfig(append([]CreateOption{Mode(0o755)}, opts...))
	c.replace = false
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
	return errors.Join(err, f.lock.release())
}

// MkdirAll makes a directory and those above it that are missing. That it exists
// already is no error, unless it "may be lost if the host fails", as the disk under a plain
// file failed when it was made: then it is made certain first. fs.ErrExist means that a file
// stands in the way. For other errors see Create.
func (f *FS) MkdirAll(name string, perm fs.FileMode) error {
	return f.mkdirAll(name, Mode(perm))
}

func (f *FS) mkdirAll(name string, opts ...CreateOption) error {
	if err := f.usable(); err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	certain := func() error {
		defer f.journal.tell()
		if err := f.makeCertain(newCreateConfig(opts)); err != nil {
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
		// Another writer may have made it; what it is shows now.
		if index, ok := f.replica.ns.lookup(name); ok && f.replica.ns.node(index).isDir() {
			return certain()
		}
	}
	return err
}
