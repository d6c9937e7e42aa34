package famfs

// Filling pending files from readers: every byte gets to its place, in all ways of reading; and
// the result if a source ends early or fails.

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources returns readers of content at offset at, by name: streams, readers that can be read
// anywhere, and files.
func sources(t *testing.T, content []byte, at int64) map[string]io.Reader {
	t.Helper()
	path := filepath.Join(testDir(t), "source")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	all := map[string]io.Reader{
		"stream":         struct{ io.Reader }{bytes.NewReader(content)},
		"halves":         iotest.HalfReader(bytes.NewReader(content)),
		"data and EOF":   iotest.DataErrReader(bytes.NewReader(content)),
		"bytes.Reader":   bytes.NewReader(content),
		"section":        io.NewSectionReader(bytes.NewReader(append(pattern(77, 9), content...)), 77, int64(len(content))),
		"file":           file,
		"buffered bytes": bytes.NewBuffer(bytes.Clone(content)),
		"strings.Reader": strings.NewReader(string(content)),
		"file of an FS":  fileOfFS(t, content),
	}
	for name, r := range all {
		if s, ok := r.(io.Seeker); ok {
			_, err := s.Seek(at, io.SeekStart)
			require.NoError(t, err)
			continue
		}
		_, err := io.CopyN(io.Discard, r, at)
		require.NoError(t, err, name)
	}
	return all
}

// fileOfFS returns a file with this content in its own file system.
func fileOfFS(t *testing.T, content []byte) io.Reader {
	if len(content) == 0 || os.Getenv("FAMFS_TEST_DEVICE") != "" { // the one device is in use
		return bytes.NewReader(content)
	}
	m, _ := master(t, 64*mib)
	require.NoError(t, m.WriteFile("source", content, 0o600))
	f, err := m.Open("source")
	require.NoError(t, err)
	return f
}

func TestReadFromSources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ size, prefix, content, at int64 }{
		"small":               {1000, 0, 1000, 0},
		"one unit":            {workPiece, 0, workPiece, 0},
		"many units":          {9*workPiece + 77, 0, 9*workPiece + 77, 0},
		"from within":         {5*workPiece + 1, 0, 5*workPiece + 12346, 12345},
		"behind a prefix":     {5*workPiece + 1, 4097, 4*workPiece + 1, 0},
		"longer than needed":  {3*workPiece + 5, 0, 7 * workPiece, 100},
		"longer by a byte":    {3*workPiece + 5, 77, 3*workPiece + 5 - 77 + 101, 100},
		"small and longer":    {1000, 0, 2000, 10},
		"full, and nothing":   {1000, 1000, 50, 50},
		"full, and more":      {1000, 1000, 50, 49},
		"shorter by a byte":   {4 * workPiece, 0, 4*workPiece - 1, 0},
		"shorter by units":    {8 * workPiece, 3, 3*workPiece + 5, 3},
		"nothing left":        {3 * workPiece, 0, 1000, 1000},
		"ends where one ends": {6 * workPiece, 0, 2 * workPiece, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, 128*mib)
			content, prefix := pattern(int(test.content), 1), pattern(int(test.prefix), 2)
			want := min(test.size-test.prefix, test.content-test.at)
			for name, r := range sources(t, content, test.at) {
				p, err := m.Create("f", test.size)
				require.NoError(t, err)
				_, err = p.Write(prefix)
				require.NoError(t, err)
				n, err := p.ReadFrom(r)
				if test.content-test.at > want {
					require.ErrorIs(t, err, io.ErrShortWrite, name)
				} else {
					require.NoError(t, err, name)
				}
				require.Equal(t, want, n, name)
				require.True(t, bytes.Equal(prefix, p.Bytes()[:test.prefix]), name)
				require.True(t, bytes.Equal(content[test.at:][:n], p.Bytes()[test.prefix:][:n]), name)
				// Both continue where this one ended.
				if s, ok := r.(io.Seeker); ok {
					at, err := s.Seek(0, io.SeekCurrent)
					require.NoError(t, err)
					assert.Equal(t, test.at+n, at, name)
				}
				assert.Equal(t, test.prefix+n, p.at, name)
				require.NoError(t, p.Close())
			}
		})
	}
}

// brokenAt fails to read from offset at on.
type brokenAt struct {
	*bytes.Reader
	at    int64
	err   error
	calls atomic.Int64
}

func (b *brokenAt) ReadAt(p []byte, off int64) (int, error) {
	b.calls.Add(1)
	if off+int64(len(p)) > b.at {
		n, _ := b.Reader.ReadAt(p[:max(b.at-off, 0)], off)
		return n, b.err
	}
	return b.Reader.ReadAt(p, off)
}

func TestReadFromBrokenSource(t *testing.T) {
	t.Parallel()
	const size = 20 * workPiece
	content := pattern(size, 3)
	broken := errors.New("broken")
	for _, at := range []int64{0, 1, fillPiece, workPiece - 1, workPiece, 3*workPiece + 5, size - 1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			m, _ := master(t, testSize)
			p, err := m.Create("f", size)
			require.NoError(t, err)
			r := &brokenAt{Reader: bytes.NewReader(content), at: at, err: broken}
			n, err := p.ReadFrom(io.NewSectionReader(r, 0, size))
			require.ErrorIs(t, err, broken)
			require.ErrorContains(t, err, "write f: broken")
			require.Equal(t, at, n, "all before it has been read")
			require.True(t, bytes.Equal(content[:at], p.Bytes()[:at]))
			require.Less(t, r.calls.Load(), int64((at/workPiece+maxWorkers+1)*(workPiece/fillPiece)), "it ends there")
			// The missing rest can be read from elsewhere.
			n, err = p.ReadFrom(bytes.NewReader(content[at:]))
			require.NoError(t, err)
			require.Equal(t, size-at, n)
			require.NoError(t, p.Commit())
			data, err := m.ReadFile("f")
			require.NoError(t, err)
			require.True(t, bytes.Equal(content, data))
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// wrongReader claims to read more than there is room for.
type wrongReader struct{ *bytes.Reader }

func (wrongReader) ReadAt(p []byte, _ int64) (int, error) { return len(p) + 1, nil }

// idleReader reads nothing, without an error.
type idleReader struct{ *bytes.Reader }

func (idleReader) ReadAt([]byte, int64) (int, error) { return 0, nil }

func TestReadFromBadReader(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p, err := m.Create("f", 3*workPiece)
	require.NoError(t, err)
	defer p.Close()
	content := bytes.NewReader(pattern(4*workPiece, 1))
	for name, r := range map[string]io.Reader{
		"by ReadAt": io.NewSectionReader(wrongReader{content}, 0, 4*workPiece),
		"by Read":   readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }),
		"negative":  readerFunc(func(p []byte) (int, error) { return -1, nil }),
	} {
		n, err := p.ReadFrom(r)
		assert.ErrorContains(t, err, "more than it was asked for", name)
		assert.Zero(t, n, name)
	}
	for name, r := range map[string]io.Reader{
		"by ReadAt": io.NewSectionReader(idleReader{content}, 0, 4*workPiece),
		"by Read":   readerFunc(func([]byte) (int, error) { return 0, nil }),
	} {
		_, err = p.ReadFrom(r)
		assert.ErrorIs(t, err, io.ErrNoProgress, name)
	}
	_, err = p.Write(make([]byte, 3*workPiece))
	require.NoError(t, err)
	_, err = p.ReadFrom(readerFunc(func([]byte) (int, error) { return 0, nil }))
	assert.ErrorIs(t, err, io.ErrNoProgress, "at the end")
}

// A file that becomes shorter while it is copied ends the copy like any end of file: its mapping
// faults, and reading finds the end.
func TestReadFromTruncated(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	content := pattern(4*workPiece, 4)
	file := sources(t, content, 0)["file"].(*os.File)
	src := openSource(file, 4*workPiece, thisMachine)
	require.NotNil(t, src)
	if src.mem == nil {
		t.Skip("files in this folder are not copied out of a mapping: FAMFS_TEST_DIR is not on tmpfs")
	}
	const end = workPiece + 1000
	require.NoError(t, os.Truncate(file.Name(), end))
	step := func(int64) error { return nil }
	to := make([]byte, workPiece)
	n, err := src.read(to, 0, nil, step)
	require.NoError(t, err)
	require.Equal(t, int64(workPiece), n)
	require.True(t, bytes.Equal(content[:workPiece], to))
	n, err = src.read(to, workPiece, nil, step)
	require.NoError(t, err)
	require.Equal(t, int64(1000), n)
	require.True(t, bytes.Equal(content[workPiece:end], to[:1000]))
	n, err = src.read(to, 2*workPiece, nil, step)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, src.leaveAt(end))
	require.NoError(t, src.close())
	require.NoError(t, src.close(), "again")
}

// Copying a file with holes does not fill the holes.
func TestReadFromSparse(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	path := filepath.Join(testDir(t), "sparse")
	require.NoError(t, CreateBacking(path, 4*workPiece))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	src := openSource(file, 4*workPiece, thisMachine)
	require.NotNil(t, src)
	assert.Nil(t, src.mem)
	require.NoError(t, src.close())
	p, err := m.Create("f", 4*workPiece)
	require.NoError(t, err)
	defer p.Close()
	fillPattern(p.Bytes(), 1)
	n, err := p.ReadFrom(file)
	require.NoError(t, err)
	require.Equal(t, int64(4*workPiece), n)
	assert.True(t, allZeros(p.Bytes()))
}

func allZeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// An error of the progress function ends the reading and is returned.
func TestReadFromStopped(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	stopped := errors.New("stopped")
	for name, r := range sources(t, pattern(8*workPiece, 1), 0) {
		p, err := m.Create("f", 8*workPiece)
		require.NoError(t, err)
		var told atomic.Int64
		n, err := p.readFrom(r, func(n int64) error {
			if told.Add(n) > workPiece {
				return stopped
			}
			return nil
		})
		require.ErrorIs(t, err, stopped, name)
		require.Less(t, n, int64(8*workPiece), name)
		require.NoError(t, p.Close())
	}
}

// If the memory is gone, the error says so, whoever finds out.
func TestReadFromIntoFault(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	content := pattern(3*workPiece, 1)
	for name, r := range sources(t, content, 0) {
		c := newCutFS(t, ReadWrite())
		p, err := c.Create("f", int64(len(content)))
		require.NoError(t, err)
		_, err = p.ReadFrom(r)
		var fault *FaultError
		require.ErrorAs(t, err, &fault, name)
		require.ErrorIs(t, err, ErrDevice, name)
		require.Equal(t, "f", fault.Name, name)
		require.ErrorIs(t, p.Commit(), ErrDevice, name)
		require.NoError(t, p.Close())
		_, err = c.Stat("f")
		require.ErrorIs(t, err, fs.ErrNotExist)
		c.requireClose(t)
	}
}

// shouting is a file whose own Read changes what the embedded methods return unchanged.
type shouting struct{ *os.File }

func (s shouting) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

type shoutingBytes struct{ *bytes.Reader }

func (s shoutingBytes) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

// A type that embeds a reader that can be read anywhere is read with its own Read.
func TestReadFromOwnRead(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	content := bytes.Repeat([]byte("quiet and "), 5*workPiece/10)
	file := sources(t, content, 0)["file"].(*os.File)
	for name, r := range map[string]io.Reader{"file": shouting{file}, "pointer": &shoutingBytes{bytes.NewReader(content)}} {
		p, err := m.Create("f", int64(len(content)))
		require.NoError(t, err)
		n, err := p.ReadFrom(r)
		require.NoError(t, err)
		require.EqualValues(t, len(content), n)
		assert.True(t, bytes.Equal(bytes.ToUpper(content), p.Bytes()), name)
		require.NoError(t, p.Close())
	}
}

// keepsReader keeps what io.Copy passes to it.
type keepsReader struct {
	io.Writer
	from io.Reader
}

func (k *keepsReader) ReadFrom(r io.Reader) (int64, error) { k.from = r; return 0, nil }

// io.Copy passes a file in its own struct; the file is recognized nevertheless.
func TestReadFromFileOfIOCopy(t *testing.T) {
	t.Parallel()
	file := sources(t, pattern(3*workPiece, 1), 0)["file"].(*os.File)
	var k keepsReader
	_, err := io.Copy(&k, file)
	require.NoError(t, err)
	require.NotNil(t, k.from)
	at, ok := knownSeekerAt(k.from).(*os.File)
	require.True(t, ok, "%T", k.from)
	assert.Same(t, file, at)
}

// io.Copy never cuts anything off without an error.
func TestIOCopyOfTooMuch(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	for _, size := range []int64{10, 3*workPiece + 1} {
		for name, r := range sources(t, pattern(int(size)+1, 1), 0) {
			p, err := m.Create("f", size)
			require.NoError(t, err)
			n, err := io.Copy(p, r)
			assert.ErrorIs(t, err, io.ErrShortWrite, name)
			assert.Equal(t, size, n, name)
			assert.ErrorContains(t, err, "write f: ")
			require.NoError(t, p.Close())
		}
	}
}

// An error of the source counts even if every byte is there: for example, if a checksum behind
// the bytes is wrong.
func TestReadFromErrorAtTheEnd(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	broken := errors.New("broken")
	for _, size := range []int{1000, workPiece, 2*workPiece + 5} {
		content := pattern(size, 1)
		whole := func() io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }
		last := whole()
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write(content)
		require.NoError(t, err)
		require.NoError(t, z.Close())
		packed.Bytes()[packed.Len()-8] ^= 1 // in its checksum
		unpacked, err := gzip.NewReader(&packed)
		require.NoError(t, err)
		for name, test := range map[string]struct {
			r    io.Reader
			want error
		}{
			"behind":   {io.MultiReader(whole(), iotest.ErrReader(broken)), broken},
			"with":     {readerFunc(func(p []byte) (int, error) { n, _ := io.ReadFull(last, p); return n, broken }), broken},
			"checksum": {unpacked, gzip.ErrChecksum},
			"section":  {io.NewSectionReader(&brokenAt{Reader: bytes.NewReader(content), at: int64(size), err: broken}, 0, int64(size)+1), broken},
		} {
			p, err := m.Create("f", int64(size))
			require.NoError(t, err)
			n, err := p.ReadFrom(test.r)
			assert.ErrorIs(t, err, test.want, "%s, %d bytes", name, size)
			if name != "with" {
				assert.EqualValues(t, size, n, "%s, %d bytes", name, size)
				assert.True(t, bytes.Equal(content, p.Bytes()), "%s, %d bytes", name, size)
			}
			require.NoError(t, p.Close())
		}
	}
}

// After an error with bytes before it, in the middle, these bytes are kept.
func TestReadFromErrorWithBytes(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	p, err := m.Create("f", 4)
	require.NoError(t, err)
	defer p.Close()
	reads := [][]byte{[]byte("ab"), []byte("cd")}
	broken := errors.New("broken")
	for i, part := range reads {
		n, err := p.ReadFrom(readerFunc(func(b []byte) (int, error) { return copy(b, part), broken }))
		assert.ErrorIs(t, err, broken, "%d", i)
		assert.EqualValues(t, 2, n)
	}
	assert.Equal(t, "abcd", string(p.Bytes()))
	require.NoError(t, p.Commit())
}

// If a source cannot be left at the end of what was read, that is an error.
func TestReadFromClosedMeanwhile(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	const size = 3*workPiece - 1000 // its end is met before it is closed
	for name, r := range sources(t, pattern(size, 1), 0) {
		closer, ok := r.(io.Closer)
		if !ok {
			continue
		}
		p, err := m.Create("f", size+workPiece)
		require.NoError(t, err)
		var told atomic.Int64
		n, err := p.readFrom(r, func(n int64) error {
			if told.Add(n) == size {
				closer.Close()
			}
			return nil
		})
		assert.ErrorIs(t, err, fs.ErrClosed, name)
		assert.EqualValues(t, size, n, name)
		require.NoError(t, p.Close())
	}
}

// panicsAt panics in a goroutine that is not the caller's, or in the caller's, while another one
// is in ReadAt.
type panicsAt struct {
	*bytes.Reader
	inLead  bool
	other   chan struct{} // closed once another one reads
	once    sync.Once
	reading atomic.Int64
}

func (r *panicsAt) ReadAt(p []byte, off int64) (int, error) {
	defer r.reading.Add(-1)
	r.reading.Add(1)
	lead := bytes.Contains(debug.Stack(), []byte("(*crew).lead"))
	if lead == r.inLead {
		<-r.other
		panic(errBroken)
	}
	r.once.Do(func() { close(r.other) })
	runtime.Gosched()
	return r.Reader.ReadAt(p, off)
}

// If a reader panics, in any goroutine, nobody still reads into memory that is given back, and
// the file can be filled and committed.
func TestReadFromPanics(t *testing.T) {
	t.Parallel()
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor: one goroutine reads")
	}
	const size = 9 * workPiece
	content := pattern(size, 1)
	parallel := func(inLead bool) *panicsAt {
		return &panicsAt{Reader: bytes.NewReader(content), inLead: inLead, other: make(chan struct{})}
	}
	lead, other := parallel(true), parallel(false)
	file := sources(t, content, 0)["file"].(*os.File)
	panics := func(int64) error { panic(errBroken) }
	quiet := func(int64) error { return nil }
	m, _ := master(t, 256*mib)
	for name, test := range map[string]struct {
		r    io.Reader
		step func(int64) error
		want any
	}{
		"stream":     {readerFunc(func([]byte) (int, error) { panic(errBroken) }), quiet, errBroken},
		"lead":       {io.NewSectionReader(lead, 0, size), quiet, errBroken},
		"another":    {io.NewSectionReader(other, 0, size), quiet, errBroken},
		"step":       {file, panics, errBroken},
		"Goexit":     {readerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }), quiet, nil},
		"at end":     {io.MultiReader(bytes.NewReader(content), readerFunc(func([]byte) (int, error) { panic(errBroken) })), quiet, errBroken},
		"step exits": {file, func(int64) error { runtime.Goexit(); return nil }, nil},
	} {
		p, err := m.Create(name, size)
		require.NoError(t, err)
		panicked, returned := ending(func() { p.readFrom(test.r, test.step) })
		assert.False(t, returned, name)
		assert.Equal(t, test.want, panicked, name)
		assert.Zero(t, lead.reading.Load()+other.reading.Load(), name)
		assert.Empty(t, mappedFrom(t, file.Name()), name)
		_, err = p.WriteAt(content, 0)
		require.NoError(t, err, name)
		require.NoError(t, p.Commit(), name)
		data, err := m.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content, data), name)
	}
}

// mappedFrom lists the mappings of a file in this process, if the system reports them.
func mappedFrom(t *testing.T, path string) (found []string) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, path) {
			found = append(found, line)
		}
	}
	return found
}

// Data that a reader or a step did not count may have been stored: Commit flushes it, although
// everything else was written back at once.
func TestReadFromFlushesTheRest(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	m.dev.writeBack = false // as on a device
	content := pattern(3*workPiece, 1)
	for name, test := range map[string]struct {
		r                  io.Reader
		dirtyFrom, dirtyTo int64
	}{
		"all of it":  {bytes.NewReader(content), 0, 0},
		"stream":     {struct{ io.Reader }{bytes.NewReader(content)}, 0, 0},
		"ends early": {struct{ io.Reader }{bytes.NewReader(content[:workPiece+5])}, workPiece + 5, 2 * workPiece},
		"broken":     {iotest.ErrReader(errBroken), 0, workPiece},
		"panics":     {readerFunc(func(p []byte) (int, error) { p[0]++; panic(errBroken) }), 0, workPiece},
	} {
		p, err := m.Create("f", int64(len(content)))
		require.NoError(t, err)
		ending(func() { p.ReadFrom(test.r) })
		assert.Equal(t, test.dirtyFrom, p.dirtyFrom, name)
		assert.Equal(t, test.dirtyTo, p.dirtyTo, name)
		require.NoError(t, p.Close())
	}
}

// faultyReader returns a fault of its own memory as an error.
type faultyReader struct{ mem []byte }

func (r faultyReader) Read([]byte) (int, error) {
	return 0, Guard(func() error { r.mem[0]++; return nil })
}

// A fault in the source is an error that names it, and does not damage the pending file. Only a
// fault of the file's own memory is final.
func TestFillFromFault(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	lost := newCutFS(t)
	gone := lost.mapping.Bytes()[4*mib:]
	m := openTest(t, secondBacking(t), ReadWrite())
	file, err := lost.FS.Open("d/cut")
	require.NoError(t, err)
	defer file.Close()
	_, err = file.(io.Seeker).Seek(4*mib, io.SeekStart)
	require.NoError(t, err)
	for name, fill := range map[string]func(p *PendingFile) error{
		"Write":         func(p *PendingFile) error { _, err := p.Write(gone[:10]); return err },
		"Write of much": func(p *PendingFile) error { _, err := p.Write(gone); return err },
		"WriteAt":       func(p *PendingFile) error { _, err := p.WriteAt(gone[:1000], 5); return err },
		"ReadFrom": func(p *PendingFile) error {
			_, err := p.ReadFrom(bytes.NewReader(gone))
			return err
		},
		"a file": func(p *PendingFile) error { _, err := p.ReadFrom(file); return err },
		"own error": func(p *PendingFile) error {
			_, err := p.ReadFrom(faultyReader{gone})
			return err
		},
	} {
		for _, size := range []int64{3 * mib, smallFile} {
			name := fmt.Sprint(name, " of ", size)
			p, err := m.Create(name, size)
			require.NoError(t, err)
			var fault *FaultError
			require.ErrorAs(t, fill(p), &fault, name)
			assert.Equal(t, "d/cut", fault.Name, name)
			content := pattern(int(size), 9)
			_, err = p.WriteAt(content, 0)
			require.NoError(t, err, name)
			require.NoError(t, p.Commit(), name)
			data, err := m.ReadFile(name)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(content, data), name)
			_, err = file.(io.Seeker).Seek(4*mib, io.SeekStart)
			require.NoError(t, err)
		}
	}
}

// secondBacking is a formatted file beside the device of a test.
func secondBacking(t *testing.T) string {
	t.Helper()
	path := filepath.Join(testDir(t), "second")
	require.NoError(t, CreateBacking(path, testSize))
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	return path
}
