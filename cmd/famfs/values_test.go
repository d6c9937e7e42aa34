package main

// Sizes, modes and targets as people write them.

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"0": 0, "4096": 4096, "1k": 1 << 10, "64M": 64 << 20, "2GiB": 2 << 30, "1.5T": 3 << 39, "64MB": 64_000_000, "10B": 10, "0x1B": 27, "0x1b": 27, "0x10K": 16 << 10,
		"0x10": 16, "1 GiB": 1 << 30, "8191P": 8191 << 50, "1kB": 1000, "3mib": 3 << 20,
	} {
		got, err := parseSize(s)
		assert.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "M", "-1", "-1M", "1Q", "1MM", "1iB", "9999P", "8192P", "nan", "1e400", "12 34", "0.5E", "infM", "8192.0P", "8388608.0T"} {
		got, err := parseSize(s)
		assert.Error(t, err, "%q is %d", s, got)
	}
}

func TestMode(t *testing.T) {
	t.Parallel()
	var v modeValue
	require.NoError(t, v.Set("4751"))
	assert.Equal(t, fs.ModeSetuid|0o751, v.mode)
	assert.Equal(t, uint32(0o4751), octal(v.mode))
	assert.Equal(t, "4751", v.String())
	assert.Error(t, v.Set("888"))
	assert.Error(t, v.Set("17777"))
}

func TestInterleaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    createOptions
		want famfs.Interleaving
		ok   bool
	}{
		{createOptions{}, famfs.Interleaving{}, true},
		{createOptions{interleave: "4"}, famfs.Interleaving{Strips: 4, Buckets: 4, Chunk: 2 << 20}, true},
		{createOptions{interleave: "4,8"}, famfs.Interleaving{Strips: 4, Buckets: 8, Chunk: 2 << 20}, true},
		{createOptions{interleave: "4,8,4M"}, famfs.Interleaving{Strips: 4, Buckets: 8, Chunk: 4 << 20}, true},
		{createOptions{strips: 2, chunk: 8 << 20}, famfs.Interleaving{Strips: 2, Buckets: 2, Chunk: 8 << 20}, true},
		{createOptions{interleave: "4", strips: 2}, famfs.Interleaving{}, false},
		{createOptions{interleave: "4,8,4M,1"}, famfs.Interleaving{}, false},
		{createOptions{interleave: "0"}, famfs.Interleaving{}, false},
		{createOptions{buckets: 3}, famfs.Interleaving{}, false},
	} {
		got, err := c.o.interleaving()
		if !c.ok {
			assert.Error(t, err, c.o)
			continue
		}
		assert.NoError(t, err, c.o)
		assert.Equal(t, c.want, got)
	}
}

func TestParseTarget(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"dev", "dev:1", "file:with:colons"} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	require.NoError(t, os.Mkdir("folder", 0o700))
	for arg, want := range map[string]target{
		"dev:/a/b":              {device: "dev", name: "a/b"},
		"./dev:/a/b/":           {device: "./dev", name: "a/b", slash: true},
		"dev:a":                 {device: "dev", name: "a"},
		"dev:":                  {device: "dev", name: ".", slash: true},
		"dev:/":                 {device: "dev", name: ".", slash: true},
		"dev:/../../etc":        {device: "dev", name: "etc"},
		"dev:/a:b":              {device: "dev", name: "a:b"},
		"dev:1":                 {name: "dev:1"}, // an existing file as a whole
		"file:with:colons":      {name: "file:with:colons"},
		"file:with:colons:/x":   {device: "file:with:colons", name: "x"},
		"dev":                   {name: "dev"},
		"new:name":              {name: "new:name"},
		"folder/":               {name: "folder/", slash: true},
		filepath.Join("a", "b"): {name: filepath.Join("a", "b")},
	} {
		got, err := parseTarget(arg)
		require.NoError(t, err, arg)
		assert.Equal(t, want, got, arg)
	}
	for _, arg := range []string{"", "missing:/x", "missing:", "folder:/x"} {
		_, err := parseTarget(arg)
		assert.Error(t, err, arg)
	}
	root, err := parseOnDevice("dev")
	require.NoError(t, err)
	assert.Equal(t, target{device: "dev", name: ".", slash: true}, root)
	_, err = parseOnDevice("new")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestPattern(t *testing.T) {
	t.Parallel()
	b := pattern(3*patternBlock+5, 42)
	assert.Equal(t, b[:8], b[504:512], "a block repeats one word")
	assert.NotEqual(t, b[:8], b[512:520])
	assert.EqualValues(t, -1, checkPattern(b, 42, 0))
	assert.EqualValues(t, 0, checkPattern(b, 43, 0))
	for _, at := range []int{0, 7, 511, 512, 1000, len(b) - 1} {
		b[at] ^= 1
		assert.EqualValues(t, at, checkPattern(b, 42, 0))
		if at >= 512 {
			assert.EqualValues(t, at, checkPattern(b[512:], 42, 512))
		}
		b[at] ^= 1
	}
}
