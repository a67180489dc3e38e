package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// A rule for the tool hides its fields whether or not it counts; a rule for every tool only where
// it counts.
func TestRulesHideThoughPassedOver(t *testing.T) {
	for name, c := range map[string]struct{ text, call, want string }{
		"its condition is false":   {"rules: [{tool: a, when: args.n > 1.0, redact_fields: [pin]}, {tool: a, deny: true}]", `{"tool":"a","args":{"n":0}}`, "pin"},
		"its agent is another":     {"rules: [{tool: [b, a], agent: x, redact_fields: [pin]}]", `{"tool":"a"}`, "pin"},
		"its label is not there":   {"rules: [{tool: 'a*', labels: {env: prod}, redact_fields: [pin]}]", `{"tool":"ab"}`, "pin"},
		"another goes before it":   {"rules: [{tool: a, deny: true}, {tool: 'a*', redact_fields: [pin]}]", `{"tool":"a"}`, "pin"},
		"behind a deny":            {"{deny: [a], require_approval: [{capability: a, redact_fields: [pin]}]}", `{"tool":"a"}`, "pin"},
		"an allow behind it all":   {"{deny: [a], require_approval: ['*'], allow: [{capability: 'a*', n: 1, redact_fields: [pin]}]}", `{"tool":"a"}`, "pin"},
		"several add up":           {"rules: [{tool: a, deny: true, redact_fields: [x]}, {tool: '?', redact_fields: [y, X]}]", `{"tool":"a"}`, "x y"},
		"for another tool":         {"rules: [{tool: b, redact_fields: [pin]}, {tool: 'b*', redact_fields: [pin]}]", `{"tool":"a"}`, ""},
		"for every tool, unused":   {"rules: [{tool: a}, {tool: '*', redact_fields: [pin]}]", `{"tool":"a"}`, ""},
		"for every tool, spelt **": {"rules: [{tool: a}, {tool: '**', redact_fields: [pin]}]", `{"tool":"a"}`, ""},
		"for every tool, counts":   {"rules: [{tool: '*', redact_fields: [pin]}]", `{"tool":"a"}`, "pin"},
		"another team's layer":     {"{applies_to: {team: x}, rules: [{tool: a, redact_fields: [pin]}]}", `{"tool":"a","team":"y"}`, ""},
		"perhaps its layer":        {"{applies_to: {team: x}, rules: [{tool: a, redact_fields: [pin]}]}", `{"tool":"a"}`, "pin"},
		"an observing layer":       {"{observe: true, rules: [{tool: a, agent: x, redact_fields: [pin]}]}", `{"tool":"a"}`, "pin"},
	} {
		t.Run(name, func(t *testing.T) {
			set := compile(t, policy.File{Name: "p.yaml", Data: []byte(c.text)})
			call, err := approval.ParseCall([]byte(c.call))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(set.Evaluate(call, now).Redact, " "); got != c.want {
				t.Errorf("hides %q, want %q", got, c.want)
			}
		})
	}
}

func TestExplainSaysThatAPassedOverRuleHides(t *testing.T) {
	set := compile(t, policy.File{Name: "p.yaml", Data: []byte("rules: [{tool: a, agent: x, redact_fields: [pin]}, {tool: a, deny: true}]")})
	others := set.Explain(approval.Call{Tool: "a", Agent: "y"}, now).Layers[0].Others
	if len(others) != 1 || others[0].WhyNot != "agent does not match; its redact_fields hide all the same" {
		t.Errorf("%+v", others)
	}
}

// Well-known secrets are hidden unless every layer for the call says that they are not.
func TestRedactValues(t *testing.T) {
	const call = `{"tool":"a","team":"x"}`
	for name, c := range map[string]struct {
		files []string
		call  string
		on    bool
	}{
		"no file":                {nil, call, true},
		"nothing said":           {[]string{"rules: []"}, call, true},
		"default":                {[]string{"{redact_values: default, rules: []}"}, call, true},
		"none":                   {[]string{"{redact_values: none, rules: []}"}, call, false},
		"all none":               {[]string{"{redact_values: none, rules: []}", "{redact_values: none, rules: []}"}, call, false},
		"one none":               {[]string{"{redact_values: none, rules: []}", "rules: []"}, call, true},
		"another team's default": {[]string{"{redact_values: none, rules: []}", "{applies_to: {team: y}, rules: []}"}, call, false},
		"another team's none":    {[]string{"rules: []", "{applies_to: {team: y}, redact_values: none, rules: []}"}, call, true},
		"only another team's":    {[]string{"{applies_to: {team: y}, redact_values: none, rules: []}"}, call, true},
		"perhaps its layer":      {[]string{"{redact_values: none, rules: []}", "{applies_to: {team: y}, rules: []}"}, `{"tool":"a"}`, true},
		"an observing layer":     {[]string{"{redact_values: none, rules: []}", "{observe: true, rules: []}"}, call, true},
	} {
		t.Run(name, func(t *testing.T) {
			var files []policy.File
			for i, text := range c.files {
				files = append(files, policy.File{Name: fmt.Sprintf("%d.yaml", i), Data: []byte(text)})
			}
			call, err := approval.ParseCall([]byte(c.call))
			if err != nil {
				t.Fatal(err)
			}
			if v := compile(t, files...).Evaluate(call, now); v.RedactValues.On() != c.on {
				t.Errorf("%q", v.RedactValues)
			}
		})
	}
	_, err := policy.Compile(policy.File{Name: "p.yaml", Data: []byte("{redact_values: off, rules: []}")})
	if err == nil || !strings.Contains(err.Error(), "p.yaml:1:17: redact_values") {
		t.Errorf("a word that nobody knows: %v", err)
	}
}
