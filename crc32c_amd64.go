package famfs

// CRC-32C on amd64, with an instruction that multiplies polynomials, several at a time.

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// foldAtLeast is the length from which on folding is faster.
const foldAtLeast = 1 << 10

// canFold says that this processor has AVX-512 with VPCLMULQDQ.
func canFold() bool { return cpu.X86.HasAVX512F && cpu.X86.HasAVX512VPCLMULQDQ }

// foldCRC goes on with the CRC-32C in *crc over the first bytes of b, as many as it returns.
func foldCRC(crc *uint32, b []byte) (n int) {
	if len(b) < foldAtLeast || !canFold() {
		return 0
	}
	n = len(b) &^ 255
	for at := 0; at < n; {
		piece := min(n-at, linesPerCall*int(lineSize))
		*crc = ^readQuads(unsafe.Pointer(&b[at]), uintptr(piece/256), ^*crc)
		at += piece
	}
	return n
}

// readQuads goes on with the register of a CRC-32C over 256 bytes at a time, at least once.
//
//go:noescape
func readQuads(src unsafe.Pointer, quads uintptr, register uint32) uint32
