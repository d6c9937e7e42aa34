package main

// The model that famfs layout shows: the device as runs of bytes. Each run belongs to a file or
// to the metadata, or is free, removed or claimed. It is given in words, as a list, and for
// programs. Nothing here knows how a picture is drawn.

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"

	"famfs"
)

// plan describes a device for the pictures.
type plan struct {
	device   string
	index    int // of the device in the file system
	fsUUID   famfs.UUID
	size     int64
	metadata int64 // size of superblock and log, which begin at 0
	unit     int64
	usage    famfs.Usage
	files    []placedFile // in the order of their offsets
	// runs covers all allocation units without gaps, by offset. What is behind the last whole unit
	// of the device cannot be used.
	runs []placedRun
}

// placedFile is a file and its place.
type placedFile struct {
	name   string
	size   int64
	layout famfs.Layout
}

// Owners of runs that belong to no file.
const (
	ownerFree     = -1
	ownerMetadata = -2
	// pinsUnit is what is behind the log where memory of removed files is given out again.
	pinsUnit = 2 << 20

	// ownerClaimed is for log entries that were passed over: no file gets their space.
	ownerClaimed = -3
	// ownerRemoved is for files that were removed: their space is not given out again.
	ownerRemoved = -5
)

// placedRun is a run of bytes of the device: an extent, a strip, or something between them.
type placedRun struct {
	off, len int64
	owner    int // index of a file, or ownerFree, ownerMetadata, ownerClaimed or ownerRemoved
	extent   int
	was      string // name of the removed file
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
	// Devices are the layouts of the further devices of the file system.
	Devices []layoutJSONReport `json:"devices,omitempty"`
	// Missing are those that are not here.
	Missing []deviceJSON `json:"missing,omitempty"`
}

type placedFileJSON struct {
	Path string     `json:"path"`
	Size int64      `json:"size"`
	Map  layoutJSON `json:"map"`
}

// removedJSON is a run of a removed file.
type removedJSON struct {
	Path string `json:"path"`
	extentJSON
}

// secondaryMetadata is how much of a device without a log is reserved for its superblock.
const secondaryMetadata = 2 << 20

// plansOf reads the layout of all files on each device that is here.
func plansOf(fsys *famfs.FS) (plans []*plan, err error) {
	for i, d := range fsys.Devices() {
		if d.Err != nil {
			continue
		}
		p, err := planOf(fsys, i)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	return plans, nil
}

// planOf reads the layout of all files on a device.
func planOf(fsys *famfs.FS, device int) (*plan, error) {
	sb := fsys.Superblock()
	p := &plan{
		device: fsys.Devices()[device].Path, index: device, fsUUID: sb.UUID, metadata: secondaryMetadata,
		unit: sb.AllocUnit, usage: fsys.Usage(),
	}
	if device == 0 {
		p.metadata = sb.LogOffset + sb.LogSize
		if fsys.Hosts() != nil {
			p.metadata += pinsUnit
		}
	}
	of := fsys.UsageByDevice()[device]
	p.size = of.Size
	p.usage.Size, p.usage.Allocated, p.usage.Free, p.usage.LargestFree = of.Size, of.Allocated, of.Free, of.LargestFree
	p.usage.FileBytes, p.usage.Removed = of.FileBytes, of.Removed
	here := func(x famfs.Extent) bool { return x.Device == device }
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if l := st.Sys().(*famfs.Attr).Layout; slices.ContainsFunc(l.Extents, here) {
			p.files = append(p.files, placedFile{name, st.Size(), l})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	start := func(f placedFile) int64 {
		first := p.size
		for _, x := range f.layout.Extents {
			if here(x) {
				first = min(first, x.Offset)
			}
		}
		return first
	}
	slices.SortFunc(p.files, func(a, b placedFile) int { return cmp.Compare(start(a), start(b)) })
	p.runs = []placedRun{{0, min(p.metadata, p.size), ownerMetadata, 0, ""}}
	for i, f := range p.files {
		for j, x := range f.layout.Extents {
			if here(x) {
				p.runs = append(p.runs, placedRun{x.Offset, x.Length, i, j, ""})
			}
		}
	}
	for x := range fsys.FreeSpace() {
		if here(x) {
			p.runs = append(p.runs, placedRun{x.Offset, x.Length, ownerFree, 0, ""})
		}
	}
	var removed []placedRun
	if p.usage.Removed > 0 {
		if removed, err = removedRuns(fsys, device, p.size); err != nil {
			return nil, err
		}
	}
	byOffset := func(a, b placedRun) int { return cmp.Compare(a.off, b.off) }
	slices.SortFunc(p.runs, byOffset)
	slices.SortFunc(removed, byOffset)
	p.runs = withGaps(p.runs, removed, p.size/p.unit*p.unit)
	return p, nil
}

// removedRuns finds the places of removed files in the log. A place counts only if nothing else
// is known to lie there.
func removedRuns(fsys *famfs.FS, device int, size int64) (removed []placedRun, err error) {
	gone := make(map[int]bool) // indexes of the entries of removed files and directories
	eachSound := func(use func(famfs.LogEntry)) error {
		for e, err := range fsys.Log() {
			switch {
			case err != nil && e.Type == "":
				return err // nothing more can be read
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
			if gone[e.Index] && x.Device == device && x.Length <= size && x.Offset <= size-x.Length {
				removed = append(removed, placedRun{x.Offset, x.Length, ownerRemoved, 0, e.Path})
			}
		}
	})
	return removed, err
}

// withGaps fills the gaps between and behind runs with removed runs, and the rest with claimed
// ones. The library guarantees that runs do not overlap.
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

// of returns the runs of an owner that is no file, their total length, and the longest length.
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

// claimed returns how many bytes are claimed by entries that were passed over.
func (p *plan) claimed() int64 {
	_, total, _ := p.of(ownerClaimed)
	return total
}

// removed returns how many bytes removed files had.
func (p *plan) removed() int64 {
	_, total, _ := p.of(ownerRemoved)
	return total
}

// Names of claimed and removed runs.
const (
	claimedLabel = "bad, or claimed by log entries passed over"
	claimedHint  = "see famfs fsck"
	removedLabel = "removed, not given out again"
)

// summary describes the device in one line.
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

// freeSummary says how much is free. It returns "" if nothing is.
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
		Device: p.device, Size: p.size, AllocUnit: p.unit, Metadata: extentJSON{p.index, 0, p.metadata},
		Files: []placedFileJSON{}, Free: p.extents(ownerFree), Removed: []removedJSON{}, Claimed: p.extents(ownerClaimed),
		Usage: describeUsage(p.usage),
	}
	runs, _, _ := p.of(ownerRemoved)
	for _, x := range runs {
		r.Removed = append(r.Removed, removedJSON{x.was, extentJSON{p.index, x.off, x.len}})
	}
	for _, f := range p.files {
		r.Files = append(r.Files, placedFileJSON{f.name, f.size, *describeMap(f.layout)})
	}
	return r
}

// extents returns the runs of an owner that is no file, for programs.
func (p *plan) extents(owner int) []extentJSON {
	all := []extentJSON{}
	runs, _, _ := p.of(owner)
	for _, x := range runs {
		all = append(all, extentJSON{p.index, x.off, x.len})
	}
	return all
}

// metadataName says what is at the beginning of the device.
func (p *plan) metadataName() string {
	if p.index > 0 {
		return "superblock"
	}
	return "superblock and log"
}

// printPlan prints a line for each run.
func (a *app) printPlan(p *plan) error {
	fmt.Fprintf(a.out, "%s: %s\n", a.displayName(p.device), p.summary())
	rows := [][]string{{"offset", "length", "part", "file"}}
	for _, r := range p.runs {
		what, part := "-", "free"
		switch r.owner {
		case ownerMetadata:
			part = p.metadataName()
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

// used returns how many bytes of extent or strip i hold content. The rest of it is allocated, and
// not used.
func (f *placedFile) used(i int) int64 {
	x := f.layout.Extents
	if chunk := f.layout.Chunk; chunk > 0 {
		full, n := f.size/chunk, int64(len(x)) // whole chunks of the file
		used := full / n * chunk
		switch last := full % n; {
		case int64(i) < last:
			used += chunk
		case int64(i) == last:
			used += f.size % chunk
		}
		return min(used, x[i].Length)
	}
	before := int64(0)
	for _, e := range x[:i] {
		before += e.Length
	}
	return min(max(f.size-before, 0), x[i].Length)
}

// part names extent or strip i of the file.
func (f *placedFile) part(i int) string {
	what := "extent"
	if f.layout.Chunk > 0 {
		what = "strip"
	}
	return fmt.Sprintf("%s %d of %d", what, i+1, len(f.layout.Extents))
}
