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
