package famfs

// Committing: how pending files come to exist, one or several at once, and what all that
// writes to the log has in common: the batch.

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Commit writes the data back to memory and then logs the file: from then on, and not
// before, it exists on all hosts, whole. The slice that Bytes returned is no longer
// valid; map the file to go on with it.
//
// On error Commit may be called again, or Close:
//   - If the data could not be written back, it may be lost, and Commit goes on failing:
//     Close the file and create it again. The disk under a plain file says only that
//     something is lost: that goes for every pending file that was written to before.
//   - If the file "is written, but may be lost if the host fails", as the disk under a
//     plain file failed, it exists: another Commit writes its log entry again, and Close
//     leaves the file as it is.
//   - If memory failed while the file was being logged it may exist or not: another
//     Commit, or Refresh after Close, finds out. It is never logged twice.
//   - Otherwise the file does not exist, and what was written to it stays.
//
// Errors: fs.ErrClosed after Commit or Close; ErrLogFull; ErrReformatted; fs.ErrExist if
// a writer that takes no lock, such as another implementation, made the file meanwhile;
// ErrDevice if memory fails; a disk's if the device is a plain file on one.
func (p *PendingFile) Commit() error { return p.fs.commit(commitPlan{}, []*PendingFile{p}) }

// Commit commits several pending files of f at once: all of them exist from one moment on,
// on all hosts, or none does. A host that reads the log at any time, and one that is open
// when this host fails, sees all or none. What PendingFile.Commit says goes for each of
// them, and they may be committed again in any groups: after an error by which a file exists,
// or may exist, that goes for all of them, and after any other none exists and all stay
// pending. No files are no error.
//
// A client that serves a corrupt log (Tolerant) may see those that were logged before the
// corrupt entry only: nothing in the log says what was written at once.
//
// Errors: those of PendingFile.Commit, which name the file that they are about; fs.ErrInvalid
// for nil, a file that is given twice and one of another FS.
func (f *FS) Commit(files ...*PendingFile) error { return f.commit(commitPlan{}, files) }

// commitPlan is what is to be true of a commit besides the files.
type commitPlan struct {
	dirs  []newDir       // that are to be there
	there map[string]int // files that must be there still, with their log entries
}

// newDir is a directory that is to be there together with files.
type newDir struct {
	path   string
	config createConfig
}

// commit makes what plan wants and files exist. The writers' lock must be held, as it is as long
// as any file is pending.
func (f *FS) commit(plan commitPlan, files []*PendingFile) error {
	defer f.journal.tell()
	inOrder, err := f.lockPending(files)
	if err != nil {
		return fmt.Errorf("famfs: commit: %w", err)
	}
	defer func() {
		for _, p := range inOrder {
			p.mu.Unlock()
		}
	}()
	if len(plan.dirs) == 0 && len(files) == 0 {
		return nil
	}
	fail := func(p *PendingFile, err error) error {
		switch {
		case p != nil:
			return p.fail("commit", err)
		case len(files) == 1:
			return files[0].fail("commit", err)
		}
		return fmt.Errorf("famfs: commit %d files: %w", len(files), err)
	}
	for _, p := range files {
		if err := p.writeBack(); err != nil {
			return fail(p, err)
		}
		// All of it is on the disk: a failure from here on is of what is stored later.
		defer func() { p.since = f.dev.disk.count.Load() }()
	}
	if p, err := f.logFiles(plan, files); err != nil {
		return fail(p, err)
	}
	var errs []error
	for _, p := range files {
		p.dropped.Stop()
		if err := p.finish(); err != nil {
			errs = append(errs, p.fail("commit", fmt.Errorf("the file exists now, but giving its resources back failed: %w", err)))
		}
	}
	return errors.Join(errs...)
}

// lockPending locks files in an order that is the same for all who lock several, and
// returns them in it.
func (f *FS) lockPending(files []*PendingFile) ([]*PendingFile, error) {
	for _, p := range files {
		switch {
		case p == nil:
			return nil, fmt.Errorf("a file is nil: %w", fs.ErrInvalid)
		case p.fs != f:
			return nil, fmt.Errorf("%s is a file of another FS: %w", p.name, fs.ErrInvalid)
		}
	}
	if len(files) == 1 {
		files[0].mu.Lock()
		return files, nil
	}
	inOrder := slices.Clone(files)
	slices.SortFunc(inOrder, func(a, b *PendingFile) int { return cmp.Compare(a.number, b.number) })
	for i, p := range inOrder[min(1, len(inOrder)):] {
		if p.pendingFile == inOrder[i].pendingFile {
			return nil, fmt.Errorf("%s is given twice: %w", p.name, fs.ErrInvalid)
		}
	}
	for _, p := range inOrder {
		p.mu.Lock()
	}
	return inOrder, nil
}

// writeBack writes the data back, as far as that may not have been done. It says why the
// file cannot be committed.
func (p *PendingFile) writeBack() error {
	switch {
	case p.state == pendingClosed:
		return fs.ErrClosed
	case p.memErr != nil:
		return fmt.Errorf("the file could not be written: %w", p.memErr)
	case p.state == pendingFilling && p.dirtyFrom < p.dirtyTo:
		// What was written back as it came needs no fence here: append's first one is for it
		// too, before the counters announce anything.
		if err := Guard(func() error { return p.fs.dev.flush(p.data[p.dirtyFrom:p.dirtyTo], p.since) }); err != nil {
			// Linux takes pages that it failed to write for written: nobody could tell, the
			// next time, that they are not.
			p.fails(err)
			return err
		}
	}
	return nil
}

// logFiles appends what makes the directories of plan and files, all at once. If the error is
// about one of the files, that is returned too.
func (f *FS) logFiles(plan commitPlan, files []*PendingFile) (about *PendingFile, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &batch{}
	err = f.append(b, func() error {
		planned, err := f.addDirs(b, plan.dirs)
		if err != nil {
			return err
		}
		for path, index := range plan.there {
			if now, ok := f.replica.ns.lookupLatest(path); !ok || now != int64(index) {
				return fmt.Errorf("%q was there with the same content, and was removed or replaced meanwhile: %w", path, fs.ErrNotExist)
			}
		}
		known := make(map[*batch]bool)
		for _, p := range files {
			logged, err := p.confirm(known)
			if err == nil && !logged {
				err = f.addFile(b, p, planned)
			}
			if err != nil {
				about = p
				return err
			}
		}
		return nil
	})
	if b.index < 0 {
		return about, err
	}
	for i := range b.items {
		p := b.items[i].file
		switch {
		case p == nil:
		case errors.Is(err, errPassedOver) && f.replica.ns.node(b.index+int64(i)).gone():
			p.fails(err) // it would be no better the next time
		default:
			p.logged()
		}
	}
	return about, err
}

// addDirs adds what makes those of dirs that are missing to b, and returns all their paths.
func (f *FS) addDirs(b *batch, dirs []newDir) (planned map[string]bool, err error) {
	planned = make(map[string]bool, len(dirs))
	for i := range dirs {
		d := &dirs[i]
		missing, err := f.checkNewDir(d.path)
		if err == nil && missing {
			err = f.checkParent(d.path, planned)
		}
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", d.path, err)
		}
		planned[d.path] = true
		if missing {
			b.items = append(b.items, batchItem{kind: typeMkdir, path: d.path, config: &d.config})
		}
	}
	return planned, nil
}

// checkNewDir says whether a directory is missing, or what is in its place.
func (f *FS) checkNewDir(path string) (missing bool, err error) {
	if _, pending := f.pending[path]; pending {
		return false, fmt.Errorf("a file is being created there: %w", fs.ErrExist)
	}
	index, ok := f.replica.ns.lookupLatest(path)
	if ok && index >= 0 && !f.replica.ns.node(index).isDir() {
		return false, fmt.Errorf("a file is there since log entry %d: %w", index, fs.ErrExist)
	}
	return !ok, nil
}

// addFile adds what makes p to b, in the place of a file that is there if p replaces it.
func (f *FS) addFile(b *batch, p *PendingFile, planned map[string]bool) error {
	if planned[p.name] {
		return fmt.Errorf("is to be a directory too: %w", fs.ErrExist)
	}
	if f.replica.alloc.ownsAny(p.runs) {
		err := fmt.Errorf("another writer, which takes no lock, has given its space to a file; close it and create it again: %w", ErrCorrupt)
		p.fails(err)
		return err
	}
	if index, ok := f.replica.ns.lookupLatest(p.name); ok {
		if err := f.checkThere(index, p.config.replace); err != nil {
			return err
		}
		b.items = append(b.items, batchItem{kind: typeRemoval, path: p.name, removes: index})
	}
	if err := f.checkParent(p.name, planned); err != nil {
		return err
	}
	b.items = append(b.items, batchItem{kind: typeFile, path: p.name, config: &p.config, file: p.pendingFile})
	return nil
}

// confirm reports whether p is in the log, as after a commit that failed half way. If so, it
// has all that was appended with it stored again: it is certain then. known are the batches
// of which that is known already.
func (p *pendingFile) confirm(known map[*batch]bool) (logged bool, err error) {
	b := p.batch
	if b == nil {
		return false, nil
	}
	logged, ok := known[b]
	if !ok {
		r := p.fs.replica
		if logged = r.inLog(b.first, len(b.items), b.fill); logged {
			err = r.confirm(b.first, len(b.items), b.fill)
		}
		known[b] = logged
	}
	if logged {
		p.logged()
	} else {
		p.batch = nil
	}
	return logged, err
}

// logged notes that p is in the log, and needs no other entry. f.mu must be held.
func (p *pendingFile) logged() {
	p.state, p.dirtyFrom, p.dirtyTo = pendingLogged, 0, 0
	p.fs.unpromise(p)
}

// batch is what is appended to the log at once: all of it is there, for everybody, or
// nothing.
type batch struct {
	items []batchItem
	// first is where they were stored last; they may be in the log. index is the same if
	// they are known to be, -1 otherwise.
	first uint64
	index int64
}

// batchItem is one entry of a batch.
type batchItem struct {
	kind    uint32
	path    string
	removes int64         // of a removal
	config  *createConfig // of a file or directory
	file    *pendingFile
}

// fill makes e what item i says.
func (b *batch) fill(i int, e *entry) {
	item := &b.items[i]
	e.kind, e.path, e.removes = item.kind, []byte(item.path), uint64(item.removes)
	if c := item.config; c != nil {
		e.uid, e.gid, e.mode = c.uid, c.gid, encodeMode(c.mode)
	}
	if p := item.file; p != nil {
		e.size, e.flags = uint64(p.size), fileFlagReadWrite
		e.setLayout(p.layout)
	}
}

// append has b filled by prepare, once the log has been replayed to its end, and appends it;
// see replica.append. f.mu and the writers' lock must be held.
func (f *FS) append(b *batch, prepare func() error) error {
	b.index = -1
	if err := f.sameDevice(); err != nil {
		return err
	}
	err := Guard(func() (err error) {
		b.index, err = f.replica.append(func() (int, error) {
			b.items, b.first = b.items[:0], f.replica.next
			if err := prepare(); err != nil {
				return 0, err
			}
			for i := range b.items {
				if p := b.items[i].file; p != nil {
					p.batch = b
				}
			}
			return len(b.items), nil
		}, b.fill)
		return err
	})
	return f.notice(f.dev.explain(err, []segment{{entryAt(b.first), int64(max(len(b.items), 1)) * entrySize}}))
}

// makeCertain is called before something that is there already counts as made: an earlier
// call, which failed for it, may have left it in a log that is not all on the disk.
func (f *FS) makeCertain(c createConfig) error {
	if !f.replica.uncertain.Load() {
		return nil
	}
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.lock.acquire(c.ctx, f.config.lockTimeout); err != nil {
		return err
	}
	f.mu.Lock()
	err := f.sameDevice()
	if err == nil {
		err = f.notice(f.dev.explain(Guard(f.replica.makeCertain), []segment{{logOffset, logHeaderSize}}))
	}
	f.mu.Unlock()
	return errors.Join(err, f.lock.release())
}
