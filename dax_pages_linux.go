package famfs

// What Linux knows about memory beyond Unix: huge pages and faulting in advance.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// adviseSingly has each page of a stand-in on disk come alone when it is first touched.
// Otherwise the kernel reads ahead into holes, in large pages, and a store of one byte then
// makes the file system find room for all of such a page, up to 2 MiB.
func adviseSingly(mem []byte) { unix.Madvise(mem, unix.MADV_RANDOM) }

// populateMemory takes all page faults of mem now. Kernels before 5.14 do not know
// the call: there the pages are touched.
func populateMemory(mem []byte, write bool) error {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	err := unix.Madvise(mem, advice)
	switch {
	case errors.Is(err, unix.EINVAL):
		return touchPages(mem)
	case errors.Is(err, unix.EFAULT), errors.Is(err, unix.EHWPOISON):
		return fmt.Errorf("the memory is gone or failed (%w): %w", err, ErrDevice)
	}
	return err
}

// prefault takes the page faults of mem and of what shares its pages with it, as far as
// that can be done with one call.
func prefault(mem []byte, write bool) {
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	unix.Madvise(wholePages(mem), advice)
}
