package famfs

// Where tests get their devices: one helper, so that the same suite runs on a file in a temporary
// folder, on tmpfs, or on a real device.
//
//	FAMFS_TEST_DIR     folder for stand-in files, such as one on tmpfs
//	FAMFS_TEST_DEVICE  a real device, or a file on fs-dax; what is on it is lost
//	FAMFS_TEST_DEVICES 2 or 3: file systems have so many devices, stand-ins; files come to lie on all
//	FAMFS_TEST_EMULATOR  set where a user-mode emulator runs the tests

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	mib = 1 << 20

	// testSize is enough for most tests: 26 allocation units of data.
	testSize = 64 * mib
)

// testHost and otherHost are the system UUIDs of the master and of a client.
var (
	testHost  = UUID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd}
	otherHost = UUID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x4f, 0xff, 0x8f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

// realDevice is held by the test that uses the one real device.
var realDevice sync.Mutex

// realDeviceUser is the test that uses it.
var realDeviceUser atomic.Pointer[string]

// testDir returns a folder for stand-in devices.
func testDir(t testing.TB) string {
	t.Helper()
	parent := os.Getenv("FAMFS_TEST_DIR")
	if parent == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "famfs-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// testBacking returns the path of a device for this test alone: a sparse file of size bytes, or
// the real device, which has its own size, at least that.
func testBacking(t testing.TB, size int64) string {
	t.Helper()
	path := os.Getenv("FAMFS_TEST_DEVICE")
	if path == "" {
		path = filepath.Join(testDir(t), "device")
		require.NoError(t, CreateBacking(path, size))
		return path
	}
	if user := realDeviceUser.Load(); user != nil && *user == t.Name() {
		t.Fatal("this test has the real device already, and would wait for itself: use a subtest for each use, or needsFile")
	}
	realDevice.Lock()
	user := t.Name()
	realDeviceUser.Store(&user)
	t.Cleanup(func() {
		realDeviceUser.Store(nil)
		realDevice.Unlock()
	})
	dev, err := openDevice(path, true, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer dev.close()
	if dev.info.Size < size {
		t.Skipf("%s has %d bytes, this test needs %d", path, dev.info.Size, size)
	}
	return path
}

// needsFile skips a test that makes no sense on a real device, and says why.
func needsFile(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("FAMFS_TEST_DEVICE") != "" {
		t.Skip("not on a real device: " + why)
	}
}

// underEmulator reports whether a user-mode emulator such as qemu-aarch64 runs this program, as
// .ci/emulated does.
func underEmulator() bool { return os.Getenv("FAMFS_TEST_EMULATOR") != "" }

// slow says that the code runs about ten times slower than it does otherwise.
func slow() bool {
	return raceEnabled || underEmulator() || os.Getenv("FAMFS_TEST_SCENARIO") != ""
}

// notUnderEmulator skips a test that takes long under a user-mode emulator, and shows the same on any
// processor.
func notUnderEmulator(t testing.TB) {
	t.Helper()
	if underEmulator() {
		t.Skip("takes long under an emulator, and shows the same on any processor")
	}
}

// needsFaults skips a test under a user-mode emulator.
func needsFaults(t testing.TB) {
	t.Helper()
	if underEmulator() {
		t.Skip("under an emulator, which loses the address of a memory fault")
	}
}

// needsProcesses skips a test under a user-mode emulator.
func needsProcesses(t testing.TB) {
	t.Helper()
	if underEmulator() {
		t.Skip("under an emulator: the system cannot run this program by itself")
	}
}

// needsAdvice skips a test under a user-mode emulator.
func needsAdvice(t testing.TB) {
	t.Helper()
	if underEmulator() {
		t.Skip("under an emulator, which does not pass on what is said about pages (madvise)")
	}
}

// needsNoDevice skips a test in guests of test/vm/run and under a user-mode emulator. The test
// shows the same with any device or none, and on any processor, and would take minutes on an
// emulated one.
func needsNoDevice(t testing.TB) {
	t.Helper()
	if underEmulator() {
		t.Skip("under an emulator: the test shows the same on any processor")
	}
	if os.Getenv("FAMFS_TEST_SCENARIO") != "" {
		t.Skip("in a guest: the test uses no device")
	}
}

// fileBacking is testBacking for tests that change the file without the library, or need several
// files.
func fileBacking(t testing.TB, size int64) string {
	t.Helper()
	needsFile(t, "the test works on a file of its own")
	return testBacking(t, size)
}

// testDevices is how many devices the file systems of formatted have.
func testDevices() int {
	n, err := strconv.Atoi(os.Getenv("FAMFS_TEST_DEVICES"))
	if err != nil || os.Getenv("FAMFS_TEST_DEVICE") != "" {
		return 1
	}
	return n
}

// needsOneDevice skips a test that makes no sense on a file system with several devices.
func needsOneDevice(t testing.TB, why string) {
	t.Helper()
	if testDevices() > 1 {
		t.Skip("not on several devices: " + why)
	}
}

// otherDevices returns the paths of the further devices of the file system that formatted makes at path.
func otherDevices(path string) (paths []string) {
	for i := 1; i < testDevices(); i++ {
		paths = append(paths, fmt.Sprintf("%s-%d", path, i))
	}
	return paths
}

// withDevices says where the further devices are of a file system that formatted has made, also to
// another process. openTest and openMaster say it by themselves.
func withDevices(path string) Option { return WithDevices(otherDevices(path)...) }

// formatted returns a device with an empty file system, whose master is testHost.
func formatted(t testing.TB, size int64, opts ...FormatOption) string {
	t.Helper()
	path := testBacking(t, size)
	others := otherDevices(path)
	for _, other := range others {
		require.NoError(t, CreateBacking(other, size))
	}
	require.NoError(t, Format(path, append([]FormatOption{WithSystemUUID(testHost), Force(), Secondaries(others...)}, opts...)...))
	return path
}

// openTest opens a device until the end of the test, as the master's host.
func openTest(t testing.TB, path string, opts ...Option) *FS {
	t.Helper()
	fsys, err := Open(path, append([]Option{WithSystemUUID(testHost), withDevices(path)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { // what stays open would hold its locks in the tests after this one
		assert.NotErrorIs(t, fsys.Close(), ErrBusy, "the test leaves something open")
	})
	return fsys
}

// openMaster opens a device for writing until the end of the test.
func openMaster(t testing.TB, path string, opts ...Option) *FS {
	t.Helper()
	return openTest(t, path, append([]Option{ReadWrite()}, opts...)...)
}

// master returns a new file system, open for writing, and its device.
func master(t testing.TB, size int64, opts ...FormatOption) (*FS, string) {
	t.Helper()
	path := formatted(t, size, opts...)
	return openTest(t, path, ReadWrite()), path
}

// prepareOption changes a device before it is used.
type prepareOption func(*device)

func (o prepareOption) applyOpen(c *openConfig)     { c.prepare = o }
func (o prepareOption) applyFormat(c *formatConfig) { c.prepare = o }

// fillPattern fills b with the content that the golden images use: every 512 bytes
// repeat a word that depends on seed and place, so that no two sectors are alike.
func fillPattern(b []byte, seed uint64) {
	for i := range b {
		if i%512 == 0 {
			z := seed + (uint64(i/512)+1)*0x9E3779B97F4A7C15
			z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
			z = (z ^ (z >> 27)) * 0x94D049BB133111EB
			z ^= z >> 31
			for j := range min(512, len(b)-i) {
				b[i+j] = byte(z >> (8 * (j % 8)))
			}
		}
	}
}

func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	fillPattern(b, seed)
	return b
}
