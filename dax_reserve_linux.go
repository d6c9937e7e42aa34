package famfs

// Room under a stand-in, on Linux: whether it has holes, and filling them with room that
// reads as zeros.

import (
	"errors"

	"golang.org/x/sys/unix"
)

// errFull says that the file system under a stand-in is full.
var errFull = errors.New("full")

// sparse says whether the file system may have to find room when the device is written.
func (d *device) sparse() bool {
	var st unix.Stat_t
	const block = 512 // whatever st.Blksize says
	return d.info.Kind != DevDAX && unix.Fstat(int(d.file.Fd()), &st) == nil && st.Blocks < st.Size/block
}

// allocate has the file system find room for s. The error is errFull if there is none;
// file systems that do not know of this are no error.
func (d *device) allocate(s segment) error {
	// A signal makes tmpfs begin again, so it is asked for no more at a time than it can do
	// between two of them.
	const atOnce = 64 << 20
	for s.len > 0 {
		n := min(s.len, atOnce)
		switch err := unix.Fallocate(int(d.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.off, n); {
		case err == nil:
			s.off, s.len = s.off+n, s.len-n
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
			return errFull
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBADF):
			return nil
		default:
			return err
		}
	}
	return nil
}
