package famfs

// Queues that are looked at while they move, two producers of one queue, and calls at the wrong
// moment.

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// movingConsumer is a consumer's file that moves on once, after its index was loaded first.
type movingConsumer struct {
	fileMemory
	moved *bool
	move  func()
}

func (m movingConsumer) load64(off int64) uint64 {
	v := m.fileMemory.load64(off)
	if off == consumerIndexAt && !*m.moved {
		*m.moved = true
		m.move()
	}
	return v
}

// One message waits at most, at any moment: a queue that is looked at never seems to be full.
func TestQueueStatWhileMoving(t *testing.T) {
	t.Parallel()
	m, p, c := newQueue(t, 1024, 64)
	q, err := m.mapQueue("q", false, false)
	require.NoError(t, err)
	defer q.unmap()
	moving := movingConsumer{q.memory(q.consumer), new(bool), func() {
		require.NoError(t, p.Put(t.Context(), nil))
		getText(t, c)
	}}
	s, err := readMovingQueue(q.memory(q.producer), moving, q.producer.size, q.consumer.size)
	require.NoError(t, err)
	assert.True(t, *moving.moved)
	assert.LessOrEqual(t, s.shape.between(s.consumer, s.producer), uint64(1))
}

// Two producers, as on two hosts: the one whose place was taken does not wait for a queue that
// seems to be full to it.
func TestQueueSecondProducerSeemsFull(t *testing.T) {
	needsFile(t, "the device is opened twice")
	t.Parallel()
	m, p, c := newQueue(t, 4, 64)
	for range 3 {
		require.NoError(t, p.Put(t.Context(), []byte("p")))
	}
	for range 3 {
		getText(t, c)
	}
	require.NoError(t, p.release()) // what another host does not see
	p.release = func() error { return nil }
	r := openProducer(t, openTest(t, m.Device().Path, WithClientWrites()), "q")
	require.NoError(t, r.Put(t.Context(), []byte("r")))
	getText(t, c)
	_, err := p.TryPut([]byte("p"))
	assert.ErrorIs(t, err, ErrBusy)
}

// The sequence ends when its context is done, whatever the cause.
func TestQueueLoopEndsByCause(t *testing.T) {
	t.Parallel()
	_, _, c := newQueue(t, 4, 64)
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(5*time.Millisecond, func() { cancel(fs.ErrClosed) })
	for _, err := range c.All(ctx) {
		assert.NoError(t, err)
	}
	assert.Error(t, ctx.Err())
}
