//go:build linux && (amd64 || arm64)

package famfs

// Benchmarks beyond the design's table: names, layouts, several goroutines, growth with
// the number of files, and the sizes at which copying changes its way.

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Stat and ReadDir among 100,000 files, in directories of a thousand and in one.
func BenchmarkNames(b *testing.B) {
	const n = 100_000
	b.Run("Stat", func(b *testing.B) {
		fsys := openTest(b, logged(b, n, roomyLog))
		names := make([]string, n)
		for i := range names {
			names[i] = loggedName(i)
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
		for i := 0; b.Loop(); i++ {
			if _, err := fsys.Stat(names[i%n]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ReadDir-1000", func(b *testing.B) {
		fsys := openTest(b, logged(b, n, roomyLog))
		readDir(b, fsys, "dataset-0050", 999)
	})
	b.Run("ReadDir-100000", func(b *testing.B) {
		m, path := benchMaster(b, 128*mib, LogSize(64*mib))
		for i := range n {
			require.NoError(b, m.Mkdir(fmt.Sprintf("directory-%06d", i), 0o755))
		}
		readDir(b, openTest(b, path), ".", n)
	})
}

func readDir(b *testing.B, fsys *FS, dir string, want int) {
	for b.Loop() {
		entries, err := fsys.ReadDir(dir)
		if err != nil || len(entries) != want {
			b.Fatal(len(entries), err)
		}
	}
}

// Map + Close, cold, of files that lie in one piece and in several.
func BenchmarkMapLayout(b *testing.B) {
	b.Run("extents=1", func(b *testing.B) {
		m, path := benchMaster(b, 128*mib)
		createFilled(b, m, "f", 32*mib)
		mapAndClose(b, openTest(b, path), "f")
	})
	b.Run("extents=16", func(b *testing.B) {
		m, path := benchMaster(b, 128*mib)
		fragment(b, m, maxExtents)
		createFilled(b, m, "f", 32*mib)
		mapAndClose(b, openTest(b, path), "f")
	})
	b.Run("chunks=1024", func(b *testing.B) {
		m, path := benchMaster(b, 3072*mib)
		p, err := m.Create("f", 2048*mib, Interleave(Interleaving{Strips: 16, Buckets: 16, Chunk: 2 * mib}))
		require.NoError(b, err)
		require.NoError(b, p.Commit())
		mapAndClose(b, openTest(b, path), "f")
	})
	b.Run("baseline-chunks=1024", func(b *testing.B) {
		m, _ := benchMaster(b, 3072*mib)
		p, err := m.Create("f", 2048*mib)
		require.NoError(b, err)
		require.NoError(b, p.Commit())
		f, off := openPlain(b, m, "f", false)
		const chunks, total = 1024, uintptr(2048 * mib)
		for b.Loop() {
			// devdax wants addresses that are aligned as its memory is.
			reserved, err := unix.MmapPtr(-1, 0, nil, total+2*mib, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
			if err != nil {
				b.Fatal(err)
			}
			base := unsafe.Add(reserved, -uintptr(reserved)%(2*mib))
			for i := range chunks {
				// The strips of 16 buckets in turn, so that no two neighbours join.
				chunk := i%16*(chunks/16) + i/16
				if _, err := unix.MmapPtr(int(f.Fd()), off+int64(chunk)*2*mib, unsafe.Add(base, i*2*mib), 2*mib, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
					b.Fatal(err)
				}
			}
			if err := unix.MunmapPtr(reserved, total+2*mib); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Several goroutines at the same time, on the same file system.
func BenchmarkParallel(b *testing.B) {
	const size = 64 * mib
	work := []struct {
		name  string
		begin func(b *testing.B, m, reader *FS) func(i int64) error
	}{
		{"Scan", func(b *testing.B, _, reader *FS) func(int64) error {
			x, err := reader.Map("large")
			require.NoError(b, err)
			b.Cleanup(func() { x.Close() })
			b.SetBytes(size)
			var total atomic.Uint64
			return func(int64) error {
				total.Add(sum(x.Bytes()))
				return nil
			}
		}},
		{"Read4K", func(b *testing.B, _, reader *FS) func(int64) error {
			buffers := sync.Pool{New: func() any { return new([4096]byte) }}
			return func(int64) error {
				f, err := reader.Open("f")
				if err != nil {
					return err
				}
				p := buffers.Get().(*[4096]byte)
				defer buffers.Put(p)
				if _, err := f.Read(p[:]); err != nil {
					return err
				}
				return f.Close()
			}
		}},
		{"Map", func(b *testing.B, _, reader *FS) func(int64) error {
			x, err := reader.Map("f")
			require.NoError(b, err)
			b.Cleanup(func() { x.Close() })
			return func(int64) error {
				x, err := reader.Map("f")
				if err != nil {
					return err
				}
				return x.Close()
			}
		}},
		{"Stat", func(_ *testing.B, _, reader *FS) func(int64) error {
			return func(int64) error {
				_, err := reader.Stat("f")
				return err
			}
		}},
		// Space is given back, so that there is always some.
		{"Create", func(_ *testing.B, m, _ *FS) func(int64) error {
			return func(i int64) error {
				p, err := m.Create(itoa(int(i)), 1)
				if err != nil {
					return err
				}
				return p.Close()
			}
		}},
	}
	for _, w := range work {
		for _, n := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", w.name, n), func(b *testing.B) {
				m, path := benchMaster(b, 256*mib)
				createFilled(b, m, "f", 5*mib)
				createFilled(b, m, "large", size)
				inGoroutines(b, n, w.begin(b, m, openTest(b, path)))
			})
		}
	}
}

// inGoroutines calls op b.N times from n goroutines.
func inGoroutines(b *testing.B, n int, op func(i int64) error) {
	const batch = 16 // so that counting does not count
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for range n {
		running.Go(func() {
			for {
				from := next.Add(batch) - batch
				if from >= int64(b.N) {
					return
				}
				for i := from; i < min(from+batch, int64(b.N)); i++ {
					if err := op(i); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	running.Wait()
}

// How figures that must not depend on the number of files depend on it, and how those grow that
// may.
func BenchmarkGrowth(b *testing.B) {
	work := []struct {
		name string
		run  func(b *testing.B, n int)
	}{
		{"Open", func(b *testing.B, n int) { openAndClose(b, logged(b, n, roomyLog), n, func() {}, asShared) }},
		{"Refresh", func(b *testing.B, n int) { refreshNothing(b, n, asShared) }},
		{"Create", func(b *testing.B, n int) { create(b, n, asShared) }},
		{"Allocate", func(b *testing.B, n int) {
			allocate(b, openTest(b, logged(b, n, roomyLog), ReadWrite()).replica.alloc)
		}},
	}
	for _, w := range work {
		for _, n := range []int{1000, 10_000, 100_000, 490_000} {
			b.Run(fmt.Sprintf("%s/files=%d", w.name, n), func(b *testing.B) { w.run(b, n) })
		}
	}
}

// Copying past the caches, as CopyInto does for large copies, against copying through them and
// writing back, whether the memory was in the caches before or not.
func BenchmarkCopyInto(b *testing.B) {
	const span = 64 * mib // more than the caches hold
	m, _ := benchMaster(b, span+64*mib)
	createFilled(b, m, "f", span)
	x, err := m.Map("f", Writable())
	require.NoError(b, err)
	defer x.Close()
	run := func(name string, size, span int, way func(dst, src []byte)) {
		b.Run(name, func(b *testing.B) {
			src := pattern(size, 1)
			b.SetBytes(int64(size))
			at := 0
			for b.Loop() {
				way(x.Bytes()[at:at+size], src)
				if at += size; at+size > span {
					at = 0
				}
			}
		})
	}
	for _, size := range []int{64, 128, 256, 512, 1024, 4096, 64 << 10, mib} {
		for _, place := range []struct {
			name string
			span int
		}{{"cached", size}, {"uncached", span}} {
			name := fmt.Sprintf("%s/size=%d/", place.name, size)
			run(name+"through", size, place.span, func(dst, src []byte) {
				copy(dst, src)
				FlushCache(dst)
			})
			if thisMachine.streamLines != nil {
				run(name+"past", size, place.span, func(dst, src []byte) {
					thisMachine.streamLines(pointerTo(dst, 0), pointerTo(src, 0), uintptr(len(src))/lineSize)
					storeFence()
				})
			}
		}
	}
}
