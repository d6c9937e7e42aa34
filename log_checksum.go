package famfs

// Checksums: CRC-32 as the format has it, over records of the log in particular.

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// entryHead is how many bytes of an entry are other than zero for nearly all: a
// directory, or a file of one extent.
const entryHead = extentsAt + extentSize

// entrySums computes checksums of entries. Those whose tail is zero, as nearly all are,
// take half the time: what so many zeros make of a checksum is looked up.
type entrySums [4][256]uint32 // for each byte of the register

func newEntrySums() *entrySums {
	var s entrySums
	zeros := make([]byte, entryCRC-entryHead)
	for i := range s {
		for v := 1; v < len(s[i]); v++ {
			// What zeros do to a checksum's register is linear: it is computed for each of
			// its bits alone.
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
	// All are zero if the first are, and each is the same as the one eight before it.
	if binary.LittleEndian.Uint64(tail) != 0 || !bytes.Equal(tail[8:], tail[:len(tail)-8]) {
		return uint64(crc32.Update(sum, crc32.IEEETable, tail))
	}
	r := ^sum
	return uint64(^(s[0][byte(r)] ^ s[1][byte(r>>8)] ^ s[2][byte(r>>16)] ^ s[3][r>>24]))
}
