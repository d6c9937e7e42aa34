//go:build linux

package famfs

// Several hosts working together on one memory: a master and its clients, in guests that
// test/vm/run boots at the same time. All run the same test and differ by their role. They
// synchronize with words in a file on the device itself.

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostPatience is how long one host waits for another: emulated processors are slow.
const hostPatience = 100 * time.Second

// vmRole returns the role of this guest.
func vmRole() string { return os.Getenv("FAMFS_TEST_ROLE") }

// vmNumber returns a number that the harness gave.
func vmNumber(t testing.TB, name string) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(name))
	require.NoError(t, err, name)
	return n
}

// joinHosts opens the device that all hosts share, with the guest's own identity. The master
// makes the file system and the control file, the others wait for them.
func joinHosts(t testing.TB, format bool, opts ...Option) *FS {
	t.Helper()
	path := os.Getenv("FAMFS_TEST_DEVICE")
	if vmRole() == "master" {
		if format {
			require.NoError(t, Format(path, Force()))
		}
		fsys, err := Open(path, ReadWrite())
		require.NoError(t, err)
		require.Equal(t, Master, fsys.Role())
		if format {
			require.NoError(t, fsys.WriteFile("control", make([]byte, 4096), 0o600))
		}
		return fsys
	}
	var fsys *FS
	waitFor(t, "the file system", func() bool {
		if fsys == nil {
			var err error
			if fsys, err = Open(path, append(opts, WithClientWrites())...); err != nil {
				require.ErrorIs(t, err, ErrNotFormatted, "nothing but a device on its way to its first file system")
				return false
			}
		}
		_, err := fsys.Refresh()
		require.NoError(t, err)
		_, err = fsys.Stat("control")
		return err == nil
	})
	require.Equal(t, Client, fsys.Role())
	return fsys
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for begun := time.Now(); !done(); time.Sleep(2 * time.Millisecond) {
		require.Less(t, time.Since(begun), hostPatience, "waiting for %s", what)
	}
}

// control is the file with which the hosts synchronize: words, each in its own cache line.
type control struct{ m *Mapping }

func openControl(t testing.TB, fsys *FS) *control {
	t.Helper()
	m, err := fsys.Map("control", Writable())
	require.NoError(t, err)
	return &control{m}
}

func (c *control) word(i int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&c.m.Bytes()[64*i]))
}

func (c *control) load(i int) uint64 {
	InvalidateCache(c.m.Bytes()[64*i:][:64])
	return c.word(i).Load()
}

func (c *control) store(i int, v uint64) {
	c.word(i).Store(v)
	FlushCache(c.m.Bytes()[64*i:][:64])
}

// barrier waits until all four hosts have reached it. Every barrier has its own number and words.
func (c *control) barrier(t testing.TB, number int) {
	t.Helper()
	c.meet(t, number, "master", "client1", "client2", "client3")
}

// meet is barrier for hosts of these roles, four at most.
func (c *control) meet(t testing.TB, number int, roles ...string) {
	t.Helper()
	for i, role := range roles {
		if role == vmRole() {
			c.store(8+4*number+i, 1)
		}
	}
	for i, role := range roles {
		waitFor(t, fmt.Sprintf("%s at barrier %d", role, number), func() bool { return c.load(8+4*number+i) == 1 })
	}
}

const (
	hostFiles = 2000
	tokenWord = 0
)

// hostFile returns name and content of file i, which any host can compute.
func hostFile(i int) (name string, content []byte) {
	size := 1 + i*7919%30_000
	if i%40 == 0 {
		size += 2*mib + i*100 // in several extents, or interleaved
	}
	return fmt.Sprintf("d%d/f%04d", i%5, i), pattern(size, uint64(i))
}

// The master creates files of different layouts. Every client sees each of them exactly once, in
// the order of the log, with the right content.
func TestVMHosts(t *testing.T) {
	inScenario(t, "hosts")
	fsys := joinHosts(t, true)
	c := openControl(t, fsys)
	ctx, cancel := context.WithTimeout(context.Background(), hostPatience)
	defer cancel()
	events := fsys.Watch(ctx, 5*time.Millisecond)
	c.barrier(t, 0)

	t.Run("Watch", func(t *testing.T) {
		if vmRole() == "master" {
			createHostFiles(t, fsys)
		}
		// The master watches itself.
		index, file, dirs := -1, 0, 0
		for e, err := range events {
			require.NoError(t, err)
			attr := e.Info.Sys().(*Attr)
			require.Greater(t, attr.Index, index, "in the order of the log")
			index = attr.Index
			if e.Info.IsDir() {
				dirs++
				continue
			}
			name, content := hostFile(file)
			require.Equal(t, name, e.Name, "each once, none left out")
			data, err := fsys.ReadFile(name)
			require.NoError(t, err)
			require.Equal(t, hexSum(content), hexSum(data), name)
			if file++; file == hostFiles {
				break
			}
		}
		assert.Equal(t, hostFiles, file, ctx.Err())
		assert.Equal(t, 5, dirs)
		// The larger ones once more as slices.
		for i := 0; i < hostFiles; i += 40 {
			name, content := hostFile(i)
			m, err := fsys.Map(name)
			require.NoError(t, err)
			require.Equal(t, hexSum(content), hexSum(m.Bytes()), name)
			require.NoError(t, m.Close())
		}
	})
	c.barrier(t, 1)
	t.Run("SerialSharing", func(t *testing.T) { serialSharing(t, fsys, c) })
	c.barrier(t, 2)
	t.Run("ClientsWriteNoMetadata", func(t *testing.T) { clientsWriteNoMetadata(t, fsys, c) })
	c.barrier(t, 5)

	report, err := Check(os.Getenv("FAMFS_TEST_DEVICE"))
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	assertExclusive(t, fsys)
	require.NoError(t, c.m.Close())
	require.NoError(t, fsys.Close())
}

func createHostFiles(t testing.TB, fsys *FS) {
	t.Helper()
	for i := range 5 {
		require.NoError(t, fsys.Mkdir(fmt.Sprintf("d%d", i), 0o755))
	}
	for i := range hostFiles {
		name, content := hostFile(i)
		switch {
		case i%80 == 0:
			createScattered(t, fsys, name, content, 2)
		case i%40 == 0:
			p, err := fsys.Create(name, int64(len(content)), Interleave(Interleaving{2, 8, 2 * mib}))
			require.NoError(t, err)
			copy(p.Bytes(), content)
			require.NoError(t, p.Commit())
		default:
			require.NoError(t, fsys.WriteFile(name, content, 0o644))
		}
	}
}

// serialSharing passes one file around. The host that has the token invalidates, checks that the
// content of the last holder is there, whole, writes its own and flushes.
func serialSharing(t *testing.T, fsys *FS, c *control) {
	const turns, size = 100, 64 << 10
	if vmRole() == "master" {
		require.NoError(t, fsys.WriteFile("baton", pattern(size, 1000), 0o666))
	}
	waitFor(t, "the baton", func() bool {
		_, err := fsys.Refresh()
		require.NoError(t, err)
		_, err = fsys.Stat("baton")
		return err == nil
	})
	m, err := fsys.Map("baton", Writable())
	require.NoError(t, err)
	me := map[string]uint64{"master": 0, "client1": 1, "client2": 2, "client3": 3}[vmRole()]
	mine := 0
	for {
		var token uint64
		waitFor(t, "the token", func() bool {
			token = c.load(tokenWord)
			return token%4 == me || token >= turns
		})
		if token >= turns {
			break
		}
		require.NoError(t, m.Invalidate())
		require.Equal(t, hexSum(pattern(size, 1000+token)), hexSum(m.Bytes()), "hand-over %d", token)
		fillPattern(m.Bytes(), 1000+token+1)
		require.NoError(t, m.Flush())
		c.store(tokenWord, token+1)
		mine++
	}
	assert.Equal(t, turns/4, mine)
	require.NoError(t, m.Invalidate())
	assert.Equal(t, hexSum(pattern(size, 1000+turns)), hexSum(m.Bytes()))
	require.NoError(t, m.Close())
}

// clientsWriteNoMetadata lets the clients try, and lets the master check that nothing has changed.
func clientsWriteNoMetadata(t *testing.T, fsys *FS, c *control) {
	path := os.Getenv("FAMFS_TEST_DEVICE")
	var before []byte
	if vmRole() == "master" {
		before = readMetadata(t, path)
	}
	c.barrier(t, 3)
	if vmRole() != "master" {
		_, err := fsys.Create("mine", 1)
		assert.ErrorIs(t, err, ErrNotMaster)
		assert.ErrorIs(t, fsys.Mkdir("dir", 0o755), ErrNotMaster)
		assert.ErrorIs(t, fsys.WriteFile("mine", []byte("x"), 0o644), ErrNotMaster)
		_, err = Open(path, ReadWrite())
		assert.ErrorIs(t, err, ErrNotMaster)
		for _, at := range []int64{0, logOffset, logOffset + logHeaderSize} {
			assert.ErrorIs(t, Guard(func() error {
				fsys.window.mem[at] = 0xff
				return nil
			}), ErrDevice, "a store to the metadata faults")
		}
	}
	c.barrier(t, 4)
	if vmRole() == "master" {
		assert.Equal(t, hexSum(before), hexSum(readMetadata(t, path)), "superblock and log are unchanged")
	}
}

// poweroffFile describes file i of a round; every second entry is a directory.
func poweroffContent(name string) []byte {
	var round, i int
	fmt.Sscanf(name, "r%d-%d", &round, &i)
	return pattern(1+i*4099%100_000, uint64(round)<<32|uint64(i))
}

// TestVMPoweroffMaster is the master that loses power: it checks what the previous one has left,
// and creates until its power is cut.
func TestVMPoweroffMaster(t *testing.T) {
	inScenario(t, "poweroff")
	round, rounds := vmNumber(t, "FAMFS_TEST_ROUND"), vmNumber(t, "FAMFS_TEST_ROUNDS")
	fsys := joinHosts(t, round == 0)
	files := checkPoweroff(t, fsys, nil)
	t.Logf("round %d: %d files, %d entries", round, files, fsys.Usage().LogUsed)
	if round == rounds {
		require.Positive(t, files)
		require.NoError(t, fsys.WriteFile("final", []byte("x"), 0o644))
		require.NoError(t, fsys.Close())
		return
	}
	fmt.Println("@@READY")
	for i := 0; ; i++ {
		name := fmt.Sprintf("r%d-%d", round, i)
		if i%2 == 1 {
			require.NoError(t, fsys.Mkdir(name, 0o755))
			continue
		}
		require.NoError(t, fsys.WriteFile(name, poweroffContent(name), 0o644))
	}
}

// TestVMPoweroffClient stays up while masters come and go.
func TestVMPoweroffClient(t *testing.T) {
	inScenario(t, "poweroff")
	fsys := joinHosts(t, false)
	fmt.Println("@@READY")
	seen := map[string]bool{}
	// The harness limits the time of the whole.
	for {
		_, err := fsys.Refresh()
		require.NoError(t, err)
		checkPoweroff(t, fsys, seen)
		if _, err := fsys.Stat("final"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d files were right while masters came and went", len(seen))
	require.NoError(t, fsys.Close())
}

// checkPoweroff checks that what was committed is whole, that no space is used twice, and that
// Check finds nothing. It checks the content only of files that are not in seen.
func checkPoweroff(t testing.TB, fsys *FS, seen map[string]bool) (files int) {
	t.Helper()
	entries, err := fsys.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() || !strings.HasPrefix(e.Name(), "r") {
			continue
		}
		files++
		if seen[e.Name()] {
			continue
		}
		data, err := fs.ReadFile(fsys, e.Name())
		require.NoError(t, err)
		require.Equal(t, hexSum(poweroffContent(e.Name())), hexSum(data), e.Name())
		if seen != nil {
			seen[e.Name()] = true
		}
	}
	for name := range seen {
		_, err := fsys.Stat(name)
		require.NoError(t, err, "what was there once stays")
	}
	require.Empty(t, fsys.Problems())
	assertExclusive(t, fsys)
	report, err := Check(os.Getenv("FAMFS_TEST_DEVICE"))
	require.NoError(t, err)
	require.NoError(t, report.Err())
	return files
}
