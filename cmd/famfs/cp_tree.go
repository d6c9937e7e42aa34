package main

// A tree of files that come from several places, as a file system, so that one copy
// takes them all. Files are refused here for what famfs cannot hold.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"
)

// tree is an fs.FS of directories that are made up and files that lie elsewhere.
type tree struct {
	nodes map[string]*treeNode
	mode  modeValue // of all files, if it is set
}

// treeNode is a file or directory of a tree.
type treeNode struct {
	name     string // the last element
	mode     fs.FileMode
	size     int64
	children []*treeNode // of a directory

	from fs.FS  // of a file: where it is
	at   string // and what it is called there
}

func newTree() *tree {
	return &tree{nodes: map[string]*treeNode{".": {name: ".", mode: fs.ModeDir | 0o755}}}
}

// total is how many files the tree has, and their bytes.
func (t *tree) total() (files int, bytes int64) {
	for _, n := range t.nodes {
		if !n.mode.IsDir() {
			files++
			bytes += n.size
		}
	}
	return files, bytes
}

// dir returns the directory name, making it and those above it.
func (t *tree) dir(name string, mode fs.FileMode) (*treeNode, error) {
	n := t.nodes[name]
	if n == nil {
		n = &treeNode{name: path.Base(name), mode: mode}
		if err := t.insert(name, n); err != nil {
			return nil, err
		}
	}
	if !n.mode.IsDir() {
		return nil, fmt.Errorf("%s is to be a file and a directory: %w", name, fs.ErrExist)
	}
	return n, nil
}

func (t *tree) insert(name string, n *treeNode) error {
	if t.nodes[name] != nil {
		return fmt.Errorf("%s would be copied to from two sources: %w", name, fs.ErrExist)
	}
	parent, err := t.dir(path.Dir(name), fs.ModeDir|0o755)
	if err != nil {
		return err
	}
	t.nodes[name] = n
	parent.children = append(parent.children, n)
	return nil
}

// add puts root of from, which is source s, into the tree as name. refuse is told of
// what cannot be copied.
func (t *tree) add(from fs.FS, root, name string, s target, recursive, follow bool, refuse func(target, error)) error {
	st, err := fs.Stat(from, root) // follows a link
	if err != nil {
		return err
	}
	if st.IsDir() && !recursive {
		return fmt.Errorf("is a directory; copy it with -r: %w", fs.ErrInvalid)
	}
	if !st.IsDir() {
		if s.slash {
			return fmt.Errorf("is not a directory: %w", fs.ErrInvalid)
		}
		return t.addFile(from, root, name, st)
	}
	return t.addDir(from, root, name, s, st, follow, refuse)
}

func (t *tree) addFile(from fs.FS, at, name string, st fs.FileInfo) error {
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("has type %v, and famfs has only directories and regular files: %w", st.Mode().Type(), fs.ErrInvalid)
	case st.Size() == 0:
		return fmt.Errorf("is empty, and famfs has no empty files: %w", fs.ErrInvalid)
	}
	return t.insert(name, &treeNode{name: path.Base(name), mode: st.Mode(), size: st.Size(), from: from, at: at})
}

// maxDepth ends trees whose links lead into themselves.
const maxDepth = 100

func (t *tree) addDir(from fs.FS, at, name string, s target, st fs.FileInfo, follow bool, refuse func(target, error)) error {
	if _, err := t.dir(name, st.Mode()); err != nil {
		return err
	}
	entries, err := fs.ReadDir(from, at)
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := s
		below.name, below.slash = path.Join(s.name, e.Name()), false
		child, target := path.Join(at, e.Name()), path.Join(name, e.Name())
		st, err := e.Info()
		if err == nil && st.Mode().Type() == fs.ModeSymlink {
			if follow {
				st, err = fs.Stat(from, child)
			} else {
				err = fmt.Errorf("is a symbolic link, and famfs has none; -L copies what it points to: %w", fs.ErrInvalid)
			}
		}
		switch {
		case err != nil:
		case st.IsDir() && pathDepth(target) > maxDepth:
			err = fmt.Errorf("lies more than %d directories deep: %w", maxDepth, fs.ErrInvalid)
		case st.IsDir():
			err = t.addDir(from, child, target, below, st, follow, refuse)
		default:
			err = t.addFile(from, child, target, st)
		}
		if err != nil {
			refuse(below, err)
		}
	}
	return nil
}

func pathDepth(name string) int {
	depth := 0
	for name != "." {
		name = path.Dir(name)
		depth++
	}
	return depth
}

// Open opens a file where it lies, or a directory of the tree.
func (t *tree) Open(name string) (fs.File, error) {
	n := t.nodes[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.mode.IsDir() {
		return &treeDir{node: n}, nil
	}
	f, err := n.from.Open(n.at)
	if err != nil || !t.mode.set {
		return f, err
	}
	return fileWithMode{f, t.mode.mode}, nil
}

// fileWithMode is an open file that says it has other permission bits. A directory
// that is copied with the files must not get theirs: nobody could enter it.
type fileWithMode struct {
	fs.File
	mode fs.FileMode
}

func (f fileWithMode) Stat() (fs.FileInfo, error) {
	st, err := f.File.Stat()
	return infoWithMode{st, f.mode}, err
}

type infoWithMode struct {
	fs.FileInfo
	mode fs.FileMode
}

func (i infoWithMode) Mode() fs.FileMode { return i.mode }

// ReadDir lists a directory by name.
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
func (n *treeNode) Sys() any           { return nil }

// treeDir is an open directory, which is listed through the tree.
type treeDir struct{ node *treeNode }

func (d *treeDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *treeDir) Close() error               { return nil }
func (d *treeDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.node.name, Err: errors.Join(fs.ErrInvalid, io.EOF)}
}
