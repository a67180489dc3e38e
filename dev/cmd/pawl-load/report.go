package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is everything a run found out.
type report struct {
	Machine machine  `json:"machine"`
	Rows    []row    `json:"results"`
	Notes   []string `json:"notes,omitempty"` // what was left out, and why
}

// row is one figure.
type row struct {
	Scenario string  `json:"scenario"`
	Setup    string  `json:"setup"`
	What     string  `json:"what"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	// Low and High are the quartiles of the Samples; zero where the value is not the median of a
	// sample.
	Low     float64 `json:"low,omitempty"`
	High    float64 `json:"high,omitempty"`
	Samples int     `json:"samples,omitempty"`

	Expected *bound `json:"expected,omitempty"`
	Met      *bool  `json:"met,omitempty"`
}

// bound is what a figure is expected to keep.
type bound struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

func (b bound) holds(v float64) bool {
	return (b.AtLeast == 0 || v >= b.AtLeast) && (b.AtMost == 0 || v <= b.AtMost)
}

func (b bound) String() string {
	if b.AtLeast != 0 {
		return "≥ " + number(b.AtLeast)
	}
	return "≤ " + number(b.AtMost)
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// add puts a figure into the report. What could not be measured, for want of a single sample, is
// noted instead.
func (r *report) add(f row, expected *bound) {
	if math.IsNaN(f.Value) {
		r.note("%s, %s: %s was not measured: the time was too short.", f.Scenario, f.Setup, f.What)
		return
	}
	if expected != nil {
		met := expected.holds(f.Value)
		f.Expected, f.Met = expected, &met
	}
	r.Rows = append(r.Rows, f)
}

// median adds the median of a sample, with its quartiles.
func (r *report) median(scenario, setup, what, unit string, values []float64, expected *bound) {
	s := summarize(values)
	r.add(row{
		Scenario: scenario, Setup: setup, What: what, Unit: unit,
		Value: s.median, Low: s.p25, High: s.p75, Samples: s.n,
	}, expected)
}

// latency adds p50 and p95 of times in milliseconds.
func (r *report) latency(scenario, setup, what string, values []float64) {
	r.median(scenario, setup, what+", p50", "ms", values, nil)
	p95 := row{Scenario: scenario, Setup: setup, What: what + ", p95", Unit: "ms", Samples: len(values)}
	p95.Value = summarize(values).p95
	r.add(p95, nil)
}

func (r *report) missed() (missed int) {
	for _, f := range r.Rows {
		if f.Met != nil && !*f.Met {
			missed++
		}
	}
	return missed
}

// number prints three digits that count.
func number(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e15:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// cells are the columns of a row after setup and what.
func (f row) cells() (measured, between, expected, verdict string) {
	measured = number(f.Value) + " " + f.Unit
	if f.Low != 0 || f.High != 0 {
		between = number(f.Low) + " to " + number(f.High)
	}
	if f.Expected != nil {
		expected, verdict = f.Expected.String(), "met"
		if !*f.Met {
			verdict = "MISSED"
		}
	}
	return measured, between, expected, verdict
}

var columns = []string{"setup", "figure", "measured", "middle half", "expected", ""}

func (r *report) write(w io.Writer, format string) error {
	switch format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	case "markdown":
		return r.markdown(w)
	}
	return r.table(w)
}

func (r *report) table(w io.Writer) error {
	var b strings.Builder
	for _, line := range r.Machine.lines() {
		fmt.Fprintf(&b, "%-9s %s\n", line[0], line[1])
	}
	for _, s := range r.scenarios() {
		fmt.Fprintf(&b, "\n%s: %s\n", s.name, s.short)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  "+strings.Join(columns, "\t"))
		for _, f := range r.of(s.name) {
			measured, between, expected, verdict := f.cells()
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", f.Setup, f.What, measured, between, expected, verdict)
		}
		_ = t.Flush() // into a Builder
	}
	fmt.Fprintln(&b)
	for _, note := range r.Notes {
		fmt.Fprintln(&b, note)
	}
	fmt.Fprintln(&b, r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *report) markdown(w io.Writer) error {
	var b strings.Builder
	for _, line := range r.Machine.lines() {
		fmt.Fprintf(&b, "- %s: %s\n", line[0], line[1])
	}
	for _, s := range r.scenarios() {
		fmt.Fprintf(&b, "\n**%s**: %s\n\n", s.name, s.short)
		fmt.Fprintf(&b, "| %s |\n|---|---|---:|---:|---:|---|\n", strings.Join(columns, " | "))
		for _, f := range r.of(s.name) {
			measured, between, expected, verdict := f.cells()
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.Setup, f.What, measured, between, expected, verdict)
		}
	}
	fmt.Fprintln(&b)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	fmt.Fprintln(&b, r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// scenarios are those that have figures, in the order of the list.
func (r *report) scenarios() []scenario {
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool { return len(r.of(s.name)) == 0 })
}

func (r *report) of(scenario string) (rows []row) {
	for _, f := range r.Rows {
		if f.Scenario == scenario {
			rows = append(rows, f)
		}
	}
	return rows
}

func (r *report) summary() string {
	with := 0
	for _, f := range r.Rows {
		if f.Met != nil {
			with++
		}
	}
	missed := r.missed()
	switch {
	case with == 0:
		return "Nothing is expected of these figures."
	case missed > 0:
		return fmt.Sprintf("%d of %d expectations MISSED.", missed, with)
	}
	return fmt.Sprintf("All %d expectations met.", with)
}
