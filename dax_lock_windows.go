package famfs

// The writers' lock on Windows: one byte far behind the end of the file, because a lock there
// prevents others from reading the bytes that it covers.

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/windows"
)

func lockedByte() *windows.Overlapped {
	return &windows.Overlapped{Offset: math.MaxUint32, OffsetHigh: math.MaxInt32}
}

// tryLock takes the exclusive lock if nobody else has it.
func (d *device) tryLock() (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(d.file.Fd()), flags, 0, 1, 0, lockedByte())
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, fmt.Errorf("lock %s: %w", d.info.Path, err)
}

func (d *device) unlock() error {
	if err := windows.UnlockFileEx(windows.Handle(d.file.Fd()), 0, 1, 0, lockedByte()); err != nil {
		return fmt.Errorf("unlock %s: %w", d.info.Path, err)
	}
	return nil
}
