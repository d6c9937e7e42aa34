package main

// Faults that hostile readings found: what a command says must be what it did, and nobody else's
// file or rights may change hands.

import (
	"bufio"
	"context"
	"errors"
	"io"
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

// Without its owner a file loses setuid and setgid, which would be those of whoever copies.
func TestCpSetuid(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no such bits there")
	}
	device, src, out := newDevice(t, "64M"), t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"d/f": []byte("f")})
	require.NoError(t, os.Chmod(filepath.Join(src, "d", "f"), 0o751|fs.ModeSetuid|fs.ModeSetgid))
	asMaster(t, "cp", "-r", filepath.Join(src, "d"), device+":/plain")
	asMaster(t, "cp", "-rp", filepath.Join(src, "d"), device+":/kept")
	asMaster(t, "cp", "-r", "-m", "2755", filepath.Join(src, "d"), device+":/said")
	asMaster(t, "cp", "-r", "--pack", filepath.Join(src, "d"), device+":/z.zip")
	asMaster(t, "cp", "-rp", device+":/z.zip/", device+":/unpacked")
	for name, mode := range map[string]string{"plain": "0751", "kept": "6751", "said": "2755", "unpacked": "0751"} {
		assert.Equal(t, mode, parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/"+name+"/f")).Mode, name)
	}
	// The owner of what is in a zip file is not known.
	require.Equal(t, 0, famfsRun(t, "cp", "-rp", device+":/z.zip/", filepath.Join(out, "d")).status)
	st, err := os.Stat(filepath.Join(out, "d", "f"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o751), st.Mode())
}

// opensOnce is a file system whose file is gone when it is opened for the second time.
type opensOnce struct {
	fs.FS
	opened int
}

func (o *opensOnce) Open(name string) (fs.File, error) {
	if o.opened++; o.opened > 1 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return o.FS.Open(name)
}

// A file that is removed from the device between two looks at it is an error.
func TestCpOutRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	src, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(src, "f"), []byte("new"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(out, "f"), []byte("old"), 0o644))
	c := &copyCommand{app: &app{}, force: true, tree: newTree(), localBase: out, localName: "f"}
	require.NoError(t, c.tree.insert("f", &treeNode{name: "f", mode: 0o644, size: 3, from: &opensOnce{FS: localFS(src)}, at: "f"}))
	_, err := c.tryFileOut(t.Context(), "f", true)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, []string{"f"}, names(t, out))
}

// With -i a file that somebody made after the question is not replaced.
func TestCpAsksFirst(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"asked": []byte("new"), "made": []byte("new"), "missing": []byte("new")})
	asMaster(t, "creat", "-s", "3", device+":/asked", device+":/made")
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)))
	require.NoError(t, err)
	defer fsys.Close()
	c := &copyCommand{app: &app{}, tree: newTree(), device: fsys, to: target{device: device, name: "."}, ask: true, approved: map[string]bool{"asked": true}, create: createOptions{workers: 1}}
	for _, name := range names(t, src) {
		require.NoError(t, c.tree.insert(name, &treeNode{name: name, mode: 0o644, size: 3, from: localFS(src), at: name, source: target{name: name}}))
	}
	errs := c.copyIn(t.Context(), nil)
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], fs.ErrExist)
	assert.ErrorContains(t, errs[0], "made")
	assert.Equal(t, 2, c.copied)
	for name, want := range map[string]string{"asked": "new", "made": "\x00\x00\x00", "missing": "new"} {
		data, err := fsys.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, want, string(data), name)
	}
}

// So it is with --atomic, which then leaves everything as it was.
func TestCpAsksFirstAtomic(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"asked": []byte("new"), "made": []byte("new")})
	asMaster(t, "creat", "-s", "3", device+":/asked")
	cmd := command("--system-uuid", host, "cp", "-ri", "--atomic", filepath.Join(src, "asked"), filepath.Join(src, "made"), device+":/")
	answer, err := cmd.StdinPipe()
	require.NoError(t, err)
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := bufio.NewReader(errs)
	question, err := said.ReadString('?')
	require.NoError(t, err)
	assert.Contains(t, question, "asked has other content: replace it?")
	asMaster(t, "creat", "-s", "3", device+":/made") // which nobody was asked about
	_, err = io.WriteString(answer, "y\n")
	require.NoError(t, err)
	rest, err := io.ReadAll(said)
	require.NoError(t, err)
	cmd.Wait()
	assert.Equal(t, 1, cmd.ProcessState.ExitCode(), string(rest))
	assert.Contains(t, string(rest), "made is there already")
	assert.Equal(t, map[string]string{"asked": "\x00\x00\x00", "made": "\x00\x00\x00"}, content(t, device))

	r := feed(t, "y\nn\n", "--system-uuid", host, "cp", "-ri", "--atomic", filepath.Join(src, "asked"), filepath.Join(src, "made"), device+":/")
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, map[string]string{"asked": "new", "made": "\x00\x00\x00"}, content(t, device), "what was asked about")
}

// With -i a directory in the place of a file is an error, as it is without.
func TestCpAsksNoDirectory(t *testing.T) {
	t.Parallel()
	device, out := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "1", device+":/f")
	asMaster(t, "mkdir", "-p", device+":/d/f")
	require.NoError(t, os.Mkdir(filepath.Join(out, "f"), 0o700))
	for _, dest := range []string{out, device + ":/d"} {
		r := feed(t, "y\n", "--system-uuid", host, "cp", "-i", device+":/f", dest)
		assert.Equal(t, 1, r.status, dest)
		assert.Contains(t, r.err, "directory")
	}
}

// With -i one file that cannot be compared does not keep the rest from being copied.
func TestCpAsksOthers(t *testing.T) {
	t.Parallel()
	src, out := t.TempDir(), t.TempDir()
	writeTree(t, src, map[string][]byte{"broken": []byte("new"), "asked": []byte("new")})
	writeTree(t, out, map[string][]byte{"broken": []byte("old"), "asked": []byte("old")})
	c := &copyCommand{app: &app{in: strings.NewReader("y\n"), err: io.Discard}, tree: newTree(), localBase: out, ask: true}
	for name, from := range map[string]fs.FS{"broken": failingFS{errors.New("broken")}, "asked": localFS(src)} {
		require.NoError(t, c.tree.insert(name, &treeNode{name: name, size: 3, from: from, at: name}))
	}
	require.NoError(t, c.passOverBefore(t.Context()))
	assert.Equal(t, map[string]bool{"asked": true}, c.approved)
	assert.Equal(t, []string{"asked", "broken"}, c.fileNames(), "the copy says what is wrong")
	assert.Zero(t, c.left)
}

// endsWith calls end when it has been read.
type endsWith struct {
	io.Reader
	end func()
}

func (e endsWith) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if errors.Is(err, io.EOF) {
		e.end()
	}
	return n, err
}

// A copy of standard input that says that it was interrupted has not made the file, and does not
// make it later either.
func TestCpStreamInterrupted(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	made := 0
	for i := range 20 {
		name := string(rune('a' + i))
		ctx, cancel := context.WithCancel(t.Context())
		c := &copyCommand{app: &app{in: endsWith{strings.NewReader("12345"), cancel}, opened: map[string]bool{}, lockTimeout: famfs.DefaultLockTimeout, systemUUID: uuidValue{mustUUID(t, host)}}, quiet: true, size: 5}
		err := c.copyStream(ctx, []string{"-", device + ":/" + name}, true, nil)
		var status *statusError
		if err == nil {
			made++
		} else {
			require.ErrorAs(t, err, &status)
			require.EqualError(t, err, "interrupted: "+device+":/"+name+" was not made")
		}
		// Whoever makes the next file waits for the one before.
		asMaster(t, "creat", "-s", "1", device+":/next-"+name)
	}
	there := 0
	for _, name := range namesOn(t, device) {
		if len(name) == 1 {
			there++
		}
	}
	assert.Equal(t, made, there)
}

// What --dry-run says is what the copy does then.
func TestDryRunIsTrue(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("new"), "t/b": []byte("b"), "u/d/f": []byte("f"), "e/empty": {}, "e/f": []byte("f"), "big/x": pattern(4*mib, 1)})
	for name, c := range map[string]struct {
		args      []string // SOURCE is below src, DEST below the device
		want, out string   // on stderr
		not       string
	}{
		"a replacement of the same size takes space": {[]string{"--replace", "-T", "t", ""}, "2 new files of 4 B take 4 MiB; 46 MiB free", "replace   ", ""},
		"one that does not fit":                      {[]string{"--replace", "-T", "big", ""}, "does not fit: it takes 4 MiB, and 2 MiB would be free", "", "replace   "},
		"a file in the place of a directory":         {[]string{"-T", "u", ""}, "cannot be made: ", "", "copy "},
		"all or nothing":                             {[]string{"--atomic", "e", "e"}, "is left as it is: not all can be copied there", "", "copy "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			device := newDevice(t, "64M")
			asMaster(t, "creat", "-s", "3", device+":/a")
			asMaster(t, "creat", "-s", "1", device+":/d")
			asMaster(t, "creat", "-s", "4M", device+":/x")
			if strings.Contains(c.want, "2 MiB would be free") {
				asMaster(t, "creat", "-s", "44M", device+":/rest")
			}
			n := len(c.args)
			paths := []string{filepath.Join(src, c.args[n-2]), device + ":/" + c.args[n-1]}
			args := append(append([]string{"--system-uuid", host, "cp", "-r"}, c.args[:n-2]...), paths...)
			dry := famfsRun(t, append(args, "--dry-run")...)
			assert.Contains(t, dry.err, c.want)
			assert.Contains(t, dry.out, c.out)
			if c.not != "" {
				assert.NotContains(t, dry.out, c.not)
			}
			before := content(t, device)
			j := parse[dryRunJSON](t, famfsRun(t, append(args, "--dry-run", "--json")...))
			assert.Equal(t, before, content(t, device))
			r := famfsRun(t, args...)
			assert.Equal(t, r.status, dry.status, r.err+dry.err)
			assert.Equal(t, r.status == 0, len(j.Errors) == 0)
		})
	}
}

// What -n passes over --dry-run names, as it does all else.
func TestDryRunPassesOver(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"a": []byte("a"), "b": []byte("b")})
	asMaster(t, "creat", "-s", "5", device+":/a")
	args := []string{"cp", "-rT", "-n", "--dry-run", src, device + ":/"}
	a, b := filepath.Join(src, "a"), filepath.Join(src, "b")
	assert.Equal(t, "pass over "+a+" -> "+device+":/a\ncopy      "+b+" -> "+device+":/b\n", asMaster(t, args...).out)
	j := parse[dryRunJSON](t, asMaster(t, append(args, "--json")...))
	assert.Equal(t, []plannedJSON{{a, device + ":/a", 1, "pass over"}, {b, device + ":/b", 1, "copy"}}, j.Files)
}

// A dry run that was interrupted while it looked at the source says so.
func TestDryRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &copyCommand{app: &app{err: io.Discard, out: &output{to: io.Discard}}, tree: newTree(), localBase: t.TempDir()}
	require.NoError(t, c.tree.insert("f", &treeNode{name: "f"}))
	assert.ErrorContains(t, c.sayWhatWouldBe(ctx), "interrupted")
}

// A local file behind a symbolic link is compared, as by the copy.
func TestDryRunThroughLink(t *testing.T) {
	t.Parallel()
	device, out := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "3", device+":/f")
	require.NoError(t, os.WriteFile(filepath.Join(out, "real"), make([]byte, 3), 0o600))
	if err := os.Symlink("real", filepath.Join(out, "f")); err != nil {
		t.Skip("no links here: ", err)
	}
	assert.Contains(t, famfsRun(t, "cp", device+":/f", out).err, "passed over 1")
	r := famfsRun(t, "cp", "--dry-run", device+":/f", out)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "pass over ")
	assert.Empty(t, famfsRun(t, "cp", "-q", "-i", device+":/f", out).err, "nothing to ask")
}

// Memory of removed files that nobody holds any more is free to cp, as to all that make files.
func TestCpReclaims(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs mappings that hold memory")
	}
	device, src := filepath.Join(testDir(t), "device"), t.TempDir()
	asMaster(t, "mkfs", "--reuse", "--create", "32MiB", device)
	writeTree(t, src, map[string][]byte{"t/f": pattern(18*mib, 1)})
	held := func() {
		asMaster(t, "creat", "-s", "12M", device+":/old")
		fsys, err := famfs.Open(device, famfs.WithSystemUUID(mustUUID(t, host)))
		require.NoError(t, err)
		defer fsys.Close()
		m, err := fsys.Map("old")
		require.NoError(t, err)
		defer m.Close()
		asMaster(t, "rm", device+":/old")
		for _, dry := range []string{"--dry-run", "--dry-run=false"} {
			r := famfsRun(t, "--system-uuid", host, "cp", "-r", dry, filepath.Join(src, "t"), device+":/t")
			assert.Equal(t, 1, r.status)
			assert.Contains(t, r.err, "does not fit: it takes 18 MiB, and 8 MiB would be free; 12 MiB of removed files are held back, as somebody may still reach them (see famfs hosts)")
		}
	}
	held()
	before, err := os.ReadFile(device)
	require.NoError(t, err)
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--dry-run", filepath.Join(src, "t"), device+":/t")
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.err, "1 new file of 18 MiB takes 18 MiB; 20 MiB free, 12 MiB of that of removed files that nobody holds any more\n")
	planned := parse[dryRunJSON](t, famfsRun(t, "--system-uuid", host, "cp", "-r", "--dry-run", "--json", filepath.Join(src, "t"), device+":/t"))
	assert.Equal(t, []int64{18 * mib, 20 * mib, 12 * mib}, []int64{planned.Taken, planned.Free, planned.Removed})
	after, err := os.ReadFile(device)
	require.NoError(t, err)
	assert.True(t, string(before) == string(after), "nothing was written")
	asMaster(t, "cp", filepath.Join(src, "t", "f"), device+":/t")
	asMaster(t, "rm", device+":/t")
	held()
	r = asMaster(t, "cp", "-r", "--pack", filepath.Join(src, "t"), device+":/t.zip")
	assert.Contains(t, r.err, "; 20 MiB free")
}

// A symbolic link to the directory is as good as the directory.
func TestCheckLink(t *testing.T) {
	t.Parallel()
	device, dir := checkedCopy(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Skip("no links here: ", err)
	}
	assert.Equal(t, 0, famfsRun(t, "check", "-q", device, link).status)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more"), nil, 0o600))
	r := famfsRun(t, "check", "-q", device, link)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.out, filepath.Join(link, "more")+" is there, and is not in the log")
}

// Half a queue on an added device is noted too.
func TestFsckHalfQueueOnAddedDevice(t *testing.T) {
	t.Parallel()
	first := newDevice(t, "16M")
	second := filepath.Join(testDir(t), "second")
	require.NoError(t, famfs.CreateBacking(second, 64*mib))
	asMaster(t, "devadd", first, second)
	asMaster(t, "--device", second, "creat", "-s", "6M", first+":/full")
	asMaster(t, "--device", second, "queue", "create", first+":/q")
	asMaster(t, "--device", second, "rm", first+":/q.consumer")
	r := famfsRun(t, "--device", second, "fsck", first)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "note: q: is half of a queue")
}

// fsck names the device, also if its root was named.
func TestFsckNamesDevice(t *testing.T) {
	t.Parallel()
	empty := sparse(t, "empty")[0]
	r := famfsRun(t, "fsck", "--json", empty+":/")
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "famfs mkfs "+empty+"\n")
	assert.Equal(t, empty, parse[[]reportJSON](t, r)[0].Device)
}

// A device that cannot be added leaves those before it in the output: they cannot be taken away.
func TestDevaddSaysWhatWasAdded(t *testing.T) {
	t.Parallel()
	device, more := newDevice(t, "64M"), sparse(t, "second", "third")
	r := famfsRun(t, "--system-uuid", host, "devadd", "--json", device, more[0], more[0]+".missing", more[1])
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, more[0]+".missing: ")
	added := parse[addedJSON](t, r)
	assert.Equal(t, more[:1], added.Added)
	assert.Len(t, added.Devices, 2)
}

// Messages name commands and options, and say what helps, also of devices that somebody uses.
func TestBusyMessages(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs mappings that hold memory")
	}
	device, other := filepath.Join(testDir(t), "device"), newDevice(t, "64M")
	asMaster(t, "mkfs", "--reuse", "--create", "32MiB", device)
	asMaster(t, "creat", "-s", "12M", device+":/f")
	fsys, err := famfs.Open(device, famfs.WithSystemUUID(mustUUID(t, host)))
	require.NoError(t, err)
	defer fsys.Close()
	m, err := fsys.Map("f")
	require.NoError(t, err)
	defer m.Close()
	asMaster(t, "rm", device+":/f")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"mkfs", "--force", device}, "(famfs hosts evict)"},
		{[]string{"mkfs", "--kill", "--force", device}, "(famfs hosts evict)"},
		{[]string{"devadd", "--force", other, device}, "(famfs hosts evict)"},
		{[]string{"devadd", other, other}, "it is a device of this file system already: still in use\n"},
		{[]string{"creat", "-s", "12M", device + ":/g"}, "as somebody may still reach them (see famfs reclaim)"},
		{[]string{"mkfs", "--reuse", "--unit", "4KiB", "--create", "64M", device + "2"}, "allocation unit 4096 with --reuse, want 2097152"},
	} {
		r := famfsRun(t, append([]string{"--system-uuid", host}, c.args...)...)
		assert.Equal(t, 1, r.status, c.args)
		assert.Contains(t, r.err, c.want)
		assert.NotContains(t, r.err, "finish it on the master")
	}
}

// A file that is made as a device and cannot be one does not stay.
func TestMkfsTooLarge(t *testing.T) {
	t.Parallel()
	device := filepath.Join(testDir(t), "device")
	r := famfsRun(t, "mkfs", "--create", "9223372036854775807", device)
	assert.Equal(t, 1, r.status, r.out)
	assert.NoFileExists(t, device)
}
