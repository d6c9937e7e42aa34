package main

// What is made of benchmark output: pairing, what is met at the limits, and what is
// missing. How pages are written and kept is tested in main_test.go.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, text string) *measurements {
	t.Helper()
	m, err := parse(strings.NewReader(text), "text")
	require.NoError(t, err)
	return m
}

// rowOf is the report's row whose work begins like this.
func rowOf(t *testing.T, r *report, work string) result {
	t.Helper()
	for _, row := range r.Rows {
		if strings.HasPrefix(row.Work, work) {
			return row
		}
	}
	require.Fail(t, "no such row", work)
	return result{}
}

func TestMet(t *testing.T) {
	t.Parallel()
	lines := func(format string, values ...any) string { return fmt.Sprintf(format, values...) }
	bandwidth := func(name string, figure, baseline float64) string {
		return lines("Benchmark%s/famfs-2 1 1 ns/op %v MB/s\nBenchmark%s/baseline-2 1 1 ns/op %v MB/s\n", name, figure, name, baseline)
	}
	times := func(figure, baseline string, x, y float64) string {
		return lines("Benchmark%s-2 1 %v ns/op\nBenchmark%s-2 1 %v ns/op\n", figure, x, baseline, y)
	}
	create := func(x, y, z, shared int) string {
		var text strings.Builder
		for name, rate := range map[string]int{"1": x, "10000": y, "490000": z, "1/shared": shared, "10000/shared": shared, "490000/shared": shared} {
			text.WriteString(lines("BenchmarkCreate/entries=%s 1 1 ns/op %d files/s\n", name, rate))
		}
		return text.String()
	}
	refresh := func(x, y, shared float64) string {
		return times("Refresh/new=0/entries=1000", "Refresh/new=0/entries=490000", x, y) +
			times("Refresh/new=0/entries=1000/shared", "Refresh/new=0/entries=490000/shared", shared, shared)
	}
	open := func(x, shared, baseline float64) string {
		return times("Open/famfs", "Open/baseline", x, baseline) + lines("BenchmarkOpen/famfs/shared-2 1 %v ns/op\n", shared)
	}
	for _, test := range []struct {
		name, work, text string
		met              bool
	}{
		{"scan", "Scan", bandwidth("Scan", 9800, 10000), true},
		{"scan, short", "Scan", bandwidth("Scan", 9799, 10000), false},
		{"cold", "Map + Close, cold", times("Map/cold", "Map/baseline", 1200, 1000), true},
		{"cold, slow", "Map + Close, cold", times("Map/cold", "Map/baseline", 1201, 1000), false},
		{"mapped", "Map + Close of", times("Map/mapped", "Map/baseline", 50, 1000), true},
		{"mapped, slow", "Map + Close of", times("Map/mapped", "Map/baseline", 51, 1000), false},
		{"read", "`fs.FS`", times("Read4K/famfs", "Read4K/baseline", 100, 1000), true},
		{"read, slow", "`fs.FS`", times("Read4K/famfs", "Read4K/baseline", 101, 1000), false},
		{"open", "Open", open(1600, 1600, 1000), true},
		{"open, slow", "Open", open(1601, 1600, 1000), false},
		{"open, slow with lines invalidated", "Open", open(1600, 1601, 1000), false},
		{"refresh", "Refresh", refresh(999, 500, 999), true},
		{"refresh, at the limit", "Refresh", refresh(1000, 500, 999), false},
		{"refresh, slow with many", "Refresh", refresh(500, 1000, 999), false},
		{"refresh, slow with lines invalidated", "Refresh", refresh(500, 500, 1000), false},
		{"create", "Create", create(300_000, 400_000, 350_000, 199_999), true},
		{"create, slow", "Create", create(300_000, 299_999, 350_000, 199_999), false},
		{"create with lines invalidated", "The same, and cache lines", create(299_999, 300_000, 300_000, 200_000), true},
		{"create, slow with lines invalidated", "The same, and cache lines", create(299_999, 300_000, 300_000, 199_999), false},
		{"allocation", "Allocation", "BenchmarkAllocate/16TiB-16 1 999.9 ns/op\n", true},
		{"allocation, slow", "Allocation", "BenchmarkAllocate/16TiB-16 1 1001 ns/op\n", false},
		{"copy", "Copy", bandwidth("CopyIn", 9000, 10000), true},
		{"copy, short", "Copy", bandwidth("CopyIn", 8999, 10000), false},
		{"flush", "Flush", bandwidth("Flush", 9950, 10000), true},
		{"flush, short", "Flush", bandwidth("Flush", 9949, 10000), false},
		{"invalidate", "Invalidate", bandwidth("Invalidate", 9950, 10000), true},
		{"invalidate, short", "Invalidate", bandwidth("Invalidate", 9949, 10000), false},
		{"devices, open", "Open of a file system on 16", times("DevicesOpen/famfs", "DevicesOpen/baseline", 2_000_000, 1000), true},
		{"devices, open, slow", "Open of a file system on 16", times("DevicesOpen/famfs", "DevicesOpen/baseline", 2_002_000, 1000), false},
		{"devices, scan, short", "Scan a mapped file of 1 GiB that is interleaved", bandwidth("DevicesScan", 9799, 10000), false},
		{"devices, create", "Create + Commit of 2 MiB without data, on 16", times("DevicesCreate/famfs", "DevicesCreate/baseline", 1200, 1000), true},
		{"devices, create, slow", "Create + Commit of 2 MiB without data, on 16", times("DevicesCreate/famfs", "DevicesCreate/baseline", 1201, 1000), false},
		{"namespace", "Namespace", "BenchmarkNamespace-2 1 5 ns/op 200 B/file\n", true},
		{"namespace, large", "Namespace", "BenchmarkNamespace-2 1 5 ns/op 200.1 B/file\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newReport(parsed(t, test.text), "")
			row := rowOf(t, r, test.work)
			require.NotNil(t, row.Figure)
			assert.Equal(t, test.met, row.Met)
			assert.Equal(t, map[bool]int{true: 1}[test.met], r.Met, "no other row is met")
		})
	}
}

func TestMissingIsNotMet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, work, text string }{
		{"everything", "Namespace", "BenchmarkOther 1 1 ns/op\n"},
		{"the baseline", "Scan", "BenchmarkScan/famfs 1 1 ns/op 5 MB/s\n"},
		{"the figure", "Scan", "BenchmarkScan/baseline 1 1 ns/op 5 MB/s\n"},
		{"the metric", "Namespace", "BenchmarkNamespace 1 1 ns/op\n"},
		{"one of several", "Refresh", "BenchmarkRefresh/new=0/entries=1000 1 1 ns/op\n"},
		{"the same round", "Scan", "round: 1\nBenchmarkScan/famfs 1 1 ns/op 5 MB/s\nround: 2\nBenchmarkScan/baseline 1 1 ns/op 5 MB/s\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newReport(parsed(t, test.text), "")
			assert.Zero(t, r.Met)
			row := rowOf(t, r, test.work)
			assert.Nil(t, row.Figure)
			assert.NotEmpty(t, r.Further, "what was measured is shown all the same")
			text, err := markdown(r)
			require.NoError(t, err)
			assert.Contains(t, text, "| "+row.Work+" | "+row.Against+" | "+row.Goal.Wanted+" | not measured | – | – | – | ✗ |")
		})
	}
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	t.Parallel()
	// The machine is slower by the round; medians of all would give 20/10.
	for _, format := range []string{"round: %d\n", "some line %d\n"} {
		text := ""
		for i, v := range [][2]int{{10, 10}, {20, 5}, {30, 30}} {
			text += fmt.Sprintf(format, i+1) + fmt.Sprintf("BenchmarkMap/cold-2 1 %d ns/op\nBenchmarkMap/baseline-2 1 %d ns/op\n", v[0], v[1])
		}
		row := rowOf(t, newReport(parsed(t, text), ""), "Map + Close, cold")
		assert.True(t, row.Met)
		assert.InDelta(t, 1, row.Ratio.Median, 1e-9)
		assert.InDelta(t, 1, row.Ratio.Min, 1e-9)
		assert.InDelta(t, 4, row.Ratio.Max, 1e-9)
		assert.InDelta(t, 20e-9, row.Figure.Median, 1e-15)
	}
}

// What runs in turns is paired with its neighbour, and is one row however often it ran.
func TestRatiosAreTakenWithinATurn(t *testing.T) {
	t.Parallel()
	text := ""
	for round, speeds := range [][]int{{1000, 500, 100}, {400, 300, 200}} {
		text += fmt.Sprintf("round: %d\n", round+1)
		for turn, v := range speeds {
			number := ""
			if turn > 0 {
				number = fmt.Sprintf("#%02d", turn)
			}
			text += fmt.Sprintf("BenchmarkScan/baseline%s-2 1 1 ns/op %d MB/s\nBenchmarkScan/famfs%s-2 1 1 ns/op %d MB/s\n", number, v, number, v*99/100)
		}
	}
	r := newReport(parsed(t, text), "")
	row := rowOf(t, r, "Scan a mapped 1 GiB file")
	assert.True(t, row.Met)
	assert.InDelta(t, 0.99, row.Ratio.Min, 1e-9)
	assert.InDelta(t, 0.99, row.Ratio.Max, 1e-9)
	assert.Equal(t, 2, r.Rounds)
	assert.Empty(t, r.Further)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":          "PASS\n",
		"half a line":      "BenchmarkX 1 1\n",
		"no such a number": "round: one\nBenchmarkX 1 1 ns/op\n",
	} {
		_, err := parse(strings.NewReader(text), "text")
		assert.ErrorContains(t, err, "text", name)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	for want, ratio := range map[string]summary{
		"famfs 27 times":        {27.3, 20, 30},
		"famfs 1.3 times":       {1.31, 1.2, 1.4},
		"os.ReadFile 1.3 times": {1 / 1.3, 0.7, 0.8},
		"neither":               {1.1, 0.9, 1.2},
	} {
		assert.Equal(t, want, comparison{Ours: "famfs", Theirs: "os.ReadFile", Ratio: &ratio}.Verdict())
	}
}

func TestQuantities(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value      float64
		unit, want string
	}{
		{87.34e-9, "sec/op", "87.3 ns"}, {0.4e-9, "sec/op", "0.400 ns"}, {1.5e-6, "sec/op", "1.50 µs"},
		{123.4e-3, "sec/op", "123 ms"}, {2, "sec/op", "2.00 s"}, {1234, "sec/op", "1,234 s"},
		{12.34e9, "B/s", "12.3 GB/s"}, {123456, "files/s", "123,456 files/s"}, {173.4, "B/file", "173 bytes a file"},
		{0, "allocs/op", "0.00 allocs/op"}, {0.98, "", "0.980"}, {27.31, "", "27.3"},
	} {
		assert.Equal(t, test.want, quantity(test.value, test.unit))
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	const huge = "huge pages where they fit"
	for _, test := range []struct{ options, setting, want string }{
		{"rw,size=1k", "always within_size advise [never] deny force\n", "KiB (huge=never, shmem_enabled never)"},
		{"rw", "", "KiB (huge=never)"},
		{"rw,huge=always,size=1k", "[never] deny", huge + " (huge=always, shmem_enabled never)"},
		{"rw,huge=within_size", "never [deny]", "KiB (huge=within_size, shmem_enabled deny)"},
		{"rw", "never [force]", huge + " (huge=never, shmem_enabled force)"},
	} {
		assert.Contains(t, pageSize(test.options, test.setting), test.want)
	}
}
