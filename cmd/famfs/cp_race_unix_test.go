//go:build unix

package main

// What others do during a copy: the device is formatted anew, or somebody makes the file that
// the copy was to make. The copy is stopped meanwhile, so that the result does not depend on
// speed.

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// whileCopying runs a copy from the device to dir, stops it while it has a part there, calls
// meanwhile, and lets the copy finish.
func whileCopying(t *testing.T, dir string, meanwhile func(), args ...string) result {
	t.Helper()
	for range attempts {
		stopped := false
		cmd := command(args...)
		r, _ := signalWhen(t, cmd, syscall.SIGCONT, func() bool {
			parts := func() bool {
				all, err := filepath.Glob(filepath.Join(dir, ".*"+partEnd))
				return err == nil && len(all) > 0
			}
			if !parts() {
				return false
			}
			cmd.Process.Signal(syscall.SIGSTOP)
			var status syscall.WaitStatus
			syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
			if stopped = parts(); stopped {
				meanwhile()
			}
			return true
		})
		if stopped {
			return r
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	t.Fatalf("the copy was done before it could be stopped, %d times", attempts)
	return result{}
}

func formatAnew(t testing.TB, device string) {
	t.Helper()
	require.NoError(t, famfs.Format(device, famfs.Force(), famfs.WithSystemUUID(mustUUID(t, host))))
}

// If the device is formatted anew meanwhile, what was read may be from two files. It must not
// count as one.
func TestReformattedMeanwhile(t *testing.T) {
	device, dir := newDevice(t, "256M"), t.TempDir()
	fill := func() {
		formatAnew(t, device)
		asMaster(t, "creat", "-s", "200M", "--seed", "3", device+":/f")
	}
	fill()
	r := whileCopying(t, dir, fill, "cp", device+":/f", filepath.Join(dir, "f"))
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(dir, "f")+": ")
	assert.Contains(t, r.err, "formatted anew")
	assert.Regexp(t, `copied 0 files, 0 B in .*; 1 not copied\n`, r.err)
	assert.Empty(t, names(t, dir))

	// cat has already written, and reports it at the end.
	cmd := command("cat", device+":/f")
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	cmd.Stdout = writer
	require.NoError(t, cmd.Start())
	require.NoError(t, writer.Close())
	_, err = io.CopyN(io.Discard, reader, mib)
	require.NoError(t, err)
	fill()
	_, err = io.Copy(io.Discard, reader)
	require.NoError(t, err)
	cmd.Wait()
	assert.Equal(t, 1, cmd.ProcessState.ExitCode())

	// CopyFS calls Stat of a file with another mode before it commits.
	fsys := readBack(t, device)
	tree := newTree()
	tree.mode = modeValue{mode: 0o600, set: true}
	require.NoError(t, tree.insert("f", &treeNode{name: "f", size: 200 * mib, from: fsys, at: "f"}))
	f, err := tree.Open("f")
	require.NoError(t, err)
	defer f.Close()
	st, err := f.Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, st.Mode())
	formatAnew(t, device)
	_, err = f.Stat()
	assert.ErrorIs(t, err, famfs.ErrReformatted)
}

// A file that somebody else makes during the copy is not replaced without --force. If it has the
// same content, it counts as there already.
func TestCpMadeMeanwhile(t *testing.T) {
	device, dir := newDevice(t, "256M"), t.TempDir()
	asMaster(t, "creat", "-s", "200M", "--seed", "3", device+":/f")
	out := filepath.Join(dir, "f")
	write := func(data []byte) func() {
		return func() { require.NoError(t, os.WriteFile(out, data, 0o600)) }
	}
	r := whileCopying(t, dir, write([]byte("precious")), "cp", device+":/f", out)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, out+": is there already and has 8 bytes instead of ")
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(got))

	require.NoError(t, os.Remove(out))
	same := pattern(200*mib, 3)
	r = whileCopying(t, dir, write(same), "cp", device+":/f", out)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.err, "passed over 1 that were there already, 200 MiB in ")

	require.NoError(t, os.Remove(out))
	r = whileCopying(t, dir, write([]byte("replaced")), "cp", "-f", device+":/f", out)
	assert.Equal(t, 0, r.status, r.err)
	got, err = os.ReadFile(out)
	require.NoError(t, err)
	assert.True(t, string(same) == string(got))

	// If it is a device by then, not even with --force.
	other := filepath.Join(dir, "other")
	asMaster(t, "mkfs", "--create", "64M", other)
	require.NoError(t, os.WriteFile(out, []byte("plain"), 0o600))
	r = whileCopying(t, dir, func() { require.NoError(t, os.Rename(other, out)) }, "cp", "-f", device+":/f", out)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "is a famfs device itself")
	assert.Equal(t, 0, famfsRun(t, "fsck", out).status)
	assert.Equal(t, []string{"f"}, names(t, dir))
}

// Without hard links too, a part replaces only the file that it was made for.
func TestPartFinish(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) fs.FileInfo {
		require.NoError(t, os.WriteFile(at(name), []byte(text), 0o600))
		st, err := os.Stat(at(name))
		require.NoError(t, err)
		return st
	}
	before := write("f", "before")
	p, err := newPart(at("f"), 0o600, nil)
	require.NoError(t, err)
	assert.ErrorIs(t, p.finish(nil), errTaken)
	p, err = newPart(at("f"), 0o600, before)
	require.NoError(t, err)
	require.NoError(t, os.Rename(at("f"), at("old")))
	write("f", "other")
	assert.ErrorIs(t, p.finish(nil), errTaken)
	p, err = newPart(at("f"), 0o600, before)
	require.NoError(t, err)
	require.NoError(t, os.Remove(at("f")))
	require.NoError(t, p.finish(nil), "what it was to replace is gone")
	assert.Equal(t, []string{"f", "old"}, names(t, dir))
}

// If two names lead to one local file, not both are reported as copied.
func TestCpOneFileTwice(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("a"), "t/b": []byte("b"), "t/c": []byte("c"), "t/d": []byte("c"), "t/x/e": []byte("1"), "t/y/e": []byte("2")})
	asMaster(t, "cp", "-r", filepath.Join(src, "t"), device+":/t")
	out := filepath.Join(t.TempDir(), "out")
	writeTree(t, out, map[string][]byte{"b": []byte("before"), "c": []byte("c"), "y/e": []byte("2")})
	require.NoError(t, os.Symlink("b", filepath.Join(out, "a")))
	require.NoError(t, os.Symlink("c", filepath.Join(out, "d")))
	require.NoError(t, os.Symlink("y", filepath.Join(out, "x")))
	r := famfsRun(t, "cp", "-rfT", "-t", "1", device+":/t", out)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(out, "b")+": is one file here with out/a, which is copied too")
	assert.Contains(t, r.err, filepath.Join(out, "y", "e")+": is one file here with out/x/e, which is copied too")
	assert.Contains(t, r.err, "; 2 not copied", "two names with the same content can be one file")
}

// A name of the greatest length works, and its parts are found again.
func TestCpLongName(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "1", device+":/f")
	long := filepath.Join(dir, strings.Repeat("x", maxName))
	left, err := newPart(long, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, left.Close())
	require.NoError(t, left.lock.Close())
	r := famfsRun(t, "cp", device+":/f", long)
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, []string{filepath.Base(long)}, names(t, dir))
}

// A file on the device with the name of a part is an ordinary file.
func TestCpFileLikePart(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	part := ".f.0123456789ab" + partEnd
	asMaster(t, "mkdir", device+":/t")
	asMaster(t, "creat", "-s", "1", device+":/t/f", device+":/t/"+part)
	for range 2 {
		r := famfsRun(t, "cp", "-r", device+":/t", filepath.Join(dir, "t"))
		require.Equal(t, 0, r.status, r.err)
		assert.Equal(t, []string{part, "f"}, names(t, filepath.Join(dir, "t")))
	}
	assert.Contains(t, famfsRun(t, "cp", "-r", device+":/t", filepath.Join(dir, "t")).err, "passed over 2")
}

// Parts are removed also in the directory that a link leads to.
func TestCpLeftBehindLink(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "1", device+":/f")
	writeTree(t, dir, map[string][]byte{"far/real": []byte("xx"), "far/.real.0123456789ab" + partEnd: []byte("half")})
	require.NoError(t, os.Symlink("far/real", filepath.Join(dir, "f")))
	r := famfsRun(t, "cp", "-f", device+":/f", filepath.Join(dir, "f"))
	require.Equal(t, 0, r.status, r.err)
	assert.Equal(t, []string{"real"}, names(t, filepath.Join(dir, "far")))
}
