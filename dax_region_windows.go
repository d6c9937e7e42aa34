package famfs

// What Windows does for mapped memory besides mapping it.

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// canMap says that this system maps files.
const canMap = true

// syncMemory writes the pages that mem touches to their file.
func syncMemory(mem []byte) error {
	return windows.FlushViewOfFile(uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)))
}
