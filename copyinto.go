package famfs

// Copying into shared memory so that other hosts see it: past the caches if that is possible and
// faster, otherwise through the caches, with a write-back. Cache lines are coherence.go's concern;
// nothing here knows of files.

import "unsafe"

// streamAtLeast is the length from which on copying past the caches is faster than copying and
// writing back (docs/figures.md).
const streamAtLeast = 128

// CopyInto copies src to dst as copy does, and makes it visible to other hosts as FlushCache
// does. It takes less time than the two together: on amd64 most of the data never enters the
// cache. It returns the number of bytes copied, which is the smaller length.
//
// dst must be memory of a Mapping or a PendingFile, at any address. On a plain file that is not
// on tmpfs, call Mapping.Flush too. Whole cache lines are affected, see FlushCache. Any number of
// goroutines may call it for different lines.
func CopyInto(dst, src []byte) int {
	n := thisMachine.copyInto(dst, src)
	thisMachine.fenceStores()
	return n
}

// copyInto is CopyInto without the fence.
func (c *cacheLines) copyInto(dst, src []byte) int { return c.copySumming(dst, src, nil) }

// copySumming is copyInto. If crc is not nil, it also goes on with the CRC-32C in *crc over what
// is stored, whatever becomes of src meanwhile.
func (c *cacheLines) copySumming(dst, src []byte, crc *uint32) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	switch apart := !overlap(dst, src); {
	case n >= streamAtLeast && c.streamLines != nil && apart && (crc == nil || c.streamSumLines != nil):
	case crc == nil:
		copy(dst, src)
		c.writeBack(dst)
		return n
	default:
		piece := n
		if apart {
			piece = sumPiece
		}
		for at := 0; at < n; at += piece {
			to := dst[at:min(at+piece, n)]
			copy(to, src[at:])
			*crc = moreCRC(*crc, to)
			c.writeBack(to)
		}
		return n
	}
	// Lines that dst shares with other data go through the cache.
	head := int(-addressOf(dst) & (lineSize - 1))
	body := (n - head) &^ (int(lineSize) - 1)
	tail := head + body
	copy(dst[:head], src)
	copy(dst[tail:], src[tail:])
	if crc != nil {
		*crc = moreCRC(*crc, dst[:head])
	}
	c.writeBack(dst[:head])
	c.writeBack(dst[tail:])
	for at := head; at < tail; {
		lines := min(linesPerCall, (tail-at)/int(lineSize))
		to, from := unsafe.Pointer(&dst[at]), unsafe.Pointer(&src[at])
		if crc != nil {
			*crc = ^c.streamSumLines(to, from, uintptr(lines), ^*crc)
		} else {
			c.streamLines(to, from, uintptr(lines))
		}
		at += lines * int(lineSize)
	}
	if crc != nil {
		*crc = moreCRC(*crc, dst[tail:])
	}
	return n
}

// sumPiece is how many bytes are copied through the cache before their sum is computed: few
// enough that they are still in the nearest cache then.
const sumPiece = 16 << 10

// crcRun is a CRC-32C that grows while something is filled. A nil one computes nothing.
type crcRun struct{ crc uint32 }

// add goes on with b.
func (r *crcRun) add(b []byte) {
	if r != nil {
		r.crc = moreCRC(r.crc, b)
	}
}

// copyInto copies as c.copyInto does, and goes on with what was copied. If it faults, the sum
// stays as it was.
func (r *crcRun) copyInto(c *cacheLines, dst, src []byte) int {
	if r == nil {
		return c.copyInto(dst, src)
	}
	crc := r.crc
	n := c.copySumming(dst, src, &crc)
	r.crc = crc
	return n
}

// overlap reports whether two slices of equal length share memory. A forward copy line by line
// could then copy bytes that it has just stored.
func overlap(a, b []byte) bool {
	from, to := addressOf(a), addressOf(b)
	return len(a) > 0 && from < to+uintptr(len(b)) && to < from+uintptr(len(a))
}
