package main

// The layout as a map for terminals: a character is two cells of the device, side by
// side, in colours; or one cell, as a letter, where there are none.

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// shade is a colour for terminals (of 256) and for the web.
type shade struct {
	ansi int
	web  string
}

// palette has each colour in two shades, which tell neighbouring files of one group
// apart.
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
	{{245, "#8a9099"}, {249, "#b4b9c0"}}, // grey, of what has no colour of its own
}

// colours is how many groups can have a colour; grey is that of the rest.
var (
	colours = len(palette) - 1
	grey    = len(palette) - 1
)

// mapCell is what a cell shows: a colour in one of its shades, or what is no file.
type mapCell struct {
	owner       int // index of palette, or ownerFree, ownerMetadata, ownerClaimed, ownerRemoved, ownerNothing
	light       int // which shade
	interleaved bool
}

// ownerNothing is behind the end of the device.
const ownerNothing = -4

const (
	ansiFree     = 240
	ansiMetadata = 252
	ansiClaimed  = 124
	ansiRemoved  = 245
)

// shades says which of the two shades each file has: the other one than its neighbour
// in the group before it.
func shades(files int, groups []group) []int {
	of := make([]int, files)
	for _, g := range groups {
		for i, f := range g.files {
			of[f] = i % 2
		}
	}
	return of
}

// writeMap draws the map, as wide as columns.
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

// cells says for each cell of the device, in whole lines, what takes most of it; of and
// shade are the colour of each file.
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
				cells[i].light = 0 // which of the many files in a cell wins means nothing
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

// empty says that the terminal's own background shows.
func (c mapCell) empty() bool { return c.owner == ownerFree || c.owner == ownerNothing }

// colouredChar draws two cells: the attributes of the terminal, and the character.
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

// letter draws one cell without colours.
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

// writeLegend says what the colours or letters mean.
func (p *plan) writeLegend(b *strings.Builder, groups []group, columns int, coloured bool) {
	line := func(swatch, what, how string) {
		const before = 4 // the swatch, with its blanks
		what = shorten(what, max(columns-before-2-utf8.RuneCountInString(how), 12))
		if room := columns - before - 2 - utf8.RuneCountInString(what); utf8.RuneCountInString(how) > room {
			how = string([]rune(how)[:max(room-1, 0)]) + "…"
		}
		fmt.Fprintf(b, " %s %s  %s\n", swatch, what, how)
	}
	plain := func(ansi int, s string) string {
		if coloured {
			return fmt.Sprintf("\x1b[38;5;%dm%s\x1b[0m", ansi, s)
		}
		return s
	}
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
	meta, removed, claimed, free := "# ", "- ", "! ", ". "
	if coloured {
		meta, removed, claimed, free = plain(ansiMetadata, "██"), plain(ansiRemoved, "░░"), plain(ansiClaimed, "××"), plain(ansiFree, "··")
	}
	line(meta, "superblock and log", human(p.metadata))
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

// shorten cuts the middle out of what is longer than most characters.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	tail := (most - 1) * 2 / 3
	return string(r[:most-1-tail]) + "…" + string(r[len(r)-tail:])
}

// wrap breaks s at spaces into lines of at most width characters, where it can.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// trimLines takes blanks off the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}
