package famfs

// Goroutines that may run a caller's code, such as a reader or a report of progress: all
// are waited for, and what ends one of them ends the caller, as if it had happened there.
// Nothing here knows what is done; how a range is divided is parallel.go's concern.

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// crew is a group of goroutines that work for one that waits for them, the lead.
//
// If one of them panics or calls runtime.Goexit, the others are told to stop, lead waits
// for them, and then does the same in the goroutine of the lead: with the same value, so
// that a caller who recovers can compare it. If several of them panic, the lead's own panic
// counts, otherwise the first.
type crew struct {
	// stop tells all of them to end early. It may be called more than once, by any of them.
	stop    func()
	running sync.WaitGroup
	ended   atomic.Pointer[abruptEnd]
}

// abruptEnd is how a goroutine ended that did not return.
type abruptEnd struct {
	value any // nil: it called runtime.Goexit
	stack []byte
}

// start calls work in a goroutine of its own.
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

// lead calls work in the caller's goroutine, and waits for all others even if work panics.
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

// repeat ends this goroutine as the other one was ended. The first panic shows the other's
// stack if the program ends of it. The second, from within the first, is the one that
// recover returns.
func (e *abruptEnd) repeat() {
	if e.value == nil {
		runtime.Goexit()
	}
	defer panic(e.value)
	panic(fmt.Sprintf("a panic in another goroutine, which follows below:\n%s", e.stack))
}
