package famfs

// Creating files and directories: what others see of a pending file, and what is refused.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCreateCommit(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, path := master(t, testSize)
	reader := openTest(t, path)
	before := m.Usage()
	p, err := m.Create("f", 5*mib+1, Mode(fs.ModeSetuid|0o640), Owner(7, 8))
	require.NoError(t, err)
	require.Len(t, p.Bytes(), 5*mib+1)
	assert.Equal(t, len(p.Bytes()), cap(p.Bytes()))
	assert.Zero(t, addressOf(p.Bytes())%regionAlign)
	content := pattern(5*mib+1, 3)
	copy(p.Bytes(), content)

	n, err := reader.Refresh()
	require.NoError(t, err)
	assert.Zero(t, n, "pending files are nowhere")
	_, err = m.Stat("f")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, before.Free-6*mib, m.Usage().Free)

	require.NoError(t, p.Commit())
	assert.Nil(t, p.Bytes())
	assert.ErrorIs(t, p.Commit(), fs.ErrClosed)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	_, err = reader.Refresh()
	require.NoError(t, err)
	for _, fsys := range []*FS{m, reader} {
		data, err := fsys.ReadFile("f")
		require.NoError(t, err)
		assert.Equal(t, content, data)
		st, err := fsys.Stat("f")
		require.NoError(t, err)
		assert.Equal(t, fs.ModeSetuid|0o640, st.Mode())
		attr := st.Sys().(*Attr)
		assert.Equal(t, Attr{UID: 7, GID: 8, Flags: 2, Layout: Layout{Extents: []Extent{{0, 10 * mib, 6 * mib}}}}, *attr)
		assert.Equal(t, int64(5*mib+1), fsys.Usage().FileBytes)
	}
}

// A pending file that is closed leaves nothing behind.
func TestCreateAbandoned(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	sharedMemory, usage := readMetadata(t, path), m.Usage()
	p, err := m.Create("f", 3*mib)
	require.NoError(t, err)
	copy(p.Bytes(), pattern(3*mib, 1))
	_, err = m.Create("f", mib)
	assert.ErrorIs(t, err, fs.ErrExist, "the name is taken while the file is pending")
	assert.ErrorIs(t, m.Mkdir("f", 0o755), fs.ErrExist)
	require.NoError(t, p.Close())
	assert.ErrorIs(t, p.Commit(), fs.ErrClosed)
	assert.Equal(t, sharedMemory, readMetadata(t, path))
	assert.Equal(t, usage, m.Usage())
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644))
	other := openTest(t, path, ReadWrite(), WithLockTimeout(0))
	require.NoError(t, other.Mkdir("d", 0o755), "the lock is free")
}

func TestCreateRefused(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644))
	before := readMetadata(t, path)
	usage := m.Usage()
	for _, tc := range []struct {
		name string
		size int64
		opts []CreateOption
		want error
	}{
		{"", 1, nil, fs.ErrInvalid},
		{".", 1, nil, fs.ErrInvalid},
		{"..", 1, nil, fs.ErrInvalid},
		{"/abs", 1, nil, fs.ErrInvalid},
		{"a//b", 1, nil, fs.ErrInvalid},
		{"d/", 1, nil, fs.ErrInvalid},
		{"d/../x", 1, nil, fs.ErrInvalid},
		{"bad\xff", 1, nil, fs.ErrInvalid},
		{"nul\x00", 1, nil, fs.ErrInvalid},
		{".meta", 1, nil, fs.ErrInvalid},
		{".meta/x", 1, nil, fs.ErrInvalid},
		{strings.Repeat("n", 80), 1, nil, fs.ErrInvalid},
		{"x", 0, nil, fs.ErrInvalid},
		{"x", -1, nil, fs.ErrInvalid},
		{"x", 1 << 62, nil, ErrNoSpace},
		{"x", usage.Free + 1, nil, ErrNoSpace},
		{"f", 1, nil, fs.ErrExist},
		{"d", 1, nil, fs.ErrExist},
		{"missing/x", 1, nil, fs.ErrNotExist},
		{"f/x", 1, nil, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{0, 4, 2 * mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{17, 64, 2 * mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{4, 3, 2 * mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{4, 65, 2 * mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{4, 4, 3 * mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{4, 4, mib})}, fs.ErrInvalid},
		{"x", 4 * mib, []CreateOption{Interleave(Interleaving{4, 4, 0})}, fs.ErrInvalid},
		{"x", usage.Free, []CreateOption{Interleave(Interleaving{4, 4, 2 * mib})}, ErrNoSpace},
	} {
		_, err := m.Create(tc.name, tc.size, tc.opts...)
		assert.ErrorIs(t, err, tc.want, "%q of %d", tc.name, tc.size)
		var pathErr *fs.PathError
		if assert.ErrorAs(t, err, &pathErr) {
			assert.Equal(t, tc.name, pathErr.Path)
		}
	}
	assert.Equal(t, before, readMetadata(t, path))
	assert.Equal(t, usage, m.Usage())
	require.NoError(t, m.WriteFile(strings.Repeat("n", 79), []byte("x"), 0o644))
}

// fragment fills a file system except for holes of one allocation unit, no two of them next to
// each other.
func fragment(t testing.TB, m *FS, holes int) {
	t.Helper()
	var pending []*PendingFile
	for i := range 2 * holes {
		p, err := m.Create("u"+itoa(i), 1)
		require.NoError(t, err)
		if i%2 == 0 {
			require.NoError(t, p.Commit())
		} else {
			pending = append(pending, p)
		}
	}
	if free := m.Usage().Free; free > 0 {
		rest, err := m.Create("rest", free)
		require.NoError(t, err)
		require.NoError(t, rest.Commit())
	}
	for _, p := range pending {
		require.NoError(t, p.Close())
	}
	require.Equal(t, int64(2*mib), m.Usage().LargestFree)
	require.Equal(t, int64(2*mib*holes), m.Usage().Free)
}

// A file that fits into no single run gets several extents, and reads as one.
func TestCreateSeveralExtents(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, path := master(t, testSize)
	fragment(t, m, 13)
	content := pattern(25*mib+5, 9)
	require.NoError(t, m.WriteFile("f", content, 0o644))
	assert.Zero(t, m.Usage().Free)
	reader := openTest(t, path)
	st, err := reader.Stat("f")
	require.NoError(t, err)
	assert.Len(t, st.Sys().(*Attr).Layout.Extents, 13)
	mapping, err := reader.Map("f")
	require.NoError(t, err)
	assert.Equal(t, hexSum(content), hexSum(mapping.Bytes()))
	require.NoError(t, mapping.Close())
	data, err := reader.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, hexSum(content), hexSum(data))
	_, err = m.Create("more", 1)
	assert.ErrorIs(t, err, ErrNoSpace)
}

// Sixteen extents are the limit: free space in smaller pieces does not count.
func TestCreateTooFragmented(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, 128*mib)
	fragment(t, m, 20)
	usage := m.Usage()
	_, err := m.Create("f", 17*2*mib)
	assert.ErrorIs(t, err, ErrNoSpace)
	assert.ErrorContains(t, err, "in at most 16 extents")
	assert.Equal(t, usage, m.Usage())
	p, err := m.Create("f", 16*2*mib)
	require.NoError(t, err)
	require.NoError(t, p.Commit())
}

func TestCreateInterleaved(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, path := master(t, 512*mib)
	for i, tc := range []struct {
		size int64
		i    Interleaving
		// strips is how many extents there are, each of length bytes.
		strips int
		length int64
	}{
		{16 * mib, Interleaving{4, 8, 2 * mib}, 4, 4 * mib},
		{16*mib + 1, Interleaving{4, 8, 2 * mib}, 4, 6 * mib},
		{3 * mib, Interleaving{16, 64, 2 * mib}, 16, 2 * mib},
		{40 * mib, Interleaving{3, 3, 8 * mib}, 3, 16 * mib},
		{7 * mib, Interleaving{1, 1, 2 * mib}, 1, 8 * mib},
		{2 * mib, Interleaving{4, 8, 2 * mib}, 4, 2 * mib},   // just a chunk
		{2*mib - 1, Interleaving{4, 8, 2 * mib}, 0, 2 * mib}, // under a chunk: simple
	} {
		name := "f" + itoa(i)
		p, err := m.Create(name, tc.size, Interleave(tc.i))
		require.NoError(t, err)
		content := pattern(int(tc.size), uint64(i))
		copy(p.Bytes(), content)
		require.NoError(t, p.Commit())

		reader := openTest(t, path)
		st, err := reader.Stat(name)
		require.NoError(t, err)
		layout := st.Sys().(*Attr).Layout
		if tc.strips == 0 {
			assert.Zero(t, layout.Chunk)
			tc.strips = 1
		} else {
			assert.Equal(t, tc.i.Chunk, layout.Chunk)
		}
		require.Len(t, layout.Extents, tc.strips)
		buckets := map[int64]bool{}
		size := m.Usage().Size / (2 * mib) / int64(tc.i.Buckets) * 2 * mib
		for _, x := range layout.Extents {
			assert.Equal(t, tc.length, x.Length)
			buckets[x.Offset/size] = true
			assert.Equal(t, x.Offset/size, (x.Offset+x.Length-1)/size, "a strip lies in one bucket")
		}
		assert.Len(t, buckets, tc.strips, "each strip in another bucket")
		mapping, err := reader.Map(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, mapping.Bytes()))
		require.NoError(t, mapping.Close())
		data, err := reader.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, data))
		require.NoError(t, reader.Close())
	}
}

// Files that are not spread over all buckets begin with a different bucket each, so that all
// fill evenly.
func TestBucketsInTurn(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, testSize)
	const buckets = 4
	size := m.Usage().Size / (2 * mib) / buckets * 2 * mib
	var found []int64
	for i := range buckets {
		p, err := m.Create(itoa(i), 2*mib, Interleave(Interleaving{Strips: 1, Buckets: buckets, Chunk: 2 * mib}))
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		found = append(found, p.home.place.Extents[0].Offset/size)
	}
	assert.Equal(t, []int64{0, 1, 2, 3}, found)
}

// No file gets space of another file or of the metadata.
func TestSpaceIsExclusive(t *testing.T) {
	t.Parallel()
	m, path := master(t, 256*mib)
	for i := 0; ; i++ {
		opts := []CreateOption{}
		if i%3 == 0 {
			opts = append(opts, Interleave(Interleaving{1 + i%4, 8, 2 * mib}))
		}
		p, err := m.Create("f"+itoa(i), int64(1+i*777_777%(9*mib)), opts...)
		if errors.Is(err, ErrNoSpace) && m.Usage().Free == 0 {
			break
		}
		if err == nil {
			require.NoError(t, p.Commit())
		} else {
			require.ErrorIs(t, err, ErrNoSpace)
		}
	}
	assertExclusive(t, openTest(t, path))
}

// assertExclusive checks all extents of a file system against each other and the
// metadata.
func assertExclusive(t testing.TB, fsys *FS) {
	t.Helper()
	var all []Extent
	require.NoError(t, fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			st, _ := d.Info()
			all = append(all, st.Sys().(*Attr).Layout.Extents...)
		}
		return err
	}))
	slices.SortFunc(all, func(a, b Extent) int { return int((a.Offset - b.Offset) >> 12) })
	sb := fsys.Superblock()
	for device, usage := range fsys.UsageByDevice() {
		end := sb.logEnd()
		if device > 0 {
			end = superblockArea
		}
		for _, x := range all {
			if x.Device == device {
				require.GreaterOrEqual(t, x.Offset, end, "extents overlap")
				end = x.Offset + x.Length
			}
		}
		require.LessOrEqual(t, end, usage.Size)
	}
}

func TestPendingWriters(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := pattern(3*mib, 5)
	write := map[string]func(p *PendingFile) error{
		"Write": func(p *PendingFile) error {
			for part := range slices.Chunk(content, 100_000) {
				if _, err := p.Write(part); err != nil {
					return err
				}
			}
			return nil
		},
		"WriteAt": func(p *PendingFile) error {
			half := len(content) / 2
			if _, err := p.WriteAt(content[half:], int64(half)); err != nil {
				return err
			}
			_, err := p.WriteAt(content[:half], 0)
			return err
		},
		"ReadFrom": func(p *PendingFile) error {
			n, err := p.ReadFrom(iotest.HalfReader(bytes.NewReader(content)))
			assert.Equal(t, int64(len(content)), n)
			return err
		},
		"io.Copy": func(p *PendingFile) error {
			_, err := io.Copy(p, bytes.NewReader(content))
			return err
		},
		"Bytes": func(p *PendingFile) error {
			copy(p.Bytes(), content)
			return nil
		},
	}
	for name, f := range write {
		p, err := m.Create(name, int64(len(content)))
		require.NoError(t, err)
		require.NoError(t, f(p), name)
		require.NoError(t, p.Commit())
		data, err := m.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, data), name)
	}

	p, err := m.Create("bounds", 10)
	require.NoError(t, err)
	defer p.Close()
	n, err := p.WriteAt([]byte("abc"), 8)
	assert.Equal(t, 2, n)
	assert.ErrorIs(t, err, io.ErrShortWrite)
	n, err = p.WriteAt([]byte("abc"), 100)
	assert.Zero(t, n)
	assert.ErrorIs(t, err, io.ErrShortWrite)
	_, err = p.WriteAt([]byte("abc"), -1)
	assert.ErrorIs(t, err, fs.ErrInvalid)
	_, err = p.ReadFrom(iotest.ErrReader(io.ErrUnexpectedEOF))
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, p.Close())
	_, err = p.Write([]byte("x"))
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = p.ReadFrom(bytes.NewReader(content))
	assert.ErrorIs(t, err, fs.ErrClosed)
}

// Directories that another writer made since the last Refresh are no error. A file is.
func TestMkdirAllOfAnotherWriter(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	other := openTest(t, path, ReadWrite())
	require.NoError(t, other.MkdirAll("a/b", 0o755))
	require.NoError(t, m.MkdirAll("a/b/c", 0o755))
	require.NoError(t, other.WriteFile("f", []byte("x"), 0o644))
	assert.ErrorIs(t, m.MkdirAll("f", 0o755), fs.ErrExist)
	require.NoError(t, other.MkdirAll("x/y", 0o755))
	require.NoError(t, m.MkdirAll("x/y", 0o755))
}

func TestMkdir(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.Mkdir("a", 0o750))
	assert.ErrorIs(t, m.Mkdir("a", 0o755), fs.ErrExist)
	assert.ErrorIs(t, m.Mkdir("x/y", 0o755), fs.ErrNotExist)
	require.NoError(t, m.MkdirAll("a/b/c/d", 0o755))
	require.NoError(t, m.MkdirAll("a/b/c/d", 0o755))
	require.NoError(t, m.MkdirAll(".", 0o755))
	require.NoError(t, m.WriteFile("a/f", []byte("x"), 0o644))
	assert.ErrorIs(t, m.MkdirAll("a/f", 0o755), fs.ErrExist)
	assert.Error(t, m.MkdirAll("a/f/g", 0o755))
	assert.ErrorIs(t, m.MkdirAll("/abs/x", 0o755), fs.ErrInvalid)
	assert.ErrorIs(t, m.MkdirAll("", 0o755), fs.ErrInvalid)
	reader := openTest(t, path)
	assert.Equal(t, 4, reader.Usage().Dirs)
	st, err := reader.Stat("a")
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDir|0o750, st.Mode())
}

func TestMkdirWith(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	require.NoError(t, m.MkdirWith("plain"))
	require.NoError(t, m.MkdirWith("own", Mode(fs.ModeSticky|0o700), Owner(7, 8)))
	reader := openTest(t, path)
	for name, want := range map[string]struct {
		mode fs.FileMode
		uid  uint32
	}{"plain": {fs.ModeDir | 0o755, uint32(max(os.Getuid(), 0))}, "own": {fs.ModeDir | fs.ModeSticky | 0o700, 7}} {
		st, err := reader.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, want.mode, st.Mode(), name)
		assert.Equal(t, want.uid, st.Sys().(*Attr).UID, name)
	}
}

// FreeSpace yields everything that Usage counts, in order, and runs do not touch.
func TestFreeSpace(t *testing.T) {
	needsOneDevice(t, "it is about the space of one")
	t.Parallel()
	m, _ := master(t, testSize)
	all := func() (runs []Extent) {
		for x := range m.FreeSpace() {
			runs = append(runs, x)
		}
		return runs
	}
	u := m.Usage()
	assert.Equal(t, []Extent{{0, 10 * mib, u.Free}}, all())
	fragment(t, m, 7)
	var sum, end int64
	runs := all()
	assert.Len(t, runs, 7)
	for _, x := range runs {
		assert.Greater(t, x.Offset, end)
		end = x.Offset + x.Length
		sum += x.Length
	}
	assert.Equal(t, m.Usage().Free, sum)
	for range m.FreeSpace() {
		break
	}
	require.NoError(t, m.WriteFile("more", make([]byte, 7*2*mib), 0o644))
	assert.Empty(t, all())
}

func TestWriteFileEmpty(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	assert.ErrorIs(t, m.WriteFile("f", nil, 0o644), fs.ErrInvalid)
	assert.ErrorIs(t, m.WriteFile("missing/f", []byte("x"), 0o644), fs.ErrNotExist)
	require.NoError(t, m.WriteFile("f", []byte("x"), 0o644))
	assert.ErrorIs(t, m.WriteFile("f", []byte("y"), 0o644), fs.ErrExist)
}

func TestLogFull(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, path := master(t, testSize)
	capacity := m.Usage().LogCapacity
	for i := range capacity - 1 {
		require.NoError(t, m.Mkdir(itoa(i), 0o755))
	}
	p, err := m.Create("pending", 1)
	require.NoError(t, err)
	assert.ErrorIs(t, m.Mkdir("d", 0o755), ErrLogFull, "the last entry is promised to the pending file")
	_, err = m.Create("more", 1)
	assert.ErrorIs(t, err, ErrLogFull)
	require.NoError(t, p.Commit())
	assert.ErrorIs(t, m.Mkdir("d", 0o755), ErrLogFull)
	reader := openTest(t, path)
	assert.Equal(t, capacity, reader.Usage().LogUsed)
	assert.Empty(t, reader.Problems())
	data, err := reader.ReadFile("pending")
	require.NoError(t, err)
	assert.Len(t, data, 1)
}

// If the entry of a pending file is in the log, but may be lost, no second entry is reserved for
// it.
func TestLogFullUncertain(t *testing.T) {
	needsOneDevice(t, "its devices have log entries too")
	t.Parallel()
	m, _ := master(t, testSize)
	for i := range m.Usage().LogCapacity - 2 {
		require.NoError(t, m.Mkdir(itoa(i), 0o755))
	}
	p, err := m.Create("pending", 1)
	require.NoError(t, err)
	headers := failFlushes(m, logOffset)
	require.ErrorIs(t, p.Commit(), errDisk)
	headers.repair(m)
	require.NoError(t, m.Mkdir("last", 0o755), "one entry is left")
	assert.ErrorIs(t, m.Mkdir("more", 0o755), ErrLogFull)
	require.NoError(t, p.Commit())
	assert.Empty(t, m.pending)
}

// waitedOn is a context that reports its first use for waiting: somebody who checks whether it
// is done has found that it must wait.
type waitedOn struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func (w *waitedOn) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waiting) })
	return w.Context.Done()
}

// While a file is pending, another FS on the same device waits as long as it is told to. Then it
// continues after the first one's entries.
func TestLockBetweenWriters(t *testing.T) {
	t.Parallel()
	first, path := master(t, testSize)
	second := openTest(t, path, ReadWrite(), WithLockTimeout(20*time.Millisecond))
	a, err := first.Create("a", 1)
	require.NoError(t, err)
	b, err := first.Create("b", 1)
	require.NoError(t, err, "within an FS many files may be pending")
	_, err = second.Create("c", 1)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, second.Mkdir("d", 0o755), ErrLocked)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = second.Create("c", 1, WithContext(ctx))
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = second.Refresh()
	require.NoError(t, err, "readers wait for nobody")
	require.NoError(t, a.Commit())
	_, err = second.Create("c", 1)
	assert.ErrorIs(t, err, ErrLocked, "b is still pending")

	patient := openTest(t, path, ReadWrite(), WithLockTimeout(time.Minute))
	waits := &waitedOn{Context: context.Background(), waiting: make(chan struct{})}
	done := make(chan error)
	go func() {
		p, err := patient.Create("p", 3*mib, WithContext(waits))
		if err == nil {
			_, err = p.Write(pattern(3*mib, 1))
			err = errors.Join(err, p.Commit())
		}
		done <- err
	}()
	<-waits.waiting // it has found the lock taken
	assert.Empty(t, done)
	require.NoError(t, b.Commit())
	require.NoError(t, <-done)
	require.NoError(t, second.WriteFile("c", []byte("x"), 0o644))
	assertExclusive(t, openTest(t, path))
	assert.Equal(t, 4, second.Usage().Files)
}

// A pending file whose data could not be written back is lost: later nobody could know what of
// it is there. So Commit always refuses it, and only Close works.
func TestCommitCannotFlush(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	path := formatted(t, testSize)
	var fails atomic.Bool
	m := openTest(t, path, ReadWrite(), prepareOption(func(d *device) {
		lines := *d.cache
		writeBack := lines.writeBackLines
		lines.writeBackLines = func(p unsafe.Pointer, n uintptr) {
			if fails.Load() {
				panic(memoryFault{errors.New("gone")})
			}
			writeBack(p, n)
		}
		d.cache = &lines
	}))
	before := m.Usage()
	p, err := m.Create("f", 5000)
	require.NoError(t, err)
	mem := p.Bytes()
	copy(mem, pattern(5000, 1))
	fails.Store(true)
	var fault *FaultError
	require.ErrorAs(t, p.Commit(), &fault)
	fails.Store(false)
	for range 2 {
		err := p.Commit()
		require.ErrorAs(t, err, &fault)
		assert.ErrorContains(t, err, "could not be written")
	}
	mem[0] = 1 // the slice is valid until Close
	assert.Nil(t, p.Bytes())
	_, err = p.Write([]byte("x"))
	assert.ErrorAs(t, err, &fault)
	_, err = p.ReadFrom(strings.NewReader("x"))
	assert.ErrorAs(t, err, &fault)
	_, err = m.Create("f", 1)
	assert.ErrorIs(t, err, fs.ErrExist, "it is pending still")
	require.NoError(t, p.Close())
	assert.ErrorIs(t, p.Commit(), fs.ErrClosed)
	assert.Equal(t, before, m.Usage())
	require.NoError(t, m.WriteFile("f", pattern(5000, 2), 0o644))
}

// Data stored to the slice of Bytes between two calls of Commit is written back by the second.
func TestCommitFlushesAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var written [][2]uintptr
	m := openTest(t, formatted(t, testSize), ReadWrite(), prepareOption(func(d *device) {
		lines := *d.cache
		writeBack := lines.writeBackLines
		lines.writeBackLines = func(p unsafe.Pointer, n uintptr) {
			mu.Lock()
			written = append(written, [2]uintptr{uintptr(p), uintptr(p) + n*lineSize})
			mu.Unlock()
			writeBack(p, n)
		}
		d.cache = &lines
	}))
	p, err := m.Create("f", 5000)
	require.NoError(t, err)
	mem := p.Bytes()
	failing := failAccess(m, 0, func() error { panic(memoryFault{errors.New("gone")}) })
	require.Error(t, p.Commit())
	failing.repair(m)
	mem[4999] = 42
	written = nil
	require.NoError(t, p.Commit())
	at := addressOf(mem)
	assert.True(t, slices.ContainsFunc(written, func(w [2]uintptr) bool { return w[0] <= at && at+5000 <= w[1] }), "all of it")
}

// A pending file that nobody can end any more is closed, and the logger is told.
func TestCreateDropped(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(p *PendingFile){
		"untouched": func(*PendingFile) {},
		"written":   func(p *PendingFile) { p.Write(make([]byte, 10)) },
		"mapped":    func(p *PendingFile) { p.Bytes()[0] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said lockedBuffer
			path := formatted(t, testSize)
			m := openTest(t, path, ReadWrite(), WithLogger(slog.New(slog.NewTextHandler(&said, nil))))
			other := openTest(t, path, ReadWrite(), WithLockTimeout(0))
			before := m.Usage()
			func() {
				p, err := m.Create("f", 5000)
				require.NoError(t, err)
				use(p)
				assert.ErrorIs(t, other.Mkdir("d", 0o755), ErrLocked)
				ended, err := m.Create("ended", 5000)
				require.NoError(t, err)
				require.NoError(t, ended.Close())
				runtime.KeepAlive(p)
			}()
			require.Eventually(t, func() bool {
				runtime.GC()
				return strings.Contains(said.String(), "dropped")
			}, time.Minute, time.Millisecond)
			assert.Contains(t, said.String(), "path=f")
			assert.Equal(t, 1, strings.Count(said.String(), "dropped"), "one that was closed is not mentioned")
			assert.Equal(t, before, m.Usage())
			require.NoError(t, other.Mkdir("d", 0o755), "the lock is free")
			require.NoError(t, m.WriteFile("f", []byte("x"), 0o644), "and so is the name")
			require.NoError(t, m.Close())
		})
	}
}

// lockedBuffer may be written and read by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The context is used whatever the options say, and ends only the waiting.
func TestCreateContext(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	other := openMaster(t, path)
	p, err := m.CreateContext(context.Background(), "f", 10)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	opts := make([]CreateOption, 1, 4)
	opts[0] = WithContext(context.Background())
	_, err = other.CreateContext(ctx, "g", 10, opts...)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, opts[:2][1], "the caller's slice is the caller's")
	err = other.MkdirContext(ctx, "d", 0o700)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Commit())
	require.NoError(t, other.MkdirContext(ctx, "d", 0o700), "there is nothing to wait for")
	st, err := other.Stat("d")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700)|fs.ModeDir, st.Mode())
	q, err := other.CreateContext(ctx, "g", 10, Mode(0o600))
	require.NoError(t, err)
	require.NoError(t, q.Commit())
	st, err = other.Stat("g")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), st.Mode())
}
