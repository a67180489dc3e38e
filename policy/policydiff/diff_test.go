package policydiff_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/policy/policytest"
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
		"a capability alone":     {"allow: [b]", "allow: [a, b]"},
		"a pattern alone":        {"deny: ['pay.*']", "deny: [pay.out]"},
		"one layer's unmatched":  {"{applies_to: {team: x}, rules: []}", "{applies_to: {team: x}, rules: [], unmatched: allow}"},
		"some tools' unmatched":  {"{applies_to: {tool: 'db.*', team: x}, rules: []}", "{applies_to: {tool: 'db.*', team: x}, rules: [], unmatched: allow}"},
		"some tools' rules":      {"{applies_to: {tool: db.read}, rules: []}", "{applies_to: {tool: 'db.*'}, rules: [{tool: '*', auto_approve: true}]}"},
		"one layer's names":      {"{applies_to: {team: x}, rules: [], classify: true, unmatched: allow}", "{applies_to: {team: x}, rules: [], unmatched: allow}"},
		"a passed over rule's":   {"rules: [{tool: a, agent: x, redact_fields: [pin]}, {tool: a, deny: true}]", "rules: [{tool: a, agent: x}, {tool: a, deny: true}]"},
		"one layer's redactions": {"{applies_to: {team: x}, rules: [], redact_fields: [pin]}", "{applies_to: {team: x}, rules: []}"},
		"a label that is there":  {`rules: [{tool: a, when: '"vip" in labels', deny: true}]`, "rules: []"},
		"a label's absence":      {`rules: [{tool: a, deny: true}]`, `rules: [{tool: a, when: '!("vip" in labels)', deny: true}]`},
		"one of a list's":        {"rules: [{tool: a, when: 'args.lines[0].price > 5', deny: true}]", "rules: [{tool: a, when: 'args.lines[0].price > 6', deny: true}]"},
		"any of a list":          {"rules: [{tool: a, when: 'args.to.exists(x, x == \"m\")', auto_approve: true}]", "rules: [{tool: a, when: 'args.to.exists(x, x in [\"m\", \"n\"])', auto_approve: true}]"},
		"a word of either name":  {"{deny: [{capability: a, match_keywords: [drop, cut]}], allow: [a]}", "{deny: [{capability: a, match_keywords: drop}], allow: [a]}"},
		"an expression":          {"{deny: [{capability: a, match_regex: ['rm\\s+-rf', '^mkfs\\.[a-z]{4}$']}], allow: [a]}", "{deny: [{capability: a, match_regex: 'rm\\s+-rf'}], allow: [a]}"},
		"an anchor":              {"allow: [{capability: a, match_regex: ^ls$}]", "allow: [{capability: a, match_regex: ls}]"},
		"a prefix":               {"{deny: [{capability: a, path_prefix: [/etc, /root/]}], allow: [a]}", "{deny: [{capability: a, path_prefix: /etc}], allow: [a]}"},
		"a longer prefix":        {"allow: [{capability: a, path_prefix: /tmp/a}]", "allow: [{capability: a, path_prefix: /tmp}]"},
		"the directory itself":   {"allow: [{capability: a, path_prefix: /tmp/}]", "allow: [{capability: a, path_prefix: /tmp}]"},
		"a relative prefix":      {"{deny: [{capability: a, path_prefix: ./work}], allow: [a]}", "{deny: [{capability: a, path_prefix: ./work/a}], allow: [a]}"},
		"a home": {
			"{deny: [{capability: 'files.*', path_prefix: [/etc, ~/.ssh]}], allow: ['files.*']}",
			"{deny: [{capability: 'files.*', path_prefix: [/etc]}], allow: ['files.*']}",
		},
		"somebody's home": {
			"{deny: [{capability: a, path_prefix: [/etc, ~ana/x]}], allow: [a]}",
			"{deny: [{capability: a, path_prefix: [/etc]}], allow: [a]}",
		},
		"a relative one of several prefixes": {
			"{deny: [{capability: a, path_prefix: [/etc, ./secret]}], allow: [a]}",
			"{deny: [{capability: a, path_prefix: [/etc]}], allow: [a]}",
		},
		"a drive": {
			`{deny: [{capability: a, path_prefix: [/etc, 'C:\keys']}], allow: [a]}`,
			`{deny: [{capability: a, path_prefix: [/etc]}], allow: [a]}`,
		},
		"the last of many prefixes": {
			"{deny: [{capability: a, path_prefix: [" + prefixes(100) + ", /etc]}], allow: [a]}",
			"{deny: [{capability: a, path_prefix: [" + prefixes(100) + "]}], allow: [a]}",
		},
		"an hour":             {`rules: [{tool: a, when: 'now.getHours("UTC") < 17', auto_approve: true}]`, `rules: [{tool: a, when: 'now.getHours("UTC") < 22', auto_approve: true}]`},
		"an hour somewhere":   {`rules: [{tool: a, when: 'now.getHours("+05:30") >= 9', auto_approve: true}]`, `rules: [{tool: a, when: 'now.getHours("+05:30") >= 8', auto_approve: true}]`},
		"an hour of a day":    {`rules: [{tool: a, when: 'now.getDayOfWeek() == 5 && now.getHours() < 14', auto_approve: true}]`, `rules: [{tool: a, when: 'now.getDayOfWeek() == 5 && now.getHours() < 16', auto_approve: true}]`},
		"a date":              {`rules: [{tool: a, when: 'now < timestamp("2030-01-01T00:00:00Z")', deny: true}]`, `rules: [{tool: a, when: 'now < timestamp("2029-01-01T00:00:00Z")', deny: true}]`},
		"a pattern's text":    {`rules: [{tool: a, when: 'args.cmd.matches("^rm")', deny: true}]`, `rules: [{tool: a, when: 'args.cmd.matches("^rm -rf")', deny: true}]`},
		"a pattern's class":   {`rules: [{tool: a, when: 'args.cmd.matches("^\\d+[a-c]$")', deny: true}]`, `rules: [{tool: a, when: 'args.cmd.matches("^\\d+[a-b]$")', deny: true}]`},
		"a raw pattern":       {`rules: [{tool: a, when: 'args.cmd.matches(r"^\s?x{2}$")', deny: true}]`, `rules: [{tool: a, when: 'args.cmd.matches(r"^x{2}$")', deny: true}]`},
		"an expression's end": {`{deny: [{capability: a, match_regex: '^[a-c]{3}\d+foo(bar|baz)$'}], allow: [a]}`, `{deny: [{capability: a, match_regex: '^[a-b]{3}\d+foo(bar|baz)$'}], allow: [a]}`},
		"an alternative":      {`{deny: [{capability: a, match_regex: '^foo(bar|baz)$'}], allow: [a]}`, `{deny: [{capability: a, match_regex: '^foo(bar)$'}], allow: [a]}`},
		"a label's bound": {
			"{deny: [{capability: a, amount_gt: 5}], allow: [{capability: a, amount_lt: 100}]}",
			"{deny: [{capability: a, amount_gt: 50}], allow: [{capability: a, amount_lt: 100}]}",
		},
		"names": {"{rules: [], classify: true, unmatched: allow}", "{rules: [], classify: true, unmatched: allow, safe_tools: [delete_x]}"},
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

func prefixes(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("/srv/%d", i))
	}
	return strings.Join(all, ", ")
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
	f.Add([]byte("rules: [{tool: a, when: 'now.getHours(\"+05:30\") in [1, 2] && args.l.all(x, x.matches(r\"^a|b$\")) // é'}]"))
	f.Add([]byte("deny: [{capability: a, path_prefix: [~/x, 'C:\\y', ./z, '//h'], match_regex: '(?i)[^a-c]{2,}(x|y)?$'}]"))
	other, err := policy.Inspect(policy.File{Name: "p.yaml", Data: []byte("{applies_to: {team: x}, rules: [{tool: a, when: 'args.x > 5', deny: true}], deny: [{capability: a, contains: x}]}")})
	if err != nil {
		f.Fatal(err)
	}
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
		if same := policydiff.Diff(set, set, slices.Values([]policytest.Case(nil))); !same.Clear() {
			t.Errorf("a policy and itself: %+v", same.Unknown)
		}
		policydiff.Diff(other, set, policydiff.Probes(other, set))
	})
}

// A rule of many fields and many tools is tried on each of the tools.
func TestProbesTryEveryTool(t *testing.T) {
	var when, tools []string
	for i := range 200 {
		when = append(when, fmt.Sprintf("args.f%d == 1", i))
	}
	for i := range 30 {
		tools = append(tools, fmt.Sprintf("t%d", i))
	}
	seen := map[string]bool{}
	for p := range policydiff.Probes(compile(t, fmt.Sprintf("rules: [{tool: [%s], when: '%s', deny: true}]", strings.Join(tools, ", "), strings.Join(when, " && ")))) {
		seen[p.Call.Tool] = true
	}
	for _, tool := range tools {
		if !seen[tool] {
			t.Errorf("no probe of %s", tool)
		}
	}
}

// Over random pairs of policies: a verdict that is laxer for a probe, by a
// plain reading of it, is reported as laxer; one that is the same is not
// reported; and there is no other change than in one of the two directions.
func TestDiffReportsEveryLaxerVerdict(t *testing.T) {
	rank := map[approval.VerdictKind]int{approval.VerdictAllow: 0, approval.VerdictRequire: 1, approval.VerdictDeny: 2}
	people := func(v approval.Verdict) (n int) {
		if v.Requirement != nil {
			for _, a := range v.Requirement.Approvals {
				n = max(n, a.Count)
			}
		}
		return n
	}
	laxer := func(old, new approval.Verdict) bool {
		hidden := slices.ContainsFunc(old.Redact, func(name string) bool {
			return !slices.ContainsFunc(new.Redact, func(other string) bool { return strings.EqualFold(name, other) })
		})
		same := old.Kind == new.Kind
		asks := same && new.Kind == approval.VerdictRequire
		return rank[new.Kind] < rank[old.Kind] || hidden ||
			new.Kind != approval.VerdictDeny && slices.Index(approval.Risks, new.Risk) < slices.Index(approval.Risks, old.Risk) ||
			same && new.Kind == approval.VerdictAllow && old.Audited && !new.Audited ||
			same && new.Kind != approval.VerdictDeny && new.ValidFor > old.ValidFor ||
			asks && (new.Timeout > old.Timeout || people(new) < people(old))
	}
	found := 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		old, err := policy.Inspect(policy.File{Name: "p.yaml", Data: randomPolicy(r)})
		new, err2 := policy.Inspect(policy.File{Name: "p.yaml", Data: randomPolicy(r)})
		if err != nil || err2 != nil {
			continue // two rules of which one can never match
		}
		probes := slices.Collect(policydiff.Probes(old, new))
		report := policydiff.Diff(old, new, slices.Values(probes))
		reported := map[string]policydiff.Change{}
		for _, c := range report.Changes {
			reported[c.Case.Name] = c
		}
		some := false
		for _, p := range probes {
			was, is := old.Evaluate(p.Call, p.At), new.Evaluate(p.Call, p.At)
			c, changed := reported[p.Name]
			if want := laxer(was, is); want != (changed && c.Laxer()) {
				t.Fatalf("%s: laxer %v, reported %+v\n%+v\n%+v", p.Name, want, c.Shifts, was, is)
			}
			some = some || laxer(was, is)
			if changed && !reflect.DeepEqual(was, c.Old) {
				t.Fatalf("%s: reported %+v, was %+v", p.Name, c.Old, was)
			}
			if !changed && (laxer(is, was) || was.Kind != is.Kind) {
				t.Fatalf("%s: not reported\n%+v\n%+v", p.Name, was, is)
			}
		}
		if some != (len(report.Laxer()) > 0) || some != slices.ContainsFunc(report.Groups(), policydiff.Group.Laxer) {
			t.Fatalf("laxer: %v, reported %d in %d groups", some, len(report.Laxer()), len(report.Groups()))
		}
		if some {
			found++
		}
	}
	if found < 25 {
		t.Errorf("only %d pairs get laxer", found)
	}
}

func randomPolicy(r *rand.Rand) []byte {
	of := func(from ...string) string { return from[r.IntN(len(from))] }
	maybe := func(text string) string {
		if r.IntN(3) == 0 {
			return text
		}
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s%srules:\n  - {tool: never_called}\n", maybe("classify: true\n"), maybe("unmatched: "+of("allow", "deny")+"\n"),
		maybe("default_timeout: "+of("10m", "2h")+"\n"), maybe("redact_fields: ["+of("pin", "PIN, note")+"]\n"))
	for range 1 + r.IntN(4) {
		fmt.Fprintf(&b, "  - {tool: '%s', %s%s%s%s%s}\n", of("a", "a*", "pay", "*", "delete_x"),
			of("auto_approve: true", "audit: true", "deny: true", "require_approval: true", "approvals: 2", "risk_level: high"),
			maybe(", agent: "+of("bot", "'b*'")), maybe(", when: '"+of("args.amount > 5", "args.amount > 6", `labels.env == "prod"`, `args.l.exists(x, x > 1.0)`)+"'"),
			maybe(", redact_fields: [card]"), maybe(", valid_for: "+of("1m", "1h")))
	}
	for _, section := range []string{"deny", "require_approval", "allow"} {
		fmt.Fprintf(&b, "%s:\n  - other\n  - {capability: '%s'%s%s}\n", section, of("a", "pay", "p*"), maybe(", amount_gt: "+of("5", "50")), maybe(", environment: prod")+
			maybe(", path_prefix: "+of("/srv", "/srv/a", "./x"))+maybe(", match_regex: '"+of("^x$", "x", "[0-9]+")+"'"))
	}
	return []byte(b.String())
}

func TestWithin(t *testing.T) {
	calls := slices.Values(make([]policytest.Case, 100))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen, cut := 0, false
	for range policydiff.Within(ctx, calls, &cut) {
		if seen++; seen == 5 {
			stop()
		}
	}
	if seen != 5 || !cut {
		t.Errorf("%d, cut %v", seen, cut)
	}
	seen = 0
	for range policydiff.Within(t.Context(), calls, &cut) {
		seen++
	}
	if seen != 100 || cut {
		t.Errorf("%d, cut %v", seen, cut)
	}
}
