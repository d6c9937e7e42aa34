package main

// Progress of long work: a bar on a terminal, plain lines elsewhere. Nothing here knows what the
// work is.

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

const (
	plainEvery = time.Second            // interval between plain lines
	barEvery   = 100 * time.Millisecond // interval between redraws of the bar
	// rateAfter is how long the rate and the time left are not shown: before that they mean
	// nothing.
	rateAfter = time.Second
)

// progress reports progress on stderr. Its methods may be called concurrently. A nil progress
// reports nothing.
type progress struct {
	app     *app
	verb    string // "copied"
	files   int
	size    int64
	perFile bool
	start   time.Time

	mu       sync.Mutex
	bar      bool // a bar is drawn
	stream   bool // lines of JSON are printed
	shown    bool // the bar is on the cursor's line
	done     int
	undone   int // files that could not be checked, which count as done
	bytesNow int64
	lastLine time.Time
}

// registerProgress adds the option that says how progress is shown.
func (a *app) registerProgress(flags *pflag.FlagSet) {
	a.progressAs = "auto"
	flags.Var(&a.progressAs, "progress", "show progress as `WORD`: auto, bar, lines, none, or json, lines of JSON on stdout")
}

// progressValue is an option that says how progress is shown.
type progressValue string

func (v *progressValue) Type() string   { return "WORD" }
func (v *progressValue) String() string { return string(*v) }

func (v *progressValue) Set(s string) error {
	words := []string{"auto", "bar", "lines", "none", "json"}
	if !slices.Contains(words, s) {
		return fmt.Errorf("want %s", strings.Join(words, ", "))
	}
	*v = progressValue(s)
	return nil
}

// people is where to print what is for people: lines of progress for programs have stdout for
// themselves.
func (a *app) people() io.Writer {
	if a.progressAs == "json" {
		return a.err
	}
	return a.out
}

// newProgress returns a progress of so many files of size bytes together.
func (a *app) newProgress(verb string, files int, size int64, quiet, perFile bool) *progress {
	p := &progress{
		app: a, verb: verb, files: files, size: size, perFile: perFile, start: time.Now(), lastLine: time.Now(),
		bar: terminalWidth(a.err) > 0 && size > 0,
	}
	switch a.progressAs {
	case "bar":
		p.bar = size > 0
	case "lines":
		p.bar = false
	case "none":
		quiet = true
	case "json":
		p.bar, p.stream = false, true
		p.print("start", "", false)
	}
	if quiet && !p.stream {
		return nil
	}
	return p
}

// progressJSON is a line of --progress json.
type progressJSON struct {
	// Event is start, progress, file (it is done), or end.
	Event string `json:"event"`
	File  string `json:"file,omitempty"`
	// There: the file was there already.
	There bool `json:"was_there,omitempty"`

	Done int `json:"done"`
	// Unchecked is how many of those done could not be checked.
	Unchecked int     `json:"unchecked,omitempty"`
	Files     int     `json:"files"`
	Bytes     int64   `json:"bytes"`
	Size      int64   `json:"size"`
	Seconds   float64 `json:"seconds"`
	// Rate is in bytes a second, 0 before there is one.
	Rate int64 `json:"rate"`
}

// print prints a line of JSON. p.mu must be held, except for the first.
func (p *progress) print(event, file string, there bool) {
	took := time.Since(p.start).Seconds()
	line := progressJSON{event, file, there, p.done, p.undone, p.files, p.bytesNow, p.size, math.Round(took*1e3) / 1e3, 0}
	if took > 0 {
		line.Rate = int64(float64(p.bytesNow) / took)
	}
	_ = p.app.printJSONLine(line) // a.out remembers the error
}

// draw replaces the bar by a new one, if it is time for that. p.mu must be held.
func (p *progress) draw(now bool) {
	if !now && time.Since(p.lastLine) < barEvery {
		return
	}
	p.lastLine, p.shown = time.Now(), true
	// Leave the last column free: many terminals begin a new line after it.
	width := terminalWidth(p.app.err)
	if width == 0 {
		width = 80
	}
	fmt.Fprintf(p.app.err, "\r\x1b[K%s", p.barLine(width-1, time.Since(p.start)))
}

// clear removes the bar. p.mu must be held.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.app.err, "\r\x1b[K")
		p.shown = false
	}
}

// barLine returns a line of at most width columns: as many figures as fit, the most important
// first, and the bar in the rest.
func (p *progress) barLine(width int, took time.Duration) string {
	now := min(p.bytesNow, p.size)
	parts := []string{
		fmt.Sprintf("%3d%%", now*100/max(p.size, 1)),
		fmt.Sprintf("%d/%d files", p.done, p.files),
		fmt.Sprintf("%s of %s", human(now), human(p.size)),
	}
	if took >= rateAfter && p.bytesNow > 0 {
		rate := float64(p.bytesNow) / took.Seconds()
		parts = append(parts, human(int64(rate))+"/s", timeLeft(float64(p.size-now)/rate)+" left")
	}
	const least, most = 8, 40 // columns of the bar
	line := ""
	used := 0
	for i, part := range parts {
		n := wide(part)
		if used > 0 {
			n += 2
		}
		room := width
		if i > 1 { // the bar says more than what comes now
			room -= 2 + least
		}
		if used+n > room {
			break
		}
		if used > 0 {
			line += "  "
		}
		line, used = line+part, used+n
	}
	if room := min(width-used-2, most); used > 0 && room >= least {
		full := int(int64(room) * now / max(p.size, 1))
		line += "  " + strings.Repeat("█", full) + strings.Repeat("░", room-full)
	}
	return line
}

// timeLeft formats seconds for people, however many there are.
func timeLeft(seconds float64) string {
	const most = 99 * 3600
	if seconds >= most {
		return "days"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// of sets how many bytes there are, if that is known better by now.
func (p *progress) of(size int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = size
}

// only says how many bytes are those of files that are done: what was read of others does not count
// in the end.
func (p *progress) only(bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytesNow = bytes
}

// bytes adds n bytes to what is done.
func (p *progress) bytes(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytesNow += n
	if p.stream {
		if time.Since(p.lastLine) >= plainEvery {
			p.lastLine = time.Now()
			p.print("progress", "", false)
		}
		return
	}
	if p.bar {
		p.draw(false)
		return
	}
	if time.Since(p.lastLine) >= plainEvery {
		p.lastLine = time.Now()
		fmt.Fprintf(p.app.err, "%s %d of %d files, %s of %s (%s), %s\n", p.verb, p.done, p.files, human(p.bytesNow), human(p.size), percent(p.bytesNow, p.size), p.pace())
	}
}

// pace returns the rate so far and the time left.
func (p *progress) pace() string {
	seconds := time.Since(p.start).Seconds()
	if seconds <= 0 || p.bytesNow == 0 {
		return "0 B/s"
	}
	rate := float64(p.bytesNow) / seconds
	return fmt.Sprintf("%s/s, %s left", human(int64(rate)), timeLeft(float64(max(p.size-p.bytesNow, 0))/rate))
}

// file records that a file is done.
func (p *progress) file(name, note string) { p.ended(name, note, false) }

// unchecked records that a file could not be checked.
func (p *progress) unchecked(name string) { p.ended(name, "", true) }

func (p *progress) ended(name, note string, undone bool) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if undone {
		p.undone++
	}
	if p.stream {
		p.print("file", name, note != "")
	} else if p.perFile {
		p.clear()
		fmt.Fprintf(p.app.err, "%s%s\n", printable(name), note)
	}
	if p.bar {
		p.draw(false)
	}
}

// aside prints something after removing the bar.
func (p *progress) aside(print func()) {
	if p == nil {
		print()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	print()
}

// finish ends the bar and prints the last line, unless what is "". The line begins with what,
// which says what was done, and ends with undone, which says what was not.
func (p *progress) finish(what, undone string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stream {
		p.print("end", "", false)
		return
	}
	if p.bar {
		p.draw(true)
		fmt.Fprintln(p.app.err)
		p.shown = false
	}
	if what == "" {
		return
	}
	took := time.Since(p.start)
	rate := ""
	if took > 0 && p.bytesNow > 0 {
		rate = fmt.Sprintf(" (%s/s)", human(int64(float64(p.bytesNow)/took.Seconds())))
	}
	if undone != "" {
		undone = "; " + undone
	}
	fmt.Fprintf(p.app.err, "%s, %s in %v%s%s\n", what, human(p.bytesNow), took.Round(time.Millisecond), rate, undone)
}
