package policydiff_test

import (
	"context"
	"encoding/json"
	"errors"
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

// corpus has calls of several tools, agents and arguments.
func corpus(tools ...string) []policytest.Case {
	var out []policytest.Case
	for _, tool := range tools {
		for _, agent := range []string{"", "bot", "b2"} {
			for i, args := range []string{
				`{}`, `{"amount":5.5}`, `{"amount":6}`, `{"amount":51,"l":[2]}`, `{"amount":5,"path":"/srv/a/x"}`,
				`{"path":"./x/y","environment":"prod"}`, `{"text":"x"}`, `{"text":"a 7","path":"/srv/b"}`,
			} {
				c := policytest.Case{At: policytest.Noon, Call: approval.Call{Tool: tool, Agent: agent, Args: json.RawMessage(args)}}
				if i%2 == 0 {
					c.Call.Labels = map[string]string{"env": "prod"}
				}
				c.Name = fmt.Sprintf("%s %s %d", tool, agent, i)
				out = append(out, c)
			}
		}
	}
	return out
}

// diff compares over calls that can be listed.
func diff(t *testing.T, old, new *policy.Set, cases []policytest.Case) policydiff.Report {
	t.Helper()
	r, err := policydiff.Diff(old, new, policydiff.Given(cases))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Where no call was compared, or none of those that an edit is about, no report says that all is
// well for more than the calls it counts.
func TestNothingComparedIsNotClear(t *testing.T) {
	strict, lax := compile(t, "rules: [{tool: a, when: args.amount > 5, deny: true}]"), compile(t, "rules: []")
	if r := diff(t, strict, lax, nil); r.Clear() || r.Calls != 0 {
		t.Errorf("over no calls: %+v", r)
	}
	call := func(args string) []policytest.Case {
		return []policytest.Case{{Call: approval.Call{Tool: "a", Args: json.RawMessage(args)}, At: policytest.Noon}}
	}
	if r := diff(t, strict, lax, call(`{"amount":1}`)); !r.Clear() || r.Calls != 1 || r.Redacted != 0 {
		t.Errorf("over a call that the edit is not about: %+v", r)
	}
	if r := diff(t, strict, lax, call(`{"amount":6,"pin":"[redacted]"}`)); r.Clear() || r.Redacted != 1 || len(r.Laxer()) != 1 {
		t.Errorf("over a call that becomes laxer: %+v", r)
	}
	if r := diff(t, lax, strict, call(`{"amount":6}`)); !r.Clear() || len(r.Stricter()) != 1 {
		t.Errorf("over a call that becomes stricter: %+v", r)
	}
}

// Recorded calls are read page by page, of both kinds of entries; what fails ends the comparison.
func TestRecorded(t *testing.T) {
	entry := func(tool string) json.RawMessage {
		return json.RawMessage(`{"call":{"id":"pawl-` + tool + `","tool":"` + tool + `","created_at":"2026-03-01T12:00:00Z"}}`)
	}
	pages := map[string][]json.RawMessage{
		"call.requested ":  {entry("a"), json.RawMessage(`{}`)},
		"call.requested 2": {entry("b")},
		"call.blocked ":    {entry("c"), nil},
	}
	ctx, stop := context.WithCancelCause(t.Context())
	list := func(_ context.Context, kind, cursor string) ([]json.RawMessage, string, error) {
		next := ""
		if kind == "call.requested" && cursor == "" {
			next = "2"
		}
		return pages[kind+" "+cursor], next, nil
	}
	free, asked := compile(t, "rules: [{tool: '*', auto_approve: true}]"), compile(t, "rules: []")
	all, err := policydiff.Diff(free, asked, policydiff.Given(corpus("first")[:1]), policydiff.Recorded(ctx, list))
	if err != nil {
		t.Fatal(err)
	}
	var tools []string
	for _, c := range all.Changes {
		tools = append(tools, c.Case.Call.Tool)
	}
	if want := []string{"first", "a", "b", "c"}; !slices.Equal(tools, want) {
		t.Errorf("got %q, want %q", tools, want)
	}

	old, new := compile(t, "rules: [{tool: a, deny: true}]"), compile(t, "rules: []")
	broken := errors.New("no answer")
	fails := func(ctx context.Context, kind, cursor string) ([]json.RawMessage, string, error) {
		if kind == "call.blocked" {
			return nil, "", broken
		}
		return list(ctx, kind, cursor)
	}
	if r, err := policydiff.Diff(old, new, policydiff.Recorded(ctx, fails)); !errors.Is(err, broken) || r.Calls != 2 || len(r.Laxer()) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	stop(broken)
	if r, err := policydiff.Diff(old, new, policydiff.Recorded(ctx, list)); !errors.Is(err, broken) || r.Calls != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestGroups(t *testing.T) {
	old := compile(t, "rules: [{tool: a, timeout: 1h}, {tool: b, timeout: 1h}, {tool: c, deny: true}, {tool: d}, {tool: e, risk_level: low}]")
	new := compile(t, "rules: [{tool: a, timeout: 2h}, {tool: b, timeout: 2h}, {tool: c}, {tool: d, deny: true}, {tool: e, risk_level: low}]")
	var calls []policytest.Case
	for _, tool := range []string{"a", "b", "c", "d", "e"} {
		calls = append(calls, policytest.Case{Call: approval.Call{Tool: tool}, At: policytest.Noon})
	}
	r := diff(t, old, new, calls)
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

// Over random pairs of policies: a verdict that is laxer for a call, by a plain reading of it, is
// reported as laxer; one that is the same is not reported; and there is no other change than in one
// of the two directions.
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
	calls, found := corpus("a", "a1", "pay", "other", "never_called", "delete_x", "unnamed"), 0
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		old, err := policy.Inspect(policy.File{Name: "p.yaml", Data: randomPolicy(r)})
		new, err2 := policy.Inspect(policy.File{Name: "p.yaml", Data: randomPolicy(r)})
		if err != nil || err2 != nil {
			continue // two rules of which one can never match
		}
		report := diff(t, old, new, calls)
		reported := map[string]policydiff.Change{}
		for _, c := range report.Changes {
			reported[c.Case.Name] = c
		}
		some := false
		for _, p := range calls {
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
