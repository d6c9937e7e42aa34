package main

// File content that follows from a seed, so that a file can be verified without a copy of it.

import (
	"encoding/binary"
	"sync"
)

// patternBlock is the number of bytes in which the same word repeats.
const patternBlock = 512

// patternWord returns the word that block i of the content for seed repeats.
func patternWord(seed, i uint64) uint64 {
	z := seed + (i+1)*0x9E3779B97F4A7C15
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// fillPattern writes the content for seed, from offset off of the file, to b. off must be a
// multiple of patternBlock.
func fillPattern(b []byte, seed uint64, off int64) {
	var block [patternBlock]byte
	for i := uint64(off) / patternBlock; len(b) > 0; i++ {
		word := patternWord(seed, i)
		for at := 0; at < patternBlock; at += 8 {
			binary.LittleEndian.PutUint64(block[at:], word)
		}
		b = b[copy(b, block[:]):]
	}
}

// checkPattern returns the offset in the file of the first byte that differs from the content
// for seed, or -1 if none does.
func checkPattern(b []byte, seed uint64, off int64) int64 {
	for i := uint64(off) / patternBlock; len(b) > 0; i++ {
		word := patternWord(seed, i)
		block := b[:min(patternBlock, len(b))]
		for at := 0; at < len(block); at++ {
			if at+8 <= len(block) && binary.LittleEndian.Uint64(block[at:]) == word {
				at += 7
				continue
			}
			if block[at] != byte(word>>(at%8*8)) {
				return int64(i)*patternBlock + int64(at)
			}
		}
		b = b[len(block):]
	}
	return -1
}

// inPieces calls do for each piece of b with its offset, several at a time.
func inPieces(b []byte, workers int, do func(piece []byte, off int64)) {
	const piece = 4 << 20
	offsets := make(chan int64)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for off := range offsets {
				do(b[off:min(off+piece, int64(len(b)))], off)
			}
		})
	}
	for off := int64(0); off < int64(len(b)); off += piece {
		offsets <- off
	}
	close(offsets)
	running.Wait()
}
