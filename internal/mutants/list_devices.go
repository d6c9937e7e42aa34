package main

// The device and the address space, cache lines and fences.

var deviceMutants = []mutant{
	{
		name: "pages-one-call", why: "nothing can be mapped while a file is populated", file: "dax_pages_linux.go",
		old: "populatePiece = 4 << 20", new: "populatePiece = 4 << 40", tests: "TestPopulateLetsOthersMap",
	},
	{
		name: "dax-nowriteback", why: "a disk is taken for memory", file: "dax_linux.go",
		old: "unix.TMPFS_MAGIC {\n\t\td.writeBack = true", new: "unix.TMPFS_MAGIC {\n\t\td.writeBack = false", tests: "TestWriteBack",
	},
	{
		name: "dax-sync-ignored", why: "the error of msync is lost", file: "dax_write.go",
		old: "if err := d.disk.wait(d.sync, mem, since); err != nil {", new: "if err := d.disk.wait(d.sync, mem, since); err != nil && false {", tests: "TestDiskErrors",
	},
	{
		name: "dax-disk-failure-of-another", why: "a disk's failure concerns only whoever is told of it", file: "dax.go",
		old: "if f.count.Load() != since {", new: "if f.count.Load() != since && false {", tests: "TestDiskErrorOfAnother",
	},
	{
		name: "dax-segment-end", why: "a segment may pass the end of the device", file: "dax.go",
		old: "p.off > d.info.Size-p.len:", new: "p.off > d.info.Size:", tests: "TestMapSegmentsRefuses",
	},
	{
		name: "dax-segment-align", why: "lengths need not be multiples of the alignment", file: "dax.go",
		old: "case p.off%d.info.Align != 0 || p.len%d.info.Align != 0 || total%d.info.Align != 0:", new: "case p.off%d.info.Align != 0:", tests: "TestMapSegmentsRefuses",
	},
	{
		name: "lock-node-only", why: "each node of a device has a lock of its own", file: "dax_lock_unix.go",
		old: "ok, err := d.hostLock.try()", new: "ok, err := true, error(nil)", tests: "TestTwoNodesOneLock",
	},
	{
		name: "lock-node-kept", why: "a try that fails keeps the lock of its node", file: "dax_lock_unix.go",
		old: "err = errors.Join(err, d.unlockInode())", new: "err = errors.Join(err)", tests: "TestTwoNodesOneLock",
	},
	{
		name: "reserve-hole-behind", why: "a hole within what is written counts as room", file: "dax_reserve_linux.go",
		old: "return err == nil && hole >= s.end()", new: "return err == nil && hole > s.off", tests: "TestKnownRoom",
	},
	{
		name: "region-beside-left", why: "runs that were mapped stay where the next could not be", file: "dax_region_unix.go",
		old: "\t\tif done > 0 {\n\t\t\tundo()\n\t\t}\n", new: "", tests: "TestMapBeside",
	},
	{
		name: "region-beside-replaces", why: "a run replaces what somebody else has mapped", file: "dax_region_unix.go",
		old: "unsafe.Add(nil, hint+done), uintptr(s.len), prot, flags)", new: "unsafe.Add(nil, hint+done), uintptr(s.len), prot, flags|unix.MAP_FIXED)", tests: "TestMapBeside",
	},
	{
		name: "region-beside-anywhere", why: "runs that were mapped elsewhere count as side by side", file: "dax_region_unix.go",
		old: "if err == nil && uintptr(p) == hint+done {", new: "if err == nil {", tests: "TestMapBeside",
	},
	{
		name: "region-abandon", why: "a hole that another thread may have got is unmapped", file: "dax_region_unix.go",
		old: "if !r.marked || !oneMapping(uintptr(p), uintptr(end)) {", new: "if !r.marked {", tests: "TestAbandon",
	},
	{
		name: "room-units", why: "room is taken for whole allocation units", file: "mapping.go",
		old: "h.parts(min(roundUp(size, h.align()), roundUp(size, unit)))", new: "h.parts(roundUp(size, unit))", tests: "TestRoomForWhatIsWritten",
	},
	{
		name: "region-wholepages", why: "the end of a range is not written to disk", file: "dax_pages.go",
		old: "len(mem)+int(head))", new: "len(mem))", tests: "TestWholePages",
	},
	{
		name: "region-align", why: "a region may begin anywhere", file: "dax_region_unix.go",
		old: "if uintptr(p)&(align-1) == 0 {", new: "if true {", tests: "TestMapSegmentsAlignment TestRegionWrongGuess",
	},
	{
		name: "window-aligned", why: "the window of a plain file lies anywhere", file: "dax.go",
		old: "whole.len, false, false); err == nil {", new: "whole.len, false, false); err == nil && r.unmap() != nil {", tests: "TestMapWholeAndPrefix",
	},
	{
		name: "window-unaligned", why: "without room for an aligned window nothing can be opened", file: "dax.go",
		old: "\t\treturn d.mapFile(whole, false)\n", new: "\t\treturn nil, ErrDevice\n", tests: "TestMapWholeUnaligned",
	},
	{
		name: "region-merge", why: "runs with a gap between them are joined", file: "extent.go",
		old: "runs[n-1].end() == r.off {", new: "runs[n-1].end() <= r.off {", tests: "TestAppendRun",
	},
	{
		name: "pages-last", why: "the last page of memory that begins inside one is not looked at", file: "dax_pages.go",
		old: "\tif len(mem) > 0 {\n\t\tsum += mem[len(mem)-1]\n\t}\n", new: "", tests: "TestLoadPages",
	},
}

var cacheMutants = []mutant{
	{
		name: "coh-flush-nofence", why: "FlushCache does not fence", file: "coherence.go",
		old: "\tc.writeBack(b)\n\tc.fenceStores()\n", new: "\tc.writeBack(b)\n", tests: "TestCacheOperations TestMappedSerialSharing",
	},
	{
		name: "coh-inv-nofence", why: "InvalidateCache does not fence", file: "coherence.go",
		old: "\tc.drop(b)\n\tc.fenceLoads()\n", new: "\tc.drop(b)\n", tests: "TestCacheOperations TestMappedSerialSharing",
	},
	{
		name: "coh-inv-writeback", why: "InvalidateCache writes back and keeps", file: "coherence.go",
		old: "func (c *cacheLines) drop(b []byte) { forLines(b, c.invalidateLines) }", new: "func (c *cacheLines) drop(b []byte) { forLines(b, c.writeBackLines) }", tests: "TestCacheOperations TestMappedSerialSharing",
	},
	{
		name: "coh-lines-last", why: "the last line of a slice that begins inside one is left out", file: "coherence.go",
		old: "lines := (head + uintptr(len(b)) + lineSize - 1) / lineSize", new: "lines := (uintptr(len(b)) + lineSize - 1) / lineSize", tests: "TestLinesOfSlice",
	},
	{
		name: "coh-lines-piece", why: "between two pieces of a long slice a line is left out", file: "coherence.go",
		old: "p = unsafe.Add(p, linesPerCall*int(lineSize))", new: "p = unsafe.Add(p, (linesPerCall+1)*int(lineSize))", tests: "TestLinesOfLongSlice",
	},
	{
		name: "stream-nofence", why: "CopyInto does not fence", file: "copyinto.go",
		old: "\tthisMachine.fenceStores()\n\treturn n\n", new: "\treturn n\n", tests: "TestCopyInto TestCacheOperations",
	},
	{
		name: "stream-tail", why: "the last part of a line is not written back", file: "copyinto.go",
		old: "\tc.writeBack(dst[tail:])\n", new: "", tests: "TestCopyInto TestMappedCommit TestMappedSerialSharing",
	},
	{
		name: "stream-overlap", why: "slices that overlap are copied past the cache", file: "copyinto.go",
		old: "apart := !overlap(dst, src); {", new: "apart := len(dst) > 0 || !overlap(dst, src); {", tests: "TestCopyIntoOverlap",
	},
	{
		name: "meta-flush-nolines", why: "flushing metadata writes no lines back", file: "sharedmem.go",
		old: "\tm.dev.cache.writeBack(mem)\n", new: "", tests: "TestMappedCommit TestMappedReaders TestMappedSerialSharing TestMappedOrder",
	},
	{
		name: "meta-inv-clwb", why: "invalidating metadata writes back and keeps", file: "sharedmem.go",
		old: "m.dev.cache.drop(m.mem[off : off+n])", new: "m.dev.cache.writeBack(m.mem[off : off+n])", tests: "TestMappedCommit TestMappedReaders TestMappedSerialSharing TestMappedOrder",
	},
	{
		name: "meta-inv-nothing", why: "metadata of shared devices is never invalidated", file: "sharedmem.go",
		old: "if m.dev.shared {", new: "if !m.dev.shared {", tests: "TestMappedCommit TestMappedReaders TestMappedSerialSharing TestMappedOrder",
	},
	{
		name: "meta-fence-load", why: "the readers' fence orders stores only", file: "sharedmem.go",
		old: "{ m.dev.cache.fenceLoads() }", new: "{ m.dev.cache.fenceStores() }", tests: "TestMappedCommit TestMappedReaders TestMappedSerialSharing TestMappedOrder",
	},
	{
		name: "meta-fence-store", why: "the writers' fence orders loads only", file: "sharedmem.go",
		old: "{ m.dev.cache.fenceStores() }", new: "{ m.dev.cache.fenceLoads() }", tests: "TestMappedCommit TestMappedReaders TestMappedSerialSharing TestMappedOrder",
	},
}
