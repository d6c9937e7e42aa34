#include "textflag.h"

// Loops over cache lines, one instruction each, each followed by the barrier that waits
// for them; and the fences.

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

// A line may be fetched anew at any time after it was forgotten, and DC goes by no order
// with loads from other lines: without a barrier before it, these lines could be forgotten,
// and fetched, before an earlier load has said that there is something new in them.

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
