package main

// famfs logdump: the log, entry by entry, as far as the library shows it.

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"famfs"
)

// logEntryJSON is an entry. Type is file or directory; problem for one that was
// passed over; other for one that made neither a file nor a directory: an added
// device, or a directory made again.
type logEntryJSON struct {
	Index int    `json:"index"`
	Type  string `json:"type"`
	*nodeJSON
	Problem *problemJSON `json:"problem,omitempty"`
}

// logJSON is the whole log.
type logJSON struct {
	Device     string         `json:"device"`
	Superblock superblockJSON `json:"superblock"`
	Used       int            `json:"used"`
	Capacity   int            `json:"capacity"`
	Entries    []logEntryJSON `json:"entries"`
}

func (a *app) logdumpCommand() *cobra.Command {
	var asJSON, dryRun bool
	cmd := &cobra.Command{
		Use:     "logdump DEVICE",
		Aliases: []string{"logplay"},
		Short:   "Show the log, entry by entry",
		Long: `logdump shows the superblock and the log, entry by entry: what each made, and why
one was passed over. It is what the C tools do with logplay --dryrun; playing the log
needs no command, as every program does that for itself when it opens the device.

A corrupt log is shown up to the first corrupt entry; see famfs fsck for all of it.`,
		Example: `  famfs logdump /dev/dax0.0
  famfs logdump --json /dev/dax0.0 | jq '.entries[] | select(.type == "problem")'`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			a.tolerant = true
			return a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return fmt.Errorf("the log is the whole device's: leave the path out: %w", fs.ErrInvalid)
				}
				entries, err := logEntries(fsys)
				if err != nil {
					return err
				}
				u := fsys.Usage()
				if asJSON {
					d := describeFileSystem(fsys)
					return a.printJSON(logJSON{t.device, d.Superblock, u.LogUsed, u.LogCapacity, entries})
				}
				return a.printLog(fsys, entries)
			})
		},
	}
	cmd.Flags().BoolVarP(&dryRun, "dryrun", "n", false, "accepted for those who are used to it: nothing is ever changed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// logEntries puts the log together from the files and directories that it made and
// the problems that it has.
func logEntries(fsys *famfs.FS) ([]logEntryJSON, error) {
	var entries []logEntryJSON
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		n := describeNode("", name, st)
		entries = append(entries, logEntryJSON{Index: n.Index, Type: n.Type, nodeJSON: &n})
		return nil
	})
	if err != nil {
		return nil, err
	}
	seen := make(map[int]bool)
	for _, e := range entries {
		seen[e.Index] = true
	}
	for _, p := range fsys.Problems() {
		found := describeProblem(fsys.Device().Path, p, p.Index == fsys.Usage().LogUsed)
		entries = append(entries, logEntryJSON{Index: p.Index, Type: "problem", Problem: &found})
		seen[p.Index] = true
	}
	for i := range fsys.Usage().LogUsed {
		if !seen[i] {
			entries = append(entries, logEntryJSON{Index: i, Type: "other"})
		}
	}
	slices.SortStableFunc(entries, func(a, b logEntryJSON) int { return a.Index - b.Index })
	return entries, nil
}

func (a *app) printLog(fsys *famfs.FS, entries []logEntryJSON) error {
	sb, u := fsys.Superblock(), fsys.Usage()
	fmt.Fprintf(a.out, "superblock: version %d, on-media format %d.%d, file system %v, master %v\n", sb.Version, sb.OMFMajor, sb.OMFMinor, sb.UUID, sb.SystemUUID)
	fmt.Fprintf(a.out, "log: %s at %s, %s of %s entries used\n", human(sb.LogSize), human(sb.LogOffset), grouped(u.LogUsed), grouped(u.LogCapacity))
	rows := [][]string{{"entry", "type", "mode", "uid", "gid", "size", "path"}}
	for _, e := range entries {
		index := strconv.Itoa(e.Index)
		switch {
		case e.nodeJSON != nil:
			n := e.nodeJSON
			size, where := "-", ""
			if n.Map != nil {
				size, where = num(n.Size), "  "+shortMap(n.Map)
			}
			rows = append(rows, []string{index, e.Type, n.Mode, strconv.FormatUint(uint64(n.UID), 10), strconv.FormatUint(uint64(n.GID), 10), size, printable(n.Path) + where})
		case e.Problem != nil:
			rows = append(rows, []string{index, "problem", "-", "-", "-", "-", printable(e.Problem.Path + "  " + e.Problem.Message)})
		default:
			rows = append(rows, []string{index, "other", "-", "-", "-", "-", "an added device, or a directory made again"})
		}
	}
	return columns(a.out, rows, 0, 3, 4, 5)
}

// shortMap writes a map in one line: length@offset of each extent.
func shortMap(m *layoutJSON) string {
	s := "["
	for i, x := range m.Extents {
		if i > 0 {
			s += " "
		}
		if x.Device != 0 {
			s += fmt.Sprintf("device %d: ", x.Device)
		}
		s += fmt.Sprintf("%d@%d", x.Length, x.Offset)
	}
	s += "]"
	if m.Chunk > 0 {
		s += fmt.Sprintf(" chunk %d", m.Chunk)
	}
	return s
}
