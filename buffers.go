package famfs

// Buffers that are used again: of the size of the largest small file, and of what is compared
// at a time.

import "sync"

// buffer is what is lent.
type buffer [256 << 10]byte

// bufferPool lends buffers.
type bufferPool struct{ pool sync.Pool }

// take returns a buffer of up to n bytes. lent is nil, and the buffer is not used again, if it
// is private: somebody may store to it later.
func (p *bufferPool) take(n int64, private bool) (b []byte, lent *buffer) {
	n = min(n, int64(len(lent)))
	if private {
		return make([]byte, n), nil
	}
	lent, ok := p.pool.Get().(*buffer)
	if !ok {
		lent = new(buffer)
	}
	return lent[:n], lent
}

// giveBack takes back what was lent.
func (p *bufferPool) giveBack(lent *buffer) {
	if lent != nil {
		p.pool.Put(lent)
	}
}
