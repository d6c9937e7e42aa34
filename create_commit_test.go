package famfs

// Committing several files together: all of them or none.

import (
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCommitTogether(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	client := openTest(t, path)
	foreign := &PendingFile{pendingFile: &pendingFile{fs: client, name: "x"}}
	create := func(name string, opts ...CreateOption) *PendingFile {
		p, err := m.Create(name, 100, opts...)
		require.NoError(t, err)
		t.Cleanup(func() { p.Close() })
		copy(p.Bytes(), pattern(100, uint64(len(name))))
		return p
	}
	require.NoError(t, m.Commit())
	require.NoError(t, m.WriteFile("c", pattern(7, 1), 0o644))

	a, b, c := create("a"), create("b"), create("c", Replace())
	closed := create("closed")
	require.NoError(t, closed.Close())
	used := m.Usage().LogUsed
	for _, bad := range []struct {
		with *PendingFile
		want error
	}{{nil, fs.ErrInvalid}, {a, fs.ErrInvalid}, {foreign, fs.ErrInvalid}, {closed, fs.ErrClosed}} {
		assert.ErrorIs(t, m.Commit(a, b, bad.with, c), bad.want)
	}
	assert.Equal(t, used, m.Usage().LogUsed)
	assert.Equal(t, []string{"c"}, names(t, m))

	require.NoError(t, m.Commit(c, a, b))
	assert.Equal(t, used+4, m.Usage().LogUsed)
	assert.ErrorIs(t, a.Commit(), fs.ErrClosed)
	assert.ErrorIs(t, m.Commit(b), fs.ErrClosed)
	for _, fsys := range []*FS{m, refreshed(t, client), openTest(t, path)} {
		assert.Equal(t, []string{"a", "b", "c"}, names(t, fsys))
		for _, name := range []string{"a", "b", "c"} {
			data, err := fsys.ReadFile(name)
			require.NoError(t, err)
			assert.Equal(t, pattern(100, uint64(len(name))), data)
		}
	}

	// From two goroutines, in either order: the files are locked in the same order.
	x, y := create("x"), create("y")
	for _, files := range [][]*PendingFile{{x, y}, {y, x}} {
		locked, err := m.lockPending(files)
		require.NoError(t, err)
		assert.Equal(t, []*PendingFile{x, y}, locked)
		for _, p := range locked {
			p.mu.Unlock()
		}
	}
	errs := make([]error, 2)
	var wait sync.WaitGroup
	wait.Go(func() { errs[0] = m.Commit(x, y) })
	wait.Go(func() { errs[1] = m.Commit(y, x) })
	wait.Wait()
	if errs[0] == nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	assert.NoError(t, errs[1])
	assert.ErrorIs(t, errs[0], fs.ErrClosed)
	assert.Equal(t, []string{"a", "b", "c", "x", "y"}, names(t, m))
}

// If one of them cannot be committed, none is, and all stay pending.
func TestCommitTogetherFails(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	a, err := m.Create("a", 10)
	require.NoError(t, err)
	b, err := m.Create("b", 10)
	require.NoError(t, err)
	// Another implementation takes no lock.
	func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, err := m.replica.appendOne(&entry{kind: typeMkdir, path: []byte("b"), mode: 0o755})
		require.NoError(t, err)
	}()
	err = m.Commit(a, b)
	var pathErr *fs.PathError
	require.ErrorAs(t, err, &pathErr)
	assert.Equal(t, "b", pathErr.Path)
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.Equal(t, []string{"b/"}, names(t, m))
	require.NoError(t, m.Remove("b"))
	require.NoError(t, m.Commit(a, b))
	assert.Equal(t, []string{"a", "b"}, names(t, openTest(t, path)))
}

// pendingFileOf returns a pending file with its own content.
func pendingFileOf(t *testing.T, m *FS, name string, opts ...CreateOption) *PendingFile {
	t.Helper()
	p, err := m.Create(name, 100, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	copy(p.Bytes(), pattern(100, uint64(len(name))))
	return p
}

// failOnce makes the disk under the device refuse the next log entries, once.
func failOnce(t *testing.T, m *FS, do func() error) {
	t.Helper()
	f := failFlushes(m, entryAt(m.replica.next))
	require.ErrorIs(t, do(), errDisk)
	f.repair(m)
}

// Files of a failed commit may be committed in other groups. Entries logged in their place
// meanwhile are not taken for them, and are not overwritten.
func TestCommitInOtherGroups(t *testing.T) {
	t.Parallel()
	t.Run("alone", func(t *testing.T) {
		m, path := master(t, testSize)
		a, b := pendingFileOf(t, m, "a"), pendingFileOf(t, m, "b")
		failOnce(t, m, func() error { return m.Commit(a, b) })
		require.NoError(t, a.Commit())
		require.NoError(t, b.Commit())
		assert.Equal(t, []string{"a", "b"}, names(t, m))
		assert.Equal(t, []string{"a", "b"}, names(t, openTest(t, path)))
	})
	t.Run("after another", func(t *testing.T) {
		m, path := master(t, testSize)
		a, b := pendingFileOf(t, m, "a"), pendingFileOf(t, m, "b")
		client := openTest(t, path)
		failOnce(t, m, func() error { return m.Commit(a, b) })
		require.NoError(t, a.Commit())
		require.NoError(t, m.WriteFile("precious", pattern(9, 9), 0o644))
		assert.Equal(t, []string{"a", "precious"}, names(t, refreshed(t, client)))
		require.NoError(t, b.Commit())
		assert.Equal(t, []string{"a", "b", "precious"}, names(t, openTest(t, path)))
	})
	t.Run("after the same removal", func(t *testing.T) {
		m, path := master(t, testSize)
		require.NoError(t, m.WriteFile("a", pattern(9, 9), 0o644))
		p := pendingFileOf(t, m, "a", Replace())
		failOnce(t, m, p.Commit)
		require.NoError(t, m.Remove("a"))
		require.NoError(t, m.WriteFile("precious", pattern(9, 9), 0o644))
		require.NoError(t, p.Commit())
		assert.Equal(t, []string{"a", "precious"}, names(t, openTest(t, path)))
	})
}

// If a writer that takes no lock took the space of one file, no file is logged.
func TestCommitSpaceTaken(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.WriteFile("a", pattern(9, 1), 0o644))
	p, other := pendingFileOf(t, m, "a", Replace()), pendingFileOf(t, m, "other")
	func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		e := entry{kind: typeFile, path: []byte("theirs"), mode: 0o644, size: 100, flags: fileFlagReadWrite}
		e.setLayout(p.home.place)
		_, err := m.replica.appendOne(&e)
		require.NoError(t, err)
	}()
	for range 2 {
		err := m.Commit(other, p)
		require.ErrorIs(t, err, ErrCorrupt)
		assert.ErrorContains(t, err, "commit a: ")
	}
	assert.Equal(t, []string{"a", "theirs"}, names(t, openTest(t, path)))
	require.NoError(t, other.Commit())
	require.NoError(t, p.Close())
	assert.Equal(t, []string{"a", "other", "theirs"}, names(t, openTest(t, path)))
}

// countingMemory counts flushes and stores of records.
type countingMemory struct {
	sharedMemory
	flushes, stores int
}

func (c *countingMemory) flush(off, n int64) error  { c.flushes++; return c.sharedMemory.flush(off, n) }
func (c *countingMemory) store(off int64, p []byte) { c.stores++; c.sharedMemory.store(off, p) }

// The batch in which many files were logged is made certain only once.
func TestCommitConfirmsOnce(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	var files []*PendingFile
	for i := range 20 {
		files = append(files, pendingFileOf(t, m, "f"+itoa(i)))
	}
	f := failFlushes(m, logOffset)
	require.ErrorIs(t, m.Commit(files...), errDisk)
	f.repair(m)
	c := &countingMemory{sharedMemory: m.replica.meta}
	m.replica.meta = c
	require.NoError(t, m.Commit(files...))
	m.replica.meta = c.sharedMemory
	assert.Equal(t, 2, c.flushes)
	assert.Equal(t, len(files), c.stores)
	assert.Equal(t, len(files), m.Usage().Files)
}

// A copy of a PendingFile is the same file.
func TestCommitCopied(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p := pendingFileOf(t, m, "a")
	q := *p
	assert.ErrorIs(t, m.Commit(p, &q), fs.ErrInvalid)
	assert.NoError(t, p.Commit())
}
