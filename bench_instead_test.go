//go:build linux && (amd64 || arm64)

package famfs

// What users would use instead, for the same work in the same place: files on tmpfs, read or
// mapped, and cp. Every way of reading adds up all bytes, so that finding without reading is no
// advantage.

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"
)

func BenchmarkInstead(b *testing.B) {
	for _, size := range []int64{4 << 10, mib, 64 * mib} {
		b.Run(fmt.Sprintf("read=%dKiB", size>>10), func(b *testing.B) { readInstead(b, size) })
	}
	b.Run("copytree=2000x16KiB", func(b *testing.B) { copyTreeInstead(b, 2000, 16<<10) })
	b.Run("copytree=16x64MiB", func(b *testing.B) { copyTreeInstead(b, 16, 64*mib) })
}

func readInstead(b *testing.B, size int64) {
	m, path := benchMaster(b, 256*mib)
	createFilled(b, m, "f", size)
	fsys := openTest(b, path)
	plain := tmpfsFile(b, size)
	ways := []struct {
		name string
		read func() (uint64, error)
	}{
		{"famfs", func() (uint64, error) {
			data, err := fsys.ReadFile("f")
			return sum(data), err
		}},
		{"famfs-map", func() (uint64, error) {
			x, err := fsys.Map("f")
			if err != nil {
				return 0, err
			}
			s := sum(x.Bytes())
			return s, x.Close()
		}},
		{"os.ReadFile", func() (uint64, error) {
			data, err := os.ReadFile(plain)
			return sum(data), err
		}},
		{"mmap-go", func() (uint64, error) {
			f, err := os.Open(plain)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			x, err := mmap.Map(f, mmap.RDONLY, 0)
			if err != nil {
				return 0, err
			}
			s := sum(x)
			return s, x.Unmap()
		}},
	}
	want, err := ways[0].read()
	require.NoError(b, err)
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if got, err := way.read(); err != nil || got != want {
					b.Fatal(got, err)
				}
			}
		})
	}
}

// copyTreeInstead copies a tree on tmpfs. A device has its memory before the copy, so the pages
// of a stand-in, and those of cp's files, are there before too.
func copyTreeInstead(b *testing.B, files int, size int64) {
	tree := filepath.Join(benchDir(b), "tree")
	for i := range files {
		dir := filepath.Join(tree, fmt.Sprintf("dir-%02d", i%20))
		require.NoError(b, os.MkdirAll(dir, 0o755))
		require.NoError(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%05d", i)), pattern(int(size), uint64(i)), 0o644))
	}
	b.Run("famfs", func(b *testing.B) {
		benchDir(b)
		path := testBacking(b, 64*mib+int64(files)*roundUp(size, defaultUnit))
		b.SetBytes(int64(files) * size)
		copyTree := func(timed bool) {
			b.StopTimer()
			require.NoError(b, Format(path, WithSystemUUID(testHost), Force()))
			m, err := Open(path, ReadWrite(), WithSystemUUID(testHost))
			require.NoError(b, err)
			if timed {
				b.StartTimer()
			}
			require.NoError(b, m.CopyFS(context.Background(), ".", os.DirFS(tree)))
			b.StopTimer()
			require.NoError(b, m.Close())
		}
		copyTree(false)
		b.StartTimer()
		for b.Loop() {
			copyTree(true)
			b.StartTimer()
		}
	})
	b.Run("famfs-again", func(b *testing.B) { // when all is there
		benchDir(b)
		m, _ := benchMaster(b, 64*mib+int64(files)*roundUp(size, defaultUnit))
		again := func() {
			require.NoError(b, m.CopyFS(context.Background(), ".", os.DirFS(tree)))
		}
		again()
		again()
		b.SetBytes(int64(files) * size)
		b.ReportAllocs()
		for b.Loop() {
			again()
		}
	})
	b.Run("sources-only", func(b *testing.B) { // opening, reading and closing them, which comparing cannot do without
		var names []string
		src := os.DirFS(tree)
		require.NoError(b, fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
			if !d.IsDir() {
				names = append(names, name)
			}
			return err
		}))
		b.SetBytes(int64(files) * size)
		for b.Loop() {
			var next atomic.Int64
			var workers sync.WaitGroup
			for range runtime.GOMAXPROCS(0) {
				workers.Go(func() {
					buffer := make([]byte, size)
					for {
						i := int(next.Add(1)) - 1
						if i >= len(names) {
							return
						}
						f, err := src.Open(names[i])
						if err == nil {
							_, err = io.ReadFull(f, buffer)
						}
						if err == nil {
							err = f.Close()
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			workers.Wait()
		}
	})
	b.Run("cp", func(b *testing.B) {
		to := filepath.Join(benchDir(b), "copy")
		b.SetBytes(int64(files) * size)
		for b.Loop() {
			out, err := exec.Command("cp", "-r", tree, to).CombinedOutput()
			require.NoError(b, err, "%s", out)
			b.StopTimer()
			require.NoError(b, os.RemoveAll(to))
			b.StartTimer()
		}
	})
}
