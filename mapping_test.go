package famfs

// Files as slices.

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMapShared(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(4097, 1)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	a, err := m.Map("f")
	require.NoError(t, err)
	b, err := m.Map("f", Populate())
	require.NoError(t, err)
	w, err := m.Map("f", Writable(), Populate())
	require.NoError(t, err)
	assert.Equal(t, addressOf(a.Bytes()), addressOf(b.Bytes()), "one region for one protection")
	assert.NotEqual(t, addressOf(a.Bytes()), addressOf(w.Bytes()))
	for _, x := range []*Mapping{a, b, w} {
		assert.Equal(t, content, x.Bytes())
		assert.Equal(t, 4097, cap(x.Bytes()))
	}
	w.Bytes()[4096] = 'w'
	require.NoError(t, w.FlushRange(4096, 1))
	require.NoError(t, a.InvalidateRange(4096, 1))
	assert.Equal(t, byte('w'), a.Bytes()[4096])
	require.NoError(t, w.Flush())
	require.NoError(t, a.Invalidate())

	require.NoError(t, a.Close())
	assert.Nil(t, a.Bytes())
	assert.ErrorIs(t, a.Close(), fs.ErrClosed)
	assert.ErrorIs(t, a.Flush(), fs.ErrClosed)
	assert.ErrorIs(t, a.Invalidate(), fs.ErrClosed)
	assert.Equal(t, byte('w'), b.Bytes()[4096], "the other mapping stays")
	require.NoError(t, b.Close())
	require.NoError(t, w.Close())
	assert.Empty(t, m.regions.regions)
}

func TestMapRefused(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("ro", []byte("x"), 0o444))
	for _, tc := range []struct {
		name string
		opts []MapOption
		want error
	}{
		{"missing", nil, fs.ErrNotExist},
		{"d", nil, fs.ErrInvalid},
		{".", nil, fs.ErrInvalid},
		{"/ro", nil, fs.ErrInvalid},
		{"", nil, fs.ErrInvalid},
		{"ro", []MapOption{Writable()}, fs.ErrPermission},
	} {
		_, err := m.Map(tc.name, tc.opts...)
		assert.ErrorIs(t, err, tc.want, tc.name)
	}
	x, err := m.Map("ro")
	require.NoError(t, err)
	require.NoError(t, x.Close())
	require.NoError(t, m.Close(), "refused mappings are not counted")
}

// Whether a file may be written depends on its flag for all hosts, and on any of the three write
// permission bits.
func TestMapWritableFiles(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	files := []struct {
		name  string
		flags uint32
		mode  uint32
		ok    bool
	}{
		{"none", fileFlagReadWrite, 0o444, false},
		{"user", fileFlagReadWrite, 0o644, true},
		{"group", fileFlagReadWrite, 0o460, true},
		{"others", fileFlagReadWrite, 0o446, true},
		{"all hosts read", fileFlagReadOnly, 0o666, false},
		{"no flag", 0, 0o666, true},
	}
	for i, file := range files {
		e := forgedFile(file.name, goodSize, inUnits(10+int64(i), 1))
		e.flags, e.mode = file.flags, file.mode
		f.append(e, nil)
	}
	m := openTest(t, f.path, ReadWrite())
	require.Empty(t, m.Problems())
	for _, file := range files {
		x, err := m.Map(file.name, Writable())
		if !file.ok {
			assert.ErrorIs(t, err, fs.ErrPermission, file.name)
			x, err = m.Map(file.name)
		}
		if assert.NoError(t, err, file.name) {
			assert.NoError(t, x.Close())
		}
	}
}

// holdMapping starts a goroutine that maps the file. The mapping ends, as do says, when the test
// lets it.
func holdMapping(t *testing.T, m *FS, name string, do func(*sharedRegion) error) (release func(), ended <-chan any) {
	t.Helper()
	index, _, err := m.lookup(name)
	require.NoError(t, err)
	begun, end, result := make(chan struct{}), make(chan struct{}), make(chan any, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				result <- r
			}
		}()
		_, err := m.regions.use(regionKey{index, false}, func(s *sharedRegion) error {
			close(begun)
			<-end
			return do(s)
		})
		result <- err
	}()
	<-begun
	return sync.OnceFunc(func() { close(end) }), result
}

// Mapping one file does not wait for another that is being mapped or unmapped.
func TestMapWaitsForNoOtherFile(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("slow", pattern(5000, 1), 0o644))
	require.NoError(t, m.WriteFile("f", pattern(5000, 2), 0o644))
	failed := errors.New("slow and in vain")
	release, ended := holdMapping(t, m, "slow", func(*sharedRegion) error { return failed })
	stuck := time.AfterFunc(10*time.Second, release)
	for _, opts := range [][]MapOption{nil, {Writable()}, {Populate()}} {
		x, err := m.Map("f", opts...)
		require.NoError(t, err)
		require.NoError(t, x.Close())
	}
	assert.Empty(t, ended, "it is still at it")
	assert.True(t, stuck.Stop())
	release()
	assert.Equal(t, failed, <-ended)

	mapping, err := m.Map("slow")
	require.NoError(t, err)
	region := mapping.shared.Load().region
	unmap := region.release
	unmapping, end := make(chan struct{}), make(chan struct{})
	region.release = func() error {
		close(unmapping)
		<-end
		return unmap()
	}
	closed := make(chan error, 1)
	go func() { closed <- mapping.Close() }()
	<-unmapping
	stuck = time.AfterFunc(10*time.Second, func() { close(end) })
	for _, name := range []string{"f", "slow"} {
		x, err := m.Map(name)
		require.NoError(t, err)
		assert.Len(t, x.Bytes(), 5000)
		require.NoError(t, x.Close())
	}
	assert.Empty(t, closed, "it is still at it")
	require.True(t, stuck.Stop())
	assert.ErrorIs(t, m.Close(), ErrBusy, "before it is unmapped nothing is over")
	close(end)
	require.NoError(t, <-closed)
	require.NoError(t, m.Close())
}

// A file is mapped once, however many goroutines ask for it at the same time. If the first one
// fails or panics, that affects only that one.
func TestMapAtTheSameTime(t *testing.T) {
	t.Parallel()
	const goroutines = 8
	failed := errors.New("cannot be mapped")
	for name, do := range map[string]func(*sharedRegion) error{
		"error": func(*sharedRegion) error { return failed },
		"panic": func(*sharedRegion) error { panic(failed) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, testSize)
			require.NoError(t, m.WriteFile("f", pattern(5000, 1), 0o644))
			release, ended := holdMapping(t, m, "f", do)
			mappings := make(chan *Mapping)
			for range goroutines {
				go func() {
					x, err := m.Map("f")
					assert.NoError(t, err)
					mappings <- x
				}()
			}
			for m.gate.state.Load() < goroutines*holder {
				time.Sleep(time.Millisecond)
			}
			assert.Empty(t, mappings, "all wait")
			release()
			assert.Equal(t, failed, <-ended)
			var all []*Mapping
			for range goroutines {
				all = append(all, <-mappings)
			}
			for _, x := range all {
				assert.Equal(t, addressOf(all[0].Bytes()), addressOf(x.Bytes()), "one region")
				assert.Equal(t, pattern(5000, 1), x.Bytes())
			}
			assert.Len(t, m.regions.regions, 1)
			for _, x := range all {
				require.NoError(t, x.Close())
			}
			assert.Empty(t, m.regions.regions)
			require.NoError(t, m.Close())
		})
	}
}

// A small file can be mapped while a large one is populated. That must succeed in one of several
// tries, each of which takes long enough, unless this goroutine does not get to run.
func TestMapWhilePopulating(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	const size = 128 * mib
	m := openTest(t, formatted(t, 192*mib), ReadWrite())
	require.NoError(t, m.WriteFile("small", []byte("x"), 0o644))
	p, err := m.Create("large", size)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
	index, _, err := m.lookup("large")
	require.NoError(t, err)
	for range 50 {
		done := make(chan *Mapping, 1)
		go func() {
			x, err := m.Map("large", Populate())
			assert.NoError(t, err)
			done <- x
		}()
		populating := func() bool {
			m.regions.mu.Lock()
			defer m.regions.mu.Unlock()
			s := m.regions.regions[regionKey{index, false}]
			return s != nil && s.users > 0
		}
		for !populating() && len(done) == 0 {
		}
		x, err := m.Map("small")
		require.NoError(t, err)
		passed := len(done) == 0
		require.NoError(t, x.Close())
		require.NoError(t, (<-done).Close())
		if passed {
			return
		}
	}
	t.Error("Map of a small file always waited")
}

// If Populate fails, it unmaps what it mapped, and leaves what others have mapped.
func TestMapPopulateFails(t *testing.T) {
	t.Parallel()
	c := newCutFS(t)
	before := c.gate.state.Load()
	for range 3 {
		_, err := c.Map("d/cut", Populate())
		require.ErrorIs(t, err, ErrDevice)
		assert.ErrorContains(t, err, "map d/cut: populate")
		assert.Equal(t, before, c.gate.state.Load())
		assert.Equal(t, c.content[:cutAt], c.mapping.Bytes()[:cutAt], "mapped before")
	}
	assert.Len(t, c.regions.regions, 1)
	require.NoError(t, c.mapping.Close())
	for range 3 {
		_, err := c.Map("d/cut", Populate())
		require.ErrorIs(t, err, ErrDevice)
		assert.Empty(t, c.regions.regions)
	}
	require.NoError(t, c.FS.Close())
}

func TestMapRanges(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(1000, 1), 0o644))
	x, err := m.Map("f")
	require.NoError(t, err)
	defer x.Close()
	for _, tc := range []struct {
		off, n int64
		ok     bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 0, true}, {999, 1, true}, {0, 1001, false}, {1001, 0, false}, {-1, 1, false}, {0, -1, false}, {1, 1 << 62, false}, {1 << 62, 1 << 62, false}, {1, math.MaxInt64, false}, {math.MaxInt64, math.MaxInt64, false}, {math.MinInt64, 1, false}} {
		for _, op := range []func(off, n int64) error{x.FlushRange, x.InvalidateRange} {
			if err := op(tc.off, tc.n); tc.ok {
				assert.NoError(t, err, "%d bytes at %d", tc.n, tc.off)
			} else {
				assert.ErrorIs(t, err, fs.ErrInvalid, "%d bytes at %d", tc.n, tc.off)
			}
		}
	}
}

// A file mapped for reading cannot be written, and one file cannot reach another.
func TestMapProtection(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.WriteFile("f", pattern(1000, 1), 0o644))
	for name, opts := range map[string][]MapOption{"plain": nil, "populated": {Populate()}} {
		x, err := m.Map("f", opts...)
		require.NoError(t, err)
		var fault *FaultError
		err = Guard(func() error {
			x.Bytes()[7] = 1
			return nil
		})
		require.ErrorAs(t, err, &fault, name)
		assert.Equal(t, "f", fault.Name)
		assert.Equal(t, int64(7), fault.Offset)
		assert.ErrorIs(t, err, ErrDevice)
		require.NoError(t, x.Close())
	}
	data, err := m.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, pattern(1000, 1), data)
}

// If a backing file loses its memory, mappings fault, and guarded code gets an error.
func TestMapPopulateTruncated(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m := openTest(t, path, ReadWrite())
	require.NoError(t, m.WriteFile("f", pattern(4*mib, 1), 0o644))
	require.NoError(t, os.Truncate(path, 10*mib+4096))
	_, err := m.Map("f", Populate())
	assert.ErrorIs(t, err, ErrDevice)
	x, err := m.Map("f", Writable())
	require.NoError(t, err)
	require.NoError(t, x.InvalidateRange(0, 100))
	assert.ErrorIs(t, x.Invalidate(), ErrDevice)
	assert.ErrorIs(t, x.Flush(), ErrDevice)
	require.NoError(t, x.Close())
	require.NoError(t, m.Close())
}
