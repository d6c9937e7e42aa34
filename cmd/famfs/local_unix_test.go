//go:build unix

package main

// Pipes and devices as local files.

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A picture is written to a pipe or a character device, not put in its place; a copy is
// refused.
func TestWriteThrough(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1", device+":/f")
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	got := make(chan []byte)
	go func() {
		f, err := os.Open(pipe)
		if err != nil {
			got <- nil
			return
		}
		defer f.Close()
		b, _ := io.ReadAll(f)
		got <- b
	}()
	r := famfsRun(t, "layout", "--svg", pipe, device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, string(<-got), "</svg>")
	assert.Equal(t, 0, famfsRun(t, "layout", "--svg", "/dev/null", device).status)
	r = famfsRun(t, "layout", "--svg", "/dev/stdout", device)
	assert.Equal(t, 0, r.status, r.err)
	assert.Contains(t, r.out, "</svg>")

	for _, name := range []string{pipe, "/dev/null"} {
		before, err := os.Lstat(name)
		require.NoError(t, err)
		for _, force := range []string{"-q", "-qf"} {
			r := famfsRun(t, "cp", force, device+":/f", name)
			assert.Equal(t, 1, r.status, name)
			assert.Contains(t, r.err, name+": is no plain file")
			assert.NotContains(t, r.err, "--force")
		}
		after, err := os.Lstat(name)
		require.NoError(t, err)
		assert.True(t, os.SameFile(before, after), name)
		assert.NotZero(t, after.Mode()&(fs.ModeNamedPipe|fs.ModeDevice))
	}
}
