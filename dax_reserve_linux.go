package famfs

// Room under a stand-in, on Linux: whether the stand-in has holes, how to fill them with room
// that reads as zeros, and how to make them again.

import (
	"errors"

	"golang.org/x/sys/unix"
)

// errFull says that the file system under a stand-in is full.
var errFull = errors.New("full")

// isFull says whether err is that of a system call that found no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// sparse reports whether the file system may have to allocate room when the device is written.
func (d *device) sparse() bool {
	var st unix.Stat_t
	const block = 512 // whatever st.Blksize says
	return d.info.Kind != DevDAX && unix.Fstat(int(d.file.Fd()), &st) == nil && st.Blocks < st.Size/block
}

// hasRoom reports whether s is known to have no holes. To look takes half the time of allocating what is
// there. It asks only tmpfs: other file systems may say that there are no holes because they know of none.
func (d *device) hasRoom(s segment) bool {
	if !d.prefersCalls() {
		return false
	}
	hole, err := unix.Seek(int(d.file.Fd()), s.off, unix.SEEK_HOLE)
	return err == nil && hole >= s.end()
}

// allocate lets the file system allocate room for s. The error is errFull if there is none. It is
// no error if the file system does not support this.
func (d *device) allocate(s segment) error {
	// After a signal, tmpfs begins again, so ask only for as much as it can do between two
	// signals.
	const atOnce = 64 << 20
	for s.len > 0 {
		n := min(s.len, atOnce)
		switch err := unix.Fallocate(int(d.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.off, n); {
		case err == nil:
			s.off, s.len = s.off+n, s.len-n
		case isFull(err):
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

// giveBack lets the file system under a stand-in have the room of s again, if it can take it. What was
// there is lost.
func (d *device) giveBack(s segment) {
	_ = unix.Fallocate(int(d.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, s.off, s.len)
}
