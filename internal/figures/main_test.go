package main

// The whole command on canned benchmark output, and its measuring on a tiny module.
// What single parts compute is tested in report_test.go.

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReportFromStoredOutput(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	page := filepath.Join(out, "figures.md")
	require.NoError(t, run(context.Background(), []string{"-from", "testdata/canned.txt", "-out", out}, io.Discard))
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := os.ReadFile("testdata/figures.md")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "if it is as it should be, this belongs in testdata")
	svg, err := os.ReadFile(filepath.Join(out, "figures.svg"))
	require.NoError(t, err)
	for _, words := range []string{"Refresh of nothing", "490,000", "10 µs", "fill:#FFFFFF", "sans-serif"} {
		assert.Contains(t, string(svg), words)
	}
}

func TestHandWrittenTextSurvives(t *testing.T) {
	t.Parallel()
	const before = "# Ours\n\nBetween `<!-- figures: begin -->` and its end.\n\n"
	const after = "\n\nWhat it means.\n"
	for name, old := range map[string]string{"empty section": "", "old section": "\n## Old\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			page := filepath.Join(out, "figures.md")
			require.NoError(t, os.WriteFile(page, []byte(before+beginMarker+"\n"+old+endMarker+after), 0o600))
			for range 2 { // the second run finds what the first wrote
				require.NoError(t, run(context.Background(), []string{"-from", "testdata/canned.txt", "-out", out, "-date", "2001-02-03"}, io.Discard))
				text, err := os.ReadFile(page)
				require.NoError(t, err)
				assert.True(t, strings.HasPrefix(string(text), before+beginMarker+"\n\n**2001-02-03: "), "%s", text)
				assert.True(t, strings.HasSuffix(string(text), "|\n\n"+endMarker+after), "%s", text)
				assert.NotContains(t, string(text), "## Old")
			}
		})
	}
}

func TestMissingMarkers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"none":          "# Figures\n",
		"no end":        beginMarker + "\n",
		"no begin":      endMarker + "\n",
		"end first":     endMarker + "\n" + beginMarker + "\n",
		"within a line": "see " + beginMarker + "\n" + endMarker + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			page := filepath.Join(out, "figures.md")
			require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
			err := run(context.Background(), []string{"-out", out}, io.Discard) // must not begin to measure
			require.ErrorContains(t, err, page+" lacks the line")
			left, err := os.ReadFile(page)
			require.NoError(t, err)
			assert.Equal(t, text, string(left))
		})
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-rounds", "0"}, {"-from", "a", "-raw", "b"}, {"what"}, {"-no-such-flag"}, {"-from", "testdata/missing"}} {
		assert.Error(t, run(context.Background(), append(args, "-out", t.TempDir()), io.Discard), "%v", args)
	}
}

// tinyModule is a module with one benchmark.
func tinyModule(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module tiny\n\ngo 1.25.0\n"), 0o600))
	source := "package tiny\n\nimport \"testing\"\n\nfunc BenchmarkTiny(b *testing.B) {\n\t" + body + "\n}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tiny_test.go"), []byte(source), 0o600))
	return dir
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	dir := tinyModule(t, `b.Run("a", func(b *testing.B) { for b.Loop() {} }); b.Run("b", func(b *testing.B) { b.Fatal("must not run") })`)
	var out, progress bytes.Buffer
	require.NoError(t, writeHeader(&out, "2001-02-03", describeMachine()))
	o := options{rounds: 3, bench: "Tiny/a", benchtime: "10x"}
	require.NoError(t, measure(context.Background(), []string{dir}, o, &out, &progress))
	m, err := parse(&out, "out")
	require.NoError(t, err)
	assert.Equal(t, []string{"Tiny/a"}, m.names)
	assert.Equal(t, 3, m.rounds)
	assert.Equal(t, "2001-02-03", m.date)
	assert.Equal(t, describeMachine(), m.facts)
	assert.Contains(t, progress.String(), "round 3 of 3: "+dir)
}

func TestMeasureFails(t *testing.T) {
	t.Parallel()
	var progress bytes.Buffer
	err := measure(context.Background(), []string{tinyModule(t, `b.Fatal("so it is")`)}, options{rounds: 2, bench: "."}, io.Discard, &progress)
	require.ErrorContains(t, err, "round 1 of the benchmarks of")
	assert.Contains(t, progress.String(), "so it is")

	err = measure(context.Background(), []string{tinyModule(t, `no go`)}, options{rounds: 1, bench: "."}, io.Discard, &progress)
	require.ErrorContains(t, err, "building the benchmarks of")
}
