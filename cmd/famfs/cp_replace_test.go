package main

// Copies that replace files, and copies that appear at one moment.

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// content is the content of a device's files, by name.
func content(t testing.TB, device string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	fsys := readBack(t, device)
	for _, name := range namesOn(t, device) {
		data, err := fsys.ReadFile(name)
		require.NoError(t, err)
		all[name] = string(data)
	}
	return all
}

func usage(t testing.TB, device string) famfs.Usage {
	t.Helper()
	return readBack(t, device).Usage()
}

func TestCpReplace(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": []byte("a1"), "t/b": []byte("same"), "t/sub/c": []byte("c1"), "one": []byte("1"), "v2/a": []byte("a2 is longer"), "v2/b": []byte("same"), "v2/sub/c": []byte("c2")})
	tree, one, v2 := filepath.Join(src, "t"), filepath.Join(src, "one"), filepath.Join(src, "v2")
	asMaster(t, "cp", "-r", tree, one, device+":/")
	f, err := readBack(t, device).Open("one")
	require.NoError(t, err)

	// A single file.
	require.NoError(t, os.WriteFile(one, []byte("2"), 0o600))
	cpFails(t, "has other content", one, device+":/one")
	cpFails(t, "--replace replaces files", one, device+":/one")
	r := asMaster(t, "cp", "--replace", one, device+":/one")
	assert.Contains(t, r.err, "copied 1 file,")
	assert.Equal(t, "2", content(t, device)["one"])
	old := make([]byte, 1)
	_, err = f.Read(old)
	require.NoError(t, err)
	assert.Equal(t, "1", string(old), "who has it open keeps it")
	before := usage(t, device)
	r = asMaster(t, "cp", "--replace", one, device+":/")
	assert.Contains(t, r.err, "copied 0 files, passed over 1 that were there already")
	assert.Equal(t, before, usage(t, device))

	// A tree; and files that are only on the device.
	asMaster(t, "creat", "-s", "1", "--seed", "1", device+":/t/mine")
	cpFails(t, "is there already", "-rT", v2, device+":/t")
	summary := parse[copyJSON](t, asMaster(t, "cp", "-rT", "--replace", "--json", v2, device+":/t"))
	assert.Equal(t, []int{3, 2, 1, 0}, []int{summary.Files, summary.Copied, summary.Passed, summary.NotCopied})
	assert.Equal(t, map[string]string{"one": "2", "t/a": "a2 is longer", "t/b": "same", "t/sub/c": "c2", "t/mine": string(pattern(1, 1))}, content(t, device))

	// From this device.
	asMaster(t, "cp", "--replace", device+":/one", device+":/t/a")
	assert.Equal(t, "2", content(t, device)["t/a"])

	// A directory is never replaced, and never replaces anything.
	writeTree(t, src, map[string][]byte{"w/t": []byte("x"), "x/one/f": []byte("x")})
	cpFails(t, "is a directory", "-rT", "--replace", filepath.Join(src, "w"), device+":/")
	cpFails(t, "one is a file, not a directory", "-rT", "--replace", filepath.Join(src, "x"), device+":/")
	cpFails(t, "not a directory", "-rT", "--replace", tree, device+":/one")
	assert.Len(t, content(t, device), 5)

	for _, option := range []string{"--replace", "--atomic"} {
		r = famfsRun(t, "cp", option, device+":/one", filepath.Join(src, "out"))
		assert.Equal(t, 2, r.status)
		assert.Contains(t, r.err, "--force replaces local files")
	}
}

// The meaning of DEST is not guessed if a wrong guess would lose files.
func TestCpReplaceAsks(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"v1/a": []byte("1"), "v1/b": []byte("1"), "v2/a": []byte("2"), "v2/b": []byte("1")})
	v1, v2 := filepath.Join(src, "v1"), filepath.Join(src, "v2")
	asMaster(t, "cp", "-r", v1, device+":/m")
	asMaster(t, "cp", "-r", "--replace", v1, device+":/m")
	want := map[string]string{"m/a": "1", "m/b": "1"}
	assert.Equal(t, want, content(t, device), "it is the copy by what it holds, and nothing differs")
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--replace", v2, device+":/m")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, device+":/m: is the copy, or a directory to copy into, and --replace would replace what differs in it, such as a: say -T")
	assert.Equal(t, want, content(t, device))
	asMaster(t, "cp", "-r", "--replace", v2, device+":/m/")
	assert.Equal(t, map[string]string{"m/a": "1", "m/b": "1", "m/v2/a": "2", "m/v2/b": "1"}, content(t, device))
	asMaster(t, "cp", "-rT", "--replace", v2, device+":/m")
	assert.Equal(t, "2", content(t, device)["m/a"])
}

// The new file needs space beside the old one, and two entries. Both are known in advance.
func TestCpReplaceFits(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "40M", "--seed", "1", device+":/big")
	asMaster(t, "creat", "-s", "1", device+":/small")
	writeTree(t, src, map[string][]byte{"big": pattern(20*mib, 2), "small": []byte("22")})
	r := famfsRun(t, "--system-uuid", host, "cp", "--replace", filepath.Join(src, "big"), filepath.Join(src, "small"), device+":/")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "of 2 files, 1 will not be copied: 1 does not fit")
	assert.EqualValues(t, 40*mib, len(content(t, device)["big"]))
	assert.Equal(t, "22", content(t, device)["small"])
	r = famfsRun(t, "--system-uuid", host, "cp", "--replace", "--atomic", filepath.Join(src, "big"), filepath.Join(src, "small"), device+":/")
	assert.Contains(t, r.err, "of 2 files, 1 cannot be copied: 1 does not fit")

	fillLog(t, device, 15420-5) // 2 files, and what replaced one of them
	require.NoError(t, os.WriteFile(filepath.Join(src, "small"), []byte("333"), 0o600))
	cpFails(t, "finds no entry in the log", "--replace", filepath.Join(src, "small"), device+":/")
	assert.Equal(t, "22", content(t, device)["small"])
}

// Everything appears, or nothing.
func TestCpAtomic(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	writeTree(t, src, map[string][]byte{
		"v1/a": []byte("a1"), "v1/b": []byte("same"), "v1/sub/c": pattern(3*mib, 1), "v2/a": []byte("a2"), "v2/b": []byte("same"), "v2/sub/c": pattern(3*mib, 2), "v2/sub/d": []byte("d"),
		"empty/a": []byte("a"), "empty/e": nil, "huge/a": []byte("a"), "huge/b": pattern(30*mib, 1), "huge/c": pattern(30*mib, 2),
	})
	at := func(name string) string { return filepath.Join(src, name) }
	device := newDevice(t, "64M")
	for _, c := range []struct{ tree, want string }{
		{"empty", "of 2 files, 1 cannot be copied: 1 is empty"},
		{"huge", "of 3 files, 1 cannot be copied: 1 does not fit"},
	} {
		before := usage(t, device)
		r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--atomic", at(c.tree), device+":/new")
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, c.want)
		assert.Contains(t, r.err, device+":/new: is left as it is: not all can be copied there, and --atomic copies all or nothing\n")
		assert.Contains(t, r.err, "copied 0 files")
		assert.Equal(t, before, usage(t, device))
	}

	args := []string{"cp", "-r", "--atomic", at("v1"), device + ":/m"}
	asMaster(t, args...)
	v1 := map[string]string{"m/a": "a1", "m/b": "same", "m/sub/c": string(pattern(3*mib, 1))}
	assert.Equal(t, v1, content(t, device))
	r := asMaster(t, args...)
	assert.Contains(t, r.err, "copied 0 files, passed over 3 that were there already")
	assert.Equal(t, v1, content(t, device), "DEST is the copy that made it")

	// A new version.
	r = famfsRun(t, "--system-uuid", host, "cp", "-rT", "--atomic", at("v2"), device+":/m")
	assert.Equal(t, 1, r.status)
	assert.Regexp(t, "m/(a|sub/c) is there already and has other content", r.err)
	assert.Contains(t, r.err, "--replace replaces files")
	assert.Equal(t, v1, content(t, device), "not even what does not stand in the way")
	summary := parse[copyJSON](t, asMaster(t, "cp", "-rT", "--atomic", "--replace", "--json", at("v2"), device+":/m"))
	assert.Equal(t, []int{4, 3, 1, 0}, []int{summary.Files, summary.Copied, summary.Passed, summary.NotCopied})
	assert.Equal(t, map[string]string{"m/a": "a2", "m/b": "same", "m/sub/c": string(pattern(3*mib, 2)), "m/sub/d": "d"}, content(t, device))

	// Several sources, a single file, and between devices.
	asMaster(t, "cp", "-r", "--atomic", at("v1/a"), at("v1/sub"), device+":/")
	asMaster(t, "cp", "--atomic", at("v1/b"), device+":/single")
	other := newDevice(t, "64M")
	asMaster(t, "cp", "-r", "--atomic", device+":/m", other+":/")
	assert.Len(t, content(t, device), 7)
	assert.Len(t, content(t, other), 4)
}
