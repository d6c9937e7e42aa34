package main

// Opening sources without waiting for anybody, on Linux: what is no plain file, and a file that somebody
// holds a lease on.

import (
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestOpenPlain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, unix.Mkfifo(at("pipe"), 0o600))
	socket, err := net.Listen("unix", at("socket"))
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, os.WriteFile(at("file"), []byte("content"), 0o600))
	for link, to := range map[string]string{"to-pipe": "pipe", "to-file": "file", "to-nothing": "nothing", "to-null": os.DevNull} {
		require.NoError(t, os.Symlink(to, at(link)))
	}
	for _, special := range []string{"pipe", "to-pipe", "socket", "to-null"} {
		_, err := localFS(dir).Open(special)
		require.ErrorIs(t, err, fs.ErrInvalid, special)
		assert.ErrorContains(t, err, at(special)+": is a special file (")
	}
	for _, missing := range []string{"nothing", "to-nothing"} {
		_, err := localFS(dir).Open(missing)
		require.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, at(missing))
	}
	for _, plain := range []string{"file", "to-file"} {
		f, err := localFS(dir).Open(plain)
		require.NoError(t, err)
		flags, err := unix.FcntlInt(f.(*os.File).Fd(), unix.F_GETFL, 0)
		require.NoError(t, err)
		assert.Zero(t, flags&unix.O_NONBLOCK)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		assert.Equal(t, "content", string(got))
		require.NoError(t, f.Close())
	}
	d, err := localFS(dir).Open(".")
	require.NoError(t, err)
	st, err := d.Stat()
	require.NoError(t, err)
	assert.True(t, st.IsDir())
	require.NoError(t, d.Close())
}

// Who has a lease on a file is waited for, until it gives it up.
func TestOpenLeased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	holder, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here: ", err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			lease, err := unix.FcntlInt(holder.Fd(), unix.F_GETLEASE, 0)
			if err != nil || lease != unix.F_WRLCK { // somebody wants the file
				time.Sleep(10 * time.Millisecond)
				_, err = unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
				done <- err
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	f, err := localFS(dir).Open("f")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, <-done)
}
