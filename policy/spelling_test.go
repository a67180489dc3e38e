package policy_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A field in another case is the field to some tools: it counts in deny and require, and never
// allows.
func TestFieldsInAnotherCase(t *testing.T) {
	const (
		deny    = "deny: [{capability: pay, %}]"
		require = "require_approval: [{capability: pay, %, approvals: 2}]\nunmatched: allow"
		allow   = "allow: [{capability: pay, %}]"
	)
	for name, c := range map[string]struct{ policy, entry, call, want string }{
		"deny by an argument":       {deny, "amount_gt: 100", `{"args":{"AMOUNT":5000}}`, "deny"},
		"not denied":                {deny, "amount_gt: 100", `{"args":{"Amount":5}}`, "require_approval"},
		"deny by a label":           {deny, "env: prod", `{"labels":{"Env":"prod"}}`, "deny"},
		"deny by a folded letter":   {deny, "tasks_gt: 1", `{"args":{"taſks":5}}`, "deny"},
		"require by an argument":    {require, "amount_gt: 100", `{"args":{"AMOUNT":5000}}`, "require_approval 2"},
		"neither":                   {require, "amount_gt: 100", `{"args":{"AMOUNT":5}}`, "allow"},
		"allow as written":          {allow, "amount_lte: 100", `{"args":{"amount":5}}`, "allow"},
		"never allow in other case": {allow, "amount_lte: 100", `{"args":{"AMOUNT":5}}`, "require_approval"},
		"nor by a label":            {allow, "env: test", `{"labels":{"ENV":"test"}}`, "require_approval"},
		"nor beside the right one":  {allow, "env: test", `{"args":{"env":"test"},"labels":{"ENV":"test"}}`, "require_approval"},

		"condition that denies":     {deny, "when: args.amount > 100", `{"args":{"AMOUNT":5000}}`, "deny"},
		"deeper":                    {deny, "when: 'args.lines.exists(l, l.price > 100)'", `{"args":{"lines":[{"Price":5000}]}}`, "deny"},
		"by has":                    {deny, "when: has(args.force) && args.force", `{"args":{"FORCE":true}}`, "deny"},
		"by an index":               {deny, `when: 'args["dry run"] == false'`, `{"args":{"Dry Run":false}}`, "deny"},
		"by a label's name":         {deny, `when: labels.env == "prod"`, `{"labels":{"ENV":"prod"}}`, "deny"},
		"condition that asks":       {require, "when: args.amount > 100", `{"args":{"AMOUNT":5000}}`, "require_approval 2"},
		"condition that allows":     {allow, "when: args.amount < 100", `{"args":{"AMOUNT":5}}`, "require_approval"},
		"one that wants none":       {allow, "when: '!has(args.force)'", `{"args":{"Force":true}}`, "require_approval"},
		"one that does not name it": {allow, "when: args.amount < 100", `{"args":{"amount":5,"Other":1}}`, "allow"},
		"two spellings of its own":  {allow, "when: args.a == args.A", `{"args":{"a":1,"A":1}}`, "allow"},
	} {
		t.Run(name, func(t *testing.T) {
			set := compile(t, file("p.yaml", strings.ReplaceAll(c.policy, "%", c.entry)))
			var call map[string]any
			if err := json.Unmarshal([]byte(c.call), &call); err != nil {
				t.Fatal(err)
			}
			call["tool"] = "pay"
			doc, _ := json.Marshal(call)
			if got, _, _ := strings.Cut(verdict(t, set, string(doc)), " | "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	// In rule lists, too.
	set := compile(t, file("p.yaml", "rules:\n  - {tool: pay, when: args.amount > 100, deny: true}\n  - {tool: pay, auto_approve: true}\n"))
	if got := verdict(t, set, `{"tool":"pay","args":{"AMOUNT":5000}}`); got != "deny" {
		t.Errorf("got %s", got)
	}
}
