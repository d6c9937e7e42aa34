package main

// What of a tree a device cannot take: names, paths, space and log entries, all known
// before the first byte is copied.

import (
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"famfs"
)

// refusal is something that is not copied.
type refusal struct {
	kind refusalKind
	err  error // says what it is
}

// refusalKind is a reason for a refusal, by which they are counted.
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
	otherRefusal
)

// refusalWords say of one and of many what they are.
var refusalWords = [...][2]string{
	emptyRefusal:   {"is empty", "are empty"},
	linkRefusal:    {"is a symbolic link", "are symbolic links"},
	specialRefusal: {"is a special file", "are special files"},
	cycleRefusal:   {"is a link into itself", "are links into themselves"},
	nameRefusal:    {"has a name that famfs does not take", "have names that famfs does not take"},
	longRefusal:    {"has a path that is too long", "have paths that are too long"},
	spaceRefusal:   {"does not fit", "do not fit"},
	logRefusal:     {"has no room in the log", "have no room in the log"},
	otherRefusal:   {"for another reason", "for other reasons"},
}

// countRefusals says how many there are of each kind.
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

// maxPath is how many bytes a path can have (docs/format.md).
const maxPath = 79

// checkPath says why name cannot be a path on a device.
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

// refuseUnfit takes out of the tree what the device cannot take. What is there already
// needs nothing, unless it is to be replaced; of a file of the same size only the copying
// finds out. The others have their turn in the order in which they are copied, so
// that what fits is copied though an earlier one does not.
func (c *copyCommand) refuseUnfit() {
	usage, unit := c.device.Usage(), c.device.Superblock().AllocUnit
	free, entries := usage.Free, usage.LogCapacity-usage.LogUsed
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if name == "." {
			return nil
		}
		n := c.tree.nodes[name]
		each := 1 // entries that it needs
		if there, err := c.device.Stat(name); err == nil {
			if !c.replace || there.IsDir() || d.IsDir() || there.Size() == n.size {
				return nil
			}
			each = 2 // the old one's removal
		}
		kind, err := checkPath(name)
		need := int64(0)
		if !d.IsDir() {
			need = (n.size + unit - 1) / unit * unit
		}
		switch {
		case err != nil:
		case entries < each:
			kind, err = logRefusal, because(famfs.ErrLogFull, "finds no entry in the log, which holds %s", grouped(usage.LogCapacity))
		case need > free:
			kind, err = spaceRefusal, because(famfs.ErrNoSpace, "does not fit: it takes %s, and %s would be free", human(need), human(free))
		default:
			free -= need
			entries -= each
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

// refuseNode takes a file, or a directory with all below it, out of the tree.
func (c *copyCommand) refuseNode(name string, kind refusalKind, err error) {
	n := c.tree.nodes[name]
	if n.mode.IsDir() && len(n.children) > 0 {
		for _, child := range append([]*treeNode{}, n.children...) {
			below := path.Join(name, child.name)
			why := err
			if k, e := checkPath(below); k == kind && e != nil {
				why = e // its own length
			}
			c.refuseNode(below, kind, why)
		}
	} else {
		c.refused = append(c.refused, refusal{kind, c.sourceFailed(n, err)})
	}
	c.tree.remove(name)
}

// removeEmptied takes out of the tree the directory name, and those above it, that hold
// nothing any more: nobody asked for empty ones. It returns how many.
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

// sourceFailed says that err is about the file that a node is made of.
func (c *copyCommand) sourceFailed(n *treeNode, err error) error {
	if isAboutDevice(err) {
		return failed(failure{about: aboutName, what: n.source.String(), device: c.to.device, err: err})
	}
	return targetFailed(n.source, err)
}
