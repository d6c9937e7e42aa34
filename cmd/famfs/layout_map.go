package main

// The layout as a map for terminals. With colours, each character shows two cells of the device
// side by side; without colours, each letter shows one cell.

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// shade is a colour for terminals (with 256 colours) and for the web.
type shade struct {
	ansi int
	web  string
}

// palette has two shades of each colour, to distinguish neighbouring files of a group.
var palette = [][2]shade{
	{{32, "#2f7fc1"}, {75, "#7fb8e6"}},
	{{208, "#f08a24"}, {215, "#f7bd80"}},
	{{35, "#2f9e5f"}, {79, "#85cfa5"}},
	{{161, "#d0365f"}, {211, "#eb8fab"}},
	{{98, "#8357c2"}, {141, "#b79ce0"}},
	{{220, "#dcb400"}, {228, "#f0dd85"}},
	{{37, "#1fa3a3"}, {80, "#80d3d3"}},
	{{131, "#96604f"}, {174, "#c9a395"}},
	{{199, "#e04fb0"}, {218, "#f2a5d8"}},
	{{106, "#86a821"}, {149, "#bdd57f"}},
	{{61, "#4c5fb5"}, {105, "#97a4dd"}},
	{{166, "#c8551b"}, {216, "#e8a582"}},
	{{245, "#8a9099"}, {249, "#b4b9c0"}}, // grey, for everything without a colour of its own
}

// colours is how many groups can have a colour. grey is the colour of the rest.
var (
	colours = len(palette) - 1
	grey    = len(palette) - 1
)

// mapCell is what a cell shows: a shade of a colour, or something that is no file.
type mapCell struct {
	owner       int // index of palette, or ownerFree, ownerMetadata, ownerClaimed, ownerRemoved, ownerNothing
	light       int // 0 or 1, which of the two shades
	interleaved bool
}

// ownerNothing is the owner of cells behind the end of the device.
const ownerNothing = -4

const (
	ansiFree     = 240
	ansiMetadata = 252
	ansiClaimed  = 124
	ansiRemoved  = 245
)

// shades returns a shade for each file: in each group, the two shades alternate.
func shades(files int, groups []group) []int {
	of := make([]int, files)
	for _, g := range groups {
		for i, f := range g.files {
			of[f] = i % 2
		}
	}
	return of
}

// writeMap draws the map. It is columns wide.
func (p *plan) writeMap(w io.Writer, columns, lines int, coloured bool) error {
	if columns <= 0 {
		columns = 80
	}
	columns = max(columns, 30)
	groups, of := p.groups(colours)
	const label = 9
	perChar := 1
	if coloured {
		perChar = 2
	}
	perLine := max((columns-label-2)/8*8*perChar, 8*perChar)
	most := 16
	if lines > 0 {
		most = min(max(lines-len(groups)-8, 8), 24)
	}
	cell := int64(512)
	for cell*int64(perLine)*int64(most) < p.size {
		cell *= 2
	}
	for i, g := range of {
		of[i] = groups[g].colour
	}
	cells := p.cells(cell, perLine, of, shades(len(p.files), groups))

	var b strings.Builder
	for _, line := range wrap(printable(p.device)+": "+p.summary(), columns) {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintln(&b)
	for at := 0; at < len(cells); at += perLine {
		if n := freeLines(cells[at:], perLine); n > mapLeast {
			fmt.Fprintf(&b, "%*s ⋮ %s lines, free\n", label, human(int64(at)*cell), grouped(n))
			at += (n - 1) * perLine
			continue
		}
		fmt.Fprintf(&b, "%*s ", label, human(int64(at)*cell))
		before := ""
		for i := at; i < at+perLine; i += perChar {
			if coloured {
				style, glyph := colouredChar(cells[i], cells[i+1])
				if style != before {
					b.WriteString("\x1b[0" + style + "m")
					before = style
				}
				b.WriteString(glyph)
			} else {
				b.WriteByte(letter(cells[i]))
			}
		}
		if coloured {
			b.WriteString("\x1b[0m")
		}
		fmt.Fprintln(&b)
	}
	scale := fmt.Sprintf("each column is %s, each line %s", human(cell*int64(perChar)), human(cell*int64(perLine)))
	if label+1+len(scale) <= columns {
		scale = strings.Repeat(" ", label+1) + scale
	}
	fmt.Fprintf(&b, "%s\n\n", scale)
	p.writeLegend(&b, groups, columns, coloured)
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// mapLeast is how many lines with nothing on them are drawn one after the other. More become one.
const mapLeast = 3

// freeLines returns how many lines at the beginning of cells have nothing on them.
func freeLines(cells []mapCell, perLine int) (n int) {
	for ; (n+1)*perLine <= len(cells); n++ {
		for _, c := range cells[n*perLine : (n+1)*perLine] {
			if c.owner != ownerFree {
				return n
			}
		}
	}
	return n
}

// cells returns, for each cell of the device, what takes most of it, up to the end of the last
// line. of and shade are the colour of each file.
func (p *plan) cells(cell int64, perLine int, of, shade []int) []mapCell {
	end := p.runs[len(p.runs)-1].off + p.runs[len(p.runs)-1].len
	n := int((end + cell - 1) / cell)
	cells := make([]mapCell, (n+perLine-1)/perLine*perLine)
	run := 0
	for i := range cells {
		if i >= n {
			cells[i] = mapCell{owner: ownerNothing}
			continue
		}
		from, to := int64(i)*cell, min(int64(i+1)*cell, end)
		most, best := int64(0), 0
		for run < len(p.runs) && p.runs[run].off+p.runs[run].len <= from {
			run++
		}
		for r := run; r < len(p.runs) && p.runs[r].off < to; r++ {
			if share := min(p.runs[r].off+p.runs[r].len, to) - max(p.runs[r].off, from); share > most {
				most, best = share, r
			}
		}
		owner := p.runs[best].owner
		if owner < 0 {
			cells[i] = mapCell{owner: owner}
		} else {
			cells[i] = mapCell{of[owner], shade[owner], p.files[owner].layout.Chunk > 0}
			if p.runs[best].len < 2*cell {
				cells[i].light = 0 // many files share the cell, and which of them wins means nothing
			}
		}
	}
	return cells
}

func (c mapCell) ansi() int {
	switch c.owner {
	case ownerFree:
		return ansiFree
	case ownerMetadata:
		return ansiMetadata
	case ownerClaimed:
		return ansiClaimed
	case ownerRemoved:
		return ansiRemoved
	}
	return palette[c.owner][c.light].ansi
}

// empty reports whether the cell shows the terminal's own background.
func (c mapCell) empty() bool { return c.owner == ownerFree || c.owner == ownerNothing }

// colouredChar returns how to draw two cells: attributes of the terminal, and a character.
func colouredChar(left, right mapCell) (style, glyph string) {
	fore := func(c mapCell) string { return fmt.Sprintf(";38;5;%d", c.ansi()) }
	switch {
	case left.owner == ownerNothing:
		return "", " "
	case left == right && left.owner == ownerFree:
		return fore(left), "·"
	case left == right && left.owner == ownerClaimed:
		return fore(left), "×"
	case left == right && left.owner == ownerRemoved:
		return fore(left), "░"
	case left == right && left.interleaved:
		return fore(left), "▒"
	case left == right:
		return fore(left), "█"
	case right.empty():
		if left.empty() {
			return fore(left), "·"
		}
		return fore(left), "▌"
	case left.empty():
		return fore(right), "▐"
	}
	return fmt.Sprintf("%s;48;5;%d", fore(left), right.ansi()), "▌"
}

// letter returns the letter that shows one cell without colours.
func letter(c mapCell) byte {
	switch {
	case c.owner == ownerNothing:
		return ' '
	case c.owner == ownerFree:
		return '.'
	case c.owner == ownerMetadata:
		return '#'
	case c.owner == ownerClaimed:
		return '!'
	case c.owner == ownerRemoved:
		return '-'
	case c.interleaved:
		return 'A' + byte(c.owner)
	}
	return 'a' + byte(c.owner)
}

// writeLegend writes what the colours or letters mean.
func (p *plan) writeLegend(b *strings.Builder, groups []group, columns int, coloured bool) {
	line := func(swatch, what, how string) {
		const before = 4 // width of the swatch with its blanks
		what = shorten(what, max(columns-before-2-wide(how), 12))
		if room := columns - before - 2 - wide(what); wide(how) > room {
			how = shorten(how, max(room, 1))
		}
		fmt.Fprintf(b, " %s %s  %s\n", swatch, what, how)
	}
	plain := func(ansi int, s string) string {
		if coloured {
			return fmt.Sprintf("\x1b[38;5;%dm%s\x1b[0m", ansi, s)
		}
		return s
	}
	meta, removed, claimed, free := "# ", "- ", "! ", ". "
	if coloured {
		meta, removed, claimed, free = plain(ansiMetadata, "██"), plain(ansiRemoved, "░░"), plain(ansiClaimed, "××"), plain(ansiFree, "··")
	}
	line(meta, p.metadataName(), human(p.metadata))
	for _, g := range groups {
		interleaved := 0
		for _, f := range g.files {
			if p.files[f].layout.Chunk > 0 {
				interleaved++
			}
		}
		var swatch string
		if coloured {
			glyph := "█"
			if interleaved == len(g.files) {
				glyph = "▒"
			}
			second := palette[g.colour][0]
			if len(g.files) > 1 {
				second = palette[g.colour][1]
			}
			swatch = plain(palette[g.colour][0].ansi, glyph) + plain(second.ansi, glyph)
		} else {
			swatch = string(rune('a'+g.colour)) + " "
			switch {
			case interleaved == len(g.files):
				swatch = string(rune('A'+g.colour)) + " "
			case interleaved > 0:
				swatch = string(rune('a'+g.colour)) + string(rune('A'+g.colour))
			}
		}
		line(swatch, printable(g.label), p.describe(g))
	}
	if n := p.removed(); n > 0 {
		line(removed, removedLabel, human(n))
	}
	if n := p.claimed(); n > 0 {
		line(claimed, claimedLabel, human(n)+", "+claimedHint)
	}
	if how := p.freeSummary(); how != "" {
		line(free, "free", how)
	}
}

// shorten cuts out the middle of s if it is more than most columns wide.
func shorten(s string, most int) string {
	if wide(s) <= most {
		return s
	}
	most = max(most, 1)
	tail := (most - 1) * 2 / 3
	begin, end := s, s
	for head := most - 1 - tail; wide(begin) > head; {
		begin = begin[:len(begin)-len(lastCluster(begin))]
	}
	for wide(end) > tail {
		first, _, _, _ := uniseg.FirstGraphemeClusterInString(end, -1)
		end = end[len(first):]
	}
	return begin + "…" + end
}

// lastCluster returns what people see as the last character of s.
func lastCluster(s string) (last string) {
	for g := uniseg.NewGraphemes(s); g.Next(); {
		last = g.Str()
	}
	return last
}

// wrap breaks s at spaces into lines of at most width characters, if possible.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && wide(line)+1+wide(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// trimLines removes blanks from the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
