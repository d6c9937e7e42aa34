package main

// famfs find: finds files and directories by name, size and type.

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/spf13/cobra"

	"famfs"
)

// finder is one call of find.
type finder struct {
	*lister
	names, noCase, paths, sizes []string
	kind                        string
	least, most                 int
	zero                        bool

	tests []func(name string, st fs.FileInfo) bool
	rows  []entry
}

// findWords are the options that people write with one dash, as for find.
var findWords = []string{"-name", "-iname", "-path", "-size", "-type", "-mindepth", "-maxdepth", "-print", "-print0", "-ls"}

// withTwoDashes gives the options of find a second dash, where they were written as for find.
func withTwoDashes(args []string) []string {
	args = slices.Clone(args)
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if slices.Contains(findWords, args[i]) {
			args[i] = "-" + args[i]
		}
	}
	return args
}

func (a *app) findCommand() *cobra.Command {
	f := &finder{lister: newLister(a), most: -1}
	var ignored bool
	cmd := &cobra.Command{
		Use:   "find DEVICE[:PATH]...",
		Short: "Find files and directories by name, size and type",
		Long: `find prints the files and directories at and below each PATH for which all that is asked
holds; of the same option given several times, one, but of --size each.

--name takes a pattern for the last part of the path, --path for the whole path from
the root of the device. In patterns * is anything but a slash, ** anything, ? one
character, [a-z] one of several, {a,b} one of those. --size takes bytes such as 10M:
+10M is larger than that, -10M smaller, 10M exactly that. Options may be written with
one dash, as for find: -name, -type, -size, -maxdepth, -print0.`,
		Example: `  famfs find /dev/dax0.0 -name '*.safetensors'
  famfs find /dev/dax0.0:/models --size +1G --long
  famfs find /dev/dax0.0 --path 'models/**/{config,tokenizer}.json' --json
  famfs find /dev/dax0.0:/tmp -type f -print0 | xargs -0 famfs rm`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.compile(); err != nil {
				return usageError(err)
			}
			if err := a.eachTarget(args, f.find); err != nil {
				return err
			}
			if f.asJSON {
				return printJSONList(a, f.found)
			}
			if f.long {
				return f.printLong(f.rows)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.names, "name", nil, "the last part of the path matches this `PATTERN`")
	flags.StringArrayVar(&f.noCase, "iname", nil, "as --name, whatever the case of letters")
	flags.StringArrayVar(&f.paths, "path", nil, "the path on the device matches this `PATTERN`")
	flags.StringArrayVar(&f.sizes, "size", nil, "files of this `SIZE`, +SIZE larger, -SIZE smaller")
	flags.StringVar(&f.kind, "type", "", "only f for files, or d for directories")
	flags.IntVar(&f.least, "mindepth", 0, "only what is so many `levels` below PATH, or deeper")
	flags.IntVar(&f.most, "maxdepth", -1, "only so many `levels` below PATH (default: all)")
	flags.BoolVarP(&f.long, "long", "l", false, "mode, owner, group and size too, as ls -l")
	flags.BoolVar(&f.long, "ls", false, "the same as --long")
	flags.BoolVarP(&f.zero, "print0", "0", false, "end names with a zero byte, for xargs -0")
	flags.BoolVar(&ignored, "print", false, "accepted for those who are used to it")
	flags.BoolVar(&f.asJSON, "json", false, "as a JSON array of files and directories, with their maps")
	flags.Lookup("maxdepth").DefValue = "0" // help says what it is
	for _, name := range []string{"ls", "print"} {
		flags.Lookup(name).Hidden = true
	}
	cmd.MarkFlagsMutuallyExclusive("long", "print0", "json")
	return cmd
}

// compile makes the tests that the options ask for.
func (f *finder) compile() error {
	if f.kind != "" && f.kind != "f" && f.kind != "d" {
		return fmt.Errorf("--type %q, want f for files or d for directories", f.kind)
	}
	if f.kind != "" {
		f.tests = append(f.tests, func(_ string, st fs.FileInfo) bool { return st.IsDir() == (f.kind == "d") })
	}
	for _, p := range []struct {
		option   string
		patterns []string
		of       func(name string) string
	}{
		{"--name", f.names, path.Base},
		{"--iname", lowered(f.noCase), func(name string) string { return strings.ToLower(path.Base(name)) }},
		{"--path", trimmed(f.paths), func(name string) string { return name }},
	} {
		for _, pattern := range p.patterns {
			if !doublestar.ValidatePattern(pattern) {
				return fmt.Errorf("%s %q is no pattern: a bracket or brace is not closed", p.option, pattern)
			}
		}
		if len(p.patterns) > 0 {
			f.tests = append(f.tests, func(name string, _ fs.FileInfo) bool {
				return slices.ContainsFunc(p.patterns, func(pattern string) bool { return doublestar.MatchUnvalidated(pattern, p.of(name)) })
			})
		}
	}
	for _, s := range f.sizes {
		sign, number := byte(0), s
		if s != "" && (s[0] == '+' || s[0] == '-') {
			sign, number = s[0], s[1:]
		}
		want, err := parseSize(number)
		if err != nil {
			return fmt.Errorf("--size: %w", err)
		}
		f.tests = append(f.tests, func(_ string, st fs.FileInfo) bool {
			switch {
			case st.IsDir():
				return false
			case sign == '+':
				return st.Size() > want
			case sign == '-':
				return st.Size() < want
			}
			return st.Size() == want
		})
	}
	return nil
}

func lowered(all []string) (low []string) {
	for _, s := range all {
		low = append(low, strings.ToLower(s))
	}
	return low
}

// trimmed takes off the slash that a path on a device may begin with.
func trimmed(all []string) (short []string) {
	for _, s := range all {
		short = append(short, strings.TrimPrefix(s, "/"))
	}
	return short
}

// find prints what it finds at and below t.
func (f *finder) find(fsys *famfs.FS, t target) error {
	in := through(fsys, t)
	if st, err := fs.Stat(in, t.name); err == nil && t.slash && !st.IsDir() {
		return because(fs.ErrInvalid, "is not a directory")
	}
	return fs.WalkDir(in, t.name, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		depth := depthOf(name) - depthOf(t.name)
		st, err := d.Info()
		switch {
		case err != nil:
			return err
		case f.most >= 0 && depth > f.most:
			return fs.SkipDir
		case depth < f.least:
			return nil
		}
		for _, ok := range f.tests {
			if !ok(name, st) {
				return nil
			}
		}
		switch {
		case f.asJSON:
			f.found = append(f.found, describeNode(t.device, name, st))
		case f.long:
			f.rows = append(f.rows, entry{t.at(name), t.device, name, st})
		case f.zero:
			_, err = fmt.Fprintf(f.out, "%s\x00", t.at(name))
		default:
			_, err = fmt.Fprintln(f.out, f.displayName(t.at(name)))
		}
		return err
	})
}

// depthOf returns how many names a path has.
func depthOf(name string) int {
	if name == "." {
		return 0
	}
	return strings.Count(name, "/") + 1
}
