package famfs

// Names: which strings can be paths on a device, and what badly written paths in a log mean.
// checkName has the rules. scanPath checks the path of an entry in one pass, and recognizes most
// valid ones.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	pathpkg "path"
	"strings"
	"unicode/utf8"
)

// pathSize is the size of a path in an entry, with its NUL. maxPath is the length of the longest
// path (format: file payload).
const (
	pathSize = 80
	maxPath  = pathSize - 1
)

// reservedDir belongs to the reference, for its own metadata. The reference logs only one file
// in it, for an allocator of its own.
const (
	reservedDir = ".meta"
	allocConfig = reservedDir + "/.alloc.cfg"
)

// checkName returns an error if path cannot be the name of a file or directory other than the root.
// The caller must check the length.
func checkName(path string) error {
	switch {
	case path == "":
		return errors.New("path is empty")
	case strings.IndexByte(path, 0) >= 0:
		return fmt.Errorf("path %q holds a NUL", path)
	case path[0] == '/':
		return fmt.Errorf("path %q is absolute, want one relative to the root", path)
	case !utf8.ValidString(path):
		return fmt.Errorf("path %q is not UTF-8", path)
	case path == "." || !fs.ValidPath(path):
		return fmt.Errorf("path %q has an element that is empty, \".\" or \"..\"", path)
	case path == reservedDir || strings.HasPrefix(path, reservedDir+"/"):
		return fmt.Errorf("path %q lies under %s, which is reserved", path, reservedDir)
	}
	return nil
}

// cleanName returns the name of what a path in the log leads to, if that is a different string.
// The reference logs paths as they were typed, with "//", "." and ".." in them or a slash at the
// end, and resolves them when it replays them. cleanName returns false if the path is clean
// already, or leads nowhere, because it is absolute or leaves the root. Directories that ".."
// leaves again need not exist.
func cleanName(path string) (string, bool) {
	if path == "" || path[0] == '/' {
		return "", false
	}
	clean := pathpkg.Clean(path)
	if clean == path || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", false
	}
	return clean, true
}

// scanPath examines a path with its NUL. end is the position of the NUL, or pathSize if there is
// none. nameAt is the beginning of the last element. plain says that the path is in ASCII and
// has no element that is empty or begins with a dot; then it obeys all rules. Most paths in logs
// are plain. scanPath takes eight bytes at a time, while the rules need several passes byte by
// byte.
func scanPath(b *[pathSize]byte) (end, nameAt int, plain bool) {
	const (
		ones = 0x0101010101010101
		low  = 0x7f * ones
		high = 0x80 * ones
	)
	// equal sets the highest bit of each byte of w that equals c.
	equal := func(w uint64, c byte) uint64 {
		w ^= uint64(c) * ones
		return ^(w&low + low | w | low)
	}
	wrong := uint64(0)
	begins := uint64(0x80) // the highest bit of each byte at the beginning of an element
	for at := 0; at < pathSize; at += 8 {
		w := binary.LittleEndian.Uint64(b[at:])
		nul := equal(w, 0)
		if nul != 0 {
			w &= nul&-nul>>7 - 1 // only what is before the NUL
		}
		slashes := equal(w, '/')
		begins |= slashes << 8
		wrong |= w&high | begins&(slashes|equal(w, '.'))
		if slashes != 0 {
			nameAt = at + 8 - bits.LeadingZeros64(slashes)/8
		}
		if nul != 0 {
			end = at + bits.TrailingZeros64(nul)/8
			return end, nameAt, wrong == 0 && nameAt < end
		}
		begins = slashes >> 63 << 7
	}
	return pathSize, nameAt, false
}

// parentPath returns the directory of path. It returns "." for the root.
func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
