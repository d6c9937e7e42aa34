package main

// Replaying the log, and what its entries mean together.

var logMutants = []mutant{
	{
		name: "decode-odd-order", why: "odd entries are kept in the order in which they were read", file: "log_decode.go",
		old: "for at > 0 && odd[at-1].index > o.index {", new: "for at > 0 && odd[at-1].index > o.index && false {", tests: "TestCorruptBeforeUnacceptable TestUnsoundEntriesTogether",
	},
	{
		name: "decode-retry-noinv", why: "an entry that had not arrived is read again from the cache", file: "log_decode.go",
		old: "\t\t\tw.meta.invalidate(entryAt(index), entrySize)\n", new: "", tests: "TestLateEntry TestStaleTeeth",
	},
	{
		name: "decode-corrupt-node", why: "an entry that stayed unsound leaves its node behind", file: "log_decode.go",
		old: "\t\t\t\td.slab.records[index&(slabNodes-1)].drop()\n\t\t\t}\n\t\t\treturn", new: "\t\t\t}\n\t\t\treturn",
		survives: "records of a slab are empty where an entry is only passed over if it is corrupt (Check, Salvage); a block that is stopped at, or read again, does not use them",
	},
	{
		name: "decode-odd-node", why: "an entry that is unacceptable leaves its node behind", file: "log_decode.go",
		old: "\t\t\td.slab.unpath(at)\n\t\t\td.slab.records[index&(slabNodes-1)].drop()\n", new: "\t\t\td.slab.unpath(at)\n", tests: "TestRepairedWithoutNode",
	},
	{
		name: "replay-settled-keep", why: "pauses of earlier replays count on, so that later ones do not wait", file: "log_replay.go",
		old: "\tr.settled.Store(0)\n", new: "", tests: "TestEachReplayWaits",
	},
	{
		name: "replay-fresh-nosame", why: "Open does not look at the superblock again", file: "log_replay.go",
		old: "if policy != skipCorrupt && d.err == nil {", new: "if policy != skipCorrupt && d.err == nil && !fresh {", tests: "TestFormattedWhileOpening",
	},
	{
		name: "replay-unread-max", why: "a tolerant replay lists one problem too many", file: "log_replay.go",
		old: "if len(unread) == maxProblems {", new: "if len(unread) > maxProblems {", tests: "TestMostProblems",
	},
	{
		name: "replay-stop-served", why: "a tolerant reader serves the corrupt entry's successors in its block", file: "log_replay.go",
		old: "\t\t\td.end = d.bad.index\n", new: "", tests: "TestUnsoundEntries TestUnsoundEntriesTogether",
	},
	{
		name: "replay-goes-back", why: "a log that became shorter is followed", file: "log_replay.go",
		old: "case h.next < r.next:", new: "case h.next < r.next && false:", tests: "TestNextIndexGoesBack",
	},
	{
		name: "replica-dircache", why: "a file is remembered as the last directory", file: "replica.go",
		old: "\tif !r.ns.node(index).isDir() {\n", new: "\tr.lastDir, r.lastDirIndex = path, index\n\tif !r.ns.node(index).isDir() {\n", tests: "TestSecondBelowFile",
	},
	{
		name: "replica-maxproblems", why: "the notice that problems are left out is lost", file: "replica.go",
		old: "case n > maxProblems:", new: "case n >= maxProblems:", tests: "TestMostProblems",
	},
	{
		name: "replica-claims-last", why: "the last unit that an unacceptable entry claims is given out", file: "log_decode.go",
		old: "end = last/unit + 1", new: "end = max(start, last/unit)", tests: "TestUnacceptableEntries",
	},
	{
		name: "replica-passover-claim", why: "the space of an entry that was passed over is given out", file: "replica.go",
		old: "\t\tr.space.claim([]spaceRun{{x.Device, r.space.unitsOf(&x)}})\n", new: "\t\t_ = x\n", tests: "TestProblemsOfOneAnother TestUnacceptableEntries",
	},
	{
		name: "replica-device-index", why: "a further device may come with any index", file: "replica.go",
		old: "want := len(r.devices) + 1; int64(o.deviceIndex) != int64(want) {", new: "want := len(r.devices) + 1; int64(o.deviceIndex) < 1 || want < 1 {", tests: "TestUnacceptableEntries TestProblemsOfOneAnother",
	},
	{
		name: "order-ahead", why: "one block more than there is room for may come early, and takes the place of another", file: "log_order.go",
		old: "for block-q.next >= maxAhead && !q.ended {", new: "for block-q.next > maxAhead && !q.ended {", tests: "TestInTurn",
	},
	{
		name: "replay-settled-unbounded", why: "one replay waits as often as there are bad entries", file: "replica.go",
		old: "<= maxSettle {", new: "<= maxSettle*1000 {", tests: "TestOneReplayWaitsSoLong",
	},
	{
		name: "replay-tolerant-half", why: "a tolerant replay applies blocks as they come", file: "log_replay.go",
		old: "\t\tcase fresh:\n", new: "\t\tcase fresh || policy == stopAtCorrupt:\n", tests: "TestFailedReplayAppliesNothing",
	},
	{
		name: "replay-unread-late", why: "the unread is listed after the rest was applied", file: "log_replay.go",
		old: "\tfrom := end\n", new: "\tfrom := end\n\tfor _, d := range kept {\n\t\tr.apply(d, d.end)\n\t}\n\tkept = nil\n", tests: "TestFailedReplayAppliesNothing",
	},
	{
		name: "replay-bad-forgotten", why: "the corrupt entry is not known again, so that all is read again", file: "log_replay.go",
		old: "\t\t\tr.bad = d.bad\n", new: "\t\t\tr.bad = d.bad\n\t\t\tdefer func() { r.bad.record = [entrySize]byte{} }()\n", tests: "TestCorruptEntryStays",
	},
	{
		name: "replay-bad-noinv", why: "the corrupt entry is looked at in the cache", file: "log_replay.go",
		old: "\tr.meta.invalidate(at, entrySize)\n", new: "", tests: "TestCorruptEntryStays",
	},
	{
		name: "replay-bad-nofence", why: "the corrupt entry is looked at before the cache has forgotten it", file: "log_replay.go",
		old: "\tr.meta.invalidate(at, entrySize)\n\tr.meta.fenceLoads()\n", new: "\tr.meta.invalidate(at, entrySize)\n", tests: "TestCorruptEntryStays",
	},
	{
		name: "replay-bad-nosame", why: "a client that stays at a corrupt entry does not look whose it is", file: "log_replay.go",
		old: "\tif err := r.sameFileSystem(); err != nil {\n\t\treturn false, err\n\t}\n\tif policy", new: "\tif policy", tests: "TestFormattedWhileStuck",
	},
	{
		name: "replay-unread-stays", why: "what was not served is listed although the log has ended before it", file: "log_replay.go",
		old: "\t\tr.setUnread(nil, r.next, r.next)\n", new: "", tests: "TestCorruptEntryStays",
	},
	{
		name: "replica-problems-own", why: "Problems gives out its own slice", file: "famfs.go",
		old: "\treturn append(f.devices.listProblems(), f.replica.listProblems()...)\n", new: "\tif all := f.devices.listProblems(); len(all) > 0 {\n\t\treturn append(all, f.replica.listProblems()...)\n\t}\n\treturn f.replica.listed.Load().passedOver\n", tests: "TestProblemsAreCopies",
	},
	{
		name: "replica-problem-text", why: "a problem keeps a slab's text alive", file: "replica.go",
		old: "r.passOver(int64(index), n, n.ownPath(), err)", new: "r.passOver(int64(index), n, n.path(), err)", tests: "TestProblemsAreCopies",
	},
	{
		name: "replica-primary-index", why: "the primary, added again, uses up an index", file: "replica.go",
		old: "map[UUID]int{sb.DeviceUUID: 0}", new: "map[UUID]int{}", tests: "TestPrimaryAddedAgain",
	},
	{
		name: "decode-odd-text", why: "a path that is not served stays in the slab's text", file: "log_decode.go",
		old: "\t\t\td.slab.unpath(at)\n", new: "", tests: "TestProblemsAreCopies",
	},
	{
		name: "name-above-root", why: "a path may leave the root", file: "name.go",
		old: `clean == ".." || `, new: "", tests: "TestUnacceptableEntries",
	},
	{
		name: "name-problem-clean", why: "a problem gives the clean path instead of the one that was logged", file: "replica.go",
		old: "r.passOver(int64(o.index), n, o.path, err)", new: "r.passOver(int64(o.index), n, n.ownPath(), err)", tests: "TestPathsAsTyped",
	},
	{
		name: "unserved-claims", why: "the space of the reference's own file is given out", file: "log_decode.go",
		old: "odd.kind, odd.claims = oddUnserved, e.claims(w.geo)", new: "odd.kind = oddUnserved", tests: "TestUnservedEntries",
	},
	{
		name: "log-unlisted", why: "entries beyond the problems that are kept count as sound", file: "log_entries.go",
		old: "index >= unlisted {", new: "index >= unlisted && false {", tests: "TestLogOfTolerant",
	},
	{
		name: "log-end", why: "Log ends with the problems that are kept", file: "log_entries.go",
		old: "max(end, list.end)", new: "max(end, list.from+uint64(len(list.unread)))", tests: "TestLogOfTolerant",
	},
	{
		name: "log-device-index", why: "a huge device index is shown as another", file: "log_entries.go",
		old: "min(uint64(e.deviceIndex), math.MaxInt)", new: "min(uint64(e.deviceIndex), math.MaxInt32)", tests: "TestLogShowsWhatIsThere",
	},
	{
		name: "logger-in-place", why: "a logger is called where messages are written", file: "logger.go",
		old: "\th.journal.add(message{r.Clone(), h.with})\n", new: "\th.journal.add(message{r.Clone(), h.with})\n\th.journal.tell()\n", tests: "TestLoggerMayCallBack TestLoggerPanics",
	},
	{
		name: "logger-nested", why: "a logger is called within itself", file: "logger.go",
		old: "\tif j.telling {\n", new: "\tif j.telling && false {\n", tests: "TestLoggerMayCallBack TestLoggerOfManyGoroutines",
	},
	{
		name: "logger-panic-stuck", why: "after a logger's panic nothing is told any more", file: "logger.go",
		old: "\t\t\tj.end()\n", new: "", tests: "TestLoggerPanics",
	},
	{
		name: "logger-open-leak", why: "Open keeps what it opened when a logger panics", file: "famfs.go",
		old: "\t\t\tfsys.release()\n", new: "", tests: "TestLoggerPanics",
	},
	{
		name: "logger-create-leak", why: "Create keeps its file when a logger panics", file: "create.go",
		old: "\tf.journal.tellOr(func() {\n\t\tif err == nil {\n\t\t\tp.Close()\n", new: "\tf.journal.tellOr(func() {\n\t\tif err == nil {\n", tests: "TestLoggerPanics",
	},
	{
		name: "logger-unbounded", why: "messages pile up without bound", file: "logger.go",
		old: "if len(j.messages) >= maxMessages {", new: "if len(j.messages) >= 2*maxMessages {", tests: "TestJournalBounded",
	},
	{
		name: "newer-format-written", why: "a newer format is written to", file: "famfs.go",
		old: "if c.readWrite || c.clientWrites {\n\t\t\treturn fmt.Errorf(\"for writing: %w; it can be read", new: "if c.readWrite && false {\n\t\t\treturn fmt.Errorf(\"for writing: %w; it can be read", tests: "TestNewerFormat",
	},
}
