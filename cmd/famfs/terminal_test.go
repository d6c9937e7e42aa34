//go:build unix

package main

// Tests that need a process with signals and terminals: an interrupted copy, the bar, and the map.

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// interruptWhen starts cmd and interrupts it when ready says so. It reports whether the process
// was still working.
func interruptWhen(t *testing.T, cmd *exec.Cmd, ready func() bool) (r result, inTime bool) {
	t.Helper()
	r, inTime = signalWhen(t, cmd, syscall.SIGINT, ready)
	return r, inTime && r.status == statusSignal+int(syscall.SIGINT)
}

// signalWhen starts cmd and sends it a signal when ready says so, if it is still working.
func signalWhen(t *testing.T, cmd *exec.Cmd, signal syscall.Signal, ready func() bool) (r result, inTime bool) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	// On a busy machine the test must not be slower than the command.
	nice, err := exec.LookPath("nice")
	require.NoError(t, err)
	cmd.Args = append([]string{nice, "-n", "19", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = nice
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	for !ready() {
		select {
		case <-done:
			return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}, false
		case <-time.After(200 * time.Microsecond):
		}
	}
	cmd.Process.Signal(signal)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-done
		t.Fatal("did not end when interrupted")
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}, cmd.ProcessState.ExitCode() != 0
}

// attempts is the number of attempts to interrupt a process before it is done.
const attempts = 10

func TestCpInterrupted(t *testing.T) {
	dir := testDir(t)
	src := filepath.Join(dir, "models")
	const files, each = 24, 8 * mib
	tree := make(map[string][]byte)
	for i := range files {
		tree["shard-"+string(rune('a'+i))] = pattern(each, uint64(i))
	}
	writeTree(t, src, tree)
	for range attempts {
		device := newDevice(t, "512M")
		args := []string{"--system-uuid", host, "cp", "-r", "-t", "1", src, device + ":/models"}
		reader, err := famfs.Open(device)
		require.NoError(t, err)
		r, inTime := interruptWhen(t, command(args...), func() bool {
			reader.Refresh()
			return reader.Usage().Files >= 2
		})
		require.NoError(t, reader.Close())
		if !inTime {
			continue
		}
		assert.Contains(t, r.err, "interrupted: ")
		assert.Contains(t, r.err, "run the same command again to go on")
		fsys := readBack(t, device)
		there := fsys.Usage().Files
		require.Less(t, there, files)
		assert.EqualValues(t, there*each, fsys.Usage().FileBytes)
		assert.EqualValues(t, 10*mib+there*each, fsys.Usage().Allocated, "no space is lost")
		entries, err := fsys.ReadDir("models")
		require.NoError(t, err)
		for _, e := range entries {
			data, err := fsys.ReadFile("models/" + e.Name())
			require.NoError(t, err)
			assert.True(t, bytes.Equal(tree[e.Name()], data), "%s is whole", e.Name())
		}
		assert.Equal(t, 0, famfsRun(t, "fsck", device).status)

		r = famfsRun(t, args...)
		require.Equal(t, 0, r.status, r.err)
		assert.Regexp(t, `^copied \d+ files, passed over \d+ that were there already, 192 MiB in`, lastLine(r.err))
		assert.Equal(t, 0, famfsRun(t, "verify", "-q", "--against", src, device+":/models").status)
		return
	}
	t.Fatalf("the copy was done before it could be interrupted, %d times", attempts)
}

func TestCpOutInterrupted(t *testing.T) {
	dir := testDir(t)
	device := newDevice(t, "512M")
	asMaster(t, "creat", "-s", "256M", "--seed", "3", device+":/big")
	for range attempts {
		out := filepath.Join(dir, "out")
		require.NoError(t, os.RemoveAll(out))
		require.NoError(t, os.Mkdir(out, 0o755))
		r, inTime := interruptWhen(t, command("cp", device+":/big", out), func() bool {
			entries, err := os.ReadDir(out)
			return err == nil && len(entries) > 0
		})
		if !inTime {
			continue
		}
		assert.Contains(t, r.err, "interrupted: 0 of 1 files are there")
		entries, err := os.ReadDir(out)
		require.NoError(t, err)
		assert.Empty(t, entries, "no half file, and nothing besides")
		require.Equal(t, 0, famfsRun(t, "cp", device+":/big", out).status)
		assert.Equal(t, 0, famfsRun(t, "verify", "--against", filepath.Join(out, "big"), device+":/big").status)
		return
	}
	t.Fatalf("the copy was done before it could be interrupted, %d times", attempts)
}

// onTerminal runs the command on a terminal of this width and returns its output.
func onTerminal(t *testing.T, width, height uint16, args ...string) (string, int) {
	t.Helper()
	cmd := command(args...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: width, Rows: height})
	require.NoError(t, err)
	defer tty.Close()
	var shown bytes.Buffer
	var copied sync.WaitGroup
	copied.Go(func() { io.Copy(&shown, tty) }) // ends with an error when the process does
	cmd.Wait()
	copied.Wait()
	return strings.ReplaceAll(shown.String(), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

var escapeSequence = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

func TestBar(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "512M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": pattern(48*mib, 1), "t/b": pattern(48*mib, 2)})
	shown, status := onTerminal(t, 100, 30, "--system-uuid", host, "cp", "-r", "-t", "1", filepath.Join(src, "t"), device+":/t")
	assert.Equal(t, 0, status, shown)
	plain := escapeSequence.ReplaceAllString(shown, "")
	assert.Contains(t, plain, "100%")
	assert.Contains(t, plain, "2/2 files")
	assert.Contains(t, plain, "96 MiB of 96 MiB")
	assert.Contains(t, plain, "█")
	assert.Contains(t, plain, "copied 2 files, 96 MiB in ")
	for _, line := range strings.FieldsFunc(plain, func(r rune) bool { return r == '\r' || r == '\n' }) {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 100, line)
	}
	// On a narrow terminal it does not wrap: each line of the bar stays below the last column.
	shown, status = onTerminal(t, 40, 30, "--system-uuid", host, "cp", "-r", "-t", "1", filepath.Join(src, "t"), device+":/narrow")
	assert.Equal(t, 0, status, shown)
	bars := 0
	for _, line := range regexp.MustCompile(`\r\x1b\[K([^\r\n]*)`).FindAllStringSubmatch(shown, -1) {
		assert.Less(t, wide(line[1]), 40, line[1])
		if strings.Contains(line[1], "█") {
			bars++
		}
	}
	assert.Positive(t, bars, "and there is a bar: %q", shown)
	shown, status = onTerminal(t, 100, 30, "--system-uuid", host, "cp", "-q", filepath.Join(src, "t/a"), device+":/quiet")
	assert.Equal(t, 0, status)
	assert.Empty(t, shown)
	// Without a terminal there is no bar.
	r := asMaster(t, "cp", "-r", filepath.Join(src, "t"), device+":/plain")
	assert.NotContains(t, r.err, "\r")
	assert.NotContains(t, r.err, "\x1b")
}

func TestMap(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	asMaster(t, "creat", "-s", "30M", "--keep", device+":/model.safetensors")
	asMaster(t, "creat", "-s", "40M", "--keep", "--interleave", "4,4,2M", device+":/table.arrow")
	for _, width := range []uint16{40, 80, 133, 220} {
		shown, status := onTerminal(t, width, 40, "layout", device)
		require.Equal(t, 0, status, shown)
		assert.Contains(t, shown, "\x1b[0;38;5;32m█", "the first file's colour")
		assert.Contains(t, shown, "▒", "interleaved")
		assert.Contains(t, shown, "·", "free")
		plain := escapeSequence.ReplaceAllString(shown, "")
		longest := 0
		for _, line := range lines(plain)[1:] { // the first may be a long device name
			longest = max(longest, utf8.RuneCountInString(line))
		}
		assert.LessOrEqual(t, longest, int(width), plain)
		assert.Greater(t, longest, int(width)-12, "uses the width")
		assert.LessOrEqual(t, len(lines(plain)), 40, "fits the height")
		if width >= 80 {
			for _, want := range []string{"model.safetensors  30 MiB", "table.arrow  40 MiB, 4 strips × 2 MiB", "superblock and log  10 MiB", "free  "} {
				assert.Contains(t, plain, want)
			}
		}
	}
	// Without colours: letters.
	r := famfsRun(t, "layout", "--width", "90", device)
	assert.NotContains(t, r.out, "\x1b")
	assert.Contains(t, r.out, "###")
	assert.Contains(t, r.out, "aaaa")
	assert.Contains(t, r.out, "BBBB")
	assert.Contains(t, famfsRun(t, "layout", "--color", "always", device).out, "\x1b[0;38;5;32m")
}

func TestLsOnTerminal(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)))
	require.NoError(t, err)
	for _, name := range []string{"a", "b", "evil\x1b[31m", "new\nline"} {
		require.NoError(t, fsys.WriteFile(name, []byte("x"), 0o644))
	}
	require.NoError(t, fsys.Mkdir("dir", 0o755))
	require.NoError(t, fsys.Close())
	shown, status := onTerminal(t, 80, 24, "ls", device)
	assert.Equal(t, 0, status)
	assert.Equal(t, []string{"a", "b", "dir/", `evil\x1b[31m`, `new\nline`}, strings.Fields(shown))
	assert.Contains(t, famfsRun(t, "ls", device).out, "new\nline\n", "as it is for programs")
}

// No command lets a name control the terminal, whether of a file, of a device, or local.
func TestNamesOnTerminal(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[31m\u009b2J\u202e"
	dir := testDir(t)
	device, local, other := filepath.Join(dir, evil+"device"), filepath.Join(dir, evil+"local"), newDevice(t, "64M")
	writeTree(t, local, map[string][]byte{"f" + evil: []byte("x"), "more" + evil: []byte("y")})
	seen := false
	for _, args := range [][]string{
		{"mkfs", "--create", "64M", device}, {"mkfs", device}, {"grow", device}, {"df", device}, {"stat", device}, {"fsck", device},
		{"mkdir", "-v", device + ":/d" + evil}, {"creat", "-s", "1", "--seed", "1", device + ":/f" + evil}, {"creat", "--json", "-s", "1", device + ":/g" + evil},
		{"cp", "-r", "-v", local, device + ":/l" + evil}, {"cp", "-r", "-v", device + ":/", filepath.Join(dir, evil+"out")}, {"cp", "-v", device + ":/f" + evil, other + ":/"},
		{"ls", "-lR", device}, {"ls", "-R", device}, {"ls", "-1", device}, {"ls", "--json", device}, {"stat", device + ":/f" + evil}, {"getmap", device + ":/f" + evil}, {"getmap", "--json", device + ":/f" + evil},
		{"verify", "--seed", "1", device}, {"verify", "--against", local, device + ":/"}, {"verify", "--against", other, device}, {"verify", "--against", device, other}, {"verify", "--json", "--against", other, device},
		{"chkread", device}, {"flush", "-v", device}, {"logdump", "-v", device}, {"logdump", "--json", device}, {"watch", "--all", "-c", "3", device},
		{"layout", device}, {"layout", "--color", "never", device}, {"layout", "--list", device}, {"layout", "--json", device}, {"layout", "--svg", "-", device}, {"layout", "--svg", filepath.Join(dir, evil+".svg"), device},
		{"ls", device + ":/no" + evil}, {"ls", device + evil + ":/"}, {"cp", local + "/no" + evil, device + ":/"}, {"cat", evil}, {"ls", "--" + evil}, {evil}, {"creat", "-s", evil, device + ":/x"},
		{"mkfs", "--kill", device}, {"mkfs", "--kill", "--force", device},
	} {
		shown, _ := onTerminal(t, 120, 40, append([]string{"--system-uuid", host}, args...)...)
		assert.NotContains(t, shown, "\x1b[31m", "%q", args)
		assert.NotContains(t, shown, "\u009b", "%q", args)
		assert.NotContains(t, shown, "\u202e", "%q", args)
		seen = seen || strings.Contains(shown, `\x1b[31m\u009b2J\u202e`)
	}
	assert.True(t, seen)
}

// If Ctrl-C prevented a new file from being formatted, the file is removed.
func TestMkfsInterrupted(t *testing.T) {
	dir := testDir(t)
	for range attempts {
		device := filepath.Join(dir, "device")
		require.NoError(t, os.RemoveAll(device))
		r, inTime := interruptWhen(t, command("--system-uuid", host, "mkfs", "--create", "1G", "--loglen", "512M", device), func() bool {
			_, err := os.Lstat(device)
			return err == nil
		})
		if !inTime {
			continue
		}
		assert.Contains(t, r.err, "interrupted")
		assert.Empty(t, names(t, dir))
		return
	}
	t.Fatalf("the device was formatted before it could be interrupted, %d times", attempts)
}

// At a terminal devadd asks before it adds the first device: the C tools refuse what it makes, for good.
func TestDevaddAsks(t *testing.T) {
	t.Parallel()
	d := sparse(t, "first", "second", "third")
	require.Zero(t, famfsRun(t, "mkfs", d[0]).status)
	answered := func(answer string, args ...string) (said string, status int) {
		cmd := command(append([]string{"devadd"}, args...)...)
		terminal, err := pty.Start(cmd)
		require.NoError(t, err)
		defer terminal.Close()
		_, err = io.WriteString(terminal, answer)
		require.NoError(t, err)
		out, _ := io.ReadAll(terminal) // the end of a terminal is an error on Linux
		cmd.Wait()
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, status := answered("n\n", d[0], d[1])
	assert.Equal(t, 1, status)
	assert.Contains(t, out, "the C tools refuse a file system on several devices")
	assert.Contains(t, out, "nothing was changed")
	assert.NotContains(t, famfsRun(t, "devices", d[0]).out, "not here")
	out, status = answered("y\n", d[0], d[1])
	assert.Zero(t, status, out)
	assert.Contains(t, out, "as device 1")
	out, status = answered("", d[0], d[2])
	assert.Zero(t, status, out)
	assert.NotContains(t, out, "[y/N]", "it is one of several already")
}

// A scrub that is interrupted says so once, and that it has not seen everything.
func TestScrubInterrupted(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "40M", device+":/f")
	for _, args := range [][]string{{}, {"--json"}} {
		var r result
		inTime := false
		for wait := 200 * time.Millisecond; !inTime && wait < 10*time.Second; wait *= 2 { // on a busy machine it begins late
			begun := time.Now()
			cmd := command(append([]string{"scrub", "--rate", "1M", device}, args...)...)
			r, inTime = interruptWhen(t, cmd, func() bool { return time.Since(begun) > wait })
		}
		require.True(t, inTime, r.err)
		assert.Equal(t, "famfs scrub: interrupted: not everything was read\n", r.err[strings.Index(r.err, "famfs scrub: "):])
		if len(args) > 0 {
			all := parse[[]scrubJSON](t, r)
			require.Len(t, all, 1)
			assert.True(t, all[0].Ended)
			assert.False(t, all[0].Clean)
			continue
		}
		assert.Contains(t, r.out, "0 sealed: not everything was read\n")
	}
}

// The bar of a scrub is full when all is read, of all devices.
func TestScrubBar(t *testing.T) {
	t.Parallel()
	d := sparse(t, "first", "second", "third")
	require.Zero(t, famfsRun(t, "mkfs", d[0], d[1], d[2]).status)
	require.Zero(t, famfsRun(t, "--device", d[1], "--device", d[2], "creat", "-s", "6M", d[0]+":/f").status)
	shown, status := onTerminal(t, 100, 30, "--device", d[1], "--device", d[2], "scrub", "--rate", "40M", d[0])
	assert.Zero(t, status, shown)
	assert.Contains(t, shown, "20 MiB of 20 MiB")
	assert.NotContains(t, shown, "of 16 MiB")
}
