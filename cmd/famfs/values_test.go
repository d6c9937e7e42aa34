package main

// Sizes, modes and targets as people write them.

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// An option with an empty value, as of a shell variable that is not set, is not taken for one that is
// left out: all options of all commands whose value is text refuse it.
func TestEmptyValues(t *testing.T) {
	t.Parallel()
	seen := 0
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			each(c)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			_, list := f.Value.(pflag.SliceValue)
			if f.Value.Type() == "bool" || f.Value.Type() == "count" {
				return
			}
			of := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
			of.AddFlag(f)
			if err := of.Parse([]string{"--" + f.Name + "="}); err == nil {
				assert.ErrorContains(t, noneEmpty(of), "--"+f.Name+" has an empty value", cmd.CommandPath())
				seen++
			} else {
				assert.False(t, list || f.Value.Type() == "string", "%s: %v", f.Name, err)
			}
		})
	}
	each((&app{out: &output{to: io.Discard}, err: io.Discard}).rootCommand())
	assert.Greater(t, seen, 15)

	device, dir := newDevice(t, "64M"), t.TempDir()
	src := filepath.Join(dir, "src")
	require.NoError(t, os.WriteFile(src, []byte("x"), 0o644))
	asMaster(t, "cp", "--seal", src, device+":/f")
	for _, args := range [][]string{
		{"verify", "--against", "", device}, {"verify", "-f", "", device}, {"verify", "--against", src, "--against=", device + ":/f"},
		{"find", device, "-type", ""}, {"find", device, "--name="}, {"layout", "--svg", "", device}, {"man", "--dir", ""},
		{"cp", "--seal=", src, device + ":/g"}, {"creat", "--interleave", "", "-s", "1", device + ":/g"}, {"--device", "", "ls", device},
		{"mount", "--background", "--log", "", device, dir}, {"mount", "-o", "", device, dir}, {"queue", "create", "--device=", device + ":/q"},
	} {
		r := famfsRun(t, append([]string{"--system-uuid", host}, args...)...)
		assert.Equal(t, 2, r.status, "%v: %s", args, r.err)
		assert.Contains(t, r.err, "has an empty value; leave the option out", args)
		assert.Empty(t, r.out, args)
	}
	assert.Equal(t, "f\n", famfsRun(t, "ls", device).out, "nothing was made")
	// An empty name of a directory is not the current one.
	r := famfsRun(t, "mount", device, "")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "DIR: an empty name")
}

// The text of --threadct is the same in all commands, and so is what it means.
func TestThreads(t *testing.T) {
	t.Parallel()
	for threads, want := range map[int]int{-3: runtime.GOMAXPROCS(0), 0: runtime.GOMAXPROCS(0), 1: 1, 5: 5} {
		assert.Equal(t, want, atATime(threads), threads)
	}
	for _, c := range (&app{out: &output{to: io.Discard}, err: io.Discard}).rootCommand().Commands() {
		if f := c.Flags().Lookup("threadct"); f != nil {
			assert.Contains(t, f.Usage, threadsHelp, c.Name())
		}
	}
	device := newDevice(t, "64M")
	src := filepath.Join(t.TempDir(), "src")
	require.NoError(t, os.WriteFile(src, []byte("x"), 0o644))
	for _, threads := range []string{"0", "-3"} {
		asMaster(t, "creat", "-t", threads, "-s", "1M", "--seed", "1", device+":/made"+threads)
		asMaster(t, "cp", "-t", threads, src, device+":/copy"+threads)
		asMaster(t, "cp", "-t", threads, device+":/copy"+threads, src+threads)
		asMaster(t, "verify", "-t", threads, "--seed", "1", device+":/made"+threads)
		asMaster(t, "chkread", "-t", threads, device)
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
