package famfs

// Pages of any memory: touching each of them, which also populates a region on systems that have
// no call for it, and extending a slice to whole pages.

import (
	"os"
	"runtime"
	"unsafe"
)

// touchPages reads one byte of every page of mem. A fault is returned as an error.
func touchPages(mem []byte) error {
	return Guard(func() error {
		loadPages(mem)
		return nil
	})
}

// loadPages reads one byte of every page of mem, from the first to the last. mem may begin and
// end inside pages.
func loadPages(mem []byte) {
	var sum byte
	for at := 0; at < len(mem); at += os.Getpagesize() {
		sum += mem[at]
	}
	if len(mem) > 0 {
		sum += mem[len(mem)-1]
	}
	runtime.KeepAlive(sum) // so that the compiler keeps the loads
}

// wholePages extends mem to the start of its first page, as calls about pages require.
func wholePages(mem []byte) []byte {
	p := unsafe.Pointer(unsafe.SliceData(mem))
	head := uintptr(p) & uintptr(os.Getpagesize()-1)
	return unsafe.Slice((*byte)(unsafe.Add(p, -int(head))), len(mem)+int(head))
}
