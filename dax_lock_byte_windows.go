package famfs

// Locks of single bytes of a device on Windows, for what only one of a host may use at a
// time. They lie far behind the end of the file, as the writers' lock does.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// byteBeyond is where the lock of a byte lies.
func byteBeyond(at int64) *windows.Overlapped {
	const beyond = 1 << 30 // in the upper half of the offset
	return &windows.Overlapped{Offset: uint32(at), OffsetHigh: uint32(at>>32)&(beyond-1) | beyond}
}

// tryByte locks the byte at an offset of the device, if nobody else on this host has.
func (d *device) tryByte(at int64) (bool, error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(d.file.Fd()), flags, 0, 1, 0, byteBeyond(at))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, fmt.Errorf("lock byte %d of %s: %w", at, d.info.Path, err)
}

func (d *device) unlockByte(at int64) error {
	if err := windows.UnlockFileEx(windows.Handle(d.file.Fd()), 0, 1, 0, byteBeyond(at)); err != nil {
		return fmt.Errorf("unlock byte %d of %s: %w", at, d.info.Path, err)
	}
	return nil
}

// markWaiting and othersWait: there is no way to see whether others wait, so the writers' lock is
// never kept for a lease.
func (d *device) markWaiting(bool) error { return nil }

func (d *device) othersWait() (bool, error) { return false, errors.ErrUnsupported }
