package main

// Copying from a device to local files: in parallel, each file whole or not at all,
// and so that it can be taken up again.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// copyOut copies the tree below c.localBase.
func (c *copyCommand) copyOut(ctx context.Context) error {
	var mu sync.Mutex
	var errs []error
	fail := func(name string, err error) {
		if err == nil || ctx.Err() != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		var path *fs.PathError
		if !errors.As(err, &path) {
			err = &fs.PathError{Op: "copy", Path: c.local(name), Err: err}
		}
		errs = append(errs, err)
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
				c.progress.file(c.local(name), note)
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
		st, _ := d.Info() // of the tree: never fails
		err := os.Mkdir(c.local(name), st.Mode().Perm()|0o700)
		if errors.Is(err, fs.ErrExist) {
			if there, statErr := os.Stat(c.local(name)); statErr == nil && there.IsDir() {
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
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// local is where a file of the tree goes.
func (c *copyCommand) local(name string) string {
	return filepath.Join(c.localBase, filepath.FromSlash(name))
}

// copyFileOut copies one file, or passes it over.
func (c *copyCommand) copyFileOut(ctx context.Context, name string) (passed bool, err error) {
	if _, err := filepath.Localize(name); err != nil {
		return false, fmt.Errorf("the name cannot be used on this system: %w", err)
	}
	from, err := c.tree.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	node := c.tree.nodes[name]
	to := c.local(name)
	if st, err := os.Stat(to); err == nil {
		how, err := c.compareWithLocal(ctx, from, node.size, to, st)
		if err != nil {
			return false, err
		}
		if how == "" {
			c.progress.bytes(node.size)
			return true, nil
		}
		if !c.force || !st.Mode().IsRegular() {
			return false, fmt.Errorf("is there already and %s; --force replaces files: %w", how, fs.ErrExist)
		}
		if _, err := from.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			return false, err
		}
	}
	var random [6]byte
	rand.Read(random[:])
	part := filepath.Join(filepath.Dir(to), "."+hex.EncodeToString(random[:])+".famfs-part")
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, node.mode.Perm()|0o200)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(part)))
		}
	}()
	_, err = io.Copy(&tellingWriter{ctx, f, c.progress}, from)
	if node.mode.Perm()&0o200 == 0 && err == nil {
		if st, statErr := f.Stat(); statErr == nil {
			err = f.Chmod(st.Mode().Perm() &^ 0o200)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	return false, os.Rename(part, to)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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

// tellingWriter tells progress of what is written, until its context is done.
type tellingWriter struct {
	ctx      context.Context
	f        *os.File
	progress *progress
}

func (w *tellingWriter) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, w.ctx.Err()
	}
	n, err := w.f.Write(b)
	w.progress.bytes(int64(n))
	return n, err
}
