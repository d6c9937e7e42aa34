package famfs

// Replaying the log repeatedly. Clients that stay at a corrupt entry, replays that fail half
// way, and what readers do meanwhile.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const cachedLine = 64

// cachedMemory is a host that keeps all lines that it has loaded until they are invalidated and
// fenced. It counts what it loads.
type cachedMemory struct {
	sharedMemory
	mu        sync.Mutex
	lines     map[int64][]byte
	forgotten []int64 // invalidated, and not fenced yet
	loaded    int     // bytes
	// onLoad, if set, is called before each load.
	onLoad func(off int64, n int)
}

func (c *cachedMemory) load(p []byte, off int64) {
	if c.onLoad != nil {
		c.onLoad(off, len(p))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded += len(p)
	for n := 0; n < len(p); {
		at := (off + int64(n)) &^ (cachedLine - 1)
		line := c.lines[at]
		if line == nil {
			line = make([]byte, cachedLine)
			c.sharedMemory.load(line, at)
			c.lines[at] = line
		}
		n += copy(p[n:], line[off+int64(n)-at:])
	}
}

func (c *cachedMemory) load64(off int64) uint64 {
	var b [8]byte
	c.load(b[:], off)
	return binary.LittleEndian.Uint64(b[:])
}

func (c *cachedMemory) invalidate(off, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := off &^ (cachedLine - 1); at < off+n; at += cachedLine {
		c.forgotten = append(c.forgotten, at)
	}
}

func (c *cachedMemory) fenceLoads() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.forgotten {
		delete(c.lines, at)
	}
	c.forgotten = c.forgotten[:0]
}

// cachedReplica is heapReplica for a host that keeps lines. mem is the memory itself, which
// another host writes.
func cachedReplica(count uint64, entry func(i uint64) *entry) (r *replica, c *cachedMemory, mem []byte) {
	of := heapReplica(1<<30, minLogSize, defaultUnit, count, entry)
	c = &cachedMemory{sharedMemory: of.meta, lines: map[int64][]byte{}}
	r = newReplica(c, of.sb, 1<<30, slog.New(slog.DiscardHandler))
	r.pause = func(time.Duration) {}
	return r, c, of.meta.(*mappedMemory).mem
}

func numberedDir(i uint64) *entry { return forgedDir(fmt.Sprint("d", i)) }

// recordIn is the record of entry index.
func recordIn(mem []byte, index uint64) []byte { return mem[entryAt(index):][:entrySize] }

// setCount lets another host raise or lower the number of entries.
func setCount(mem []byte, n uint64) {
	put64(nextSeqAt, n)(mem[logOffset:])
	put64(nextIndexAt, n)(mem[logOffset:])
}

// little is more than a Refresh with nothing new reads, and less than two more entries.
const little = logHeaderSize + 4*superblockSize + 2*entrySize

// While nothing changes, a client that stays at a corrupt entry reads only that entry, even if
// it lies far behind what is replayed. It sees every change.
func TestCorruptEntryStays(t *testing.T) {
	t.Parallel()
	const count, bad = 2000, 1500
	for policy, name := range map[onCorrupt]string{failAtCorrupt: "fail", stopAtCorrupt: "stop"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c, mem := cachedReplica(count, numberedDir)
			pauses := 0
			r.pause = func(time.Duration) { pauses++ }
			setCount(mem, 10)
			n, err := r.catchUp(policy, true)
			require.NoError(t, err)
			require.Equal(t, 10, n)
			flip(50)(recordIn(mem, bad))
			setCount(mem, count)
			refresh := func(want int, unread int) (loaded int) {
				t.Helper()
				c.loaded, pauses = 0, 0
				n, err := r.catchUp(policy, false)
				assert.Equal(t, want, n)
				if policy == failAtCorrupt {
					require.ErrorIs(t, err, ErrChecksum)
					assert.ErrorContains(t, err, fmt.Sprintf("log entry %d: ", bad))
					assert.Empty(t, r.listProblems())
					assert.EqualValues(t, 10, r.ns.end())
					return c.loaded
				}
				require.NoError(t, err)
				problems := r.listProblems()
				require.Len(t, problems, unread)
				assert.Equal(t, bad, problems[0].Index)
				assert.ErrorIs(t, problems[0], ErrChecksum)
				assert.Equal(t, bad+unread-1, problems[unread-1].Index)
				assert.EqualValues(t, bad, r.ns.end())
				return c.loaded
			}
			// A single processor reads in order, and fails before it reaches the following entries.
			served, least := 0, bad
			if policy == stopAtCorrupt {
				served, least = bad-10, count
			}
			assert.Greater(t, refresh(served, count-bad), (least-10)*entrySize)
			for range 3 {
				assert.Less(t, refresh(0, count-bad), little)
				assert.Zero(t, pauses)
			}
			// Entries logged behind it are listed, and only they are read.
			e := numberedDir(count)
			e.seq = count
			b := e.encode()
			copy(recordIn(mem, count), b[:])
			setCount(mem, count+1)
			assert.Less(t, refresh(0, count+1-bad), little)
			assert.Less(t, refresh(0, count+1-bad), little)
			// The entry is a different one, but still corrupt.
			flip(51)(recordIn(mem, bad))
			refresh(0, count+1-bad)
			assert.Equal(t, len(settleTimes), pauses)
			assert.Less(t, refresh(0, count+1-bad), little)
			// Fewer entries, the last of which is the corrupt one; then without it.
			setCount(mem, bad+1)
			refresh(0, 1)
			setCount(mem, r.next)
			n, err = r.catchUp(policy, false)
			require.NoError(t, err)
			assert.Zero(t, n)
			assert.Empty(t, r.listProblems())
			// It is repaired.
			setCount(mem, count+1)
			refresh(0, count+1-bad)
			flip(50)(recordIn(mem, bad))
			flip(51)(recordIn(mem, bad))
			n, err = r.catchUp(policy, false)
			require.NoError(t, err)
			assert.Equal(t, count+1-10-served, n)
			assert.Empty(t, r.listProblems())
			for i := range uint64(count + 1) {
				index, ok := r.ns.lookup(fmt.Sprint("d", i))
				require.True(t, ok)
				require.EqualValues(t, i, index)
			}
		})
	}
	t.Run("in another file system", func(t *testing.T) {
		t.Parallel()
		r, _, mem := cachedReplica(3, numberedDir)
		flip(50)(recordIn(mem, 2))
		_, err := r.catchUp(stopAtCorrupt, true)
		require.NoError(t, err)
		sb := r.sb
		sb.UUID = UUID{9}
		b := sb.encode()
		copy(mem, b[:])
		_, err = r.catchUp(stopAtCorrupt, false)
		assert.ErrorIs(t, err, ErrReformatted)
		assert.Len(t, r.listProblems(), 1)
	})
}

// testFault is the value of the panic of a fault in real memory.
type testFault struct{}

func (testFault) Error() string { return "fault" }
func (testFault) RuntimeError() {}
func (testFault) Addr() uintptr { return 1 }

// A replay that fails anywhere has applied nothing, and the next one works as if it had not been.
func TestFailedReplayAppliesNothing(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	const count, bad = 3000, 2600
	for name, c := range map[string]struct {
		policy  onCorrupt
		corrupt bool
		at      uint64 // the entry whose load faults
		single  bool   // only where it is loaded alone
	}{
		"strict":                  {failAtCorrupt, false, 2500, false},
		"tolerant":                {stopAtCorrupt, false, 2500, false},
		"tolerant, before a tail": {stopAtCorrupt, true, 1100, false},
		"tolerant, in a tail":     {stopAtCorrupt, true, 2900, true},
		"tolerant, at its end":    {stopAtCorrupt, true, bad, true},
		"salvage":                 {skipCorrupt, true, 2500, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, m, mem := cachedReplica(count, func(i uint64) *entry {
				if i%10 == 9 {
					return forgedFile(fmt.Sprint("none/", i), 1, inUnits(10, 1))
				}
				return numberedDir(i)
			})
			whole := newReplica(m.sharedMemory, r.sb, r.geo.size, r.log)
			whole.pause = r.pause
			setCount(mem, 5)
			_, err := r.catchUp(c.policy, true)
			require.NoError(t, err)
			before := r.usage()
			setCount(mem, count)
			if c.corrupt {
				flip(50)(recordIn(mem, bad))
			}
			var mu sync.Mutex
			on := true
			r.meta = &toldMemory{m.sharedMemory, func(off int64, n int) {
				mu.Lock()
				defer mu.Unlock()
				if on && off <= entryAt(c.at) && entryAt(c.at) < off+int64(n) && (!c.single || n == entrySize) {
					panic(testFault{})
				}
			}}
			r.single.meta = r.meta
			for range 2 {
				err = Guard(func() error {
					_, err := r.catchUp(c.policy, false)
					return err
				})
				var fault *FaultError
				require.ErrorAs(t, err, &fault)
				assert.Equal(t, before, r.usage())
				assert.Empty(t, r.listProblems())
				assert.EqualValues(t, 5, r.next)
				_, ok := r.ns.lookup("d5")
				assert.False(t, ok)
			}
			on = false
			_, err = r.catchUp(c.policy, false)
			require.NoError(t, err)
			_, err = whole.catchUp(c.policy, true)
			require.NoError(t, err)
			assert.Equal(t, whole.usage(), r.usage())
			assert.Equal(t, problemTexts(whole.listProblems()), problemTexts(r.listProblems()))
			assert.NotEmpty(t, r.listProblems())
		})
	}
}

// toldMemory is memory that several goroutines may load. It calls onLoad before each load.
type toldMemory struct {
	sharedMemory
	onLoad func(off int64, n int)
}

func (m *toldMemory) load(p []byte, off int64) {
	m.onLoad(off, len(p))
	m.sharedMemory.load(p, off)
}

// A replay waits for an entry that arrives late, and reads it from memory, not from the cache.
func TestLateEntry(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, len(settleTimes)} {
		r, _, mem := cachedReplica(3, numberedDir)
		at := recordIn(mem, 1)
		whole := bytes.Clone(at)
		clear(at)
		pauses := 0
		r.pause = func(time.Duration) {
			if pauses++; pauses == after {
				copy(at, whole)
			}
		}
		n, err := r.catchUp(failAtCorrupt, true)
		require.NoError(t, err)
		assert.Equal(t, 3, n)
		assert.Equal(t, after, pauses)
	}
}

// Each replay that meets something new waits for it, however many others did so before.
func TestEachReplayWaits(t *testing.T) {
	t.Parallel()
	r, _, mem := cachedReplica(1, numberedDir)
	for i := range 2 * int(maxSettle/settleTimes[len(settleTimes)-1]) {
		put64(300, uint64(i+1))(recordIn(mem, 0)) // another corrupt entry
		pauses := 0
		r.pause = func(time.Duration) { pauses++ }
		_, err := r.catchUp(failAtCorrupt, false)
		require.ErrorIs(t, err, ErrCorrupt)
		require.Equal(t, len(settleTimes), pauses)
	}
}

// The total of all pauses of one replay is limited, however much of it is corrupt.
func TestOneReplayWaitsSoLong(t *testing.T) {
	t.Parallel()
	r, _, mem := cachedReplica(10_000, numberedDir)
	for i := range uint64(10_000) {
		flip(50)(recordIn(mem, i))
	}
	var paused atomic.Int64
	r.meta = r.meta.(*cachedMemory).sharedMemory
	r.single.meta = r.meta
	r.pause = func(d time.Duration) { paused.Add(int64(d)) }
	_, err := r.catchUp(skipCorrupt, true)
	require.NoError(t, err)
	assert.Len(t, r.listProblems(), 10_000)
	assert.Positive(t, paused.Load())
	assert.LessOrEqual(t, paused.Load(), int64(maxSettle))
}

// A device that is formatted while it is being opened is not mistaken for the old one.
func TestFormattedWhileOpening(t *testing.T) {
	t.Parallel()
	for _, count := range []uint64{1, 3 * slabNodes} {
		r, c, mem := cachedReplica(count, numberedDir)
		c.onLoad = func(off int64, _ int) {
			if off >= entryAt(0) { // the superblock and the log's header were looked at
				sb := r.sb
				sb.UUID = UUID{9}
				b := sb.encode()
				copy(mem, b[:])
				c.onLoad = nil
			}
		}
		_, err := r.catchUp(failAtCorrupt, true)
		assert.ErrorIs(t, err, ErrReformatted)
	}
}

// A client that stays at a corrupt entry checks that the entry belongs to the same file system.
func TestFormattedWhileStuck(t *testing.T) {
	t.Parallel()
	for _, policy := range []onCorrupt{failAtCorrupt, stopAtCorrupt} {
		const count, bad = 20, 15
		r, c, mem := cachedReplica(count, numberedDir)
		r.pause = func(time.Duration) {}
		setCount(mem, 10)
		_, err := r.catchUp(policy, true)
		require.NoError(t, err)
		flip(50)(recordIn(mem, bad))
		setCount(mem, count)
		_, err = r.catchUp(policy, false)
		require.Equal(t, policy == failAtCorrupt, err != nil)
		c.onLoad = func(off int64, _ int) {
			if off == entryAt(bad) {
				sb := r.sb
				sb.UUID = UUID{9}
				b := sb.encode()
				copy(mem, b[:])
			}
		}
		_, err = r.catchUp(policy, false)
		assert.ErrorIs(t, err, ErrReformatted)
	}
}

// At most a fixed number of problems is kept, and one more says that there are others.
func TestMostProblems(t *testing.T) {
	notUnderRace(t)
	needsNoDevice(t)
	t.Parallel()
	const count = maxProblems + 1000
	bad := func(i uint64) *entry { return forgedFile(fmt.Sprint(i), 0, inUnits(100, 1)) }
	r := heapReplica(1<<30, 64*mib, defaultUnit, count, bad)
	told := 0
	r.log = slog.New(callingHandler{slog.LevelWarn, func(slog.Record) { told++ }})
	_, err := r.catchUp(failAtCorrupt, true)
	require.NoError(t, err)
	all := r.listProblems()
	require.Len(t, all, maxProblems+1)
	assert.Equal(t, maxProblems-1, all[maxProblems-1].Index)
	assert.Equal(t, -1, all[maxProblems].Index)
	assert.ErrorContains(t, all[maxProblems], "more than 100000 problems")
	assert.Equal(t, maxProblems+1, told)

	r = heapReplica(1<<30, 64*mib, defaultUnit, count, numberedDir)
	mem := r.meta.(*mappedMemory).mem
	r.pause = func(time.Duration) {}
	flip(50)(recordIn(mem, 3))
	_, err = r.catchUp(stopAtCorrupt, true)
	require.NoError(t, err)
	all = r.listProblems()
	require.Len(t, all, maxProblems+1)
	assert.Equal(t, 3, all[0].Index)
	assert.Equal(t, "d4", all[1].Path)
	assert.Equal(t, maxProblems+3, all[maxProblems].Index)
	assert.ErrorContains(t, all[maxProblems], "log entry 100003 and all behind it: not served, because an entry before it is corrupt: entry 3")
	// More bad entries behind them add no problems.
	setCount(mem, count+1)
	_, err = r.catchUp(stopAtCorrupt, false)
	require.NoError(t, err)
	assert.Len(t, r.listProblems(), maxProblems+1)
	assert.EqualValues(t, count+1, r.listed.Load().end)
}

// Odd entries are applied in the order of the log, even if they were read again.
func TestCorruptBeforeUnacceptable(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	f.append(forgedDir("d"), nil)
	f.append(forgedFile("bad", 0, inUnits(11, 1)), nil)
	f.append(forgedDir("e"), nil)
	f.append(forgedFile("worse", 0, inUnits(11, 1)), nil)
	f.entry(1, nil, flip(30))
	f.entry(3, nil, flip(30))
	report, err := Check(f.path)
	require.NoError(t, err)
	require.Len(t, report.Problems, 4)
	for i, want := range []string{"", "bad", "", "worse"} {
		assert.Equal(t, i+1, report.Problems[i].Index)
		assert.Equal(t, want, report.Problems[i].Path)
	}
	assert.ErrorIs(t, report.Problems[0], ErrChecksum)
	assert.NotErrorIs(t, report.Problems[1], ErrChecksum)
	assert.Equal(t, 1, report.Usage.Files)
}

// Two files below a file, or in a missing directory, are both problems, the second as much as the
// first.
func TestSecondBelowFile(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.good("first", firstUnit)
	for i, name := range []string{"first/a", "first/b", "none/a", "none/b"} {
		f.append(forgedFile(name, goodSize, inUnits(20+int64(i), 1)), nil)
	}
	fsys := openTest(t, f.path)
	require.Len(t, fsys.Problems(), 4)
	for i, p := range fsys.Problems() {
		assertAbsent(t, fsys, p.Path)
		assert.Equal(t, i < 2, !errors.Is(p, fs.ErrNotExist), p.Path)
	}
}

// shares reports whether s is a part of a slab's text.
func shares(fsys *FS, s string) bool {
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	for _, slab := range *fsys.replica.ns.slabs.Load() {
		b := slab.writing[:cap(slab.writing)]
		if from := addressOf(b); at >= from && at < from+uintptr(len(b)) {
			return true
		}
	}
	return false
}

// What leaves the package keeps only its own memory alive, and changing it changes nothing inside.
func TestProblemsAreCopies(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	for i := range 100 {
		f.append(forgedDir(fmt.Sprintf("a rather long name, so that there is some text %d", i)), nil)
	}
	fsys := openTest(t, f.path)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watched := fsys.Watch(ctx, time.Millisecond)
	slab := fsys.replica.ns.slab(0)
	room := unsafe.SliceData(slab.writing)
	used := len(*slab.text.Load())
	for i := range 100 {
		for _, e := range []*entry{forgedFile("bad", 3*mib, inUnits(1, 2)), forgedFile("./bad", 3*mib, inUnits(1, 2)), forgedDir("/bad")} {
			f.append(e, nil)
			_, err := fsys.Refresh()
			require.NoError(t, err)
		}
		require.Len(t, fsys.Problems(), 3*(i+1))
	}
	assert.Same(t, room, unsafe.SliceData(slab.writing), "entries that are not served cost no slab's text")
	assert.Equal(t, used, len(*slab.text.Load()))
	f.good("none/bad", badUnit)
	f.append(forgedDir("end"), nil)
	for e, err := range watched {
		require.NoError(t, err)
		assert.Equal(t, "end", e.Name)
		assert.False(t, shares(fsys, e.Name), "name of an event")
		break
	}
	require.True(t, shares(fsys, fsys.replica.ns.node(0).path()))
	problems := fsys.Problems()
	require.Len(t, problems, 301)
	for _, p := range problems {
		assert.False(t, shares(fsys, p.Path), "path of problem %d", p.Index)
	}
	for e := range fsys.Log() {
		assert.False(t, shares(fsys, e.Path), "path of entry %d", e.Index)
	}
	clear(problems)
	assert.Equal(t, "bad", fsys.Problems()[0].Path)
	problems = append(fsys.Problems()[:1], Problem{Path: "x"})
	assert.Equal(t, "./bad", fsys.Problems()[1].Path)
	assert.Equal(t, "x", problems[1].Path)
	used = len(*slab.text.Load())
	f.append(forgedDir("/bad"), nil)
	f.append(forgedDir("/bad"), nil)
	f.append(forgedDir("d"), nil)
	_, err := fsys.Refresh()
	require.NoError(t, err)
	assert.Equal(t, used+1, len(*slab.text.Load()), "nor beside one that is")
}

// Readers of all kinds while the log is replayed in small and large steps, with entries of all
// kinds, under the race detector.
func TestReadersBesideReplay(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	for _, opts := range [][]Option{nil, {Tolerant()}} {
		t.Run(fmt.Sprint(len(opts)), func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			fsys := openTest(t, f.path, append(opts, onWarning(func(slog.Record) {}))...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			const entries = 6000
			odd := func(i int) bool { return i%37 == 3 || i%41 == 5 }
			var readers sync.WaitGroup
			var seen, wanted atomic.Int64
			wanted.Store(-1)
			watched := fsys.Watch(ctx, time.Microsecond)
			readers.Go(func() {
				defer cancel()
				last := -1
				for e, err := range watched {
					if !assert.NoError(t, err) {
						return
					}
					i := e.Info.Sys().(*Attr).Index
					if !assert.Greater(t, i, last) || !assert.NotEmpty(t, e.Name) {
						return
					}
					last = i
					if seen.Add(1) == wanted.Load() {
						cancel()
					}
				}
			})
			for g := range 4 {
				readers.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						end := fsys.Usage().LogUsed
						if end == 0 {
							continue
						}
						k := (i*7919 + g) % end
						if name := fmt.Sprintf("dir%07d", k); !odd(k) {
							if _, err := fsys.Stat(name); !assert.NoError(t, err, "%s of %d", name, end) {
								return
							}
						}
						if i%257 == 0 {
							list, err := fs.ReadDir(fsys, ".")
							assert.NoError(t, err)
							assert.GreaterOrEqual(t, len(list), end-end/20-2, "all that were there before")
							for _, e := range list {
								info, err := e.Info()
								if !assert.NoError(t, err) || !assert.NotEmpty(t, info.Name()) {
									return
								}
								info.Sys()
							}
						}
						if i%1001 == 0 {
							last := -1
							for _, p := range fsys.Problems() {
								assert.Greater(t, p.Index, last)
								last = p.Index
							}
							_, err := fsys.Refresh()
							assert.NoError(t, err)
						}
					}
				})
			}
			unit := int64(forgedDataUnits)
			files := int64(0)
			for step := 0; f.next() < entries; step++ {
				n := []uint64{1, 3, 1, 700, 1, 40, 1300}[step%7]
				f.appendDirs(n, func(i uint64, e *entry) {
					switch {
					case i%37 == 3: // unacceptable
						e.path = []byte("/bad")
					case i%41 == 5 && unit+2 <= forgedUnits: // a file of two extents
						*e = *forgedFile(fmt.Sprintf("./file%d", i), 2*defaultUnit, inUnits(unit+1, 1), inUnits(unit, 1))
						unit += 2
						files++
					}
				})
				_, err := fsys.Refresh()
				require.NoError(t, err)
			}
			bad := int64(len(fsys.Problems()))
			assert.EqualValues(t, (f.next()+33)/37, bad)
			all := int64(f.next()) - bad
			wanted.Store(all)
			if seen.Load() == all {
				cancel()
			}
			readers.Wait()
			assert.Equal(t, all, seen.Load())
			assert.EqualValues(t, files, fsys.Usage().Files)
			assert.EqualValues(t, all-files, fsys.Usage().Dirs)
			require.NoError(t, fsys.Close())
		})
	}
}

// heapReplica returns the replica of a log of these entries, on a device that need not exist:
// only metadata is ever read.
func heapReplica(deviceSize, logSize, unit int64, count uint64, entry func(i uint64) *entry) *replica {
	mem := make([]byte, logOffset+logSize)
	header := encodeLogHeader(logSize)
	put64(nextIndexAt, count)(header[:])
	copy(mem[logOffset:], header[:])
	for i := range count {
		e := entry(i)
		e.seq = i
		b := e.encode()
		copy(mem[entryAt(i):], b[:])
	}
	sb := Superblock{Version: formatVersion, LogOffset: logOffset, LogSize: logSize, AllocUnit: unit, OMFMajor: omfMajor, OMFMinor: omfMinor}
	record := sb.encode()
	copy(mem, record[:])
	return newReplica(&mappedMemory{dev: &device{cache: thisMachine}, mem: mem}, sb, deviceSize, slog.New(slog.DiscardHandler))
}

// Logs that are made so that each entry costs as much as possible. They take some milliseconds
// if the cost of an entry is limited. If it grew with the device or with the log, the tests
// would reach their time limit.
func TestReplayBounded(t *testing.T) {
	needsNoDevice(t)
	t.Parallel()
	const (
		deviceSize = 1 << 40
		start      = logOffset + minLogSize
		all        = deviceSize - start
	)
	replay := func(t *testing.T, r *replica, count uint64, problems int, free int64) {
		n, err := r.catchUp(failAtCorrupt, true)
		require.NoError(t, err)
		require.EqualValues(t, count, n)
		assert.Len(t, r.listProblems(), problems)
		assert.Equal(t, free, r.usage().Free) // claims are taken only now
	}
	t.Run("claims of all the device", func(t *testing.T) {
		const count = 15_000
		extents := make([]rawExtent, maxExtents)
		for i := range extents {
			extents[i] = rawExtent{0, start, all}
		}
		replay(t, heapReplica(deviceSize, minLogSize, smallUnit, count, func(i uint64) *entry {
			return forgedFile(fmt.Sprint(i), 0, extents...)
		}), count, count, 0)
	})
	t.Run("files that overlap in their last extent", func(t *testing.T) {
		const count = 15_000
		replay(t, heapReplica(deviceSize, minLogSize, smallUnit, count, func(i uint64) *entry {
			return forgedFile(fmt.Sprint(i), 1, rawExtent{0, start, all}, rawExtent{0, start, smallUnit})
		}), count, count, 0)
	})
	t.Run("the same whole device again", func(t *testing.T) {
		const count = 15_000
		replay(t, heapReplica(deviceSize, minLogSize, smallUnit, count, func(i uint64) *entry {
			return forgedFile(fmt.Sprint(i), 1, rawExtent{0, start, all})
		}), count, count-1, 0)
	})
	t.Run("devices", func(t *testing.T) {
		const logSize = 64 * mib
		const count = 80_000
		replay(t, heapReplica(deviceSize, logSize, defaultUnit, count, func(i uint64) *entry {
			e := forgedDevice(uint32(i+1), 1)
			put64(8, i)(e.deviceUUID[:])
			return e
		}), count, 0, deviceSize-roundUp(logOffset+logSize, defaultUnit))
	})
	t.Run("one claim of all of 8 TiB", func(t *testing.T) {
		const deviceSize = 8 << 40
		r := heapReplica(deviceSize, minLogSize, smallUnit, 1, func(uint64) *entry {
			return forgedFile("bad", 1<<62, rawExtent{0, start, deviceSize - start})
		})
		replay(t, r, 1, 1, 0)
		blocks, nodes := made(r.alloc)
		assert.Zero(t, blocks)
		assert.Less(t, nodes, 100)
	})
	t.Run("one strip of small chunks", func(t *testing.T) {
		l := Layout{Chunk: smallUnit, Extents: []Extent{{0, start, 1 << 44}}}
		segs, err := l.runs(1 << 44)
		require.NoError(t, err)
		assert.Equal(t, []deviceRun{{0, segment{start, 1 << 44}}}, segs)
	})
}
