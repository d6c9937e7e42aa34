package main

// verify and chkread with something that cannot be read: they say so, and do not end with status 0.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// A file that could not be checked counts more than one that differs.
func TestVerifyTrouble(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "1M", device+":/f", device+":/g")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "f"), 0o755)) // cannot be read as a file
	writeTree(t, dir, map[string][]byte{"g": []byte("other")})
	r := famfsRun(t, "verify", "--json", "--against", dir, device)
	assert.Equal(t, 2, r.status, r.out+r.err)
	assert.Contains(t, r.err, device+":/f: ")
	found := parse[[]verdict](t, r)
	require.Len(t, found, 2)
	assert.False(t, found[0].OK || found[1].OK)
	// What differs and what could not be checked can be told from one another.
	checked := make(map[string]bool)
	for _, v := range found {
		checked[v.File] = v.Checked
	}
	assert.Equal(t, map[string]bool{device + ":/f": false, device + ":/g": true}, checked)
	asMaster(t, "creat", "-s", "5", "--keep", device+":/h")
	writeTree(t, dir, map[string][]byte{"h": make([]byte, 5)})
	all := parse[[]verdict](t, famfsRun(t, "verify", "--json", "--against", filepath.Join(dir, "h"), device+":/h"))
	assert.Equal(t, []verdict{{File: device + ":/h", Size: 5, OK: true, Checked: true, Offset: -1}}, all)
	// What could not be checked does not count as checked.
	r = famfsRun(t, "verify", "--against", dir, device)
	assert.Regexp(t, `(?m)^checked 2 files, .*; 1 could not be checked$`, r.err)
	r = famfsRun(t, "verify", "--progress", "json", "--against", dir, device)
	var end progressJSON
	require.NoError(t, json.Unmarshal([]byte(lines(r.out)[len(lines(r.out))-1]), &end), r.out)
	assert.Equal(t, []any{"end", 3, 3, 1}, []any{end.Event, end.Files, end.Done, end.Unchecked})
	require.NoError(t, os.Remove(filepath.Join(dir, "f")))
	r = famfsRun(t, "verify", "--against", dir, device)
	assert.Equal(t, 1, r.status)
	assert.Regexp(t, `(?m)^checked 3 files, .*s( \([^)]*\))?$`, r.err)
}

// The device may lie in the tree that it was filled from. As cp, verify passes it over and says so.
func TestVerifyPassesDeviceOver(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	tree := filepath.Join(filepath.Dir(device), "x") // on the same file system
	writeTree(t, tree, map[string][]byte{"f": []byte("f"), "d/g": []byte("g")})
	inside := filepath.Join(tree, "d", "dev")
	require.NoError(t, os.Rename(device, inside))
	asMaster(t, "cp", "-r", tree, inside+":/x")
	passed := "famfs verify: " + inside + ": is the device that is checked: passed over"
	r := famfsRun(t, "verify", "--against", tree, inside+":/x")
	assert.Equal(t, 0, r.status, r.out+r.err)
	assert.Equal(t, 1, strings.Count(r.err, passed), r.err)
	assert.Contains(t, r.err, "checked 2 files")
	assert.NotContains(t, famfsRun(t, "verify", "-q", "--against", tree, inside+":/x").err, passed)
	// Another device in the tree is a file like others.
	other := filepath.Join(tree, "other")
	require.NoError(t, os.Rename(newDevice(t, "64M"), other))
	r = famfsRun(t, "verify", "--against", tree, inside+":/x")
	assert.Equal(t, 1, r.status, r.out+r.err)
	assert.Contains(t, r.out, "DIFFERS  "+inside+":/x/other: does not exist on the device")
}

// A directory on the device is not missing there, whatever has its name in the tree.
func TestVerifyDirectoryInPlace(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "mkdir", device+":/file", device+":/link")
	writeTree(t, dir, map[string][]byte{"file": []byte("f")})
	require.NoError(t, os.Symlink("nothing", filepath.Join(dir, "link")))
	r := famfsRun(t, "verify", "-q", "--against", dir, device)
	assert.Equal(t, 1, r.status, r.err)
	assert.ElementsMatch(t, []string{
		"DIFFERS  " + device + ":/file: is a directory on the device, and " + filepath.Join(dir, "file") + " is none",
		"DIFFERS  " + device + ":/link: is a directory on the device, and " + filepath.Join(dir, "link") + " is none",
	}, lines(r.out))
}

// Lines of progress for programs have stdout for themselves.
func TestVerifyProgressJSON(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "3M", "--seed", "1", "--seal", device+":/a", device+":/b\n1")
	asMaster(t, "creat", "-s", "1M", "--seed", "2", "--seal", device+":/c")
	dir := t.TempDir()
	for _, c := range []struct {
		args   []string
		status int
		said   string
	}{
		{[]string{"verify", "--seed", "1", device}, 1, "DIFFERS  " + device + ":/c"}, {[]string{"verify", device}, 0, "ok       " + device + `:/b\n1`},
		{[]string{"chkread", device}, 0, "ok       " + device + ":/a"}, {[]string{"scrub", device}, 0, device + ": 3 files, 3 sealed: clean"},
		{[]string{"check", device, dir}, 1, "DIFFERS  " + device + ":/a"},
	} {
		r := famfsRun(t, append([]string{c.args[0], "--progress", "json"}, c.args[1:]...)...)
		assert.Equal(t, c.status, r.status, r.err)
		assert.Contains(t, r.err, c.said)
		var seen []progressJSON
		files := make(map[string]bool)
		for _, line := range lines(r.out) {
			var p progressJSON
			require.NoError(t, json.Unmarshal([]byte(line), &p), "%v: %s", c.args, line)
			seen = append(seen, p)
			if p.Event == "file" {
				files[p.File] = true
			}
		}
		assert.Equal(t, map[string]bool{device + ":/a": true, device + ":/b\n1": true, device + ":/c": true}, files, c.args)
		first, end := seen[0], seen[len(seen)-1]
		assert.Equal(t, []any{"start", 3, 0}, []any{first.Event, first.Files, first.Done}, c.args)
		assert.Equal(t, []any{"end", 3}, []any{end.Event, end.Done}, c.args)
		if c.status == 0 { // of what differs the rest is not read
			assert.Equal(t, end.Size, end.Bytes, c.args)
		}

		r = famfsRun(t, append([]string{c.args[0], "--progress", "json", "--json"}, c.args[1:]...)...)
		dec := json.NewDecoder(strings.NewReader(r.out))
		values := 0
		for ; dec.More(); values++ {
			var v any
			require.NoError(t, dec.Decode(&v), r.out)
		}
		assert.Greater(t, values, 5, c.args)
		assert.NotContains(t, famfsRun(t, append([]string{c.args[0], "--progress", "none"}, c.args[1:]...)...).err, "3 files,", c.args)
		assert.Equal(t, 2, famfsRun(t, append([]string{c.args[0], "--progress", "loud"}, c.args[1:]...)...).status)
	}
}

// Memory that is gone is an error of the file. What the caches hold is dropped before anything
// is compared.
func TestVerifyLostMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a file that is mapped cannot be cut short there")
	}
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", device+":/f")
	fsys := readBack(t, device)
	var ways []func(run func([]byte) error) error
	for _, byMap := range []bool{false, true} {
		v := &verifier{app: &app{}, ctx: context.Background(), byMap: byMap}
		ways = append(ways, func(run func([]byte) error) error {
			return v.look(check{fsys: fsys, t: target{device: device, name: "f"}, run: run})
		})
	}
	for _, one := range ways {
		require.NoError(t, one(func(b []byte) error {
			if checkPattern(b, 1, 0) >= 0 {
				return errors.New("differs")
			}
			return nil
		}))
	}
	require.NoError(t, os.Truncate(device, 12*mib))
	for _, one := range ways {
		var fault *famfs.FaultError
		err := one(func(b []byte) error {
			checkPattern(b, 1, 0)
			return nil
		})
		assert.ErrorAs(t, err, &fault)
		if runtime.GOARCH == "amd64" { // whose instructions need the memory
			assert.Error(t, one(func([]byte) error { return nil }), "the caches of the file were invalidated")
		}
	}
}

// A copy with -L is compared with the targets of the links.
func TestVerifyLinks(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	src := filepath.Join(dir, "src")
	writeTree(t, dir, map[string][]byte{"far/x": []byte("x"), "far/d/y": []byte("y"), "src/z": []byte("z")})
	require.NoError(t, os.Symlink("../far", filepath.Join(src, "link")))
	require.NoError(t, os.Symlink("z", filepath.Join(src, "file")))
	asMaster(t, "cp", "-r", "-L", src, device+":/src")
	r := famfsRun(t, "verify", "--against", src, device+":/src")
	assert.Equal(t, 0, r.status, r.out+r.err)
	assert.Contains(t, r.err, "checked 4 files")
	// A missing file is reported, whether it is a link itself, a link without end, or behind a
	// link.
	writeTree(t, dir, map[string][]byte{"far/d/new": []byte("n")})
	require.NoError(t, os.Symlink("..", filepath.Join(src, "loop")))
	r = famfsRun(t, "verify", "-q", "--against", src, device+":/src")
	assert.Equal(t, 1, r.status)
	assert.ElementsMatch(t, []string{
		"DIFFERS  " + device + ":/src/link/d/new: does not exist on the device",
		"DIFFERS  " + device + ":/src/loop: does not exist on the device",
	}, lines(r.out))
}
