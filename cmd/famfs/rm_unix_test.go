//go:build unix

package main

// Removing many, and a signal.

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"famfs"
)

// Ctrl-C ends rm between two paths: the rest is still there, and is named.
func TestRmInterrupted(t *testing.T) {
	const files = 5000
	for range attempts {
		device := newDevice(t, "64M")
		fsys, err := famfs.Open(device, famfs.ReadWrite(), famfs.WithSystemUUID(mustUUID(t, host)))
		require.NoError(t, err)
		args := []string{"--system-uuid", host, "rm"}
		for i := range files {
			name := fmt.Sprintf("d%04d", i)
			require.NoError(t, fsys.Mkdir(name, 0o755))
			args = append(args, "-d", device+":/"+name)
		}
		r, inTime := signalWhen(t, command(args...), syscall.SIGINT, func() bool {
			fsys.Refresh()
			return fsys.Usage().Dirs < files
		})
		fsys.Refresh()
		left, err := fsys.ReadDir(".")
		require.NoError(t, err)
		require.NoError(t, fsys.Close())
		if !inTime {
			continue
		}
		assert.Equal(t, 130, r.status, r.err)
		require.NotEmpty(t, left)
		assert.Equal(t, fmt.Sprintf("d%04d", files-len(left)), left[0].Name())
		assert.Equal(t, "famfs rm: interrupted: "+device+":/"+left[0].Name()+" and what comes after it is left\n", r.err)
		return
	}
	t.Fatalf("all was removed before it could be interrupted, %d times", attempts)
}
