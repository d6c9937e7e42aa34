package main

// Files: the copy of the repository, and putting a fault into it.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is a small fault: one text in a file is replaced by another.
type mutant struct {
	// name is unique and begins with the room of the fault.
	name string
	// why says what is wrong with the fault in place.
	why string
	// file is the path relative to the root of the repository.
	file string
	// old must occur exactly once in file; it is replaced by new. Lines may move.
	old, new string
	// tests are the names of the tests that should notice, separated by spaces, in the folder of
	// file.
	tests string
	// race says that only the race detector can notice.
	race bool
	// survives says why no test can notice. It is "" if one must.
	survives string
}

// check returns an error if the mutant itself is wrong.
func (m *mutant) check() error {
	switch {
	case m.name == "" || m.why == "" || m.file == "" || m.old == "":
		return errors.New("want a name, a reason, a file and a text to replace")
	case m.old == m.new:
		return errors.New("old and new text are the same")
	case m.tests == "" && m.survives == "":
		return errors.New("want the tests that notice, or why none can")
	}
	return nil
}

// apply returns text with the fault in it.
func (m *mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("%s: found the old text %d times, want once: %q; the list must follow the code", m.file, n, m.old)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}

// checkAll checks that all mutants can be put into the tree at root, and that their tests exist.
func checkAll(root string, all []mutant) error {
	var errs []error
	seen := map[string]bool{}
	tests := map[string]map[string]bool{}
	for _, m := range all {
		fail := func(err error) { errs = append(errs, fmt.Errorf("%s: %w", m.name, err)) }
		if err := m.check(); err != nil {
			fail(err)
			continue
		}
		if seen[m.name] {
			fail(errors.New("the name is there twice"))
		}
		seen[m.name] = true
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err == nil {
			_, err = m.apply(string(text))
		}
		if err != nil {
			fail(err)
		}
		dir := filepath.Dir(m.file)
		if tests[dir] == nil {
			if tests[dir], err = testsIn(filepath.Join(root, dir)); err != nil {
				return err
			}
		}
		for _, name := range m.names() {
			if !tests[dir][name] {
				fail(fmt.Errorf("no test in %s is named %s", dir, name))
			}
		}
	}
	return errors.Join(errs...)
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)

// testsIn returns the names of the test functions in a folder, for any system.
func testsIn(dir string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, match := range testFunc.FindAllStringSubmatch(string(text), -1) {
			names[match[1]] = true
		}
	}
	return names, nil
}

// copyTree copies the repository at from, without its history, to dir, which it makes.
func copyTree(dir, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, path)
		switch {
		case d.Name() == ".git":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode().Perm()|0o200)
	})
}
