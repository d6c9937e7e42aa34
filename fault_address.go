//go:build !windows && !plan9

package famfs

// The error of a system call for memory that it cannot reach.

import (
	"errors"
	"syscall"
)

// isBadAddress reports whether err says that a system call was given memory that is gone.
func isBadAddress(err error) bool { return errors.Is(err, syscall.EFAULT) }
