package famfs

// Verifying sealed files, and scrubbing: damage anywhere is found, a stale cache is told apart from
// it, memory that fails is listed page by page, and a copy is resumed by sums.

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sealedFile is a device with a sealed file, whose bytes on the medium a test can change.
type sealedFile struct {
	t    testing.TB
	path string
	m    *FS
	file *os.File
	data []byte
}

const sealedName = "d/sealed"

func newSealedFile(t testing.TB, size int64, kind SumKind, opts ...CreateOption) *sealedFile {
	t.Helper()
	s := &sealedFile{t: t, path: fileBacking(t, testSize), data: pattern(int(size), 7)}
	require.NoError(t, Format(s.path, WithSystemUUID(testHost)))
	s.m = openMaster(t, s.path)
	require.NoError(t, s.m.Mkdir("d", 0o755))
	p, err := s.m.Create(sealedName, size, append(opts, SealWith(kind))...)
	require.NoError(t, err)
	_, err = p.Write(s.data)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	s.file, err = os.OpenFile(s.path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { s.file.Close() })
	return s
}

// at is where byte x of the file is on the device.
func (s *sealedFile) at(x int64) int64 { return layoutByte(&attrOf(s.t, s.m, sealedName).Layout, x) }

// flip changes a bit of byte x.
func (s *sealedFile) flip(x int64, bit int) {
	s.t.Helper()
	var b [1]byte
	readAt(s.t, s.file, b[:], s.at(x))
	b[0] ^= 1 << bit
	_, err := s.file.WriteAt(b[:], s.at(x))
	require.NoError(s.t, err)
}

// A bit that flips anywhere in a sealed file is found, by everything that looks.
func TestVerifyFindsFlips(t *testing.T) {
	notUnderEmulator(t)
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, kind := range []SumKind{CRC32C, SHA256} {
		for _, opts := range [][]CreateOption{nil, {Interleave(Interleaving{Strips: 3, Buckets: 3, Chunk: 2 * mib})}} {
			const size = 2*workPiece + 4321
			s := newSealedFile(t, size, kind, opts...)
			reader := openTest(t, s.path)
			require.NoError(t, s.m.Verify(sealedName))
			require.NoError(t, reader.Verify(sealedName))
			offsets := []int64{0, 1, workPiece - 1, workPiece, size - 1, rng.Int64N(size), rng.Int64N(size)}
			if slow() {
				offsets = offsets[3:5]
			}
			for _, x := range offsets {
				bit := rng.IntN(8)
				s.flip(x, bit)
				for _, fsys := range []*FS{s.m, reader} {
					err := fsys.Verify(sealedName)
					var pathErr *fs.PathError
					require.ErrorAs(t, err, &pathErr)
					assert.Equal(t, []string{"verify", sealedName}, []string{pathErr.Op, pathErr.Path})
					var sum *SumError
					require.ErrorAs(t, err, &sum, "byte %d", x)
					damaged, readErr := fsys.ReadFile(sealedName)
					require.NoError(t, readErr)
					assert.Equal(t, &SumError{Name: sealedName, Want: sumsOf(s.data)[kind], Found: sumsOf(damaged)[kind]}, sum)
					require.ErrorIs(t, err, ErrChecksum)
					assert.ErrorContains(t, err, sum.Want.String())
					assert.ErrorContains(t, err, sum.Found.String())
					assert.ErrorContains(t, err, "the memory is damaged")
				}
				_, err := reader.Map(sealedName, Verified())
				require.ErrorIs(t, err, ErrChecksum)
				report, err := reader.Scrub(t.Context())
				require.NoError(t, err)
				require.Len(t, report.Bad, 1)
				assert.Equal(t, []any{sealedName, int64(0), int64(size)}, []any{report.Bad[0].Name, report.Bad[0].Offset, report.Bad[0].Length})
				assert.ErrorIs(t, report.Bad[0], ErrChecksum)
				s.flip(x, bit)
			}
			m, err := reader.Map(sealedName, Verified())
			require.NoError(t, err)
			assert.True(t, bytes.Equal(s.data, m.Bytes()))
			require.NoError(t, m.Close())
			require.NoError(t, reader.Close(), "nothing is left open")
		}
	}
}

func TestVerifyRefused(t *testing.T) {
	t.Parallel()
	s := newSealedFile(t, 100, CRC32C)
	require.NoError(t, s.m.WriteFile("plain", []byte("x"), 0o644))
	for name, want := range map[string]error{"plain": fs.ErrInvalid, "d": fs.ErrInvalid, "missing": fs.ErrNotExist, "/": fs.ErrInvalid} {
		assert.ErrorIs(t, s.m.Verify(name), want, name)
		_, err := s.m.Map(name, Verified())
		assert.ErrorIs(t, err, want, name)
	}
	assert.ErrorContains(t, s.m.Verify("plain"), "it is not sealed")
	closed := openTest(t, s.path)
	require.NoError(t, closed.Close())
	assert.ErrorIs(t, closed.Verify(sealedName), fs.ErrClosed)
	_, err := closed.Scrub(t.Context())
	assert.ErrorIs(t, err, fs.ErrClosed)
}

// staleCache opens a device as if its memory were shared, with a cache that shows wrong bytes
// until the file was invalidated so many times.
func (s *sealedFile) staleCache(until int64) *FS {
	var count atomic.Int64
	return openTest(s.t, s.path, openOption(func(c *openConfig) {
		c.pause = func(time.Duration) {}
		c.prepare = func(d *device) {
			cache := *thisMachine
			first := s.at(0)
			cache.invalidateLines = func(p unsafe.Pointer, lines uintptr) {
				thisMachine.invalidateLines(p, lines)
				b := unsafe.Slice((*byte)(p), lines*lineSize)
				if len(b) >= 64 && bytes.Equal(b[1:64], s.data[1:64]) && count.Add(1) == until {
					_, err := s.file.WriteAt(s.data[:1], first) // the line comes from memory now
					assert.NoError(s.t, err)
				}
			}
			d.shared, d.cache = true, &cache
		}
	}))
}

// A stale line that invalidating takes away does no harm; one that shows until the second time
// is told apart from damage.
func TestVerifyStaleCache(t *testing.T) {
	t.Parallel()
	if !canFlush {
		t.Skip("no lines can be invalidated on this architecture")
	}
	s := newSealedFile(t, 64<<10, CRC32C)
	s.flip(0, 3)
	require.NoError(t, s.staleCache(1).Verify(sealedName), "what was stale is forgotten first")
	for _, look := range []func(f *FS) error{
		func(f *FS) error { return f.Verify(sealedName) },
		func(f *FS) error {
			report, err := f.Scrub(t.Context())
			require.NoError(t, err)
			require.Len(t, report.Bad, 1)
			return report.Bad[0]
		},
	} {
		s.flip(0, 3)
		err := look(s.staleCache(2))
		var sum *SumError
		require.ErrorAs(t, err, &sum)
		assert.True(t, sum.Stale)
		assert.NotEqual(t, sum.Want, sum.Found)
		assert.ErrorIs(t, err, ErrChecksum)
		assert.ErrorContains(t, err, "a cache was stale, the memory is not damaged")
	}
	s.flip(0, 3)
	m, err := s.staleCache(2).Map(sealedName, Verified())
	require.NoError(t, err, "it is not stale any more")
	require.NoError(t, m.Close())
}

// Memory that fails is found page by page, and everything else is read.
func TestScrubFaults(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	s := newSealedFile(t, 3*mib, CRC32C)
	require.NoError(t, s.m.WriteFile("plain", pattern(2*mib+100, 1), 0o644))
	require.NoError(t, s.m.WriteFile("whole", pattern(100, 1), 0o644))
	const gone = 3*mib - 40<<10
	place := attrOf(t, s.m, "plain").Layout
	reader := openTest(t, s.path)
	require.NoError(t, os.Truncate(s.path, place.Extents[0].Offset+1<<20))
	report, err := reader.Scrub(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 3, report.Files)
	assert.Equal(t, 1, report.Sealed)
	require.Len(t, report.Bad, 2)
	assert.Equal(t, BadRange{Name: "plain", Offset: mib, Length: mib + 100, Err: report.Bad[0].Err}, report.Bad[0])
	assert.Equal(t, BadRange{Name: "whole", Length: 100, Err: report.Bad[1].Err}, report.Bad[1])
	for _, b := range report.Bad {
		var fault *FaultError
		require.ErrorAs(t, b, &fault)
		assert.Equal(t, []any{b.Name, b.Offset}, []any{fault.Name, fault.Offset})
		assert.ErrorIs(t, b, ErrDevice)
		assert.ErrorContains(t, b, "copy the file in again")
	}
	require.NoError(t, reader.Verify(sealedName))
	require.NoError(t, os.Truncate(s.path, s.at(gone)))
	err = reader.Verify(sealedName)
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.GreaterOrEqual(t, fault.Offset, int64(2*mib))
	report, err = reader.Scrub(t.Context())
	require.NoError(t, err)
	assert.Equal(t, BadRange{Name: sealedName, Offset: gone, Length: 40 << 10, Err: report.Bad[0].Err}, report.Bad[0])
	assert.Len(t, report.Bad, 3)

	// The metadata too.
	require.NoError(t, os.Truncate(s.path, logOffset+mib))
	report, err = reader.Scrub(t.Context())
	require.NoError(t, err)
	assert.Equal(t, BadRange{Offset: logOffset + mib, Length: minLogSize - mib, Err: report.Bad[0].Err}, report.Bad[0])
}

// What changed in the metadata is listed.
func TestScrubMetadata(t *testing.T) {
	t.Parallel()
	s := newSealedFile(t, 100, CRC32C)
	reader := openTest(t, s.path, openOption(func(c *openConfig) { c.pause = func(time.Duration) {} }))
	report, err := reader.Scrub(t.Context())
	require.NoError(t, err)
	assert.Equal(t, &ScrubReport{Files: 1, Sealed: 1, Bytes: reader.Superblock().LogOffset + reader.Superblock().LogSize + 100}, report)
	_, err = s.file.WriteAt([]byte{0xff}, entryAt(1)+500)
	require.NoError(t, err)
	report, err = reader.Scrub(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Bad, 1)
	assert.Equal(t, []any{"", entryAt(1), int64(entrySize)}, []any{report.Bad[0].Name, report.Bad[0].Offset, report.Bad[0].Length})
	assert.ErrorIs(t, report.Bad[0], ErrCorrupt)
	assert.ErrorContains(t, report.Bad[0], "log entry 1")
	var b [1]byte
	readAt(t, s.file, b[:], systemUUIDAt)
	b[0] ^= 1
	_, err = s.file.WriteAt(b[:], systemUUIDAt)
	require.NoError(t, err)
	report, err = reader.Scrub(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Bad, 2)
	assert.ErrorIs(t, report.Bad[0], ErrChecksum)
	require.NoError(t, Format(s.path, WithSystemUUID(testHost), Force()))
	_, err = reader.Scrub(t.Context())
	assert.ErrorIs(t, err, ErrReformatted)
}

func TestScrubProgress(t *testing.T) {
	t.Parallel()
	s := newSealedFile(t, 5*mib, CRC32C)
	require.NoError(t, s.m.WriteFile("e", []byte("x"), 0o644))
	require.NoError(t, s.m.WriteFile("removed", []byte("x"), 0o644))
	require.NoError(t, s.m.Remove("removed"))
	var all []ScrubProgress
	report, err := s.m.Scrub(t.Context(), nil, OnScrub(func(p ScrubProgress) {
		all = append(all, p) // calls do not overlap
		assert.ErrorIs(t, s.m.Close(), ErrBusy)
	}))
	require.NoError(t, err)
	last := all[len(all)-1]
	assert.Equal(t, ScrubProgress{Name: "e", Bytes: report.Bytes, All: report.Bytes, Files: 2}, last)
	assert.Empty(t, all[0].Name, "metadata first")
	for i := range all[1:] {
		assert.GreaterOrEqual(t, all[i+1].Bytes, all[i].Bytes)
		assert.GreaterOrEqual(t, all[i+1].Files, all[i].Files)
	}

	// It ends with ctx, whatever the rate; a panic of the function is the caller's.
	ctx, cancel := context.WithCancelCause(t.Context())
	mine := errors.New("enough")
	report, err = s.m.Scrub(ctx, ScrubRate(1), OnScrub(func(ScrubProgress) { cancel(mine) }))
	assert.ErrorIs(t, err, mine)
	assert.Less(t, report.Bytes, last.Bytes)
	assert.PanicsWithValue(t, "mine", func() { s.m.Scrub(t.Context(), OnScrub(func(ScrubProgress) { panic("mine") })) })
	_, err = s.m.Scrub(t.Context(), ScrubRate(-1))
	require.NoError(t, err)
	require.NoError(t, s.m.Close())
}

// A file that is sealed is compared with its source by sum: it is not read.
func TestCopyResumesBySum(t *testing.T) {
	t.Parallel()
	for _, kind := range []SumKind{CRC32C, SHA256} {
		s := newSealedFile(t, 2*workPiece+99, kind)
		s.flip(5, 5) // Verify would find that
		for i, opts := range [][]CopyOption{nil, {Atomically()}} {
			passed := 0
			count := OnProgress(func(p Progress) {
				if p.Passed {
					passed++
				}
			})
			require.NoError(t, s.m.CopyFS(t.Context(), ".", fstest.MapFS{sealedName: {Data: s.data}}, append(opts, count)...))
			assert.Equal(t, 1, passed)
			other := bytes.Clone(s.data)
			other[workPiece+3]++
			err := s.m.CopyFS(t.Context(), ".", fstest.MapFS{sealedName: {Data: other}}, opts...)
			assert.ErrorIs(t, err, fs.ErrExist, "%d", i)
			assert.ErrorContains(t, err, "other content")
		}
		_, n, err := s.m.lookup(sealedName)
		require.NoError(t, err)
		want, _ := s.m.sealOf(int64(attrOf(t, s.m, sealedName).Index), n)
		for _, size := range []int64{int64(len(s.data)), 10} {
			data := s.data[:size]
			want := sumsOf(data)[want.Kind]
			read, err := s.m.sourceHasSum(t.Context(), bytes.NewReader(data), size, want)
			assert.NoError(t, err)
			assert.Equal(t, size, read)
			_, err = s.m.sourceHasSum(t.Context(), iotest.HalfReader(bytes.NewReader(data)), size, want)
			assert.NoError(t, err)
			_, err = s.m.sourceHasSum(t.Context(), iotest.HalfReader(bytes.NewReader(data[:size-1])), size, want)
			assert.ErrorContains(t, err, "unexpected EOF")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = s.m.sourceHasSum(ctx, bytes.NewReader(data), size, want)
			assert.ErrorIs(t, err, context.Canceled)
		}
	}
}

// What is sealed and damaged is repaired by copying it again, with Replace: its source has the sum in
// the seal, but the file has not.
func TestCopyReplacesDamagedSealed(t *testing.T) {
	t.Parallel()
	for _, kind := range []SumKind{CRC32C, SHA256} {
		for _, opts := range [][]CopyOption{nil, {Atomically()}} {
			s := newSealedFile(t, 2*workPiece+99, kind)
			opts = append(opts, CreateWith(Replace(), SealWith(kind)))
			again := func() (passed int) {
				count := OnProgress(func(p Progress) {
					if p.Passed {
						passed++
					}
				})
				require.NoError(t, s.m.CopyFS(t.Context(), ".", fstest.MapFS{sealedName: {Data: s.data}}, append(opts, count)...))
				return passed
			}
			assert.Equal(t, 1, again(), "it is sound")
			s.flip(5, 5)
			require.ErrorIs(t, s.m.Verify(sealedName), ErrChecksum)
			assert.Equal(t, 0, again(), "it is damaged")
			assert.NoError(t, s.m.Verify(sealedName))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := s.m.CopyFS(ctx, ".", fstest.MapFS{sealedName: {Data: s.data}}, opts...)
			assert.ErrorIs(t, err, context.Canceled)
		}
	}
}

// Where memory is given out again, a file that was removed meanwhile is no damage.
func TestVerifyWithReuse(t *testing.T) {
	t.Parallel()
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost), Reuse()))
	m := openMaster(t, path)
	for _, name := range []string{"a", "b"} {
		p, err := m.Create(name, 5000, Seal())
		require.NoError(t, err)
		_, err = p.Write(pattern(5000, 1))
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	reader := openTest(t, path)
	require.NoError(t, reader.Verify("a"))
	mapping, err := reader.Map("b", Verified())
	require.NoError(t, err)
	require.NoError(t, mapping.Close())
	require.NoError(t, m.Remove("a"))
	require.ErrorIs(t, reader.Verify("a"), ErrRemoved, "the reader did not know")
	behind := openTest(t, path)
	require.NoError(t, m.Remove("b"))
	report, err := behind.Scrub(t.Context())
	require.NoError(t, err)
	assert.Zero(t, report.Files)
	assert.Empty(t, report.Bad)
	require.NoError(t, m.WriteFile("c", pattern(5000, 2), 0o644))
	require.NoError(t, m.Seal("c"))
	require.NoError(t, m.Verify("c"))
	for _, fsys := range []*FS{m, reader, behind} {
		require.NoError(t, fsys.Close())
	}
	require.NoError(t, Compact(path, WithSystemUUID(testHost)))
	require.NoError(t, openTest(t, path).Verify("c"))
}

// Scrub of what Salvage serves lists the superblock that is lost, and the file system can be used
// afterwards.
func TestScrubSalvaged(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string][]byte{"zeros": make([]byte, 4096), "noise": pattern(4096, 5)} {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			f.good("first", firstUnit)
			f.write(0, lost)
			s := openTest(t, f.path, Salvage())
			assertGood(t, s, "first", firstUnit)
			report, err := s.Scrub(t.Context())
			require.NoError(t, err)
			assert.Equal(t, 1, report.Files)
			require.NotEmpty(t, report.Bad, "the superblock")
			assertGood(t, s, "first", firstUnit)
		})
	}
}

// The second pass over a file, for its SHA-256, ends with ctx too.
func TestScrubEndsInSecondPass(t *testing.T) {
	t.Parallel()
	if !canFlush {
		t.Skip("no lines can be invalidated on this architecture")
	}
	const size = 20 * mib
	s := newSealedFile(t, size, SHA256)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var bytes atomic.Int64 // of the file that were invalidated, which comes before reading
	reader := openTest(t, s.path, prepareOption(func(d *device) {
		cache := *thisMachine
		cache.invalidateLines = func(p unsafe.Pointer, lines uintptr) {
			thisMachine.invalidateLines(p, lines)
			if n := int64(lines * lineSize); n > leastPage && bytes.Add(n) > size { // metadata is read by pages
				cancel()
			}
		}
		d.shared, d.cache = true, &cache
	}))
	bytes.Store(0)
	_, err := reader.Scrub(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.LessOrEqual(t, bytes.Load(), int64(size+2*workPiece))
}

// What changed in any record of any device is listed, and where.
func TestScrubAllRecords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		device int
		at     int64
		want   BadRange
	}{
		"log header":             {0, logOffset + logHeaderCRC, BadRange{Offset: logOffset, Length: logHeaderSize}},
		"copy":                   {0, copyAt + fsUUIDAt, BadRange{Offset: copyAt, Length: copySize}},
		"superblock in a copy":   {0, copyAt + superblockCRC, BadRange{Offset: copyAt, Length: copySize}},
		"secondary's superblock": {1, systemUUIDAt, BadRange{Length: superblockSize}},
		"secondary's CRC":        {1, superblockCRC, BadRange{Length: superblockSize}},
		"that of a secondary":    {1, copyAt + superblockCRC, BadRange{Offset: copyAt, Length: copySize}},
		"secondary's copy":       {1, copyAt + copyCRC, BadRange{Offset: copyAt, Length: copySize}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, paths := severalDevices(t, 2, 16*mib)
			require.NoError(t, m.Close())
			reader := openTest(t, paths[0], WithDevices(paths[1]), openOption(func(c *openConfig) { c.pause = func(time.Duration) {} }))
			report, err := reader.Scrub(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Bad)
			b := bytesAt(t, paths[test.device], test.at, 1)
			writeTo(t, paths[test.device], test.at, []byte{b[0] ^ 1})
			report, err = reader.Scrub(t.Context())
			require.NoError(t, err)
			require.Len(t, report.Bad, 1)
			test.want.Err = report.Bad[0].Err
			assert.Equal(t, test.want, report.Bad[0])
			assert.ErrorContains(t, report.Bad[0], paths[test.device])
		})
	}
}

// That there is no second copy, as on what the reference has formatted, is nothing to list.
func TestScrubWithoutCopy(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.write(copyAt, make([]byte, copySize))
	report, err := openTest(t, f.path).Scrub(t.Context())
	require.NoError(t, err)
	assert.Empty(t, report.Bad)
}

// The rate holds for each time that bytes are read.
func TestScrubPacesSecondPass(t *testing.T) {
	t.Parallel()
	const size = 2*workPiece + 99
	for kind, passes := range map[SumKind]int64{CRC32C: 1, SHA256: 2} {
		s := newSealedFile(t, size, kind)
		scrub := &scrub{fs: s.m, begun: time.Now(), scrubConfig: scrubConfig{rate: 1 << 50}}
		require.NoError(t, scrub.run(t.Context()))
		assert.Equal(t, scrub.report.Bytes+(passes-1)*size, scrub.paced, "%v", kind)
	}
}

// The superblock of a device that was added since the file system was opened is looked at too.
func TestScrubAddedDevice(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"who adds it", "who had it open"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			m, path := oneDevice(t, 16*mib)
			added := fileBacking(t, 16*mib)
			scrubber := m
			if who != "who adds it" {
				scrubber = openTest(t, path, WithDevices(added))
			}
			require.NoError(t, m.AddDevice(added))
			refreshed(t, scrubber)
			require.NoError(t, scrubber.absent())
			report, err := scrubber.Scrub(t.Context())
			require.NoError(t, err)
			require.Empty(t, report.Bad)
			b := bytesAt(t, added, systemUUIDAt, 1)
			writeTo(t, added, systemUUIDAt, []byte{b[0] ^ 1})
			report, err = scrubber.Scrub(t.Context())
			require.NoError(t, err)
			require.Len(t, report.Bad, 1)
			assert.ErrorIs(t, report.Bad[0], ErrChecksum)
		})
	}
}

// A host that is evicted while Scrub reads a file for the second time has not found damage.
func TestScrubEvictedInSecondPass(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	m, path := reusing(t)
	p, err := m.Create("f", 5000, Seal())
	require.NoError(t, err)
	_, err = p.Write(pattern(5000, 1))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	evict := func() {}
	c := openClient(t, path, openOption(func(c *openConfig) { c.pause = func(time.Duration) { evict() } }))
	require.NoError(t, c.View("f", func([]byte) error { return nil }))
	at := layoutByte(&attrOf(t, m, "f").Layout, 17)
	b := bytesAt(t, path, at, 1)
	writeTo(t, path, at, []byte{b[0] ^ 1})
	evict = func() { assert.NoError(t, m.Evict(otherHost)) }
	report, err := c.Scrub(t.Context())
	assert.ErrorIs(t, err, ErrEvicted)
	for _, bad := range report.Bad {
		assert.NotErrorIs(t, bad, ErrEvicted)
	}
}

// Where nothing says which file system it was, devices of it are not listed for that.
func TestScrubSalvagedDevices(t *testing.T) {
	t.Parallel()
	m, paths := severalDevices(t, 2, 32*mib)
	content := addFile(t, m, "on1", 5000, OnDevice(1))
	require.NoError(t, m.Close())
	writeTo(t, paths[0], 0, make([]byte, superblockArea))
	s := openTest(t, paths[0], Salvage(), WithDevices(paths[1]))
	require.Zero(t, s.sb.UUID)
	assertContent(t, s, "on1", content)
	report, err := s.Scrub(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Bad, 1, "the first superblock")
	assert.ErrorIs(t, report.Bad[0], ErrNotFormatted)
}
