package famfs

// Copying trees: what is copied, what is passed over, and what ends the copy.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sourceTree() fstest.MapFS {
	return fstest.MapFS{
		"a":           {Data: pattern(100, 1), Mode: 0o600},
		"dir/b":       {Data: pattern(3*mib+1, 2), Mode: 0o644},
		"dir/sub/c":   {Data: pattern(4096, 3), Mode: 0o444},
		"dir/sub/d":   {Data: pattern(9*mib, 4), Mode: 0o640},
		"dir/nothing": {Mode: fs.ModeDir | 0o700},
	}
}

func assertTree(t testing.TB, fsys *FS, dir string, src fstest.MapFS) {
	t.Helper()
	sub, err := fs.Sub(fsys, dir)
	require.NoError(t, err)
	for name, file := range src {
		st, err := fs.Stat(sub, name)
		require.NoError(t, err)
		assert.Equal(t, file.Mode, st.Mode(), name)
		if !st.IsDir() {
			data, err := fs.ReadFile(sub, name)
			require.NoError(t, err)
			assert.Equal(t, hexSum(file.Data), hexSum(data), name)
		}
	}
}

func TestCopyFS(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "to/here"} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s by %d", path.Base(dir), workers), func(t *testing.T) { testCopyFS(t, dir, workers) })
		}
	}
}

func testCopyFS(t *testing.T, dir string, workers int) {
	m, device := master(t, testSize)
	src := sourceTree()
	var last Progress
	done := 0
	require.NoError(t, m.CopyFS(context.Background(), dir, src, Workers(workers), OnProgress(func(p Progress) {
		last = p
		if p.Done {
			done++
		}
		assert.False(t, p.Passed)
	}), CreateWith(Interleave(Interleaving{2, 4, 2 * mib}))))
	assert.Equal(t, 4, done)
	assert.Equal(t, 4, last.Files)
	assert.Equal(t, int64(100+3*mib+1+4096+9*mib), last.Bytes)
	assertTree(t, openTest(t, device), dir, src)

	// Again: everything is there, and nothing is written.
	before := readMetadata(t, device)
	passed := 0
	require.NoError(t, m.CopyFS(context.Background(), dir, src, OnProgress(func(p Progress) {
		assert.True(t, p.Passed)
		passed++
	})))
	assert.Equal(t, 4, passed)
	assert.Equal(t, before, readMetadata(t, device))
}

func TestCopyFSResumes(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	src := sourceTree()
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("enough")
	err := m.CopyFS(ctx, "x", src, Workers(1), OnProgress(func(p Progress) {
		if p.Done {
			cancel(stop)
		}
	}))
	assert.ErrorIs(t, err, stop)
	assert.Equal(t, 1, m.Usage().Files, "no half files")
	require.NoError(t, m.CopyFS(context.Background(), "x", src))
	assertTree(t, m, "x", src)
}

// The error of a copy that its context ended wraps the cause, and nothing else of the context.
func TestCopyFSCause(t *testing.T) {
	t.Parallel()
	own := errors.New("enough")
	for name, opts := range map[string][]CopyOption{"one by one": {Workers(1)}, "at one moment": {Workers(1), Atomically()}} {
		for _, cause := range []error{nil, own} {
			t.Run(fmt.Sprint(name, ", ", cause), func(t *testing.T) {
				m, _ := master(t, testSize)
				ctx, cancel := context.WithCancelCause(context.Background())
				end := OnProgress(func(Progress) { cancel(cause) })
				for _, when := range []string{"while it copies", "before it begins"} {
					err := m.CopyFS(ctx, "x", sourceTree(), append(opts, end)...)
					assert.ErrorIs(t, err, context.Cause(ctx), when)
					assert.Equal(t, cause == nil, errors.Is(err, context.Canceled), "%s: %v", when, err)
				}
			})
		}
	}
}

// mostOpen is a source that counts how many of its files are open at the same time.
type mostOpen struct {
	fstest.MapFS
	open, most atomic.Int32
}

func (s *mostOpen) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	if st, statErr := fs.Stat(s.MapFS, name); err != nil || statErr != nil || st.IsDir() {
		return f, err
	}
	for now := s.open.Add(1); ; {
		most := s.most.Load()
		if now <= most || s.most.CompareAndSwap(most, now) {
			break
		}
	}
	time.Sleep(time.Millisecond) // so that others open theirs
	return &countedOpen{f, s}, nil
}

// countedOpen is a file of a mostOpen.
type countedOpen struct {
	fs.File
	of *mostOpen
}

func (f *countedOpen) Close() error {
	f.of.open.Add(-1)
	return f.File.Close()
}

// As many files as Workers says are copied at a time, and one if it says less than that.
func TestCopyFSWorkers(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for i := range 12 {
		files[fmt.Sprint("f", i)] = &fstest.MapFile{Data: pattern(4096, uint64(i+1)), Mode: 0o644}
	}
	for workers, want := range map[int]int32{-3: 1, 0: 1, 1: 1, 3: 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			m, _ := master(t, testSize)
			src := &mostOpen{MapFS: files}
			require.NoError(t, m.CopyFS(context.Background(), "x", src, Workers(workers)))
			assert.LessOrEqual(t, src.most.Load(), want)
			assertTree(t, m, "x", files)
		})
	}
}

// A file that cannot be copied is reported, and does not stop the others.
func TestCopyFSUnsuitable(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("a", pattern(100, 99), 0o644))
	require.NoError(t, m.Mkdir("dir", 0o755))
	require.NoError(t, m.WriteFile("dir/b", []byte("short"), 0o644))
	src := sourceTree()
	src["empty"] = &fstest.MapFile{Mode: 0o644}
	src["link"] = &fstest.MapFile{Mode: fs.ModeSymlink | 0o777, Data: []byte("a")}
	src["dir/bad\x00name"] = &fstest.MapFile{Data: []byte("x")}
	err := m.CopyFS(context.Background(), ".", src)
	for _, want := range []string{"empty: is empty", "copy link: has type L", "a is there already and has other content", "dir/b is there already and has 5 bytes instead of 3145729", "holds a NUL"} {
		assert.ErrorContains(t, err, want)
	}
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorIs(t, err, fs.ErrInvalid)
	delete(src, "a")
	delete(src, "dir/b")
	delete(src, "empty")
	delete(src, "link")
	delete(src, "dir/bad\x00name")
	assertTree(t, m, ".", src)
}

func TestCopyFSEnds(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, 16*mib)
	rest, err := m.Create("rest", m.Usage().LargestFree-4*mib)
	require.NoError(t, err)
	require.NoError(t, rest.Commit())
	err = m.CopyFS(context.Background(), ".", sourceTree())
	assert.ErrorIs(t, err, ErrNoSpace)
	assert.ErrorIs(t, m.CopyFS(context.Background(), "../x", sourceTree()), fs.ErrInvalid)
	assert.Empty(t, m.pending)
}

// hookFS is a file system that calls hooks before its operations.
type hookFS struct {
	fs.FS
	hook func(op, name string)
}

func (h hookFS) Open(name string) (fs.File, error) {
	h.hook("open", name)
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return hookDir{f.(fs.ReadDirFile), h, name}, nil
	}
	return hookFile{f, h.hook, name}, err
}

type hookFile struct {
	fs.File
	hook func(op, name string)
	name string
}

func (f hookFile) Stat() (fs.FileInfo, error) { f.hook("stat", f.name); return f.File.Stat() }
func (f hookFile) Read(p []byte) (int, error) { f.hook("read", f.name); return f.File.Read(p) }
func (f hookFile) Close() error               { f.hook("close", f.name); return f.File.Close() }

type hookDir struct {
	fs.ReadDirFile
	h    hookFS
	name string
}

func (d hookDir) ReadDir(n int) ([]fs.DirEntry, error) {
	d.h.hook("readdir", d.name)
	return d.ReadDirFile.ReadDir(n)
}

// Files of another writer are found, whenever it made them.
func TestCopyFSBehind(t *testing.T) {
	t.Parallel()
	m, device := master(t, testSize)
	other := openTest(t, device, ReadWrite())
	src := sourceTree()
	require.NoError(t, other.CopyFS(context.Background(), "x", src))
	passed := func(p Progress) { assert.True(t, p.Passed, p.Name) }
	require.NoError(t, m.CopyFS(context.Background(), "x", src, OnProgress(passed)))

	// During the copy: files that are not there when it begins.
	late := hookFS{src, func(op, name string) {
		if file := src[name]; op == "open" && file != nil && !file.Mode.IsDir() {
			assert.NoError(t, other.MkdirAll(path.Dir(path.Join("y", name)), 0o755))
			assert.NoError(t, other.WriteFile(path.Join("y", name), file.Data, file.Mode))
		}
	}}
	require.NoError(t, m.CopyFS(context.Background(), "y", late, Workers(1), OnProgress(passed)))
	for name, file := range src {
		data, err := m.ReadFile(path.Join("y", name))
		if file.Mode.IsDir() {
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, hexSum(file.Data), hexSum(data), name)
	}
	// Other content is still an error.
	late.hook = func(op, name string) {
		if op == "open" && name == "a" {
			assert.NoError(t, other.WriteFile("z/a", []byte("other"), 0o600))
		}
	}
	err := m.CopyFS(context.Background(), "z", late, Workers(1))
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorContains(t, err, "z/a is there already and has 5 bytes instead of 100")
}

func TestCopyFSIntoItself(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	t.Parallel()
	needsFile(t, "the test needs more than one device")
	m, device := master(t, 128*mib)
	require.NoError(t, m.MkdirAll("a/b", 0o755))
	require.NoError(t, m.WriteFile("a/f", []byte("x"), 0o644))
	require.NoError(t, m.WriteFile("a/b/g", []byte("y"), 0o644))
	image, err := os.ReadFile(device)
	require.NoError(t, err)
	clone := filepath.Join(testDir(t), "clone")
	require.NoError(t, os.WriteFile(clone, image, 0o600))
	sub := func(fsys fs.FS, dir string) fs.FS {
		s, err := fs.Sub(fsys, dir)
		require.NoError(t, err)
		return s
	}
	link := filepath.Join(filepath.Dir(device), "link")
	require.NoError(t, os.Link(device, link))
	again := openTest(t, link)
	for name, test := range map[string]struct {
		dir string
		src fs.FS
	}{
		"into a folder of it":    {"zz", m},
		"onto itself":            {".", m},
		"a part, into itself":    {"a", sub(m, "a")},
		"a part, further down":   {"a/b/c", sub(m, "a")},
		"as another FS":          {"zz", again},
		"as a part of another":   {"a/b", sub(again, "a")},
		"hidden in another tree": {"zz/top/x", prefixFS{"top", m}},
	} {
		before := readMetadata(t, device)
		err := m.CopyFS(context.Background(), test.dir, test.src)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		assert.ErrorContains(t, err, "is a part of it", name)
		if name != "hidden in another tree" {
			assert.Equal(t, before, readMetadata(t, device), name)
		}
	}
	for dir, src := range map[string]fs.FS{"b": sub(m, "a"), "ab": sub(m, "a"), "c": sub(m, "a/b"), "clone": openTest(t, clone)} {
		require.NoError(t, m.CopyFS(context.Background(), dir, src), dir)
	}
	data, err := m.ReadFile("b/b/g")
	require.NoError(t, err)
	assert.Equal(t, "y", string(data))
	_, err = m.Stat("clone/a/b/g")
	assert.NoError(t, err)
}

// prefixFS has one file system in one directory.
type prefixFS struct {
	dir string
	fs.FS
}

func (p prefixFS) Open(name string) (fs.File, error) {
	if name == "." {
		return fstest.MapFS{p.dir: {Mode: fs.ModeDir | 0o755}}.Open(".")
	}
	if name == p.dir {
		return p.FS.Open(".")
	}
	return p.FS.Open(strings.TrimPrefix(name, p.dir+"/"))
}

// sizedFS reports another size for each of its files.
type sizedFS struct {
	fs.FS
	size func(n int64) int64
}

func (s sizedFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if _, ok := f.(fs.ReadDirFile); ok || err != nil {
		return f, err
	}
	return sizedFile{f, s.size}, nil
}

type sizedFile struct {
	fs.File
	size func(int64) int64
}

func (s sizedFile) Stat() (fs.FileInfo, error) {
	st, err := s.File.Stat()
	return sizedInfo{st, s.size(st.Size())}, err
}

type sizedInfo struct {
	fs.FileInfo
	size int64
}

func (s sizedInfo) Size() int64 { return s.size }

// A source that is longer or shorter than it claims makes no file, and does not count as equal
// to the file that is there.
func TestCopyFSLyingSource(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	for _, n := range []int{10, 3*mib + 1} {
		src := fstest.MapFS{"f": {Data: pattern(n, 1)}}
		for name, test := range map[string]struct {
			add  int64
			want error
		}{"longer": {-1, io.ErrShortWrite}, "shorter": {1, io.ErrUnexpectedEOF}} {
			lying := sizedFS{src, func(n int64) int64 { return n + test.add }}
			dir := fmt.Sprintf("%s-%d", name, n)
			err := m.CopyFS(context.Background(), dir, lying)
			assert.ErrorIs(t, err, test.want, dir)
			assert.NotErrorIs(t, err, ErrChanged, dir)
			_, err = m.Stat(dir + "/f")
			assert.ErrorIs(t, err, fs.ErrNotExist, dir)

			// The beginning of the file is there.
			there := make([]byte, int64(n)+test.add)
			copy(there, src["f"].Data)
			require.NoError(t, m.WriteFile(dir+"/f", there, 0o644))
			err = m.CopyFS(context.Background(), dir, lying)
			assert.ErrorIs(t, err, test.want, dir)
			assert.ErrorContains(t, err, "copy f: ", dir)
		}
	}
	assert.Empty(t, m.pending)
}

// misreadFile is a file with a bad Read.
type misreadFile struct {
	fs.File
	read func(p []byte) (int, error)
}

func (f misreadFile) Read(p []byte) (int, error) { return f.read(p) }

type misreadFS struct {
	fs.FS
	read func(p []byte) (int, error)
}

func (b misreadFS) Open(name string) (fs.File, error) {
	f, err := b.FS.Open(name)
	if _, ok := f.(fs.ReadDirFile); ok || err != nil {
		return f, err
	}
	return misreadFile{f, b.read}, nil
}

// Mistakes of a source are errors, whether it is copied or compared with the file that is there.
// A fault of its memory does not end the program in either case.
func TestCopyFSBadReader(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	gone := newCutFS(t).mapping.Bytes()[4*mib:]
	const size = 5000
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		read func(p []byte) (int, error)
		want error
	}{
		"fault":               {func(p []byte) (int, error) { return copy(p, gone), nil }, ErrDevice},
		"negative":            {func([]byte) (int, error) { return -1, nil }, errBadReader},
		"too much":            {func(p []byte) (int, error) { return len(p) + 1, nil }, errBadReader},
		"nothing for ever":    {func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
		"error with the rest": {func(p []byte) (int, error) { return copy(p, make([]byte, size)), broken }, broken},
	} {
		m := openTest(t, secondBacking(t), ReadWrite())
		src := misreadFS{fstest.MapFS{"f": {Data: make([]byte, size)}}, test.read}
		assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src), test.want, "%s, copied", name)
		_, err := m.Stat("f")
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
		require.NoError(t, m.WriteFile("f", make([]byte, size), 0o644))
		assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src), test.want, "%s, compared", name)
	}
}

func TestCopyFSChangedSource(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 256*mib)
	change := map[string]func(t *testing.T, name string){
		"time": func(t *testing.T, name string) {
			require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(time.Hour)))
		},
		"longer": func(t *testing.T, name string) {
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
			require.NoError(t, err)
			_, err = f.WriteString("more")
			require.NoError(t, errors.Join(err, f.Close()))
		},
		"shorter": func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, 5)) },
	}
	for name, change := range change {
		for _, skip := range []bool{false, true} {
			dir := t.TempDir()
			for _, file := range []string{"a", "changes", "z"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, file), pattern(3*mib, 1), 0o600))
			}
			var once sync.Once
			src := hookFS{os.DirFS(dir), func(op, file string) {
				if op == "read" && file == "changes" {
					once.Do(func() { change(t, filepath.Join(dir, file)) })
				}
			}}
			target := fmt.Sprintf("%s-%v", name, skip)
			var changed []string
			var last Progress
			opts := []CopyOption{OnProgress(func(p Progress) {
				if last = p; p.Changed {
					changed = append(changed, p.Name)
					assert.False(t, p.Done || p.Passed)
				}
			})}
			if skip {
				opts = append(opts, SkipChanged())
			}
			err := m.CopyFS(context.Background(), target, src, opts...)
			if skip {
				assert.NoError(t, err, target)
				assert.Equal(t, []string{target + "/changes"}, changed)
			} else {
				assert.ErrorIs(t, err, ErrChanged, target)
				assert.ErrorContains(t, err, "copy changes: ", target)
				assert.Empty(t, changed)
			}
			assert.Equal(t, 2, last.Files, "a and z are copied")
			_, err = m.Stat(target + "/changes")
			assert.ErrorIs(t, err, fs.ErrNotExist, target)
			// It does not change all the time.
			require.NoError(t, m.CopyFS(context.Background(), target, os.DirFS(dir)), target)
		}
	}
}

// A source on a device that is formatted anew while it is copied, or compared, makes no file.
func TestCopyFSReformattedSource(t *testing.T) {
	needsFile(t, "it takes two devices")
	t.Parallel()
	m, _ := master(t, 256*mib)
	source := func() (*FS, string) {
		from, path := master(t, 128*mib)
		require.NoError(t, from.WriteFile("f", pattern(3*copyPiece, 1), 0o644))
		require.NoError(t, from.Close())
		return openTest(t, path), path
	}
	from, path := source()
	require.NoError(t, m.CopyFS(context.Background(), "compared", from))
	refill(t, path, 1)
	assert.ErrorIs(t, m.CopyFS(context.Background(), "compared", from), ErrReformatted)

	from, path = source()
	var once sync.Once
	err := m.CopyFS(context.Background(), "copied", from, OnProgress(func(Progress) {
		once.Do(func() { refill(t, path, 1) })
	}))
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = m.Stat("copied/f")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// The error names something on the device that is not a file.
func TestCopyFSOntoDirectory(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.Mkdir("f", 0o755))
	require.NoError(t, m.WriteFile("d", []byte("x"), 0o644))
	err := m.CopyFS(context.Background(), ".", fstest.MapFS{"f": {Data: []byte("x")}, "d/x": {Data: []byte("x")}})
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.ErrorContains(t, err, "f is there already and is a directory")
	assert.ErrorContains(t, err, "a file stands there")
}

// CreateFrom is asked about each file and directory, and what it returns comes after the mode and
// before CreateWith. Its panic is the caller's.
func TestCopyFSCreateFrom(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	src := fstest.MapFS{"d/f": {Data: []byte("f"), Sys: uint32(7)}, "g": {Data: []byte("g"), Sys: uint32(8)}, "d": {Mode: fs.ModeDir | 0o750, Sys: uint32(9)}}
	from := CreateFrom(func(st fs.FileInfo) []CreateOption {
		if id, ok := st.Sys().(uint32); ok {
			return []CreateOption{Owner(id, id+100), Mode(0o701)}
		}
		return nil
	})
	for dir, opts := range map[string][]CopyOption{"each": {from}, "atomic": {from, Atomically()}, "later": {CreateWith(Mode(0o711)), from}} {
		require.NoError(t, m.CopyFS(t.Context(), dir, src, opts...))
		for name, id := range map[string]uint32{"d/f": 7, "g": 8, "d": 9} {
			st, err := m.Stat(dir + "/" + name)
			require.NoError(t, err)
			attr := st.Sys().(*Attr)
			assert.Equal(t, []uint32{id, id + 100}, []uint32{attr.UID, attr.GID}, name)
			assert.Equal(t, map[bool]fs.FileMode{false: 0o701, true: 0o711}[dir == "later"], st.Mode().Perm(), name)
		}
	}
	assert.PanicsWithValue(t, "from", func() {
		m.CopyFS(t.Context(), "panics", src, CreateFrom(func(fs.FileInfo) []CreateOption { panic("from") }))
	})
	require.NoError(t, m.WriteFile("after", []byte("x"), 0o644), "nothing is left locked")
}

func TestCopyFSCreateWith(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	src := fstest.MapFS{"d/f": {Data: []byte("x"), Mode: 0o644}}
	require.NoError(t, m.CopyFS(context.Background(), ".", src, CreateWith(Mode(0o700), Owner(3, 4)), CreateWith(WithContext(gone))))
	for _, name := range []string{"d", "d/f"} {
		st, err := m.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o700), st.Mode().Perm(), name)
		attr := st.Sys().(*Attr)
		assert.Equal(t, [2]uint32{3, 4}, [2]uint32{attr.UID, attr.GID}, name)
	}
}

// A copy that waits for another writer's lock, for a directory or for a file, waits only until
// its context ends, whatever CreateWith says.
func TestCopyFSContextWhileLocked(t *testing.T) {
	t.Parallel()
	m, device := master(t, testSize)
	patient := openTest(t, device, ReadWrite(), WithLockTimeout(time.Hour))
	p, err := m.Create("pending", 1)
	require.NoError(t, err)
	defer p.Close()
	for _, name := range []string{"f", "d/f"} {
		// On a slow machine the copy may not have reached the lock in the first of these times.
		var err error
		for limit := 20 * time.Millisecond; limit < 10*time.Second && !errors.Is(err, ErrLocked); limit *= 2 {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			err = patient.CopyFS(ctx, ".", fstest.MapFS{name: {Data: []byte("x")}}, CreateWith(WithContext(context.Background())))
			cancel()
		}
		assert.ErrorIs(t, err, context.DeadlineExceeded, name)
		assert.ErrorIs(t, err, ErrLocked, name)
	}
}

// Files that are being copied when another one fails are finished.
func TestCopyFSFinishesOthers(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, testSize)
	free := m.Usage().LargestFree
	reading, ended := make(chan struct{}), make(chan struct{})
	var once sync.Once
	src := hookFS{sizedFS{fstest.MapFS{
		"a-begun":     {Data: pattern(3*mib, 1)},
		"b-too-large": {Data: []byte("x")},
		"c":           {Data: []byte("x")},
	}, func(n int64) int64 {
		if n == 1 {
			return free
		}
		return n
	}}, func(op, name string) {
		switch {
		case op == "read" && name == "a-begun":
			once.Do(func() {
				close(reading)
				<-ended // until the other has failed
			})
		case op == "open" && name == "b-too-large":
			<-reading
		case op == "close" && name == "b-too-large":
			// The error is noted after this. One more piece of the first file is read then, so
			// that an ended context would be noticed.
			time.AfterFunc(20*time.Millisecond, func() { close(ended) })
		}
	}}
	err := m.CopyFS(context.Background(), ".", src, Workers(2))
	assert.ErrorIs(t, err, ErrNoSpace)
	data, err := m.ReadFile("a-begun")
	require.NoError(t, err)
	assert.Equal(t, hexSum(pattern(3*mib, 1)), hexSum(data))
}

// A panic in anything that CopyFS calls reaches the caller of CopyFS, from any goroutine, and
// leaves nothing behind.
func TestCopyFSPanics(t *testing.T) {
	t.Parallel()
	m, device := master(t, 256*mib)
	src := sourceTree()
	ends := map[string]struct {
		end  func()
		want any
	}{"panic": {func() { panic(errBroken) }, errBroken}, "Goexit": {runtime.Goexit, nil}}
	for name, way := range ends {
		for _, at := range []string{"open dir/b", "stat dir/b", "read dir/b", "close dir/b", "readdir dir/sub", "progress"} {
			for _, workers := range []int{1, 4} {
				dir := fmt.Sprintf("%s-%s-%d", name, strings.ReplaceAll(at, "/", "-"), workers)
				hooked := hookFS{src, func(op, name string) {
					if op+" "+name == at {
						way.end()
					}
				}}
				panicked, returned := ending(func() {
					m.CopyFS(context.Background(), dir, hooked, Workers(workers), OnProgress(func(Progress) {
						if at == "progress" {
							way.end()
						}
					}))
				})
				assert.False(t, returned, dir)
				assert.Equal(t, way.want, panicked, dir)
				assert.Empty(t, m.pending, dir)
				require.NoError(t, openTest(t, device, ReadWrite(), WithLockTimeout(time.Minute)).Mkdir("free-"+dir, 0o755), "the lock comes free, at the latest when a lease ends")
			}
		}
	}
	require.NoError(t, m.CopyFS(context.Background(), "whole", src))
	assertTree(t, m, "whole", src)
	require.NoError(t, m.Close())
}
