package famfs

// Goroutines that may run a caller's code, such as a reader or a report of progress. The caller
// waits for all of them, and a panic in one of them becomes a panic of the caller. Nothing here
// knows what the work is. parallel.go divides a range.

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// crew is a group of goroutines that work for one other, the lead, which waits for them.
//
// If one of them panics or calls runtime.Goexit, the others are told to stop, and lead waits for
// them. Then lead does the same in its own goroutine, with the same value, so that a caller that
// recovers can compare it. If several of them panic, the lead's own panic is used, otherwise the
// first one.
type crew struct {
	// stop tells all goroutines to end early. Any of them may call it, more than once.
	stop    func()
	running sync.WaitGroup
	ended   atomic.Pointer[abruptEnd]
}

// abruptEnd describes a goroutine that ended without returning.
type abruptEnd struct {
	value any // nil if it called runtime.Goexit
	stack []byte
}

// start calls work in a new goroutine.
func (c *crew) start(work func()) {
	c.running.Go(func() {
		returned := false
		defer func() {
			if !returned {
				c.ended.CompareAndSwap(nil, &abruptEnd{recover(), debug.Stack()})
				c.stop()
			}
		}()
		work()
		returned = true
	})
}

// lead calls work in the caller's goroutine. It waits for all others, even if work panics.
func (c *crew) lead(work func()) {
	returned := false
	defer func() {
		if !returned {
			c.stop()
		}
		c.running.Wait()
		if end := c.ended.Load(); end != nil && returned {
			end.repeat()
		}
	}()
	work()
	returned = true
}

// repeat ends this goroutine in the same way as the other one. The first panic shows the other's
// stack if the program ends. The second, deferred in the first, is the one that recover returns.
func (e *abruptEnd) repeat() {
	if e.value == nil {
		runtime.Goexit()
	}
	defer panic(e.value)
	panic(fmt.Sprintf("a panic in another goroutine, which follows below:\n%s", e.stack))
}
