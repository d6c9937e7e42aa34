package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallTree is a module with one function and its test, which takes all arguments but
// one for what they are.
func smallTree(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module small\n\ngo 1.25\n",
		"small.go": `package small

func abs(x int) int {
	if x < 0 {
		return -x
	}
	return x
}

var shared int

func set(x int) { shared = x }
`,
		"small_test.go": `package small

import "testing"

func TestAbs(t *testing.T) {
	if abs(-3) != 3 || abs(4) != 4 {
		t.Error("wrong")
	}
}

func TestNothing(t *testing.T) {}
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func TestApply(t *testing.T) {
	t.Parallel()
	m := mutant{name: "x", why: "y", file: "f.go", old: "a < b", new: "a <= b", tests: "TestX"}
	require.NoError(t, m.check())
	text, err := m.apply("if a < b {")
	require.NoError(t, err)
	assert.Equal(t, "if a <= b {", text)
	_, err = m.apply("if b > a {")
	assert.ErrorContains(t, err, "found the old text 0 times")
	_, err = m.apply("a < b || a < b")
	assert.ErrorContains(t, err, "found the old text 2 times")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := smallTree(t)
	good := mutant{name: "good", why: "y", file: "small.go", old: "x < 0", new: "x < -1", tests: "TestAbs"}
	require.NoError(t, checkAll(dir, []mutant{good}))
	for want, spoil := range map[string]func(m *mutant){
		"want a name":                  func(m *mutant) { m.why = "" },
		"are the same":                 func(m *mutant) { m.new = m.old },
		"the tests that notice":        func(m *mutant) { m.tests = "" },
		"found the old text 0 times":   func(m *mutant) { m.old = "nowhere" },
		"no test in . is named TestNo": func(m *mutant) { m.tests = "TestNo" },
		"no such file":                 func(m *mutant) { m.file = "none.go" },
	} {
		m := good
		spoil(&m)
		assert.ErrorContains(t, checkAll(dir, []mutant{m}), want)
	}
	assert.ErrorContains(t, checkAll(dir, []mutant{good, good}), "twice")
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := []mutant{{name: "alloc-a"}, {name: "gate-b"}}
	chosen, err := choose(all, "^gate")
	require.NoError(t, err)
	assert.Equal(t, all[1:], chosen)
	_, err = choose(all, "none")
	assert.ErrorContains(t, err, "no fault")
	_, err = choose(all, "(")
	assert.Error(t, err)
}

// The whole way, on a module of its own: what is noticed, what is not, what is said
// where there is an explanation, and that the copy is as it was afterwards.
func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := &runner{config: config{timeout: time.Minute, whole: true}, root: filepath.Join(t.TempDir(), "tree"), out: &out}
	require.NoError(t, os.CopyFS(r.root, os.DirFS(smallTree(t))))
	before, err := os.ReadFile(filepath.Join(r.root, "small.go"))
	require.NoError(t, err)
	all := []mutant{
		{name: "caught", why: "sign", file: "small.go", old: "x < 0", new: "x > 0", tests: "TestAbs"},
		{name: "caught by others", why: "sign", file: "small.go", old: "x < 0", new: "x > 0", tests: "TestNothing"},
		{name: "hangs", why: "for ever", file: "small.go", old: "return -x", new: "for {}", tests: "TestAbs"},
		{name: "explained", why: "bound", file: "small.go", old: "x < 0", new: "x <= 0", survives: "0 is -0"},
	}
	r.timeout = 5 * time.Second
	require.NoError(t, r.all(all), out.String())
	assert.Contains(t, out.String(), "4 faults: 3 noticed, 1 not")
	assert.Contains(t, out.String(), "0 is -0")
	assert.Contains(t, out.String(), "TestAbs (not by the expected tests)")

	all = append(all[:1:1],
		mutant{name: "missed", why: "bound", file: "small.go", old: "x < 0", new: "x <= 0", tests: "TestAbs"},
		mutant{name: "nonsense", why: "syntax", file: "small.go", old: "x < 0", new: "x <", tests: "TestAbs"})
	out.Reset()
	err = r.all(all)
	assert.ErrorContains(t, err, "1 faults were not noticed")
	assert.ErrorContains(t, err, "nonsense: the tests in . do not compile")
	assert.Contains(t, out.String(), "NOT EXPLAINED")

	after, err := os.ReadFile(filepath.Join(r.root, "small.go"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))

	require.NoError(t, os.WriteFile(filepath.Join(r.root, "small_test.go"), []byte("package small\n\nimport \"testing\"\n\nfunc TestAbs(t *testing.T) { t.Error(\"always\") }\n"), 0o644))
	assert.ErrorContains(t, r.all(all[:1]), "fail without any fault")
}

// The kept list is sound in itself; whether it fits the code is looked at when it is run.
func TestList(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range mutants() {
		assert.NoError(t, m.check(), m.name)
		assert.False(t, seen[m.name], "%s is there twice", m.name)
		seen[m.name] = true
	}
	assert.GreaterOrEqual(t, len(seen), 100)
}
