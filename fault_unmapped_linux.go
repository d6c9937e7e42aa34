package famfs

// Asking Linux whether an address is mapped.

import (
	"os"

	"golang.org/x/sys/unix"
)

// isUnmapped reports whether nothing is mapped at addr now.
func isUnmapped(addr uintptr) bool {
	page := uintptr(os.Getpagesize())
	// With MS_ASYNC, msync only checks whether there is memory.
	_, _, errno := unix.Syscall(unix.SYS_MSYNC, addr&^(page-1), page, unix.MS_ASYNC)
	return errno == unix.ENOMEM
}
