package famfs

// Copying past the caches on amd64, with what every such processor has.

import "unsafe"

// streamAtLeast is the length from which copying past the caches is quicker than
// copying and writing back (docs/figures.md).
const streamAtLeast = 128

// streamLines copies whole lines with stores that bypass the caches (MOVNTDQ): they
// need no writing back, only a store fence. dst must be the start of a line and lines at
// least 1; src may have any address.
//
//go:noescape
func streamLines(dst, src unsafe.Pointer, lines uintptr)
