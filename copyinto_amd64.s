#include "textflag.h"

// The loop that copies past the caches, a line at a time.

// func movntdqLines(dst, src unsafe.Pointer, lines uintptr)
TEXT ·movntdqLines(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ lines+16(FP), CX
loop:
	MOVOU   (SI), X0
	MOVOU   16(SI), X1
	MOVOU   32(SI), X2
	MOVOU   48(SI), X3
	MOVNTO  X0, (DI)
	MOVNTO  X1, 16(DI)
	MOVNTO  X2, 32(DI)
	MOVNTO  X3, 48(DI)
	ADDQ    $64, SI
	ADDQ    $64, DI
	DECQ    CX
	JNZ     loop
	RET

// func movntdqSumLines(dst, src unsafe.Pointer, lines uintptr, register uint32) uint32
TEXT ·movntdqSumLines(SB), NOSPLIT, $0-36
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ lines+16(FP), CX
	MOVL register+24(FP), AX
sums:
	MOVOU   (SI), X0
	MOVOU   16(SI), X1
	MOVOU   32(SI), X2
	MOVOU   48(SI), X3
	MOVNTO  X0, (DI)
	MOVNTO  X1, 16(DI)
	MOVNTO  X2, 32(DI)
	MOVNTO  X3, 48(DI)
	MOVQ    X0, R8
	PEXTRQ  $1, X0, R9
	MOVQ    X1, R10
	PEXTRQ  $1, X1, R11
	CRC32Q  R8, AX
	CRC32Q  R9, AX
	CRC32Q  R10, AX
	CRC32Q  R11, AX
	MOVQ    X2, R8
	PEXTRQ  $1, X2, R9
	MOVQ    X3, R10
	PEXTRQ  $1, X3, R11
	CRC32Q  R8, AX
	CRC32Q  R9, AX
	CRC32Q  R10, AX
	CRC32Q  R11, AX
	ADDQ    $64, SI
	ADDQ    $64, DI
	DECQ    CX
	JNZ     sums
	MOVL    AX, ret+32(FP)
	RET

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

// func foldQuads(dst, src unsafe.Pointer, quads uintptr, register uint32) uint32
TEXT ·foldQuads(SB), NOSPLIT, $256-36
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ quads+16(FP), CX
	MOVL register+24(FP), AX
	VBROADCASTI32X4 foldBy256<>(SB), Z5
	VMOVDQU64 (SI), Z0
	VMOVDQU64 64(SI), Z1
	VMOVDQU64 128(SI), Z2
	VMOVDQU64 192(SI), Z3
	VMOVNTDQ  Z0, (DI)
	VMOVNTDQ  Z1, 64(DI)
	VMOVNTDQ  Z2, 128(DI)
	VMOVNTDQ  Z3, 192(DI)
	VMOVD     AX, X4
	VPXORQ    Z4, Z0, Z0
	JMP       next
quad:
	VMOVDQU64 (SI), Z6
	VMOVDQU64 64(SI), Z7
	VMOVDQU64 128(SI), Z8
	VMOVDQU64 192(SI), Z9
	VMOVNTDQ  Z6, (DI)
	VMOVNTDQ  Z7, 64(DI)
	VMOVNTDQ  Z8, 128(DI)
	VMOVNTDQ  Z9, 192(DI)
	FOLD(Z6, Z0)
	FOLD(Z7, Z1)
	FOLD(Z8, Z2)
	FOLD(Z9, Z3)
next:
	ADDQ $256, SI
	ADDQ $256, DI
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
	MOVL   AX, ret+32(FP)
	RET
