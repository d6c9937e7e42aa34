package main

// What the benchmarks printed, by benchmark, round and unit. What it means stands in
// rows.go and report.go.

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// machineKey is what the keys of facts about the machine begin with in stored output.
const machineKey = "machine-"

// measurements are the results of all rounds. Names are without "Benchmark" and
// without what go test appends to them.
type measurements struct {
	date   string
	facts  []fact
	rounds int
	names  []string // in the order in which they were first met
	values map[string]map[occasion]map[string]float64
}

// occasion is when something was measured. Some figures and baselines run in turns
// several times in one round.
type occasion struct{ round, turn int }

// writeHeader writes what is to be known of a measurement besides its results, in the
// form that the benchmark format has for it.
func writeHeader(w io.Writer, date string, facts []fact) error {
	text := "date: " + date + "\n"
	for _, f := range facts {
		text += machineKey + f.key + ": " + f.Words + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

// parse reads benchmark output; name is what errors call it.
func parse(r io.Reader, name string) (*measurements, error) {
	m := &measurements{values: map[string]map[occasion]map[string]float64{}}
	reader := benchfmt.NewReader(r, name)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			if err := m.add(record); err != nil {
				return nil, fmt.Errorf("reading %s: %w", name, err)
			}
		case *benchfmt.SyntaxError:
			return nil, fmt.Errorf("reading benchmark output: %w", record)
		}
	}
	if err := reader.Err(); err != nil {
		return nil, fmt.Errorf("reading benchmark output: %w", err)
	}
	if len(m.names) == 0 {
		return nil, fmt.Errorf("reading %s: it has no benchmark results", name)
	}
	return m, nil
}

func (m *measurements) add(result *benchfmt.Result) error {
	name, when := nameAndTurn(result.Name)
	if m.values[name] == nil {
		m.values[name] = map[occasion]map[string]float64{}
		m.names = append(m.names, name)
	}
	if text := result.GetConfig("round"); text != "" {
		var err error
		if when.round, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("the number of the round of %s: %w", name, err)
		}
	} else {
		// Output that others have concatenated does not number its rounds.
		for when.round = 1; m.values[name][when] != nil; {
			when.round++
		}
	}
	values := map[string]float64{}
	for _, v := range result.Values {
		values[v.Unit] = v.Value
	}
	m.values[name][when] = values
	m.rounds = max(m.rounds, when.round)
	if len(m.facts) == 0 {
		m.date, m.facts = result.GetConfig("date"), factsOf(result)
	}
	return nil
}

// nameAndTurn takes a benchmark's name apart: go test appends the number of processors
// where it is not 1, and numbers what runs again under the same name.
func nameAndTurn(name benchfmt.Name) (string, occasion) {
	text := name.String()
	if _, parts := name.Parts(); len(parts) > 0 && parts[len(parts)-1][0] == '-' {
		text = strings.TrimSuffix(text, string(parts[len(parts)-1]))
	}
	if before, number, ok := strings.Cut(text, "#"); ok {
		if turn, err := strconv.Atoi(number); err == nil {
			return before, occasion{turn: turn}
		}
	}
	return text, occasion{}
}

// factsOf returns what a result tells about the machine: what this program stored, or
// what go test says.
func factsOf(result *benchfmt.Result) (facts []fact) {
	for _, c := range result.Config {
		if key, ok := strings.CutPrefix(c.Key, machineKey); ok {
			facts = append(facts, fact{key, string(c.Value)})
		}
	}
	if len(facts) == 0 {
		facts = known(fact{"processor", result.GetConfig("cpu")},
			fact{"system", result.GetConfig("goos") + "/" + result.GetConfig("goarch")})
	}
	return facts
}

// of returns the values of a benchmark in one unit.
func (m *measurements) of(name, unit string) map[occasion]float64 {
	values := map[occasion]float64{}
	for when, units := range m.values[name] {
		if v, ok := units[unit]; ok {
			values[when] = v
		}
	}
	return values
}

// units returns the units in which a benchmark was measured.
func (m *measurements) units(name string) []string {
	units := map[string]bool{}
	for _, values := range m.values[name] {
		for unit := range values {
			units[unit] = true
		}
	}
	return slices.Sorted(maps.Keys(units))
}
