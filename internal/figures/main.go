// Command figures measures what the design promises and writes it down: it runs the
// benchmarks of the library and its own several times, holds every figure against its
// baseline of the same round, and writes docs/figures.md and docs/figures.svg. Run it
// from the root of the repository:
//
//	go run ./internal/figures
//	go run ./internal/figures -raw figures.txt   # keeps what was measured
//	go run ./internal/figures -from figures.txt  # writes the report again, measures nothing
//
// FAMFS_TEST_DIR and FAMFS_TEST_DEVICE choose where, as they do for the tests.
package main

// The flags and the order of work. What is measured stands in run.go and rows.go, what
// is made of it in report.go, and how it is written in markdown.go and plot.go.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

// options is what the flags say.
type options struct {
	rounds    int
	benchtime string
	bench     string
	date      string
	from      string
	raw       string
	out       string
	name      string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "figures:", err)
		stop()
		os.Exit(1)
	}
}

func parseFlags(args []string, progress io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("figures", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&o.rounds, "rounds", 5, "how often every benchmark runs")
	flags.StringVar(&o.benchtime, "benchtime", "", "as in go test; empty for its default")
	flags.StringVar(&o.bench, "bench", ".", "which benchmarks run, as in go test")
	flags.StringVar(&o.date, "date", "", "the date of the report (default: that of the measurements)")
	flags.StringVar(&o.from, "from", "", "make the report from this `file` of benchmark output instead of measuring")
	flags.StringVar(&o.raw, "raw", "", "write the output of the benchmarks to this `file`")
	flags.StringVar(&o.out, "out", "docs", "the `folder` of the report")
	flags.StringVar(&o.name, "name", "figures", "the report is NAME.md and NAME.svg: give machines and devices one each")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds is %d, want at least 1", o.rounds)
	case o.from != "" && o.raw != "":
		return o, errors.New("-raw stores what is measured, and with -from nothing is")
	}
	return o, nil
}

func run(ctx context.Context, args []string, progress io.Writer) error {
	o, err := parseFlags(args, progress)
	if err != nil {
		return err
	}
	// Before measuring, which takes long: could the page be written?
	page := filepath.Join(o.out, o.name+".md")
	if _, err := replaceSection(page, ""); err != nil {
		return err
	}
	m, err := measurementsOf(ctx, o, progress)
	if err != nil {
		return err
	}
	r := newReport(m, cmp.Or(o.date, m.date, today()))
	r.Plot = o.name + ".svg"
	return write(page, r, progress)
}

// measurementsOf reads what was measured before, or measures.
func measurementsOf(ctx context.Context, o options, progress io.Writer) (*measurements, error) {
	if o.from != "" {
		stored, err := os.ReadFile(o.from)
		if err != nil {
			return nil, fmt.Errorf("reading measurements: %w", err)
		}
		return parse(bytes.NewReader(stored), o.from)
	}
	var measured bytes.Buffer
	out := io.Writer(&measured)
	if o.raw != "" {
		f, err := os.Create(o.raw)
		if err != nil {
			return nil, fmt.Errorf("storing measurements: %w", err)
		}
		defer f.Close()
		out = io.MultiWriter(&measured, f)
	}
	if err := writeHeader(out, cmp.Or(o.date, today()), describeMachine()); err != nil {
		return nil, fmt.Errorf("storing measurements: %w", err)
	}
	if err := measure(ctx, []string{".", "./internal/figures"}, o, out, progress); err != nil {
		return nil, err
	}
	return parse(&measured, "measurements")
}

// write writes the page and, where growth was measured, the plot beside it.
func write(page string, r *report, progress io.Writer) error {
	if len(r.Growth.Counts) > 0 {
		svg, err := growthPlot(r.Growth)
		if err != nil {
			return fmt.Errorf("plotting: %w", err)
		}
		if err := writeFile(filepath.Join(filepath.Dir(page), r.Plot), svg); err != nil {
			return err
		}
	}
	section, err := markdown(r)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	text, err := replaceSection(page, section)
	if err != nil {
		return err
	}
	if err := writeFile(page, []byte(text)); err != nil {
		return err
	}
	fmt.Fprintf(progress, "%s: %d of %d rows met\n", page, r.Met, len(r.Rows))
	return nil
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func today() string { return time.Now().Format(time.DateOnly) }
