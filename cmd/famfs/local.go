package main

// Local files: reading trees whatever their names, and writing files so that they are
// there whole or not at all, and so that nothing is lost that is no plain file. A part
// file is what is written until then; what a killed process left is taken away by the
// next that writes there.

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"famfs"
)

// localFS is the files below a directory, by names that need not be UTF-8, as those of
// os.DirFS must be. What it opens is an *os.File.
type localFS string

func (d localFS) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

func (d localFS) Open(name string) (fs.File, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err // not a nil *os.File
	}
	return f, nil
}

func (d localFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(d.path(name)) }
func (d localFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(d.path(name)) }

// refused is a local file that is not written to, and why.
func refused(why string) error { return because(fs.ErrExist, "%s", why) }

// resolveLocal returns the file that a name leads to, through links, and what it is: nil
// if it is not there yet, and may be made.
func resolveLocal(name string) (resolved string, st fs.FileInfo, err error) {
	link, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if inDev(name) {
			return "", nil, because(fs.ErrInvalid, "lies below /dev, where a plain file would only look like a device")
		}
		return name, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	if st, err = os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", nil, refused("is a symbolic link to nothing, which is not written through; remove it first")
	} else if err != nil {
		return "", nil, err
	}
	resolved = name
	if link.Mode().Type() == fs.ModeSymlink {
		if to, err := filepath.EvalSymlinks(name); err == nil {
			resolved = to
		}
	}
	return resolved, st, nil
}

// checkReplaceable says why what a name leads to must not be replaced.
func checkReplaceable(name string, st fs.FileInfo) error {
	switch {
	case st.IsDir():
		return refused("is a directory")
	case !st.Mode().IsRegular():
		return refused(fmt.Sprintf("is no plain file (%v)", st.Mode().Type()))
	case holdsFileSystem(name):
		return refused("is a famfs device itself, which is never replaced; what is on it is written DEVICE:/PATH")
	}
	return nil
}

// holdsFileSystem says that a file stands in for a device, even if what is on it is
// damaged.
func holdsFileSystem(name string) bool {
	fsys, err := famfs.Open(name, famfs.Salvage())
	if err == nil {
		fsys.Close()
		return true
	}
	for _, known := range []error{famfs.ErrCorrupt, famfs.ErrChecksum, famfs.ErrVersion} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// inDev says that a file that is made under this name would lie among the devices.
func inDev(name string) bool {
	full, err := filepath.Abs(name)
	if err != nil {
		return false
	}
	dir := filepath.Dir(full)
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if dir != "/dev" && !strings.HasPrefix(dir, "/dev/") {
		return false
	}
	// What is mounted below it, such as /dev/shm, is for files.
	dev, err := os.Stat("/dev")
	if err != nil {
		return true
	}
	st, err := os.Stat(dir)
	return dir != "/dev/shm" && !strings.HasPrefix(dir, "/dev/shm/") && (err != nil || sameDevice(dev, st))
}

// writeLocal writes a file. A plain one is there whole or not at all, a pipe or a
// character device is written to; nothing else is touched.
func writeLocal(name string, write func(io.Writer) error) error {
	resolved, st, err := resolveLocal(name)
	if err != nil {
		return err
	}
	if st != nil && (st.Mode()&fs.ModeNamedPipe != 0 || st.Mode()&fs.ModeCharDevice != 0) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	perm := fs.FileMode(0o666)
	if st != nil {
		if err := checkReplaceable(resolved, st); err != nil {
			return err
		}
		perm = st.Mode().Perm()
	}
	dir, base := filepath.Split(resolved)
	removeLeftParts(dir, func(name string) bool { return name == base })
	p, err := newPart(resolved, perm)
	if err != nil {
		return err
	}
	err = write(p)
	if err == nil && st != nil {
		err = p.setPerm(perm, true)
	}
	return p.finish(err)
}

// part is a file that is being written, beside the one that it is to be.
type part struct {
	*os.File
	to   string
	lock io.Closer // says that its writer is alive, until it has its name
}

const partEnd = ".famfs-part"

// newPart makes a part file for the file to.
func newPart(to string, perm fs.FileMode) (*part, error) {
	for {
		var random [6]byte
		rand.Read(random[:])
		dir, base := filepath.Split(to)
		f, err := os.OpenFile(filepath.Join(dir, "."+base+"."+hex.EncodeToString(random[:])+partEnd), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm|0o600)
		if err != nil {
			return nil, err
		}
		lock, err := lockPart(f)
		if errors.Is(err, errPartGone) { // somebody took it for one that was left
			f.Close()
			continue
		}
		return &part{f, to, lock}, nil
	}
}

// setPerm sets permission bits: those of a file that is replaced, or what of those that
// a new one is to have the process's umask leaves.
func (p *part) setPerm(perm fs.FileMode, replaces bool) error {
	if !replaces {
		st, err := p.Stat()
		if err != nil {
			return err
		}
		perm &= st.Mode().Perm()
	}
	return p.Chmod(perm)
}

// finish gives the part its name, or takes it away if it is not whole.
func (p *part) finish(err error) error {
	err = errors.Join(err, p.Close())
	if err == nil {
		err = os.Rename(p.Name(), p.to)
	}
	if err != nil {
		if removeErr := os.Remove(p.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	if p.lock != nil {
		p.lock.Close()
	}
	return err
}

// partOf returns the name of the file that a part is of.
func partOf(name string) (base string, ok bool) {
	name, ok = strings.CutSuffix(name, partEnd)
	at := strings.LastIndexByte(name, '.')
	if !ok || at < 2 || name[0] != '.' || len(name)-at != 13 {
		return "", false
	}
	return name[1:at], true
}

// removeLeftParts takes away the parts in dir, of files that mine knows, whose writers
// are gone. What it cannot remove it leaves.
func removeLeftParts(dir string, mine func(base string) bool) {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if base, ok := partOf(e.Name()); ok && e.Type().IsRegular() && mine(base) {
			removeLeftPart(filepath.Join(dir, e.Name()))
		}
	}
}
