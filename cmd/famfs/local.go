package main

// Local files. Trees are read whatever the names in them are. Files are written so that they are
// there whole or not at all, and so that nothing but a plain file is ever replaced. Until a file
// is complete, it is a part file. What a killed process has left, the next one that writes there
// removes.

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
	"sync"

	"famfs"
)

// localFS is the files below a directory. Unlike in os.DirFS, names need not be UTF-8. Files
// that it opens are *os.File.
type localFS string

// path returns the path of a file. Its name is valid in an fs.FS but for the letters, so only that of the
// directory may have to be cleaned.
func (d localFS) path(name string) string {
	dir := filepath.Clean(string(d))
	switch {
	case name == ".":
		return dir
	case os.IsPathSeparator(dir[len(dir)-1]): // the root
		return dir + filepath.FromSlash(name)
	}
	return dir + string(filepath.Separator) + filepath.FromSlash(name)
}

// checkPlain refuses special files: opening a pipe would wait for ever.
func checkPlain(name string) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() && !st.IsDir() {
		return &fs.PathError{Op: "open", Path: name, Err: because(fs.ErrInvalid, "is a special file (%v)", st.Mode().Type())}
	}
	return nil
}

// Open opens a file or directory, and no special file.
func (d localFS) Open(name string) (fs.File, error) {
	if err := checkPlain(d.path(name)); err != nil {
		return nil, err
	}
	return d.openSeen(name)
}

// openSeen is Open for what was a plain file before. If it is a special file now, it is not waited for.
func (d localFS) openSeen(name string) (fs.File, error) {
	f, err := openPlain(d.path(name))
	if err != nil {
		return nil, err // not a nil *os.File
	}
	return f, nil
}

func (d localFS) Stat(name string) (fs.FileInfo, error)      { return os.Stat(d.path(name)) }
func (d localFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(d.path(name)) }

// absolute returns name as an absolute path. A ".." behind a link leads to the parent of the
// link's target, as usual; filepath.Abs looks only at the text.
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

// refused returns an error for a local file that is not written to.
func refused(why string) error { return because(fs.ErrExist, "%s", why) }

// resolveLocal returns the file that a name leads to through links, and what it is. st is nil if
// the file does not exist and may be made.
func resolveLocal(name string) (resolved string, st fs.FileInfo, err error) {
	return resolveLocalIn(name, inDev)
}

// resolveLocalIn is resolveLocal for those who know already what inDev says of most names.
func resolveLocalIn(name string, inDev func(name string) bool) (resolved string, st fs.FileInfo, err error) {
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

// checkReplaceable returns an error if the file must not be replaced.
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

// checkNoDevice fails if a file stands in for a device, even if its content is damaged, or if
// that cannot be known.
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

// inDev reports whether a file made with this name would lie among the devices.
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
	// File systems mounted below it, such as /dev/shm, are for files.
	dev, err := os.Stat("/dev")
	if err != nil {
		return true
	}
	st, err := os.Stat(dir)
	return dir != "/dev/shm" && !strings.HasPrefix(dir, "/dev/shm/") && (err != nil || sameDevice(dev, st))
}

// localDirs remembers what was found out about the directories that files are written to. A copy
// writes many files to each, and finding out costs system calls for each element of the path.
type localDirs struct {
	mu    sync.Mutex
	known map[string]localDir
}

type localDir struct {
	real  string // its path without symbolic links
	inDev bool   // what inDev says of files in it
	made  bool   // by this copy, so that nothing was in it
	st    fs.FileInfo
}

// of returns what is known of the directory that name is in, which must be there.
func (d *localDirs) of(name string) (localDir, error) { return d.find(filepath.Dir(name), false) }

// find returns what is known of a directory. made says that this copy has just made it.
func (d *localDirs) find(path string, made bool) (dir localDir, err error) {
	d.mu.Lock()
	dir, ok := d.known[path]
	parent, hasParent := d.known[filepath.Dir(path)]
	d.mu.Unlock()
	if ok && !made {
		return dir, nil
	}
	dir = localDir{made: made}
	if dir.st, err = os.Lstat(path); err != nil {
		return localDir{}, err
	}
	// What is no link, and no other file system, is like the directory that it is in.
	if hasParent && !parent.inDev && dir.st.IsDir() && parent.st.IsDir() && sameDevice(dir.st, parent.st) {
		dir.real = filepath.Join(parent.real, filepath.Base(path))
		dir.inDev = dir.real == "/dev" && inDev(filepath.Join(path, "file")) // which may be like any other
	} else {
		if dir.real, err = filepath.EvalSymlinks(path); err != nil {
			return localDir{}, err
		}
		dir.inDev = inDev(filepath.Join(path, "file"))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]localDir)
	}
	d.known[path] = dir
	return dir, nil
}

// inDev is inDev for a file that is to be written.
func (d *localDirs) inDev(name string) bool {
	dir, err := d.of(name)
	if err != nil {
		return inDev(name)
	}
	return dir.inDev
}

// writeLocal writes a file. A plain file is there whole or not at all. A pipe or a character
// device is written to. Nothing else is touched.
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

// part is a file that is being written, next to its final place.
type part struct {
	*os.File
	to       string
	replaces fs.FileInfo // the file that it replaces, or nil if none
	unnamed  bool        // it has no name yet, and so is gone if its writer dies
	lock     io.Closer   // says that its writer is alive; held until the part has its final name
}

const (
	partEnd    = ".famfs-part"
	partRandom = 6   // bytes; each takes two letters
	maxName    = 255 // bytes of a name, on most file systems
)

// errTaken says that somebody else made or replaced the final file while the part was written.
var errTaken = refused("was made or replaced meanwhile by somebody else")

// partBase returns the name of the file base in the names of its parts: base itself, or a hash
// of it if base is so long that a part's name would be too long.
func partBase(base string) string {
	if len(base)+len("..")+2*partRandom+len(partEnd) <= maxName {
		return base
	}
	sum := sha256.Sum256([]byte(base))
	return hex.EncodeToString(sum[:16])
}

// errNoName says that a file was written without a name, and could not be given one.
var errNoName = errors.New("a file without a name cannot be named here")

// newUnnamed makes a part without a name, for a file that does not exist, if the system can.
func newUnnamed(to string, perm fs.FileMode) (*part, error) {
	f, err := openUnnamed(filepath.Dir(to), perm|0o600)
	if err != nil {
		return nil, err
	}
	return &part{File: f, to: to, unnamed: true}, nil
}

// newPart makes a part file for the file to. replaces is the present file, or nil if there is none.
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
		if errors.Is(err, errPartGone) { // somebody took it for a left part
			f.Close()
			continue
		}
		return &part{File: f, to: to, replaces: replaces, lock: lock}, nil
	}
}

// setPerm sets permission bits. For a file that is replaced these are perm; for a new file they
// are perm without the bits of the process's umask.
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

// finish gives the part its final name. If err is not nil, or something fails, it removes the
// part. It returns errTaken if somebody else has changed the final file, and errNoName if the part
// has to be written once more, with a name.
func (p *part) finish(err error) error {
	if p.unnamed {
		if err == nil {
			if err = linkUnnamed(p.File, p.to); errors.Is(err, fs.ErrExist) {
				err = errTaken
			} else if err != nil {
				err = fmt.Errorf("%w: %w", errNoName, err)
			}
		}
		linked := err == nil
		if closeErr := p.Close(); closeErr != nil {
			if linked { // some file systems say only now that not all was written
				closeErr = errors.Join(closeErr, os.Remove(p.to))
			}
			err = errors.Join(err, closeErr)
		}
		return err
	}
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

// replace puts the part in the place of the old file, but of no other file.
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

// renameNew renames a file. It does not replace another file.
func renameNew(from, to string) error {
	switch err := renameNoReplace(from, to); {
	case errors.Is(err, fs.ErrExist):
		return errTaken
	case !errors.Is(err, errors.ErrUnsupported):
		return err
	}
	switch err := os.Link(from, to); { // Rename would replace a file of that name
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return errTaken
	}
	// The file system may have no hard links either. Then a file that is made right now is replaced.
	if _, err := os.Lstat(to); err == nil {
		return errTaken
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

// partOf returns the name that a part's name has for its file, as partBase makes it.
func partOf(name string) (base string, ok bool) {
	name, ok = strings.CutSuffix(name, partEnd)
	at := strings.LastIndexByte(name, '.')
	if !ok || at < 2 || name[0] != '.' || len(name)-at != 1+2*partRandom || strings.Trim(name[at+1:], "0123456789abcdef") != "" {
		return "", false
	}
	return name[1:at], true
}

// removeLeftPartsOf removes the left parts of one file.
func removeLeftPartsOf(file string) {
	dir, base := filepath.Split(file)
	removeLeftParts(dir, func(_, of string) bool { return of == partBase(base) })
}

// removeLeftParts removes the parts in dir whose writers are gone. mine reports, from the name
// of a part and the name of its file, whether it may be removed. Parts that cannot be removed
// stay.
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
