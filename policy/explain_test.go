package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// Why the name of a tool does not matter is told, too.
func TestExplainSaysWhatClassifyMakesOfAName(t *testing.T) {
	set := compile(t, file("p.yaml", "{classify: true, safe_tools: [delete_draft], rules: []}"))
	for tool, want := range map[string]string{"delete_draft": "the tool is one of safe_tools", "read_draft": "the tool's name has no dangerous word"} {
		if got := set.Explain(approval.Call{Tool: tool}, now).Layers[0].Others[0].WhyNot; got != want {
			t.Errorf("%s: got %q, want %q", tool, got, want)
		}
	}
}

// What an explanation names can be found among the rules, so that a set of calls tells which rules
// none of them is about.
func TestExplanationsNameRules(t *testing.T) {
	set, err := policy.Load("testdata/cases/classify/policy.yaml", "testdata/cases/layers/org.yaml", "testdata/cases/layers/trial.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules := set.Rules()
	if len(rules) != 7 {
		t.Errorf("%d rules: %+v", len(rules), rules)
	}
	for _, tool := range []string{"delete_file", "delete_cache", "deploy", "wipe", "anything"} {
		for _, l := range set.Explain(approval.Call{Tool: tool}, now).Layers {
			refs := l.Counted
			if l.Rule != nil {
				refs = append(refs, *l.Rule)
			}
			for _, o := range l.Others {
				refs = append(refs, o.RuleRef)
			}
			for _, ref := range refs {
				if !slices.ContainsFunc(rules, func(r policy.RuleInfo) bool { return r.RuleRef == ref && r.Layer == l.Layer }) {
					t.Errorf("%s: no such rule: %+v", tool, ref)
				}
			}
			if got := len(l.Others) + len(l.Counted) + l.More; l.Applies && l.Rule != nil && got+1 != len(rulesOf(rules, l.Layer)) {
				t.Errorf("%s: layer %s accounts for %d rules", tool, l.Layer, got+1)
			}
		}
	}
}

func TestExplanationsAreBounded(t *testing.T) {
	set := compile(t, manyRules(1000))
	l := set.Explain(approval.Call{Tool: "tool_500"}, now).Layers[0]
	if len(l.Others) != 20 || l.More != 1000-20 || !strings.HasPrefix(l.Others[0].Text, "tool *") {
		t.Errorf("%d others, %d more, first %+v", len(l.Others), l.More, l.Others[0])
	}
}
