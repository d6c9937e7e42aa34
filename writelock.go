package famfs

// The writers' lock of one FS: the device's lock, held as long as any of its files
// is pending, and waiting for it. Readers take no lock.

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// writeLock counts the writers of one FS, who share the device's lock.
type writeLock struct {
	dev *device

	mu sync.Mutex // never held while waiting
	// holders is the number of pending files and other writes under way.
	holders int
	// taken is closed when holders becomes 1: whoever waits can share the lock then.
	taken chan struct{}
}

func newWriteLock(dev *device) *writeLock {
	return &writeLock{dev: dev, taken: make(chan struct{})}
}

// acquire waits until no other process, nor another FS of this one, writes; up to
// timeout, and until ctx is done. Goroutines of one FS never wait for one another: with a
// timeout of 0 it is asked once whether another one writes. The error wraps ErrLocked.
func (l *writeLock) acquire(ctx context.Context, timeout time.Duration) error {
	gaveUp := func(cause error) error {
		return fmt.Errorf("wait for the writers' lock on %s, held by another writer: %w: %w", l.dev.info.Path, cause, ErrLocked)
	}
	ok, taken, err := l.try()
	if ok || err != nil {
		return err
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	// flock cannot be waited for with a limit; it is asked for again and again.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		select {
		case <-taken:
		case <-time.After(wait):
		case <-ctx.Done():
			return gaveUp(context.Cause(ctx))
		case <-deadline.C:
			return gaveUp(fmt.Errorf("gave up after %v", timeout))
		}
		if ok, taken, err = l.try(); ok || err != nil {
			return err
		}
	}
}

// try takes part in the lock if this FS has it, or takes it if nobody has. If not, it
// returns what is closed when another goroutine takes it.
func (l *writeLock) try() (ok bool, taken <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holders == 0 {
		if ok, err := l.dev.tryLock(); !ok || err != nil {
			return false, l.taken, err
		}
		close(l.taken)
		l.taken = make(chan struct{})
	}
	l.holders++
	return true, nil, nil
}

// release gives up one acquire.
func (l *writeLock) release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holders--; l.holders > 0 {
		return nil
	}
	return l.dev.unlock()
}
