package main

// How far long work has come: a bar on a terminal, plain lines elsewhere; and Ctrl-C.

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
)

// interruptible returns a context that Ctrl-C or a request to terminate ends. The
// second time they end the process.
func interruptible() (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// plainEvery is how often a plain line tells how far it is.
const plainEvery = time.Second

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
	bar      *progressbar.ProgressBar // nil where stderr is no terminal
	done     int
	bytesNow int64
	lastLine time.Time
}

func (a *app) newProgress(verb string, files int, size int64, quiet, perFile bool) *progress {
	if quiet {
		return nil
	}
	p := &progress{app: a, verb: verb, files: files, size: size, perFile: perFile, start: time.Now(), lastLine: time.Now()}
	if terminalWidth(a.err) > 0 && size > 0 {
		p.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(a.err),
			progressbar.OptionSetDescription(p.describe()),
			progressbar.OptionShowBytes(true),
			progressbar.OptionShowTotalBytes(true),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetWidth(barWidth(terminalWidth(a.err))),
			progressbar.OptionThrottle(65*time.Millisecond),
			progressbar.OptionUseANSICodes(true),
			progressbar.OptionShowCount(),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerHead: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""}),
		)
	}
	return p
}

// barWidth leaves room for the figures beside the bar.
func barWidth(terminal int) int { return max(min(terminal-76, 40), 4) }

func (p *progress) describe() string { return fmt.Sprintf("%d/%d files", p.done, p.files) }

// bytes adds to what is done.
func (p *progress) bytes(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytesNow += n
	if p.bar != nil {
		p.bar.Set64(min(p.bytesNow, p.size-1)) // at the end the bar would take no more changes
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
	left := time.Duration(float64(p.size-p.bytesNow) / rate * float64(time.Second))
	return fmt.Sprintf("%s/s, %v left", human(int64(rate)), left.Round(time.Second))
}

// file says that a file is done.
func (p *progress) file(name, note string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.done++
	if p.bar != nil {
		p.bar.Describe(p.describe())
	}
	p.mu.Unlock()
	if p.perFile {
		p.aside(func() { fmt.Fprintf(p.app.err, "%s%s\n", printable(name), note) })
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
	if p.bar != nil && !p.bar.IsFinished() {
		p.bar.Clear()
	}
	print()
}

// finish ends the bar and prints the last line, which begins with what: what was done;
// none if it is "".
func (p *progress) finish(complete bool, what string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		if complete && p.bytesNow >= p.size {
			p.bar.Describe(p.describe())
			p.bar.Finish()
		} else {
			p.bar.Exit()
		}
		fmt.Fprintln(p.app.err)
	}
	if what == "" {
		return
	}
	took := time.Since(p.start)
	rate := ""
	if took > 0 && p.bytesNow > 0 {
		rate = fmt.Sprintf(" (%s/s)", human(int64(float64(p.bytesNow)/took.Seconds())))
	}
	fmt.Fprintf(p.app.err, "%s, %s in %v%s\n", what, human(p.bytesNow), took.Round(time.Millisecond), rate)
}
