package famfs

// Checksums: CRC-32 as the format uses it, and a faster way for log entries.

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// entryHead is the length of the part of an entry that may be other than zero if it is a
// directory or a file of one extent, as nearly all entries are.
const entryHead = extentsAt + extentSize

// entrySums computes checksums of entries. If the tail of an entry is zero, as in nearly all, that
// takes half the time, because the effect of so many zeros on a checksum is looked up.
type entrySums [4][256]uint32 // one table for each byte of the register

func newEntrySums() *entrySums {
	var s entrySums
	zeros := make([]byte, entryCRC-entryHead)
	for i := range s {
		for v := 1; v < len(s[i]); v++ {
			// The effect of zeros on a checksum's register is linear: compute it for each bit.
			if rest := v & (v - 1); rest != 0 {
				s[i][v] = s[i][rest] ^ s[i][v^rest]
			} else {
				s[i][v] = ^crc32.Update(^(uint32(v) << (8 * i)), crc32.IEEETable, zeros)
			}
		}
	}
	return &s
}

// of returns the checksum of an entry.
func (s *entrySums) of(b *[entrySize]byte) uint64 {
	sum, tail := crc32.ChecksumIEEE(b[:entryHead]), b[entryHead:entryCRC]
	// The tail is zero if its first 8 bytes are, and each byte equals the one 8 bytes before.
	if binary.LittleEndian.Uint64(tail) != 0 || !bytes.Equal(tail[8:], tail[:len(tail)-8]) {
		return uint64(crc32.Update(sum, crc32.IEEETable, tail))
	}
	r := ^sum
	return uint64(^(s[0][byte(r)] ^ s[1][byte(r>>8)] ^ s[2][byte(r>>16)] ^ s[3][r>>24]))
}
