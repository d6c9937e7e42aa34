//go:build unix

package famfs

// Small files: written by system calls where that is possible, and the same in every other
// respect.

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// needsCalls skips a test where files are filled by mappings alone.
func needsCalls(t testing.TB, m *FS) {
	t.Helper()
	if !m.dev.takesCalls() {
		t.Skipf("on %s (%v) nothing is written by calls", runtime.GOOS, m.dev.info.Kind)
	}
}

// unitsOf4K is a device whose allocation units are 4 KiB.
func unitsOf4K(t testing.TB) string { return sizedUnitsOf4K(t, testSize) }

func sizedUnitsOf4K(t testing.TB, size int64) string {
	t.Helper()
	path := fileBacking(t, size)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	setUnit(t, path, smallUnit)
	return path
}

// However a small file is filled, its content is what was written, and it is mapped only if it
// is asked for or comes in many pieces.
func TestSmallFiles(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{
		"by calls": nil,
		"shared":   {prepareOption(func(d *device) { d.shared = canFlush })},
		"disk":     {prepareOption(func(d *device) { d.writeBack, d.sync = true, func([]byte) error { return nil } })},
	} {
		t.Run(name, func(t *testing.T) {
			m := openMaster(t, unitsOf4K(t), opts...)
			striped := Interleave(Interleaving{Strips: 3, Buckets: 3, Chunk: smallUnit})
			calls := m.dev.takesCalls()
			assert.True(t, name != "shared" || !calls || !canFlush, "lines would have to be written back")
			for _, size := range []int64{1, 4095, 4*smallUnit + 7, smallFile, smallFile + 1} {
				content := pattern(int(size), uint64(size))
				for way, fill := range map[string]struct {
					mapped bool
					fill   func(p *PendingFile) error
				}{
					"untouched":  {false, func(p *PendingFile) error { return nil }},
					"Write":      {false, func(p *PendingFile) error { _, err := p.Write(content); return err }},
					"two halves": {false, func(p *PendingFile) error { return writeBackwards(p, content, size/2+1) }},
					"many":       {true, func(p *PendingFile) error { return writeBackwards(p, content, size/20+1) }},
					"a reader": {false, func(p *PendingFile) error {
						_, err := p.ReadFrom(iotest.HalfReader(bytes.NewReader(content)))
						return err
					}},
					"two readers": {false, func(p *PendingFile) error {
						_, err := p.ReadFrom(bytes.NewReader(content[:size/2]))
						_, err2 := p.ReadFrom(bytes.NewReader(content[size/2:]))
						return errors.Join(err, err2)
					}},
					"Bytes": {true, func(p *PendingFile) error { copy(p.Bytes(), content); return nil }},
					"Bytes after Write": {true, func(p *PendingFile) error {
						if _, err := p.Write(content[:size/2]); err != nil {
							return err
						}
						mem := p.Bytes()
						assert.True(t, bytes.Equal(content[:size/2], mem[:size/2]), "one memory")
						copy(mem[size/2:], content[size/2:])
						return nil
					}},
				} {
					p, err := m.Create("f", size, Replace(), striped)
					require.NoError(t, err)
					require.NoError(t, fill.fill(p), way)
					if want := fill.mapped || !calls || size > smallFile; way != "untouched" && (way != "many" || size > 20) {
						assert.Equal(t, want, p.region != nil, "%s of %d", way, size)
					}
					require.NoError(t, p.Commit(), way)
					if way == "untouched" {
						continue
					}
					data, err := m.ReadFile("f")
					require.NoError(t, err)
					assert.True(t, bytes.Equal(content, data), "%s of %d", way, size)
				}
			}
			require.NoError(t, m.Close())
		})
	}
}

// A large file is written by calls, too, if its pages are small and much is written at once.
func TestLargeFilesByCalls(t *testing.T) {
	t.Parallel()
	m := openMaster(t, sizedUnitsOf4K(t, 512*mib), prepareOption(func(d *device) { d.smallPages = true }))
	needsCalls(t, m)
	if !m.dev.prefersCalls() {
		t.Skip("pages are large, or on a disk")
	}
	size := 3*int64(workPiece) + 12345
	content := pattern(int(size), 1)
	source := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.WriteFile(source, content, 0o600))
	open := func() *os.File {
		f, err := os.Open(source)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	striped := Interleave(Interleaving{Strips: 3, Buckets: 3, Chunk: smallUnit})
	for name, way := range map[string]struct {
		mapped bool
		fill   func(p *PendingFile) error
	}{
		"Write":        {false, func(p *PendingFile) error { _, err := p.Write(content); return err }},
		"large pieces": {false, func(p *PendingFile) error { return writeBackwards(p, content, size/2+1) }},
		"small pieces": {true, func(p *PendingFile) error { return writeBackwards(p, content, largeCall-1) }},
		"a file": {false, func(p *PendingFile) error {
			f := open()
			n, err := p.ReadFrom(f)
			assert.Equal(t, size, n)
			at, seekErr := f.Seek(0, io.SeekCurrent)
			assert.Equal(t, size, at)
			return errors.Join(err, seekErr)
		}},
		"a slice": {false, func(p *PendingFile) error { _, err := p.ReadFrom(bytes.NewReader(content)); return err }},
		"a reader": {true, func(p *PendingFile) error {
			_, err := p.ReadFrom(iotest.HalfReader(bytes.NewReader(content)))
			return err
		}},
		"a keeper":      {true, func(p *PendingFile) error { _, err := p.ReadFrom(io.NewSectionReader(open(), 0, size)); return err }},
		"Bytes, a file": {true, func(p *PendingFile) error { p.Bytes(); _, err := p.ReadFrom(open()); return err }},
		"a part, Bytes": {true, func(p *PendingFile) error {
			n, err := p.ReadFrom(bytes.NewReader(content[:size-5]))
			assert.Equal(t, size-5, n)
			copy(p.Bytes()[n:], content[n:])
			return err
		}},
	} {
		for _, opt := range []CreateOption{nil, striped} {
			p, err := m.Create("f", size, Replace(), opt)
			require.NoError(t, err)
			require.NoError(t, way.fill(p), name)
			assert.Equal(t, way.mapped, p.region != nil, name)
			require.NoError(t, p.Commit(), name)
			data, err := m.ReadFile("f")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content, data), name)
		}
	}

	p, err := m.Create("longer", size-1)
	require.NoError(t, err)
	defer p.Close()
	n, err := p.ReadFrom(bytes.NewReader(content))
	assert.Equal(t, size-1, n)
	assert.ErrorIs(t, err, io.ErrShortWrite)
	n, err = p.readFrom(bytes.NewReader(content), func(int64) error { return nil })
	assert.Zero(t, n, "it is full")
	assert.NotNil(t, p.region, "nothing is left to be written by calls")
	require.ErrorIs(t, err, io.ErrShortWrite)

	q, err := m.Create("stopped", size)
	require.NoError(t, err)
	defer q.Close()
	f := open()
	_, err = q.readFrom(f, func(int64) error { return assert.AnError })
	require.ErrorIs(t, err, assert.AnError)
	assert.Nil(t, q.region)
	_, err = q.ReadFrom(f)
	require.NoError(t, err, "it goes on where it ended")
	require.NoError(t, q.Commit())
	data, err := m.ReadFile("stopped")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
}

// writeBackwards writes content in pieces, the last one first.
func writeBackwards(p *PendingFile, content []byte, piece int64) error {
	for from := (int64(len(content)) - 1) / piece * piece; from >= 0; from -= piece {
		part := content[from:min(from+piece, int64(len(content)))]
		if n, err := p.WriteAt(part, from); err != nil || n != len(part) {
			return errors.Join(err, io.ErrShortWrite)
		}
	}
	return nil
}

// What does not fit, a source that ends early and one that breaks are as for any file.
func TestSmallFileErrors(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p, err := m.Create("f", 100)
	require.NoError(t, err)
	defer p.Close()
	n, err := p.WriteAt(make([]byte, 60), 50)
	assert.ErrorIs(t, err, io.ErrShortWrite)
	assert.Equal(t, 50, n)
	n, err = p.WriteAt([]byte{1}, 100)
	assert.ErrorIs(t, err, io.ErrShortWrite)
	assert.Zero(t, n)
	_, err = p.WriteAt([]byte{1}, -1)
	assert.ErrorIs(t, err, fs.ErrInvalid)
	n, err = p.WriteAt(nil, 1<<62)
	assert.NoError(t, err)
	assert.Zero(t, n)

	read, err := p.ReadFrom(io.MultiReader(bytes.NewReader(pattern(30, 1)), iotest.ErrReader(errBroken)))
	assert.ErrorIs(t, err, errBroken)
	assert.EqualValues(t, 30, read)
	read, err = p.ReadFrom(bytes.NewReader(pattern(20, 2)))
	assert.NoError(t, err)
	assert.EqualValues(t, 20, read)
	read, err = p.ReadFrom(bytes.NewReader(pattern(51, 3)))
	assert.ErrorIs(t, err, io.ErrShortWrite)
	assert.EqualValues(t, 50, read)
	assert.PanicsWithValue(t, "reader", func() {
		q, err := m.Create("g", 100)
		require.NoError(t, err)
		defer q.Close()
		q.ReadFrom(readerFunc(func([]byte) (int, error) { panic("reader") }))
	})
	require.NoError(t, p.Commit())
	data, err := m.ReadFile("f")
	require.NoError(t, err)
	assert.Equal(t, append(append(pattern(30, 1), pattern(20, 2)...), pattern(50, 3)...), data)
	_, err = p.Write([]byte{1})
	assert.ErrorIs(t, err, fs.ErrClosed)
	_, err = p.ReadFrom(bytes.NewReader([]byte{1}))
	assert.ErrorIs(t, err, fs.ErrClosed)
	require.NoError(t, m.Close())
}

// A stand-in that was cut short is not made longer again.
func TestSmallFileCut(t *testing.T) {
	t.Parallel()
	c := newCutFS(t, ReadWrite())
	needsCalls(t, c.FS)
	st, err := os.Stat(c.path)
	require.NoError(t, err)
	for name, fill := range map[string]func(p *PendingFile) error{
		"write":      func(p *PendingFile) error { _, err := p.WriteAt(pattern(100, 1), 50); return err },
		"read":       func(p *PendingFile) error { _, err := p.ReadFrom(bytes.NewReader(pattern(100, 1))); return err },
		"write much": func(p *PendingFile) error { _, err := p.Write(pattern(2*workPiece, 1)); return err },
		"read much":  func(p *PendingFile) error { _, err := p.ReadFrom(bytes.NewReader(pattern(2*workPiece, 1))); return err },
	} {
		size := int64(1000)
		if strings.HasSuffix(name, "much") {
			size = 2 * workPiece
			if !c.dev.prefersCalls() {
				continue
			}
		}
		p, err := c.Create(name, size)
		require.NoError(t, err)
		for range 2 {
			err = fill(p)
			var fault *FaultError
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, name, fault.Name)
			assert.True(t, c.inWindow(fault.Addr))
			assert.ErrorIs(t, p.Commit(), ErrDevice)
		}
		assert.Nil(t, p.Bytes())
		require.NoError(t, p.Close())
	}
	now, err := os.Stat(c.path)
	require.NoError(t, err)
	assert.Equal(t, st.Size(), now.Size())
	c.requireClose(t)
}

// Several goroutines that write pieces of one file notice that at the same time. The race detector
// watches.
func TestSmallFileCutAtOnce(t *testing.T) {
	t.Parallel()
	c := newCutFS(t, ReadWrite())
	needsCalls(t, c.FS)
	p, err := c.Create("f", 1000)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range int64(8) {
		all.Go(func() {
			n, err := p.put(pattern(100, 1), 100*i)
			assert.Zero(t, n)
			assert.ErrorIs(t, err, ErrDevice)
		})
	}
	all.Wait()
	assert.ErrorIs(t, p.Commit(), ErrDevice)
	require.NoError(t, p.Close())
	c.requireClose(t)
}

// Commit waits for the disk with what was written by calls, and for no more than that.
func TestSmallFileSynced(t *testing.T) {
	t.Parallel()
	var synced [][]byte
	m := openMaster(t, unitsOf4K(t), prepareOption(func(d *device) {
		d.writeBack = true
		d.sync = func(mem []byte) error { synced = append(synced, mem); return nil }
	}))
	needsCalls(t, m)
	synced = nil // Open has written the superblock's copy
	p, err := m.Create("f", 5*smallUnit, Interleave(Interleaving{Strips: 2, Buckets: 2, Chunk: smallUnit}))
	require.NoError(t, err)
	_, err = p.WriteAt(pattern(smallUnit, 1), smallUnit/2)
	require.NoError(t, err)
	assert.Empty(t, synced)
	synced = nil
	require.NoError(t, p.settle())
	require.Len(t, synced, 2, "a run each")
	for i, at := range []int64{smallUnit / 2, smallUnit} {
		_, off, _ := p.home.place.locate(at)
		assert.Equal(t, addressOf(m.window.mem)+uintptr(off), addressOf(synced[i]))
		assert.Len(t, synced[i], smallUnit/2)
	}
	synced = nil
	require.NoError(t, p.Commit())
	for _, mem := range synced {
		assert.Less(t, addressOf(mem)-addressOf(m.metaRegion.mem), uintptr(len(m.metaRegion.mem)), "the log alone")
	}
}

// A reader that stores to its buffer later, as none may, spoils nobody's file.
func TestSmallFileOfKeeper(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	var kept [][]byte
	keeper := func() io.Reader {
		n := 0
		return readerFunc(func(b []byte) (int, error) {
			kept = append(kept, b)
			if n++; n > 1 {
				return 0, io.EOF
			}
			b[0] = 1
			return 1, nil
		})
	}
	section := func() io.Reader { return io.NewSectionReader(keepsAt{&kept}, 0, 1) }
	for i, r := range []func() io.Reader{keeper, section} {
		for j := range 10 {
			p, err := m.Create(itoa(10*i+j), 1)
			require.NoError(t, err)
			_, err = p.ReadFrom(r())
			require.NoError(t, err)
			require.NoError(t, p.Commit())
			b, lent := m.buffers.take(1, false)
			for _, k := range kept {
				assert.NotEqual(t, addressOf(k), addressOf(b))
			}
			m.buffers.giveBack(lent)
		}
	}
	assert.GreaterOrEqual(t, len(kept), 20)
}

// keepsAt keeps what it is given.
type keepsAt struct{ kept *[][]byte }

func (k keepsAt) ReadAt(b []byte, off int64) (int, error) {
	*k.kept = append(*k.kept, b)
	return 1, nil
}
