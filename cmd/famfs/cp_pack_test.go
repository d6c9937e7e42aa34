package main

// Trees as one zip file on a device: what cp --pack writes, and what reads through it.

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// packedTree writes a local tree, and packs it on a new device.
func packedTree(t *testing.T, tree map[string][]byte) (device, src string) {
	t.Helper()
	device, src = newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, tree)
	asMaster(t, "cp", "-r", "--pack", src, device+":/t.zip")
	return device, src
}

func TestCpPack(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long/", 30)
	tree := map[string][]byte{"a/b/large": pattern(3*mib+1, 1), "a/page": pattern(packLarge, 2), "none": {}, long + "file": []byte("far"), "日本": []byte("script")}
	for i := range 200 {
		tree[fmt.Sprintf("a/small-%d", i)] = fmt.Append(nil, "small ", i)
	}
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, tree)
	require.NoError(t, os.Chmod(filepath.Join(src, "a"), 0o750))
	require.NoError(t, os.Chmod(filepath.Join(src, "a", "page"), 0o755))
	when := time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(src, "a", "page"), when, when))
	require.NoError(t, os.Symlink("none", filepath.Join(src, "link")))
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--pack", "-m", "0640", src, device+":/t.zip")
	assert.Equal(t, 1, r.status, "one is a link")
	assert.Contains(t, r.err, "link: is a symbolic link")
	assert.Contains(t, r.err, "205 files of 3.01 MiB in one of 3.04 MiB, which takes 4 MiB; 54 MiB free")
	assert.Contains(t, r.err, "copied 205 files, 3.01 MiB in ")
	assert.Equal(t, "0640", parse[nodeJSON](t, famfsRun(t, "stat", "--json", device+":/t.zip")).Mode)

	// Any program reads it, and finds entries on their alignment.
	data := []byte(famfsRun(t, "cat", device+":/t.zip").out)
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	files := 0
	for _, f := range z.File {
		if f.Mode().IsDir() {
			continue
		}
		files++
		at, err := f.DataOffset()
		require.NoError(t, err)
		want := tree[f.Name]
		align := int64(packSmall)
		if len(want) >= packLarge {
			align = packLarge
		}
		assert.Zero(t, at%align, f.Name)
		assert.Equal(t, zip.Store, f.Method)
		assert.True(t, bytes.Equal(want, data[at:at+int64(len(want))]), f.Name)
		in, err := f.Open()
		require.NoError(t, err)
		got, err := io.ReadAll(in) // checks the checksum
		require.NoError(t, err, f.Name)
		assert.Len(t, got, len(want))
		if f.Name == "a/page" {
			assert.Equal(t, fs.FileMode(0o755), f.Mode())
			assert.WithinDuration(t, when, f.Modified, 2*time.Second)
		}
	}
	assert.Len(t, tree, files)

	// There already, replaced, passed over.
	r = famfsRun(t, "--system-uuid", host, "cp", "-r", "--pack", src, device+":/t.zip")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "--replace")
	asMaster(t, "cp", "-rn", "--pack", filepath.Join(src, "a"), device+":/t.zip")
	assert.Equal(t, string(data), famfsRun(t, "cat", device+":/t.zip").out)
	summary := parse[copyJSON](t, asMaster(t, "cp", "-r", "--json", "--replace", "--pack", filepath.Join(src, "a"), filepath.Join(src, "none"), device+":/t.zip"))
	assert.Equal(t, []int{203, 203, 0}, []int{summary.Files, summary.Copied, summary.NotCopied})
	assert.Equal(t, "a/\nnone\n", strings.ReplaceAll(famfsRun(t, "ls", "-F", device+":/t.zip/").out, "none*", "none"))
}

func TestCpPackRefuses(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "16M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/a": pattern(7*mib, 1)})
	source := filepath.Join(src, "t")
	for _, args := range [][]string{{"--atomic", source, device + ":/z.zip"}, {"--dry-run", source, device + ":/z.zip"}, {source, filepath.Join(src, "z.zip")}, {source, device + ":/d/"}} {
		r := famfsRun(t, append([]string{"--system-uuid", host, "cp", "-r", "--pack"}, args...)...)
		assert.Equal(t, 2, r.status, "%v: %s", args, r.err)
	}
	asMaster(t, "mkdir", device+":/dir", device+":/empty")
	for want, args := range map[string][]string{
		"is a directory; name the zip file": {source, device + ":/dir"},
		"no space left on device":           {source, device + ":/z.zip"},
		"there is nothing to pack":          {device + ":/empty", device + ":/z.zip"},
		"would have a path of":              {source, device + ":/" + strings.Repeat("n", 80)},
		"no such file":                      {filepath.Join(src, "missing"), device + ":/z.zip"},
	} {
		r := famfsRun(t, append([]string{"--system-uuid", host, "cp", "-r", "--pack"}, args...)...)
		assert.Equal(t, 1, r.status, want)
		assert.Contains(t, r.err, want)
	}
	assert.Equal(t, "dir\nempty\n", famfsRun(t, "ls", device).out, "nothing half is there")
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
}

// Commands that read go on behind the name of a zip file.
func TestThroughZip(t *testing.T) {
	t.Parallel()
	device, src := packedTree(t, map[string][]byte{"a/b/f": []byte("0123456789"), "a/g.bin": pattern(2*mib, 3), "none": {}, "h": []byte("h")})
	z := device + ":/t.zip"
	run := func(args ...string) string {
		r := famfsRun(t, args...)
		require.Equal(t, 0, r.status, "%v: %s", args, r.err)
		return r.out
	}
	assert.Equal(t, "t.zip\n", run("ls", device))
	assert.Equal(t, z+"\n", run("ls", z), "its name alone is the file")
	assert.Equal(t, "a\nh\nnone\n", run("ls", z+"/"))
	assert.Equal(t, z+"/:\na\nh\nnone\n\n"+z+"/a:\nb\ng.bin\n\n"+z+"/a/b:\nf\n", strings.ReplaceAll(run("ls", "-R", z+"/"), z+":\n", z+"/:\n"))
	assert.Equal(t, "-rw-r--r-- - - 10 "+z+"/a/b/f\n", run("ls", "-l", z+"/a/b/f"))
	assert.Equal(t, "0123456789h", run("cat", z+"/a/b/f", z+"/h"))
	assert.Equal(t, "345", run("cat", "-o", "3", "-n", "3", z+"/a/b/f"))
	assert.Equal(t, z+"/a/g.bin\n", run("find", z+"/", "-size", "+1M"))
	assert.Equal(t, "2097162\t"+z+"/a\n", strings.ReplaceAll(run("du", "-bs", z+"/a"), " ", "\t"))
	found := parse[[]nodeJSON](t, famfsRun(t, "ls", "--json", z+"/a"))
	require.Len(t, found, 2)
	assert.Equal(t, nodeJSON{Device: device, Path: "t.zip/a/g.bin", Type: "file", Size: 2 * mib, Mode: "0644", Index: -1}, found[1])
	assert.Equal(t, "0755", found[0].Mode)

	out := filepath.Join(t.TempDir(), "out")
	run("cp", "-r", z+"/", out)
	for _, name := range []string{"a/b/f", "a/g.bin", "none", "h"} {
		want, err := os.ReadFile(filepath.Join(src, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, got), name)
	}
	r := famfsRun(t, "cp", "-r", z+"/", out)
	assert.Contains(t, r.err, "passed over 4 that were there already")
	asMaster(t, "cp", "-r", z+"/a", device+":/a")
	assert.Equal(t, 0, famfsRun(t, "verify", "-q", "--against", filepath.Join(src, "a"), device+":/a").status)

	for _, name := range []string{"/nope", "/h/x", "/a/b/f/"} {
		r := famfsRun(t, "ls", z+name)
		assert.Equal(t, 1, r.status)
		assert.Contains(t, r.err, z+strings.TrimSuffix(name, "/"))
	}
	// A file that is no zip file is a file, and one that is cut short too.
	asMaster(t, "creat", "-s", "1M", "--seed", "1", device+":/plain")
	r = famfsRun(t, "ls", device+":/plain/x")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "not exist")
	assert.Contains(t, famfsRun(t, "ls", device+":/plain/").err, "is not a directory")
}

// Where entries begin, also of those that need sizes of 64 bits.
func TestAlignment(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{1, packLarge - 1, packLarge, zipLimit - 1, zipLimit, 1 << 40} {
		for end := range int64(2 * packLarge) {
			extra := alignment(end, size)
			want := int64(packSmall)
			if size >= packLarge {
				want = packLarge
			}
			require.Zero(t, (end+int64(len(extra)))%want)
			require.LessOrEqual(t, len(extra), packLarge+6+20)
			for rest := extra; len(rest) > 0; { // fields that are whole
				n := 4 + int(rest[2]) + int(rest[3])<<8
				require.LessOrEqual(t, n, len(rest))
				rest = rest[n:]
			}
			require.Equal(t, size >= zipLimit, extra[0] == zip64ID)
		}
	}
	date, clock := dosTime(time.Time{})
	assert.Equal(t, []uint16{1 | 1<<5, 0}, []uint16{date, clock})
}

// A source that is not as it was when its size was asked for fails the whole.
func TestPackChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeTree(t, dir, map[string][]byte{"f": []byte("12345678")})
	c := &copyCommand{app: &app{}}
	for size, want := range map[int]string{8: "", 7: "became longer", 9: "became shorter"} {
		e := &packed{name: "f", node: &treeNode{name: "f", size: int64(size), from: localFS(dir), at: "f"}}
		err := c.readSource(t.Context(), e, make([]byte, size))
		if want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, want)
		}
	}
}

// Directories keep their modes in a zip file, and out of it.
func TestCpPackModes(t *testing.T) {
	t.Parallel()
	src, out := t.TempDir(), t.TempDir()
	device := newDevice(t, "64M")
	writeTree(t, src, map[string][]byte{"d/f": []byte("f")})
	require.NoError(t, os.Chmod(filepath.Join(src, "d"), 0o710))
	asMaster(t, "cp", "-r", "--pack", src, device+":/z.zip")
	assert.Contains(t, famfsRun(t, "ls", "-l", device+":/z.zip/").out, "drwx--x---")
	require.Equal(t, 0, famfsRun(t, "cp", "-r", device+":/z.zip/d", out).status)
	st, err := os.Stat(filepath.Join(out, "d"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o710), st.Mode().Perm())
}
