package main

// The layout as an SVG picture: the device in lines, files in colours, the chunks of interleaved
// files with their numbers, and details under the mouse.

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// Sizes in the picture, in its own units.
const (
	svgWidth    = 1240
	svgLeft     = 92 // beginning of the map; offsets are to its left
	svgMap      = 1120
	svgTop      = 112
	svgGap      = 5 // between lines
	svgMostRows = 32
	svgGroups   = 60 // largest number of entries in the legend
	svgLegend   = 3  // its number of columns
	// svgClaimed fills claimed space with crosses.
	svgClaimed = "url(#x)"
	// svgRemoved fills the space of removed files with thin stripes.
	svgRemoved = "url(#r)"
	// svgNarrow is the width below which a run is drawn together with its neighbours.
	svgNarrow = 0.7
	// svgLeast is how many lines in a row with nothing on them are drawn as one, of this height.
	svgLeast, svgEmpty = 3, 18
	svgCollapsed       = -1
	// svgUnused lies over what is allocated and not used.
	svgUnused = `fill="#fff" fill-opacity=".68"`
	// svgMostChunks limits how many chunks are drawn.
	svgMostChunks = 20000
)

// svgPicture is a picture that is being written.
type svgPicture struct {
	*plan
	w      *bufio.Writer
	groups []group
	of     []int
	shade  []int

	perRow, rowHeight int64
	rows              int
	tops              []int64 // of each line; svgCollapsed for one that is not drawn
	bottom            int64   // of the map
	hatched           bool    // there are interleaved files
	chunks            int     // drawn so far
	numbered          bool    // chunks have numbers
	inner             bool    // it is a panel of a larger picture, and begins at top
	top, height       int64
}

// writePanels writes a picture with a panel for each device, one below the other.
func writePanels(w io.Writer, plans []*plan) error {
	if len(plans) == 1 {
		return plans[0].writeSVG(w)
	}
	var panels strings.Builder
	height := int64(0)
	for _, p := range plans {
		s := &svgPicture{plan: p, top: height, inner: true, w: bufio.NewWriter(&panels)}
		if err := s.write(); err != nil {
			return err
		}
		height += s.height
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n%s</svg>\n", svgWidth, height, svgWidth, height, panels.String())
	return err
}

// writeSVG writes the picture.
func (p *plan) writeSVG(w io.Writer) error {
	s := &svgPicture{plan: p, w: bufio.NewWriter(w)}
	return s.write()
}

func (s *svgPicture) write() error {
	p := s.plan
	s.groups, s.of = p.groups(svgGroups)
	s.shade = shades(len(p.files), s.groups)
	s.perRow = 16 * p.unit
	for s.perRow*svgMostRows < p.size {
		s.perRow *= 2
	}
	s.rows = int((p.size + s.perRow - 1) / s.perRow)
	s.rowHeight = 30
	for _, f := range p.files {
		s.hatched = s.hatched || f.layout.Chunk > 0
	}
	if s.rows > 16 && !s.hatched { // if files are interleaved, names and chunk numbers need two lines
		s.rowHeight = 22
	}
	s.placeRows()
	mapBottom := s.bottom
	entries := len(s.groups) + 2 // with one for the log and one for free space
	if s.removed() > 0 {
		entries++
	}
	if s.claimed() > 0 {
		entries++
	}
	legendRows := (entries + svgLegend - 1) / svgLegend
	height := mapBottom + 58 + int64(legendRows)*24 + 24

	s.height = height
	place := ""
	if s.inner {
		place = fmt.Sprintf(`y="%d" `, s.top)
	}
	s.printf(`<svg xmlns="http://www.w3.org/2000/svg" `+place+`width="%d" height="%d" viewBox="0 0 %d %d" role="img" font-family="system-ui,Helvetica,Arial,sans-serif">`+"\n", svgWidth, height, svgWidth, height)
	s.printf("<title>%s</title>\n", escape("famfs layout of "+p.device))
	s.printf(`<style>.f:hover rect{stroke:#111;stroke-width:2}.n{font-size:11px;pointer-events:none}.c{font-size:9px;text-anchor:middle;pointer-events:none}.h{paint-order:stroke;stroke-width:3px;stroke-linejoin:round}.a{font-size:11px;fill:#555}</style>` + "\n")
	s.printf(`<defs><pattern id="h" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="2.5" height="7" fill="#fff" fill-opacity=".38"/></pattern>`)
	if s.removed() > 0 {
		s.printf(`<pattern id="r" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)"><rect width="6" height="6" fill="#f7f8f9"/><rect width="1.5" height="6" fill="#a9b0b8"/></pattern>`)
	}
	if s.claimed() > 0 {
		s.printf(`<pattern id="x" width="9" height="9" patternUnits="userSpaceOnUse"><rect width="9" height="9" fill="#fbe9e7"/><path d="M2 2l5 5M7 2l-5 5" stroke="#b3261e" stroke-width="1.2"/></pattern>`)
	}
	s.printf("</defs>\n")
	s.printf(`<rect width="100%%" height="100%%" fill="#fff"/>` + "\n")
	s.printf(`<text x="20" y="36" font-size="22" font-weight="600" fill="#111">famfs layout of %s</text>`+"\n", escape(shorten(printable(p.device), 80)))
	s.printf(`<text x="20" y="60" font-size="13" fill="#444">%s</text>`+"\n", escape(p.summary()))
	s.scale()
	for _, r := range s.together() {
		s.run(r)
	}
	s.legend(mapBottom)
	s.printf("</svg>\n")
	return s.w.Flush()
}

func (s *svgPicture) printf(format string, args ...any) { fmt.Fprintf(s.w, format, args...) }

// escape escapes text for XML, which cannot hold control characters.
func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(printable(text)))
	return b.String()
}

func (s *svgPicture) rowTop(row int) int64 { return s.tops[row] }

// placeRows finds the places of lines. Several with nothing on them become one low one.
func (s *svgPicture) placeRows() {
	empty := make([]bool, s.rows)
	for _, r := range s.plan.runs {
		for row := (r.off + s.perRow - 1) / s.perRow; r.owner == ownerFree && row < int64(s.rows) && min((row+1)*s.perRow, s.size/s.unit*s.unit) <= r.off+r.len; row++ {
			empty[row] = true
		}
	}
	at := int64(svgTop)
	for row := 0; row < s.rows; {
		same := row
		for same < s.rows && empty[same] {
			same++
		}
		if same-row < svgLeast {
			s.tops = append(s.tops, at)
			at += s.rowHeight + svgGap
			row++
			continue
		}
		for ; row < same; row++ {
			s.tops = append(s.tops, svgCollapsed)
		}
		at += svgEmpty + svgGap
	}
	s.bottom = at
}

// x returns the position of byte n of a line.
func (s *svgPicture) x(n int64) float64 { return svgLeft + float64(n)/float64(s.perRow)*svgMap }

// scale draws the ticks above the lines and the offsets to their left.
func (s *svgPicture) scale() {
	const ticks = 8
	for i := range ticks + 1 {
		at := s.perRow / ticks * int64(i)
		x, anchor := s.x(at), "middle"
		if i == ticks {
			anchor = "end"
		}
		s.printf(`<text class="a" x="%.1f" y="%d" text-anchor="%s">+%s</text>`, x, svgTop-12, anchor, strings.TrimSuffix(human(at), " B"))
		s.printf(`<path d="M%.1f %dv5" stroke="#999"/>`+"\n", x, svgTop-8)
	}
	at := int64(svgTop)
	for row := 0; row < s.rows; row++ {
		if top := s.rowTop(row); top != svgCollapsed {
			s.printf(`<text class="a" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", svgLeft-8, top+s.rowHeight/2+4, human(int64(row)*s.perRow))
			at = top + s.rowHeight + svgGap
			continue
		}
		from := row
		for row+1 < s.rows && s.rowTop(row+1) == svgCollapsed {
			row++
		}
		s.printf(`<rect x="%d" y="%d" width="%d" height="%d" fill="#eceff2"/>`, svgLeft, at, svgMap, svgEmpty)
		s.printf(`<text class="a" x="%d" y="%d" text-anchor="end">%s</text>`, svgLeft-8, at+svgEmpty/2+4, human(int64(from)*s.perRow))
		s.printf(`<text class="a" x="%d" y="%d" text-anchor="middle">⋮ %s free: %s lines with nothing on them</text>`+"\n", svgLeft+svgMap/2, at+svgEmpty/2+4,
			human(min(int64(row+1)*s.perRow, s.size)-int64(from)*s.perRow), grouped(row-from+1))
		at += svgEmpty + svgGap
	}
}

// svgRun is a run to draw, or several narrow neighbours drawn together.
type svgRun struct {
	placedRun
	several int    // number of runs; 0 means one
	first   string // first and last file, if there are several runs
	last    string
}

// together joins neighbours that are too narrow to see. So the picture stays small enough to be
// shown, however many files there are.
func (s *svgPicture) together() []svgRun {
	var all []svgRun
	for _, r := range s.plan.runs {
		narrow := float64(r.len)/float64(s.perRow)*svgMap < svgNarrow
		if n := len(all) - 1; narrow && s.nameOf(r) != "" && n >= 0 && s.nameOf(all[n].placedRun) != "" {
			before := &all[n]
			if (before.several > 0 || float64(before.len)/float64(s.perRow)*svgMap < svgNarrow) && float64(before.len)/float64(s.perRow)*svgMap < 2*svgNarrow {
				if before.several == 0 {
					before.several, before.first = 1, s.nameOf(before.placedRun)
				}
				before.several++
				before.len += r.len
				before.last = s.nameOf(r)
				continue
			}
		}
		all = append(all, svgRun{placedRun: r})
	}
	return all
}

// nameOf returns the file that a run belongs or belonged to, or "" if there is none.
func (p *plan) nameOf(r placedRun) string {
	if r.owner >= 0 {
		return p.files[r.owner].name
	}
	return r.was
}

// run draws a run, which may take several lines.
func (s *svgPicture) run(r svgRun) {
	fill, text, name := "#eceff2", "", ""
	var file *placedFile
	switch r.owner {
	case ownerMetadata:
		name = s.metadataName()
		fill, text = "#4a5058", name+": "+human(r.len)
	case ownerFree:
		text = "free: " + human(r.len)
	case ownerClaimed:
		fill, text = svgClaimed, claimedLabel+": "+human(r.len)
	case ownerRemoved:
		fill, text = svgRemoved, r.was+"\n"+removedLabel
	default:
		file = &s.files[r.owner]
		fill, name = s.colour(r.owner), path.Base(file.name)
		text = fmt.Sprintf("%s\n%s, %s", file.name, human(file.size), file.part(r.extent))
		if file.layout.Chunk > 0 {
			text += fmt.Sprintf(", chunks of %s", human(file.layout.Chunk))
		}
	}
	if r.several > 0 {
		text, name, file = fmt.Sprintf("%d extents, from %s to %s", r.several, r.first, r.last), "", nil
	}
	text += fmt.Sprintf("\n%s at %s (offset %d)", human(r.len), human(r.off), r.off)
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	s.printf(`<g class="f"><title>%s</title>`, strings.Join(lines, "\n"))
	s.eachPart(r.off, r.len, func(x, width float64, top int64) {
		stroke := ""
		if width > 3 && r.owner != ownerFree {
			stroke = ` stroke="#fff" stroke-width=".6"`
		}
		s.printf(`<rect x="%.2f" y="%d" width="%.2f" height="%d" fill="%s"%s/>`, x, top, width, s.rowHeight, fill, stroke)
		if file != nil && file.layout.Chunk > 0 {
			s.printf(`<rect x="%.2f" y="%d" width="%.2f" height="%d" fill="url(#h)"/>`, x, top, width, s.rowHeight)
		}
	})
	if file != nil && file.layout.Chunk > 0 {
		s.drawChunks(r, file, fill)
	}
	if file != nil {
		used := file.used(r.extent)
		s.eachPart(r.off+used, max(r.len-used, 0), func(x, width float64, top int64) {
			if width >= 1 {
				s.printf(`<rect x="%.2f" y="%d" width="%.2f" height="%d" %s/>`, x, top, width, s.rowHeight, svgUnused)
			}
		})
	}
	s.label(r, file, name, fill)
	s.printf("</g>\n")
}

// eachPart calls draw for each line that a run of the device takes.
func (s *svgPicture) eachPart(off, length int64, draw func(x, width float64, top int64)) {
	for end := off + length; off < end; {
		row := off / s.perRow
		n := min(end, (row+1)*s.perRow) - off
		if s.rowTop(int(row)) == svgCollapsed {
			off += n
			continue
		}
		x := s.x(off % s.perRow)
		draw(x, s.x(off%s.perRow+n)-x, s.rowTop(int(row)))
		off += n
	}
}

// label writes the name into the widest line of a run, if it fits.
func (s *svgPicture) label(r svgRun, file *placedFile, name, fill string) {
	var x, width float64
	var top int64
	s.eachPart(r.off, r.len, func(px, w float64, t int64) {
		if w > width {
			x, width, top = px, w, t
		}
	})
	y := top + s.rowHeight/2 + 4
	if file != nil && file.layout.Chunk > 0 {
		name = fmt.Sprintf("%s %d/%d", name, r.extent+1, len(file.layout.Extents))
		y = top + 11 // above the chunk numbers
	}
	name = printable(name)
	const perLetter = 6.6
	room := int((width - 8) / perLetter)
	if r.owner == ownerMetadata && s.index == 0 && len(name) > room {
		name, room = "log", room+2
	}
	if name == "" || room < 5 {
		return
	}
	colour := "#fff"
	if bright(fill) || file != nil && file.used(r.extent) < r.len/2 { // what is not used is pale
		colour = "#111"
	}
	halo := ""
	if shown := shorten(name, room); file != nil && file.layout.Chunk > 0 { // on a ground of its own, clear of the hatching
		halo = fmt.Sprintf(` stroke="%s"`, fill)
		s.printf(`<rect x="%.1f" y="%d" width="%.1f" height="13" fill="%s"/>`, x+2, y-10, float64(wide(shown))*perLetter+3, fill)
	}
	s.printf(`<text class="n h" x="%.1f" y="%d" fill="%s"%s>%s</text>`, x+4, y, colour, halo, escape(shorten(name, room)))
}

// drawChunks draws the ends of the chunks of a strip, and their numbers in the file.
func (s *svgPicture) drawChunks(r svgRun, file *placedFile, fill string) {
	chunk, strips := file.layout.Chunk, int64(len(file.layout.Extents))
	width := float64(chunk) / float64(s.perRow) * svgMap
	if width < 3 {
		return
	}
	last := (file.size - 1) / chunk
	colour := "#fff"
	if bright(fill) {
		colour = "#111"
	}
	for k := int64(0); k < r.len/chunk && s.chunks < svgMostChunks; k++ {
		s.chunks++
		at, number := r.off+k*chunk, k*strips+int64(r.extent)
		x, top := s.x(at%s.perRow), s.rowTop(int(at/s.perRow))
		if k > 0 {
			s.printf(`<path d="M%.2f %dv%d" stroke="#fff" stroke-width="1"/>`, x, top, s.rowHeight)
		}
		if width >= 18 && number <= last {
			s.numbered = true
			s.printf(`<text class="c h" x="%.1f" y="%d" fill="%s" stroke="%s">%d</text>`, x+width/2, top+s.rowHeight-5, colour, fill, number)
		}
	}
}

// colour returns the colour of a file.
func (s *svgPicture) colour(file int) string { return s.groupColour(s.of[file], s.shade[file]) }

// groupColour uses the palette if it has enough colours. Otherwise it uses hues such that
// consecutive ones are as different as possible.
func (s *svgPicture) groupColour(g, light int) string {
	if s.groups[g].rest || len(s.groups) <= colours {
		return palette[s.groups[g].colour][light].web
	}
	const golden = 137.508
	lightness := []float64{0.46, 0.60, 0.38}[g%3]
	if light == 1 {
		lightness += 0.16
	}
	return hsl(math.Mod(float64(g)*golden, 360), 0.55, lightness)
}

// hsl converts a colour to #rrggbb.
func hsl(hue, saturation, lightness float64) string {
	c := (1 - math.Abs(2*lightness-1)) * saturation
	x := c * (1 - math.Abs(math.Mod(hue/60, 2)-1))
	m := lightness - c/2
	var r, g, b float64
	switch int(hue / 60) {
	case 0:
		r, g = c, x
	case 1:
		r, g = x, c
	case 2:
		g, b = c, x
	case 3:
		g, b = x, c
	case 4:
		r, b = x, c
	default:
		r, b = c, x
	}
	return fmt.Sprintf("#%02x%02x%02x", int((r+m)*255+.5), int((g+m)*255+.5), int((b+m)*255+.5))
}

// bright reports whether dark text is easier to read on a colour than white text.
func bright(web string) bool {
	var r, g, b int
	fmt.Sscanf(web, "#%02x%02x%02x", &r, &g, &b)
	return 299*r+587*g+114*b > 150000
}

// legend draws what the colours mean, below the map.
func (s *svgPicture) legend(top int64) {
	note := fmt.Sprintf("A line is %s. ", human(s.perRow))
	if len(s.groups) < len(s.files) {
		note += "A colour is a directory; its two shades tell neighbouring files apart. "
	}
	if s.hatched {
		note += "Hatched: strips of interleaved files"
		if s.numbered {
			note += ", with the numbers of their chunks"
		}
		note += ". "
	}
	note += "Pale ends are allocated and not used. "
	s.printf(`<text class="a" x="20" y="%d">%s</text>`+"\n", top+18, escape(note+"Point at anything for its name, size and place."))
	const columnWidth = (svgWidth - 40) / svgLegend
	n := 0
	entry := func(what, how, fill, second string, hatched bool) {
		x, y := int64(20+n%svgLegend*columnWidth), top+36+int64(n/svgLegend)*24
		n++
		s.printf(`<g><title>%s</title><rect x="%d" y="%d" width="11" height="16" fill="%s"/><rect x="%d" y="%d" width="11" height="16" fill="%s"/>`, escape(what+": "+how), x, y, fill, x+11, y, second)
		if hatched {
			s.printf(`<rect x="%d" y="%d" width="22" height="16" fill="url(#h)"/>`, x, y)
		}
		const letters = (columnWidth - 44) * 10 / 67
		name := printable(what)
		how = shorten(how, max(letters-2-min(wide(name), 28), 8)) // some of the name is always there
		room := letters - wide(how) - 2
		s.printf(`<text x="%d" y="%d" font-size="12.5" fill="#222">%s <tspan fill="#666">%s</tspan></text></g>`+"\n", x+30, y+13, escape(shorten(name, room)), escape(how))
	}
	entry(s.metadataName(), human(s.metadata), "#4a5058", "#4a5058", false)
	for i, g := range s.groups {
		hatched := true
		for _, f := range g.files {
			hatched = hatched && s.files[f].layout.Chunk > 0
		}
		second := s.groupColour(i, 0)
		if len(g.files) > 1 {
			second = s.groupColour(i, 1)
		}
		entry(g.label, s.describe(g), s.groupColour(i, 0), second, hatched)
	}
	if n := s.removed(); n > 0 {
		entry(removedLabel, human(n), svgRemoved, svgRemoved, false)
	}
	if n := s.claimed(); n > 0 {
		entry(claimedLabel, human(n)+", "+claimedHint, svgClaimed, svgClaimed, false)
	}
	if free := s.freeSummary(); free != "" {
		entry("free", free, "#eceff2", "#eceff2", false)
	}
}
