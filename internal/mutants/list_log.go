package main

// Replaying the log, and what its entries mean together.

var logMutants = []mutant{
	{
		name: "decode-odd-order", why: "odd entries are kept in the order in which they were read", file: "log_decode.go",
		old: "for at > 0 && odd[at-1].index > o.index {", new: "for at > 0 && odd[at-1].index > o.index && false {", tests: "TestUnsoundEntriesTogether",
	},
	{
		name: "decode-retry-noinv", why: "an entry that had not arrived is read again from the cache", file: "log_decode.go",
		old: "\t\t\tw.meta.invalidate(entryAt(index), entrySize)\n", new: "", tests: "TestMappedLateEntry TestStaleTeeth",
	},
	{
		name: "decode-corrupt-node", why: "an entry that stayed unsound leaves its node behind", file: "log_decode.go",
		old: "\t\t\t\td.slab.records[index&(slabNodes-1)].drop()\n\t\t\t}\n\t\t\treturn", new: "\t\t\t}\n\t\t\treturn", tests: "TestUnsoundEntries TestSlabStartsAgain",
	},
	{
		name: "decode-odd-node", why: "an entry that is unacceptable leaves its node behind", file: "log_decode.go",
		old: "\t\t\td.slab.unpath(at)\n\t\t\td.slab.records[index&(slabNodes-1)].drop()\n", new: "\t\t\td.slab.unpath(at)\n", tests: "TestUnacceptableEntries TestSlabStartsAgain",
	},
	{
		name: "replay-settled-keep", why: "the pauses of earlier replays count on: later ones never wait", file: "log_replay.go",
		old: "\tr.settled.Store(0)\n", new: "", tests: "TestMappedLateEntry TestUnsoundEntries",
	},
	{
		name: "replay-fresh-nosame", why: "Open does not look at the superblock again after it read the log", file: "log_replay.go",
		old: "if policy != skipCorrupt && d.err == nil {", new: "if policy != skipCorrupt && d.err == nil && !fresh {", tests: "TestStaleFormat TestStaleTeeth",
	},
	{
		name: "replay-unread-max", why: "one problem more than the bound is listed", file: "log_replay.go",
		old: "if len(unread) == maxProblems {", new: "if len(unread) > maxProblems {", tests: "TestUnsoundEntries",
	},
	{
		name: "replay-stop-served", why: "a tolerant reader serves the corrupt entry's successors in its block", file: "log_replay.go",
		old: "\t\t\td.end = d.bad.index\n", new: "", tests: "TestUnsoundEntries TestUnsoundEntriesTogether",
	},
	{
		name: "replay-goes-back", why: "a log that became shorter is followed", file: "log_replay.go",
		old: "if err == nil && h.next < r.next {", new: "if err == nil && h.next < r.next && false {", tests: "TestNextIndexGoesBack",
	},
	{
		name: "replica-dircache", why: "a file is remembered as the directory that was looked up last", file: "replica.go",
		old: "\tdir := r.ns.node(index)\n\tif !dir.isDir() {", new: "\tdir := r.ns.node(index)\n\tr.lastDir, r.lastDirNode = path, dir\n\tif !dir.isDir() {", tests: "TestProblemsOfOneAnother",
	},
	{
		name: "replica-maxproblems", why: "the notice that problems are left out is lost", file: "replica.go",
		old: "case n > maxProblems:", new: "case n >= maxProblems:", tests: "TestReplayBounded",
	},
	{
		name: "replica-claims-last", why: "the last unit that an unacceptable entry claims is given out", file: "replica.go",
		old: "end = min(units, last/unit+1)", new: "end = min(units, last/unit)", tests: "TestUnacceptableEntries",
	},
	{
		name: "replica-passover-claim", why: "the space of an entry that was passed over is given out", file: "replica.go",
		old: "\t\tif x.Device == 0 {\n\t\t\tr.alloc.claim", new: "\t\tif x.Device == 0 && false {\n\t\t\tr.alloc.claim", tests: "TestProblemsOfOneAnother TestUnacceptableEntries",
	},
	{
		name: "replica-device-index", why: "a further device may come with any index", file: "replica.go",
		old: "want := len(r.devices) + 1; int64(o.deviceIndex) != int64(want) {", new: "want := len(r.devices) + 1; int64(o.deviceIndex) < 1 || want < 1 {", tests: "TestUnacceptableEntries TestProblemsOfOneAnother",
	},
	{
		name: "order-ahead", why: "one block more than there is room for may come early, and takes the place of another", file: "log_order.go",
		old: "for block-q.next >= maxAhead && !q.ended {", new: "for block-q.next > maxAhead && !q.ended {", tests: "TestInTurn",
	},
}
