package main

// Records of copies: where none can be written, and when they are removed.

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// runWith runs the command as the master with other records, or none.
func runWith(t testing.TB, stateHome string, args ...string) result {
	t.Helper()
	cmd := command(append([]string{"--system-uuid", host}, args...)...)
	cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+stateHome)
	return finish(t, cmd)
}

// If the note of a copy cannot be written, that is said, if the copy could be mistaken when it is run
// again.
func TestCpCannotNote(t *testing.T) {
	t.Parallel()
	src, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	writeTree(t, src, map[string][]byte{"t/f": []byte("f")})
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		home string
		args []string
		dest string
		said bool
	}{
		"another name":        {file, []string{"-r"}, "new", true},
		"quiet":               {file, []string{"-rq"}, "new", true},
		"no home":             {"", []string{"-rq"}, "new", true},
		"the name of SOURCE":  {file, []string{"-r"}, "t", false},
		"DEST is the copy":    {file, []string{"-rT"}, "new", false},
		"DEST is there":       {file, []string{"-r"}, "dir", false},
		"all at one moment":   {file, []string{"-r", "--atomic"}, "new", false},
		"it can be written":   {filepath.Join(src, "state"), []string{"-r"}, "new", false},
		"nothing is copied":   {file, []string{"-r", "--dry-run"}, "new", false},
		"it was there before": {filepath.Join(src, "before"), []string{"-r"}, "new", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			device := newDevice(t, "64M")
			asMaster(t, "mkdir", device+":/dir")
			cmd := command(append(append([]string{"--system-uuid", host, "cp"}, c.args...), filepath.Join(src, "t"), device+":/"+c.dest)...)
			cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+c.home)
			if c.home == "" {
				cmd.Env = append(cmd.Env, "HOME=")
			}
			r := finish(t, cmd)
			assert.Equal(t, 0, r.status, r.err)
			if c.said {
				assert.Contains(t, r.err, "famfs cp: cannot note that this copy makes "+device+":/"+c.dest+": ")
				assert.Contains(t, r.err, "\n    if it is broken off, run it again with -T: ")
			} else {
				assert.NotContains(t, r.err, "-T")
			}
		})
	}
	r := &copyRecord{filepath.Join(t.TempDir(), "is", "there")}
	require.NoError(t, r.write("x"))
	require.NoError(t, os.Remove(r.file))
	require.NoError(t, os.Mkdir(r.file, 0o700))
	assert.NoError(t, r.write("x"), "it is found, whatever it holds")
	r.file = filepath.Join(r.file, "no", "file")
	require.NoError(t, os.WriteFile(filepath.Dir(filepath.Dir(r.file))+"/no", nil, 0o600))
	assert.Error(t, r.write("x"))
}

// The note of a copy is kept only as long as something remains to be resumed.
func TestCpNoteRemoved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tree map[string][]byte
		link bool
		kept int
	}{
		"empty files and links only": {map[string][]byte{"t/empty": {}}, true, 0},
		"a path that is too long":    {map[string][]byte{"t/d/" + strings.Repeat("x", 80): []byte("x"), "t/empty": {}}, false, 0},
		"one that does not fit":      {map[string][]byte{"t/d/big": pattern(60*mib, 1), "t/empty": {}}, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			device, src, home := newDevice(t, "64M"), t.TempDir(), t.TempDir()
			writeTree(t, src, c.tree)
			require.NoError(t, os.Mkdir(filepath.Join(src, "t", "folder"), 0o755)) // so that DEST is made
			if c.link {
				require.NoError(t, os.Symlink("empty", filepath.Join(src, "t", "link")))
			}
			r := runWith(t, home, "cp", "-r", filepath.Join(src, "t"), device+":/new")
			assert.Equal(t, 1, r.status)
			entries, err := os.ReadDir(filepath.Join(home, "famfs"))
			require.NoError(t, err)
			assert.Len(t, entries, c.kept, r.err)
		})
	}
}

// If a signal comes while the source is listed, what was listed does not pass for all of it.
func TestCpInterruptedListing(t *testing.T) {
	t.Parallel()
	device, src := newDevice(t, "64M"), t.TempDir()
	writeTree(t, src, map[string][]byte{"t/d/f": []byte("f"), "t/g": []byte("g")})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&signalError{syscall.SIGTERM})
	for name, args := range map[string][]string{
		"to a device":   {filepath.Join(src, "t"), device + ":/new"},
		"from a device": {device + ":/", filepath.Join(src, "out")},
	} {
		c := &copyCommand{app: &app{opened: map[string]bool{}, lockTimeout: famfs.DefaultLockTimeout, systemUUID: uuidValue{mustUUID(t, host)}}, devices: make(map[string]*famfs.FS), recursive: true}
		err := c.plan(ctx, args)
		for _, fsys := range c.devices {
			require.NoError(t, fsys.Close())
		}
		var status *statusError
		require.ErrorAs(t, err, &status, name)
		assert.Equal(t, statusSignal+int(syscall.SIGTERM), status.status)
		assert.EqualError(t, err, "interrupted while it listed what is to be copied: nothing was copied")
	}
}
