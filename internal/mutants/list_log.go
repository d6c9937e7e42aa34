package main

// Replaying the log, and what its entries mean together.

var logMutants = []mutant{
	{
		name: "decode-odd-order", why: "odd entries are kept in the order in which they were read", file: "log_decode.go",
		old: "for at > 0 && odd[at-1].index > o.index {", new: "for at > 0 && odd[at-1].index > o.index && false {", tests: "TestUnsoundEntriesTogether",
	},
	{
		name: "decode-retry-noinv", why: "an entry that had not arrived is read again from the cache", file: "log_decode.go",
		old: "\t\t\tw.meta.invalidate(entryAt(index), entrySize)\n", new: "", tests: "TestStaleTeeth",
	},
	{
		name: "decode-corrupt-node", why: "an entry that stayed unsound leaves its node behind", file: "log_decode.go",
		old: "\t\t\t\td.slab.records[index&(slabNodes-1)].drop()\n\t\t\t}\n\t\t\treturn", new: "\t\t\t}\n\t\t\treturn", tests: "TestUnsoundEntries TestSlabStartsAgain",
	},
	{
		name: "decode-odd-node", why: "an entry that is unacceptable leaves its node behind", file: "log_decode.go",
		old: "\t\t\td.slab.unpath(at)\n\t\t\td.slab.records[index&(slabNodes-1)].drop()\n", new: "\t\t\td.slab.unpath(at)\n", tests: "TestUnacceptableEntries TestSlabStartsAgain",
	},
}
