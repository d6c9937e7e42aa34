//go:build linux

package famfs

// A queue between two hosts: guests that test/vm/run boots at the same time. The producer's loses
// power in the midst and is booted again; after that its process is killed now and then, and so is the
// consumer's all the time, and started again.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// vmQueueMessages is how many messages go through the queue: what emulated processors do in
// some seconds.
const vmQueueMessages = 1_000_000

func vmQueueMessage(b []byte, id uint64) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], (id+1)*uint64(i+1))
	}
}

// The consumer makes the queue, and takes all messages, in order, each once.
func TestVMQueueConsumer(t *testing.T) {
	inScenario(t, "queue")
	path := os.Getenv("FAMFS_TEST_DEVICE")
	require.NoError(t, Format(path, Force()))
	m, err := Open(path, ReadWrite())
	require.NoError(t, err)
	require.NoError(t, m.CreateQueue("q", 1024, 256))
	fmt.Println("@@READY")
	begun := time.Now()
	kills := killVMQueueEnds(t, m, "vm-queue-get", vmQueueMessages, func(q QueueInfo) uint64 { return q.Taken })
	t.Logf("%d messages in %v, a boot in between; the consumer was killed %d times", vmQueueMessages, time.Since(begun).Round(time.Millisecond), kills)
	info, err := m.StatQueue("q")
	require.NoError(t, err)
	require.Equal(t, QueueInfo{1024, 256, 240, 0, vmQueueMessages, vmQueueMessages}, info)
	require.NoError(t, m.Close())
}

// The producer goes on where the queue says that it stood when its power was cut.
func TestVMQueueProducer(t *testing.T) {
	inScenario(t, "queue")
	var fsys *FS
	waitFor(t, "the queue", func() bool {
		var err error
		if fsys == nil {
			if fsys, err = Open(os.Getenv("FAMFS_TEST_DEVICE"), WithClientWrites()); err != nil {
				require.ErrorIs(t, err, ErrNotFormatted)
				return false
			}
		}
		_, err = fsys.Refresh()
		require.NoError(t, err)
		_, err = fsys.StatQueue("q")
		require.True(t, err == nil || errors.Is(err, fs.ErrNotExist), "%v", err)
		return err == nil
	})
	p, err := fsys.Producer("q")
	require.NoError(t, err)
	info, err := fsys.StatQueue("q")
	require.NoError(t, err)
	first, last := info.Put, uint64(vmQueueMessages)
	if vmNumber(t, "FAMFS_TEST_ROUND") == 0 {
		require.Zero(t, first)
		last = vmQueueMessages * 3 / 4 // and not all of them, if power goes late
	} else {
		require.NotZero(t, first)
	}
	begun := time.Now()
	if vmNumber(t, "FAMFS_TEST_ROUND") != 0 {
		require.NoError(t, p.Close())
		kills := killVMQueueEnds(t, fsys, "vm-queue-put", last, func(q QueueInfo) uint64 { return q.Put })
		t.Logf("messages %d to %d in %v; the producer was killed %d times", first, last, time.Since(begun).Round(time.Millisecond), kills)
		require.NoError(t, fsys.Close())
		return
	}
	putVMQueue(t, p, first, last)
	t.Logf("messages %d to %d in %v", first, last, time.Since(begun).Round(time.Millisecond))
	time.Sleep(time.Hour) // until power is cut
}

func putVMQueue(t *testing.T, p *Producer, first, last uint64) {
	for id := first; id < last; {
		for range min(1+id%7, last-id) {
			b, err := p.Next(t.Context())
			require.NoError(t, err)
			vmQueueMessage(b, id)
			if id++; id == vmQueueMessages/8 {
				fmt.Println("@@READY")
			}
		}
		require.NoError(t, p.Publish())
	}
}

// killVMQueueEnds runs a process for an end of the queue until all messages have gone through it, and
// kills it now and then in between. It returns how often.
func killVMQueueEnds(t *testing.T, fsys *FS, role string, last uint64, done func(QueueInfo) uint64) (kills int) {
	at := func() uint64 {
		info, err := fsys.StatQueue("q")
		require.NoError(t, err)
		return done(info)
	}
	for next := at(); ; {
		next = max(next, at()) + vmQueueMessages/8 + rand.Uint64N(vmQueueMessages/16)
		cmd := startProcess(t, role, fsys.Device().Path, "q", int(last))
		var said bytes.Buffer
		cmd.Stdout = &said
		require.NoError(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for begun := time.Now(); at() < next; time.Sleep(20 * time.Millisecond) { // processors are emulated, and few
			select {
			case err := <-ended:
				require.NoError(t, err, said.String())
				require.Equal(t, last, at())
				return kills
			default:
			}
			require.Less(t, time.Since(begun), hostPatience)
		}
		require.NoError(t, cmd.Process.Kill())
		if err := <-ended; err == nil { // it was just done
			require.Equal(t, last, at())
			return kills
		}
		require.NotContains(t, said.String(), "FAIL")
		kills++
	}
}

func init() {
	for _, role := range []string{"vm-queue-get", "vm-queue-put"} {
		processServers[role] = serveVMQueue
	}
}

// serveVMQueue is the code of the processes that are killed. An end knows where it stands from
// the queue alone.
func serveVMQueue(t *testing.T, role, device, name string, last int) {
	fsys, err := Open(device, WithClientWrites())
	require.NoError(t, err)
	defer fsys.Close()
	if role == "vm-queue-put" {
		p, err := fsys.Producer(name)
		require.NoError(t, err)
		putVMQueue(t, p, p.end.number, uint64(last))
		require.NoError(t, p.Close())
		return
	}
	c, err := fsys.Consumer(name)
	require.NoError(t, err)
	want := make([]byte, c.MessageSize())
	if next := c.end.number; next < uint64(last) {
		for message, err := range c.All(t.Context()) {
			require.NoError(t, err)
			if vmQueueMessage(want, next); !bytes.Equal(want, message) {
				t.Fatalf("message %d: found %x", next, message[:16])
			}
			if next++; next == uint64(last) {
				break
			}
		}
	}
	require.NoError(t, c.Close())
}
