package famfs

// Copying a whole tree that appears at one moment: it is planned, tried dry, filled, and
// then committed in one batch. What copying one file means is copyfs.go's concern.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Atomically lets all that CopyFS copies appear at one moment, on all hosts, or nothing of
// it: directories too, and with CreateWith(Replace()) the new files take the place of the
// old at that moment. That is how a new version takes the place of an old one. What is on
// the device only is left as it is.
//
// Before a byte is written it is known that nothing stands in the way, and that there is
// room in the log and on the device for all of it. An error of any file or directory, and
// the end of ctx, is an error of the whole copy: nothing of it is there. With SkipChanged,
// files that change meanwhile are left out. Other writers wait until all is done.
func Atomically() CopyOption { return copyOption(func(c *copyConfig) { c.atomically = true }) }

// plannedFile is a file that is to be copied, or to be passed over.
type plannedFile struct {
	name    string // in the source
	info    fs.FileInfo
	same    bool         // it is there already
	pending *PendingFile // otherwise, but for one that changes and is left out
	untold  int64        // how many bytes OnProgress was not told of
}

func (c *copier) runAtomically(ctx context.Context) (err error) {
	dirs, files, err := c.plan(ctx)
	if err != nil {
		return err
	}
	if err := c.eachInParallel(ctx, files, c.compareFirst); err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(file plannedFile) bool { return file.same })
	if len(dirs) == 0 && len(files) == 0 {
		return nil
	}
	if !c.fs.gate.hold() {
		return fs.ErrClosed
	}
	defer c.fs.gate.letGo()
	config := newCreateConfig(append(slices.Clone(c.create), WithContext(ctx)))
	if err := c.fs.beginWrite(path.Join(c.dir, "x"), config); err != nil {
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
	release, err := c.fs.keepRoom(dirs, len(files)*config.entries())
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
	if err := c.fs.commit(dirs, pending); err != nil {
		return err
	}
	for i := range files {
		if p := files[i].pending; p != nil {
			c.tell(Progress{Name: p.name, Done: true}, files[i].untold)
		}
	}
	return nil
}

// plan walks the source: which directories are to be made, and which files copied.
func (c *copier) plan(ctx context.Context) (dirs []newDir, files []plannedFile, err error) {
	var missing []string // above the directory of the copy
	for dir := c.dir; dir != "."; dir = parentPath(dir) {
		missing = append(missing, dir)
	}
	made := make(map[string]bool)
	addDir := func(target string, st fs.FileInfo) error {
		there, err := c.fs.Stat(target)
		switch {
		case err == nil && there.IsDir() || made[target]:
			return nil
		case err == nil:
			return &fs.PathError{Op: "copy", Path: target, Err: fmt.Errorf("a file stands there: %w", fs.ErrExist)}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		made[target] = true
		dirs = append(dirs, newDir{target, newCreateConfig(c.options(ctx, st))})
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
			for _, dir := range slices.Backward(missing) {
				if err == nil {
					err = addDir(dir, st)
				}
			}
			missing = nil
			if target := path.Join(c.dir, name); err == nil && target != "." {
				err = addDir(target, st)
			}
			if err == nil {
				return nil
			}
		}
		errs = append(errs, err)
		return skip
	})
	return dirs, files, errors.Join(append(errs, err)...)
}

// eachInParallel calls f for each of files, several at a time, until one fails.
func (c *copier) eachInParallel(ctx context.Context, files []plannedFile, f func(context.Context, *plannedFile) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan *plannedFile)
	workers := crew{stop: func() { stop(nil) }}
	for range c.workers {
		workers.start(func() {
			for file := range work {
				if ctx.Err() != nil {
					continue // the reason is known
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

// compareFirst passes a file over that is there with the content of its source.
func (c *copier) compareFirst(ctx context.Context, file *plannedFile) (err error) {
	there, err := c.fs.Stat(path.Join(c.dir, file.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	from, st, err := c.open(file.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	file.same, err = c.passOver(ctx, from, st, there, file.name)
	return err
}

// keepRoom looks whether there is room in the log for directories and further entries, and
// keeps that of the directories until release. The writers' lock must be held.
func (f *FS) keepRoom(dirs []newDir, further int) (release func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.catchUp(); err != nil {
		return nil, err
	}
	if err := f.checkRoom(len(dirs) + further); err != nil {
		return nil, err
	}
	f.promised += len(dirs)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.promised -= len(dirs)
	}, nil
}

// reserve takes name and space of a file.
func (c *copier) reserve(ctx context.Context, file *plannedFile, planned map[string]bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	target := path.Join(c.dir, file.name)
	config := newCreateConfig(c.options(ctx, file.info))
	config.planned = planned
	p, err := c.fs.create(target, file.info.Size(), config)
	if err != nil {
		return &fs.PathError{Op: "create", Path: target, Err: err}
	}
	file.pending = p
	return nil
}

// fillFirst fills a file, so that only its commit is left to be done.
func (c *copier) fillFirst(ctx context.Context, file *plannedFile) (err error) {
	fail := func(err error) error { return &fs.PathError{Op: "copy", Path: file.name, Err: err} }
	from, st, err := c.open(file.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	p := file.pending
	if st.Size() != p.size {
		err = fmt.Errorf("from %d bytes to %d: %w", p.size, st.Size(), ErrChanged)
	} else if file.untold, err = c.fill(ctx, p, from, st); err == nil {
		err = p.settle()
	}
	if err == nil {
		return nil
	}
	if err = c.failChanged(p.name, file.untold, fail(err)); err == nil {
		file.pending = nil
		err = p.Close()
	}
	return err
}
