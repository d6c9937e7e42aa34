package famfs

// Populating a region where the system has no call for it.

import (
	"os"
	"sync/atomic"
	"unsafe"
)

// touchPages reads one byte of every page of mem. A fault is an error.
func touchPages(mem []byte) error {
	return Guard(func() error {
		for at := 0; at < len(mem); at += os.Getpagesize() {
			atomic.LoadInt32((*int32)(unsafe.Pointer(&mem[at]))) // a load that the compiler keeps
		}
		return nil
	})
}
