package policytest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/redact"
)

// Result is what the policy says to one test.
type Result struct {
	Test
	Suite       string // its file
	Explanation policy.Explanation
	Mismatches  []Mismatch // empty: the test passes
}

// Mismatch is one thing that a verdict says otherwise than expected.
type Mismatch struct {
	Field string `json:"field"`
	Want  string `json:"expected"`
	Got   string `json:"got"`
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s: expected %s, got %s", m.Field, m.Want, m.Got)
}

// Report is what came of running suites.
type Report struct {
	Results  []Result   // suite by suite
	Coverage []Coverage // one for each policy, in the order of its first use

	// Warnings are those of the policies, and the rules that ask for what this version of Pawl does
	// not execute: suites can try them, workers refuse to load them.
	Warnings yamlfile.Problems
}

// Failed counts the tests that do not pass.
func (r Report) Failed() int {
	n := 0
	for _, result := range r.Results {
		if len(result.Mismatches) > 0 {
			n++
		}
	}
	return n
}

// Run tries every test of the suites on its suite's policy. The error is yamlfile.Problems and
// holds everything that keeps policies from being compiled; then nothing has run.
func Run(suites ...*Suite) (Report, error) {
	var problems yamlfile.Problems
	sets := make([]*policy.Set, len(suites))
	for i, s := range suites {
		set, err := Inspect(s.Policy...)
		collect(&problems, err)
		sets[i] = set
	}
	if err := problems.Err(); err != nil {
		return Report{}, err
	}
	var report Report
	for i, s := range suites {
		for _, t := range s.Tests {
			e := sets[i].Explain(t.Call, t.At)
			report.Results = append(report.Results,
				Result{Test: t, Suite: s.Name, Explanation: e, Mismatches: t.Expect.compare(e)})
		}
	}
	known := map[string]bool{}
	for i, s := range suites {
		set := sets[i]
		if known[set.Digest()] {
			continue
		}
		known[set.Digest()] = true
		report.Warnings = append(append(report.Warnings, set.Warnings()...), set.Unexecuted()...)
		report.Coverage = append(report.Coverage, covered(s.Policy, set, report.Results))
	}
	return report, nil
}

// RunPaths runs the suites that paths stand for, as Suites says, on their own policies, or on the one
// that instead names. It reads everything before it runs any, so that all mistakes are reported at
// once.
func RunPaths(instead []string, paths ...string) (Report, error) {
	files, err := Suites(paths...)
	if err != nil {
		return Report{}, err
	}
	if instead, err = PolicyFiles(instead...); err != nil {
		return Report{}, err
	}
	suites, err := LoadAll(files...)
	if err != nil {
		return Report{}, err
	}
	if len(instead) > 0 {
		for _, suite := range suites {
			suite.Policy = instead
		}
	}
	return Run(suites...)
}

// Inspect reads and compiles the files at paths, with the rules that no worker would take yet; see
// policy.Inspect. The error is yamlfile.Problems and holds every problem of every file.
func Inspect(paths ...string) (*policy.Set, error) {
	files, unread := policy.ReadFiles(paths...)
	set, err := policy.Inspect(files...)
	var problems yamlfile.Problems
	collect(&problems, unread, err)
	return set, problems.Err()
}

func collect(problems *yamlfile.Problems, from ...error) {
	for _, err := range from {
		found, _ := errors.AsType[yamlfile.Problems](err)
		for _, p := range found {
			problems.Add(p)
		}
	}
}

// compare returns in what the verdict is not what e expects.
func (e *Expect) compare(got policy.Explanation) []Mismatch {
	if e == nil {
		return nil
	}
	var out []Mismatch
	differ := func(field, want, got string) { out = append(out, Mismatch{field, want, got}) }
	if e.Verdict != got.Kind {
		differ("verdict", string(e.Verdict), string(got.Kind))
	}
	if e.Layer != "" && e.Layer != got.Policy.Layer {
		differ("layer", e.Layer, orNone(got.Policy.Layer))
	}
	if e.Rule != "" && !names(e.Rule, got) {
		differ("rule", e.Rule, got.Policy.Rule)
	}
	if e.Risk != nil && *e.Risk != got.Risk {
		differ("risk", orNone(string(*e.Risk)), orNone(string(got.Risk)))
	}
	if got.Kind == approval.VerdictRequire {
		if e.Timeout > 0 && e.Timeout != got.Timeout {
			differ("timeout", e.Timeout.Short(), got.Timeout.Short())
		}
		out = append(out, e.requirement(got.Requirement)...)
	}
	if e.Redact != nil && !sameNames(e.Redact, got.Redact) {
		differ("redact", list(e.Redact), list(got.Redact))
	}
	return out
}

// requirement compares the fields that are expected, each as a whole.
func (e *Expect) requirement(got *approval.Requirement) []Mismatch {
	var given map[string]json.RawMessage
	if e.Requirement == nil || json.Unmarshal(e.Requirement, &given) != nil {
		return nil
	}
	var want approval.Requirement
	_ = json.Unmarshal(e.Requirement, &want) // the suite was read with it
	wanted, has := fields(&want), fields(got)
	var out []Mismatch
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if w, g := wanted[name], has[name]; !bytes.Equal(w, g) {
			out = append(out, Mismatch{"requirement." + name, orNone(string(w)), orNone(string(g))})
		}
	}
	return out
}

// fields takes a requirement apart, so that what means the same has the same text: what is left out
// is written as what it means.
func fields(r *approval.Requirement) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if r == nil {
		return nil
	}
	full := *r
	if !full.AsksSeveral() {
		full.Decisions = cmp.Or(full.Decisions, approval.DecisionsAny)
	}
	full.DenyCount = max(1, full.DenyCount)
	full.Execution = cmp.Or(full.Execution, approval.ExecutionWorker)
	if doc, err := json.Marshal(full); err == nil {
		_ = json.Unmarshal(doc, &m)
	}
	return m
}

// names reports whether people who write want mean the rule that decided: file:line,
// file:line:column, what the rule says, or all of it.
func names(want string, e policy.Explanation) bool {
	if want == e.Policy.Rule {
		return true
	}
	for _, l := range e.Layers {
		if l.Layer != e.Policy.Layer || l.Rule == nil {
			continue
		}
		where, place := filepath.Base(l.Rule.Where), filepath.Base(want)
		if want == l.Rule.Text || where == place ||
			strings.Contains(place, ":") && strings.HasPrefix(where, place+":") {
			return true
		}
	}
	return false
}

func sameNames(a, b []string) bool {
	fold := func(names []string) []string {
		out := make([]string, len(names))
		for i, name := range names {
			out[i] = redact.Key(name)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(fold(a), fold(b))
}

func list(names []string) string { return orNone(strings.Join(names, ", ")) }

func orNone(s string) string { return cmp.Or(s, none) }

// T is what Check needs of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Check runs the suites that paths stand for, as Suites says, and fails t for every verdict that is
// not as expected and for suites or policies that can't be read.
func Check(t T, paths ...string) {
	t.Helper()
	report, err := RunPaths(nil, paths...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	for _, r := range report.Results {
		for _, m := range r.Mismatches {
			t.Errorf("%s: %s: %s; the rule is %s", r.Place, r.Name, m, r.Explanation.Policy.Rule)
		}
	}
}
