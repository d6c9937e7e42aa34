package famfs

// Copying past the caches on amd64, with what every such processor has.

import "unsafe"

// movntdqLines copies whole lines with stores that bypass the caches (MOVNTDQ): they
// need no writing back, only a store fence. dst must be the start of a line and lines at
// least 1; src may have any address.
//
//go:noescape
func movntdqLines(dst, src unsafe.Pointer, lines uintptr)
