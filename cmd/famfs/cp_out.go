package main

// Copying from a device to local files: in parallel, with holes in place of zeros, and so
// that it can be taken up again. How a local file is written is in local.go.

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

// copyOut copies the tree below c.localBase.
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
	names := make(chan string)
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
	var made []madeDir // that are to lose permissions in the end
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
		st, _ := d.Info() // of the tree: never fails
		err := os.Mkdir(c.local(name), st.Mode().Perm()|0o700)
		if errors.Is(err, fs.ErrExist) {
			if there, statErr := os.Stat(c.local(name)); statErr == nil && there.IsDir() {
				// A copy that was broken off has taken away what its owner may not do here.
				if lacks := 0o700 &^ there.Mode().Perm(); lacks != 0 && lacks == 0o700&^st.Mode().Perm() && os.Chmod(c.local(name), there.Mode().Perm()|0o700) == nil {
					made = append(made, madeDir{c.local(name), there.Mode().Perm()})
				}
				c.removeLeftParts(name)
				return nil
			}
		}
		if err != nil {
			fail(name, err)
			return fs.SkipDir
		}
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
	return errs
}

// removeLeftParts takes away the parts in a directory that copies of the same left. What the
// tree has by such a name is none.
func (c *copyCommand) removeLeftParts(dir string) {
	removeLeftParts(c.local(dir), func(name, base string) bool {
		return c.tree.nodes[path.Join(dir, name)] == nil && (c.tree.nodes[path.Join(dir, base)] != nil || dir == "." && base == partBase(c.localName))
	})
}

// local is where a file of the tree goes.
func (c *copyCommand) local(name string) string {
	return filepath.Join(c.localBase, filepath.FromSlash(name))
}

// shown is a file of the tree as a person calls it: below DEST as it was given.
func (c *copyCommand) shown(name string) string {
	if name == c.localName {
		return c.to.name
	}
	if below, ok := strings.CutPrefix(name, c.localName+"/"); ok {
		return filepath.Join(c.to.name, filepath.FromSlash(below))
	}
	return filepath.Join(c.to.name, filepath.FromSlash(name)) // DEST is a root
}

// mostTries is how often a file is begun anew because others made or replaced the local one
// meanwhile.
const mostTries = 5

// copyFileOut copies one file, or passes it over.
func (c *copyCommand) copyFileOut(ctx context.Context, name string) (passed bool, err error) {
	for range mostTries {
		// What others made may be the same: several copies at a time are one.
		if passed, err = c.tryFileOut(ctx, name); !errors.Is(err, errTaken) {
			break
		}
	}
	return passed, err
}

// checkLocalName says whether name can be used on this system: on some, what famfs takes
// for a name would lead elsewhere.
func (c *copyCommand) checkLocalName(name string) error {
	if below, ok := strings.CutPrefix(name, c.localName+"/"); ok { // what DEST is called is the user's affair
		if _, err := filepath.Localize(below); err != nil {
			return because(fs.ErrInvalid, "has a name that cannot be used on this system")
		}
	}
	return nil
}

// tryFileOut is copyFileOut as long as nobody else makes or replaces the local file.
func (c *copyCommand) tryFileOut(ctx context.Context, name string) (passed bool, err error) {
	if err := c.checkLocalName(name); err != nil {
		return false, err
	}
	from, err := c.tree.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	node := c.tree.nodes[name]
	to, st, err := resolveLocal(c.local(name))
	if err != nil {
		return false, err
	}
	perm := node.mode.Perm()
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
			return false, err
		}
		if !c.force {
			return false, refused("is there already and " + how + "; --force replaces files")
		}
		if _, err := from.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			return false, err
		}
	}
	if err := c.written.note(to, name, true); err != nil {
		return false, err
	}
	if to != c.local(name) { // where the walk does not come
		removeLeftPartsOf(to)
	}
	part, err := newPart(to, perm, st)
	if err != nil {
		return false, err
	}
	w := &holeWriter{ctx: ctx, f: part.File, progress: c.progress}
	if _, err = io.Copy(w, from); err == nil {
		err = w.end()
	}
	if err == nil && (st != nil || perm&0o600 != 0o600) {
		err = part.setPerm(perm)
	}
	if err == nil {
		err = reformatted(node.from)
	}
	if err = part.finish(err); errors.Is(err, errTaken) {
		c.progress.bytes(-w.off) // begun anew
	}
	return false, err
}

// writtenFiles are the local files of a copy, each with the name that it has in the tree.
// Two names may lead to one file, through a link or because the system does not tell case:
// the second must not take the place of the first.
type writtenFiles struct {
	mu    sync.Mutex
	files map[string]writtenFile
}

type writtenFile struct {
	name string
	new  bool // made, or replaced
}

// note notes that a local file is, or is going to be, that which the tree calls name.
func (w *writtenFiles) note(file, name string, isNew bool) error {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
		file = filepath.Join(dir, filepath.Base(file))
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

// compareWithLocal says how the local file differs, "" if it does not.
func (c *copyCommand) compareWithLocal(ctx context.Context, from io.Reader, size int64, to string, st fs.FileInfo) (how string, err error) {
	switch {
	case st.IsDir():
		return "is a directory", nil
	case st.Size() != size:
		return fmt.Sprintf("has %d bytes instead of %d", st.Size(), size), nil
	}
	f, err := os.Open(to)
	if err != nil {
		return "", err
	}
	defer f.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
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

// holeWriter writes a new file and leaves holes in place of zeros. It tells progress of
// what is written, until its context is done.
type holeWriter struct {
	ctx      context.Context
	f        *os.File
	off      int64
	progress *progress
}

// holeSize is the least hole, and what it is a multiple of. Smaller ones would cost more
// in fragments of the file than they save.
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

// dataIn returns how many bytes of b come before the next hole.
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

// end gives the file its size, which a hole at its end has not.
func (w *holeWriter) end() error { return w.f.Truncate(w.off) }
