package main

// A tree of files from several places, as one file system, so that one copy can copy all of
// them. Files that famfs cannot hold are refused here.

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tree is an fs.FS of directories that exist only here and files from other places.
type tree struct {
	nodes map[string]*treeNode
	mode  modeValue // for all files, if it is set

	mu    sync.Mutex
	tried []string // files that were opened
}

// treeNode is a file or directory of a tree.
type treeNode struct {
	name     string // the last element of the path
	mode     fs.FileMode
	size     int64
	sys      any // as that of fs.FileInfo, of the source
	modified time.Time
	children []*treeNode // if it is a directory

	from fs.FS  // if it is a file: the file system that holds it
	at   string // and its name there

	source target // its name for people; empty if the directory exists only here
}

func newTree() *tree {
	return &tree{nodes: map[string]*treeNode{".": {name: ".", mode: fs.ModeDir | 0o755}}}
}

// total returns the number of files in the tree and the sum of their sizes.
func (t *tree) total() (files int, bytes int64) {
	for _, n := range t.nodes {
		if !n.mode.IsDir() {
			files++
			bytes = plus(bytes, n.size)
		}
	}
	return files, bytes
}

// dir returns the directory name. It makes it and the directories above it if they are missing.
func (t *tree) dir(name string, mode fs.FileMode) (*treeNode, error) {
	n := t.nodes[name]
	if n == nil {
		n = &treeNode{name: path.Base(name), mode: mode}
		if err := t.insert(name, n); err != nil {
			return nil, err
		}
	}
	if !n.mode.IsDir() {
		return nil, because(fs.ErrInvalid, "%s is to be a file and a directory", name)
	}
	return n, nil
}

func (t *tree) insert(name string, n *treeNode) error {
	if t.nodes[name] != nil {
		return because(fs.ErrInvalid, "%s would be copied to from two sources", name)
	}
	parent, err := t.dir(path.Dir(name), fs.ModeDir|0o755)
	if err != nil {
		return err
	}
	t.nodes[name] = n
	parent.children = append(parent.children, n)
	return nil
}

// remove removes a file or an empty directory from the tree.
func (t *tree) remove(name string) {
	n := t.nodes[name]
	delete(t.nodes, name)
	parent := t.nodes[path.Dir(name)]
	parent.children = slices.DeleteFunc(parent.children, func(c *treeNode) bool { return c == n })
}

// removeTried removes the files that were opened, and returns their number.
func (t *tree) removeTried() int {
	t.mu.Lock()
	tried := t.tried
	t.tried = nil
	t.mu.Unlock()
	for _, name := range tried {
		t.remove(name)
	}
	return len(tried)
}

// treeBuilder adds sources to a tree.
type treeBuilder struct {
	*tree
	ctx               context.Context // to stop walking through a tree without end
	recursive, follow bool
	emptyFiles        bool // they can be held
	// refuse is called for everything that cannot be copied.
	refuse func(t target, kind refusalKind, err error)
	// isDevice reports whether a file is a device that this copy is from or to. passOver is called
	// for such files.
	isDevice func(fs.FileInfo) bool
	passOver func(t target, why string)

	listing sync.WaitGroup // directories that are listed ahead
	ahead   atomic.Int32   // and their number
}

// add adds root in from, which is source s, to the tree as name.
func (b *treeBuilder) add(from fs.FS, root, name string, s target) {
	defer b.listing.Wait()
	st, err := fs.Stat(from, root) // follows a link
	switch {
	case err != nil:
		b.refuse(s, otherRefusal, orDangling(from, root, err))
	case st.IsDir() && !b.recursive:
		b.refuse(s, otherRefusal, because(fs.ErrInvalid, "is a directory; copy it with -r"))
	case st.IsDir():
		b.addDir(from, root, name, s, st, nil, list(from, root))
	case b.isDevice(st):
		b.refuse(s, otherRefusal, because(fs.ErrInvalid, "is the device that is copied to or from; what is on it is written %s:/", s))
	case s.slash:
		b.refuse(s, otherRefusal, because(fs.ErrInvalid, "is not a directory"))
	default:
		b.addFile(from, root, name, s, st)
	}
}

func (b *treeBuilder) addFile(from fs.FS, at, name string, s target, st fs.FileInfo) {
	switch {
	case !st.Mode().IsRegular():
		b.refuse(s, specialRefusal, because(fs.ErrInvalid, "is a special file (%v), and famfs has only directories and regular files; leave it out", st.Mode().Type()))
		return
	case st.Size() == 0 && !b.emptyFiles:
		b.refuse(s, emptyRefusal, because(fs.ErrInvalid, "is empty, and famfs has no empty files; leave it out, or put something into it"))
		return
	}
	if err := b.insert(name, &treeNode{name: path.Base(name), mode: st.Mode(), size: st.Size(), sys: st.Sys(), modified: st.ModTime(), from: from, at: at, source: s}); err != nil {
		b.refuse(s, otherRefusal, err)
	}
}

// addDir adds a directory and everything in it to the tree. above are the directories that
// contain it.
func (b *treeBuilder) addDir(from fs.FS, at, name string, s target, st fs.FileInfo, above []fs.FileInfo, in listed) {
	dir, err := b.dir(name, st.Mode())
	if err == nil && dir.source.name == "" {
		dir.source, dir.sys, dir.modified = s, st.Sys(), st.ModTime()
	}
	if err == nil {
		err = in.err
	} else {
		in.files = nil
	}
	if err != nil {
		b.refuse(s, otherRefusal, err)
	}
	above = append(above[:len(above):len(above)], st)
	source := path.Clean(s.name)
	ahead := make([]<-chan listed, len(in.files))
	next := 0 // the first that was not considered for listing ahead
	for i, e := range in.files {
		if b.ctx.Err() != nil {
			return
		}
		for ; next < len(in.files); next++ {
			if d := in.files[next]; next > i && d.err == nil && d.st.IsDir() {
				if ahead[next] = b.listAhead(from, inDir(at, d.name)); ahead[next] == nil {
					break
				}
			}
		}
		below := s
		below.name, below.slash = inDir(source, e.name), false
		child, target := inDir(at, e.name), inDir(name, e.name)
		st, err := e.st, e.err
		if err == nil && st.Mode().Type() == fs.ModeSymlink {
			if !b.follow {
				b.refuse(below, linkRefusal, because(fs.ErrInvalid, "is a symbolic link, and famfs has none; -L copies what it points to"))
				continue
			}
			st, err = fs.Stat(from, child)
		}
		switch {
		case err != nil:
			b.refuse(below, otherRefusal, orDangling(from, child, err))
		case b.isDevice(st):
			b.passOver(below, "is the device that is copied to or from: passed over")
		case !st.IsDir():
			b.addFile(from, child, target, below, st)
		case slices.ContainsFunc(above, func(dir fs.FileInfo) bool { return os.SameFile(dir, st) }):
			b.refuse(below, cycleRefusal, because(fs.ErrInvalid, "is a symbolic link to a directory that it lies in, which has no end"))
		default:
			b.addDir(from, child, target, below, st, above, b.inTurn(from, child, ahead[i]))
		}
	}
}

// orDangling returns a better error than err, which says that there is no such file, if a symbolic link
// of that name is there.
func orDangling(from fs.FS, at string, err error) error {
	local, ok := from.(localFS)
	if !ok || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to, linkErr := os.Readlink(local.path(at))
	if linkErr != nil {
		return err
	}
	return because(fs.ErrInvalid, "is a symbolic link to %s, which leads to nothing; mend the link, or leave it out", to)
}

// inDir returns the path of what has this name in a directory whose path is clean.
func inDir(dir, name string) string {
	switch dir {
	case ".":
		return name
	case "/":
		return "/" + name
	}
	return dir + "/" + name
}

// Open opens a file in its own file system, or a directory of the tree.
func (t *tree) Open(name string) (fs.File, error) {
	n := t.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.mode.IsDir() {
		return &treeDir{node: n}, nil
	}
	t.mu.Lock()
	t.tried = append(t.tried, name)
	t.mu.Unlock()
	f, err := n.open()
	if err != nil {
		var inner *fs.PathError
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if !t.mode.set {
		return f, nil
	}
	return fileWithMode{f, t.mode.mode, n.from}, nil
}

// open opens a file of the tree, which was a plain file when it was added.
func (n *treeNode) open() (fs.File, error) {
	if d, ok := n.from.(localFS); ok {
		return d.openSeen(n.at)
	}
	return n.from.Open(n.at)
}

// fileWithMode is an open file with other permission bits. Directories that are copied must not
// get these bits, because nobody could enter them.
type fileWithMode struct {
	fs.File
	mode fs.FileMode
	from fs.FS
}

// Stat also finds out whether the device was formatted anew. CopyFS calls it before it commits, and
// cannot ask the device behind this type itself.
func (f fileWithMode) Stat() (fs.FileInfo, error) {
	if err := reformatted(f.from); err != nil {
		return nil, err
	}
	st, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return infoWithMode{st, f.mode}, nil
}

type infoWithMode struct {
	fs.FileInfo
	mode fs.FileMode
}

func (i infoWithMode) Mode() fs.FileMode { return i.mode }

// ReadDir lists a directory, sorted by name.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n := t.nodes[name]
	if n == nil || !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	entries := make([]fs.DirEntry, len(n.children))
	for i, c := range n.children {
		entries[i] = fs.FileInfoToDirEntry(c)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Stat describes a file or directory of the tree.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	n := t.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (n *treeNode) Name() string       { return n.name }
func (n *treeNode) Size() int64        { return n.size }
func (n *treeNode) Mode() fs.FileMode  { return n.mode }
func (n *treeNode) ModTime() time.Time { return time.Time{} }
func (n *treeNode) IsDir() bool        { return n.mode.IsDir() }
func (n *treeNode) Sys() any           { return n.sys }

// treeDir is an open directory. It is listed through the tree.
type treeDir struct{ node *treeNode }

func (d *treeDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *treeDir) Close() error               { return nil }
func (d *treeDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.name, Err: errors.Join(fs.ErrInvalid, io.EOF)}
}
