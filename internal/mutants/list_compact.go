package main

// Faults in compaction, in its record, and in what is done about memory that had another
// owner.

var compactMutants = []mutant{
	{
		name: "compact-kept-removed", why: "what was removed is kept", file: "compact.go",
		old: "_, removed := n.slab.removedBy(int64(i)); removed {", new: "_, removed := n.slab.removedBy(int64(i)); removed && false {", tests: "TestCompact",
	},
	{
		name: "compact-files-first", why: "files come before the directories that they are in", file: "compact.go",
		old: "append(append(devices, dirs...), files...)", new: "append(append(devices, files...), dirs...)", tests: "TestCompact TestCompactedImage",
	},
	{
		name: "compact-used-first", why: "a file in used memory passes for one that is not", file: "compact.go",
		old: "case int64(i) < usedFrom && ", new: "case int64(i) <= usedFrom && ", tests: "TestFormatRemembersOwner",
	},
	{
		name: "compact-odd-path", why: "a path stays as it was typed", file: "compact.go",
		old: "\tif e.resolvePath() {\n\t\tat := filePathAt", new: "\tif e.resolvePath() && false {\n\t\tat := filePathAt", tests: "TestCompactedImage",
	},
	{
		name: "compact-alloc-config", why: "the reference's own file is lost", file: "compact.go",
		old: "case e.kind == typeFile && e.unserved:", new: "case e.kind == typeFile && e.unserved && false:", tests: "TestCompactedImage",
	},
	{
		name: "compact-other-device", why: "files on other devices are dropped", file: "compact.go",
		old: "case errors.Is(p, ErrDevice):", new: "case errors.Is(p, ErrLocked):", tests: "TestCompactRefused",
	},
	{
		name: "compact-lock", why: "a writer with a pending file is not waited for", file: "compact.go",
		old: "\tif err := f.lock.acquire(context.Background(), c.lockTimeout); err != nil {\n\t\treturn err\n\t}\n\tdefer func() { err = errors.Join(err, f.lock.release()) }()\n\treturn Guard", new: "\treturn Guard", tests: "TestCompactLocked",
	},
	{
		name: "compact-staged-unchecked", why: "damaged entries take the place of sound ones", file: "compact.go",
		old: "if err := checkEntry(&b, i); err != nil {\n\t\t\treturn sb, fmt", new: "if err := checkEntry(&b, i); err != nil && false {\n\t\t\treturn sb, fmt", tests: "TestCompactHostileRecord",
	},
	{
		name: "compact-staged-anywhere", why: "a record may have entries staged over the superblock", file: "compact.go",
		old: "case c.staged%8 != 0 || c.staged < entryAt(c.count) ||", new: "case c.staged%8 != 0 ||", tests: "TestCompactHostileRecord",
	},
	{
		name: "compact-clears-appended", why: "what was appended since is cleared", file: "compact.go",
		old: "err != nil || h.next != c.count {", new: "err != nil || h.next < c.count {", tests: "TestCompactInterruptedThenAppended",
	},
	{
		name: "compact-no-void", why: "a damaged compaction keeps the old file system from being opened", file: "compact.go",
		old: "\tcase stands == oldStands: // nothing is lost yet\n\t\treturn records.void(m)\n", new: "", tests: "TestCompactHostileRecord",
	},
	{
		name: "compact-magic-kept", why: "the old superblock stands while the log changes", file: "superblock_copy.go",
		old: "\tm.store64(magicAt, 0)\n", new: "", tests: "TestStaleCompact",
	},
	{
		name: "compact-busy", why: "readers open what is being compacted", file: "famfs.go",
		old: "case underWay.replacing() || stands != newStands:", new: "case underWay.replacing():", tests: "TestCompactInterrupted",
	},
	{
		name: "compact-anybody", why: "a client finishes a compaction", file: "famfs.go",
		old: "\t\tif err := f.mayOpen(f.sb); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tif err := f.finish", new: "\t\tif err := f.finish", tests: "TestCompactInterrupted",
	},
	{
		name: "record-same-place", why: "a record is written over the latest", file: "compact_record.go",
		old: "place = 1 - latest", new: "place = latest", tests: "TestCompactionRecordTurns",
	},
	{
		name: "record-foreign", why: "the record of another file system counts", file: "compact_record.go",
		old: "case err == nil && sb.UUID == c.uuid && c.isOf(&b):", new: "case err == nil && c.isOf(&b):", tests: "TestCompactHostileRecord",
	},
	{
		name: "record-other-log", why: "a forged record makes the log grow over data", file: "compact_record.go",
		old: "return standing == renewed", new: "return true || standing == renewed", tests: "TestCompactForgedLogSize TestCompactForgedMaster",
	},
	{
		name: "record-forgotten", why: "memory that another file system used passes for new", file: "compact_record.go",
		old: "found, from := -1, int64(0)", new: "found, from := -1, int64(math.MaxInt64)", tests: "TestUsedFrom",
	},
	{
		name: "reused-format", why: "Format does not note that there was a file system", file: "mkfs.go",
		old: "\tif err := rememberOwner(m, sb.DeviceSize, sb.UUID); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestFormatRemembersOwner",
	},
	{
		name: "reused-wipe", why: "Wipe does not note it", file: "mkfs.go",
		old: "\t\tif err := rememberOwner(m, size, sb.UUID); err != nil {\n\t\t\treturn err\n\t\t}\n", new: "", tests: "TestFormatRemembersOwner",
	},
	{
		name: "reused-read", why: "a read may get another file's lines", file: "iofs.go",
		old: "forgetErr := f.forgetOwner(index, n)", new: "forgetErr := error(nil)", tests: "TestReusedMemoryIsInvalidated",
	},
	{
		name: "reused-always", why: "every use invalidates", file: "reused.go",
		old: "n.slab.use(index)", new: "_ = index", tests: "TestReusedMemoryIsInvalidated",
	},
	{
		name: "reused-bad-page", why: "one page that is gone keeps all of a file from being used", file: "reused.go",
		old: "*faults > maxBadPages {", new: "*faults > 0 {", tests: "TestReusedMemoryThatIsGone",
	},
}
