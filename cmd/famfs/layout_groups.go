package main

// Groups of files that share a colour: each file alone, or the directories that divide the files
// best. Nothing here knows what a colour looks like.

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// group is a set of files that share a colour.
type group struct {
	label string
	files []int // indices, in the order of the device
	bytes int64
	// dir is set if the label is a directory, which may be split up.
	dir string
	one bool // only one file
	// rest says that the group has everything without a group of its own.
	rest   bool
	colour int // index into palette; beyond its end if there are more groups than colours
}

// groups divides the files into at most most groups: each file alone if there are few, otherwise
// the directories that divide them best.
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
	fixed := make(map[string]bool) // directories that cannot be split up
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

// split splits a directory into its subdirectories and files, at most most of them. It returns
// nil if that is not possible.
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

// largest makes one group for each of the largest files and directories in g, and one for the rest.
func (p *plan) largest(g group, most int) []group {
	parts := p.split(g, len(p.files)+1)
	slices.SortStableFunc(parts, func(a, b group) int { return cmp.Compare(b.bytes, a.bytes) })
	allFiles := !slices.ContainsFunc(parts, func(g group) bool { return !g.one })
	if most < 2 || allFiles && parts[0].bytes == parts[len(parts)-1].bytes {
		return []group{g} // no part stands out
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

// describe returns the number and size of a group's files, or the layout if it has a single file.
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
