package main

// The model that famfs layout shows: the device as runs of bytes, each a file's, the
// metadata's, free or claimed; in words, as a list, and for programs. How a picture
// is drawn is not known here.

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"

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
	// ownerRemoved is files that were removed: their space is not given out again.
	ownerRemoved = -5
)

// placedRun is a run of bytes of the device: an extent, a strip, or what lies between.
type placedRun struct {
	off, len int64
	owner    int // index of a file, or ownerFree, ownerMetadata, ownerClaimed, ownerRemoved
	extent   int
	was      string // name of the file that was removed
}

// layoutJSONReport is the layout for programs.
type layoutJSONReport struct {
	Device    string           `json:"device"`
	Size      int64            `json:"size"`
	AllocUnit int64            `json:"alloc_unit"`
	Metadata  extentJSON       `json:"metadata"`
	Files     []placedFileJSON `json:"files"`
	Free      []extentJSON     `json:"free"`
	Removed   []removedJSON    `json:"removed"`
	Claimed   []extentJSON     `json:"claimed_by_entries_passed_over"`
	Usage     usageJSON        `json:"usage"`
}

type placedFileJSON struct {
	Path string     `json:"path"`
	Size int64      `json:"size"`
	Map  layoutJSON `json:"map"`
}

// removedJSON is a run of a file that was removed.
type removedJSON struct {
	Path string `json:"path"`
	extentJSON
}

// planOf reads the layout of all files.
func planOf(fsys *famfs.FS) (*plan, error) {
	sb := fsys.Superblock()
	p := &plan{
		device: fsys.Device().Path, fsUUID: sb.UUID, size: fsys.Usage().Size, metadata: sb.LogOffset + sb.LogSize,
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
	p.runs = []placedRun{{0, min(p.metadata, p.size), ownerMetadata, 0, ""}}
	for i, f := range p.files {
		for j, x := range f.layout.Extents {
			if x.Device == 0 {
				p.runs = append(p.runs, placedRun{x.Offset, x.Length, i, j, ""})
			}
		}
	}
	for x := range fsys.FreeSpace() {
		p.runs = append(p.runs, placedRun{x.Offset, x.Length, ownerFree, 0, ""})
	}
	var removed []placedRun
	if p.usage.Removed > 0 {
		if removed, err = removedRuns(fsys, p.size); err != nil {
			return nil, err
		}
	}
	byOffset := func(a, b placedRun) int { return cmp.Compare(a.off, b.off) }
	slices.SortFunc(p.runs, byOffset)
	slices.SortFunc(removed, byOffset)
	p.runs = withGaps(p.runs, removed, p.size/p.unit*p.unit)
	return p, nil
}

// removedRuns finds in the log where files lay that were removed. What it says is to be
// believed where nothing else is known to lie.
func removedRuns(fsys *famfs.FS, size int64) (removed []placedRun, err error) {
	gone := make(map[int]bool) // files and directories, by their entry
	eachSound := func(use func(famfs.LogEntry)) error {
		for e, err := range fsys.Log() {
			switch {
			case err != nil && e.Type == "":
				return err // no more can be read
			case err == nil:
				use(e)
			}
		}
		return nil
	}
	err = eachSound(func(e famfs.LogEntry) {
		if e.Type == "removal" {
			gone[e.Removes] = true
		}
	})
	if err != nil {
		return nil, err
	}
	err = eachSound(func(e famfs.LogEntry) {
		for _, x := range e.Layout.Extents {
			if gone[e.Index] && x.Device == 0 && x.Length <= size && x.Offset <= size-x.Length {
				removed = append(removed, placedRun{x.Offset, x.Length, ownerRemoved, 0, e.Path})
			}
		}
	})
	return removed, err
}

// withGaps adds what is removed, and else claimed, between and behind runs. The library
// vouches for runs that do not overlap.
func withGaps(runs, removed []placedRun, size int64) []placedRun {
	var all []placedRun
	at := int64(0)
	fill := func(end int64) {
		for ; len(removed) > 0 && removed[0].off < end; removed = removed[1:] {
			r := removed[0]
			r.len = min(r.len, end-r.off) - max(at-r.off, 0)
			r.off = max(r.off, at)
			if r.len <= 0 {
				continue
			}
			if r.off > at {
				all = append(all, placedRun{at, r.off - at, ownerClaimed, 0, ""})
			}
			all = append(all, r)
			at = r.off + r.len
		}
		if at < end {
			all = append(all, placedRun{at, end - at, ownerClaimed, 0, ""})
		}
	}
	for _, r := range runs {
		fill(r.off)
		all = append(all, r)
		at = r.off + r.len
	}
	fill(size)
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

// removed is how many bytes files had that were removed.
func (p *plan) removed() int64 {
	_, total, _ := p.of(ownerRemoved)
	return total
}

// What claimed and removed runs are called.
const (
	claimedLabel = "claimed by log entries passed over"
	claimedHint  = "see famfs fsck"
	removedLabel = "removed, not given out again"
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
	if n := p.removed(); n > 0 {
		s += fmt.Sprintf("; %s %s", human(n), removedLabel)
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
		Files: []placedFileJSON{}, Free: p.extents(ownerFree), Removed: []removedJSON{}, Claimed: p.extents(ownerClaimed),
		Usage: describeUsage(p.usage),
	}
	runs, _, _ := p.of(ownerRemoved)
	for _, x := range runs {
		r.Removed = append(r.Removed, removedJSON{x.was, extentJSON{0, x.off, x.len}})
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
		case ownerRemoved:
			part, what = "removed", a.displayName(r.was)
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
