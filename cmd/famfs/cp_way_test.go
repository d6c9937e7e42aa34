package main

// What stands at DEST in the place of a directory of the tree.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A link in the place of a directory leads elsewhere: nothing is made there, and nothing changed,
// without --force. DEST itself may be a link.
func TestCpOutThroughLink(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/d/in/f": []byte("f"), "t/d/g": []byte("g"), "t/h": []byte("h")})
	modes := runtime.GOOS != "windows"
	if modes {
		require.NoError(t, os.Chmod(filepath.Join(src, "t", "d"), 0o775|fs.ModeSetgid))
	}
	asMaster(t, "cp", "-a", filepath.Join(src, "t"), device+":/t")
	for name, c := range map[string]struct {
		args    []string
		to      string // what out/d leads to
		victim  []string
		out     []string
		want    string
		changed bool // the mode of what the link leads to
	}{
		"a tree":             {[]string{"-r"}, "victim", nil, []string{"h"}, "d/g: cannot be made: @/d is a symbolic link in the place of a directory; --force writes through it", false},
		"with owners":        {[]string{"-a"}, "victim", nil, []string{"h"}, "; 2 not copied\n", false},
		"passing over":       {[]string{"-an"}, "victim", nil, []string{"h"}, "copied 1 file, 1 B in", false},
		"in a dry run":       {[]string{"-a", "--dry-run"}, "victim", nil, nil, "would copy 1 file, replace 0, pass over 0 that are there already; 2 not copied\n", false},
		"with force":         {[]string{"-af"}, "victim", []string{"g", "in/f"}, []string{"h"}, "copied 3 files", true},
		"to nothing":         {[]string{"-a"}, "nowhere", nil, []string{"h"}, "cannot be made: @/d is a symbolic link to nothing, which is not written through; remove it first", false},
		"to nothing, forced": {[]string{"-af"}, "nowhere", nil, []string{"h"}, "cannot be made: @/d is a symbolic link to nothing", false},
		"to a file":          {[]string{"-af"}, "file", nil, []string{"h"}, "cannot be made: @/d is a file, not a directory", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, victim := filepath.Join(dir, "out"), filepath.Join(dir, "victim")
			require.NoError(t, os.Mkdir(out, 0o755))
			require.NoError(t, os.Mkdir(victim, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
			require.NoError(t, os.Symlink(filepath.Join("..", c.to), filepath.Join(out, "d")))
			args := append([]string{"cp"}, append(c.args, "-T", device+":/t", out)...)
			r := famfsRun(t, args...)
			forced := c.want == "copied 3 files"
			assert.Equal(t, forced, r.status == 0, r.err)
			assert.Contains(t, r.err, replaceAt(c.want, out))
			assert.Equal(t, c.victim, filesBelow(t, victim))
			assert.NoFileExists(t, filepath.Join(dir, "nowhere"))
			assert.Equal(t, append([]string{"d"}, c.out...), filesBelow(t, out), "the link is one still")
			if modes {
				st, err := os.Stat(victim)
				require.NoError(t, err)
				assert.Equal(t, c.changed, st.Mode().Perm() != 0o700, "%v", st.Mode())
			}
		})
	}

	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(real, 0o700))
	require.NoError(t, os.Symlink("real", link))
	for range 2 {
		r := famfsRun(t, "cp", "-aT", device+":/t", link)
		require.Equal(t, 0, r.status, r.err)
		assert.Equal(t, []string{"d/g", "d/in/f", "h"}, filesBelow(t, real))
	}
}

// A link that takes the place of a directory after cp has looked is not followed either.
func TestCpOutLinkMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "out", "d"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "victim"), 0o700))
	c := &copyCommand{app: &app{}, localBase: dir, localName: "out"}
	made, there, err := c.makeLocalDir("out/d", 0o755)
	require.NoError(t, err)
	assert.False(t, made)
	assert.True(t, there.IsDir())
	require.NoError(t, os.Remove(filepath.Join(dir, "out", "d")))
	require.NoError(t, os.Symlink(filepath.Join("..", "victim"), filepath.Join(dir, "out", "d")))
	_, _, err = c.makeLocalDir("out/d", 0o755)
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorContains(t, err, "is a symbolic link in the place of a directory; --force writes through it")
	assert.Equal(t, c.local("out/d"), c.resolvedDir("out/d"))
	c.force = true
	_, there, err = c.makeLocalDir("out/d", 0o755)
	require.NoError(t, err)
	assert.True(t, there.IsDir())
	assert.Equal(t, "victim", filepath.Base(c.resolvedDir("out/d")))
	made, _, err = c.makeLocalDir("out/new", 0o755)
	require.NoError(t, err)
	assert.True(t, made)
}

// A file in the place of a directory keeps from being made what is to lie in it. That is said before,
// and counts for an error, also with -n.
func TestCpFileInTheWay(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	writeTree(t, src, map[string][]byte{"one/b/in": []byte("in"), "two/b/in": []byte("in"), "two/b/c/in": []byte("in"), "two/d": []byte("d")})
	for name, c := range map[string]struct {
		args      []string
		announced string
		want      string // the last line
		out       string
		there     []string
	}{
		"one":             {[]string{"one"}, "", `^copied 0 files, 0 B in .*; 1 not copied`, "", []string{"n/b"}},
		"two":             {[]string{"two"}, "famfs cp: of 3 files, 2 will not be copied: 2 have no directory to lie in\n", `^copied 1 file, 1 B in .*; 2 not copied`, "", []string{"n/b", "n/d"}},
		"passing over":    {[]string{"-n", "one"}, "", `^copied 0 files, 0 B in .*; 1 not copied`, "", []string{"n/b"}},
		"replacing":       {[]string{"--replace", "one"}, "", `^copied 0 files, 0 B in .*; 1 not copied`, "", []string{"n/b"}},
		"all or nothing":  {[]string{"--atomic", "two"}, "famfs cp: of 3 files, 2 cannot be copied: 2 have no directory to lie in\n", `--atomic copies all or nothing$`, "", []string{"n/b"}},
		"dry":             {[]string{"--replace", "--dry-run", "one"}, "", `^0 new files of 0 B take 0 B; 52 MiB free`, "", []string{"n/b"}},
		"dry, two":        {[]string{"--dry-run", "two"}, "", `^1 new file of 1 B takes 2 MiB; 52 MiB free`, "copy ", []string{"n/b"}},
		"dry, passing":    {[]string{"-n", "--dry-run", "one"}, "", `^0 new files of 0 B take 0 B; 52 MiB free`, "", []string{"n/b"}},
		"an empty folder": {[]string{"three"}, "", `1 not copied$`, "", []string{"n/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			device, src := newDevice(t, "64M"), src
			if name == "an empty folder" {
				src = t.TempDir()
				require.NoError(t, os.MkdirAll(filepath.Join(src, "three", "b"), 0o755))
			}
			asMaster(t, "mkdir", device+":/n")
			asMaster(t, "creat", "-s", "1", device+":/n/b")
			last := len(c.args) - 1
			args := append([]string{"--system-uuid", host, "cp", "-rT"}, c.args[:last]...)
			r := famfsRun(t, append(args, filepath.Join(src, c.args[last]), device+":/n")...)
			assert.Equal(t, 1, r.status, r.err)
			assert.Contains(t, r.err, c.announced)
			assert.Contains(t, r.err, ": cannot be made: "+device+":/n/b is a file, not a directory\n")
			assert.NotContains(t, r.err, "passed over")
			assert.Regexp(t, c.want, lastLine(r.err))
			assert.NotContains(t, r.out, "/in")
			assert.Contains(t, r.out, c.out)
			assert.Equal(t, c.there, namesOn(t, device))
		})
	}
}

// replaceAt puts a name in the place of the @ in a text.
func replaceAt(text, name string) string { return strings.ReplaceAll(text, "@", name) }

// filesBelow lists what is no directory below dir. Links are not followed.
func filesBelow(t testing.TB, dir string) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			below, relErr := filepath.Rel(dir, name)
			all, err = append(all, filepath.ToSlash(below)), relErr
		}
		return err
	}))
	return all
}

// With -n what somebody makes meanwhile is passed over, but not what cannot be made because of it.
func TestCpNoClobberMeanwhile(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/b", device+":/f")
	c := &copyCommand{app: &app{}, tree: newTree(), keep: true, to: target{device: device, name: "."}, device: readBack(t, device)}
	for _, name := range []string{"f", "b/in"} {
		require.NoError(t, c.tree.insert(name, &treeNode{name: path.Base(name), mode: 0o644, size: 1}))
	}
	exists := func(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: fs.ErrExist} }
	errs := c.separateCopyErrors(fmt.Errorf("copy: %w", errors.Join(exists("copy", "f"), exists("mkdir", "b"), exists("create", "b/in"))))
	assert.Len(t, errs, 2)
	assert.Equal(t, 1, c.passed)
}
