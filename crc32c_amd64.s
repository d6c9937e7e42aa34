#include "textflag.h"

// The loop that folds what it reads: as foldQuads of copyinto_amd64.s, without the stores.

// A remainder of n bits whose coefficients begin at bit d is the same as its product with
// x^d: so 256 bytes are folded into the next 256, 64 bits at a time. These are x^(2048+32) and
// x^(2048-32), modulo the polynomial of CRC-32C, in the order of bits that a CRC has, and
// shifted by one.
DATA foldBy256<>+0(SB)/8, $0xdcb17aa4
DATA foldBy256<>+8(SB)/8, $0xb9e02b86
GLOBL foldBy256<>(SB), RODATA|NOPTR, $16

#define FOLD(from, into) \
	VPCLMULQDQ $0x00, Z5, into, Z10     \
	VPCLMULQDQ $0x11, Z5, into, into    \
	VPTERNLOGQ $0x96, Z10, from, into

// func readQuads(src unsafe.Pointer, quads uintptr, register uint32) uint32
TEXT ·readQuads(SB), NOSPLIT, $256-28
	MOVQ src+0(FP), SI
	MOVQ quads+8(FP), CX
	MOVL register+16(FP), AX
	VBROADCASTI32X4 foldBy256<>(SB), Z5
	VMOVDQU64 (SI), Z0
	VMOVDQU64 64(SI), Z1
	VMOVDQU64 128(SI), Z2
	VMOVDQU64 192(SI), Z3
	VMOVD     AX, X4
	VPXORQ    Z4, Z0, Z0
	JMP       next
quad:
	VMOVDQU64 (SI), Z6
	VMOVDQU64 64(SI), Z7
	VMOVDQU64 128(SI), Z8
	VMOVDQU64 192(SI), Z9
	FOLD(Z6, Z0)
	FOLD(Z7, Z1)
	FOLD(Z8, Z2)
	FOLD(Z9, Z3)
next:
	ADDQ $256, SI
	DECQ CX
	JNZ  quad
	VMOVDQU64 Z0, 0(SP)
	VMOVDQU64 Z1, 64(SP)
	VMOVDQU64 Z2, 128(SP)
	VMOVDQU64 Z3, 192(SP)
	VZEROUPPER
	XORL AX, AX
	MOVQ $16, CX
	MOVQ SP, DI
rest:
	CRC32Q (DI), AX
	CRC32Q 8(DI), AX
	ADDQ   $16, DI
	DECQ   CX
	JNZ    rest
	MOVL   AX, ret+24(FP)
	RET
