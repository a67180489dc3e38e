package policytest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/policy/policytest"
)

func TestParse(t *testing.T) {
	s, err := policytest.Parse("dir/a_test.yaml", []byte(`
policy: [org.yaml, /etc/team.yaml]
at: 2026-03-01T12:00:00Z
calls:
  - {name: later, call: {tool: b}}
tests:
  - name: full
    call:
      tool: refund
      args: {amount: 20, lines: [1, 2.50], note: "x"}
      agent: a
      team: t
      session: s
      requester: r
      reason: "two\nlines"
      title: ti
      description: d
      labels: {env: prod}
      require_approval: true
      timeout: 90
      execution: worker
    at: 2026-03-01T03:00:00+01:00
    expect:
      verdict: require_approval
      layer: org
      rule: org.yaml:3
      risk: none
      timeout: 30m
      requirement: {approvals: [{count: 2}], grant: {max: 1h}}
      redact: []
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"dir/org.yaml", "/etc/team.yaml"}; strings.Join(s.Policy, " ") != strings.Join(want, " ") {
		t.Errorf("policy %q", s.Policy)
	}
	if len(s.Tests) != 2 || s.Tests[0].Name != "later" || s.Tests[0].Expect != nil || !s.Tests[0].At.Equal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("not in the file's order, or the first is not as written: %+v", s.Tests)
	}
	full := s.Tests[1]
	if full.Place != "dir/a_test.yaml:7" || !full.At.Equal(time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)) {
		t.Errorf("%s at %s", full.Place, full.At)
	}
	c := full.Call
	if string(c.Args) != `{"amount":20,"lines":[1,2.50],"note":"x"}` || c.Labels["env"] != "prod" || !c.RequireApproval ||
		c.Timeout.Short() != "1m30s" || c.Agent+c.Team+c.Session+c.Requester+c.Title+c.Description != "atsrtid" {
		t.Errorf("call %+v", c)
	}
	e := full.Expect
	if e.Risk == nil || *e.Risk != "" || e.Redact == nil || len(e.Redact) > 0 || e.Timeout.Short() != "30m" || e.Layer != "org" {
		t.Errorf("expect %+v", e)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":           {"", `f.yaml:1:1: the file is empty; fill it in, or leave the file out`},
		"no policy":         {"tests: [{name: a, call: {tool: b}, expect: {verdict: deny}}]", `f.yaml:1:1: policy is missing; name the policy's files, from this file's folder: "policy: [org.yaml, team.yaml]"`},
		"no files":          {"{policy: [], calls: [{name: a, call: {tool: b}}]}", `f.yaml:1:10: policy names no file; name the files whose verdicts are tried`},
		"no tests":          {"policy: [p]", `f.yaml:1:1: tests is missing; write "tests:", and under it a list of calls with what is expected`},
		"empty tests":       {"{policy: [p], tests: []}", `f.yaml:1:1: the suite tries no call; write at least one test`},
		"mistyped":          {"{policy: [p], test: []}", "f.yaml:1:1: tests is missing; write \"tests:\", and under it a list of calls with what is expected\nf.yaml:1:15: unknown field \"test\"; did you mean \"tests\"?"},
		"no expectation":    {"{policy: [p], tests: [{name: a, call: {tool: b}}]}", `f.yaml:1:23: expect is missing; write what the policy must say: "expect: {verdict: deny}"; calls without it belong under "calls:"`},
		"no verdict":        {"{policy: [p], tests: [{name: a, call: {tool: b}, expect: {risk: low}}]}", `f.yaml:1:58: verdict is missing; write allow, require_approval or deny`},
		"other verdict":     {"{policy: [p], tests: [{name: a, call: {tool: b}, expect: {verdict: allowed}}]}", `f.yaml:1:68: "allowed" is not a verdict; write allow, require_approval or deny`},
		"other risk":        {"{policy: [p], tests: [{name: a, call: {tool: b}, expect: {verdict: deny, risk: huge}}]}", `f.yaml:1:80: risk is not a level; use low, medium, high, critical, or none`},
		"a wait for nobody": {"{policy: [p], tests: [{name: a, call: {tool: b}, expect: {verdict: deny, timeout: 1m}}]}", `f.yaml:1:83: timeout is expected, but nobody is asked; remove it, or expect "verdict: require_approval"`},
		"no requirement":    {"{policy: [p], tests: [{name: a, call: {tool: b}, expect: {verdict: require_approval, requirement: {approval: 1}}}]}", `f.yaml:1:99: requirement: unknown field "approval"; use the fields that 'pawl policy explain -o json' shows`},
		"two names":         {"{policy: [p], calls: [{name: a, call: {tool: b}}, {name: a, call: {tool: c}}]}", `f.yaml:1:58: another test has this name; give each its own; the first is at f.yaml:1:30`},
		"no tool":           {"{policy: [p], calls: [{name: a, call: {args: {}}}]}", `f.yaml:1:39: tool is missing; name the tool that is called`},
		"no such tool":      {"{policy: [p], calls: [{name: a, call: {tool: b c}}]}", `f.yaml:1:39: tool is not a tool name: use at most 200 letters, digits and _ . : / -; only calls that could be started can be tried`},
		"arguments":         {"{policy: [p], calls: [{name: a, call: {tool: b, args: [1]}}]}", `f.yaml:1:55: args is a list, must be a mapping; write it as lines of "name: value"`},
		"a nonce":           {"{policy: [p], calls: [{name: a, call: {tool: b, nonce: x}}]}", `f.yaml:1:49: unknown field "nonce"; the fields here are tool, args, agent, team, session, requester, reason, title, description, labels, require_approval, timeout, execution`},
		"a label's number":  {"{policy: [p], calls: [{name: a, call: {tool: b, labels: {n: 1}}}]}", `f.yaml:1:61: n is a number, must be text; put it in quotes`},
		"no time":           {"{policy: [p], at: noon, calls: [{name: a, call: {tool: b}}]}", `f.yaml:1:19: at is not a time; write it like "2026-01-05T12:00:00Z"`},
		"a long wait":       {"{policy: [p], calls: [{name: a, call: {tool: b, timeout: 9000h}}]}", `f.yaml:1:58: timeout is out of bounds; it must be more than 0 and at most 720h`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := policytest.Parse("f.yaml", []byte(c.text)); err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b_test.yaml", "a_test.yml", "org.yaml", ".hidden_test.yaml", "notes.md", "_test.yaml.bak"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := t.TempDir()
	at := func(names ...string) string {
		for i, name := range names {
			names[i] = filepath.Join(dir, name)
		}
		return strings.Join(names, " ")
	}
	if got, err := policytest.Suites(dir, "other.yaml"); err != nil || strings.Join(got, " ") != at("a_test.yml", "b_test.yaml")+" other.yaml" {
		t.Errorf("suites %q, %v", got, err)
	}
	if got, err := policytest.PolicyFiles(dir); err != nil || strings.Join(got, " ") != at("org.yaml") {
		t.Errorf("policy %q, %v", got, err)
	}
	if _, err := policytest.Suites(dir, empty); err == nil || !strings.HasSuffix(err.Error(), ": the folder holds no suite; name suites *_test.yaml, or give their paths") {
		t.Errorf("an empty folder: %v", err)
	}
}

// Whatever the file: no panic, and either a suite whose calls could be started, or problems.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("../../examples/policy/support_test.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("{policy: [p], calls: [{name: a, call: {tool: b, args: {x: 0x1F}}}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := policytest.Parse("f.yaml", data)
		if (s == nil) != (err != nil) {
			t.Fatalf("suite %v, error %v", s, err)
		}
		if s == nil {
			return
		}
		for _, test := range s.Tests {
			if err := test.Call.Validate(); err != nil || test.Name == "" || test.At.IsZero() {
				t.Errorf("test %+v: %v", test, err)
			}
		}
	})
}

func TestSuitesTakeWhatPoliciesTake(t *testing.T) {
	s, err := policytest.Parse("dir/a_test.yaml", []byte(`
policy: org.yaml
tests: [{name: a, call: {tool: a}, expect: {verdict: require_approval, requirement: {approvals: 2, deny_count: 1}}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Policy) != 1 || s.Policy[0] != "dir/org.yaml" || string(s.Tests[0].Expect.Requirement) != `{"approvals":[{"count":2}],"deny_count":1}` {
		t.Errorf("%q, %s", s.Policy, s.Tests[0].Expect.Requirement)
	}
	for text, want := range map[string]string{
		"rules: []": "p.yaml:1:1: this is a policy, not a suite",
		"policy: p\ntests: [{name: a, call: {tool: a}, expect: {verdict: require_approval, requirement: {approvals: 0}}}]": "requirement",
		"policy: {a: b}\ntests: []": "policy is a mapping, must be a list",
	} {
		if _, err := policytest.Parse("p.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
