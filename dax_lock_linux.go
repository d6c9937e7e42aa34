package famfs

// The part of the writers' lock on Linux that belongs to a DAX device, whatever its node.
//
// flock belongs to an inode, and each container may have a node of its own, with an inode
// of its own, for one and the same device. What the device has in sysfs is no better:
// every network namespace has a sysfs, and inodes, of its own. What containers do share
// with each other and with the host is the time namespace, whose file in /proc has one
// inode for all: the byte of it whose number is the device's is locked. That file can be
// opened for reading only, and so locked only together with others: whoever then sees the
// lock of another gives his up.

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// timeNamespace is a file that is one and the same for all processes in a time namespace.
const timeNamespace = "/proc/self/ns/time"

// initialTimeNamespace is the inode number of the namespace that the system begins with,
// on every kernel that has time namespaces.
const initialTimeNamespace = 0xeffffffa

// hostLock is that part of the writers' lock, held or not.
type hostLock struct {
	file *os.File
	// id is the device's number.
	id int64
	// initial says that the lock is the one that the host itself takes.
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

// try takes the lock if nobody else has it. Two who try at the same time may both not get
// it, and never both get it.
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
	other := unix.Flock_t{Type: unix.F_WRLCK}
	err := l.control(unix.F_OFD_GETLK, &other)
	if err == nil && other.Type == unix.F_UNLCK {
		return true, nil
	}
	return false, errors.Join(err, l.unlock())
}

func (l *hostLock) unlock() error {
	if l == nil {
		return nil
	}
	return l.control(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK})
}

// control applies what to the device's byte.
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
