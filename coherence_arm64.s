#include "textflag.h"

// Loops over cache lines, one instruction per line, and the fences. Each loop ends with the
// barrier that waits for it.

// func cvacLines(p unsafe.Pointer, lines, size uintptr)
TEXT ·cvacLines(SB), NOSPLIT, $0-24
	MOVD p+0(FP), R0
	MOVD lines+8(FP), R1
	MOVD size+16(FP), R2
loop:
	DC   CVAC, R0
	ADD  R2, R0
	SUBS $1, R1
	BNE  loop
	DSB  $15
	RET

// func cvapLines(p unsafe.Pointer, lines, size uintptr)
TEXT ·cvapLines(SB), NOSPLIT, $0-24
	MOVD p+0(FP), R0
	MOVD lines+8(FP), R1
	MOVD size+16(FP), R2
loop:
	DC   CVAP, R0
	ADD  R2, R0
	SUBS $1, R1
	BNE  loop
	DSB  $15
	RET

// A line may be fetched again at any time after it was dropped, and DC has no order with loads
// from other lines. Without a barrier before the loop, these lines could be dropped and fetched
// again before an earlier load has said that they have new content.

// func civacLines(p unsafe.Pointer, lines, size uintptr)
TEXT ·civacLines(SB), NOSPLIT, $0-24
	MOVD p+0(FP), R0
	MOVD lines+8(FP), R1
	MOVD size+16(FP), R2
	DMB  $15
loop:
	DC   CIVAC, R0
	ADD  R2, R0
	SUBS $1, R1
	BNE  loop
	DSB  $15
	RET

// func storeFence()
TEXT ·storeFence(SB), NOSPLIT, $0-0
	DMB $14
	RET

// func loadFence()
TEXT ·loadFence(SB), NOSPLIT, $0-0
	DMB $13
	RET

// func cacheType() uint64
TEXT ·cacheType(SB), NOSPLIT, $0-8
	MRS  CTR_EL0, R0
	MOVD R0, ret+0(FP)
	RET
