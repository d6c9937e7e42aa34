//go:build linux

package famfs

// The figures that the design asks for: a benchmark per row, each with its baseline
// beside it as a sub-benchmark, so that ratios are taken within one run. They work on
// /dev/shm unless FAMFS_TEST_DIR or FAMFS_TEST_DEVICE say otherwise.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

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

// tmpfsFile makes a file of n bytes beside the devices, for baselines.
func tmpfsFile(b *testing.B, n int) string {
	b.Helper()
	path := filepath.Join(benchDir(b), "file")
	require.NoError(b, os.WriteFile(path, pattern(n, 1), 0o600))
	return path
}

func mapPlain(b *testing.B, path string, n int, write bool) []byte {
	b.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(b, err)
	defer f.Close()
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, n, prot, unix.MAP_SHARED)
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

var sink uint64

// Row: scan a mapped 1 GiB file.
func BenchmarkScan(b *testing.B) {
	const n = 1 << 30
	b.Run("baseline", func(b *testing.B) {
		mem := mapPlain(b, tmpfsFile(b, n), n, false)
		b.SetBytes(n)
		sink += sum(mem)
		for b.Loop() {
			sink += sum(mem)
		}
	})
	b.Run("famfs", func(b *testing.B) {
		m, path := benchMaster(b, n+64*mib)
		p, err := m.Create("f", n)
		require.NoError(b, err)
		fillPattern(p.Bytes(), 1)
		require.NoError(b, p.Commit())
		reader := openTest(b, path)
		x, err := reader.Map("f")
		require.NoError(b, err)
		defer x.Close()
		b.SetBytes(n)
		sink += sum(x.Bytes())
		for b.Loop() {
			sink += sum(x.Bytes())
		}
	})
}

// Rows: Map + Close, cold, and of a mapped file.
func BenchmarkMap(b *testing.B) {
	const n = 16 * mib
	b.Run("baseline", func(b *testing.B) {
		f, err := os.Open(tmpfsFile(b, n))
		require.NoError(b, err)
		defer f.Close()
		for b.Loop() {
			mem, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				b.Fatal(err)
			}
			if err := unix.Munmap(mem); err != nil {
				b.Fatal(err)
			}
		}
	})
	m, path := benchMaster(b, 128*mib)
	require.NoError(b, m.WriteFile("f", pattern(n, 1), 0o644))
	reader := openTest(b, path)
	mapClose := func(b *testing.B) {
		for b.Loop() {
			x, err := reader.Map("f")
			if err != nil {
				b.Fatal(err)
			}
			if err := x.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("cold", mapClose)
	b.Run("mapped", func(b *testing.B) {
		x, err := reader.Map("f")
		require.NoError(b, err)
		defer x.Close()
		mapClose(b)
	})
}

// Row: fs.FS: open, read 4 KiB, close.
func BenchmarkRead4K(b *testing.B) {
	p := make([]byte, 4096)
	b.Run("baseline", func(b *testing.B) {
		path := tmpfsFile(b, 4096)
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Read(p); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	b.Run("famfs", func(b *testing.B) {
		m, path := benchMaster(b, 64*mib)
		require.NoError(b, m.WriteFile("f", pattern(4096, 1), 0o644))
		reader := openTest(b, path)
		for b.Loop() {
			f, err := reader.Open("f")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Read(p); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

// fillLog writes n entries, files of one allocation unit in directories of a thousand,
// as an image: quicker than creating them.
func fillLog(b testing.TB, path string, n int) {
	b.Helper()
	f, err := openMedium(path, newOpenConfig([]Option{ReadWrite()}))
	require.NoError(b, err)
	defer f.release()
	sb, err := readSuperblock(&mappedMetadata{f.dev, f.window.mem}, f.size())
	require.NoError(b, err)
	r, err := f.dev.mapPrefix(sb.logEnd())
	require.NoError(b, err)
	defer r.unmap()
	m := &mappedMetadata{f.dev, r.mem}
	dir := ""
	at := sb.logEnd()
	for i := range n {
		e := &entry{seq: uint64(i), kind: typeFile, size: 100_000, flags: fileFlagReadWrite, mode: 0o644, mapType: mapSimple, count: 1}
		if i%1000 == 0 {
			dir = fmt.Sprintf("dataset-%04d", i/1000)
			e = &entry{seq: uint64(i), kind: typeMkdir, mode: 0o755, path: []byte(dir)}
		} else {
			e.path = fmt.Appendf(nil, "%s/shard-%06d.bin", dir, i)
			e.extents = []rawExtent{{0, uint64(at), defaultUnit}}
			at += defaultUnit
		}
		record := e.encode()
		m.store(entryAt(uint64(i)), record[:])
	}
	m.store64(logOffset+nextSeqAt, uint64(n))
	m.store64(logOffset+nextIndexAt, uint64(n))
}

const bigLog = 256 * mib

// bigDevice returns a device with n log entries of room for 493,447; it is sparse.
func bigDevice(b *testing.B, n int) string {
	b.Helper()
	benchDir(b)
	path := formatted(b, 1<<40, LogSize(bigLog))
	fillLog(b, path, n)
	return path
}

// Row: Open with a full log.
func BenchmarkOpenFull(b *testing.B) {
	n := int(lastIndex(bigLog) + 1)
	path := bigDevice(b, n)
	b.Run("baseline", func(b *testing.B) {
		mem := mapPlain(b, path, logOffset+bigLog, false)
		for b.Loop() {
			for i := range n {
				sink += uint64(crc32.ChecksumIEEE(mem[entryAt(uint64(i)):][:entryCRC]))
			}
		}
	})
	b.Run("famfs", func(b *testing.B) {
		for b.Loop() {
			fsys, err := Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if fsys.Usage().Files == 0 {
				b.Fatal("no files")
			}
			fsys.Close()
		}
	})
}

// Row: Refresh when nothing is new, whatever the log holds.
func BenchmarkRefreshNothing(b *testing.B) {
	for _, n := range []int{1000, 490_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fsys := openTest(b, bigDevice(b, n))
			for b.Loop() {
				if _, err := fsys.Refresh(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Row: Create + Commit of 2 MiB without data, whatever log and file count.
func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{1, 10_000, 400_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := bigDevice(b, n)
			fsys := openTest(b, path, ReadWrite())
			i := 0
			for b.Loop() {
				if fsys.Usage().LogUsed == fsys.Usage().LogCapacity {
					b.StopTimer()
					require.NoError(b, fsys.Close())
					path = bigDevice(b, n)
					fsys = openTest(b, path, ReadWrite())
					b.StartTimer()
				}
				p, err := fsys.Create(itoa(i%1_000_000), defaultUnit)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Commit(); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// Row: copying 1 GiB in from a file in tmpfs.
func BenchmarkCopyIn(b *testing.B) {
	const n = 1 << 30
	path := tmpfsFile(b, n)
	b.Run("baseline", func(b *testing.B) {
		from := mapPlain(b, path, n, false)
		to := mapPlain(b, tmpfsFile(b, n), n, true)
		copy(to, from)
		b.SetBytes(n)
		for b.Loop() {
			copy(to, from)
		}
	})
	b.Run("famfs", func(b *testing.B) {
		m, _ := benchMaster(b, n+64*mib)
		f, err := os.Open(path)
		require.NoError(b, err)
		defer f.Close()
		b.SetBytes(n)
		for b.Loop() {
			p, err := m.Create("f", n)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				b.Fatal(err)
			}
			if _, err := p.ReadFrom(f); err != nil {
				b.Fatal(err)
			}
			p.Close() // not committed, so that the space can be used again
		}
	})
}

// Row: the namespace, in bytes per file.
func BenchmarkNamespaceMemory(b *testing.B) {
	n := int(lastIndex(bigLog) + 1)
	path := bigDevice(b, n)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	perFile := math.Inf(1)
	for b.Loop() {
		before := heap()
		fsys, err := Open(path)
		require.NoError(b, err)
		perFile = float64(heap()-before) / float64(n)
		require.NoError(b, fsys.Close())
	}
	b.ReportMetric(perFile, "B/file")
}

// Stat and ReadDir of 100,000 files.
func BenchmarkNames(b *testing.B) {
	const n = 100_000
	fsys := openTest(b, bigDevice(b, n))
	var names []string
	require.NoError(b, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	b.Run("Stat", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if _, err := fsys.Stat(names[i%len(names)]); err != nil {
				b.Fatal(err)
			}
			i += 7919
		}
	})
	b.Run("ReadDir", func(b *testing.B) {
		for b.Loop() {
			if _, err := fsys.ReadDir("dataset-0050"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
