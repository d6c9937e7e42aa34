package main

// Creating, the order of appending, the writers' lock, copying trees.

var writerMutants = []mutant{
	{
		name: "append-flusherr", why: "that the header may not have reached the disk is not said", file: "log_append.go",
		old: "if flushErr != nil {", new: "if flushErr != nil && false {", tests: "TestDiskErrors",
	},
	{
		name: "create-bytes-notouch", why: "what is written through Bytes is not flushed by Commit", file: "create.go",
		old: "\tp.touch(0, p.size) // what is written to the slice from now on cannot be known\n", new: "", tests: "TestMappedCommit",
	},
	{
		name: "create-chunk-equal", why: "a file of just one chunk is not interleaved", file: "create.go",
		old: "size >= interleave.Chunk {", new: "size > interleave.Chunk {", tests: "TestCreateInterleaved",
	},
	{
		name: "create-nosame", why: "Create does not see that the device was formatted anew", file: "create.go",
		old: "\tif err := Guard(f.replica.sameFileSystem); err != nil {\n\t\treturn err\n\t}\n", new: "", tests: "TestFormattedUnderneath",
	},
	{
		name: "create-hold", why: "Close waits for a Create that waits for another writer", file: "create.go",
		old: "\tif !f.gate.hold() { // also while it waits for the writers' lock\n\t\treturn nil, fs.ErrClosed\n\t}\n\tdefer func() {\n\t\tif made == nil {\n\t\t\tf.gate.letGo()\n\t\t}\n\t}()\n", new: "\tif !f.gate.enter() {\n\t\treturn nil, fs.ErrClosed\n\t}\n\tdefer func() {\n\t\tf.gate.leave()\n\t\tif made != nil {\n\t\t\tf.gate.hold()\n\t\t}\n\t}()\n", tests: "TestCloseRefusedDisturbsNobody",
	},
	{
		name: "create-pending-name", why: "two files of one name may be pending", file: "create.go",
		old: "if _, pending := f.pending[name]; pending {", new: "if _, pending := f.pending[name]; pending && false {", tests: "TestCreateRefused TestPendingWriters",
	},
	{
		name: "create-log-promise", why: "entries that pending files need are given to others", file: "create.go",
		old: "f.replica.next+uint64(len(f.pending)) > last {", new: "f.replica.next > last {", tests: "TestLogFull TestLimitLog",
	},
	{
		name: "create-bucket-turn", why: "every file begins with the first bucket", file: "create.go",
		old: "int(r.next%uint64(interleave.Buckets)))", new: "0)", tests: "TestCreateInterleaved TestBucketsInTurn",
	},
	{
		name: "mkdirall-race", why: "MkdirAll fails if another made the directory meanwhile", file: "create.go",
		old: "if errors.Is(err, fs.ErrExist) {\n\t\t// Another", new: "if errors.Is(err, fs.ErrExist) && false {\n\t\t// Another", tests: "TestMkdir",
	},
	{
		name: "lock-holders", why: "the first writer that ends gives the device's lock to others", file: "writelock.go",
		old: "if l.holders--; l.holders > 0 {", new: "if l.holders--; l.holders > 99 {", tests: "TestLockBetweenWriters",
	},
	{
		name: "watch-gone", why: "Watch yields entries that made nothing", file: "watch.go",
		old: "if n.gone() { // an", new: "if n.gone() && false { // an", tests: "TestWatch",
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
		old: "c.note(c.copyFile(copying, name), stop)", new: "_ = copying\n\t\t\t\t\tc.note(c.copyFile(ctx, name), stop)", tests: "TestCopyFSEnds",
	},
	{
		name: "copyfs-isdir", why: "a file where a directory of that name is: the wrong reason", file: "copyfs.go",
		old: "case there.IsDir():\n\t\treturn differs", new: "case there.IsDir() && false:\n\t\treturn differs", tests: "TestCopyFSUnsuitable",
	},
	{
		name: "copyfs-optorder", why: "CreateWith does not override the mode", file: "copyfs.go",
		old: "opts := append([]CreateOption{Mode(st.Mode()), WithContext(ctx)}, c.create...)", new: "opts := append(append([]CreateOption{}, c.create...), Mode(st.Mode()), WithContext(ctx))", tests: "TestCopyFS",
	},
	{
		name: "copyfs-same", why: "files of one length count as the same", file: "copyfs.go",
		old: "if !bytes.Equal(a[:n], b[:n]) {", new: "if !bytes.Equal(a[:n], b[:n]) && false {", tests: "TestCopyFSResumes",
	},
	{
		name: "fill-err-full", why: "an error that comes with the last bytes fails the read", file: "create_fill.go",
		old: "case err != nil && at < len(mem): // a full", new: "case err != nil: // a full", tests: "TestReadFromSources",
	},
	{
		name: "fill-hangover", why: "the error of closing a source is lost", file: "create_fill.go",
		old: "err = errors.Join(err, src.close(n))", new: "src.close(n)", tests: "TestReadFromSources",
	},
	{
		name: "fill-nowriteback", why: "ReadFrom does not write back", file: "create_fill.go",
		old: "\t\tcache.writeBack(piece[:n])\n", new: "", tests: "TestMappedCommit",
	},
	{
		name: "fill-nofence", why: "what was filled on other processors is not fenced", file: "create_fill.go",
		old: "\t\tdefer p.fs.dev.cache.fenceStores() // what this goroutine wrote back\n", new: "", tests: "TestMappedCommit TestMappedOrder",
	},
	{
		name: "parallel-gap", why: "what comes behind a gap counts", file: "parallel.go",
		old: "if at+n < end || !stop.Load() {", new: "if at+n > end || !stop.Load() {", tests: "TestInParallel",
	},
	{
		name: "crew-wait", why: "a panic goes on before the others have ended", file: "parallel_crew.go",
		old: "\t\tc.running.Wait()\n", new: "\t\tif returned {\n\t\t\tc.running.Wait()\n\t\t}\n", tests: "TestInParallelPanics TestCrewEnds",
	},
}
