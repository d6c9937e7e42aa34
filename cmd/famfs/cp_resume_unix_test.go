//go:build unix

package main

// Copies that are killed, hung up on, or run several at a time: the same command continues in
// the same place as the first time, and leaves nothing behind.

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// records lists the records of running copies.
func records(t testing.TB, home string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(home, "famfs"))
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// A copy that was killed before a file was whole has made DEST, and DEST is still the copy.
func TestCpKilledAtOnce(t *testing.T) {
	dir, home := testDir(t), t.TempDir()
	src := filepath.Join(dir, "src")
	writeTree(t, src, map[string][]byte{"f1": pattern(256*mib, 1)})
	for range attempts {
		device := newDevice(t, "512M")
		args := []string{"--system-uuid", host, "cp", "-q", "-r", src, device + ":/model"}
		cmd := command(args...)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+home)
		reader, err := famfs.Open(device)
		require.NoError(t, err)
		_, inTime := signalWhen(t, cmd, syscall.SIGKILL, func() bool {
			reader.Refresh()
			return reader.Usage().Dirs > 0
		})
		there := reader.Usage().Files
		require.NoError(t, reader.Close())
		if !inTime || there > 0 || len(namesOn(t, device)) > 0 {
			continue
		}
		require.Len(t, records(t, home), 1)
		again := command(args...)
		again.Env = append(again.Env, "XDG_STATE_HOME="+home)
		r := finish(t, again)
		require.Equal(t, 0, r.status, r.err)
		assert.Equal(t, []string{"model/f1"}, namesOn(t, device))
		assert.Empty(t, records(t, home), "it is done")
		return
	}
	t.Fatalf("the copy was done before it could be killed, %d times", attempts)
}

// A copy from a device that was killed or hung up on is resumed in DEST, and its parts are removed.
func TestCpOutKilled(t *testing.T) {
	dir := testDir(t)
	device := newDevice(t, "512M")
	asMaster(t, "mkdir", device+":/src")
	for _, f := range []string{"f1", "f2", "f3"} {
		asMaster(t, "creat", "-s", "64M", "--seed", "3", device+":/src/"+f)
	}
	for name, c := range map[string]struct {
		signal syscall.Signal
		ready  string // is there, in part or whole
		parts  int
		status int
	}{
		"killed in the first": {syscall.SIGKILL, "f1", 1, -1},
		"killed in the next":  {syscall.SIGKILL, "f2", 1, -1},
		"hung up on":          {syscall.SIGHUP, "f2", 0, 129},
		"terminated":          {syscall.SIGTERM, "f1", 0, 143},
	} {
		t.Run(name, func(t *testing.T) {
			for range attempts {
				out := filepath.Join(dir, "out")
				require.NoError(t, os.RemoveAll(out))
				args := []string{"cp", "-q", "-t", "1", "-r", device + ":/src", out}
				r, inTime := signalWhen(t, command(args...), c.signal, func() bool {
					entries, _ := os.ReadDir(out)
					return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), "."+c.ready+".") })
				})
				parts, err := filepath.Glob(filepath.Join(out, ".*"+partEnd))
				require.NoError(t, err)
				if !inTime || len(parts) != c.parts {
					continue
				}
				assert.Equal(t, c.status, r.status, r.err)
				r = famfsRun(t, args...)
				require.Equal(t, 0, r.status, r.err)
				assert.Equal(t, []string{"f1", "f2", "f3"}, names(t, out), "nothing more, and no part")
				assert.Equal(t, 0, famfsRun(t, "verify", "-q", "--against", device+":/src", device+":/src").status)
				return
			}
			t.Fatalf("the copy was done before it could be ended, %d times", attempts)
		})
	}
}

// Several runs of the same copy at a time give one copy.
func TestCpAtOnce(t *testing.T) {
	t.Parallel()
	src := filepath.Join(t.TempDir(), "par")
	tree := make(map[string][]byte)
	for i := range 40 {
		tree[string(rune('A'+i))] = pattern(256<<10, uint64(i))
	}
	writeTree(t, src, tree)
	for range 3 {
		device, out := newDevice(t, "256M"), filepath.Join(t.TempDir(), "out")
		var running sync.WaitGroup
		for range 3 {
			running.Go(func() {
				r := famfsRun(t, "--system-uuid", host, "cp", "-q", "-r", src, device+":/p")
				assert.Equal(t, 0, r.status, r.err)
			})
		}
		running.Wait()
		all := namesOn(t, device)
		assert.Len(t, all, len(tree))
		assert.NotContains(t, strings.Join(all, " "), "p/par")
		for range 3 {
			running.Go(func() {
				r := famfsRun(t, "cp", "-q", "-r", device+":/p", out)
				assert.Equal(t, 0, r.status, r.err)
			})
		}
		running.Wait()
		assert.Len(t, names(t, out), len(tree), "no directory in it, and no part")
	}
}

// A signal that was ignored when the command was started, as with nohup, stays ignored.
func TestIgnoredSignal(t *testing.T) {
	device, dir := newDevice(t, "256M"), testDir(t)
	asMaster(t, "creat", "-s", "100M", "--seed", "3", device+":/f")
	cmd := command("cp", "-q", device+":/f", filepath.Join(dir, "f"))
	cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	r, _ := signalWhen(t, cmd, syscall.SIGHUP, func() bool {
		entries, _ := os.ReadDir(dir)
		return len(entries) > 0
	})
	assert.Equal(t, 0, r.status, r.err)
	assert.FileExists(t, filepath.Join(dir, "f"))
}

// A file that is written to during the copy is not made, because it would be a mixture of states.
func TestCpChanged(t *testing.T) {
	dir := testDir(t)
	src := filepath.Join(dir, "t")
	writeTree(t, src, map[string][]byte{"log": pattern(64*mib, 1), "still": []byte("still")})
	log, err := os.OpenFile(filepath.Join(src, "log"), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer log.Close()
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				log.Write([]byte("more\n"))
			}
		}
	})
	device := newDevice(t, "512M")
	run := func(args ...string) result {
		return famfsRun(t, append([]string{"--system-uuid", host, "cp", "-r", src, device + ":/"}, args...)...)
	}
	failed, skipped := run(), run("--skip-changed")
	close(stop)
	writing.Wait()
	assert.Equal(t, 1, failed.status)
	assert.Contains(t, failed.err, filepath.Join(src, "log")+": ")
	assert.Contains(t, failed.err, "changed while it was copied")
	assert.Regexp(t, `copied 1 file, 5 B in .*; 1 not copied\n`, failed.err, "bytes of files that are there")
	assert.Equal(t, 0, skipped.status, skipped.err)
	assert.Contains(t, skipped.err, filepath.Join(src, "log")+": changed while it was copied: passed over\n")
	assert.Contains(t, skipped.err, "passed over 1 that changed")
	assert.Equal(t, []string{"t/still"}, namesOn(t, device))
	summary := parse[copyJSON](t, run("--json", "--skip-changed"))
	assert.Equal(t, []int{1, 1, 0, 0}, []int{summary.Copied, summary.Passed, summary.Changed, summary.NotCopied})
}

// What is left of a copy that made nothing does not affect the next one.
func TestCpNothingBegun(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, dir, home := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	asMaster(t, "mkdir", device+":/t")
	asMaster(t, "creat", "-s", "1", device+":/t/f")
	out := filepath.Join(dir, "closed", "out")
	require.NoError(t, os.Mkdir(filepath.Dir(out), 0o500))
	run := func() result {
		cmd := command("cp", "-r", device+":/t", out)
		cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+home)
		return finish(t, cmd)
	}
	assert.Equal(t, 1, run().status)
	assert.Empty(t, records(t, home))
	require.NoError(t, os.Chmod(filepath.Dir(out), 0o700))
	require.NoError(t, os.Mkdir(out, 0o755))
	assert.Equal(t, 0, run().status)
	assert.FileExists(t, filepath.Join(out, "t", "f"))
}

// A copy continues in directories that it made, even if their owner may not write to them.
func TestCpResumesReadOnly(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "mkdir", "-m", "0555", device+":/t")
	asMaster(t, "mkdir", "-m", "0500", device+":/t/d")
	asMaster(t, "creat", "-s", "1", device+":/t/f", device+":/t/d/f")
	out := filepath.Join(dir, "out")
	require.Equal(t, 0, famfsRun(t, "cp", "-r", device+":/t", out).status)
	open := func(mode fs.FileMode) {
		require.NoError(t, os.Chmod(out, mode))
		require.NoError(t, os.Chmod(filepath.Join(out, "d"), mode))
	}
	open(0o700)
	t.Cleanup(func() { open(0o700) })
	require.NoError(t, os.Remove(filepath.Join(out, "f")))
	require.NoError(t, os.Remove(filepath.Join(out, "d", "f")))
	require.NoError(t, os.Chmod(filepath.Join(out, "d"), 0o500))
	require.NoError(t, os.Chmod(out, 0o555))
	r := famfsRun(t, "cp", "-rT", device+":/t", out)
	assert.Equal(t, 0, r.status, r.err)
	for name, want := range map[string]fs.FileMode{"": 0o555, "d": 0o500} {
		st, err := os.Stat(filepath.Join(out, name))
		require.NoError(t, err)
		assert.Equal(t, want, st.Mode().Perm())
	}
	assert.FileExists(t, filepath.Join(out, "f"))
	assert.FileExists(t, filepath.Join(out, "d", "f"))
}
