package main

// What cp says of what it could not copy: before, in --dry-run, in the summary, and what to do.

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// A dry run says which sources cannot be read, and counts neither them nor their space.
func TestDryRunUnreadable(t *testing.T) {
	if runtime.GOOS == "windows" || unprivileged(t) {
		return
	}
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/new": []byte("n"), "t/there": []byte("t"), "t/ok": []byte("o"), "t/d/only": []byte("l")})
	asMaster(t, "cp", filepath.Join(src, "t", "there"), device+":/there")
	for _, name := range []string{"new", "there", "d/only"} {
		require.NoError(t, os.Chmod(filepath.Join(src, "t", name), 0))
	}
	args := []string{"--system-uuid", host, "cp", "-rT", filepath.Join(src, "t"), device + ":/"}
	dry := famfsRun(t, append(args, "--dry-run")...)
	assert.Equal(t, 1, dry.status)
	assert.Equal(t, "copy      "+filepath.Join(src, "t", "ok")+" -> "+device+":/ok\n", dry.out)
	assert.Contains(t, dry.err, "would copy 1 file, replace 0, pass over 0 that are there already; 3 not copied\n1 new file of 1 B takes 2 MiB; 52 MiB free\n")
	r := famfsRun(t, args...)
	assert.Equal(t, 1, r.status)
	assert.Regexp(t, `copied 1 file, 1 B in .*; 3 not copied\n`, r.err)
	for _, name := range []string{"new", "there", "d/only"} {
		want := filepath.Join(src, "t", name) + ": open: permission denied"
		assert.Contains(t, dry.err, want)
		assert.Contains(t, r.err, want)
	}
	r = asMaster(t, "cp", "-n", "--dry-run", filepath.Join(src, "t", "there"), device+":/there")
	assert.Contains(t, r.out, "pass over ", "nobody reads it")
}

// The summary counts bytes of files that are there, not of those that failed.
func TestCpCountsWhole(t *testing.T) {
	t.Parallel()
	device, src, out := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": pattern(2*mib, 1), "t/b": pattern(2*mib, 2), "t/c": pattern(mib, 3)})
	tree := filepath.Join(src, "t")
	asMaster(t, "cp", "-rq", tree, device+":/t")
	changed := pattern(2*mib, 1)
	changed[2*mib-1]++
	writeTree(t, src, map[string][]byte{"t/a": changed, "out/a": changed, "t/d": pattern(mib, 4)})
	require.NoError(t, os.Rename(filepath.Join(src, "out"), filepath.Join(out, "t")))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"to a device":   {[]string{tree, device + ":/t"}, `^copied 1 file, passed over 2 that were there already, 4 MiB in .*; 1 not copied\n`},
		"from a device": {[]string{device + ":/t", filepath.Join(out, "t")}, `^copied 2 files, 3 MiB in .*; 1 not copied\n`},
	} {
		r := famfsRun(t, append([]string{"--system-uuid", host, "cp", "-rT"}, c.args...)...)
		assert.Equal(t, 1, r.status, name)
		assert.Regexp(t, "(?m)"+c.want, r.err, name)
		if name == "to a device" {
			asMaster(t, "rm", device+":/t/d")
		}
	}
}

// A symbolic link to nothing is called that, wherever it is followed.
func TestCpDangling(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/f": []byte("f")})
	link := filepath.Join(src, "t", "link")
	require.NoError(t, os.Symlink("nowhere", link))
	for _, args := range [][]string{{"-rL", filepath.Join(src, "t"), device + ":/t"}, {link, device + ":/"}, {"--pack", link, device + ":/l.zip"}} {
		r := famfsRun(t, append([]string{"--system-uuid", host, "cp"}, args...)...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, link+": is a symbolic link to nowhere, which leads to nothing; mend the link, or leave it out\n")
		assert.NotContains(t, r.err, "check the name")
	}
	assert.Equal(t, []string{"t/f"}, namesOn(t, device))
	assert.Contains(t, famfsRun(t, "--system-uuid", host, "cp", filepath.Join(src, "none"), device+":/").err, "check the name")
}

// What cannot be a file on a device, or be replaced by one, comes with what to do.
func TestCpSaysWhatToDo(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/f")
	r := feed(t, "", "--system-uuid", host, "cp", "--size", "0", "-", device+":/empty")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, device+":/empty: would be empty, and famfs has no empty files; nothing was made")
	if runtime.GOOS != "windows" {
		r = famfsRun(t, "cp", device+":/f", "/dev/stdout")
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "/dev/stdout: is no plain file (p---------); a DEST of - is standard output\n")
	}

	a := &app{command: "famfs mkfs", hinted: map[string]bool{}}
	full := fmt.Errorf("format: the file system that /mnt/d is on has no room for 10 bytes at 0 of it; make room there: %w", famfs.ErrNoSpace)
	for _, about := range []about{aboutDevice, aboutName} {
		hint := a.wayOut(&failure{about, "/mnt/d", filepath.FromSlash("/mnt/d"), full})
		assert.Equal(t, "see what is free there with: df "+filepath.FromSlash("/mnt"), hint)
	}
	assert.Contains(t, a.wayOut(&failure{aboutName, "d:/f", "d", famfs.ErrNoSpace}), "famfs df d")
}

// What is passed over keeps its mode and owner, with -a too. So do directories on a device; local ones
// get those of the source with -a.
func TestCpKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs permission bits")
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	src := filepath.Join(dir, "t")
	writeTree(t, src, map[string][]byte{"f": []byte("f")})
	set := func(perm fs.FileMode, file fs.FileMode) {
		require.NoError(t, os.Chmod(src, perm))
		require.NoError(t, os.Chmod(filepath.Join(src, "f"), file))
	}
	local := func() []fs.FileMode {
		var all []fs.FileMode
		for _, name := range []string{src, filepath.Join(src, "f")} {
			st, err := os.Stat(name)
			require.NoError(t, err)
			all = append(all, st.Mode().Perm())
		}
		return all
	}
	set(0o755, 0o644)
	asMaster(t, "cp", "-aq", src, device+":/t")
	set(0o700, 0o600)
	asMaster(t, "cp", "-aqT", src, device+":/t")
	for name, want := range map[string]string{"t": "0755", "t/f": "0644"} {
		assert.Equal(t, want, parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/"+name)).Mode)
	}
	require.Equal(t, 0, famfsRun(t, "cp", "-rqT", device+":/t", src).status)
	assert.Equal(t, []fs.FileMode{0o700, 0o600}, local())
	require.Equal(t, 0, famfsRun(t, "cp", "-aqT", device+":/t", src).status)
	assert.Equal(t, []fs.FileMode{0o755, 0o600}, local())

	// --force makes a new file, with the mode of the old one.
	hard := filepath.Join(dir, "hard")
	require.NoError(t, os.WriteFile(filepath.Join(src, "f"), []byte("mine"), 0o600))
	require.NoError(t, os.Link(filepath.Join(src, "f"), hard))
	require.Equal(t, 0, famfsRun(t, "cp", "-rfqT", device+":/t", src).status)
	assert.Equal(t, []fs.FileMode{0o755, 0o600}, local())
	got, err := os.ReadFile(hard)
	require.NoError(t, err)
	assert.Equal(t, "mine", string(got))
}
