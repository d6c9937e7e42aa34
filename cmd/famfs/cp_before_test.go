package main

// What cp does before the first byte is copied: -n, -i, --dry-run, the space it takes. Also -p.

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCpNoClobber(t *testing.T) {
	t.Parallel()
	device, src, out := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("old a"), "t/d/b": []byte("old b")})
	asMaster(t, "cp", "-r", filepath.Join(src, "t"), device+":/t")
	writeTree(t, src, map[string][]byte{"t/a": []byte("new a!"), "t/d/b": []byte("new b"), "t/c": []byte("c")})
	r := asMaster(t, "cp", "-rnT", filepath.Join(src, "t"), device+":/t")
	assert.Regexp(t, `^copied 1 file, passed over 2 that were there already, 1 B in `, lastLine(r.err))
	for name, want := range map[string]string{"a": "old a", "d/b": "old b", "c": "c"} {
		assert.Equal(t, want, famfsRun(t, "cat", device+":/t/"+name).out)
	}
	writeTree(t, out, map[string][]byte{"t/a": []byte("mine")})
	r = famfsRun(t, "cp", "-rnT", device+":/t", filepath.Join(out, "t"))
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.err, "copied 2 files, passed over 1 that were there already")
	data, err := os.ReadFile(filepath.Join(out, "t", "a"))
	require.NoError(t, err)
	assert.Equal(t, "mine", string(data))
	for _, other := range []string{"-i", "-f", "--replace"} {
		assert.Equal(t, 2, famfsRun(t, "cp", "-n", other, src+"/t/a", device+":/x").status)
	}
}

// With -i only what the user lets is replaced, and nobody is asked about what is the same.
func TestCpAsks(t *testing.T) {
	t.Parallel()
	device, src, out := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("old"), "t/b": []byte("old"), "t/same": []byte("same"), "t/z": []byte("old")})
	asMaster(t, "cp", "-r", filepath.Join(src, "t"), device+":/t")
	writeTree(t, src, map[string][]byte{"t/a": []byte("new"), "t/b": []byte("longer"), "t/z": []byte("new"), "t/more": []byte("m")})
	r := feed(t, "n\nyes\n", "--system-uuid", host, "cp", "-riT", filepath.Join(src, "t"), device+":/t")
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, 3, strings.Count(r.err, " has other content: replace it? [y/N] "), r.err)
	assert.NotContains(t, r.err, "same has other")
	assert.Contains(t, r.err, "copied 2 files, passed over 3 that were there already")
	for name, want := range map[string]string{"a": "old", "b": "longer", "z": "old", "more": "m", "same": "same"} {
		assert.Equal(t, want, famfsRun(t, "cat", device+":/t/"+name).out, name)
	}
	writeTree(t, out, map[string][]byte{"t/a": []byte("mine"), "t/b": []byte("mine")})
	r = feed(t, "y\n", "cp", "-riT", device+":/t", filepath.Join(out, "t"))
	assert.Equal(t, 0, r.status, r.err)
	for name, want := range map[string]string{"a": "old", "b": "mine", "z": "old"} {
		data, err := os.ReadFile(filepath.Join(out, "t", name))
		require.NoError(t, err)
		assert.Equal(t, want, string(data), name)
	}
}

func TestCpDryRun(t *testing.T) {
	t.Parallel()
	device, src, out := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("a"), "t/b": []byte("old"), "t/d/c": []byte("c"), "t/big": pattern(60*mib, 1)})
	asMaster(t, "cp", filepath.Join(src, "t", "a"), filepath.Join(src, "t", "b"), device+":/")
	writeTree(t, src, map[string][]byte{"t/b": []byte("new")})
	before, err := os.ReadFile(device)
	require.NoError(t, err)
	source := func(name string) string { return filepath.Join(src, "t", filepath.FromSlash(name)) }

	r := famfsRun(t, "--system-uuid", host, "cp", "-rT", "--dry-run", source("."), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "pass over "+source("a")+" -> "+device+":/a\ncopy      "+source("d/c")+" -> "+device+":/d/c\n", r.out)
	assert.Contains(t, r.err, source("big")+": does not fit: it takes 60 MiB, and 50 MiB would be free")
	assert.Contains(t, r.err, device+":/b: is there already, and has other content")
	assert.Contains(t, r.err, "would copy 1 file, replace 0, pass over 1 that are there already; 2 not copied\n1 new file of 1 B takes 2 MiB; 50 MiB free\n")

	require.NoError(t, os.Remove(source("big")))
	r = famfsRun(t, "--system-uuid", host, "cp", "-rT", "--dry-run", "--replace", "--json", source("."), device+":/")
	assert.Equal(t, 0, r.status, r.err)
	planned := parse[dryRunJSON](t, r)
	assert.Equal(t, dryRunJSON{[]plannedJSON{
		{source("a"), device + ":/a", 1, "pass over"}, {source("b"), device + ":/b", 3, "replace"}, {source("d/c"), device + ":/d/c", 1, "copy"},
	}, 4 * mib, 50 * mib, 0, []failureJSON{}}, planned)

	r = famfsRun(t, "cp", "--dry-run", source("a"), device+":/x")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "this host is not the master")
	after, err := os.ReadFile(device)
	require.NoError(t, err)
	assert.True(t, string(before) == string(after), "nothing was written")

	writeTree(t, out, map[string][]byte{"a": []byte("a"), "b": []byte("mine")})
	r = famfsRun(t, "cp", "-rT", "--dry-run", "-f", device+":/", out)
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, "pass over "+device+":/a -> "+filepath.Join(out, "a")+"\nreplace   "+device+":/b -> "+filepath.Join(out, "b")+"\n", r.out)
	assert.Equal(t, []string{"a", "b"}, names(t, out))
	data, err := os.ReadFile(filepath.Join(out, "b"))
	require.NoError(t, err)
	assert.Equal(t, "mine", string(data))
}

// How much space a copy takes is said before it starts, and what to do about many small files.
func TestCpSaysSpace(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"small/a": []byte("a"), "small/b": []byte("b"), "large/a": pattern(3*mib, 1), "large/b": pattern(2*mib, 2)})
	r := asMaster(t, "cp", "-r", filepath.Join(src, "small"), device+":/")
	assert.Equal(t, []string{"famfs cp: 2 new files of 2 B take 4 MiB; 54 MiB free", "    each file takes whole units of 2 MiB: --pack makes one file of a tree"}, lines(r.err)[:2])
	r = asMaster(t, "cp", "-r", filepath.Join(src, "large"), filepath.Join(src, "small"), device+":/")
	assert.Equal(t, "famfs cp: 2 new files of 5 MiB take 6 MiB; 50 MiB free", lines(r.err)[0])
	assert.NotContains(t, r.err, "--pack")
	for _, quiet := range []string{"-q", "--json"} {
		assert.Empty(t, asMaster(t, "cp", "-r", quiet, filepath.Join(src, "large"), device+":/"+quiet).err)
	}
	assert.NotContains(t, asMaster(t, "cp", filepath.Join(src, "small", "a"), device+":/one").err, "new file")
}

// Owners and modes are kept with -p, in and out.
func TestCpPreserves(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, who may give files away")
	}
	device, other, src, out := newDevice(t, "64M"), newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/d/f": []byte("f"), "t/g": []byte("g")})
	for name, owner := range map[string]int{"t": 11, "t/d": 12, "t/d/f": 13, "t/g": 14} {
		full := filepath.Join(src, name)
		require.NoError(t, os.Chown(full, owner, owner+100))
		require.NoError(t, os.Chmod(full, map[bool]fs.FileMode{true: 0o751, false: 0o640}[len(name) < 4]))
	}
	require.NoError(t, os.Chmod(filepath.Join(src, "t", "g"), 0o755|fs.ModeSetuid))
	asMaster(t, "cp", "-a", filepath.Join(src, "t"), device+":/t")
	asMaster(t, "cp", "-a", device+":/t", other+":/t")
	require.Equal(t, 0, famfsRun(t, "cp", "-a", other+":/t", filepath.Join(out, "t")).status)
	for name, owner := range map[string]uint32{"t": 11, "t/d": 12, "t/d/f": 13, "t/g": 14} {
		want, err := os.Stat(filepath.Join(src, name))
		require.NoError(t, err)
		for _, d := range []string{device, other} {
			n := parse[nodeJSON](t, famfsRun(t, "stat", "--json", d+":/"+name))
			assert.Equal(t, []uint32{owner, owner + 100}, []uint32{n.UID, n.GID}, name)
			assert.Equal(t, fmt.Sprintf("%04o", octal(want.Mode())), n.Mode, name)
		}
		st, err := os.Stat(filepath.Join(out, name))
		require.NoError(t, err)
		uid, gid, _ := localOwner(st)
		assert.Equal(t, []uint32{owner, owner + 100}, []uint32{uid, gid}, name)
		assert.Equal(t, want.Mode(), st.Mode(), name)
	}
	// What is asked for goes before; without -p files are the caller's.
	asMaster(t, "cp", "-p", "-u", "7", filepath.Join(src, "t", "g"), device+":/seven")
	asMaster(t, "cp", filepath.Join(src, "t", "g"), device+":/plain")
	assert.EqualValues(t, 7, parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/seven")).UID)
	assert.EqualValues(t, 0, parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/plain")).UID)
}

// Who may not give files away keeps them, without setuid, and the copy is done.
func TestCpPreservesAsAnother(t *testing.T) {
	if runtime.GOOS == "windows" || unprivileged(t) {
		return
	}
	device, out := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "10", "-u", "1", "-g", "2", "-m", "4751", device+":/f")
	r := famfsRun(t, "cp", "-p", device+":/f", out)
	assert.Equal(t, 0, r.status, r.err)
	st, err := os.Stat(filepath.Join(out, "f"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o751), st.Mode())
}

// A file from standard input, of a size that is said or that it has, and one to standard output.
func TestCpStream(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	data := string(pattern(3*mib, 7))
	as := []string{"--system-uuid", host, "cp"}
	r := feed(t, data, append(as, "--size", "3M", "-m", "0600", "-u", "7", "-", device+":/f")...)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.err, "copied 1 file, 3 MiB in ")
	n := parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/f"))
	assert.Equal(t, []any{"0600", uint32(7)}, []any{n.Mode, n.UID})
	assert.True(t, famfsRun(t, "cp", device+":/f", "-").out == data)

	for _, c := range []struct{ size, want string }{
		{"2M", "standard input has more than the 2097152 bytes of --size; nothing was made"},
		{"4M", "standard input ended after 3145728 of 4194304 bytes; nothing was made"},
		{"60M", "no space left"},
	} {
		r = feed(t, data, append(as, "--size", c.size, "-", device+":/g")...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, device+":/g: ")
		assert.Contains(t, r.err, c.want)
	}
	assert.Equal(t, "f\n", famfsRun(t, "ls", device).out)
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)

	r = feed(t, "other", append(as, "--size", "5", "-", device+":/f")...)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "exists")
	assert.Contains(t, r.err, "--replace")
	assert.Equal(t, 0, feed(t, "other", append(as, "-n", "--size", "5", "-", device+":/f")...).status)
	r = feed(t, "other", append(as, "--replace", "--json", "--size", "5", "-", device+":/f")...)
	assert.Equal(t, copyJSON{Files: 1, Bytes: 5, Copied: 1, Errors: []failureJSON{}}, parse[copyJSON](t, r))
	assert.Equal(t, "other", famfsRun(t, "cat", device+":/f").out)

	// A file has its size, behind where it is read from.
	name := filepath.Join(dir, "in")
	require.NoError(t, os.WriteFile(name, []byte("skip-rest"), 0o600))
	in, err := os.Open(name)
	require.NoError(t, err)
	defer in.Close()
	_, err = in.Seek(5, 0)
	require.NoError(t, err)
	cmd := command(append(as, "-q", "-", device+":/rest")...)
	cmd.Stdin = in
	assert.Equal(t, result{}, finish(t, cmd))
	assert.Equal(t, "rest", famfsRun(t, "cat", device+":/rest").out)

	r = feed(t, "x", append(as, "-", device+":/pipe")...)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "standard input has no size, which files need at once: say it with --size")
	for _, args := range [][]string{
		{"-", "-"}, {"-", name}, {"-", name, device + ":/"}, {"--dry-run", "-", device + ":/x"}, {"-i", "-", device + ":/x"}, {"--size", "5", name, device + ":/x"},
	} {
		assert.Equal(t, 2, feed(t, "x", append(append(as, "--size", "1"), args...)...).status, args)
	}
	asMaster(t, "mkdir", device+":/d")
	for _, dir := range []string{":/d", ":/d/"} {
		r = feed(t, "x", append(as, "--size", "1", "-", device+dir)...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, "is a directory; name the file")
	}
}

// Progress as lines of JSON, for programs.
func TestCpProgressJSON(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("a"), "t/b": pattern(3*mib, 1), "t/c": {}})
	asMaster(t, "cp", filepath.Join(src, "t/a"), device+":/a")
	r := famfsRun(t, "--system-uuid", host, "cp", "-rT", "--progress", "json", filepath.Join(src, "t"), device+":/")
	assert.Equal(t, 1, r.status, "one is empty")
	var seen []progressJSON
	for _, line := range lines(r.out) {
		var p progressJSON
		require.NoError(t, json.Unmarshal([]byte(line), &p), line)
		seen = append(seen, p)
	}
	require.Len(t, seen, 4)
	assert.Equal(t, "start", seen[0].Event)
	assert.Equal(t, []any{2, int64(3*mib + 1)}, []any{seen[0].Files, seen[0].Size})
	there := map[string]bool{}
	for _, p := range seen[1:3] {
		assert.Equal(t, "file", p.Event)
		there[p.File] = p.There
	}
	assert.Equal(t, map[string]bool{device + ":/a": true, device + ":/b": false}, there)
	end := seen[3]
	assert.Equal(t, []any{"end", 2, int64(3*mib + 1)}, []any{end.Event, end.Done, end.Bytes})
	assert.NotContains(t, r.err, "copied 1")

	assert.NotContains(t, asMaster(t, "cp", "--progress", "none", filepath.Join(src, "t/a"), device+":/n").err, "copied")
	assert.Contains(t, asMaster(t, "cp", "--progress", "bar", filepath.Join(src, "t/a"), device+":/m").err, "█")
	assert.Equal(t, 2, famfsRun(t, "cp", "--progress", "loud", "x", "y").status)
}
