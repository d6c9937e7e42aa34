package famfs

// The layers of docs/architecture.md, against the code: which file uses which.

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// layers reads the table of rooms. It returns the names of the layers, from the ground up, and
// the patterns of the files of each.
func layers(t *testing.T) (names []string, patterns [][]string) {
	t.Helper()
	text, err := os.ReadFile("docs/architecture.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "| layer | files | concern |")
	require.True(t, ok, "the table of rooms is not found")
	quoted := regexp.MustCompile("`([^`]+)`")
	for row := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(row), "|")
		if len(cells) < 5 {
			if len(names) > 0 {
				break
			}
			continue
		}
		name := strings.TrimSpace(cells[1])
		if strings.HasPrefix(name, "---") {
			continue
		}
		if name != "" {
			names, patterns = append(names, name), append(patterns, nil)
		}
		last := len(names) - 1
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			patterns[last] = append(patterns[last], braces(m[1])...)
		}
	}
	require.Greater(t, len(names), 10)
	return names, patterns
}

// braces expands a{b,c} to ab and ac.
func braces(pattern string) (all []string) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	end := open + strings.IndexByte(pattern[open:], '}')
	for _, part := range strings.Split(pattern[open+1:end], ",") {
		all = append(all, braces(pattern[:open]+part+pattern[end+1:])...)
	}
	return all
}

// layerOf returns the number of the layer of a file.
func layerOf(t *testing.T, file string, patterns [][]string) int {
	t.Helper()
	found := -1
	for layer := range patterns {
		for _, pattern := range patterns[layer] {
			if ok, err := path.Match(pattern, file); ok && err == nil {
				assert.True(t, found < 0 || found == layer, "%s is in two layers", file)
				found = layer
			}
		}
	}
	require.GreaterOrEqual(t, found, 0, "docs/architecture.md has no place for %s", file)
	return found
}

// nothingImported is used for other packages: their content does not matter here.
type nothingImported struct{}

func (nothingImported) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

// uses returns, for each file of the package on this system, the files whose definitions it
// uses, and for each of them one such definition.
func uses(t *testing.T) map[string]map[string]string {
	t.Helper()
	files := token.NewFileSet()
	var parsed []*ast.File
	found, err := filepath.Glob("*.go")
	require.NoError(t, err)
	all := make(map[string]map[string]string)
	for _, name := range found {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		ok, err := build.Default.MatchFile(".", name)
		require.NoError(t, err)
		if !ok {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		parsed = append(parsed, f)
		all[name] = make(map[string]string)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: nothingImported{}, Error: func(error) {}}
	_, _ = config.Check("famfs", files, parsed, info) // it cannot know what other packages have
	for ident, object := range info.Uses {
		if object.Pkg() == nil || object.Pkg().Path() != "famfs" || object.Parent() != nil && object.Parent() != object.Pkg().Scope() {
			continue // of another package, or local
		}
		from, to := files.Position(ident.Pos()).Filename, files.Position(object.Pos()).Filename
		if from != to {
			all[from][to] = object.Name()
		}
	}
	return all
}

// Every file is in docs/architecture.md, and uses only its own layer and those below it, which
// come before it in the table.
func TestLayers(t *testing.T) {
	t.Parallel()
	needsSources(t)
	names, patterns := layers(t)
	all := uses(t)
	require.Greater(t, len(all), 40)
	total := 0
	for _, from := range slices.Sorted(maps.Keys(all)) {
		layer := layerOf(t, from, patterns)
		for _, to := range slices.Sorted(maps.Keys(all[from])) {
			total++
			other := layerOf(t, to, patterns)
			if other > layer {
				t.Errorf("%s (%s) uses %s of %s (%s), which is above it", from, names[layer], all[from][to], to, names[other])
			}
		}
	}
	assert.Greater(t, total, 200, "the uses were not found")
	if testing.Verbose() {
		for _, from := range slices.Sorted(maps.Keys(all)) {
			fmt.Println(from, "uses", slices.Sorted(maps.Keys(all[from])))
		}
	}
	for _, pattern := range slices.Concat(patterns...) {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		assert.NotEmpty(t, found, "docs/architecture.md has a row for %s, which is not there", pattern)
	}
	// Files for other systems are in the table too.
	others, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range others {
		if !strings.HasSuffix(file, "_test.go") {
			layerOf(t, file, patterns)
		}
	}
}

// "(format: …)" in a comment names a section of docs/format.md.
func TestFormatReferences(t *testing.T) {
	t.Parallel()
	needsSources(t)
	text, err := os.ReadFile(filepath.Join("docs", "format.md"))
	require.NoError(t, err)
	sections := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		sections[strings.ToLower(m[1])] = true
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	reference, found := regexp.MustCompile(`\(format:([^)]*)\)`), 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
			section := strings.Join(strings.Fields(strings.ReplaceAll(m[1], "//", "")), " ")
			assert.True(t, sections[section], "%s: docs/format.md has no section %q", file, section)
			found++
		}
	}
	assert.Greater(t, found, 10)
}

// Records are read and written at offsets with names, in tables: no offset is written as a number.
func TestOffsetsHaveNames(t *testing.T) {
	t.Parallel()
	needsSources(t)
	bare := regexp.MustCompile(`\.(Put)?Uint(16|32|64)\(\w+\[\d*:|\[\w+ ?[+-] ?\d+:|\.store(64)?\(\d|flush(AndFence\(m, |\()\d, 8`)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	looked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "sharedmem.go" { // which has words, no records
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		looked++
		for i, line := range strings.Split(string(text), "\n") {
			if bare.MatchString(line) && !strings.Contains(line, "copy(odd[at+1:]") {
				t.Errorf("%s:%d: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	}
	assert.Greater(t, looked, 40)
	assert.True(t, bare.MatchString("le.PutUint64(b[16:], x)"))
	assert.True(t, bare.MatchString("le.Uint64(b[:])"))
	assert.True(t, bare.MatchString("m.store(0, record[magicAt:versionAt])"))
	assert.True(t, bare.MatchString("flushAndFence(m, 0, 8)"))
	assert.True(t, bare.MatchString("le.Uint32(b[extentsAt+8:])"))
}
