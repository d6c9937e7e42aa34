#include "textflag.h"

// func storePair(p unsafe.Pointer, a, b uint64)
TEXT ·storePair(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), AX
	MOVQ a+8(FP), X0
	MOVQ b+16(FP), X1
	PUNPCKLQDQ X1, X0
	MOVO X0, (AX)
	RET
