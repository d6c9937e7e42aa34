package famfs

// Copying a whole tree onto the device, in parallel, so that it can be taken up again
// where it was broken off.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// copyPiece is how much of a file is copied between two reports of progress.
const copyPiece = 8 << 20

// CopyOption changes how CopyFS copies. One that is nil changes nothing.
type CopyOption interface{ applyCopy(*copyConfig) }

type copyConfig struct {
	workers     int
	progress    func(Progress)
	create      []CreateOption
	skipChanged bool
	atomically  bool
}

type copyOption func(*copyConfig)

func (o copyOption) applyCopy(c *copyConfig) { o(c) }

// Workers sets how many files are copied at a time; the default is the number of
// processors.
func Workers(n int) CopyOption { return copyOption(func(c *copyConfig) { c.workers = max(n, 1) }) }

// Progress is how far a copy has come.
type Progress struct {
	// Name is the file on the device that was just worked on. Done says that it is
	// there now, whole; Passed that it was there before with the same content; Changed that
	// it is not there, because its source changed meanwhile (SkipChanged).
	Name                  string
	Done, Passed, Changed bool
	// Files is how many have been copied or passed over so far. Bytes is their size, and
	// what was read of files that are being copied, or that could not be.
	Files int
	Bytes int64
}

// OnProgress calls tell after every file and every 8 MiB, from any goroutine. Calls do not
// overlap; the copy waits for them.
func OnProgress(tell func(Progress)) CopyOption {
	return copyOption(func(c *copyConfig) { c.progress = tell })
}

// CreateWith applies options to every file and directory that is created, after its mode
// was set to that of the source. WithContext among them has no effect: the context of
// CopyFS counts.
func CreateWith(opts ...CreateOption) CopyOption {
	return copyOption(func(c *copyConfig) { c.create = append(c.create, opts...) })
}

// SkipChanged passes over files whose source changes while it is copied, so that they are
// not there afterwards; OnProgress tells which. Without it each of them is an error that
// wraps ErrChanged.
func SkipChanged() CopyOption { return copyOption(func(c *copyConfig) { c.skipChanged = true }) }

// CopyFS copies all directories and regular files of src into the directory dir, "."
// for the root, which is made if it is missing; permission bits are kept. Each file
// appears whole or not at all. Run again it resumes: a file that is there already with
// the same content is passed over, also if another process made it meanwhile; one with
// other content is an error that wraps fs.ErrExist, unless CreateWith(Replace()) says that it
// is to be replaced. See Atomically for a tree of which all appears at once. What this FS made
// and a failing disk may
// lose is made certain before it is passed over.
//
// A source that ends early is an error that wraps io.ErrUnexpectedEOF, one that goes on
// behind the size that it said io.ErrShortWrite. Before a file is committed, size and
// modification time of its source are looked at again: if one of them is another, the copy
// may be of no one state of it, and the error is ErrChanged. Changes that the source does
// not show in its Stat are not noticed, with one exception: if the source is a file of an FS
// whose device was formatted anew meanwhile, the error is ErrReformatted.
//
// What cannot be copied, such as empty files and symbolic links, does not keep the
// rest from it: the error that is returned at the end wraps one for each. Copying ends
// early if it cannot go on: ctx is done, ErrNoSpace, ErrLogFull, ErrLocked,
// ErrNotMaster, ErrReadOnly, ErrCorrupt, ErrReformatted, fs.ErrClosed. Files that are being
// copied then are finished, unless ctx is done: these are given up.
//
// src may be another part of the same file system, but no directory that dir is or lies in:
// that would be copied for ever, and is fs.ErrInvalid. It is noticed if src, or what is
// below it, is an FS on the same device or fs.Sub of one.
//
// src and the function of OnProgress are called by several goroutines at a time, and must
// not wait for CopyFS. If they panic, or call runtime.Goexit, CopyFS does so too once the
// files that are being copied are finished.
func (f *FS) CopyFS(ctx context.Context, dir string, src fs.FS, opts ...CopyOption) error {
	c := &copier{fs: f, dir: dir, src: src}
	c.workers = runtime.GOMAXPROCS(0)
	for _, o := range opts {
		if o != nil {
			o.applyCopy(&c.copyConfig)
		}
	}
	if err := c.run(ctx); err != nil {
		return fmt.Errorf("famfs: copy to %s: %w", dir, err)
	}
	return nil
}

// copier is one call of CopyFS.
type copier struct {
	copyConfig
	fs  *FS
	dir string
	src fs.FS

	mu   sync.Mutex
	errs []error
	done Progress
}

// run walks the source and hands its files to the workers.
func (c *copier) run(ctx context.Context) error {
	if !fs.ValidPath(c.dir) {
		return fmt.Errorf("directory %q is not a path relative to the root: %w", c.dir, fs.ErrInvalid)
	}
	// What others made meanwhile is compared without taking the writers' lock.
	if _, err := c.fs.Refresh(); err != nil {
		return err
	}
	if c.atomically {
		return c.runAtomically(ctx)
	}
	copying := ctx // files that have their space when something goes wrong are finished
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	files := make(chan string)
	workers := crew{stop: func() { stop(nil) }}
	for range c.workers {
		workers.start(func() {
			for name := range files {
				if ctx.Err() == nil { // otherwise the reason is known
					c.note(c.copyFile(copying, name), stop)
				}
			}
		})
	}
	var err error
	workers.lead(func() {
		defer close(files)
		err = c.walk(ctx, copying, files, stop)
	})
	if cause := context.Cause(ctx); err == nil || errors.Is(err, cause) {
		err = cause
	}
	if err != nil && len(c.errs) > 0 && errors.Is(errors.Join(c.errs...), err) {
		err = nil // it is among them
	}
	return errors.Join(append(c.errs, err)...)
}

// walk makes the directories of the source, and sends the names of its files. Directories
// are made until making is done, all else ends with ctx.
func (c *copier) walk(ctx, making context.Context, files chan<- string, stop context.CancelCauseFunc) error {
	return fs.WalkDir(c.src, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && !d.IsDir() && d.Type().IsRegular() {
			select {
			case files <- name:
			case <-ctx.Done():
			}
			return nil
		}
		if err == nil {
			err = c.copyOther(making, name, d)
		}
		if err != nil && d != nil && d.IsDir() {
			c.note(err, stop)
			return fs.SkipDir
		}
		c.note(err, stop)
		return nil
	})
}

// note keeps an error, and ends the copy if it concerns more than one file.
func (c *copier) note(err error, stop context.CancelCauseFunc) {
	if err == nil {
		return
	}
	c.mu.Lock()
	c.errs = append(c.errs, err)
	c.mu.Unlock()
	for _, fatal := range []error{ErrNoSpace, ErrLogFull, ErrLocked, ErrNotMaster, ErrReadOnly, ErrCorrupt, ErrReformatted, fs.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, fatal) {
			stop(err)
			return
		}
	}
}

// copyOther makes a directory, or says that it is none.
func (c *copier) copyOther(ctx context.Context, name string, d fs.DirEntry) error {
	if !d.IsDir() {
		return &fs.PathError{Op: "copy", Path: name, Err: fmt.Errorf("has type %v, and famfs has only directories and regular files: %w", d.Type(), fs.ErrInvalid)}
	}
	st, err := d.Info()
	if err != nil {
		return err
	}
	if err := c.checkIntoItself(name, st); err != nil {
		return err
	}
	if target := path.Join(c.dir, name); target != "." {
		return c.fs.mkdirAll(target, c.options(ctx, st)...)
	}
	return nil
}

func (c *copier) checkIntoItself(name string, dir fs.FileInfo) error {
	if c.intoItself(dir) {
		return &fs.PathError{Op: "copy", Path: name, Err: fmt.Errorf("%s, where it is copied to, is a part of it: %w", c.dir, fs.ErrInvalid)}
	}
	return nil
}

// intoItself says whether a directory of the source has the target in it.
func (c *copier) intoItself(dir fs.FileInfo) bool {
	i, ok := dir.(*info)
	if !ok || i.fs != c.fs && !i.fs.sharesDevice(c.fs) {
		return false
	}
	root := i.node.path()
	return root == "" || c.dir == root || strings.HasPrefix(c.dir, root+"/")
}

// sharesDevice says whether two file systems are known to be one.
func (f *FS) sharesDevice(other *FS) bool {
	if f.sb.UUID != other.sb.UUID {
		return false
	}
	a, err := f.dev.file.Stat()
	b, otherErr := other.dev.file.Stat()
	if err != nil || otherErr != nil {
		return false
	}
	// A device may have several nodes. A file may be a copy of the other one.
	return os.SameFile(a, b) || !a.Mode().IsRegular() && !b.Mode().IsRegular()
}

// options are what a file or directory is created with.
func (c *copier) options(ctx context.Context, st fs.FileInfo) []CreateOption {
	return slices.Concat([]CreateOption{Mode(st.Mode())}, c.create, []CreateOption{WithContext(ctx)})
}

// copyFile copies one file, or passes it over.
func (c *copier) copyFile(ctx context.Context, name string) (err error) {
	from, st, err := c.open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	target := path.Join(c.dir, name)
	opts := c.options(ctx, st)
	var p *PendingFile
	there, missing := c.fs.Stat(target)
	if missing != nil {
		if p, err = c.fs.Create(target, st.Size(), opts...); errors.Is(err, fs.ErrExist) {
			there, missing = c.fs.Stat(target) // Create read the log: another process may have made it
		}
		if p == nil && missing != nil {
			return err
		}
	}
	if p == nil {
		verdict, err := c.passOver(ctx, from, st, there, name)
		if verdict != toReplace || err != nil {
			return err
		}
		// The source was read in part.
		again, _, err := c.open(name)
		if err != nil {
			return err
		}
		from, again = again, from
		if err := again.Close(); err != nil {
			return err
		}
		if p, err = c.fs.Create(target, st.Size(), opts...); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	untold, err := c.fill(ctx, p, from, st)
	if err != nil {
		return c.failChanged(target, untold, &fs.PathError{Op: "copy", Path: name, Err: err})
	}
	if err := p.Commit(); err != nil {
		return err
	}
	c.tell(Progress{Name: target, Done: true}, untold)
	return nil
}

// open opens a file of the source.
func (c *copier) open(name string) (fs.File, fs.FileInfo, error) {
	from, err := c.src.Open(name)
	if err != nil {
		return nil, nil, err
	}
	st, err := from.Stat()
	if err == nil {
		err = checkSize(name, st)
	}
	if err != nil {
		return nil, nil, errors.Join(err, from.Close())
	}
	return from, st, nil
}

// checkSize refuses an empty file.
func checkSize(name string, st fs.FileInfo) error {
	if st.Size() == 0 {
		return &fs.PathError{Op: "copy", Path: name, Err: fmt.Errorf("is empty, and famfs has no empty files: %w", fs.ErrInvalid)}
	}
	return nil
}

// verdict is what becomes of a file whose name is there already.
type verdict uint8

const (
	toReplace   verdict = iota // it has other content
	sameContent                // it has the same
	leftOut                    // its source changed meanwhile, and such files are passed over
)

// passOver passes a file over if it is there with the content of its source. If it is there
// with another, that is an error, unless it is to be replaced.
func (c *copier) passOver(ctx context.Context, from fs.File, st, there fs.FileInfo, name string) (verdict, error) {
	target := path.Join(c.dir, name)
	if err := c.compare(ctx, from, st, there, target); err != nil {
		if c.replaces() && errors.Is(err, errOther) {
			return toReplace, nil
		}
		return leftOut, c.failChanged(target, 0, &fs.PathError{Op: "copy", Path: name, Err: err})
	}
	if err := c.fs.makeCertain(newCreateConfig(c.options(ctx, st))); err != nil {
		return sameContent, &fs.PathError{Op: "copy", Path: name, Err: err}
	}
	c.tell(Progress{Name: target, Done: true, Passed: true}, st.Size())
	return sameContent, nil
}

// replaces says whether files with other content are to be replaced.
func (c *copier) replaces() bool { return newCreateConfig(c.create).replace }

// fill fills p from its source. untold is how many bytes OnProgress was not told of.
func (c *copier) fill(ctx context.Context, p *PendingFile, from fs.File, st fs.FileInfo) (untold int64, err error) {
	var some atomic.Int64
	n, err := p.readFrom(from, func(n int64) error {
		if some.Add(n) >= copyPiece {
			c.tell(Progress{Name: p.name}, some.Swap(0))
		}
		return context.Cause(ctx)
	})
	if err == nil && n < st.Size() {
		err = endedEarly(n, st.Size())
	}
	return some.Load(), checkChanged(from, st, err)
}

// failChanged returns err, or tells of it if it is that the source changed, and such files
// are passed over.
func (c *copier) failChanged(target string, untold int64, err error) error {
	if !c.skipChanged || !errors.Is(err, ErrChanged) {
		return err
	}
	c.tell(Progress{Name: target, Changed: true}, untold)
	return nil
}

// errOther: a file of that name is there, with other content.
var errOther = fmt.Errorf("%w", fs.ErrExist)

func endedEarly(n, size int64) error {
	return fmt.Errorf("ended after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
}

// checkChanged looks whether the source is still what it was. err is what was found while
// it was read: that it has another length is explained, all else is returned.
func checkChanged(from fs.File, before fs.FileInfo, err error) error {
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrShortWrite) {
		return err
	}
	if reformatErr := checkReformatted(from); reformatErr != nil {
		return reformatErr
	}
	now, statErr := from.Stat()
	switch {
	case statErr != nil:
		return errors.Join(err, statErr)
	case now.Size() != before.Size():
		err = errors.Join(fmt.Errorf("from %d bytes to %d: %w", before.Size(), now.Size(), ErrChanged), err)
	case !now.ModTime().Equal(before.ModTime()):
		err = errors.Join(fmt.Errorf("at %v: %w", now.ModTime(), ErrChanged), err)
	}
	return err
}

// checkReformatted looks whether a source lies on a device that was formatted anew: then
// others may have written into its memory while it was read.
func checkReformatted(from fs.File) error {
	if h, ok := from.(*openFileHandle); ok {
		if _, err := h.fs.Refresh(); errors.Is(err, ErrReformatted) {
			return err
		}
	}
	return nil
}

// compare says how the file on the device differs from the source.
func (c *copier) compare(ctx context.Context, from fs.File, st, there fs.FileInfo, target string) error {
	size := st.Size()
	differs := func(how string) error { return fmt.Errorf("%s is there already and %s: %w", target, how, errOther) }
	switch {
	case there.IsDir():
		return fmt.Errorf("%s is there already and is a directory: %w", target, fs.ErrExist)
	case there.Size() != size:
		return differs(fmt.Sprintf("has %d bytes instead of %d", there.Size(), size))
	}
	to, err := c.fs.Open(target)
	if err != nil {
		return err
	}
	defer to.Close()
	piece := min(size, 1<<20)
	a, b := make([]byte, piece), make([]byte, piece)
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(piece, size-at)
		if done, err := readFull(from, a[:n]); err == io.ErrUnexpectedEOF {
			return checkChanged(from, st, endedEarly(at+int64(done), size))
		} else if err != nil {
			return err
		}
		if _, err := io.ReadFull(to, b[:n]); err != nil {
			return err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return differs("has other content")
		}
		at += n
	}
	if err := checkEnd(from, size); err != nil {
		return checkChanged(from, st, err)
	}
	return checkReformatted(from)
}

// tell reports progress by bytes.
func (c *copier) tell(p Progress, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Files, p.Bytes = c.done.Files, c.done.Bytes+bytes
	if p.Done {
		p.Files++
	}
	c.done = p
	if c.progress != nil {
		c.progress(p)
	}
}
