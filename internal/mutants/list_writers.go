package main

// Creating, the order of appending, the writers' lock, copying trees.

var writerMutants = []mutant{
	{
		name: "append-flusherr", why: "that the header may not have reached the disk is not said", file: "log_append.go",
		old: "\tif err != nil {\n\t\treturn fmt.Errorf(\"is written, but", new: "\tif err != nil && false {\n\t\treturn fmt.Errorf(\"is written, but", tests: "TestDiskErrors TestCommitUncertain",
	},
	{
		name: "create-bytes-notouch", why: "what is written through Bytes is not flushed by Commit", file: "create.go",
		old: "\tp.touch(0, p.size) // what is written to the slice from now on cannot be known\n", new: "", tests: "TestMappedCommit",
	},
	{
		name: "small-size", why: "files are small that do not fit into a buffer", file: "create_small.go",
		old: "p.size > smallFile ||", new: "p.size > 2*smallFile ||", tests: "TestSmallFiles",
	},
	{
		name: "small-calls", why: "a file that comes in many pieces is written call by call", file: "create_small.go",
		old: "p.calls == fewCalls ||", new: "", tests: "TestSmallFiles",
	},
	{
		name: "small-runs", why: "a call writes past the end of a run", file: "create_small.go",
		old: "b[n:min(n+run, int64(len(b)))]", new: "b[n:max(n+run, int64(len(b)))]", tests: "TestSmallFiles",
	},
	{
		name: "small-touch", why: "Commit does not wait for the disk with what calls wrote", file: "create_small.go",
		old: "\tif p.home.writeBack() {\n\t\tp.touch", new: "\tif p.home.writeBack() && false {\n\t\tp.touch", tests: "TestSmallFileSynced TestDiskErrors",
	},
	{
		name: "small-sync-run", why: "Commit waits for the disk with more than was written", file: "create_small.go",
		old: "\t\trun = min(run, p.dirtyTo-at)\n", new: "", tests: "TestSmallFileSynced",
	},
	{
		name: "small-fault", why: "lost memory of a source is what the call says of it", file: "create_small.go",
		old: "case isBadAddress(err):", new: "case isBadAddress(err) && false:", tests: "TestFillFromFault",
	},
	{
		name: "small-room", why: "a small file's source is read before there is room", file: "create_small.go",
		old: "if !p.unreserved && p.reserve() != nil {", new: "if !p.unreserved && p.reserve() != nil && p.calls < 0 {", tests: "TestSmallFileWithoutRoom",
	},
	{
		name: "small-cut", why: "a call makes a stand-in longer that was cut short", file: "dax_write.go",
		old: "case end < d.info.Size:", new: "case end < 0:", tests: "TestSmallFileCut",
	},
	{
		name: "small-shared", why: "calls write what hosts share, and leave it in this host's caches", file: "dax_write.go",
		old: "d.coherentCalls && !d.shared", new: "d.coherentCalls", tests: "TestSmallFiles TestMappedCommit",
	},
	{
		name: "small-limit", why: "a process that may not write so far is ended by a signal", file: "dax_linux.go",
		old: "uint64(limit.Cur) >= uint64(size)", new: "size >= 0", tests: "TestSystemLimits",
	},
	{
		name: "small-limit-later", why: "a limit that is set after Open is not noticed", file: "create_small.go",
		old: "if !p.home.every(func(d *device) bool { return mayReach(d.info.Size) }) {", new: "if false {", tests: "TestSystemLimits",
	},
	{
		name: "large-mapped", why: "a large file that is mapped is written by calls", file: "create_small.go",
		old: "return p.region == nil && n >= largeCall", new: "return n >= largeCall", survives: "calls are preferred on tmpfs only, where they and a mapping see the same pages: it is slower, and nothing else",
	},
	{
		name: "large-pieces", why: "many small pieces are written call by call", file: "create_small.go",
		old: "n >= largeCall &&", new: "n > 0 &&", tests: "TestLargeFilesByCalls",
	},
	{
		name: "large-left", why: "a source is not left at the end of what was written by calls", file: "create_small.go",
		old: "return n, errors.Join(err, src.leaveAt(n))", new: "return n, err", tests: "TestLargeFilesByCalls",
	},
	{
		name: "large-kept", why: "one that may keep its buffer gets one that is used again", file: "create_small.go",
		old: "\tif mayKeep(r) {\n\t\treturn nil\n\t}\n", new: "", tests: "TestLargeFilesByCalls",
	},
	{
		name: "small-kept", why: "a reader that keeps its buffer can spoil another file", file: "create_source.go",
		old: "\t\treturn false\n\t}\n\treturn true\n}\n\n// errBadReader", new: "\t\treturn false\n\t}\n\treturn false\n}\n\n// errBadReader", tests: "TestSmallFileOfKeeper",
	},
	{
		name: "same-left", why: "a source that was compared is not left at its end", file: "copyfs_compare.go",
		old: "if leaveErr := src.leaveAt(read); err == nil {", new: "if leaveErr := error(nil); err == nil {", tests: "TestSameContent",
	},
	{
		name: "same-off", why: "each piece of a source is compared with the first of the file", file: "copyfs_compare.go",
		old: "f.sameBytes(n, at, b[:read])", new: "f.sameBytes(n, from, b[:read])", tests: "TestSameContent",
	},
	{
		name: "same-runs", why: "each run of a file is compared with the same bytes", file: "copyfs_compare.go",
		old: "\t\tb = b[len(mem):]\n", new: "", tests: "TestSameContent",
	},
	{
		name: "create-noforget", why: "a file that is given up leaves its dirty lines in the caches", file: "create.go",
		old: "\t\tp.forget()\n", new: "", tests: "TestMappedGivenUp TestInvalidatesOnlyShared",
	},
	{
		name: "create-chunk-equal", why: "a file of just one chunk is not interleaved", file: "replica.go",
		old: "size >= interleave.Chunk {", new: "size > interleave.Chunk {", tests: "TestCreateInterleaved",
	},
	{
		name: "replay-nosame", why: "a look at the log does not see that the device was formatted anew", file: "log_replay.go",
		old: "\t\tif r.line != r.identity {\n", new: "\t\tif r.line != r.identity && false {\n", tests: "TestReformatted",
	},
	{
		name: "append-nolook", why: "an append does not look before it stores: an entry that is there is overwritten", file: "log_append.go",
		old: "\tif _, err := r.catchUp(failAtCorrupt, false); err != nil {\n\t\treturn -1, err\n\t}\n", new: "", tests: "TestAppendInterrupted TestReformattedCommit",
	},
	{
		name: "append-twice", why: "a commit that is tried again logs the file twice", file: "create_commit.go",
		old: "\tif b == nil {", new: "\tif b == nil || true {", tests: "TestCommitUncertain TestAppendInterrupted",
	},
	{
		name: "append-certain", why: "what a failed disk may lose counts as made for who asks again", file: "log_append.go",
		old: "\tr.uncertain.Store(true)\n", new: "", tests: "TestUncertainThere",
	},
	{
		name: "append-counters-first", why: "the counters may say that an entry is there before it is", file: "log_append.go",
		old: "\tr.meta.fenceStores()\n\tif err = r.announce(", new: "\tif err = r.announce(", tests: "TestCrashAppend TestCrashTeeth",
	},
	{
		name: "append-sequence", why: "a sequence number that is ahead stays so", file: "log_append.go",
		old: "if err != nil || h.seq == h.next {", new: "if err != nil || h.seq >= h.next {", tests: "TestOpenRepairsSequence TestAppendRepairsCounters",
	},
	{
		name: "create-failed-final", why: "a commit whose flush failed may be tried again, and loses data", file: "create_commit.go",
		old: "\t\t\tp.fails(err)\n\t\t\treturn err\n", new: "\t\t\treturn err\n", tests: "TestDiskErrors TestCommitCannotFlush",
	},
	{
		name: "create-hold", why: "Close waits for a Create that waits for another writer", file: "create.go",
		old: "\tif !f.gate.hold() { // also while it waits for the writers' lock\n\t\treturn nil, fs.ErrClosed\n\t}\n\tdefer func() {\n\t\tif made == nil {\n\t\t\tf.gate.letGo()\n\t\t}\n\t}()\n", new: "\tif !f.gate.enter() {\n\t\treturn nil, fs.ErrClosed\n\t}\n\tdefer func() {\n\t\tf.gate.leave()\n\t\tif made != nil {\n\t\t\tf.gate.hold()\n\t\t}\n\t}()\n", tests: "TestCloseRefusedDisturbsNobody",
	},
	{
		name: "create-pending-name", why: "two files of one name may be pending", file: "create.go",
		old: "if _, pending := f.pending[name]; pending {", new: "if _, pending := f.pending[name]; pending && false {", tests: "TestCreateAbandoned",
	},
	{
		name: "create-log-promise", why: "entries that pending files need are given to others", file: "create.go",
		old: "taken := f.replica.next + uint64(f.promised);", new: "taken := f.replica.next;", tests: "TestLogFull TestLimitLog",
	},
	{
		name: "create-bucket-turn", why: "every file begins with the first bucket", file: "replica.go",
		old: "int(r.next%uint64(interleave.Buckets)), on)", new: "0, on)", tests: "TestCreateInterleaved TestBucketsInTurn",
	},
	{
		name: "mkdirall-race", why: "MkdirAll fails if another made the directory meanwhile", file: "create.go",
		old: "if errors.Is(err, fs.ErrExist) {\n\t\t// Another", new: "if errors.Is(err, fs.ErrExist) && false {\n\t\t// Another", tests: "TestMkdirAllOfAnotherWriter",
	},
	{
		name: "lock-holders", why: "the first writer that ends gives the device's lock to others", file: "writelock.go",
		old: "\tcase l.holders > 0:\n\t\treturn nil", new: "\tcase l.holders > 99:\n\t\treturn nil", tests: "TestLockBetweenWriters",
	},
	{
		name: "lease-timer", why: "a lease is renewed although another writer waits", file: "writelock.go",
		old: "waiting, err := l.dev.othersWait(); !waiting && err == nil {\n\t\t\tl.timer", new: "_, err := l.dev.othersWait(); err == nil {\n\t\t\tl.timer", tests: "TestLeaseTimerSeesOthers",
	},
	{
		name: "lease-uses", why: "a lease has no end while the timer is late", file: "writelock.go",
		old: "!l.over && l.uses < leaseUses:", new: "!l.over:", tests: "TestLeaseLetsOthersGoFirst",
	},
	{
		name: "lease-idle", why: "a lease that nobody uses is renewed", file: "writelock.go",
		old: "idle := l.uses == l.usesBefore", new: "idle := false", tests: "TestLeaseEndsByItself TestLease",
	},
	{
		name: "lease-always", why: "the lock is kept by who writes now and then", file: "writelock.go",
		old: "case waiting, err != nil, l.streak < leaseAfter:", new: "case waiting, err != nil:", tests: "TestLeaseOfLongWrites TestLease",
	},
	{
		name: "lease-both-yield", why: "two writers let each other go first", file: "writelock.go",
		old: "l.mark(l.waiters > 0 && ok)", new: "l.mark(l.waiters > 0)", tests: "TestLeaseTwoYield",
	},
	{
		name: "lease-has-it", why: "a writer that has the lock is seen to wait for it", file: "writelock.go",
		old: "\t\tl.mark(false) // the others", new: "\t\tl.mark(l.waiters > 0) // the others", tests: "TestLeaseTwoYield",
	},
	{
		name: "lease-last-try", why: "a lock that nobody has is refused to who lets others go first", file: "writelock.go",
		old: "l.try(over == nil)", new: "l.try(true)", tests: "TestLeaseYieldsWithinTimeout",
	},
	{
		name: "lease-long", why: "who writes large files lets nobody go first", file: "writelock.go",
		old: "l.streak < leaseAfter && !late", new: "l.streak < leaseAfter", tests: "TestLeaseOfLongWrites",
	},
	{
		name: "lease-waited-for", why: "the lock is kept though others wait", file: "writelock.go",
		old: "case waiting, err != nil,", new: "case err != nil,", tests: "TestLeaseOfLongWrites",
	},
	{
		name: "lease-stopped", why: "a process that is stopped while it waits is let go first for ever", file: "writelock.go",
		old: "now.After(l.deafUntil)", new: "!now.IsZero()", tests: "TestLeaseOfWhoIsStopped",
	},
	{
		name: "lease-part", why: "a lease goes on though the lock was given back in part", file: "writelock.go",
		old: "l.leased && !l.over:\n\t\tl.uses++", new: "l.leased:\n\t\tl.uses++", tests: "TestLeaseGivenBackInPart",
	},
	{
		name: "lease-network", why: "the lock is kept where others cannot mark that they wait", file: "dax_lock_byte_linux.go",
		old: "d.info.Caution != \"\"", new: "d.info.Caution == \"never\"", tests: "TestLeaseOnNetwork",
	},
	{
		name: "lease-closed", why: "the timer gives back the lock of a device that is closed", file: "writelock.go",
		old: "if !l.leased || l.ended {\n\t\treturn", new: "if !l.leased && !l.ended {\n\t\treturn", tests: "TestCloseEndsLease TestLease",
	},
	{
		name: "watch-gone", why: "Watch yields entries that made nothing", file: "watch.go",
		old: "next, !n.gone()", new: "next, true", tests: "TestProblemsAreCopies TestWatch",
	},
	{
		name: "unit-ignored", why: "AllocUnit is ignored", file: "mkfs.go",
		old: "AllocUnit:  c.unit,", new: "AllocUnit:  defaultUnit,", tests: "TestAllocUnit",
	},
	{
		name: "unit-around", why: "a file that shares pages is filled at their beginning", file: "mapping.go",
		old: "r.mem = r.mem[p.off-from:][:p.len:p.len]", new: "r.mem = r.mem[:p.len:p.len]", tests: "TestUnitsBelowPages",
	},
	{
		name: "unit-view", why: "View fails where pages are larger than units", file: "view.go",
		old: "if errors.Is(err, ErrDevice) && h.unaligned", new: "if errors.Is(err, ErrBusy) && h.unaligned", tests: "TestUnitsBelowPages",
	},
	{
		name: "watch-all-removed", why: "WatchAll yields what was removed before", file: "watch.go",
		old: "!there || at != index", new: "!there && at == index", tests: "TestWatchAll",
	},
	{
		name: "watch-all-replaced", why: "WatchAll yields what was replaced before", file: "watch.go",
		old: "!there || at != index", new: "!there || at == -7", tests: "TestWatchAll",
	},
	{
		name: "watch-all-twice", why: "WatchAll takes what is there for new", file: "watch.go",
		old: "every, 0, f.replica.ns.end())", new: "every, 0, 0)", tests: "TestWatchAll",
	},
	{
		name: "opts-logger", why: "WithLogger is ignored", file: "options.go",
		old: "return openOption(func(c *openConfig) { c.log = log })", new: "return openOption(func(c *openConfig) { _ = log })", tests: "TestLoggerIsTold",
	},
	{
		name: "log-gate", why: "Log of a closed FS ends with another error", file: "log_entries.go",
		old: "\t\treturn LogEntry{}, fs.ErrClosed\n", new: "\t\treturn LogEntry{}, fs.ErrInvalid\n", tests: "TestLogAfterClose",
	},
}

var copyMutants = []mutant{
	{
		name: "copyfs-ctx", why: "files under way are broken off when another fails", file: "copyfs.go",
		old: "c.note(c.copyFile(copying, name), stop)", new: "_ = copying\n\t\t\t\t\tc.note(c.copyFile(ctx, name), stop)", tests: "TestCopyFSFinishesOthers",
	},
	{
		name: "copyfs-isdir", why: "a file where a directory of that name is: the wrong reason", file: "copyfs.go",
		old: "case there.IsDir():\n\t\treturn fmt", new: "case there.IsDir() && false:\n\t\treturn fmt", tests: "TestCopyFSOntoDirectory",
	},
	{
		name: "copyfs-optorder", why: "CreateWith does not override the mode", file: "copyfs.go",
		old: "slices.Concat([]CreateOption{Mode(st.Mode())}, from, c.create, []CreateOption{WithContext(ctx)})", new: "slices.Concat(c.create, from, []CreateOption{Mode(st.Mode()), WithContext(ctx)})", tests: "TestCopyFSCreateWith",
	},
	{
		name: "copyfs-lockctx", why: "waiting for the lock goes on when the copy's context is done", file: "copyfs.go",
		old: "slices.Concat([]CreateOption{Mode(st.Mode())}, from, c.create, []CreateOption{WithContext(ctx)})", new: "slices.Concat([]CreateOption{Mode(st.Mode()), WithContext(ctx)}, from, c.create)", tests: "TestCopyFSContextWhileLocked",
	},
	{
		name: "copyfs-same", why: "files of one length count as the same", file: "copyfs_compare.go",
		old: "if !bytes.Equal(mem, b[:len(mem)]) {", new: "if !bytes.Equal(mem, b[:len(mem)]) && false {", tests: "TestCopyFSUnsuitable",
	},
	{
		name: "copyfs-behind", why: "what another made in the midst of the copy is an error", file: "copyfs.go",
		old: "errors.Is(err, fs.ErrExist) {", new: "errors.Is(err, fs.ErrExist) && false {", tests: "TestCopyFSBehind",
	},
	{
		name: "copyfs-itself", why: "a tree is copied into itself through another FS of the device", file: "copyfs.go",
		old: "if !ok || i.fs != c.fs && !i.fs.sharesDevice(c.fs) {", new: "if !ok || i.fs != c.fs {", tests: "TestCopyFSIntoItself",
	},
	{
		name: "copyfs-itself-prefix", why: "a directory whose name begins like the source's counts as within it", file: "copyfs.go",
		old: "strings.HasPrefix(c.dir, root+\"/\")", new: "strings.HasPrefix(c.dir, root)", tests: "TestCopyFSIntoItself",
	},
	{
		name: "copyfs-clone", why: "a copy of the device's file counts as the device", file: "copyfs.go",
		old: "return os.SameFile(a, b) || !a.Mode().IsRegular() && !b.Mode().IsRegular()", new: "return os.SameFile(a, b) || a.Mode() == b.Mode()", tests: "TestCopyFSIntoItself",
	},
	{
		name: "copyfs-mtime", why: "a source that was written to is committed if its size is the same", file: "copyfs.go",
		old: "case !now.ModTime().Equal(before.ModTime()):", new: "case false:", tests: "TestCopyFSChangedSource",
	},
	{
		name: "copyfs-longer", why: "what is there is taken for a source that goes on behind it", file: "copyfs.go",
		old: "if err := checkEnd(from, size); err != nil {", new: "if err := checkEnd(from, size); err != nil && false {", tests: "TestCopyFSLyingSource",
	},
	{
		name: "copyfs-files-open", why: "workers wait for ever when listing the source panics", file: "copyfs.go",
		old: "\t\tdefer close(files)\n\t\terr = c.walk(ctx, copying, files, stop)\n", new: "\t\terr = c.walk(ctx, copying, files, stop)\n\t\tclose(files)\n", tests: "TestCopyFSPanics",
	},
	{
		name: "fill-err-last", why: "an error that comes with the last bytes is lost", file: "create_source.go",
		old: "\t\tcase err != nil:\n\t\t\tif at < len(mem) {", new: "\t\tcase err != nil && at < len(mem):\n\t\t\tif at < len(mem) {", tests: "TestReadFromErrorWithBytes",
	},
	{
		name: "fill-no-end", why: "a source that goes on is cut off in silence", file: "create_fill.go",
		old: "if err == nil && p.at == p.size {", new: "if err == nil && p.at > p.size {", tests: "TestIOCopyOfTooMuch",
	},
	{
		name: "fill-hangover", why: "that a source is not left where it was read to is not said", file: "create_fill.go",
		old: "return n, errors.Join(err, src.leaveAt(n), src.close())", new: "src.leaveAt(n)\n\t\treturn n, errors.Join(err, src.close())", tests: "TestReadFromClosedMeanwhile",
	},
	{
		name: "fill-mapped-leak", why: "a panic leaves the source mapped", file: "create_fill.go",
		old: "\t\tdefer src.close() // also if step panics\n", new: "", tests: "TestReadFromPanics",
	},
	{
		name: "fill-nowriteback", why: "ReadFrom does not write back", file: "create_source.go",
		old: "\t\tcache.writeBack(piece[:n])\n", new: "", tests: "TestMappedCommit",
	},
	{
		name: "fill-nofence", why: "what was filled on other processors is not fenced", file: "create_fill.go",
		old: "\t\tdefer p.home.strictest().cache.fenceStores() // what this goroutine wrote back\n", new: "", tests: "TestMappedCommit TestMappedOrder",
		survives: "Commit fences too, and the recorder has one order for all goroutines; what a processor keeps back that the committing goroutine is not on cannot be recorded",
	},
	{
		name: "fill-rest", why: "what a reader stored without counting it is never written back", file: "create_fill.go",
		old: "\t\tp.touch(from+n, begun.Load())\n", new: "", tests: "TestReadFromFlushesTheRest",
	},
	{
		name: "fill-blame", why: "a fault of the source makes the pending file unusable", file: "create_fill.go",
		old: "if errors.As(err, &fault) && fault.Addr-addressOf(p.data) < uintptr(len(p.data)) {", new: "if errors.As(err, &fault) {", tests: "TestFillFromFault",
	},
	{
		name: "source-embeds", why: "a type that embeds a file is read past its own Read", file: "create_source.go",
		old: "\tat := knownSeekerAt(r)\n\tif at == nil || n", new: "\tat, _ := r.(seekerAt)\n\tif at == nil || n", tests: "TestReadFromOwnRead",
	},
	{
		name: "source-back", why: "a reader is left one byte behind what was read", file: "create_source.go",
		old: "\t\t\t\tat.Seek(-1, io.SeekCurrent) // an error would only mean that r stays one byte further on\n", new: "", tests: "TestReadFromSources",
	},
	{
		name: "parallel-gap", why: "what comes behind a gap counts", file: "parallel.go",
		old: "if at+n < end || !stop.Load() {", new: "if at+n > end || !stop.Load() {", tests: "TestInParallelFirstGap",
	},
	{
		name: "crew-wait", why: "a panic goes on before the others have ended", file: "parallel_crew.go",
		old: "\t\tc.running.Wait()\n", new: "\t\tif returned {\n\t\t\tc.running.Wait()\n\t\t}\n", tests: "TestInParallelPanics TestCrewEnds",
	},
	{
		name: "crew-stop", why: "nobody is told that one has panicked", file: "parallel_crew.go",
		old: "\t\tif !returned {\n\t\t\tc.stop()\n\t\t}\n", new: "", tests: "TestInParallelPanics",
	},
	{
		name: "inturn-end", why: "who decodes ahead waits for a block that will not come", file: "log_order.go",
		old: "\tq.ended = true\n\tq.moved.Broadcast()\n", new: "\tq.ended = true\n", tests: "TestInTurnGivenUp",
	},
	{
		name: "small-room-forgotten", why: "a small file without room can be committed", file: "create_small.go",
		old: "\t\tp.calls, p.memErr = 0, err\n", new: "\t\tp.calls = 0\n", tests: "TestWholeFileWithoutRoom",
	},
	{
		name: "small-room-kept", why: "a small file that does not fit takes the room that others would have", file: "create_small.go",
		old: "\t\t\t\ts.dev.giveBack(s.segment)\n", new: "\t\t\t\t_ = s\n", tests: "TestCopyWithoutRoomLeavesRoom",
	},
	{
		name: "small-room-for-ever", why: "a small file that found no room cannot be filled any more", file: "create_small.go",
		old: "\tcase p.unreserved && errors.Is(err, ErrNoSpace): // see makeRoom\n", new: "", tests: "TestWholeFileWithoutRoom",
	},
	{
		name: "small-room-short", why: "the rest of a small file has no room if its source is short", file: "create_small.go",
		old: "\tif n == p.size {\n\t\tp.memErr = nil", new: "\tif n > 0 {\n\t\tp.memErr = nil", tests: "TestWholeFileWithoutRoom",
	},
}
