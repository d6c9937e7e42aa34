package famfs

// Compaction beside others, and records that are forged or torn: what is there stays whole,
// and nobody is told what is not so.

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withRemoved returns a device with a removed file, and nothing else.
func withRemoved(t *testing.T) string {
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.WriteFile("a", pattern(100, 1), 0o644))
	require.NoError(t, m.Remove("a"))
	require.NoError(t, m.Close())
	return path
}

// onDevice has superblock and log used without any order.
func onDevice(t *testing.T, path string, use func(f *FS, m sharedMemory)) {
	c := newOpenConfig([]Option{WithSystemUUID(testHost)})
	c.readWrite = true
	f, err := openMedium(path, c)
	require.NoError(t, err)
	defer f.release()
	require.NoError(t, f.withPrefix(f.size(), func(m sharedMemory) error { use(f, m); return nil }))
}

// Power is lost while the last record of a second compaction is being written (torn).
func TestCompactTornDone(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	mustPut := func(m *FS, name string) {
		p, err := m.Create(name, 100)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		require.NoError(t, p.Close())
	}
	mustPut(m, "a")
	require.NoError(t, m.Remove("a"))
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
	m = openMaster(t, path)
	mustPut(m, "reuses-a")
	mustPut(m, "x")
	require.NoError(t, m.Remove("x"))
	require.EqualValues(t, 0, m.usedFrom)
	require.NoError(t, m.Close())
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
	onDevice(t, path, func(f *FS, mm sharedMemory) {
		rs := readRecords(mm, f.size())
		require.EqualValues(t, recordDone, rs.at[rs.latest()].state)
		mm.store64(recordPlace(rs.latest())+recordCountAt, 12345) // one of its lines is not there yet
	})
	m = openMaster(t, path)
	n, _, err := m.lookup("reuses-a")
	require.NoError(t, err)
	assert.LessOrEqual(t, m.usedFrom, n, "file in memory that had another owner is taken for fresh")
}

func forgeCompaction(t *testing.T, path string, change func(f *FS, c *compactionRecord, sb *Superblock)) {
	onDevice(t, path, func(f *FS, mm sharedMemory) {
		sb, err := readSuperblock(mm, f.size())
		require.NoError(t, err)
		rs := readRecords(mm, f.size())
		c := compactionRecord{state: recordUnderWay, uuid: sb.UUID}
		sb.UUID = NewUUID()
		c.staged = sb.logEnd()
		change(f, &c, &sb)
		c.superblock = sb.encode()
		require.NoError(t, rs.write(mm, c))
	})
}

// A forged record whose new superblock has a longer log is passed over: file data stays.
func TestCompactForgedLogSize(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := formatted(t, 64<<20)
	m := openMaster(t, path)
	p, err := m.Create("victim", 4096)
	require.NoError(t, err)
	copy(p.Bytes(), bytes.Repeat([]byte{7}, 4096))
	require.NoError(t, p.Commit())
	p.Close()
	_, n, err := m.lookup("victim")
	require.NoError(t, err)
	at := n.place().Extents[0].Offset
	require.NoError(t, m.Close())
	forgeCompaction(t, path, func(f *FS, c *compactionRecord, sb *Superblock) {
		sb.LogSize *= 4
		c.staged = sb.logEnd()
	})
	m, err = Open(path, ReadWrite(), WithSystemUUID(testHost))
	require.NoError(t, err)
	require.NoError(t, m.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, byte(7), data[at], "file data overwritten; zero from %d", at)
}

// A forged record whose new superblock names another master and a newer format is passed over.
func TestCompactForgedMaster(t *testing.T) {
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := formatted(t, testSize)
	forgeCompaction(t, path, func(f *FS, c *compactionRecord, sb *Superblock) {
		sb.OMFMinor = 9
		sb.SystemUUID = NewUUID()
	})
	m, err := Open(path, ReadWrite(), WithSystemUUID(testHost))
	require.NoError(t, err)
	assert.EqualValues(t, omfMinor, m.Superblock().OMFMinor)
	assert.Equal(t, Master, m.Role())
	m.Close()
}

// Another writer grows between Compact's open and its lock.
func TestCompactBesideGrow(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := formatted(t, 32<<20)
	m := openMaster(t, path)
	for _, name := range []string{"a", "b"} {
		p, err := m.Create(name, 100)
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		p.Close()
	}
	require.NoError(t, m.Remove("a"))
	require.NoError(t, m.Close())
	require.NoError(t, os.Truncate(path, 64<<20))
	c := newOpenConfig([]Option{WithSystemUUID(testHost)})
	c.readWrite = true
	f, err := open(path, c) // as compact does
	require.NoError(t, err)
	g, err := Open(path, ReadWrite(), Grow(), WithSystemUUID(testHost))
	require.NoError(t, err)
	require.EqualValues(t, 64<<20, g.Usage().Size)
	require.NoError(t, g.Close())
	require.NoError(t, Guard(f.compact))
	require.NoError(t, f.release())
	g = openTest(t, path)
	assert.EqualValues(t, 64<<20, g.Usage().Size, "grown before, and not any more")
}

// The old log stands, nothing is lost, but the staged entries' memory faults: never opens again.
func TestCompactStagedFaults(t *testing.T) {
	needsFaults(t)
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := formatted(t, 64<<20)
	forgeCompaction(t, path, func(f *FS, c *compactionRecord, sb *Superblock) {
		c.staged, c.count = 48<<20, 3
	})
	c := newOpenConfig([]Option{WithSystemUUID(testHost)})
	c.readWrite = true
	f, err := openMedium(path, c)
	require.NoError(t, err)
	defer f.release()
	require.NoError(t, os.Truncate(path, 40<<20)) // stands in for poison there
	for range 2 {
		err = Guard(func() error { return f.findFileSystem(&mappedMemory{dev: f.dev, mem: f.window.mem}) })
	}
	var fault *FaultError
	assert.False(t, errors.As(err, &fault), "stays unusable though the old log is whole: %v", err)
}

// Bytes of the superblock that this package does not know, which the reference left.
func TestCompactUnknownBytes(t *testing.T) {
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	path := withRemoved(t)
	onDevice(t, path, func(f *FS, mm sharedMemory) { mm.store64(120, 0x55); mm.store64(flagsAt, 1|1<<8) })
	require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
	onDevice(t, path, func(f *FS, mm sharedMemory) {
		assert.EqualValues(t, 0x55, mm.load64(120))
		assert.EqualValues(t, 1|1<<8, mm.load64(flagsAt))
	})
}

// lateSuperblock shows the superblock without magic until the records are read.
type lateSuperblock struct {
	sharedMemory
	past bool
}

func (m *lateSuperblock) load(p []byte, off int64) {
	m.sharedMemory.load(p, off)
	if off >= recordAt && off < logOffset {
		m.past = true
	} else if off == 0 && !m.past {
		clear(p[:8])
	}
}

// An opener that reads the superblock while it is away, and the records when it is done.
func TestCompactOpenedMeanwhile(t *testing.T) {
	needsFile(t, "the device is opened several times, and forged")
	t.Parallel()
	for _, done := range []bool{true, false} {
		for _, rw := range []bool{false, true} {
			path := withRemoved(t)
			require.NoError(t, Compact(path, withDevices(path), WithSystemUUID(testHost)))
			c := newOpenConfig([]Option{WithSystemUUID(testHost)})
			c.readWrite = rw
			f, err := openMedium(path, c)
			require.NoError(t, err)
			if !done {
				onDevice(t, path, func(f *FS, mm sharedMemory) {
					rs := readRecords(mm, f.size())
					require.NoError(t, rs.void(mm)) // the new superblock stands, done does not
				})
			}
			err = Guard(func() error {
				return f.findFileSystem(&lateSuperblock{sharedMemory: &mappedMemory{dev: f.dev, mem: f.window.mem}})
			})
			assert.NoError(t, err, "done %v rw %v", done, rw)
			require.NoError(t, f.release())
		}
	}
}

// An added device is formatted for another file system while Compact waits for the lock.
func TestCompactDeviceTaken(t *testing.T) {
	t.Parallel()
	f, paths := severalDevices(t, 2, 32*mib)
	addFile(t, f, "gone", mib, OnDevice(0))
	addFile(t, f, "keep", mib, OnDevice(1))
	require.NoError(t, f.Remove("gone"))
	require.NoError(t, f.lock.acquire(t.Context(), f.config.lockTimeout)) // as Compact does, after it has opened everything
	require.NoError(t, Format(paths[1], WithSystemUUID(testHost), Force()))
	before, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	err = Guard(f.compact)
	require.NoError(t, f.lock.release())
	assert.ErrorIs(t, err, ErrDevice)
	after, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after), "it is another file system's device")
}

// The memory of an added device fails before anything was changed.
func TestCompactDeviceFails(t *testing.T) {
	t.Parallel()
	needsCuts(t)
	f, paths := severalDevices(t, 2, 32*mib)
	content := addFile(t, f, "keep", mib, OnDevice(0))
	addFile(t, f, "gone", mib, OnDevice(0))
	require.NoError(t, f.Remove("gone"))
	require.NoError(t, f.lock.acquire(t.Context(), f.config.lockTimeout))
	require.NoError(t, os.Truncate(paths[1], 0))
	err := Guard(f.compact)
	require.NoError(t, f.lock.release())
	require.ErrorIs(t, err, ErrDevice)
	reader, err := Open(paths[0], WithSystemUUID(testHost))
	require.NoError(t, err, "nothing is changed")
	defer reader.Close()
	assertContent(t, reader, "keep", content)
}
