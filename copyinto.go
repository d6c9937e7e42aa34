package famfs

// Copying into shared memory so that other hosts have it: past the caches if that is
// possible and quicker, otherwise through them and back. What lines are is coherence.go's
// concern; nothing here knows of files.

import "unsafe"

// streamAtLeast is the length from which copying past the caches is quicker than
// copying and writing back (docs/figures.md).
const streamAtLeast = 128

// CopyInto copies src to dst as copy does, and makes it visible to other hosts as
// FlushCache does, in less time than the two take one after the other: on amd64 most of it
// never enters the cache. It returns the number of bytes copied, the smaller length.
//
// dst is memory of a Mapping or a PendingFile, at any address; on a plain file that is
// not on tmpfs, Mapping.Flush is needed besides. Whole cache lines are affected, see
// FlushCache. It may be called from any number of goroutines for different lines.
func CopyInto(dst, src []byte) int {
	n := thisMachine.copyInto(dst, src)
	thisMachine.fenceStores()
	return n
}

// copyInto is CopyInto without the fence.
func (c *cacheLines) copyInto(dst, src []byte) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	if n < streamAtLeast || c.streamLines == nil || overlap(dst, src) {
		copy(dst, src)
		c.writeBack(dst)
		return n
	}
	// Lines that dst shares with its neighbours go through the cache.
	head := int(-addressOf(dst) & (lineSize - 1))
	body := (n - head) &^ (int(lineSize) - 1)
	tail := head + body
	copy(dst[:head], src)
	copy(dst[tail:], src[tail:])
	c.writeBack(dst[:head])
	c.writeBack(dst[tail:])
	for at := head; at < tail; {
		lines := min(linesPerCall, (tail-at)/int(lineSize))
		c.streamLines(unsafe.Pointer(&dst[at]), unsafe.Pointer(&src[at]), uintptr(lines))
		at += lines * int(lineSize)
	}
	return n
}

// overlap says whether two slices of one length share memory. Copying forwards line by
// line would then copy what was just stored.
func overlap(a, b []byte) bool {
	from, to := addressOf(a), addressOf(b)
	return len(a) > 0 && from < to+uintptr(len(b)) && to < from+uintptr(len(a))
}
