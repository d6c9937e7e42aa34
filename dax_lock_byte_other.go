//go:build !linux && !windows

package famfs

// Systems whose locks of bytes belong to a process, and are lost when it closes any file
// of that name: there are none.

import "errors"

func (d *device) tryByte(int64) (bool, error) { return true, nil }

func (d *device) unlockByte(int64) error { return nil }

// markWaiting and othersWait: there is no way to see whether others wait, so the writers' lock is
// never kept for a lease.
func (d *device) markWaiting(bool) error { return nil }

func (d *device) othersWait() (bool, error) { return false, errors.ErrUnsupported }
