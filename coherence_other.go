//go:build !amd64 && !arm64

package famfs

// Where no instruction is known that an ordinary program may use to write back or
// forget a cache line, nothing can be kept coherent between hosts: the functions
// here do nothing, and opening a devdax or fs-dax device is refused (dax.go). A
// plain file works: its pages are one and the same memory for all processes of
// this host.

import "unsafe"

const canFlush = false

const lineSize uintptr = 64

func machineLines() (coherent, durable *cacheLines) {
	lines, fence := func(unsafe.Pointer, uintptr) {}, func() {}
	c := &cacheLines{writeBackLines: lines, invalidateLines: lines, fenceStores: fence, fenceLoads: fence}
	return c, c
}
