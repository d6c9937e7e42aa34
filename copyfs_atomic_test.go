package famfs

// Copying a tree that appears at one moment, and copying over what is there.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// version returns a tree whose files all have the content of one version.
func version(n uint64, more ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i, name := range append([]string{"a", "d/b", "d/e/c"}, more...) {
		tree[name] = &fstest.MapFile{Data: pattern(1000*(i+1), n), Mode: 0o640}
	}
	return tree
}

// isVersion checks that dir has that tree.
func isVersion(t *testing.T, fsys *FS, dir string, tree fstest.MapFS) {
	t.Helper()
	for name, file := range tree {
		data, err := fsys.ReadFile(dir + "/" + name)
		require.NoError(t, err)
		assert.Equal(t, file.Data, data, name)
	}
	assert.Empty(t, fsys.Problems())
}

func TestCopyFSReplace(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	ctx := context.Background()
	require.NoError(t, m.CopyFS(ctx, "x", version(1)))
	changed := version(1)
	changed["d/b"] = &fstest.MapFile{Data: pattern(2000, 7)} // of the same length
	changed["d/e/c"] = &fstest.MapFile{Data: pattern(10, 7)}
	err := m.CopyFS(ctx, "x", changed)
	require.ErrorIs(t, err, fs.ErrExist)
	isVersion(t, m, "x", version(1))
	used := m.Usage().LogUsed
	passed := 0
	require.NoError(t, m.CopyFS(ctx, "x", changed, CreateWith(Replace()), OnProgress(func(p Progress) {
		if p.Passed {
			passed++
		}
	})))
	assert.Equal(t, 1, passed)
	assert.Equal(t, used+4, m.Usage().LogUsed)
	isVersion(t, openTest(t, path), "x", changed)

	// A file does not replace a directory, nor a directory a file.
	for _, tree := range []fstest.MapFS{{"d": {Data: []byte{1}}}, {"a/f": {Data: []byte{1}}}} {
		for _, opts := range [][]CopyOption{{CreateWith(Replace())}, {CreateWith(Replace()), Atomically()}} {
			used := m.Usage().LogUsed
			assert.ErrorIs(t, m.CopyFS(ctx, "x", tree, opts...), fs.ErrExist)
			assert.Equal(t, used, m.Usage().LogUsed)
		}
	}
}

// ReplaceOnly replaces what it names, at one moment or one by one, and nothing else: not even what
// others make meanwhile, which fails an atomic copy as a whole.
func TestCopyFSReplaceOnly(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	ctx := context.Background()
	for dir, opts := range map[string][]CopyOption{"one by one": nil, "at once": {Atomically()}} {
		only := func(names ...string) []CopyOption {
			return append([]CopyOption{ReplaceOnly(func(name string) bool { return slices.Contains(names, strings.TrimPrefix(name, dir+"/")) })}, opts...)
		}
		require.NoError(t, m.CopyFS(ctx, dir, version(1)))
		changed := version(1)
		changed["d/b"] = &fstest.MapFile{Data: pattern(2000, 7)}
		used := m.Usage().LogUsed
		require.NoError(t, m.CopyFS(ctx, dir, changed, only("d/b")...))
		assert.Equal(t, used+2, m.Usage().LogUsed)
		isVersion(t, m, dir, changed)

		err := m.CopyFS(ctx, dir, version(2), only("a", "d/b")...)
		require.ErrorIs(t, err, fs.ErrExist)
		assert.ErrorContains(t, err, "d/e/c is there already")
		want := version(2)
		want["d/e/c"] = changed["d/e/c"]
		if dir == "at once" {
			want = changed
		}
		isVersion(t, m, dir, want)
	}
}

func TestCopyFSAtomically(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	client := openTest(t, path)
	ctx := context.Background()
	var told []Progress
	atOnce := func(tree fs.FS, opts ...CopyOption) error {
		told = nil
		opts = append(opts, Atomically(), OnProgress(func(p Progress) { told = append(told, p) }))
		return m.CopyFS(ctx, "x/y", tree, opts...)
	}
	require.NoError(t, atOnce(version(1)))
	assert.Len(t, told, 3)
	assert.Equal(t, Progress{Name: told[2].Name, Done: true, Files: 3, Bytes: 6000}, told[2])
	assert.Equal(t, 3+4, m.Usage().LogUsed)
	isVersion(t, refreshed(t, client), "x/y", version(1))
	st, err := client.Stat("x/y/a")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o640), st.Mode())

	require.NoError(t, atOnce(version(1)), "again")
	assert.Len(t, told, 3)
	assert.True(t, told[0].Passed)
	assert.Equal(t, 3+4, m.Usage().LogUsed)

	// A new version replaces an old one, at one moment.
	require.ErrorIs(t, atOnce(version(2, "new/f")), fs.ErrExist)
	isVersion(t, refreshed(t, client), "x/y", version(1))
	_, err = client.Stat("x/y/new")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, atOnce(version(2, "new/f"), CreateWith(Replace())))
	isVersion(t, client, "x/y", version(1))
	n, err := client.Refresh()
	require.NoError(t, err)
	assert.Equal(t, 3+3+2, n)
	isVersion(t, client, "x/y", version(2, "new/f"))
	isVersion(t, openTest(t, path), "x/y", version(2, "new/f"))
}

// If anything goes wrong, nothing is there, and no space stays taken.
func TestCopyFSAtomicallyFails(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize, LogSize(minLogSize))
	require.NoError(t, m.Mkdir("there", 0o755))
	fillLogBut(t, m, 20)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	with := func(name string, file *fstest.MapFile) fs.FS {
		tree := version(1)
		tree[name] = file
		return tree
	}
	many, dirs := fstest.MapFS{}, fstest.MapFS{}
	for i := range 20 {
		many[fmt.Sprint(i)] = &fstest.MapFile{Data: []byte{1}}
		dirs[fmt.Sprint(i)] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	for _, c := range []struct {
		name string
		tree fs.FS
		want error
	}{
		{"empty file", with("d/empty", &fstest.MapFile{}), fs.ErrInvalid},
		{"link", with("d/link", &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("a")}), fs.ErrInvalid},
		{"no name", with("d/\xff", &fstest.MapFile{Data: []byte{1}}), fs.ErrInvalid},
		{"log full of files", many, ErrLogFull},
		{"log full of directories", dirs, ErrLogFull},
		{"device full", nil, ErrNoSpace},
		{"source fails", failingTree{version(1)}, errSource},
		{"ended", version(1), context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch c.name {
			case "ended":
				stop()
			case "device full":
				needsFile(t, "the source is as large as the device")
				c.tree = with("d/big", &fstest.MapFile{Data: make([]byte, m.Usage().Free)})
			}
			before := m.Usage()
			err := m.CopyFS(ctx, "there/x", c.tree, Atomically())
			require.ErrorIs(t, err, c.want)
			assert.Equal(t, before, m.Usage())
			assert.Equal(t, []string{"there/"}, names(t, m))
			assert.Equal(t, before, openTest(t, path).Usage())
			assert.Zero(t, m.promised)
			require.NoError(t, openMaster(t, path, WithLockTimeout(time.Minute)).RemoveAll("nothing"), "the lock comes free, at the latest when a lease ends")
		})
	}
	assert.NoError(t, m.Close())
	assert.ErrorIs(t, m.CopyFS(context.Background(), "x", version(1), Atomically()), fs.ErrClosed)
}

var errSource = errors.New("the source failed")

// failingTree is a tree with one file that cannot be read to its end.
type failingTree struct{ fstest.MapFS }

func (f failingTree) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if name == "d/e/c" && err == nil {
		return failingFile{file}, nil
	}
	return file, err
}

type failingFile struct{ fs.File }

func (failingFile) Read([]byte) (int, error) { return 0, errSource }

// A file that changes meanwhile is left out, if that is requested; otherwise nothing is copied.
func TestCopyFSAtomicallyChanged(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	tree := changingTree{version(1)}
	assert.ErrorIs(t, m.CopyFS(context.Background(), "x", tree, Atomically()), ErrChanged)
	assert.Empty(t, names(t, m))
	require.NoError(t, m.CopyFS(context.Background(), "x", tree, Atomically(), SkipChanged()))
	assert.Equal(t, []string{"x/", "x/a", "x/d/", "x/d/b", "x/d/e/"}, names(t, m))
	require.NoError(t, m.Close(), "nothing is pending")
}

// changingTree has a file that is longer at its opening than in its listing.
type changingTree struct{ fstest.MapFS }

func (c changingTree) Open(name string) (fs.File, error) {
	if name == "d/e/c" {
		return fstest.MapFS{"c": {Data: make([]byte, 12345)}}.Open("c")
	}
	return c.MapFS.Open(name)
}

// A source that panics leaves nothing behind.
func TestCopyFSAtomicallyPanics(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	assert.PanicsWithValue(t, "source", func() {
		_ = m.CopyFS(context.Background(), "x", panickingTree{version(1)}, Atomically())
	})
	assert.Empty(t, names(t, m))
	assert.Zero(t, m.promised)
	require.NoError(t, m.CopyFS(context.Background(), "x", version(1), Atomically()))
	require.NoError(t, m.Close())
}

type panickingTree struct{ fstest.MapFS }

func (p panickingTree) Open(name string) (fs.File, error) {
	file, err := p.MapFS.Open(name)
	if name == "d/e/c" && err == nil {
		return panickingFile{file}, nil
	}
	return file, err
}

type panickingFile struct{ fs.File }

func (panickingFile) Read([]byte) (int, error) { panic("source") }

// Room in the log is reserved for the directories too, whatever else this FS makes meanwhile.
func TestCopyFSAtomicallyKeepsRoom(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize, LogSize(minLogSize))
	fillLogBut(t, m, 6)
	var refused error
	require.NoError(t, m.CopyFS(context.Background(), "x", meanwhile{version(1), func() { refused = m.Mkdir("y", 0o755) }}, Atomically()))
	assert.ErrorIs(t, refused, ErrLogFull)
	isVersion(t, openTest(t, path), "x", version(1))
}

// meanwhile is a tree that does something when one of its files is opened.
type meanwhile struct {
	fstest.MapFS
	do func()
}

func (m meanwhile) Open(name string) (fs.File, error) {
	if name == "d/e/c" {
		m.do()
	}
	return m.MapFS.Open(name)
}

// Directories obey the rules for names, as files do.
func TestCopyFSAtomicallyDirNames(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	for name, dir := range map[string]string{"long": strings.Repeat("x", 80), "reserved": ".meta", "not UTF-8": "\xff"} {
		t.Run(name, func(t *testing.T) {
			m, _ := master(t, testSize)
			src := dirNamed(dir)
			assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src), fs.ErrInvalid)
			assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src, Atomically()), fs.ErrInvalid)
			assert.Empty(t, names(t, m))
			assert.Zero(t, m.Usage().LogUsed)
		})
	}
	m, _ := master(t, testSize)
	longest := strings.Repeat("x", maxPath)
	require.NoError(t, m.CopyFS(context.Background(), longest, fstest.MapFS{}, Atomically()))
	assert.Equal(t, []string{longest + "/"}, names(t, m))
}

// dirNamed is a tree with one directory of any name.
func dirNamed(name string) fs.FS {
	return oddlyNamed{fstest.MapFS{"d": {Mode: fs.ModeDir | 0o755}}, name}
}

type oddlyNamed struct {
	fstest.MapFS
	name string
}

func (o oddlyNamed) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, nil
	}
	st, err := o.MapFS.Stat("d")
	return []fs.DirEntry{fs.FileInfoToDirEntry(renamed{st, o.name})}, err
}

type renamed struct {
	fs.FileInfo
	name string
}

func (r renamed) Name() string { return r.name }

// A file that was passed over must still be there when the rest appears.
func TestCopyFSAtomicallyPassedOver(t *testing.T) {
	t.Parallel()
	src := fstest.MapFS{"a": {Data: pattern(5, 1)}, "b": {Data: pattern(5, 2)}}
	for name, change := range map[string]func(*FS) error{
		"removed": func(m *FS) error { return m.Remove("a") },
		"replaced": func(m *FS) error {
			p, err := m.Create("a", 1, Replace())
			if err != nil {
				return err
			}
			return p.Commit()
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := master(t, testSize)
			require.NoError(t, m.WriteFile("a", pattern(5, 1), 0o644))
			err := m.CopyFS(context.Background(), ".", src, Atomically(), OnProgress(func(p Progress) {
				if p.Passed {
					assert.NoError(t, change(m))
				}
			}))
			assert.ErrorIs(t, err, fs.ErrNotExist)
			assert.ErrorContains(t, err, `"a" was there with the same content`)
			assert.NotContains(t, names(t, m), "b")
		})
	}
	// A directory that is removed meanwhile is made again.
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("a", pattern(5, 1), 0o644))
	src["d"] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	require.NoError(t, m.CopyFS(context.Background(), ".", src, Atomically(), OnProgress(func(p Progress) {
		if p.Passed {
			assert.NoError(t, m.Remove("d"))
		}
	})))
	assert.Equal(t, []string{"a", "b", "d/"}, names(t, openTest(t, path)))
}

// No directory is made in place of a pending file, nor a file in place of a planned directory.
func TestCopyFSAtomicallyInTheWay(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p := pendingFileOf(t, m, "x")
	err := m.CopyFS(context.Background(), "x", fstest.MapFS{"d": {Mode: fs.ModeDir | 0o755}}, Atomically())
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.NoError(t, p.Commit())
	used := m.Usage().LogUsed
	err = m.CopyFS(context.Background(), ".", twice{fstest.MapFS{"y": {Mode: fs.ModeDir | 0o755}}}, Atomically())
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.Equal(t, used, m.Usage().LogUsed)
	assert.Equal(t, []string{"x"}, names(t, m))
}

// twice is a tree that lists the directory y as a file too.
type twice struct{ fstest.MapFS }

func (d twice) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := d.MapFS.ReadDir(name)
	if name == "." {
		st, err := fstest.MapFS{"y": {Data: []byte("1")}}.Stat("y")
		return append(list, fs.FileInfoToDirEntry(st)), err
	}
	return list, err
}

func (d twice) Open(name string) (fs.File, error) {
	if name == "y" {
		return fstest.MapFS{"y": {Data: []byte("1")}}.Open("y")
	}
	return d.MapFS.Open(name)
}

// A source that has become empty has changed.
func TestCopyFSAtomicallyEmptied(t *testing.T) {
	t.Parallel()
	src := emptied{fstest.MapFS{"a": {Data: make([]byte, 5)}, "b": {Data: make([]byte, 5)}}}
	for name, there := range map[string]bool{"new": false, "there": true} {
		t.Run(name, func(t *testing.T) {
			m, _ := master(t, testSize)
			want := []string{"b"}
			if there {
				require.NoError(t, m.WriteFile("a", make([]byte, 5), 0o644))
				want = []string{"a", "b"}
			}
			assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src, Atomically()), ErrChanged)
			require.NoError(t, m.CopyFS(context.Background(), ".", src, Atomically(), SkipChanged()))
			assert.Equal(t, want, names(t, m))
		})
	}
}

// emptied is a tree whose file a is empty when it is opened.
type emptied struct{ fstest.MapFS }

func (e emptied) Open(name string) (fs.File, error) {
	if name == "a" {
		return fstest.MapFS{"a": {}}.Open("a")
	}
	return e.MapFS.Open(name)
}

// A source that changes while it is compared with the file there is left out, and reported once,
// in all ways of copying.
func TestCopyFSChangedWhileCompared(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]CopyOption{"each": nil, "atomically": {Atomically()}, "each, replacing": {CreateWith(Replace())}, "atomically, replacing": {Atomically(), CreateWith(Replace())}} {
		t.Run(name, func(t *testing.T) {
			m, _ := master(t, testSize)
			require.NoError(t, m.WriteFile("a", make([]byte, 10), 0o644))
			src := func() fs.FS { return shrinking{fstest.MapFS{"a": {Data: make([]byte, 5)}}} }
			assert.ErrorIs(t, m.CopyFS(context.Background(), ".", src(), opts...), ErrChanged)
			changed := 0
			opts := append(slices.Clone(opts), SkipChanged(), OnProgress(func(p Progress) {
				if p.Changed {
					changed++
				}
			}))
			assert.NoError(t, m.CopyFS(context.Background(), ".", src(), opts...))
			assert.Equal(t, 1, changed)
			assert.EqualValues(t, 10, m.Usage().FileBytes)
		})
	}
}

// shrinking is a tree whose file a first claims to be longer than it is.
type shrinking struct{ fstest.MapFS }

func (s shrinking) ReadDir(name string) ([]fs.DirEntry, error) {
	st, err := s.MapFS.Stat("a")
	return []fs.DirEntry{fs.FileInfoToDirEntry(longer{st})}, err
}

func (s shrinking) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	if name == "a" {
		return &shrinkingFile{File: f}, err
	}
	return f, err
}

type shrinkingFile struct {
	fs.File
	asked int
}

func (f *shrinkingFile) Stat() (fs.FileInfo, error) {
	st, err := f.File.Stat()
	if f.asked++; f.asked == 1 {
		return longer{st}, err
	}
	return st, err
}

type longer struct{ fs.FileInfo }

func (longer) Size() int64 { return 10 }
