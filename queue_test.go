package famfs

// Queues as their users see them. What caches and crashes may do to them is sim_queue_test.go's
// concern.

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newQueue makes a file system with a queue, and opens both ends on FSs of their own.
func newQueue(t testing.TB, buckets int, bucketSize int64) (m *FS, p *Producer, c *Consumer) {
	t.Helper()
	m, path := master(t, testSize)
	require.NoError(t, m.CreateQueue("q", buckets, bucketSize))
	other := openTest(t, path, WithClientWrites())
	return m, openProducer(t, m, "q"), openConsumer(t, other, "q")
}

func openProducer(t testing.TB, fsys *FS, name string) *Producer {
	t.Helper()
	p, err := fsys.Producer(name)
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func openConsumer(t testing.TB, fsys *FS, name string) *Consumer {
	t.Helper()
	c, err := fsys.Consumer(name)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// getText takes a message that must be there, without the zeros at its end.
func getText(t testing.TB, c *Consumer) string {
	t.Helper()
	b := make([]byte, c.MessageSize())
	n, ok, err := c.TryGet(b)
	require.NoError(t, err)
	require.True(t, ok, "no message")
	require.Equal(t, len(b), n)
	return strings.TrimRight(string(b), "\x00")
}

func TestQueue(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	assert.Equal(t, 48, p.MessageSize())
	assert.Equal(t, 48, c.MessageSize())
	buf := make([]byte, 100)
	for lap := range 5 {
		n, ok, err := c.TryGet(buf)
		require.NoError(t, err)
		require.False(t, ok)
		require.Zero(t, n)
		for i := range 3 {
			require.NoError(t, p.Put(t.Context(), fmt.Appendf(nil, "%d-%d", lap, i)))
		}
		ok, err = p.TryPut([]byte("one too many"))
		require.NoError(t, err)
		require.False(t, ok)
		info, err := m.StatQueue("q")
		require.NoError(t, err)
		require.Equal(t, QueueInfo{Buckets: 4, BucketSize: 64, MessageSize: 48, Waiting: 3, Put: uint64(3*lap + 3), Taken: uint64(3 * lap)}, info)
		for i := range 3 {
			clear(buf)
			n, err := c.Get(t.Context(), buf)
			require.NoError(t, err)
			require.Equal(t, 48, n)
			require.Equal(t, fmt.Sprintf("%d-%d", lap, i), strings.TrimRight(string(buf), "\x00"), "padded with zeros")
		}
	}
	// Whatever was there before, and of any length.
	require.NoError(t, p.Put(t.Context(), bytes.Repeat([]byte("x"), 48)))
	require.NoError(t, p.Put(t.Context(), nil))
	assert.Equal(t, strings.Repeat("x", 48), getText(t, c))
	assert.Equal(t, "", getText(t, c))
	// Nothing is waited for that is there already.
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, p.Put(ended, []byte("y")))
	_, err := c.Get(ended, buf)
	require.NoError(t, err)
}

func TestQueueBatches(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 5, 32)
	require.NoError(t, p.Publish(), "of nothing")
	for lap := range 7 {
		n := 1 + lap%4
		for i := range n {
			b, err := p.Next(t.Context())
			require.NoError(t, err)
			require.Equal(t, make([]byte, 16), b)
			require.Equal(t, 16, cap(b))
			copy(b, fmt.Sprintf("%d %d", lap, i))
		}
		_, ok, err := c.TryGet(make([]byte, 16))
		require.NoError(t, err)
		require.False(t, ok, "nothing is there before Publish")
		_, err = p.TryPut([]byte("in between"))
		require.ErrorIs(t, err, fs.ErrInvalid)
		require.ErrorIs(t, p.Put(t.Context(), nil), fs.ErrInvalid)
		require.NoError(t, p.Publish())
		for i := range n {
			require.Equal(t, fmt.Sprintf("%d %d", lap, i), getText(t, c))
		}
	}
	for range 4 {
		_, err := p.Next(t.Context())
		require.NoError(t, err)
	}
	_, err := p.Next(t.Context())
	require.ErrorIs(t, err, fs.ErrInvalid, "who should make room?")
	require.NoError(t, p.Publish())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = p.Next(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, "", getText(t, c))
	// What is not published is as if it had never been.
	b, err := p.Next(t.Context())
	require.NoError(t, err)
	copy(b, "lost")
	require.NoError(t, p.Close())
	p = openProducer(t, p.fs, "q")
	for range 3 {
		require.Equal(t, "", getText(t, c))
	}
	require.NoError(t, p.Put(t.Context(), []byte("next")))
	assert.Equal(t, "next", getText(t, c))
}

func TestQueueRefused(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	type shape struct {
		buckets int
		size    int64
	}
	shapes := map[string]shape{
		"no buckets": {0, 64}, "one bucket": {1, 64}, "negative": {-3, 64},
		"no payload": {8, 16}, "not a power of two": {8, 96}, "no bytes": {8, 0}, "negative bytes": {8, math.MinInt64},
		"very large": {8, 2 << 30}, "as large as can be": {8, 1 << 62},
	}
	if math.MaxInt > maxBuckets {
		shapes["very many"] = shape{math.MaxInt, 64}
	}
	for name, c := range shapes {
		err := m.CreateQueue("q", c.buckets, c.size)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		assert.ErrorContains(t, err, "create queue q", name)
	}
	assert.ErrorIs(t, m.CreateQueue("q", math.MaxInt32, 1<<30), ErrNoSpace, "and nothing overflows")
	assert.ErrorIs(t, m.CreateQueue(strings.Repeat("q", 72), 8, 64), fs.ErrInvalid, "the consumer's name is too long")
	assert.ErrorIs(t, m.CreateQueue("missing/q", 8, 64), fs.ErrNotExist)
	entries, err := m.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, entries, "none of it is there, in part either")

	require.NoError(t, m.CreateQueue("q", 8, 64, Mode(0o640), Owner(3, 4)))
	for name, size := range map[string]int64{"q": 2*mib + 512, "q.consumer": 2 * mib} {
		st, err := m.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, size, st.Size())
		assert.Equal(t, fs.FileMode(0o640), st.Mode())
		assert.EqualValues(t, 3, st.Sys().(*Attr).UID)
	}
	assert.ErrorIs(t, m.CreateQueue("q", 8, 64), fs.ErrExist)
	reader := openTest(t, path)
	assert.ErrorIs(t, reader.CreateQueue("r", 8, 64), ErrReadOnly)
	_, err = reader.Producer("q")
	assert.ErrorIs(t, err, ErrReadOnly)
	_, err = reader.Consumer("q")
	assert.ErrorIs(t, err, ErrReadOnly)
	info, err := reader.StatQueue("q")
	require.NoError(t, err)
	assert.Equal(t, QueueInfo{Buckets: 8, BucketSize: 64, MessageSize: 48}, info)
	client := openTest(t, path, WithSystemUUID(otherHost), WithClientWrites())
	assert.ErrorIs(t, client.CreateQueue("r", 8, 64), ErrNotMaster)

	require.NoError(t, m.WriteFile("file", pattern(5000, 1), 0o644))
	require.NoError(t, m.WriteFile("file.consumer", pattern(5000, 1), 0o644))
	require.NoError(t, m.WriteFile("tiny", []byte("x"), 0o644))
	require.NoError(t, m.WriteFile("tiny.consumer", []byte("x"), 0o644))
	for name, want := range map[string]error{"nothing": fs.ErrNotExist, "file": ErrCorrupt, "tiny": ErrCorrupt, ".": fs.ErrInvalid, "q.consumer": fs.ErrNotExist} {
		_, err = m.Producer(name)
		assert.ErrorIs(t, err, want, name)
		_, err = m.Consumer(name)
		assert.ErrorIs(t, err, want, name)
		_, err = m.StatQueue(name)
		assert.ErrorIs(t, err, want, name)
	}

	p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")
	assert.ErrorIs(t, p.Put(t.Context(), make([]byte, 49)), fs.ErrInvalid)
	_, err = c.Get(t.Context(), make([]byte, 47))
	assert.ErrorIs(t, err, io.ErrShortBuffer)
	assert.ErrorIs(t, c.Done(), fs.ErrInvalid)
	require.NoError(t, p.Put(t.Context(), []byte("still there")))
	_, _, err = c.TryGet(make([]byte, 47))
	assert.ErrorIs(t, err, io.ErrShortBuffer)
	assert.Equal(t, "still there", getText(t, c))
	// What failed is not counted as open.
	require.NoError(t, p.Close())
	require.NoError(t, c.Close())
	require.NoError(t, reader.Close())
	require.NoError(t, m.Close())
}

func TestQueueOneAtATime(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	others := []*FS{m, c.fs}
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		others = nil
	}
	for _, fsys := range others {
		_, err := fsys.Producer("q")
		assert.ErrorIs(t, err, ErrBusy)
		_, err = fsys.Consumer("q")
		assert.ErrorIs(t, err, ErrBusy)
	}
	require.NoError(t, m.CreateQueue("r", 4, 64))
	openProducer(t, m, "r") // another queue
	openConsumer(t, m, "r")
	_, err := m.Producer("r")
	assert.ErrorIs(t, err, ErrBusy)
	_, err = m.Consumer("r")
	assert.ErrorIs(t, err, ErrBusy)

	require.ErrorIs(t, m.Close(), ErrBusy)
	require.NoError(t, p.Close())
	require.NoError(t, c.Close())
	assert.ErrorIs(t, p.Close(), fs.ErrClosed)
	assert.ErrorIs(t, c.Close(), fs.ErrClosed)
	openProducer(t, c.fs, "q")
	openConsumer(t, m, "q")
}

// One that no lock keeps out is noticed by what it does.
func TestQueueSecond(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	q, err := m.mapQueue("q", true, true)
	require.NoError(t, err)
	defer q.unmap()
	producer, consumer := q.memory(q.producer), q.memory(q.consumer)
	second, err := openPutEnd(producer, consumer, q.producer.size, q.consumer.size, time.Sleep)
	require.NoError(t, err)
	b := make([]byte, 64)
	require.NoError(t, second.put([][]byte{b}))
	require.ErrorIs(t, p.Put(t.Context(), nil), ErrBusy)
	_, err = p.Next(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, p.Publish(), ErrBusy)
	other, err := openGetEnd(consumer, producer, q.consumer.size, q.producer.size, time.Sleep)
	require.NoError(t, err)
	_, ok, err := other.get()
	require.NoError(t, err)
	require.True(t, ok)
	_, err = c.Peek(t.Context())
	require.NoError(t, err)
	require.NoError(t, other.take(true))
	require.ErrorIs(t, c.Done(), ErrBusy)
	_, err = c.Peek(t.Context())
	require.ErrorIs(t, err, ErrBusy)
}

// Waiting ends with what it waits for, with the context, and with Close.
func TestQueueWaits(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 2, 64)
	cause := errors.New("enough")
	buf := make([]byte, 48)
	waits := map[string]func(ctx context.Context) error{
		"Get":  func(ctx context.Context) error { _, err := c.Get(ctx, buf); return err },
		"Peek": func(ctx context.Context) error { _, err := c.Peek(ctx); return err },
		"Put":  func(ctx context.Context) error { return p.Put(ctx, buf) },
		"Next": func(ctx context.Context) error { _, err := p.Next(ctx); return err },
	}
	full := func(name string) bool { return name == "Put" || name == "Next" }
	for _, name := range []string{"Get", "Peek", "Put", "Next"} {
		if name == "Put" {
			require.NoError(t, p.Put(t.Context(), nil))
		}
		for _, after := range []time.Duration{0, time.Microsecond, 20 * time.Millisecond} {
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(after, func() { cancel(cause) })
			err := waits[name](ctx)
			require.ErrorIs(t, err, cause, name)
			require.ErrorContains(t, err, map[bool]string{true: "is full", false: "is empty"}[full(name)])
			timer.Stop()
		}
	}
	getText(t, c)

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			_, err := c.Get(t.Context(), make([]byte, 48))
			assert.NoError(t, err)
		})
	}
	for range 3 {
		time.Sleep(3 * time.Millisecond)
		require.NoError(t, p.Put(t.Context(), nil))
	}
	all.Wait()

	require.NoError(t, p.Put(t.Context(), nil))
	for range 2 {
		all.Go(func() { assert.ErrorIs(t, p.Put(t.Context(), nil), fs.ErrClosed) })
		all.Go(func() { _, err := p.Next(t.Context()); assert.ErrorIs(t, err, fs.ErrClosed) })
	}
	time.Sleep(5 * time.Millisecond)
	require.NoError(t, p.Close())
	all.Wait()
	getText(t, c)
	for range 2 {
		all.Go(func() { _, err := c.Get(t.Context(), make([]byte, 48)); assert.ErrorIs(t, err, fs.ErrClosed) })
		all.Go(func() { _, err := c.Peek(t.Context()); assert.ErrorIs(t, err, fs.ErrClosed) })
	}
	time.Sleep(5 * time.Millisecond)
	require.NoError(t, c.Close())
	all.Wait()
	for message, err := range c.All(t.Context()) {
		assert.Nil(t, message)
		assert.ErrorIs(t, err, fs.ErrClosed)
	}
	_, err := p.TryPut(nil)
	assert.ErrorIs(t, err, fs.ErrClosed)
	assert.ErrorIs(t, p.Publish(), fs.ErrClosed)
	assert.ErrorIs(t, c.Done(), fs.ErrClosed)
	assert.Equal(t, 48, p.MessageSize(), "and this is still known")
}

func TestQueuePeek(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 4, 64)
	require.NoError(t, p.Put(t.Context(), []byte("a")))
	require.NoError(t, p.Put(t.Context(), []byte("b")))
	peek := func() string {
		message, err := c.Peek(t.Context())
		require.NoError(t, err)
		require.Len(t, message, 48)
		require.Equal(t, 48, cap(message))
		return strings.TrimRight(string(message), "\x00")
	}
	assert.Equal(t, "a", peek())
	assert.Equal(t, "a", peek(), "until it is taken")
	message, err := c.Peek(t.Context())
	require.NoError(t, err)
	clear(message)
	assert.Equal(t, "a", peek(), "whatever became of the copy")
	_, _, err = c.TryGet(make([]byte, 48))
	assert.ErrorIs(t, err, ErrBusy)
	for _, err := range c.All(t.Context()) {
		assert.ErrorIs(t, err, ErrBusy)
	}
	fsys := c.fs
	require.NoError(t, c.Close())
	c = openConsumer(t, fsys, "q")
	assert.Equal(t, "a", peek(), "the next consumer's too")
	require.NoError(t, c.Done())
	assert.ErrorIs(t, c.Done(), fs.ErrInvalid)
	assert.Equal(t, "b", peek())
	spoilQueue(t, fsys, queueFields{producer: map[int64]uint64{queueArrayOffset + 64: 1}})
	assert.Equal(t, "b", peek(), "and of the memory")
	require.NoError(t, c.Done())
	_, ok, err := c.TryGet(make([]byte, 48))
	require.NoError(t, err)
	assert.False(t, ok)
}

// A Peek that failed takes nothing, and the next one finds what has arrived since.
func TestQueuePeekFails(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 4, 64)
	bucket := make([]byte, 64)
	copy(bucket, "late")
	sealBucket(bucket, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Peek(ctx)
	require.ErrorIs(t, err, context.Canceled)
	spoilQueue(t, p.fs, queueFields{producer: map[int64]uint64{producerIndexAt: 1}})
	for range 2 {
		message, err := c.Peek(t.Context())
		require.ErrorIs(t, err, ErrCorrupt)
		require.Nil(t, message)
		require.ErrorIs(t, c.Done(), fs.ErrInvalid)
	}
	p.end.own.write(p.end.shape.offset(0), bucket)
	for range 2 {
		message, err := c.Peek(t.Context())
		require.NoError(t, err)
		require.Equal(t, "late", strings.TrimRight(string(message), "\x00"))
	}
	require.NoError(t, c.Done())
	_, ok, err := c.TryGet(make([]byte, 48))
	require.NoError(t, err)
	require.False(t, ok)
}

func TestQueueAll(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 16, 64)
	next := 0
	put := func(n int) {
		for range n {
			require.NoError(t, p.Put(t.Context(), fmt.Append(nil, next)))
			next++
		}
	}
	text := func(message []byte) string { return strings.TrimRight(string(message), "\x00") }
	put(10)
	var got []string
	for message, err := range c.All(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, 48, cap(message))
		if got = append(got, text(message)); len(got) == 3 {
			break // which takes it
		}
	}
	assert.Equal(t, []string{"0", "1", "2"}, got)

	assert.PanicsWithValue(t, "in the body", func() {
		for message := range c.All(t.Context()) {
			if text(message) == "5" {
				panic("in the body")
			}
		}
	})
	assert.Equal(t, "5", getText(t, c), "it was not taken, and the consumer can go on")

	// Whoever is in the loop has the consumer to himself.
	for _, err := range c.All(t.Context()) {
		require.NoError(t, err)
		_, _, err = c.TryGet(make([]byte, 48))
		assert.ErrorIs(t, err, ErrBusy)
		_, err = c.Peek(t.Context())
		assert.ErrorIs(t, err, ErrBusy)
		assert.ErrorIs(t, c.Done(), fs.ErrInvalid)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		for _, err := range c.All(ctx) {
			assert.ErrorIs(t, err, ErrBusy)
		}
		cancel()
		break
	}
	assert.Equal(t, "7", getText(t, c))

	// The context ends it while it waits, and between two messages.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got = nil
	for message, err := range c.All(ctx) {
		require.NoError(t, err)
		if got = append(got, text(message)); len(got) == 2 {
			time.AfterFunc(5*time.Millisecond, cancel)
		}
	}
	assert.Equal(t, []string{"8", "9"}, got)
	put(2)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	for _, err := range c.All(ctx) {
		require.NoError(t, err)
		end()
	}
	for range c.All(ctx) { // which has ended before it begins
		t.Error("yielded")
	}
	assert.Equal(t, "11", getText(t, c))

	// So does Close, in the body and elsewhere.
	put(1)
	var errs []error
	for _, err := range c.All(t.Context()) {
		errs = append(errs, err)
		if err == nil {
			require.NoError(t, c.Close())
		}
	}
	require.Len(t, errs, 2)
	assert.ErrorIs(t, errs[1], fs.ErrClosed)
	c = openConsumer(t, c.fs, "q")
	assert.Equal(t, "12", getText(t, c), "it was not taken")
	time.AfterFunc(5*time.Millisecond, func() { c.Close() })
	for _, err := range c.All(t.Context()) {
		assert.ErrorIs(t, err, fs.ErrClosed)
	}
}

// Any number of goroutines may share an end.
func TestQueueGoroutines(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 8, 64)
	const each, workers = 300, 4
	var producers, consumers sync.WaitGroup
	seen := make(chan uint64, each*workers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for w := range workers {
		producers.Go(func() {
			for i := range each {
				b := binary.LittleEndian.AppendUint64(nil, uint64(w*each+i))
				if !assert.NoError(t, p.Put(t.Context(), b)) {
					return
				}
			}
		})
		consumers.Go(func() {
			b := make([]byte, 48)
			for {
				if _, err := c.Get(ctx, b); err != nil {
					assert.ErrorIs(t, err, context.Canceled)
					return
				}
				seen <- binary.LittleEndian.Uint64(b)
			}
		})
	}
	producers.Wait()
	found := make(map[uint64]bool)
	for range each * workers {
		id := <-seen
		require.False(t, found[id], "message %d twice", id)
		found[id] = true
	}
	cancel()
	consumers.Wait()
	assert.Empty(t, seen)
}

// An end is closed while others use it.
func TestQueueCloseInTheMidst(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	for round := range 30 {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				for p.Put(t.Context(), []byte("x")) == nil {
				}
			})
			all.Go(func() {
				for b := make([]byte, 48); ; {
					if _, err := c.Get(t.Context(), b); err != nil {
						return
					}
				}
			})
		}
		if round%2 == 0 {
			all.Go(func() {
				for _, err := range c.All(t.Context()) {
					if err != nil {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(round%5) * 100 * time.Microsecond)
		assert.NoError(t, p.Close())
		assert.NoError(t, c.Close())
		all.Wait()
		p, c = openProducer(t, m, "q"), openConsumer(t, m, "q")
	}
}

// A queue that takes the place of another is another one: who has the old one open keeps it.
func TestQueueReplaced(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	require.NoError(t, p.Put(t.Context(), []byte("old")))
	require.NoError(t, m.CreateQueue("q", 8, 128, Replace()))
	q := openProducer(t, m, "q")
	require.NoError(t, q.Put(t.Context(), []byte("new")))
	assert.Equal(t, "old", getText(t, c))
	require.NoError(t, p.Put(t.Context(), []byte("old again")))
	assert.Equal(t, "old again", getText(t, c))
	d := openConsumer(t, m, "q")
	assert.Equal(t, "new", getText(t, d))
	_, err := c.fs.Refresh()
	require.NoError(t, err)
	info, err := c.fs.StatQueue("q")
	require.NoError(t, err)
	assert.Equal(t, 8, info.Buckets)
}

// queueFields are words of both files that are set by hand.
type queueFields struct {
	producer, consumer map[int64]uint64
}

// spoilQueue sets words of a queue's files.
func spoilQueue(t testing.TB, m *FS, f queueFields) {
	t.Helper()
	q, err := m.mapQueue("q", true, true)
	require.NoError(t, err)
	defer q.unmap()
	for mapping, words := range map[*Mapping]map[int64]uint64{q.producer: f.producer, q.consumer: f.consumer} {
		file := q.memory(mapping)
		for at, v := range words {
			file.store64(at, v)
			require.NoError(t, flushAndFence(file, at, 8))
		}
	}
}

// Nothing in the files is trusted: what cannot be is ErrCorrupt, when it is opened or met.
func TestQueueHostile(t *testing.T) {
	t.Parallel()
	type words = map[int64]uint64
	opening := map[string]queueFields{
		"magic":                      {producer: words{queueMagicAt: 0xBEEBEE4}},
		"magic of more bytes":        {producer: words{queueMagicAt: 1<<40 | queueMagic}},
		"no buckets":                 {producer: words{queueBucketsAt: 0}},
		"one bucket":                 {producer: words{queueBucketsAt: 1}},
		"more buckets":               {producer: words{queueBucketsAt: 9}},
		"fewer buckets":              {producer: words{queueBucketsAt: 7}},
		"very many buckets":          {producer: words{queueBucketsAt: math.MaxUint64}},
		"buckets that overflow":      {producer: words{queueBucketsAt: 1 << 58}},
		"bucket size 0":              {producer: words{queueBucketSizeAt: 0}},
		"bucket size 16":             {producer: words{queueBucketSizeAt: 16, queueBucketsAt: 32}},
		"no power of two":            {producer: words{queueBucketSizeAt: 65}},
		"huge buckets":               {producer: words{queueBucketSizeAt: 1 << 62}},
		"negative buckets":           {producer: words{queueBucketSizeAt: 1 << 63}},
		"another shape of that size": {producer: words{queueBucketSizeAt: 128, queueBucketsAt: 4, producerSizeAt: 2*mib + 511}},
		"buckets elsewhere":          {producer: words{queueArrayAt: 4096}},
		"producer's size":            {producer: words{producerSizeAt: 2 * mib}},
		"producer index":             {producer: words{producerIndexAt: 8}},
		"producer index, very large": {producer: words{producerIndexAt: math.MaxUint64}},
		"producer index alone":       {producer: words{producerIndexAt: 5, producerNumberAt: 3}},
		"consumer magic":             {consumer: words{consumerMagicAt: queueMagic}},
		"consumer's size":            {consumer: words{consumerSizeAt: 4 * mib}},
		"consumer index":             {consumer: words{consumerIndexAt: 8}},
		"numbers without end":        {producer: words{producerIndexAt: 7, producerNumberAt: math.MaxUint64}, consumer: words{consumerIndexAt: 7, consumerNumberAt: math.MaxUint64}},
	}
	m, path := master(t, 256*mib)
	for name, fields := range opening {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, m.CreateQueue("q", 8, 64, Replace()))
			spoilQueue(t, m, fields)
			p, perr := m.Producer("q")
			c, cerr := m.Consumer("q")
			if perr == nil { // else the queue is held on, also in the tests after this one on a real device
				require.NoError(t, p.Close())
			}
			if cerr == nil {
				require.NoError(t, c.Close())
			}
			err := errors.Join(perr, cerr)
			require.ErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, "queue: ")
			for _, err := range []error{perr, cerr} {
				assert.True(t, err == nil || errors.Is(err, ErrCorrupt), "%v", err)
			}
		})
	}
	// The rest is as the reference leaves it: what stood in that memory before.
	require.NoError(t, m.CreateQueue("q", 8, 64, Replace()))
	spoilQueue(t, m, queueFields{producer: words{40: 1, 1056: 2, 1080: 3}, consumer: words{consumerMagicAt: 0xdead<<32 | queueConsumerMagic, 16: 5, 1_048_584: 7}})
	p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")

	// What changes while it is open.
	other := openTest(t, path, WithClientWrites())
	spoil := func(fields queueFields) { spoilQueue(t, other, fields) }
	for i := range 7 {
		require.NoError(t, p.Put(t.Context(), []byte{byte(i)}))
	}
	for _, index := range []uint64{8, math.MaxUint64} {
		spoil(queueFields{consumer: words{consumerIndexAt: index}})
		_, err := p.TryPut(nil)
		assert.ErrorIs(t, err, ErrCorrupt)
		_, err = p.Next(t.Context())
		assert.ErrorIs(t, err, ErrCorrupt)
	}
	spoil(queueFields{consumer: words{consumerIndexAt: 3}})
	require.NoError(t, p.Put(t.Context(), []byte{7}), "the consumer may have taken three")
	for range 2 {
		require.NoError(t, p.Put(t.Context(), nil))
	}
	spoil(queueFields{consumer: words{consumerIndexAt: 0}})

	_, err := c.Get(t.Context(), make([]byte, 48)) // bucket 0 is of the next lap by now
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "sequence number 8, want 0")
	spoil(queueFields{producer: words{queueArrayOffset: 99}})
	_, err = c.Peek(t.Context())
	assert.ErrorIs(t, err, ErrCorrupt)
	assert.ErrorContains(t, err, "checksum")
	n := 0
	for _, err := range c.All(t.Context()) {
		assert.ErrorIs(t, err, ErrCorrupt)
		n++
	}
	assert.Equal(t, 1, n)
	require.NoError(t, m.CreateQueue("q", 8, 64, Replace()))
	d := openConsumer(t, m, "q")
	spoil = func(fields queueFields) { spoilQueue(t, m, fields) }
	spoil(queueFields{producer: words{producerIndexAt: 8}})
	_, _, err = d.TryGet(make([]byte, 48))
	assert.ErrorIs(t, err, ErrCorrupt)

	require.NoError(t, m.CreateQueue("q", 8, 64, Replace()))
	p = openProducer(t, m, "q")
	for range 4 {
		require.NoError(t, p.Put(t.Context(), nil))
	}
	for range 3 {
		_, err = p.Next(t.Context())
		require.NoError(t, err)
	}
	spoil(queueFields{consumer: words{consumerIndexAt: 6}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = p.Next(ctx)
	assert.ErrorIs(t, err, ErrCorrupt, "the consumer has passed the producer")
}

// The sequence number in a file may be wrong after a crash, of the reference too, which does not
// flush it. The last bucket tells it, and a peer finds it repaired.
func TestQueueNumbers(t *testing.T) {
	t.Parallel()
	type words = map[int64]uint64
	for name, tc := range map[string]struct {
		put, taken int
		fields     queueFields
	}{
		"one ahead":                     {5, 3, queueFields{words{producerNumberAt: 6}, words{consumerNumberAt: 4}}},
		"one behind":                    {5, 3, queueFields{words{producerNumberAt: 4}, words{consumerNumberAt: 2}}},
		"never flushed":                 {21, 20, queueFields{words{producerNumberAt: 0}, words{consumerNumberAt: 0}}},
		"never flushed, at the end":     {24, 20, queueFields{words{producerNumberAt: 0}, words{consumerNumberAt: 0}}},
		"never flushed, at its end":     {26, 24, queueFields{words{producerNumberAt: 26}, words{consumerNumberAt: 0}}},
		"whole laps behind":             {21, 19, queueFields{words{producerNumberAt: 5}, words{consumerNumberAt: 3}}},
		"very large":                    {21, 19, queueFields{words{producerNumberAt: math.MaxUint64}, words{consumerNumberAt: math.MaxUint64}}},
		"one ahead, and nothing put":    {0, 0, queueFields{words{producerNumberAt: 1}, nil}},
		"one ahead, and nothing taken":  {1, 0, queueFields{words{producerNumberAt: 2}, words{consumerNumberAt: 1}}},
		"last bucket damaged":           {21, 21, queueFields{words{queueArrayOffset + 4*64: 1}, nil}},
		"last bucket of another number": {21, 21, queueFields{words{queueArrayOffset + 4*64 + 48: 3}, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := master(t, testSize)
			require.NoError(t, m.CreateQueue("q", 8, 64))
			p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")
			for i := range tc.put {
				if i-7 >= 0 && i-7 < tc.taken {
					require.Equal(t, fmt.Sprint(i-7), getText(t, c))
				}
				require.NoError(t, p.Put(t.Context(), fmt.Append(nil, i)))
			}
			for i := max(0, tc.put-7); i < tc.taken; i++ {
				require.Equal(t, fmt.Sprint(i), getText(t, c))
			}
			require.NoError(t, p.Close())
			require.NoError(t, c.Close())
			spoilQueue(t, m, tc.fields)
			p, c = openProducer(t, m, "q"), openConsumer(t, m, "q")
			assert.EqualValues(t, tc.put, p.end.own.load64(producerNumberAt))
			assert.EqualValues(t, tc.taken, c.end.own.load64(consumerNumberAt))
			for i := tc.put; i < tc.put+20; i++ {
				if i-tc.taken < 7 {
					require.NoError(t, p.Put(t.Context(), fmt.Append(nil, i)))
				}
			}
			for i := range 7 {
				require.Equal(t, fmt.Sprint(tc.taken+i), getText(t, c))
			}
		})
	}
}

// The reference's producer never flushes its number. If the host of a consumer loses power when it
// has taken a lap, and of its two lines only that of the index has reached the medium, the
// files do not say whether a lap is over. The next message does.
func TestQueueLap(t *testing.T) {
	t.Parallel()
	type words = map[int64]uint64
	for _, told := range []uint64{0, 1, 3} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) { // a real device is given back after each
			m, _ := master(t, testSize)
			require.NoError(t, m.CreateQueue("q", 4, 64))
			p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")
			for i := range 4 {
				require.NoError(t, p.Put(t.Context(), fmt.Append(nil, i)))
				require.Equal(t, fmt.Sprint(i), getText(t, c))
			}
			require.NoError(t, c.Close())
			spoil := queueFields{words{producerNumberAt: 0}, words{consumerNumberAt: told}}
			spoilQueue(t, m, spoil)
			c = openConsumer(t, m, "q")
			_, ok, err := c.TryGet(make([]byte, 48))
			require.NoError(t, err)
			require.False(t, ok)
			assert.EqualValues(t, told, c.end.own.load64(consumerNumberAt), "nothing is repaired that is not known")

			// A message that is announced before it arrives: its bucket still has the number 0.
			bucket, pauses := make([]byte, 64), 0
			copy(bucket, "4")
			sealBucket(bucket, 4)
			c.end.pause = func(time.Duration) {
				if pauses++; pauses == len(settleTimes) {
					p.end.own.write(p.end.shape.offset(0), bucket)
				}
			}
			spoilQueue(t, m, queueFields{words{producerIndexAt: 1}, nil})
			message, err := c.Peek(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "4", strings.TrimRight(string(message), "\x00"))
			assert.EqualValues(t, 4, c.end.own.load64(consumerNumberAt), "repaired as soon as it is known")
		})
	}
}

// A queue that the reference makes has in its buckets what stood in that memory before, which
// may be a queue too.
func TestQueueOverQueue(t *testing.T) {
	t.Parallel()
	m, _ := master(t, testSize)
	require.NoError(t, m.CreateQueue("q", 8, 64))
	p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")
	for range 24 {
		require.NoError(t, p.Put(t.Context(), []byte("old")))
		getText(t, c)
	}
	require.NoError(t, p.Close())
	require.NoError(t, c.Close())
	spoilQueue(t, m, queueFields{map[int64]uint64{producerNumberAt: 0}, map[int64]uint64{consumerNumberAt: 0}})
	p = openProducer(t, m, "q")
	c = openConsumer(t, m, "q")
	require.NoError(t, p.Put(t.Context(), []byte("new")))
	assert.Equal(t, "new", getText(t, c))
	assert.EqualValues(t, 1, p.end.number)
	assert.EqualValues(t, 1, c.end.number)
}

// queueImage is an image of testdata: of both files what a queue uses of them.
type queueImage struct {
	producer, consumer, numbers, buckets []byte
}

func readQueueImage(t testing.TB, name string) queueImage {
	b := testRecord(t, name)
	var i queueImage
	for part, n := range map[*[]byte][2]int{&i.producer: {0, 1080}, &i.consumer: {1080, 1096}, &i.numbers: {1096, 1112}, &i.buckets: {1112, len(b)}} {
		*part = b[n[0]:n[1]]
	}
	return i
}

// queueImages are the images: what shape they have, and how many messages were put and taken.
var queueImages = map[string]struct {
	buckets    int
	size       int64
	put, taken int
}{
	"queue-half-full": {8, 64, 4, 0},
	"queue-wrapped":   {4, 32, 11, 9},
	"queue-full":      {2, 128, 7, 6},
}

// Images that a program of a few lines made by docs/format.md are read, and written to the bit.
func TestQueueImages(t *testing.T) {
	t.Parallel()
	for name, tc := range queueImages {
		t.Run(name, func(t *testing.T) {
			image := readQueueImage(t, name)
			m, _ := master(t, testSize)

			producer := slices.Concat(image.producer, make([]byte, queueArrayOffset-len(image.producer)), image.buckets)
			consumer := slices.Concat(image.consumer, make([]byte, 1_048_592-len(image.consumer)), image.numbers)
			consumer = append(consumer, make([]byte, queueArrayOffset-len(consumer))...)
			require.NoError(t, m.WriteFile("theirs", producer, 0o644))
			require.NoError(t, m.WriteFile("theirs.consumer", consumer, 0o644))
			info, err := m.StatQueue("theirs")
			require.NoError(t, err)
			assert.Equal(t, QueueInfo{tc.buckets, tc.size, int(tc.size) - 16, tc.put - tc.taken, uint64(tc.put), uint64(tc.taken)}, info)

			require.NoError(t, m.CreateQueue("ours", tc.buckets, tc.size))
			p, c := openProducer(t, m, "ours"), openConsumer(t, m, "ours")
			got := 0
			for i := range tc.put {
				if i-got == tc.buckets-1 {
					getText(t, c)
					got++
				}
				require.NoError(t, p.Put(t.Context(), fmt.Appendf(nil, "message %d", i)))
			}
			for ; got < tc.taken; got++ {
				getText(t, c)
			}
			ours, err := m.ReadFile("ours")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(producer, ours), "the producer's file")
			ours, err = m.ReadFile("ours.consumer")
			require.NoError(t, err)
			assert.True(t, bytes.Equal(consumer, ours), "the consumer's file")

			p, c = openProducer(t, m, "theirs"), openConsumer(t, m, "theirs")
			for i := tc.taken; i < tc.put; i++ {
				assert.Equal(t, fmt.Sprintf("message %d", i), getText(t, c))
			}
			require.NoError(t, p.Put(t.Context(), []byte("more")))
			assert.Equal(t, "more", getText(t, c))
		})
	}
}

// Memory that fails is an error, of either end, and the FS can be closed.
func TestQueueFault(t *testing.T) {
	needsFaults(t)
	t.Parallel()
	path := fileBacking(t, testSize)
	require.NoError(t, Format(path, WithSystemUUID(testHost)))
	m := openMaster(t, path)
	require.NoError(t, m.CreateQueue("q", 64, 4096))
	p, c := openProducer(t, m, "q"), openConsumer(t, m, "q")
	require.NoError(t, p.Put(t.Context(), []byte("x")))
	if err := os.Truncate(path, 4096); err != nil {
		t.Skipf("a file that is mapped cannot be cut here: %v", err)
	}
	var fault *FaultError
	err := p.Put(t.Context(), []byte("y"))
	require.ErrorAs(t, err, &fault)
	assert.Contains(t, fault.Name, "q")
	_, err = p.Next(t.Context())
	require.NoError(t, err, "there is room, as far as is known")
	assert.ErrorIs(t, p.Publish(), ErrDevice)
	_, err = c.Get(t.Context(), make([]byte, c.MessageSize()))
	assert.ErrorAs(t, err, &fault)
	for _, err := range c.All(t.Context()) {
		assert.ErrorIs(t, err, ErrDevice)
	}
	require.NoError(t, os.Truncate(path, testSize))
	assert.NoError(t, p.Close())
	assert.NoError(t, c.Close())
}

// A device that was formatted anew is not written to.
func TestQueueReformatted(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	require.NoError(t, p.Put(t.Context(), []byte("x")))
	require.NoError(t, Format(m.Device().Path, WithSystemUUID(testHost), Force()))
	for _, fsys := range []*FS{m, c.fs} {
		_, err := fsys.Refresh()
		require.ErrorIs(t, err, ErrReformatted)
	}
	assert.ErrorIs(t, p.Put(t.Context(), nil), ErrReformatted)
	_, err := p.Next(t.Context())
	assert.ErrorIs(t, err, ErrReformatted)
	assert.ErrorIs(t, p.Publish(), ErrReformatted)
	_, err = c.Get(t.Context(), make([]byte, 48))
	assert.ErrorIs(t, err, ErrReformatted)
	_, err = c.Peek(t.Context())
	assert.ErrorIs(t, err, ErrReformatted)
	assert.ErrorIs(t, c.Done(), ErrReformatted)
}

// An end finds that out by itself: while it waits, and every so many steps.
func TestQueueNoticesReformat(t *testing.T) {
	t.Parallel()
	_, p, c := newQueue(t, 4, 64)
	require.NoError(t, p.Put(t.Context(), nil))
	_, err := c.Peek(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Done())
	waits := make(chan error, 2)
	go func() { _, err := c.Get(t.Context(), make([]byte, 48)); waits <- err }()
	require.NoError(t, Format(p.fs.Device().Path, WithSystemUUID(testHost), Force()))
	assert.ErrorIs(t, <-waits, ErrReformatted)
	steps := 0
	for ; err == nil; steps++ {
		_, err = p.TryPut(nil)
	}
	assert.ErrorIs(t, err, ErrReformatted)
	assert.LessOrEqual(t, steps, looksEvery)
}

// Whoever ranges over messages is told too.
func TestQueueNoticesReformatInAll(t *testing.T) {
	t.Parallel()
	_, _, c := newQueue(t, 4, 64)
	waits := make(chan error, 1)
	var errs []error
	go func() {
		time.Sleep(5 * time.Millisecond)
		waits <- Format(c.fs.Device().Path, WithSystemUUID(testHost), Force())
	}()
	for _, err := range c.All(t.Context()) {
		errs = append(errs, err)
	}
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], ErrReformatted)
	require.NoError(t, <-waits)
}

// Both files go at once, or none.
func TestRemoveQueue(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	if runtime.GOOS == "linux" || runtime.GOOS == "windows" {
		assert.ErrorIs(t, m.RemoveQueue("q"), ErrBusy)
		require.NoError(t, p.Close())
		assert.ErrorIs(t, m.RemoveQueue("q"), ErrBusy, "the consumer is open")
	} else {
		require.NoError(t, p.Close())
	}
	require.NoError(t, c.Close())
	for range 2 { // what failed holds nothing
		require.NoError(t, openProducer(t, c.fs, "q").Close())
		require.NoError(t, openConsumer(t, c.fs, "q").Close())
	}
	require.NoError(t, m.Mkdir("d", 0o755))
	require.NoError(t, m.Mkdir("d.consumer", 0o755))
	require.NoError(t, m.WriteFile("half", []byte("x"), 0o644))
	require.NoError(t, m.WriteFile("other.consumer", []byte("x"), 0o644))
	for name, want := range map[string]error{"d": fs.ErrInvalid, "half": fs.ErrNotExist, "other": fs.ErrNotExist, "none": fs.ErrNotExist, "..": fs.ErrInvalid} {
		err := m.RemoveQueue(name)
		assert.ErrorIs(t, err, want, name)
		assert.ErrorContains(t, err, "remove queue "+name)
	}
	assert.ErrorContains(t, m.RemoveQueue("half"), "there is no half.consumer")
	assert.ErrorIs(t, c.fs.RemoveQueue("q"), ErrReadOnly)
	_, err := m.Stat("half")
	require.NoError(t, err)

	before := m.Usage()
	require.NoError(t, m.RemoveQueue("q"))
	for _, name := range []string{"q", "q.consumer"} {
		_, err := m.Stat(name)
		assert.ErrorIs(t, err, fs.ErrNotExist)
	}
	assert.Equal(t, before.Files-2, m.Usage().Files)
	assert.Equal(t, before.LogUsed+2, m.Usage().LogUsed)
	assert.ErrorIs(t, m.RemoveQueue("q"), fs.ErrNotExist)
	require.NoError(t, m.CreateQueue("q", 8, 64), "the name is free")
	openProducer(t, m, "q")
	n, err := c.fs.Refresh()
	require.NoError(t, err)
	assert.Equal(t, 8, n)
}

// Processes that put and take are killed again and again: what was put arrives in order and
// whole, once but for what was in hand.
func TestQueueProcesses(t *testing.T) {
	t.Parallel()
	const messages = 4000
	m, path := master(t, testSize)
	require.NoError(t, m.CreateQueue("q", 64, 128))
	next, kills := uint64(0), 0 // of what the consumer, which is here, takes
	c := openConsumer(t, m, "q")
	var producer *exec.Cmd
	begin := func() {
		producer = startProcess(t, "queue-put", path, "q", messages)
		require.NoError(t, producer.Start())
	}
	begin()
	for message, err := range c.All(t.Context()) {
		require.NoError(t, err)
		id := binary.LittleEndian.Uint64(message)
		require.Equal(t, next, id)
		require.Equal(t, queueContent(id, len(message)), message)
		if next++; next == messages {
			break
		}
		if next%800 == 0 {
			require.NoError(t, producer.Process.Kill())
			_ = producer.Wait()
			kills++
			begin()
		}
	}
	require.NoError(t, producer.Wait())
	info, err := m.StatQueue("q")
	require.NoError(t, err)
	assert.Equal(t, QueueInfo{64, 128, 112, 0, messages, messages}, info)
	t.Logf("%d kills", kills)
}

// queueContent is message id.
func queueContent(id uint64, size int) []byte {
	b := pattern(size, id)
	binary.LittleEndian.PutUint64(b, id)
	return b
}

// putInProcess is what the processes of TestQueueProcesses run: it puts messages up to the last,
// and goes on where the one before it was killed. How many were put, the queue says.
func putInProcess(t *testing.T, fsys *FS, name string, messages int) {
	var p *Producer
	require.Eventually(t, func() (ok bool) { // the lock of one that was killed goes with it, a little later
		var err error
		p, err = fsys.Producer(name)
		return err == nil
	}, 10*time.Second, time.Millisecond)
	defer p.Close()
	for id := p.end.number; id < uint64(messages); {
		for range 1 + id%5 { // some at once
			if id < uint64(messages) {
				b, err := p.Next(t.Context())
				require.NoError(t, err)
				copy(b, queueContent(id, len(b)))
				id++
			}
		}
		require.NoError(t, p.Publish())
	}
}

// A queue that is removed while an end is being opened is gone: the end is not that of removed files.
func TestQueueRemovedWhileOpening(t *testing.T) {
	t.Parallel()
	m, _ := master(t, 64*mib)
	for name, again := range map[string]bool{"gone": false, "again": true} {
		for end, what := range map[string]func(string) (io.Closer, error){
			producerEnd: func(name string) (io.Closer, error) { return m.Producer(name) },
			consumerEnd: func(name string) (io.Closer, error) { return m.Consumer(name) },
		} {
			name := name + end
			require.NoError(t, m.CreateQueue(name, 4, 64))
			// The call is held up between the lookups of both files and the lock of its end.
			index, ok := m.replica.ns.lookup(name + consumerSuffix)
			require.True(t, ok)
			busy := &sharedRegion{key: regionKey{index, end == consumerEnd}, mapped: make(chan struct{})}
			m.regions.mu.Lock()
			if m.regions.regions == nil {
				m.regions.regions = make(map[regionKey]*sharedRegion)
			}
			m.regions.regions[busy.key] = busy
			m.regions.mu.Unlock()
			done := make(chan error)
			var opened io.Closer
			go func() {
				var err error
				opened, err = what(name)
				done <- err
			}()
			for users := 0; users == 0; runtime.Gosched() {
				users, _ = m.regions.inUse()
			}
			// It may be on the way to the other file yet, and then finds nothing, as it should.
			time.Sleep(time.Millisecond)
			require.NoError(t, m.RemoveQueue(name))
			if again {
				require.NoError(t, m.CreateQueue(name, 4, 64))
			}
			m.regions.mu.Lock()
			delete(m.regions.regions, busy.key)
			m.regions.mu.Unlock()
			close(busy.mapped)
			err := <-done
			if !again {
				require.ErrorIs(t, err, fs.ErrNotExist, name)
				continue
			}
			require.NoError(t, err, name)
			assert.ErrorIs(t, m.RemoveQueue(name), ErrBusy, "it is open")
			require.NoError(t, opened.Close())
			require.NoError(t, m.RemoveQueue(name))
		}
	}
	require.NoError(t, m.Close())
}
