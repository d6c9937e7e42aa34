//go:build linux && (amd64 || arm64)

package famfs

// Queues against what one would use instead on one host: a channel, a pipe, a pair of Unix
// sockets. Every way sends messages of one size there, and the last of a series, or each, is
// answered, from a goroutine or from another process.

import (
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// benchQueueBuckets is how many messages may be under way, of a channel too.
const benchQueueBuckets = 1024

// benchBatch is how many messages are published at once where they are.
const benchBatch = 64

// benchWay sends messages to a peer that answers those whose first byte is 1.
type benchWay struct {
	send   func(message []byte) error // it may wait with it until flush
	flush  func() error
	answer func(p []byte) error
}

// serveBench is the peer.
func serveBench(messages iter.Seq2[[]byte, error], reply func([]byte) error) error {
	for message, err := range messages {
		if err != nil {
			return err
		}
		if message[0] == 1 {
			if err := reply(message); err != nil {
				return err
			}
		}
	}
	return nil
}

// messagesOf reads messages of size bytes.
func messagesOf(r io.Reader, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		b := make([]byte, size)
		for {
			if _, err := io.ReadFull(r, b); err != nil || !yield(b, nil) {
				return // the other end is gone
			}
		}
	}
}

// serveQueueBench serves the queues name.there and name.back.
func serveQueueBench(ctx context.Context, fsys *FS, name string) error {
	there, err := fsys.Consumer(name + ".there")
	if err != nil {
		return err
	}
	defer there.Close()
	back, err := fsys.Producer(name + ".back")
	if err != nil {
		return err
	}
	defer back.Close()
	return serveBench(there.All(ctx), func(m []byte) error { return back.Put(ctx, m) })
}

// queueWay is by two queues.
func queueWay(b *testing.B, size int64, processes, batch bool, opts ...Option) (way benchWay, messageSize int) {
	b.Helper()
	benchDir(b)
	path := formatted(b, testSize)
	m := openTest(b, path, append([]Option{ReadWrite()}, opts...)...)
	for _, name := range []string{"q.there", "q.back"} {
		require.NoError(b, m.CreateQueue(name, benchQueueBuckets, size))
	}
	p, c := openProducer(b, m, "q.there"), openConsumer(b, m, "q.back")
	if processes {
		role := "queue-serve"
		if len(opts) > 0 {
			role = "queue-serve-shared"
		}
		cmd := startProcess(b, role, path, "q", 0)
		require.NoError(b, cmd.Start()) // and is killed at the end
	} else {
		other := openTest(b, path, append([]Option{WithClientWrites()}, opts...)...)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- serveQueueBench(ctx, other, "q") }()
		b.Cleanup(func() {
			cancel()
			<-done
		})
	}
	ctx := context.Background()
	way = benchWay{
		send:   func(message []byte) error { return p.Put(ctx, message) },
		flush:  func() error { return nil },
		answer: func(buf []byte) error { _, err := c.Get(ctx, buf); return err },
	}
	if batch {
		n := 0
		way.send = func(message []byte) error {
			b, err := p.Next(ctx)
			if err != nil {
				return err
			}
			copy(b, message)
			if n++; n%benchBatch == 0 {
				return p.Publish()
			}
			return nil
		}
		way.flush = p.Publish
	}
	return way, p.MessageSize()
}

// spinWay is the floor of a round trip: a word in shared memory there and one back, each on a line of
// its own, for which the other side does nothing but look. It carries no message, checks nothing, and
// leaves no processor to anybody else.
func spinWay(b *testing.B, processes bool) benchWay {
	benchDir(b)
	path := formatted(b, testSize)
	m := openTest(b, path, ReadWrite())
	require.NoError(b, m.WriteFile("spin", make([]byte, spinSize), 0o644))
	mapping, err := m.Map("spin", Writable())
	require.NoError(b, err)
	there, back, stop := spinWords(mapping)
	done := make(chan struct{})
	if processes {
		close(done)
		require.NoError(b, startProcess(b, "spin-serve", path, "spin", 0).Start())
	} else {
		go func() {
			defer close(done)
			serveSpin(there, back, stop)
		}()
	}
	b.Cleanup(func() {
		atomic.StoreUint64(stop, 1)
		<-done
		mapping.Close()
	})
	n := uint64(0)
	return benchWay{
		send: func([]byte) error { n++; atomic.StoreUint64(there, n); return nil },
		answer: func([]byte) error {
			for atomic.LoadUint64(back) != n {
			}
			return nil
		},
	}
}

const spinSize = 3 << 10

func spinWords(m *Mapping) (there, back, stop *uint64) {
	word := func(at int) *uint64 { return (*uint64)(unsafe.Pointer(&m.Bytes()[at])) }
	return word(0), word(1 << 10), word(2 << 10)
}

func serveSpin(there, back, stop *uint64) {
	for seen := uint64(0); atomic.LoadUint64(stop) == 0; {
		if n := atomic.LoadUint64(there); n != seen {
			atomic.StoreUint64(back, n)
			seen = n
		}
	}
}

// fileWay is by files: those that a peer reads and writes, and those that are for here.
func fileWay(b *testing.B, size int, processes bool, theirRead, theirWrite, write, read *os.File) benchWay {
	b.Helper()
	if processes {
		path := formatted(b, testSize)
		cmd := startProcess(b, "pipe-serve", path, "", size)
		cmd.ExtraFiles = []*os.File{theirRead, theirWrite}
		require.NoError(b, cmd.Start())
	} else {
		go serveBench(messagesOf(theirRead, size), func(m []byte) error { _, err := theirWrite.Write(m); return err })
	}
	b.Cleanup(func() {
		for _, f := range []*os.File{theirRead, theirWrite, write, read} {
			f.Close()
		}
	})
	return benchWay{
		send:   func(message []byte) error { _, err := write.Write(message); return err },
		flush:  func() error { return nil },
		answer: func(buf []byte) error { _, err := io.ReadFull(read, buf); return err },
	}
}

func pipeWay(b *testing.B, size int, processes bool) benchWay {
	theirRead, write, err := os.Pipe()
	require.NoError(b, err)
	read, theirWrite, err := os.Pipe()
	require.NoError(b, err)
	return fileWay(b, size, processes, theirRead, theirWrite, write, read)
}

func socketWay(b *testing.B, size int, processes bool) benchWay {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(b, err)
	again := func(fd int) *os.File {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		require.NoError(b, err)
		return os.NewFile(uintptr(fd), "socket")
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
	return fileWay(b, size, processes, theirs, again(fds[1]), ours, again(fds[0]))
}

func channelWay(b *testing.B, size int) benchWay {
	there, back := make(chan []byte, benchQueueBuckets), make(chan []byte, benchQueueBuckets)
	// Messages are copied, as by all others.
	free := make(chan []byte, 2*benchQueueBuckets)
	for range cap(free) {
		free <- make([]byte, size)
	}
	go serveBench(func(yield func([]byte, error) bool) {
		own := make([]byte, size)
		for m := range there {
			copy(own, m)
			free <- m
			if !yield(own, nil) {
				return
			}
		}
	}, func(m []byte) error { back <- append([]byte(nil), m...); return nil })
	b.Cleanup(func() { close(there) })
	return benchWay{
		send: func(message []byte) error {
			m := <-free
			copy(m, message)
			there <- m
			return nil
		},
		flush:  func() error { return nil },
		answer: func(buf []byte) error { copy(buf, <-back); return nil },
	}
}

func BenchmarkQueue(b *testing.B) {
	for _, bucket := range []int64{64, 4096} {
		size := int(bucket) - 16
		for _, processes := range []bool{false, true} {
			ways := map[string]func(b *testing.B) benchWay{
				"famfs":              func(b *testing.B) benchWay { w, _ := queueWay(b, bucket, processes, false); return w },
				"famfs-batch":        func(b *testing.B) benchWay { w, _ := queueWay(b, bucket, processes, true); return w },
				"famfs-shared":       func(b *testing.B) benchWay { w, _ := queueWay(b, bucket, processes, false, asShared); return w },
				"famfs-shared-batch": func(b *testing.B) benchWay { w, _ := queueWay(b, bucket, processes, true, asShared); return w },
				"pipe":               func(b *testing.B) benchWay { return pipeWay(b, size, processes) },
				"socket":             func(b *testing.B) benchWay { return socketWay(b, size, processes) },
			}
			names := []string{"famfs", "famfs-batch", "famfs-shared", "famfs-shared-batch", "pipe", "socket"}
			if !processes {
				ways["channel"] = func(b *testing.B) benchWay { return channelWay(b, size) }
				names = append(names, "channel")
			}
			between := map[bool]string{false: "goroutines", true: "processes"}[processes]
			for _, name := range names {
				b.Run(fmt.Sprintf("rate/bucket=%d/%s/%s", bucket, between, name), func(b *testing.B) { queueRate(b, ways[name](b), size) })
			}
			b.Run(fmt.Sprintf("roundtrip/bucket=%d/%s/spin", bucket, between), func(b *testing.B) { queueRoundTrip(b, spinWay(b, processes), size) })
			for _, name := range names {
				if name == "famfs-batch" || name == "famfs-shared-batch" {
					continue // one message is no batch
				}
				b.Run(fmt.Sprintf("roundtrip/bucket=%d/%s/%s", bucket, between, name), func(b *testing.B) { queueRoundTrip(b, ways[name](b), size) })
			}
		}
	}
}

// queueRate sends messages, of which the last is answered.
func queueRate(b *testing.B, way benchWay, size int) {
	message, buf := make([]byte, size), make([]byte, size)
	series := func(n int) {
		for i := range n {
			message[0] = 0
			if i == n-1 {
				message[0] = 1
			}
			if err := way.send(message); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, way.flush())
		require.NoError(b, way.answer(buf))
	}
	series(10) // the peer is there
	b.SetBytes(int64(size))
	b.ResetTimer()
	series(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// queueRoundTrip sends a message, and waits for its answer.
func queueRoundTrip(b *testing.B, way benchWay, size int) {
	message, buf := make([]byte, size), make([]byte, size)
	message[0] = 1
	there := func() {
		if err := way.send(message); err != nil {
			b.Fatal(err)
		}
		if err := way.answer(buf); err != nil {
			b.Fatal(err)
		}
	}
	there()
	b.ResetTimer()
	for range b.N {
		there()
	}
}

func init() {
	for _, role := range []string{"queue-serve", "queue-serve-shared", "pipe-serve", "spin-serve"} {
		processServers[role] = serveInProcess
	}
}

// serveInProcess is what the other process of a benchmark does until it is killed.
func serveInProcess(t *testing.T, role, device, name string, size int) {
	if role == "pipe-serve" {
		in, out := os.NewFile(3, "in"), os.NewFile(4, "out")
		require.NoError(t, serveBench(messagesOf(in, size), func(m []byte) error { _, err := out.Write(m); return err }))
		return
	}
	opts := []Option{WithSystemUUID(testHost), WithClientWrites()}
	if role == "spin-serve" {
		fsys, err := Open(device, opts...)
		require.NoError(t, err)
		defer fsys.Close()
		mapping, err := fsys.Map(name, Writable())
		require.NoError(t, err)
		defer mapping.Close()
		serveSpin(spinWords(mapping))
		return
	}
	if role == "queue-serve-shared" {
		opts = append(opts, asShared)
	}
	fsys, err := Open(device, opts...)
	require.NoError(t, err)
	defer fsys.Close()
	require.NoError(t, serveQueueBench(t.Context(), fsys, name))
}
