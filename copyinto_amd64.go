package famfs

// Copying past the caches on amd64, with an instruction that every such processor has.

import "unsafe"

// movntdqLines copies whole lines with stores that bypass the caches (MOVNTDQ). They need no
// write-back, only a store fence. dst must be the start of a line, and lines must be at least 1.
// src may have any address.
//
//go:noescape
func movntdqLines(dst, src unsafe.Pointer, lines uintptr)

// movntdqSumLines is movntdqLines that also goes on with the register of a CRC-32C over what it
// stores, in the same pass. It loads each byte once, so the sum is that of the stored bytes. The
// processor must have SSE4.2.
//
//go:noescape
func movntdqSumLines(dst, src unsafe.Pointer, lines uintptr, register uint32) uint32

// foldQuads is movntdqSumLines for 4 lines at a time, at several times its speed. The processor
// must have AVX-512 with VPCLMULQDQ.
//
//go:noescape
func foldQuads(dst, src unsafe.Pointer, quads uintptr, register uint32) uint32

// foldLines is movntdqSumLines by foldQuads.
func foldLines(dst, src unsafe.Pointer, lines uintptr, register uint32) uint32 {
	quads, rest := lines/4, lines%4
	if quads > 0 {
		register = foldQuads(dst, src, quads, register)
	}
	if rest > 0 {
		done := 4 * quads * lineSize
		register = movntdqSumLines(unsafe.Add(dst, done), unsafe.Add(src, done), rest, register)
	}
	return register
}
