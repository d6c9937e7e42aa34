package famfs

// Working on a range of bytes with several processors. The pieces are taken in order, and the
// result is the same as if one processor had done it. Nothing here knows what the work is. The
// goroutines are in parallel_crew.go.

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// workPiece is how many bytes one processor works on at a time. It is the size of the largest
	// usual page, so that no two processors wait for the same page or the same page table.
	workPiece = 2 << 20
	// maxWorkers is how many goroutines work on one range. Even fewer use the full bandwidth of
	// the memory.
	maxWorkers = 8
)

// pieceFunc works on the bytes from from up to to, which are in one piece. It returns how many
// it did, counted from the first. If that is not all of them and there is no error, there are no
// more bytes.
type pieceFunc func(from, to int64) (int64, error)

// inParallel calls do for the pieces of the range in ascending order, several at a time, until one
// piece is not done completely. It returns the number of bytes done without a gap, counted from the
// first, and the error of the piece with the first gap. When it returns, no call is running. If do
// panics, the panic goes on in the caller, also when no call is running any more.
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
		end  = to // beginning of the first gap
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
