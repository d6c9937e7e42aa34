package main

// Files that have no name until they are written.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unnamedPart returns one with some text, or skips the test.
func unnamedPart(t *testing.T, to string) *part {
	t.Helper()
	p, err := newUnnamed(to, 0o640)
	if err != nil {
		t.Skipf("this file system has no files without names: %v", err)
	}
	_, err = p.WriteString("text")
	require.NoError(t, err)
	return p
}

func TestUnnamedPart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	p := unnamedPart(t, at("f"))
	assert.Empty(t, names(t, dir), "nobody sees it")
	require.NoError(t, p.finish(nil))
	assert.ErrorIs(t, p.Close(), fs.ErrClosed)
	assert.Equal(t, []string{"f"}, names(t, dir))
	b, err := os.ReadFile(at("f"))
	require.NoError(t, err)
	assert.Equal(t, "text", string(b))
	st, err := os.Stat(at("f"))
	require.NoError(t, err)
	assert.Zero(t, st.Mode().Perm()&^0o640, "%v", st.Mode())

	p = unnamedPart(t, at("f"))
	assert.ErrorIs(t, p.finish(nil), errTaken, "it replaces nothing")
	assert.ErrorIs(t, p.Close(), fs.ErrClosed)
	p = unnamedPart(t, at("other"))
	assert.ErrorIs(t, p.finish(fs.ErrInvalid), fs.ErrInvalid)
	assert.Equal(t, []string{"f"}, names(t, dir), "what was not finished is gone")

	require.NoError(t, os.Mkdir(at("gone"), 0o755))
	p = unnamedPart(t, at("gone/f"))
	require.NoError(t, os.Remove(at("gone")))
	err = p.finish(nil)
	assert.ErrorIs(t, err, errNoName)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// removesDir is a source that removes the directory to be written to when it is read.
type removesDir struct {
	fs.FS
	dir   string
	opens int
}

func (r *removesDir) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	r.opens++
	return &removesDirFile{f, r.dir}, err
}

type removesDirFile struct {
	fs.File
	dir string
}

func (f *removesDirFile) Read(b []byte) (int, error) {
	os.RemoveAll(f.dir)
	return f.File.Read(b)
}

// Where a file cannot be given its name later, it has one from the beginning.
func TestCpOutNeedsName(t *testing.T) {
	t.Parallel()
	src, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(src, "f"), []byte("new"), 0o644))
	gone := filepath.Join(out, "gone")
	require.NoError(t, os.Mkdir(gone, 0o755))
	unnamedPart(t, filepath.Join(gone, "f")).Close()
	source := &removesDir{FS: localFS(src), dir: gone}
	c := &copyCommand{app: &app{}, tree: newTree(), localBase: gone, localName: "f"}
	require.NoError(t, c.tree.insert("f", &treeNode{name: "f", mode: 0o644, size: 3, from: source, at: "f"}))
	_, err := c.copyFileOut(t.Context(), "f")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.NotErrorIs(t, err, errNoName)
	assert.True(t, c.named.Load())
	assert.Equal(t, 2, source.opens)
}

// What is known of a directory holds for those in it, but not where a link leads elsewhere.
func TestLocalDirs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join("..", "a", "b"), filepath.Join(dir, "a", "link")))
	require.NoError(t, os.Symlink("/dev", filepath.Join(dir, "a", "devices")))
	var dirs localDirs
	for _, test := range []struct {
		path, real string
	}{
		{".", ""}, {"a", "a"}, {"a/b", "a/b"}, {"a/link", "a/b"},
	} {
		d, err := dirs.of(filepath.Join(dir, test.path, "file"))
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(real, test.real), d.real, test.path)
		assert.False(t, d.made)
		assert.False(t, d.inDev)
	}
	d, err := dirs.of(filepath.Join(dir, "a", "devices", "file"))
	require.NoError(t, err)
	assert.Equal(t, "/dev", d.real)
	assert.True(t, d.inDev)
	d, err = dirs.of(filepath.Join(dir, "a", "devices", "shm", "file")) // which may be a file system of its own
	require.NoError(t, err)
	assert.Equal(t, inDev("/dev/shm/file"), d.inDev)
	_, err = dirs.of(filepath.Join(dir, "none", "file"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "made"), 0o755))
	d, err = dirs.find(filepath.Join(dir, "made"), true)
	require.NoError(t, err)
	assert.True(t, d.made)
	d, err = dirs.of(filepath.Join(dir, "made", "file"))
	require.NoError(t, err)
	assert.True(t, d.made)
}

// A file without a name gets the owner and the bits that a file with a name would get.
func TestUnnamedBits(t *testing.T) {
	t.Parallel()
	acl := []byte{2, 0, 0, 0, 1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 7, 0, 1, 0, 0, 0, 4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}
	shm, err := os.MkdirTemp("/dev/shm", "famfs")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(shm) })
	for _, base := range []string{t.TempDir(), shm} {
		for how, prepare := range map[string]func(dir string) error{
			"plain":  func(string) error { return nil },
			"setgid": func(dir string) error { return errors.Join(os.Chown(dir, 0, 4242), os.Chmod(dir, 0o777|fs.ModeSetgid)) },
			"acl":    func(dir string) error { return unix.Setxattr(dir, "system.posix_acl_default", acl, 0) },
		} {
			dir := filepath.Join(base, how)
			require.NoError(t, os.Mkdir(dir, 0o755))
			if err := prepare(dir); err != nil {
				t.Logf("%s: not here: %v", how, err)
				continue
			}
			for _, perm := range []fs.FileMode{0o777, 0o644, 0o600, 0o444, 0o200, 0o070, 0} {
				name := fmt.Sprintf("%s/%o", how, perm)
				var got [2]syscall.Stat_t
				for i, unnamed := range []bool{false, true} {
					to := filepath.Join(dir, fmt.Sprintf("f%o-%d", perm, i))
					make := func() (*part, error) { return newPart(to, perm, nil) }
					if unnamed {
						make = func() (*part, error) { return newUnnamed(to, perm) }
					}
					p, err := make()
					require.NoError(t, err)
					if perm&0o600 != 0o600 {
						require.NoError(t, p.setPerm(perm))
					}
					require.NoError(t, p.finish(nil))
					require.NoError(t, syscall.Stat(to, &got[i]))
				}
				assert.Equal(t, got[0].Mode, got[1].Mode, "%s: %o %o", name, got[0].Mode, got[1].Mode)
				assert.Equal(t, got[0].Gid, got[1].Gid, name)
			}
		}
	}
}
