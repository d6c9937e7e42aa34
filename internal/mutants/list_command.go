package main

// The command.

var commandMutants = []mutant{
	{
		name: "fsck-status", why: "the status is that of the last device, not the highest", file: "cmd/famfs/fsck.go",
		old: "status = max(status, r.Status)", new: "status = r.Status", tests: "TestFsckStatus",
	},
	{
		name: "fsck-device-do", why: "who has a device that was cut is told to format it", file: "cmd/famfs/fsck.go",
		old: "case p.Index < 0 && is(famfs.ErrDevice):", new: "case p.Index < 0 && is(famfs.ErrDevice) && false:", tests: "TestFsckKinds TestFsckAdvice",
	},
	{
		name: "fsck-kind", why: "a superblock with a wrong checksum is of another kind", file: "cmd/famfs/fsck.go",
		old: "\tcase p.Index < 0:\n\t\td.Kind = \"corrupt\"\n\t\tif is(famfs.ErrChecksum) {\n", new: "\tcase p.Index < 0:\n\t\td.Kind = \"corrupt\"\n\t\tif false {\n", tests: "TestFsckKinds",
	},
	{
		name: "verify-trouble", why: "what could not be checked counts as checked", file: "cmd/famfs/verify.go",
		old: "\tcase v.trouble > 0:\n", new: "\tcase v.trouble > 0 && false:\n", tests: "TestVerifyTrouble",
	},
	{
		name: "verify-noinv", why: "verify reads what is in the cache", file: "cmd/famfs/verify.go",
		old: "\tif err := m.Invalidate(); err != nil {\n\t\treturn err\n\t}\n", new: "",
		survives: "on a plain file, which the command's tests have, there is nothing to invalidate",
	},
	{
		name: "verify-noguard", why: "verify crashes if the memory is gone", file: "cmd/famfs/verify.go",
		old: "return famfs.Guard(func() error { return c.run(m.Bytes()) })", new: "return c.run(m.Bytes())", tests: "TestVerifyLostMemory",
	},
	{
		name: "values-range", why: "the largest size as a fraction overflows", file: "cmd/famfs/values.go",
		old: "if f < 0 || f*factor >= math.MaxInt64 {", new: "if f < 0 || f*factor > math.MaxInt64 {", tests: "TestParseSize",
	},
	{
		name: "values-gid", why: "the default group is the user", file: "cmd/famfs/values.go",
		old: "o.gid.or(os.Getgid())", new: "o.gid.or(os.Getuid())", tests: "TestOtherUser",
	},
	{
		name: "target-base", why: "a copy of .. is named ..", file: "cmd/famfs/target.go",
		old: `name == "" || name == ".." {`, new: `name == "" {`, tests: "TestCpDotDot TestParseTarget",
	},
	{
		name: "cp-place-has", why: "resuming a tree that has a child of its own name goes elsewhere", file: "cmd/famfs/cp_place.go",
		old: "(!has(to.in, into) || has(from, path.Join(root, s.base()))):", new: "!has(to.in, into):", tests: "TestCpResumesOwnName TestCpResumes",
	},
	{
		name: "cpout-close-ignored", why: "the error of closing a copy is lost", file: "cmd/famfs/local.go",
		old: "\terr = errors.Join(err, p.Close())\n\tif err == nil && p.replaces == nil {\n", new: "\tp.Close()\n\tif err == nil && p.replaces == nil {\n",
		survives: "no file system that tests can have fails in close",
	},
	{
		name: "cpout-finish", why: "that a copy could not be finished is lost", file: "cmd/famfs/cp_out.go",
		old: "if err = part.finish(err); errors.Is(err, errTaken) {", new: "if part.finish(err); errors.Is(err, errTaken) {", tests: "TestCpMadeMeanwhile",
	},
	{
		name: "cpout-reformatted", why: "a copy of two files passes for one", file: "cmd/famfs/cp_out.go",
		old: "\tif err == nil {\n\t\terr = reformatted(node.from)\n\t}\n", new: "", tests: "TestReformattedMeanwhile",
	},
	{
		name: "cpout-taken", why: "a file that somebody made meanwhile is replaced", file: "cmd/famfs/local.go",
		old: "\tif err == nil && p.replaces == nil {\n\t\terr = renameNew(p.Name(), p.to)\n", new: "\tif err == nil && p.replaces == nil {\n\t\terr = os.Rename(p.Name(), p.to)\n", tests: "TestCpMadeMeanwhile TestPartFinish",
	},
	{
		name: "cpout-taken-force", why: "--force replaces what is not what was compared", file: "cmd/famfs/local.go",
		old: "\tcase !os.SameFile(st, p.replaces):\n", new: "\tcase !os.SameFile(st, p.replaces) && false:\n", tests: "TestCpMadeMeanwhile TestPartFinish",
	},
	{
		name: "cpout-one-file", why: "two names that lead to one file are both said to be copied", file: "cmd/famfs/cp_out.go",
		old: "if ok && before.name != name && (isNew || before.new) {", new: "if ok && false {", tests: "TestCpOneFileTwice",
	},
	{
		name: "cpout-file-like-part", why: "a file that is named as parts are is taken for one", file: "cmd/famfs/cp_out.go",
		old: "return c.tree.nodes[path.Join(dir, name)] == nil && (", new: "return (", tests: "TestCpFileLikePart",
	},
	{
		name: "cpout-force-special", why: "--force replaces what is no file", file: "cmd/famfs/cp_out.go",
		old: "\t\tif err := checkReplaceable(to, st); err != nil {\n", new: "\t\tif err := checkReplaceable(to, st); err != nil && false {\n", tests: "TestCpOutInTheWay",
	},
	{
		name: "cpout-chmod-order", why: "an outer directory loses its permission first", file: "cmd/famfs/cp_out.go",
		old: "for i := len(made) - 1; i >= 0; i-- {", new: "for i := range made {", tests: "TestOtherUser TestCpOutModes",
	},
}
