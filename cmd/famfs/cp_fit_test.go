package main

// Files that cannot be copied: each is named, known before the first byte is copied, and does
// not stop the others.

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// A single SOURCE is named in full, whatever characters its name has.
func TestCpNamesSource(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	writeTree(t, dir, map[string][]byte{"e": {}, "i": []byte("x"), "tree/f": []byte("f")})
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "s")))
	run := func(args ...string) result {
		cmd := command(append([]string{"--system-uuid", host, "cp"}, args...)...)
		cmd.Dir = dir
		return finish(t, cmd)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"e", device + ":/"}, "famfs cp: e: is empty, and famfs has no empty files; leave it out"},
		{[]string{"s", device + ":/"}, "famfs cp: s: is a symbolic link to nowhere, which leads to nothing"},
		{[]string{"tree", device + ":/"}, "famfs cp: tree: is a directory; copy it with -r"},
		{[]string{"i/", device + ":/"}, "famfs cp: i/: "},
		{[]string{"m", device + ":/"}, "famfs cp: m: stat: no such file"},
	} {
		r := run(c.args...)
		assert.Equal(t, 1, r.status, c.args)
		assert.Contains(t, r.err, c.want, c.args)
		assert.Contains(t, r.err, "; 1 not copied\n", c.args)
	}
	odd := "a\xff"
	if os.WriteFile(filepath.Join(dir, odd), []byte("odd"), 0o644) != nil {
		return // a file system that has only names in UTF-8
	}
	r := run(odd, device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, `famfs cp: a\xff: has a name that is not UTF-8`)
	r = run(odd, device+":/even")
	assert.Equal(t, 0, r.status, "under another name it can be: %s", r.err)
	assert.Equal(t, "odd", famfsRun(t, "cat", device+":/even").out)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d\xfe"), 0o755))
	r = run(device+":/even", "d\xfe")
	assert.Equal(t, 0, r.status, "local names are free: %s", r.err)
	assert.FileExists(t, filepath.Join(dir, "d\xfe", "even"))
}

// One line says how many files of each kind cannot be copied, before anything is copied. The
// last line ends with their sum.
func TestCpSaysBefore(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	long := strings.Repeat("n", 60)
	writeTree(t, src, map[string][]byte{
		"t/aa": []byte("1"), "t/big": pattern(60*mib, 1), "t/zz": []byte("2"), "t/none": {}, "t/nil": {},
		"t/" + long + "/" + long: []byte("l"), "t/meta/ok": []byte("ok"),
	})
	require.NoError(t, os.Symlink("aa", filepath.Join(src, "t/link")))
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", filepath.Join(src, "t"), device+":/")
	assert.Equal(t, 1, r.status)
	out := lines(r.err)
	assert.Equal(t, "famfs cp: of 8 files, 5 will not be copied: 2 are empty, 1 is a symbolic link, 1 has a path that is too long, 1 does not fit", out[0])
	assert.Regexp(t, `^copied 3 files, .*; 5 not copied$`, lastLine(r.err))
	assert.Contains(t, r.err, filepath.Join(src, "t", "big")+": does not fit: it takes 60 MiB, and 52 MiB would be free\n")
	assert.Contains(t, r.err, filepath.Join(src, "t", long, long)+": would have a path of 123 bytes, want at most 79")
	assert.Equal(t, []string{"t/aa", "t/meta/ok", "t/zz"}, namesOn(t, device), "what fits is there")
	assert.Equal(t, "aa\nmeta\nzz\n", famfsRun(t, "ls", device+":/t").out, "and no directory for nothing")

	summary := parse[copyJSON](t, famfsRun(t, "--system-uuid", host, "cp", "--json", "-r", filepath.Join(src, "t"), device+":/"))
	assert.Equal(t, []int{8, 0, 3, 5}, []int{summary.Files, summary.Copied, summary.Passed, summary.NotCopied})
	require.Len(t, summary.Errors, 5)
	for _, e := range summary.Errors {
		assert.True(t, strings.HasPrefix(e.Argument, src), e.Argument)
		assert.NotEmpty(t, e.Error)
	}
	r = famfsRun(t, "--system-uuid", host, "cp", "-q", "-r", filepath.Join(src, "t"), device+":/")
	assert.NotContains(t, r.err, "will not be copied")
	assert.Len(t, lines(r.err), 5+1, "each, and one hint: %s", r.err)
}

// A copy of many files onto a full device names some, and counts the others. With -v, and for
// programs, it names all.
func TestCpNamesSome(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "16M"), t.TempDir()
	const files, room = 60, 3
	tree := make(map[string][]byte)
	for i := range files {
		tree[fmt.Sprintf("t/%02d", i)] = []byte("x")
	}
	writeTree(t, src, tree)
	args := func(more ...string) []string {
		return append(append([]string{"--system-uuid", host, "cp", "-r"}, more...), filepath.Join(src, "t"), device+":/")
	}
	r := famfsRun(t, args("-q")...)
	assert.Equal(t, 1, r.status)
	assert.Equal(t, mostNamed, strings.Count(r.err, ": does not fit: "), r.err)
	assert.Contains(t, r.err, "famfs cp: and 47 more do not fit; -v names all\n")
	assert.Len(t, lines(r.err), mostNamed+2, "and one hint")
	summary := parse[copyJSON](t, famfsRun(t, args("--json")...))
	assert.Equal(t, []int{files, room, files - room}, []int{summary.Files, summary.Passed, summary.NotCopied})
	assert.Len(t, summary.Errors, files-room)
	r = famfsRun(t, args("-v")...)
	assert.Equal(t, files-room, strings.Count(r.err, ": does not fit: "), r.err)
	for name := range tree {
		writeTree(t, src, map[string][]byte{name: []byte("y")})
	}
	assert.Equal(t, room, strings.Count(famfsRun(t, args("-q")...).err, "there already and has other content"))
}

// Only trying finds out that space is free but in too many pieces. Then the rest is still copied.
func TestCpFragmented(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "256M"), t.TempDir()
	args := []string{"creat", "-s", "2M", "--keep"}
	const n = 61
	for i := range n {
		args = append(args, fmt.Sprintf("%s:/f%d", device, i))
	}
	asMaster(t, args...)
	for i := range int64(n) { // moved apart: every other unit is free
		forge(t, device, i, func(b []byte) { binary.LittleEndian.PutUint64(b[144:], uint64(10*mib+i*4*mib)) })
	}
	require.Equal(t, 0, famfsRun(t, "fsck", device).status)
	free := parse[[]dfJSON](t, famfsRun(t, "df", "--json", device))[0]
	require.LessOrEqual(t, free.LargestFree, int64(4*mib))
	require.Greater(t, free.Free, int64(40*mib))
	writeTree(t, src, map[string][]byte{"t/a": []byte("1"), "t/m": pattern(38*mib, 1), "t/n": pattern(37*mib, 1), "t/z": []byte("2")})
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "-t", "1", filepath.Join(src, "t"), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(src, "t", "m")+": ")
	assert.Contains(t, r.err, filepath.Join(src, "t", "n")+": ")
	assert.Regexp(t, `^copied 2 files, .*; 2 not copied$`, lastCopied(r.err))
	assert.Equal(t, "1", famfsRun(t, "cat", device+":/t/a").out)
	assert.Equal(t, "2", famfsRun(t, "cat", device+":/t/z").out)
}

// fillLog makes n directories.
func fillLog(t testing.TB, device string, n int) {
	t.Helper()
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)))
	require.NoError(t, err)
	defer fsys.Close()
	for i := range n {
		require.NoError(t, fsys.Mkdir(fmt.Sprintf("full-%d", i), 0o755))
	}
}

func lastCopied(s string) string {
	for _, line := range lines(s) {
		if strings.HasPrefix(line, "copied ") {
			return line
		}
	}
	return ""
}

// A full log is known in advance too.
func TestCpLogFull(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("1"), "t/b": []byte("2"), "t/c/d": []byte("3")})
	fillLog(t, device, 15420-2)
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", filepath.Join(src, "t"), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "of 3 files, 2 will not be copied: 2 have no room in the log")
	assert.Contains(t, r.err, "finds no entry in the log, which holds 15,420")
	assert.Contains(t, r.err, "--loglen")
	assert.Equal(t, "1", famfsRun(t, "cat", device+":/t/a").out)

	// A seal takes an entry too.
	asMaster(t, "mkfs", "--force", device)
	fillLog(t, device, 15420-4)
	r = famfsRun(t, "--system-uuid", host, "cp", "-r", "--seal", filepath.Join(src, "t"), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "of 3 files, 2 will not be copied: 2 have no room in the log")
	assert.Equal(t, 2, strings.Count(r.err, "finds no entry in the log, which holds 15,420"), "each is named")
	assert.Equal(t, map[string]string{"t/a": "1"}, content(t, device))
}

// The device itself may be in the tree that is copied to it.
func TestCpPassesDeviceOver(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	device := filepath.Join(dir, "t", "device")
	writeTree(t, dir, map[string][]byte{"t/aa": []byte("1"), "t/zz": []byte("2")})
	asMaster(t, "mkfs", "--create", "64M", device)
	r := asMaster(t, "cp", "-r", filepath.Join(dir, "t"), device+":/")
	assert.Contains(t, r.err, device+": is the device that is copied to or from: passed over")
	assert.Equal(t, []string{"t/aa", "t/zz"}, namesOn(t, device))
	require.NoError(t, os.Symlink("device", filepath.Join(dir, "t", "link")))
	r = famfsRun(t, "--system-uuid", host, "cp", "-rL", filepath.Join(dir, "t"), device+":/")
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, 2, strings.Count(r.err, "passed over\n"), r.err)
	cpFails(t, device+": is the device that is copied to or from; what is on it is written "+device+":/", device, device+":/x")
	cpFails(t, "cannot be copied into itself", "-r", device+":/", device+":/copy")
	cpFails(t, "cannot be copied into itself", "-r", device+":/t", device+":/t/u")
}

// A link to a directory above it never ends. Other links may point to the same file twice.
func TestCpCycle(t *testing.T) {
	t.Parallel()
	device, dir := newDevice(t, "64M"), t.TempDir()
	writeTree(t, dir, map[string][]byte{"t/a/f": []byte("f"), "t/b/g": []byte("g"), "else/h": []byte("h")})
	for link, to := range map[string]string{"t/up": "../t", "t/a/self": ".", "t/b/top": "../..", "t/again": "a", "t/out": "../else", "else/back": "../t"} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	r := famfsRun(t, "--system-uuid", host, "cp", "-rL", filepath.Join(dir, "t"), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, filepath.Join(dir, "t", "up")+": is a symbolic link to a directory that it lies in")
	assert.Contains(t, r.err, filepath.Join(dir, "t", "out", "back")+": is a symbolic link to a directory that it lies in")
	for _, name := range namesOn(t, device) {
		assert.LessOrEqual(t, strings.Count(name, "/"), 5, name)
	}
	assert.Contains(t, namesOn(t, device), "t/again/f")
	assert.Contains(t, namesOn(t, device), "t/out/h")
}

// The user can end the walk through a tree before it is copied: a tree of links may have no end.
func TestCpEndsLooking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"a/b/c": []byte("x"), "a/d": []byte("x")})
	for _, ended := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		if ended {
			cancel()
		}
		b := treeBuilder{tree: newTree(), ctx: ctx, recursive: true, isDevice: func(fs.FileInfo) bool { return false },
			refuse: func(target, refusalKind, error) { t.Error("refused") }}
		b.add(localFS(dir), "a", "a", target{name: dir + "/a"})
		files, _ := b.total()
		assert.Equal(t, map[bool]int{false: 2, true: 0}[ended], files)
		cancel()
	}
	// The same for a tree that is compared.
	device := newDevice(t, "64M")
	asMaster(t, "cp", "-r", filepath.Join(dir, "a"), device+":/a")
	ctx, cancel := context.WithCancel(t.Context())
	v := &verifier{app: &app{}, ctx: ctx}
	fsys := readBack(t, device)
	run := func(string) func([]byte) error { return nil }
	checks, err := v.eachFile(fsys, target{device: device, name: "."}, run)
	require.NoError(t, err)
	assert.Len(t, checks, 2)
	cancel()
	checks, err = v.eachFile(fsys, target{device: device, name: "."}, run)
	require.NoError(t, err)
	assert.Empty(t, checks)
}

// slowFS is slow to list its directories, and counts who is listing.
type slowFS struct {
	fs.FS
	listing, most atomic.Int32
	cancel        func() // called once some directories have been listed
	left          atomic.Int32
}

func (s *slowFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n := s.listing.Add(1)
	defer s.listing.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	pause := time.Duration(len(name)%7) * 100 * time.Microsecond
	if s.left.Add(-1) == 0 {
		s.cancel()
		pause = 20 * time.Millisecond
	}
	time.Sleep(pause)
	return fs.ReadDir(s.FS, name)
}

// Directories are listed ahead of being added, a few at a time. What comes of it, and the order in which
// files are refused, does not depend on which list is there first. Once the tree is there, or the user has
// ended it, nobody lists any more.
func TestCpListsAhead(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	var want, refused []string
	for _, name := range []string{"a/f", "a/g/h/i", "a/g/empty", "b/c/d/e/f", "b/c/empty", "b/d/f", "c/empty", "d/f", "e/f/g", "e/g/empty", "e/g/f", "f", "g/f"} {
		for i := range 4 {
			name := fmt.Sprintf("%d/%s", i, name)
			if strings.HasSuffix(name, "empty") {
				files[name] = &fstest.MapFile{Mode: 0o644}
				refused = append(refused, name)
			} else {
				files[name] = &fstest.MapFile{Mode: 0o644, Data: []byte("x")}
				want = append(want, name)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(refused)
	build := func(from *slowFS) (names, refused []string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		from.cancel = cancel
		b := treeBuilder{tree: newTree(), ctx: ctx, recursive: true, isDevice: func(fs.FileInfo) bool { return false },
			refuse: func(t target, kind refusalKind, err error) { refused = append(refused, t.name) }}
		b.add(from, ".", ".", target{name: "."})
		assert.Zero(t, from.listing.Load(), "somebody still lists")
		assert.LessOrEqual(t, int(from.most.Load()), runtime.GOMAXPROCS(0)+1, "at a time")
		fs.WalkDir(b.tree, ".", func(name string, d fs.DirEntry, _ error) error {
			if !d.IsDir() {
				names = append(names, name)
			}
			return nil
		})
		return names, refused
	}
	for range 5 {
		names, others := build(&slowFS{FS: files})
		assert.Equal(t, want, names)
		assert.Equal(t, refused, others)
	}
	for after := range int32(20) {
		ended := &slowFS{FS: files}
		ended.left.Store(1 + after)
		names, _ := build(ended)
		assert.Less(t, len(names), len(want))
	}
}

// failsToList is a source in which listing one directory does something odd.
type failsToList struct {
	fstest.MapFS
	dir string
	do  func()
}

func (f failsToList) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == f.dir {
		f.do()
	}
	return f.MapFS.ReadDir(name)
}

// If listing a directory ends the goroutine or panics, so does adding the source, as it did before
// directories were listed ahead.
func TestCpListsAheadFails(t *testing.T) {
	t.Parallel()
	panicked := errors.New("panicked")
	for name, do := range map[string]func(){"Goexit": runtime.Goexit, "panic": func() { panic(panicked) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := failsToList{fstest.MapFS{"a/f": {Data: []byte("x")}, "b/f": {Data: []byte("x")}, "c/f": {Data: []byte("x")}}, "b", do}
			b := treeBuilder{tree: newTree(), ctx: t.Context(), recursive: true, refuse: func(target, refusalKind, error) {}, isDevice: func(fs.FileInfo) bool { return false }}
			done := make(chan any)
			go func() {
				defer close(done)
				defer func() { done <- recover() }()
				b.add(src, ".", "t", target{name: "t"})
			}()
			select {
			case got := <-done:
				if name == "panic" {
					assert.Equal(t, panicked, got)
				}
			case <-time.After(2 * time.Second):
				assert.Fail(t, "adding never ends")
			}
		})
	}
}
