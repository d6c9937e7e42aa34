package famfs

// The part of the writers' lock on Linux that belongs to a DAX device itself, not to a node of it.
//
// flock belongs to an inode, and each container may have its own node, with its own inode, for the
// same device. The device's files in sysfs do not help: every network namespace has its own sysfs
// with its own inodes. But containers share the time namespace with each other and with the host,
// and its file in /proc has one inode for all of them. The lock is on the byte of that file whose
// number is the device's. The file can be opened only for reading, so only shared locks are
// possible: a process that then sees the lock of another gives its own up.

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// timeNamespace is a file that is the same for all processes in a time namespace.
const timeNamespace = "/proc/self/ns/time"

// initialTimeNamespace is the inode number of the namespace that the system starts with, on every
// kernel that has time namespaces.
const initialTimeNamespace = 0xeffffffa

// hostLock is the device's part of the writers' lock, held or not.
type hostLock struct {
	file *os.File
	// id is the device's number, and the number of the byte to lock.
	id int64
	// initial says that the host itself uses this namespace, and so the same lock.
	initial bool
}

// openHostLock prepares the lock of the device with this number.
func openHostLock(id uint64) (*hostLock, error) {
	f, err := os.Open(timeNamespace)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat %s: %w", timeNamespace, err), f.Close())
	}
	return &hostLock{file: f, id: int64(id & (1<<63 - 1)), initial: st.Ino == initialTimeNamespace}, nil
}

// try takes the lock if nobody else has it. If two processes try at the same time, it is possible
// that neither gets it, but never that both do.
func (l *hostLock) try() (bool, error) {
	if l == nil {
		return true, nil
	}
	switch err := l.control(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK}); {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return false, nil
	case err != nil:
		return false, err
	}
	shared, err := l.isShared()
	if err == nil && !shared {
		return true, nil
	}
	return false, errors.Join(err, l.unlock())
}

// share takes the lock together with others.
func (l *hostLock) share() error {
	if l == nil {
		return nil
	}
	return l.control(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK})
}

// isShared reports whether others have the lock.
func (l *hostLock) isShared() (bool, error) {
	if l == nil {
		return false, nil
	}
	other := unix.Flock_t{Type: unix.F_WRLCK}
	err := l.control(unix.F_OFD_GETLK, &other)
	return err == nil && other.Type != unix.F_UNLCK, err
}

func (l *hostLock) unlock() error {
	if l == nil {
		return nil
	}
	return l.control(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK})
}

// control applies the lock operation command to the device's byte.
func (l *hostLock) control(command int, what *unix.Flock_t) error {
	what.Start, what.Len = l.id, 1
	if err := unix.FcntlFlock(l.file.Fd(), command, what); err != nil {
		return fmt.Errorf("lock byte %d of %s: %w", l.id, timeNamespace, err)
	}
	return nil
}

func (l *hostLock) close() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
