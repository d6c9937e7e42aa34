package famfs

// The writers' lock of one FS: the device's lock, which is held while any of the FS's files is
// pending, and waiting for it. Readers take no lock.
//
// Taking the device's lock and giving it back are system calls, which take a quarter of the time
// of creating a small file. So an FS that writes again and again keeps the lock in between, for a
// lease. It asks once in a lease whether another writer waits, and then lets that one go first.
//
// Whoever waits and is to be let go first marks that on the device, and takes the lock as soon as it
// is free. Whoever lets others go first waits without a mark: two that let each other go first would
// both stand still.

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// leaseTime is how long an FS that has stopped writing keeps the lock at most, and how often
	// one that goes on asks whether others wait.
	leaseTime = time.Millisecond
	// leaseUses is after how many uses of a lease it asks all the same, if the timer is late.
	leaseUses = 1 << 10
	// leaseAfter is how often the lock must be taken, within leaseTime of each other, before it
	// is kept: an FS that writes only now and then gives it back at once.
	leaseAfter = 8
	// courtesy is how long an FS that gave the lock up to another writer waits for that one to
	// take it. A waiting writer asks for the lock more often than that.
	courtesy = 5 * time.Millisecond
	// deafTime is how long it lets nobody go first after one that waits did not take the lock: that one
	// may have been stopped. Meanwhile the lock is not kept for a lease while anybody waits.
	deafTime = 20 * courtesy
)

// writeLock counts the writers of one FS, which share the device's lock.
type writeLock struct {
	dev *device

	mu sync.Mutex // never held while waiting
	// holders is the number of pending files and of other writes that are running.
	holders int
	// waiters is the number of goroutines that wait. marked says that others see on the device that
	// there are any.
	waiters int
	marked  bool
	// taken is closed when holders becomes 1: those who wait can share the lock then. It is nil
	// while nobody waits.
	taken chan struct{}

	waits, waited atomic.Int64 // how often, and how long in ns, it was waited for

	// leased says that the lock is kept while there are no holders. expire ends the lease, and
	// timer calls it. over says that the lock is to be given back at once.
	leased, over, ended bool
	timer               *time.Timer
	uses, usesBefore    int       // of this lease: now, and at the last call of expire
	streak              int       // how often the lock was taken in quick succession
	turnAt, takenAt     time.Time // when it was taken first of these times, and last
	yieldUntil          time.Time // until then, others are let go first; zero if not
	yielded             bool      // others have been let go first since yieldUntil was set
	deafUntil           time.Time // until then, nobody is let go first
}

func newWriteLock(dev *device) *writeLock { return &writeLock{dev: dev} }

// acquire waits until no other process, and no other FS of this process, is writing, but at most
// until timeout has passed or ctx is done. Goroutines of one FS never wait for one another. With
// a timeout of 0, acquire does not wait. The error, which wraps ErrLocked, says that another writer
// had the lock at the end, too.
func (l *writeLock) acquire(ctx context.Context, timeout time.Duration) error {
	ok, taken, err := l.try(timeout > 0)
	if ok || err != nil {
		return err
	}
	return l.wait(ctx, timeout, taken)
}

// wait is acquire when the first try was in vain.
func (l *writeLock) wait(ctx context.Context, timeout time.Duration, taken <-chan struct{}) error {
	l.waits.Add(1)
	defer func(since time.Time) { l.waited.Add(int64(time.Since(since))) }(time.Now())
	if timeout > 0 {
		l.beginWaiting()
		defer l.endWaiting()
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	// flock cannot wait with a limit, so try it again and again: often at first, because a writer
	// that has seen others wait stays away for the time of courtesy.
	wait, longest := 50*time.Microsecond, courtesy/20
	for tries := 1; ; tries++ {
		var over error
		select {
		case <-taken:
		case <-time.After(wait):
		case <-ctx.Done():
			over = context.Cause(ctx)
		case <-deadline.C:
			over = fmt.Errorf("gave up after %v", timeout)
		}
		var ok bool
		var err error
		// The last time the lock is left to nobody: it may be that nobody takes it.
		ok, taken, err = l.try(over == nil)
		switch {
		case ok || err != nil:
			return err
		case over != nil:
			return fmt.Errorf("wait for the writers' lock on %s, held by another writer: %w: %w", l.dev.info.Path, over, ErrLocked)
		}
		if tries > 100 {
			longest = courtesy / 3
		}
		wait = min(2*wait, longest)
	}
}

// try shares the lock if this FS has it, or takes it if nobody has. If yield is true, it leaves
// it to those for whom it was given up. Otherwise it returns a channel that is closed when another
// goroutine takes the lock.
func (l *writeLock) try(yield bool) (ok bool, taken <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.holders > 0, l.leased && !l.over:
		l.uses++
	default:
		// If giving the device's lock back failed, it may have been given back all the same.
		l.leased = false
		ok, vain := true, false
		if yield {
			var yields bool
			yields, vain = l.yields()
			ok = !yields
			l.mark(l.waiters > 0 && ok)
		}
		if ok {
			ok, err = l.dev.tryLock()
		}
		if !ok || err != nil {
			if l.taken == nil {
				l.taken = make(chan struct{})
			}
			return false, l.taken, err
		}
		l.noteTaken(vain)
		l.mark(false) // the others of this FS share the lock
	}
	if l.holders == 0 && l.taken != nil {
		close(l.taken)
		l.taken = nil
	}
	l.holders++
	return true, nil, nil
}

// yields reports whether others are to be let go first, and whether they were, in vain: they still
// wait at the end of that time.
func (l *writeLock) yields() (yields, vain bool) {
	if l.yieldUntil.IsZero() {
		return false, false
	}
	if waiting, err := l.dev.othersWait(); waiting && err == nil {
		if time.Now().Before(l.yieldUntil) {
			l.yielded = true
			return true, false
		}
		vain = l.yielded
	}
	l.yieldUntil, l.yielded = time.Time{}, false
	return false, vain
}

// noteTaken counts how often the lock is taken in quick succession. vain says that nobody else took
// it, although others were let go first.
func (l *writeLock) noteTaken(vain bool) {
	now := time.Now()
	if l.streak == 0 || now.Sub(l.takenAt) > leaseTime {
		l.streak, l.turnAt = 0, now
	}
	l.streak++
	l.takenAt = now
	l.yieldUntil, l.yielded = time.Time{}, false
	if vain {
		l.deafUntil = now.Add(deafTime)
	}
}

// release undoes one acquire.
func (l *writeLock) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.holders--; {
	case l.holders > 0:
		return nil
	case l.leased && !l.over && l.uses < leaseUses:
		return nil
	case l.leased && !l.over:
		if waiting, err := l.dev.othersWait(); !waiting && err == nil {
			l.uses, l.usesBefore = 0, 0
			return nil
		}
		return l.giveUp()
	case l.leased:
		return l.giveUp()
	case l.ended:
		return l.dev.unlock()
	}
	late := time.Since(l.turnAt) >= leaseTime
	if l.streak < leaseAfter && !late {
		return l.dev.unlock()
	}
	switch waiting, err := l.dev.othersWait(); {
	case waiting && late:
		return l.giveUp()
	case waiting, err != nil, l.streak < leaseAfter: // err: others could not say that they wait
		return l.dev.unlock()
	}
	l.leased, l.over, l.uses, l.usesBefore = true, false, 0, 0
	if l.timer == nil {
		l.timer = time.AfterFunc(leaseTime, l.expire)
	} else {
		l.timer.Reset(leaseTime)
	}
	return nil
}

// giveUp gives the device's lock back, for those who wait for it if there are any.
func (l *writeLock) giveUp() error {
	if err := l.dev.unlock(); err != nil {
		l.over = true // so that the next release, or closing the device, does it
		return err
	}
	l.leased, l.over, l.streak = false, false, 0
	if now := time.Now(); now.After(l.deafUntil) {
		l.yieldUntil = now.Add(courtesy)
	}
	return nil
}

// expire ends a lease that nobody has begun to use since it was called last, or that others wait
// for. If there is a holder, it ends when that is done.
func (l *writeLock) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leased || l.ended {
		return
	}
	idle := l.uses == l.usesBefore
	l.usesBefore = l.uses
	if !idle {
		if waiting, err := l.dev.othersWait(); !waiting && err == nil {
			l.timer.Reset(leaseTime)
			return
		}
	}
	if l.over = true; l.holders == 0 {
		_ = l.giveUp() // after an error, over says that the next release is to try it
	}
}

// end gives the lock back if it is only kept. It is called before the device is closed.
func (l *writeLock) end() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if !l.leased || l.holders > 0 {
		return nil
	}
	l.leased = false
	return l.dev.unlock()
}

// beginWaiting notes that somebody waits. The next try marks it.
func (l *writeLock) beginWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters++
}

func (l *writeLock) endWaiting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters--; l.waiters == 0 {
		l.mark(false)
	}
}

// mark lets other writers see whether somebody waits. If that is not possible, they do not keep the
// lock either, as the same is asked of them.
func (l *writeLock) mark(waits bool) {
	if waits != l.marked && l.dev.markWaiting(waits) == nil {
		l.marked = waits
	}
}
