//go:build linux && (amd64 || arm64)

package famfs

// The figures that the design asks for: a benchmark per row, each with its baseline
// beside it as a sub-benchmark, so that ratios are taken within one run. They work on
// /dev/shm unless FAMFS_TEST_DIR or FAMFS_TEST_DEVICE say otherwise. What helps to
// understand these figures is measured in bench_more_test.go, what users would pick
// instead in bench_instead_test.go; internal/figures makes a report of all.

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Row: scan a mapped 1 GiB file.
func BenchmarkScan(b *testing.B) {
	const n = 1 << 30
	m, path := benchMaster(b, n+64*mib)
	createFilled(b, m, "f", n)
	scan := func(b *testing.B, mem []byte) {
		b.SetBytes(n)
		sink += sum(mem) // the page faults
		for b.Loop() {
			sink += sum(mem)
		}
	}
	inTurns(b,
		func(b *testing.B) { scan(b, mapPlain(b, m, "f", false)) },
		func(b *testing.B) {
			x, err := openTest(b, path).Map("f")
			require.NoError(b, err)
			defer x.Close()
			scan(b, x.Bytes())
		})
}

// Rows: Map + Close, cold, and of a mapped file.
func BenchmarkMap(b *testing.B) {
	const n = 16 * mib
	m, path := benchMaster(b, 128*mib)
	createFilled(b, m, "f", n)
	b.Run("baseline", func(b *testing.B) {
		f, off := openPlain(b, m, "f", false)
		for b.Loop() {
			mem, err := unix.Mmap(int(f.Fd()), off, n, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				b.Fatal(err)
			}
			if err := unix.Munmap(mem); err != nil {
				b.Fatal(err)
			}
		}
	})
	reader := openTest(b, path)
	b.Run("cold", func(b *testing.B) { mapAndClose(b, reader, "f") })
	b.Run("mapped", func(b *testing.B) {
		x, err := reader.Map("f")
		require.NoError(b, err)
		defer x.Close()
		mapAndClose(b, reader, "f")
	})
}

func mapAndClose(b *testing.B, fsys *FS, name string) {
	for b.Loop() {
		x, err := fsys.Map(name)
		if err != nil {
			b.Fatal(err)
		}
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
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
		createFilled(b, m, "f", 4096)
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

// Row: Open with a full log. Further: the first Open of a program, which has no heap yet; the
// baseline over a mapping that is as new as Open's; and the parts that Open cannot do without
// (mapping, copying and checksums), on all processors.
func BenchmarkOpen(b *testing.B) {
	const logSize = 256 * mib
	n := int(lastIndex(logSize) + 1)
	path := logged(b, n, logSize)
	f, err := os.Open(path)
	require.NoError(b, err)
	defer f.Close()
	mapLog := func() []byte {
		mem, err := unix.Mmap(int(f.Fd()), 0, logOffset+logSize, unix.PROT_READ, unix.MAP_SHARED)
		require.NoError(b, err)
		return mem
	}
	sumUp := func(mem []byte) (sum uint64) {
		for i := range n {
			sum += uint64(crc32.ChecksumIEEE(mem[entryAt(uint64(i)):][:entryCRC]))
		}
		return sum
	}
	b.Run("baseline", func(b *testing.B) {
		mem := mapLog()
		defer unix.Munmap(mem)
		sink += sumUp(mem) // the page faults
		for b.Loop() {
			sink += sumUp(mem)
		}
	})
	b.Run("baseline-mapped-anew", func(b *testing.B) {
		for b.Loop() {
			mem := mapLog()
			sink += sumUp(mem)
			b.StopTimer()
			unix.Munmap(mem)
			b.StartTimer()
		}
	})
	b.Run("checked-only", func(b *testing.B) {
		for b.Loop() {
			mem := mapLog()
			checkOnly(mem, n)
			b.StopTimer()
			unix.Munmap(mem)
			b.StartTimer()
		}
	})
	bothWays(b, "famfs", func(b *testing.B, opts ...Option) {
		openAll(b, path, n, opts...).Close() // makes the heap, as the baseline takes its page faults
		openAndClose(b, path, n, func() {}, opts...)
	})
	bothWays(b, "first", func(b *testing.B, opts ...Option) { openAndClose(b, path, n, debug.FreeOSMemory, opts...) })
}

// Row: Open with a full log of 4 GiB, of nearly 8 million entries, against one of 256 MiB.
func BenchmarkOpenLarge(b *testing.B) {
	for _, size := range []struct {
		name string
		log  int64
	}{{"baseline", 256 * mib}, {"famfs", 4096 * mib}} {
		b.Run(size.name, func(b *testing.B) {
			if testing.Short() {
				b.Skip("takes 5 GiB of memory")
			}
			n := int(lastIndex(size.log) + 1)
			path := logged(b, n, size.log)
			openAll(b, path, n).Close()
			openAndClose(b, path, n, func() {})
		})
	}
}

// checkOnly copies n entries and computes their checksums, and does nothing else.
func checkOnly(mem []byte, n int) {
	var next, total atomic.Uint64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			buffer, sum := make([]byte, decodePiece*entrySize), uint64(0)
			for first := 0; first < n; {
				first = int(next.Add(decodePiece) - decodePiece)
				records := buffer[:entrySize*max(0, min(decodePiece, n-first))]
				copy(records, mem[entryAt(uint64(min(first, n))):])
				for at := 0; at < len(records); at += entrySize {
					sum += uint64(crc32.ChecksumIEEE(records[at:][:entryCRC]))
				}
			}
			total.Add(sum)
		})
	}
	running.Wait()
	sink += total.Load()
}

// openAndClose times Open alone, and calls between after each.
func openAndClose(b *testing.B, path string, entries int, between func(), opts ...Option) {
	between()
	for b.Loop() {
		fsys := openAll(b, path, entries, opts...)
		b.StopTimer()
		if len(fsys.Problems()) > 0 {
			b.Fatal("an entry was passed over")
		}
		fsys.Close()
		between()
		b.StartTimer()
	}
}

// openAll opens a device with so many entries.
func openAll(b *testing.B, path string, entries int, opts ...Option) *FS {
	fsys, err := Open(path, opts...)
	if err != nil {
		b.Fatal(err)
	}
	if n := fsys.Usage().LogUsed; n != entries {
		b.Fatal(n, "entries were replayed")
	}
	return fsys
}

// Row: Refresh when nothing is new, whatever the log holds. Further: of 1 and of 1,000
// new entries.
func BenchmarkRefresh(b *testing.B) {
	for _, n := range []int{1000, 490_000} {
		bothWays(b, fmt.Sprintf("new=0/entries=%d", n), func(b *testing.B, opts ...Option) { refreshNothing(b, n, opts...) })
	}
	for _, fresh := range []int{1, 1000} {
		bothWays(b, fmt.Sprintf("new=%d", fresh), func(b *testing.B, opts ...Option) { refreshNew(b, fresh, opts...) })
	}
}

func refreshNothing(b *testing.B, entries int, opts ...Option) {
	fsys := openTest(b, logged(b, entries, roomyLog), opts...)
	for b.Loop() {
		if _, err := fsys.Refresh(); err != nil {
			b.Fatal(err)
		}
	}
}

// refreshNew times only Refresh, with its own clock: stopping and starting the benchmark's clock
// takes longer than what is measured.
func refreshNew(b *testing.B, fresh int, opts ...Option) {
	path := logged(b, 1000, roomyLog)
	open := func() (reader, writer *FS) {
		return openTest(b, path, opts...), openTest(b, path, append(opts, ReadWrite())...)
	}
	reader, writer := open()
	var spent time.Duration
	made := 0
	for b.Loop() {
		if room(writer) < fresh {
			require.NoError(b, errors.Join(reader.Close(), writer.Close()))
			fillLog(b, path, 1000, roomyLog)
			reader, writer = open()
		}
		for range fresh {
			if err := writer.Mkdir(itoa(made), 0o755); err != nil {
				b.Fatal(err)
			}
			made++
		}
		start := time.Now()
		n, err := reader.Refresh()
		spent += time.Since(start)
		if err != nil || n != fresh {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/op")
}

// Row: Create + Commit of 2 MiB without data, whatever log and file count.
func BenchmarkCreate(b *testing.B) {
	for _, n := range []int{1, 10_000, 490_000} {
		bothWays(b, fmt.Sprintf("entries=%d", n), func(b *testing.B, opts ...Option) {
			create(b, n, opts...)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// create times Create + Commit with a log that holds entries already.
func create(b *testing.B, entries int, opts ...Option) {
	opts = append(opts, ReadWrite())
	path := logged(b, entries, roomyLog)
	fsys := openTest(b, path, opts...)
	for i, left := 0, room(fsys); b.Loop(); i++ {
		if i == left {
			b.StopTimer()
			require.NoError(b, fsys.Close())
			fillLog(b, path, entries, roomyLog)
			fsys, i = openTest(b, path, opts...), 0
			b.StartTimer()
		}
		p, err := fsys.Create(itoa(i), defaultUnit)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

// Row: allocation on 16 TiB with 1% free in scattered units. Further: eight units, no
// two of which are neighbours.
func BenchmarkAllocate(b *testing.B) {
	a := scattered(16 << 40 / defaultUnit)
	a.space()
	b.Run("16TiB", func(b *testing.B) { allocate(b, a) })
	b.Run("16TiB-gather8", func(b *testing.B) {
		for b.Loop() {
			runs, ok := a.gather(8, maxExtents)
			if !ok {
				b.Fatal("no units found")
			}
			a.release(runs)
		}
	})
}

func allocate(b *testing.B, a *allocator) {
	runs := make([]unitRun, 1)
	for b.Loop() {
		var ok bool
		if runs[0], ok = a.allocate(1, 0, math.MaxInt64); !ok {
			b.Fatal("no unit found")
		}
		a.release(runs)
	}
}

// Row: copying 1 GiB in from a file in tmpfs. Further: the part of that time that faults for all
// pages of the file and of the memory take if pages are small; and the time without any mapping,
// with system calls alone, which devices do not have.
func BenchmarkCopyIn(b *testing.B) {
	const n = 1 << 30
	path := tmpfsFile(b, n)
	m, _ := benchMaster(b, 2*n+64*mib)
	createFilled(b, m, "there", n)
	f, err := os.Open(path)
	require.NoError(b, err)
	defer f.Close()
	b.Run("baseline", func(b *testing.B) {
		from, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ, unix.MAP_SHARED)
		require.NoError(b, err)
		defer unix.Munmap(from)
		to := mapPlain(b, m, "there", true)
		copy(to, from)
		b.SetBytes(n)
		for b.Loop() {
			copy(to, from)
		}
	})
	b.Run("famfs", func(b *testing.B) {
		copyIn := func() {
			p, err := m.Create("f", n)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close() // not committed, so that the space can be used again
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				b.Fatal(err)
			}
			if got, err := p.ReadFrom(f); err != nil || got != n {
				b.Fatal(got, err)
			}
		}
		copyIn() // so that the stand-in has its pages, as a device has
		b.SetBytes(n)
		for b.Loop() {
			copyIn()
		}
	})
	b.Run("faults-only", func(b *testing.B) {
		device, off := openPlain(b, m, "there", true)
		b.SetBytes(n)
		for b.Loop() {
			faults(b, f, 0, n, false)
			faults(b, device, off, n, true)
		}
	})
	b.Run("calls-only", func(b *testing.B) {
		if m.Device().Kind != File {
			b.Skip("what is not a file cannot be written to by system calls")
		}
		device, off := openPlain(b, m, "there", true)
		var buffers sync.Pool
		b.SetBytes(n)
		for b.Loop() {
			_, err := inParallel(0, n, func(from, to int64) (int64, error) {
				buffer, ok := buffers.Get().(*[256 << 10]byte)
				if !ok {
					buffer = new([256 << 10]byte)
				}
				defer buffers.Put(buffer)
				for at := from; at < to; at += int64(len(buffer)) {
					if _, err := f.ReadAt(buffer[:], at); err != nil {
						return at - from, err
					}
					if _, err := device.WriteAt(buffer[:], off+at); err != nil {
						return at - from, err
					}
				}
				return to - from, nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// faults maps n bytes of f at off, takes all page faults as filling a file does, and unmaps them.
func faults(b *testing.B, f *os.File, off, n int64, write bool) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(int(f.Fd()), off, int(n), prot, unix.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	_, err = inParallel(0, n, func(from, to int64) (int64, error) {
		prefault(mem[from:to], write)
		return to - from, nil
	})
	if err := errors.Join(err, unix.Munmap(mem)); err != nil {
		b.Fatal(err)
	}
}

// Rows: flush and invalidate, against a C loop of the same instruction. Lines are dirty
// before they are flushed, and in the cache before they are invalidated.
func BenchmarkFlush(b *testing.B) {
	instruction, _ := chosenInstructions()
	lineOpBenchmark(b, instruction, true, FlushCache)
}

func BenchmarkInvalidate(b *testing.B) {
	_, instruction := chosenInstructions()
	lineOpBenchmark(b, instruction+"-invalidate", false, InvalidateCache)
}

func lineOpBenchmark(b *testing.B, instruction string, stores bool, op func([]byte)) {
	const n = 16 * mib
	m, _ := benchMaster(b, 64*mib)
	createFilled(b, m, "f", n)
	loop := cacheLineLoop(b)
	inTurns(b, func(b *testing.B) {
		if loop == "" {
			b.Skip("the baseline is a loop in C, and there is no C compiler (cc)")
		}
		f, off := openPlain(b, m, "f", true)
		out, err := exec.Command(loop, f.Name(), fmt.Sprint(off), fmt.Sprint(n), instruction, fmt.Sprint(b.N)).CombinedOutput()
		require.NoError(b, err, "%s", out)
		ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		require.NoError(b, err)
		reportTime(b, ns, n)
	}, func(b *testing.B) {
		x, err := m.Map("f", Writable())
		require.NoError(b, err)
		defer x.Close()
		mem := x.Bytes()
		var spent time.Duration
		for i := range b.N { // as the loop in C does it
			total := uint64(0)
			for at := 0; at < n; at += int(lineSize) {
				if stores {
					mem[at] = byte(i)
				} else {
					total += uint64(mem[at])
				}
			}
			sink += total
			start := time.Now()
			op(mem)
			spent += time.Since(start)
		}
		reportTime(b, float64(spent.Nanoseconds())/float64(b.N), n)
	})
}

// cacheLineLoop compiles the baseline and returns its path, "" without a compiler.
func cacheLineLoop(b *testing.B) string {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return ""
	}
	path := filepath.Join(b.TempDir(), "cachelines")
	out, err := exec.Command(cc, "-O2", "-o", path, "testdata/cachelines.c").CombinedOutput()
	require.NoError(b, err, "%s", out)
	return path
}

// reportTime reports what a clock of the benchmark's own has measured.
func reportTime(b *testing.B, ns float64, bytes int) {
	b.ReportMetric(ns, "ns/op")
	b.ReportMetric(float64(bytes)/ns*1e3, "MB/s")
}

// Row: the namespace, in bytes per file.
func BenchmarkNamespace(b *testing.B) {
	const logSize = 256 * mib
	n := int(lastIndex(logSize) + 1)
	path := logged(b, n, logSize)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	perFile := 0.0
	for b.Loop() {
		before := heap()
		fsys, err := Open(path)
		require.NoError(b, err)
		perFile = float64(heap()-before) / float64(n)
		require.NoError(b, fsys.Close())
	}
	b.ReportMetric(perFile, "B/file")
}
