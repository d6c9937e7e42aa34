package famfs

// Asking Linux for huge pages.

import (
	"golang.org/x/sys/unix"
)

// adviseHugePages asks for huge pages; not getting them is no error.
func adviseHugePages(mem []byte) { unix.Madvise(mem, unix.MADV_HUGEPAGE) }
