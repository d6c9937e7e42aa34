package famfs

import (
	"bytes"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each number changes with what it counts, and with nothing else.
func TestStats(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, path := master(t, 128*mib)
	unit := m.Superblock().AllocUnit
	start := m.Stats()
	assert.Equal(t, m.Usage(), start.Usage)
	assert.Zero(t, start.Fragmentation)
	assert.EqualValues(t, 1, start.Replays, "that of Open")
	start.Usage, start.Replays = Usage{}, 0
	assert.Equal(t, Stats{}, start)

	// Writing.
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/a", []byte("12345"), 0o644))
	p, err := m.Create("d/b", 3*unit)
	require.NoError(t, err)
	n, err := p.ReadFrom(io.LimitReader(strings.NewReader(strings.Repeat("x", 2000)), 1000))
	require.NoError(t, err)
	require.EqualValues(t, 1000, n)
	_, err = p.WriteAt(make([]byte, unit), unit)
	require.NoError(t, err)
	copy(p.Bytes(), "not counted")
	require.NoError(t, p.Commit())
	require.NoError(t, p.Close())
	s := m.Stats()
	assert.EqualValues(t, 5+1000+unit, s.Copied)
	assert.EqualValues(t, 2, s.Commits)
	assert.EqualValues(t, 2, s.CommittedFiles)
	assert.Positive(t, s.CommitTime)
	assert.EqualValues(t, 3, s.Entries)
	assert.Greater(t, s.Replays, int64(3), "each write looks for entries of others")
	assert.Zero(t, s.Mappings, "pending files are none")
	var files []*PendingFile
	for _, name := range []string{"c", "e", "f"} {
		p, err := m.Create(name, unit)
		require.NoError(t, err)
		defer p.Close()
		files = append(files, p)
	}
	require.NoError(t, m.Commit(files...))
	require.NoError(t, m.Commit())
	require.NoError(t, m.CopyFS(t.Context(), "dirs", fstest.MapFS{"in": {Mode: fs.ModeDir | 0o755}}, Atomically()))
	assert.ErrorContains(t, m.WriteFile("c", []byte("x"), 0o644), "exist")
	s = m.Stats()
	assert.EqualValues(t, 3, s.Commits, "neither nothing, nor directories, nor what fails")
	assert.EqualValues(t, 5, s.CommittedFiles)

	// Space.
	require.NoError(t, m.Remove("c"))
	s = m.Stats()
	assert.Equal(t, unit, s.Usage.Removed)
	assert.Zero(t, s.Fragmentation, "what is removed is not free")
	all, err := m.Create("all", m.Usage().Free)
	require.NoError(t, err)
	assert.Zero(t, m.Stats().Fragmentation, "nothing is free")
	require.NoError(t, all.Close())
	hole, err := m.Create("hole", 4*unit)
	require.NoError(t, err)
	behind, err := m.Create("behind", unit)
	require.NoError(t, err)
	defer behind.Close()
	require.NoError(t, hole.Close())
	s = m.Stats()
	assert.InDelta(t, float64(4*unit)/float64(s.Usage.Free), s.Fragmentation, 1e-9)

	// Waiting.
	other := openTest(t, path, ReadWrite(), WithLockTimeout(0))
	assert.ErrorIs(t, other.Mkdir("g", 0o755), ErrLocked)
	assert.EqualValues(t, 1, other.Stats().LockWaits)
	assert.Positive(t, other.Stats().LockWait)
	assert.Zero(t, m.Stats().LockWaits)

	// Reading.
	reader := openTest(t, path)
	s = reader.Stats()
	assert.EqualValues(t, 9, s.Entries)
	assert.EqualValues(t, 1, s.Replays)
	_, err = reader.Refresh()
	require.NoError(t, err)
	assert.EqualValues(t, 2, reader.Stats().Replays)
	for _, name := range []string{"d/a", "d"} {
		f, err := reader.Open(name)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	_, err = reader.Open("c")
	require.Error(t, err)
	assert.EqualValues(t, 2, reader.Stats().Opens)

	// Mapping.
	first, err := reader.Map("d/b")
	require.NoError(t, err)
	second, err := reader.Map("d/b")
	require.NoError(t, err)
	small, err := reader.Map("d/a")
	require.NoError(t, err)
	s = reader.Stats()
	assert.Equal(t, 3, s.Mappings)
	assert.Equal(t, 4*unit, s.MappedBytes, "what is shared counts once")
	require.NoError(t, first.Close())
	require.NoError(t, small.Close())
	s = reader.Stats()
	assert.Equal(t, 1, s.Mappings)
	assert.Equal(t, 3*unit, s.MappedBytes)
	require.NoError(t, second.Close())
	require.NoError(t, reader.View("d/a", func([]byte) error {
		assert.Zero(t, reader.Stats().Mappings)
		return nil
	}))
	before := reader.Stats()
	require.NoError(t, reader.Close())
	assert.Equal(t, before, reader.Stats(), "also after Close")
}

// View maps a file in several runs, and so is counted while it runs; a queue's ends are, too.
func TestStatsMappings(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 128*mib)
	unit := m.Superblock().AllocUnit
	p, err := m.Create("f", 4*unit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: unit}))
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	require.NoError(t, m.View("f", func([]byte) error {
		s := m.Stats()
		assert.Equal(t, 1, s.Mappings)
		assert.Equal(t, 4*unit, s.MappedBytes)
		return nil
	}))
	require.NoError(t, m.CreateQueue("q", 16, 64))
	end, err := m.Producer("q")
	require.NoError(t, err)
	assert.Equal(t, 2, m.Stats().Mappings)
	require.NoError(t, end.Close())
	assert.Zero(t, m.Stats().Mappings)
	assert.Zero(t, m.Stats().MappedBytes)
}

// Problems are counted as Problems lists them.
func TestStatsProblems(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("a", 10)
	f.good("a", 11)
	fsys := openTest(t, f.path)
	assert.Len(t, fsys.Problems(), 1)
	assert.Equal(t, 1, fsys.Stats().Problems)
}

// A fault counts for the FS whose memory it is, once, whoever catches it.
func TestStatsFaults(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	bystander, _ := master(t, 64*mib)
	require.NoError(t, bystander.WriteFile("f", []byte("x"), 0o644))
	var loaded byte
	load := func() error { loaded += c.mapping.Bytes()[len(c.content)-1]; return nil }
	want := int64(0)
	for what, fault := range map[string]func() error{
		"Guard":             func() error { return Guard(load) },
		"Guard in Guard":    func() error { return Guard(func() error { return Guard(load) }) },
		"ReadFile":          func() error { _, err := c.FS.ReadFile("d/cut"); return err },
		"View":              func() error { return c.FS.View("d/cut", func(b []byte) error { loaded += b[len(b)-1]; return nil }) },
		"View of a mapping": func() error { return c.FS.View("d/cut", func([]byte) error { return load() }) },
		"of another FS":     func() error { return bystander.View("f", func([]byte) error { return load() }) },
	} {
		require.ErrorIs(t, fault(), ErrDevice, what)
		want++
		assert.Equal(t, want, c.FS.Stats().Faults, what)
	}
	assert.Zero(t, bystander.Stats().Faults)
	require.NoError(t, c.FS.View("d/cut", func(b []byte) error { loaded += b[0]; return nil }))
	assert.Equal(t, want, c.FS.Stats().Faults)
}

// Any number of goroutines ask while others work. The race detector watches.
func TestStatsConcurrent(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 256*mib)
	data := bytes.Repeat([]byte("x"), 1<<20)
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for last := (Stats{}); ; {
				s := m.Stats()
				assert.GreaterOrEqual(t, s.Copied, last.Copied)
				assert.GreaterOrEqual(t, s.Commits, last.Commits)
				assert.GreaterOrEqual(t, s.Entries, last.Entries)
				last = s
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := range 20 {
				name := itoa(w*100 + i)
				assert.NoError(t, m.WriteFile(name, data, 0o644))
				x, err := m.Map(name)
				if assert.NoError(t, err) {
					assert.NoError(t, x.Close())
				}
			}
		})
	}
	work.Wait()
	close(stop)
	all.Wait()
	s := m.Stats()
	assert.EqualValues(t, 80, s.Commits)
	assert.EqualValues(t, 80<<20, s.Copied)
	assert.Zero(t, s.Mappings)
}
