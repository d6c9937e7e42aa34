//go:build unix

package main

// Pipes and devices as local files.

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A picture is written to a pipe or a character device, and does not replace it. A copy is refused.
func TestWriteThrough(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/f")
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	got := make(chan []byte)
	go func() {
		f, err := os.Open(pipe)
		if err != nil {
			got <- nil
			return
		}
		defer f.Close()
		b, _ := io.ReadAll(f)
		got <- b
	}()
	r := famfsRun(t, "layout", "--svg", pipe, device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, string(<-got), "</svg>")
	assert.Equal(t, 0, famfsRun(t, "layout", "--svg", "/dev/null", device).status)
	r = famfsRun(t, "layout", "--svg", "/dev/stdout", device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "</svg>")

	for _, name := range []string{pipe, "/dev/null"} {
		before, err := os.Lstat(name)
		require.NoError(t, err)
		for _, force := range []string{"-q", "-qf"} {
			r := famfsRun(t, "cp", force, device+":/f", name)
			assert.Equal(t, 1, r.status, name)
			assert.Contains(t, r.err, name+": is no plain file")
			assert.NotContains(t, r.err, "--force")
		}
		after, err := os.Lstat(name)
		require.NoError(t, err)
		assert.True(t, os.SameFile(before, after), name)
		assert.NotZero(t, after.Mode()&(fs.ModeNamedPipe|fs.ModeDevice))
	}
}

// Nobody waits for a pipe in the place of a file.
func TestPipesInTheWay(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "mkdir", device+":/t")
	asMaster(t, "creat", "-s", "1", "--seed", "1", device+":/t/f")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "t"), 0o755))
	pipe := filepath.Join(dir, "t", "f")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, args := range [][]string{{"--against", pipe, device + ":/t/f"}, {"--against", filepath.Join(dir, "t"), device + ":/t"}} {
		r := famfsRun(t, append([]string{"verify"}, args...)...)
		assert.Equal(t, 2, r.status, r.err)
		assert.Contains(t, r.err, pipe+": open: is a special file (p---------)")
	}
}

// Only plain files are parts: not a directory, not a link, not a pipe.
func TestPartsOfNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	part := func(n string) string { return ".f.00000000000" + n + partEnd }
	require.NoError(t, os.Mkdir(filepath.Join(dir, part("1")), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "precious"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink("precious", filepath.Join(dir, part("2"))))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, part("3")), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, part("4")), []byte("x"), 0o600))
	removeLeftPartsOf(filepath.Join(dir, "f"))
	assert.Equal(t, []string{part("1"), part("2"), part("3"), "precious"}, names(t, dir))
}

// ".." behind a link leads to the parent of the link's target.
func TestDotDotBehindLink(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	writeTree(t, dir, map[string][]byte{"far/src": []byte("right"), "near/src": []byte("wrong"), "far/t/deep/x": []byte("x"), "near/y": []byte("y")})
	at := func(name string) string { return dir + "/" + name } // not cleaned
	require.NoError(t, os.Symlink("../far/t", at("near/link")))
	asMaster(t, "cp", at("near/link/../src"), device+":/src")
	assert.Equal(t, "right", famfsRun(t, "cat", device+":/src").out)
	asMaster(t, "mkdir", device+":/all")
	asMaster(t, "cp", "-r", at("near/link/deep/.."), device+":/all/")
	assert.Equal(t, []string{"all/deep/x", "src"}, namesOn(t, device))
	require.Equal(t, 0, famfsRun(t, "cp", device+":/src", at("near/link/../copy")).status)
	assert.FileExists(t, at("far/copy"))
	assert.Equal(t, 0, famfsRun(t, "verify", "--against", at("near/link/../src"), device+":/src").status)
	require.Equal(t, 0, famfsRun(t, "layout", "--svg", at("near/link/../x.svg"), device).status)
	assert.FileExists(t, at("far/x.svg"))
	assert.Equal(t, 1, famfsRun(t, "cp", device+":/src", at("no/../copy")).status)
	assert.NoFileExists(t, at("copy"))
}
