//go:build !amd64 && !arm64

package famfs

// On these architectures no instruction is known with which an ordinary program can write back
// or drop a cache line, so nothing can be kept coherent between hosts. The functions here do
// nothing to lines, and opening a devdax or fs-dax device is refused (dax.go). A plain file works:
// all processes of this host share the same pages, and the fences order what they see.

import (
	"sync/atomic"
	"unsafe"
)

const canFlush = false

const lineSize uintptr = 64

func machineLines() (coherent, durable *cacheLines) {
	lines := func(unsafe.Pointer, uintptr) {}
	fence := func() {
		var word atomic.Uint32
		word.Add(1)
	}
	c := &cacheLines{writeBackLines: lines, invalidateLines: lines, fenceStores: fence, fenceLoads: fence}
	return c, c
}
