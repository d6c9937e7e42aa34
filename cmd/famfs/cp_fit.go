package main

// The parts of a tree that a device cannot take, because of their names, their paths, space or log
// entries. All this is known before the first byte is copied.

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"famfs"
)

// refusal is something that is not copied.
type refusal struct {
	kind refusalKind
	err  error // describes it
}

// refusalKind is the reason for a refusal. Refusals are counted by reason.
type refusalKind int

const (
	emptyRefusal refusalKind = iota
	linkRefusal
	specialRefusal
	cycleRefusal
	nameRefusal
	longRefusal
	spaceRefusal
	logRefusal
	thereRefusal
	wayRefusal
	otherRefusal
)

// refusalWords describes one refusal of each kind, and several.
var refusalWords = [...][2]string{
	emptyRefusal:   {"is empty", "are empty"},
	linkRefusal:    {"is a symbolic link", "are symbolic links"},
	specialRefusal: {"is a special file", "are special files"},
	cycleRefusal:   {"is a link into itself", "are links into themselves"},
	nameRefusal:    {"has a name that famfs does not take", "have names that famfs does not take"},
	longRefusal:    {"has a path that is too long", "have paths that are too long"},
	spaceRefusal:   {"does not fit", "do not fit"},
	logRefusal:     {"has no room in the log", "have no room in the log"},
	thereRefusal:   {"is there with other content", "are there with other content"},
	wayRefusal:     {"has no directory to lie in", "have no directory to lie in"},
	otherRefusal:   {"for another reason", "for other reasons"},
}

// refusalOf returns the kind of an error that copying a file met.
func refusalOf(err error) refusalKind {
	switch {
	case isJoin(err):
	case errors.Is(err, famfs.ErrNoSpace):
		return spaceRefusal
	case errors.Is(err, famfs.ErrLogFull):
		return logRefusal
	case errors.Is(err, fs.ErrExist):
		return thereRefusal
	}
	return otherRefusal
}

// countRefusals says how many refusals of each kind there are.
func countRefusals(all []refusal) string {
	var of [len(refusalWords)]int
	for _, r := range all {
		of[r.kind]++
	}
	var parts []string
	for kind, n := range of {
		if n > 0 {
			parts = append(parts, grouped(n)+" "+refusalWords[kind][min(n, 2)-1])
		}
	}
	return strings.Join(parts, ", ")
}

// maxPath is the length of the longest path in bytes (docs/format.md).
const maxPath = 79

// checkPath returns an error if name cannot be a path on a device.
func checkPath(name string) (refusalKind, error) {
	switch {
	case !utf8.ValidString(name):
		return nameRefusal, because(fs.ErrInvalid, "has a name that is not UTF-8, and famfs takes no other; rename it")
	case name == ".meta" || strings.HasPrefix(name, ".meta/"):
		return nameRefusal, because(fs.ErrInvalid, "would be %s, which is reserved; copy it under another name", name)
	case len(name) > maxPath:
		return longRefusal, because(fs.ErrInvalid, "would have a path of %d bytes, want at most %d; use shorter names, or copy it to a directory nearer to the root", len(name), maxPath)
	}
	return 0, nil
}

// refuseUnfit removes from the tree what the device cannot take. A file that is there already
// needs nothing, unless it is to be replaced. If it has the same size, only copying finds out
// whether its content is the same. The other files are tried in the order in which they are
// copied, so that a file that fits is copied even if an earlier one does not fit.
func (c *copyCommand) refuseUnfit() {
	c.reclaim()
	usage, unit := c.device.Usage(), c.device.Superblock().AllocUnit
	c.space = spaceNeeded{free: usage.Free}
	if c.dryRun { // nothing is given out again for that
		c.space.removed = reclaimable(c.device)
		c.space.free += c.space.removed
	}
	held := ""
	if n := usage.Removed - c.space.removed; n > 0 && c.device.Hosts() != nil {
		held = fmt.Sprintf("; %s of removed files are held back, as somebody may still reach them (see famfs hosts)", human(n))
	}
	free, entries := c.space.free, usage.LogCapacity-usage.LogUsed
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if name == "." {
			return nil
		}
		n := c.tree.nodes[name]
		each := 1 // log entries that it needs
		if there, err := c.device.Stat(name); err == nil {
			if !c.replaces(name) || there.IsDir() || d.IsDir() || there.Size() == n.size {
				return nil
			}
			each = 2 // one more for the removal of the old file
		}
		if c.create.seal != "" && !d.IsDir() {
			each++
		}
		kind, err := checkPath(name)
		need := int64(0)
		if !d.IsDir() {
			need = units(n.size, unit)
		}
		switch {
		case err != nil:
		case entries < each:
			kind, err = logRefusal, because(famfs.ErrLogFull, "finds no entry in the log, which holds %s", grouped(usage.LogCapacity))
		case need > free:
			kind, err = spaceRefusal, because(famfs.ErrNoSpace, "does not fit: it takes %s, and %s would be free%s", human(need), human(free), held)
		default:
			free -= need
			entries -= each
			if !d.IsDir() {
				c.space.add(n.size, need)
			}
			return nil
		}
		c.refuseNode(name, kind, err)
		entries += c.removeEmptied(path.Dir(name))
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// reclaim gives out again what nobody can reach any more, as making a file does that finds no space:
// it is free too. What is wrong the copy finds out.
func (c *copyCommand) reclaim() {
	if !c.dryRun && c.device.Hosts() != nil {
		c.device.Reclaim()
	}
}

// reclaimable returns how much memory of removed files making a file would give out again, as far as
// this can be known without writing.
func reclaimable(fsys *famfs.FS) int64 {
	hosts := fsys.Hosts()
	if hosts == nil { // a file system without reuse
		return 0
	}
	held := int64(0) // a slot holds what was removed since it last followed, so the one that is last holds all
	for _, h := range hosts {
		for _, s := range h.Slots {
			if h.State == famfs.HostAdmitted {
				held = max(held, s.Holds)
			}
		}
	}
	return max(fsys.Usage().Removed-held, 0)
}

// refuseNode removes a file, or a directory and everything in it, from the tree.
func (c *copyCommand) refuseNode(name string, kind refusalKind, err error) {
	n := c.tree.nodes[name]
	if children := n.children; len(children) > 0 {
		n.children = nil // or removing each of many would search all
		for _, child := range children {
			below := path.Join(name, child.name)
			why := err
			if k, e := checkPath(below); k == kind && e != nil {
				why = e // the error with the length of its own path
			}
			c.refuseNode(below, kind, why)
		}
	} else {
		c.refused = append(c.refused, refusal{kind, c.sourceFailed(n, err)})
	}
	c.tree.remove(name)
}

// removeEmptied removes from the tree the directory name, and those above it, if they are empty
// now: nobody asked for empty directories. It returns their number.
func (c *copyCommand) removeEmptied(name string) (n int) {
	for ; name != "." && len(c.tree.nodes[name].children) == 0; name = path.Dir(name) {
		if _, err := c.device.Stat(name); err == nil {
			break
		}
		c.tree.remove(name)
		n++
	}
	return n
}

// sourceFailed adds to err the source of node n.
func (c *copyCommand) sourceFailed(n *treeNode, err error) error {
	if isAboutDevice(err) {
		return failed(failure{about: aboutName, what: n.source.String(), device: c.to.device, err: err})
	}
	return targetFailed(n.source, err)
}
