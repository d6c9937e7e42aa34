package famfs

// Working through a range of bytes on several processors: in units that are taken in
// order, with one result as if a single one had done it. Nothing here knows what is done.

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// workUnit is what one processor works on at a time: the largest page that there
	// usually is, so that no two wait for the same one, nor for the same page table.
	workUnit = 2 << 20
	// maxWorkers is how many work on one range: fewer than that take all that memory can
	// give.
	maxWorkers = 8
)

// unitFunc works on the bytes from and to, which lie in one unit, and returns how many
// were done from the first on. Fewer than all without an error means that there are no
// more.
type unitFunc func(from, to int64) (int64, error)

// byUnits calls do for all units of the range, in ascending order, but several at a time,
// until one is not filled whole.
func byUnits(from, to int64, do unitFunc) (int64, error) {
	if from >= to {
		return 0, nil
	}
	first, last := from/workUnit, (to-1)/workUnit
	var (
		next atomic.Int64
		stop atomic.Bool
		mu   sync.Mutex
		end  = to // where the first gap begins
		why  error
	)
	next.Store(first)
	work := func() {
		defer storeFence() // what this processor wrote back
		for !stop.Load() {
			unit := next.Add(1) - 1
			if unit > last {
				return
			}
			at, upTo := max(from, unit*workUnit), min(to, (unit+1)*workUnit)
			n, err := do(at, upTo)
			if err == nil && n == upTo-at {
				continue
			}
			mu.Lock()
			if at+n < end || !stop.Load() {
				end, why = at+n, err
			}
			stop.Store(true)
			mu.Unlock()
		}
	}
	var others sync.WaitGroup
	for range min(last-first, int64(runtime.GOMAXPROCS(0))-1, maxWorkers-1) {
		others.Go(work)
	}
	work()
	others.Wait()
	return end - from, why
}
