//go:build unix

package famfs

// The writers' lock on Unix: flock on the device node or file, and for devices that may have
// several nodes, the lock of the device itself (dax_lock_linux.go).

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// tryLock takes the exclusive lock if nobody else has it. The lock belongs to the open device, so
// taking it again changes nothing.
func (d *device) tryLock() (bool, error) {
	if ok, err := d.tryInode(); !ok {
		return false, err
	}
	ok, err := d.hostLock.try()
	if err != nil {
		err = fmt.Errorf("lock %s: %w", d.info.Path, err)
	}
	if !ok {
		err = errors.Join(err, d.unlockInode())
	}
	return ok, err
}

func (d *device) unlock() error { return errors.Join(d.hostLock.unlock(), d.unlockInode()) }

func (d *device) tryInode() (bool, error) {
	for {
		switch err := unix.Flock(int(d.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, fmt.Errorf("lock %s: %w", d.info.Path, err)
		}
	}
}

func (d *device) unlockInode() error {
	if err := unix.Flock(int(d.file.Fd()), unix.LOCK_UN); err != nil {
		return fmt.Errorf("unlock %s: %w", d.info.Path, err)
	}
	return nil
}
