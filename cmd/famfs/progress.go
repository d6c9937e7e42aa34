package main

// How far long work has come: a bar on a terminal, plain lines elsewhere. What the work
// is is not known here.

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	plainEvery = time.Second            // how often a plain line tells how far it is
	barEvery   = 100 * time.Millisecond // how often the bar is drawn
	// rateAfter is how long nothing is said of rate and time left: before that they
	// mean nothing.
	rateAfter = time.Second
)

// progress tells on stderr how far work has come. Its methods may be called
// concurrently; a nil one tells nothing.
type progress struct {
	app     *app
	verb    string // "copied"
	files   int
	size    int64
	perFile bool
	start   time.Time

	mu       sync.Mutex
	bar      bool // stderr is a terminal
	shown    bool // the bar is on the line that the cursor is in
	done     int
	bytesNow int64
	lastLine time.Time
}

func (a *app) newProgress(verb string, files int, size int64, quiet, perFile bool) *progress {
	if quiet {
		return nil
	}
	return &progress{
		app: a, verb: verb, files: files, size: size, perFile: perFile, start: time.Now(), lastLine: time.Now(),
		bar: terminalWidth(a.err) > 0 && size > 0,
	}
}

// draw writes the bar over the one before, if it is time. p.mu is held.
func (p *progress) draw(now bool) {
	if !now && time.Since(p.lastLine) < barEvery {
		return
	}
	p.lastLine, p.shown = time.Now(), true
	// The last column stays free: many terminals go to the next line after it.
	fmt.Fprintf(p.app.err, "\r\x1b[K%s", p.barLine(terminalWidth(p.app.err)-1, time.Since(p.start)))
}

// clear takes the bar away. p.mu is held.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.app.err, "\r\x1b[K")
		p.shown = false
	}
}

// barLine is the bar in at most width columns: the figures that fit, the weightiest
// first, and the bar itself in what is left.
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
	line := ""
	used := 0
	for _, part := range parts {
		n := utf8.RuneCountInString(part)
		if used > 0 {
			n += 2
		}
		if used+n > width {
			break
		}
		if used > 0 {
			line += "  "
		}
		line, used = line+part, used+n
	}
	const least, most = 8, 40
	if room := min(width-used-2, most); used > 0 && room >= least {
		full := int(int64(room) * now / max(p.size, 1))
		line += "  " + strings.Repeat("█", full) + strings.Repeat("░", room-full)
	}
	return line
}

// timeLeft writes seconds as people do, however many there are.
func timeLeft(seconds float64) string {
	const most = 99 * 3600
	if seconds >= most {
		return "days"
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// bytes adds to what is done.
func (p *progress) bytes(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytesNow += n
	if p.bar {
		p.draw(false)
		return
	}
	if time.Since(p.lastLine) >= plainEvery {
		p.lastLine = time.Now()
		fmt.Fprintf(p.app.err, "%s %d of %d files, %s of %s (%s), %s\n", p.verb, p.done, p.files, human(p.bytesNow), human(p.size), percent(p.bytesNow, p.size), p.pace())
	}
}

// pace is the rate so far, and the time left.
func (p *progress) pace() string {
	seconds := time.Since(p.start).Seconds()
	if seconds <= 0 || p.bytesNow == 0 {
		return "0 B/s"
	}
	rate := float64(p.bytesNow) / seconds
	return fmt.Sprintf("%s/s, %s left", human(int64(rate)), timeLeft(float64(max(p.size-p.bytesNow, 0))/rate))
}

// file says that a file is done.
func (p *progress) file(name, note string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if p.perFile {
		p.clear()
		fmt.Fprintf(p.app.err, "%s%s\n", printable(name), note)
	}
	if p.bar {
		p.draw(false)
	}
}

// aside prints something without the bar in its way.
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

// finish ends the bar and prints the last line, which begins with what: what was done;
// none if it is "". It ends with what is left undone.
func (p *progress) finish(what, undone string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
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
