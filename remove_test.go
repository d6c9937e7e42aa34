package famfs

// Removing and replacing: the result here and on other hosts, and for those who have a file
// open. Removals in hostile logs are in the tests of hostile entries, crashes in the
// simulations.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// names returns all names in a file system, sorted; those of directories end in a slash.
func names(t testing.TB, fsys fs.FS) (all []string) {
	t.Helper()
	require.NoError(t, fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			name += "/"
		}
		all = append(all, name)
		return nil
	}))
	return all
}

func TestRemove(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	client := openTest(t, path)
	require.NoError(t, m.MkdirAll("d/e", 0o755))
	require.NoError(t, m.WriteFile("d/f", pattern(5000, 1), 0o644))
	require.NoError(t, m.WriteFile("g", pattern(100, 2), 0o644))
	before := m.Usage()
	for _, c := range []struct {
		name string
		want error
	}{
		{"missing", fs.ErrNotExist}, {"d/missing", fs.ErrNotExist}, {"g/x", fs.ErrNotExist}, {"d", fs.ErrInvalid}, {".", fs.ErrInvalid},
		{"", fs.ErrInvalid}, {"/g", fs.ErrInvalid}, {"..", fs.ErrInvalid}, {"d/", fs.ErrInvalid}, {strings.Repeat("n", 80), fs.ErrInvalid},
	} {
		err := m.Remove(c.name)
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr, c.name)
		assert.Equal(t, "remove", pathErr.Op)
		assert.Equal(t, c.name, pathErr.Path)
		assert.ErrorIs(t, err, c.want, c.name)
	}
	assert.Equal(t, before, m.Usage(), "nothing was written")
	assert.ErrorContains(t, m.Remove("d"), "2 files and directories are in it")

	require.NoError(t, m.Remove("d/f"))
	assert.ErrorIs(t, m.Remove("d/f"), fs.ErrNotExist)
	require.NoError(t, m.Remove("d/e"))
	require.NoError(t, m.Remove("d"))
	assert.Equal(t, []string{"g"}, names(t, m))
	after := m.Usage()
	assert.Equal(t, m.Superblock().AllocUnit, after.Removed)
	assert.EqualValues(t, 100, after.FileBytes)
	assert.Equal(t, []int{1, 0}, []int{after.Files, after.Dirs})
	assert.Equal(t, before.Allocated, after.Allocated, "the memory is not given out again")
	assert.Equal(t, before.LogUsed+3, after.LogUsed)

	// A client sees it after its next look.
	_, err := client.Stat("d/f")
	require.ErrorIs(t, err, fs.ErrNotExist)
	for _, fsys := range []*FS{refreshed(t, client), openTest(t, path), openTest(t, path, Tolerant())} {
		assert.Equal(t, []string{"g"}, names(t, fsys))
		assert.Empty(t, fsys.Problems())
		assert.Equal(t, after, fsys.Usage())
		_, err := fsys.Map("d/f")
		assert.ErrorIs(t, err, fs.ErrNotExist)
	}

	// The names can be used again, also for something of another kind.
	require.NoError(t, m.WriteFile("d", pattern(300, 3), 0o644))
	require.NoError(t, m.Remove("g"))
	require.NoError(t, m.MkdirAll("g/d", 0o755))
	require.NoError(t, m.WriteFile("g/d/f", pattern(300, 4), 0o644))
	for _, fsys := range []*FS{m, refreshed(t, client), openTest(t, path)} {
		assert.Equal(t, []string{"d", "g/", "g/d/", "g/d/f"}, names(t, fsys))
		data, err := fsys.ReadFile("d")
		require.NoError(t, err)
		assert.Equal(t, pattern(300, 3), data)
		assert.Empty(t, fsys.Problems())
	}
	report, err := Check(path, withDevices(path))
	require.NoError(t, err)
	assert.True(t, report.Clean(), "%v", report.Err())
	assert.Equal(t, m.Usage(), report.Usage)
}

func refreshed(t testing.TB, fsys *FS) *FS {
	t.Helper()
	_, err := fsys.Refresh()
	require.NoError(t, err)
	return fsys
}

// Only a host that may write metadata can remove.
func TestRemoveRefused(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.WriteFile("f", pattern(10, 1), 0o644))
	for _, remove := range []func(*FS) error{func(f *FS) error { return f.Remove("f") }, func(f *FS) error { return f.RemoveAll("f") }} {
		assert.ErrorIs(t, remove(openTest(t, path)), ErrReadOnly)
		assert.ErrorIs(t, remove(openTest(t, path, WithSystemUUID(NewUUID()))), ErrNotMaster)
		closed := openMaster(t, path)
		require.NoError(t, closed.Close())
		assert.ErrorIs(t, remove(closed), fs.ErrClosed)
	}
	other := openMaster(t, path, WithLockTimeout(0))
	p, err := m.Create("pending", 10)
	require.NoError(t, err)
	assert.ErrorIs(t, other.Remove("f"), ErrLocked)
	assert.ErrorIs(t, other.RemoveAll("f"), ErrLocked)
	require.NoError(t, m.Remove("f"), "goroutines of one FS share the lock")
	require.NoError(t, p.Commit())
	assert.ErrorIs(t, other.Remove("f"), fs.ErrNotExist, "it reads the log first")
	assert.NoError(t, other.RemoveAll("f"))
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	client := openTest(t, path)
	require.NoError(t, m.MkdirAll("d/e/f", 0o755))
	for i := range 10 {
		require.NoError(t, m.WriteFile(fmt.Sprint("d/e/", i), pattern(10, uint64(i)), 0o644))
		require.NoError(t, m.WriteFile(fmt.Sprint("d/e/f/", i), pattern(10, uint64(i)), 0o644))
	}
	require.NoError(t, m.WriteFile("de", pattern(10, 1), 0o644))
	used := m.Usage().LogUsed
	assert.NoError(t, m.RemoveAll("missing"))
	assert.NoError(t, m.RemoveAll("d/missing/further"))
	assert.ErrorIs(t, m.RemoveAll("."), fs.ErrInvalid)
	assert.Equal(t, used, m.Usage().LogUsed)

	p, err := m.Create("d/e/f/pending", 10)
	require.NoError(t, err)
	for _, dir := range []string{"d", "d/e", "d/e/f"} {
		err := m.RemoveAll(dir)
		assert.ErrorIs(t, err, ErrBusy)
		assert.ErrorContains(t, err, "d/e/f/pending is being created in it")
	}
	assert.Equal(t, used, m.Usage().LogUsed)
	require.NoError(t, m.RemoveAll("de"), "a file, beside the directory")
	require.NoError(t, p.Close())
	require.NoError(t, m.RemoveAll("d/e"))
	assert.Equal(t, used+1+22, m.Usage().LogUsed)
	for _, fsys := range []*FS{m, refreshed(t, client), openTest(t, path)} {
		assert.Equal(t, []string{"d/"}, names(t, fsys))
		assert.Empty(t, fsys.Problems())
	}
	require.NoError(t, m.RemoveAll("d"))
	assert.Empty(t, names(t, m))
}

// A directory with a pending file cannot be removed, even if it is empty.
func TestRemoveBesidePending(t *testing.T) {
	t.Parallel()
	m := openMaster(t, formatted(t, testSize))
	require.NoError(t, m.Mkdir("d", 0o755))
	p, err := m.Create("d/f", 10)
	require.NoError(t, err)
	assert.ErrorIs(t, m.Remove("d"), ErrBusy)
	require.NoError(t, m.Mkdir("de", 0o755))
	assert.ErrorIs(t, m.Remove("d/f"), fs.ErrNotExist, "it is not there yet")
	assert.NoError(t, m.RemoveAll("d/f"))
	require.NoError(t, p.Commit())
	require.NoError(t, m.Remove("d/f"))
	p, err = m.Create("de/f", 10)
	require.NoError(t, err)
	require.NoError(t, m.Remove("d"), "another directory has a pending file")
	require.NoError(t, p.Close())
}

// Whoever has a file open, or mapped, keeps it.
func TestRemovedStaysOpen(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	require.NoError(t, m.Mkdir("d", 0o755))
	content := pattern(3*4096+5, 1)
	require.NoError(t, m.WriteFile("d/f", content, 0o644))
	open, err := m.Open("d/f")
	require.NoError(t, err)
	dir, err := m.Open("d")
	require.NoError(t, err)
	info, err := m.Stat("d/f")
	require.NoError(t, err)
	mapped, err := m.Map("d/f")
	require.NoError(t, err)
	require.NoError(t, m.RemoveAll("d"))
	require.NoError(t, m.Mkdir("d", 0o700))
	require.NoError(t, m.WriteFile("d/f", pattern(7, 2), 0o600))

	data, err := io.ReadAll(open)
	require.NoError(t, err)
	assert.Equal(t, content, data)
	assert.Equal(t, content, mapped.Bytes())
	assert.EqualValues(t, len(content), info.Size())
	assert.Equal(t, "f", info.Name())
	entries, err := dir.(fs.ReadDirFile).ReadDir(-1)
	require.NoError(t, err)
	assert.Empty(t, entries, "a directory lists what is in it when it is first read")
	again, err := m.Map("d/f")
	require.NoError(t, err)
	assert.Equal(t, pattern(7, 2), again.Bytes(), "the new file, not the old one's memory")
	require.NoError(t, mapped.Close())
	require.NoError(t, again.Close())
	require.NoError(t, m.Close())
}

func TestReplace(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	client := openTest(t, path)
	write := func(name string, content []byte) error {
		p, err := m.Create(name, int64(len(content)), Replace(), Mode(0o600))
		if err != nil {
			return err
		}
		defer p.Close()
		copy(p.Bytes(), content)
		return p.Commit()
	}
	require.NoError(t, write("f", pattern(100, 1)), "nothing is there to be replaced")
	require.NoError(t, m.Mkdir("d", 0o755))
	assert.Equal(t, 2, m.Usage().LogUsed)
	assert.ErrorIs(t, write("d", pattern(1, 1)), fs.ErrExist)
	assert.ErrorIs(t, write(".", pattern(1, 1)), fs.ErrInvalid)
	_, err := m.Create("f", 1)
	assert.ErrorIs(t, err, fs.ErrExist, "without Replace")
	assert.ErrorIs(t, m.MkdirWith("f", Replace()), fs.ErrExist)

	require.NoError(t, write("f", pattern(9000, 2)))
	assert.Equal(t, 4, m.Usage().LogUsed)
	for _, fsys := range []*FS{m, refreshed(t, client), openTest(t, path)} {
		data, err := fsys.ReadFile("f")
		require.NoError(t, err)
		assert.Equal(t, pattern(9000, 2), data)
		assert.Equal(t, []string{"d/", "f"}, names(t, fsys))
		assert.Empty(t, fsys.Problems())
		u := fsys.Usage()
		assert.Equal(t, []int64{1, 9000, u.Removed}, []int64{int64(u.Files), u.FileBytes, fsys.Superblock().AllocUnit})
	}

	// Which file is replaced is decided at the commit.
	p, err := m.Create("g", 10, Replace())
	require.NoError(t, err)
	_, err = m.Create("g", 10, Replace())
	assert.ErrorIs(t, err, fs.ErrExist, "two at a time")
	q, err := m.Create("f", 10, Replace())
	require.NoError(t, err)
	require.NoError(t, m.Remove("f"))
	used := m.Usage().LogUsed
	require.NoError(t, q.Commit())
	require.NoError(t, p.Commit())
	assert.Equal(t, used+2, m.Usage().LogUsed)

	// A file that was given up has replaced nothing.
	p, err = m.Create("g", 20, Replace())
	require.NoError(t, err)
	require.NoError(t, p.Close())
	st, err := m.Stat("g")
	require.NoError(t, err)
	assert.EqualValues(t, 10, st.Size())
}

// For each pending file, and each that replaces another, the entries that it needs are reserved.
func TestReplaceLogFull(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	path := formatted(t, testSize, LogSize(minLogSize))
	m := openMaster(t, path)
	capacity := m.Usage().LogCapacity
	for _, name := range []string{"f", "g", "h"} {
		require.NoError(t, m.WriteFile(name, []byte{1}, 0o644))
	}
	fillLogBut(t, m, 3)
	require.Equal(t, capacity-3, m.Usage().LogUsed)
	p, err := m.Create("f", 1, Replace())
	require.NoError(t, err)
	_, err = m.Create("f2", 1, Replace())
	assert.ErrorIs(t, err, ErrLogFull)
	require.NoError(t, m.Remove("g"))
	assert.ErrorIs(t, m.Remove("h"), ErrLogFull)
	assert.ErrorIs(t, m.Mkdir("d", 0o755), ErrLogFull)
	require.NoError(t, p.Commit())
	assert.Equal(t, capacity, m.Usage().LogUsed)
	assert.ErrorIs(t, m.RemoveAll("h"), ErrLogFull)
	fsys := openTest(t, path)
	assert.Empty(t, fsys.Problems())
	assert.Equal(t, m.Usage(), fsys.Usage())
}

// fillLogBut makes and removes a directory until only n entries are free in the log.
func fillLogBut(t testing.TB, m *FS, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.replica
	first := r.next
	_, err := r.append(func() (int, error) { return int(lastIndex(r.sb.LogSize)+1-first) - n, nil }, func(i int, e *entry) {
		e.kind, e.path, e.mode = typeMkdir, []byte("~"), 0o755
		if i%2 == 1 {
			*e = entry{kind: typeRemoval, path: []byte("~"), removes: first + uint64(i) - 1}
		}
	})
	require.NoError(t, err)
	if _, ok := r.ns.lookup("~"); ok { // an odd number
		_, err = r.appendOne(&entry{kind: typeRemoval, path: []byte("~"), removes: r.next - 1})
		require.NoError(t, err)
	}
}

// Random operations, compared with a map: the master, a client that follows, and hosts that open
// the device see the same.
func TestRemoveAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { removeAgainstModel(t, seed) })
	}
}

func removeAgainstModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	path := formatted(t, testSize)
	m, client := openMaster(t, path), openTest(t, path)
	model := map[string]int64{} // sizes of files, -1 for directories
	pick := func() string {
		name := itoa(rng.IntN(4))
		for rng.IntN(3) > 0 && len(name) < 60 {
			name += "/" + itoa(rng.IntN(4))
		}
		return name
	}
	below := func(dir string) (in []string) {
		for name := range model {
			if strings.HasPrefix(name, dir+"/") {
				in = append(in, name)
			}
		}
		return in
	}
	for step := range 400 {
		name := pick()
		was, there := model[name]
		parent, parentThere := model[parentPath(name)]
		parentOK := parentPath(name) == "." || parentThere && parent < 0
		switch rng.IntN(5) {
		case 0:
			err := m.Mkdir(name, 0o755)
			require.Equal(t, !there && parentOK, err == nil, "seed %d, step %d: mkdir %s: %v", seed, step, name, err)
			if err == nil {
				model[name] = -1
			}
		case 1, 2:
			size := int64(rng.IntN(100) + 1)
			replace := rng.IntN(2) == 0
			opts := []CreateOption{nil}
			if replace {
				opts[0] = Replace()
			}
			p, err := m.Create(name, size, opts...)
			if errors.Is(err, ErrNoSpace) {
				require.Zero(t, m.Usage().Free)
				continue
			}
			require.Equal(t, parentOK && (!there || replace && was >= 0), err == nil, "seed %d, step %d: create %s: %v", seed, step, name, err)
			if err == nil {
				require.NoError(t, p.Commit())
				model[name] = size
			}
		case 3:
			err := m.Remove(name)
			require.Equal(t, there && len(below(name)) == 0, err == nil, "seed %d, step %d: remove %s: %v", seed, step, name, err)
			if err == nil {
				delete(model, name)
			}
		case 4:
			require.NoError(t, m.RemoveAll(name))
			for _, gone := range append(below(name), name) {
				delete(model, gone)
			}
		}
		if rng.IntN(10) == 0 {
			isModel(t, model, refreshed(t, client))
		}
		if rng.IntN(50) == 0 {
			isModel(t, model, openTest(t, path))
		}
		isModel(t, model, m)
	}
}

func isModel(t *testing.T, model map[string]int64, fsys *FS) {
	t.Helper()
	var want []string
	bytes, files := int64(0), 0
	for name, size := range model {
		if size < 0 {
			name += "/"
		} else {
			bytes += size
			files++
		}
		want = append(want, name)
	}
	slices.Sort(want)
	found := names(t, fsys)
	slices.Sort(found)
	require.Equal(t, want, found)
	u := fsys.Usage()
	require.Equal(t, []int64{int64(files), int64(len(want) - files), bytes}, []int64{int64(u.Files), int64(u.Dirs), u.FileBytes})
	require.Empty(t, fsys.Problems())
}

// A name that is replaced is there at every moment, both in lookups and in lists. A tree that is
// removed disappears at once, while lists and the table are swept.
func TestReplaceWhileReading(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	path := formatted(t, 4<<30)
	m, client := openMaster(t, path), openTest(t, path)
	require.NoError(t, m.Mkdir("d", 0o755))
	write := func(name string) {
		p, err := m.Create(name, 10, Replace())
		require.NoError(t, err)
		require.NoError(t, p.Commit())
	}
	write("d/f")
	refreshed(t, client)
	var done atomic.Bool
	var wait sync.WaitGroup
	wrong := make([]error, 4)
	for i, fsys := range []*FS{m, m, client, client} {
		wait.Go(func() {
			for !done.Load() && wrong[i] == nil {
				if i%2 == 0 {
					_, wrong[i] = fsys.Stat("d/f")
					continue
				}
				entries, err := fsys.ReadDir("d")
				if n := len(entries); err != nil || n != 1 && n != 3 {
					wrong[i] = fmt.Errorf("found %d entries: %w", n, errors.Join(err, fs.ErrInvalid))
				}
			}
		})
	}
	for i := range 500 {
		write("d/f")
		if i%3 == 0 {
			g, err := m.Create("d/g", 1, Replace())
			require.NoError(t, err)
			h, err := m.Create("d/h", 1, Replace())
			require.NoError(t, err)
			require.NoError(t, m.Commit(g, h))
			refreshed(t, client)
			func() { // both at once
				m.mu.Lock()
				defer m.mu.Unlock()
				var b batch
				require.NoError(t, m.append(&b, func() error {
					return errors.Join(m.addRemoval(&b, "d/g", false), m.addRemoval(&b, "d/h", false))
				}))
			}()
		}
		refreshed(t, client)
	}
	done.Store(true)
	wait.Wait()
	for _, err := range wrong {
		assert.NoError(t, err)
	}
	for _, fsys := range []*FS{m, client} {
		ns := fsys.replica.ns
		index, ok := ns.lookup("d")
		require.True(t, ok)
		assert.Less(t, *ns.node(index).removed(), int64(200), "the list was swept")
		assert.Less(t, ns.used, 200, "the table's slots were used again")
		assert.EqualValues(t, 1, *ns.node(index).live())
	}
}

// If a name is removed and made many thousand times, the memory for it is limited by the log.
func TestRemoveManyTimes(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	needsNoDevice(t)
	t.Parallel()
	path := formatted(t, testSize)
	m := openMaster(t, path)
	fillLogBut(t, m, 0)
	for _, fsys := range []*FS{m, openTest(t, path)} {
		assert.Empty(t, names(t, fsys))
		assert.Empty(t, fsys.Problems())
		assert.LessOrEqual(t, fsys.replica.ns.used, 1)
		assert.Zero(t, *fsys.replica.ns.root.removed())
		assert.Nil(t, fsys.replica.ns.swollen, "nothing is kept of what was swept")
	}
}

// What was appended at once becomes visible at once, even if it is more than is read at once.
func TestBatchAcrossBlocks(t *testing.T) {
	t.Parallel()
	const n = 7*slabNodes + 7
	m, path := master(t, testSize)
	client := openTest(t, path)
	var done atomic.Bool
	var wait sync.WaitGroup
	var rounds atomic.Int64
	wrong := make([]error, 4)
	for i, fsys := range []*FS{m, client} {
		wait.Go(func() {
			for !done.Load() && wrong[2+i] == nil {
				round := int(rounds.Load())
				_, first := fsys.Stat(itoa(round * n))
				_, last := fsys.Stat(itoa(round*n + n - 1))
				if first == nil && last != nil {
					wrong[2+i] = fmt.Errorf("the first of round %d is there, then the last is not: %w", round, last)
				}
			}
		})
		wait.Go(func() {
			for !done.Load() && wrong[i] == nil {
				if entries, err := fsys.ReadDir("."); err != nil || len(entries)%n != 0 {
					wrong[i] = fmt.Errorf("found %d directories: %w", len(entries), errors.Join(err, fs.ErrInvalid))
				}
				_, early := fsys.Stat(itoa(n - 1))
				_, late := fsys.Stat(itoa(0))
				if early == nil && late != nil {
					wrong[i] = fmt.Errorf("the last is there, then the first is not: %w", late)
				}
			}
		})
	}
	for round := range 4 {
		rounds.Store(int64(round))
		func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			r := m.replica
			_, err := r.append(func() (int, error) { return n, nil }, func(i int, e *entry) {
				e.kind, e.path, e.mode = typeMkdir, []byte(itoa(round*n+i)), 0o755
			})
			require.NoError(t, err)
		}()
		added, err := client.Refresh()
		require.NoError(t, err)
		assert.Equal(t, n, added)
	}
	done.Store(true)
	wait.Wait()
	assert.NoError(t, errors.Join(wrong...))
	assert.Equal(t, 4*n, client.Usage().Dirs)
}
