package famfs

// Entries that are sound, but unacceptable or odd: what each becomes, what it costs, and that
// everything else is served.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// badEntry is an entry that is sound but unacceptable.
type badEntry struct {
	name   string
	before []*entry // entries that it needs, all acceptable
	entry  *entry
	raw    func(b []byte) // changes the record
	want   string         // in the message
	is     []error
	isNot  []error
	claims []int64 // units whose space it keeps from being allocated
	// path is the path of the problem; "" means "bad". unnamed says that it has none.
	path    string
	unnamed bool
}

// badEntries is the table. Its functions are named for the part of the format that they test.
func badEntries() []badEntry {
	var all []badEntry
	all = append(all, badTypes()...)
	all = append(all, badPaths()...)
	all = append(all, badMaps()...)
	all = append(all, badExtents()...)
	all = append(all, badStrips()...)
	all = append(all, badDevices()...)
	all = append(all, badRemovals()...)
	all = append(all, badSeals()...)
	return append(all, badPlaces()...)
}

var (
	isCorrupt = []error{ErrCorrupt}
	badSpace  = inUnits(badUnit, 2)
	badClaim  = []int64{badUnit, badUnit + 1}
)

// badFile is a file that is good except for its extents.
func badFile(extents ...rawExtent) *entry { return forgedFile("bad", 3*mib, extents...) }

func badTypes() []badEntry {
	return []badEntry{
		{name: "type 4", entry: badFile(badSpace), raw: put32(8, 4), want: "found type 4, want 0 (file), 1 (mkdir), 2 (removal), 3 (add-daxdev) or 256 (seal)", is: isCorrupt, unnamed: true},
		{name: "type huge", entry: badFile(badSpace), raw: put32(8, math.MaxUint32), want: "found type 4294967295", is: isCorrupt, unnamed: true},
	}
}

func badPaths() []badEntry {
	const element = `has an element that is empty, "." or ".."`
	const belowFile = `"first/bad" lies in "first", which is a file`
	var all []badEntry
	for _, c := range []struct{ name, path, want string }{
		{"empty", "", "path is empty"},
		{"absolute", "/bad", `path "/bad" is absolute`},
		{"of a slash alone", "/", `path "/" is absolute`},
		{"of two slashes", "//", "is absolute"},
		{"absolute, with dots", "/./bad", `path "/./bad" is absolute`},
		{"dot-dot", "..", `path ".." ` + element},
		{"dot-dot and a slash", "../", element},
		{"dot-dot first", "../bad", element},
		{"dot-dot that leaves the root", "first/../../bad", `path "first/../../bad" ` + element},
		{"dot-dot that leaves the root and comes back", "../bad/../bad", element},
		{"dot-dot that ends above the root", "bad/../..", `path "bad/../.." ` + element},
		{"dot below a file", "first/./bad", belowFile},
		{"double slash below a file", "first//bad", belowFile},
		{"not UTF-8", "bad\xff", "is not UTF-8"},
		{"UTF-8 cut off", "bad\xe6\x97", "is not UTF-8"},
		{"UTF-8 of a surrogate", "\xed\xa0\x80", "is not UTF-8"},
		{"UTF-8 overlong", "bad\xc0\xafbad", "is not UTF-8"},
		{"under reserved", ".meta/.log", `path ".meta/.log" lies under .meta, which is reserved`},
		{"deep under reserved", ".meta/a/b", "lies under .meta"},
		{"under reserved, not clean", "./bad/../.meta//.log", `path ".meta/.log" lies under .meta, which is reserved`},
		{"below what the reference has there", ".meta/.alloc.cfg/bad", "lies under .meta"},
	} {
		all = append(all,
			badEntry{name: "path " + c.name, entry: forgedFile(c.path, 3*mib, badSpace), want: c.want, is: isCorrupt, claims: badClaim, path: c.path, unnamed: c.path == ""},
			badEntry{name: "path of directory " + c.name, entry: forgedDir(c.path), want: c.want, is: isCorrupt, path: c.path, unnamed: c.path == ""},
		)
	}
	for _, c := range []struct{ name, path, want string }{
		{"dot", ".", element},
		{"dot-dot last", "bad/..", `path "bad/.." ` + element},
		{"reserved", ".meta", `path ".meta" lies under .meta, which is reserved`},
	} {
		all = append(all, badEntry{name: "path " + c.name, entry: forgedFile(c.path, 3*mib, badSpace), want: c.want, is: isCorrupt, claims: badClaim, path: c.path})
	}
	all = append(all, badEntry{name: "path of directory where the reference has a file", entry: forgedDir(".meta/.alloc.cfg"), want: "lies under .meta", is: isCorrupt, path: ".meta/.alloc.cfg"})
	unterminated := strings.Repeat("x", pathSize)
	fill := func(at int) func(b []byte) { return func(b []byte) { copy(b[at:], unterminated) } }
	return append(all,
		badEntry{name: "path not NUL-terminated", entry: badFile(badSpace), raw: fill(filePathAt), want: "has no NUL within its 80 bytes", is: isCorrupt, claims: badClaim, path: unterminated},
		badEntry{name: "path of directory not NUL-terminated", entry: forgedDir("bad"), raw: fill(mkdirPathAt), want: "has no NUL within its 80 bytes", is: isCorrupt, path: unterminated},
	)
}

func badMaps() []badEntry {
	sized := func(size uint64) *entry { return forgedFile("bad", size, badSpace) }
	sixteen := func() (all []rawExtent) {
		for i := range int64(maxExtents) {
			all = append(all, inUnits(31-i, 1)) // units 16 to 31
		}
		return all
	}
	units16to31 := []int64{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}
	strips := func(size, chunk uint64) *entry {
		return forgedStrips("bad", size, chunk, inUnits(badUnit, 1), inUnits(badUnit+1, 1))
	}
	return []badEntry{
		{name: "size 0", entry: sized(0), want: "size 0, want 1 to 9223372036854775807", is: isCorrupt, claims: badClaim},
		{name: "size beyond int64", entry: sized(1 << 63), want: "size 9223372036854775808, want 1 to", is: isCorrupt, claims: badClaim},
		{name: "size of all bits", entry: sized(math.MaxUint64), want: "size 18446744073709551615", is: isCorrupt, claims: badClaim},
		{name: "size 0, interleaved", entry: strips(0, 2*mib), want: "size 0", is: isCorrupt, claims: badClaim},
		{name: "map type 2", entry: sized(1), raw: put32(fileMapAt, 2), want: "map type 2, want 0 (simple) or 1 (interleaved)", is: isCorrupt},
		{name: "map type huge", entry: sized(1), raw: put32(fileMapAt, math.MaxUint32), want: "map type 4294967295", is: isCorrupt},
		{name: "0 extents", entry: sized(1), raw: put32(128, 0), want: "0 extents, want 1 to 16", is: isCorrupt},
		{name: "17 extents", entry: forgedFile("bad", 1, sixteen()...), raw: put32(128, 17), want: "17 extents, want 1 to 16", is: isCorrupt, claims: units16to31},
		{name: "17 extents, of which 16 are empty", entry: sized(1), raw: put32(128, 17), want: "17 extents", is: isCorrupt, claims: badClaim},
		{name: "huge number of extents", entry: sized(1), raw: put32(128, math.MaxUint32), want: "4294967295 extents", is: isCorrupt, claims: badClaim},
		{name: "0 interleaved extents", entry: strips(1, 2*mib), raw: put32(128, 0), want: "0 interleaved extents, want 1", is: isCorrupt, claims: badClaim},
		{name: "2 interleaved extents", entry: strips(1, 2*mib), raw: put32(128, 2), want: "2 interleaved extents, want 1", is: isCorrupt, claims: badClaim},
		{name: "0 strips", entry: strips(1, 2*mib), raw: put64(extentsAt, 0), want: "0 strips, want 1 to 16", is: isCorrupt},
		{name: "17 strips", entry: strips(1, 2*mib), raw: put64(extentsAt, 17), want: "17 strips, want 1 to 16", is: isCorrupt, claims: badClaim},
		{name: "strips that are 1 in 32 bits", entry: strips(1, 2*mib), raw: put64(extentsAt, 1<<32|1), want: "4294967297 strips", is: isCorrupt, claims: badClaim},
		{name: "huge number of strips", entry: strips(1, 2*mib), raw: put64(extentsAt, math.MaxUint64), want: "18446744073709551615 strips", is: isCorrupt, claims: badClaim},
		{name: "chunk 0", entry: strips(1, 0), want: "chunk of 0 bytes, want a power of two", is: isCorrupt, claims: badClaim},
		{name: "chunk no power of two", entry: strips(1, 6*mib), want: "chunk of 6291456 bytes, want a power of two", is: isCorrupt, claims: badClaim},
		{name: "chunk no multiple of the unit", entry: strips(1, mib), want: "chunk of 1048576 bytes, want a power of two that is a multiple of the allocation unit 2097152", is: isCorrupt, claims: badClaim},
		{name: "chunk of a byte", entry: strips(1, 1), want: "chunk of 1 bytes", is: isCorrupt, claims: badClaim},
		{name: "chunk longer than a strip", entry: strips(1, 4*mib), want: "strips of 2097152 bytes are shorter than a chunk of 4194304", is: isCorrupt, claims: badClaim},
		{name: "chunk huge", entry: strips(1, 1<<63), want: "shorter than a chunk of 9223372036854775808", is: isCorrupt, claims: badClaim},
	}
}

func badExtents() []badEntry {
	extent := func(offset, length uint64) *entry { return badFile(rawExtent{0, offset, length}) }
	at := uint64(badUnit * defaultUnit)
	toEnd := func(from int64) (units []int64) {
		for ; from < forgedUnits; from++ {
			units = append(units, from)
		}
		return units
	}
	return []badEntry{
		{name: "offset not aligned", entry: extent(at+4096, 4*mib), want: "extent 0 (device 0, offset 41947136, length 4194304) is not aligned to the allocation unit 2097152", is: isCorrupt, claims: []int64{20, 21, 22}},
		{name: "length not aligned", entry: extent(at, 3*mib), want: "is not aligned", is: isCorrupt, claims: badClaim},
		{name: "second offset not aligned", entry: badFile(badSpace, rawExtent{0, 30*defaultUnit + 1, defaultUnit}), want: "extent 1 (device 0, offset 62914561, length 2097152) is not aligned", is: isCorrupt, claims: []int64{20, 21, 30, 31}},
		{name: "length 0", entry: extent(at, 0), want: "extent 0 (device 0, offset 41943040, length 0) is empty", is: isCorrupt},
		{name: "second length 0", entry: badFile(badSpace, rawExtent{0, 30 * defaultUnit, 0}), want: "extent 1 (device 0, offset 62914560, length 0) is empty", is: isCorrupt, claims: badClaim},
		{name: "extents shorter than the size", entry: forgedFile("bad", 4*mib+1, badSpace), want: "extents of 4194304 bytes are shorter than the size 4194305", is: isCorrupt, claims: badClaim},
		{name: "two extents shorter than the size", entry: forgedFile("bad", 4*mib+1, inUnits(20, 1), inUnits(22, 1)), want: "shorter than the size", is: isCorrupt, claims: []int64{20, 22}},
		{name: "one unit, the largest size", entry: forgedFile("bad", math.MaxInt64, badSpace), want: "shorter than the size 9223372036854775807", is: isCorrupt, claims: badClaim},
		{name: "offset and length overflow int64", entry: extent(at, 1<<63-defaultUnit), want: "overflows 64 bits", is: isCorrupt, claims: toEnd(badUnit)},
		{name: "length beyond int64", entry: extent(at, 1<<63), want: "overflows 64 bits", is: isCorrupt, claims: toEnd(badUnit)},
		{name: "offset and length overflow uint64", entry: extent(at, math.MaxUint64-defaultUnit+1), want: "overflows 64 bits", is: isCorrupt, claims: toEnd(badUnit)},
		{name: "end at 0 after an overflow", entry: extent(at, -at), want: "overflows 64 bits", is: isCorrupt, claims: toEnd(badUnit)},
		{name: "offset beyond int64", entry: extent(math.MaxUint64-defaultUnit+1, 2*defaultUnit), want: "overflows 64 bits", is: isCorrupt},
		{name: "lengths whose sum overflows", entry: badFile(rawExtent{1, 0, 1 << 62}, rawExtent{1, 0, 1 << 62}), want: "lengths of the extents overflow at extent 1", is: isCorrupt},
		{name: "lengths whose sum is small after an overflow", entry: badFile(rawExtent{1, 0, 1 << 62}, rawExtent{1, 0, 1 << 62}, rawExtent{1, 0, 1 << 62}, rawExtent{1, 0, 1 << 62}, badSpace), want: "overflow at extent 1", is: isCorrupt, claims: badClaim},
		{name: "past the end of the device", entry: badFile(inUnits(31, 2)), want: "passes the end of the device at 67108864", is: isCorrupt, claims: []int64{31}},
		{name: "behind the end of the device", entry: badFile(inUnits(32, 2)), want: "passes the end of the device", is: isCorrupt},
		{name: "far behind the end of the device", entry: badFile(inUnits(1<<40, 2)), want: "passes the end of the device", is: isCorrupt},
		{name: "the whole device", entry: badFile(inUnits(5, 1<<40)), want: "passes the end of the device", is: isCorrupt, claims: toEnd(5)},
		{name: "in the superblock", entry: badFile(inUnits(0, 2)), want: "reaches into superblock or log, which end at 10485760", is: isCorrupt},
		{name: "in the log", entry: badFile(inUnits(1, 2)), want: "reaches into superblock or log", is: isCorrupt},
		{name: "from the end of the log on", entry: badFile(inUnits(4, 2)), want: "reaches into superblock or log", is: isCorrupt, claims: []int64{5}},
		{name: "second extent in the log", entry: badFile(badSpace, inUnits(3, 1)), want: "extent 1 (device 0, offset 6291456, length 2097152) reaches into superblock or log", is: isCorrupt, claims: badClaim},
		{name: "shared with a file", entry: badFile(inUnits(firstUnit, 2)), want: `file "bad": extent 0 (offset 16777216, length 4194304) shares space with an earlier extent or file`, is: isCorrupt, claims: []int64{9}},
		{name: "shared with a file at its end", entry: badFile(inUnits(firstUnit-1, 2)), want: "extent 0 (offset 14680064, length 4194304) shares space", is: isCorrupt, claims: []int64{7}},
		{name: "second extent shared with a file", entry: badFile(inUnits(22, 1), inUnits(firstUnit, 1)), want: "extent 1 (offset 16777216, length 2097152) shares space", is: isCorrupt, claims: []int64{22}},
		{name: "shared within the file", entry: badFile(inUnits(20, 2), inUnits(21, 2)), want: "extent 1 (offset 44040192, length 4194304) shares space", is: isCorrupt, claims: []int64{20, 21, 22}},
		{name: "the same extent twice", entry: badFile(badSpace, badSpace), want: "extent 1 (offset 41943040, length 4194304) shares space", is: isCorrupt, claims: badClaim},
		{name: "first and last extent the same", entry: badFile(inUnits(20, 1), inUnits(22, 1), inUnits(24, 1), inUnits(20, 1)), want: "extent 3 (offset 41943040, length 2097152) shares space", is: isCorrupt, claims: []int64{20, 22, 24}},
		{name: "strip shared with a file", entry: forgedStrips("bad", 3*mib, 2*mib, inUnits(20, 1), inUnits(firstUnit, 1)), want: "extent 1 (offset 16777216, length 2097152) shares space", is: isCorrupt, claims: []int64{20}},
		{name: "the same strip twice", entry: forgedStrips("bad", 3*mib, 2*mib, inUnits(20, 1), inUnits(20, 1)), want: "extent 1 (offset 41943040, length 2097152) shares space", is: isCorrupt, claims: []int64{20}},
		// A later file keeps its own space: only acceptable entries have precedence.
		{name: "bad, and where a later file lies", entry: badFile(inUnits(lastUnit, 2), rawExtent{}), want: "extent 1 (device 0, offset 0, length 0) is empty", is: isCorrupt, claims: []int64{13}},
	}
}

func badStrips() []badEntry {
	return []badEntry{
		{name: "strips of unequal length", entry: forgedStrips("bad", 3*mib, 2*mib, inUnits(20, 1), inUnits(22, 2)), want: "strips of unequal length: strip 1 has 4194304, strip 0 has 2097152", is: isCorrupt, claims: []int64{20, 22, 23}},
		{name: "last strip shorter", entry: forgedStrips("bad", 3*mib, 2*mib, inUnits(20, 2), inUnits(22, 2), inUnits(24, 1)), want: "strips of unequal length: strip 2 has 2097152, strip 0 has 4194304", is: isCorrupt, claims: []int64{20, 21, 22, 23, 24}},
		{name: "strips too short for the stripes", entry: forgedStrips("bad", 9*mib, 4*mib, inUnits(20, 3), inUnits(24, 3)), want: "strips of 6291456 bytes are shorter than the 2 stripes of a file of size 9437184", is: isCorrupt, claims: []int64{20, 21, 22, 24, 25, 26}},
		{name: "strips shorter than the size", entry: forgedStrips("bad", 4*mib+1, 2*mib, inUnits(20, 1), inUnits(22, 1)), want: "extents of 4194304 bytes are shorter than the size 4194305", is: isCorrupt, claims: []int64{20, 22}},
		{name: "strip length 0", entry: forgedStrips("bad", 1, 2*mib, rawExtent{0, 20 * defaultUnit, 0}), want: "is empty", is: isCorrupt},
		{name: "strip offset not aligned", entry: forgedStrips("bad", 1, 2*mib, rawExtent{0, 20*defaultUnit + 512, defaultUnit}), want: "is not aligned", is: isCorrupt, claims: badClaim},
		{name: "strip past the end of the device", entry: forgedStrips("bad", 1, 2*mib, inUnits(20, 2), inUnits(31, 2)), want: "extent 1 (device 0, offset 65011712, length 4194304) passes the end of the device", is: isCorrupt, claims: []int64{20, 21, 31}},
		{name: "strip in the superblock", entry: forgedStrips("bad", 1, 2*mib, inUnits(20, 1), inUnits(0, 1)), want: "extent 1 (device 0, offset 0, length 2097152) reaches into superblock or log", is: isCorrupt, claims: []int64{20}},
		{name: "strips whose sum overflows", entry: forgedStrips("bad", 1, 2*mib, rawExtent{1, 0, 1 << 62}, rawExtent{1, 0, 1 << 62}), want: "lengths of the extents overflow at extent 1", is: isCorrupt},
		{name: "strip that overflows", entry: forgedStrips("bad", 1, 2*mib, rawExtent{0, 20 * defaultUnit, 1 << 63}), want: "overflows 64 bits", is: isCorrupt, claims: []int64{20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}},
	}
}

func badDevices() []badEntry {
	on := func(device uint64) rawExtent { return rawExtent{device, 20 * defaultUnit, 2 * defaultUnit} }
	noDevice := []error{ErrCorrupt, ErrDevice}
	return []badEntry{
		{name: "device that no entry has added", entry: badFile(on(1)), want: "extent 0 is on device 1, which no entry has added", is: noDevice},
		{name: "second extent on a device that no entry has added", entry: badFile(inUnits(24, 1), on(2)), before: []*entry{forgedDevice(1, 1)}, want: "extent 1 is on device 2, which no entry has added", is: noDevice, claims: []int64{24}},
		{name: "strip on a device that no entry has added", entry: forgedStrips("bad", 1, 2*mib, inUnits(24, 2), on(7)), want: "extent 1 is on device 7, which no entry has added", is: noDevice, claims: []int64{24, 25}},
		{name: "device index beyond 32 bits", entry: badFile(on(1 << 32)), want: "is on a device whose index no entry can have added", is: isCorrupt},
		{name: "device index of all bits", entry: badFile(on(math.MaxUint64)), want: "is on a device whose index no entry can have added", is: isCorrupt},
		{name: "on an added device", entry: badFile(on(1)), before: []*entry{forgedDevice(1, 1)}, want: "extent 0 is on device 1 (UUID 01000000-0000-0000-0000-000000000000, 1099511627776 bytes), which is not here", is: []error{ErrDevice}, isNot: isCorrupt},
		{name: "in part on an added device", entry: badFile(inUnits(24, 1), on(2)), before: []*entry{forgedDevice(1, 1), forgedDevice(2, 2)}, want: "extent 1 is on device 2 (UUID 02000000-", is: []error{ErrDevice}, claims: []int64{24}},
		{name: "add-daxdev index 0", entry: forgedDevice(0, 1), want: "device 01000000-0000-0000-0000-000000000000 is added with index 0, want 1", is: isCorrupt, unnamed: true},
		{name: "add-daxdev begins with 2", entry: forgedDevice(2, 1), want: "is added with index 2, want 1", is: isCorrupt, unnamed: true},
		{name: "add-daxdev leaves one out", entry: forgedDevice(3, 3), before: []*entry{forgedDevice(1, 1)}, want: "is added with index 3, want 2", is: isCorrupt, unnamed: true},
		{name: "add-daxdev with an index again", entry: forgedDevice(1, 3), before: []*entry{forgedDevice(1, 1)}, want: "is added with index 1, want 2", is: isCorrupt, unnamed: true},
		{name: "add-daxdev with a huge index", entry: forgedDevice(math.MaxUint32, 1), want: "is added with index 4294967295, want 1", is: isCorrupt, unnamed: true},
		{name: "add-daxdev with a UUID again, and the index too", entry: forgedDevice(1, 1), before: []*entry{forgedDevice(1, 1)}, want: "is added a second time, it is device 1 already", is: isCorrupt, unnamed: true},
		{name: "add-daxdev with a UUID again", entry: forgedDevice(3, 1), before: []*entry{forgedDevice(1, 1), forgedDevice(2, 2)}, want: "device 01000000-0000-0000-0000-000000000000 is added a second time, it is device 1 already", is: isCorrupt, unnamed: true},
	}
}

// Removals of something that does not exist, is not empty, or is not what they say. Entry 0 made
// "first". The entry under test is entry 1 if it needs none before it.
func badRemovals() []badEntry {
	missing := []error{fs.ErrNotExist, ErrCorrupt}
	dir := []*entry{forgedDir("dir"), forgedFile("dir/f", 1, inUnits(24, 1))}
	return []badEntry{
		{name: "removal of itself", entry: forgedRemoval(1, "bad"), want: `removal of "bad": found entry 1 to be removed, want one before this`, is: isCorrupt},
		{name: "removal of the next", entry: forgedRemoval(2, "last"), path: "last", want: "found entry 2 to be removed, want one before this", is: isCorrupt},
		{name: "removal of an entry that no log has", entry: forgedRemoval(math.MaxUint64, "first"), path: "first", want: "found entry 18446744073709551615 to be removed", is: isCorrupt},
		{name: "removal of an entry beyond 63 bits", entry: forgedRemoval(1<<63, "first"), path: "first", want: "found entry 9223372036854775808 to be removed", is: isCorrupt},
		{name: "removal under another name", entry: forgedRemoval(0, "firs"), path: "firs", want: `removal of "firs": entry 0 made "first"`, is: isCorrupt},
		{name: "removal without a name", entry: forgedRemoval(0, ""), want: "path", is: isCorrupt, unnamed: true},
		{name: "removal of a name without an end", entry: forgedRemoval(0, ""), raw: func(b []byte) { copy(b[removalPathAt:], strings.Repeat("p", pathSize)) }, path: strings.Repeat("p", pathSize), want: "has no NUL within its 80 bytes", is: isCorrupt},
		{name: "removal of a name outside the root", entry: forgedRemoval(0, "../first"), path: "../first", want: "path", is: isCorrupt},
		{name: "removal of the root", entry: forgedRemoval(0, "."), path: ".", want: "path", is: isCorrupt},
		{name: "removal of what was removed", entry: forgedRemoval(1, "dir"), before: []*entry{forgedDir("dir"), forgedRemoval(1, "dir")}, path: "dir", want: `removal of "dir": entry 2 removed before what entry 1 made`, is: missing},
		{name: "removal of what was removed, and made again", entry: forgedRemoval(1, "dir"), before: []*entry{forgedDir("dir"), forgedRemoval(1, "dir"), forgedDir("dir")}, path: "dir", want: "entry 2 removed before what entry 1 made", is: missing},
		{name: "removal of a removal", entry: forgedRemoval(2, "dir"), before: []*entry{forgedDir("dir"), forgedRemoval(1, "dir")}, path: "dir", want: `removal of "dir": entry 2 made no file or directory`, is: missing},
		{name: "removal of an added device", entry: forgedRemoval(1, "bad"), before: []*entry{forgedDevice(1, 1)}, want: "entry 1 made no file or directory", is: missing},
		{name: "removal of a directory made again", entry: forgedRemoval(2, "dir"), before: []*entry{forgedDir("dir"), forgedDir("dir")}, path: "dir", want: "entry 2 made no file or directory", is: missing},
		{name: "removal of a directory that is not empty", entry: forgedRemoval(1, "dir"), before: dir, path: "dir", want: `removal of directory "dir": 1 files and directories are in it`, is: isCorrupt},
		{name: "file in a directory that was removed", entry: forgedFile("dir/f", 3*mib, badSpace), before: []*entry{forgedDir("dir"), forgedRemoval(1, "dir")}, path: "dir/f", want: `"dir/f" lies in directory "dir", which does not exist`, is: missing, claims: badClaim},
		{name: "file in the space of one that was removed", entry: forgedFile("bad", 1, inUnits(24, 1)), before: append(dir[:2:2], forgedRemoval(2, "dir/f")), want: "shares space with an earlier extent or file", is: isCorrupt, claims: []int64{24}},
	}
}

// Seals of something that is no file, is sealed already, or is not what they say. Entry 0 made
// "first".
func badSeals() []badEntry {
	missing := []error{fs.ErrNotExist, ErrCorrupt}
	seal := func(name, want string, raw func(b []byte)) badEntry {
		return badEntry{name: "seal " + name, entry: forgedSeal(0, "first"), raw: raw, path: "first", want: want, is: isCorrupt}
	}
	return []badEntry{
		{name: "seal of itself", entry: forgedSeal(1, "bad"), want: `seal of "bad": found entry 1 to be sealed, want one before this`, is: isCorrupt},
		{name: "seal of an entry that no log has", entry: forgedSeal(math.MaxUint64, "first"), path: "first", want: "found entry 18446744073709551615 to be sealed", is: isCorrupt},
		{name: "seal of an entry beyond 63 bits", entry: forgedSeal(1<<63, "first"), path: "first", want: "found entry 9223372036854775808 to be sealed", is: isCorrupt},
		{name: "seal under another name", entry: forgedSeal(0, "firs"), path: "firs", want: `seal of "firs": entry 0 made "first"`, is: isCorrupt},
		{name: "seal without a name", entry: forgedSeal(0, ""), want: "path", is: isCorrupt, unnamed: true},
		{name: "seal of a name without an end", entry: forgedSeal(0, ""), raw: func(b []byte) { copy(b[sealPathAt:], strings.Repeat("p", pathSize)) }, path: strings.Repeat("p", pathSize), want: "has no NUL within its 80 bytes", is: isCorrupt},
		{name: "seal of a name outside the root", entry: forgedSeal(0, "../first"), path: "../first", want: "path", is: isCorrupt},
		{name: "seal of a directory", entry: forgedSeal(1, "dir"), before: []*entry{forgedDir("dir")}, path: "dir", want: `seal of "dir": entry 1 made no file`, is: missing},
		{name: "seal of what was removed", entry: forgedSeal(1, "f"), before: []*entry{forgedFile("f", 1, inUnits(24, 1)), forgedRemoval(1, "f")}, path: "f", want: `seal of "f": entry 2 removed before what entry 1 made`, is: missing, claims: []int64{24}},
		{name: "seal of a removal", entry: forgedSeal(2, "dir"), before: []*entry{forgedDir("dir"), forgedRemoval(1, "dir")}, path: "dir", want: `seal of "dir": entry 2 made no file`, is: missing},
		{name: "seal of a seal", entry: forgedSeal(1, "first"), before: []*entry{forgedSeal(0, "first")}, path: "first", want: `seal of "first": entry 1 made no file`, is: missing},
		{name: "seal of what is sealed", entry: forgedSeal(0, "first"), before: []*entry{forgedSeal(0, "first")}, path: "first", want: `seal of "first": entry 1 sealed before what entry 0 made, and the first counts`, is: []error{fs.ErrExist, ErrCorrupt}},
		{name: "seal of an added device", entry: forgedSeal(1, "bad"), before: []*entry{forgedDevice(1, 1)}, want: "entry 1 made no file", is: missing},
		{name: "removal of a seal", entry: forgedRemoval(1, "first"), before: []*entry{forgedSeal(0, "first")}, path: "first", want: `removal of "first": entry 1 made no file or directory`, is: missing},
		seal("of no kind", `seal of "first": found a sum of kind 0, want 1 (CRC-32C) or 2 (SHA-256)`, put32(sealKindAt, 0)),
		seal("of kind 3", "found a sum of kind 3", put32(sealKindAt, 3)),
		seal("of a kind that is 1 in 8 bits", "found a sum of kind 257", put32(sealKindAt, 257)),
		seal("with padding", "found bytes that are not zero beside the sum", put32(sealZeroAt, 1)),
		seal("with bytes behind a CRC-32C", "found bytes that are not zero beside the sum", put32(sealSumAt+4, 1)),
		seal("with a byte at the end of a CRC-32C", "found bytes that are not zero beside the sum", func(b []byte) { b[sealSumAt+sumSize-1] = 1 }),
	}
}

func badPlaces() []badEntry {
	below := func(path string) *entry { return forgedFile(path, 3*mib, badSpace) }
	taken := []error{fs.ErrExist, ErrCorrupt}
	missing := []error{fs.ErrNotExist, ErrCorrupt}
	return []badEntry{
		{name: "path logged twice", entry: below("first"), path: "first", want: `file "first" was logged before as entry 0, and the first wins`, is: []error{fs.ErrExist}, isNot: isCorrupt, claims: badClaim},
		{name: "path logged twice in the same space", entry: forgedFile("first", goodSize, inUnits(firstUnit, 1)), path: "first", want: "was logged before as entry 0", is: []error{fs.ErrExist}},
		{name: "file below a missing directory", entry: below("none/bad"), path: "none/bad", want: `"none/bad" lies in directory "none", which does not exist`, is: missing, claims: badClaim},
		{name: "file far below a missing directory", entry: below("dir/none/bad"), before: []*entry{forgedDir("dir")}, path: "dir/none/bad", want: `lies in directory "dir/none", which does not exist`, is: missing, claims: badClaim},
		{name: "directory below a missing directory", entry: forgedDir("none/bad"), path: "none/bad", want: `"none/bad" lies in directory "none", which does not exist`, is: missing},
		{name: "file where a directory stands", entry: below("dir"), before: []*entry{forgedDir("dir")}, path: "dir", want: `file "dir": a directory stands there since entry 1`, is: taken, claims: badClaim},
		{name: "directory where a file stands", entry: forgedDir("first"), path: "first", want: `directory "first": a file stands there since entry 0`, is: taken},
		{name: "file below a file", entry: below("first/bad"), path: "first/bad", want: `"first/bad" lies in "first", which is a file`, is: isCorrupt, claims: badClaim},
		{name: "directory below a file", entry: forgedDir("first/bad"), path: "first/bad", want: `"first/bad" lies in "first", which is a file`, is: isCorrupt},
	}
}

// assertProblem compares one problem with what the table says.
func (c *badEntry) assertProblem(t testing.TB, index uint64, problems []Problem) {
	t.Helper()
	require.Len(t, problems, 1)
	p := problems[0]
	assert.EqualValues(t, index, p.Index)
	path := c.path
	if path == "" && !c.unnamed {
		path = "bad"
	}
	assert.Equal(t, path, p.Path)
	assert.ErrorContains(t, p, fmt.Sprintf("log entry %d: ", index))
	assert.ErrorContains(t, p, c.want)
	for _, err := range c.is {
		assert.ErrorIs(t, p, err)
	}
	for _, err := range c.isNot {
		assert.NotErrorIs(t, p, err)
	}
}

func TestUnacceptableEntries(t *testing.T) {
	t.Parallel()
	for _, c := range badEntries() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			for _, e := range c.before {
				f.append(e, nil)
			}
			early := openTest(t, f.path)
			require.Empty(t, early.Problems())
			before := forgedTree(t, early)
			index := f.append(c.entry, c.raw)
			f.good("last", lastUnit)

			// Open, Refresh and Check report the same problem.
			fsys := openTest(t, f.path)
			c.assertProblem(t, index, fsys.Problems())
			n, err := early.Refresh()
			require.NoError(t, err)
			assert.Equal(t, 2, n)
			c.assertProblem(t, index, early.Problems())
			report, err := Check(f.path)
			require.NoError(t, err)
			c.assertProblem(t, index, report.Problems)
			assert.Equal(t, fsys.Usage(), report.Usage)
			tolerant := openTest(t, f.path, Tolerant())
			c.assertProblem(t, index, tolerant.Problems())

			// Its neighbours are there, and the entry's file is not.
			for _, fsys := range []*FS{fsys, early, tolerant} {
				assertGood(t, fsys, "first", firstUnit)
				assertGood(t, fsys, "last", lastUnit)
			}
			want := map[string][]int64{"last": {lastUnit}}
			for path, units := range before {
				want[path] = units
			}
			assert.Equal(t, want, forgedTree(t, fsys))
			assert.Equal(t, want, forgedTree(t, early))
			assert.Equal(t, want, forgedTree(t, tolerant))
			if path := fsys.Problems()[0].Path; want[path] == nil && path != "." {
				assertAbsent(t, fsys, path)
			}

			c.assertSpace(t, f, want)
			writer := openTest(t, f.path)
			c.assertProblem(t, index, writer.Problems())
			assertGood(t, writer, "first", firstUnit)
			assertGood(t, writer, "last", lastUnit)
		})
	}
}

// assertSpace allocates everything that is free. That must be everything except the space of
// files and the claims of the bad entry.
func (c *badEntry) assertSpace(t testing.TB, f *forgery, files map[string][]int64) {
	t.Helper()
	owner := map[int64]string{}
	for _, unit := range c.claims {
		owner[unit] = "the bad entry"
	}
	for path, units := range files {
		for _, unit := range units {
			owner[unit] = path
		}
	}
	fsys := openTest(t, f.path, ReadWrite())
	free := forgedUnits - forgedDataUnits - int64(len(owner))
	assert.Equal(t, free*defaultUnit, fsys.Usage().Free)
	for i := 0; ; i++ {
		p, err := fsys.Create(fmt.Sprintf("new-%d", i), 1)
		if errors.Is(err, ErrNoSpace) {
			break
		}
		require.NoError(t, err)
		require.NoError(t, p.Commit())
		require.NoError(t, p.Close())
	}
	for path, units := range forgedTree(t, fsys) {
		if !strings.HasPrefix(path, "new-") {
			continue
		}
		require.Len(t, units, 1)
		assert.GreaterOrEqual(t, units[0], int64(forgedDataUnits))
		assert.Empty(t, owner[units[0]], "%s lies in unit %d", path, units[0])
		owner[units[0]] = path
	}
	assert.Len(t, owner, forgedUnits-forgedDataUnits, "units that are in use")
	assert.Zero(t, fsys.Usage().Free)
	require.NoError(t, fsys.Close())
}

// Odd but acceptable entries: the other side of every limit.
func TestAcceptableEntries(t *testing.T) {
	t.Parallel()
	scattered := func(n int64) (all []rawExtent) {
		for i := range n {
			all = append(all, inUnits(31-i, 1))
		}
		return all
	}
	nothing := func([]byte) {}
	for _, c := range []struct {
		name  string
		entry *entry
		raw   func(b []byte)
	}{
		{"path of 79 bytes", forgedFile(strings.Repeat("n", maxPath), 1, badSpace), nothing},
		{"path of directory of 79 bytes", forgedDir(strings.Repeat("n", maxPath)), nothing},
		{"path of dots", forgedFile("...", 1, badSpace), nothing},
		{"path that begins as the reserved one", forgedFile(".metadata", 1, badSpace), nothing},
		{"path of control characters", forgedFile("a\nb\\\t\x7f", 1, badSpace), nothing},
		{"bytes after the path's NUL", forgedFile("name", 1, badSpace), func(b []byte) { b[filePathAt+pathSize-1] = 'x' }},
		{"padding", forgedFile("name", 1, badSpace), func(b []byte) { b[12], b[124], b[132], b[535] = 1, 2, 3, 4 }},
		{"unknown flags", forgedFile("name", 1, badSpace), put32(24, math.MaxUint32)},
		{"unknown mode bits", forgedFile("name", 1, badSpace), put32(36, math.MaxUint32)},
		{"16 extents", forgedFile("name", 32*mib, scattered(16)...), nothing},
		{"extents longer than the size", forgedFile("name", 1, inUnits(20, 10), inUnits(15, 2)), nothing},
		{"up to the end of the device", forgedFile("name", 4*mib, inUnits(30, 2)), nothing},
		{"right behind the log", forgedFile("name", 2*mib, inUnits(5, 1)), nothing},
		{"one strip", forgedStrips("name", 7*mib, 2*mib, inUnits(20, 4)), nothing},
		{"16 strips", forgedStrips("name", 31*mib, 2*mib, scattered(16)...), nothing},
		{"strips longer than the stripes", forgedStrips("name", 1, 4*mib, inUnits(20, 3), inUnits(24, 3)), nothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			path := string(c.entry.path)
			f.append(c.entry, c.raw)
			fsys := openTest(t, f.path)
			assert.Empty(t, fsys.Problems())
			st, err := fsys.Stat(path)
			require.NoError(t, err)
			if st.IsDir() {
				return
			}
			data, err := fsys.ReadFile(path)
			require.NoError(t, err)
			assert.Len(t, data, int(c.entry.size))
			m, err := fsys.Map(path)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(data, m.Bytes()))
			assert.Equal(t, len(data), cap(m.Bytes()))
			require.NoError(t, m.Close())
		})
	}
}

// Paths as users typed them are served under the name that they lead to, if that is in the root.
func TestPathsAsTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ logged, served string }{
		{"./name", "name"},
		{"name/", "name"},
		{"name/.", "name"},
		{"dir/./name", "dir/name"},
		{"dir//name", "dir/name"},
		{"dir///.//name//", "dir/name"},
		{"dir/../name", "name"},
		{"dir/../dir/name", "dir/name"},
		{"none/../name", "name"},
		{"first/../name", "name"},
		{".meta/../name", "name"},
		{"dir/..name/./...", ""}, // below a directory that is not there
		{strings.Repeat("./", 36) + "größe", "größe"},
		{strings.Repeat("x/../", 15) + "name", "name"},
	} {
		t.Run(c.logged, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			f.append(forgedDir("dir"), nil)
			early := openTest(t, f.path)
			earlyTolerant := openTest(t, f.path, Tolerant())
			index := f.good(c.logged, badUnit)
			f.append(forgedFile(c.logged, 1, inUnits(badUnit+1, 1)), nil) // the first wins
			if c.served == "" {
				fsys := openTest(t, f.path)
				require.Len(t, fsys.Problems(), 2)
				assert.Equal(t, c.logged, fsys.Problems()[0].Path)
				assert.ErrorIs(t, fsys.Problems()[0], fs.ErrNotExist)
				return
			}
			f.append(forgedFile(c.served, 1, inUnits(badUnit+2, 1)), nil)
			f.append(forgedDir(c.logged), nil)
			for _, fsys := range []*FS{early, earlyTolerant} {
				n, err := fsys.Refresh()
				require.NoError(t, err)
				require.Equal(t, 4, n)
			}
			for _, fsys := range []*FS{early, earlyTolerant, openTest(t, f.path), openTest(t, f.path, Tolerant()), openTest(t, f.path, ReadWrite())} {
				assertGood(t, fsys, c.served, badUnit)
				st, err := fsys.Stat(c.served)
				require.NoError(t, err)
				assert.Equal(t, filepath.Base(c.served), st.Name())
				assert.EqualValues(t, index, st.Sys().(*Attr).Index)
				assert.Equal(t, map[string][]int64{"first": {firstUnit}, "dir": {}, c.served: {badUnit}}, forgedTree(t, fsys))
				var paths []string
				for _, p := range fsys.Problems() {
					paths = append(paths, p.Path)
					assert.ErrorIs(t, p, fs.ErrExist)
				}
				assert.Equal(t, []string{c.logged, c.served, c.logged}, paths, "as they were logged")
				assert.Equal(t, (forgedUnits-forgedDataUnits-4)*int64(defaultUnit), fsys.Usage().Free)
				var logged []string
				for e, err := range fsys.Log() {
					logged = append(logged, e.Path)
					assert.Equal(t, e.Index > int(index), err != nil, "entry %d", e.Index)
				}
				assert.Equal(t, []string{"first", "dir", c.logged, c.logged, c.served, c.logged}, logged)
			}
			report, err := Check(f.path)
			require.NoError(t, err)
			assert.Len(t, report.Problems, 3)
		})
	}
}

// A directory that was typed in another form is the directory of others, and Watch gives its
// clean name.
func TestDirectoryAsTyped(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	fsys := openTest(t, f.path)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watched := fsys.Watch(ctx, time.Millisecond)
	f.append(forgedDir("a//"), nil)
	f.append(forgedDir("a/./b/"), nil)
	f.append(forgedDir("a//b"), nil) // again
	f.good("a/b/../b/file", firstUnit)
	var names []string
	for e, err := range watched {
		require.NoError(t, err)
		if names = append(names, e.Name); len(names) == 3 {
			break
		}
	}
	assert.Equal(t, []string{"a", "a/b", "a/b/file"}, names)
	assert.Empty(t, fsys.Problems())
	assert.Equal(t, map[string][]int64{"a": {}, "a/b": {}, "a/b/file": {firstUnit}}, forgedTree(t, fsys))
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.True(t, report.Clean())
	assert.Equal(t, fsys.Usage(), report.Usage)
}

// What the reference keeps for itself is not served, and is not a problem, but keeps its space.
// The same is true of making the root again.
func TestUnservedEntries(t *testing.T) {
	t.Parallel()
	for _, e := range []*entry{
		forgedFile(".meta/.alloc.cfg", 3*mib, badSpace),
		forgedFile(".meta//.alloc.cfg", 3*mib, badSpace),
		forgedStrips(".meta/.alloc.cfg", 3*mib, 2*mib, inUnits(badUnit, 1), inUnits(badUnit+1, 1)),
		forgedDir(".meta"),
		forgedDir(".meta/"),
		forgedDir("."),
		forgedDir("first/.."),
	} {
		t.Run(fmt.Sprint(e.kind, " ", string(e.path)), func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			f.good("first", firstUnit)
			early := openTest(t, f.path)
			var events []string
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			watched := early.Watch(ctx, time.Millisecond)
			f.append(e, nil)
			f.good("last", lastUnit)
			for e, err := range watched {
				require.NoError(t, err)
				events = append(events, e.Name)
				break
			}
			assert.Equal(t, []string{"last"}, events)
			c := badEntry{}
			if e.kind == typeFile {
				c.claims = badClaim
			}
			want := map[string][]int64{"first": {firstUnit}, "last": {lastUnit}}
			for _, fsys := range []*FS{early, openTest(t, f.path), openTest(t, f.path, Tolerant())} {
				assert.Empty(t, fsys.Problems())
				assert.Equal(t, want, forgedTree(t, fsys))
				assertAbsent(t, fsys, ".meta")
				assertAbsent(t, fsys, ".meta/.alloc.cfg")
				for e, err := range fsys.Log() {
					assert.NoError(t, err, "entry %d", e.Index)
				}
			}
			report, err := Check(f.path)
			require.NoError(t, err)
			assert.True(t, report.Clean())
			assert.Equal(t, early.Usage(), report.Usage)
			c.assertSpace(t, f, want)
		})
	}
	t.Run("unacceptable by itself", func(t *testing.T) {
		t.Parallel()
		f := newForgery(t)
		f.append(forgedFile(".meta/.alloc.cfg", 5*mib, badSpace), nil)
		c := badEntry{path: ".meta/.alloc.cfg", want: "shorter than the size", is: isCorrupt, claims: badClaim}
		c.assertProblem(t, 0, openTest(t, f.path).Problems())
		c.assertSpace(t, f, nil)
	})
}

// The primary device is device 0: an entry that adds it again uses no index.
func TestPrimaryAddedAgain(t *testing.T) {
	t.Parallel()
	for _, index := range []uint32{0, 1, 2} {
		f := newForgery(t)
		primary := openTest(t, f.path).Superblock().DeviceUUID
		e := forgedDevice(index, 0)
		e.deviceUUID = primary
		f.append(e, nil)
		f.append(forgedDevice(1, 1), nil)
		f.append(forgedDevice(2, 2), nil)
		f.append(badFile(rawExtent{2, 2 * mib, 4 * mib}), nil)
		fsys := openTest(t, f.path)
		problems := fsys.Problems()
		require.Len(t, problems, 2)
		assert.Equal(t, 0, problems[0].Index)
		assert.ErrorContains(t, problems[0], fmt.Sprintf("device %s is added a second time, it is device 0 already", primary))
		assert.ErrorContains(t, problems[1], "extent 0 is on device 2 (UUID 02000000-")
	}
}

// A higher minor version of the format only adds things: it is read, unknown things are
// problems, and the logger is told. Nothing is written.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	for _, minor := range []uint32{omfMinor + 1, math.MaxUint32} {
		f := newForgery(t)
		f.good("first", firstUnit)
		f.superblock(put32(44, minor), nil)
		f.append(badFile(badSpace), put32(8, 7))
		f.good("last", lastUnit)
		for _, opts := range [][]Option{nil, {Tolerant()}} {
			var out strings.Builder
			fsys := openTest(t, f.path, append(opts, WithLogger(slog.New(slog.NewTextHandler(&out, nil))))...)
			assert.Equal(t, minor, fsys.Superblock().OMFMinor)
			assert.Contains(t, out.String(), fmt.Sprintf("on-media format 2.%d is newer than 2.2", minor))
			assertGood(t, fsys, "first", firstUnit)
			assertGood(t, fsys, "last", lastUnit)
			require.Len(t, fsys.Problems(), 1)
			assert.Equal(t, 1, fsys.Problems()[0].Index)
			assert.ErrorContains(t, fsys.Problems()[0], "found type 7")
		}
		for _, opt := range []Option{ReadWrite(), WithClientWrites()} {
			_, err := Open(f.path, WithSystemUUID(testHost), opt)
			assert.ErrorIs(t, err, ErrVersion)
			assert.ErrorContains(t, err, "open without ReadWrite and WithClientWrites")
		}
		var out strings.Builder
		report, err := Check(f.path, WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
		require.NoError(t, err)
		require.Len(t, report.Problems, 1)
		assert.Equal(t, 2, report.Usage.Files)
		assert.Contains(t, out.String(), "is newer than 2.2")
		n, err := openTest(t, f.path).Refresh()
		require.NoError(t, err)
		assert.Zero(t, n)
	}
}

// Making a directory again changes nothing: the first one stays.
func TestMkdirAgain(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.append(forgedDir("dir"), nil)
	f.good("dir/first", firstUnit)
	again := forgedDir("dir")
	again.mode, again.uid = 0o700, 7
	f.append(again, nil)
	f.good("dir/last", lastUnit)
	fsys := openTest(t, f.path)
	assert.Empty(t, fsys.Problems())
	report, err := Check(f.path)
	require.NoError(t, err)
	assert.True(t, report.Clean())
	st, err := fsys.Stat("dir")
	require.NoError(t, err)
	assert.Equal(t, 0o755|fs.ModeDir, st.Mode())
	assert.Equal(t, 0, st.Sys().(*Attr).Index)
	assertGood(t, fsys, "dir/first", firstUnit)
	assertGood(t, fsys, "dir/last", lastUnit)
	assert.Equal(t, 1, fsys.Usage().Dirs)
	entries, err := fsys.ReadDir(".")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

// A bad entry does not affect entries that do not depend on it. Those that depend on it are
// problems of their own.
func TestProblemsOfOneAnother(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.append(forgedDir("/dir"), nil)                                // 0: absolute
	f.append(forgedFile("dir/a", 1, inUnits(20, 1)), nil)           // 1: so its directory is missing
	f.append(forgedDir("dir"), nil)                                 // 2
	f.append(forgedFile("dir/a", 1, inUnits(21, 1)), nil)           // 3: the first of that path that counts
	f.append(forgedFile("dir/b", 1, inUnits(20, 1)), nil)           // 4: in space that only a bad entry claims
	f.append(forgedFile("dir/c", 1, inUnits(21, 1)), nil)           // 5: in another's space
	f.append(forgedFile("dir/c", 1, inUnits(22, 1)), nil)           // 6
	f.append(forgedFile("dir/a", 1, inUnits(22, 1)), nil)           // 7: twice
	f.append(forgedFile("dir/a/x", 1, inUnits(23, 1)), nil)         // 8: below a file
	f.append(forgedFile("dir/d", 1, rawExtent{1, 0, 2 * mib}), nil) // 9: device not added yet
	f.append(forgedDevice(1, 1), nil)                               // 10
	f.append(forgedFile("dir/d", 1, rawExtent{1, 0, 2 * mib}), nil) // 11: device not here
	fsys := openTest(t, f.path)
	found := map[int]bool{}
	for _, p := range fsys.Problems() {
		assert.ErrorContains(t, p, fmt.Sprintf("log entry %d: ", p.Index))
		found[p.Index] = true
	}
	assert.Equal(t, map[int]bool{0: true, 1: true, 5: true, 7: true, 8: true, 9: true, 11: true}, found)
	assert.Equal(t, map[string][]int64{"dir": {}, "dir/a": {21}, "dir/b": {20}, "dir/c": {22}}, forgedTree(t, fsys))
}

// Space claimed by an entry that was passed over is never given out, whoever had it before, and
// whatever happens to that file.
func TestClaimOutlivesPendingFile(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"at once": false, "after the allocator knew": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newForgery(t)
			m := openTest(t, f.path, ReadWrite())
			p, err := m.Create("p", 2*defaultUnit)
			require.NoError(t, err)
			x := p.home.place.Extents[0]
			// Its size does not fit its extents, which are those of p.
			f.append(forgedFile("bad", 1<<40, rawExtent{0, uint64(x.Offset), uint64(x.Length)}), nil)
			_, err = m.Refresh()
			require.NoError(t, err)
			require.Len(t, m.Problems(), 1)
			free := m.Usage().Free
			if told {
				m.Usage()
			}
			require.NoError(t, p.Close())
			assert.Equal(t, free, m.Usage().Free, "p's space is claimed")
			q, err := m.Create("q", 2*defaultUnit)
			require.NoError(t, err)
			defer q.Close()
			assert.Equal(t, x.Offset+x.Length, q.home.place.Extents[0].Offset)
			for run := range m.FreeSpace() {
				assert.GreaterOrEqual(t, run.Offset, x.Offset+x.Length)
			}
		})
	}
}

// With allocation units of 4 KiB, which no formatter writes but readers accept, the same rules
// hold for that unit.
func TestSmallUnit(t *testing.T) {
	t.Parallel()
	f := newForgery(t)
	f.superblock(put64(32, smallUnit), nil)
	const start = forgedDataUnits * defaultUnit
	at := func(page, n uint64) rawExtent { return rawExtent{0, start + page*smallUnit, n * smallUnit} }
	content := pattern(5*smallUnit, 1)
	for i, page := range []int64{9, 3, 7, 4, 8} { // chunk i of the files is in this page
		f.write(start+page*smallUnit, content[i*smallUnit:(i+1)*smallUnit])
	}
	f.append(forgedFile("simple", 5*smallUnit-1, at(9, 1), at(3, 1), at(7, 1), at(4, 1), at(8, 1)), nil)
	f.append(forgedStrips("odd", 1, smallUnit, rawExtent{0, start + 512, smallUnit}), nil)
	f.append(forgedFile("half", 1, at(20, 1), rawExtent{0, start + 21*smallUnit, smallUnit / 2}), nil)
	f.append(forgedStrips("chunk", 1, smallUnit/2, at(22, 1)), nil)
	f.append(forgedFile("shared", 1, at(8, 2)), nil)
	f.write(start+30*smallUnit, content[:smallUnit])
	f.write(start+40*smallUnit, content[smallUnit:2*smallUnit])
	f.write(start+31*smallUnit, content[2*smallUnit:3*smallUnit])
	f.append(forgedStrips("strips", 2*smallUnit+1, smallUnit, at(30, 2), at(40, 2)), nil)
	fsys := openTest(t, f.path, ReadWrite())
	for name, want := range map[string][]byte{"simple": content[:5*smallUnit-1], "strips": content[:2*smallUnit+1]} {
		data, err := fsys.ReadFile(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, data), name)
		m, err := fsys.Map(name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(want, m.Bytes()), name)
		require.NoError(t, m.Close())
	}
	problems := fsys.Problems()
	require.Len(t, problems, 4)
	assert.ErrorContains(t, problems[0], "log entry 1: extent 0 (device 0, offset 10486272, length 4096) is not aligned to the allocation unit 4096")
	assert.ErrorContains(t, problems[1], "log entry 2: extent 1 (device 0, offset 10571776, length 2048) is not aligned")
	assert.ErrorContains(t, problems[2], "log entry 3: chunk of 2048 bytes, want a power of two that is a multiple of the allocation unit 4096")
	assert.ErrorContains(t, problems[3], `log entry 4: file "shared": extent 0 (offset 10518528, length 8192) shares space`)

	// All free space, in the existing free runs.
	taken := map[int64]bool{}
	for _, page := range []int64{0, 1, 3, 4, 7, 8, 9, 20, 21, 22, 30, 31, 40, 41} {
		taken[page] = true
	}
	assert.EqualValues(t, testSize-start-int64(len(taken))*smallUnit, fsys.Usage().Free)
	for range 40 {
		name := fmt.Sprintf("new-%d", fsys.Usage().Files)
		require.NoError(t, fsys.WriteFile(name, []byte("x"), 0o644))
		st, err := fsys.Stat(name)
		require.NoError(t, err)
		layout := st.Sys().(*Attr).Layout
		require.Len(t, layout.Extents, 1)
		require.EqualValues(t, smallUnit, layout.Extents[0].Length)
		page := (layout.Extents[0].Offset - start) / smallUnit
		require.False(t, taken[page], "page %d", page)
		taken[page] = true
	}
}
