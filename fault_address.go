//go:build !windows && !plan9

package famfs

// What a system call says of memory that it cannot reach.

import (
	"errors"
	"syscall"
)

// isBadAddress says whether err is that of a system call which was given memory that is
// gone.
func isBadAddress(err error) bool { return errors.Is(err, syscall.EFAULT) }
