package policy_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy"
)

// A rule whose conditions are broken is not one without conditions: no other is said to stand
// behind it.
func TestBrokenConditionsHideNoOtherProblem(t *testing.T) {
	for name, text := range map[string]string{
		"when":             "rules: [{tool: a, when: args.n >, deny: true}, {tool: a, auto_approve: true}]",
		"two such":         "rules: [{tool: a, when: args.n >, deny: true}, {tool: a, when: args.m >, deny: true}, {tool: a}]",
		"agent":            "rules: [{tool: a, agent: [], deny: true}, {tool: a, auto_approve: true}]",
		"labels":           "rules: [{tool: a, labels: {}, deny: true}, {tool: a, auto_approve: true}]",
		"a pattern":        "rules: [{tool: 'a*', when: args.n >, deny: true}, {tool: 'ab*', auto_approve: true}]",
		"every tool":       "rules: [{tool: '*', when: args.n >, auto_approve: true}]",
		"an entry":         "{deny: [{capability: a, when: args.n >}], allow: [a]}",
		"an entry's bound": "{deny: [{capability: a, amount_gt: much}], allow: [a]}",
		"no expression":    "{deny: [{capability: a, match_regex: '['}], allow: [a]}",
		"no prefix":        "{deny: [{capability: a, path_prefix: 5}], allow: [a]}",
		"no words":         "{deny: [{capability: a, contains: []}], allow: [a]}",
	} {
		t.Run(name, func(t *testing.T) {
			problems := policy.Check(policy.File{Name: "p.yaml", Data: []byte(text)})
			said := problems.Error()
			if len(problems) == 0 || strings.Contains(said, "never") || strings.Contains(said, "without asking") {
				t.Errorf("said:\n%s", said)
			}
		})
	}
}
