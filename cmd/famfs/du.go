package main

// famfs du: shows how much space files and directories take, in the style of du.

import (
	"fmt"
	"io/fs"
	"math"
	"path"

	"github.com/spf13/cobra"

	"famfs"
)

// duCommand is one call of du.
type duCommand struct {
	*app
	all, summary, humanSizes, apparent, total, asJSON bool
	depth                                             int
	unit                                              int64 // of the device at hand

	found []duJSON
	rows  [][]string
	sum   duJSON
}

// duJSON says how much a file, or a directory with everything in it, takes.
type duJSON struct {
	Device string `json:"device"`
	Path   string `json:"path"`
	Type   string `json:"type"`
	// Taken is what it takes of the device, in whole units, and Size the sum of the sizes of files.
	Taken int64 `json:"taken"`
	Size  int64 `json:"size"`
	Files int   `json:"files"`
}

func (a *app) duCommand() *cobra.Command {
	d := &duCommand{app: a, depth: -1}
	cmd := &cobra.Command{
		Use:   "du DEVICE[:PATH]...",
		Short: "Show how much space files and directories take",
		Long: `du shows how much of the device directories take with all that is in them, in blocks of
1 KiB as du does. A file takes whole allocation units, of 2 MiB unless mkfs was told
otherwise: so many small files take much more than they hold (--apparent-size), and
famfs cp --pack is the way out. Directories themselves take nothing but an entry of the
log. What removed files had is not counted; famfs df shows it.`,
		Example: `  famfs du -h /dev/dax0.0
  famfs du -sh /dev/dax0.0:/models /dev/dax0.0:/data
  famfs du -d 1 --json /dev/dax0.0 | jq '.[] | {path, taken}'`,
		Args: a.arguments(1, -1, "DEVICE[:PATH]..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("max-depth") && d.depth < 0 {
				return usageError(fmt.Errorf("--max-depth %d, want 0 or more", d.depth))
			}
			if d.summary {
				d.depth = 0
			}
			if err := a.eachTarget(args, d.measure); err != nil {
				return err
			}
			if d.total {
				d.sum.Path, d.sum.Type = "total", "total"
				d.row("total", d.sum)
			}
			if d.asJSON {
				return printJSONList(a, d.found)
			}
			return columns(a.out, d.rows, 0)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&d.all, "all", "a", false, "files too, not only directories")
	flags.BoolVarP(&d.summary, "summarize", "s", false, "only the sum of each argument")
	flags.IntVarP(&d.depth, "max-depth", "d", -1, "show so many `levels` below each argument (default: all)")
	flags.Lookup("max-depth").DefValue = "0" // help says what it is
	flags.BoolVarP(&d.humanSizes, "human-readable", "h", false, "sizes as 1.5 GiB")
	flags.BoolVarP(&d.apparent, "apparent-size", "b", false, "the sizes of files, in bytes, instead of what they take")
	flags.BoolVarP(&d.total, "total", "c", false, "the sum of all arguments too")
	flags.BoolVar(&d.asJSON, "json", false, "as a JSON array, with sizes in bytes")
	cmd.MarkFlagsMutuallyExclusive("all", "summarize")
	cmd.MarkFlagsMutuallyExclusive("max-depth", "summarize")
	return cmd
}

// measure adds t, and what it shows below it, to the rows: what is in a directory first.
func (d *duCommand) measure(fsys *famfs.FS, t target) error {
	in := through(fsys, t)
	st, err := fs.Stat(in, t.name)
	if err == nil && t.slash && !st.IsDir() {
		err = because(fs.ErrInvalid, "is not a directory")
	}
	if err != nil {
		return err
	}
	d.unit = fsys.Superblock().AllocUnit
	sum, err := d.below(in, t, t.name, st, 0)
	if err != nil {
		return err
	}
	d.sum.Taken, d.sum.Size = plus(d.sum.Taken, sum.Taken), plus(d.sum.Size, sum.Size)
	d.sum.Files += sum.Files
	return nil
}

func (d *duCommand) below(in fs.FS, t target, name string, st fs.FileInfo, depth int) (duJSON, error) {
	sum := duJSON{Device: t.device, Path: name, Type: "file"}
	if !st.IsDir() {
		sum.Taken, sum.Size, sum.Files = taken(st, d.unit), st.Size(), 1
	} else {
		sum.Type = "directory"
		entries, err := fs.ReadDir(in, name)
		if err != nil {
			return sum, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return sum, err
			}
			part, err := d.below(in, t, path.Join(name, e.Name()), info, depth+1)
			if err != nil {
				return sum, err
			}
			sum.Taken, sum.Size = plus(sum.Taken, part.Taken), plus(sum.Size, part.Size)
			sum.Files += part.Files
		}
	}
	if (d.all || st.IsDir() || depth == 0) && (d.depth < 0 || depth <= d.depth) {
		d.row(t.at(name), sum)
	}
	return sum, nil
}

// row adds a line.
func (d *duCommand) row(shown string, sum duJSON) {
	d.found = append(d.found, sum)
	n, size := sum.Taken, ""
	if d.apparent {
		n = sum.Size
	}
	switch {
	case d.humanSizes:
		size = human(n)
	case d.apparent:
		size = num(n)
	default:
		size = num(units(n, 1024) / 1024)
	}
	d.rows = append(d.rows, []string{size, d.displayName(shown)})
}

// taken returns how much of its device a file takes.
func taken(st fs.FileInfo, unit int64) (n int64) {
	attr, ok := st.Sys().(*famfs.Attr)
	if !ok {
		return st.Size()
	}
	for _, x := range attr.Layout.Extents {
		n += units(x.Length, unit)
	}
	return n
}

// units rounds n up to whole units, as far as that can be.
func units(n, unit int64) int64 {
	whole := n / unit
	if n%unit > 0 && whole < math.MaxInt64/unit {
		whole++
	}
	return whole * unit
}

// plus adds sizes, as far as that can be: sparse files may say that they have 8 EiB each.
func plus(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
