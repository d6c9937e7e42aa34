package main

// Writing local files: whole or not at all, never in place of something that is not a plain
// file, and without remains.

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func names(t testing.TB, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	content := func(name string) string {
		b, err := os.ReadFile(at(name))
		require.NoError(t, err)
		return string(b)
	}
	require.NoError(t, writeLocal(at("new"), text("one")))
	assert.Equal(t, "one", content("new"))
	require.NoError(t, os.Chmod(at("new"), 0o640))
	require.NoError(t, writeLocal(at("new"), text("two")))
	assert.Equal(t, "two", content("new"))
	st, err := os.Stat(at("new"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o640, st.Mode().Perm(), "its mode stays")

	failure := errors.New("failed")
	err = writeLocal(at("new"), func(w io.Writer) error { io.WriteString(w, "half"); return failure })
	assert.ErrorIs(t, err, failure)
	assert.Equal(t, "two", content("new"), "whole or not at all")
	require.ErrorIs(t, writeLocal(at("fresh"), func(io.Writer) error { return failure }), failure)

	require.NoError(t, os.Symlink("new", at("link")))
	require.NoError(t, writeLocal(at("link"), text("three")))
	assert.Equal(t, "three", content("new"), "through the link")
	require.NoError(t, os.Symlink("nowhere", at("dangling")))
	assert.ErrorIs(t, writeLocal(at("dangling"), text("x")), fs.ErrExist)
	require.NoError(t, os.Mkdir(at("dir"), 0o755))
	assert.ErrorIs(t, writeLocal(at("dir"), text("x")), fs.ErrExist)
	assert.ErrorIs(t, writeLocal(at("no/where"), text("x")), fs.ErrNotExist)
	assert.Equal(t, []string{"dangling", "dir", "link", "new"}, names(t, dir), "nothing is left lying around")
	target, err := os.Readlink(at("dangling"))
	require.NoError(t, err)
	assert.Equal(t, "nowhere", target)
}

// A picture of a stand-in does not replace the stand-in, damaged or not.
func TestSVGOverDevices(t *testing.T) {
	t.Parallel()
	device, damaged := newDevice(t, "64M"), newDevice(t, "64M")
	overwrite(t, damaged, 0, 0)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(device, link))
	for _, name := range []string{device, damaged, link} {
		r := famfsRun(t, "layout", "--svg", name, device)
		assert.Equal(t, 1, r.status, name)
		assert.Contains(t, r.err, name+": is a famfs device itself")
	}
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
	assert.Equal(t, 1, famfsRun(t, "fsck", damaged).status, "and not 2")
}

// Parts of a killed process are removed; those of a running one stay.
func TestParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, ".file.0123456789ab"+partEnd)
	others := []string{".other.0123456789ab" + partEnd, ".file" + partEnd, "file.famfs-part", ".file.0123" + partEnd, ".file.0123456789AB" + partEnd, ".file.notwritten!!" + partEnd}
	for _, name := range append(others, filepath.Base(left)) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600))
	}
	alive, err := newPart(filepath.Join(dir, "file"), 0o644, nil)
	require.NoError(t, err)
	removeLeftParts(dir, func(_, base string) bool { return base == "file" })
	assert.NoFileExists(t, left)
	assert.FileExists(t, alive.Name())
	for _, name := range others {
		assert.FileExists(t, filepath.Join(dir, name), "not a part of the file")
	}
	_, err = alive.WriteString("whole")
	require.NoError(t, err)
	require.NoError(t, alive.finish(nil))
	assert.NoFileExists(t, alive.Name())
	b, err := os.ReadFile(filepath.Join(dir, "file"))
	require.NoError(t, err)
	assert.Equal(t, "whole", string(b))

	// A part that cannot be closed, or gets no name, becomes no file.
	broken, err := newPart(filepath.Join(dir, "broken"), 0o644, nil)
	require.NoError(t, err)
	require.NoError(t, broken.Close())
	assert.ErrorIs(t, broken.finish(nil), fs.ErrClosed)
	assert.NoFileExists(t, broken.Name())
	assert.NoFileExists(t, filepath.Join(dir, "broken"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "taken"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "taken", "x"), nil, 0o600))
	taken, err := newPart(filepath.Join(dir, "taken"), 0o644, nil)
	require.NoError(t, err)
	assert.Error(t, taken.finish(nil))
	assert.NoFileExists(t, taken.Name())

	for name, base := range map[string]string{".a.0123456789ab.famfs-part": "a", ".a.b.0123456789ab.famfs-part": "a.b", "..x.0123456789ab.famfs-part": ".x"} {
		got, ok := partOf(name)
		assert.True(t, ok, name)
		assert.Equal(t, base, got)
	}
}

// A file made among the devices looks like one, but no other host sees it.
func TestInDev(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/null"); err != nil {
		t.Skip("needs /dev")
	}
	dir := t.TempDir()
	require.NoError(t, os.Symlink("/dev", filepath.Join(dir, "devices")))
	for name, want := range map[string]bool{
		"/dev/dax9.9": true, "/dev/../dev/dax9.9": true, "/dev/nosuch/dax": true, filepath.Join(dir, "devices", "dax9.9"): true,
		"/dev/shm/dax9.9": false, "/dev/shm/nosuch/x": false, filepath.Join(dir, "dax9.9"): false, "/nosuch/dev/x": false, "/devices": false,
	} {
		assert.Equal(t, want, inDev(name), name)
		var dirs localDirs
		for range 2 {
			assert.Equal(t, want, dirs.inDev(name), name)
		}
	}
	t.Cleanup(func() { os.Remove("/dev/famfs-test-dax9.9") }) // which only a fault makes
	r := famfsRun(t, "--system-uuid", host, "mkfs", "--create", "64M", "/dev/famfs-test-dax9.9")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "/dev/shm")
	assert.NoFileExists(t, "/dev/famfs-test-dax9.9")
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/f")
	for _, args := range [][]string{{"cp", device + ":/f", "/dev/famfs-test-dax9.9"}, {"layout", "--svg", "/dev/famfs-test-dax9.9", device}} {
		assert.Equal(t, 1, famfsRun(t, args...).status, args)
		assert.NoFileExists(t, "/dev/famfs-test-dax9.9")
	}
}

// Without --force mkfs loses nothing, and it leaves no file behind if it fails.
func TestMkfsKeeps(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	precious := filepath.Join(dir, "precious.tar")
	data := pattern(16*mib, 3)
	require.NoError(t, os.WriteFile(precious, data, 0o600))
	r := famfsRun(t, "--system-uuid", host, "mkfs", precious)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "--force")
	got, err := os.ReadFile(precious)
	require.NoError(t, err)
	assert.Equal(t, data, got)
	asMaster(t, "mkfs", "--force", precious)
	assert.Equal(t, 0, famfsRun(t, "fsck", precious).status)

	fresh := filepath.Join(dir, "fresh")
	for _, args := range [][]string{{"--create", "64M", "--loglen", "10M"}, {"--create", "8M"}} {
		r = famfsRun(t, append([]string{"--system-uuid", host, "mkfs", fresh}, args...)...)
		assert.Equal(t, 1, r.status)
		assert.NoFileExists(t, fresh, "%v: %s", args, r.err)
	}
	asMaster(t, "mkfs", "--create", "64M", fresh)
	r = famfsRun(t, "--system-uuid", host, "mkfs", "--force", "--create", "64M", fresh)
	assert.Equal(t, 1, r.status, "not even with --force")
	assert.Equal(t, 0, famfsRun(t, "fsck", fresh).status)
}
