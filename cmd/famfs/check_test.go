package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkedCopy is a device with a tree, and a directory that holds the same.
func checkedCopy(t *testing.T) (device, dir string) {
	t.Helper()
	device = newDevice(t, "64M")
	asMaster(t, "mkdir", "-p", "-m", "750", device+":/models/llama")
	asMaster(t, "creat", "-s", "100000", "--seed", "1", device+":/models/llama/weights")
	asMaster(t, "creat", "-s", "10", "--seed", "2", "-m", "600", device+":/table")
	dir = filepath.Join(testDir(t), "copy")
	r := famfsRun(t, "cp", "-rT", device+":/", dir)
	require.Equal(t, 0, r.status, r.err)
	require.NoError(t, os.Chmod(filepath.Join(dir, "models", "llama"), 0o750))
	return device, dir
}

// A directory that holds what the log says, and each way in which it does not.
func TestCheck(t *testing.T) {
	t.Parallel()
	weights, table := filepath.Join("models", "llama", "weights"), "table"
	write := func(name string, content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		}
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		args   []string
		found  string // what is said, after DIFFERS and the name on the device
		onUnix bool
	}{
		"the same":             {func(*testing.T, string) {}, nil, "", false},
		"the same content":     {func(*testing.T, string) {}, []string{"--content"}, "", false},
		"the same owners":      {func(*testing.T, string) {}, []string{"--owners", "--content"}, "", true},
		"missing":              {func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, table))) }, nil, ":/table: DIR/table does not exist", false},
		"missing directory":    {func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "models"))) }, nil, ":/models: DIR/models does not exist", false},
		"other size":           {write(table, "short"), nil, ":/table: DIR/table has 5 bytes, want 10", false},
		"other content unseen": {write(table, "0123456789"), nil, "", false},
		"other content":        {write(table, "0123456789"), []string{"-c"}, ":/table: byte 0 is ", false},
		"more":                 {write("more", "x"), nil, ":/more: DIR/more is there, and is not in the log", false},
		"meta of the C tools": {func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, ".meta", "x"), 0o755))
		}, nil, "", false},
		"meta that is a file": {write(".meta", "x"), nil, ":/.meta: DIR/.meta is there, and is not in the log", false},
		"other mode":          {func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, table), 0o644)) }, []string{"-o"}, ":/table: DIR/table has mode -rw-r--r--, want -rw-------", true},
		"other mode unseen":   {func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, table), 0o644)) }, nil, "", true},
		"directory in its place": {func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, table)))
			require.NoError(t, os.Mkdir(filepath.Join(dir, table), 0o755))
		}, nil, ":/table: DIR/table is a directory, want a file", false},
		"link in its place": {func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, weights), filepath.Join(dir, "..", "weights")))
			require.NoError(t, os.Symlink(filepath.Join("..", "..", "..", "weights"), filepath.Join(dir, weights)))
		}, []string{"-c"}, ":/models/llama/weights: DIR/models/llama/weights is a symbolic link, want a file", true},
		"more directories": {func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755)) }, nil, ":/a: DIR/a is there, and is not in the log", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.onUnix && filepath.Separator != '/' {
				t.Skip("no permission bits or links there")
			}
			device, dir := checkedCopy(t)
			c.change(t, dir)
			r := famfsRun(t, append(append([]string{"check", "-q"}, c.args...), device, dir)...)
			if c.found == "" {
				assert.Equal(t, 0, r.status, r.out+r.err)
				assert.Empty(t, r.out)
				return
			}
			assert.Equal(t, 1, r.status, r.err)
			assert.Contains(t, filepath.ToSlash(r.out), "DIFFERS  "+filepath.ToSlash(device)+strings.ReplaceAll(c.found, "DIR", filepath.ToSlash(dir)))
		})
	}
}

// A part of a device is compared with a directory that holds that part.
func TestCheckPart(t *testing.T) {
	t.Parallel()
	device, dir := checkedCopy(t)
	r := famfsRun(t, "check", "--content", device+":/models", filepath.Join(dir, "models"))
	assert.Equal(t, 0, r.status, r.err)
	assert.Equal(t, []string{"ok       " + device + ":/models/llama", "ok       " + device + ":/models/llama/weights"}, slices.Sorted(slices.Values(lines(r.out))))
	r = famfsRun(t, "check", "--json", device+":/models", dir)
	assert.Equal(t, 1, r.status)
	var all []verdict
	require.NoError(t, json.Unmarshal([]byte(r.out), &all))
	found := map[string]bool{}
	for _, v := range all {
		found[v.File] = v.OK
	}
	assert.Equal(t, map[string]bool{device + ":/models/llama": false, device + ":/models/llama/weights": false, device + ":/models/models": false, device + ":/models/table": false}, found)
	// The device may lie in the tree itself.
	inside := filepath.Join(dir, "device")
	require.NoError(t, os.Rename(device, inside))
	r = famfsRun(t, "check", "-q", inside, dir)
	assert.Equal(t, 0, r.status, r.out+r.err)
}

// What cannot be compared is status 2.
func TestCheckCannot(t *testing.T) {
	t.Parallel()
	device, dir := checkedCopy(t)
	for name, c := range map[string]struct {
		args []string
		err  string
	}{
		"no directory": {[]string{device, filepath.Join(dir, "no")}, "no such file or directory"},
		"a file":       {[]string{device, filepath.Join(dir, "table")}, "not a directory"},
		"of a file":    {[]string{device + ":/table", dir}, "is a file"},
		"no device":    {[]string{filepath.Join(dir, "table"), dir}, "not formatted as famfs"},
		"no path":      {[]string{device + ":/nothing", dir}, "nothing"},
		"one argument": {[]string{device}, "want DEVICE[:PATH] and DIRECTORY"},
	} {
		r := famfsRun(t, append([]string{"check"}, c.args...)...)
		assert.Equal(t, 2, r.status, name)
		assert.Contains(t, r.err, c.err, name)
	}
}
