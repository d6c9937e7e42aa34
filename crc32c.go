package famfs

// CRC-32C: of bytes, and of two ranges that follow each other, from that of each.

import "hash/crc32"

func crc32c(b []byte) uint32 { return moreCRC(0, b) }

// moreCRC goes on with a CRC-32C over b.
func moreCRC(crc uint32, b []byte) uint32 {
	n := foldCRC(&crc, b)
	return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), b[n:])
}

// Polynomials over two elements, modulo that of CRC-32C, are held as a CRC is: bit 31 is the
// coefficient of 1, bit 0 that of x^31.
const (
	polyOne   = 1 << 31
	polyBytes = polyOne >> 8 // x^8, which is how one byte that follows shifts a register
)

// timesPoly returns the product of two polynomials.
func timesPoly(a, b uint32) (product uint32) {
	for m := uint32(polyOne); m != 0; m >>= 1 {
		if a&m != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}

// combineCRC returns the CRC-32C of two ranges that follow each other, from that of each; the
// second has n bytes.
func combineCRC(first, second uint32, n int64) uint32 {
	shift := uint32(polyOne)
	for square := uint32(polyBytes); n != 0; n, square = n>>1, timesPoly(square, square) {
		if n&1 != 0 {
			shift = timesPoly(shift, square)
		}
	}
	return timesPoly(shift, first) ^ second
}
