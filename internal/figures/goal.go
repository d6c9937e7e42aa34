package main

// The kinds of goals that a row can have: how figure and baseline become one number,
// and when that is good enough.

import (
	"fmt"
	"math"
)

// goal is what a row wants.
type goal struct {
	Wanted string
	ratio  func(figure, baseline float64) float64 // nil where the figure counts by itself
	met    func(x float64) bool
	higher bool // more is better
	// RatioUnit is that of what ratio returns: "" for a number.
	RatioUnit string
}

func quotient(figure, baseline float64) float64 { return figure / baseline }
func speedup(figure, baseline float64) float64  { return baseline / figure }

// share wants at least that much of the baseline's bandwidth.
func share(limit float64) goal {
	return goal{fmt.Sprintf("at least %v of its bandwidth", limit), quotient, func(x float64) bool { return x >= limit }, true, ""}
}

// roundedShare is share where what is wanted is the baseline's own bandwidth: no two
// runs are the same, so the third decimal does not count.
func roundedShare(limit float64) goal {
	return goal{fmt.Sprintf("at least %.2f of its bandwidth, to two decimals", limit), quotient,
		func(x float64) bool { return math.Round(x*100)/100 >= limit }, true, ""}
}

// longer wants at most that many times the baseline's time.
func longer(limit float64) goal {
	return goal{fmt.Sprintf("at most %v times its time", limit), quotient, func(x float64) bool { return x <= limit }, false, ""}
}

// asMuch wants at most that many times what the baseline has.
func asMuch(limit float64) goal {
	return goal{fmt.Sprintf("at most %v times as much", limit), quotient, func(x float64) bool { return x <= limit }, false, ""}
}

// faster wants the baseline to take at least that many times the time.
func faster(limit float64) goal {
	return goal{fmt.Sprintf("at least %v times faster", limit), speedup, func(x float64) bool { return x >= limit }, true, ""}
}

// later wants at most that many seconds more than the baseline, which words says as people do. The
// difference is shown in place of the ratio.
func later(limit float64, words string) goal {
	return goal{"at most " + words + " more", func(figure, baseline float64) float64 { return figure - baseline },
		func(x float64) bool { return x <= limit }, false, perOperation}
}

// under wants less than that many seconds, which words says as people do.
func under(limit float64, words string) goal {
	return goal{"under " + words, nil, func(x float64) bool { return x < limit }, false, ""}
}

func atLeast(limit float64, unit string) goal {
	return goal{"at least " + quantity(limit, unit), nil, func(x float64) bool { return x >= limit }, true, ""}
}

func atMost(limit float64, unit string) goal {
	return goal{"at most " + quantity(limit, unit), nil, func(x float64) bool { return x <= limit }, false, ""}
}
