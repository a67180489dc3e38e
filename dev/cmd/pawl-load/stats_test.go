package main

import (
	"math"
	"slices"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, tc := range []struct {
		name   string
		values []float64
		want   spread
	}{
		{"one", []float64{7}, spread{1, 7, 7, 7, 7}},
		{"two", []float64{4, 2}, spread{2, 2.5, 3, 3.5, 3.9}},
		{"unsorted", []float64{5, 1, 4, 2, 3}, spread{5, 2, 3, 4, 4.8}},
		{"an outlier moves no median", []float64{1, 1, 1, 1, 1000}, spread{5, 1, 1, 1, 800.2}},
	} {
		got := summarize(tc.values)
		for i, pair := range [][2]float64{{float64(got.n), float64(tc.want.n)}, {got.p25, tc.want.p25}, {got.median, tc.want.median}, {got.p75, tc.want.p75}, {got.p95, tc.want.p95}} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 {
				t.Errorf("%s, value %d: %v, want %v", tc.name, i, pair[0], pair[1])
			}
		}
	}
	if s := summarize(nil); s.n != 0 || !math.IsNaN(s.median) {
		t.Errorf("nothing comes to %+v", s)
	}
	values := []float64{3, 1, 2}
	if summarize(values); !slices.Equal(values, []float64{3, 1, 2}) {
		t.Error("the sample itself was sorted: rounds lose their pairs")
	}
}

func TestRatiosPairRounds(t *testing.T) {
	// The machine is half as fast in the second round, for both.
	got := ratios([]float64{90, 45, 10, 5}, []float64{100, 50, 0})
	if !slices.Equal(got, []float64{0.9, 0.9}) {
		t.Errorf("%v", got)
	}
}
