package famfs

// The real code on simulated caches: every host has a file of its own, which holds what
// its caches and the memory behind them show to it, and a device whose cache instructions
// move lines between that file and the memory that all share. What is mapped, loaded,
// stored and copied is as in any program.
//
// These caches do nothing by themselves: what is not written back and fenced reaches
// nobody, and what is not invalidated and fenced stays as it was first seen. So a flush,
// an invalidation or a fence that is missing, or that is of the wrong kind, shows. What
// caches may do by themselves, and when, is drawn where a test asks for it (evictSome).
//
// sim_test.go has the same for metadata alone, many times faster.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mappedMedium is the memory that hosts share, as it would be found with all power gone.
type mappedMedium struct {
	dir string
	mem []byte
	// mu is held during every operation on cache lines, of any host.
	mu sync.Mutex
}

func newMappedMedium(t *testing.T, size int64) *mappedMedium {
	t.Helper()
	if lineSize > simLineSize {
		t.Skipf("lines have %d bytes here; the simulation's have %d", lineSize, simLineSize)
	}
	return &mappedMedium{dir: testDir(t), mem: make([]byte, size)}
}

// mappedHost is a host: its caches, and the file that stands for the device on it.
type mappedHost struct {
	medium *mappedMedium
	path   string
	view   []byte // that file: what this host's loads get
	known  []byte // the same where it is clean; what it was before this host's stores where it is dirty
	// written are lines on their way to the medium, as they were; a fence for stores
	// completes them.
	written map[int64]lineData
	// leaving are runs of lines that were invalidated, and left those of them that were
	// dirty, as they were; a fence for loads completes them.
	leaving []segment
	left    map[int64]lineData
	// before is called before each operation, with medium.mu held; may be nil.
	before func(op mappedOp)
	ops    []mappedOp
}

// mappedOp is one operation on cache lines.
type mappedOp struct {
	kind     string // "write back", "invalidate", "copy past", simFenceStores or simFenceLoads
	off, len int64  // in the device
}

// host returns a new one, with empty caches.
func (m *mappedMedium) host(t *testing.T, name string) *mappedHost {
	t.Helper()
	path := filepath.Join(m.dir, name)
	require.NoError(t, CreateBacking(path, int64(len(m.mem))))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	view, err := unix.Mmap(int(f.Fd()), 0, len(m.mem), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Munmap(view) })
	h := &mappedHost{
		medium: m, path: path, view: view, known: make([]byte, len(m.mem)),
		written: make(map[int64]lineData), left: make(map[int64]lineData),
	}
	for at := 0; at < len(m.mem); at += 4096 {
		if part := m.mem[at : at+4096]; !bytes.Equal(part, make([]byte, 4096)) { // the rest stays sparse
			copy(view[at:], part)
			copy(h.known[at:], part)
		}
	}
	return h
}

// option is for Open, Check and Format on this host.
func (h *mappedHost) option() prepareOption {
	return func(d *device) { d.cache, d.shared, d.writeBack = h.cache(), true, false }
}

// cache returns the cache instructions of this host.
func (h *mappedHost) cache() *cacheLines {
	on := func(kind string, p unsafe.Pointer, lines uintptr, op func(off, n int64)) {
		from := deviceOffset(h.path, p)
		// Smaller lines than the simulation's take their neighbours with them.
		off, end := from&^(simLineSize-1), roundUp(from+int64(lines*lineSize), simLineSize)
		h.do(mappedOp{kind, off, end - off}, func() { op(off, end-off) })
	}
	return &cacheLines{
		writeBackLines: func(p unsafe.Pointer, lines uintptr) {
			on("write back", p, lines, func(off, n int64) {
				for _, at := range h.dirty(off, n) {
					h.written[at] = *h.line(h.view, at)
				}
			})
		},
		invalidateLines: func(p unsafe.Pointer, lines uintptr) {
			on("invalidate", p, lines, func(off, n int64) {
				h.leaving = append(h.leaving, segment{off, n})
				for _, at := range h.dirty(off, n) {
					h.left[at] = *h.line(h.view, at)
				}
			})
		},
		streamLines: func(dst, src unsafe.Pointer, lines uintptr) {
			// It may fault: no lock is held.
			copy(unsafe.Slice((*byte)(dst), lines*lineSize), unsafe.Slice((*byte)(src), lines*lineSize))
			on("copy past", dst, lines, func(off, n int64) {
				for at := off; at < off+n; at += simLineSize {
					h.written[at] = *h.line(h.view, at)
					*h.line(h.known, at) = *h.line(h.view, at) // it is not in the cache
				}
			})
		},
		fenceStores: func() { h.do(mappedOp{kind: simFenceStores}, h.fenceStores) },
		fenceLoads:  func() { h.do(mappedOp{kind: simFenceLoads}, h.fenceLoads) },
	}
}

func (h *mappedHost) line(mem []byte, at int64) *lineData { return (*lineData)(mem[at:]) }

func (h *mappedHost) do(op mappedOp, do func()) {
	if h.before != nil {
		h.before(op)
	}
	h.medium.mu.Lock()
	defer h.medium.mu.Unlock()
	h.ops = append(h.ops, op)
	do()
}

func (h *mappedHost) fenceStores() {
	for at, data := range h.written {
		*h.line(h.medium.mem, at) = data
		*h.line(h.known, at) = data
	}
	clear(h.written)
}

func (h *mappedHost) fenceLoads() {
	for at, data := range h.left {
		*h.line(h.medium.mem, at), *h.line(h.known, at) = data, data
	}
	for _, run := range h.leaving {
		eachDifferent(run.off, run.len, h.view, h.medium.mem, func(at int64) {
			if *h.line(h.view, at) == *h.line(h.known, at) { // otherwise something was stored since
				*h.line(h.view, at), *h.line(h.known, at) = *h.line(h.medium.mem, at), *h.line(h.medium.mem, at)
			}
		})
	}
	h.leaving = h.leaving[:0]
	clear(h.left)
}

// eachDifferent calls do for the lines from off in which a and b differ.
func eachDifferent(off, n int64, a, b []byte, do func(at int64)) {
	const piece = 4096
	for end := off + n; off < end; {
		next := min(off&^(piece-1)+piece, end)
		if !bytes.Equal(a[off:next], b[off:next]) {
			for at := off; at < next; at += simLineSize {
				if [simLineSize]byte(a[at:]) != [simLineSize]byte(b[at:]) {
					do(at)
				}
			}
		}
		off = next
	}
}

// dirty returns the lines from off that this host has changed and not written back for
// certain.
func (h *mappedHost) dirty(off, n int64) (lines []int64) {
	eachDifferent(off, n, h.view, h.known, func(at int64) { lines = append(lines, at) })
	return lines
}

// dirtyOf returns the dirty lines in the space of a layout.
func (h *mappedHost) dirtyOf(l Layout) (lines []int64) {
	for _, x := range l.Extents {
		lines = append(lines, h.dirty(x.Offset, x.Length)...)
	}
	return lines
}

// evict does what a cache does in the end with all that is dirty.
func (h *mappedHost) evict() {
	for _, at := range h.dirty(0, int64(len(h.view))) {
		*h.line(h.medium.mem, at), *h.line(h.known, at) = *h.line(h.view, at), *h.line(h.view, at)
	}
}

// spoil has this host's caches hold something old for n bytes from off.
func (h *mappedHost) spoil(off, n int64) {
	for i := off; i < off+n; i++ {
		h.view[i], h.known[i] = 0xa5, 0xa5
	}
}

// deviceOffset returns where in the file at path the line at p lies, by the kernel's
// account.
func deviceOffset(path string, p unsafe.Pointer) int64 {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, path+"\n") {
			continue
		}
		fields := strings.Fields(line)
		from, to, _ := strings.Cut(fields[0], "-")
		start, _ := strconv.ParseUint(from, 16, 64)
		end, _ := strconv.ParseUint(to, 16, 64)
		offset, _ := strconv.ParseInt(fields[2], 16, 64)
		if at := uint64(uintptr(p)); at >= start && at < end {
			return offset + int64(at-start)
		}
	}
	panic(fmt.Sprintf("cache lines at %p, which are not of %s", p, path))
}

// mappedPair is a master and a client of a device of their own.
type mappedPair struct {
	medium         *mappedMedium
	master, client *mappedHost
	m, c           *FS
}

// newMappedPair formats a device, and opens it on both hosts.
func newMappedPair(t *testing.T, size int64) *mappedPair {
	t.Helper()
	needsNoDevice(t)
	medium := newMappedMedium(t, size)
	p := &mappedPair{medium: medium, master: medium.host(t, "master"), client: medium.host(t, "client")}
	require.NoError(t, Format(p.master.path, p.master.option(), WithSystemUUID(testHost)))
	p.m = openTest(t, p.master.path, p.master.option(), ReadWrite())
	p.c = openOther(t, p.client)
	return p
}

// openOther opens the device on a host that is a client, and may write data.
func openOther(t *testing.T, h *mappedHost, opts ...Option) *FS {
	t.Helper()
	fsys, err := Open(h.path, append(opts, h.option(), WithSystemUUID(otherHost), WithClientWrites())...)
	require.NoError(t, err)
	t.Cleanup(func() { fsys.Close() })
	return fsys
}

// mappedContents are ways to give a file its content.
var mappedContents = map[string]func(t *testing.T, p *PendingFile, data []byte){
	"Bytes": func(t *testing.T, p *PendingFile, data []byte) { copy(p.Bytes(), data) },
	"Bytes, later": func(t *testing.T, p *PendingFile, data []byte) {
		mem := p.Bytes()
		_, err := p.Write(data[:len(data)/2])
		require.NoError(t, err)
		copy(mem[len(data)/2:], data[len(data)/2:])
	},
	"CopyInto": func(t *testing.T, p *PendingFile, data []byte) { CopyInto(p.Bytes(), data) },
	"Write": func(t *testing.T, p *PendingFile, data []byte) {
		_, err := p.Write(data)
		require.NoError(t, err)
	},
	"Write in parts": func(t *testing.T, p *PendingFile, data []byte) {
		for part := range slices.Chunk(data, len(data)/7+1) {
			_, err := p.Write(part)
			require.NoError(t, err)
		}
	},
	"WriteAt, backwards": func(t *testing.T, p *PendingFile, data []byte) {
		step := len(data)/5 + 1
		for at := (len(data) - 1) / step * step; at >= 0; at -= step {
			_, err := p.WriteAt(data[at:min(at+step, len(data))], int64(at))
			require.NoError(t, err)
		}
	},
	"ReadFrom a stream": func(t *testing.T, p *PendingFile, data []byte) {
		n, err := p.ReadFrom(struct{ *bytes.Buffer }{bytes.NewBuffer(bytes.Clone(data))})
		require.NoError(t, err)
		require.EqualValues(t, len(data), n)
	},
	"ReadFrom a reader": func(t *testing.T, p *PendingFile, data []byte) {
		_, err := p.ReadFrom(bytes.NewReader(data))
		require.NoError(t, err)
	},
	"ReadFrom a file": func(t *testing.T, p *PendingFile, data []byte) {
		path := filepath.Join(testDir(t), "source")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		_, err = p.ReadFrom(f)
		require.NoError(t, err)
	},
}

// whole looks whether fsys has the file name, with this content: mapped, and by reading. Its
// host's caches have all memory as it was long ago, so it invalidates first.
func whole(fsys *FS, name string, data []byte) error {
	m, err := fsys.Map(name)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Invalidate(); err != nil {
		return err
	}
	if !bytes.Equal(data, m.Bytes()) {
		return fmt.Errorf("%s: other bytes are mapped than were written", name)
	}
	found, err := fsys.ReadFile(name)
	if err == nil && !bytes.Equal(data, found) {
		err = fmt.Errorf("%s: other bytes are read than were written", name)
	}
	return err
}

// However a file was filled: once Commit has returned, another host that looks for it
// finds it, whole, though nothing leaves this host's caches by itself.
func TestMappedCommit(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 256*mib)
	require.NoError(t, p.m.Mkdir("d", 0o755))
	for way, fill := range mappedContents {
		for _, size := range []int{1, 63, 127, 128, 1000, 4097, workPiece + 100_001} {
			name := fmt.Sprintf("d/%s %d", way, size)
			data := pattern(size, uint64(len(way)*1000+size))
			pending, err := p.m.Create(name, int64(size))
			require.NoError(t, err, name)
			fill(t, pending, data)
			require.NoError(t, pending.Commit(), name)
			require.Empty(t, p.master.dirtyOf(pending.home.place), name)
			n, err := p.c.Refresh()
			require.NoError(t, err, name)
			require.Positive(t, n, "%s: the other host does not see it", name)
			require.NoError(t, whole(p.c, name, data))
		}
	}
}

// What makes files and directories by the way, and several at a time.
func TestMappedTrees(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 128*mib)
	src := fstest.MapFS{}
	for i := range 12 {
		src[fmt.Sprintf("t/%d/f", i)] = &fstest.MapFile{Data: pattern(100+i*10_000, uint64(i)), Mode: 0o644}
	}
	require.NoError(t, p.m.CopyFS(t.Context(), "copy", src))
	require.NoError(t, p.m.WriteFile("written", pattern(5000, 3), 0o644))
	require.NoError(t, p.m.MkdirAll("a/b/c", 0o755))
	_, err := p.c.Refresh()
	require.NoError(t, err)
	for name, f := range src {
		require.NoError(t, whole(p.c, "copy/"+name, f.Data))
	}
	require.NoError(t, whole(p.c, "written", pattern(5000, 3)))
	st, err := p.c.Stat("a/b/c")
	require.NoError(t, err)
	assert.True(t, st.IsDir())
	// With that all is on the medium: when the power goes, nothing is lost.
	after := p.medium.host(t, "after")
	report, err := Check(after.path, after.option())
	require.NoError(t, err)
	assert.NoError(t, report.Err())
	assert.Equal(t, p.m.Usage(), openOther(t, after).Usage())
}

// Whatever reads metadata forgets first what its caches have of it. Here they have all of
// the device as it was before.
func TestMappedReaders(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	medium := newMappedMedium(t, 32*mib)
	master := medium.host(t, "master")
	blank := func(name string) *mappedHost { return medium.host(t, name) }
	opener, checker, formatter, again, wiper := blank("open"), blank("check"), blank("format"), blank("again"), blank("wipe")
	_, err := Open(opener.path, opener.option())
	require.ErrorIs(t, err, ErrNotFormatted)

	require.NoError(t, Format(master.path, master.option(), WithSystemUUID(testHost)))
	m := openTest(t, master.path, master.option(), ReadWrite())
	for i := range 200 {
		require.NoError(t, m.Mkdir(fmt.Sprint(i), 0o755))
	}
	used := blank("used") // has the log of a file system that will be gone

	c := openOther(t, opener)
	assert.Equal(t, m.Usage(), c.Usage())
	report, err := Check(checker.path, checker.option())
	require.NoError(t, err)
	require.NoError(t, report.Err())
	assert.Equal(t, m.Usage(), report.Usage)

	// An entry that is read once more.
	opener.spoil(int64(entryAt(7)), entrySize)
	count := 0
	for e, err := range c.Log() {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(count), e.Path)
		count++
	}
	assert.Equal(t, 200, count)

	require.NoError(t, m.Mkdir("new", 0o755))
	for range 3 {
		opener.spoil(logOffset, logHeaderSize)
		n, err := c.Refresh()
		require.NoError(t, err)
		assert.Equal(t, 201, c.Usage().LogUsed, "%d new", n)
	}

	// A host that knows of no file system sees that there is one.
	require.ErrorIs(t, Format(formatter.path, formatter.option(), WithSystemUUID(otherHost)), fs.ErrExist)
	// One that knows of no entries overwrites them all the same.
	require.NoError(t, Format(again.path, again.option(), WithSystemUUID(otherHost), Force()))
	assert.Equal(t, make([]byte, minLogSize-logHeaderSize), medium.mem[logOffset+logHeaderSize:logOffset+minLogSize])
	report, err = Check(used.path, used.option())
	require.NoError(t, err)
	assert.Zero(t, report.Usage.LogUsed)
	require.NoError(t, report.Err())

	require.NoError(t, wipe(wiper.path, wiper.option()))
	image := slices.Clone(medium.mem[:superblockArea])
	clearRecords(image)
	assert.Equal(t, make([]byte, superblockArea), image)
	_, err = Open(used.path, used.option())
	require.ErrorIs(t, err, ErrNotFormatted)
}

// Between any two things that a client does to its caches, the master makes a file. The
// client finds some beginning of the log, whole, and the rest the next time.
func TestMappedRefreshBetween(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 256*mib)
	for step, more := 0, true; more; step++ {
		require.Less(t, step, 50)
		name := func(i int) string { return fmt.Sprintf("%d-%d", step, i) }
		for i := range 2 {
			require.NoError(t, p.m.WriteFile(name(i), pattern(100, uint64(i)), 0o644))
		}
		before, left := p.c.Usage().LogUsed, step
		p.client.before = func(mappedOp) {
			if left--; left < 0 {
				p.client.before = nil
				require.NoError(t, p.m.WriteFile(name(2), pattern(100, 2), 0o644))
			}
		}
		n, err := p.c.Refresh()
		require.NoError(t, err)
		require.Contains(t, []int{2, 3}, n)
		require.Equal(t, before+n, p.c.Usage().LogUsed)
		require.Empty(t, p.c.Problems())
		if more = p.client.before == nil; more {
			_, err = p.c.Refresh()
			require.NoError(t, err)
			require.NoError(t, whole(p.c, name(2), pattern(100, 2)))
		}
		p.client.before = nil
		for i := range 2 {
			require.NoError(t, whole(p.c, name(i), pattern(100, uint64(i))))
		}
	}
}

// What arrives late at the medium is found when it is read again, and not before its
// lines were invalidated again.
func TestMappedLateEntry(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 32*mib)
	require.NoError(t, p.m.Mkdir("a", 0o755))
	late := bytes.Clone(p.medium.mem[entryAt(0):][:entrySize])
	clear(p.medium.mem[entryAt(0):][:entrySize])
	pauses := 0
	arrive := func(c *openConfig) {
		c.pause = func(time.Duration) {
			if pauses++; pauses == 2 {
				copy(p.medium.mem[entryAt(0):], late)
			}
		}
	}
	c := openOther(t, p.medium.host(t, "late"), openOption(arrive))
	assert.Equal(t, 1, c.Usage().Dirs)
	assert.Equal(t, 2, pauses)
}

// A file that is written by one host at a time: what was stored is seen by others after
// Flush there and Invalidate here, in whole lines, and not before.
func TestMappedSerialSharing(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 32*mib)
	const size = 4096
	require.NoError(t, p.m.WriteFile("f", make([]byte, size), 0o644))
	_, err := p.c.Refresh()
	require.NoError(t, err)
	here, err := p.m.Map("f")
	require.NoError(t, err)
	defer here.Close()
	there, err := p.c.Map("f", Writable())
	require.NoError(t, err)
	defer there.Close()
	require.NoError(t, there.Invalidate())
	for _, c := range []struct {
		name              string
		flush, invalidate func() error
		from, to          int // what reaches this host
	}{
		{"all", there.Flush, here.Invalidate, 0, size},
		{"flush of a part", func() error { return there.FlushRange(100, 1) }, here.Invalidate, 64, 128},
		{"flush of lines", func() error { return there.FlushRange(128, 65) }, here.Invalidate, 128, 256},
		{"flush of the last byte", func() error { return there.FlushRange(size-1, 1) }, here.Invalidate, size - 64, size},
		{"flush of nothing", func() error { return there.FlushRange(100, 0) }, here.Invalidate, 0, 0},
		{"invalidation of a part", there.Flush, func() error { return here.InvalidateRange(191, 2) }, 128, 256},
		{"invalidation of nothing", there.Flush, func() error { return here.InvalidateRange(191, 0) }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, data := pattern(size, 1), pattern(size, 2)
			copy(there.Bytes(), old)
			require.NoError(t, there.Flush())
			require.NoError(t, here.Invalidate())
			require.Equal(t, old, here.Bytes())

			copy(there.Bytes(), data)
			require.NoError(t, here.Invalidate())
			assert.Equal(t, old, here.Bytes(), "without Flush it must not be seen")
			require.NoError(t, c.flush())
			assert.Equal(t, old, here.Bytes(), "without Invalidate it must not be seen")
			require.NoError(t, c.invalidate())
			want := bytes.Clone(old)
			copy(want[c.from:c.to], data[c.from:])
			assert.True(t, bytes.Equal(want, here.Bytes()), "want bytes %d to %d to be new", c.from, c.to)
			require.NoError(t, there.Flush())
		})
	}
}

// What an end of a queue has done is on the medium when it returns, and the other end, on a
// host that has all of the queue in its caches as it was, sees it.
func TestMappedQueue(t *testing.T) {
	t.Parallel()
	p := newMappedPair(t, 32*mib)
	for _, size := range []int64{32, 64, 256} { // the last goes past the caches, where that is possible
		name := fmt.Sprint(size)
		require.NoError(t, p.m.CreateQueue(name, 4, size))
		_, err := p.c.Refresh()
		require.NoError(t, err)
		producer, err := p.c.Producer(name)
		require.NoError(t, err)
		defer producer.Close()
		consumer, err := p.m.Consumer(name)
		require.NoError(t, err)
		defer consumer.Close()
		next := 0
		put := func(n int) {
			for i := range n {
				b, err := producer.Next(t.Context())
				require.NoError(t, err)
				fillPattern(b, uint64(next+i))
			}
			require.NoError(t, producer.Publish())
			require.Empty(t, p.client.dirty(0, 32*mib))
		}
		b := make([]byte, consumer.MessageSize())
		check := func() {
			require.Equal(t, pattern(len(b), uint64(next)), b, "message %d", next)
			next++
		}
		for lap := range 4 {
			put(3)
			ok, err := producer.TryPut(nil)
			require.NoError(t, err)
			require.False(t, ok)
			for range 2 {
				_, err := consumer.Get(t.Context(), b)
				require.NoError(t, err)
				check()
				require.Empty(t, p.master.dirty(0, 32*mib))
			}
			for message, err := range consumer.All(t.Context()) {
				require.NoError(t, err)
				copy(b, message)
				check()
				break
			}
			require.Empty(t, p.master.dirty(0, 32*mib), "lap %d", lap)
		}
		fsys := openOther(t, p.medium.host(t, "third "+name))
		info, err := fsys.StatQueue(name)
		require.NoError(t, err)
		assert.Equal(t, QueueInfo{4, size, len(b), 0, 12, 12}, info)
	}
}

// Whatever part of what the master has changed its caches write back, at whatever moment:
// a host that comes then finds only files that are whole.
func TestMappedOrder(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	seed := simSeed(t)
	rng := rand.New(rand.NewPCG(seed, 5))
	const size = 16 * mib
	medium := newMappedMedium(t, size)
	master := medium.host(t, "master")
	files := make(map[string][]byte) // all that there may be, with content
	crashed := medium.host(t, "crashed")
	states, found, formatting := 0, make(map[int]int), false
	// look opens what the medium has after these lines were written back to it.
	look := func(lines []int64) {
		states++
		for at := 0; at < size; at += 64 << 10 {
			if from := medium.mem[at : at+64<<10]; !bytes.Equal(crashed.view[at:at+64<<10], from) {
				copy(crashed.view[at:], from)
			}
		}
		for _, at := range lines {
			*master.line(crashed.view, at) = *master.line(master.view, at)
		}
		fsys, err := Open(crashed.path, atOnce)
		if formatting && (errors.Is(err, ErrNotFormatted) || errors.Is(err, ErrCorrupt)) {
			found[-1]++
			return
		}
		require.NoError(t, err, "lines %#x", lines)
		defer fsys.Close()
		require.Empty(t, fsys.Problems(), "lines %#x", lines)
		found[fsys.Usage().Files]++
		for name, data := range files {
			if _, err := fsys.Stat(name); err == nil {
				require.NoError(t, whole(fsys, name, data), "lines %#x", lines)
			}
		}
	}
	samples := 2
	if raceEnabled {
		samples = 0
	}
	var before []int64
	master.before = func(op mappedOp) {
		dirty := master.dirty(0, size)
		if len(dirty) == 0 || slices.Equal(dirty, before) {
			return
		}
		if before = dirty; op.kind == simFenceStores || op.kind == simFenceLoads {
			before = nil // then there are other states, with the same lines
		}
		look(dirty)
		look(dirty[:1]) // of all that is dirty, that is superblock or header if they are
		for range samples {
			var some []int64
			for _, at := range dirty {
				if rng.IntN(2) == 0 {
					some = append(some, at)
				}
			}
			look(some)
		}
	}
	for range 2 {
		formatting = true
		require.NoError(t, Format(master.path, master.option(), WithSystemUUID(testHost), Force()))
		formatting = false
		clear(files)
		m, err := Open(master.path, master.option(), WithSystemUUID(testHost), ReadWrite())
		require.NoError(t, err)
		defer m.Close()
		require.NoError(t, m.Mkdir("d", 0o755))
		for i, fill := range []string{"Bytes", "Write", "ReadFrom a stream"} {
			name, data := fmt.Sprintf("d/%d", i), pattern(700, rng.Uint64())
			files[name] = data
			p, err := m.Create(name, int64(len(data)))
			require.NoError(t, err)
			mappedContents[fill](t, p, data)
			require.NoError(t, p.Commit())
		}
	}
	t.Logf("%d states, by files found in them: %v", states, found)
	assert.Positive(t, found[-1], "not formatted")
	for i := range 4 {
		assert.Positive(t, found[i], "%d files", i)
	}
}

// What was stored to a file that is given up must not reach the medium later: its space is
// another file's by then, and another host writes that. Here the caches keep all that is
// dirty until the other host is done.
func TestMappedGivenUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		giveUp func(t *testing.T, p *PendingFile)
	}{
		"filled through Bytes":   {func(t *testing.T, p *PendingFile) { fillPattern(p.Bytes(), 1) }},
		"one byte through Bytes": {func(t *testing.T, p *PendingFile) { p.Bytes()[mib+17] = 1 }},
		"written": {func(t *testing.T, p *PendingFile) {
			_, err := p.Write(pattern(2*mib, 1))
			require.NoError(t, err)
		}},
		"written and changed": {func(t *testing.T, p *PendingFile) {
			mem := p.Bytes()
			_, err := p.Write(pattern(2*mib, 1))
			require.NoError(t, err)
			fillPattern(mem[mib:], 2)
		}},
		"a reader that fails": {func(t *testing.T, p *PendingFile) {
			_, err := p.ReadFrom(io.MultiReader(bytes.NewReader(pattern(mib+17, 1)), iotest.ErrReader(io.ErrUnexpectedEOF)))
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMappedPair(t, 16*mib)
			old, err := p.m.Create("old", 2*mib)
			require.NoError(t, err)
			c.giveUp(t, old)
			require.NoError(t, old.Close())

			// The next file gets that space. Only its beginning is written here.
			next, err := p.m.Create("next", 2*mib)
			require.NoError(t, err)
			require.Equal(t, old.home.place, next.home.place)
			_, err = next.Write(pattern(100, 3))
			require.NoError(t, err)
			require.NoError(t, next.Commit())

			_, err = p.c.Refresh()
			require.NoError(t, err)
			there, err := p.c.Map("next", Writable())
			require.NoError(t, err)
			defer there.Close()
			require.NoError(t, there.Invalidate())
			assert.Equal(t, pattern(100, 3), there.Bytes()[:100])
			fillPattern(there.Bytes(), 4)
			require.NoError(t, there.Flush())

			p.master.evict()
			assert.NoError(t, whole(openOther(t, p.medium.host(t, "third")), "next", pattern(2*mib, 4)))
		})
	}
}

// A plain file needs no such care: all who share it have the same caches. Nothing is
// invalidated there but what a user asks for; on memory that hosts share, it is.
func TestInvalidatesOnlyShared(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{false, true} {
		path := fileBacking(t, testSize)
		dropped := 0
		counting := prepareOption(func(d *device) {
			cache := *thisMachine
			cache.invalidateLines = func(p unsafe.Pointer, lines uintptr) {
				dropped++
				thisMachine.invalidateLines(p, lines)
			}
			d.cache, d.shared = &cache, shared
		})
		dropsHere := func(what string) {
			t.Helper()
			assert.Equal(t, shared, dropped > 0, "%s drops lines, if the memory is shared: %v", what, shared)
			dropped = 0
		}
		require.NoError(t, Format(path, counting, WithSystemUUID(testHost)))
		dropsHere("Format")
		m := openTest(t, path, counting, ReadWrite())
		dropsHere("Open")
		_, err := m.Refresh()
		require.NoError(t, err)
		dropsHere("Refresh")
		p, err := m.Create("f", mib)
		require.NoError(t, err)
		fillPattern(p.Bytes(), 1)
		dropped = 0
		require.NoError(t, p.Close())
		dropsHere("Close of a pending file")
		require.NoError(t, m.WriteFile("g", []byte("g"), 0o644))
		dropsHere("WriteFile")
		x, err := m.Map("g")
		require.NoError(t, err)
		defer x.Close()
		dropped = 0
		require.NoError(t, x.Invalidate())
		assert.Equal(t, 1, dropped)
	}
}
