package main

import (
	"math"
	"slices"
)

// spread is what a list of measurements comes to.
type spread struct {
	n                     int
	p25, median, p75, p95 float64
}

func summarize(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{
		n: len(sorted), p25: quantile(sorted, 0.25), median: quantile(sorted, 0.5),
		p75: quantile(sorted, 0.75), p95: quantile(sorted, 0.95),
	}
}

// quantile interpolates between the two nearest values of a sorted list. It is NaN for an empty
// one.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// ratios divides what was measured side by side, in one round. Rounds of nothing are left out.
func ratios(of, by []float64) []float64 {
	var out []float64
	for i := range min(len(of), len(by)) {
		if by[i] > 0 && of[i] > 0 {
			out = append(out, of[i]/by[i])
		}
	}
	return out
}
