package famfs

// Appending: what fails half way, what the next append finds, and batches.

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// failingMemory is superblock and log, one access to which fails: the one after the given number.
type failingMemory struct {
	sharedMemory
	left   int
	fail   func() error // panics, or returns what a flush returns, which others ignore
	failed bool
}

// errDisk is what a flush returns if the disk fails.
var errDisk = errors.New("input/output error")

func (m *failingMemory) access() error {
	if m.left--; m.left != -1 {
		return nil
	}
	return m.fail()
}

func (m *failingMemory) load(p []byte, off int64) {
	m.access()
	m.sharedMemory.load(p, off)
}

func (m *failingMemory) load64(off int64) uint64 {
	m.access()
	return m.sharedMemory.load64(off)
}

func (m *failingMemory) store(off int64, p []byte) {
	m.access()
	half := len(p) / 16 * 8 // a fault may come in the midst of it
	m.sharedMemory.store(off, p[:half])
	m.access()
	m.sharedMemory.store(off+int64(half), p[half:])
}

func (m *failingMemory) store64(off int64, v uint64) {
	m.access()
	m.sharedMemory.store64(off, v)
}

func (m *failingMemory) storePair(off int64, a, b uint64) {
	m.access()
	m.sharedMemory.storePair(off, a, b)
}

func (m *failingMemory) flush(off, n int64) error {
	if err := m.access(); err != nil {
		m.failed = true
		return err
	}
	return m.sharedMemory.flush(off, n)
}

func (m *failingMemory) invalidate(off, n int64) {
	m.access()
	m.sharedMemory.invalidate(off, n)
}

func (m *failingMemory) fenceStores() {
	m.access()
	m.sharedMemory.fenceStores()
}

func (m *failingMemory) fenceLoads() {
	m.access()
	m.sharedMemory.fenceLoads()
}

// failAccess makes the access to superblock and log after the given number fail.
func failAccess(m *FS, after int, fail func() error) *failingMemory {
	f := &failingMemory{sharedMemory: m.replica.meta, left: after, fail: fail}
	m.replica.meta, m.replica.single.meta = f, f
	return f
}

func (f *failingMemory) repair(m *FS) {
	m.replica.meta, m.replica.single.meta = f.sharedMemory, f.sharedMemory
}

// memoryFault is the value of the runtime's panic if memory is gone.
type memoryFault struct{ error }

func (memoryFault) RuntimeError() {}

func (memoryFault) Addr() uintptr { return 0xdead }

// Whatever fails while a file is logged, at any access to the memory, and whatever its writer
// does next: no entry that anybody has seen is overwritten, none is logged twice, and no space
// is given to two files.
func TestAppendInterrupted(t *testing.T) {
	t.Parallel()
	failures := map[string]func() error{
		"fault": func() error { panic(memoryFault{errors.New("gone")}) },
		"panic": func() error { panic("of some other kind") },
		"disk":  func() error { return errDisk },
	}
	ways := map[string]func(p *PendingFile) error{
		"close":        func(p *PendingFile) error { return p.Close() },
		"commit again": func(p *PendingFile) error { return p.Commit() },
	}
	for failure, fail := range failures {
		for way, goOn := range ways {
			t.Run(failure+"/"+way, func(t *testing.T) {
				t.Parallel()
				m, path := master(t, 256*mib)
				failures, logged := 0, 0
				for after := range 25 { // accesses, and some more
					dir := fmt.Sprintf("d%d", after)
					require.NoError(t, m.Mkdir(dir, 0o755))
					failed, there := interruptAppend(t, m, path, dir, after, fail, goOn)
					if failed {
						failures++
					}
					if failed && there {
						logged++
					}
				}
				assert.Less(t, failures, 25)
				switch failure {
				case "disk":
					assert.Equal(t, 2, failures, "of entry and header")
					assert.Equal(t, 1, logged)
				default:
					assert.Greater(t, failures, 12, "loads, stores, flushes and fences")
					assert.Equal(t, 2, logged, "at the last flush and fence")
				}
				report, err := Check(path)
				require.NoError(t, err)
				assert.Empty(t, report.Problems)
				assertExclusive(t, openTest(t, path))
			})
		}
	}
}

// interruptAppend commits a file, which fails at one access, and then other files. It reports
// whether the access failed, and whether the file was there afterwards.
func interruptAppend(t *testing.T, m *FS, path, dir string, after int, fail func() error, goOn func(*PendingFile) error) (failed, there bool) {
	const size = 5000
	before := m.Usage()
	create := func(name string, seed uint64) *PendingFile {
		p, err := m.Create(dir+"/"+name, size)
		require.NoError(t, err)
		copy(p.Bytes(), pattern(size, seed))
		return p
	}
	p, q := create("p", 1), create("q", 2)
	failing := failAccess(m, after, fail)
	func() {
		defer func() {
			failing.failed = recover() != nil || failing.failed
		}()
		err := p.Commit()
		failing.failed = err != nil
	}()
	failing.repair(m)
	early := openTest(t, path)
	defer early.Close()
	_, err := early.Stat(dir + "/p")
	there = err == nil
	var mapping *Mapping
	if there {
		mapping, err = early.Map(dir + "/p")
		require.NoError(t, err)
		require.Equal(t, pattern(size, 1), mapping.Bytes())
	}
	err = goOn(p)
	if failing.failed {
		assert.NoError(t, err)
	}
	require.NoError(t, q.Commit())
	require.NoError(t, m.WriteFile(dir+"/r", pattern(size, 3), 0o644))
	require.NoError(t, p.Close())

	_, err = early.Refresh()
	require.NoError(t, err)
	late := openTest(t, path)
	defer late.Close()
	for _, f := range []*FS{m, early, late} {
		assert.Empty(t, f.Problems())
		assert.Equal(t, m.Usage(), f.Usage())
		for name, seed := range map[string]uint64{"p": 1, "q": 2, "r": 3} {
			data, err := f.ReadFile(dir + "/" + name)
			if name == "p" && errors.Is(err, fs.ErrNotExist) {
				assert.False(t, there, "what a client has seen stays")
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, pattern(size, seed), data)
		}
	}
	if there {
		assert.Equal(t, pattern(size, 1), mapping.Bytes())
		require.NoError(t, mapping.Close())
	}
	assert.Equal(t, m.Usage().Files-before.Files, m.Usage().LogUsed-before.LogUsed, "each file has one entry")
	assert.Equal(t, int64(m.Usage().Files-before.Files)*m.sb.AllocUnit, before.Free-m.Usage().Free)
	return failing.failed, there
}

// An entry that is in the log but may be lost, because a disk failed, is written again by the
// next attempt, and nothing else is.
func TestCommitUncertain(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	p, err := m.Create("f", 5000)
	require.NoError(t, err)
	copy(p.Bytes(), pattern(5000, 1))
	other, err := m.Create("other", 5000)
	require.NoError(t, err)
	copy(other.Bytes(), pattern(5000, 2))
	headers := failFlushes(m, logOffset)
	for range 3 {
		err := p.Commit()
		require.ErrorIs(t, err, errDisk)
		assert.ErrorContains(t, err, "is written, but may be lost")
		assert.Nil(t, p.Bytes(), "all hosts may read it")
		_, err = p.Write([]byte("x"))
		assert.ErrorIs(t, err, fs.ErrClosed)
	}
	_, err = m.Stat("f")
	require.NoError(t, err)
	assert.ErrorIs(t, m.Mkdir("d", 0o755), errDisk)
	assert.ErrorIs(t, m.Mkdir("d", 0o755), fs.ErrExist, "it was made")
	headers.repair(m)
	require.NoError(t, other.Commit())
	// The disk has the old page: the data must be stored again to reach it.
	stores := &storesTo{sharedMemory: m.replica.meta}
	m.replica.meta = stores
	require.NoError(t, p.Commit())
	m.replica.meta = stores.sharedMemory
	assert.Equal(t, []int64{entryAt(0), logOffset + nextSeqAt}, stores.at)
	assert.ErrorIs(t, p.Commit(), fs.ErrClosed)
	require.NoError(t, p.Close())

	c := openTest(t, path)
	assert.Equal(t, 3, c.Usage().LogUsed)
	assert.Empty(t, c.Problems())
	for name, seed := range map[string]uint64{"f": 1, "other": 2} {
		data, err := c.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, pattern(5000, seed), data)
	}
}

// If MkdirAll and CopyFS find something that an earlier attempt made, it may be lost too: they
// succeed only after it is certain.
func TestUncertainThere(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(m *FS) error{
		"MkdirAll": func(m *FS) error { return m.MkdirAll("a/b", 0o755) },
		"CopyFS, directory": func(m *FS) error {
			return m.CopyFS(t.Context(), ".", fstest.MapFS{"d": {Mode: fs.ModeDir | 0o755}})
		},
		"CopyFS, file": func(m *FS) error {
			return m.CopyFS(t.Context(), ".", fstest.MapFS{"f": {Data: []byte("x"), Mode: 0o644}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, testSize)
			headers := failFlushes(m, logOffset)
			for range 4 {
				require.ErrorIs(t, do(m), errDisk)
			}
			headers.repair(m)
			stores := &storesTo{sharedMemory: m.replica.meta}
			m.replica.meta = stores
			require.NoError(t, do(m))
			assert.Contains(t, stores.at, int64(logOffset+nextSeqAt), "a disk that failed has to be given it again")
			stores.at = nil
			require.NoError(t, do(m))
			assert.Empty(t, stores.at, "it is certain now")
		})
	}
}

// Closing a file that is in the log, but may be lost, does not free its space.
func TestCloseUncertain(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	free := m.Usage().Free
	p, err := m.Create("f", 5000)
	require.NoError(t, err)
	copy(p.Bytes(), pattern(5000, 1))
	headers := failFlushes(m, logOffset)
	require.ErrorIs(t, p.Commit(), errDisk)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	headers.repair(m)
	assert.Equal(t, free-m.sb.AllocUnit, m.Usage().Free)
	require.NoError(t, m.WriteFile("g", pattern(5000, 2), 0o644))
	c := openTest(t, path)
	data, err := c.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, pattern(5000, 1), data)
	assertExclusive(t, c)
}

// failingFlush is memory with a disk that does not take the lines at off.
type failingFlush struct {
	sharedMemory
	off int64
}

func (m *failingFlush) flush(off, n int64) error {
	if off == m.off {
		return errDisk
	}
	return m.sharedMemory.flush(off, n)
}

func failFlushes(m *FS, off int64) *failingFlush {
	f := &failingFlush{m.replica.meta, off}
	m.replica.meta = f
	return f
}

func (f *failingFlush) repair(m *FS) { m.replica.meta = f.sharedMemory }

// storesTo records the offsets of stores.
type storesTo struct {
	sharedMemory
	at []int64
}

func (m *storesTo) store(off int64, p []byte) {
	m.at = append(m.at, off)
	m.sharedMemory.store(off, p)
}

func (m *storesTo) store64(off int64, v uint64) {
	m.at = append(m.at, off)
	m.sharedMemory.store64(off, v)
}

func (m *storesTo) storePair(off int64, a, b uint64) {
	m.at = append(m.at, off)
	m.sharedMemory.storePair(off, a, b)
}

// If a crash left the sequence number behind, the next append repairs it.
func TestAppendRepairsCounters(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("a", 0o755))
	m.replica.meta.store64(logOffset+nextSeqAt, 0)
	require.NoError(t, m.Mkdir("b", 0o755))
	assert.Equal(t, uint64(2), m.replica.meta.load64(logOffset+nextSeqAt))
	assert.Equal(t, uint64(2), m.replica.meta.load64(logOffset+nextIndexAt))
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

// A crash may leave the sequence number behind the index, or ahead of it. It is repaired when a
// master opens the device or, if another writer has the lock then, when the master creates
// something. Clients change nothing.
func TestOpenRepairsSequence(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	for _, wrong := range []uint64{0, 1, 3, 1 << 60} {
		t.Run(fmt.Sprint(wrong), func(t *testing.T) {
			t.Parallel()
			m, path := master(t, testSize)
			require.NoError(t, m.Mkdir("a", 0o755))
			require.NoError(t, m.Mkdir("b", 0o755))
			seq := func() uint64 { return m.replica.meta.load64(logOffset + nextSeqAt) }
			spoil := func() { m.replica.meta.store64(logOffset+nextSeqAt, wrong) }
			spoil()
			openTest(t, path)
			assert.Equal(t, wrong, seq(), "a client does not write")
			openTest(t, path, ReadWrite())
			assert.EqualValues(t, 2, seq())

			p, err := m.Create("f", 1)
			require.NoError(t, err)
			spoil()
			late := openTest(t, path, ReadWrite(), WithLockTimeout(0))
			assert.Equal(t, wrong, seq(), "a pending file has the lock, and opening does not wait")
			require.NoError(t, p.Close())
			p, err = late.Create("g", 1)
			require.NoError(t, err)
			assert.EqualValues(t, 2, seq())
			assert.EqualValues(t, 2, m.replica.meta.load64(logOffset+nextIndexAt))
			require.NoError(t, p.Close())
			report, err := Check(path)
			require.NoError(t, err)
			assert.Empty(t, report.Problems)
		})
	}
}

// Two words stored at once are at the same places as with two stores.
func TestStorePair(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	meta := m.replica.meta
	const at = logOffset + 4096
	meta.storePair(at, 0x0102030405060708, 0x1112131415161718)
	assert.Equal(t, uint64(0x0102030405060708), meta.load64(at))
	assert.Equal(t, uint64(0x1112131415161718), meta.load64(at+8))
	assert.Zero(t, meta.load64(at-8))
	assert.Zero(t, meta.load64(at+16))
}
