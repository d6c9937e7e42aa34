package famfs

// Copying a whole tree that appears at one moment. The tree is planned and compared, room is
// reserved, the files are filled, and one batch commits all of them. Copying a single file is
// copyfs.go's concern.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Atomically makes everything that CopyFS copies appear at one moment, on all hosts, or
// nothing of it. That includes directories. With CreateWith(Replace()) or ReplaceOnly, the new files
// also replace the old ones at that moment, so a new version of a tree can replace an old one.
// Files that are only on the device stay as they are.
//
// Before CopyFS writes a byte, it knows that no other file or directory is in the way, and
// that the log and the device have room for the whole tree. An error of any file or directory,
// or the end of ctx, fails the whole copy, and none of it is there. With SkipChanged, files
// that change meanwhile are left out. Other writers wait until the copy is done.
func Atomically() CopyOption { return copyOption(func(c *copyConfig) { c.atomically = true }) }

// plannedFile is a file that is to be copied or passed over.
type plannedFile struct {
	name    string // in the source
	info    fs.FileInfo
	verdict verdict
	there   int          // index of the log entry, if the file is passed over
	pending *PendingFile // if the file is copied
	untold  int64        // bytes not yet reported to OnProgress
}

func (c *copier) runAtomically(ctx context.Context) (err error) {
	dirs, missing, files, err := c.plan(ctx)
	if err != nil {
		return err
	}
	if err := c.eachInParallel(ctx, files, c.compareFirst); err != nil {
		return err
	}
	plan := commitPlan{dirs: dirs, there: make(map[string]int)}
	for i := range files {
		if files[i].verdict == sameContent {
			plan.there[c.target(files[i].name)] = files[i].there
		}
	}
	files = slices.DeleteFunc(files, func(file plannedFile) bool { return file.verdict != toReplace })
	if !missing && len(files) == 0 {
		return nil
	}
	defer c.fs.journal.tell()
	if !c.fs.gate.hold() {
		return fs.ErrClosed
	}
	defer c.fs.gate.letGo()
	if err := c.fs.mayLog(); err != nil {
		return err
	}
	if err := c.fs.lock.acquire(ctx, c.fs.config.lockTimeout); err != nil {
		return err
	}
	defer func() {
		errs := []error{err}
		for i := range files {
			if p := files[i].pending; p != nil {
				errs = append(errs, p.Close())
			}
		}
		err = errors.Join(append(errs, c.fs.lock.release())...)
	}()
	entries := 0
	for i := range files {
		config := c.config(ctx, &files[i])
		entries += config.entries()
	}
	release, err := c.fs.keepRoom(dirs, entries)
	if err != nil {
		return err
	}
	defer release()
	planned := make(map[string]bool, len(dirs))
	for i := range dirs {
		planned[dirs[i].path] = true
	}
	for i := range files {
		if err := c.reserve(ctx, &files[i], planned); err != nil {
			return err
		}
	}
	if err := c.eachInParallel(ctx, files, c.fillFirst); err != nil {
		return err
	}
	var pending []*PendingFile
	for i := range files {
		if files[i].pending != nil {
			pending = append(pending, files[i].pending)
		}
	}
	if err := c.fs.commit(plan, pending); err != nil {
		return err
	}
	for i := range files {
		if p := files[i].pending; p != nil {
			c.tell(Progress{Name: p.name, Done: true}, files[i].untold)
		}
	}
	return nil
}

// plan walks the source. It returns the directories that the copy needs, whether any of them
// is missing, and the files to copy.
func (c *copier) plan(ctx context.Context) (dirs []newDir, missing bool, files []plannedFile, err error) {
	var above []string // the target directory and those above it
	for dir := c.dir; dir != "."; dir = parentPath(dir) {
		above = append(above, dir)
	}
	seen := make(map[string]bool)
	addDir := func(target string, st fs.FileInfo) error {
		if seen[target] {
			return nil
		}
		seen[target] = true
		there, err := c.fs.Stat(target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing, err = true, checkNewName(target)
		case err == nil && !there.IsDir():
			err = fmt.Errorf("a file is there: %w", fs.ErrExist)
		}
		if err != nil {
			return &fs.PathError{Op: "copy", Path: target, Err: err}
		}
		dirs = append(dirs, newDir{target, c.fs.newCreateConfig(c.options(ctx, st))})
		return nil
	}
	var errs []error
	err = fs.WalkDir(c.src, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		skip := error(nil)
		if d != nil && d.IsDir() {
			skip = fs.SkipDir
		}
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			err = c.copyOther(ctx, name, d)
		}
		var st fs.FileInfo
		if err == nil {
			st, err = d.Info()
		}
		switch {
		case err != nil:
		case !d.IsDir():
			if err = checkSize(name, st); err == nil {
				files = append(files, plannedFile{name: name, info: st})
				return nil
			}
		default:
			err = c.checkIntoItself(name, st)
			for _, dir := range slices.Backward(above) {
				if err == nil {
					err = addDir(dir, st)
				}
			}
			above = nil
			if target := c.target(name); err == nil && target != "." {
				err = addDir(target, st)
			}
			if err == nil {
				return nil
			}
		}
		errs = append(errs, err)
		return skip
	})
	return dirs, missing, files, errors.Join(append(errs, err)...)
}

// eachInParallel calls f for each file, several at a time, until one call fails.
func (c *copier) eachInParallel(ctx context.Context, files []plannedFile, f func(context.Context, *plannedFile) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan *plannedFile)
	workers := crew{stop: func() { stop(nil) }}
	for range c.workers {
		workers.start(func() {
			for file := range work {
				if ctx.Err() != nil {
					continue // the reason is already known
				}
				if err := f(ctx, file); err != nil {
					stop(err)
				}
			}
		})
	}
	workers.lead(func() {
		defer close(work)
		for i := range files {
			select {
			case work <- &files[i]:
			case <-ctx.Done():
				return
			}
		}
	})
	return context.Cause(ctx)
}

// compareFirst passes a file over if it is there with the content of its source.
func (c *copier) compareFirst(ctx context.Context, file *plannedFile) (err error) {
	there, err := c.fs.Stat(c.target(file.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	from, st, err := c.openPlanned(file)
	if err != nil {
		file.verdict = leftOut
		return c.failChanged(c.target(file.name), 0, err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if attr, ok := there.Sys().(*Attr); ok {
		file.there = attr.Index
	}
	file.verdict, err = c.passOver(ctx, from, st, there, file.name)
	return err
}

// openPlanned opens a file of the source. It fails with ErrChanged if the file does not have
// the size that it had when it was planned.
func (c *copier) openPlanned(file *plannedFile) (fs.File, fs.FileInfo, error) {
	from, err := c.src.Open(file.name)
	if err != nil {
		return nil, nil, err
	}
	st, err := from.Stat()
	if err == nil && st.Size() != file.info.Size() {
		err = &fs.PathError{Op: "copy", Path: file.name, Err: fmt.Errorf("from %d bytes to %d: %w", file.info.Size(), st.Size(), ErrChanged)}
	}
	if err != nil {
		return nil, nil, errors.Join(err, from.Close())
	}
	return from, st, nil
}

// keepRoom checks that the directories can be made, and that the log has room for them and for
// further more entries. It keeps the directories' room until release is called. The writers'
// lock must be held.
func (f *FS) keepRoom(dirs []newDir, further int) (release func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.catchUp(); err != nil {
		return nil, err
	}
	var b batch
	if _, err := f.addDirs(&b, dirs); err != nil {
		return nil, err
	}
	n := len(b.items)
	if err := f.checkRoom(n + further); err != nil {
		return nil, err
	}
	f.promised += n
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.promised -= n
	}, nil
}

// config returns how a file is created.
func (c *copier) config(ctx context.Context, file *plannedFile) createConfig {
	return c.fs.newCreateConfig(c.fileOptions(ctx, c.target(file.name), file.info))
}

// reserve takes the name and the space of a file.
func (c *copier) reserve(ctx context.Context, file *plannedFile, planned map[string]bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	target := c.target(file.name)
	config := c.config(ctx, file)
	config.planned = planned
	p, err := c.fs.create(target, file.info.Size(), config)
	if err != nil {
		return &fs.PathError{Op: "create", Path: target, Err: err}
	}
	file.pending = p
	return nil
}

// fillFirst fills a file; after that, only its commit is left.
func (c *copier) fillFirst(ctx context.Context, file *plannedFile) (err error) {
	p := file.pending
	from, st, err := c.openPlanned(file)
	if err == nil {
		defer func() { err = errors.Join(err, from.Close()) }()
		if file.untold, err = c.fill(ctx, p, from, st); err == nil {
			err = p.settle()
		}
		if err != nil {
			err = &fs.PathError{Op: "copy", Path: file.name, Err: err}
		}
	}
	if err == nil {
		return nil
	}
	if err = c.failChanged(p.name, file.untold, err); err == nil {
		file.pending = nil
		err = p.Close()
	}
	return err
}
