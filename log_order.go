package famfs

// Blocks of the log in order: several goroutines decode them at the same time, and they are
// finished one after the other. log_replay.go decides what finishing a block means.

import "sync"

// maxAhead is how many blocks, counted from the next one to finish, may have been decoded. It
// limits the memory used for blocks that are not judged yet.
const maxAhead = 64

// inTurn finishes blocks in order, one at a time. The worker that brings the next block finishes
// it, and any later ones that are queued already. Workers wait only if they are maxAhead blocks
// ahead. The block that a processor has just decoded is often still in its caches.
type inTurn struct {
	finish func(*decoded) (more bool, err error)

	mu        sync.Mutex
	moved     sync.Cond
	early     [maxAhead]*decoded // block b is at b modulo maxAhead
	next      uint64             // number of the next block to finish
	finishing bool
	ended     bool
	err       error
}

func newInTurn(finish func(*decoded) (bool, error)) *inTurn {
	q := &inTurn{finish: finish}
	q.moved.L = &q.mu
	return q
}

// hand queues block d. Then it finishes the blocks that are next, unless another worker is doing
// so. It returns false if no more blocks are wanted.
func (q *inTurn) hand(block uint64, d *decoded) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for block-q.next >= maxAhead && !q.ended {
		q.moved.Wait()
	}
	q.early[block%maxAhead] = d
	for !q.finishing && !q.ended && q.early[q.next%maxAhead] != nil {
		q.finishNext()
	}
	return !q.ended
}

// end wakes all workers that wait: a missing block will not come.
func (q *inTurn) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.moved.Broadcast()
}

// finishNext finishes the next block. Other workers may queue theirs meanwhile.
func (q *inTurn) finishNext() {
	d := q.early[q.next%maxAhead]
	q.early[q.next%maxAhead], q.finishing = nil, true
	q.mu.Unlock()
	more, err := false, error(nil)
	defer func() { // also if finish panics: the others must not wait for ever
		q.mu.Lock()
		q.next, q.finishing, q.ended, q.err = q.next+1, false, q.ended || !more || err != nil, err
		q.moved.Broadcast()
	}()
	err = Guard(func() (err error) { more, err = q.finish(d); return err })
}
