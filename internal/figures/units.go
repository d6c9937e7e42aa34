package main

// Numbers as people write them.

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// quantity writes a value of a unit of the benchmark format; "" is that of ratios.
func quantity(x float64, unit string) string {
	switch unit {
	case "":
		return digits(x, 3)
	case perOperation:
		return duration(x, 3)
	case bandwidth:
		return digits(x/1e9, 3) + " GB/s"
	case fileRate:
		return digits(x, 3) + " files/s"
	case bytesPerFile:
		return digits(x, 3) + " bytes a file"
	case bytesPerClient:
		return digits(x/1e6, 3) + " MB"
	}
	return digits(x, 3) + " " + unit
}

// duration writes seconds, with n significant digits.
func duration(x float64, n int) string {
	for _, u := range []struct {
		name string
		of   float64
	}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}} {
		if x >= u.of {
			return digits(x/u.of, n) + " " + u.name
		}
	}
	return digits(x/1e-9, n) + " ns"
}

// digits writes at least n significant digits of x, and all digits before the point.
func digits(x float64, n int) string {
	decimals := n - 1
	if x != 0 {
		decimals -= int(math.Floor(math.Log10(math.Abs(x))))
	}
	if decimals <= 0 {
		return humanize.Comma(int64(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}
