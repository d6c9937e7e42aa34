package famfs

// Asking Linux for huge pages.

import (
	"golang.org/x/sys/unix"
)

// adviseHugePages asks for huge pages. Not getting them is not an error.
func adviseHugePages(mem []byte) { unix.Madvise(mem, unix.MADV_HUGEPAGE) }
