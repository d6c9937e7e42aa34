// Command mutants puts small faults into a copy of the code, one at a time, and lists those that
// the tests do not notice.
//
//	go run ./internal/mutants            # all, each with the tests that are expected to notice
//	go run ./internal/mutants -whole     # and where these do not, with all tests of the package
//	go run ./internal/mutants -run 'alloc|gate'
//	go run ./internal/mutants -check     # only that each can still be put in
//
// Run it in the root of the repository. It changes nothing there, because it works on a copy in
// the temporary folder. All faults take about an hour on two processors.
//
// The list is in the list_*.go files; the type mutant describes its fields. If a text of the
// list is not found after a change of the code, that is an error: adapt the list. A fault that
// no test can notice stays in the list, with the reason.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	var c config
	pattern := flag.String("run", "", "only the faults whose name matches this regular expression")
	flag.BoolVar(&c.whole, "whole", false, "run all tests of the package where the expected ones notice nothing")
	flag.BoolVar(&c.checkOnly, "check", false, "only look whether each fault can be put in, and whether its tests exist")
	flag.BoolVar(&c.verbose, "v", false, "print what the tests said")
	flag.DurationVar(&c.timeout, "timeout", 3*time.Minute, "how long tests may take, ten times that for all of a package; who takes longer has noticed")
	flag.Parse()
	if err := run(c, *pattern, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

type config struct {
	whole, checkOnly, verbose bool
	timeout                   time.Duration
}

func run(c config, pattern string, args []string, out io.Writer) error {
	if len(args) > 0 {
		return fmt.Errorf("found arguments %q, want none: choose faults with -run", args)
	}
	chosen, err := choose(mutants(), pattern)
	if err != nil {
		return err
	}
	if _, err := os.Stat("famfs.go"); err != nil {
		return fmt.Errorf("this is not the root of the repository: %w", err)
	}
	if err := checkAll(".", chosen); err != nil {
		return err
	}
	if c.checkOnly {
		fmt.Fprintf(out, "%d faults can be put in\n", len(chosen))
		return nil
	}
	dir, err := os.MkdirTemp("", "famfs-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &runner{config: c, root: filepath.Join(dir, "tree"), out: out}
	if err := copyTree(r.root, "."); err != nil {
		return err
	}
	return r.all(chosen)
}

// choose returns the mutants whose names match.
func choose(all []mutant, pattern string) ([]mutant, error) {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var chosen []mutant
	for _, m := range all {
		if match.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no fault has a name that matches %q", pattern)
	}
	return chosen, nil
}

// all tries every mutant and reports the results.
func (r *runner) all(chosen []mutant) error {
	if err := r.clean(chosen); err != nil {
		return err
	}
	count := map[verdict]int{}
	var survivors []mutant
	var errs []error
	for i, m := range chosen {
		begin := time.Now()
		v, by, err := r.try(m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, err))
			v = broken
		}
		count[v]++
		fmt.Fprintf(r.out, "%3d/%d %-9s %-28s %6.1fs  %s\n", i+1, len(chosen), v, m.name, time.Since(begin).Seconds(), by)
		if v == survived {
			survivors = append(survivors, m)
		}
	}
	fmt.Fprintf(r.out, "\n%d faults: %d noticed, %d not\n", len(chosen), count[noticed], count[survived])
	unexplained := 0
	for _, m := range survivors {
		reason := m.survives
		if reason == "" {
			unexplained++
			reason = "NOT EXPLAINED"
		}
		fmt.Fprintf(r.out, "  %s (%s): %s\n    %s\n", m.name, m.file, m.why, reason)
	}
	if unexplained > 0 {
		errs = append(errs, fmt.Errorf("%d faults were not noticed, and nothing says why", unexplained))
	}
	return errors.Join(errs...)
}

// names returns the names of the tests of m.
func (m *mutant) names() []string { return strings.Fields(m.tests) }
