package main

// famfs ls: what is in a directory, as ls prints it.

import (
	"cmp"
	"fmt"
	"io/fs"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"famfs"
)

// lister is one call of ls.
type lister struct {
	*app
	long, recursive, humanSizes, numeric, dirItself, bySize, one, asJSON bool

	found  []nodeJSON
	titled bool // directories are listed under their names
	any    bool // something was printed
	users  map[uint32]string
	groups map[uint32]string
}

func newLister(a *app) *lister {
	return &lister{app: a, users: make(map[uint32]string), groups: make(map[uint32]string)}
}

func (a *app) lsCommand() *cobra.Command {
	l := newLister(a)
	cmd := &cobra.Command{
		Use:   "ls DEVICE[:PATH]...",
		Short: "List files and directories",
		Long: `ls lists files and directories, as ls does. The long form shows mode, owner, group,
size, and after the name of an interleaved file how it is spread. famfs keeps no
times and has no hidden files, links or special files.`,
		Example: `  famfs ls /dev/dax0.0
  famfs ls -l /dev/dax0.0:/models
  famfs ls -lRh /dev/dax0.0
  famfs ls -R --json /dev/dax0.0 | jq '.[].path'`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(_ *cobra.Command, args []string) error {
			l.titled = l.recursive || len(args) > 1
			if err := l.eachTarget(args, l.list); err != nil {
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
	cmd.Flags().BoolVarP(&l.bySize, "sort-size", "S", false, "largest first instead of by name")
	cmd.Flags().BoolVarP(&l.one, "one", "1", false, "one name per line, also on a terminal")
	cmd.Flags().BoolVar(&l.asJSON, "json", false, "as a JSON array of files and directories, with their maps")
	return cmd
}

// entry is a line of the listing.
type entry struct {
	shown string // how it is called
	name  string // on the device
	info  fs.FileInfo
}

func (l *lister) list(fsys *famfs.FS, t target) error {
	st, err := fsys.Stat(t.name)
	if err != nil {
		return err
	}
	if t.slash && !st.IsDir() {
		return because(fs.ErrInvalid, "is not a directory")
	}
	if l.dirItself || !st.IsDir() {
		return l.print(t, []entry{{t.String(), t.name, st}})
	}
	return l.listDir(fsys, t)
}

func (l *lister) listDir(fsys *famfs.FS, t target) error {
	dirEntries, err := fsys.ReadDir(t.name)
	if err != nil {
		return err
	}
	var entries []entry
	for _, d := range dirEntries {
		st, err := d.Info()
		if err != nil {
			return err
		}
		entries = append(entries, entry{d.Name(), path.Join(t.name, d.Name()), st})
	}
	if l.bySize {
		slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(b.info.Size(), a.info.Size()) })
	}
	if l.titled && !l.asJSON {
		if l.any {
			fmt.Fprintln(l.out)
		}
		fmt.Fprintf(l.out, "%s:\n", l.displayName(t.String()))
	}
	l.any = true
	if err := l.print(t, entries); err != nil || !l.recursive {
		return err
	}
	for _, e := range entries {
		if e.info.IsDir() {
			if err := l.listDir(fsys, target{device: t.device, name: e.name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lister) print(t target, entries []entry) error {
	switch {
	case l.asJSON:
		for _, e := range entries {
			l.found = append(l.found, describeNode(t.device, e.name, e.info))
		}
		return nil
	case l.long || l.numeric:
		return l.printLong(entries)
	}
	var names []string
	for _, e := range entries {
		name := l.displayName(e.shown)
		if e.info.IsDir() && terminalWidth(l.out) > 0 {
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

// row is e in the long form: mode, owner, group, size and name.
func (l *lister) row(e entry) []string {
	attr := e.info.Sys().(*famfs.Attr)
	size := strconv.FormatInt(e.info.Size(), 10)
	if l.humanSizes {
		size = human(e.info.Size())
	}
	name := l.displayName(e.shown)
	if attr.Layout.Chunk > 0 {
		name += fmt.Sprintf("  (%s, chunks of %s)", count(len(attr.Layout.Extents), "strip", "strips"), human(attr.Layout.Chunk))
	}
	return []string{e.info.Mode().String(), l.user(attr.UID), l.group(attr.GID), size, name}
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

// lookup returns the name of a user or group, or the number where this host has none.
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

// printInColumns prints names column by column, in as many columns as fit.
func printInColumns(l *lister, names []string, width int) error {
	if len(names) == 0 {
		return nil
	}
	longest := 0
	for _, n := range names {
		longest = max(longest, utf8.RuneCountInString(n))
	}
	perLine := max(width/(longest+2), 1)
	lines := (len(names) + perLine - 1) / perLine
	for line := range lines {
		var b strings.Builder
		for i := line; i < len(names); i += lines {
			b.WriteString(names[i] + strings.Repeat(" ", longest+2-utf8.RuneCountInString(names[i])))
		}
		if _, err := fmt.Fprintln(l.out, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
