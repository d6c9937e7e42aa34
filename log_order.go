package famfs

// Blocks of the log in order: they are decoded by several goroutines at a time, and
// finished one after the other. What is done with them is log_replay.go's concern.

import "sync"

// maxAhead is how many blocks, from the one that is to be finished next, may have been
// decoded: it bounds what is at hand of a log that nobody has judged yet.
const maxAhead = 64

// inTurn finishes blocks in order, one at a time. The worker that brings the next block
// finishes it, and any later ones that are queued already. Workers wait only if they are
// maxAhead blocks ahead. What a processor has just decoded is often in its caches still.
type inTurn struct {
	finish func(*decoded) (more bool, err error)

	mu        sync.Mutex
	moved     sync.Cond
	early     [maxAhead]*decoded // each at its number modulo maxAhead
	next      uint64             // the block whose turn it is
	finishing bool
	ended     bool
	err       error
}

func newInTurn(finish func(*decoded) (bool, error)) *inTurn {
	q := &inTurn{finish: finish}
	q.moved.L = &q.mu
	return q
}

// hand queues block d, and finishes those whose turn it is unless another worker does. It returns false if no
// more blocks are wanted.
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

// end wakes all who wait: a block that is missing will not come.
func (q *inTurn) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.moved.Broadcast()
}

// finishNext finishes the block whose turn it is. Others may hand in theirs meanwhile.
func (q *inTurn) finishNext() {
	d := q.early[q.next%maxAhead]
	q.early[q.next%maxAhead], q.finishing = nil, true
	q.mu.Unlock()
	more, err := false, error(nil)
	defer func() { // also where finish panics: the others must not wait for ever
		q.mu.Lock()
		q.next, q.finishing, q.ended, q.err = q.next+1, false, q.ended || !more || err != nil, err
		q.moved.Broadcast()
	}()
	err = Guard(func() (err error) { more, err = q.finish(d); return err })
}
