package famfs

// Names: which strings can be paths on a device, and what those in a log mean that are
// not written as they should be. The rules are in checkName; scanPath looks at the path of
// an entry in one pass, and knows most of those that keep them.

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

// pathSize is that of a path in an entry, with its NUL, and maxPath the length of the longest
// (format: file payload).
const (
	pathSize = 80
	maxPath  = pathSize - 1
)

// reservedDir is the reference's for its own metadata. Of what is in it, it logs one file,
// for an allocator of its own.
const (
	reservedDir = ".meta"
	allocConfig = reservedDir + "/.alloc.cfg"
)

// checkName says what makes path, other than the root, no name for a file or
// directory. The length is the caller's to check.
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

// cleanName returns the name of what a path in the log leads to, if that is another
// string: the reference logs paths as they were typed, with "//", "." and ".." in them or
// a slash at the end, and finds what they lead to when it replays them. A path that is
// absolute or leaves the root leads nowhere, and false is returned, as for a path that is
// clean. Directories that ".." leaves again need not exist.
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

// scanPath looks at a path with its NUL: end is where that is, pathSize if nowhere;
// nameAt where the last element begins. A plain path is in ASCII, and has no element that is
// empty or begins with a dot: it keeps all rules. Logs are full of them, and this takes eight
// bytes at a time where the rules take several passes byte by byte.
func scanPath(b *[pathSize]byte) (end, nameAt int, plain bool) {
	const (
		ones = 0x0101010101010101
		low  = 0x7f * ones
		high = 0x80 * ones
	)
	// equal has the highest bit of each byte of w set that equals c.
	equal := func(w uint64, c byte) uint64 {
		w ^= uint64(c) * ones
		return ^(w&low + low | w | low)
	}
	wrong := uint64(0)
	begins := uint64(0x80) // the highest bit of each byte that begins an element
	for at := 0; at < pathSize; at += 8 {
		w := binary.LittleEndian.Uint64(b[at:])
		nul := equal(w, 0)
		if nul != 0 {
			w &= nul&-nul>>7 - 1 // no more than what comes before
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

// parentPath returns the directory of path, "." for the root.
func parentPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}
