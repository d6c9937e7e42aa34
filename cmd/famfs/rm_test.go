package main

// Removing: what goes, what stays, and what is said of it.

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRm(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", "-p", device+":/d/e", device+":/empty", device+":/full")
	asMaster(t, "creat", "-s", "10", "--seed", "1", device+":/a", device+":/b", device+":/c", device+":/d/f", device+":/d/e/g", device+":/full/h")
	rm := func(args ...string) result {
		return famfsRun(t, append([]string{"--system-uuid", host, "rm"}, args...)...)
	}
	names := func() []string { return namesOn(t, device) }
	said := func(r result, status int, want ...string) {
		t.Helper()
		assert.Equal(t, status, r.status, r.err)
		for _, w := range want {
			assert.Contains(t, r.err, w)
		}
		if len(want) == 0 {
			assert.Empty(t, r.err)
		}
		assert.Empty(t, r.out)
	}

	open, err := readBack(t, device).Open("a")
	require.NoError(t, err)
	said(rm(device+":/a"), 0)
	assert.Equal(t, []string{"b", "c", "d/e/g", "d/f", "full/h"}, names())
	content := make([]byte, 10)
	_, err = open.Read(content)
	require.NoError(t, err)
	assert.Equal(t, pattern(10, 1), content, "who has it open keeps it")
	asMaster(t, "creat", "-s", "5", "--seed", "2", device+":/a") // the name is free

	// What cannot be removed does not keep the rest from it.
	said(rm(device+":/nothing", device+":/d", device+":/b/", device+":/b/x", device+":/", device, device+":/d/../..", device+":/c", "nowhere:/x"), 1,
		"famfs rm: "+device+":/nothing: stat: file does not exist\n    see what is there with: famfs ls -R "+device+"\n",
		device+":/d: is a directory; remove it with -r\n",
		device+":/b: is not a directory\n",
		device+":/b/x: stat: file does not exist\n",
		device+":/: is the root of the device, which is never removed; name what is in it, or format the device anew with: famfs mkfs --force "+device+"\n",
		"nowhere: ")
	assert.Equal(t, []string{"a", "b", "d/e/g", "d/f", "full/h"}, names())
	said(rm("-rf", device+":/"), 1, "never removed")
	said(rm("-rf", device), 1, "never removed")
	said(rm("-R", device+":/."), 1, "never removed")
	assert.Equal(t, []string{"a", "b", "d/e/g", "d/f", "full/h"}, names())

	// -f is about what is missing only.
	said(rm("-f", device+":/nothing", device+":/d/nothing"), 0)
	said(rm("-f"), 0)
	said(rm("-f", device+":/d"), 1, "-r")

	// -d is for what is empty.
	said(rm("-d", device+":/empty/", device+":/full"), 1, device+":/full: remove: directory is not empty: 1 files and directories are in it")
	_, err = readBack(t, device).Stat("empty")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Contains(t, names(), "full/h")

	r := rm("-r", "-v", device+":/d/", device+":/b")
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, []string{"removed " + device + ":/d/f", "removed " + device + ":/d/e/g", "removed " + device + ":/d/e", "removed " + device + ":/d", "removed " + device + ":/b"}, lines(r.out))
	assert.Equal(t, []string{"a", "full/h"}, names())

	r = rm("-r", "--json", device+":/full", device+":/nothing")
	assert.Equal(t, 1, r.status)
	list := parse[[]map[string]any](t, r)
	require.Len(t, list, 3)
	assert.Equal(t, []any{"full/h", "file", "full", "directory"}, []any{list[0]["path"], list[0]["type"], list[1]["path"], list[1]["type"]})
	assert.Equal(t, device+":/nothing", list[2]["argument"])
	assert.Equal(t, "[]\n", asMaster(t, "rm", "-f", "--json", device+":/nothing").out)
	assert.Equal(t, []string{"a"}, names())
}

// Who may not remove removes nothing, and is told why.
func TestRmRefused(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "mkdir", device+":/d")
	asMaster(t, "creat", "-s", "10", device+":/a", device+":/d/b")
	r := famfsRun(t, "rm", "-rf", device+":/a", device+":/d")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "not the master")
	assert.Contains(t, r.err, "--system-uuid")
	assert.Equal(t, 2, famfsRun(t, "rm").status)
	assert.Equal(t, 2, famfsRun(t, "--salvage", "--system-uuid", host, "rm", "--json", device+":/a").status)
	assert.Equal(t, []string{"a", "d/b"}, namesOn(t, device))

	// A tree goes as a whole or not at all.
	full := newDevice(t, "64M")
	asMaster(t, "mkdir", full+":/d")
	asMaster(t, "creat", "-s", "1", full+":/d/a", full+":/d/b")
	fillLog(t, full, 15420-3-2)
	r = famfsRun(t, "--system-uuid", host, "rm", "-r", full+":/d")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "famfs compact "+full+" gives their entries back")
	for _, name := range []string{"d/a", "d/b"} {
		_, err := readBack(t, full).Stat(name)
		assert.NoError(t, err)
	}
	asMaster(t, "rm", full+":/d/b")
}
