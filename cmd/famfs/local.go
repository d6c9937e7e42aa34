package main

// Local files: reading trees whatever their names, and writing files so that they are
// there whole or not at all, and so that nothing is lost that is no plain file. A part
// file is what is written until then; what a killed process left is taken away by the
// next that writes there.

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"famfs"
)

// localFS is the files below a directory, by names that need not be UTF-8, as those of
// os.DirFS must be. What it opens is an *os.File.
type localFS string

func (d localFS) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Open opens a file or directory. Whoever opened a pipe would wait for ever.
func (d localFS) Open(name string) (fs.File, error) {
	if st, err := os.Stat(d.path(name)); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: d.path(name), Err: because(fs.ErrInvalid, "is a special file (%v)", st.Mode().Type())}
	}
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err // not a nil *os.File
	}
	return f, nil
}

func (d localFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(d.path(name)) }
func (d localFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(d.path(name)) }

// absolute returns name as it is seen from the root. A ".." behind a link leads to what the
// link's target lies in, as everywhere else; filepath.Abs looks at the text alone.
func absolute(name string) (string, error) {
	if !slices.Contains(strings.Split(filepath.ToSlash(name), "/"), "..") {
		return filepath.Abs(name)
	}
	trimmed := strings.TrimRight(filepath.ToSlash(name), "/")
	dir, base := filepath.Split(trimmed)
	if base == ".." || base == "." {
		dir, base = trimmed, ""
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(dir, base))
}

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
	case st.Size() == 0:
		return nil
	}
	return checkNoDevice(name)
}

// checkNoDevice fails if a file stands in for a device, even if what is on it is damaged,
// or if that cannot be known.
func checkNoDevice(name string) error {
	isDevice := refused("is a famfs device itself, which is never replaced; what is on it is written DEVICE:/PATH")
	fsys, err := famfs.Open(name, famfs.Salvage())
	if err == nil {
		fsys.Close()
		return isDevice
	}
	for _, known := range []error{famfs.ErrCorrupt, famfs.ErrChecksum, famfs.ErrVersion} {
		if errors.Is(err, known) {
			return isDevice
		}
	}
	if !errors.Is(err, famfs.ErrNotFormatted) {
		return because(fs.ErrExist, "may be a famfs device itself, which is never replaced: %v", err)
	}
	return nil
}

// inDev says that a file that is made under this name would lie among the devices.
func inDev(name string) bool {
	full, err := absolute(name)
	if err != nil {
		full, err = filepath.Abs(name)
	}
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
	name, err := absolute(name)
	if err != nil {
		return err
	}
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
	removeLeftPartsOf(resolved)
	p, err := newPart(resolved, perm, st)
	if err != nil {
		return err
	}
	err = write(p)
	if err == nil && st != nil {
		err = p.setPerm(perm)
	}
	return p.finish(err)
}

// part is a file that is being written, beside the one that it is to be.
type part struct {
	*os.File
	to       string
	replaces fs.FileInfo // the file that it takes the place of; nil if there is to be none
	lock     io.Closer   // says that its writer is alive, until it has its name
}

const (
	partEnd    = ".famfs-part"
	partRandom = 6   // bytes, which are written as twice as many letters
	maxName    = 255 // bytes of a name, on most file systems
)

// errTaken: while a part was written somebody else made the file that it was to be, or
// put another one in the place of that which it was to replace.
var errTaken = refused("was made or replaced meanwhile by somebody else")

// partBase is what stands for the file base in the names of its parts: its name, or what
// is as good if that is so long that a part's would be too long.
func partBase(base string) string {
	if len(base)+len("..")+2*partRandom+len(partEnd) <= maxName {
		return base
	}
	sum := sha256.Sum256([]byte(base))
	return hex.EncodeToString(sum[:16])
}

// newPart makes a part file for the file to, which replaces is, or which is new.
func newPart(to string, perm fs.FileMode, replaces fs.FileInfo) (*part, error) {
	dir, base := filepath.Split(to)
	for {
		var random [partRandom]byte
		rand.Read(random[:])
		name := "." + partBase(base) + "." + hex.EncodeToString(random[:]) + partEnd
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm|0o600)
		if err != nil {
			return nil, err
		}
		lock, err := lockPart(f)
		if errors.Is(err, errPartGone) { // somebody took it for one that was left
			f.Close()
			continue
		}
		return &part{f, to, replaces, lock}, nil
	}
}

// setPerm sets permission bits: those of a file that is replaced, or what of those that
// a new one is to have the process's umask leaves.
func (p *part) setPerm(perm fs.FileMode) error {
	if p.replaces == nil {
		st, err := p.Stat()
		if err != nil {
			return err
		}
		perm &= st.Mode().Perm()
	}
	return p.Chmod(perm)
}

// finish gives the part its name, or takes it away if it is not whole. It is errTaken if
// the name is not what it was any more.
func (p *part) finish(err error) error {
	err = errors.Join(err, p.Close())
	if err == nil && p.replaces == nil {
		err = renameNew(p.Name(), p.to)
	} else if err == nil {
		err = p.replace()
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

// replace puts the part in the place of the file that was there before, and of no other.
func (p *part) replace() error {
	switch st, err := os.Stat(p.to); {
	case errors.Is(err, fs.ErrNotExist):
		return renameNew(p.Name(), p.to)
	case err != nil:
		return err
	case !os.SameFile(st, p.replaces):
		return errTaken
	}
	return os.Rename(p.Name(), p.to)
}

// renameNew gives a file a name that nobody has.
func renameNew(from, to string) error {
	switch err := os.Link(from, to); { // as Rename would replace what has it
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return errTaken
	}
	// A file system without hard links.
	if _, err := os.Lstat(to); err == nil {
		return errTaken
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

// partOf returns what stands in the name of a part for the file that it is of, as partBase
// does.
func partOf(name string) (base string, ok bool) {
	name, ok = strings.CutSuffix(name, partEnd)
	at := strings.LastIndexByte(name, '.')
	if !ok || at < 2 || name[0] != '.' || len(name)-at != 1+2*partRandom || strings.Trim(name[at+1:], "0123456789abcdef") != "" {
		return "", false
	}
	return name[1:at], true
}

// removeLeftPartsOf takes away the parts of one file.
func removeLeftPartsOf(file string) {
	dir, base := filepath.Split(file)
	removeLeftParts(dir, func(_, of string) bool { return of == partBase(base) })
}

// removeLeftParts takes away the parts in dir whose writers are gone. mine says by the name
// of a part and by what it is of whether it may. What it cannot remove it leaves.
func removeLeftParts(dir string, mine func(name, base string) bool) {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if base, ok := partOf(e.Name()); ok && e.Type().IsRegular() && mine(e.Name(), base) {
			removeLeftPart(filepath.Join(dir, e.Name()))
		}
	}
}
