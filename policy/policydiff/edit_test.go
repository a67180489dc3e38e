package policydiff_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policydiff"
	"github.com/pawlhq/pawl/policy/policytest"
)

// far is a condition that no derived call meets.
const far = `has(args.cmd) && agent.size() * 7 % 1301 == 4`

// An edit that no call shows is named, and the policies don't pass for alike.
func TestUnknownEdits(t *testing.T) {
	when := func(condition, says string) string {
		return "rules:\n  - {tool: other}\n  - {tool: a, when: '" + condition + "', " + says + "}\n  - {tool: a, auto_approve: true}\n"
	}
	const rest = "rules:\n  - {tool: other}\n  - {tool: a, auto_approve: true}\n"
	for name, c := range map[string]struct{ old, new, want string }{
		"a condition":            {when(far, "deny: true"), when(far+" && args.x.size() > 90", "deny: true"), "p.yaml:3: the condition changed, and no call shows a difference by it"},
		"what a rule says":       {when(far, "deny: true"), when(far, "approvals: 2"), "p.yaml:3: what a rule with a condition says changed, and no call shows a difference by it"},
		"a rule is gone":         {when(far, "deny: true"), rest, "p.yaml:3: a rule with a condition is gone, and no call shows a difference by it"},
		"a rule is new":          {rest, when(far, "require_approval: true"), "p.yaml:3: a rule with a condition is new, and no call shows a difference by it"},
		"a new rule that denies": {rest, when(far, "deny: true"), ""},
		"a tool": {
			strings.Replace(when(far, "deny: true"), "tool: a, when", "tool: [a, b], when", 1), when(far, "deny: true"),
			"p.yaml:3: the tools of a rule with a condition changed, and no call shows a difference by it",
		},
		"a masked entry": {
			"{deny: [{capability: a, path_prefix: /etc}, {capability: a, contains: key}], allow: [a]}", "{deny: [{capability: a, path_prefix: /etc}], allow: [a]}",
			"p.yaml:1: a rule with a condition is gone, and no call shows a difference by it",
		},
		"a layer's calls": {
			"{applies_to: {team: x}, rules: [{tool: a, when: '" + far + "', deny: true}]}", "{applies_to: {team: y}, rules: [{tool: a, when: '" + far + "', deny: true}]}",
			"p.yaml:1: applies_to or observe changed, and no call shows a difference by it",
		},
		"gone beside a difference": {
			"rules: [{tool: b}, {tool: a, when: '" + far + "', deny: true}]", "rules: [{tool: b, auto_approve: true}]",
			"p.yaml:1: a rule with a condition is gone, and no call shows a difference by it",
		},
		"new beside a difference": {
			"rules: [{tool: b}]", "rules: [{tool: b, auto_approve: true}, {tool: a, when: '" + far + "', auto_approve: true}]",
			"p.yaml:1: a rule with a condition is new, and no call shows a difference by it",
		},
		"a new layer's rule": {
			"rules: [{tool: b}]", "{applies_to: {team: x, labels: {q: r}}, rules: [{tool: a, when: '" + far + "', auto_approve: true}]}",
			"p.yaml:1: applies_to or observe changed, and no call shows a difference by it; p.yaml:1: a rule with a condition is new, and no call shows a difference by it",
		},
		"beside a difference": {
			"rules: [{tool: b}, {tool: a, when: '" + far + "', deny: true}]", "rules: [{tool: b, auto_approve: true}, {tool: a, when: 'args.y == 1 && " + far + "', deny: true}]",
			"p.yaml:1: the condition changed, and no call shows a difference by it",
		},

		"where it can't be told alone": {
			when("args.n.size() * 7 % 1301 == 4", "deny: true"), when("args.n.size() * 7 % 1301 == 4", "approvals: 2"),
			"p.yaml:3: what a rule with a condition says changed, and no call shows a difference by it",
		},

		"shown":                       {when("args.n > 5", "deny: true"), when("args.n > 6", "deny: true"), ""},
		"shown by what can't be told": {when("args.n > 5", "auto_approve: true"), when("!has(args.n) || args.n > 5", "auto_approve: true"), ""},
		"the same":                    {when(far, "deny: true"), when(far, "deny: true"), ""},
		"spaces":                      {when(far, "deny: true"), when(" has(args.cmd)&&agent.size()*7 % 1301==4 // written otherwise", "deny: true"), ""},
		"a macro's spaces":            {when("args.l.all(x, "+far+")", "deny: true"), when("args.l.all( x,"+far+" )", "deny: true"), ""},
		"another place":               {when(far, "deny: true"), strings.Replace(when(far, "deny: true"), "tool: other", "tool: other # moved\n   ", 1), ""},
		"another order":               {"{deny: [{capability: a, path_prefix: [/x, /y]}], allow: [a]}", "{deny: [{capability: a, path_prefix: [/y, /x]}], allow: [a]}", ""},
		"a new layer's observing":     {"observe: true\n" + rest, "{observe: true, applies_to: {team: x}, rules: []}", ""},
		"only observed":               {"observe: true\n" + when(far, "deny: true"), "observe: true\n" + rest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			old, new := compile(t, c.old), compile(t, c.new)
			r := policydiff.Diff(old, new, policydiff.Probes(old, new))
			var got []string
			for _, e := range r.Unknown {
				got = append(got, e.String())
			}
			if strings.Join(got, "; ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if r.Clear() != (len(got) == 0 && len(r.Laxer()) == 0) {
				t.Errorf("clear: %v with %d laxer", r.Clear(), len(r.Laxer()))
			}
		})
	}
}

// A call that is given settles what derived ones leave open.
func TestGivenCallsShowEdits(t *testing.T) {
	old := compile(t, `rules: [{tool: a, when: 'args.cmd.size() == 1 && args.cmd > "x"', auto_approve: true}]`)
	new := compile(t, `rules: [{tool: a, when: 'args.cmd.size() == 1 && args.cmd > "y"', auto_approve: true}]`)
	given := []policytest.Case{{Name: "y", At: policytest.Noon, Call: approval.Call{Tool: "a", Args: []byte(`{"cmd":"y"}`)}}}
	if r := policydiff.Diff(old, new, slices.Values(given[:0])); r.Clear() || len(r.Unknown) != 1 {
		t.Errorf("without calls: %+v", r.Unknown)
	}
	if r := policydiff.Diff(old, new, slices.Values(given)); !r.Clear() || len(r.Stricter()) != 1 {
		t.Errorf("with one that differs: %+v, %+v", r.Unknown, r.Changes)
	}
}

// A file of another name is another layer, but not another policy.
func TestRenamedLayersAreTheSame(t *testing.T) {
	named := func(files ...policy.File) *policy.Set {
		set, err := policy.Inspect(files...)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	text := []byte("applies_to: {team: x}\nrules: [{tool: a, when: '" + far + "', deny: true}]\n")
	other := policy.File{Name: "other.yaml", Data: []byte("rules: []")}
	trial := policy.File{Name: "trial.yaml", Data: []byte("observe: true\napplies_to: {team: x}\nrules: [{tool: a, when: '" + far + "'}]\n")}
	old, new := named(policy.File{Name: "old.yaml", Data: text}, other), named(policy.File{Name: "new.yaml", Data: text}, other)
	if r := policydiff.Diff(old, new, policydiff.Probes(old, new)); !r.Clear() {
		t.Errorf("%+v, %+v", r.Unknown, r.Changes)
	}
	if new = named(policy.File{Name: "old.yaml", Data: text}, other, trial); !policydiff.Diff(old, new, policydiff.Probes(old, new)).Clear() {
		t.Error("a new layer that only observes is not clear")
	}
	if new = named(other); len(policydiff.Diff(old, new, policydiff.Probes(old, new)).Unknown) != 2 {
		t.Error("a layer that is gone, and its rule, are not told")
	}
}
