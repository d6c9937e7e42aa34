package famfs

// Large pieces of the Go heap, for what there is one of per log entry. What is in the
// memory of a device does not belong here.

import "unsafe"

// hugePage is the size of huge pages on most machines.
const hugePage = 2 << 20

// makeLarge is make([]T, n) where T holds no pointers, and asks for huge pages: to
// get small ones from the system for the first time costs more than to fill them, and
// looking things up in many small ones is slower.
func makeLarge[T any](n int) []T {
	s := make([]T, n)
	var zero T
	mem := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), uintptr(n)*unsafe.Sizeof(zero))
	// Only whole huge pages are asked for: those at the ends hold other things.
	head := -uintptr(unsafe.Pointer(unsafe.SliceData(mem))) & (hugePage - 1)
	if whole := (uintptr(len(mem)) - min(head, uintptr(len(mem)))) &^ (hugePage - 1); whole > 0 {
		adviseHugePages(mem[head:][:whole])
	}
	return s
}

// stringOf returns b as a string without copying it: b must not be written as long as the
// string is in use.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
