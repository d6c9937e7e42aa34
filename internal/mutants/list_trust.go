package main

// Faults in what makes bytes trustworthy: seals and sums, Verify and Scrub, the superblock's second
// copy, and bad memory.
var trustMutants = []mutant{
	// The second copy of the superblock.
	{
		name: "copy-after-format", why: "Format makes no copy", file: "mkfs.go",
		old: "\tif err := writeCopy(m, &record); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestCopyIsWritten TestCrashFormat",
	},
	{
		name: "copy-stays-alive", why: "the copy of an old file system stands while its log is cleared", file: "superblock_copy.go",
		old: "\tm.store64(copyAt+magicAt, 0)\n\tm.store64(copyAt+copyCRC, 0) //", new: "\t//", tests: "TestCrashFormat TestCrashCompact",
	},
	{
		name: "copy-comes-back", why: "the magic of a new copy brings the old one back", file: "superblock_copy.go",
		old: "\tm.store64(copyAt+copyCRC, 0) //", new: "\t//", tests: "TestCrashCompact",
	},
	{
		name: "copy-of-secondary", why: "a secondary device has no copy", file: "devices_add.go",
		old: "\tif err := writeCopy(m, &record); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestCopyIsWritten TestCrashAddDevice",
	},
	{
		name: "copy-not-renewed", why: "compaction leaves the copy on secondary devices as it was", file: "devices_add.go",
		old: "\treturn writeCopy(m, &b)\n", new: "\treturn nil\n", tests: "TestCopyIsWritten",
	},
	{
		name: "copy-after-compact", why: "compaction makes no new copy", file: "compact.go",
		old: "err == nil {\n\t\terr = writeCopy(m, &c.superblock)\n\t}", new: "err == nil {\n\t}", tests: "TestCopyIsWritten TestCrashCompact",
	},
	{
		name: "copy-after-feature", why: "the copy does not know of the feature", file: "compact_record.go",
		old: "\tif err := writeCopy(m, &b); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestCrashAddDevice",
	},
	{
		name: "copy-sum", why: "a damaged copy is taken", file: "superblock_copy.go",
		old: "\tcase found != want:\n", new: "\tcase found != want && false:\n", tests: "TestRestoreSuperblockRefused TestCrashCopy",
	},
	{
		name: "copy-magic", why: "a copy that was taken away is taken", file: "superblock_copy.go",
		old: "\tcase binary.LittleEndian.Uint64(b[magicAt:]) != superblockMagic:\n", new: "\tcase false:\n", tests: "TestRestoreSuperblockRefused",
	},
	{
		name: "copy-not-repaired", why: "a copy that is missing stays so", file: "famfs.go",
		old: "\t\t\tf.repairCopy()\n", new: "", tests: "TestCopyIsRepaired TestCopyGolden",
	},
	{
		name: "copy-other-uuids", why: "the copy of another file system is taken, whatever is left of the superblock", file: "superblock_restore.go",
		old: "\tif known < 2 {\n", new: "\tif known < 9 {\n", tests: "TestRestoreSuperblockRefused",
	},
	{
		name: "copy-noise", why: "no copy is taken where something else overwrote the superblock", file: "superblock_restore.go",
		old: "\tif known < 2 {\n", new: "\tif known < 0 {\n", tests: "TestRestoreSuperblock",
	},
	{
		name: "copy-zeros", why: "no copy is taken where the UUIDs are zeros", file: "superblock_restore.go",
		old: "\treturn !zeros\n", new: "\treturn true\n", tests: "TestRestoreSuperblock",
		survives: "a superblock of which two words are right and all UUIDs are zeros is one that somebody wrote on purpose",
	},
	{
		name: "copy-log-length", why: "a copy with another log is taken", file: "superblock_restore.go",
		old: "found != uint64(sb.LogSize) {", new: "found != uint64(sb.LogSize) && false {", tests: "TestRestoreSuperblockRefused",
	},
	{
		name: "copy-pins", why: "a copy with another pins unit is taken", file: "superblock_restore.go",
		old: "err == nil && found != sb.UUID {\n\t\t\treturn notOf(sb, fmt.Sprintf(\"the pins", new: "err == nil && found != sb.UUID && false {\n\t\t\treturn notOf(sb, fmt.Sprintf(\"the pins", tests: "TestRestoreSuperblockOtherPins",
	},
	{
		name: "copy-extents", why: "where files lie does not count", file: "superblock_restore.go",
		old: "\tif other > fit {\n", new: "\tif other > fit && false {\n", tests: "TestRestoreSuperblockRefused",
	},
	{
		name: "restore-any-host", why: "any host puts the copy back", file: "superblock_restore.go",
		old: "\tif roleOf(host, sb.SystemUUID) != Master {\n", new: "\tif false {\n", tests: "TestRestoreSuperblock",
	},
	{
		name: "restore-sound", why: "a sound superblock is overwritten", file: "superblock_restore.go",
		old: "\tif soundSuperblock(m) {\n\t\treturn b, sb,", new: "\tif false {\n\t\treturn b, sb,", tests: "TestRestoreSuperblock",
	},
	{
		name: "restore-over-else", why: "the superblock goes over another file system", file: "superblock_restore.go",
		old: "\tif found := findSignature(head); found != \"\" {\n", new: "\tif found := findSignature(head); found != \"\" && false {\n", tests: "TestRestoreSuperblockRefused",
	},
	{
		name: "restore-devices", why: "secondary devices are not asked", file: "superblock_restore.go",
		old: "\tfor _, p := range problems {\n\t\tif lost", new: "\tfor _, p := range problems[:0] {\n\t\tif lost", tests: "TestRestoreSecondary",
	},
	{
		name: "restore-no-tail-first", why: "the superblock counts before what its CRC does not cover is there", file: "superblock_restore.go",
		old: "\tif err := flushAndFence(m, fsUUIDAt, superblockSize-fsUUIDAt); err != nil {\n\t\treturn err\n\t}\n\tm.store(magicAt, b[:fsUUIDAt])\n\tm.store(superblockCRC, b[superblockCRC:flagsAt])\n\treturn flushAndFence(m, magicAt, flagsAt)\n",
		new: "\tm.store(magicAt, b[:fsUUIDAt])\n\tm.store(superblockCRC, b[superblockCRC:flagsAt])\n\treturn flushAndFence(m, magicAt, superblockSize)\n", tests: "TestCrashCopy",
	},
	{
		name: "restore-takes-magic", why: "restoring looks like formatting to who has it open", file: "superblock_restore.go",
		old: "\tm.store(flagsAt, b[flagsAt:])\n", new: "\tm.store64(magicAt, 0)\n\tm.store(flagsAt, b[flagsAt:])\n", tests: "TestRestoreBesideReaders",
	},
	{
		name: "copy-primary-only", why: "second copies of secondary devices are not renewed", file: "superblock_restore.go",
		old: "_, ok, err := copyToBe(window, m.dev.info.Size); err == nil && !ok {", new: "_, ok, err := copyToBe(window, m.dev.info.Size); err == nil && !ok && false {", tests: "TestSecondaryCopyIsRepaired",
	},
	{
		name: "check-adding-nothing", why: "Check reads nothing when adding a device was interrupted", file: "check.go",
		old: " && !c.replacing() {", new: " {", tests: "TestCheckInterruptedAddDevice",
	},
	{
		name: "scrub-no-copy", why: "Scrub does not look at second copies", file: "scrub.go",
		old: "	if err != nil && !errors.Is(err, errNoCopy) {\n\t\tlist(", new: "	if false {\n\t\tlist(", tests: "TestScrubAllRecords",
	},
	{
		name: "scrub-no-header", why: "Scrub does not look at the log header", file: "scrub.go",
		old: "\t\tlist(logOffset, logHeaderSize, err)\n", new: "\t\t_ = err\n", tests: "TestScrubAllRecords",
	},
	{
		name: "scrub-pace-once", why: "the rate does not hold for the second pass", file: "scrub.go",
		old: "f.verifyNode(index, n, pace)", new: "f.verifyNode(index, n, nil)", tests: "TestScrubPacesSecondPass",
	},
	{
		name: "salvage-no-copy", why: "Salvage does not use the copy", file: "superblock_restore.go",
		old: "\tif _, sb, err := secondCopy(m, deviceSize, deviceSize); err == nil {\n\t\treturn sb, true, nil\n\t}\n", new: "", tests: "TestRestoreSuperblock",
	},
	{
		name: "salvage-no-secondary-copy", why: "Salvage does not use the copy on a secondary device", file: "devices_search.go",
		old: "err != nil && f.salvaging && !soundSuperblock(m)", new: "err != nil && false && !soundSuperblock(m)", tests: "TestRestoreSecondary",
	},
	{
		name: "open-lost-late", why: "a superblock that comes while Open looks passes for a damaged one", file: "famfs.go",
		old: "if settled && !lost || try", new: "if settled || lost && settled || try", tests: "TestFormatWhileOthersLook",
	},
	{
		name: "remains-adding", why: "a superblock of several devices without files cannot be put back", file: "salvage.go",
		old: "used := sound && h.next > 0 || scanEntries(m, scanPiece, nil) > 0", new: "used := false", tests: "TestLostOfSeveral",
	},
	{
		name: "remains-no-copy", why: "Format without Force overwrites what only has its copy", file: "salvage.go",
		old: "\tcase noCopy == nil && (!gone || used):\n", new: "\tcase false:\n", tests: "TestCopyRemains",
	},
	// Bad memory.
	{
		name: "bad-not-claimed", why: "bad memory is given out", file: "bad.go",
		old: "\tr.space.claim([]spaceRun{run})\n", new: "", tests: "TestBadMemory TestBadMemoryOnSecondary",
	},
	{
		name: "bad-last-unit", why: "of bad memory in two units one is given out", file: "bad.go",
		old: "first, last := s.off>>r.unitBits, (s.end()-1)>>r.unitBits", new: "first, last := s.off>>r.unitBits, s.off>>r.unitBits", tests: "TestBadMemory",
	},
	{
		name: "bad-beyond-file", why: "a file is on bad memory behind its end", file: "bad.go",
		old: "if ok && offset < n.size {", new: "if ok {", tests: "TestBadMemory TestBadMemoryOfLayouts",
	},
	{
		name: "bad-stripes", why: "bad memory of a strip is taken for one piece of the file", file: "bad.go",
		old: "\t\t\t\t\trun = min(run, place.Chunk-(at-x.Offset)%place.Chunk)\n", new: "", tests: "TestBadMemoryOfLayouts",
		survives: "only the number of bytes at the end of a file differs",
	},
	{
		name: "bad-removed", why: "a removed file is on bad memory", file: "bad.go",
		old: "n.slab.removedBefore(index, ns.end()) || len(problems)", new: "len(problems)", tests: "TestBadMemory",
	},
	{
		name: "bad-no-second-look", why: "a fault says nothing of the device", file: "bad.go",
		old: "\tfault.Gone, fault.Listed = look.gone, look.listed\n", new: "", tests: "TestFaultSaysGone TestFailedMemoryIsAvoided",
	},
	{
		name: "bad-failed-forgotten", why: "memory that failed is given out again", file: "bad.go",
		old: "\t\tb.failed[page] = true\n\t\tf.claimRun(page.device, page.segment)\n", new: "", tests: "TestFailedMemoryIsAvoided",
	},
	{
		name: "bad-gone-is-bad", why: "memory of a device that is gone is taken for bad", file: "dax_bad.go",
		old: "\t\tl.gone = true\n\t\treturn l\n", new: "\t\tl.gone = true\n", tests: "TestFaultSaysGone",
		survives: "lookAgain of bad.go asks for gone first",
	},
	{
		name: "bad-region-start", why: "bad blocks are taken from the beginning of the device, not of its region", file: "dax_bad_linux.go",
		old: "\t\t\tb.off += start\n", new: "", tests: "TestBadBlocksOfDevDAX",
	},
	{
		name: "bad-partition", why: "a partition is taken for the disk", file: "dax_bad_linux.go",
		old: "segment{first*sectorSize + x.physical, x.length}", new: "segment{x.physical, x.length}", tests: "TestBadBlocksOfFile",
	},
	{
		name: "bad-remembered", why: "file systems that are closed stay in memory, for second looks", file: "fault.go",
		old: "strings.Clone(e.name), nil, nil //", new: "strings.Clone(e.name), nil, e.look //", tests: "TestWindowForgotten",
	},
	{
		name: "bad-compact", why: "bad memory prevents a compaction", file: "compact.go",
		old: "\tproblems := f.passedOver()\n", new: "\tproblems := f.Problems()\n", tests: "TestBadMemory",
	},
	// Seals, Verify, Scrub.
	{
		name: "seal-log-unread", why: "a file that may be sealed is mapped for writing if the log cannot be read", file: "seal.go",
		old: "\tif _, err := f.catchUp(); err != nil {\n\t\treturn fmt.Errorf(\"find out whether it is sealed: %w\", err)\n\t}\n", new: "\t_, _ = f.catchUp()\n", tests: "TestMapWritableNeedsTheLog",
	},
	{
		name: "seal-mapped", why: "a file is sealed that is mapped for writing", file: "mapping.go",
		old: "\tcase t.regions[regionKey{index, true}] != nil:\n", new: "\tcase false:\n", tests: "TestSealAgainstMap",
	},
	{
		name: "seal-exposed", why: "a sum is kept though the caller may write", file: "seal.go",
		old: "\tif !p.sums.exposed {\n\t\tknown = p.sums.parts\n\t}\n", new: "\tknown = p.sums.parts\n", tests: "TestSealFilled",
	},
	{
		name: "seal-twice", why: "a file is sealed a second time", file: "seal.go",
		old: "if by, sealed := n.slab.sealedBy(index); sealed {\n\t\t\t// An", new: "if by, sealed := n.slab.sealedBy(index); sealed && false {\n\t\t\t// An", tests: "TestSealRefused",
	},
	{
		name: "seal-of-removed", why: "a removed file counts as sealed", file: "replica.go",
		old: "\t\tr.counts.sealed--\n", new: "", tests: "TestCrashAppend TestCrashBatch",
	},
	{
		name: "verify-no-second-read", why: "a stale cache is taken for damage", file: "verify.go",
		old: "\tcase again == want:\n", new: "\tcase again == want && false:\n", tests: "TestVerifyStaleCache",
	},
	{
		name: "copy-damaged", why: "a copy that may replace passes over a sealed file that is damaged", file: "copyfs.go",
		old: "if c.replaces(target) {\n\t\tvar sum", new: "if c.replaces(target) && false {\n\t\tvar sum", tests: "TestCopyReplacesDamagedSealed",
	},
	{
		name: "copy-only", why: "ReplaceOnly replaces everything", file: "copyfs.go",
		old: "c.replaceOnly != nil && c.replaceOnly(target)\n}", new: "c.replaceOnly != nil\n}", tests: "TestCopyFSReplaceOnly",
	},
	{
		name: "copy-on-bad", why: "a copy that may replace leaves a file on memory that is listed as bad", file: "copyfs.go",
		old: "if c.replaces(target) && c.fs.isOnBad", new: "if false && c.fs.isOnBad", tests: "TestCopyReplacesOnBadMemory",
	},
	{
		name: "copy-faults", why: "a copy that may replace fails with a file that cannot be read", file: "copyfs.go",
		old: "case c.replaces(target) && errors.As(err, &fault)", new: "case false && errors.As(err, &fault)", tests: "TestCopyReplacesWhatFaults",
	},
	{
		name: "verify-cached", why: "Verify reads what the caches have", file: "seal.go",
		old: "\t\tdev.cache.invalidate(mem)\n\t}\n\tif len(mem) > aroundFault", new: "\t}\n\tif len(mem) > aroundFault", tests: "TestVerifyStaleCache",
	},
	{
		name: "scrub-first-only", why: "Scrub ends a piece at the first page that fails", file: "scrub.go",
		old: "\t\t\tbad = append(bad, BadRange{Name: name, Offset: at, Length: end - at,", new: "\t\t\tat = to\n\t\t\tbad = append(bad, BadRange{Name: name, Offset: end - leastPage, Length: leastPage,", tests: "TestScrubFaults",
	},
	{
		name: "scrub-unsealed", why: "Scrub does not compare with seals", file: "scrub.go",
		old: "whole && sealed {", new: "whole && sealed && false {", tests: "TestVerifyFindsFlips",
	},
	{
		name: "scrub-entries", why: "Scrub does not check the entries", file: "scrub.go",
		old: "\t\t\treturn checkEntry(&b, index)\n", new: "\t\t\treturn nil\n", tests: "TestScrubMetadata",
	},
	{
		name: "scrub-join", why: "ranges that do not follow each other become one", file: "scrub.go",
		old: "joined[last].Offset+joined[last].Length == b.Offset {", new: "true {", tests: "TestScrubFaults",
	},
	{
		name: "sum-order", why: "the sums of two parts are combined in the wrong order", file: "crc32c.go",
		old: "timesPoly(shift, first) ^ second", new: "timesPoly(shift, second) ^ first", tests: "TestCombineCRC TestSealFilled",
	},
	{
		name: "sum-parts-unbounded", why: "a file that is filled in strides keeps a part for each", file: "create.go",
		old: "\tp.sums.most = maxParts\n", new: "", tests: "TestSealFilledInStrides",
	},
	{
		name: "sum-overlap", why: "the sum of bytes that were overwritten counts", file: "sum.go",
		old: "return p.parts[i].to > from })", new: "return p.parts[i].to > from+1 })", tests: "TestCRCParts",
	},
	{
		name: "restore-uuids-last", why: "what an interrupted restoring leaves is another file system's", file: "superblock_restore.go",
		old: "\tm.store(fsUUIDAt, b[fsUUIDAt:superblockCRC])\n", new: "\tm.store(magicAt, b[magicAt:superblockCRC])\n", tests: "TestRestoreInterrupted",
	},
	{
		name: "restore-flags", why: "a secondary device whose flags are damaged cannot be put back", file: "salvage.go",
		old: " && hasNoLog(&b) == isSecondary(&b)", new: "", tests: "TestRestoreSecondaryFlags",
	},
	{
		name: "scrub-evicted", why: "a host that was evicted finds damage", file: "scrub.go",
		old: "err != nil && lost != nil:\n\t\t\ts.bad", new: "err != nil || lost != nil:\n\t\t\ts.bad", tests: "TestScrubEvictedInSecondPass",
	},
}
