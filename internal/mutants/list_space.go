package main

// Free space and layouts.

var spaceMutants = []mutant{
	{
		name: "alloc-claims-touch", why: "new claims that touch are not joined at once", file: "alloc.go",
		old: "r.start <= fresh[n-1].end() {", new: "r.start < fresh[n-1].end() {", survives: "runs that touch are joined again when they are added to what is claimed",
	},
	{
		name: "alloc-claims-shrink", why: "a claim inside an earlier one makes that forgotten", file: "alloc.go",
		old: "fresh[n-1].n = max(fresh[n-1].end(), r.end()) - fresh[n-1].start", new: "fresh[n-1].n = r.end() - fresh[n-1].start", tests: "TestAllocatorClaims TestAllocatorManyClaims",
	},
	{
		name: "alloc-space-nolock", why: "space is counted without the lock", file: "alloc.go", race: true,
		old: "func (a *allocator) space() (free, longest int64) {\n\ta.mu.Lock()\n\tdefer a.mu.Unlock()\n", new: "func (a *allocator) space() (free, longest int64) {\n", tests: "TestAllocatorConcurrent",
	},
	{
		name: "alloc-release-claimed", why: "giving space back leaves it pending", file: "alloc.go",
		old: "a.remove(&a.block(i).pending, w, mask)", new: "a.remove(&a.block(i).pending, w, mask&1)", tests: "TestAllocatorStates TestAllocatorAgainstModel",
	},
	{
		name: "alloc-own-earlier", why: "two runs of one file may overlap", file: "alloc.go",
		old: "if r.start < earlier.end() && earlier.start < r.end() {", new: "if r.start < earlier.end() && earlier.start < r.end() && false {", tests: "TestAllocatorOwn TestUnacceptableEntries",
	},
	{
		name: "alloc-own-touching", why: "two runs of one file may not lie side by side", file: "alloc.go",
		old: "if r.start < earlier.end() && earlier.start < r.end() {", new: "if r.start <= earlier.end() && earlier.start <= r.end() {", tests: "TestAllocatorOwn TestAcceptableEntries",
	},
	{
		name: "alloc-own-word", why: "a file in one word is owned over another's units", file: "alloc.go",
		old: "if a.blocks[i].isOwned(w)&mask != 0 {", new: "if a.blocks[i].isOwned(w)&mask == mask {", tests: "TestAllocatorOwn TestAllocatorAgainstModel",
	},
	{
		name: "alloc-counter-level", why: "owned units are counted in the lowest level only", file: "alloc.go",
		old: "\t\tcounters[i] += n\n\t\ti /= fanOut\n", new: "\t\tcounters[i] += n\n\t\tbreak\n", tests: "TestAllocatorIsOwned",
	},
	{
		name: "alloc-isowned-upper", why: "the last counter of a level is not asked", file: "alloc.go",
		old: "for ; from < to && to%fanOut != 0; to-- {", new: "for ; from < to && to%fanOut > 1; to-- {", tests: "TestAllocatorIsOwned",
	},
	{
		name: "alloc-block-end", why: "units behind the end of the device count as free", file: "alloc.go",
		old: "if rest := a.span() - units; rest > 0 {", new: "if rest := a.span() - units; rest > 64 {", tests: "TestAllocatorEnd TestAllocatorAgainstModel",
	},
	{
		name: "alloc-stale-few", why: "after a change only the lowest inner nodes are brought up to date", file: "alloc.go",
		old: "\tfor nodes[0] > 1 {\n", new: "\tfor nodes[0] >= a.leaves {\n", tests: "TestAllocatorLargeDevices TestAllocatorAgainstModel",
	},
	{
		name: "alloc-join-middle", why: "a run across two blocks is not seen", file: "alloc.go",
		old: "longest: max(l.longest, r.longest, l.suffix+r.prefix)", new: "longest: max(l.longest, r.longest)", tests: "TestAllocatorAgainstModel",
	},
	{
		name: "alloc-gather-release", why: "gathering that fails keeps what it had taken", file: "alloc.go",
		old: "\tif n > 0 {\n\t\ta.release(runs)\n\t\treturn nil, false\n", new: "\tif n > 0 {\n\t\treturn nil, false\n", tests: "TestAllocatorGatherLimit TestCreateTooFragmented",
	},
	{
		name: "alloc-spread-release", why: "spreading that fails keeps what it had taken", file: "alloc.go",
		old: "\tif len(runs) < strips {\n\t\ta.release(runs)\n", new: "\tif len(runs) < strips {\n", tests: "TestAllocatorSpreadOrder TestCreateInterleaved",
	},
	{
		name: "alloc-freerun-part", why: "a run of free units is cut at the end of a word", file: "alloc.go",
		old: "if taken := ^v.free(int(at/64)) >> uint(at%64); taken != 0 {", new: "if taken := ^v.free(int(at/64)) >> uint(at%64); taken != 0 || at%64 == 63 {", tests: "TestFreeSpace TestAllocatorAgainstModel",
	},
	{
		name: "extent-last-chunk", why: "the last byte of a chunk is said to be followed by one more", file: "extent.go",
		old: "l.Chunk - rest\n", new: "l.Chunk - rest + 1\n", tests: "TestLayout TestFiles",
	},
	{
		name: "extent-run-long", why: "the bytes of an extent are said to go on behind its end", file: "extent.go",
		old: "return e.Device, e.Offset + x, e.Length - x", new: "return e.Device, e.Offset + x, e.Length", tests: "TestLayout TestCreateSeveralExtents",
	},
	{
		name: "extent-one-run", why: "a file in several runs is taken for one run", file: "extent.go",
		old: "\t\tif on != device || next != off+run {", new: "\t\tif on != device || next == 0 && next != off+run {", tests: "TestLayout TestView",
	},
	{
		name: "extent-find-strip", why: "a byte of a strip is found in the wrong stripe", file: "extent.go",
		old: "d/l.Chunk*int64(len(l.Extents))+int64(i)", new: "d/l.Chunk+int64(i)", tests: "TestLayout TestBlame",
	},
	{
		name: "extent-find-end", why: "the byte behind an extent is found in it", file: "extent.go",
		old: "0 <= d && d < e.Length", new: "0 <= d && d <= e.Length", tests: "TestLayout",
	},
	{
		name: "extent-runs-bound", why: "one run more than can be mapped", file: "extent.go",
		old: "len(runs) > maxSegments {", new: "len(runs) > maxSegments+1 {", tests: "TestLayoutOfTooManyRuns TestLimitRuns",
	},
	{
		name: "extent-join-off", why: "neighbouring runs are not joined", file: "extent.go",
		old: "runs[n-1].end() == r.off {", new: "runs[n-1].end() == r.off && false {", tests: "TestLayout",
	},
}
