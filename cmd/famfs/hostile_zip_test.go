package main

// Zip files that were made to do harm, and sparse files of any size.

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// zipThatSays returns a zip file with one empty file, big, of which it says that it has these sizes.
func zipThatSays(method uint16, packed, size uint64) []byte {
	le := binary.LittleEndian
	sizes := le.AppendUint16(le.AppendUint16(nil, zip64ID), 16)
	sizes = le.AppendUint64(le.AppendUint64(sizes, size), packed)
	common := le.AppendUint16(le.AppendUint16(le.AppendUint16(nil, 45), 0), method)
	common = append(common, make([]byte, 8)...) // time, date, sum
	common = le.AppendUint32(le.AppendUint32(common, math.MaxUint32), math.MaxUint32)
	common = le.AppendUint16(le.AppendUint16(common, 3), uint16(len(sizes)))
	file := append(append(append(le.AppendUint32(nil, 0x04034b50), common...), "big"...), sizes...)
	at := len(file)
	file = le.AppendUint16(le.AppendUint32(file, 0x02014b50), 3<<8|45)
	file = append(append(file, common...), make([]byte, 6)...)
	file = append(le.AppendUint32(le.AppendUint32(file, 0o100644<<16), 0), "big"...)
	file = append(file, sizes...)
	end := len(file)
	file = append(le.AppendUint32(file, 0x06054b50), 0, 0, 0, 0, 1, 0, 1, 0)
	return append(le.AppendUint32(le.AppendUint32(file, uint32(end-at)), uint32(at)), 0, 0)
}

// Who reads through a zip file whose sizes cannot be true is told that it is none.
func TestZipThatLies(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	for name, c := range map[string]struct {
		method       uint16
		packed, size uint64
		isZip        bool
	}{
		"sound.zip":    {0, 0, 0, true},
		"negative.zip": {0, math.MaxUint64, math.MaxUint64, false},
		"huge.zip":     {0, math.MaxInt64, math.MaxInt64, false},
		"stored.zip":   {0, 1, math.MaxUint64, false},
		"deflated.zip": {8, 8, math.MaxInt64, false},
		"longer.zip":   {8, 1 << 20, 1, false},
		"bzip2.zip":    {12, 8, math.MaxUint64, false},
		"densely.zip":  {12, 8, 1 << 20, true},
	} {
		local := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(local, zipThatSays(c.method, c.packed, c.size), 0o644))
		z := device + ":/" + name
		asMaster(t, "cp", local, z)
		r := famfsRun(t, "ls", "-l", z+"/")
		if c.isZip {
			assert.Equal(t, 0, r.status, r.err)
			assert.Contains(t, r.out, "big")
			continue
		}
		for _, args := range [][]string{{"ls", z + "/"}, {"du", z + "/"}, {"cat", z + "/big"}, {"cp", "-r", z + "/", device + ":/copy"}, {"cp", "-r", "--pack", z + "/", device + ":/p.zip"}} {
			r := famfsRun(t, append([]string{"--system-uuid", host}, args...)...)
			assert.Equal(t, 1, r.status, "%s %v", name, args)
			assert.Empty(t, r.out)
			assert.NotContains(t, r.err, "panic")
		}
	}
	assert.Equal(t, 0, famfsRun(t, "fsck", device).status)
}

// A path of tens of thousands of directories would take gigabytes to walk through.
func TestZipTooDeep(t *testing.T) {
	t.Parallel()
	device, local := newDevice(t, "64M"), filepath.Join(t.TempDir(), "deep.zip")
	for _, c := range []struct {
		path   string
		status int
	}{{strings.Repeat("d/", mostPackedPath/2-1) + "f", 0}, {strings.Repeat("d/", mostPackedPath/2) + "f", 1}, {strings.Repeat("d/", 30_000) + "f", 1}} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		w, err := z.Create(c.path)
		require.NoError(t, err)
		_, err = w.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		require.NoError(t, os.WriteFile(local, b.Bytes(), 0o644))
		asMaster(t, "cp", "--replace", local, device+":/deep.zip")
		assert.Equal(t, c.status, famfsRun(t, "find", device+":/deep.zip/").status, len(c.path))
	}
	// What could not be read is not packed either.
	cmd := &copyCommand{app: &app{}, tree: newTree()}
	long := strings.Repeat("d/", mostPackedPath/2) + "f"
	require.NoError(t, cmd.tree.insert(long, &treeNode{name: "f", size: 1}))
	cmd.refuseUnpackable()
	require.Len(t, cmd.refused, 1)
	assert.ErrorContains(t, cmd.refused[0].err, "has a path of ")
	assert.Empty(t, cmd.fileNames())
}

// Sizes that do not fit into 64 bits when they are rounded up, or added, do not become negative.
func TestUnits(t *testing.T) {
	t.Parallel()
	const unit = 2 * mib
	for n, want := range map[int64]int64{
		0: 0, 1: unit, unit - 1: unit, unit: unit, unit + 1: 2 * unit,
		math.MaxInt64: math.MaxInt64 / unit * unit, math.MaxInt64 - unit: math.MaxInt64 / unit * unit,
	} {
		assert.Equal(t, want, units(n, unit), n)
	}
	assert.EqualValues(t, 3, plus(1, 2))
	assert.EqualValues(t, int64(math.MaxInt64), plus(math.MaxInt64-1, 2))
	tree := newTree()
	for _, name := range []string{"a", "b"} {
		require.NoError(t, tree.insert(name, &treeNode{name: name, size: math.MaxInt64}))
	}
	_, bytes := tree.total()
	assert.EqualValues(t, int64(math.MaxInt64), bytes)
}

// Sparse files that are larger than any device are refused, at once, and the others are copied.
func TestCpHugeSparse(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), filepath.Join(testDir(t), "src")
	writeTree(t, src, map[string][]byte{"small": []byte("s"), "huge": nil})
	if err := os.Truncate(filepath.Join(src, "huge"), math.MaxInt64); err != nil {
		t.Skip("no file can be that large here: ", err)
	}
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--dry-run", src, device+":/src")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "does not fit")
	r = famfsRun(t, "--system-uuid", host, "cp", "-r", src, device+":/src")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "does not fit: it takes 8 EiB")
	assert.Equal(t, "small\n", famfsRun(t, "ls", device+":/src").out)

	begun := time.Now()
	r = famfsRun(t, "--system-uuid", host, "cp", "-r", "--pack", src, device+":/src.zip")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "does not fit: it would have more than 8 EiB, and the device has 64 MiB")
	assert.Less(t, time.Since(begun), time.Minute)
}

// failingFS has files that end with an error.
type failingFS struct{ err error }

func (f failingFS) Open(string) (fs.File, error) { return failingFile{err: f.err}, nil }

type failingFile struct {
	fs.File
	err error
}

func (f failingFile) Read([]byte) (int, error) { return 0, f.err }
func (f failingFile) Close() error             { return nil }

// An error of one source is all that is said, and none is taken for the end of a file.
func TestPackFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	c := &copyCommand{app: &app{}, create: createOptions{workers: 2}}
	var entries []*packed
	for range 3 {
		entries = append(entries, &packed{name: "f", node: &treeNode{name: "f", from: failingFS{broken}, at: "f"}})
	}
	err := c.readSources(t.Context(), entries, nil)
	require.ErrorIs(t, err, broken)
	assert.NotErrorIs(t, err, context.Canceled)
	assert.NoError(t, c.readSource(t.Context(), &packed{name: "f", node: &treeNode{name: "f", from: failingFS{io.EOF}}}, nil))

	ended, end := context.WithCancel(t.Context())
	end()
	assert.ErrorIs(t, c.readSources(ended, entries, nil), context.Canceled)
}

// A backslash is a slash to who reads zip files: such names are refused, or others could not be read.
func TestPackBackslash(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"a": []byte("a"), `a\b`: []byte("b"), `d\e/f`: []byte("f"), "g/h": []byte("h")})
	if names(t, src)[0] != "a" {
		t.Skip("here it is a slash too")
	}
	r := famfsRun(t, "--system-uuid", host, "cp", "-r", "--pack", src, device+":/z.zip")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "of 4 files, 2 will not be copied: 2 have names that famfs does not take")
	assert.Equal(t, "a\ng\n", famfsRun(t, "ls", device+":/z.zip/").out)
}

// With -n and --json, a summary is printed too where the one file is there.
func TestCpOneFilePassedOver(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"f": []byte("f")})
	asMaster(t, "creat", "-s", "7", device+":/f")
	want := copyJSON{Files: 1, Bytes: 7, Passed: 1, Errors: []failureJSON{}}
	assert.Equal(t, want, parse[copyJSON](t, asMaster(t, "cp", "-n", "--json", "--pack", src, device+":/f")))
	assert.Equal(t, want, parse[copyJSON](t, asMaster(t, "cp", "-n", "--json", "--size", "1", "-", device+":/f")))
}
