package famfs

// View: files as slices for the length of a call.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inRuns is the file of smallTree that lies in several runs.
const inRuns = "dir/interleave"

// viewable are the names of the files of smallTree that this system can show: all, but that
// some map single runs only.
func viewable() []string {
	if runtime.GOOS == "windows" {
		return []string{"simple", "dir/sub/one"}
	}
	return []string{"simple", "dir/sub/one", inRuns}
}

func TestView(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	files := smallTree(t, m)
	for _, fsys := range []*FS{m, openTest(t, path)} {
		for _, name := range viewable() {
			calls := 0
			require.NoError(t, fsys.View(name, func(data []byte) error {
				calls++
				assert.True(t, bytes.Equal(files[name], data), name)
				assert.Equal(t, len(data), cap(data), name)
				assert.Equal(t, name != inRuns, fsys.inAnyWindow(addressOf(data)), name)
				assert.Equal(t, name == inRuns, len(fsys.regions.regions) == 1, name)
				return nil
			}))
			assert.Equal(t, 1, calls)
			assert.Empty(t, fsys.regions.regions)
		}
	}
	if runtime.GOOS == "windows" {
		assert.ErrorIs(t, m.View(inRuns, func([]byte) error { return errors.New("not reached") }), ErrDevice)
	}
}

// unequal is an error that cannot be compared.
type unequal []string

func (unequal) Error() string { return "cannot be compared" }

// What fn returns is returned as it is, whatever it is.
func TestViewOwnError(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	smallTree(t, m)
	for _, name := range viewable() {
		for _, want := range []error{errors.New("own"), unequal{"a"}, &FaultError{Name: "of another"}, &fs.PathError{Op: "own", Path: "x", Err: fs.ErrClosed}} {
			assert.Equal(t, want, m.View(name, func([]byte) error { return want }))
		}
	}
}

func TestViewRefused(t *testing.T) {
	t.Parallel()
	fsys, path := master(t, testSize)
	smallTree(t, fsys)
	closed, err := Open(path, withDevices(path))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, test := range []struct {
		fsys *FS
		name string
		want error
	}{
		{fsys, "missing", fs.ErrNotExist},
		{fsys, "simple/x", fs.ErrNotExist},
		{fsys, "dir", fs.ErrInvalid},
		{fsys, ".", fs.ErrInvalid},
		{fsys, "", fs.ErrInvalid},
		{fsys, "/simple", fs.ErrInvalid},
		{fsys, "dir/../simple", fs.ErrInvalid},
		{closed, "simple", fs.ErrClosed},
	} {
		err := test.fsys.View(test.name, func([]byte) error {
			t.Errorf("%q was shown", test.name)
			return nil
		})
		assert.ErrorIs(t, err, test.want, test.name)
		var pathErr *fs.PathError
		if assert.ErrorAs(t, err, &pathErr) {
			assert.Equal(t, "view", pathErr.Op)
			assert.Equal(t, test.name, pathErr.Path)
		}
	}
	require.NoError(t, fsys.Close(), "what failed is not counted as open")
}

// No t.Parallel: what others allocate would count.
func TestViewAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m, _ := master(t, testSize)
	smallTree(t, m)
	total := 0
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		err := m.View("dir/sub/one", func(data []byte) error {
			total += len(data)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}))
	assert.Equal(t, 101, total)
}

// Close waits for fn, and what fn calls meanwhile finds the FS closed. Its slice stays.
func TestViewWhileClosing(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	files := smallTree(t, m)
	for _, name := range viewable() {
		fsys, err := Open(path, withDevices(path))
		require.NoError(t, err)
		in, end, done, closed := make(chan struct{}), make(chan struct{}), make(chan error), make(chan error, 1)
		go func() {
			done <- fsys.View(name, func(data []byte) error {
				close(in)
				<-end
				assert.True(t, bytes.Equal(files[name], data), "it is still there")
				assert.ErrorIs(t, fsys.View(name, nil), fs.ErrClosed)
				_, err := fsys.Map(name)
				assert.ErrorIs(t, err, fs.ErrClosed)
				return nil
			})
		}()
		<-in
		assert.NoError(t, fsys.View(name, func(data []byte) error {
			assert.True(t, bytes.Equal(files[name], data), "nobody waits for the other")
			return nil
		}))
		go func() { closed <- fsys.Close() }()
		for fsys.gate.isOpen() {
			runtime.Gosched()
		}
		assert.Empty(t, closed)
		assert.ErrorIs(t, fsys.Close(), fs.ErrClosed, "the other Close is at it")
		close(end)
		require.NoError(t, <-done)
		require.NoError(t, <-closed)
		assert.ErrorIs(t, fsys.View(name, nil), fs.ErrClosed)
	}
}

// Close in fn waits for nobody, however deep it is called: not for the View that runs fn, nor for
// others. An FS that nobody uses can be closed in a View of another.
func TestViewCloses(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	smallTree(t, m)
	var deep func(n int, do func() error) error
	deep = func(n int, do func() error) error {
		if n == 0 {
			return do()
		}
		return errors.Join(deep(n-1, do))
	}
	for _, name := range viewable() {
		other, err := Open(path, withDevices(path))
		require.NoError(t, err)
		for _, n := range []int{0, 1, 60, 61, 62, 63, 64, 200} {
			require.NoError(t, m.View(name, func([]byte) error {
				assert.ErrorIs(t, deep(n, m.Close), ErrBusy)
				return other.View(name, func([]byte) error {
					assert.ErrorIs(t, deep(n, m.Close), ErrBusy)
					assert.ErrorIs(t, deep(n, other.Close), ErrBusy)
					return nil
				})
			}))
		}
		require.NoError(t, m.View(name, func([]byte) error { return deep(100, other.Close) }))
		assert.ErrorIs(t, other.Close(), fs.ErrClosed)
	}
	require.False(t, insideView())
}

// fn may do what it likes, View of the same file too.
func TestViewNested(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	files := smallTree(t, m)
	for _, outer := range viewable() {
		for _, inner := range viewable() {
			assert.NoError(t, m.View(outer, func(a []byte) error {
				return m.View(inner, func(b []byte) error {
					assert.True(t, bytes.Equal(files[outer], a))
					assert.True(t, bytes.Equal(files[inner], b))
					_, err := m.Refresh()
					return err
				})
			}))
		}
		x, err := m.Map(outer)
		require.NoError(t, err)
		assert.NoError(t, m.View(outer, func(data []byte) error {
			if outer == inRuns {
				assert.Equal(t, addressOf(x.Bytes()), addressOf(data), "the mapping that there is")
			}
			return x.Close()
		}))
		assert.NoError(t, m.View(outer, func(data []byte) error {
			copied := "copy-of-" + must(m.Stat(outer)).Name()
			if err := m.WriteFile(copied, data, 0o644); err != nil {
				return err
			}
			return m.View(copied, func(again []byte) error {
				assert.True(t, bytes.Equal(data, again))
				return nil
			})
		}))
	}
	require.NoError(t, m.Close())
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// However fn ends, nothing is held afterwards.
func TestViewEnds(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	smallTree(t, m)
	for _, name := range viewable() {
		fsys := openTest(t, path)
		value := &struct{ int }{1}
		assert.PanicsWithValue(t, value, func() {
			fsys.View(name, func([]byte) error { panic(value) })
		})
		assert.False(t, debug.SetPanicOnFault(false), "the setting is as it was")
		assert.Panics(t, func() { fsys.View(name, nil) })
		assert.False(t, debug.SetPanicOnFault(false))
		done, returned := make(chan struct{}), false
		go func() {
			defer close(done)
			fsys.View(name, func([]byte) error {
				runtime.Goexit()
				return nil
			})
			returned = true
		}()
		<-done
		assert.False(t, returned)
		assert.Empty(t, fsys.regions.regions)
		require.NoError(t, fsys.Close())
	}
}

// A file that is removed or replaced stays what it was for who is looking at it.
func TestViewOfRemoved(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	files := smallTree(t, m)
	for _, name := range viewable() {
		unchanged := func(do func() error) {
			t.Helper()
			assert.NoError(t, m.View(name, func(data []byte) error {
				was := bytes.Clone(data)
				err := do()
				assert.True(t, bytes.Equal(was, data))
				return err
			}))
		}
		assert.NoError(t, m.View(name, func(data []byte) error {
			assert.True(t, bytes.Equal(files[name], data))
			return nil
		}))
		unchanged(func() error {
			p, err := m.Create(name, 10, Replace())
			if err != nil {
				return err
			}
			if _, err := p.Write(pattern(10, 7)); err != nil {
				return err
			}
			return p.Commit()
		})
		unchanged(func() error {
			return m.View(name, func(data []byte) error {
				assert.Equal(t, pattern(10, 7), data, "what is there now")
				return m.Remove(name)
			})
		})
		assert.ErrorIs(t, m.View(name, nil), fs.ErrNotExist)
	}
}

// A device that is formatted anew under fn is an error, unless fn has one of its own.
func TestViewReformatted(t *testing.T) {
	t.Parallel()
	own := errors.New("own")
	for _, name := range viewable() {
		for _, result := range []error{nil, own} {
			t.Run(fmt.Sprint(name, ", ", result), func(t *testing.T) {
				m, path := master(t, testSize)
				smallTree(t, m)
				require.NoError(t, m.Close())
				fsys := openTest(t, path)
				err := fsys.View(name, func([]byte) error {
					refill(t, path, 1)
					_, err := fsys.Refresh()
					assert.ErrorIs(t, err, ErrReformatted)
					return result
				})
				if result != nil {
					assert.Equal(t, own, err)
				} else {
					assert.ErrorIs(t, err, ErrReformatted)
					assert.ErrorContains(t, err, "view "+name)
				}
				assert.ErrorIs(t, fsys.View(name, func([]byte) error { return own }), ErrReformatted)
				require.NoError(t, fsys.Close())
				assert.ErrorIs(t, fsys.View(name, nil), fs.ErrClosed)
			})
		}
	}
}

// View does not find out that the device was formatted anew, and neither do others that read no log.
func TestViewDoesNotLookForOther(t *testing.T) {
	t.Parallel()
	for _, name := range viewable() {
		t.Run(name, func(t *testing.T) {
			m, path := master(t, testSize)
			files := smallTree(t, m)
			require.NoError(t, m.Close())
			fsys := openTest(t, path)
			refill(t, path, 1)
			require.NoError(t, fsys.View(name, func(data []byte) error {
				assert.True(t, bytes.Equal(files[name], data), "refill leaves the memory of files as it is")
				return nil
			}))
			data, err := fsys.ReadFile(name)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(files[name], data), name)
			_, err = fsys.Refresh()
			require.ErrorIs(t, err, ErrReformatted)
			assert.ErrorIs(t, fsys.View(name, func([]byte) error { return errors.New("called") }), ErrReformatted)
		})
	}
}

func TestViewConcurrent(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	files := smallTree(t, m)
	fsys := openTest(t, path)
	var viewers sync.WaitGroup
	for range 4 {
		viewers.Go(func() {
			for i := range 60 {
				name := viewable()[i%len(viewable())]
				assert.NoError(t, fsys.View(name, func(data []byte) error {
					assert.Equal(t, files[name][0], data[0])
					assert.Equal(t, files[name][len(data)-1], data[len(data)-1])
					return nil
				}))
				_, err := fsys.Refresh()
				assert.NoError(t, err)
			}
		})
	}
	for i := range 10 {
		require.NoError(t, m.WriteFile(itoa(i), []byte{1}, 0o644))
	}
	viewers.Wait()
	require.NoError(t, fsys.Close())
}

// A store is a fault, and so is every access to memory that is gone; whoever notices the
// fault, it has the name of the file whose memory it was.
func TestViewFault(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	require.NoError(t, c.mapping.Close()) // with it, its address would be known in another way
	is := func(err error, name string, offset int64) {
		t.Helper()
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, name, fault.Name)
		assert.Equal(t, offset, fault.Offset)
		assert.ErrorIs(t, err, ErrDevice)
	}
	load := func(b []byte, at int) error {
		if b[at] == 0 {
			return nil
		}
		return errors.New("not zero")
	}
	for _, at := range []int{cutAt, cutAt + 12345, cutSize - 1} {
		err := c.View("d/cut", func(data []byte) error { return load(data, at) })
		is(err, "d/cut", int64(at))
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr)
		assert.Equal(t, "view d/cut", pathErr.Op+" "+pathErr.Path)

		// A guard of fn's own, and View of another file.
		assert.NoError(t, c.View("d/cut", func(data []byte) error {
			is(Guard(func() error { return load(data, at) }), "d/cut", int64(at))
			is(c.View("d/whole", func([]byte) error { return load(data, at) }), "d/cut", int64(at))
			return nil
		}))
		err = c.View("d/whole", func([]byte) error {
			return c.View("d/cut", func(data []byte) error { return load(data, at) })
		})
		is(err, "d/cut", int64(at))
	}
	assert.NoError(t, c.View("d/cut", func(data []byte) error {
		assert.True(t, bytes.Equal(c.content[:cutAt], data[:cutAt]), "what is before the cut is as it was")
		return nil
	}))
	is(c.View("d/whole", func(data []byte) error {
		data[54321] = 1
		return nil
	}), "d/whole", 54321)
	assert.False(t, debug.SetPanicOnFault(false), "the setting is as it was")

	foreign := faultMemory(t, "of another")
	is(c.View("d/whole", func([]byte) error {
		foreign[77] = 1
		return nil
	}), "of another", 77)
	require.NoError(t, c.FS.Close())
}

func TestViewFaultInRuns(t *testing.T) {
	t.Parallel()
	needsFaults(t)
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut, nor maps several runs")
	}
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m := openMaster(t, path)
	smallTree(t, m)
	attr := must(m.Stat(inRuns)).Sys().(*Attr)
	// The first chunk of the strip that reaches furthest, but for its first page.
	last, at := 0, int64(0)
	for i, e := range attr.Layout.Extents {
		if e.Offset > at {
			last, at = i, e.Offset
		}
	}
	page := int64(os.Getpagesize())
	x := int64(last)*attr.Layout.Chunk + page
	require.NoError(t, os.Truncate(path, at+page))
	err := m.View(inRuns, func(data []byte) error {
		if data[x-1] == data[x+100] {
			return nil
		}
		return errors.New("not reached")
	})
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, inRuns, fault.Name)
	assert.Equal(t, x+100, fault.Offset)
	assert.False(t, fault.Closed)
	assert.Empty(t, m.regions.regions)
	require.NoError(t, m.Close())
}
