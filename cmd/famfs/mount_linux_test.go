//go:build !386 && !arm && !mips && !mipsle

package main

// Mounts as other programs see them: cp, dd, mmap, many readers; and how a mount ends. They
// need /dev/fuse and the right to mount, and skip where that is not to be had.

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"famfs"
)

// mountedProcess is a mount and the process that serves it.
type mountedProcess struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	stderr *lockedBuffer
	done   chan struct{}
}

// lockedBuffer is a bytes.Buffer that may be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// needsMounts skips a test where nothing can be mounted.
func needsMounts(t testing.TB) {
	t.Helper()
	if err := checkFUSE(); err != nil {
		t.Skip("needs FUSE: ", err)
	}
	if os.Geteuid() == 0 { // in a container, root may be without the right to mount
		dir := t.TempDir()
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Skip("needs the right to mount: ", err)
		}
		require.NoError(t, unix.Unmount(dir, 0))
	}
}

// mountOf mounts device, until the test ends.
func mountOf(t *testing.T, device string, args ...string) *mountedProcess {
	t.Helper()
	needsMounts(t)
	dir := t.TempDir()
	m := &mountedProcess{t: t, dir: dir, cmd: command(append([]string{"mount", "-n", "5ms", device, dir}, args...)...), stderr: new(lockedBuffer), done: make(chan struct{})}
	stdout := new(lockedBuffer)
	m.cmd.Stdout, m.cmd.Stderr = stdout, m.stderr
	require.NoError(t, m.cmd.Start())
	go func() { m.cmd.Wait(); close(m.done) }()
	t.Cleanup(func() {
		m.cmd.Process.Kill()
		<-m.done
		for isMounted(dir) {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				exec.Command("fusermount3", "-u", "-z", dir).Run()
				break
			}
		}
	})
	soon(t, "mounted", func() bool {
		select {
		case <-m.done:
			require.Fail(t, "mount ended", m.stderr.String())
		default:
		}
		return strings.Contains(stdout.String(), device+": mounted on "+dir)
	})
	return m
}

// soon waits for something that happens in the next seconds.
func soon(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			require.Fail(t, "did not happen: "+what)
		}
	}
}

// isMounted says whether something is mounted on dir, dead or alive.
func isMounted(dir string) bool {
	all, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && strings.Contains(string(all), " "+dir+" ")
}

// umount unmounts as the program of that name does.
func umount(dir string) error {
	if os.Geteuid() == 0 {
		return unix.Unmount(dir, 0)
	}
	return exec.Command("fusermount3", "-u", dir).Run()
}

// at is a name in the mount.
func (m *mountedProcess) at(name string) string { return filepath.Join(m.dir, name) }

// ends waits for the process, and returns its status.
func (m *mountedProcess) ends() int {
	m.t.Helper()
	select {
	case <-m.done:
	case <-time.After(20 * time.Second):
		require.Fail(m.t, "the process goes on", m.stderr.String())
	}
	return m.cmd.ProcessState.ExitCode()
}

// outputOf runs a program, and returns what it prints.
func outputOf(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	require.NoError(t, err, "%s %v", name, args)
	return out
}

// Any program reads: cp, diff, cat, dd, df, find, one that maps files.
func TestMountPrograms(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	contents := map[string][]byte{"a": pattern(10, 1), "dir/b": pattern(3*mib+7, 2), "dir/deeper/c": pattern(4096, 3)}
	writeTree(t, tree, contents)
	device := newDevice(t, "256M")
	asMaster(t, "cp", "-r", tree+"/.", device+":/")
	asMaster(t, "creat", "-s", "20M", "--seed", "8", "--interleave", "3,5,2M", device+":/wide")
	for _, options := range []string{"ro", "kernel_cache", "direct_io"} {
		t.Run(options, func(t *testing.T) {
			m := mountOf(t, device, "-o", options)
			out := filepath.Join(t.TempDir(), "out")
			outputOf(t, "cp", "-r", m.dir, out)
			require.NoError(t, os.Remove(filepath.Join(out, "wide")))
			outputOf(t, "diff", "-r", tree, out)
			assert.Equal(t, contents["dir/b"], outputOf(t, "cat", m.at("dir/b")))
			check := famfsRun(t, "check", "-q", "--content", "--owners", device, m.dir)
			assert.Equal(t, 0, check.status, check.out+check.err)
			odd := outputOf(t, "dd", "if="+m.at("wide"), "bs=4093", "skip=600", "count=1000", "status=none")
			assert.Equal(t, pattern(20*mib, 8)[600*4093:1600*4093], odd)
			assert.Equal(t, "./a\n./dir/b\n./dir/deeper/c\n./wide\n", string(outputOf(t, "sh", "-c", "cd "+m.dir+" && find . -type f | sort")))
			assert.Equal(t, "3145735 4", string(bytes.TrimSpace(outputOf(t, "sh", "-c", `stat -c '%s %b' "$1" | while read s b; do echo $s $((b / 2048)); done`, "sh", m.at("dir/b"))))[:9], "MiB that it takes")

			st, err := os.Stat(m.at("a"))
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o644), st.Mode())
			for name, try := range map[string]func() error{
				"write":  func() error { return os.WriteFile(m.at("a"), []byte("x"), 0o644) },
				"create": func() error { return os.WriteFile(m.at("new"), []byte("x"), 0o644) },
				"remove": func() error { return os.Remove(m.at("a")) },
				"mkdir":  func() error { return os.Mkdir(m.at("new"), 0o755) },
				"chmod":  func() error { return os.Chmod(m.at("a"), 0o600) },
			} {
				assert.ErrorIs(t, try(), syscall.EROFS, name)
			}
			f, err := os.Open(m.at("a"))
			require.NoError(t, err)
			assert.NoError(t, f.Sync())
			require.NoError(t, f.Close())

			value := make([]byte, 4096)
			n, err := unix.Getxattr(m.at("wide"), "user.famfs.map", value)
			require.NoError(t, err)
			assert.Contains(t, string(value[:n]), `"interleaved":true`)
			var space unix.Statfs_t
			require.NoError(t, unix.Statfs(m.dir, &space))
			u := readBack(t, device).Usage()
			assert.Equal(t, []int64{u.Size, u.Free}, []int64{int64(space.Blocks) * space.Bsize, int64(space.Bavail) * space.Bsize})

			if options == "direct_io" {
				return // and no shared mmap
			}
			f, err = os.Open(m.at("dir/b"))
			require.NoError(t, err)
			defer f.Close()
			mem, err := unix.Mmap(int(f.Fd()), 0, len(contents["dir/b"]), unix.PROT_READ, unix.MAP_SHARED)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(contents["dir/b"], mem))
			require.NoError(t, unix.Munmap(mem))
			if python, err := exec.LookPath("python3"); err == nil {
				script := "import mmap,sys,hashlib\nf=open(sys.argv[1],'rb')\nm=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ)\nsys.stdout.buffer.write(m[1000:2000])"
				assert.Equal(t, contents["dir/b"][1000:2000], outputOf(t, python, "-c", script, m.at("dir/b")))
			}
		})
	}
}

// Many read at the same time, and some of them are killed.
func TestMountReaders(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	asMaster(t, "creat", "-s", "24M", "--seed", "5", device+":/f")
	m := mountOf(t, device)
	want := pattern(24*mib, 5)
	var readers sync.WaitGroup
	for i := range 16 {
		readers.Go(func() {
			if i%4 == 3 {
				cmd := exec.Command("cat", m.at("f"))
				cmd.Stdout = io.Discard
				if assert.NoError(t, cmd.Start()) {
					time.Sleep(time.Duration(i) * time.Millisecond)
					cmd.Process.Kill()
					cmd.Wait()
				}
				return
			}
			got, err := os.ReadFile(m.at("f"))
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
		})
	}
	readers.Wait()
	assert.Empty(t, m.stderr.String())
}

// What the master makes, replaces and removes shows, whatever the kernel has kept.
func TestMountFollowsMaster(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "256M")
	m, on := masterOf(t, device), mountOf(t, device, "-o", "kernel_cache")
	_, err := os.Stat(on.at("f"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, m.WriteFile("f", []byte("first"), 0o644))
	got, err := os.ReadFile(on.at("f"))
	require.NoError(t, err, "at once")
	assert.Equal(t, "first", string(got))
	old, err := os.Open(on.at("f"))
	require.NoError(t, err)
	defer old.Close()

	next, err := m.Create("f", 6, famfs.Replace())
	require.NoError(t, err)
	_, err = next.Write([]byte("second"))
	require.NoError(t, err)
	require.NoError(t, next.Commit())
	soon(t, "replaced", func() bool {
		got, err := os.ReadFile(on.at("f"))
		require.NoError(t, err)
		return string(got) == "second"
	})
	got, err = io.ReadAll(old)
	require.NoError(t, err)
	assert.Equal(t, "first", string(got))

	require.NoError(t, m.Remove("f"))
	soon(t, "removed", func() bool { _, err := os.Stat(on.at("f")); return os.IsNotExist(err) })
	for i := range 100 {
		require.NoError(t, m.WriteFile(fmt.Sprintf("many-%d", i), []byte("x"), 0o644))
		if i%10 == 0 {
			names, err := os.ReadDir(on.dir)
			require.NoError(t, err)
			require.Len(t, names, i+1)
		}
	}
	assert.Empty(t, on.stderr.String())
}

// The device is formatted anew while it is mounted and read.
func TestMountFormattedAnewInUse(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "4M", "--seed", "1", device+":/dir/../f")
	on := mountOf(t, device)
	f, err := os.Open(on.at("f"))
	require.NoError(t, err)
	defer f.Close()
	head := make([]byte, 4096)
	_, err = io.ReadFull(f, head)
	require.NoError(t, err)
	require.Equal(t, pattern(4096, 1), head)
	formatAnew(t, device)
	asMaster(t, "creat", "-s", "4M", "--seed", "2", device+":/f")
	soon(t, "the new file system", func() bool {
		got, err := os.ReadFile(on.at("f"))
		return err == nil && bytes.Equal(got, pattern(4*mib, 2))
	})
	_, err = f.ReadAt(head, 0)
	assert.ErrorIs(t, err, syscall.ESTALE, "also what the kernel had read")
	assert.Contains(t, on.stderr.String(), device+": was formatted anew or wiped")
	assert.ErrorIs(t, f.Close(), syscall.ESTALE)
	require.NoError(t, on.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, on.ends())
}

// Memory that fails is an error of the program that reads it, and of nobody else.
func TestMountMemoryFailsInUse(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "8M", "--seed", "1", device+":/f")
	on := mountOf(t, device)
	require.NoError(t, os.Truncate(device, 12*mib))
	cmd := exec.Command("cat", on.at("f"))
	out, err := cmd.Output()
	assert.Error(t, err)
	assert.Less(t, len(out), 8*mib)
	f, err := os.Open(on.at("f"))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.ReadAt(make([]byte, 10), 6*mib)
	assert.ErrorIs(t, err, syscall.EIO)
	_, err = f.ReadAt(make([]byte, 10), 0)
	assert.NoError(t, err)
	_, err = f.ReadAt(make([]byte, 10), 6*mib)
	assert.ErrorIs(t, err, syscall.EIO)
	assert.Equal(t, 1, strings.Count(on.stderr.String(), device+":/f: memory fault in f at offset"), on.stderr.String())
}

// How a mount ends: by a signal, by umount, in use, killed.
func TestMountEnds(t *testing.T) {
	t.Parallel()
	device := newDevice(t, "64M")
	asMaster(t, "creat", "-s", "1M", "--seed", "1", device+":/f")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		on := mountOf(t, device)
		require.NoError(t, on.cmd.Process.Signal(s))
		assert.Equal(t, 0, on.ends(), s)
		assert.False(t, isMounted(on.dir))
		assert.Empty(t, on.stderr.String())
	}

	on := mountOf(t, device)
	require.NoError(t, umount(on.dir))
	assert.Equal(t, 0, on.ends())

	// In use it goes out of sight, and serves what is open until that is closed.
	for _, again := range []bool{false, true} {
		on := mountOf(t, device)
		f, err := os.Open(on.at("f"))
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, on.cmd.Process.Signal(syscall.SIGINT))
		soon(t, "out of sight", func() bool { return strings.Contains(on.stderr.String(), "is in use: it is unmounted") })
		assert.False(t, isMounted(on.dir))
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(pattern(mib, 1), got))
		select {
		case <-on.done:
			assert.Fail(t, "ended while in use")
		default:
		}
		if again {
			require.NoError(t, on.cmd.Process.Signal(syscall.SIGINT))
			assert.NotEqual(t, 0, on.ends())
			_, err := unix.Fgetxattr(int(f.Fd()), "user.famfs.index", make([]byte, 10))
			assert.ErrorIs(t, err, syscall.ENOTCONN)
			continue
		}
		require.NoError(t, f.Close())
		assert.Equal(t, 0, on.ends())
	}

	// Killed, it leaves a mount of which nothing comes; that is said to who mounts again.
	on = mountOf(t, device)
	require.NoError(t, on.cmd.Process.Kill())
	on.ends()
	r := famfsRun(t, "mount", device, on.dir)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, on.dir+": a mount is there whose process has ended\n    take it away with: umount "+on.dir)
}

// Something else that was mounted over it is not unmounted in its place.
func TestMountCovered(t *testing.T) {
	t.Parallel()
	needsMounts(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, who can mount anything")
	}
	device := newDevice(t, "64M")
	on := mountOf(t, device)
	require.NoError(t, unix.Mount("none", on.dir, "tmpfs", 0, ""))
	require.NoError(t, os.WriteFile(on.at("mine"), []byte("x"), 0o644))
	require.NoError(t, on.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 1, on.ends())
	assert.Contains(t, on.stderr.String(), "something else is mounted over it")
	assert.FileExists(t, on.at("mine"))
}

func TestMountBackground(t *testing.T) {
	t.Parallel()
	needsMounts(t)
	device, dir := newDevice(t, "64M"), t.TempDir()
	asMaster(t, "creat", "-s", "8M", "--seed", "1", device+":/f")
	messages := filepath.Join(t.TempDir(), "log")
	r := famfsRun(t, "mount", "--background", "--log", messages, device, dir)
	require.Equal(t, 0, r.status, r.err)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	require.NoError(t, err, "it is mounted when the command returns")
	assert.True(t, bytes.Equal(pattern(8*mib, 1), got))
	require.NoError(t, os.Truncate(device, 12*mib))
	_, err = os.ReadFile(filepath.Join(dir, "f"))
	assert.Error(t, err)
	said, err := os.ReadFile(messages)
	require.NoError(t, err)
	assert.Contains(t, string(said), "memory fault")
	require.Eventually(t, func() bool { return umount(dir) == nil }, 10*time.Second, 10*time.Millisecond, "somebody may be looking at it")

	for _, args := range [][]string{{device + ".missing", dir}, {device, dir + "/missing"}, {"--log", dir + "/missing/log", device, dir}} {
		r := famfsRun(t, append([]string{"mount", "--background"}, args...)...)
		assert.Equal(t, 1, r.status, args)
		assert.Contains(t, r.err, "missing")
		assert.False(t, isMounted(dir), args)
	}
}

// In the background, names of devices mean what they meant where the command was given, also when
// the file system that is there is another one later.
func TestMountBackgroundDevices(t *testing.T) {
	t.Parallel()
	needsMounts(t)
	d, dir := sparse(t, "first", "second"), t.TempDir()
	again := func(seed string) {
		asMaster(t, "mkfs", "--force", d[0], d[1])
		for _, name := range []string{":/a", ":/b"} { // one on each
			asMaster(t, "--device", d[1], "creat", "-s", "40M", "--seed", seed, d[0]+name)
		}
	}
	read := func(name string) []byte {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil
		}
		return got
	}
	again("1")
	cmd := command("--device", filepath.Base(d[1]), "mount", "--background", "-n", "5ms", filepath.Base(d[0]), dir)
	cmd.Dir = filepath.Dir(d[0])
	r := finish(t, cmd)
	require.Equal(t, 0, r.status, r.err)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	for _, name := range []string{"a", "b"} {
		assert.True(t, bytes.Equal(pattern(40*mib, 1), read(name)), name)
	}
	again("2")
	for _, name := range []string{"a", "b"} {
		soon(t, name+" is shown", func() bool { return bytes.Equal(pattern(40*mib, 2), read(name)) })
	}
}

// What cannot be mounted is said, with the way out.
func TestMountRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	device := newDevice(t, "64M")
	writeTree(t, dir, map[string][]byte{"full/file": []byte("x"), "unformatted": make([]byte, 16*mib)})
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{device, dir + "/nothing"}, 1, dir + "/nothing: stat: no such file or directory"},
		{[]string{device, dir + "/full/file"}, 1, dir + "/full/file: is not a directory"},
		{[]string{device, dir + "/full"}, 1, dir + "/full: holds something, which the mount would hide\n    use an empty directory, or -o nonempty"},
		{[]string{device + ":/sub", empty}, 1, "leave the path out"},
		{[]string{device, empty, "-o", "rw"}, 2, "a mount only reads"},
		{[]string{device, empty, "--log", "x"}, 2, "--log is for --background"},
		{[]string{device}, 2, "want DEVICE DIR"},
	} {
		r := famfsRun(t, append([]string{"mount"}, c.args...)...)
		assert.Equal(t, c.status, r.status, "%v: %s", c.args, r.err)
		assert.Contains(t, r.err, c.want, c.args)
	}
	needsMounts(t)
	r := famfsRun(t, "mount", dir+"/unformatted", empty)
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "make a file system on it with: famfs mkfs")
}

// A user who may not mount is told what is missing.
func TestMountOtherUser(t *testing.T) {
	if unprivileged(t) {
		return
	}
	device, dir := newDevice(t, "64M"), t.TempDir()
	for _, name := range fusermounts {
		if _, err := exec.LookPath(name); err == nil {
			return // and then he may
		}
	}
	r := famfsRun(t, "mount", device, dir)
	assert.Equal(t, 1, r.status)
	assert.Regexp(t, "fusermount3 is missing, without which only root can mount\n    install the package fuse3|FUSE is not to be had here\n    without it: famfs cp copies files out", r.err)
}

// On a real device, whose memory hosts share, all of which is lost: in a guest of test/vm/run.
func TestMountDevice(t *testing.T) {
	device := os.Getenv("FAMFS_TEST_DEVICE")
	if os.Getenv("FAMFS_TEST_SCENARIO") != "mount" {
		t.Skip("runs in guests of test/vm/run, scenario mount")
	}
	asMaster(t, "mkfs", "--force", device)
	asMaster(t, "creat", "-s", "20000001", "--seed", "1", device+":/f")
	asMaster(t, "creat", "-s", "12M", "--seed", "2", "--interleave", "3,5,2M", device+":/wide")
	on := mountOf(t, device)
	for name, want := range map[string][]byte{"f": pattern(20000001, 1), "wide": pattern(12*mib, 2)} {
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				got, err := os.ReadFile(on.at(name))
				assert.NoError(t, err)
				assert.True(t, bytes.Equal(want, got), name)
			})
		}
		readers.Wait()
		assert.Equal(t, want[12345:12345+40*4093], outputOf(t, "sh", "-c", "tail -c +12346 "+on.at(name)+" | head -c 163720"))
		f, err := os.Open(on.at(name))
		require.NoError(t, err)
		mem, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_SHARED)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, mem))
		require.NoError(t, unix.Munmap(mem))
		direct := make([]byte, mib+8192)
		n, err := f.ReadAt(direct, 3*mib)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want[3*mib:3*mib+n], direct[:n]))
		require.NoError(t, f.Close())
	}

	// A file that is written in place is seen by who opens it then.
	m := masterOf(t, device)
	mapping, err := m.Map("wide", famfs.Writable())
	require.NoError(t, err)
	copy(mapping.Bytes()[5*mib:], "written in place")
	require.NoError(t, mapping.Flush())
	require.NoError(t, mapping.Close())
	got, err := os.ReadFile(on.at("wide"))
	require.NoError(t, err)
	assert.Equal(t, "written in place", string(got[5*mib:5*mib+16]))
	require.NoError(t, m.Remove("wide"))
	soon(t, "removed", func() bool { _, err := os.Stat(on.at("wide")); return os.IsNotExist(err) })
	require.NoError(t, m.Close())

	// The device is taken away: reading is an error, names are still known, and it ends well.
	f, err := os.Open(on.at("f"))
	require.NoError(t, err)
	defer f.Close()
	driver, err := filepath.EvalSymlinks("/sys/bus/dax/devices/" + filepath.Base(device) + "/driver")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(driver+"/unbind", []byte(filepath.Base(device)), 0))
	_, err = f.ReadAt(make([]byte, 10), 17*mib+1)
	if err == nil { // the kernel has it
		t.Log("read from the kernel's cache")
	}
	fresh, err := os.Open(on.at("f"))
	if err == nil {
		_, err = fresh.ReadAt(make([]byte, 10), 18*mib+1)
		fresh.Close()
	}
	assert.ErrorIs(t, err, syscall.EIO)
	_, err = os.Stat(on.at("f"))
	assert.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, on.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, on.ends())
}
