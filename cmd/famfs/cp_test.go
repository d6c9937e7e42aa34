package main

// Copying: where things go, what is refused, and how a copy is resumed.

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// namesOn lists all files of a device.
func namesOn(t testing.TB, device string) []string {
	t.Helper()
	var names []string
	require.NoError(t, fs.WalkDir(readBack(t, device), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}

func cpFails(t testing.TB, want string, args ...string) {
	t.Helper()
	r := famfsRun(t, append([]string{"--system-uuid", host, "cp"}, args...)...)
	assert.Equal(t, 1, r.status, args)
	assert.Contains(t, r.err, want, args)
}

// Copies go to the same place as with the usual cp.
func TestCpPlaces(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	writeTree(t, src, map[string][]byte{"one": []byte("1"), "two": []byte("22"), "tree/a": []byte("a"), "tree/sub/b": []byte("b")})
	one, two, tree := filepath.Join(src, "one"), filepath.Join(src, "two"), filepath.Join(src, "tree")
	for _, c := range []struct {
		args []string // after cp; @ is the device
		want []string
	}{
		{[]string{one, "@:/copy"}, []string{"copy"}},
		{[]string{one, "@:"}, []string{"one"}},
		{[]string{one, "@:/dir"}, []string{"dir/one"}},
		{[]string{one, "@:dir/"}, []string{"dir/one"}},
		{[]string{one, two, "@:/dir"}, []string{"dir/one", "dir/two"}},
		{[]string{"-r", tree, "@:/"}, []string{"tree/a", "tree/sub/b"}},
		{[]string{"-r", tree, "@:/copy"}, []string{"copy/a", "copy/sub/b"}},
		{[]string{"-r", tree, "@:/copy/"}, []string{"copy/a", "copy/sub/b"}},
		{[]string{"-r", tree, "@:/dir"}, []string{"dir/tree/a", "dir/tree/sub/b"}},
		{[]string{"-r", tree + "/.", "@:/dir"}, []string{"dir/a", "dir/sub/b"}},
		{[]string{"-rT", tree, "@:/dir"}, []string{"dir/a", "dir/sub/b"}},
		{[]string{"-r", tree, one, "@:/dir"}, []string{"dir/one", "dir/tree/a", "dir/tree/sub/b"}},
		{[]string{"-r", tree, "@:/tree"}, []string{"tree/a", "tree/sub/b"}},
	} {
		device := newDevice(t, "64M")
		asMaster(t, "mkdir", device+":/dir")
		args := []string{"cp"}
		for _, a := range c.args {
			args = append(args, strings.ReplaceAll(a, "@", device))
		}
		for range 2 { // the second time everything is there
			r := asMaster(t, args...)
			if strings.HasPrefix(c.args[len(c.args)-1], "@:/copy/") {
				break // a slash says: into it
			}
			assert.Equal(t, c.want, namesOn(t, device), "%v: %s", c.args, r.err)
		}
	}

	device := newDevice(t, "64M")
	asMaster(t, "cp", one, device+":/file")
	cpFails(t, "is a directory; copy it with -r", tree, device+":/")
	cpFails(t, "does not exist", one, device+":/no/dir")
	cpFails(t, "no directory to copy into", one, device+":/no/")
	cpFails(t, "no directory to copy into", one, two, device+":/no")
	cpFails(t, "not a directory", one, two, device+":/file")
	cpFails(t, "not a directory", "-r", tree, device+":/file")
	cpFails(t, "no such file", filepath.Join(src, "missing"), device+":/x")
	cpFails(t, "no such file", one, filepath.Join(src, "nodevice")+":/x")
	r := famfsRun(t, "cp", one, two)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "neither")
	assert.Equal(t, []string{"file"}, namesOn(t, device))
}

func TestCpModesAndOptions(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "256M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/run": pattern(100, 1), "t/wide": pattern(9*mib, 2)})
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Chmod(filepath.Join(src, "t/run"), 0o750))
		require.NoError(t, os.Chmod(filepath.Join(src, "t"), 0o711))
	}
	asMaster(t, "cp", "-r", "-N", "4", "-B", "8", "-C", "2M", "-t", "3", filepath.Join(src, "t"), device+":/t")
	fsys := readBack(t, device)
	st, err := fsys.Stat("t/run")
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		assert.EqualValues(t, 0o750, st.Mode().Perm())
		dir, err := fsys.Stat("t")
		require.NoError(t, err)
		assert.EqualValues(t, 0o711, dir.Mode().Perm())
	}
	st, err = fsys.Stat("t/wide")
	require.NoError(t, err)
	l := st.Sys().(*famfs.Attr).Layout
	assert.EqualValues(t, 2*mib, l.Chunk)
	assert.Len(t, l.Extents, 4)
	asMaster(t, "cp", "-m", "0640", "-u", "5", "-g", "6", filepath.Join(src, "t/run"), device+":/owned")
	n := parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/owned"))
	assert.Equal(t, []any{"0640", uint32(5), uint32(6)}, []any{n.Mode, n.UID, n.GID})
	// Owners apply to directories too, modes only to files.
	asMaster(t, "cp", "-r", "-m", "0640", "-u", "5", "-g", "6", filepath.Join(src, "t"), device+":/all")
	dir := parse[[]nodeJSON](t, famfsRun(t, "ls", "-d", "--json", device+":/all"))[0]
	want := "0711"
	if runtime.GOOS == "windows" {
		want = dir.Mode
	}
	assert.Equal(t, []any{"directory", want, uint32(5), uint32(6)}, []any{dir.Type, dir.Mode, dir.UID, dir.GID})
	for _, n := range parse[[]nodeJSON](t, famfsRun(t, "ls", "--json", device+":/all")) {
		assert.Equal(t, []any{"0640", uint32(5), uint32(6)}, []any{n.Mode, n.UID, n.GID}, n.Path)
	}
	r := asMaster(t, "cp", "-q", filepath.Join(src, "t/run"), device+":/quiet")
	assert.Empty(t, r.out+r.err)
	r = asMaster(t, "cp", filepath.Join(src, "t/run"), device+":/loud")
	assert.Regexp(t, `^copied 1 file, 100 B in `, r.err)
	r = asMaster(t, "cp", "-v", filepath.Join(src, "t/run"), device+":/louder")
	assert.Contains(t, r.err, device+":/louder\n")
	summary := parse[copyJSON](t, asMaster(t, "cp", "--json", filepath.Join(src, "t/run"), device+":/loud"))
	assert.Equal(t, copyJSON{Files: 1, Bytes: 100, Passed: 1, Errors: []failureJSON{}}, summary)
}

// What famfs cannot hold is refused, each file with the reason, and the rest is copied.
func TestCpRefuses(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	long := strings.Repeat("x", 100)
	writeTree(t, src, map[string][]byte{"t/good": []byte("good"), "t/empty": {}, "t/sub/better": []byte("b"), "t/" + long: []byte("l")})
	args := []string{"--system-uuid", host, "cp", "-r", filepath.Join(src, "t"), device + ":/t"}
	if err := os.Symlink("good", filepath.Join(src, "t/link")); err == nil {
		r := famfsRun(t, args...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, filepath.Join(src, "t", "link")+": is a symbolic link")
		assert.Contains(t, r.err, "-L")
		r = famfsRun(t, append(args, "-L")...)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, namesOn(t, device), "t/link")
	}
	r := famfsRun(t, args...)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(src, "t", "empty")+": is empty, and famfs has no empty files")
	assert.Contains(t, r.err, "path of 102 bytes, want at most 79")
	names := namesOn(t, device)
	assert.Contains(t, names, "t/good")
	assert.Contains(t, names, "t/sub/better")

	// A file that is there with other content is refused, and does not change.
	writeTree(t, src, map[string][]byte{"t/good": []byte("evil"), "t/sub/better": []byte("longer")})
	r = famfsRun(t, args...)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "t/good is there already and has other content")
	assert.Contains(t, r.err, "t/sub/better is there already and has 1 bytes instead of 6")
	assert.Equal(t, "good", famfsRun(t, "cat", device+":/t/good").out)
}

func TestCpOut(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "128M"), t.TempDir()
	src := filepath.Join(dir, "src")
	files := map[string][]byte{"big": pattern(9*mib+7, 1), "sub/one": []byte("1"), "sub/ro": []byte("ro")}
	writeTree(t, src, files)
	require.NoError(t, os.Chmod(filepath.Join(src, "sub/ro"), 0o444))
	asMaster(t, "cp", "-r", "-N", "2", src, device+":/src")

	out := filepath.Join(dir, "out")
	r := famfsRun(t, "cp", "-r", device+":/src", out)
	require.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.err, "copied 3 files, 9 MiB in ")
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name)))
		require.NoError(t, err)
		assert.Equal(t, data, got, name)
	}
	if runtime.GOOS != "windows" {
		st, err := os.Stat(filepath.Join(out, "sub/ro"))
		require.NoError(t, err)
		assert.EqualValues(t, 0o444, st.Mode().Perm())
	}

	// Again: existing files are passed over, missing ones are copied, different ones are
	// refused, or replaced with --force.
	require.NoError(t, os.Remove(filepath.Join(out, "sub/one")))
	r = famfsRun(t, "cp", "-r", device+":/src", out)
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.err, "copied 1 file, passed over 2 that were there already")
	require.NoError(t, os.WriteFile(filepath.Join(out, "sub/one"), []byte("2"), 0o644))
	r = famfsRun(t, "cp", "-r", device+":/src", out)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(out, "sub", "one"))
	assert.Contains(t, r.err, "has other content; --force replaces files")
	assert.Equal(t, 0, famfsRun(t, "cp", "-rf", device+":/src", out).status)
	got, err := os.ReadFile(filepath.Join(out, "sub/one"))
	require.NoError(t, err)
	assert.Equal(t, "1", string(got))

	// Into a directory; to a file; and nothing else is left.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "into"), 0o755))
	assert.Equal(t, 0, famfsRun(t, "cp", "-r", device+":/src/sub", device+":/src/big", filepath.Join(dir, "into")).status)
	assert.Equal(t, 0, famfsRun(t, "cp", device+":/src/sub/one", filepath.Join(dir, "into", "uno")).status)
	var found []string
	require.NoError(t, filepath.WalkDir(filepath.Join(dir, "into"), func(p string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			rel, _ := filepath.Rel(filepath.Join(dir, "into"), p)
			found = append(found, filepath.ToSlash(rel))
		}
		return err
	}))
	assert.Equal(t, []string{"big", "sub/one", "sub/ro", "uno"}, found)
}

func TestCpBetweenDevices(t *testing.T) {
	t.Parallel()
	from, to, src := newDevice(t, "64M"), newDevice(t, "128M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"d/a": pattern(3*mib, 4), "d/e/b": []byte("b")})
	asMaster(t, "cp", "-r", filepath.Join(src, "d"), from+":/d")
	asMaster(t, "cp", "-r", from+":/d", to+":/d")
	assert.Equal(t, 0, famfsRun(t, "verify", "--against", from+":/d", to+":/d").status)
	asMaster(t, "cp", "-r", to+":/d", to+":/again") // within one
	assert.Equal(t, 0, famfsRun(t, "verify", "--against", filepath.Join(src, "d"), to+":/again").status)
	asMaster(t, "cp", "-r", from+":", to+":/all")
	assert.Equal(t, []string{"again/a", "again/e/b", "all/d/a", "all/d/e/b", "d/a", "d/e/b"}, namesOn(t, to))
}

// An interrupted copy leaves no half file, whatever the name of DEST, and continues in the same
// place.
func TestCpResumes(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), filepath.Join(t.TempDir(), "models")
	writeTree(t, src, map[string][]byte{"a": pattern(mib, 1), "b": pattern(mib, 2), "sub/c": pattern(mib, 3)})
	asMaster(t, "mkdir", device+":/renamed", device+":/models")
	asMaster(t, "cp", filepath.Join(src, "a"), device+":/renamed") // as an interrupted copy leaves it
	asMaster(t, "cp", "-r", src, device+":/renamed")
	asMaster(t, "cp", "-r", src, device+":/models")
	assert.Equal(t, []string{"models/a", "models/b", "models/sub/c", "renamed/a", "renamed/b", "renamed/sub/c"}, namesOn(t, device))
	// A part of a killed copy says nothing about the meaning of DEST.
	out := filepath.Join(t.TempDir(), "out")
	writeTree(t, out, map[string][]byte{"a": pattern(mib, 1), ".b.0123456789ab" + partEnd: []byte("half")})
	require.Equal(t, 0, famfsRun(t, "cp", "-r", device+":/models", out).status)
	assert.Equal(t, []string{"a", "b", "sub"}, names(t, out))
	// A directory with something else in it is a directory to copy into.
	asMaster(t, "mkdir", device+":/box")
	asMaster(t, "creat", "-s", "1", device+":/box/else")
	for range 2 {
		asMaster(t, "cp", "-r", src, device+":/box")
	}
	assert.Equal(t, "else\nmodels\n", famfsRun(t, "ls", device+":/box").out)
}

// A tree that contains a directory of its own name is not mistaken for the copy.
func TestCpResumesOwnName(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), filepath.Join(t.TempDir(), "m")
	writeTree(t, src, map[string][]byte{"m/one": []byte("1"), "two": []byte("2")})
	for range 2 {
		asMaster(t, "cp", "-r", src, device+":/m")
		assert.Equal(t, []string{"m/m/one", "m/two"}, namesOn(t, device))
	}
}

// The same command means the same the second time, whatever was there the first time.
func TestCpTwice(t *testing.T) {
	t.Parallel()
	src := filepath.Join(t.TempDir(), "src")
	writeTree(t, src, map[string][]byte{"a": []byte("1"), "d/b": []byte("2")})
	for name, c := range map[string]struct {
		dest   string // @ is the device
		before []string
		want   []string
	}{
		"new":           {"@:/x", nil, []string{"x/a", "x/d/b"}},
		"empty":         {"@:/x", []string{"@:/x"}, []string{"x/src/a", "x/src/d/b"}},
		"other":         {"@:/x", []string{"@:/x/other"}, []string{"x/src/a", "x/src/d/b"}},
		"slash, exists": {"@:/x/", []string{"@:/x"}, []string{"x/src/a", "x/src/d/b"}},
		"own name":      {"@:/src", []string{"@:/src"}, []string{"src/a", "src/d/b"}},
		"root":          {"@:/", nil, []string{"src/a", "src/d/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			device := newDevice(t, "64M")
			for _, dir := range c.before {
				asMaster(t, "mkdir", "-p", strings.ReplaceAll(dir, "@", device))
			}
			for range 3 {
				asMaster(t, "cp", "-r", src, strings.ReplaceAll(c.dest, "@", device))
				assert.Equal(t, c.want, namesOn(t, device))
			}
			// And out again, to the same places.
			out := t.TempDir()
			local := func(s string) string { return strings.ReplaceAll(s, "@:", out) }
			for _, dir := range c.before {
				require.NoError(t, os.MkdirAll(local(dir), 0o755))
			}
			from := device + ":/src-again"
			asMaster(t, "cp", "-r", src, from)
			var first []string
			for range 3 {
				require.Equal(t, 0, famfsRun(t, "cp", "-r", from, local(c.dest)).status)
				var found []string
				require.NoError(t, filepath.WalkDir(out, func(p string, _ fs.DirEntry, err error) error {
					found = append(found, p)
					return err
				}))
				if first == nil {
					first = found
				}
				assert.Equal(t, first, found)
			}
		})
	}
}

// If DEST may be the copy, or somebody's directory to copy into, --force must not lose a file by
// a wrong guess.
func TestCpForceDoesNotGuess(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"m/config": []byte("theirs"), "m/d/x": []byte("x")})
	asMaster(t, "cp", "-r", filepath.Join(src, "m"), device+":/m")
	for name, mine := range map[string]string{"longer": "mine, longer", "as long": "mine!!"} {
		out := filepath.Join(t.TempDir(), "out")
		writeTree(t, out, map[string][]byte{"config": []byte(mine)})
		config := func() string {
			b, err := os.ReadFile(filepath.Join(out, "config"))
			require.NoError(t, err)
			return string(b)
		}
		r := famfsRun(t, "cp", "-rf", device+":/m", out)
		assert.Equal(t, 1, r.status, name)
		assert.Contains(t, r.err, out+": is the copy, or a directory to copy into")
		assert.Contains(t, r.err, "such as config: say -T")
		r = famfsRun(t, "cp", "-rf", device+":/m", out+"/")
		assert.Equal(t, 0, r.status, r.err)
		assert.FileExists(t, filepath.Join(out, "m", "config"))
		assert.Equal(t, mine, config())
		require.NoError(t, os.RemoveAll(filepath.Join(out, "m")))
		r = famfsRun(t, "cp", "-rfT", device+":/m", out)
		assert.Equal(t, 0, r.status, r.err)
		assert.Equal(t, "theirs", config())
		require.NoError(t, os.WriteFile(filepath.Join(out, "d", "x"), []byte("other"), 0o600))
		r = famfsRun(t, "cp", "-rf", device+":/m", out)
		assert.Equal(t, 0, r.status, r.err)
		assert.Equal(t, []string{"config", "d"}, names(t, out), "it is the copy")
	}
}

// The content of .. is copied, not something with that name.
func TestCpDotDot(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	writeTree(t, dir, map[string][]byte{"a/x": []byte("x")})
	asMaster(t, "mkdir", device+":/in")
	cmd := command("--system-uuid", host, "cp", "-r", "..", device+":/in/")
	cmd.Dir = filepath.Join(dir, "a", "b")
	r := finish(t, cmd)
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, []string{"in/x"}, namesOn(t, device))
}
