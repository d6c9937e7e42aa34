package famfs

// Working through a range of bytes on several processors: in pieces that are taken in
// order, with one result as if a single one had done it. Nothing here knows what is done.
// The goroutines are parallel_crew.go's.

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// workPiece is what one processor works on at a time: the largest page that there
	// usually is, so that no two wait for the same one, nor for the same page table.
	workPiece = 2 << 20
	// maxWorkers is how many work on one range: fewer than that take all that memory can
	// give.
	maxWorkers = 8
)

// pieceFunc works on the bytes from and up to to, which lie in one piece, and returns how
// many it did from the first on. Fewer than all without an error means that there are no
// more.
type pieceFunc func(from, to int64) (int64, error)

// inParallel calls do for the pieces of the range, in ascending order, but several at a
// time, until one is not done whole. It returns how many bytes were done from the first on
// without a gap, and the error of the piece that has the first gap. When it returns no
// call is under way any more, also if do panics, which then goes on in the caller.
func inParallel(from, to int64, do pieceFunc) (int64, error) {
	if from >= to {
		return 0, nil
	}
	first, last := from/workPiece, (to-1)/workPiece
	if first == last {
		return do(from, to)
	}
	var (
		next atomic.Int64
		stop atomic.Bool
		mu   sync.Mutex
		end  = to // where the first gap begins
		why  error
	)
	next.Store(first)
	work := func() {
		for !stop.Load() {
			piece := next.Add(1) - 1
			if piece > last {
				return
			}
			at, upTo := max(from, piece*workPiece), min(to, (piece+1)*workPiece)
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
	workers := crew{stop: func() { stop.Store(true) }}
	for range min(last-first, int64(runtime.GOMAXPROCS(0))-1, maxWorkers-1) {
		workers.start(work)
	}
	workers.lead(work)
	return end - from, why
}
