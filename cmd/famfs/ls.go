package main

// famfs ls: lists directories, in the style of ls.

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// lister is one call of ls.
type lister struct {
	*app
	long, recursive, humanSizes, numeric, dirItself, bySize, byTime, reverse, one, classify, asJSON bool
	sort                                                                                            string

	found  []nodeJSON
	titled bool // print a heading with the name of each directory
	any    bool // something was printed
	users  map[uint32]string
	groups map[uint32]string
	widths [4]int // of the columns that printRow has printed
}

func newLister(a *app) *lister {
	return &lister{app: a, widths: [4]int{3: 12}, users: make(map[uint32]string), groups: make(map[uint32]string)}
}

func (a *app) lsCommand() *cobra.Command {
	l := newLister(a)
	cmd := &cobra.Command{
		Use:   "ls DEVICE[:PATH]...",
		Short: "List files and directories",
		Long: `ls lists files and directories, as ls does: files that are named first, then what is in
directories. The long form shows mode, owner, group, size, and after the name of an
interleaved file how it is spread, and of a sealed one what kind of sum it has.

--sort takes name, size (largest first), time (newest first), extension, and none (the
order of the log). famfs keeps no times: newer is what the log has later. It has no
hidden files, links or special files either.`,
		Example: `  famfs ls /dev/dax0.0
  famfs ls -l /dev/dax0.0:/models
  famfs ls -lRh /dev/dax0.0
  famfs ls --sort time /dev/dax0.0:/models    # the newest first
  famfs ls -R --json /dev/dax0.0 | jq '.[].path'`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := l.checkSort(); err != nil {
				return usageError(err)
			}
			l.titled = l.recursive || len(args) > 1
			if err := l.run(args); err != nil {
				return err
			}
			if l.asJSON {
				return printJSONList(l.app, l.found)
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&l.long, "long", "l", false, "mode, owner, group and size too")
	cmd.Flags().BoolVarP(&l.recursive, "recursive", "R", false, "directories with all below them")
	cmd.Flags().BoolVarP(&l.humanSizes, "human-readable", "h", false, "sizes as 1.5 GiB")
	cmd.Flags().BoolVarP(&l.numeric, "numeric-uid-gid", "n", false, "the long form, with numbers of users and groups")
	cmd.Flags().BoolVarP(&l.dirItself, "directory", "d", false, "directories themselves, not what is in them")
	cmd.Flags().StringVar(&l.sort, "sort", "name", "by this `WORD`: name, size, time, extension or none")
	cmd.Flags().BoolVarP(&l.bySize, "sort-size", "S", false, "the same as --sort size")
	cmd.Flags().BoolVarP(&l.byTime, "sort-time", "t", false, "the same as --sort time")
	cmd.Flags().BoolVarP(&l.reverse, "reverse", "r", false, "the other way round")
	cmd.Flags().BoolVarP(&l.classify, "classify", "F", false, "a slash behind directories, a star behind what may be executed")
	cmd.Flags().BoolP("all", "a", false, "accepted for those who are used to it: there are no hidden files")
	cmd.Flags().BoolVarP(&l.one, "one", "1", false, "one name per line, also on a terminal")
	cmd.Flags().BoolVar(&l.asJSON, "json", false, "as a JSON array of files and directories, with their maps")
	return cmd
}

// entry is a line of the listing.
type entry struct {
	shown  string // the name to print
	device string
	name   string // the path on the device
	info   fs.FileInfo
}

// run lists files first, all in one table, and then directories, each as its own.
func (l *lister) run(args []string) error {
	type dir struct {
		in fs.FS
		target
	}
	var single []entry
	var dirs []dir
	var err error
	each := l.eachOn(args, l.open, func(fsys *famfs.FS, t target) error {
		in := through(fsys, t)
		st, err := fs.Stat(in, t.name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			defer l.reportLeftOut(fsys, t)
		}
		switch {
		case err != nil:
			return err
		case t.slash && !st.IsDir():
			return because(fs.ErrInvalid, "is not a directory")
		case l.dirItself || !st.IsDir():
			single = append(single, entry{t.String(), t.device, t.name, st})
		default:
			dirs = append(dirs, dir{in, t})
		}
		return nil
	}, func() {
		if len(single) > 0 {
			l.order(single)
			err = l.print(single)
			l.any = true
		}
		for _, d := range dirs {
			if err != nil {
				return
			}
			if failed := l.listDir(d.in, d.target); l.out.err != nil {
				err = failed
			} else if failed != nil {
				l.reportFailure(targetFailed(d.target, failed))
			}
		}
	})
	return errors.Join(each, err)
}

// checkSort makes one of the options that say how to sort.
func (l *lister) checkSort() error {
	switch {
	case l.bySize:
		l.sort = "size"
	case l.byTime:
		l.sort = "time"
	}
	if !slices.Contains([]string{"name", "size", "time", "extension", "none"}, l.sort) {
		return fmt.Errorf("--sort %q, want name, size, time, extension or none", l.sort)
	}
	return nil
}

// order sorts entries, which are in the order of their names, or of the command line.
func (l *lister) order(entries []entry) {
	index := func(e entry) int { return attrOf(e.info).Index }
	slices.SortStableFunc(entries, func(a, b entry) int {
		switch l.sort {
		case "size":
			return cmp.Compare(b.info.Size(), a.info.Size())
		case "time":
			return cmp.Compare(index(b), index(a))
		case "extension":
			return cmp.Compare(path.Ext(a.name), path.Ext(b.name))
		case "none":
			return cmp.Compare(index(a), index(b))
		}
		return cmp.Compare(a.shown, b.shown)
	})
	if l.reverse {
		slices.Reverse(entries)
	}
}

func (l *lister) listDir(in fs.FS, t target) error {
	dirEntries, err := fs.ReadDir(in, t.name)
	if err != nil {
		return err
	}
	var entries []entry
	for _, d := range dirEntries {
		st, err := d.Info()
		if err != nil {
			return err
		}
		entries = append(entries, entry{d.Name(), t.device, path.Join(t.name, d.Name()), st})
	}
	l.order(entries)
	if l.titled && !l.asJSON {
		if l.any {
			fmt.Fprintln(l.out)
		}
		fmt.Fprintf(l.out, "%s:\n", l.displayName(t.String()))
	}
	l.any = true
	if err := l.print(entries); err != nil || !l.recursive {
		return err
	}
	for _, e := range entries {
		if e.info.IsDir() {
			if err := l.listDir(in, target{device: t.device, name: e.name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lister) print(entries []entry) error {
	switch {
	case l.asJSON:
		for _, e := range entries {
			l.found = append(l.found, describeNode(e.device, e.name, e.info))
		}
		return nil
	case l.long || l.numeric:
		return l.printLong(entries)
	}
	var names []string
	for _, e := range entries {
		name := l.displayName(e.shown) + l.mark(e)
		if e.info.IsDir() && terminalWidth(l.out) > 0 && !l.classify {
			name += "/"
		}
		names = append(names, name)
	}
	if width := terminalWidth(l.out); width > 0 && !l.one {
		return printInColumns(l, names, width)
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(l.out, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) printLong(entries []entry) error {
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, l.row(e))
	}
	return columns(l.out, rows, 3)
}

// printRow prints e in the long form, and note, with columns as wide as they were before: for
// lines that come one by one.
func (l *lister) printRow(e entry, note string) error {
	row := l.row(e)
	for i, cell := range row[:len(row)-1] {
		l.widths[i] = max(l.widths[i], wide(cell))
		if i == 3 { // the size
			row[i] = strings.Repeat(" ", l.widths[i]-wide(cell)) + cell
		} else {
			row[i] = padded(cell, l.widths[i])
		}
	}
	_, err := fmt.Fprintln(l.out, strings.Join(row, " ")+note)
	return err
}

// row returns e in the long form: mode, owner, group, size and name.
func (l *lister) row(e entry) []string {
	attr := attrOf(e.info)
	size := strconv.FormatInt(e.info.Size(), 10)
	if l.humanSizes {
		size = human(e.info.Size())
	}
	name := l.displayName(e.shown) + l.mark(e)
	if attr.Layout.Chunk > 0 {
		name += fmt.Sprintf("  (%s, chunks of %s)", count(len(attr.Layout.Extents), "strip", "strips"), human(attr.Layout.Chunk))
	}
	if attr.Sealed {
		name += fmt.Sprintf("  (sealed, %v)", attr.Sum.Kind)
	}
	user, group := "-", "-"
	if _, ok := e.info.Sys().(*famfs.Attr); ok { // otherwise it is in a zip file
		user, group = l.user(attr.UID), l.group(attr.GID)
	}
	return []string{e.info.Mode().String(), user, group, size, name}
}

// mark returns what -F puts behind a name.
func (l *lister) mark(e entry) string {
	switch {
	case !l.classify:
		return ""
	case e.info.IsDir():
		return "/"
	case e.info.Mode().Perm()&0o111 != 0:
		return "*"
	}
	return ""
}

func (l *lister) user(id uint32) string {
	return lookup(l.users, id, l.numeric, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (l *lister) group(id uint32) string {
	return lookup(l.groups, id, l.numeric, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

// lookup returns the name of a user or group, or the number if this host has no name for it.
func lookup(known map[uint32]string, id uint32, numeric bool, find func(string) (string, error)) string {
	number := strconv.FormatUint(uint64(id), 10)
	if numeric {
		return number
	}
	name, ok := known[id]
	if !ok {
		var err error
		if name, err = find(number); err != nil {
			name = number
		}
		known[id] = name
	}
	return name
}

// printInColumns prints names down each column, in as many columns as fit.
func printInColumns(l *lister, names []string, width int) error {
	if len(names) == 0 {
		return nil
	}
	longest := 0
	for _, n := range names {
		longest = max(longest, wide(n))
	}
	perLine := max(width/(longest+2), 1)
	lines := (len(names) + perLine - 1) / perLine
	for line := range lines {
		var b strings.Builder
		for i := line; i < len(names); i += lines {
			b.WriteString(padded(names[i], longest+2))
		}
		if _, err := fmt.Fprintln(l.out, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
