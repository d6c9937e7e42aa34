package famfs

// Mapping the files that are copied from. On tmpfs a file's pages are in memory anyway, so a
// mapping avoids one copy by the kernel. Only the copy past the caches remains.

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapSource maps up to n bytes of f from off on for reading, but not beyond the current end of
// f. If that is not possible or not worth it, it returns nothing. f may become shorter later:
// then touching the memory faults.
func mapSource(f *os.File, off, n int64) (mem []byte, unmap func() error) {
	conn, err := f.SyscallConn() // unlike f.Fd, this does not change f
	if err != nil {
		return nil, nil
	}
	conn.Control(func(fd uintptr) {
		var fsType unix.Statfs_t
		var st unix.Stat_t
		if unix.Fstatfs(int(fd), &fsType) != nil || fsType.Type != unix.TMPFS_MAGIC || unix.Fstat(int(fd), &st) != nil {
			return
		}
		head := off & int64(os.Getpagesize()-1)
		// Touching a hole would add a page to the file; reading does not.
		if n = min(n, st.Size-off); n <= 0 || st.Blocks*512 < st.Size {
			return
		}
		if all, err := unix.Mmap(int(fd), off-head, int(head+n), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			mem, unmap = all[head:], func() error { return unix.Munmap(all) }
		}
	})
	return mem, unmap
}
