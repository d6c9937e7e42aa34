package famfs

// Reading through io/fs: FS as an fs.FS, its files and directories, and their descriptions. All
// bytes come from the window over the whole device, without a system call or a mapping per file.
// If the memory faults, reading returns an error.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"
)

var (
	_ fs.StatFS      = (*FS)(nil)
	_ fs.ReadDirFS   = (*FS)(nil)
	_ fs.ReadFileFS  = (*FS)(nil)
	_ io.ReaderAt    = (*openFileHandle)(nil)
	_ io.Seeker      = (*openFileHandle)(nil)
	_ io.WriterTo    = (*openFileHandle)(nil)
	_ fs.ReadDirFile = (*openDirHandle)(nil)
)

// Attr holds what the log says of a file or directory beyond fs.FileInfo. FileInfo.Sys returns it,
// as *Attr. Each call returns a copy.
type Attr struct {
	UID, GID uint32
	// Flags are set for files: 1 is read-only on all hosts, 2 is read-write on all hosts.
	Flags uint32
	// Index is the index of the log entry, or -1 for the root directory.
	Index int
	// Layout says where the bytes of a file are. It is empty for directories.
	Layout Layout
	// Sealed says that the file is sealed: nobody may map it for writing, and Sum is the sum of its
	// content. It is true as soon as the seal is known here, whenever FileInfo was made.
	Sealed bool
	Sum    Sum
}

// find is lookup for operation op. It fails if the FS is closed.
func (f *FS) find(op, name string) (int64, node, error) {
	err := fs.ErrClosed
	if f.gate.isOpen() {
		var index int64
		var n node
		if index, n, err = f.lookup(name); err == nil {
			return index, n, nil
		}
	}
	return 0, node{}, &fs.PathError{Op: op, Path: name, Err: err}
}

// Open opens a file or directory for reading, as fs.FS says. Files also implement io.ReaderAt,
// io.Seeker and io.WriterTo. ReadAt may be called concurrently; the others share an offset and may
// not. An open file stays as it was when it was opened. A directory lists what is in it when it is
// first read. If the memory faults, reading returns a *FaultError.
func (f *FS) Open(name string) (fs.File, error) {
	index, n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	f.counts.opens.Add(1)
	if n.isDir() {
		return &openDirHandle{info: info{f, index, n}}, nil
	}
	return &openFileHandle{info: info{f, index, n}}, nil
}

// Stat describes a file or directory, as fs.StatFS says. The format keeps no times, not even the
// time of formatting, so ModTime is the zero time. Because of that, net/http sends no
// Last-Modified, and answers conditional requests only if the handler sets an ETag. archive/tar
// dates entries 1970. archive/zip, in AddFS, dates them to the year 2049; to avoid that, write the
// headers yourself, with a time.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	index, n, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return &info{f, index, n}, nil
}

// ReadFile returns a copy of a file's content, as fs.ReadFileFS says. To avoid the copy, use Map.
func (f *FS) ReadFile(name string) ([]byte, error) {
	index, n, err := f.find("read", name)
	if err == nil && n.isDir() {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is a directory: %w", fs.ErrInvalid)}
	}
	if err != nil {
		return nil, err
	}
	data := make([]byte, n.size)
	if _, err := f.readAt(index, n, data, 0); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, nil
}

// ReadDir lists a directory by name, as fs.ReadDirFS says.
func (f *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	_, n, err := f.find("readdir", name)
	if err == nil && !n.isDir() {
		err = &fs.PathError{Op: "readdir", Path: name, Err: fmt.Errorf("is not a directory: %w", fs.ErrInvalid)}
	}
	if err != nil {
		return nil, err
	}
	return f.list(n), nil
}

func (f *FS) list(dir node) []fs.DirEntry {
	indexes := f.replica.ns.children(dir)
	children := make([]info, len(indexes))
	for i, index := range indexes {
		children[i] = info{f, index, f.replica.ns.node(index)}
	}
	slices.SortFunc(children, func(a, b info) int { return cmp.Compare(a.node.name(), b.node.name()) })
	entries := make([]fs.DirEntry, len(children))
	for i := range children {
		entries[i] = &children[i]
	}
	return entries
}

// readAt copies bytes of a file from off on: as many as fit into p and the file has. A memory fault
// is returned as an error.
func (f *FS) readAt(index int64, n node, p []byte, off int64) (done int, err error) {
	if !f.gate.enter() {
		return 0, fs.ErrClosed
	}
	defer f.gate.leave()
	if f.pins.on {
		if err := f.mayRead(index, n); err != nil {
			return 0, err
		}
	}
	forgetErr := f.forgetOwner(index, n)
	if _, fault := forgetErr.(*FaultError); forgetErr != nil && !fault {
		return 0, forgetErr
	}
	p = p[:min(int64(len(p)), n.size-off)]
	err = f.eachRun(n, off, int64(len(p)), func(dev *device, mem []byte) error {
		if forgetErr != nil { // too much of the file is gone; this may be there
			dev.cache.invalidate(mem)
		}
		done += copy(p[done:], mem)
		return nil
	})
	if f.pins.on {
		if gone := f.notice(Guard(func() error { return f.stillThere(index, n) })); gone != nil {
			clear(p[:done]) // it may be another file's
			return 0, gone
		}
	}
	return done, err
}

// info describes a node, as fs.FileInfo and as fs.DirEntry.
type info struct {
	fs    *FS
	index int64
	node  node
}

func (i *info) Name() string               { return i.node.name() }
func (i *info) Size() int64                { return i.node.size }
func (i *info) Mode() fs.FileMode          { return i.node.fileMode() }
func (i *info) Type() fs.FileMode          { return i.Mode().Type() }
func (i *info) ModTime() time.Time         { return time.Time{} }
func (i *info) IsDir() bool                { return i.node.isDir() }
func (i *info) Info() (fs.FileInfo, error) { return i, nil }
func (i *info) String() string             { return fs.FormatFileInfo(i) }

// Sys returns *Attr.
func (i *info) Sys() any {
	n := i.node
	a := &Attr{UID: n.uid, GID: n.gid, Flags: n.attrFlags(), Index: int(i.index)}
	if !n.isDir() {
		place := n.place()
		a.Layout = Layout{Chunk: place.Chunk, Extents: slices.Clone(place.Extents)}
		a.Sum, a.Sealed = i.fs.sealOf(i.index, n)
	}
	return a
}

// openFileHandle is a file opened through fs.FS.
type openFileHandle struct {
	info
	off    int64
	closed atomic.Bool
}

func (h *openFileHandle) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: h.node.path(), Err: err}
}

func (h *openFileHandle) Stat() (fs.FileInfo, error) {
	if h.isClosed() {
		return nil, h.fail("stat", fs.ErrClosed)
	}
	i := h.info
	return &i, nil
}

// isClosed reports whether the file or its FS is closed.
func (h *openFileHandle) isClosed() bool { return h.closed.Load() || !h.fs.gate.isOpen() }

func (h *openFileHandle) Close() error {
	if h.closed.Swap(true) {
		return h.fail("close", fs.ErrClosed)
	}
	return nil
}

func (h *openFileHandle) Read(p []byte) (int, error) {
	n, err := h.read(p, h.off)
	h.off += int64(n)
	return n, err
}

// read reads up to len(p) bytes at off, which must not be negative.
func (h *openFileHandle) read(p []byte, off int64) (int, error) {
	if h.isClosed() {
		return 0, h.fail("read", fs.ErrClosed)
	}
	if err := h.fs.sameDevice(); err != nil {
		return 0, h.fail("read", err)
	}
	if off >= h.node.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n, err := h.fs.readAt(h.index, h.node, p, off)
	if err != nil {
		return n, h.fail("read", err)
	}
	return n, nil
}

func (h *openFileHandle) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, h.fail("read", fmt.Errorf("offset %d: %w", off, fs.ErrInvalid))
	}
	n, err := h.read(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (h *openFileHandle) Seek(offset int64, whence int) (int64, error) {
	if h.isClosed() {
		return 0, h.fail("seek", fs.ErrClosed)
	}
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += h.off
	case io.SeekEnd:
		offset += h.node.size
	default:
		return 0, h.fail("seek", fmt.Errorf("whence %d: %w", whence, fs.ErrInvalid))
	}
	if offset < 0 {
		return 0, h.fail("seek", fmt.Errorf("to offset %d: %w", offset, fs.ErrInvalid))
	}
	h.off = offset
	return offset, nil
}

// writeToPiece is how much memory a writer gets at a time. After a fault, this much may have to be
// written again.
const writeToPiece = 1 << 20

// WriteTo passes the rest of the file to w, as slices of the shared memory itself. w must neither
// change nor keep them. The FS cannot be closed while WriteTo runs.
//
// If memory of the file faults, the error is a *FaultError, even if w passes the memory to a system
// call that fails with EFAULT. Other errors of w are returned unchanged.
func (h *openFileHandle) WriteTo(w io.Writer) (int64, error) {
	if h.closed.Load() || !h.fs.gate.hold() {
		return 0, h.fail("read", fs.ErrClosed)
	}
	defer h.fs.gate.letGo()
	if h.fs.pins.on {
		return h.writeCopies(w)
	}
	if err := h.fs.forgetOwner(h.index, h.node); err != nil {
		return 0, h.fail("read", err)
	}
	start := h.off
	for h.off < h.node.size {
		if err := h.writePiece(w); err != nil {
			return h.off - start, err
		}
	}
	if h.closed.Load() {
		return h.off - start, h.fail("read", fs.ErrClosed)
	}
	return h.off - start, nil
}

func (h *openFileHandle) writePiece(w io.Writer) error {
	if h.closed.Load() {
		return h.fail("read", fs.ErrClosed)
	}
	var own error // what w returned
	err := h.fs.eachRun(h.node, h.off, min(writeToPiece, h.node.size-h.off), func(_ *device, mem []byte) error {
		var n int
		n, own = write(w, mem)
		h.off += int64(n)
		if isBadAddress(own) {
			// A system call reports an error of its own for memory that is gone. A load turns that
			// into a memory fault.
			loadPages(mem[n:])
		}
		return own
	})
	switch fault, ok := err.(*FaultError); {
	case ok && (own == err || !h.fs.inAnyWindow(fault.Addr)):
		return err // an error of the writer
	case ok && own != nil:
		return h.fail("read", fmt.Errorf("%w; the writer said: %w", fault, own))
	case err != nil && own == nil:
		return h.fail("read", err)
	}
	return err
}

// write hands b to w, and believes neither a count that cannot be nor a short write without an error.
func write(w io.Writer, b []byte) (n int, err error) {
	n, err = w.Write(b)
	switch {
	case n < 0 || n > len(b):
		return 0, errors.New("the writer says that it wrote more than it was given")
	case err == nil && n < len(b):
		return n, io.ErrShortWrite
	}
	return n, err
}

// openDirHandle is a directory opened through fs.FS.
type openDirHandle struct {
	info
	entries []fs.DirEntry
	listed  bool
	closed  atomic.Bool
}

func (h *openDirHandle) fail(op string, err error) error {
	path := h.node.path()
	if path == "" {
		path = "."
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func (h *openDirHandle) Stat() (fs.FileInfo, error) {
	if h.closed.Load() || !h.fs.gate.isOpen() {
		return nil, h.fail("stat", fs.ErrClosed)
	}
	i := h.info
	return &i, nil
}

func (h *openDirHandle) Read([]byte) (int, error) {
	return 0, h.fail("read", fmt.Errorf("is a directory: %w", fs.ErrInvalid))
}

func (h *openDirHandle) Close() error {
	if h.closed.Swap(true) {
		return h.fail("close", fs.ErrClosed)
	}
	return nil
}

func (h *openDirHandle) ReadDir(n int) ([]fs.DirEntry, error) {
	if h.closed.Load() {
		return nil, h.fail("readdir", fs.ErrClosed)
	}
	if err := h.fs.usable(); err != nil {
		return nil, h.fail("readdir", err)
	}
	if !h.listed {
		h.entries, h.listed = h.fs.list(h.node), true
	}
	if n <= 0 {
		n = len(h.entries)
	} else if len(h.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(h.entries))
	part := h.entries[:n:n]
	h.entries = h.entries[n:]
	return part, nil
}
