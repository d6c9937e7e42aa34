package famfs

// The writers' lock of a DAX device, with any of its nodes and in any namespaces. Other
// character devices stand in for it, because only their number matters; a real one is in
// vm_test.go.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func testHostLock(t testing.TB, id uint64) *hostLock {
	t.Helper()
	l, err := openHostLock(id)
	require.NoError(t, err)
	t.Cleanup(func() { l.close() })
	return l
}

func TestHostLock(t *testing.T) {
	t.Parallel()
	try := func(l *hostLock) bool {
		t.Helper()
		ok, err := l.try()
		require.NoError(t, err)
		return ok
	}
	id := uint64(os.Getpid())<<32 | 1 // no device's
	first, second, other := testHostLock(t, id), testHostLock(t, id), testHostLock(t, id+1)
	assert.True(t, try(first))
	assert.False(t, try(second))
	assert.False(t, try(second), "trying has not taken it in part")
	assert.True(t, try(first), "it is the open device that has it")
	assert.True(t, try(other), "another device's")
	require.NoError(t, first.unlock())
	assert.True(t, try(second))
	assert.False(t, try(first))
	closeAlone(t, second)
	assert.True(t, try(first), "closing gives it up")
	_, err := second.try()
	assert.ErrorContains(t, err, timeNamespace, "after close")
	assert.ErrorContains(t, second.unlock(), timeNamespace, "after close")

	var none *hostLock // a file's
	assert.True(t, try(none))
	assert.NoError(t, none.unlock())
	assert.NoError(t, none.close())
}

// deviceNode makes another node for the device of /dev/zero, and opens it.
func deviceNode(t testing.TB, path string) *device {
	t.Helper()
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))); err != nil {
		t.Skipf("making a device node: %v", err)
	}
	return openNode(t, path)
}

func openNode(t testing.TB, path string) *device {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("opening a device node: %v", err) // mounted nodev
	}
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &st))
	d := &device{file: f, info: DeviceInfo{Path: path}}
	d.lockNodes(uint64(st.Dev), uint64(st.Rdev))
	t.Cleanup(func() { d.close() })
	return d
}

// Containers have their own nodes for the same device.
func TestTwoNodesOneLock(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	a, b := deviceNode(t, filepath.Join(dir, "host")), deviceNode(t, filepath.Join(dir, "container"))
	first, second := newWriteLock(a), newWriteLock(b)
	same := newWriteLock(openNode(t, filepath.Join(dir, "container")))
	require.NoError(t, first.acquire(ctx, 0))
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked)
	require.NoError(t, first.release())
	require.NoError(t, same.acquire(ctx, 0), "a try that failed has left the node's own lock")
	assert.ErrorIs(t, first.acquire(ctx, 0), ErrLocked)
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked)
	require.NoError(t, same.release())
	require.NoError(t, second.acquire(ctx, 0))
	require.NoError(t, second.release())
	assert.Empty(t, a.info.Caution)
}

// lockEnv tells the process of this test what to lock: a number, or a device to create a file on.
const lockEnv = "FAMFS_TEST_LOCK"

// lockSysfsEnv makes that process mount its own sysfs.
const lockSysfsEnv = "FAMFS_TEST_LOCK_SYSFS"

// lockElsewhere starts a process in new namespaces that tries to take a lock. It returns the
// result: "free", "locked", or the output.
func lockElsewhere(t testing.TB, namespaces uintptr, what string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockProcess$", "-test.count=1")
	cmd.Env = append(os.Environ(), lockEnv+"="+what)
	if namespaces&syscall.CLONE_NEWNS != 0 {
		cmd.Env = append(cmd.Env, lockSysfsEnv+"=1")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	out, err := cmd.CombinedOutput()
	if len(out) == 0 {
		t.Skipf("a process in namespaces of its own: %v", err)
	}
	_, said, _ := strings.Cut(string(out), "@@")
	said, _, _ = strings.Cut(said, "\n")
	require.NoError(t, err, "%s", out)
	return said
}

// TestLockProcess is the code of that process; by itself it does nothing.
func TestLockProcess(t *testing.T) {
	what := os.Getenv(lockEnv)
	if what == "" {
		t.Skip("serves the tests of locks")
	}
	var st unix.Stat_t
	if os.Getenv(lockSysfsEnv) != "" { // as containers do
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			require.ErrorIs(t, err, unix.EBUSY) // the one that is there is that of its network
		}
	}
	if node, ok := strings.CutPrefix(what, "node:"); ok {
		m, err := Open(node, ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(0))
		require.NoError(t, err)
		defer m.Close()
		err = m.Mkdir("elsewhere", 0o755)
		fmt.Printf("@@%v\n", err)
		return
	}
	require.NoError(t, unix.Stat(what, &st))
	l, err := openHostLock(uint64(st.Ino))
	require.NoError(t, err)
	d := &device{info: DeviceInfo{}}
	d.lockNodes(0, uint64(st.Ino))
	switch ok, err := l.try(); {
	case err != nil:
		fmt.Printf("@@%v\n", err)
	case ok:
		fmt.Printf("@@free, %s\n", d.info.Caution)
	default:
		fmt.Printf("@@locked, %s\n", d.info.Caution)
	}
}

const containerNamespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP

// The lock works across all the namespaces that containers have. Only another time namespace,
// which they do not have, gives another lock: then there is a caution.
func TestHostLockInContainers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "number") // its inode is a number nobody else uses
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	var st unix.Stat_t
	require.NoError(t, unix.Stat(file, &st))
	l := testHostLock(t, st.Ino)
	for name, namespaces := range map[string]uintptr{"none": 0, "network and mounts": syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, "a container's": containerNamespaces} {
		t.Run(name, func(t *testing.T) {
			ok, err := l.try()
			require.NoError(t, err)
			require.True(t, ok)
			assert.Equal(t, "locked, ", lockElsewhere(t, namespaces, file))
			require.NoError(t, l.unlock())
			assert.Equal(t, "free, ", lockElsewhere(t, namespaces, file))
		})
	}
	t.Run("time", func(t *testing.T) {
		ok, err := l.try()
		require.NoError(t, err)
		require.True(t, ok)
		defer l.unlock()
		said := lockElsewhere(t, unix.CLONE_NEWTIME, file)
		assert.Contains(t, said, "free, this process is in a time namespace of its own")
	})
}

func TestOnSystemNodes(t *testing.T) {
	t.Parallel()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(t.TempDir(), &st))
	assert.False(t, onSystemNodes(uint64(st.Dev)))
	mounts, err := os.ReadFile(mountInfo)
	require.NoError(t, err)
	if !strings.Contains(string(mounts), " /dev rw") || !strings.Contains(string(mounts), "- devtmpfs ") {
		t.Skip("no devtmpfs at /dev here")
	}
	require.NoError(t, unix.Stat(os.DevNull, &st))
	assert.True(t, onSystemNodes(uint64(st.Dev)))
}
