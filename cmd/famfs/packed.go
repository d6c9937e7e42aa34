package main

// Reading through zip files that lie on a device: DEVICE:NAME.zip/PATH. What cp --pack writes can
// be read so, and any other zip file, such as .npz, .jar and .whl.

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"famfs"
)

// packedFS is a device on which zip files are directories to whoever goes on behind their name.
type packedFS struct {
	*famfs.FS
	enter string // a zip file that is to be a directory itself

	mu   sync.Mutex
	zips map[string]*packedZip // by name; nil for a file that is no zip file
}

// through returns what t is to be looked up in: the device, or, if that has no such name and a part
// of it is a zip file, the device with zip files as directories.
func through(fsys *famfs.FS, t target) fs.FS {
	st, err := fsys.Stat(t.name)
	if err == nil && (st.IsDir() || !t.slash) {
		return fsys
	}
	p := &packedFS{FS: fsys, zips: make(map[string]*packedZip)}
	if err == nil {
		p.enter = t.name
	}
	if z, _, _ := p.split(t.name); z == nil {
		return fsys // its error is about what is really there
	}
	return p
}

// split returns the zip file that name lies in, its name, and that of the rest in it. The reader is
// nil if there is none.
func (p *packedFS) split(name string) (z *packedZip, at, rest string) {
	for end := 0; end < len(name); {
		next := strings.IndexByte(name[end:], '/')
		if next < 0 {
			next = len(name) - end
		}
		end += next
		if st, err := p.FS.Stat(name[:end]); err != nil || !st.IsDir() {
			if err != nil || end == len(name) && name != p.enter {
				return nil, "", ""
			}
			return p.open(name[:end]), name[:end], path.Clean(strings.TrimPrefix(name[end:], "/"))
		}
		end++
	}
	return nil, "", ""
}

// open opens a zip file, once. It returns nil if it is none.
func (p *packedFS) open(name string) *packedZip {
	p.mu.Lock()
	defer p.mu.Unlock()
	if z, ok := p.zips[name]; ok {
		return z
	}
	var z *packedZip
	if f, err := p.FS.Open(name); err == nil { // open until the device is closed
		if st, err := f.Stat(); err == nil {
			if r, err := zip.NewReader(f.(io.ReaderAt), st.Size()); err == nil && canBe(r, st.Size()) {
				z = newPackedZip(r)
			}
		}
	}
	p.zips[name] = z
	return z
}

const (
	mostDeflated = 1040    // times what it takes; the format allows 1032
	mostUnpacked = 1 << 53 // bytes of a file that is compressed otherwise
	// mostPackedPath is how long paths in a zip file may be, in bytes, as on Linux. The format allows
	// 64 KiB: so many directories in each other take gigabytes to walk through.
	mostPackedPath = 4096
)

// sizesCanBe reports whether the sizes that a zip file of size bytes states of its files can be
// true. Otherwise it is damaged, or was made to do harm.
func canBe(r *zip.Reader, size int64) bool {
	for _, f := range r.File {
		packed, most := f.CompressedSize64, uint64(mostUnpacked)
		if packed > uint64(size) || len(f.Name) > mostPackedPath {
			return false
		}
		switch f.Method {
		case zip.Store:
			most = packed
		case zip.Deflate:
			most = min(packed*mostDeflated, most)
		}
		if f.UncompressedSize64 > most {
			return false
		}
	}
	return true
}

// Open opens a file or directory, also in a zip file.
func (p *packedFS) Open(name string) (fs.File, error) {
	z, _, rest := p.split(name)
	if z == nil {
		return p.FS.Open(name)
	}
	f, err := z.Open(rest)
	return f, renamed(err, name)
}

// Stat describes a file or directory, also in a zip file.
func (p *packedFS) Stat(name string) (fs.FileInfo, error) {
	z, at, rest := p.split(name)
	if z == nil {
		return p.FS.Stat(name)
	}
	st, err := fs.Stat(z, rest)
	if err != nil {
		return nil, renamed(err, name)
	}
	if rest == "." {
		return packedDir{st, path.Base(at), z.mode(rest)}, nil
	}
	return z.described(st, rest), nil
}

// ReadDir lists a directory, also in a zip file.
func (p *packedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	z, _, rest := p.split(name)
	if z == nil {
		return p.FS.ReadDir(name)
	}
	entries, err := fs.ReadDir(z, rest)
	for i, e := range entries {
		if st, err := e.Info(); err == nil && e.IsDir() {
			entries[i] = fs.FileInfoToDirEntry(z.described(st, path.Join(rest, e.Name())))
		}
	}
	return entries, renamed(err, name)
}

// ReadFile is there so that that of the device is not used.
func (p *packedFS) ReadFile(name string) ([]byte, error) {
	f, err := p.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// renamed gives an error the name on the device.
func renamed(err error, name string) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return &fs.PathError{Op: inner.Op, Path: name, Err: inner.Err}
	}
	return err
}

// packedZip is a zip file, with the modes of its directories, which zip.Reader does not tell.
type packedZip struct {
	*zip.Reader
	modes map[string]fs.FileMode
}

func newPackedZip(r *zip.Reader) *packedZip {
	z := &packedZip{r, make(map[string]fs.FileMode)}
	for _, f := range r.File {
		if dir, ok := strings.CutSuffix(f.Name, "/"); ok {
			z.modes[path.Clean(dir)] = f.Mode()
		}
	}
	return z
}

// mode returns the mode of a directory.
func (z *packedZip) mode(name string) fs.FileMode {
	if mode, ok := z.modes[name]; ok && mode.IsDir() {
		return mode
	}
	return fs.ModeDir | 0o755
}

// described returns st, of name, with the right mode if it is a directory.
func (z *packedZip) described(st fs.FileInfo, name string) fs.FileInfo {
	if !st.IsDir() {
		return st
	}
	return packedDir{st, path.Base(name), z.mode(name)}
}

// packedDir describes a directory in a zip file, or the zip file as one.
type packedDir struct {
	fs.FileInfo
	name string
	mode fs.FileMode
}

func (d packedDir) Name() string      { return d.name }
func (d packedDir) Mode() fs.FileMode { return d.mode }

// attrOf returns what a device knows of a file; of one in a zip file that is nothing.
func attrOf(st fs.FileInfo) *famfs.Attr {
	if attr, ok := st.Sys().(*famfs.Attr); ok {
		return attr
	}
	return &famfs.Attr{Index: -1}
}

// deviceOf returns the device that a file system is of, or nil if it is of none.
func deviceOf(from fs.FS) *famfs.FS {
	switch from := from.(type) {
	case *famfs.FS:
		return from
	case *packedFS:
		return from.FS
	}
	return nil
}
