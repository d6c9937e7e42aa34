package main

// How the tests run the command: as a process, which is this test binary again, on
// stand-in devices.

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

const commandEnv = "FAMFS_TEST_COMMAND"

// host is the system UUID of the master in all tests.
const host = "01234567-89ab-4cde-8f01-23456789abcd"

const mib = 1 << 20

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
	}
	os.Exit(runTests(m))
}

// stateHome is where the commands of this run keep records of copies.
var stateHome string

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "famfs-state-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	stateHome = dir
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) {
			// As under nohup, or behind a shell's &: the commands that the tests start would ignore it
			// too.
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	return m.Run()
}

// testDir is a folder for stand-in devices; FAMFS_TEST_DIR can put it on tmpfs.
func testDir(t testing.TB) string {
	t.Helper()
	parent := os.Getenv("FAMFS_TEST_DIR")
	if parent == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "famfs-command-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// result is what a process left behind.
type result struct {
	out, err string
	status   int
}

// command prepares a process.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), commandEnv+"=1", "NO_COLOR=", "XDG_STATE_HOME="+stateHome)
	return cmd
}

// famfsRun runs the command to its end.
func famfsRun(t testing.TB, args ...string) result {
	t.Helper()
	return finish(t, command(args...))
}

func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	assert.NotRegexp(t, apiWords, errs.String())
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// asMaster runs the command as the master, and fails the test if it fails.
func asMaster(t testing.TB, args ...string) result {
	t.Helper()
	r := famfsRun(t, append([]string{"--system-uuid", host}, args...)...)
	require.Equal(t, 0, r.status, "%v\n%s%s", args, r.out, r.err)
	return r
}

// newDevice makes and formats a stand-in device.
func newDevice(t testing.TB, size string) string {
	t.Helper()
	device := filepath.Join(testDir(t), "device")
	asMaster(t, "mkfs", "--create", size, device)
	return device
}

// parse reads JSON that a command printed.
func parse[T any](t testing.TB, r result) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(r.out), &v), r.out)
	return v
}

// pattern is content for seed.
func pattern(size int, seed uint64) []byte {
	b := make([]byte, size)
	fillPattern(b, seed, 0)
	return b
}

// writeTree writes local files, of which the names are relative to dir.
func writeTree(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, data, 0o644))
	}
}

// readBack opens a device and returns its files by name.
func readBack(t testing.TB, device string) *famfs.FS {
	t.Helper()
	fsys, err := famfs.Open(device)
	require.NoError(t, err)
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

func mustUUID(t testing.TB, s string) famfs.UUID {
	t.Helper()
	id, err := famfs.ParseUUID(s)
	require.NoError(t, err)
	return id
}

func lastLine(s string) string {
	all := lines(s)
	return all[len(all)-1]
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }

func TestHelp(t *testing.T) {
	t.Parallel()
	r := famfsRun(t, "--help")
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.out, "but 0 for what only a signal ends")
	for _, name := range []string{"mkfs", "ls", "stat", "cat", "cp", "creat", "mkdir", "rm", "verify", "chkread", "getmap", "flush", "logdump", "watch", "fsck", "df", "layout", "grow", "compact", "queue", "mount", "version", "du", "find", "man", "check", "completion"} {
		assert.Contains(t, r.out, "\n  "+name+" ", "listed")
		help := famfsRun(t, name, "--help")
		assert.Equal(t, 0, help.status, name)
		assert.Contains(t, help.out, "Usage:\n  famfs "+name, name)
		if name != "completion" {
			assert.Contains(t, help.out, "Examples:\n  famfs "+name, name)
		}
		assert.Empty(t, help.err, name)
		for _, line := range lines(help.out) {
			assert.LessOrEqual(t, strings.Count(line, "(default"), 1, "%s: %s", name, line)
			assert.LessOrEqual(t, utf8.RuneCountInString(line), helpWidth, "%s: %s", name, line)
		}
		again := famfsRun(t, "help", name)
		assert.Equal(t, 0, again.status)
		assert.Contains(t, again.out, "Usage:\n  famfs "+name, name)
	}
}

func TestNotUnderstood(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"frobnicate"}, {"ls"}, {"ls", "--frobnicate", "x"}, {"cp", "one"}, {"creat", "x:/y"}, {"creat", "--size", "12Q", "x:/y"},
		{"--system-uuid", "zz", "ls", "x"}, {"scrub", "--rate", "12Q", "x"}, {"layout", "--color", "blue", "x"}, {"creat", "--size", "1M", "--interleave", "a", "x:/y"},
		{"help", "nosuch"}, {"help", "ls", "more"}, {"completion", "tcsh"}, {"completion"}, {"mkfs", "--create", "0", "x"}, {"ls", "--tolerant", "--salvage", "x"},
		{"--salvage", "mkdir", os.Args[0] + ":/y"}, {"mkdir", "-u", "-1", "x:/y"},
		{"layout", "--svg", "x", "--json", "y"}, {"mkdir", "-m", "999", "x:/y"}, {"creat", "-s", "1M", "-B", "4", "x:/y"},
	} {
		r := famfsRun(t, args...)
		assert.Equal(t, 2, r.status, "%v: %s", args, r.err)
		assert.Empty(t, r.out, args)
		assert.Contains(t, r.err, "--help", args)
	}
}

// Commands of other tools say what there is instead.
func TestHabits(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"mv": "famfs rm", "tree": "famfs ls -R"} {
		r := famfsRun(t, name, "a", "b")
		assert.Equal(t, 2, r.status)
		assert.Contains(t, r.err, "famfs: unknown command \""+name+"\" for \"famfs\"\n    ")
		assert.Contains(t, r.err, want)
	}
	assert.Contains(t, famfsRun(t, "cp", "-u", "a", "b").err, "want the number of a user or group")
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		r := famfsRun(t, "completion", shell)
		assert.Equal(t, 0, r.status)
		assert.Contains(t, r.out, "famfs", shell)
	}
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", "-p", device+":/models/llama")
	asMaster(t, "creat", "-s", "1M", device+":/modest", device+":/models/lima")
	complete := func(typed string) []string {
		r := famfsRun(t, "__complete", "cat", typed)
		require.Equal(t, 0, r.status)
		all := lines(r.out)
		return all[:len(all)-1] // the last line is a directive
	}
	assert.Equal(t, []string{device + ":/models/", device + ":/modest"}, complete(device+":/mod"))
	assert.Equal(t, []string{device + ":/models/", device + ":/modest"}, complete(device+":"))
	assert.Equal(t, []string{device + ":/models/lima", device + ":/models/llama/"}, complete(device+":/models/"))
	assert.Empty(t, complete(device+":/x"))
	r := famfsRun(t, "__complete", "man", "queue", "p")
	assert.Contains(t, r.out, "put\t")
	assert.NotContains(t, r.out, "mkfs")
}

// One argument that fails does not keep the others from their turn.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a")
	r := famfsRun(t, "cat", device+":/missing", device+":/a")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, string(pattern(10, 1)), r.out)
	assert.Contains(t, r.err, "missing")
}
