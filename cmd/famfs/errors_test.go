package main

// Messages and statuses: what failed is named, hints fit, and no failure ends with status 0.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// apiWords are Go names that people at the command line must not see.
var apiWords = regexp.MustCompile(`\b(famfs\.[A-Z]\w+|CreateBacking|ReadWrite|WithSystemUUID|WithClientWrites|WithLockTimeout|Tolerant|Salvage|Force|LogSize|DropProblems|Evict|Admit|Reclaim|Reuse|Grow|RestoreSuperblock|WithDevices)\b`)

// Errors name the device, the path, and what to do, which fits the failure.
func TestErrors(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	blank, other := filepath.Join(dir, "blank"), filepath.Join(dir, "other.tar")
	require.NoError(t, famfs.CreateBacking(blank, 64*mib))
	require.NoError(t, os.WriteFile(other, pattern(16*mib, 7), 0o600))
	device, newer, empty := newDevice(t, "64M"), newDevice(t, "64M"), filepath.Join(dir, "empty")
	asMaster(t, "creat", "-s", "1", device+":/file")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	overwrite(t, newer, 8, 49)
	const mkfs = "famfs mkfs"
	asHost := func(args ...string) []string { return append([]string{"--system-uuid", host}, args...) }
	for _, c := range []struct {
		args   []string
		want   []string
		absent []string
	}{
		{[]string{"ls", blank}, []string{blank + ": ", "not formatted", "famfs mkfs " + blank}, nil},
		{[]string{"ls", other}, []string{other + ": ", "it holds data", "check that this is the device"}, []string{mkfs}},
		{[]string{"ls", "/etc/passwd"}, []string{"/etc/passwd: "}, []string{mkfs}},
		{[]string{"ls", dir + "/missing"}, []string{"missing", "no such file", "--create"}, nil},
		{[]string{"ls", dir + "/missing:/x"}, []string{"missing", "no such file"}, []string{":/x"}},
		{[]string{"ls", dir + "/no/folder"}, []string{"no/folder: ", "the folder does not exist"}, []string{mkfs}},
		{[]string{"ls", "/dev/dax9.9"}, []string{"/dev/dax9.9: ", "daxctl"}, []string{"--create"}},
		{[]string{"watch", dir + "/missing"}, []string{dir + "/missing: ", "no such file"}, nil},
		{[]string{"cat", device + ":/nothing/here"}, []string{device + ":/nothing/here: ", "does not exist", "famfs ls -R " + device}, nil},
		{[]string{"cat", device}, []string{device, "is a directory", "famfs ls"}, nil},
		{[]string{"mkdir", device + ":/d"}, []string{device, "not the master", "--system-uuid"}, nil},
		{asHost("mkfs", device), []string{device + ": ", "already", "--force", "famfs fsck " + device}, nil},
		{asHost("mkfs", other), []string{other + ": ", "--force", "check that this is the device"}, nil},
		{asHost("mkfs", "--create", "64M", blank), []string{blank + ": ", "exists", "leave it out"}, []string{"--force", "fsck"}},
		{asHost("mkfs", empty), []string{empty + ": ", "empty", "famfs mkfs --create SIZE " + empty}, []string{"devdax"}},
		{[]string{"ls", newer}, []string{"version 49", "famfs fsck " + newer}, nil},
		{asHost("mkdir", device+":/no/d"), []string{device + ":/no/d: lies in a directory that does not exist", "-p"}, []string{"famfs ls"}},
		{asHost("mkdir", "-p", device+":/file/d/e"), []string{device + ":/file/d/e: file exists and is a file"}, []string{"another name"}},
		{asHost("cp", other, device+":/file/x"), []string{device + ":/file/x: ", "is a file, not a directory"}, []string{"mkdir"}},
		{asHost("cp", other, device+":/.meta/x"), []string{device + ":/.meta/x: ", "reserved"}, []string{"mkdir"}},
		{asHost("creat", "-s", "1G", device+":/big"), []string{device + ":/big: ", "no space left", "famfs layout " + device}, nil},
		{asHost("creat", "-s", "1M", device+":/no/dir"), []string{device + ":/no/dir: ", "does not exist"}, nil},
		{asHost("creat", "-s", "1M", device+":/"), []string{device + ":/: ", "names a directory"}, []string{"UTF-8"}},
		{asHost("mkdir", device+":/"), []string{device + ":/: ", "root directory"}, []string{"UTF-8", "another name"}},
		{[]string{"ls", dir}, []string{dir, "is a directory"}, nil},
		{[]string{"getmap", device + ":/"}, []string{"is a directory"}, nil},
		{[]string{"layout", device + ":/x"}, []string{"as a whole"}, nil},
		{[]string{"layout", "--svg", dir + "/no/x.svg", device}, []string{dir + "/no/x.svg: ", "mkdir"}, []string{"famfs ls", mkfs}},
		{asHost("mkfs", "-f", "-l", "9M", device), []string{device, "power of two"}, nil},
		{asHost("cp", dir+"/missing", device+":/"), []string{dir + "/missing: ", "no such file", "DEVICE:PATH"}, []string{mkfs}},
		{asHost("cp", "-", device+":/x"), []string{"-: ", "standard input"}, []string{mkfs}},
		{asHost("cp", other, device+":/a/b"), []string{device + ":/a/b: lies in a directory that does not exist", "famfs mkdir"}, []string{mkfs}},
		{[]string{"cp", device + ":/", dir + "/no/x"}, []string{dir + "/no/x: lies in a directory"}, []string{"famfs mkdir", mkfs}},
	} {
		r := famfsRun(t, c.args...)
		assert.Equal(t, 1, r.status, c.args)
		for _, want := range c.want {
			assert.Contains(t, r.err, want, c.args)
		}
		for _, absent := range c.absent {
			assert.NotContains(t, r.err, absent, c.args)
		}
		assert.True(t, strings.HasPrefix(r.err, "famfs "), r.err)
		assert.NotContains(t, r.err, "copy to .", c.args)
	}
}

// An unknown version may be damage: the advice names both, and invents no UUID.
func TestDamagedVersion(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	overwrite(t, device, 9, 0x55)
	r := famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status, r.err)
	assert.Contains(t, r.out, "famfs mkfs --restore-superblock "+device, "its copy is sound")
	assert.Contains(t, r.out, "famfs --salvage cp -r "+device)
	assert.NotContains(t, r.out, famfs.UUID{}.String())
	overwrite(t, device, 64<<10, 0x55)
	r = famfsRun(t, "fsck", device)
	assert.Equal(t, 1, r.status, r.err)
	assert.Contains(t, r.out, "famfs --salvage cp -r "+device)
	assert.Contains(t, r.out, "file system of unknown UUID")
	assert.NotContains(t, r.out, famfs.UUID{}.String())
}

// A message never says the same thing twice, even if several layers add to it.
func TestMessages(t *testing.T) {
	t.Parallel()
	inner := &fs.PathError{Op: "open", Path: "own", Err: fs.ErrPermission}
	for _, c := range []struct {
		f    failure
		want string
	}{
		{failure{what: "own", err: fmt.Errorf("famfs: open own: %w", inner)}, "open: permission denied"},
		{failure{what: "e", err: because(fs.ErrInvalid, "is empty")}, "is empty"},
		{failure{what: "x", err: because(fs.ErrInvalid, "x is a file")}, "is a file"},
		{failure{what: "d:/own", err: inner}, "open: permission denied"},
		{failure{what: "d", err: errors.New("a: a: a: b")}, "a: b"},
		{failure{what: "d", err: errors.New("open with ReadWrite to create: opened read-only")}, "opened read-only"},
	} {
		assert.Equal(t, c.want, c.f.message(), "%v", c.f.err)
	}
	joined := errors.Join(because(fs.ErrExist, "one"), errors.Join(because(fs.ErrExist, "two"), localFailed("three", fs.ErrExist)))
	all := separate(deviceFailed("dev", joined))
	require.Len(t, all, 3)
	assert.Equal(t, []string{"dev", "dev", "three"}, []string{all[0].what, all[1].what, all[2].what})
}

// A hint that fits every argument is given once.
func TestHintOnce(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	r := famfsRun(t, "cat", device+":/a", device+":/b")
	assert.Equal(t, 1, strings.Count(r.err, "see what is there with"), r.err)
	assert.Contains(t, r.err, device+":/b: ")
}

// If nobody reads the output, every command fails.
func TestStdoutFull(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("needs /dev/full")
	}
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1000", "--seed", "1", device+":/f")
	for _, c := range []struct {
		status int
		args   []string
	}{
		{1, []string{"--help"}}, {1, []string{"ls", "--help"}}, {1, []string{"help", "ls"}}, {1, []string{"completion", "bash"}},
		{1, []string{"ls", device}}, {1, []string{"ls", "--json", device}}, {1, []string{"ls", "-lR", device, device}}, {1, []string{"stat", device}},
		{1, []string{"cat", device + ":/f"}}, {1, []string{"df", device}}, {1, []string{"getmap", device + ":/f"}}, {1, []string{"logdump", device}},
		{1, []string{"layout", device}}, {1, []string{"layout", "--svg", "-", device}}, {1, []string{"mkdir", "-v", device + ":/d"}},
		{1, []string{"mkdir", "-pv", device + ":/p/q"}}, {1, []string{"creat", "-s", "1", device + ":/g"}}, {1, []string{"flush", "-v", device}},
		{1, []string{"watch", "--all", "--count", "1", device}}, {1, []string{"grow", device}}, {1, []string{"cp", "--json", device + ":/f", device + ":/h"}},
		{2, []string{"fsck", device}}, {2, []string{"verify", "--seed", "1", device + ":/f"}}, {2, []string{"chkread", device + ":/f"}},
		{1, []string{"mkfs", "--force", device}},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		require.NoError(t, err)
		cmd := command(append([]string{"--system-uuid", host}, c.args...)...)
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = full, &errs
		cmd.Run()
		full.Close()
		assert.Equal(t, c.status, cmd.ProcessState.ExitCode(), "%v: %s", c.args, errs.String())
		assert.Equal(t, 1, strings.Count(errs.String(), "standard output: "), "%v: %s", c.args, errs.String())
	}
}

// Programs are told what failed, in the place where they look.
func TestFailuresInJSON(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/f")
	for _, args := range [][]string{
		{"ls", "--json", device + ":/no"}, {"ls", "--json", device + ":/no", device + ":/f"}, {"stat", "--json", device + ":/no", device + ":/f"},
		{"getmap", "--json", device + ":/no"}, {"df", "--json", device + "-no"}, {"fsck", "--json", device + "-no"},
		{"verify", "--json", "--seed", "1", device + ":/no"}, {"chkread", "--json", device + ":/no"},
		{"--system-uuid", host, "creat", "--json", "-s", "1", device + ":/f"},
	} {
		r := famfsRun(t, args...)
		assert.NotEqual(t, 0, r.status, args)
		failed := 0
		for _, e := range parse[[]map[string]any](t, r) {
			if e["error"] != nil {
				failed++
			}
		}
		assert.Equal(t, 1, failed, "%v: %s", args, r.out)
	}
	one := parse[failureJSON](t, famfsRun(t, "stat", "--json", device+":/no"))
	assert.Equal(t, failureJSON{device + ":/no", "stat: file does not exist"}, one)
}

// The status is the worst one: an earlier failure does not hide a signal, or a command that was
// not understood.
func TestWorstStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		failed bool
		err    error
		want   int
	}{
		{false, nil, 0}, {true, nil, 1}, {true, &statusError{status: 130}, 130}, {false, &statusError{status: 130}, 130}, {true, &statusError{status: 2}, 2},
	} {
		a := &app{out: &output{to: io.Discard}, err: io.Discard, failed: c.failed, failStatus: statusFailed}
		assert.Equal(t, c.want, a.status(c.err))
	}
}
