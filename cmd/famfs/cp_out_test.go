package main

// Copies from a device: what is in their way, holes, modes.

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With --force a file that is in the way is replaced, and links are written through. Devices,
// directories and links to nothing stay as they are.
func TestCpOutInTheWay(t *testing.T) {
	t.Parallel()
	device, other, dir := newDevice(t, "64M"), newDevice(t, "64M"), t.TempDir()
	writeTree(t, dir, map[string][]byte{"src": []byte("new"), "target": []byte("old")})
	asMaster(t, "cp", filepath.Join(dir, "src"), device+":/o")
	asMaster(t, "cp", filepath.Join(dir, "src"), other+":/q")
	link, dangling := filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	require.NoError(t, os.Symlink("target", link))
	require.NoError(t, os.Symlink("nowhere", dangling))
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(b)
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "target"), 0o600))

	r := famfsRun(t, "cp", device+":/o", link)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, link+": is there already and has other content; --force replaces files")
	assert.Equal(t, "old", read("target"))
	assert.Equal(t, 0, famfsRun(t, "cp", "-f", device+":/o", link).status)
	assert.Equal(t, "new", read("target"))
	to, err := os.Readlink(link)
	require.NoError(t, err)
	assert.Equal(t, "target", to)
	if runtime.GOOS != "windows" {
		st, err := os.Stat(filepath.Join(dir, "target"))
		require.NoError(t, err)
		assert.EqualValues(t, 0o600, st.Mode().Perm(), "a file that is replaced keeps its mode")
	}
	assert.Equal(t, 0, famfsRun(t, "cp", device+":/o", link).status, "it is there already")

	for _, force := range []string{"-q", "-qf"} {
		r = famfsRun(t, "cp", force, device+":/o", dangling)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, dangling+": is a symbolic link to nothing")
		assert.NoFileExists(t, filepath.Join(dir, "nowhere"))
		for _, d := range []string{device, other} {
			r = famfsRun(t, "cp", force, device+":/o", d)
			assert.Equal(t, 1, r.status, "the :/ was forgotten")
			assert.Contains(t, r.err, d+": is a famfs device itself")
			assert.Equal(t, 0, famfsRun(t, "fsck", d).status)
		}
	}

	// A directory in the way of a file of a tree, and a file in the way of a directory.
	asMaster(t, "mkdir", device+":/d")
	asMaster(t, "cp", filepath.Join(dir, "src"), device+":/d/f")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "out", "o"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "out", "d"), nil, 0o644))
	r = famfsRun(t, "cp", "-rfT", device+":/", filepath.Join(dir, "out"))
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(dir, "out", "o")+": is a directory")
	assert.Contains(t, r.err, filepath.Join(dir, "out", "d")+" is a file, not a directory")
	assert.Contains(t, r.err, "; 2 not copied\n")
	assert.DirExists(t, filepath.Join(dir, "out", "o"))
}

// Zeros become holes, wherever they are. Everything else is unchanged.
func TestCpOutHoles(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "256M"), testDir(t)
	mixed := make([]byte, 5*mib+12345)
	copy(mixed[holeSize-1:], pattern(100, 1))
	copy(mixed[3*mib:], pattern(holeSize+1, 2))
	end := make([]byte, 3*mib+1)
	end[3*mib] = 1
	files := map[string][]byte{
		"zeros": make([]byte, 30*mib), "mixed": mixed, "end": end, "begin": append(pattern(10, 3), make([]byte, 2*mib)...),
		"small": make([]byte, 100), "full": pattern(4*mib+1, 4), "hole": make([]byte, holeSize), "more": make([]byte, holeSize+1),
	}
	src := filepath.Join(t.TempDir(), "src")
	writeTree(t, src, files)
	asMaster(t, "cp", "-q", "-r", "-N", "2", src, device+":/wide")
	asMaster(t, "cp", "-q", "-r", src, device+":/plain")
	for _, from := range []string{"wide", "plain"} {
		out := filepath.Join(dir, from)
		require.Equal(t, 0, famfsRun(t, "cp", "-q", "-r", device+":/"+from, out).status)
		for name, data := range files {
			got, err := os.ReadFile(filepath.Join(out, name))
			require.NoError(t, err)
			require.Len(t, got, len(data), name)
			assert.True(t, string(data) == string(got), name)
		}
		if disk, ok := onDisk(filepath.Join(out, "zeros")); ok {
			assert.Zero(t, disk)
			disk, _ = onDisk(filepath.Join(out, "mixed"))
			assert.LessOrEqual(t, disk, int64(5*holeSize))
			disk, _ = onDisk(filepath.Join(out, "full"))
			assert.GreaterOrEqual(t, disk, int64(4*mib))
		}
	}
}

// Files and directories get the modes that they have on the device, even modes with which their
// owner could not write to them; inner ones first.
func TestCpOutModes(t *testing.T) {
	if runtime.GOOS == "windows" || unprivileged(t) {
		return
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "mkdir", "-m", "0400", device+":/outer")
	asMaster(t, "mkdir", "-m", "0400", device+":/outer/inner")
	asMaster(t, "creat", "-s", "10", "-m", "0000", device+":/outer/secret")
	asMaster(t, "creat", "-s", "10", "-m", "0440", device+":/outer/inner/ro")
	out := filepath.Join(dir, "out")
	t.Cleanup(func() {
		filepath.WalkDir(out, func(p string, d fs.DirEntry, _ error) error { return os.Chmod(p, 0o700) })
	})
	r := famfsRun(t, "cp", "-r", device+":/outer", out)
	assert.Equal(t, 0, r.status, r.err)
	mode := func(name string) fs.FileMode {
		st, err := os.Stat(filepath.Join(out, name))
		require.NoError(t, err)
		return st.Mode().Perm()
	}
	assert.EqualValues(t, 0o400, mode("."))
	require.NoError(t, os.Chmod(out, 0o700))
	assert.EqualValues(t, 0o400, mode("inner"))
	assert.EqualValues(t, 0, mode("secret"))
	require.NoError(t, os.Chmod(filepath.Join(out, "inner"), 0o700))
	assert.EqualValues(t, 0o440, mode("inner/ro"))
}
