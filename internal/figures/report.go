package main

// From measurements to a report: rows against their baselines, growth, what one would
// use instead, and all the rest. It holds numbers; how they are written stands in
// markdown.go and plot.go.

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchmath"
)

type report struct {
	Date    string
	Rounds  int
	Met     int
	Machine []fact
	Rows    []result
	Growth  growth
	Further []other
	Instead []comparison
	Plot    string // the name of the picture
}

// summary is what several rounds come to; without any round there is none.
type summary struct{ Median, Min, Max float64 }

// result is a row with what was measured of it; Figure is nil where nothing was.
type result struct {
	row
	shown    string // which of its benchmarks counts
	Figure   *summary
	Baseline *summary
	Ratio    *summary // nil without a baseline
	Met      bool
}

// counts is what the goal is held against.
func (r result) counts() *summary {
	if r.Goal.ratio == nil {
		return r.Figure
	}
	return r.Ratio
}

// growth is time by the number of files, for every series.
type growth struct {
	Counts []int
	Series []series
}

type series struct {
	Name string
	At   map[int]*summary // by the number of files
}

// other is a benchmark that no other table has.
type other struct {
	Name    string
	Time    *summary
	Metrics []metric
}

type metric struct {
	*summary
	Unit string
}

// comparison is one of our ways of doing something against another's. Ratio is the
// other's time over ours.
type comparison struct {
	What, Ours, Theirs        string
	OurTime, TheirTime, Ratio *summary
}

// newReport makes the report. What has a place in one of the first tables is not
// repeated among the further figures.
func newReport(m *measurements, date string) *report {
	r := &report{Date: date, Rounds: m.rounds, Machine: m.facts}
	shown := map[string]bool{}
	for _, row := range designRows() {
		x := m.result(row)
		if x.Met {
			r.Met++
		}
		if x.Figure != nil {
			shown[x.shown], shown[row.baseline] = true, true
		}
		r.Rows = append(r.Rows, x)
	}
	r.Growth = m.growth(shown)
	r.Instead = m.comparisons(shown)
	for _, name := range m.names {
		if !shown[name] {
			r.Further = append(r.Further, m.other(name))
		}
	}
	return r
}

// result measures a row by the worst of its benchmarks; if any of them is missing, the
// row is not measured.
func (m *measurements) result(row row) result {
	worst := result{row: row}
	for _, name := range row.figures {
		x := m.against(row, name)
		if x.counts() == nil {
			return result{row: row}
		}
		if worst.Figure == nil || (x.counts().Median < worst.counts().Median) == row.Goal.higher {
			worst = x
		}
	}
	worst.Met = row.Goal.met(worst.counts().Median)
	return worst
}

// against holds one benchmark against the row's baseline.
func (m *measurements) against(row row, name string) result {
	x := result{row: row, shown: name}
	figures := m.of(name, row.Unit)
	if row.Goal.ratio == nil {
		x.Figure = summarize(figures)
		return x
	}
	baselines := m.of(row.baseline, row.Unit)
	if x.Ratio = summarize(ratios(figures, baselines, row.Goal.ratio)); x.Ratio != nil {
		x.Figure, x.Baseline = summarize(figures), summarize(baselines)
	}
	return x
}

// ratios pairs what was measured on the same occasion: later a machine is another.
func ratios(figures, baselines map[occasion]float64, ratio func(figure, baseline float64) float64) map[occasion]float64 {
	by := map[occasion]float64{}
	for when, figure := range figures {
		if baseline := baselines[when]; baseline > 0 && figure > 0 {
			by[when] = ratio(figure, baseline)
		}
	}
	return by
}

// summarize returns nil if there is nothing to summarize.
func summarize(values map[occasion]float64) *summary {
	if len(values) == 0 {
		return nil
	}
	sample := benchmath.NewSample(slices.Collect(maps.Values(values)), &benchmath.DefaultThresholds)
	median := benchmath.AssumeNothing.Summary(sample, 0.95).Center
	return &summary{median, sample.Values[0], sample.Values[len(sample.Values)-1]}
}

func (m *measurements) growth(shown map[string]bool) growth {
	var g growth
	for _, words := range growthSeries() {
		s := series{words[1], map[int]*summary{}}
		prefix := growthPrefix + words[0] + "/" + filesPrefix
		for _, name := range m.names {
			count, ok := strings.CutPrefix(name, prefix)
			n, err := strconv.Atoi(count)
			time := summarize(m.of(name, perOperation))
			if ok && err == nil && time != nil {
				s.At[n] = time
				g.Counts = append(g.Counts, n)
				shown[name] = true
			}
		}
		g.Series = append(g.Series, s)
	}
	slices.Sort(g.Counts)
	g.Counts = slices.Compact(g.Counts)
	return g
}

// comparisons pairs each of our ways of doing something with each of the others'.
func (m *measurements) comparisons(shown map[string]bool) (all []comparison) {
	for _, name := range m.names {
		what, own := splitInstead(name)
		if what == "" || !isOurs(own) {
			continue
		}
		for _, alternative := range m.names {
			in, theirs := splitInstead(alternative)
			if in != what || isOurs(theirs) {
				continue
			}
			times, others := m.of(name, perOperation), m.of(alternative, perOperation)
			if ratio := summarize(ratios(times, others, speedup)); ratio != nil {
				all = append(all, comparison{what, own, theirs, summarize(times), summarize(others), ratio})
				shown[name], shown[alternative] = true, true
			}
		}
	}
	return all
}

// splitInstead returns what a benchmark of ways to do something does, and by what; ""
// if it is none of those.
func splitInstead(name string) (what, by string) {
	rest, ok := strings.CutPrefix(name, insteadPrefix)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 0 {
		return "", ""
	}
	return rest[:i], rest[i+1:]
}

func isOurs(by string) bool { return by == ours || strings.HasPrefix(by, ours+"-") }

func (m *measurements) other(name string) other {
	o := other{Name: name, Time: summarize(m.of(name, perOperation))}
	for _, unit := range m.units(name) {
		if unit != perOperation {
			o.Metrics = append(o.Metrics, metric{summarize(m.of(name, unit)), unit})
		}
	}
	return o
}
