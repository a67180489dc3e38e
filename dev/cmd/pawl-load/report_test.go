package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
)

func sampleReport() *report {
	r := &report{Machine: machine{Commit: "abc", CPUs: 2, CPU: "Slow"}}
	r.median("calls", "here", "allowed / bare, throughput", "×", []float64{0.8, 0.85, 0.82}, &bound{AtLeast: leastOfBare})
	r.median("memory", "here", "growth", "KiB", []float64{1}, &bound{AtMost: 1})
	r.latency("calls", "here", "signal", []float64{1, 2, 3})
	r.median("decision", "here", "nothing", "ms", nil, nil)
	return r
}

func TestReport(t *testing.T) {
	for format, wants := range map[string][]string{
		"table":    {"commit    abc", "2 × Slow", "calls: guarded", "0.82 ×", "0.81 to 0.83", "≥ 0.85", "MISSED", "1 KiB", "≤ 1", "met", "1 of 2 expectations MISSED.", "nothing was not measured"},
		"markdown": {"- commit: abc", "| here | allowed / bare, throughput | 0.82 × | 0.81 to 0.83 | ≥ 0.85 | MISSED |", "| here | signal, p95 | 2.90 ms |  |  |  |", "**memory**"},
	} {
		var out bytes.Buffer
		if err := sampleReport().write(&out, format); err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is missing in:\n%s", format, want, out.String())
			}
		}
		if strings.Contains(out.String(), "from a reviewer") {
			t.Errorf("%s: a scenario without figures has a table:\n%s", format, out.String())
		}
	}

	var out bytes.Buffer
	if err := sampleReport().write(&out, "json"); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back.Rows) != 4 || *back.Rows[0].Met || !*back.Rows[1].Met || back.Rows[2].Met != nil {
		t.Errorf("%v %+v", err, back)
	}
}

func TestBound(t *testing.T) {
	for _, tc := range []struct {
		bound bound
		value float64
		holds bool
	}{
		{bound{AtLeast: 0.9}, 0.9, true}, {bound{AtLeast: 0.9}, 0.89, false},
		{bound{AtMost: 1.1}, 1.1, true}, {bound{AtMost: 1.1}, 1.11, false},
		{bound{AtMost: 1}, -3, true}, {bound{AtLeast: 0.9}, math.Inf(1), true},
	} {
		if got := tc.bound.holds(tc.value); got != tc.holds {
			t.Errorf("%v of %v: %v", tc.bound, tc.value, got)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 13: "13", 0.123: "0.12", 1.106: "1.11", 12.34: "12.3", 123.4: "123", -2.5: "-2.50", 100000: "100000"} {
		if got := number(v); got != want {
			t.Errorf("%v is printed %q, want %q", v, got, want)
		}
	}
}

func TestMachine(t *testing.T) {
	m := inspect(t.Context(), t.TempDir())
	if m.CPUs < 1 || m.SQLite == unknown || !strings.HasPrefix(m.Go, "go") {
		t.Errorf("%+v", m)
	}
	if _, err := os.Stat("/proc/meminfo"); err == nil && (m.CPU == "" || !strings.HasSuffix(m.Memory, "GiB") || m.Disk == unknown) {
		t.Errorf("%+v", m)
	}
}
