#include "textflag.h"

// Loops over cache lines, one instruction per line, and the fences. The operand is the
// address in AX. coherence_unix_test.go shows with protected pages that only the given lines
// are touched.

// func clwbLines(p unsafe.Pointer, lines uintptr)
TEXT ·clwbLines(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ lines+8(FP), CX
loop:
	CLWB (AX)
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
	RET

// func clflushoptLines(p unsafe.Pointer, lines uintptr)
TEXT ·clflushoptLines(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ lines+8(FP), CX
loop:
	CLFLUSHOPT (AX)
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
	RET

// func clflushLines(p unsafe.Pointer, lines uintptr)
TEXT ·clflushLines(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ lines+8(FP), CX
loop:
	CLFLUSH (AX)
	ADDQ $64, AX
	DECQ CX
	JNZ  loop
	RET

// func storeFence()
TEXT ·storeFence(SB), NOSPLIT, $0-0
	SFENCE
	RET

// func loadFence()
TEXT ·loadFence(SB), NOSPLIT, $0-0
	MFENCE
	RET

// func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL subleaf+4(FP), CX
	CPUID
	MOVL AX, eax+8(FP)
	MOVL BX, ebx+12(FP)
	MOVL CX, ecx+16(FP)
	MOVL DX, edx+20(FP)
	RET
