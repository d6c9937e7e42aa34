package main

// Building and running tests in the copy.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// verdict is the result for a mutant.
type verdict string

const (
	noticed  verdict = "noticed"
	survived verdict = "SURVIVED"
	broken   verdict = "BROKEN" // it could not be tried
)

type runner struct {
	config
	root string // the copy
	out  io.Writer
}

// clean runs the tests of all mutants on the unchanged code: they must pass.
func (r *runner) clean(all []mutant) error {
	type kind struct {
		dir  string
		race bool
	}
	names := map[kind][]string{}
	for _, m := range all {
		k := kind{filepath.Dir(m.file), m.race}
		names[k] = append(names[k], m.names()...)
	}
	for k, tests := range names {
		if len(tests) == 0 {
			continue
		}
		slices.Sort(tests)
		tests = slices.Compact(tests)
		begin := time.Now()
		binary, err := r.build(k.dir, k.race)
		if err != nil {
			return err
		}
		failed, said, err := r.test(binary, k.dir, tests, 10*r.timeout)
		if err != nil {
			return err
		}
		if failed {
			return fmt.Errorf("%s: the tests fail without any fault:\n%s", k.dir, said)
		}
		fmt.Fprintf(r.out, "%s: %d tests pass without a fault, in %.1fs\n", k.dir, len(tests), time.Since(begin).Seconds())
	}
	return nil
}

// try puts m into the copy, runs its tests, and removes it again. by says which test noticed.
func (r *runner) try(m mutant) (v verdict, by string, err error) {
	path := filepath.Join(r.root, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return broken, "", err
	}
	changed, err := m.apply(string(text))
	if err != nil {
		return broken, "", err
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return broken, "", err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, text, 0o644)) }()
	dir := filepath.Dir(m.file)
	binary, err := r.build(dir, m.race)
	if err != nil {
		return broken, "", err
	}
	if tests := m.names(); len(tests) > 0 {
		failed, said, err := r.test(binary, dir, tests, r.timeout)
		if failed || err != nil {
			return noticed, whoFailed(said), err
		}
	}
	if r.whole {
		failed, said, err := r.test(binary, dir, nil, 10*r.timeout)
		if failed || err != nil {
			return noticed, whoFailed(said) + " (not by the expected tests)", err
		}
	}
	return survived, "", nil
}

// build compiles the tests in dir.
func (r *runner) build(dir string, race bool) (binary string, err error) {
	binary = filepath.Join(filepath.Dir(r.root), "test.exe")
	args := []string{"test", "-c", "-ldflags=-w", "-o", binary} // linking is most of the work
	if race {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = filepath.Join(r.root, dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the tests in %s do not compile: %w\n%s", dir, err, out)
	}
	return binary, nil
}

// test runs the tests of that name, or all. It reports whether one failed or took too long.
func (r *runner) test(binary, dir string, names []string, timeout time.Duration) (failed bool, said string, err error) {
	args := []string{"-test.timeout=" + timeout.String(), "-test.failfast"}
	if names != nil {
		args = append(args, "-test.run=^("+strings.Join(names, "|")+")$")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(r.root, dir)
	cmd.Env = os.Environ()
	if os.Getenv("FAMFS_TEST_DIR") == "" {
		// On tmpfs the same tests do not wait for a disk.
		if shm, err := os.MkdirTemp("/dev/shm", "famfs-mutants-"); err == nil {
			defer os.RemoveAll(shm)
			cmd.Env = append(cmd.Env, "FAMFS_TEST_DIR="+shm)
		}
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = 5 * time.Second // for processes that the tests started
	endTogether(cmd)
	err = cmd.Run()
	endRest(cmd)
	if r.verbose {
		fmt.Fprintf(r.out, "%s\n", output.Bytes())
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit), errors.Is(err, exec.ErrWaitDelay):
		return true, output.String(), nil
	case err != nil:
		return false, "", err
	}
	if bytes.Contains(output.Bytes(), []byte("no tests to run")) {
		return false, "", fmt.Errorf("none of the tests %v is in %s on this system", names, dir)
	}
	return false, output.String(), nil
}

var failedTest = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

// whoFailed names the tests that failed, or says how the program ended.
func whoFailed(said string) string {
	var names []string
	for _, match := range failedTest.FindAllStringSubmatch(said, -1) {
		names = append(names, match[1])
	}
	switch {
	case len(names) > 3:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	case len(names) > 0:
		return strings.Join(names, ", ")
	}
	for _, line := range strings.Split(said, "\n") {
		for _, sign := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "unexpected fault"} {
			if strings.HasPrefix(line, sign) {
				return line
			}
		}
	}
	return "the program failed"
}
