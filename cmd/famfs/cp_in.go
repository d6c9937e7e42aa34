package main

// Copying to a device: calls the library's CopyFS, and again without the files that did not fit.

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
		// Enough space may be free, but not in one piece: only trying finds that out. The files
		// that were tried are there or have failed; the others may fit.
		if c.tree.removeTried() == 0 {
			return errs
		}
		c.refuseUnfit()
		if files, _ := c.tree.total(); files == 0 {
			return errs
		}
	}
}

// copyTree copies the present content of the tree. What others make meanwhile is replaced with
// --replace only: with -i the user was not asked about it.
func (c *copyCommand) copyTree(ctx context.Context, opts []famfs.CreateOption) error {
	var last int64
	how := []famfs.CopyOption{famfs.Workers(c.create.workers), famfs.CreateWith(opts...), famfs.CreateFrom(c.createFrom), famfs.ReplaceOnly(c.replaces)}
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
			c.bytes += c.tree.nodes[p.Name].size
			c.progress.file(c.to.at(p.Name), " was there already")
		case p.Done:
			c.copied++
			c.replaced(p.Name)
			c.bytes += c.tree.nodes[p.Name].size
			c.progress.file(c.to.at(p.Name), "")
		}
	}))...)
}

// createFrom returns the option that gives a file the owner of its source, if that is to be kept
// and known. Otherwise the file is another's, and does not get the bits that are for its owner,
// unless --mode says so.
func (c *copyCommand) createFrom(source fs.FileInfo) []famfs.CreateOption {
	uid, gid, ok := ownerOf(source)
	switch mode := source.Mode(); {
	case c.preserve && ok:
		return []famfs.CreateOption{famfs.Owner(uid, gid)}
	case mode&ownersBits != 0 && !mode.IsDir() && !c.tree.mode.set:
		return []famfs.CreateOption{famfs.Mode(mode &^ ownersBits)}
	}
	return nil
}

// ownerOf returns the owner of a file, local or on a device.
func ownerOf(st fs.FileInfo) (uid, gid uint32, ok bool) {
	if attr, onDevice := st.Sys().(*famfs.Attr); onDevice {
		return attr.UID, attr.GID, true
	}
	return localOwner(st)
}

// separateCopyErrors returns the errors that CopyFS joins, each with its source.
func (c *copyCommand) separateCopyErrors(err error) []error {
	if err == nil {
		return nil
	}
	if !isJoin(err) { // "copy to .", a directory that the user did not name
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
	}
	if !isJoin(err) {
		return []error{c.copyFailed(err)}
	}
	var all []error
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		if c.keep && errors.Is(e, fs.ErrExist) && !isJoin(e) && c.isThereNow(e) {
			c.passed++ // somebody else made it meanwhile
			continue
		}
		if isJoin(e) { // from the planning of an atomic copy
			all = append(all, c.separateCopyErrors(e)...)
		} else {
			all = append(all, c.copyFailed(e))
		}
	}
	return all
}

// isThereNow reports whether err is about a file of the tree that the device has by now. It is not if
// something stands in the place of a directory that the file would lie in.
func (c *copyCommand) isThereNow(err error) bool {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return false
	}
	n := c.tree.nodes[path.Clean(p.Path)]
	return n != nil && !n.mode.IsDir() && c.destStat(path.Clean(p.Path)) != nil
}

// copyFailed adds the source to err, if it is known.
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

// isAboutDevice reports whether err is about the device, and not about the file that is copied
// to it.
func isAboutDevice(err error) bool {
	for _, known := range []error{famfs.ErrNoSpace, famfs.ErrLogFull, famfs.ErrLocked, famfs.ErrNotMaster, famfs.ErrReadOnly, famfs.ErrCorrupt, famfs.ErrDevice, fs.ErrExist} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
