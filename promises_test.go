package famfs

// docs/promises.md names, for each promise of the documentation, the tests that check it. This
// keeps the table complete: every exported name is in it, and every test that it names exists.
// It reads the sources as text, so that the result is the same on all systems.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exportedNames returns what a user of the package can name, as Type.Method for methods; with
// fields set, also the fields of exported types.
func exportedNames(t *testing.T, fields bool) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	add := func(owner string, ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				names[strings.TrimPrefix(owner+"."+id.Name, ".")] = true
			}
		}
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				owner := ""
				if d.Recv != nil {
					owner = receiver(d.Recv.List[0].Type)
					if !ast.IsExported(owner) {
						continue
					}
				}
				add(owner, d.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.ValueSpec:
						add("", s.Names...)
					case *ast.TypeSpec:
						add("", s.Name)
						if st, ok := s.Type.(*ast.StructType); ok && fields && s.Name.IsExported() {
							for _, f := range st.Fields.List {
								add(s.Name.Name, f.Names...)
							}
						}
					}
				}
			}
		}
	}
	return names
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// testNames returns the test functions of the package, for all systems.
func testNames(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	var files []string
	for _, folder := range append(folders, ".") {
		found, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}

// promise is a row of the table.
type promise struct {
	line  string
	names []string
	tests []string
}

var inTicks = regexp.MustCompile("`([^`]+)`")

// readPromises reads the rows: names, what they promise, and the tests.
func readPromises(t *testing.T) (rows []promise) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", "promises.md"))
	require.NoError(t, err)
	ticked := func(cell string) (words []string) {
		for _, m := range inTicks.FindAllStringSubmatch(cell, -1) {
			words = append(words, m[1])
		}
		return words
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if !assert.Len(t, cells, 3, "%s: want names, promise and tests", line) {
			continue
		}
		rows = append(rows, promise{line, ticked(cells[0]), ticked(cells[2])})
	}
	return rows
}

// needsSources skips a test if only the compiled tests are there, as in guests.
func needsSources(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("famfs.go"); err != nil {
		t.Skip("the sources are not here")
	}
}

func TestPromises(t *testing.T) {
	t.Parallel()
	needsSources(t)
	rows := readPromises(t)
	known, tests := exportedNames(t, true), testNames(t)
	promised := map[string]bool{}
	for _, row := range rows {
		for _, name := range row.names {
			assert.True(t, known[name], "%s: the package has no %s any more", row.line, name)
			promised[name] = true
		}
		assert.NotEmpty(t, row.tests, "%s: want a test", row.line)
		for _, test := range row.tests {
			function, _, _ := strings.Cut(test, "/")
			assert.True(t, tests[function], "%s: there is no test %s", row.line, test)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exportedNames(t, false))) {
		assert.True(t, promised[name], "docs/promises.md says nothing of %s: write down what it promises, and which test holds it", name)
	}
}

// docs/reliability.md names tests too, including tests of the command and of the examples.
func TestReliabilityNamesTests(t *testing.T) {
	t.Parallel()
	needsSources(t)
	text, err := os.ReadFile(filepath.Join("docs", "reliability.md"))
	require.NoError(t, err)
	folders := []string{filepath.Join("cmd", "famfs")}
	inExamples, err := filepath.Glob(filepath.Join("examples", "*", "*_test.go"))
	require.NoError(t, err)
	for _, file := range inExamples {
		folders = append(folders, filepath.Dir(file))
	}
	tests, n := testNames(t, folders...), 0
	for _, m := range inTicks.FindAllStringSubmatch(string(text), -1) {
		function, _, _ := strings.Cut(m[1], "/")
		if regexp.MustCompile(`^(Test|Fuzz|Example)[A-Z]\w*$`).MatchString(function) {
			n++
			assert.True(t, tests[function], "there is no test %s", m[1])
		}
	}
	assert.Positive(t, n)
}
