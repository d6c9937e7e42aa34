package main

// Local files on Linux: opening sources without waiting for anybody, special files that are left alone,
// /dev that is no file system of its own, and few descriptors.

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
		for _, open := range []func(string) (fs.File, error){localFS(dir).Open, localFS(dir).openSeen} {
			_, err := open(special)
			require.ErrorIs(t, err, fs.ErrInvalid, special)
			assert.ErrorContains(t, err, at(special)+": is a special file (")
		}
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

// waitingWriter begins to open a pipe for writing, as a shell does for `echo text > pipe`. The channel
// gets what became of it.
func waitingWriter(t *testing.T, pipe string) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for a reader
		if err == nil {
			time.Sleep(20 * time.Millisecond) // until who has opened it has closed it again
			_, err = f.WriteString("text")
			f.Close()
		}
		done <- err
	}()
	time.Sleep(100 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatal("it does not wait: ", err)
	default:
	}
	return done
}

// Who waits to write to a pipe still waits after famfs has refused to read it.
func TestPipeIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(t *testing.T, dir string){
		"open": func(t *testing.T, dir string) {
			_, err := localFS(dir).Open("pipe")
			require.ErrorIs(t, err, fs.ErrInvalid)
		},
		"verify --against": func(t *testing.T, dir string) {
			device, src := newDevice(t, "64M"), t.TempDir()
			writeTree(t, src, map[string][]byte{"pipe": []byte("content")})
			asMaster(t, "cp", filepath.Join(src, "pipe"), device+":/")
			r := famfsRun(t, "verify", "--against", dir, device+":/")
			assert.NotZero(t, r.status)
			assert.Contains(t, r.err, "is a special file")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pipe := filepath.Join(dir, "pipe")
			require.NoError(t, unix.Mkfifo(pipe, 0o600))
			writer := waitingWriter(t, pipe)
			look(t, dir)
			select {
			case err := <-writer:
				assert.Fail(t, "the writer no longer waits", "%v", err)
			case <-time.After(200 * time.Millisecond):
				r, err := os.Open(pipe) // it waits: let it end
				require.NoError(t, err)
				defer r.Close()
				require.NoError(t, <-writer)
			}
		})
	}
}

// inRoot runs f in a thread whose root directory is dir. The thread ends with it.
func inRoot(t *testing.T, dir string, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chroot(dir)
		}
		if err == nil {
			err = unix.Chdir("/")
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skip("another root directory needs root: ", err)
	}
}

// In a container or an initramfs /dev may be a directory like any other. Plain files are not made in
// it all the same.
func TestDevOnRoot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeTree(t, root, map[string][]byte{"src/a": []byte("a"), "src/dev/dax0.0": []byte("no device")})
	require.NoError(t, os.Mkdir(filepath.Join(root, "dev"), 0o755))
	var dirs localDirs
	var says, knows bool
	var errs []error
	inRoot(t, root, func() {
		says = inDev("/dev/dax0.0")
		_, err := dirs.of("/a")
		d, err2 := dirs.of("/dev/dax0.0")
		knows, errs = d.inDev, append(errs, err, err2)
		c := &copyCommand{app: &app{}, tree: newTree(), localBase: "/", localName: "."}
		for _, name := range []string{"a", "dev/dax0.0"} {
			errs = append(errs, c.tree.insert(name, &treeNode{name: filepath.Base(name), mode: 0o644, size: 1, from: localFS("/src"), at: name}))
			_, err := c.copyFileOut(t.Context(), name)
			errs = append(errs, err)
		}
	})
	require.True(t, says)
	assert.True(t, knows, "what is known of /dev")
	require.Len(t, errs, 6)
	for _, err := range errs[:5] {
		require.NoError(t, err)
	}
	assert.ErrorIs(t, errs[5], fs.ErrInvalid, "lies below /dev, where a plain file would only look like a device")
	assert.NoFileExists(t, filepath.Join(root, "dev", "dax0.0"))
}

// Descriptors that are enough for one directory at a time are enough, however many processors there are.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	device := filepath.Join(testDir(t), "device")
	asMaster(t, "mkfs", "--create", "64M", "--unit", "4KiB", device)
	files := make(map[string][]byte)
	for dir := range 60 {
		for file := range 100 {
			files[fmt.Sprintf("t/d%02d/f%03d", dir, file)] = []byte("x")
		}
	}
	writeTree(t, src, files)
	cmd := command("--system-uuid", host, "cp", "-r", "-t", "1", filepath.Join(src, "t"), device+":/")
	cmd.Env = append(cmd.Env, "GOMAXPROCS=64")
	limited := exec.Command("sh", append([]string{"-c", `ulimit -n 9; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)...)
	limited.Env = cmd.Env
	r := finish(t, limited)
	assert.Equal(t, 0, r.status, r.err)
}
