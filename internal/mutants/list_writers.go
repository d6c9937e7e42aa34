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
		old: "int(r.next%uint64(interleave.Buckets)))", new: "0)", tests: "TestCreateInterleaved TestBucketsInTurn",
	},
	{
		name: "mkdirall-race", why: "MkdirAll fails if another made the directory meanwhile", file: "create.go",
		old: "if errors.Is(err, fs.ErrExist) {\n\t\t// Another", new: "if errors.Is(err, fs.ErrExist) && false {\n\t\t// Another", tests: "TestMkdirAllOfAnotherWriter",
	},
	{
		name: "lock-holders", why: "the first writer that ends gives the device's lock to others", file: "writelock.go",
		old: "if l.holders--; l.holders > 0 {", new: "if l.holders--; l.holders > 99 {", tests: "TestLockBetweenWriters",
	},
	{
		name: "watch-gone", why: "Watch yields entries that made nothing", file: "watch.go",
		old: "next, !n.gone()", new: "next, true", tests: "TestProblemsAreCopies TestWatch",
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
		old: "slices.Concat([]CreateOption{Mode(st.Mode())}, c.create, []CreateOption{WithContext(ctx)})", new: "slices.Concat(c.create, []CreateOption{Mode(st.Mode()), WithContext(ctx)})", tests: "TestCopyFSCreateWith",
	},
	{
		name: "copyfs-lockctx", why: "waiting for the lock goes on when the copy's context is done", file: "copyfs.go",
		old: "slices.Concat([]CreateOption{Mode(st.Mode())}, c.create, []CreateOption{WithContext(ctx)})", new: "slices.Concat([]CreateOption{Mode(st.Mode()), WithContext(ctx)}, c.create)", tests: "TestCopyFSContextWhileLocked",
	},
	{
		name: "copyfs-same", why: "files of one length count as the same", file: "copyfs.go",
		old: "if !bytes.Equal(a[:n], b[:n]) {", new: "if !bytes.Equal(a[:n], b[:n]) && false {", tests: "TestCopyFSUnsuitable",
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
		old: "\t\tdefer p.fs.dev.cache.fenceStores() // what this goroutine wrote back\n", new: "", tests: "TestMappedCommit TestMappedOrder",
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
		old: "\t\t\t\tat.Seek(-1, io.SeekCurrent) // that it stays one further is no further error\n", new: "", tests: "TestReadFromSources",
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
}
