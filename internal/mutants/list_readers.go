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
		old: "\tif !f.gate.enter() {\n\t\treturn 0, fs.ErrClosed\n\t}\n\tdefer f.gate.leave()\n\tif f.pins.on {\n\t\tif err := f.mayRead", new: "\tif !f.gate.isOpen() {\n\t\treturn 0, fs.ErrClosed\n\t}\n\tif f.pins.on {\n\t\tif err := f.mayRead", tests: "TestCloseWaitsForReads",
	},
	{
		name: "iofs-writeto-hold", why: "Close does not see a WriteTo that is under way", file: "iofs.go",
		old: "\tif h.closed.Load() || !h.fs.gate.hold() {\n\t\treturn 0, h.fail(\"read\", fs.ErrClosed)\n\t}\n\tdefer h.fs.gate.letGo()\n", new: "\tif h.closed.Load() || !h.fs.gate.isOpen() {\n\t\treturn 0, h.fail(\"read\", fs.ErrClosed)\n\t}\n", tests: "TestCloseWhileWriteTo",
	},
	{
		name: "iofs-writeto-leave", why: "a writer that panics keeps the file system open for ever", file: "iofs.go",
		old: "\tdefer h.fs.gate.letGo()\n\tif h.fs.pins.on {\n\t\treturn h.writeCopies(w)\n\t}\n\tif err := h.fs.forgetOwner(h.index, h.node); err != nil {\n\t\treturn 0, h.fail(\"read\", err)\n\t}\n\tstart := h.off\n\tfor h.off < h.node.size {\n\t\tif err := h.writePiece(w); err != nil {\n\t\t\treturn", new: "\tstart := h.off\n\tfor h.off < h.node.size {\n\t\tif err := h.writePiece(w); err != nil {\n\t\t\th.fs.gate.letGo()\n\t\t\treturn", tests: "TestCloseWhileWriteTo TestClose",
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
		old: "\t\treturn n, io.ErrShortWrite\n", new: "\t\treturn n, nil\n", tests: "TestFiles",
	},
	{
		name: "iofs-efault", why: "what a system call says of lost memory stays as it is", file: "iofs.go",
		old: "if isBadAddress(own) {", new: "if isBadAddress(own) && false {", tests: "TestFaultInSystemCall",
	},
	{
		name: "window-blame", why: "the file is blamed for the memory that takes its bytes", file: "window.go",
		old: "\tdefault:\n\t\tmapped.explain(fault)\n\t\treturn fault\n\t}\n", new: "\t}\n", tests: "TestFaultOfTheTaker TestBlame",
	},
	{
		name: "window-page", why: "of failed memory only the address counts, not the page that begins there", file: "window.go",
		old: "\t\tif addr == mem&^(page-1) {", new: "\t\tif addr == mem {", tests: "TestBlame",
	},
	{
		name: "window-file-end", why: "what lies behind the end of a file is said to be the file", file: "window.go",
		old: "ok && x < n.size {", new: "ok {", tests: "TestBlame",
	},
	{
		name: "window-cap", why: "the slice reaches on into other files", file: "window.go",
		old: "m.window.mem[at : at+run : at+run]", new: "m.window.mem[at : at+run]", tests: "TestView",
	},
	{
		name: "window-setting", why: "the window's guard leaves its setting behind", file: "window.go",
		old: "\t\tdebug.SetPanicOnFault(before)\n", new: "\t\t_ = before\n", tests: "TestViewEnds TestViewFault",
	},
	{
		name: "window-remembered", why: "file systems that are closed stay in memory", file: "fault.go",
		old: "strings.Clone(e.name), nil, nil //", new: "strings.Clone(e.name), e.fileAt, nil //", tests: "TestWindowForgotten",
	},
	{
		name: "window-unknown", why: "a guard inside of View is not told which file it is", file: "famfs.go",
		old: "mapped.addFiles(f.faults, f.window.mem, path, f.filesOn(0))", new: "mapped.addOf(f.faults, f.window.mem, path)", tests: "TestViewFault TestBlame",
	},
	{
		name: "window-large", why: "a file is blamed for what begins 2 MiB, however small pages are", file: "dax.go",
		old: "\tif d.smallPages {\n\t\treturn int64(os", new: "\tif d.smallPages && false {\n\t\treturn int64(os", tests: "TestBlame",
	},
	{
		name: "view-hold", why: "Close unmaps what a View shows", file: "view.go",
		old: "\tif !f.gate.enter() {\n\t\treturn fs.ErrClosed\n\t}\n\tdefer f.gate.leave()\n", new: "\tif !f.gate.isOpen() {\n\t\treturn fs.ErrClosed\n\t}\n", tests: "TestViewWhileClosing",
	},
	{
		name: "view-close-refused", why: "Close in a View fails although nobody uses the FS", file: "famfs.go",
		old: "case n > 0 && !wait:", new: "case !wait:", tests: "TestViewCloses",
	},
	{
		name: "view-owner", why: "View shows lines of the file that had the memory before", file: "view.go",
		old: "\tif err := f.forgetOwner(index, n); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestReusedMemoryIsInvalidated",
	},
	{
		name: "same-owner", why: "what is copied again is compared with the file that had the memory before", file: "copyfs_compare.go",
		old: "\terr = f.forgetOwner(index, n)\n", new: "", tests: "TestReusedMemoryIsInvalidated",
	},
	{
		name: "view-leave", why: "a function that panics keeps its file mapped for ever", file: "view.go",
		old: "\tdefer func() { // after Guard, which finds the name of a fault where the region is mapped\n\t\tif leaveErr := f.leaveRegion(s); err == nil {\n\t\t\terr = leaveErr\n\t\t}\n\t}()\n\treturn Guard(func() error { return use(s.data) })\n", new: "\terr = Guard(func() error { return use(s.data) })\n\tif leaveErr := f.leaveRegion(s); err == nil {\n\t\terr = leaveErr\n\t}\n\treturn err\n", tests: "TestViewEnds",
	},
	{
		name: "view-own", why: "the function's error comes back as part of another", file: "view.go",
		old: "\t\town = err != nil\n", new: "", tests: "TestViewOwnError",
	},
	{
		name: "view-reformatted", why: "that the device was formatted anew meanwhile is not said", file: "view.go",
		old: "\treturn f.sameDevice()\n", new: "\treturn nil\n", tests: "TestViewReformatted",
	},
	{
		name: "view-dir", why: "a directory is shown as if it were a file", file: "view.go",
		old: "\tif n.isDir() {", new: "\tif n.isDir() && false {", tests: "TestViewRefused",
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
		old: "\t\tm.home.strictest().cache.invalidate(mem)\n", new: "\t\tm.home.strictest().cache.flush(mem)\n", tests: "TestMappedSerialSharing",
	},
	{
		name: "map-flush-nosync", why: "Flush does not wait for the disk", file: "mapping.go",
		old: "return m.home.flush(mem, off, m.since) })", new: "m.home.strictest().cache.flush(mem); return nil })", tests: "TestDiskErrors",
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
		old: "\tt.mu.Unlock()\n\tif !last {\n\t\treturn false, nil\n\t}\n", new: "\tdefer t.mu.Unlock()\n\tif !last {\n\t\treturn false, nil\n\t}\n", tests: "TestMapWaitsForNoOtherFile",
	},
	{
		name: "map-populate-user", why: "Populate that fails leaves the file mapped", file: "mapping.go",
		old: "h.explain(err, n.size))\n\t\t\treturn nil, errors.Join(err, f.leaveRegion(s))", new: "h.explain(err, n.size))\n\t\t\treturn nil, errors.Join(err)", tests: "TestMapPopulateFails",
	},
	{
		name: "map-nohold", why: "Map that fails keeps the file system open for ever", file: "mapping.go",
		old: "\t\tif m == nil {\n\t\t\tf.gate.letGo()\n\t\t}\n", new: "", tests: "TestMapRefused TestCloseAfterFailures",
	},
	{
		name: "map-key-writable", why: "a mapping for reading gives memory that can be written", file: "mapping.go",
		old: "f.regions.use(regionKey{index, writable}, func(", new: "f.regions.use(regionKey{index, true}, func(", tests: "TestMapShared TestMapProtection",
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
	{
		name: "stats-shared-twice", why: "memory that mappings share counts for each of them", file: "mapping.go",
		old: "\t\t\tbytes += int64(len(s.region.mem))\n", new: "\t\t\tbytes += int64(s.users) * int64(len(s.region.mem))\n", tests: "TestStats",
	},
	{
		name: "stats-fragmentation", why: "fragmentation is the share of the longest free run", file: "stats.go",
		old: "float64(free-s.Usage.LargestFree) / float64(free)", new: "float64(s.Usage.LargestFree) / float64(free)", tests: "TestStats",
	},
	{
		name: "stats-fault-window", why: "a fault in the window does not count", file: "window.go",
		old: "\tf.faults.Add(1)\n", new: "", tests: "TestStatsFaults",
	},
	{
		name: "stats-fault-guard", why: "a fault that Guard catches does not count", file: "fault.go",
		old: "\tif e.faults != nil {\n", new: "\tif e.faults != nil && false {\n", tests: "TestStatsFaults",
	},
	{
		name: "stats-commit-failed", why: "commits count before they succeed", file: "create_commit.go",
		old: "\tbegan := time.Now()\n", new: "\tbegan := time.Now()\n\tf.counts.commits.Add(1)\n", tests: "TestStats",
	},
	{
		name: "stats-lock", why: "a wait for the lock does not count", file: "writelock.go",
		old: "\tl.waits.Add(1)\n", new: "", tests: "TestStats",
	},
	{
		name: "stats-copied", why: "what is copied into mapped files does not count", file: "create_fill.go",
		old: "\tdefer func() { p.fs.counts.copied.Add(n) }()\n", new: "", tests: "TestStats TestStatsConcurrent",
	},
}
