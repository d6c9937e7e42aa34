package famfs

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Blocks are finished in order, each once and one at a time, whoever brings them; and no worker
// is further ahead than allowed.
func TestInTurn(t *testing.T) {
	t.Parallel()
	const blocks = 20 * maxAhead
	var finished, busy atomic.Int64
	q := newInTurn(func(d *decoded) (bool, error) {
		assert.EqualValues(t, 1, busy.Add(1))
		assert.EqualValues(t, finished.Load(), d.first)
		finished.Add(1)
		busy.Add(-1)
		return true, nil
	})
	var claimed atomic.Uint64
	var workers sync.WaitGroup
	for range 5 {
		workers.Go(func() {
			for {
				block := claimed.Add(1) - 1
				if block >= blocks {
					return
				}
				assert.True(t, q.hand(block, &decoded{first: block}))
				assert.Less(t, int64(block), finished.Load()+maxAhead)
			}
		})
	}
	workers.Wait()
	require.NoError(t, q.err)
	assert.EqualValues(t, blocks, finished.Load())
}

// Blocks that come early wait until they are next. Once no more blocks are wanted, nobody waits
// any more.
func TestInTurnEnds(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, end := range map[string]struct {
		more bool
		err  error
	}{"enough": {false, nil}, "error": {true, failed}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var finished []uint64
			q := newInTurn(func(d *decoded) (bool, error) {
				if finished = append(finished, d.first); d.first == 2 {
					return end.more, end.err
				}
				return true, nil
			})
			for block := uint64(1); block < maxAhead; block++ {
				require.True(t, q.hand(block, &decoded{first: block}))
			}
			require.Empty(t, finished)
			var far sync.WaitGroup
			far.Go(func() { assert.False(t, q.hand(3*maxAhead, &decoded{})) })
			assert.False(t, q.hand(0, &decoded{}))
			far.Wait()
			assert.Equal(t, []uint64{0, 1, 2}, finished)
			assert.Equal(t, end.err, q.err)
			assert.False(t, q.hand(maxAhead, &decoded{}))
		})
	}
}

// A panic, for example of a logger, reaches the caller unchanged, and nobody waits any longer.
func TestInTurnPanics(t *testing.T) {
	t.Parallel()
	q := newInTurn(func(*decoded) (bool, error) { panic("of a logger") })
	var far sync.WaitGroup
	far.Go(func() { assert.False(t, q.hand(2*maxAhead, &decoded{})) })
	assert.PanicsWithValue(t, "of a logger", func() { q.hand(0, &decoded{}) })
	far.Wait()
}

// If the decoder of a block panics, the block never comes, and nobody waits for it.
func TestInTurnGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newInTurn(func(*decoded) (bool, error) { return true, nil })
		var far sync.WaitGroup
		far.Go(func() { assert.False(t, q.hand(2*maxAhead, &decoded{})) })
		synctest.Wait() // until it waits
		q.end()
		far.Wait()
		assert.False(t, q.hand(0, &decoded{}))
		assert.NoError(t, q.err)
	})
}

// brokenMemory panics when the bytes at an offset are loaded.
type brokenMemory struct {
	sharedMemory
	at      int64
	loading *atomic.Int64
}

func (m brokenMemory) load(p []byte, off int64) {
	defer m.loading.Add(-1)
	m.loading.Add(1)
	if off <= m.at && m.at < off+int64(len(p)) {
		panic(errBroken)
	}
	m.sharedMemory.load(p, off)
}

var errBroken = errors.New("broken")

// A panic in any goroutine while a log of many blocks is read reaches the caller of the replay,
// and then nobody reads on.
func TestReplayPanics(t *testing.T) {
	t.Parallel()
	needsNoDevice(t)
	const count = 15_000
	for _, index := range []uint64{0, 1000, count / 2, count - 1} {
		r := heapReplica(1<<30, minLogSize, defaultUnit, count, func(i uint64) *entry { return forgedDir(fmt.Sprint(i)) })
		var loading atomic.Int64
		r.meta = brokenMemory{r.meta, entryAt(index), &loading}
		r.single = r.newDecoder()
		assert.PanicsWithValue(t, errBroken, func() { r.catchUp(failAtCorrupt, true) })
		assert.Zero(t, loading.Load())
	}
}
