package famfs

// What a system call of Windows says of memory that it cannot reach.

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isBadAddress says whether err is that of a system call which was given memory that is
// gone.
func isBadAddress(err error) bool { return errors.Is(err, windows.ERROR_NOACCESS) }
