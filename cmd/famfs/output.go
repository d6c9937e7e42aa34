package main

// Output on stdout and stderr: terminals and their width, tables, JSON, numbers for people, and
// names that must not control the terminal.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// output is stdout. It remembers if writing failed: then no command may succeed, whether it
// checked the error or not.
type output struct {
	to  io.Writer
	mu  sync.Mutex
	err error

	look     sync.Once
	terminal bool
}

// isTerminal reports whether people read the output. Asking the system costs as much as printing a
// line, and so is done once.
func (o *output) isTerminal() bool {
	o.look.Do(func() { o.terminal = terminalWidth(o.to) > 0 })
	return o.terminal
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
		return n, o.err
	}
	return n, nil
}

// terminalWidth returns the number of columns of the terminal w, or 0 if w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := fileOf(w)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}

// asksPeople reports whether a person can answer a question: standard input is a terminal.
func (a *app) asksPeople() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalHeight returns the number of lines of the terminal w, or 0 if w is no terminal.
func terminalHeight(w io.Writer) int {
	if terminalWidth(w) == 0 {
		return 0
	}
	f, _ := fileOf(w)
	if _, height, err := term.GetSize(int(f.Fd())); err == nil && height > 0 {
		return height
	}
	return 24
}

func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*output); ok {
		w = o.to
	}
	f, ok := w.(*os.File)
	return f, ok
}

// printJSON writes v as JSON, for programs.
func (a *app) printJSON(v any) error { return a.encode(v, "  ") }

// printJSONLine writes v as one line of JSON.
func (a *app) printJSONLine(v any) error { return a.encode(v, "") }

// printJSONList writes found as an array, followed by the failures of this command, so that no
// program takes an error for a missing file.
func printJSONList[T any](a *app, found []T) error {
	all := make([]any, 0, len(found)+len(a.failures))
	for _, v := range found {
		all = append(all, v)
	}
	for _, f := range a.failures {
		all = append(all, f)
	}
	return a.printJSON(all)
}

func (a *app) encode(v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(safeJSON(b.Bytes()))
	return err
}

// safeJSON escapes characters that a terminal would obey and that JSON does not escape itself,
// such as DEL and C1 controls. Programs read the same values.
func safeJSON(b []byte) []byte {
	var safe []byte
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		if r == '\n' || unicode.IsPrint(r) || r == utf8.RuneError {
			safe = append(safe, b[i:i+n]...)
		} else if r > 0xffff {
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		} else {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		i += n
	}
	return safe
}

// printable returns s with everything escaped that a terminal would obey, or that is not text,
// as Go escapes it. Newlines become \n.
func printable(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// displayName returns a name for stdout: unchanged for programs, and safe for terminals, which stderr
// may be too (see people).
func (a *app) displayName(name string) string {
	if a.out.isTerminal() || a.progressAs == "json" {
		return printable(name)
	}
	return name
}

// wide returns the number of columns that a terminal shows s in.
func wide(s string) int { return uniseg.StringWidth(s) }

// padded returns s with blanks behind it, n columns wide.
func padded(s string, n int) string { return s + strings.Repeat(" ", max(n-wide(s), 0)) }

// columns prints rows as aligned columns. The columns in right are aligned to the right. The
// last column is not padded. (text/tabwriter takes every character for one column wide, and
// aligns all columns to the same side.)
func columns(w io.Writer, rows [][]string, right ...int) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], wide(cell))
		}
	}
	isRight := make([]bool, len(widths))
	for _, i := range right {
		if i < len(isRight) {
			isRight[i] = true
		}
	}
	var b strings.Builder
	for _, row := range rows {
		b.Reset()
		for i, cell := range row {
			if i > 0 {
				b.WriteByte(' ')
			}
			pad := strings.Repeat(" ", widths[i]-wide(cell))
			switch {
			case isRight[i]:
				b.WriteString(pad + cell)
			case i == len(row)-1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + pad)
			}
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// human formats a number of bytes for people, with three digits: 1.5 GiB, 1023 MiB. (Of
// go-humanize, IBytes has two digits, too few to add up, and IBytesN zeros at the end.)
func human(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value := float64(n)
	for len(units) > 1 && value >= 1024 {
		value, units = value/1024, units[1:]
	}
	if value >= 1000 { // four digits; %.4g would do that too, but not round 1023.96
		return fmt.Sprintf("%.0f %s", value, units[0])
	}
	return fmt.Sprintf("%.3g %s", value, units[0])
}

// grouped formats a number with separators between thousands.
func grouped(n int) string { return humanize.Comma(int64(n)) }

// count formats a number and the name of what is counted.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// exact formats a number of bytes in full and for people.
func exact(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	return fmt.Sprintf("%d bytes (%s)", n, human(n))
}

// num formats a number without separators, for tables that programs read too.
func num(n int64) string { return strconv.FormatInt(n, 10) }

// percent returns part as a percentage of whole. It rounds up, as df does.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", int64(float64(part)/float64(whole)*100+0.9999))
}
