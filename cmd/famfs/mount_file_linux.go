//go:build !386 && !arm && !mips && !mipsle

package main

// The bytes of the files of a mount. They go from the memory of the device into the kernel by one
// writev, without a copy in this process. Only files that cannot be mapped are copied.

import (
	"context"
	"errors"
	"io"
	iofs "io/fs"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"famfs"
)

// mountFile is a file that is open. It stays what it was when it was opened, also if it is
// removed or replaced.
type mountFile struct {
	node *mountNode
	view *view
	size int64
	// mapping is nil if the file cannot be mapped, as of a device with pages of 1 GiB; then
	// its bytes are copied by from.
	mapping *famfs.Mapping
	from    iofs.File
	// shared says that other hosts write to this memory, so that the processor's cache must
	// forget what it has of it.
	shared bool
}

var (
	_ fs.FileReader   = (*mountFile)(nil)
	_ fs.FileFlusher  = (*mountFile)(nil)
	_ fs.FileReleaser = (*mountFile)(nil)
)

// Open opens a file for reading. A file that was replaced meanwhile is ESTALE, upon which
// the kernel looks its name up again.
func (n *mountNode) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		return nil, 0, syscall.EROFS
	}
	v, errno := n.at()
	if errno != 0 {
		return nil, 0, errno
	}
	f := &mountFile{node: n, view: v, shared: v.fsys.Device().Kind != famfs.File}
	if !v.hold(f) {
		return nil, 0, syscall.ESTALE
	}
	if err := f.open(); err != nil {
		f.Release(context.Background())
		return nil, 0, errnoOf(err)
	}
	switch o := n.mounted.options; {
	case o.directIO:
		return f, fuse.FOPEN_DIRECT_IO, 0
	case o.keepCache:
		return f, fuse.FOPEN_KEEP_CACHE, 0
	}
	return f, 0, 0
}

func (f *mountFile) open() error {
	m, err := f.view.fsys.Map(f.node.path)
	if err == nil {
		f.mapping, f.size = m, int64(len(m.Bytes()))
	} else {
		if errors.Is(err, iofs.ErrNotExist) || errors.Is(err, famfs.ErrReformatted) {
			return goneIf(err)
		}
		if f.from, err = f.view.fsys.Open(f.node.path); err != nil {
			return goneIf(err)
		}
		st, err := f.from.Stat()
		if err != nil {
			return err
		}
		f.size = st.Size()
	}
	if !f.node.isThere(f.view) {
		return goneIf(iofs.ErrNotExist)
	}
	return nil
}

// goneIf makes an error of a file that is not there any more one that has the kernel look
// its name up again.
func goneIf(err error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return iofs.ErrClosed
	}
	return err
}

// Read hands out bytes of the file.
func (f *mountFile) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.view.gone.Load() {
		return nil, syscall.ESTALE
	}
	if off < 0 {
		return nil, syscall.EINVAL
	}
	n := min(int64(len(dest)), f.size-off)
	if n <= 0 {
		return fuse.ReadResultData(nil), 0
	}
	if f.mapping == nil {
		done, err := f.from.(io.ReaderAt).ReadAt(dest[:n], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, f.failed(err)
		}
		return fuse.ReadResultData(dest[:done]), 0
	}
	if f.shared {
		if err := f.mapping.InvalidateRange(off, n); err != nil {
			return nil, f.failed(err)
		}
	}
	mem := f.mapping.Bytes()[off : off+n]
	if err := touch(mem); err != nil {
		return nil, f.failed(err)
	}
	return fuse.ReadResultVector([][]byte{mem}), 0
}

// touch reads a byte of each cache line of mem, so that memory that fails does so here,
// where it is an error, and not in the midst of the kernel's own copy.
func touch(mem []byte) error {
	const line = 64
	return famfs.Guard(func() error {
		var sum byte
		for i := 0; i < len(mem); i += line {
			sum ^= mem[i]
		}
		touched(sum ^ mem[len(mem)-1])
		return nil
	})
}

// touched keeps the compiler from leaving out what is read for nothing.
//
//go:noinline
func touched(byte) {}

// failed says what went wrong with the file, and what the kernel is told of it.
func (f *mountFile) failed(err error) syscall.Errno {
	errno := errnoOf(err)
	if errno == syscall.EIO || errno == syscall.EACCES {
		if !f.node.failed.Swap(true) { // once, and not for each piece that is read in advance
			f.node.mounted.say(targetFailed(target{device: f.node.mounted.options.device, name: f.node.path}, err))
		}
		errno = syscall.EIO
	}
	return errno
}

// Flush is called by every close. What was read while the device was formatted anew may be
// of two files: whoever looks at what close says learns of it.
func (f *mountFile) Flush(context.Context) syscall.Errno {
	if err := f.view.refresh(); err != nil {
		return errnoOf(err)
	}
	return 0
}

// Release ends the use of a file.
func (f *mountFile) Release(context.Context) syscall.Errno {
	if f.mapping != nil {
		f.mapping.Close()
	}
	if f.from != nil {
		f.from.Close()
	}
	f.view.letGo(f)
	return 0
}
