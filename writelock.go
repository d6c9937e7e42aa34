package famfs

// The writers' lock of one FS: the device's lock, held as long as any of its files
// is pending, and waiting for it. Readers take no lock.

import (
	"context"
	"fmt"
	"time"
)

// writeLock counts the writers of one FS, who share the device's lock.
type writeLock struct {
	dev  *device
	turn chan struct{} // holds one token: who has it may change holders
	// holders is the number of pending files and other writes under way.
	holders int
}

func newWriteLock(dev *device) *writeLock {
	l := &writeLock{dev: dev, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// acquire waits until no other process, nor another FS of this one, writes; up to
// timeout, and until ctx is done. The error wraps ErrLocked.
func (l *writeLock) acquire(ctx context.Context, timeout time.Duration) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	gaveUp := func(cause error) error {
		return fmt.Errorf("wait for the writers' lock on %s, held by another writer: %w: %w", l.dev.info.Path, cause, ErrLocked)
	}
	select {
	case <-l.turn:
	default:
		// Another goroutine may be waiting for the device's lock.
		select {
		case <-l.turn:
		case <-ctx.Done():
			return gaveUp(context.Cause(ctx))
		case <-deadline.C:
			return gaveUp(fmt.Errorf("gave up after %v", timeout))
		}
	}
	defer func() { l.turn <- struct{}{} }()
	if l.holders > 0 {
		l.holders++
		return nil
	}
	// flock cannot be waited for with a limit; it is asked for again and again.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		ok, err := l.dev.tryLock()
		if err != nil {
			return err
		}
		if ok {
			l.holders++
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return gaveUp(context.Cause(ctx))
		case <-deadline.C:
			return gaveUp(fmt.Errorf("gave up after %v", timeout))
		}
	}
}

// release gives up one acquire.
func (l *writeLock) release() error {
	<-l.turn
	defer func() { l.turn <- struct{}{} }()
	if l.holders--; l.holders > 0 {
		return nil
	}
	return l.dev.unlock()
}
