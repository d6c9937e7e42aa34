package main

// famfs layout: where every file lies on the device. Here are the command and the
// model; the map for terminals is in layoutmap.go, the picture in layoutsvg.go.

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"famfs"
)

// plan is a device as the pictures show it.
type plan struct {
	device   string
	fsUUID   famfs.UUID
	size     int64
	metadata int64 // superblock and log, from 0 on
	unit     int64
	usage    famfs.Usage
	files    []placedFile // by where they begin
	// runs are of all allocation units, by offset, without gaps. What is behind the
	// last whole unit of the device is nothing that could be used.
	runs []placedRun
}

// placedFile is a file and where it lies.
type placedFile struct {
	name   string
	size   int64
	layout famfs.Layout
}

// Owners of runs that are no files.
const (
	ownerFree     = -1
	ownerMetadata = -2
	// ownerClaimed is log entries that were passed over: their space is given to
	// nobody.
	ownerClaimed = -3
)

// placedRun is a run of bytes of the device: an extent, a strip, or what lies between.
type placedRun struct {
	off, len int64
	owner    int // index of a file, or ownerFree, ownerMetadata, ownerClaimed
	extent   int
}

// layoutJSONReport is the layout for programs.
type layoutJSONReport struct {
	Device    string           `json:"device"`
	Size      int64            `json:"size"`
	AllocUnit int64            `json:"alloc_unit"`
	Metadata  extentJSON       `json:"metadata"`
	Files     []placedFileJSON `json:"files"`
	Free      []extentJSON     `json:"free"`
	Claimed   []extentJSON     `json:"claimed_by_entries_passed_over"`
	Usage     usageJSON        `json:"usage"`
}

type placedFileJSON struct {
	Path string     `json:"path"`
	Size int64      `json:"size"`
	Map  layoutJSON `json:"map"`
}

func (a *app) layoutCommand() *cobra.Command {
	var (
		svg, color   string
		list, asJSON bool
		width        int
	)
	cmd := &cobra.Command{
		Use:   "layout DEVICE",
		Short: "Show where every file lies on the device",
		Long: `layout shows where every file lies on the device, as a map that fits the terminal:
a colour for each file, or, where there are more than colours, for each directory;
grey dots are free, white is superblock and log, and shaded areas are strips of
interleaved files. Red crosses are what log entries claim that were passed over: it is
no file's, and given to none; see famfs fsck. Without colours there are letters
instead: capitals are interleaved, ! is claimed.

--svg writes a picture for a browser, with names and sizes under the mouse.`,
		Example: `  famfs layout /dev/dax0.0
  famfs layout --svg layout.svg /dev/dax0.0
  famfs layout --list /dev/dax0.0
  famfs layout --json /dev/dax0.0 | jq '.free[].length'`,
		Args: a.arguments(1, 1, "one DEVICE"),
		RunE: func(_ *cobra.Command, args []string) error {
			if color != "auto" && color != "always" && color != "never" {
				return usageError(fmt.Errorf("--color %q, want auto, always or never", color))
			}
			return a.eachTarget(args, func(fsys *famfs.FS, t target) error {
				if t.name != "." {
					return fmt.Errorf("the layout is the whole device's: leave the path out: %w", fs.ErrInvalid)
				}
				p, err := planOf(fsys)
				if err != nil {
					return err
				}
				switch {
				case svg == "-":
					return p.writeSVG(a.out)
				case svg != "":
					if err := writeFileWhole(svg, p.writeSVG); err != nil {
						return err
					}
					_, err := fmt.Fprintf(a.out, "wrote %s: %s of %s\n", svg, count(len(p.files), "file", "files"), p.device)
					return err
				case asJSON:
					return a.printJSON(p.report())
				case list:
					return a.printPlan(p)
				}
				columns := width
				if columns <= 0 {
					columns = terminalWidth(a.out)
				}
				coloured := color == "always" || color == "auto" && terminalWidth(a.out) > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
				return p.writeMap(a.out, columns, terminalHeight(a.out), coloured)
			})
		},
	}
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture to this `FILE`, - for stdout")
	cmd.Flags().BoolVar(&list, "list", false, "a line for each run of the device instead of a map")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().StringVar(&color, "color", "auto", "colours: auto, always or never")
	cmd.Flags().IntVar(&width, "width", 0, "columns of the map (default: the terminal's, or 80)")
	cmd.MarkFlagsMutuallyExclusive("svg", "list", "json")
	return cmd
}

// writeFileWhole writes a file that is there whole or not at all.
func writeFileWhole(name string, write func(io.Writer) error) (err error) {
	part := name + ".famfs-part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(part)))
		}
	}()
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, name)
}

// planOf reads the layout of all files.
func planOf(fsys *famfs.FS) (*plan, error) {
	sb := fsys.Superblock()
	p := &plan{
		device: fsys.Device().Path, fsUUID: sb.UUID, size: fsys.Device().Size, metadata: sb.LogOffset + sb.LogSize,
		unit: sb.AllocUnit, usage: fsys.Usage(),
	}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		p.files = append(p.files, placedFile{name, st.Size(), st.Sys().(*famfs.Attr).Layout})
		return nil
	})
	if err != nil {
		return nil, err
	}
	start := func(f placedFile) int64 {
		return slices.MinFunc(f.layout.Extents, func(a, b famfs.Extent) int { return cmp.Compare(a.Offset, b.Offset) }).Offset
	}
	slices.SortFunc(p.files, func(a, b placedFile) int { return cmp.Compare(start(a), start(b)) })
	p.runs = []placedRun{{0, min(p.metadata, p.size), ownerMetadata, 0}}
	for i, f := range p.files {
		for j, x := range f.layout.Extents {
			if x.Device == 0 {
				p.runs = append(p.runs, placedRun{x.Offset, x.Length, i, j})
			}
		}
	}
	for x := range fsys.FreeSpace() {
		p.runs = append(p.runs, placedRun{x.Offset, x.Length, ownerFree, 0})
	}
	slices.SortFunc(p.runs, func(a, b placedRun) int { return cmp.Compare(a.off, b.off) })
	p.runs = withGaps(p.runs, p.size/p.unit*p.unit)
	return p, nil
}

// withGaps adds what is claimed between and behind runs. The library vouches for runs
// that do not overlap.
func withGaps(runs []placedRun, size int64) []placedRun {
	var all []placedRun
	at := int64(0)
	for _, r := range runs {
		if r.off > at {
			all = append(all, placedRun{at, r.off - at, ownerClaimed, 0})
		}
		all = append(all, r)
		at = r.off + r.len
	}
	if at < size {
		all = append(all, placedRun{at, size - at, ownerClaimed, 0})
	}
	return all
}

// of returns the runs of an owner that is no file.
func (p *plan) of(owner int) (runs []placedRun, total, longest int64) {
	for _, r := range p.runs {
		if r.owner == owner {
			runs = append(runs, r)
			total += r.len
			longest = max(longest, r.len)
		}
	}
	return runs, total, longest
}

// claimed is how many bytes entries claim that were passed over.
func (p *plan) claimed() int64 {
	_, total, _ := p.of(ownerClaimed)
	return total
}

// What claimed runs are called.
const (
	claimedLabel = "claimed by log entries passed over"
	claimedHint  = "see famfs fsck"
)

// summary is the device in a line.
func (p *plan) summary() string {
	_, free, longest := p.of(ownerFree)
	taken := int64(0)
	for _, r := range p.runs {
		if r.owner >= 0 {
			taken += r.len
		}
	}
	s := fmt.Sprintf("%s, %s of %s taking %s; %s free", human(p.size), count(len(p.files), "file", "files"), human(p.usage.FileBytes), human(taken), human(free))
	if free > longest {
		s += ", the longest run " + human(longest)
	}
	if n := p.claimed(); n > 0 {
		s += fmt.Sprintf("; %s %s, %s", human(n), claimedLabel, claimedHint)
	}
	return s
}

// freeSummary says how much is free, "" for nothing.
func (p *plan) freeSummary() string {
	runs, total, longest := p.of(ownerFree)
	switch len(runs) {
	case 0:
		return ""
	case 1:
		return human(total) + " in one run"
	}
	return fmt.Sprintf("%s in %d runs, the longest %s", human(total), len(runs), human(longest))
}

func (p *plan) report() layoutJSONReport {
	r := layoutJSONReport{
		Device: p.device, Size: p.size, AllocUnit: p.unit, Metadata: extentJSON{0, 0, p.metadata},
		Files: []placedFileJSON{}, Free: p.extents(ownerFree), Claimed: p.extents(ownerClaimed),
		Usage: usageJSON{p.usage.Size, p.usage.Allocated, p.usage.Free, p.usage.LargestFree, p.usage.FileBytes, p.usage.Files, p.usage.Dirs, p.usage.LogUsed, p.usage.LogCapacity},
	}
	for _, f := range p.files {
		r.Files = append(r.Files, placedFileJSON{f.name, f.size, *describeMap(f.layout)})
	}
	return r
}

// extents are the runs of an owner that is no file, for programs.
func (p *plan) extents(owner int) []extentJSON {
	all := []extentJSON{}
	runs, _, _ := p.of(owner)
	for _, x := range runs {
		all = append(all, extentJSON{0, x.off, x.len})
	}
	return all
}

// printPlan prints a line for each run.
func (a *app) printPlan(p *plan) error {
	fmt.Fprintf(a.out, "%s: %s\n", a.displayName(p.device), p.summary())
	rows := [][]string{{"offset", "length", "part", "file"}}
	for _, r := range p.runs {
		what, part := "-", "free"
		switch r.owner {
		case ownerMetadata:
			part = "superblock and log"
		case ownerClaimed:
			part = "claimed"
		case ownerFree:
		default:
			f := &p.files[r.owner]
			what = a.displayName(f.name)
			part = f.part(r.extent)
		}
		rows = append(rows, []string{num(r.off), num(r.len), part, what})
	}
	return columns(a.out, rows, 0, 1)
}

// part says which extent or strip of the file it is.
func (f *placedFile) part(i int) string {
	what := "extent"
	if f.layout.Chunk > 0 {
		what = "strip"
	}
	return fmt.Sprintf("%s %d of %d", what, i+1, len(f.layout.Extents))
}

// group is files that share a colour.
type group struct {
	label string
	files []int // indices, in the order of the device
	bytes int64
	// dir says that the label is a directory, which may be split up.
	dir string
	one bool // a single file
	// rest says that it is what has no group of its own.
	rest   bool
	colour int // index of palette, or beyond it where there are more groups than colours
}

// groups puts the files into at most most groups: each file by itself if there are
// few, otherwise the directories that best tell them apart.
func (p *plan) groups(most int) (groups []group, of []int) {
	all := group{label: "all files", dir: "."}
	for i, f := range p.files {
		all.files = append(all.files, i)
		all.bytes += f.size
	}
	groups = []group{all}
	if len(p.files) == 0 {
		return nil, nil
	}
	fixed := make(map[string]bool) // those that cannot be split up
	for {
		best := -1
		for i, g := range groups {
			if !g.one && g.dir != "" && !fixed[g.label] && (best < 0 || g.bytes > groups[best].bytes) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		parts := p.split(groups[best], most-len(groups)+1)
		if parts == nil {
			fixed[groups[best].label] = true
			continue
		}
		groups = append(append(append([]group{}, groups[:best]...), parts...), groups[best+1:]...)
	}
	if len(groups) == 1 && len(p.files) > 1 {
		groups = p.largest(groups[0], most)
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		if a.rest != b.rest {
			return map[bool]int{false: -1, true: 1}[a.rest]
		}
		return cmp.Compare(a.files[0], b.files[0])
	})
	of = make([]int, len(p.files))
	for i, g := range groups {
		groups[i].colour = i
		if g.rest {
			groups[i].colour = grey
		}
		for _, f := range g.files {
			of[f] = i
		}
	}
	return groups, of
}

// split takes a directory apart into its subdirectories and the files in it, at most
// most of them; nil if that cannot be.
func (p *plan) split(g group, most int) []group {
	dirs := make(map[string]*group)
	var order []string
	var files []int
	prefix := ""
	if g.dir != "." {
		prefix = g.dir + "/"
	}
	for _, i := range g.files {
		rest := strings.TrimPrefix(p.files[i].name, prefix)
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			files = append(files, i)
			continue
		}
		dir := prefix + rest[:slash]
		if dirs[dir] == nil {
			dirs[dir] = &group{label: dir + "/", dir: dir}
			order = append(order, dir)
		}
		dirs[dir].files = append(dirs[dir].files, i)
		dirs[dir].bytes += p.files[i].size
	}
	var parts []group
	for _, d := range order {
		g := dirs[d]
		if len(g.files) == 1 {
			g.one, g.label = true, p.files[g.files[0]].name
		}
		parts = append(parts, *g)
	}
	switch {
	case len(parts)+len(files) <= most:
		for _, i := range files {
			parts = append(parts, group{label: p.files[i].name, files: []int{i}, bytes: p.files[i].size, one: true})
		}
	case len(parts) == 0 || len(parts)+1 > most:
		return nil
	case len(files) > 0:
		rest := group{label: prefix + "*", files: files}
		for _, i := range files {
			rest.bytes += p.files[i].size
		}
		parts = append(parts, rest)
	}
	return parts
}

// largest makes a group of each of the largest files and directories in g, and one of
// the rest.
func (p *plan) largest(g group, most int) []group {
	parts := p.split(g, len(p.files)+1)
	slices.SortStableFunc(parts, func(a, b group) int { return cmp.Compare(b.bytes, a.bytes) })
	allFiles := !slices.ContainsFunc(parts, func(g group) bool { return !g.one })
	if most < 2 || allFiles && parts[0].bytes == parts[len(parts)-1].bytes {
		return []group{g} // none stands out
	}
	groups := slices.Clone(parts[:most-1])
	rest := group{label: fmt.Sprintf("%s others", grouped(len(parts)-len(groups))), rest: true}
	for _, part := range parts[len(groups):] {
		rest.files = append(rest.files, part.files...)
		rest.bytes += part.bytes
	}
	slices.Sort(rest.files)
	return append(groups, rest)
}

// describe says how much is in a group, and of a single file how it lies.
func (p *plan) describe(g group) string {
	if !g.one {
		spread := 0
		for _, i := range g.files {
			if p.files[i].layout.Chunk > 0 {
				spread++
			}
		}
		s := fmt.Sprintf("%s, %s", count(len(g.files), "file", "files"), human(g.bytes))
		if spread > 0 {
			s += fmt.Sprintf(", %s interleaved", grouped(spread))
		}
		return s
	}
	l := p.files[g.files[0]].layout
	s := human(g.bytes)
	switch {
	case l.Chunk > 0:
		s += fmt.Sprintf(", %s × %s", count(len(l.Extents), "strip", "strips"), human(l.Chunk))
	case len(l.Extents) > 1:
		s += ", " + strconv.Itoa(len(l.Extents)) + " extents"
	}
	return s
}
