//go:build unix

package famfs

// The writers' lock on Unix: flock on the device node or file.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// tryLock takes the exclusive lock if nobody else has it.
func (d *device) tryLock() (bool, error) {
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

func (d *device) unlock() error {
	if err := unix.Flock(int(d.file.Fd()), unix.LOCK_UN); err != nil {
		return fmt.Errorf("unlock %s: %w", d.info.Path, err)
	}
	return nil
}
