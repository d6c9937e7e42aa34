package famfs

// The lease of the writers' lock: keeping it between writes that follow each other quickly.

import (
	"bufio"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// twoLocks returns the writers' locks of two writers of a device.
func twoLocks(t *testing.T) (first, second *writeLock) {
	path := testBacking(t, 4*mib)
	return testLock(t, path), testLock(t, path)
}

// leaseNow makes l keep the device's lock, as if it had been taken in quick succession. It does not
// end by itself.
func leaseNow(t *testing.T, l *writeLock) {
	l.mu.Lock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.NewTimer(time.Hour) // which calls nothing
	l.mu.Unlock()
	require.NoError(t, l.acquire(context.Background(), 0))
	l.streak = leaseAfter
	require.NoError(t, l.release())
	l.mu.Lock()
	defer l.mu.Unlock()
	require.True(t, l.leased)
}

func TestLease(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	first, second := twoLocks(t)
	for range leaseAfter {
		require.NoError(t, first.acquire(ctx, 0))
		first.streak = 1
		require.NoError(t, first.release())
		require.NoError(t, second.acquire(ctx, 0), "it is not kept by one who takes it now and then")
		require.NoError(t, second.release())
		second.streak = 0
	}
	leaseNow(t, first)
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked)
	require.NoError(t, first.acquire(ctx, 0))
	require.NoError(t, first.release())
	first.expire()
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked, "it was used since")
	first.expire()
	require.NoError(t, second.acquire(ctx, 0), "it was not")
	assert.ErrorIs(t, first.acquire(ctx, 0), ErrLocked)
	require.NoError(t, second.release())
	first.expire() // too late
	require.NoError(t, first.acquire(ctx, 0))
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked)
	first.expire()
	assert.ErrorIs(t, second.acquire(ctx, 0), ErrLocked, "a holder has it")
	require.NoError(t, first.release())
}

// Nobody has to be active for a lease to end.
func TestLeaseEndsByItself(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	require.NoError(t, first.acquire(context.Background(), 0))
	first.streak = leaseAfter
	require.NoError(t, first.release())
	require.NoError(t, second.acquire(context.Background(), time.Minute))
}

// A writer that waits gets the lock, although the one that keeps it goes on writing: after a time,
// and after a number of uses.
func TestLeaseLetsOthersGoFirst(t *testing.T) {
	t.Parallel()
	for name, timed := range map[string]bool{"timer": true, "uses": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := twoLocks(t)
			leaseNow(t, first)
			if timed {
				first.timer = time.AfterFunc(leaseTime, first.expire)
			}
			waiting := make(chan error, 1)
			go func() { waiting <- second.acquire(context.Background(), time.Minute) }()
			for len(waiting) == 0 {
				if err := first.acquire(context.Background(), 0); err != nil {
					assert.ErrorIs(t, err, ErrLocked)
					break
				}
				require.NoError(t, first.release())
			}
			require.NoError(t, <-waiting)
			require.NoError(t, second.release())
			// Nobody waits any more, so nobody is let go first.
			require.NoError(t, first.acquire(context.Background(), time.Minute))
			require.NoError(t, first.release())
			waits, err := first.dev.othersWait()
			require.NoError(t, err)
			assert.False(t, waits)
		})
	}
}

// Two writers that never pause both come to their turn, and are never there at the same time.
func TestLeaseOfTwoWriters(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	var there atomic.Int32
	var all sync.WaitGroup
	for _, l := range []*writeLock{first, second} {
		all.Go(func() {
			for range 5000 {
				if !assert.NoError(t, l.acquire(context.Background(), time.Minute)) {
					return
				}
				assert.EqualValues(t, 1, there.Add(1))
				there.Add(-1)
				if !assert.NoError(t, l.release()) {
					return
				}
			}
		})
	}
	all.Wait()
}

// Letting others go first is no reason to fail: if nobody takes the lock, it is had in the end.
func TestLeaseYieldsWithinTimeout(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	require.NoError(t, second.dev.markWaiting(true))
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(assert.AnError)
	for _, c := range []struct {
		ctx     context.Context
		timeout time.Duration
	}{{context.Background(), 0}, {context.Background(), time.Millisecond}, {cancelled, time.Minute}} {
		first.yieldUntil = time.Now().Add(time.Hour)
		require.NoError(t, first.acquire(c.ctx, c.timeout))
		require.NoError(t, first.release())
	}
	require.NoError(t, second.dev.markWaiting(false))
	first.yieldUntil = time.Now().Add(time.Hour)
	require.NoError(t, first.acquire(context.Background(), time.Minute))
	assert.Zero(t, first.yieldUntil)
	require.NoError(t, first.release())
}

// Two that let each other go first do not both stand still: only one is seen to wait.
func TestLeaseTwoYield(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	for _, l := range []*writeLock{first, second} {
		l.yieldUntil = time.Now().Add(time.Hour)
		l.beginWaiting()
		l.mark(true)
	}
	ok, _, err := first.try(true)
	require.NoError(t, err)
	assert.False(t, ok)
	ok, _, err = second.try(true)
	require.NoError(t, err)
	require.True(t, ok)
	waits, err := first.dev.othersWait()
	require.NoError(t, err)
	assert.False(t, waits, "it has the lock")
	ok, _, err = first.try(true)
	require.NoError(t, err)
	assert.False(t, ok)
	waits, err = second.dev.othersWait()
	require.NoError(t, err)
	assert.True(t, waits, "it waits like any other now")
	require.NoError(t, second.release())
	ok, _, err = first.try(true)
	require.NoError(t, err)
	assert.True(t, ok)
	first.endWaiting()
	second.endWaiting()
	require.NoError(t, first.release())
}

// Whoever has had the lock for long lets others go first, also if there never was a lease.
func TestLeaseOfLongWrites(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	write := func(ago time.Duration) {
		require.NoError(t, first.acquire(context.Background(), 0))
		first.turnAt = first.turnAt.Add(-ago)
		require.NoError(t, first.release())
	}
	write(time.Hour)
	assert.Zero(t, first.yieldUntil, "nobody waits")
	require.NoError(t, second.dev.markWaiting(true))
	write(time.Hour)
	assert.NotZero(t, first.yieldUntil)
	for range 2 * leaseAfter {
		write(-time.Hour)
		assert.Zero(t, first.yieldUntil, "its turn has just begun")
		assert.False(t, first.leased, "others wait")
	}
}

// Who waits and does not take the lock, as it was stopped, is not let go first again and again.
func TestLeaseOfWhoIsStopped(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	require.NoError(t, second.dev.markWaiting(true))
	first.yieldUntil, first.yielded = time.Now(), true
	turn := func() {
		require.NoError(t, first.acquire(context.Background(), time.Minute))
		first.turnAt = time.Time{}
		require.NoError(t, first.release())
	}
	turn()
	assert.True(t, time.Now().Before(first.deafUntil) || time.Since(first.takenAt) > deafTime)
	first.deafUntil = time.Now().Add(time.Hour)
	turn()
	assert.Zero(t, first.yieldUntil)
	assert.False(t, first.leased, "so that it is had if it goes on")
	first.deafUntil = time.Now()
	turn()
	assert.NotZero(t, first.yieldUntil, "it is let go first once more")

	first.yieldUntil, first.yielded, first.deafUntil = time.Now(), false, time.Time{}
	turn()
	assert.Zero(t, first.deafUntil, "nobody was let go first: it has only begun to wait")
}

// A lease that was not ended because giving the lock back failed is none: others may have the lock.
func TestLeaseGivenBackInPart(t *testing.T) {
	needsFile(t, "the lock that it breaks has to be one that a file has not")
	t.Parallel()
	first, second := twoLocks(t)
	leaseNow(t, first)
	whole := first.dev.hostLock
	broken, err := openHostLock(1)
	require.NoError(t, err)
	require.NoError(t, broken.close())
	first.dev.hostLock = broken
	first.expire()
	first.dev.hostLock = whole
	require.NoError(t, second.acquire(context.Background(), 0))
	assert.ErrorIs(t, first.acquire(context.Background(), 0), ErrLocked)
	require.NoError(t, second.release())
	require.NoError(t, first.acquire(context.Background(), 0))
	require.NoError(t, first.release())
}

// The timer does not go on while a file is pending for long.
func TestLeaseOfLongPending(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	leaseNow(t, first)
	require.NoError(t, first.acquire(context.Background(), 0))
	first.expire()
	assert.True(t, first.timer.Stop())
	first.expire()
	assert.False(t, first.timer.Stop())
	assert.ErrorIs(t, second.acquire(context.Background(), 0), ErrLocked)
	require.NoError(t, first.release())
	require.NoError(t, second.acquire(context.Background(), 0))
	require.NoError(t, second.release())
}

// Where a lock of the file may be one of all its bytes, nobody can mark that it waits, and the lock is
// not kept.
func TestLeaseOnNetwork(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	if first.dev.info.Kind != File {
		t.Skip("a device is no file on a network")
	}
	first.dev.info.Caution, second.dev.info.Caution = "each host has a cache of its own", "each host has a cache of its own"
	for range 2 * leaseAfter {
		require.NoError(t, first.acquire(context.Background(), 0))
		require.NoError(t, first.release())
		require.NoError(t, second.acquire(context.Background(), 0))
		require.NoError(t, second.release())
	}
}

// A process that is stopped keeps its lease until it goes on. One that is killed loses it.
func TestLeaseOfProcess(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]bool{"stopped": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := formatted(t, testSize)
			cmd := startProcess(t, "lease", path, name, 0)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			require.True(t, awaitLine(bufio.NewScanner(out), "@@leased"))
			m := openMaster(t, path, WithLockTimeout(0))
			assert.ErrorIs(t, m.Mkdir("a", 0o755), ErrLocked)
			require.NoError(t, cmd.Process.Signal(unix.SIGSTOP))
			assert.ErrorIs(t, m.Mkdir("a", 0o755), ErrLocked)
			if kill {
				require.NoError(t, cmd.Process.Kill())
				require.Error(t, cmd.Wait())
			} else {
				require.NoError(t, cmd.Process.Signal(unix.SIGCONT))
			}
			waiting := openMaster(t, path, WithLockTimeout(time.Minute))
			require.NoError(t, waiting.Mkdir("b", 0o755))
		})
	}
}

func awaitLine(s *bufio.Scanner, line string) bool {
	for s.Scan() {
		if s.Text() == line {
			return true
		}
	}
	return false
}

func init() {
	// A process that keeps the lock until somebody waits for it.
	processServers["lease"] = func(t *testing.T, role, device, name string, n int) {
		m, err := Open(device, ReadWrite(), WithSystemUUID(testHost))
		require.NoError(t, err)
		require.NoError(t, m.Mkdir(name, 0o755))
		leaseNow(t, m.lock)
		fmt.Println("@@leased")
		for waits := false; !waits; time.Sleep(time.Millisecond) {
			waits, err = m.dev.othersWait()
			require.NoError(t, err)
		}
		m.lock.expire()
		require.NoError(t, m.Close())
	}
}

// Closing an FS ends its lease at once, and the timer does nothing to a device that is closed.
func TestCloseEndsLease(t *testing.T) {
	t.Parallel()
	m, path := master(t, testSize)
	leaseNow(t, m.lock)
	other := openTest(t, path, ReadWrite(), WithLockTimeout(0))
	assert.ErrorIs(t, other.Mkdir("a", 0o755), ErrLocked)
	require.NoError(t, m.Close())
	require.NoError(t, other.Mkdir("a", 0o755))
	m.lock.expire()
	assert.False(t, m.lock.over, "it has nothing to give back")
	require.NoError(t, m.lock.end())
}

// A lease that is in use ends when its timer finds that another writer waits.
func TestLeaseTimerSeesOthers(t *testing.T) {
	t.Parallel()
	first, second := twoLocks(t)
	leaseNow(t, first)
	require.NoError(t, first.acquire(context.Background(), 0))
	waiting := make(chan error, 1)
	go func() { waiting <- second.acquire(context.Background(), time.Minute) }()
	require.Eventually(t, func() bool {
		waits, err := first.dev.othersWait()
		return err == nil && waits
	}, time.Minute, time.Millisecond)
	first.expire()
	first.mu.Lock()
	over := first.over
	first.mu.Unlock()
	assert.True(t, over)
	require.NoError(t, first.release())
	require.NoError(t, <-waiting)
	require.NoError(t, second.release())
}
