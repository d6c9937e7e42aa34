package main

// Names, the namespace, and who this host is.

var nameMutants = []mutant{
	{
		name: "name-meta-prefix", why: "a name that only begins like the reserved folder is refused", file: "name.go",
		old: `strings.HasPrefix(path, reservedDir+"/")`, new: `strings.HasPrefix(path, reservedDir)`, tests: "TestCheckName",
	},
	{
		name: "name-meta-below", why: "files in the reserved folder are served", file: "name.go",
		old: `case path == reservedDir || strings.HasPrefix(path, reservedDir+"/"):`, new: `case path == reservedDir:`, tests: "TestCheckName",
	},
	{
		name: "name-scan-high", why: "a path that is not ASCII counts as plain", file: "name.go",
		old: "wrong |= w&high | begins&", new: "wrong |= begins&", tests: "TestScanPath",
	},
	{
		name: "name-scan-carry", why: "an element that begins with the eighth byte may begin with a dot", file: "name.go",
		old: "begins = slashes >> 63 << 7", new: "begins = 0", tests: "TestScanPath",
	},
	{
		name: "ns-insert-order", why: "a child is linked before its next is set", file: "namespace.go", race: true,
		old:   "\tn.next = dir.children\n\tslot, first := slotOf(n.hash, index), uint32(index+1)\n",
		new:   "\tslot, first, next := slotOf(n.hash, index), uint32(index+1), dir.children\n\tdefer func() { n.next = next }()\n",
		tests: "TestNamespaceReadersWhileReplacing TestNamespaceReadersWhileGrowing TestConcurrentUse",
	},
	{
		name: "ns-grow-lost", why: "a table that grows loses names whose slot is taken", file: "namespace.go",
		old: "\t\tfor table[at] != 0 {\n\t\t\tat = (at + 1) & mask\n\t\t}\n", new: "", tests: "TestNamespaceManyNames TestNamespaceCollisions",
	},
	{
		name: "ns-seek-hash", why: "names of one hash are taken for one another", file: "namespace.go",
		old: "index < limit && n.path() == path &&", new: "index < limit &&", tests: "TestNamespaceCollisions",
	},
	{
		name: "ns-reserve-full", why: "a table may fill up to the last slot, and looking for what is not there never ends", file: "namespace.go",
		old: "if need := ns.used + n; need+need/3 >= len(*ns.table.Load()) {", new: "if need := ns.used + n; need > len(*ns.table.Load()) {", tests: "TestNamespaceReserve TestNamespaceManyNames",
	},
	{
		name: "ns-attach-twice", why: "a slab that is there already is appended again", file: "namespace.go",
		old: "\tif i < int64(len(slabs)) {\n\t\treturn\n\t}\n\t// Readers", new: "\t// Readers", tests: "TestNamespaceSlabs TestRefreshMany",
	},
	{
		name: "uuid-version", why: "new UUIDs say no version", file: "uuid.go",
		old: "u[6] = u[6]&0x0f | 0x40", new: "u[6] = u[6] & 0x0f", tests: "TestNewUUID",
	},
	{
		name: "uuid-dash", why: "the last dash of a UUID may be anything", file: "uuid.go",
		old: " || s[23] != '-' {", new: " {", tests: "TestUUIDText",
	},
	{
		name: "host-zero", why: "the zero UUID, which means none, makes a host a master", file: "host.go",
		old: "if err == nil && id == (UUID{}) {", new: "if err == nil && id == (UUID{}) && false {", tests: "TestHostUUIDs",
	},
	{
		name: "host-derive-short", why: "a machine id of half the length counts", file: "host.go",
		old: "err != nil || n != 16 || len(text) != 32 {", new: "err != nil || n > 16 {", tests: "TestDeriveSystemUUIDRefuses",
	},
	{
		name: "host-unreadable", why: "why a host may not be the master is not said", file: "host.go",
		old: "\t\tcase err != nil:\n\t\t\tpassedOver = append(passedOver,", new: "\t\tcase err != nil && false:\n\t\t\tpassedOver = append(passedOver,", tests: "TestHostUUIDsUnreadable TestHostUUIDs",
	},
}
