package famfs

// Mapping files that are copied from. Where a file's pages are memory anyway, on tmpfs,
// the kernel's copy out of them is saved: only the one past the caches remains.

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapSource maps up to n bytes of f from off on for reading, no further than f reaches
// now. Where that is not possible or not worth it, it returns nothing. f may become
// shorter meanwhile, then touching the memory faults.
func mapSource(f *os.File, off, n int64) (mem []byte, unmap func() error) {
	conn, err := f.SyscallConn() // unlike f.Fd it changes nothing about f
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
		// To touch a hole would give the file a page there, which reading does not.
		if n = min(n, st.Size-off); n <= 0 || st.Blocks*512 < st.Size {
			return
		}
		if all, err := unix.Mmap(int(fd), off-head, int(head+n), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			mem, unmap = all[head:], func() error { return unix.Munmap(all) }
		}
	})
	return mem, unmap
}
