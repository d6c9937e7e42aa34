//go:build linux && (amd64 || arm64)

package famfs

// Shared by benchmarks: devices on tmpfs, logs of any length, and plain mappings of the memory
// under a file, for baselines.

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var sink uint64 // keeps what is read from being left out

// inTurns runs baseline and figure several times in turns. It is for figures that are so close
// that the machine changes by more in between.
func inTurns(b *testing.B, baseline, figure func(*testing.B)) {
	for range 10 {
		b.Run("baseline", baseline)
		b.Run("famfs", figure)
	}
}

// bothWays runs a benchmark twice, as name and as name/shared: on stand-ins as they are, and on
// stand-ins treated as memory that other hosts share. For the latter, lines are really
// invalidated, as on a device.
func bothWays(b *testing.B, name string, run func(b *testing.B, opts ...Option)) {
	b.Run(name, func(b *testing.B) { run(b) })
	b.Run(name+"/shared", func(b *testing.B) { run(b, asShared) })
}

// asShared treats a stand-in as memory that other hosts share.
var asShared = prepareOption(func(d *device) { d.shared, d.cache = true, thisMachineDurable })

// benchDir returns a folder on tmpfs if there is one.
func benchDir(b *testing.B) string {
	b.Helper()
	if os.Getenv("FAMFS_TEST_DIR") == "" {
		if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
			b.Setenv("FAMFS_TEST_DIR", "/dev/shm")
		}
	}
	return testDir(b)
}

// benchMaster returns a new file system on tmpfs, open for writing.
func benchMaster(b *testing.B, size int64, opts ...FormatOption) (*FS, string) {
	b.Helper()
	benchDir(b)
	return master(b, size, opts...)
}

// createFilled makes a file of n bytes, all of which are stored to.
func createFilled(b *testing.B, m *FS, name string, n int64) {
	b.Helper()
	p, err := m.Create(name, n)
	require.NoError(b, err)
	defer p.Close()
	part := pattern(mib, 1)
	for at := int64(0); at < n; at += mib {
		_, err := p.Write(part[:min(mib, n-at)])
		require.NoError(b, err)
	}
	require.NoError(b, p.Commit())
}

// tmpfsFile makes a file of n bytes beside the devices, for baselines.
func tmpfsFile(b *testing.B, n int64) string {
	b.Helper()
	f, err := os.Create(filepath.Join(benchDir(b), "file"))
	require.NoError(b, err)
	defer f.Close()
	part := pattern(mib, 1)
	for at := int64(0); at < n; at += mib {
		_, err := f.Write(part[:min(mib, n-at)])
		require.NoError(b, err)
	}
	return f.Name()
}

// openPlain opens the device under a file of one extent, and returns the place of that extent.
func openPlain(b *testing.B, fsys *FS, name string, write bool) (f *os.File, off int64) {
	b.Helper()
	st, err := fsys.Stat(name)
	require.NoError(b, err)
	layout := st.Sys().(*Attr).Layout
	require.Len(b, layout.Extents, 1)
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err = os.OpenFile(fsys.Device().Path, flag, 0)
	require.NoError(b, err)
	b.Cleanup(func() { f.Close() })
	return f, layout.Extents[0].Offset
}

// mapPlain maps a file of one extent without this package.
func mapPlain(b *testing.B, fsys *FS, name string, write bool) []byte {
	b.Helper()
	st, err := fsys.Stat(name)
	require.NoError(b, err)
	f, off := openPlain(b, fsys, name, write)
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(int(f.Fd()), off, int(st.Size()), prot, unix.MAP_SHARED)
	require.NoError(b, err)
	b.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// sum reads all of b, eight bytes at a time.
func sum(b []byte) (s uint64) {
	for ; len(b) >= 64; b = b[64:] {
		s += binary.LittleEndian.Uint64(b) + binary.LittleEndian.Uint64(b[8:]) +
			binary.LittleEndian.Uint64(b[16:]) + binary.LittleEndian.Uint64(b[24:]) +
			binary.LittleEndian.Uint64(b[32:]) + binary.LittleEndian.Uint64(b[40:]) +
			binary.LittleEndian.Uint64(b[48:]) + binary.LittleEndian.Uint64(b[56:])
	}
	return s
}

// roomyLog has room for 986,894 entries: more than any benchmark begins with.
const roomyLog = 512 * mib

// room returns how many entries the log has room for.
func room(fsys *FS) int { return fsys.Usage().LogCapacity - fsys.Usage().LogUsed }

// logged returns a sparse device with n log entries. It has space for a file of one unit for
// every entry that fits.
func logged(b *testing.B, n int, logSize int64) string {
	b.Helper()
	benchDir(b)
	path := testBacking(b, 2*logSize+int64(lastIndex(logSize)+1)*defaultUnit)
	fillLog(b, path, n, logSize)
	return path
}

// fillLog formats a device and writes n entries, files of one allocation unit in
// directories of a thousand, as an image: quicker than creating them.
func fillLog(b *testing.B, path string, n int, logSize int64) {
	b.Helper()
	require.NoError(b, Format(path, WithSystemUUID(testHost), Force(), LogSize(logSize)))
	f, err := openMedium(path, newOpenConfig([]Option{ReadWrite()}))
	require.NoError(b, err)
	defer f.release()
	r, err := f.dev.mapPrefix(logOffset + logSize)
	require.NoError(b, err)
	defer r.unmap()
	m := &mappedMemory{dev: f.dev, mem: r.mem}
	for i := range n {
		e := &entry{seq: uint64(i), kind: typeMkdir, mode: 0o755, path: []byte(loggedName(i))}
		if i%1000 > 0 {
			e.kind, e.size, e.flags, e.mode = typeFile, 100_000, fileFlagReadWrite, 0o644
			e.mapType, e.count = mapSimple, 1
			e.extents = []rawExtent{{0, uint64(logOffset + logSize + int64(i)*defaultUnit), defaultUnit}}
		}
		record := e.encode()
		m.store(entryAt(uint64(i)), record[:])
	}
	m.store64(logOffset+nextSeqAt, uint64(n))
	m.store64(logOffset+nextIndexAt, uint64(n))
	require.NoError(b, m.flush(logOffset, logSize))
	m.fenceStores()
}

// loggedName returns the path of entry i of fillLog: every thousandth is a directory.
func loggedName(i int) string {
	dir := fmt.Sprintf("dataset-%04d", i/1000)
	if i%1000 == 0 {
		return dir
	}
	return fmt.Sprintf("%s/shard-%06d.bin", dir, i)
}
