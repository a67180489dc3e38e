package policydiff_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
)

func compile(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, err := policy.Inspect(policy.File{Name: "p.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// Each row is one edit of a policy that lets more through somewhere. Probes
// alone must find it, and find the way back stricter.
func TestProbesFindWhatBecomesLaxer(t *testing.T) {
	for name, c := range map[string]struct{ strict, lax string }{
		"a rule is gone":       {"rules: [{tool: a, deny: true}]", "rules: []"},
		"a tool runs":          {"rules: [{tool: a}]", "rules: [{tool: a, auto_approve: true}]"},
		"a new tool runs":      {"rules: []", "rules: [{tool: a, auto_approve: true}]"},
		"one of a list":        {"rules: [{tool: [a, b], deny: true}]", "rules: [{tool: [b], deny: true}]"},
		"a pattern":            {"rules: [{tool: 'db.*', deny: true}]", "rules: [{tool: 'db.?', deny: true}]"},
		"every tool":           {"rules: []", "rules: [{tool: '*', auto_approve: true}]"},
		"whatever has no rule": {"{rules: []}", "{rules: [], unmatched: allow}"},
		"longer":               {"{rules: [], default_timeout: 1h}", "{rules: [], default_timeout: 2h}"},
		"shown":                {"{rules: [], redact_fields: [pin]}", "rules: []"},
		"fewer people":         {"rules: [{tool: a, approvals: 2}]", "rules: [{tool: a}]"},
		"a bound": {
			"{require_approval: [{capability: a, amount_gt: 100}], allow: [{capability: a}]}",
			"{require_approval: [{capability: a, amount_gt: 101}], allow: [{capability: a}]}",
		},
		"up to a bound": {
			"{deny: [{capability: a, amount_gte: 100}], allow: [{capability: a}]}",
			"{deny: [{capability: a, amount_gt: 100}], allow: [{capability: a}]}",
		},
		"an environment": {
			"{deny: [{capability: a, environment: [prod, test]}], allow: [a]}",
			"{deny: [{capability: a, environment: [prod]}], allow: [a]}",
		},
		"words": {
			"{deny: [{capability: a, contains: [drop, truncate]}], allow: [a]}",
			"{deny: [{capability: a, contains: drop}], allow: [a]}",
		},
		"a bare capability": {"{allow: []}", "{allow: [a]}"},
		"an agent":          {"rules: [{tool: a, agent: 'bot-*', deny: true}]", "rules: [{tool: a, agent: 'bot-?', deny: true}]"},
		"a team's layer":    {"{applies_to: {team: x}, rules: [{tool: a, deny: true}]}", "{applies_to: {team: y}, rules: [{tool: a, deny: true}]}"},
		"a label": {
			"rules: [{tool: a, labels: {env: prod}, deny: true}]",
			"rules: [{tool: a, labels: {env: prod, zone: eu}, deny: true}]",
		},
		"a condition":            {"rules: [{tool: a, when: args.amount > 5, deny: true}]", "rules: [{tool: a, when: args.amount > 6, deny: true}]"},
		"a function":             {`rules: [{tool: a, when: 'args.to.endsWith("@x.org")', deny: true}]`, `rules: [{tool: a, when: 'args.to == "b@x.org"', deny: true}]`},
		"deep down":              {`rules: [{tool: a, when: 'args.card["owner"].name == "y"', auto_approve: true}]`, `rules: [{tool: a, when: 'args.card["owner"].name in ["y", "z"]', auto_approve: true}]`},
		"a label in a condition": {`rules: [{tool: a, when: 'labels.env == "prod"', deny: true}]`, `rules: [{tool: a, when: 'labels.env == "prod" && agent != "x"', deny: true}]`},
		"at night":               {"rules: [{tool: a, deny: true}]", "rules: [{tool: a, when: now.getHours() > 6, deny: true}]"},
		"names":                  {"{rules: [], classify: true, unmatched: allow}", "{rules: [], classify: true, unmatched: allow, safe_tools: [delete_x]}"},
	} {
		t.Run(name, func(t *testing.T) {
			strict, lax := compile(t, c.strict), compile(t, c.lax)
			if r := policydiff.Diff(strict, lax, policydiff.Probes(strict, lax)); len(r.Laxer()) == 0 {
				t.Errorf("nothing becomes laxer over %d probes", r.Calls)
			}
			if r := policydiff.Diff(lax, strict, policydiff.Probes(lax, strict)); len(r.Stricter()) == 0 {
				t.Errorf("nothing becomes stricter over %d probes", r.Calls)
			}
			if r := policydiff.Diff(lax, lax, policydiff.Probes(lax)); len(r.Changes) > 0 || len(r.Groups()) > 0 {
				t.Errorf("the same policy differs: %+v", r.Changes)
			}
		})
	}
}

// Many fields in one rule make no more probes than a bound, and each value is
// tried by itself and among the others.
func TestProbesAreBounded(t *testing.T) {
	var when []string
	for i := range 40 {
		when = append(when, fmt.Sprintf("args.f%d == %d", i, i*10))
	}
	probes := slices.Collect(policydiff.Probes(compile(t, fmt.Sprintf("rules: [{tool: a, when: '%s', deny: true}]", strings.Join(when, " && ")))))
	if len(probes) < 100 || len(probes) > 500 {
		t.Errorf("%d probes", len(probes))
	}
	names := map[string]bool{}
	for _, p := range probes {
		if names[p.Name] {
			t.Fatalf("twice: %s", p.Name)
		}
		names[p.Name] = true
		if err := p.Call.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// What changed is tried first, for those who can't wait for all.
func TestProbesOfWhatChangedComeFirst(t *testing.T) {
	var rules []string
	for i := range 1000 {
		rules = append(rules, fmt.Sprintf("{tool: t%d}", i))
	}
	old := compile(t, "rules: ["+strings.Join(rules, ", ")+"]")
	rules[900] = "{tool: t900, auto_approve: true}"
	new := compile(t, "rules: ["+strings.Join(rules, ", ")+"]")
	tries := 0
	for c := range policydiff.Probes(old, new) {
		if tries++; c.Call.Tool == "t900" {
			break
		}
	}
	if tries > 10 {
		t.Errorf("it takes %d tries", tries)
	}
}

func TestGroups(t *testing.T) {
	old := compile(t, "rules: [{tool: a, timeout: 1h}, {tool: b, timeout: 1h}, {tool: c, deny: true}, {tool: d}, {tool: e, risk_level: low}]")
	new := compile(t, "rules: [{tool: a, timeout: 2h}, {tool: b, timeout: 2h}, {tool: c}, {tool: d, deny: true}, {tool: e, risk_level: low}]")
	r := policydiff.Diff(old, new, policydiff.Probes(old, new))
	var got []string
	for _, g := range r.Groups() {
		var tools []string
		for _, c := range g.Tools {
			tools = append(tools, c.Tool)
		}
		got = append(got, fmt.Sprintf("%v %d %v %v", g.Laxer(), g.Calls(), tools, g.Shifts))
	}
	want := []string{
		"true 1 [c] [verdict: deny → require_approval]",
		"true 2 [a b] [timeout: 1h → 2h]",
		"false 1 [d] [verdict: require_approval → deny]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(r.Laxer()) != 3 || len(r.Stricter()) != 1 {
		t.Errorf("%d laxer, %d stricter", len(r.Laxer()), len(r.Stricter()))
	}
}

// Whatever the policy: no panic, and probes that could be started.
func FuzzProbes(f *testing.F) {
	f.Add([]byte("rules: [{tool: 'a.*', when: 'args.x.y > 1 && labels[\"e\"] == \"p\" && args.contains(\"z\") && now > now'}]"))
	f.Add([]byte("{applies_to: {labels: {a: [b, 'c*']}}, deny: [{capability: x, amount_gt: 1e300, contains: [y]}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := policy.Inspect(policy.File{Name: "p.yaml", Data: data})
		if err != nil {
			return
		}
		for c := range policydiff.Probes(set) {
			if err := c.Call.Validate(); err != nil || c.Name == "" || c.At.IsZero() {
				t.Errorf("probe %+v: %v", c, err)
			}
		}
	})
}
