package famfs

// Committing: how pending files begin to exist, one or several at once. The batch, which
// everything that writes to the log uses, is here too.

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Commit writes the data back to memory and then logs the file. From then on, and not before,
// the whole file exists on all hosts. The slice that Bytes returned is no longer valid; map
// the file to go on using it.
//
// After an error, call Commit again, or Close:
//   - If the data could not be written back, it may be lost, and Commit fails every time:
//     Close the file and create it again. If the device is a plain file and its disk fails,
//     the disk reports only that something is lost. Then this is true of every pending file
//     that was written to before.
//   - If the file "is written, but may be lost if the host fails", because the disk under a
//     plain file failed, the file exists. Another Commit writes its log entry again. Close
//     leaves the file as it is.
//   - If memory failed while the file was being logged, the file may exist or not. Another
//     Commit finds out, and so does Refresh after Close. The file is never logged twice.
//   - Otherwise the file does not exist, and the data written to it is kept.
//
// Errors: fs.ErrClosed after Commit or Close; ErrLogFull; ErrReformatted; fs.ErrExist if a
// writer that takes no lock, such as another implementation, made the file meanwhile;
// ErrDevice if memory fails; the disk's error if the device is a plain file on a disk.
func (p *PendingFile) Commit() error { return p.fs.commit(commitPlan{}, []*PendingFile{p}) }

// Commit commits several pending files of f at once: from one moment on all of them exist, on
// all hosts, or none does. A host that reads the log sees all or none of them at any time, even
// if this host fails. Everything said at PendingFile.Commit is true of each file. After an
// error, either all files exist, or may exist, as PendingFile.Commit describes, or none exists
// and all stay pending. They may be committed again in any groups. Committing no files is no
// error.
//
// A client that serves a corrupt log (Tolerant) may see only those files that were logged
// before the corrupt entry, because the log does not say which entries were written at once.
//
// Errors: those of PendingFile.Commit, with the name of the file; fs.ErrInvalid if a file is
// nil, is given twice, or belongs to another FS.
func (f *FS) Commit(files ...*PendingFile) error { return f.commit(commitPlan{}, files) }

// commitPlan says what else a commit makes or requires.
type commitPlan struct {
	dirs  []newDir       // directories to make if they are missing
	there map[string]int // files that must still be there, and the indexes of their log entries
}

// newDir is a directory that is to exist together with the files.
type newDir struct {
	path   string
	config createConfig
}

// commit makes the directories of plan and the files exist. The writers' lock must be held; it is
// held as long as any file is pending.
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
	began := time.Now()
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
		// All data is on the disk now: a later failure is about data that is stored later.
		defer func() { p.since = p.home.diskCounts() }()
	}
	if p, err := f.logFiles(plan, files); err != nil {
		return fail(p, err)
	}
	if len(files) > 0 { // otherwise only directories were made
		f.counts.commits.Add(1)
		f.counts.committed.Add(int64(len(files)))
		f.counts.commitTime.Add(int64(time.Since(began)))
	}
	var errs error
	for _, p := range files {
		p.dropped.Stop()
		if err := p.finish(); err != nil {
			errs = errors.Join(errs, p.fail("commit", fmt.Errorf("the file exists now, but giving its resources back failed: %w", err)))
		}
	}
	return errs
}

// lockPending locks files in order of their numbers, so that two calls cannot wait for each
// other. It returns the files in that order.
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

// writeBack writes back data that may not have been written back yet. It returns an error if
// the file cannot be committed.
func (p *PendingFile) writeBack() error {
	switch {
	case p.state == pendingClosed:
		return fs.ErrClosed
	case p.memErr != nil:
		return fmt.Errorf("the file could not be written: %w", p.memErr)
	case p.state == pendingFilling && p.dirtyFrom < p.dirtyTo:
		// Data that was written back while the file was filled needs no fence here: the first
		// fence of append comes before the counters announce anything.
		if err := Guard(p.flushDirty); err != nil {
			// Linux marks pages as written even if it failed to write them: the next attempt could
			// not notice that they are not.
			p.fails(err)
			return err
		}
	}
	if p.state == pendingFilling && p.config.seal != 0 {
		return p.sumUp()
	}
	return nil
}

// logFiles appends the entries for the directories of plan and for files, all at once. If the
// error is about one of the files, it returns that file too.
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
		var known map[*batch]bool
		if len(files) > 1 {
			known = make(map[*batch]bool)
		}
		for _, p := range files {
			logged, err := p.confirm(known)
			if err == nil && !logged {
				if err = f.lostUnder(p.runs); err != nil {
					p.fails(err)
				} else {
					err = f.addFile(b, p, planned)
				}
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
			p.fails(err) // another attempt would fail too
		default:
			p.logged()
		}
	}
	return about, err
}

// addDirs adds entries for the missing ones of dirs to b. It returns the paths of all dirs.
func (f *FS) addDirs(b *batch, dirs []newDir) (planned map[string]bool, err error) {
	if len(dirs) > 0 {
		planned = make(map[string]bool, len(dirs))
	}
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

// checkNewDir reports whether a directory is missing. If something else has its place, it
// returns an error.
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

// addFile adds the entry of p to b, after a removal entry if p replaces a file.
func (f *FS) addFile(b *batch, p *PendingFile, planned map[string]bool) error {
	if planned[p.name] {
		return fmt.Errorf("is to be a directory too: %w", fs.ErrExist)
	}
	if f.replica.space.ownsAny(p.runs) {
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
	if p.config.seal != 0 {
		made := int64(b.first) + int64(len(b.items)) - 1
		b.items = append(b.items, batchItem{kind: typeSeal, path: p.name, removes: made, sum: p.sums.sum})
	}
	return nil
}

// confirm reports whether p is in the log, which is possible after a commit that failed half
// way. If so, it stores all entries of p's batch again, which makes them certain. known, which is
// nil if p is the only file, says for batches that were looked up before whether they are in the log.
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
		if known != nil {
			known[b] = logged
		}
	}
	if logged {
		p.logged()
	} else {
		p.batch = nil
	}
	return logged, err
}

// logged notes that p is in the log and needs no other entry. f.mu must be held.
func (p *pendingFile) logged() {
	p.state, p.dirtyFrom, p.dirtyTo = pendingLogged, 0, 0
	p.fs.unpromise(p)
}

// batch is a list of entries that are appended to the log at once: every host sees all of them
// or none.
type batch struct {
	items []batchItem
	// first is the index at which they were stored last; they may be in the log. index is the
	// same if they are known to be in the log, and -1 otherwise.
	first uint64
	index int64
}

// batchItem is one entry of a batch.
type batchItem struct {
	kind    uint32
	path    string
	removes int64         // if it is a removal or a seal
	sum     Sum           // if it is a seal
	config  *createConfig // if it is a file or directory
	file    *pendingFile
	device  addedDevice // if it is an added device
	index   int         // of the device
}

// fill sets the fields of e from item i.
func (b *batch) fill(i int, e *entry) {
	item := &b.items[i]
	e.kind, e.path, e.removes, e.sum = item.kind, append(e.path[:0], item.path...), uint64(item.removes), item.sum
	e.deviceSize, e.deviceUUID, e.deviceIndex = item.device.size, item.device.uuid, uint32(item.index)
	if c := item.config; c != nil {
		e.uid, e.gid, e.mode = c.uid, c.gid, encodeMode(c.mode)
	}
	if p := item.file; p != nil {
		e.size, e.flags = uint64(p.size), fileFlagReadWrite
		e.setLayout(p.home.place)
	}
}

// append replays the log to its end, lets prepare fill b, and appends b; see replica.append.
// f.mu and the writers' lock must be held.
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
	f.endSearch() // as after any replay
	if f.pins.on && b.index >= 0 {
		f.afterRemoval(b)
	}
	return f.notice(f.dev.explain(err, []segment{{entryAt(b.first), int64(max(len(b.items), 1)) * entrySize}}))
}

// makeCertain is called before something that exists already is reported as made. An earlier
// call that failed may have left it in a log that is not completely on the disk.
func (f *FS) makeCertain(c createConfig) error {
	if !f.replica.uncertain.Load() {
		return nil
	}
	if !f.gate.hold() { // also while it waits for the writers' lock
		return fs.ErrClosed
	}
	defer f.gate.letGo()
	if err := f.lockWriters(c.ctx); err != nil {
		return err
	}
	f.mu.Lock()
	err := f.sameDevice()
	if err == nil {
		err = f.notice(f.dev.explain(Guard(f.replica.makeCertain), []segment{{logOffset, logHeaderSize}}))
	}
	f.mu.Unlock()
	return errors.Join(err, f.unlockWriters())
}
