package famfs

// Reading through io/fs: FS as an fs.FS, its files and directories, and what is
// known of each. All bytes come out of the window over the whole device: no system
// call, no mapping per file, and an error if the memory faults.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
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

// Attr is what the log says of a file or directory beyond fs.FileInfo; it is what
// FileInfo.Sys returns, as *Attr. Each call returns a copy.
type Attr struct {
	UID, GID uint32
	// Flags are a file's: 1 read-only on all hosts, 2 read-write on all hosts.
	Flags uint32
	// Index is that of the log entry; -1 for the root directory.
	Index int
	// Layout is where a file's bytes lie; directories have none.
	Layout Layout
}

// find is lookup for op, which fails once the FS is closed.
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

// Open opens a file or directory for reading, as fs.FS says. Files are io.ReaderAt,
// io.Seeker and io.WriterTo besides; ReadAt may be called concurrently, the others
// share an offset and may not. A file stays what it was when it was opened; a
// directory lists what is in it when it is first read. Reading memory that faults
// returns a *FaultError.
func (f *FS) Open(name string) (fs.File, error) {
	index, n, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return &openDirHandle{info: info{f, index, n}}, nil
	}
	return &openFileHandle{info: info{f, index, n}}, nil
}

// Stat describes a file or directory, as fs.StatFS says. The format keeps no times, not
// even that of formatting: ModTime is the zero time. So net/http sends no Last-Modified,
// and answers conditional requests by an ETag alone, which the handler has to set;
// archive/tar dates entries 1970; archive/zip, in AddFS, dates them to the year 2049, for
// which there is no remedy but to write the headers, with a time, oneself.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	index, n, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return &info{f, index, n}, nil
}

// ReadFile returns a copy of a file's content, as fs.ReadFileFS says. To avoid the
// copy, use Map.
func (f *FS) ReadFile(name string) ([]byte, error) {
	_, n, err := f.find("read", name)
	if err == nil && n.isDir() {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is a directory: %w", fs.ErrInvalid)}
	}
	if err != nil {
		return nil, err
	}
	data := make([]byte, n.size)
	if _, err := f.readAt(n, data, 0); err != nil {
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

// readAt copies bytes of a file from off on, as many as p takes and the file has. A
// memory fault is an error.
func (f *FS) readAt(n node, p []byte, off int64) (done int, err error) {
	if !f.gate.enter() {
		return 0, fs.ErrClosed
	}
	defer f.gate.leave()
	p = p[:min(int64(len(p)), n.size-off)]
	err = f.eachRun(n, off, int64(len(p)), func(mem []byte) error {
		done += copy(p[done:], mem)
		return nil
	})
	return done, err
}

// eachRun calls use for the memory of count bytes of a file from off on, run by run.
// The bounds must lie in the file. A memory fault inside use is a *FaultError that
// names the file and the offset, or, if it is not the file's memory that faulted, what
// did.
func (f *FS) eachRun(n node, off, count int64, use func(mem []byte) error) (err error) {
	if err := f.sameDevice(); err != nil {
		return err
	}
	var mem []byte // what is in use now: the file from off on
	before := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(before)
		if fault := asFault(recover()); fault != nil {
			err = f.blame(fault, n, off, mem)
		}
	}()
	place := n.place()
	for count > 0 {
		at, run := place.locate(off)
		run = min(run, count)
		mem = f.window.mem[at : at+run : at+run]
		if err := use(mem); err != nil {
			return err
		}
		off += run
		count -= run
	}
	return nil
}

// blame says whose memory faulted while mem, bytes of n from off on, was read: that file's
// if it lies in the window, otherwise that of whoever took the bytes. Failed memory may
// be reported as the start of a whole page of any size, so the address need not lie in
// mem.
func (f *FS) blame(fault *FaultError, n node, off int64, mem []byte) *FaultError {
	if !f.inWindow(fault.Addr) {
		mapped.explain(fault)
		return fault
	}
	fault.Name, fault.Offset = n.path(), off
	if at := fault.Addr - addressOf(mem); at < uintptr(len(mem)) {
		fault.Offset += int64(at)
	}
	return fault
}

func (f *FS) inWindow(addr uintptr) bool {
	return addr-addressOf(f.window.mem) < uintptr(len(f.window.mem))
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

// isClosed says that the file, or its FS, was closed.
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

// read reads up to len(p) bytes at off, which is not negative.
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
	n, err := h.fs.readAt(h.node, p, off)
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

// writeToPiece is how much memory is handed to a writer at a time: after a fault as
// much may have to be written again.
const writeToPiece = 1 << 20

// WriteTo hands the rest of the file to w, as slices of the shared memory itself,
// which w must neither change nor keep. As long as it runs, the FS cannot be closed.
//
// Memory of the file that faults is a *FaultError, also if w gives it to a system call
// that fails with EFAULT; other errors of w are returned as they are.
func (h *openFileHandle) WriteTo(w io.Writer) (int64, error) {
	if h.closed.Load() || !h.fs.gate.hold() {
		return 0, h.fail("read", fs.ErrClosed)
	}
	defer h.fs.gate.letGo()
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
	err := h.fs.eachRun(h.node, h.off, min(writeToPiece, h.node.size-h.off), func(mem []byte) error {
		var n int
		n, own = w.Write(mem)
		if n < 0 || n > len(mem) {
			own = errors.New("the writer says that it wrote more than it was given")
			return own
		}
		h.off += int64(n)
		switch {
		case own == nil && n < len(mem):
			own = io.ErrShortWrite
		case isBadAddress(own):
			// Memory that is gone is an error of its own for a system call. A load makes it
			// the fault that it is.
			loadPages(mem[n:])
		}
		return own
	})
	switch fault, ok := err.(*FaultError); {
	case ok && (own == err || !h.fs.inWindow(fault.Addr)):
		return err // the writer's own
	case ok && own != nil:
		return h.fail("read", fmt.Errorf("%w; the writer said: %w", fault, own))
	case err != nil && own == nil:
		return h.fail("read", err)
	}
	return err
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
