package main

// Superblock, log header and entries as bytes, and what is acceptable of them.

var formatMutants = []mutant{
	{
		name: "superblock-log-end", why: "a log may end behind the device", file: "superblock.go",
		old: "case size > deviceSize-logOffset:", new: "case size > deviceSize:", tests: "TestInvalidSuperblock TestTruncatedImages",
	},
	{
		name: "superblock-log-power", why: "a log may have any length", file: "superblock.go",
		old: "case size < minLogSize || size&(size-1) != 0:", new: "case size < minLogSize:", tests: "TestInvalidSuperblock TestFormatRefuses",
	},
	{
		name: "superblock-once", why: "a superblock is read once: half of it may be from before a format", file: "superblock.go",
		old: "\t\tif b == before {\n\t\t\tbreak\n", new: "\t\tif b == before || true {\n\t\t\tbreak\n", tests: "TestStaleTeeth TestStaleFormat",
	},
	{
		name: "superblock-name-end", why: "a device's name goes on behind its NUL", file: "superblock.go",
		old: "\t\tname = name[:end]\n", new: "\t\tname = name[:end+1]\n", tests: "TestReferenceSuperblock TestFormatDeviceName",
	},
	{
		name: "log-next-bound", why: "a log may say that it holds one entry more than there is room for", file: "log.go",
		old: "if h.next > h.last+1 {", new: "if h.next > h.last+2 {", tests: "TestInvalidLogHeader",
	},
	{
		name: "log-last-index", why: "the last index of a header is believed", file: "log.go",
		old: "if want := lastIndex(logSize); h.last != want {", new: "if want := lastIndex(logSize); h.last > want {", tests: "TestInvalidLogHeader",
	},
	{
		name: "log-seq", why: "an entry of another place counts", file: "log.go",
		old: "seq != index {", new: "seq != index && false {", tests: "TestUnsoundEntries TestEntrySequence",
	},
	{
		name: "log-size-zero", why: "an empty file is acceptable", file: "log.go",
		old: "if e.size == 0 || e.size > math.MaxInt64 {", new: "if e.size > math.MaxInt64 {", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-extent-end", why: "an extent may pass the end of the device by less than a unit", file: "log.go",
		old: "case int64(x.offset+x.length) > g.size:", new: "case int64(x.offset+x.length) >= g.size+g.unit:", tests: "TestUnacceptableEntries TestDeviceCut",
	},
	{
		name: "log-extent-start", why: "an extent may begin in the log's last unit", file: "log.go",
		old: "case int64(x.offset) < g.dataStart:", new: "case int64(x.offset) < g.dataStart-g.unit:", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-strips-unequal", why: "strips may be of unequal length", file: "log.go",
		old: "if e.mapType == mapInterleaved && x.length != e.extents[0].length {", new: "if e.mapType == mapInterleaved && x.length < e.extents[0].length {", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-stripes-short", why: "the last stripe of a file may have no room", file: "log.go",
		old: "if need := (e.size-1)/stripe + 1; need > length/e.chunk {", new: "if need := (e.size - 1) / stripe; need > length/e.chunk {", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-total-short", why: "extents may be shorter than the file", file: "log.go",
		old: "if total < e.size {", new: "if total < e.size && e.mapType != mapSimple {", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-chunk-power", why: "a chunk may be no power of two", file: "log.go",
		old: "case e.chunk == 0 || e.chunk&(e.chunk-1) != 0 || e.chunk%unit != 0:", new: "case e.chunk == 0 || e.chunk%unit != 0:", tests: "TestUnacceptableEntries",
	},
	{
		name: "log-path-end", why: "a path without a NUL is believed", file: "log.go",
		old: "\tif e.unterminated {\n", new: "\tif e.unterminated && false {\n", tests: "TestUnacceptableEntries",
	},
}
