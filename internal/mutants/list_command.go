package main

// The command.

var commandMutants = []mutant{
	{
		name: "fsck-status", why: "the status is that of the last device, not the highest", file: "cmd/famfs/fsck.go",
		old: "status = max(status, r.Status)", new: "status = r.Status", tests: "TestFsck",
	},
	{
		name: "fsck-device-do", why: "who has a device that was cut is told to format it", file: "cmd/famfs/fsck.go",
		old: "case p.Index < 0 && is(famfs.ErrDevice):", new: "case p.Index < 0 && is(famfs.ErrDevice) && false:", tests: "TestFsckAdvice",
	},
	{
		name: "fsck-kind", why: "a superblock with a wrong checksum is of another kind", file: "cmd/famfs/fsck.go",
		old: "\tcase p.Index < 0:\n\t\td.Kind = \"corrupt\"\n\t\tif is(famfs.ErrChecksum) {\n", new: "\tcase p.Index < 0:\n\t\td.Kind = \"corrupt\"\n\t\tif false {\n", tests: "TestFsck TestFsckAdvice",
	},
	{
		name: "verify-trouble", why: "what could not be checked counts as checked", file: "cmd/famfs/verify.go",
		old: "case v.failed || v.trouble > 0:", new: "case v.failed:", tests: "TestVerifyAgainst",
	},
	{
		name: "verify-noinv", why: "verify reads what is in the cache", file: "cmd/famfs/verify.go",
		old: "\tif err := m.Invalidate(); err != nil {\n\t\treturn err\n\t}\n", new: "",
		survives: "on a plain file, which the command's tests have, there is nothing to invalidate",
	},
	{
		name: "verify-noguard", why: "verify crashes if the memory is gone", file: "cmd/famfs/verify.go",
		old: "return famfs.Guard(func() error { return c.run(m.Bytes()) })", new: "return c.run(m.Bytes())", tests: "TestVerifyAgainst",
	},
	{
		name: "values-range", why: "the largest size as a fraction overflows", file: "cmd/famfs/values.go",
		old: "if f < 0 || f*factor >= math.MaxInt64 {", new: "if f < 0 || f*factor > math.MaxInt64 {", tests: "TestParseSize",
	},
	{
		name: "values-gid", why: "the default group is the user", file: "cmd/famfs/values.go",
		old: "gid = int64(max(os.Getgid(), 0))", new: "gid = int64(max(os.Getuid(), 0))", tests: "TestCreatAndVerify",
	},
	{
		name: "target-base", why: "a copy of .. is named ..", file: "cmd/famfs/target.go",
		old: `name == "" || name == ".." {`, new: `name == "" {`, tests: "TestParseTarget TestCpPlaces",
	},
	{
		name: "cp-place-has", why: "resuming a tree that has a child of its own name goes elsewhere", file: "cmd/famfs/cp.go",
		old: "(!has(there, into) || has(from, path.Join(root, s.base()))):", new: "!has(there, into):", tests: "TestCpPlaces TestCpResumes",
	},
	{
		name: "cpout-close-ignored", why: "the error of closing a copy is lost", file: "cmd/famfs/cp_out.go",
		old: "if err = errors.Join(err, f.Close()); err != nil {", new: "if f.Close(); err != nil {", tests: "TestCpOut",
	},
	{
		name: "cpout-force-special", why: "--force replaces what is no file", file: "cmd/famfs/cp_out.go",
		old: "if !c.force || !st.Mode().IsRegular() {", new: "if !c.force {", tests: "TestCpOut",
	},
	{
		name: "cpout-chmod-order", why: "an outer directory loses its permission first", file: "cmd/famfs/cp_out.go",
		old: "for i := len(made) - 1; i >= 0; i-- {", new: "for i := range made {", tests: "TestCpOut",
	},
}
