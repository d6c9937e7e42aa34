package main

// cp with - in place of a name: from standard input to a file on a device, and from a file on a
// device to standard output.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"famfs"
)

// stream is what a name stands for that is no file.
const stream = "-"

// isStream reports whether the arguments say that standard input or output is copied.
func isStream(args []string) bool {
	return slices.Contains(args, stream) && !exists(stream)
}

// copyStream copies standard input to a file on a device, or a file on a device to standard output.
func (c *copyCommand) copyStream(ctx context.Context, args []string, sized bool, opts []famfs.CreateOption) error {
	if len(args) != 2 || args[0] == args[1] {
		return usageError(errors.New("- is for one file: cp --size SIZE - DEVICE:PATH, or cp DEVICE:PATH -"))
	}
	if c.dryRun || c.ask || c.atomic || c.noTarget && args[1] == stream {
		return usageError(errors.New("--dry-run, -i and --atomic are not for standard input and output"))
	}
	if args[1] == stream {
		return c.eachTarget(args[:1], (&catter{app: c.app, toEnd: true}).cat)
	}
	t, err := parseTarget(args[1])
	switch {
	case err != nil:
		return err
	case t.device == "":
		return usageError(fmt.Errorf("standard input is copied to a file on a device, written DEVICE:PATH, and %s is none", t))
	case t.slash:
		return targetFailed(t, because(fs.ErrInvalid, "is a directory; name the file that standard input is to become"))
	}
	size := int64(c.size)
	if !sized {
		if size, err = restOf(c.in); err != nil {
			return targetFailed(target{name: stream}, err)
		}
	}
	if size == 0 {
		return targetFailed(t, because(fs.ErrInvalid, "would be empty, and famfs has no empty files; nothing was made"))
	}
	fsys, err := c.openToWrite(t.device)
	if err != nil {
		return err
	}
	defer fsys.Close()
	c.sayNarrow(fsys, t.device, &c.create)
	if st, err := fsys.Stat(t.name); err == nil && st.IsDir() {
		return targetFailed(t, because(fs.ErrInvalid, "is a directory; name the file that standard input is to become"))
	} else if err == nil && c.keep {
		return c.passedOver(st.Size())
	}
	if c.create.mode.set {
		opts = append(opts, famfs.Mode(c.create.mode.mode))
	}
	c.to = t
	if c.replace {
		c.noteSealed(fsys, t.name)
		opts = append(opts, famfs.Replace())
	}
	c.progress = c.newProgress("copied", 1, size, c.quiet || c.asJSON, c.verbose > 0)
	done := make(chan error, 1) // a read of standard input cannot be ended
	var ends sync.Once          // either in the file, or by a signal
	go func() { done <- c.fillFrom(ctx, fsys, t, size, opts, &ends) }()
	interrupted := false
	select {
	case err = <-done:
	case <-ctx.Done():
		if ends.Do(func() { interrupted = true }); !interrupted {
			err = <-done // it is being made at this moment
		}
	}
	if interrupted || err != nil && ctx.Err() != nil && isInterruption(ctx, err) {
		return &statusError{signalStatus(ctx), fmt.Errorf("interrupted: %s was not made", t)}
	}
	if err != nil {
		return targetFailed(t, err)
	}
	c.progress.file(t.String(), "")
	c.progress.finish("copied 1 file", "")
	c.replaced(t.name)
	c.sayUnsealed()
	if c.asJSON {
		return c.printJSON(copyJSON{Files: 1, Bytes: size, Copied: 1, Unsealed: len(c.unsealed), Errors: []failureJSON{}})
	}
	return nil
}

// passedOver is the end of a copy to one file that is there, with -n.
func (c *copyCommand) passedOver(size int64) error {
	if !c.asJSON {
		return nil
	}
	return c.printJSON(copyJSON{Files: 1, Bytes: size, Passed: 1, Errors: []failureJSON{}})
}

// restOf returns how many bytes standard input has: it must be a file.
func restOf(in io.Reader) (int64, error) {
	needed := because(fs.ErrInvalid, "standard input has no size, which files need at once: say it with --size")
	f, ok := in.(*os.File)
	if !ok {
		return 0, needed
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return 0, needed
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, needed
	}
	return max(st.Size()-at, 0), nil
}

// fillFrom makes a file of exactly size bytes from standard input, unless that has ended before.
func (c *copyCommand) fillFrom(ctx context.Context, fsys *famfs.FS, t target, size int64, opts []famfs.CreateOption, ends *sync.Once) error {
	p, err := fsys.CreateContext(ctx, t.name, size, opts...)
	if err != nil {
		return err
	}
	defer p.Close()
	// Progress is counted as bytes come, so the pending file must not read from the input itself.
	n, err := p.ReadFrom(&countingReader{c.in, c.progress})
	switch {
	case errors.Is(err, io.ErrShortWrite):
		return because(fs.ErrInvalid, "standard input has more than the %d bytes of --size; nothing was made", size)
	case err != nil:
		return fmt.Errorf("read standard input: %w", err)
	case n < size:
		return because(io.ErrUnexpectedEOF, "standard input ended after %d of %d bytes; nothing was made", n, size)
	}
	err = context.Canceled
	ends.Do(func() { err = p.Commit() })
	return err
}

// countingReader tells the progress of what it reads.
type countingReader struct {
	io.Reader
	progress *progress
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.progress.bytes(int64(max(n, 0)))
	return n, err
}
