package famfs

// Large pieces of the Go heap, for data that exists once per log entry. Device memory does not
// belong here.

import "unsafe"

// hugePage is the size of huge pages on most machines.
const hugePage = 2 << 20

// makeLarge is make([]T, n) with huge pages. T must not hold pointers. Getting small pages from the
// system for the first time costs more than filling them, and looking things up in many small pages
// is slower.
func makeLarge[T any](n int) []T {
	s := make([]T, n)
	var zero T
	mem := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(n)*unsafe.Sizeof(zero))
	// Ask only for whole huge pages: the memory before and behind holds other things.
	head := -uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (hugePage - 1)
	if whole := (uintptr(len(mem)) - min(head, uintptr(len(mem)))) &^ (hugePage - 1); whole > 0 {
		adviseHugePages(mem[head:][:whole])
	}
	return s
}

// stringOf returns b as a string without copying it. b must not be written while the string is in
// use.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
