//go:build unix

package main

// Tests that mean nothing as root, whom permissions do not stop. Run as root, they run again as
// another user.

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var regexpDeviceHint = regexp.MustCompile("may read and write the device")

// anotherUser belongs to nobody; the numbers of user and group differ.
const anotherUser, anotherGroup = 65533, 65532

// unprivileged runs the calling test as another user if this is root. It reports whether it did:
// then the test is done.
func unprivileged(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return false
	}
	parent := os.Getenv("FAMFS_TEST_DIR")
	dir, err := os.MkdirTemp(parent, "famfs-user-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chown(dir, anotherUser, anotherGroup))
	// The binary of go test is where others may not enter.
	binary := filepath.Join(dir, "command.test")
	from, err := os.Open(os.Args[0])
	require.NoError(t, err)
	defer from.Close()
	to, err := os.OpenFile(binary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	require.NoError(t, err)
	_, err = io.Copy(to, from)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	cmd := exec.Command(binary, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "FAMFS_TEST_DIR="+dir, "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: anotherUser, Gid: anotherGroup}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "and was not skipped")
	return true
}

// If a user may not write, or not read, the message names what it is about.
func TestOtherUser(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "10", device+":/f")
	// Without -g a file gets the caller's group, not the number of the user.
	asMaster(t, "creat", "-s", "10", "-u", "5", device+":/half")
	n := parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/half"))
	assert.Equal(t, []int{5, os.Getgid()}, []int{int(n.UID), int(n.GID)})
	asMaster(t, "mkdir", "-g", "6", device+":/dir")
	n = parse[[]nodeJSON](t, famfsRun(t, "ls", "-d", "--json", device+":/dir"))[0]
	assert.Equal(t, []int{os.Getuid(), 6}, []int{int(n.UID), int(n.GID)})

	own, closed := filepath.Join(dir, "own"), filepath.Join(dir, "closed")
	require.NoError(t, os.WriteFile(own, make([]byte, 16*mib), 0o000))
	require.NoError(t, os.Mkdir(closed, 0o500))
	unreadable := filepath.Join(dir, "tree", "unreadable")
	writeTree(t, dir, map[string][]byte{"tree/unreadable": []byte("x"), "tree/ok": []byte("y")})
	require.NoError(t, os.Chmod(unreadable, 0))
	for _, c := range []struct {
		args   []string
		want   string
		device bool // the hint is about the device
	}{
		{[]string{"ls", own}, own + ": open: permission denied", true},
		{[]string{"cp", device + ":/f", closed}, filepath.Join(closed, "f") + ": open: permission denied", false},
		{[]string{"layout", "--svg", closed + "/x.svg", device}, closed + "/x.svg: open: permission denied", false},
		{[]string{"--system-uuid", host, "cp", "-r", filepath.Join(dir, "tree"), device + ":/"}, unreadable + ": open: permission denied", false},
		{[]string{"mkfs", "--create", "64M", closed + "/new"}, closed + "/new: open: permission denied", false},
		{[]string{"fsck", own}, own + ": check: open: permission denied", true},
	} {
		r := famfsRun(t, c.args...)
		assert.NotEqual(t, 0, r.status, c.args)
		assert.Contains(t, r.err, c.want, c.args)
		assert.Equal(t, c.device, regexpDeviceHint.MatchString(r.err), "%v: %s", c.args, r.err)
	}
	assert.Contains(t, namesOn(t, device), "tree/ok")
}

// A directory that cannot be read is said once, under its own name, and keeps nothing else from being
// compared, neither by verify nor by check.
func TestUnreadableDirectories(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	tree := filepath.Join(dir, "un")
	writeTree(t, dir, map[string][]byte{"un/aa/f": []byte("f"), "un/bb/c/g": []byte("g"), "un/m": []byte("m"), "far/h": []byte("h")})
	asMaster(t, "cp", "-r", tree, device+":/x")
	require.NoError(t, os.Symlink("../far/in", filepath.Join(tree, "link")))
	asMaster(t, "mkdir", device+":/x/link")
	writeTree(t, dir, map[string][]byte{"un/n": []byte("n"), "un/zz/extra": []byte("e")})
	closed := []string{filepath.Join(tree, "aa"), filepath.Join(tree, "bb", "c"), filepath.Join(dir, "far")}
	for _, d := range closed {
		require.NoError(t, os.Chmod(d, 0))
		t.Cleanup(func() { os.Chmod(d, 0o755) })
	}

	r := famfsRun(t, "verify", "--against", tree, device+":/x")
	assert.Equal(t, 2, r.status, r.out+r.err)
	for _, what := range []string{tree + "/aa/f: open", tree + "/aa: open", tree + "/bb/c/g: open", tree + "/bb/c: open", tree + "/link: stat"} {
		assert.Equal(t, 1, strings.Count(r.err, "famfs verify: "+what+": permission denied\n"), "%s\n%s", what, r.err)
	}
	assert.ElementsMatch(t, []string{
		"ok       " + device + ":/x/m",
		"DIFFERS  " + device + ":/x/n: does not exist on the device",
		"DIFFERS  " + device + ":/x/zz/extra: does not exist on the device",
	}, lines(r.out))
	assert.Regexp(t, `(?m)^checked 3 files, .*; 5 could not be checked$`, r.err)

	require.NoError(t, os.Remove(filepath.Join(tree, "link"))) // check does not follow links
	r = famfsRun(t, "check", "-q", device+":/x", tree)
	assert.Equal(t, 2, r.status, r.out+r.err)
	for _, what := range []string{tree + "/aa: open", tree + "/bb/c: open"} {
		assert.Equal(t, 1, strings.Count(r.err, "famfs check: "+what+": permission denied\n"), "%s\n%s", what, r.err)
	}
	assert.Contains(t, r.out, "DIFFERS  "+device+":/x/n: ")
	assert.Contains(t, r.out, "DIFFERS  "+device+":/x/zz: ")

	require.NoError(t, os.Chmod(tree, 0o100)) // the tree itself
	t.Cleanup(func() { os.Chmod(tree, 0o755) })
	r = famfsRun(t, "verify", "-q", "--against", tree, device+":/x")
	assert.Equal(t, 2, r.status, r.out+r.err)
	assert.Equal(t, 1, strings.Count(r.err, "famfs verify: "+tree+": open: permission denied\n"), r.err)
}

// A file that its owner may not read may be a device: --force does not replace it.
func TestForceUnreadable(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, out := newDevice(t, "64M"), newDevice(t, "64M")
	asMaster(t, "creat", "-s", "10", device+":/f")
	require.NoError(t, os.Chmod(out, 0o200))
	for _, args := range [][]string{{"cp", "-f", device + ":/f", out}, {"layout", "--svg", out, device}} {
		r := famfsRun(t, args...)
		assert.Equal(t, 1, r.status, args)
		assert.Contains(t, r.err, out+": may be a famfs device itself, which is never replaced: ", args)
	}
	require.NoError(t, os.Chmod(out, 0o600))
	assert.Equal(t, 0, famfsRun(t, "fsck", out).status)
}
