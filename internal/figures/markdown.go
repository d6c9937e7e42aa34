package main

// The text of the section, in Markdown. It computes nothing.

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/dustin/go-humanize"
)

const sectionTemplate = `
**{{.Date}}: {{.Met}} of {{len .Rows}} rows met**, by the medians of {{if eq .Rounds 1}}1 round{{else}}up to {{.Rounds}} rounds{{end}}.

## The machine
{{range .Machine}}
- {{.Label}}: {{.Words}}{{else}}
Not recorded.{{end}}

## What is wanted

Every round measures a figure and its baseline, and in turns, several times, those that
are the same instructions, or nearly: Scan, Flush, Invalidate, and those of several devices. Ratios are of neighbours; the
table has their median, and as spread the least and the greatest of them, or of the
values where there is no baseline. What depends on invalidating cache lines, which is
left out on stand-ins, is measured there, and on stand-ins that are treated as memory that
other hosts share (…/shared); the worse counts, and growth is of the latter.

| work | baseline | wanted | measured | baseline measured | ratio, or difference | spread | met |
|---|---|---|--:|--:|--:|---|---|
{{- range .Rows}}
| {{.Work}}{{.Worst}} | {{.Against}} | {{.Goal.Wanted}} | {{if .Figure}}{{.Figure.Text .Unit}}{{else}}not measured{{end}} | {{.Baseline.Text .Unit}} | {{.Ratio.Text .Goal.RatioUnit}} | {{.Spread}} | {{if .Met}}✓{{else}}✗{{end}} |
{{- end}}

## Growth
{{if .Growth.Counts}}
![Time against the number of files]({{.Plot}})

| files |{{range .Growth.Series}} {{.Name}} |{{end}}
|--:|{{range .Growth.Series}}--:|{{end}}
{{- range $files := .Growth.Counts}}
| {{comma $files}} |{{range $.Growth.Series}} {{(index .At $files).Text "sec/op"}} |{{end}}
{{- end}}
{{else}}
Not measured.
{{end}}
## Further figures
{{if .Further}}
| benchmark | time | spread | also |
|---|--:|---|---|
{{- range .Further}}
| {{.Name}} | {{.Time.Text "sec/op"}} | {{.Time.Spread "sec/op"}} | {{range $i, $m := .Metrics}}{{if $i}}, {{end}}{{$m.Text $m.Unit}}{{end}} |
{{- end}}
{{else}}
Not measured.
{{end}}
## What you would use instead
{{if .Instead}}
The ratio is the alternative's time over that of famfs: above 1, famfs is faster.

| work | famfs | time | alternative | time | ratio | spread | faster |
|---|---|--:|---|--:|--:|---|---|
{{- range .Instead}}
| {{.What}} | {{.Ours}} | {{.OurTime.Text "sec/op"}} | {{.Theirs}} | {{.TheirTime.Text "sec/op"}} | {{.Ratio.Text ""}} | {{.Ratio.Spread ""}} | {{.Verdict}} |
{{- end}}
{{else}}
Not measured.
{{end}}
`

func markdown(r *report) (string, error) {
	comma := func(n int) string { return humanize.Comma(int64(n)) }
	t, err := template.New("section").Funcs(template.FuncMap{"comma": comma}).Parse(sectionTemplate)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = t.Execute(&text, r)
	return text.String(), err
}

// nothing stands where there is no value.
const nothing = "–"

// Text is the median; unit is "" for ratios.
func (s *summary) Text(unit string) string {
	if s == nil {
		return nothing
	}
	return quantity(s.Median, unit)
}

// Spread is the least and the greatest value, with their unit once if it is the same.
func (s *summary) Spread(unit string) string {
	if s == nil {
		return nothing
	}
	least, most := quantity(s.Min, unit), quantity(s.Max, unit)
	number, of, _ := strings.Cut(least, " ")
	if strings.HasSuffix(most, " "+of) {
		least = number
	}
	return least + " to " + most
}

// Spread is that of what the goal is held against.
func (r result) Spread() string {
	if r.Goal.ratio != nil {
		return r.Ratio.Spread(r.Goal.RatioUnit)
	}
	return r.Figure.Spread(r.Unit)
}

// Worst says which of several benchmarks the row shows.
func (r result) Worst() string {
	if len(r.figures) == 1 || r.Figure == nil {
		return ""
	}
	return "; worst: " + r.shown
}

// Verdict says who is faster; where rounds disagree, nobody is.
func (c comparison) Verdict() string {
	switch {
	case c.Ratio.Min <= 1 && c.Ratio.Max >= 1:
		return "neither"
	case c.Ratio.Median > 1:
		return fmt.Sprintf("%s %s times", c.Ours, digits(c.Ratio.Median, 2))
	}
	return fmt.Sprintf("%s %s times", c.Theirs, digits(1/c.Ratio.Median, 2))
}
