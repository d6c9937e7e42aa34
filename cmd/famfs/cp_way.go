package main

// What stands at DEST in the place of directories of the tree: a file, or a symbolic link. Nothing
// can be made behind a file. Behind a link it would be made somewhere else, where whoever made the
// link wants it, so links are followed only with --force.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// refuseBlocked removes from the tree what lies in a directory in whose place something else is. It
// looks once at each directory, and not into those that are not there.
func (c *copyCommand) refuseBlocked() {
	there := map[string]bool{".": true}
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if name == "." || !d.IsDir() || !there[path.Dir(name)] {
			return nil
		}
		exists, what := c.inTheWay(name)
		there[name] = exists
		if what == "" {
			return nil
		}
		c.refuseNode(name, wayRefusal, because(fs.ErrInvalid, "cannot be made: %s %s", c.destName(name), what))
		return fs.SkipDir
	})
}

// inTheWay reports whether something is at DEST in the place of a directory of the tree. If that is
// no directory, what says what it is.
func (c *copyCommand) inTheWay(name string) (exists bool, what string) {
	const isFile = "is a file, not a directory"
	if c.device != nil {
		st, err := c.device.Stat(name)
		if err == nil && !st.IsDir() {
			what = isFile
		}
		return err == nil, what
	}
	local := c.local(name)
	st, err := os.Lstat(local)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist), "" // what is wrong the copy finds out
	}
	if st.Mode()&(fs.ModeSymlink|fs.ModeIrregular) != 0 { // irregular: a junction of Windows
		switch st, err = os.Stat(local); {
		case errors.Is(err, fs.ErrNotExist):
			return true, "is a symbolic link to nothing, which is not written through; remove it first"
		case err != nil:
			return true, ""
		case st.IsDir() && !c.followsAt(name):
			return true, "is a symbolic link in the place of a directory; --force writes through it"
		}
	}
	if !st.IsDir() {
		what = isFile
	}
	return true, what
}

// followsAt reports whether a directory of the tree may be a symbolic link at DEST. DEST itself may,
// as the user has named it.
func (c *copyCommand) followsAt(name string) bool {
	return c.force || name == c.localName || name == "."
}

// makeLocalDir makes a directory of the tree. It reports whether it is new, and describes it if it
// was there.
func (c *copyCommand) makeLocalDir(name string, perm fs.FileMode) (made bool, there fs.FileInfo, err error) {
	err = os.Mkdir(c.local(name), perm)
	if !errors.Is(err, fs.ErrExist) {
		return err == nil, nil, err
	}
	if _, what := c.inTheWay(name); what != "" { // since refuseBlocked has looked
		return false, nil, refused(what)
	}
	there, statErr := os.Stat(c.local(name))
	if statErr != nil {
		return false, nil, fmt.Errorf("%w (%w)", err, statErr)
	}
	return false, there, nil
}

// resolvedDir returns the local path of a directory of the tree without a link at its end: what is
// done to it is to be done to what the link leads to.
func (c *copyCommand) resolvedDir(name string) string {
	local := c.local(name)
	if to, err := filepath.EvalSymlinks(local); err == nil && c.followsAt(name) {
		return to
	}
	return local
}
