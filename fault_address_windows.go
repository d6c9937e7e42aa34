package famfs

// The error of a Windows system call for memory that it cannot reach.

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isBadAddress reports whether err says that a system call was given memory that is gone.
func isBadAddress(err error) bool { return errors.Is(err, windows.ERROR_NOACCESS) }
