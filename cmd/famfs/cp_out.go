package main

// Copying from a device to local files: in parallel, with holes instead of zeros, and so that an
// interrupted copy can be resumed. local.go writes a local file.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// copyOut copies the tree to local files below c.localBase.
func (c *copyCommand) copyOut(ctx context.Context) (errs []error) {
	var mu sync.Mutex
	fail := func(name string, err error) {
		if err == nil || ctx.Err() != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, localFailed(c.shown(name), err))
	}
	names := make(chan string, 256) // more than a directory often has
	var running sync.WaitGroup
	for range c.create.workers {
		running.Go(func() {
			for name := range names {
				passed, err := c.copyFileOut(ctx, name)
				fail(name, err)
				if err != nil {
					continue
				}
				mu.Lock()
				if !passed || !c.keep { // otherwise nobody looked at what is there
					c.bytes += c.tree.nodes[name].size
				}
				note := ""
				if passed {
					c.passed++
					note = " was there already"
				} else {
					c.copied++
				}
				mu.Unlock()
				c.progress.file(c.shown(name), note)
			}
		})
	}
	type madeDir struct {
		path string
		mode fs.FileMode
	}
	var made []madeDir     // directories that lose permissions at the end
	var preserved []string // directories of the tree, for -p
	fs.WalkDir(c.tree, ".", func(name string, d fs.DirEntry, _ error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		if !d.IsDir() {
			names <- name
			return nil
		}
		if err := c.checkLocalName(name); err != nil {
			fail(name, err)
			return fs.SkipDir
		}
		st, _ := d.Info() // never fails for a tree
		isNew, there, err := c.makeLocalDir(name, st.Mode().Perm()|0o700)
		if err != nil {
			fail(name, err)
			return fs.SkipDir
		}
		if c.preserve && st.Sys() != nil {
			preserved = append(preserved, name)
		}
		if !isNew {
			// An interrupted copy has already removed permissions that the owner needs here.
			if lacks := 0o700 &^ there.Mode().Perm(); lacks != 0 && lacks == 0o700&^st.Mode().Perm() && os.Chmod(c.local(name), there.Mode().Perm()|0o700) == nil {
				made = append(made, madeDir{c.local(name), there.Mode().Perm()})
			}
			c.removeLeftParts(name)
			return nil
		}
		c.written.dirs.find(c.local(name), true) // if that fails, so does each file, and says why
		if lacks := 0o700 &^ st.Mode().Perm(); lacks != 0 {
			if there, err := os.Stat(c.local(name)); err == nil {
				made = append(made, madeDir{c.local(name), there.Mode().Perm() &^ lacks})
			}
		}
		return nil
	})
	close(names)
	running.Wait()
	for i := len(made) - 1; i >= 0; i-- {
		if err := os.Chmod(made[i].path, made[i].mode); err != nil {
			errs = append(errs, localFailed(made[i].path, err))
		}
	}
	for i := len(preserved) - 1; i >= 0 && ctx.Err() == nil; i-- {
		if err := preserve(c.resolvedDir(preserved[i]), c.tree.nodes[preserved[i]]); err != nil {
			errs = append(errs, localFailed(c.shown(preserved[i]), err))
		}
	}
	return errs
}

// ownersBits let whoever runs a file act as its owner or group. They must not be those of another.
const ownersBits = fs.ModeSetuid | fs.ModeSetgid

// preserve gives a local file or directory the owner and the mode of its source. Who may not give
// files away, as only root may, keeps them.
func preserve(name string, source fs.FileInfo) error {
	mode := source.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if uid, gid, ok := ownerOf(source); ok {
		switch err := os.Lchown(name, int(uid), int(gid)); {
		case errors.Is(err, fs.ErrPermission), errors.Is(err, errors.ErrUnsupported):
			mode &^= ownersBits
		case err != nil:
			return err
		}
	} else { // in a zip file
		mode &^= ownersBits
	}
	return os.Chmod(name, mode)
}

// removeLeftParts removes the parts that earlier copies of the same files left in a directory. A
// file of the tree with such a name is not a part.
func (c *copyCommand) removeLeftParts(dir string) {
	removeLeftParts(c.local(dir), func(name, base string) bool {
		return c.tree.nodes[path.Join(dir, name)] == nil && (c.tree.nodes[path.Join(dir, base)] != nil || dir == "." && base == partBase(c.localName))
	})
}

// local returns the local path of a file of the tree.
func (c *copyCommand) local(name string) string {
	return filepath.Join(c.localBase, filepath.FromSlash(name))
}

// shown returns the name of a file of the tree for people: below DEST as they gave it.
func (c *copyCommand) shown(name string) string {
	if name == c.localName {
		return c.to.name
	}
	if below, ok := strings.CutPrefix(name, c.localName+"/"); ok {
		return filepath.Join(c.to.name, filepath.FromSlash(below))
	}
	return filepath.Join(c.to.name, filepath.FromSlash(name)) // DEST is a root
}

// mostTries is how often a file is begun again because others made or replaced the local file
// meanwhile.
const mostTries = 5

// copyFileOut copies one file, or passes it over.
func (c *copyCommand) copyFileOut(ctx context.Context, name string) (passed bool, err error) {
	for try := range mostTries {
		// Others may have made the same file: several copies may run at the same time.
		passed, err = c.tryFileOut(ctx, name, try == 0)
		switch {
		case errors.Is(err, errNoName):
			c.named.Store(true)
		case !errors.Is(err, errTaken):
			return passed, err
		}
	}
	return passed, err
}

// checkLocalName returns an error if name cannot be used on this system: on some systems a name
// that famfs allows would lead somewhere else.
func (c *copyCommand) checkLocalName(name string) error {
	if below, ok := strings.CutPrefix(name, c.localName+"/"); ok { // DEST itself is the user's choice
		if _, err := filepath.Localize(below); err != nil {
			return because(fs.ErrInvalid, "has a name that cannot be used on this system")
		}
	}
	return nil
}

// unnamedMost is the size in bytes up to which a file has no name while it is written. That spares
// more than half of the system calls for a small file. Of a larger one people may look how far it is.
const unnamedMost = 1 << 20

// tryFileOut is copyFileOut. It returns errTaken if somebody else makes or replaces the local file, and
// errNoName if the file needs a name while it is written. If it is the first try, a directory that this
// copy has made has no such file.
func (c *copyCommand) tryFileOut(ctx context.Context, name string, first bool) (passed bool, err error) {
	if err := c.checkLocalName(name); err != nil {
		return false, err
	}
	from, err := c.tree.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	node := c.tree.nodes[name]
	to := c.local(name)
	var st fs.FileInfo
	if dir, err := c.written.dirs.of(to); err != nil || !first || !dir.made || dir.inDev {
		if to, st, err = resolveLocalIn(to, c.written.dirs.inDev); err != nil {
			return false, err
		}
	}
	perm := node.mode.Perm()
	if st != nil && c.keep {
		return true, nil
	}
	if st != nil {
		perm = st.Mode().Perm()
		how, err := c.compareWithLocal(ctx, from, node.size, to, st)
		if err != nil {
			return false, err
		}
		if how == "" {
			if err := errors.Join(reformatted(node.from), c.written.note(to, name, false)); err != nil {
				return false, err
			}
			c.progress.bytes(node.size)
			return true, nil
		}
		if err := checkReplaceable(to, st); err != nil {
			if st.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 {
				err = because(err, "%v; a DEST of - is standard output", err)
			}
			return false, err
		}
		if !c.force && !c.approved[name] {
			return false, refused("is there already and " + how + "; --force replaces files")
		}
		again, err := c.tree.Open(name)
		if err != nil {
			return false, err
		}
		from, again = again, from
		if err := again.Close(); err != nil {
			return false, err
		}
	}
	if err := c.written.note(to, name, true); err != nil {
		return false, err
	}
	if to != c.local(name) { // outside of the directories that the walk visits
		removeLeftPartsOf(to)
	}
	var part *part
	if st == nil && node.size <= unnamedMost && !c.preserve && !c.named.Load() {
		if part, err = newUnnamed(to, perm); err != nil && !errors.Is(err, fs.ErrPermission) {
			c.named.Store(true)
		}
	}
	if part == nil {
		if part, err = newPart(to, perm, st); err != nil {
			return false, err
		}
	}
	w := &holeWriter{ctx: ctx, f: part.File, progress: c.progress}
	if _, err = io.Copy(w, from); err == nil {
		err = w.end()
	}
	if err == nil && c.preserve {
		err = preserve(part.Name(), node)
	} else if err == nil && (st != nil || perm&0o600 != 0o600) {
		err = part.setPerm(perm)
	}
	if err == nil {
		err = reformatted(node.from)
	}
	if err = part.finish(err); errors.Is(err, errTaken) || errors.Is(err, errNoName) {
		c.progress.bytes(-w.off) // it begins again
	}
	return false, err
}

// writtenFiles are the local files of a copy, each with its name in the tree. Two names may lead
// to one file, through a link or because the system does not distinguish upper and lower case.
// Then the second must not replace the first.
type writtenFiles struct {
	dirs localDirs

	mu    sync.Mutex
	files map[string]writtenFile
}

type writtenFile struct {
	name string
	new  bool // made or replaced
}

// note records that a local file is, or will be, the file name of the tree.
func (w *writtenFiles) note(file, name string, isNew bool) error {
	if dir, err := w.dirs.of(file); err == nil {
		file = filepath.Join(dir.real, filepath.Base(file))
	}
	switch runtime.GOOS {
	case "windows", "darwin", "ios":
		file = strings.ToLower(file)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before, ok := w.files[file]
	if ok && before.name != name && (isNew || before.new) {
		return refused(fmt.Sprintf("is one file here with %s, which is copied too", before.name))
	}
	if w.files == nil {
		w.files = make(map[string]writtenFile)
	}
	w.files[file] = writtenFile{name, isNew || before.new}
	return nil
}

// compareWithLocal says how the local file differs. It returns "" if it does not.
func (c *copyCommand) compareWithLocal(ctx context.Context, from io.Reader, size int64, to string, st fs.FileInfo) (how string, err error) {
	switch {
	case st.IsDir():
		return "is a directory", nil
	case !st.Mode().IsRegular(): // opening a pipe would wait for ever
		return fmt.Sprintf("is no plain file (%v)", st.Mode().Type()), nil
	case st.Size() != size:
		return fmt.Sprintf("has %d bytes instead of %d", st.Size(), size), nil
	}
	f, err := os.Open(to)
	if err != nil {
		return "", err
	}
	defer f.Close()
	a, b := make([]byte, min(1<<20, size)), make([]byte, min(1<<20, size))
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		n := min(int64(len(a)), size-at)
		if _, err := io.ReadFull(from, a[:n]); err != nil {
			return "", err
		}
		if _, err := io.ReadFull(f, b[:n]); err != nil {
			return "", err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return "has other content", nil
		}
		at += n
	}
	return "", nil
}

// holeWriter writes a new file and leaves holes instead of zeros. It reports progress, and stops
// when its context is done.
type holeWriter struct {
	ctx      context.Context
	f        *os.File
	off      int64
	filled   int64 // where the last data ends
	progress *progress
}

// holeSize is the size of the smallest hole; holes are multiples of it. Smaller holes would cost
// more in fragments of the file than they save.
const holeSize = 64 << 10

var zeros [holeSize]byte

func (w *holeWriter) Write(b []byte) (int, error) {
	written := 0
	for written < len(b) {
		if w.ctx.Err() != nil {
			return written, context.Cause(w.ctx)
		}
		data := w.dataIn(b[written:])
		if data > 0 {
			n, err := w.f.WriteAt(b[written:written+data], w.off)
			w.advance(int64(n))
			w.filled = w.off
			written += n
			if err != nil {
				return written, err
			}
			continue
		}
		n := int(min(holeSize-w.off%holeSize, int64(len(b)-written)))
		w.advance(int64(n))
		written += n
	}
	return written, nil
}

// dataIn returns how many bytes of b are before the next hole.
func (w *holeWriter) dataIn(b []byte) int {
	n := 0
	for n < len(b) {
		piece := b[n:min(n+int(holeSize-(w.off+int64(n))%holeSize), len(b))]
		if bytes.Equal(piece, zeros[:len(piece)]) {
			return n
		}
		n += len(piece)
	}
	return n
}

func (w *holeWriter) advance(n int64) {
	w.off += n
	w.progress.bytes(n)
}

// end sets the size of the file, which is too small if the file ends with a hole.
func (w *holeWriter) end() error {
	if w.filled == w.off {
		return nil
	}
	return w.f.Truncate(w.off)
}
