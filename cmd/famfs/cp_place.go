package main

// Deciding which argument of cp goes where: as users know it from cp, and so that a resumed copy
// goes to the same place as the first time.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"famfs"
)

// place is the place of DEST.
type place struct {
	target
	in   fs.FS
	name string // its name in in
	key  string // identifies in, for records
}

// plan decides what goes where and builds the tree.
func (c *copyCommand) plan(ctx context.Context, args []string) error {
	var all []target
	for _, arg := range args {
		t, err := parseTarget(arg)
		if err != nil {
			return err
		}
		all = append(all, t)
	}
	sources, dest := all[:len(all)-1], all[len(all)-1]
	if c.noTarget && len(sources) > 1 {
		return usageError(errors.New("-T takes one SOURCE"))
	}
	c.to = dest
	to := place{target: dest, name: dest.name}
	var err error
	if dest.device != "" {
		if c.device, err = c.openOnce(dest.device, !c.dryRun); err != nil {
			return err
		}
		if c.dryRun && c.device.Role() != famfs.Master {
			return deviceFailed(dest.device, because(famfs.ErrNotMaster, "this host is not the master, and could not copy to it"))
		}
		to.in, to.key = c.device, c.device.Superblock().UUID.String()
	} else {
		for _, s := range sources {
			if s.device == "" {
				return usageError(fmt.Errorf("neither %s nor %s is on a device; write one as DEVICE:PATH, or use cp", s, dest))
			}
		}
		if c.replace || c.atomic {
			return usageError(fmt.Errorf("--replace and --atomic are for copies to a device, and %s is not on one; --force replaces local files", dest))
		}
		full, err := absolute(dest.name)
		if err != nil {
			return localFailed(dest.name, err)
		}
		c.localBase, to.name = filepath.Dir(full), filepath.ToSlash(filepath.Base(full))
		if c.localBase == full {
			to.name = "."
		}
		c.localName = to.name
		to.in, to.key = localFS(c.localBase), c.localBase
	}
	c.tree = newTree()
	if c.device != nil {
		c.tree.mode = c.create.mode
	}
	b := c.treeBuilder(ctx, all)
	b.emptyFiles = c.device == nil
	for _, s := range sources {
		from, root, key, err := c.sourceFS(s)
		if err != nil {
			c.refuse(s, otherRefusal, err)
			continue
		}
		at, err := c.place(s, from, root, key, to, len(sources) > 1)
		if err != nil {
			c.refuse(s, otherRefusal, err)
			continue
		}
		b.add(from, root, at, s)
		if fsys := deviceOf(from); fsys != nil {
			c.reportLeftOut(fsys, s)
		}
	}
	if ctx.Err() != nil { // what was listed is not all, and must not pass for it
		return &statusError{signalStatus(ctx), errors.New("interrupted while it listed what is to be copied: nothing was copied")}
	}
	return nil
}

// refuse records that t is not copied.
func (c *copyCommand) refuse(t target, kind refusalKind, err error) {
	c.refused = append(c.refused, refusal{kind, targetFailed(t, err)})
}

// openDevices returns a function that reports whether a file is one of the devices of this copy.
func (c *copyCommand) openDevices(all []target) func(fs.FileInfo) bool {
	var devices []fs.FileInfo
	for _, t := range all {
		if t.device != "" {
			if st, err := os.Stat(t.device); err == nil {
				devices = append(devices, st)
			}
		}
	}
	return func(st fs.FileInfo) bool {
		for _, d := range devices {
			if os.SameFile(d, st) {
				return true
			}
		}
		return false
	}
}

// treeBuilder returns what collects the files of this copy. targets are all that it reads or writes.
func (c *copyCommand) treeBuilder(ctx context.Context, targets []target) treeBuilder {
	return treeBuilder{
		tree: c.tree, ctx: ctx, recursive: c.recursive, follow: c.follow, refuse: c.refuse, isDevice: c.openDevices(targets),
		passOver: func(t target, why string) {
			if !c.quiet {
				fmt.Fprintf(c.err, "%s: %s: %s\n", c.command, printable(t.String()), why)
			}
		},
	}
}

// sourceFS returns a file system that contains s, the name of s in it, and a key that identifies
// s in records.
func (c *copyCommand) sourceFS(s target) (from fs.FS, name, key string, err error) {
	if s.device != "" {
		fsys, err := c.openOnce(s.device, false)
		if err != nil {
			return nil, "", "", err
		}
		return through(fsys, s), s.name, fsys.Superblock().UUID.String() + ":" + s.name, nil
	}
	full, err := absolute(s.name)
	if err != nil {
		return nil, "", "", err
	}
	dir, base := filepath.Split(full)
	if base == "" { // the root of the local file system
		base = "."
	}
	return localFS(dir), filepath.ToSlash(base), full, nil
}

// place returns the place of source s in the tree. s is root in from.
func (c *copyCommand) place(s target, from fs.FS, root, key string, to place, several bool) (string, error) {
	src, err := fs.Stat(from, root)
	if err != nil {
		return "", orDangling(from, root, err)
	}
	failed := func(err error) error {
		if to.device == "" {
			return localFailed(to.String(), err)
		}
		return targetFailed(to.target, err)
	}
	st, err := fs.Stat(to.in, to.name)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", failed(err)
	}
	if src.IsDir() && s.device != "" && s.device == to.device && to.name != s.name && isBelow(to.name, s.name) {
		return "", failed(because(fs.ErrInvalid, "lies in %s, and a directory cannot be copied into itself", s))
	}
	record := recordOf(to.key, to.name, key)
	into := path.Join(to.name, s.base())
	switch {
	case !there && (several || to.slash && !src.IsDir()):
		return "", failed(because(fs.ErrInvalid, "is no directory to copy into; make it with %s", to.mkdir()))
	case !there:
		if parent := path.Dir(to.name); parent != "." || to.device == "" {
			st, err := fs.Stat(to.in, parent)
			switch {
			case err == nil && !st.IsDir():
				return "", failed(because(fs.ErrInvalid, "cannot be made: what it is to lie in is a file, not a directory"))
			case err != nil && to.device != "" && isBelow(parent, ".meta"):
				return "", failed(because(fs.ErrInvalid, "lies under .meta, which is reserved; use another name"))
			case err != nil:
				return "", failed(because(fs.ErrInvalid, "lies in a directory that does not exist; make it with %s -p", to.mkdir()))
			}
		}
		if src.IsDir() && !c.noTarget && !c.atomic { // the copy makes DEST with everything in it
			c.record = record
			c.mistakable = s.base() != "." && s.base() != path.Base(to.name)
		}
		return to.name, nil
	case !st.IsDir() && (several || to.slash || src.IsDir()):
		return "", failed(because(fs.ErrInvalid, "is a file, not a directory"))
	case !st.IsDir(), c.noTarget:
		return to.name, nil
	case several, !src.IsDir(), s.base() == ".":
		return into, nil
	case record.exists():
		c.record = record
		return to.name, nil
	case to.slash:
		return into, nil
	}
	return c.placeDir(s, from, root, to)
}

// placeDir returns the place of a directory if DEST is a directory too and there is no record of
// a copy that made it. That is in DEST, unless the content of DEST shows that it is the copy.
func (c *copyCommand) placeDir(s target, from fs.FS, root string, to place) (string, error) {
	if fsys, ok := to.in.(*famfs.FS); ok {
		// Another process may just have finished a copy and removed its record: see what it copied.
		if _, err := fsys.Refresh(); err != nil {
			return "", deviceFailed(to.device, err)
		}
	}
	into := path.Join(to.name, s.base())
	has := func(fsys fs.FS, name string) bool {
		_, err := fs.Stat(fsys, name)
		return err == nil
	}
	switch {
	case s.base() == path.Base(to.name) && (!has(to.in, into) || has(from, path.Join(root, s.base()))):
		return to.name, nil
	case has(to.in, into):
		return into, nil
	}
	entries, err := fs.ReadDir(to.in, to.name)
	if err != nil {
		return "", err
	}
	found := false
	for _, e := range entries {
		if _, isPart := partOf(e.Name()); isPart && to.device == "" {
			continue
		}
		st, err := fs.Stat(from, path.Join(root, e.Name()))
		if err != nil || st.IsDir() != e.IsDir() {
			return into, nil
		}
		option, failed := "", targetFailed
		switch {
		case c.force && to.device == "":
			option, failed = "--force", func(t target, err error) error { return localFailed(t.String(), err) }
		case c.replace && to.device != "":
			option = "--replace"
		}
		if option != "" && !st.IsDir() {
			// A wrong guess would destroy what somebody else put there.
			same, err := sameBeginning(from, path.Join(root, e.Name()), to.in, path.Join(to.name, e.Name()))
			if err != nil {
				return "", failed(to.target, err)
			}
			if !same {
				return "", failed(to.target, because(fs.ErrInvalid, "is the copy, or a directory to copy into, and %s would replace what differs in it, such as %s: say -T if it is the copy, or put a slash behind it", option, e.Name()))
			}
		}
		found = true
	}
	if !found {
		return into, nil
	}
	return to.name, nil
}

// sameBeginning reports whether two files have the same size and the same beginning.
func sameBeginning(a fs.FS, nameA string, b fs.FS, nameB string) (bool, error) {
	var begin [2][64 << 10]byte
	var size [2]int64
	var read [2]int
	for i, side := range []struct {
		in   fs.FS
		name string
	}{{a, nameA}, {b, nameB}} {
		f, err := side.in.Open(side.name)
		if err != nil {
			return false, err
		}
		st, err := f.Stat()
		if err == nil {
			size[i] = st.Size()
			read[i], err = io.ReadFull(f, begin[i][:])
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return false, err
		}
	}
	return size[0] == size[1] && bytes.Equal(begin[0][:read[0]], begin[1][:read[1]]), nil
}

// mkdir returns the command that makes DEST.
func (p place) mkdir() string {
	if p.device == "" {
		return "mkdir"
	}
	return "famfs mkdir"
}

// isBelow reports whether name is dir or lies in it.
func isBelow(name, dir string) bool {
	return dir == "." || name == dir || len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/'
}
