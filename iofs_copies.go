package famfs

// WriteTo on a file system that gives memory out again: what a writer gets must stay what it was, so
// it gets copies. Other reading is in iofs.go.

import (
	"io"
	"io/fs"
)

// writeCopies is WriteTo where memory of removed files is given out again: w gets copies.
func (h *openFileHandle) writeCopies(w io.Writer) (done int64, err error) {
	buffer, lent := h.fs.buffers.take(min(writeToPiece, max(h.node.size-h.off, 0)), false)
	defer h.fs.buffers.giveBack(lent)
	for h.off < h.node.size {
		if h.closed.Load() {
			return done, h.fail("read", fs.ErrClosed)
		}
		n, err := h.fs.readAt(h.index, h.node, buffer[:min(int64(len(buffer)), h.node.size-h.off)], h.off)
		if n == 0 && err != nil {
			return done, h.fail("read", err)
		}
		written, own := write(w, buffer[:n])
		h.off += int64(written)
		if done += int64(written); own != nil {
			return done, own
		}
		if err != nil {
			return done, h.fail("read", err)
		}
	}
	return done, nil
}
