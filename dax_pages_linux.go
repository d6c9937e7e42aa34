package famfs

// What Linux offers for memory beyond Unix: advice, and faulting in advance.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// adviseSingly makes each page of a stand-in on disk come alone when it is first touched.
// Otherwise the kernel reads ahead into holes in large pages, and a store of one byte then makes
// the file system allocate the whole large page, up to 2 MiB.
func adviseSingly(mem []byte) { unix.Madvise(mem, unix.MADV_RANDOM) }

// populatePiece is how much one call populates. During a call the kernel lets nobody change the
// address space of the process: another Map would wait for all of it, and so would the Go heap.
const populatePiece = 4 << 20

// populateMemory takes all page faults of mem, which begins with a page, now. Kernels before 5.14
// do not have the call; then it touches the pages.
func populateMemory(mem []byte, write bool) error {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	var err error
	for len(mem) > 0 && err == nil {
		piece := mem[:min(populatePiece, len(mem))]
		if err = unix.Madvise(piece, advice); err == nil {
			mem = mem[len(piece):]
		}
	}
	switch {
	case errors.Is(err, unix.EINVAL):
		return touchPages(mem)
	case errors.Is(err, unix.EFAULT), errors.Is(err, unix.EHWPOISON):
		return fmt.Errorf("the memory is gone or failed (%w): %w", err, ErrDevice)
	}
	return err
}

// prefault takes the page faults of mem, and of whatever else is in its pages, as far as one
// call can.
func prefault(mem []byte, write bool) {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	unix.Madvise(wholePages(mem), advice)
}
