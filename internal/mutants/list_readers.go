package main

// Opening, closing, reading, mapping, faults.

var readerMutants = []mutant{
	{
		name: "gate-holders", why: "Close does not see that something is open", file: "famfs.go",
		old: "case n >= holder:", new: "case n > 1000*holder:", tests: "TestClose TestCloseRefusedDisturbsNobody TestGate",
	},
	{
		name: "gate-wait", why: "Close does not wait for reads under way", file: "famfs.go",
		old: "for g.state.Load() != gateShut {", new: "for g.state.Load() != gateShut && false {", tests: "TestCloseWaitsForVisitors TestCloseWaitsForReads",
	},
	{
		name: "gate-failed-enter", why: "who finds the gate shut stays counted, and Close waits for ever", file: "famfs.go",
		old: "\tg.state.Add(-n)\n\treturn false\n", new: "\treturn false\n", tests: "TestGate",
	},
	{
		name: "gate-twice", why: "a second Close unmaps again", file: "famfs.go",
		old: "\t\tcase n < 0:\n\t\t\treturn 0, false\n", new: "\t\tcase n < 0:\n\t\t\treturn 0, true\n", tests: "TestClose TestGate",
	},
	{
		name: "iofs-nogate", why: "Close does not wait for reads", file: "iofs.go",
		old: "\tif !f.gate.enter() {\n\t\treturn 0, fs.ErrClosed\n\t}\n\tdefer f.gate.leave()\n\tp = p[:", new: "\tif !f.gate.isOpen() {\n\t\treturn 0, fs.ErrClosed\n\t}\n\tp = p[:", tests: "TestCloseWaitsForReads",
	},
	{
		name: "iofs-writeto-hold", why: "Close does not see a WriteTo that is under way", file: "iofs.go",
		old: "\tif h.closed.Load() || !h.fs.gate.hold() {\n\t\treturn 0, h.fail(\"read\", fs.ErrClosed)\n\t}\n\tdefer h.fs.gate.letGo()\n", new: "\tif h.closed.Load() || !h.fs.gate.isOpen() {\n\t\treturn 0, h.fail(\"read\", fs.ErrClosed)\n\t}\n", tests: "TestCloseWhileWriteTo",
	},
	{
		name: "iofs-writeto-leave", why: "a writer that panics keeps the file system open for ever", file: "iofs.go",
		old: "\tdefer h.fs.gate.letGo()\n\tstart := h.off\n\tfor h.off < h.node.size {\n\t\tif err := h.writePiece(w); err != nil {\n\t\t\treturn", new: "\tstart := h.off\n\tfor h.off < h.node.size {\n\t\tif err := h.writePiece(w); err != nil {\n\t\t\th.fs.gate.letGo()\n\t\t\treturn", tests: "TestCloseWhileWriteTo TestClose",
	},
	{
		name: "iofs-sys-shared", why: "what Sys returns is the node's own", file: "iofs.go",
		old: "Extents: slices.Clone(place.Extents)}", new: "Extents: place.Extents}", tests: "TestAttrIsACopy",
	},
	{
		name: "iofs-readat-eof", why: "a read of all that is left says nothing of the end", file: "iofs.go",
		old: "\tif err == nil && n < len(p) {\n\t\terr = io.EOF\n", new: "\tif err == nil && n < len(p) && n == 0 {\n\t\terr = io.EOF\n", tests: "TestFiles TestOwnTestFS",
	},
	{
		name: "iofs-seek-end", why: "seeking from the end is from the start", file: "iofs.go",
		old: "\t\toffset += h.node.size\n", new: "\t\toffset = h.node.size\n", tests: "TestFiles",
	},
	{
		name: "iofs-dir-rest", why: "a directory that is read in parts begins anew each time", file: "iofs.go",
		old: "\th.entries = h.entries[n:]\n", new: "", tests: "TestDirectories TestOwnTestFS",
	},
	{
		name: "iofs-dir-closed", why: "a directory can be read after the file system is closed", file: "iofs.go",
		old: "\tif err := h.fs.usable(); err != nil {\n\t\treturn nil, h.fail(\"readdir\", err)\n\t}\n", new: "", tests: "TestClose",
	},
	{
		name: "iofs-short-write", why: "a writer that writes less than it was given is no error", file: "iofs.go",
		old: "\t\t\town = io.ErrShortWrite\n", new: "\t\t\town = nil\n", tests: "TestFiles",
	},
	{
		name: "iofs-efault", why: "what a system call says of lost memory stays as it is", file: "iofs.go",
		old: "case isBadAddress(own):", new: "case isBadAddress(own) && false:", tests: "TestFaultInSystemCall",
	},
	{
		name: "iofs-blame", why: "the file is blamed for the memory that takes its bytes", file: "iofs.go",
		old: "\tif !f.inWindow(fault.Addr) {\n\t\tmapped.explain(fault)\n\t\treturn fault\n\t}\n", new: "", tests: "TestFaultOfTheTaker",
	},
	{
		name: "map-roflag", why: "files that are read-only on all hosts may be mapped for writing", file: "mapping.go",
		old: "case n.flags&fileFlagReadOnly != 0:", new: "case n.flags&fileFlagReadOnly != 0 && false:", tests: "TestMapWritableFiles",
	},
	{
		name: "map-mode", why: "only the owner's bit counts for writing", file: "mapping.go",
		old: "case n.mode()&0o222 == 0:", new: "case n.mode()&0o200 == 0:", tests: "TestMapWritableFiles",
	},
	{
		name: "map-client", why: "a client may map for writing without being asked", file: "mapping.go",
		old: "case f.config.clientWrites, f.config.readWrite:", new: "case true:", tests: "TestClient TestReadOnlyMaster",
	},
	{
		name: "map-range-wrap", why: "a range that wraps is inside", file: "mapping.go",
		old: "n > int64(len(data))-off {", new: "off+n > int64(len(data)) {", tests: "TestMapRanges",
	},
	{
		name: "map-inv-flush", why: "Invalidate writes back instead of forgetting", file: "mapping.go",
		old: "\t\tm.fs.dev.cache.invalidate(mem)\n", new: "\t\tm.fs.dev.cache.flush(mem)\n", tests: "TestMappedSerialSharing",
	},
	{
		name: "map-flush-nosync", why: "Flush does not wait for the disk", file: "mapping.go",
		old: "return m.fs.dev.flush(mem, m.since) })", new: "m.fs.dev.cache.flush(mem); return nil })", tests: "TestDiskErrors",
	},
	{
		name: "map-failed-stays", why: "a file that could not be mapped stays in the table", file: "mapping.go",
		old: "\t\t} else {\n\t\t\tdelete(t.regions, key)\n\t\t}\n", new: "\t\t}\n", tests: "TestMapAtTheSameTime",
	},
	{
		name: "map-waiter", why: "who waits for another's mapping is not told", file: "mapping.go",
		old: "\t\tif s.mapped != nil {\n\t\t\tclose(s.mapped)\n\t\t}\n", new: "", tests: "TestMapAtTheSameTime",
	},
	{
		name: "map-locked", why: "the table is locked while a file is mapped", file: "mapping.go",
		old: "\tt.regions[key] = s\n\tt.mu.Unlock()\n\tdefer func() { // also if mapIt panics\n\t\tt.mu.Lock()\n\t\tdefer t.mu.Unlock()\n", new: "\tt.regions[key] = s\n\tdefer func() { // also if mapIt panics\n\t\tdefer t.mu.Unlock()\n", tests: "TestMapWaitsForNoOtherFile",
	},
	{
		name: "map-unmap-locked", why: "the table is locked while a file is unmapped", file: "mapping.go",
		old: "\tt.mu.Unlock()\n\tif !last {\n\t\treturn nil\n\t}\n", new: "\tdefer t.mu.Unlock()\n\tif !last {\n\t\treturn nil\n\t}\n", tests: "TestMapWaitsForNoOtherFile",
	},
	{
		name: "map-populate-user", why: "Populate that fails leaves the file mapped", file: "mapping.go",
		old: "return nil, errors.Join(err, f.regions.leave(s))", new: "return nil, errors.Join(err)", tests: "TestMapPopulateFails",
	},
	{
		name: "map-nohold", why: "Map that fails keeps the file system open for ever", file: "mapping.go",
		old: "\t\tif m == nil {\n\t\t\tf.gate.letGo()\n\t\t}\n", new: "", tests: "TestMapRefused TestCloseAfterFailures",
	},
	{
		name: "map-key-writable", why: "a mapping for reading gives memory that can be written", file: "mapping.go",
		old: "f.regions.use(regionKey{index, c.writable}, func(", new: "f.regions.use(regionKey{index, true}, func(", tests: "TestMapShared TestMapProtection",
	},
	{
		name: "fault-closed-reused", why: "a fault at an address that is used again is blamed on what was there before", file: "fault.go",
		old: "if closed && !isUnmapped(fault.Addr) {", new: "if closed && !isUnmapped(fault.Addr) && false {", tests: "TestGuardClosedReused",
	},
	{
		name: "fault-closed-first", why: "of two closed mappings at one address the older one is named", file: "fault.go",
		old: "e := &b.closed[(b.next+rememberClosed-1-i)%rememberClosed]", new: "e := &b.closed[(b.next+i)%rememberClosed]", tests: "TestAddressBook",
	},
	{
		name: "fault-setting", why: "Guard leaves its setting behind", file: "fault.go",
		old: "\tdefer func() {\n\t\tdebug.SetPanicOnFault(before)\n", new: "\tdefer func() {\n\t\t_ = before\n", tests: "TestGuardFault TestGuardNested",
	},
	{
		name: "fault-nil", why: "a nil dereference is taken for a fault of memory", file: "fault.go",
		old: "\t\tAddr() uintptr\n\t}); ok {\n", new: "\t}); ok {\n\t\t_ = at\n\t\tat := struct{ Addr func() uintptr }{func() uintptr { return 0 }}\n", tests: "TestGuardPassesPanics",
	},
}
