package main

// Copying to a device: the library's CopyFS, over again without what did not fit.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"famfs"
)

// copyIn copies the tree to the device.
func (c *copyCommand) copyIn(ctx context.Context, opts []famfs.CreateOption) (errs []error) {
	for {
		err := c.copyTree(ctx, opts)
		errs = append(errs, c.separateCopyErrors(err)...)
		if c.atomic || !errors.Is(err, famfs.ErrNoSpace) || ctx.Err() != nil {
			return errs
		}
		// Space that is free in all, but not in one piece, is only found out by trying.
		// What was tried is there or failed; the rest may fit.
		if c.tree.removeTried() == 0 {
			return errs
		}
		before := len(c.refused)
		c.refuseUnfit()
		for _, r := range c.refused[before:] {
			errs = append(errs, r.err)
		}
		if files, _ := c.tree.total(); files == 0 {
			return errs
		}
	}
}

// copyTree copies what the tree holds now.
func (c *copyCommand) copyTree(ctx context.Context, opts []famfs.CreateOption) error {
	var last int64
	how := []famfs.CopyOption{famfs.Workers(c.create.workers), famfs.CreateWith(opts...)}
	if c.skipChanged {
		how = append(how, famfs.SkipChanged())
	}
	if c.atomic {
		how = append(how, famfs.Atomically())
	}
	return c.device.CopyFS(ctx, ".", c.tree, append(how, famfs.OnProgress(func(p famfs.Progress) {
		c.progress.bytes(p.Bytes - last)
		last = p.Bytes
		switch {
		case p.Changed:
			c.changed = append(c.changed, p.Name)
			c.progress.aside(func() {
				fmt.Fprintf(c.err, "%s: %s: changed while it was copied: passed over\n", c.command, printable(c.tree.nodes[p.Name].source.String()))
			})
		case p.Passed:
			c.passed++
			c.progress.file(c.to.at(p.Name), " was there already")
		case p.Done:
			c.copied++
			c.progress.file(c.to.at(p.Name), "")
		}
	}))...)
}

// separateCopyErrors returns what CopyFS joins, each with the source that it is about.
func (c *copyCommand) separateCopyErrors(err error) []error {
	if err == nil {
		return nil
	}
	if !isJoin(err) { // "copy to .", which is no directory that anybody named
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
	}
	if !isJoin(err) {
		return []error{c.copyFailed(err)}
	}
	var all []error
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		if isJoin(e) { // of the planning of an atomic copy
			all = append(all, c.separateCopyErrors(e)...)
		} else {
			all = append(all, c.copyFailed(e))
		}
	}
	return all
}

// copyFailed names the source that err is about, as far as it can be known.
func (c *copyCommand) copyFailed(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		if n := c.tree.nodes[path.Clean(p.Path)]; n != nil && n.source.name != "" {
			return c.sourceFailed(n, err)
		}
		if filepath.IsAbs(p.Path) { // of a local file that was open
			return failed(failure{about: aboutSource, what: p.Path, err: err})
		}
	}
	return deviceFailed(c.to.device, err)
}

// isAboutDevice says that err is about what the device has and takes, not about what is
// copied to it.
func isAboutDevice(err error) bool {
	for _, known := range []error{famfs.ErrNoSpace, famfs.ErrLogFull, famfs.ErrLocked, famfs.ErrNotMaster, famfs.ErrReadOnly, famfs.ErrCorrupt, famfs.ErrDevice, fs.ErrExist} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
