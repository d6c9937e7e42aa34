package famfs

// What Linux knows about addresses at which nothing is mapped.

import (
	"os"

	"golang.org/x/sys/unix"
)

// isUnmapped says that nothing is mapped at addr now.
func isUnmapped(addr uintptr) bool {
	page := uintptr(os.Getpagesize())
	// Asynchronously it does nothing but look whether there is memory.
	_, _, errno := unix.Syscall(unix.SYS_MSYNC, addr&^(page-1), page, unix.MS_ASYNC)
	return errno == unix.ENOMEM
}
