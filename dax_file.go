package famfs

// A plain file as a device, on every system: creating it, opening it, and mapping contiguous
// parts of it (mmap-go). Regions of several segments are in dax_region_*.go.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/edsrzf/mmap-go"
)

// CreateBacking creates a sparse file of size bytes (at least 1) that stands in for a DAX device:
// for tests, or for sharing among the processes of one host, best on tmpfs. It never overwrites a
// file: if path exists, the error is fs.ErrExist. On error it leaves no file behind.
//
// To hold a file system with a log of the default size, the file needs at least 12 MiB.
func CreateBacking(path string, size int64) (err error) {
	if size <= 0 {
		return &fs.PathError{Op: "create backing", Path: path, Err: fmt.Errorf("size %d, want at least 1 byte: %w", size, fs.ErrInvalid)}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			os.Remove(path)
		}
	}()
	return f.Truncate(size)
}

// openFile opens a regular file and finds out whether it is on fs-dax, if the system has that.
func openFile(path string, write bool) (*device, error) {
	f, err := openPath(path, write)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() == 0 {
		err = fmt.Errorf("%s is empty; make a stand-in device with CreateBacking: %w", path, ErrDevice)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	d := &device{file: f, info: DeviceInfo{
		Path:       path,
		Kind:       File,
		Size:       st.Size(),
		Align:      int64(os.Getpagesize()),
		NUMANode:   -1,
		TargetNode: -1,
	}}
	probeFile(d, write)
	return d, nil
}

func openPath(path string, write bool) (*os.File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	return os.OpenFile(path, flag, 0)
}

// mapFile maps one segment of a plain file, which need not end at a page boundary. The system
// picks the address.
func (d *device) mapFile(s segment, write bool) (*region, error) {
	prot := mmap.RDONLY
	if write {
		prot = mmap.RDWR
	}
	mem, err := mmap.MapRegion(d.file, int(s.len), prot, 0, s.off)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes at %d of %s: %w", s.len, s.off, d.info.Path, err)
	}
	return &region{mem: mem, release: mem.Unmap}, nil
}
