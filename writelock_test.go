package famfs

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testLock returns the writers' lock of a device of its own, which is given back before the device
// is closed.
func testLock(t *testing.T, path string) *writeLock {
	l := newWriteLock(testDevice(t, path, true))
	t.Cleanup(func() { assert.NoError(t, l.end()) })
	return l
}

func TestWriteLock(t *testing.T) {
	t.Parallel()
	path := testBacking(t, 4*mib)
	ctx := context.Background()
	first, second := testLock(t, path), testLock(t, path)
	require.NoError(t, first.acquire(ctx, 0))
	require.NoError(t, first.acquire(ctx, 0), "the writers of one FS share it")

	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked)
	cancelled, cancel := context.WithCancelCause(ctx)
	cancel(assert.AnError)
	err := second.acquire(cancelled, DefaultLockTimeout)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorIs(t, err, assert.AnError)
	assert.ErrorContains(t, err, path)

	require.NoError(t, first.release())
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked, "one writer is left")
	waiting := make(chan error)
	go func() { waiting <- second.acquire(ctx, DefaultLockTimeout) }()
	require.NoError(t, first.release())
	require.NoError(t, <-waiting)
	assert.ErrorIs(t, first.acquire(ctx, 0), ErrLocked)
	require.NoError(t, second.release())
	assert.NoError(t, first.acquire(ctx, 0))
}

// Goroutines of one FS never prevent each other from getting the lock, however short their
// timeout is: neither while one of them waits for another process, nor when many come at once.
func TestWriteLockWithoutWaiting(t *testing.T) {
	t.Parallel()
	path := testBacking(t, 4*mib)
	first, second := testLock(t, path), testLock(t, path)
	require.NoError(t, first.acquire(context.Background(), 0))
	waits := &waitedOn{Context: context.Background(), waiting: make(chan struct{})}
	done := make(chan error)
	go func() { done <- second.acquire(waits, time.Minute) }()
	<-waits.waiting
	assert.ErrorIs(t, second.acquire(context.Background(), 0), ErrLocked, "another FS has it")
	require.NoError(t, first.release())
	require.NoError(t, second.acquire(context.Background(), 0), "nobody has it, or a goroutine of the same FS")
	require.NoError(t, <-done)
	require.NoError(t, second.release())
	require.NoError(t, second.release())

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				if !assert.NoError(t, first.acquire(context.Background(), 0)) || !assert.NoError(t, first.release()) {
					return
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, second.acquire(context.Background(), time.Minute), "all is given back, after the lease at the latest")
}

// The end of a context is noticed even while another goroutine of the same FS waits.
func TestWriteLockContextBesideWaiting(t *testing.T) {
	t.Parallel()
	path := testBacking(t, 4*mib)
	first, second := testLock(t, path), testLock(t, path)
	require.NoError(t, first.acquire(context.Background(), 0))
	waiting := make(chan error, 1)
	go func() { waiting <- second.acquire(context.Background(), time.Minute) }()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(assert.AnError)
	for range 20 {
		err := second.acquire(ctx, time.Second)
		require.ErrorIs(t, err, assert.AnError)
		require.ErrorIs(t, err, ErrLocked)
		time.Sleep(time.Millisecond) // the other may not be waiting yet
	}
	assert.Empty(t, waiting, "it waits on")
	require.NoError(t, first.release())
	require.NoError(t, <-waiting)
	require.NoError(t, second.release())
}
