package main

// Faults in removing, replacing and committing together: namespace, replay and batches.

var removalMutants = []mutant{
	{
		name: "remove-limit", why: "a removal is seen before it is published", file: "namespace_slab.go",
		old: "return ok && by < limit", new: "return ok && (by < limit || true)", tests: "TestReplaceWhileReading",
	},
	{
		name: "remove-new-early", why: "what is made is seen before it is published", file: "namespace.go",
		old: "if n := ns.node(index); index < limit && n.path()", new: "if n := ns.node(index); n.path()", tests: "TestCopyFSAtomically TestNamespaceRemovals",
	},
	{
		name: "remove-list-early", why: "a directory lists what is not published", file: "namespace.go",
		old: "if index < limit && !child", new: "if !child", tests: "TestReplaceWhileReading TestNamespaceRemovals",
	},
	{
		name: "remove-listed", why: "a directory lists what was removed", file: "namespace.go",
		old: "if index < limit && !child.slab.removedBefore(index, limit) {", new: "if index < limit {", tests: "TestRemove",
	},
	{
		name: "remove-retry", why: "who looks while the table is swept finds nothing", file: "namespace.go",
		old: "ok || ns.swept.Load() == swept {", new: "ok || ns.swept.Load() >= swept {", tests: "TestNamespaceReadersWhileReplacing",
	},
	{
		name: "remove-list-retry", why: "who lists while a directory is swept misses something", file: "namespace.go",
		old: "if atomic.LoadUint32(dir.sweeps()) == swept {", new: "if swept < 1<<31 {", tests: "TestNamespaceReadersWhileReplacing",
	},
	{
		name: "remove-sweep-all", why: "the table is swept of what readers still see", file: "namespace.go",
		old: "return index >= limit || n.slab.removedBefore(index, limit)", new: "return true", tests: "TestNamespaceRemovals TestReplaceWhileReading",
	},
	{
		name: "remove-sweep-list", why: "a list is never swept", file: "namespace.go",
		old: "\t\t\tns.sweepChildren(dir)\n", new: "", tests: "TestReplaceWhileReading",
	},
	{
		name: "remove-slot", why: "the slots of removed names are never used again", file: "namespace.go",
		old: "case free == nil && sweepable", new: "case false && sweepable", tests: "TestReplaceWhileReading TestRemoveManyTimes",
	},
	{
		name: "remove-used", why: "a slot that is used again counts twice", file: "namespace.go",
		old: "if *free == 0 {", new: "if true {", tests: "TestReplaceWhileReading TestRemoveManyTimes",
	},
	{
		name: "remove-live", why: "a directory does not count what goes", file: "namespace.go",
		old: "\t*dir.live()--\n", new: "", tests: "TestRemove",
	},
	{
		name: "remove-kept", why: "a table that grows keeps what was removed", file: "namespace.go",
		old: "\t\t\tif sweepable(index, n, limit) {\n\t\t\t\tcontinue\n\t\t\t}\n", new: "\t\t\tif sweepable(index, n, limit) && false {\n\t\t\t\tcontinue\n\t\t\t}\n", tests: "TestNamespaceRemovals",
	},
	{
		name: "remove-path", why: "a removal removes whatever its index says", file: "replica.go",
		old: "case old.path() != o.name:", new: "case false:", tests: "TestUnacceptableEntries",
	},
	{
		name: "remove-again", why: "what was removed is removed again", file: "replica.go",
		old: "case gone:", new: "case gone && false:", tests: "TestUnacceptableEntries",
	},
	{
		name: "remove-full", why: "a directory that is not empty can be removed", file: "replica.go",
		old: "case old.isDir() && *old.live() > 0:", new: "case false:", tests: "TestUnacceptableEntries",
	},
	{
		name: "remove-later", why: "an entry removes itself, or what comes later", file: "log.go",
		old: "if e.removes >= e.seq {", new: "if false {", tests: "TestUnacceptableEntries",
	},
	{
		name: "remove-filebytes", why: "removed files count", file: "replica.go",
		old: "\tr.counts.fileBytes -= old.size\n", new: "", tests: "TestRemove",
	},
	{
		name: "remove-busy", why: "a directory goes in which a file is being created", file: "remove.go",
		old: "if strings.HasPrefix(pending, name+\"/\") {", new: "if strings.HasPrefix(pending, name+\"/\") && false {", tests: "TestRemoveBesidePending TestRemoveAll",
	},
	{
		name: "remove-prefix", why: "a file that is being created keeps a directory whose name begins like its own", file: "remove.go",
		old: "if strings.HasPrefix(pending, name+\"/\") {", new: "if strings.HasPrefix(pending, name) {", tests: "TestRemoveBesidePending",
	},
	{
		name: "replace-always", why: "files are replaced without being asked to", file: "create.go",
		old: "case !replace:", new: "case false:", tests: "TestCreateRefused TestReplace",
	},
	{
		name: "replace-dir", why: "a directory is replaced by a file", file: "create.go",
		old: "case f.replica.ns.node(index).isDir():\n\t\treturn fmt.Errorf(\"is a directory", new: "case false:\n\t\treturn fmt.Errorf(\"is a directory", tests: "TestReplace",
	},
	{
		name: "replace-room", why: "a file that replaces another has one entry kept", file: "create.go",
		old: "n++ // a removal", new: "n += 0 // a removal", tests: "TestReplaceLogFull",
	},
	{
		name: "commit-order", why: "two goroutines that commit the same files wait for each other", file: "create_commit.go",
		old: "return cmp.Compare(a.number, b.number)", new: "return cmp.Compare(slices.Index(files, a), slices.Index(files, b)+0*int(b.number))", tests: "TestCommitTogether",
	},
	{
		name: "commit-twice", why: "a file that is given twice waits for itself", file: "create_commit.go",
		old: "p.pendingFile == inOrder[i].pendingFile {", new: "p.pendingFile == inOrder[i].pendingFile && false {", tests: "TestCommitTogether",
	},
	{
		name: "batch-apart", why: "readers may see a part of what was appended at once", file: "log_replay.go",
		old: "\t\tr.apply(d, d.end)\n\t}\n\tr.show()", new: "\t\tr.apply(d, d.end)\n\t\tr.show()\n\t}\n\tr.show()", tests: "TestBatchAcrossBlocks",
	},
	{
		name: "atomic-room", why: "directories have no entries kept", file: "copyfs_atomic.go",
		old: "\tf.promised += n\n", new: "", tests: "TestCopyFSAtomicallyKeepsRoom",
	},
	{
		name: "batch-first-only", why: "a batch is known by its first entry, and overwrites what others have logged since", file: "log_append.go",
		old: "\tfor i := range n {\n\t\tr.encode(index+uint64(i), i, fill)\n\t\tif r.meta.load", new: "\tfor i := range 1 {\n\t\tr.encode(index+uint64(i), i, fill)\n\t\tif r.meta.load", tests: "TestCommitInOtherGroups",
	},
	{
		name: "batch-space", why: "a file is logged in space that another has got meanwhile", file: "create_commit.go",
		old: "if f.replica.space.ownsAny(p.runs) {", new: "if f.replica.space.ownsAny(p.runs) && false {", tests: "TestCommitSpaceTaken",
	},
	{
		name: "remove-table-count", why: "the count of a new table is raised before it is there", file: "namespace.go",
		old: "\tns.table.Store(&table)\n\tns.swept.Add(1)", new: "\tns.swept.Add(1)\n\tns.table.Store(&table)", tests: "TestNamespaceTableBeforeCount",
	},
	{
		name: "atomic-there", why: "a copy succeeds though what it passed over is gone", file: "copyfs_atomic.go",
		old: "if files[i].verdict == sameContent {", new: "if files[i].verdict == sameContent && false {", tests: "TestCopyFSAtomicallyPassedOver",
	},
	{
		name: "watch-replaced", why: "what replaces a file is told of as another", file: "watch.go",
		old: "made.path() == e.Name {", new: "made.path() == e.Name && false {", tests: "TestWatchRemovals",
	},
}
