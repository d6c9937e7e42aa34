package famfs

// Compaction: what is there afterwards, byte by byte; what is refused; and how one that was
// interrupted is found and finished. Every state that a crash can leave is in
// sim_compact_test.go.

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// usedLog makes a file system with directories, files and removals of all kinds on m, and
// returns the content of its files.
func usedLog(t testing.TB, m *FS) map[string][]byte {
	t.Helper()
	live := make(map[string][]byte)
	put := func(name string, n int, seed uint64, opts ...CreateOption) {
		t.Helper()
		p, err := m.Create(name, int64(n), opts...)
		require.NoError(t, err, name)
		defer p.Close()
		live[name] = pattern(n, seed)
		copy(p.Bytes(), live[name])
		require.NoError(t, p.Commit(), name)
	}
	put("first", 5000, 1)
	require.NoError(t, m.MkdirAll("a/b", 0o750))
	require.NoError(t, m.Mkdir("gone", 0o755))
	put("gone/f", 100, 2)
	put("a/b/f", 3*defaultUnit+1, 3, Mode(0o4711), Owner(7, 8))
	require.NoError(t, m.Remove("gone/f"))
	delete(live, "gone/f")
	require.NoError(t, m.Remove("gone"))
	put("a/b/f", 70, 4, Replace())
	require.NoError(t, m.Mkdir("later", 0o700))
	put("later/i", 4*defaultUnit, 5, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: defaultUnit}))
	require.NoError(t, m.Mkdir("gone", 0o711)) // a name that was used before
	return live
}

// requireFiles compares a file system's names and contents.
func requireFiles(t testing.TB, live map[string][]byte, fsys *FS) {
	t.Helper()
	require.Empty(t, fsys.Problems())
	found := make(map[string][]byte)
	for _, name := range names(t, fsys) {
		if strings.HasSuffix(name, "/") {
			continue
		}
		data, err := fsys.ReadFile(name)
		require.NoError(t, err, name)
		found[name] = data
	}
	require.ElementsMatch(t, mapKeys(live), mapKeys(found))
	for name := range live {
		requireBytes(t, live[name], found[name], name)
	}
}

func mapKeys(m map[string][]byte) (keys []string) {
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	return keys
}

func TestCompact(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	live := usedLog(t, m)
	all, before := names(t, m), m.Usage()
	require.Positive(t, before.Removed)
	behind := openTest(t, path)
	require.NoError(t, m.Close())

	// Options that are about reading, or about growing, have no effect.
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost), Tolerant(), Salvage(), WithClientWrites(), Grow(), nil))
	_, err := behind.Refresh()
	assert.ErrorIs(t, err, ErrReformatted, "who has it open")

	client := openTest(t, path)
	requireFiles(t, live, client)
	assert.Equal(t, all, names(t, client))
	after := client.Usage()
	assert.Zero(t, after.Removed)
	assert.Equal(t, before.Allocated-before.Removed, after.Allocated)
	assert.Equal(t, len(all), after.LogUsed)
	assert.Equal(t, []int{before.Files, before.Dirs}, []int{after.Files, after.Dirs})
	old, sb := behind.Superblock(), client.Superblock()
	assert.NotEqual(t, old.UUID, sb.UUID)
	old.UUID = sb.UUID
	assert.Equal(t, old, sb, "all else stays")
	info, err := client.Stat("a/b/f")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o644), info.Mode())
	info, err = client.Stat("gone")
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDir|0o711, info.Mode(), "the later of two")
	report, err := Check(path)
	require.NoError(t, err)
	assert.True(t, report.Clean())

	// What was removed is given out again, nothing else is.
	m = openMaster(t, path)
	for i := 0; m.Usage().Free > 0; i++ {
		name := fmt.Sprintf("new%d", i)
		live[name] = pattern(100, uint64(i))
		require.NoError(t, m.WriteFile(name, live[name], 0o644))
	}
	requireFiles(t, live, m)
	requireFiles(t, live, openTest(t, path))
}

// A log in which nothing was removed stays as it is.
func TestCompactNothing(t *testing.T) {
	needsFile(t, "the bytes of the device are read as a file's")
	t.Parallel()
	for _, name := range []string{"empty", "used"} {
		path := formatted(t, testSize)
		if name == "used" {
			m := openMaster(t, path)
			require.NoError(t, m.Mkdir("d", 0o755))
			require.NoError(t, m.WriteFile("d/f", []byte("x"), 0o644))
			require.NoError(t, m.Close())
		}
		before := readRaw(t, path, 0, testSize)
		require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
		requireBytes(t, before, readRaw(t, path, 0, testSize), name)
	}
}

// The log, the superblock and all between them are as Format and the like entries make them,
// but for the record.
func TestCompactedImage(t *testing.T) {
	needsFile(t, "the bytes of the device are read as a file's")
	t.Parallel()
	f := newForgery(t)
	entries := []*entry{
		forgedDir(reservedDir), forgedDevice(1, 9),
		forgedFile(allocConfig, 100, inUnits(30, 1)),
		forgedDir("a"), forgedDir("a//b"), // 3, 4
		forgedFile("a/b/../c", goodSize, inUnits(10, 1)), // 5
		forgedDir("x"), forgedFile("x/f", goodSize, inUnits(11, 1)), // 6, 7
		forgedRemoval(7, "x/f"), forgedRemoval(6, "x"),
		forgedDir("x"), forgedDir("a"), forgedDir("."), // 10, and two that make nothing
		forgedFile("y", goodSize, inUnits(12, 2)),
	}
	for _, e := range entries {
		f.append(e, nil)
	}
	m := openMaster(t, f.path)
	require.Empty(t, m.Problems())
	before := m.Usage()
	require.NoError(t, m.Close())
	require.NoError(t, Compact(f.path, WithSystemUUID(testHost)))

	sb := openTest(t, f.path).Superblock()
	image := &simImage{mem: make([]byte, sb.logEnd())}
	require.NoError(t, writeFileSystem(image, sb))
	kept := []*entry{
		forgedDevice(1, 9), forgedDir(reservedDir), forgedDir("a"), forgedDir("a/b"), forgedDir("x"),
		forgedFile(allocConfig, 100, inUnits(30, 1)), forgedFile("a/c", goodSize, inUnits(10, 1)), forgedFile("y", goodSize, inUnits(12, 2)),
	}
	for i, e := range kept {
		e.seq = uint64(i)
		b := e.encode()
		image.store(entryAt(uint64(i)), b[:])
	}
	image.store64(logOffset+nextSeqAt, uint64(len(kept)))
	image.store64(logOffset+nextIndexAt, uint64(len(kept)))
	got := readRaw(t, f.path, 0, sb.logEnd())
	for i := range recordPlaces {
		clear(got[recordPlace(i):][:recordSize])
	}
	requireBytes(t, image.mem, got, "superblock and log")

	m = openMaster(t, f.path)
	assert.Equal(t, []string{"a/", "a/b/", "a/c", "x/", "y"}, names(t, m))
	assert.Equal(t, before.Allocated-before.Removed, m.Usage().Allocated, "the reference's own file keeps its space")
}

func TestCompactRefused(t *testing.T) {
	needsFile(t, "images are forged")
	t.Parallel()
	removed := func(f *forgery) {
		f.append(forgedRemoval(f.good("gone", 20), "gone"), nil)
		f.good("stays", 21)
	}
	cases := []struct {
		name  string
		forge func(f *forgery)
		opts  []Option
		want  error
		text  string
	}{
		{"problem", func(f *forgery) { f.append(forgedDir("/"), nil) }, nil, ErrCorrupt, "has 1 problems"},
		{"corrupt entry", func(f *forgery) { f.entry(f.good("bad", 22), nil, flip(50)) }, nil, ErrCorrupt, "CRC"},
		{"file on another device", func(f *forgery) {
			f.append(forgedDevice(1, 9), nil)
			f.append(forgedFile("far", goodSize, rawExtent{1, defaultUnit, defaultUnit}), nil)
		}, []Option{DropProblems()}, ErrDevice, "would be lost"},
		{"client", func(*forgery) {}, []Option{WithSystemUUID(UUID{7})}, ErrNotMaster, ""},
		{"newer format", func(f *forgery) { f.superblock(put32(omfMinorAt, 3), nil) }, nil, ErrVersion, ""},
		{"nothing there", func(f *forgery) { f.write(0, make([]byte, 8)); f.write(logOffset, make([]byte, 4096)) }, nil, ErrNotFormatted, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			removed(f)
			c.forge(f)
			before := f.read(0, testSize)
			err := Compact(f.path, append([]Option{WithSystemUUID(testHost)}, c.opts...)...)
			require.ErrorIs(t, err, c.want)
			assert.ErrorContains(t, err, c.text)
			requireBytes(t, before, f.read(0, testSize), "nothing is changed")
		})
	}
}

// Problems and corrupt entries are left out if that is wanted, and what they claim is free.
func TestCompactDropProblems(t *testing.T) {
	needsFile(t, "images are forged")
	t.Parallel()
	f := newForgery(t)
	f.good("stays", 21)
	f.append(forgedFile("overlaps", goodSize, inUnits(21, 4)), nil)
	f.entry(f.good("bad", 26), nil, flip(50))
	f.append(forgedFile("below/missing", goodSize, inUnits(27, 1)), nil)
	f.append(forgedFile(allocConfig, 0, inUnits(28, 1)), nil) // not even that
	f.append(forgedDevice(3, 3), nil)
	f.good("stays too", 29)
	require.NoError(t, Compact(f.path, WithSystemUUID(testHost), DropProblems()))
	m := openMaster(t, f.path)
	assert.Empty(t, m.Problems())
	assert.Equal(t, []string{"stays", "stays too"}, names(t, m))
	assertGood(t, m, "stays", 21)
	assertGood(t, m, "stays too", 29)
	assert.EqualValues(t, 2*defaultUnit, m.Usage().Allocated-m.sb.logEnd())

	// Open and Check do not look away because of it.
	f.append(forgedDir("/"), nil)
	f.entry(f.good("bad", 26), nil, flip(50))
	_, err := Open(f.path, DropProblems())
	assert.ErrorIs(t, err, ErrCorrupt)
	report, err := Check(f.path, DropProblems())
	require.NoError(t, err)
	assert.Len(t, report.Problems, 2)
}

// Where the log has no room to stage the new one, free space has; without either nothing is
// changed.
func TestCompactFullLog(t *testing.T) {
	needsFile(t, "devices of several sizes are made")
	t.Parallel()
	for _, units := range []int64{9, 1} { // behind superblock and log
		path := fileBacking(t, superblockArea+minLogSize+units*defaultUnit)
		require.NoError(t, Format(path, WithSystemUUID(testHost)))
		m := openMaster(t, path)
		require.NoError(t, m.WriteFile("f", pattern(defaultUnit, 1), 0o644))
		require.NoError(t, m.Mkdir("gone", 0o755))
		require.NoError(t, m.Remove("gone"))
		dirs := make([]crashEntry, m.Usage().LogCapacity-m.Usage().LogUsed)
		for i := range dirs {
			dirs[i] = crashEntry{path: fmt.Sprintf("dir%d", i), dir: true, mode: 0o755}
		}
		_, err := m.replica.appendAll(dirs)
		require.NoError(t, err)
		full := m.Usage()
		require.Equal(t, full.LogCapacity, full.LogUsed)
		require.NoError(t, m.Close())
		before := readRaw(t, path, 0, superblockArea+minLogSize)
		err = Compact(path, withDevices(path), WithSystemUUID(testHost))
		if units == 1 {
			require.ErrorIs(t, err, ErrNoSpace)
			requireBytes(t, before, readRaw(t, path, 0, superblockArea+minLogSize), "nothing is changed")
			continue
		}
		require.NoError(t, err)
		m = openMaster(t, path)
		assert.Equal(t, full.LogUsed-2, m.Usage().LogUsed)
		assert.Equal(t, full.Dirs, m.Usage().Dirs)
		data, err := m.ReadFile("f")
		require.NoError(t, err)
		requireBytes(t, pattern(defaultUnit, 1), data, "f")
	}
}

func TestCompactLocked(t *testing.T) {
	t.Parallel()
	needsFile(t, "the device is opened twice")
	path := formatted(t, testSize)
	m := openMaster(t, path)
	usedLog(t, m)
	p, err := m.Create("pending", 1)
	require.NoError(t, err)
	assert.ErrorIs(t, Compact(path, withDevices(path), WithSystemUUID(testHost), WithLockTimeout(time.Millisecond)), ErrLocked)
	require.NoError(t, p.Commit())
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost), nil))
}

// interrupted returns a device whose compaction ended at a step: 3 has the record, 4 the
// superblock taken away, 5 half of the new log, 6 the new superblock but no record of that.
func interrupted(t testing.TB, step int) (f *forgery, live map[string][]byte) {
	t.Helper()
	f = newForgery(t)
	m := openMaster(t, f.path)
	live = usedLog(t, m)
	m.mu.Lock()
	defer m.mu.Unlock()
	image := &simImage{mem: f.read(0, testSize)}
	records := readRecords(image, testSize)
	log, err := m.replica.planLog(math.MaxInt64)
	require.NoError(t, err)
	c, err := m.replica.stageLog(image, &records, log, entryAt(m.replica.next), NewUUID())
	require.NoError(t, err)
	saved := len(image.saved)
	if step > 3 {
		require.NoError(t, c.finish(image, &records, testSize, log.fresh))
		// A store is undone by those behind the step.
		keep := saved + 1
		for at, w := range image.saved[saved:] {
			switch {
			case step == 5 && w.off == entryAt(2):
				keep = saved + at
			case step == 6 && w.off == magicAt && at > 0:
				keep = saved + at + 1
			}
		}
		later := &simImage{mem: image.mem, saved: image.saved[keep:]}
		later.undo()
	}
	f.write(0, image.mem)
	return f, live
}

// A compaction that was interrupted: readers are told, the master finishes it, and nobody
// else takes the device for an empty one.
func TestCompactInterrupted(t *testing.T) {
	notUnderRace(t)
	needsFile(t, "images are forged")
	t.Parallel()
	for step := 3; step <= 6; step++ {
		t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			t.Parallel()
			f, live := interrupted(t, step)
			before := f.read(0, testSize)
			for _, opts := range [][]Option{nil, {Tolerant()}, {WithClientWrites()}} {
				fsys, err := Open(f.path, opts...)
				if step == 6 {
					require.NoError(t, err)
					requireFiles(t, live, fsys)
					require.NoError(t, fsys.Close())
					continue
				}
				require.ErrorIs(t, err, ErrBusy)
				assert.ErrorContains(t, err, "ReadWrite on the master")
			}
			_, err := Open(f.path, ReadWrite(), WithSystemUUID(UUID{7}))
			require.ErrorIs(t, err, ErrNotMaster)
			report, err := Check(f.path)
			require.NoError(t, err)
			assert.Equal(t, step < 6, errors.Is(report.Err(), ErrBusy))
			if step < 6 {
				assert.Len(t, report.Problems, 1, "entries of two file systems are no problems")
			}
			require.ErrorIs(t, Format(f.path), fs.ErrExist)
			requireBytes(t, before, f.read(0, testSize), "none of them writes")

			m := openMaster(t, f.path)
			requireFiles(t, live, m)
			require.NoError(t, m.Close())
			requireFiles(t, live, openTest(t, f.path))
			assert.Zero(t, openTest(t, f.path).Usage().Removed)
			records := readRecords(&simImage{mem: f.read(0, superblockArea)}, superblockArea)
			last := records.at[records.latest()]
			assert.EqualValues(t, recordDone, last.state)
			assert.EqualValues(t, openTest(t, f.path).Usage().LogUsed, last.count, "nothing had another owner")
			report, err = Check(f.path)
			require.NoError(t, err)
			assert.True(t, report.Clean())
		})
	}
}

// Another process that is compacting is waited for.
func TestCompactInterruptedLocked(t *testing.T) {
	needsFile(t, "images are forged")
	t.Parallel()
	f, _ := interrupted(t, 4)
	dev, err := openDevice(f.path, true, newOpenConfig(nil).log)
	require.NoError(t, err)
	defer dev.close()
	ok, err := dev.tryLock()
	require.NoError(t, err)
	require.True(t, ok)
	_, err = Open(f.path, ReadWrite(), WithSystemUUID(testHost), WithLockTimeout(time.Millisecond))
	assert.ErrorIs(t, err, ErrLocked)
}

// The device may be given up where a compaction was interrupted: Format with Force, and Wipe.
func TestCompactInterruptedGivenUp(t *testing.T) {
	notUnderRace(t)
	needsFile(t, "images are forged")
	t.Parallel()
	for step := 3; step <= 6; step++ {
		for _, wipes := range []bool{false, true} {
			f, _ := interrupted(t, step)
			if wipes {
				require.NoError(t, Wipe(f.path))
				_, err := Open(f.path)
				require.ErrorIs(t, err, ErrNotFormatted)
				require.NoError(t, Format(f.path, WithSystemUUID(testHost)))
			} else {
				require.NoError(t, Format(f.path, WithSystemUUID(testHost), Force()))
			}
			m := openMaster(t, f.path)
			assert.Empty(t, names(t, m))
			assert.Zero(t, m.Usage().LogUsed)
		}
	}
}

// Something was appended behind a new log before the record was brought up to date: where the
// entries were staged is not touched then.
func TestCompactInterruptedThenAppended(t *testing.T) {
	needsFile(t, "images are forged")
	t.Parallel()
	f, live := interrupted(t, 6)
	for i := range 12 { // as the reference does, which knows of no record
		f.good(fmt.Sprintf("new%d", i), int64(20+i))
		live[fmt.Sprintf("new%d", i)] = pattern(goodSize, uint64(20+i))
	}
	requireFiles(t, live, openMaster(t, f.path))
}

// Records that nobody writes: they are none, or the compaction is not finished, and nothing
// is written then.
func TestCompactHostileRecord(t *testing.T) {
	notUnderRace(t)
	needsFile(t, "images are forged")
	t.Parallel()
	cases := []struct {
		name string
		edit func(b []byte)
		none bool // it is no record at all
	}{
		{"magic", flip(recordMagicAt), true},
		{"state 0", put64(recordStateAt, 0), true},
		{"state 4", put64(recordStateAt, 4), true},
		{"closing", put64(recordStateAt, recordClosing), true},
		{"number", put64(recordNumberAt, maxRecordNumber+1), true},
		{"staged at a negative offset", put64(recordStagedAt, 1<<63), true},
		{"another file system", flip(recordUUIDAt), true},
		{"no new superblock", func(b []byte) { clear(b[recordSuperblockAt:][:superblockSize]) }, true},
		{"staged over the new log", put64(recordStagedAt, uint64(entryAt(0))), false},
		{"staged over the superblock", put64(recordStagedAt, 0), false},
		{"staged unaligned", put64(recordStagedAt, uint64(entryAt(40)+4)), false},
		{"staged across the end of the log", put64(recordStagedAt, superblockArea+minLogSize-8), false},
		{"staged across the end of the device", put64(recordStagedAt, testSize-8), false},
		{"staged far behind the device", put64(recordStagedAt, math.MaxInt64-7), false},
		{"more than the log holds", put64(recordCountAt, 1<<40), false},
		{"more than numbers hold", put64(recordCountAt, math.MaxUint64), false},
		{"nothing staged there", put64(recordStagedAt, uint64(entryAt(500))), false},
	}
	for _, c := range cases {
		for _, step := range []int{3, 4} {
			t.Run(fmt.Sprintf("%s, step %d", c.name, step), func(t *testing.T) {
				t.Parallel()
				f, live := interrupted(t, step)
				f.edit(recordAt, recordSize, recordCRC, c.edit, nil)
				before := f.read(0, testSize)
				fsys, err := Open(f.path, ReadWrite(), WithSystemUUID(testHost))
				if step == 3 { // the old file system is whole
					require.NoError(t, err)
					requireFiles(t, live, fsys)
					assert.Positive(t, fsys.Usage().Removed)
					require.NoError(t, fsys.Close())
					requireFiles(t, live, openTest(t, f.path))
					return
				}
				require.ErrorIs(t, err, ErrCorrupt)
				requireBytes(t, before, f.read(0, testSize), "nothing is written")
				_, err = Open(f.path)
				if c.none {
					assert.ErrorIs(t, err, ErrCorrupt)
				} else {
					assert.ErrorIs(t, err, ErrBusy)
				}
				salvaged := openTest(t, f.path, Salvage())
				assert.NotEmpty(t, salvaged.Problems())
				data, err := salvaged.ReadFile("a/b/f")
				require.NoError(t, err)
				requireBytes(t, live["a/b/f"], data, "salvaged")
				require.NoError(t, Format(f.path, Force(), WithSystemUUID(testHost)))
				assert.Empty(t, names(t, openMaster(t, f.path)))
			})
		}
	}
}

// The codec, by the offsets of the format's description.
func TestCompactionRecordBytes(t *testing.T) {
	t.Parallel()
	c := compactionRecord{number: 5, state: recordUnderWay, uuid: UUID{1, 2}, staged: 4096, count: 17}
	for i := range c.superblock {
		c.superblock[i] = byte(i)
	}
	b := rawBytes(make([]byte, 264))
	b.u64(0, 0x66616d66736c6f67)
	b.u64(8, 5)
	b.u64(16, 2)
	b[24], b[25] = 1, 2
	b.u64(40, 4096)
	b.u64(48, 17)
	copy(b[56:], c.superblock[:])
	b.crc(256)
	got := c.encode()
	requireBytes(t, b, got[:], "record")
	back, ok := decodeRecord(&got)
	assert.True(t, ok)
	assert.Equal(t, c, back)
	assert.EqualValues(t, []int64{1 << 20, 1<<20 + 4096}, []int64{recordPlace(0), recordPlace(1)})
}

// Records take turns at the two places; a forged number does not keep them from it.
func TestCompactionRecordTurns(t *testing.T) {
	t.Parallel()
	m := &simImage{mem: make([]byte, superblockArea)}
	for i := range uint64(5) {
		rs := readRecords(m, superblockArea)
		require.NoError(t, rs.write(m, compactionRecord{state: recordDone, count: i}))
		rs = readRecords(m, superblockArea)
		last := rs.at[rs.latest()]
		assert.Equal(t, []uint64{i + 1, i}, []uint64{last.number, last.count})
		assert.EqualValues(t, i%2, rs.latest())
		assert.Equal(t, i > 0, rs.sound[1])
	}
	rs := readRecords(m, superblockArea)
	rs.at[0].number = maxRecordNumber
	b := rs.at[0].encode()
	m.store(recordPlace(0), b[:])
	rs = readRecords(m, superblockArea)
	require.Zero(t, rs.latest())
	require.NoError(t, rs.write(m, compactionRecord{state: recordDone, count: 9}))
	rs = readRecords(m, superblockArea)
	assert.EqualValues(t, 9, rs.at[rs.latest()].count)
}

// Which files may lie in memory that had another owner, by what the records say.
func TestUsedFrom(t *testing.T) {
	t.Parallel()
	ours, other := UUID{1}, UUID{2}
	done := func(number uint64, uuid UUID, count uint64) compactionRecord {
		return compactionRecord{number: number, state: recordDone, uuid: uuid, count: count}
	}
	for _, c := range []struct {
		name string
		at   []compactionRecord
		want int64
	}{
		{"no record", nil, math.MaxInt64},
		{"of this file system", []compactionRecord{done(1, ours, 5)}, 5},
		{"the later of two", []compactionRecord{done(3, ours, 5), done(2, ours, 7)}, 5},
		{"of another", []compactionRecord{done(1, other, 5)}, 0},
		{"of this, before one that did not come about", []compactionRecord{done(1, ours, 5), done(2, other, 0)}, 5},
		{"not done", []compactionRecord{{number: 1, state: recordUnderWay, uuid: ours, count: 5}}, 0},
		{"more than there can be", []compactionRecord{done(1, ours, math.MaxUint64)}, math.MaxInt64},
	} {
		var rs compactionRecords
		for i := range c.at {
			rs.at[i], rs.sound[i] = c.at[i], true
		}
		assert.Equal(t, c.want, rs.usedFrom(ours), c.name)
	}
}

// Format and Wipe note that there was a file system, and that is all they leave of it.
func TestFormatRemembersOwner(t *testing.T) {
	needsFile(t, "the bytes of the device are read as a file's")
	t.Parallel()
	from := func(path string) int64 { return openTest(t, path).usedFrom }
	path := formatted(t, testSize)
	assert.Equal(t, int64(math.MaxInt64), from(path), "new memory")
	require.NoError(t, Format(path, Force(), WithSystemUUID(testHost)))
	assert.Zero(t, from(path))
	image := readRaw(t, path, 0, superblockArea)
	clear(image[:superblockSize])
	clear(image[recordAt:][:recordSize])
	clear(image[copyAt:][:copySize])
	requireBytes(t, make([]byte, superblockArea), image, "nothing else is there")
	require.NoError(t, Wipe(path))
	require.NoError(t, Format(path, WithSystemUUID(testHost)), "no Force is needed after Wipe")
	assert.Zero(t, from(path))

	wiped := formatted(t, testSize)
	require.NoError(t, Wipe(wiped))
	require.NoError(t, Format(wiped, WithSystemUUID(testHost)))
	assert.Zero(t, from(wiped))

	// As the reference leaves it, which knows of no records.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	sb := openTest(t, path).Superblock()
	sb.UUID = NewUUID()
	b := sb.encode()
	_, err = f.WriteAt(b[:], 0)
	require.NoError(t, err)
	assert.Zero(t, from(path), "the record of another file system says that there was one")

	// A compaction of what is all new says so; later files are not.
	path = formatted(t, testSize)
	m := openMaster(t, path)
	usedLog(t, m)
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
	kept := int64(openTest(t, path).Usage().LogUsed)
	assert.Equal(t, kept, from(path))
	m = openMaster(t, path)
	require.NoError(t, m.WriteFile("later1", []byte("x"), 0o644))
	require.NoError(t, m.Mkdir("later2", 0o755))
	require.NoError(t, m.Remove("first"))
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
	fsys := openTest(t, path)
	assert.Equal(t, kept, fsys.usedFrom, "one gone, and one directory more")
	info, err := fsys.Stat("later1")
	require.NoError(t, err)
	assert.EqualValues(t, kept, info.Sys().(*Attr).Index, "what may be in used memory comes last")
}
