package policytest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
)

// write makes files in a new folder and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const org = `
redact_fields: [Secret]
rules:
  - {tool: mail, timeout: 2h, risk_level: high, approvals: 2}
  - {tool: read, auto_approve: true}
  - {tool: pay, when: args.amount > 5}
  - {tool: pay, auto_approve: true}
  - {tool: never}
`

func run(t *testing.T, dir string, names ...string) policytest.Report {
	t.Helper()
	for i, name := range names {
		names[i] = filepath.Join(dir, name)
	}
	suites, err := policytest.LoadAll(names...)
	if err != nil {
		t.Fatal(err)
	}
	report, err := policytest.Run(suites...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct{ call, expect, want string }{
		"all of it": {
			"tool: mail", "verdict: require_approval, layer: org, risk: high, timeout: 2h, redact: [secret], requirement: {approvals: [{count: 2}], deny_count: 1, execution: worker, allow_edit: false}", "",
		},
		"the rule's line":     {"tool: mail", `verdict: require_approval, rule: "org.yaml:4"`, ""},
		"the rule's place":    {"tool: mail", `verdict: require_approval, rule: "some/org.yaml:4:5"`, ""},
		"the rule's text":     {"tool: mail", `verdict: require_approval, rule: "tool mail: require_approval"`, ""},
		"the whole rule":      {"tool: mail", `verdict: require_approval, rule: "org.yaml:4 tool mail"`, ""},
		"another rule's line": {"tool: read", `verdict: allow, rule: "org.yaml:51"`, "rule: expected org.yaml:51, got org.yaml:5 tool read"},
		"part of a line":      {"tool: mail", `verdict: require_approval, rule: org.yaml`, "rule: expected org.yaml, got org.yaml:4 tool mail"},
		"the verdict":         {"tool: mail", "verdict: deny", "verdict: expected deny, got require_approval"},
		"the layer":           {"tool: other", "verdict: require_approval, layer: org", "layer: expected org, got none"},
		"the risk":            {"tool: mail", "verdict: require_approval, risk: none", "risk: expected none, got high"},
		"no risk":             {"tool: read", "verdict: allow, risk: low", "risk: expected low, got none"},
		"the wait":            {"tool: mail", "verdict: require_approval, timeout: 3h", "timeout: expected 3h, got 2h"},
		"the call's own wait": {"{tool: mail, timeout: 1m}", "verdict: require_approval, timeout: 1m", ""},
		"what is hidden":      {"tool: mail", "verdict: require_approval, redact: []", "redact: expected none, got Secret"},
		"more that is hidden": {"tool: mail", "verdict: require_approval, redact: [secret, pin]", "redact: expected secret, pin, got Secret"},
		"how many people":     {"tool: mail", "verdict: require_approval, requirement: {approvals: [{count: 1}]}", `requirement.approvals: expected [{"count":1}], got [{"count":2}]`},
		"what is not there":   {"tool: mail", "verdict: require_approval, requirement: {grant: {max: 1h}}", `requirement.grant: expected {"max":"1h0m0s"}, got none`},
		"one thing is enough": {"tool: mail", "verdict: allow, risk: low", "verdict: expected allow, got require_approval; risk: expected low, got high"},
		"conditions":          {"{tool: pay, args: {amount: 5}}", "verdict: allow", ""},
		"and their time":      {"{tool: pay, args: {amount: 6}}", "verdict: require_approval", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(c.call, "{") {
				c.call = "{" + c.call + "}"
			}
			dir := write(t, map[string]string{
				"org.yaml":    org,
				"a_test.yaml": fmt.Sprintf("policy: [org.yaml]\ntests:\n  - name: a\n    call: %s\n    expect: {%s}\n", c.call, c.expect),
			})
			report := run(t, dir, "a_test.yaml")
			var got []string
			for _, m := range report.Results[0].Mismatches {
				got = append(got, m.String())
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got %q, want %q", strings.Join(got, "; "), c.want)
			}
			if failed := report.Failed(); (failed == 1) != (c.want != "") {
				t.Errorf("%d failed", failed)
			}
		})
	}
}

// Suites of one policy cover it together; a rule whose condition can't be evaluated counts, too.
func TestCoverage(t *testing.T) {
	dir := write(t, map[string]string{
		"org.yaml":    org,
		"none.yaml":   "rules: []",
		"a_test.yaml": "policy: [org.yaml]\ncalls:\n  - {name: a, call: {tool: mail}}\n",
		"b_test.yaml": "policy: [org.yaml]\ncalls:\n  - {name: a, call: {tool: pay}}\n",
		"c_test.yaml": "policy: [none.yaml]\ncalls:\n  - {name: a, call: {tool: pay}}\n",
	})
	report := run(t, dir, "a_test.yaml", "b_test.yaml", "c_test.yaml")
	if len(report.Coverage) != 2 {
		t.Fatalf("%+v", report.Coverage)
	}
	c := report.Coverage[0]
	var missed []string
	for _, r := range c.Missed {
		missed = append(missed, r.Text)
	}
	if c.Rules != 5 || c.Percent() != 60 || strings.Join(missed, "; ") != "tool read: allow; tool never: require_approval" {
		t.Errorf("%d rules, %d%%, missed %q", c.Rules, c.Percent(), missed)
	}
	if none := report.Coverage[1]; none.Rules != 0 || none.Percent() != 100 {
		t.Errorf("a policy without rules: %+v", none)
	}
}

// Suites that know one policy by different paths reach its rules together.
func TestCoverageOverPaths(t *testing.T) {
	one := write(t, map[string]string{"org.yaml": org, "a_test.yaml": "policy: [org.yaml]\ncalls:\n  - {name: a, call: {tool: read}}\n"})
	two := write(t, map[string]string{"org.yaml": org, "b_test.yaml": "policy: [org.yaml]\ncalls:\n  - {name: b, call: {tool: never}}\n"})
	suites, err := policytest.LoadAll(filepath.Join(one, "a_test.yaml"), filepath.Join(two, "b_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := policytest.Run(suites...)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Coverage) != 1 || len(report.Coverage[0].Missed) != 3 {
		t.Errorf("%+v", report.Coverage)
	}
}

// Nothing runs if any policy does not load, and every problem is told.
func TestRunRefuses(t *testing.T) {
	dir := write(t, map[string]string{
		"org.yaml":    "rulez: []",
		"a_test.yaml": "policy: [org.yaml, absent.yaml]\ncalls:\n  - {name: a, call: {tool: mail}}\n",
		"b_test.yaml": "policy: []",
	})
	suites, err := policytest.LoadAll(filepath.Join(dir, "a_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = policytest.Run(suites...)
	for _, want := range []string{`org.yaml:1:1: unknown field "rulez"; did you mean "rules"?`, "absent.yaml: can't be read"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if _, err := policytest.LoadAll(filepath.Join(dir, "b_test.yaml"), filepath.Join(dir, "no.yaml")); err == nil || strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("problems of both suites: %v", err)
	}
}

// What workers refuse to load can be tried, with a warning.
func TestRunTriesWhatNobodyExecutes(t *testing.T) {
	dir := write(t, map[string]string{
		"p.yaml":      "rules: [{tool: a, grant: {max: 1h}}]",
		"a_test.yaml": "policy: [p.yaml]\ntests:\n  - {name: a, call: {tool: a}, expect: {verdict: require_approval, requirement: {grant: {max: 60m}}}}\n",
	})
	report := run(t, dir, "a_test.yaml")
	if report.Failed() > 0 {
		t.Errorf("%v", report.Results[0].Mismatches)
	}
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0].String(), "grant is not executed") {
		t.Errorf("warnings %v", report.Warnings)
	}
}

// golden moves with verdicts, not with lines.
func TestGolden(t *testing.T) {
	suite := "policy: [org.yaml]\ncalls:\n  - {name: a, call: {tool: mail}}\n  - {name: b, call: {tool: pay}}\n"
	dir := write(t, map[string]string{"org.yaml": org, "a_test.yaml": suite})
	golden := func() []byte { return policytest.Golden(dir, run(t, dir, "a_test.yaml").Results) }
	old := golden()
	const want = `# Verdicts of a policy. 'pawl policy test --golden FILE --update' writes this file.

== a_test.yaml: a
verdict: require_approval
risk: high
timeout: 2h
requirement: {"approvals":[{"count":2}]}
redact: Secret
layer: org
rule: tool mail: require_approval

== a_test.yaml: b
verdict: require_approval
timeout: 1h
requirement: {"approvals":[{"count":1}]}
redact: Secret
layer: org
rule: tool pay, when args.amount > 5: require_approval
why: the condition of org.yaml tool pay could not be evaluated: amount is missing
`
	if string(old) != want {
		t.Errorf("got\n%s\nwant\n%s", old, want)
	}
	change := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	change("org.yaml", "# moved\n\n"+org)
	if changes := policytest.CompareGolden([]byte(strings.ReplaceAll(string(old), "\n", "\r\n")), golden()); len(changes) > 0 {
		t.Errorf("lines and line ends make a difference: %+v", changes)
	}
	change("org.yaml", strings.Replace(org, "approvals: 2", "approvals: 3", 1))
	change("a_test.yaml", strings.Replace(suite, "name: b", "name: c", 1))
	var got []string
	for _, c := range policytest.CompareGolden(old, golden()) {
		got = append(got, fmt.Sprintf("%s %v %v", c.Test, c.Old != "", c.New != ""))
	}
	if want := "a_test.yaml: a true true, a_test.yaml: c false true, a_test.yaml: b true false"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

type fakeT struct{ said []string }

func (f *fakeT) Helper() {}
func (f *fakeT) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestCheck(t *testing.T) {
	policytest.Check(t, "../../examples/policy")
	dir := write(t, map[string]string{
		"org.yaml":    org,
		"a_test.yaml": "policy: [org.yaml]\ntests:\n  - {name: mail runs, call: {tool: mail}, expect: {verdict: allow}}\n",
	})
	f := &fakeT{}
	policytest.Check(f, dir)
	policytest.Check(f, t.TempDir())
	policytest.Check(f, filepath.Join(dir, "no_test.yaml"))
	policytest.Check(f, filepath.Join(dir, "org.yaml"))
	want := []string{"a_test.yaml:3: mail runs: verdict: expected allow, got require_approval; the rule is org.yaml:4 tool mail", "holds no suite", "can't be read", "this is a policy, not a suite"}
	for i, w := range want {
		if len(f.said) != len(want) || !strings.Contains(f.said[i], w) {
			t.Fatalf("said %q, want %q", f.said, want)
		}
	}
}

// The golden file of the example stands as the command would write it.
func TestExampleGolden(t *testing.T) {
	dir := filepath.Join("..", "..", "examples", "policy")
	report := run(t, dir, "support_test.yaml")
	old, err := os.ReadFile(filepath.Join(dir, "verdicts.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if changes := policytest.CompareGolden(old, policytest.Golden(dir, report.Results)); len(changes) > 0 {
		t.Errorf("%+v", changes)
	}
	if c := report.Coverage[0]; c.Percent() != 100 {
		t.Errorf("never hit: %+v", c.Missed)
	}
}

// The policies that are ready to be used do what their suites say, every rule of them is tried, and
// nothing about them is hardly meant.
func TestReadyPolicies(t *testing.T) {
	dir := filepath.Join("..", "..", "examples", "policy", "ready")
	policytest.Check(t, dir)
	suites, err := filepath.Glob(filepath.Join(dir, "*_test.yaml"))
	if err != nil || len(suites) != 7 {
		t.Fatal(suites, err)
	}
	var together []string
	for _, suite := range suites {
		for _, c := range run(t, dir, filepath.Base(suite)).Coverage {
			if c.Percent() != 100 {
				t.Errorf("%s: never hit: %+v", suite, c.Missed)
			}
		}
		together = append(together, strings.Replace(suite, "_test.yaml", ".yaml", 1))
	}
	set, err := policy.Load(together...)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range set.Warnings() {
		t.Error(w)
	}
}
