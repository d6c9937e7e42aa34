package famfs

// Mapped memory on Windows, besides mapping it.

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/windows"
)

// canMap says whether this system can map files.
const canMap = true

// syncMemory writes the pages that mem touches to their file.
func syncMemory(mem []byte) error {
	return windows.FlushViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)))
}

func denyAccess([]byte) error { return errors.ErrUnsupported }
