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

	// From two goroutines, in either order: they are locked in one.
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

// If one of them cannot be committed none is, and all stay pending.
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

// Files of a commit that failed may be committed in other groups: what others have logged
// in its place meanwhile is not taken for it, nor overwritten.
func TestCommitInOtherGroups(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	var files []*PendingFile
	for _, name := range []string{"a", "b"} {
		p, err := m.Create(name, 100)
		require.NoError(t, err)
		files = append(files, p)
	}
	f := failFlushes(m, entryAt(m.replica.next))
	require.ErrorIs(t, m.Commit(files...), errDisk)
	f.repair(m)
	require.NoError(t, files[0].Commit())
	require.NoError(t, m.WriteFile("precious", pattern(9, 9), 0o644))
	require.NoError(t, files[1].Commit())
	for _, fsys := range []*FS{m, openTest(t, path)} {
		assert.Equal(t, []string{"a", "b", "precious"}, names(t, fsys))
	}
}
