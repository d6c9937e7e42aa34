package famfs

// The FS as a whole: opening, roles, closing, following the master, and what others see when.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	path := testBacking(t, testSize)
	_, err := Open(path + "-missing")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Open(t.TempDir())
	assert.ErrorIs(t, err, ErrDevice)
	require.NoError(t, Format(path, WithSystemUUID(testHost), Force()))
	_, err = Open(path, ReadWrite(), WithSystemUUID(otherHost))
	assert.ErrorIs(t, err, ErrNotMaster)
	assert.ErrorContains(t, err, testHost.String())
	_, err = Open(path, ReadWrite(), Tolerant(), WithSystemUUID(testHost))
	assert.ErrorIs(t, err, fs.ErrInvalid)
}

func TestOpenUnformatted(t *testing.T) {
	t.Parallel()
	_, err := Open(fileBacking(t, testSize))
	assert.ErrorIs(t, err, ErrNotFormatted)
	small := fileBacking(t, mib)
	_, err = Open(small)
	assert.ErrorIs(t, err, ErrNotFormatted)
	_, err = Check(small)
	assert.ErrorIs(t, err, ErrNotFormatted)
}

func TestEmptyFileSystem(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	fsys, path := master(t, testSize)
	assert.Equal(t, Master, fsys.Role())
	assert.Equal(t, path, fsys.Device().Path)
	u := fsys.Usage()
	assert.GreaterOrEqual(t, u.Size, int64(testSize))
	assert.Equal(t, u.Size, u.Allocated+u.Free)
	assert.Equal(t, u.Free, u.LargestFree)
	assert.Equal(t, int64(10*mib), u.Allocated)
	assert.Equal(t, Usage{Size: u.Size, Allocated: u.Allocated, Free: u.Free, LargestFree: u.LargestFree, LogCapacity: 15420}, u)
	assert.Empty(t, fsys.Problems())
	entries, err := fsys.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// A client reads everything and changes nothing.
func TestClient(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(3*mib, 1), 0o644))
	before := readMetadata(t, path)

	for _, opts := range [][]Option{nil, {WithClientWrites()}} {
		name := fmt.Sprintf("%d options", len(opts))
		client, err := Open(path, append(opts, WithSystemUUID(otherHost), withDevices(path))...)
		require.NoError(t, err, name)
		assert.Equal(t, Client, client.Role(), name)
		data, err := client.ReadFile("f")
		require.NoError(t, err, name)
		assert.Equal(t, pattern(3*mib, 1), data, name)
		_, err = client.Create("new", 1)
		assert.ErrorIs(t, err, ErrNotMaster, name)
		assert.ErrorIs(t, client.Mkdir("d", 0o755), ErrNotMaster, name)
		assert.ErrorIs(t, client.MkdirAll("d/e", 0o755), ErrNotMaster, name)
		assert.ErrorIs(t, client.WriteFile("new", []byte("x"), 0o644), ErrNotMaster, name)
		assert.ErrorIs(t, client.CopyFS(context.Background(), ".", sourceTree()), ErrNotMaster, name)
		mapping, err := client.Map("f", Writable())
		if opts == nil {
			assert.ErrorIs(t, err, ErrNotMaster)
			assert.ErrorIs(t, err, ErrReadOnly)
		} else {
			require.NoError(t, err)
			mapping.Bytes()[0] ^= 0xff
			require.NoError(t, mapping.Flush())
			require.NoError(t, mapping.Close())
		}
		require.NoError(t, client.Close())
	}
	assert.Equal(t, before, readMetadata(t, path), "the medium's metadata is unchanged")
	data, err := m.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, pattern(3*mib, 1)[0]^0xff, data[0], "the client's data arrived")
}

// readMetadata returns superblock and log as they are on the device.
func readMetadata(t testing.TB, path string) []byte {
	t.Helper()
	f, err := openMedium(path, newOpenConfig(nil))
	require.NoError(t, err)
	defer f.release()
	return append([]byte(nil), f.window.mem[:logOffset+DefaultLogSize]...)
}

// A master that opened read-only cannot write either.
func TestReadOnlyMaster(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644))
	fsys := openTest(t, path)
	_, err := fsys.Create("new", 1)
	assert.ErrorIs(t, err, ErrReadOnly)
	_, err = fsys.Map("f", Writable())
	assert.ErrorIs(t, err, ErrReadOnly)
	assert.NotErrorIs(t, err, ErrNotMaster)
}

func TestClose(t *testing.T) {
	t.Parallel()
	fsys, _ := master(t, testSize)
	require.NoError(t, fsys.WriteFile("f", pattern(5000, 1), 0o644))
	file, err := fsys.Open("f")
	require.NoError(t, err)
	dir, err := fsys.Open(".")
	require.NoError(t, err)

	m, err := fsys.Map("f")
	require.NoError(t, err)
	assert.ErrorIs(t, fsys.Close(), ErrBusy)
	require.NoError(t, m.Close())
	p, err := fsys.Create("g", 1)
	require.NoError(t, err)
	assert.ErrorIs(t, fsys.Close(), ErrBusy)
	require.NoError(t, p.Close())
	_, err = fsys.ReadFile("f")
	require.NoError(t, err, "a refused Close changes nothing")
	require.NoError(t, fsys.Close())

	assert.ErrorIs(t, fsys.Close(), fs.ErrClosed)
	_, err = file.Read(make([]byte, 1))
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = dir.(fs.ReadDirFile).ReadDir(-1)
	assert.ErrorIs(t, err, fs.ErrClosed)
	for name, op := range map[string]func() error{
		"at the end": func() error { _, err := file.(io.ReaderAt).ReadAt(make([]byte, 1), 1<<40); return err },
		"nothing":    func() error { _, err := file.(io.ReaderAt).ReadAt(nil, 1<<40); return err },
		"seek":       func() error { _, err := file.(io.Seeker).Seek(0, io.SeekStart); return err },
		"stat":       func() error { _, err := file.Stat(); return err },
		"stat dir":   func() error { _, err := dir.Stat(); return err },
	} {
		assert.ErrorIs(t, op(), fs.ErrClosed, name)
	}
	require.NoError(t, file.Close())
	for name, op := range map[string]func() error{
		"open":     func() error { _, err := fsys.Open("f"); return err },
		"stat":     func() error { _, err := fsys.Stat("f"); return err },
		"readfile": func() error { _, err := fsys.ReadFile("f"); return err },
		"readdir":  func() error { _, err := fsys.ReadDir("."); return err },
		"map":      func() error { _, err := fsys.Map("f"); return err },
		"view":     func() error { return fsys.View("f", nil) },
		"refresh":  func() error { _, err := fsys.Refresh(); return err },
		"create":   func() error { _, err := fsys.Create("h", 1); return err },
		"mkdir":    func() error { return fsys.Mkdir("d", 0o755) },
		"mkdirall": func() error { return fsys.MkdirAll("d", 0o755) },
		"write":    func() error { return fsys.WriteFile("h", []byte("x"), 0o644) },
	} {
		assert.ErrorIs(t, op(), fs.ErrClosed, name)
	}
}

// While others hold the file system, Close fails however often it is called, and disturbs
// neither readers nor a writer that waits to create.
func TestCloseRefusedDisturbsNobody(t *testing.T) {
	t.Parallel()
	path := formatted(t, testSize)
	other := openTest(t, path, ReadWrite())
	require.NoError(t, other.WriteFile("f", pattern(5000, 1), 0o644))
	for name, write := range map[string]func(fsys *FS) error{
		"create": func(fsys *FS) error {
			p, err := fsys.Create("file", 1)
			if err != nil {
				return err
			}
			return p.Close()
		},
		"mkdir": func(fsys *FS) error { return fsys.Mkdir("dir", 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			p, err := other.Create("pending", 1)
			require.NoError(t, err)
			defer p.Close()
			fsys := openTest(t, path, ReadWrite(), WithLockTimeout(time.Minute))
			waiting := make(chan error)
			go func() { waiting <- write(fsys) }()
			for fsys.gate.state.Load() < holder {
				time.Sleep(time.Millisecond)
			}
			reading := make(chan error)
			go func() {
				for ctx.Err() == nil {
					if _, err := fsys.ReadFile("f"); err != nil {
						reading <- err
						return
					}
				}
				reading <- nil
			}()
			for range 2000 {
				require.ErrorIs(t, fsys.Close(), ErrBusy)
			}
			cancel()
			require.NoError(t, <-reading)
			require.NoError(t, p.Close())
			require.NoError(t, <-waiting)
			require.NoError(t, fsys.Close())
		})
	}
}

// Close refuses new visitors, and returns when the last visitor has left.
func TestCloseWaitsForVisitors(t *testing.T) {
	t.Parallel()
	fsys, _ := master(t, testSize)
	require.NoError(t, fsys.WriteFile("f", pattern(5000, 1), 0o644))
	require.True(t, fsys.gate.enter())
	require.True(t, fsys.gate.enter())
	closed := make(chan error, 1)
	go func() { closed <- fsys.Close() }()
	for fsys.gate.isOpen() {
		time.Sleep(time.Millisecond)
	}
	_, err := fsys.ReadFile("f")
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = fsys.Map("f")
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.ErrorIs(t, fsys.Close(), fs.ErrClosed, "one Close is enough")
	fsys.gate.leave()
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v while somebody was reading", err)
	case <-time.After(5 * time.Millisecond):
	}
	fsys.gate.leave()
	require.NoError(t, <-closed)
}

// Reads that are running when the file system is closed either succeed or return that it is
// closed. None of them touches unmapped memory.
func TestCloseWaitsForReads(t *testing.T) {
	t.Parallel()
	const size, readers = 16 * mib, 2
	m, path := master(t, testSize)
	want := pattern(size, 1)
	require.NoError(t, m.WriteFile("f", want, 0o644))
	require.NoError(t, m.Close())
	for round := range 10 {
		fsys := openTest(t, path)
		file, err := fsys.Open("f")
		require.NoError(t, err)
		reads, done := make(chan int, 1000), make(chan error, readers)
		for range readers {
			go func() {
				got := make([]byte, size)
				for {
					if _, err := file.(io.ReaderAt).ReadAt(got, 0); err != nil {
						done <- err
						return
					}
					select {
					case reads <- 1:
					default:
					}
				}
			}()
		}
		<-reads // they are at it
		require.NoError(t, fsys.Close(), "round %d", round)
		for range readers {
			assert.ErrorIs(t, <-done, fs.ErrClosed)
		}
	}
}

// Map counts as running from its beginning, even while it waits for another Map of the same file.
func TestCloseWhileMapping(t *testing.T) {
	t.Parallel()
	fsys, _ := master(t, testSize)
	require.NoError(t, fsys.WriteFile("f", pattern(5000, 1), 0o644))
	index, _, err := fsys.lookup("f")
	require.NoError(t, err)
	failed := errors.New("cannot be mapped")
	begun, end := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := fsys.regions.use(regionKey{index, false}, func(*sharedRegion) error {
			close(begun)
			<-end
			return failed
		})
		first <- err
	}()
	<-begun
	mapping := make(chan *Mapping)
	go func() {
		m, err := fsys.Map("f")
		assert.NoError(t, err)
		mapping <- m
	}()
	for fsys.gate.state.Load() < holder {
		time.Sleep(time.Millisecond)
	}
	assert.ErrorIs(t, fsys.Close(), ErrBusy)
	close(end)
	assert.Same(t, failed, <-first)
	m := <-mapping
	assert.ErrorIs(t, fsys.Close(), ErrBusy)
	assert.Equal(t, pattern(5000, 1), m.Bytes(), "who waited maps it by himself")
	require.NoError(t, m.Close())
	require.NoError(t, fsys.Close())
}

// Operations that failed do not count as open.
func TestCloseAfterFailures(t *testing.T) {
	t.Parallel()
	fsys, _ := master(t, testSize)
	for range 3 {
		_, err := fsys.Map("missing")
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fsys.Create("missing/f", 1)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fsys.Create("f", 0)
		require.ErrorIs(t, err, fs.ErrInvalid)
		_, err = fsys.Create("f", 1<<40)
		require.ErrorIs(t, err, ErrNoSpace)
		require.ErrorIs(t, fsys.Mkdir("missing/d", 0o755), fs.ErrNotExist)
		require.ErrorIs(t, fsys.WriteFile("missing/f", []byte("x"), 0o644), fs.ErrNotExist)
	}
	assert.Zero(t, fsys.gate.state.Load())
	require.NoError(t, fsys.Close())
}

// Many use a gate while one tries to shut it. It is shut once, when that is possible; until then
// nobody is refused.
func TestGate(t *testing.T) {
	t.Parallel()
	for range 200 {
		var g gate
		require.True(t, g.hold())
		var wg sync.WaitGroup
		var shut atomic.Bool
		for range 4 {
			wg.Go(func() {
				for range 100 {
					if use, end := g.enter, g.leave; use() {
						end()
					} else {
						assert.True(t, shut.Load(), "shut while it was held")
					}
					if g.hold() {
						g.letGo()
					} else {
						assert.True(t, shut.Load(), "shut while it was held")
					}
				}
			})
		}
		for range 100 {
			n, ok := g.shut(true)
			require.False(t, ok)
			require.Positive(t, n)
		}
		shut.Store(true)
		g.letGo()
		for {
			if _, ok := g.shut(true); ok {
				break
			}
		}
		assert.False(t, g.isOpen())
		_, ok := g.shut(true)
		assert.False(t, ok)
		wg.Wait()
		assert.Equal(t, int64(gateShut), g.state.Load())
	}
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	reader := openTest(t, path)
	n, err := reader.Refresh()
	require.NoError(t, err)
	assert.Zero(t, n)

	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("d/f", []byte("hello"), 0o644))
	_, err = reader.Stat("d/f")
	assert.ErrorIs(t, err, fs.ErrNotExist, "a client is behind until it refreshes")
	n, err = reader.Refresh()
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	data, err := reader.ReadFile("d/f")
	require.NoError(t, err)
	assert.Equal(t, "hello", string(data))
	n, err = reader.Refresh()
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, m.Usage(), reader.Usage())
}

// A Refresh of many blocks uses many processors.
func TestRefreshMany(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	reader := openTest(t, path)
	require.NoError(t, m.Mkdir("d", 0o755))
	_, err := reader.Refresh()
	require.NoError(t, err)
	const n = 3000
	for i := range n {
		require.NoError(t, m.Mkdir("d/"+itoa(i), 0o755))
	}
	got, err := reader.Refresh()
	require.NoError(t, err)
	assert.Equal(t, n, got)
	for _, fsys := range []*FS{m, reader, openTest(t, path)} {
		entries, err := fsys.ReadDir("d")
		require.NoError(t, err)
		assert.Len(t, entries, n)
		assert.Equal(t, n+1, fsys.Usage().Dirs)
	}
}

func itoa(i int) string {
	const digits = "0123456789"
	var b []byte
	for d := 100000; d > 0; d /= 10 {
		b = append(b, digits[i/d%10])
	}
	return string(b)
}

// Eight goroutines create, refresh, map and read at once.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m, path := master(t, 256*mib)
	reader := openTest(t, path)
	const goroutines, rounds = 8, 6
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			dir := "g" + itoa(g)
			if !assert.NoError(t, m.MkdirAll(dir+"/sub", 0o755)) {
				return
			}
			for i := range rounds {
				name := dir + "/sub/" + itoa(i)
				seed := uint64(g*rounds + i)
				size := 1000 + 37*i + 300_000*g
				assert.NoError(t, m.WriteFile(name, pattern(size, seed), 0o644))
				_, err := reader.Refresh()
				assert.NoError(t, err)
				// The reader finds every file that any goroutine reported, whole.
				err = fs.WalkDir(reader, ".", func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					return checkConcurrentFile(reader, path)
				})
				assert.NoError(t, err)
				mapping, err := reader.Map(name)
				if assert.NoError(t, err) {
					assert.Equal(t, pattern(size, seed), mapping.Bytes())
					assert.NoError(t, mapping.Close())
				}
				reader.Usage()
				reader.Problems()
			}
		})
	}
	wg.Wait()
	assert.Equal(t, goroutines*rounds, reader.Usage().Files)
	assert.Equal(t, m.Usage(), reader.Usage())
	report, err := Check(path)
	require.NoError(t, err)
	assert.NoError(t, report.Err())
}

// checkConcurrentFile compares the first sector of a file with the content that follows from its
// size and the goroutine in its path.
func checkConcurrentFile(fsys *FS, path string) error {
	data, err := fsys.ReadFile(path)
	if err != nil {
		return err
	}
	g, i := int(path[6]-'0'), int(path[len(path)-1]-'0')
	want := pattern(512, uint64(g*6+i))
	if len(data) != 1000+37*i+300_000*g || string(data[:512]) != string(want) {
		return errors.New(path + " is not whole")
	}
	return nil
}
