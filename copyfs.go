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
	"path"
	"runtime"
	"sync"
	"sync/atomic"
)

// copyPiece is how much of a file is copied between two reports of progress.
const copyPiece = 8 << 20

// CopyOption changes how CopyFS copies.
type CopyOption interface{ applyCopy(*copyConfig) }

type copyConfig struct {
	workers  int
	progress func(Progress)
	create   []CreateOption
}

type copyOption func(*copyConfig)

func (o copyOption) applyCopy(c *copyConfig) { o(c) }

// Workers sets how many files are copied at a time; the default is the number of
// processors.
func Workers(n int) CopyOption { return copyOption(func(c *copyConfig) { c.workers = max(n, 1) }) }

// Progress is how far a copy has come.
type Progress struct {
	// Name is the file on the device that was just worked on. Done says that it is
	// there now, whole; Passed that it was there before with the same content.
	Name         string
	Done, Passed bool
	// Files and Bytes are how many have been copied or passed over so far, Bytes with
	// parts of files that are being copied.
	Files int
	Bytes int64
}

// OnProgress calls tell after every file and every 8 MiB. Calls do not overlap; the
// copy waits for them.
func OnProgress(tell func(Progress)) CopyOption {
	return copyOption(func(c *copyConfig) { c.progress = tell })
}

// CreateWith applies options to every file and directory that is created, after its
// mode was set to that of the source.
func CreateWith(opts ...CreateOption) CopyOption {
	return copyOption(func(c *copyConfig) { c.create = append(c.create, opts...) })
}

// CopyFS copies all directories and regular files of src into the directory dir, "."
// for the root, which is made if it is missing; permission bits are kept. Each file
// appears whole or not at all. Run again it resumes: a file that is there already with
// the same content is passed over, one with another is an error that wraps fs.ErrExist.
//
// What cannot be copied, such as empty files and symbolic links, does not keep the
// rest from it: the error that is returned at the end wraps one for each. Copying ends
// early where it cannot go on: ctx is done, ErrNoSpace, ErrLogFull, ErrLocked,
// ErrNotMaster, ErrReadOnly, ErrCorrupt, ErrReformatted, fs.ErrClosed.
func (f *FS) CopyFS(ctx context.Context, dir string, src fs.FS, opts ...CopyOption) error {
	c := &copier{fs: f, dir: dir, src: src}
	c.workers = runtime.GOMAXPROCS(0)
	for _, o := range opts {
		o.applyCopy(&c.copyConfig)
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
	copying := ctx // files that have their space when something goes wrong are finished
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	files := make(chan string)
	var workers sync.WaitGroup
	for range c.workers {
		workers.Go(func() {
			for name := range files {
				if ctx.Err() == nil { // otherwise the reason is known
					c.note(c.copyFile(copying, name), stop)
				}
			}
		})
	}
	err := fs.WalkDir(c.src, ".", func(name string, d fs.DirEntry, err error) error {
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
			err = c.copyOther(name, d)
		}
		if err != nil && d != nil && d.IsDir() {
			c.note(err, stop)
			return fs.SkipDir
		}
		c.note(err, stop)
		return nil
	})
	close(files)
	workers.Wait()
	if cause := context.Cause(ctx); err == nil || errors.Is(err, cause) {
		err = cause
	}
	if err != nil && len(c.errs) > 0 && errors.Is(errors.Join(c.errs...), err) {
		err = nil // it is among them
	}
	return errors.Join(append(c.errs, err)...)
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
func (c *copier) copyOther(name string, d fs.DirEntry) error {
	if !d.IsDir() {
		return &fs.PathError{Op: "copy", Path: name, Err: fmt.Errorf("has type %v, and famfs has only directories and regular files: %w", d.Type(), fs.ErrInvalid)}
	}
	st, err := d.Info()
	if err != nil {
		return err
	}
	if target := path.Join(c.dir, name); target != "." {
		return c.fs.mkdirAll(target, append([]CreateOption{Mode(st.Mode())}, c.create...)...)
	}
	return nil
}

// copyFile copies one file, or passes it over.
func (c *copier) copyFile(ctx context.Context, name string) (err error) {
	from, err := c.src.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	st, err := from.Stat()
	if err != nil {
		return err
	}
	fail := func(err error) error { return &fs.PathError{Op: "copy", Path: name, Err: err} }
	if st.Size() == 0 {
		return fail(fmt.Errorf("is empty, and famfs has no empty files: %w", fs.ErrInvalid))
	}
	target := path.Join(c.dir, name)
	if there, err := c.fs.Stat(target); err == nil {
		if err := c.compare(ctx, from, st.Size(), there, target); err != nil {
			return fail(err)
		}
		c.tell(target, st.Size(), false, true)
		return nil
	}
	opts := append([]CreateOption{Mode(st.Mode()), WithContext(ctx)}, c.create...)
	p, err := c.fs.Create(target, st.Size(), opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var untold atomic.Int64
	n, err := p.readFrom(from, func(n int64) error {
		if untold.Add(n) >= copyPiece {
			c.tell(target, untold.Swap(0), false, false)
		}
		return context.Cause(ctx)
	})
	if err != nil {
		return fail(err)
	}
	if n < st.Size() {
		return fail(fmt.Errorf("ended after %d of %d bytes: %w", n, st.Size(), io.ErrUnexpectedEOF))
	}
	if err := p.Commit(); err != nil {
		return err
	}
	c.tell(target, untold.Load(), true, false)
	return nil
}

// compare says how the file on the device differs from the source.
func (c *copier) compare(ctx context.Context, from io.Reader, size int64, there fs.FileInfo, target string) error {
	differs := func(how string) error { return fmt.Errorf("%s is there already and %s: %w", target, how, fs.ErrExist) }
	switch {
	case there.IsDir():
		return differs("is a directory")
	case there.Size() != size:
		return differs(fmt.Sprintf("has %d bytes instead of %d", there.Size(), size))
	}
	to, err := c.fs.Open(target)
	if err != nil {
		return err
	}
	defer to.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(int64(len(a)), size-at)
		if _, err := io.ReadFull(from, a[:n]); err != nil {
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
	return nil
}

// tell reports progress.
func (c *copier) tell(name string, bytes int64, done, passed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done.Name, c.done.Done, c.done.Passed = name, done || passed, passed
	c.done.Bytes += bytes
	if done || passed {
		c.done.Files++
	}
	if c.progress != nil {
		c.progress(c.done)
	}
}
