package famfs

// Memory faults: Guard by itself, and a file system whose backing file is cut, which is a good
// substitute for memory that fails.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faultMemory returns memory with a known name on which a store is a fault.
func faultMemory(t testing.TB, name string) []byte {
	t.Helper()
	needsFaults(t)
	d := testDevice(t, fileBacking(t, 4*mib), false)
	r, err := d.mapSegments([]segment{{0, mib}}, false, false)
	require.NoError(t, err)
	t.Cleanup(func() { r.unmap() })
	mapped.add(r.mem, name)
	t.Cleanup(func() { mapped.remove(r.mem) })
	return r.mem
}

func TestGuardPassesErrors(t *testing.T) {
	t.Parallel()
	assert.NoError(t, Guard(func() error { return nil }))
	want := errors.New("a caller's own")
	assert.Same(t, want, Guard(func() error { return want }))
	nested := Guard(func() error { return Guard(func() error { return want }) })
	assert.Same(t, want, nested)
	sum := 0
	require.NoError(t, Guard(func() error {
		for i := range 10 {
			sum += i
		}
		return nil
	}))
	assert.Equal(t, 45, sum)
}

// addressed is a panic value with the same method as the runtime's faults.
type addressed struct{}

func (addressed) Addr() uintptr { return 0x1234 }

// Guard handles only memory faults.
func TestGuardPassesPanics(t *testing.T) {
	t.Parallel()
	noSuch, three := []byte(nil), 3
	null := func() *int { return nil }
	noMap := func() map[string]int { return nil }
	text := "text"
	tests := map[string]struct {
		panics func()
		check  func(t *testing.T, recovered any)
	}{
		"value": {func() { panic(text) }, func(t *testing.T, r any) { assert.Equal(t, text, r) }},
		"error": {func() { panic(io.ErrUnexpectedEOF) }, func(t *testing.T, r any) { assert.Equal(t, io.ErrUnexpectedEOF, r) }},
		"fault error": {func() { panic(&FaultError{Addr: 1}) }, func(t *testing.T, r any) {
			assert.Equal(t, &FaultError{Addr: 1}, r)
		}},
		"nil":            {func() { panic(nil) }, func(t *testing.T, r any) { assert.IsType(t, &runtime.PanicNilError{}, r) }},
		"out of range":   {func() { noSuch[three] = 1 }, isRuntimeError},
		"nil pointer":    {func() { *null() = 1 }, isRuntimeError},
		"nil map":        {func() { noMap()[text] = 1 }, isRuntimeError},
		"division":       {func() { three = 1 / len(noSuch) }, isRuntimeError},
		"with an Addr()": {func() { panic(addressed{}) }, func(t *testing.T, r any) { assert.Equal(t, addressed{}, r) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() { assert.False(t, debug.SetPanicOnFault(false), "the setting is as it was") }()
			recovered := func() (r any) {
				var err error
				defer func() {
					if r = recover(); r == nil {
						r = fmt.Errorf("no panic, but error %w", err)
					}
				}()
				err = Guard(func() error {
					test.panics()
					return nil
				})
				return nil
			}()
			test.check(t, recovered)
		})
	}
}

func isRuntimeError(t *testing.T, r any) {
	var err runtime.Error
	require.ErrorAs(t, r.(error), &err)
	var fault *FaultError
	assert.NotErrorAs(t, err, &fault)
}

// If fn ends its goroutine, as t.FailNow does, the goroutine ends; that is not a fault.
func TestGuardGoexit(t *testing.T) {
	t.Parallel()
	returned, cleaned := false, false
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { cleaned = true }()
		Guard(func() error {
			runtime.Goexit()
			return nil
		})
		returned = true
	}()
	<-done
	assert.False(t, returned)
	assert.True(t, cleaned)
}

func TestGuardFault(t *testing.T) {
	t.Parallel()
	mem := faultMemory(t, "a/file")
	for _, at := range []int{0, 1, 4095, 4096, 54321, len(mem) - 1} {
		err := Guard(func() error {
			mem[at] = 1
			return errors.New("not reached")
		})
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, FaultError{Name: "a/file", Offset: int64(at), Addr: addressOf(mem) + uintptr(at)}, *fault)
		assert.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, fmt.Sprintf("memory fault in a/file at offset %d ", at))
		assert.NotErrorIs(t, err, fs.ErrNotExist)
		assert.False(t, debug.SetPanicOnFault(false), "the setting is as it was")
	}
}

// Nested guards: the inner one catches the fault, the outer one still works, and each restores
// the setting.
func TestGuardNested(t *testing.T) {
	t.Parallel()
	mem := faultMemory(t, "nested")
	store := func(at int) func() error {
		return func() error {
			mem[at] = 1
			return nil
		}
	}
	var inner error
	outer := Guard(func() error {
		inner = Guard(store(10))
		require.Error(t, Guard(store(30)))
		return store(20)()
	})
	var fault *FaultError
	require.ErrorAs(t, inner, &fault)
	assert.EqualValues(t, 10, fault.Offset)
	require.ErrorAs(t, outer, &fault)
	assert.EqualValues(t, 20, fault.Offset)
	assert.False(t, debug.SetPanicOnFault(false))

	debug.SetPanicOnFault(true)
	require.Error(t, Guard(store(40)))
	assert.True(t, debug.SetPanicOnFault(false), "the caller's own setting is kept")
}

// Deferred functions of fn run, so that fn can release what it holds.
func TestGuardRunsDeferred(t *testing.T) {
	t.Parallel()
	mem := faultMemory(t, "deferred")
	var order []string
	err := Guard(func() error {
		defer func() { order = append(order, "first") }()
		defer func() { order = append(order, "second") }()
		mem[0] = 1
		return nil
	})
	require.Error(t, err)
	assert.Equal(t, []string{"second", "first"}, order)
}

func TestGuardConcurrent(t *testing.T) {
	t.Parallel()
	mem := faultMemory(t, "shared")
	const goroutines = 8
	wrong := make(chan error)
	for g := range goroutines {
		go func() {
			wrong <- func() error {
				for i := range 200 {
					at := g*1000 + i
					err := Guard(func() error {
						mem[at] = 1
						return nil
					})
					var fault *FaultError
					if !errors.As(err, &fault) || fault.Offset != int64(at) || fault.Name != "shared" {
						return fmt.Errorf("fault at %d: %w", at, err)
					}
				}
				return nil
			}()
		}()
	}
	for range goroutines {
		assert.NoError(t, <-wrong)
	}
}

// The address book keeps its ranges apart, down to the byte, and also those that are closed.
func TestAddressBook(t *testing.T) {
	t.Parallel()
	var book addressBook
	memory := bytes.Repeat([]byte{1}, 300) // on the heap: stacks move
	start := addressOf(memory)
	type place struct {
		name   string
		offset int64
		closed bool
	}
	unknown := place{"", -1, false}
	find := func(at int) (p place) {
		p.name, p.offset, p.closed, _, _ = book.find(start + uintptr(at))
		return p
	}
	assert.Equal(t, unknown, find(0))
	book.add(memory[:100], "first")
	book.add(memory[100:200], "second")
	for at, want := range map[int]place{
		-1: unknown, 0: {"first", 0, false}, 99: {"first", 99, false}, 100: {"second", 0, false},
		199: {"second", 99, false}, 200: unknown, 299: unknown,
	} {
		assert.Equal(t, want, find(at), "%d", at)
	}
	book.remove(memory[:100])
	for at, want := range map[int]place{-1: unknown, 0: {"first", 0, true}, 99: {"first", 99, true}, 100: {"second", 0, false}} {
		assert.Equal(t, want, find(at), "%d", at)
	}
	book.remove(memory[:100])
	book.add(memory[50:150], "third") // as if the address had been used again
	for at, want := range map[int]place{49: {"first", 49, true}, 50: {"third", 0, false}} {
		assert.Equal(t, want, find(at), "%d", at)
	}
	book.remove(memory[50:150])
	assert.Equal(t, place{"third", 0, true}, find(50), "closed after the first")
	book.remove(memory[100:200])
	assert.Empty(t, book.entries)
	assert.Equal(t, place{"second", 99, true}, find(199))

	for i := range rememberClosed {
		assert.Equal(t, place{"second", 99, true}, find(199), "after %d others", i)
		book.add(memory[:1], itoa(i))
		book.remove(memory[:1])
	}
	assert.Equal(t, unknown, find(199), "not remembered for ever")
	assert.Equal(t, place{itoa(rememberClosed - 1), 0, true}, find(0), "the last")
	runtime.KeepAlive(memory)
}

// A fault in a mapping that is already closed when Guard looks still gets a name, unless the
// address belongs to something else by then.
func TestGuardClosed(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell what is mapped")
	}
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	var addr uintptr
	deferred := func(after func(mem []byte)) error {
		return Guard(func() error {
			x, err := m.Map("f")
			if err != nil {
				return err
			}
			addr = addressOf(x.Bytes())
			mem := x.Bytes()
			defer func() {
				assert.NoError(t, x.Close())
				after(mem)
			}()
			mem[4321] = 1
			return nil
		})
	}
	var fault *FaultError
	require.ErrorAs(t, deferred(func([]byte) {}), &fault)
	assert.Equal(t, FaultError{Name: "f", Offset: 4321, Addr: addr + 4321, Closed: true}, *fault)
	assert.ErrorIs(t, fault, ErrDevice)
	assert.ErrorContains(t, fault, "memory fault in f at offset 4321 (address")
	assert.ErrorContains(t, fault, "which was closed")

	used := Guard(func() error { // after Close
		x, err := m.Map("f")
		if err != nil {
			return err
		}
		mem := x.Bytes()
		addr = addressOf(mem)
		if err := x.Close(); err != nil {
			return err
		}
		mem[7] = 1
		return nil
	})
	require.ErrorAs(t, used, &fault)
	assert.Equal(t, FaultError{Name: "f", Offset: 7, Addr: addr + 7, Closed: true}, *fault)
}

func TestFaultErrorText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "memory fault in d/f at offset 7 (address 0x1234): the memory is gone, failed, or mapped read-only", (&FaultError{Name: "d/f", Offset: 7, Addr: 0x1234}).Error())
	assert.Equal(t, "memory fault in d/f at offset 7 (address 0x1234), which was closed: its memory was used after Close, or it was gone, failed, or mapped read-only before a deferred Close",
		(&FaultError{Name: "d/f", Offset: 7, Addr: 0x1234, Closed: true}).Error())
	assert.Equal(t, "memory fault at address 0x1234, outside every famfs mapping", (&FaultError{Offset: -1, Addr: 0x1234}).Error())
}

// cutFS is a file system whose backing file ends cutAt bytes into the file "d/cut", which has
// cutSize; "d/whole" lies before it.
type cutFS struct {
	*FS
	path    string
	content []byte
	mapping *Mapping
}

const (
	cutSize = 5*mib + 123
	cutAt   = 3 * mib

	// cachesFault says that flushing memory that is gone must fault: emulators of other
	// processors ignore the instructions.
	cachesFault = runtime.GOARCH == "amd64"
)

func newCutFS(t testing.TB, opts ...Option) *cutFS {
	t.Helper()
	needsFaults(t)
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut")
	}
	path := fileBacking(t, 32*mib)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	writer := openTest(t, path, ReadWrite())
	require.NoError(t, writer.Mkdir("d", 0o755))
	require.NoError(t, writer.WriteFile("d/whole", pattern(100_000, 1), 0o644))
	content := pattern(cutSize, 2)
	require.NoError(t, writer.WriteFile("d/cut", content, 0o644))
	require.NoError(t, writer.Close())

	fsys := openTest(t, path, opts...)
	m, err := fsys.Map("d/cut")
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() }) // before the file system
	st, err := fsys.Stat("d/cut")
	require.NoError(t, err)
	layout := st.Sys().(*Attr).Layout
	require.Len(t, layout.Extents, 1)
	require.NoError(t, os.Truncate(path, layout.Extents[0].Offset+cutAt))
	return &cutFS{fsys, path, content, m}
}

// requireCut checks that err is a fault in the part of the file that was cut off, and within the
// requested bytes.
func (c *cutFS) requireCut(t testing.TB, err error, from, to int64) {
	t.Helper()
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	require.ErrorIs(t, err, ErrDevice)
	assert.Equal(t, "d/cut", fault.Name)
	assert.GreaterOrEqual(t, fault.Offset, max(from, cutAt))
	assert.Less(t, fault.Offset, to)
	assert.ErrorContains(t, err, "d/cut")
}

// requireClose checks that a file system whose memory is gone can be closed.
func (c *cutFS) requireClose(t testing.TB) {
	t.Helper()
	assert.ErrorIs(t, c.FS.Close(), ErrBusy)
	require.NoError(t, c.mapping.Close())
	require.NoError(t, c.FS.Close())
	assert.ErrorIs(t, c.FS.Close(), fs.ErrClosed)
}

func TestFaultInMapping(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	mem := c.mapping.Bytes()
	assert.True(t, bytes.Equal(c.content[:cutAt], mem[:cutAt]), "what is before the cut is as it was")
	read := 0
	err := Guard(func() error {
		for i, b := range mem {
			if b != c.content[i] {
				return fmt.Errorf("byte %d: found %d, want %d", i, b, c.content[i])
			}
			read++
		}
		return nil
	})
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, FaultError{Name: "d/cut", Offset: cutAt, Addr: addressOf(mem) + cutAt, Gone: true}, *fault)
	assert.Equal(t, cutAt, read)

	// The same if assembly reads.
	err = Guard(func() error {
		sha256.Sum256(mem)
		return nil
	})
	c.requireCut(t, err, 0, cutSize)
	err = Guard(func() error {
		bytes.Equal(mem, c.content)
		return nil
	})
	c.requireCut(t, err, 0, cutSize)

	// The same for flushing memory that is gone.
	require.NoError(t, c.mapping.FlushRange(0, cutAt))
	require.NoError(t, c.mapping.InvalidateRange(cutAt-100, 100))
	if cachesFault {
		c.requireCut(t, c.mapping.Flush(), 0, cutSize)
		c.requireCut(t, c.mapping.InvalidateRange(cutAt, 1), cutAt, cutAt+1)
	}
	c.requireClose(t)
}

func TestFaultInMapPopulate(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	_, err := c.Map("d/cut", Populate())
	require.ErrorIs(t, err, ErrDevice)
	assert.ErrorContains(t, err, "d/cut")
	m, err := c.Map("d/whole", Populate())
	require.NoError(t, err)
	assert.Equal(t, pattern(100_000, 1), m.Bytes())
	require.NoError(t, m.Close())
	c.requireClose(t)
}

func TestFaultInReading(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	data, err := c.ReadFile("d/cut")
	c.requireCut(t, err, 0, cutSize)
	assert.Nil(t, data)
	_, err = fs.ReadFile(c.FS, "d/cut")
	c.requireCut(t, err, 0, cutSize)

	file, err := c.Open("d/cut")
	require.NoError(t, err)
	at := file.(io.ReaderAt)
	buffer := make([]byte, mib)
	n, err := at.ReadAt(buffer, cutAt-mib)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(c.content[cutAt-mib:cutAt], buffer[:n]), "up to the cut")
	for _, test := range []struct{ from, n int64 }{{cutAt, 1}, {cutAt, 10}, {cutAt + 12345, 100}, {cutAt - 5000, 10_000}, {cutAt - mib + 1, mib}, {cutSize - 1, 1}, {cutSize - 1, 10}} {
		_, err := at.ReadAt(buffer[:test.n], test.from)
		c.requireCut(t, err, test.from, min(test.from+test.n, cutSize))
		var pathErr *fs.PathError
		require.ErrorAs(t, err, &pathErr)
		assert.Equal(t, "read", pathErr.Op)
		assert.Equal(t, "d/cut", pathErr.Path)
	}
	_, err = file.(io.Seeker).Seek(cutAt+100, io.SeekStart)
	require.NoError(t, err)
	_, err = file.Read(buffer[:50])
	c.requireCut(t, err, cutAt+100, cutAt+150)
	require.NoError(t, file.Close())

	whole, err := c.ReadFile("d/whole")
	require.NoError(t, err, "other files are as they were")
	assert.Equal(t, pattern(100_000, 1), whole)
	c.requireClose(t)
}

// WriteTo passes the memory itself, so the fault happens in the writer.
func TestFaultInWriteTo(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	writers := map[string]func() (io.Writer, func() []byte){
		"buffer": func() (io.Writer, func() []byte) {
			var b bytes.Buffer
			return &b, b.Bytes
		},
		"hash": func() (io.Writer, func() []byte) { return sha256.New(), nil },
	}
	for name, make := range writers {
		t.Run(name, func(t *testing.T) {
			file, err := c.Open("d/cut")
			require.NoError(t, err)
			w, written := make()
			n, err := file.(io.WriterTo).WriteTo(w)
			c.requireCut(t, err, 0, cutSize)
			assert.Equal(t, int64(cutAt/writeToPiece*writeToPiece), n)
			if written != nil {
				assert.True(t, bytes.Equal(c.content[:n], written()[:n]))
			}
			_, err = io.Copy(sha256.New(), file)
			c.requireCut(t, err, n, cutSize)
			require.NoError(t, file.Close())
		})
	}
	c.requireClose(t)
}

// A system call that is given memory that is gone returns EFAULT. That becomes a fault at the
// byte where the memory ends.
func TestFaultInSystemCall(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	pipe := func(t *testing.T) (in, out *os.File) {
		out, in, err := os.Pipe()
		require.NoError(t, err)
		t.Cleanup(func() { in.Close(); out.Close() })
		go io.Copy(io.Discard, out)
		return in, out
	}
	writers := map[string]func(t *testing.T) io.Writer{
		"file": func(t *testing.T) io.Writer {
			f, err := os.Create(filepath.Join(t.TempDir(), "out"))
			require.NoError(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		},
		"pipe": func(t *testing.T) io.Writer { in, _ := pipe(t); return in },
		"wrapped": func(t *testing.T) io.Writer {
			in, _ := pipe(t)
			return writerFunc(func(b []byte) (int, error) {
				n, err := in.Write(b)
				if err != nil {
					err = fmt.Errorf("upload: %w", err)
				}
				return n, err
			})
		},
	}
	for name, make := range writers {
		t.Run(name, func(t *testing.T) {
			for _, from := range []int64{0, cutAt - 100, cutAt, cutAt + 777} {
				file, err := c.Open("d/cut")
				require.NoError(t, err)
				_, err = file.(io.Seeker).Seek(from, io.SeekStart)
				require.NoError(t, err)
				n, err := file.(io.WriterTo).WriteTo(struct{ io.Writer }{make(t)})
				c.requireCut(t, err, from, cutSize)
				assert.LessOrEqual(t, n, max(cutAt-from, 0))
				assert.ErrorIs(t, err, syscall.EFAULT, "what the writer said is kept")
				var pathErr *fs.PathError
				require.ErrorAs(t, err, &pathErr)
				assert.Equal(t, "d/cut", pathErr.Path)
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.Less(t, fault.Offset, max(from, cutAt)+int64(os.Getpagesize()), "the first page that is gone")
				at, err := file.(io.Seeker).Seek(0, io.SeekCurrent)
				require.NoError(t, err)
				assert.Equal(t, from+n, at)
				require.NoError(t, file.Close())
			}
		})
	}
	c.requireClose(t)
}

// A fault of the memory that takes the bytes is not a fault of the file.
func TestFaultOfTheTaker(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(3*mib, 1)
	require.NoError(t, m.WriteFile("good", content, 0o644))
	require.NoError(t, m.WriteFile("taker", pattern(3*mib, 2), 0o644))
	taker, err := m.Map("taker") // read-only
	require.NoError(t, err)
	defer taker.Close()
	unknown := faultMemory(t, "nobody's")
	mapped.remove(unknown)
	file, err := m.Open("good")
	require.NoError(t, err)

	for name, memory := range map[string][]byte{"taker": taker.Bytes()[5000:], "": unknown[5000:]} {
		_, err = file.(io.ReaderAt).ReadAt(memory, 100)
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, name, fault.Name)
		if name != "" {
			assert.GreaterOrEqual(t, fault.Offset, int64(5000))
			assert.NotContains(t, fault.Error(), "good")
		}
		n, err := file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) { return copy(memory, b), nil }))
		fault, ok := err.(*FaultError)
		require.True(t, ok, "%v: bare, as it does not belong to the file", err)
		assert.Equal(t, name, fault.Name)
		assert.Zero(t, n)
	}

	broken := &FaultError{Name: "of another", Offset: 3}
	for _, own := range []error{syscall.EFAULT, io.ErrClosedPipe, broken, &os.PathError{Op: "write", Path: "x", Err: syscall.EFAULT}} {
		n, err := file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) { return 0, own }))
		assert.True(t, own == err, "%v: the writer's own, as the file's memory is sound", err)
		assert.Zero(t, n)
	}
	_, err = file.(io.WriterTo).WriteTo(writerFunc(func(b []byte) (int, error) { return len(b), nil }))
	require.NoError(t, err)
	data, err := m.ReadFile("good")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
}

// The log itself is gone: Refresh says so, and what was replayed is still there.
func TestFaultInRefresh(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{"reader": nil, "writer": {ReadWrite()}, "tolerant": {Tolerant()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCutFS(t, opts...)
			n, err := c.Refresh()
			require.NoError(t, err, "the log is still there")
			assert.Zero(t, n)
			require.NoError(t, os.Truncate(c.path, 0))
			for range 2 {
				n, err = c.Refresh()
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, "famfs: refresh "+c.path)
				assert.Zero(t, n)
				assert.Equal(t, c.path, fault.Name)
				assert.GreaterOrEqual(t, fault.Offset, int64(logOffset))
				assert.Less(t, fault.Offset, int64(logOffset+logHeaderSize+64))
			}
			st, err := c.Stat("d/whole")
			require.NoError(t, err)
			assert.EqualValues(t, 100_000, st.Size())
			_, err = c.ReadFile("d/whole")
			var fault *FaultError
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, "d/whole", fault.Name)
			c.requireClose(t)
		})
	}
}

// Creating fails if the memory is gone, at any step, and afterwards the file system can be closed.
func TestFaultInCreate(t *testing.T) {
	t.Parallel()
	c := newCutFS(t, ReadWrite())
	p, err := c.Create("new", mib)
	require.NoError(t, err, "its space is not touched before it is written")
	_, err = p.Write(make([]byte, 100))
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, "new", fault.Name)
	assert.Less(t, fault.Offset, int64(100))
	n, err := p.ReadFrom(bytes.NewReader(make([]byte, 1000)))
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, "new", fault.Name)
	assert.Zero(t, n)
	require.ErrorAs(t, p.Commit(), &fault, "what could not be written is not committed")
	require.NoError(t, p.Close())
	_, err = c.Stat("new")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, c.WriteFile("other", []byte("x"), 0o644), ErrDevice)

	require.NoError(t, os.Truncate(c.path, 0))
	_, err = c.Create("third", mib)
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, c.path, fault.Name)
	require.ErrorAs(t, c.Mkdir("fourth", 0o755), &fault)
	c.requireClose(t)
}

// Opening a device that is cut while its log is being read is the same as opening one that
// fails. Here it is cut from the start, because a mapping cannot be larger than the file.
func TestFaultInOpen(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	require.NoError(t, os.Truncate(c.path, 3*mib))
	_, err := Open(c.path, WithSystemUUID(testHost))
	require.ErrorIs(t, err, ErrCorrupt, "what is left is too small for the log")
	c.requireClose(t)
}

// The hardware stops a store to a file that is mapped for reading, and nothing changes, whatever
// rights the host has.
func TestFaultWritingReadOnlyMapping(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	for name, opts := range map[string][]Option{"reader": nil, "writer": {ReadWrite()}, "client writes": {WithClientWrites()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := formatted(t, testSize)
			writer := openTest(t, path, ReadWrite())
			require.NoError(t, writer.WriteFile("f", pattern(3*mib, 4), 0o644))
			require.NoError(t, writer.Close())
			fsys := openTest(t, path, opts...)
			m, err := fsys.Map("f")
			require.NoError(t, err)
			defer m.Close()
			mem := m.Bytes()
			for _, at := range []int{0, 1, mib + 7, 3*mib - 1} {
				err := Guard(func() error {
					mem[at] ^= 0xff
					return nil
				})
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.Equal(t, FaultError{Name: "f", Offset: int64(at), Addr: addressOf(mem) + uintptr(at)}, *fault)
			}
			err = Guard(func() error {
				clear(mem[mib : mib+100])
				return nil
			})
			var fault *FaultError
			require.ErrorAs(t, err, &fault)
			assert.GreaterOrEqual(t, fault.Offset, int64(mib))
			assert.Less(t, fault.Offset, int64(mib+100))
			data, err := fsys.ReadFile("f")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(pattern(3*mib, 4), data))
		})
	}
}

// cutWhilePausing cuts the device when memory is about to be read again, as if it had been
// removed then.
func cutWhilePausing(path string, to int64, after int) Option {
	return openOption(func(c *openConfig) {
		c.pause = func(time.Duration) {
			if after--; after < 0 {
				os.Truncate(path, to)
			}
		}
	})
}

// corruptLog returns a device with a log of n entries, of which the last is corrupt.
func corruptLog(t testing.TB, n int) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut")
	}
	f := newForgery(t)
	m, err := Open(f.path, ReadWrite(), WithSystemUUID(testHost))
	require.NoError(t, err)
	for i := range n {
		require.NoError(t, m.Mkdir(itoa(i), 0o755))
	}
	require.NoError(t, m.Close())
	f.entry(uint64(n-1), nil, flip(entryCRC))
	return f.path
}

// Memory goes away while a device is being opened or checked: when the log is first read again,
// or last; in one goroutine, or several.
func TestFaultWhileOpening(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	for _, c := range []struct {
		name    string
		entries int
		to      int64
		after   int
	}{
		{"at once", 3, 0, 0},
		{"the log", 3, logOffset, 0},
		{"at last", 3, 0, len(settleTimes) - 2},
		{"many entries", 3 * slabNodes, 0, 0},
	} {
		for name, open := range map[string]func(string, ...Option) error{
			"open": func(path string, opts ...Option) error {
				_, err := Open(path, opts...)
				return err
			},
			"open tolerant": func(path string, opts ...Option) error {
				_, err := Open(path, append(opts, Tolerant())...)
				return err
			},
			"open for writing": func(path string, opts ...Option) error {
				_, err := Open(path, append(opts, ReadWrite(), WithSystemUUID(testHost))...)
				return err
			},
			"check": func(path string, opts ...Option) error {
				report, err := Check(path, opts...)
				assert.Nil(t, report)
				return err
			},
		} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				t.Parallel()
				path := corruptLog(t, c.entries)
				err := open(path, cutWhilePausing(path, c.to, c.after))
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.ErrorIs(t, err, ErrDevice)
				assert.ErrorContains(t, err, path)
				assert.Equal(t, path, fault.Name)
				assert.GreaterOrEqual(t, fault.Offset, int64(0))
				assert.Less(t, fault.Offset, entryAt(uint64(c.entries)))
			})
		}
	}
	// Entries that are not served are listed after the last attempt at reading.
	t.Run("while the unread is listed", func(t *testing.T) {
		t.Parallel()
		path := corruptLog(t, 3)
		fsys, err := Open(path, Tolerant())
		require.NoError(t, err)
		require.Len(t, fsys.Problems(), 1)
		require.NoError(t, os.Truncate(path, logOffset))
		_, err = fsys.Refresh()
		assert.ErrorIs(t, err, ErrDevice)
		assert.Len(t, fsys.Problems(), 1)
		require.NoError(t, fsys.Close())
	})
}

// Memory goes away between two reads of a Refresh.
func TestFaultWhileRefreshing(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("this system does not let mapped files be cut")
	}
	for _, n := range []int{1, 3 * slabNodes} {
		f := newForgery(t)
		f.good("first", firstUnit)
		fsys, err := Open(f.path, cutWhilePausing(f.path, 0, 0))
		require.NoError(t, err)
		usage := fsys.Usage()
		for i := range n {
			f.write(entryAt(uint64(i+1)), func() []byte {
				e := forgedDir(itoa(i))
				e.seq = uint64(i + 1)
				b := e.encode()
				return b[:]
			}())
		}
		f.entry(uint64(n), nil, flip(entryCRC))
		f.setNext(uint64(n + 1))
		_, err = fsys.Refresh()
		var fault *FaultError
		require.ErrorAs(t, err, &fault)
		assert.ErrorContains(t, err, "famfs: refresh "+f.path)
		assert.Equal(t, usage, fsys.Usage(), "nothing of it was replayed")
		assertAbsent(t, fsys, itoa(0))
		require.NoError(t, fsys.Close())
	}
}

// Copying to memory that is gone fails for every file, makes no file, and keeps nothing.
func TestFaultInCopyFS(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	c := newCutFS(t, ReadWrite())
	usage := c.Usage()
	src := fstest.MapFS{"x/a": {Data: pattern(5000, 1)}, "x/b": {Data: pattern(3*mib, 2)}, "c": {Data: []byte("x")}}
	err := c.CopyFS(context.Background(), "copy", src, Workers(2))
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.ErrorIs(t, err, ErrDevice)
	for _, name := range []string{"copy/x/a", "copy/x/b", "copy/c"} {
		assert.ErrorContains(t, err, name)
		_, err := c.Stat(name)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	after := c.Usage()
	assert.Equal(t, usage.Free, after.Free)
	assert.Equal(t, usage.Files, after.Files)
	assert.Equal(t, usage.Dirs+2, after.Dirs, "directories need no memory but the log's")
	assert.ErrorIs(t, c.WriteFile("other", []byte("x"), 0o644), ErrDevice)
	assert.Equal(t, usage.Free, c.Usage().Free)
	other := openTest(t, c.path, ReadWrite(), WithLockTimeout(0))
	require.NoError(t, other.Mkdir("e", 0o755), "the lock is free")
	c.requireClose(t)
}

// Reading a directory with files that are gone continues with the other files.
func TestFaultInWalk(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	var failed []string
	require.NoError(t, fs.WalkDir(c.FS, ".", func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			return nil
		}
		if _, err := c.ReadFile(path); err != nil {
			assert.ErrorIs(t, err, ErrDevice)
			failed = append(failed, path)
		}
		return nil
	}))
	assert.Equal(t, []string{"d/cut"}, failed)
	report, err := Check(c.path)
	require.NoError(t, err, "the log is all there")
	assert.False(t, report.Clean())
	assert.True(t, slices.ContainsFunc(report.Problems, func(p Problem) bool { return strings.Contains(p.Error(), "d/cut") || p.Path == "d/cut" }))
	c.requireClose(t)
}

func TestMappingSectionFault(t *testing.T) {
	needsOneDevice(t, "its files must lie on the one with the log")
	needsFaults(t)
	needsFile(t, "the file is cut short")
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
	mapping, err := m.Map("f")
	require.NoError(t, err)
	defer mapping.Close()
	require.NoError(t, os.Truncate(path, mib))
	n, err := mapping.Section().ReadAt(make([]byte, 100), 10)
	var fault *FaultError
	require.ErrorAs(t, err, &fault)
	assert.Equal(t, "f", fault.Name)
	assert.Zero(t, n)
}
