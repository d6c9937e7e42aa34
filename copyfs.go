package famfs

// Copying a whole tree onto the device, in parallel. A copy that was interrupted can be
// resumed.

import (
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

// CopyOption changes how CopyFS copies. A nil option changes nothing.
type CopyOption interface{ applyCopy(*copyConfig) }

type copyConfig struct {
	workers     int
	progress    func(Progress)
	create      []CreateOption
	from        func(fs.FileInfo) []CreateOption
	replaceOnly func(name string) bool
	skipChanged bool
	atomically  bool
}

type copyOption func(*copyConfig)

func (o copyOption) applyCopy(c *copyConfig) { o(c) }

// Workers sets how many files are copied at a time: one if n is less than 1. The default is the
// number of processors.
func Workers(n int) CopyOption { return copyOption(func(c *copyConfig) { c.workers = max(n, 1) }) }

// Progress tells how far a copy is.
type Progress struct {
	// Name is the file on the device that this report is about. Done says that the whole
	// file is there now. Passed says that it was there before with the same content. Changed
	// says that it is not there, because its source changed meanwhile (SkipChanged).
	Name                  string
	Done, Passed, Changed bool
	// Files is the number of files that were copied or passed over so far. Bytes is the sum
	// of their sizes, plus the bytes that were read of files that are being copied or could
	// not be copied.
	Files int
	Bytes int64
}

// OnProgress calls tell after every file and every 8 MiB, from any goroutine. Calls do not
// overlap. The copy waits for each call to return.
func OnProgress(tell func(Progress)) CopyOption {
	return copyOption(func(c *copyConfig) { c.progress = tell })
}

// CreateWith applies options to every file and directory that is created, after its mode is
// set to that of the source. WithContext has no effect here: the context of CopyFS is used.
func CreateWith(opts ...CreateOption) CopyOption {
	return copyOption(func(c *copyConfig) { c.create = append(c.create, opts...) })
}

// CreateFrom calls options for each file and directory of the source, with what the source says
// of it, and creates with what it returns: for example with its owner. These options come after
// the mode, and before those of CreateWith, where Replace belongs. Calls are made from any goroutine,
// several at a time, and more than once for one file.
func CreateFrom(options func(fs.FileInfo) []CreateOption) CopyOption {
	return copyOption(func(c *copyConfig) { c.from = options })
}

// ReplaceOnly replaces files that are there with other content as CreateWith(Replace()) does, but
// only those of which which says so, given the name on the device: for example those that a person
// was asked about. What others make meanwhile under another name is not replaced. Calls are made
// from any goroutine, several at a time, and more than once for one file.
func ReplaceOnly(which func(name string) bool) CopyOption {
	return copyOption(func(c *copyConfig) { c.replaceOnly = which })
}

// SkipChanged passes over files whose source changes while it is copied: such files are not
// there afterwards, and OnProgress is told of each. Without SkipChanged, each of them is an
// error that wraps ErrChanged.
func SkipChanged() CopyOption { return copyOption(func(c *copyConfig) { c.skipChanged = true }) }

// CopyFS copies all directories and regular files of src into the directory dir ("." is the
// root), and makes dir if it is missing. It keeps permission bits. Each file appears whole or
// not at all. To have the whole tree appear at once, use Atomically.
//
// Running CopyFS again resumes a copy. A file that is there already with the same content is
// passed over, even if another process made it meanwhile. If this FS made it and a failing disk may
// lose it, CopyFS first makes it certain. A file that is there with other content is an error that
// wraps fs.ErrExist, unless CreateWith(Replace()) or ReplaceOnly says to replace it. Of a sealed file the sum in the seal
// is compared with the source. With Replace its content is verified too, and files on memory that fails,
// or that the system lists as bad, are replaced: so copying again from a sound source repairs what is
// damaged; give a seal again (Seal).
//
// A source that ends before its stated size is an error that wraps io.ErrUnexpectedEOF. A
// source that is longer is an error that wraps io.ErrShortWrite. Before a file is committed,
// CopyFS checks the size and the modification time of its source again. If one of them has
// changed, the copy may be a mixture of two states of the source, and the error is ErrChanged.
// Changes that do not show in the source's Stat are not noticed, with one exception: if the
// source is a file of an FS whose device was formatted anew meanwhile, the error is
// ErrReformatted.
//
// If a single file cannot be copied, for example because it is empty or a symbolic link, the
// copy goes on with the others. The error returned at the end wraps one error for each such
// file. Copying ends early if ctx is done, or on ErrNoSpace, ErrLogFull, ErrLocked,
// ErrNotMaster, ErrReadOnly, ErrCorrupt, ErrReformatted or fs.ErrClosed. Files that are being
// copied at that time are finished, unless ctx is done: then they are given up. The error then
// wraps the cause of ctx (context.Cause), and context.Canceled only if that is the cause.
//
// src may be another part of the same file system, but must not be dir or a directory above
// it, because the copy would never end. CopyFS can tell only if src, or a directory in it,
// belongs to an FS on the same device or to fs.Sub of one. Then the error is fs.ErrInvalid.
//
// Several goroutines call src and the functions of CreateFrom and ReplaceOnly at the same time, and that of
// OnProgress one after the other. None may wait for CopyFS. If one of them panics or calls runtime.Goexit, CopyFS does the same, after
// the files that are being copied are finished.
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
	// Files that others made meanwhile are compared without taking the writers' lock.
	if _, err := c.fs.Refresh(); err != nil {
		return err
	}
	if c.atomically {
		return c.runAtomically(ctx)
	}
	copying := ctx // files that have their space are finished, even if the copy ends early
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	files := make(chan string, 64) // so that walking and copying do not wait for each other at every file
	workers := crew{stop: func() { stop(nil) }}
	for range c.workers {
		workers.start(func() {
			for name := range files {
				if ctx.Err() == nil { // otherwise the reason is already known
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
		err = nil // it is already in c.errs
	}
	return errors.Join(append(c.errs, err)...)
}

// walk makes the directories of the source and sends the names of its files. Directories are
// made until making is done. Everything else ends with ctx.
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

// note keeps an error, and ends the copy if the error concerns more than one file.
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

// copyOther makes a directory, or returns an error for anything else.
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
	if target := c.target(name); target != "." {
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

// intoItself reports whether the target lies in this directory of the source.
func (c *copier) intoItself(dir fs.FileInfo) bool {
	i, ok := dir.(*info)
	if !ok || i.fs != c.fs && !i.fs.sharesDevice(c.fs) {
		return false
	}
	root := i.node.path()
	return root == "" || c.dir == root || strings.HasPrefix(c.dir, root+"/")
}

// sharesDevice reports whether two file systems are known to be the same one.
func (f *FS) sharesDevice(other *FS) bool {
	if f.sb.UUID != other.sb.UUID {
		return false
	}
	a, err := f.dev.file.Stat()
	b, otherErr := other.dev.file.Stat()
	if err != nil || otherErr != nil {
		return false
	}
	// One device may have several nodes. Two files with the same UUID may be copies.
	return os.SameFile(a, b) || !a.Mode().IsRegular() && !b.Mode().IsRegular()
}

// options returns the options with which a file or directory is created.
func (c *copier) options(ctx context.Context, st fs.FileInfo) []CreateOption {
	var from []CreateOption
	if c.from != nil {
		from = c.from(st)
	}
	return slices.Concat([]CreateOption{Mode(st.Mode())}, from, c.create, []CreateOption{WithContext(ctx)})
}

// fileOptions returns the options with which the file target is created.
func (c *copier) fileOptions(ctx context.Context, target string, st fs.FileInfo) []CreateOption {
	opts := c.options(ctx, st)
	if c.replaceOnly != nil && c.replaceOnly(target) {
		opts = append(opts, Replace())
	}
	return opts
}

// target returns where a file or directory of the source is copied to.
func (c *copier) target(name string) string {
	if c.dir == "." {
		return name
	}
	return path.Join(c.dir, name)
}

// copyFile copies one file, or passes it over.
func (c *copier) copyFile(ctx context.Context, name string) (err error) {
	from, st, err := c.open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	target := c.target(name)
	opts := c.fileOptions(ctx, target, st)
	var p *PendingFile
	there, missing := c.fs.Stat(target)
	if missing != nil {
		if p, err = c.fs.Create(target, st.Size(), opts...); errors.Is(err, fs.ErrExist) {
			there, missing = c.fs.Stat(target) // Create has read the log: another process may have made the file
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
		// Part of the source has been read: open it again.
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

// verdict is what happens to a file whose name is there already.
type verdict uint8

const (
	toReplace   verdict = iota // the file there has other content
	sameContent                // the file there has the same content
	leftOut                    // the source changed meanwhile, and such files are passed over
)

// passOver passes a file over if it is there with the content of its source. Other content is
// an error, unless the file is to be replaced.
func (c *copier) passOver(ctx context.Context, from fs.File, st, there fs.FileInfo, name string) (verdict, error) {
	target := c.target(name)
	if err := c.compare(ctx, from, st, there, target); err != nil {
		if c.replaces(target) && errors.Is(err, errOther) {
			return toReplace, nil
		}
		return leftOut, c.failChanged(target, 0, &fs.PathError{Op: "copy", Path: name, Err: err})
	}
	if c.fs.replica.uncertain.Load() {
		if err := c.fs.makeCertain(c.fs.newCreateConfig(c.options(ctx, st))); err != nil {
			return sameContent, &fs.PathError{Op: "copy", Path: name, Err: err}
		}
	}
	c.tell(Progress{Name: target, Done: true, Passed: true}, st.Size())
	return sameContent, nil
}

// replaces reports whether the file target is to be replaced if it has other content.
func (c *copier) replaces(target string) bool {
	return c.fs.newCreateConfig(c.create).replace || c.replaceOnly != nil && c.replaceOnly(target)
}

// fill fills p from its source. untold is the number of bytes not yet reported to OnProgress.
func (c *copier) fill(ctx context.Context, p *PendingFile, from fs.File, st fs.FileInfo) (untold int64, err error) {
	var some atomic.Int64
	p.onlyWhole = true
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

// failChanged returns err. If err says that the source changed, and such files are to be
// passed over, it reports that as progress and returns nil.
func (c *copier) failChanged(target string, untold int64, err error) error {
	if !c.skipChanged || !errors.Is(err, ErrChanged) {
		return err
	}
	c.tell(Progress{Name: target, Changed: true}, untold)
	return nil
}

// errOther says that a file of that name is there, with other content.
var errOther = fmt.Errorf("%w", fs.ErrExist)

func endedEarly(n, size int64) error {
	return fmt.Errorf("ended after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
}

// checkChanged checks whether the source has changed since before. err is the error from
// reading it. An err about the length is joined with the change that explains it. Any other
// err is returned as it is.
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

// checkReformatted checks whether the source is on a device that was formatted anew: then
// others may have written to its memory while it was read.
func checkReformatted(from fs.File) error {
	if h, ok := from.(*openFileHandle); ok {
		if _, err := h.fs.Refresh(); errors.Is(err, ErrReformatted) {
			return err
		}
	}
	return nil
}

// compare returns an error that says how the file on the device differs from the source.
func (c *copier) compare(ctx context.Context, from fs.File, st, there fs.FileInfo, target string) error {
	size := st.Size()
	differs := func(how string) error { return fmt.Errorf("%s is there already and %s: %w", target, how, errOther) }
	switch {
	case there.IsDir():
		return fmt.Errorf("%s is there already and is a directory: %w", target, fs.ErrExist)
	case there.Size() != size:
		return differs(fmt.Sprintf("has %d bytes instead of %d", there.Size(), size))
	}
	to := there.(*info) // it is what Stat returns
	if c.replaces(target) && c.fs.isOnBad(to.node) {
		return differs("lies on memory that the system lists as bad")
	}
	read, err := c.fs.sameContent(ctx, from, to.index, to.node)
	var fault *FaultError
	switch {
	case c.replaces(target) && errors.As(err, &fault) && fault.Name == target:
		return differs("cannot be read")
	case err == errOther:
		return differs("has other content")
	case err == io.ErrUnexpectedEOF:
		return checkChanged(from, st, endedEarly(read, size))
	case err != nil:
		return err
	}
	if err := checkEnd(from, size); err != nil {
		return checkChanged(from, st, err)
	}
	if c.replaces(target) {
		var sum *SumError
		switch err := c.fs.isSound(ctx, to.index, to.node); {
		case errors.As(err, &sum) && !sum.Stale:
			return differs("does not have the content that was sealed")
		case errors.As(err, &fault):
			return differs("cannot be read")
		case err != nil && sum == nil:
			return err
		}
	}
	return checkReformatted(from)
}

// tell reports progress of this many bytes.
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
