//go:build !386 && !arm && !mips && !mipsle

package main

// What the kernel asks about directories and files of a mount: names, attributes, lists,
// extended attributes, space. Everything is answered from the namespace in this process;
// bytes of files come from mount_file_linux.go, and which file system all this is about is
// decided in mount_view_linux.go.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	iofs "io/fs"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"famfs"
)

// mountNode is a file or directory that the kernel knows of. Its path never changes, and its
// log entry is what tells it from others that have had that path.
type mountNode struct {
	fs.Inode
	mounted *mounted
	view    *view         // nil for the root, which is that of whatever is mounted now
	path    string        // as io/fs has it
	index   int           // that of its log entry
	info    iofs.FileInfo // for when it is gone; the root never is
	failed  atomic.Bool   // that its memory fails was said
}

var (
	_ fs.NodeLookuper    = (*mountNode)(nil)
	_ fs.NodeGetattrer   = (*mountNode)(nil)
	_ fs.NodeReaddirer   = (*mountNode)(nil)
	_ fs.NodeStatfser    = (*mountNode)(nil)
	_ fs.NodeGetxattrer  = (*mountNode)(nil)
	_ fs.NodeListxattrer = (*mountNode)(nil)
	_ fs.NodeOpener      = (*mountNode)(nil)
	_ fs.NodeFsyncer     = (*mountNode)(nil)
)

const rootIndex = -1

// at returns the file system that the node belongs to, up to date.
func (n *mountNode) at() (*view, syscall.Errno) {
	v := n.view
	if v == nil {
		if v = n.mounted.now.Load(); v == nil {
			return nil, syscall.EIO // wiped, and not formatted yet
		}
	}
	if err := v.refresh(); err != nil {
		return nil, errnoOf(err)
	}
	return v, 0
}

// isThere says whether the node's path still leads to it. Log entries never come back, so
// what is there now has been there all the time.
func (n *mountNode) isThere(v *view) bool {
	st, err := v.fsys.Stat(n.path)
	return err == nil && st.Sys().(*famfs.Attr).Index == n.index
}

// Lookup finds a file or directory by its name. The directory is looked at last: had it been
// removed and made anew before, its path would lead to another one by then.
func (n *mountNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	v, errno := n.at()
	if errno != 0 {
		return nil, errno
	}
	full := path.Join(n.path, name)
	st, err := v.fsys.Stat(full)
	if errors.Is(err, iofs.ErrInvalid) {
		err = iofs.ErrNotExist // no file can have such a name
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	if !n.isThere(v) {
		return nil, syscall.ENOENT
	}
	attr := st.Sys().(*famfs.Attr)
	v.attributes(st, &out.Attr)
	child := &mountNode{mounted: n.mounted, view: v, path: full, index: attr.Index, info: st}
	return n.NewInode(ctx, child, fs.StableAttr{Mode: kindOf(st), Ino: v.inode(attr.Index), Gen: v.generation}), 0
}

// Getattr describes the node. One that is gone, but open somewhere, has no names left.
func (n *mountNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	v, errno := n.at()
	if errno != 0 {
		return errno
	}
	st, err := v.fsys.Stat(n.path)
	if err == nil && st.Sys().(*famfs.Attr).Index == n.index {
		v.attributes(st, &out.Attr)
		return 0
	}
	if n.info == nil {
		return errnoOf(err)
	}
	v.attributes(n.info, &out.Attr)
	out.Nlink = 0
	return 0
}

// Readdir lists a directory; one that is gone is empty.
func (n *mountNode) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	v, errno := n.at()
	if errno != 0 {
		return nil, errno
	}
	entries, err := v.fsys.ReadDir(n.path)
	if !n.isThere(v) {
		entries, err = nil, nil
	}
	if err != nil {
		return nil, errnoOf(err)
	}
	list := make([]fuse.DirEntry, 0, len(entries)+2)
	for _, name := range []string{".", ".."} {
		list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFDIR, Ino: v.inode(n.index)})
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			return nil, errnoOf(err)
		}
		list = append(list, fuse.DirEntry{Name: e.Name(), Mode: kindOf(st), Ino: v.inode(st.Sys().(*famfs.Attr).Index)})
	}
	return fs.NewListDirStream(list), 0
}

// Fsync has nothing to do: nothing is ever written.
func (n *mountNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno { return 0 }

const statfsBlock = 4096

// mostPath is how long a path on a device can be, in bytes, and so a name.
const mostPath = 79

// Statfs tells how full the device is.
func (n *mountNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	v, errno := n.at()
	if errno != 0 {
		return errno
	}
	u := v.fsys.Usage()
	*out = fuse.StatfsOut{
		Bsize: statfsBlock, Frsize: statfsBlock, NameLen: mostPath,
		Blocks: uint64(u.Size) / statfsBlock, Bfree: uint64(u.Free) / statfsBlock, Bavail: uint64(u.Free) / statfsBlock,
		Files: uint64(u.LogCapacity), Ffree: uint64(u.LogCapacity - u.LogUsed),
	}
	return 0
}

// The extended attributes: the number of the log entry, and of files where they lie, as
// getmap --json has it.
const (
	indexAttribute = "user.famfs.index"
	mapAttribute   = "user.famfs.map"
)

func (n *mountNode) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	names := []string{indexAttribute}
	if !n.IsDir() {
		names = append(names, mapAttribute)
	}
	return give(dest, []byte(strings.Join(names, "\x00")+"\x00"))
}

func (n *mountNode) Getxattr(_ context.Context, name string, dest []byte) (uint32, syscall.Errno) {
	if name != indexAttribute && (name != mapAttribute || n.IsDir()) {
		return 0, syscall.ENODATA
	}
	v, errno := n.at()
	if errno != 0 {
		return 0, errno
	}
	st, err := v.fsys.Stat(n.path)
	if err != nil {
		return 0, errnoOf(err)
	}
	attr := st.Sys().(*famfs.Attr)
	if attr.Index != n.index {
		return 0, syscall.ESTALE
	}
	if name == indexAttribute {
		return give(dest, strconv.AppendInt(nil, int64(attr.Index), 10))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(mapOf(target{device: n.mounted.options.device, name: n.path}, st, false)); err != nil {
		return 0, syscall.EIO
	}
	return give(dest, bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// give copies value to dest, if there is room for it, and tells its size in any case.
func give(dest, value []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}

// attributes describes st. The format keeps no times; a file's time here is the number of
// its log entry, in seconds, so that a newer file has a later one, and the same on all hosts.
func (v *view) attributes(st iofs.FileInfo, out *fuse.Attr) {
	attr := st.Sys().(*famfs.Attr)
	*out = fuse.Attr{
		Ino: v.inode(attr.Index), Size: uint64(st.Size()), Blksize: statfsBlock,
		Mode: kindOf(st) | octal(st.Mode()), Nlink: 1, Owner: fuse.Owner{Uid: attr.UID, Gid: attr.GID},
	}
	for _, x := range attr.Layout.Extents {
		out.Blocks += uint64(x.Length) / 512
	}
	seconds := uint64(attr.Index + 1)
	out.Mtime, out.Ctime, out.Atime = seconds, seconds, seconds
}

// inode is the number of what a log entry made. The root has 1. What another file system on
// the same device had has other numbers.
func (v *view) inode(index int) uint64 {
	if index == rootIndex {
		return 1
	}
	return v.generation<<40 | uint64(index+2)
}

func kindOf(st iofs.FileInfo) uint32 {
	if st.IsDir() {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

// errnoOf is what the kernel is told of err. What is not known is a failure of the memory.
func errnoOf(err error) syscall.Errno {
	switch is := func(target error) bool { return errors.Is(err, target) }; {
	case err == nil:
		return 0
	case is(iofs.ErrNotExist):
		return syscall.ENOENT
	case is(famfs.ErrReformatted), is(iofs.ErrClosed):
		return syscall.ESTALE
	case is(iofs.ErrPermission):
		return syscall.EACCES
	case is(iofs.ErrInvalid):
		return syscall.EINVAL
	}
	return syscall.EIO
}
