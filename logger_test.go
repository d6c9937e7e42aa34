package famfs

// The caller's logger: what it is told, and that it may do anything meanwhile.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// callingHandler calls a function for each record of at least this level.
type callingHandler struct {
	level slog.Level
	call  func(slog.Record)
}

func (h callingHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }
func (h callingHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h callingHandler) WithGroup(string) slog.Handler                { return h }
func (h callingHandler) Handle(_ context.Context, r slog.Record) error {
	h.call(r)
	return nil
}

// onWarning is an option: call is called for each warning.
func onWarning(call func(r slog.Record)) Option {
	return WithLogger(slog.New(callingHandler{slog.LevelWarn, call}))
}

// appendDirs logs n directories quickly. change, if given, changes each of them first.
func (f *forgery) appendDirs(n uint64, change func(i uint64, e *entry)) {
	f.t.Helper()
	start := f.next()
	var all []byte
	for i := start; i < start+n; i++ {
		e := forgedDir(fmt.Sprintf("dir%07d", i))
		if change != nil {
			change(i, e)
		}
		e.seq = i
		b := e.encode()
		all = append(all, b[:]...)
	}
	f.write(entryAt(start), all)
	f.setNext(start + n)
}

// bad logs a file that is unacceptable, because its directory is missing.
func (f *forgery) bad(name string) {
	f.t.Helper()
	f.append(forgedFile("none/"+name, goodSize, inUnits(badUnit, 1)), nil)
}

func TestLoggerIsTold(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.bad("a")
	var out bytes.Buffer
	logged := func() (records []map[string]any) {
		t.Helper()
		for line := range strings.Lines(out.String()) {
			var r map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			records = append(records, r)
		}
		out.Reset()
		return records
	}
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	assertPassedOver := func(r map[string]any, index int, path string) {
		t.Helper()
		assert.Equal(t, "WARN", r["level"])
		assert.Equal(t, "log entry passed over", r["msg"])
		assert.EqualValues(t, index, r["index"])
		assert.Equal(t, path, r["path"])
		assert.Contains(t, r["err"], fmt.Sprintf("log entry %d: ", index))
	}

	fsys := openTest(t, f.path, WithLogger(log), ReadWrite())
	records := logged()
	require.Len(t, records, 2)
	assert.Equal(t, "DEBUG", records[0]["level"])
	assert.Equal(t, "opened device", records[0]["msg"])
	assert.Equal(t, f.path, records[0]["path"])
	assertPassedOver(records[1], 0, "none/a")

	f.bad("b")
	f.bad("c")
	_, err := fsys.Refresh()
	require.NoError(t, err)
	records = logged()
	require.Len(t, records, 2)
	assertPassedOver(records[0], 1, "none/b")
	assertPassedOver(records[1], 2, "none/c")
	_, err = fsys.Refresh()
	require.NoError(t, err)
	assert.Empty(t, logged(), "once")

	// Whichever method replays the log.
	f.bad("d")
	require.NoError(t, fsys.Mkdir("dir", 0o755))
	assertPassedOver(logged()[0], 3, "none/d")
	f.bad("e")
	p, err := fsys.Create("file", 1)
	require.NoError(t, err)
	assertPassedOver(logged()[0], 5, "none/e")
	require.NoError(t, p.Close())
	f.bad("f")
	_, err = fsys.Create("dir", 1)
	require.ErrorIs(t, err, fs.ErrExist)
	assertPassedOver(logged()[0], 6, "none/f")
	f.bad("g")
	require.NoError(t, fsys.CopyFS(t.Context(), "tree", os.DirFS(t.TempDir())))
	assertPassedOver(logged()[0], 7, "none/g")

	_, err = Check(f.path, WithLogger(log))
	require.NoError(t, err)
	records = logged()
	require.Len(t, records, 8)
	assertPassedOver(records[7], 7, "none/g")

	// If Open fails, it tells what it met before.
	f.append(forgedDir("x"), nil)
	f.entry(f.next()-1, nil, flip(100))
	_, err = Open(f.path, WithLogger(log))
	require.ErrorIs(t, err, ErrCorrupt)
	assert.Equal(t, "opened device", logged()[0]["msg"])
	openTest(t, f.path, WithLogger(log), Tolerant())
	records = logged()
	last := records[len(records)-1]
	assert.Equal(t, "log is corrupt: entries from here on are not served", last["msg"])
	assert.EqualValues(t, f.next()-1, last["index"])
	assert.EqualValues(t, 1, last["entries"])
	assert.Contains(t, last["err"], "found CRC")

	openTest(t, f.path, WithLogger(nil), Tolerant())
}

// A logger may call any method while it is told of something.
func TestLoggerMayCallBack(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*FS) error{
		"refresh": func(fsys *FS) error { _, err := fsys.Refresh(); return err },
		"mkdir":   func(fsys *FS) error { return fsys.Mkdir("dir", 0o755) },
		"create": func(fsys *FS) error {
			p, err := fsys.Create("file", 1)
			if err != nil {
				return err
			}
			return p.Close()
		},
		"write file": func(fsys *FS) error { return fsys.WriteFile("file", []byte("x"), 0o644) },
		"watch": func(fsys *FS) error {
			for _, err := range fsys.Watch(context.Background(), time.Millisecond) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			var fsys *FS
			var told []int64
			fsys = openTest(t, f.path, ReadWrite(), onWarning(func(r slog.Record) {
				r.Attrs(func(a slog.Attr) bool {
					if a.Key == "index" {
						told = append(told, a.Value.Int64())
					}
					return true
				})
				_, err := fsys.Refresh()
				assert.NoError(t, err)
				assert.Len(t, fsys.Problems(), 3, "all is published before anything is told")
				_, err = fsys.Stat("last")
				assert.NoError(t, err)
				assertGood(t, fsys, "first", firstUnit)
				assert.NoError(t, fsys.Mkdir(fmt.Sprintf("by-logger-%d", len(told)), 0o755))
				assert.NoError(t, fsys.WriteFile(fmt.Sprintf("by-logger-%d/f", len(told)), []byte("x"), 0o644))
			}))
			f.bad("a")
			f.bad("b")
			f.good("last", lastUnit)
			f.bad("c")
			require.NoError(t, act(fsys))
			assert.Equal(t, []int64{1, 2, 4}, told)
			require.NoError(t, fsys.Close())
		})
	}
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		var fsys *FS
		closed := 0
		fsys = openTest(t, f.path, ReadWrite(), onWarning(func(slog.Record) {
			if err := fsys.Close(); err == nil {
				closed++
			} else {
				assert.ErrorIs(t, err, fs.ErrClosed)
			}
		}))
		f.bad("a")
		f.bad("b")
		n, err := fsys.Refresh()
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		assert.Equal(t, 1, closed)
		_, err = fsys.Refresh()
		assert.ErrorIs(t, err, fs.ErrClosed)
	})
}

// held counts what the process holds of a device: address space, as the address book and the
// system report it, and descriptors.
func held(t testing.TB, path string) (n int) {
	t.Helper()
	mapped.mu.Lock()
	for _, e := range mapped.entries {
		if e.name == path {
			n++
		}
	}
	mapped.mu.Unlock()
	if runtime.GOOS != "linux" {
		return n
	}
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	n += strings.Count(string(maps), path+"\n")
	files, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && to == path {
			n++
		}
	}
	return n
}

// If a logger panics, the panic goes to the caller, and nothing else is lost.
func TestLoggerPanics(t *testing.T) {
	t.Parallel()
	panicking := func(times int) Option {
		return onWarning(func(slog.Record) {
			if times--; times >= 0 {
				panic("the logger's own")
			}
		})
	}
	mayPanic := func(t *testing.T, f func()) {
		t.Helper()
		assert.PanicsWithValue(t, "the logger's own", f)
	}
	t.Run("open", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		require.NoError(t, f.file.Close())
		f.file, _ = os.OpenFile(f.path, os.O_RDWR, 0)
		f.bad("a")
		before := held(t, f.path)
		for _, opts := range [][]Option{nil, {ReadWrite()}, {Tolerant()}} {
			mayPanic(t, func() { Open(f.path, append(opts, panicking(1), WithSystemUUID(testHost))...) })
			assert.Equal(t, before, held(t, f.path))
		}
		mayPanic(t, func() { Check(f.path, panicking(1)) })
		assert.Equal(t, before, held(t, f.path))
		// The same if it ends its goroutine, as a test's Fatal does.
		done := make(chan struct{})
		go func() {
			defer close(done)
			Open(f.path, onWarning(func(slog.Record) { runtime.Goexit() }))
		}()
		<-done
		assert.Equal(t, before, held(t, f.path))
		fsys := openTest(t, f.path, ReadWrite(), panicking(0))
		require.Greater(t, held(t, f.path), before)
		require.NoError(t, fsys.Close())
	})
	t.Run("of the device", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		before := held(t, f.path)
		log := slog.New(callingHandler{slog.LevelDebug, func(slog.Record) { panic("the logger's own") }})
		mayPanic(t, func() { Open(f.path, WithLogger(log)) })
		assert.Equal(t, before, held(t, f.path))
	})
	// The same in a log of several blocks, which several goroutines read.
	for _, n := range []uint64{1, 5000} {
		t.Run(fmt.Sprint("open of ", n), func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.appendDirs(n, func(i uint64, e *entry) {
				if i%1000 == 0 {
					e.path = []byte("/bad")
				}
			})
			for range 5 {
				mayPanic(t, func() { Open(f.path, panicking(1)) })
			}
		})
		t.Run(fmt.Sprint("refresh of ", n), func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			fsys := openTest(t, f.path, ReadWrite(), panicking(2), WithLockTimeout(0))
			f.good("a", 10)
			f.bad("x")
			f.appendDirs(n, nil)
			f.bad("y")
			f.good("last", lastUnit)
			f.bad("z")
			mayPanic(t, func() { fsys.Refresh() })
			assert.EqualValues(t, n+6, fsys.Usage().LogUsed)
			assert.Len(t, fsys.Problems(), 3)
			mayPanic(t, func() { fsys.Mkdir("dir", 0o755) }) // told of the next
			count, err := fsys.Refresh()                     // and of the last
			require.NoError(t, err)
			assert.Zero(t, count)
			for name, unit := range map[string]int64{"first": firstUnit, "a": 10, "last": lastUnit} {
				assertGood(t, fsys, name, unit)
			}
			_, err = fsys.Stat("dir")
			assert.NoError(t, err, "the method has done its work")
			list, err := fsys.ReadDir(".")
			require.NoError(t, err)
			assert.EqualValues(t, 3+n+1, len(list))
			other := openTest(t, f.path, ReadWrite(), WithLockTimeout(0))
			require.NoError(t, other.Mkdir("other", 0o755), "the lock is free")
			require.NoError(t, fsys.Close())
		})
	}
	t.Run("create", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		fsys := openTest(t, f.path, ReadWrite(), panicking(3))
		free := fsys.Usage().Free
		f.append(forgedDir("/"), nil)
		mayPanic(t, func() { fsys.Create("file", 1) })
		f.append(forgedDir("/"), nil)
		mayPanic(t, func() { fsys.WriteFile("file", []byte("x"), 0o644) })
		assert.Equal(t, free, fsys.Usage().Free, "nothing is pending")
		other := openTest(t, f.path, ReadWrite(), WithLockTimeout(0))
		require.NoError(t, other.WriteFile("other", []byte("x"), 0o644), "the lock is free")
		// An entry that somebody who ignores locks adds while a file is pending.
		p, err := fsys.Create("file", 1)
		require.NoError(t, err)
		f.append(forgedDir("/"), nil)
		func() {
			defer func() { assert.Equal(t, "the logger's own", recover()) }()
			_, err := fsys.Refresh()
			t.Error("Refresh returned", err)
		}()
		require.NoError(t, p.Commit())
		require.NoError(t, fsys.Close())
	})
}

// Each message is told by one goroutine only: a logger is called by one at a time, in order,
// whoever replays the log.
func TestLoggerOfManyGoroutines(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	var busy, told atomic.Int64
	last := int64(-1)
	fsys := openTest(t, f.path, onWarning(func(r slog.Record) {
		assert.EqualValues(t, 1, busy.Add(1))
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "index" {
				assert.Greater(t, a.Value.Int64(), last)
				last = a.Value.Int64()
			}
			return true
		})
		runtime.Gosched()
		told.Add(1)
		busy.Add(-1)
	}))
	const problems = 500
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for len(fsys.Problems()) < problems {
				_, err := fsys.Refresh()
				assert.NoError(t, err)
			}
		})
	}
	for i := range problems {
		f.append(forgedDir("/"), nil)
		if i%8 == 0 {
			runtime.Gosched()
		}
	}
	readers.Wait()
	_, err := fsys.Refresh()
	require.NoError(t, err)
	assert.EqualValues(t, problems, told.Load())
}

// Messages that nobody fetches do not grow without limit.
func TestJournalBounded(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	var messages []string
	j := newJournal(slog.New(callingHandler{slog.LevelWarn, func(r slog.Record) { messages = append(messages, r.Message) }}))
	log := j.log()
	for range maxMessages + 5 {
		log.Warn("x")
	}
	assert.Len(t, j.messages, maxMessages)
	j.tell()
	require.Len(t, messages, maxMessages+1)
	assert.Equal(t, "x", messages[maxMessages-1])
	assert.Equal(t, "messages left out", messages[maxMessages])
	assert.Empty(t, j.messages)
	log.Warn("y")
	j.tell()
	assert.Equal(t, "y", messages[maxMessages+1])
	newJournal(nil).log().Warn("to nobody")
}

// The journal obeys the rules of a slog.Handler.
func TestJournalHandler(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j := newJournal(slog.New(slog.NewJSONHandler(&out, nil)))
	require.NoError(t, slogtest.TestHandler(j.log().Handler(), func() (records []map[string]any) {
		j.tell()
		for line := range strings.Lines(out.String()) {
			var r map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			records = append(records, r)
		}
		return records
	}))
}
