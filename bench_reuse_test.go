//go:build linux && (amd64 || arm64)

package famfs

// Figures of removal and reuse: what a removal takes, alone and several at once, files created several
// at once, what reuse costs those who read, what the master's look at all slots takes, and what a client
// keeps that follows for long.

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	benchTogether = 64      // how many are created or removed at once
	benchFiles    = 200_000 // how many there are before some are removed, or a log that is full is replaced
)

// createTogether creates files of one unit without data, so many in one batch, in a directory of their own.
func createTogether(b *testing.B, m *FS, dir string, files int) {
	pending := make([]*PendingFile, files)
	for i := range pending {
		var err error
		if pending[i], err = m.Create(dir+"/"+itoa(i), defaultUnit); err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Commit(pending...); err != nil {
		b.Fatal(err)
	}
}

// benchRoomy returns a file system with space and a log for benchFiles files and their removal.
func benchRoomy(b *testing.B, opts ...Option) *FS {
	b.Helper()
	benchDir(b)
	path := testBacking(b, roomyLog+(benchFiles+1000)*defaultUnit)
	require.NoError(b, Format(path, WithSystemUUID(testHost), Force(), LogSize(roomyLog)))
	return openTest(b, path, append(opts, ReadWrite())...)
}

// Row: Create + Commit of 64 files at once. Further: with their directory.
func BenchmarkCreateTogether(b *testing.B) {
	bothWays(b, "files=64", func(b *testing.B, opts ...Option) {
		m := benchRoomy(b, opts...)
		require.NoError(b, m.Mkdir("d", 0o755))
		made := 0
		names := make([]string, benchTogether)
		for b.Loop() {
			if made+benchTogether > benchFiles {
				b.StopTimer()
				require.NoError(b, m.Close())
				m, made = benchRoomy(b, opts...), 0
				require.NoError(b, m.Mkdir("d", 0o755))
				b.StartTimer()
			}
			pending := make([]*PendingFile, benchTogether)
			for i := range pending {
				names[i] = "d/" + itoa(made)
				made++
				var err error
				if pending[i], err = m.Create(names[i], defaultUnit); err != nil {
					b.Fatal(err)
				}
			}
			if err := m.Commit(pending...); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*benchTogether/b.Elapsed().Seconds(), "files/s")
	})
}

// Rows: Remove of one file, and RemoveAll of a directory with 63.
func BenchmarkRemove(b *testing.B) {
	for _, together := range []int{1, benchTogether} {
		bothWays(b, fmt.Sprintf("files=%d", together), func(b *testing.B, opts ...Option) {
			var m *FS
			dirs := benchFiles / benchTogether
			fill := func() {
				m = benchRoomy(b, opts...)
				for i := range dirs {
					require.NoError(b, m.Mkdir(itoa(i), 0o755))
					createTogether(b, m, itoa(i), benchTogether-1)
				}
			}
			fill()
			dir, file := 0, 0
			for b.Loop() {
				if dir == dirs {
					b.StopTimer()
					require.NoError(b, m.Close())
					fill()
					dir, file = 0, 0
					b.StartTimer()
				}
				var err error
				if together == 1 {
					if err = m.Remove(itoa(dir) + "/" + itoa(file)); file < benchTogether-2 {
						file++
					} else {
						dir, file = dir+1, 0
					}
				} else {
					err = m.RemoveAll(itoa(dir))
					dir++
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(together)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// Rows: what reuse costs those who read: Refresh of nothing, and open, read, close of 4 KiB.
func BenchmarkReuse(b *testing.B) {
	reader := func(b *testing.B, opts []Option) *FS {
		m, path := benchMaster(b, 256*mib, Reuse())
		createFilled(b, m, "f", 4096)
		c := openTest(b, path, opts...)
		mapping, err := c.Map("f") // so that it has a slot
		require.NoError(b, err)
		b.Cleanup(func() { mapping.Close() })
		return c
	}
	bothWays(b, "refresh", func(b *testing.B, opts ...Option) {
		c := reader(b, opts)
		for b.Loop() {
			if _, err := c.Refresh(); err != nil {
				b.Fatal(err)
			}
		}
	})
	bothWays(b, "read=4KiB", func(b *testing.B, opts ...Option) {
		c := reader(b, opts)
		p := make([]byte, 4096)
		for b.Loop() {
			f, err := c.Open("f")
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

// Row: the master's look at all slots of 64 hosts with 16 processes each.
func BenchmarkLookAtSlots(b *testing.B) {
	bothWays(b, "hosts=64", func(b *testing.B, opts ...Option) {
		benchDir(b)
		path := formatted(b, 256*mib, Reuse())
		m := openTest(b, path, append(opts, ReadWrite())...)
		require.NoError(b, m.WriteFile("f", []byte("x"), 0o644))
		meta, at := m.replica.meta, m.replica.pinsAt()
		for place := range 64 {
			if readHosts(meta, at).states[place] == hostUnknown {
				host := NewUUID()
				meta.store(at+hostUUIDAt(place), host[:])
				meta.store64(at+hostStateAt(place), hostAdmitted)
			}
			for n := range hostSlots {
				slot := pinSlot{word: 2, owner: slotOwner{pid: 1, program: "reader"}}
				record := slot.encode()
				meta.store(at+slotAt(place, n), record[:])
			}
		}
		for b.Loop() {
			if _, err := m.replica.lowestPin(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Row: how much memory a client keeps that has followed so many creations and removals, through
// compactions, after which it opens the file system again.
func BenchmarkFollow(b *testing.B) {
	for _, entries := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			if entries > 1_000_000 && os.Getenv("CI") != "" {
				b.Skip("takes half a minute")
			}
			for b.Loop() {
				b.ReportMetric(float64(follow(b, entries)), "B/client")
			}
		})
	}
}

// follow returns the size of the heap when only the client is open.
func follow(b *testing.B, entries int) uint64 {
	const logSize = 64 * mib
	benchDir(b)
	path := testBacking(b, logSize+1024*mib)
	require.NoError(b, Format(path, WithSystemUUID(testHost), Force(), LogSize(logSize), Reuse()))
	open := func(opts ...Option) *FS { // what a cleanup closed would stay
		f, err := Open(path, append(opts, WithSystemUUID(testHost))...)
		require.NoError(b, err)
		return f
	}
	m, c := open(ReadWrite()), open()
	for made, n := 0, 0; made < entries || room(m) >= 4*benchTogether; n++ { // to the end of a log
		if room(m) < 2*benchTogether {
			require.NoError(b, m.Close())
			require.NoError(b, Compact(path, WithSystemUUID(testHost)))
			m = open(ReadWrite())
		}
		dir := itoa(n)
		require.NoError(b, m.Mkdir(dir, 0o755))
		createTogether(b, m, dir, benchTogether-1)
		require.NoError(b, m.RemoveAll(dir))
		made += 2 * benchTogether
		if _, err := c.Refresh(); errors.Is(err, ErrReformatted) {
			require.NoError(b, c.Close())
			c = open()
		} else if err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, m.Close())
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	require.NoError(b, c.Close())
	return s.HeapAlloc
}
