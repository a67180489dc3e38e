package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// Scrutiny that hangs on what the caller says of itself: leaving it out or writing it in another way
// does not get around it, and never gains anything.
func TestTighteningOnTheCallersWord(t *testing.T) {
	const (
		team    = "applies_to: {team: payments}\nrules: [{tool: pay, deny: true}]"
		agent   = "rules:\n  - {tool: pay, agent: 'bot-*', deny: true}\n  - {tool: pay, auto_approve: true}"
		label   = "rules:\n  - {tool: pay, labels: {env: prod}, approvals: 2}\n  - {tool: pay, auto_approve: true}"
		entry   = "deny: [{capability: pay, team: payments}]\nunmatched: allow"
		lax     = "applies_to: {team: payments}\nrules: [{tool: pay, auto_approve: true}]"
		loose   = "rules: [{tool: pay, team: payments, auto_approve: true}]"
		dev     = "rules: [{tool: pay, labels: {env: dev}, auto_approve: true}]"
		anybody = "rules: [{tool: pay, agent: '*', auto_approve: true}]"
		order   = "rules:\n  - {tool: pay, team: payments, approvals: 2}\n  - {tool: pay, deny: true}"
	)
	for name, c := range map[string]struct{ text, call, want string }{
		"the team":                {team, `{"team":"payments"}`, "deny"},
		"its case":                {team, `{"team":"Payments"}`, "deny"},
		"a blank behind it":       {team, `{"team":"payments "}`, "deny"},
		"wide letters":            {team, `{"team":"ｐａｙｍｅｎｔｓ"}`, "deny"},
		"no team":                 {team, `{}`, "deny"},
		"another team":            {team, `{"team":"support"}`, "allow"},
		"the agent":               {agent, `{"agent":"bot-1"}`, "deny"},
		"the agent's case":        {agent, `{"agent":"BOT-1"}`, "deny"},
		"no agent":                {agent, `{}`, "deny"},
		"another agent":           {agent, `{"agent":"human"}`, "allow"},
		"the label":               {label, `{"labels":{"env":"prod"}}`, "require_approval 2"},
		"the label's case":        {label, `{"labels":{"env":"PROD"}}`, "require_approval 2"},
		"its name's case":         {label, `{"labels":{"ENV":"prod"}}`, "require_approval 2"},
		"no label":                {label, `{"labels":{"tier":"prod"}}`, "require_approval 2"},
		"another value":           {label, `{"labels":{"env":"test"}}`, "allow"},
		"an entry's team":         {entry, `{"team":" PAYMENTS"}`, "deny"},
		"an entry's other team":   {entry, `{"team":"support"}`, "allow"},
		"nothing gained by it":    {loose, `{}`, "require_approval"},
		"nor by another case":     {loose, `{"team":"Payments"}`, "require_approval"},
		"what it names":           {loose, `{"team":"payments"}`, "allow"},
		"later rules count, too":  {order, `{}`, "deny"},
		"the first rule for sure": {order, `{"team":"payments"}`, "require_approval 2"},
		"a label twice":           {label, `{"labels":{"env":"test","env ":"prod"}}`, "require_approval 2"},
		"in wide letters, too":    {label, `{"labels":{"env":"test","ｅnv":"PROD "}}`, "require_approval 2"},
		"a label that allows":     {dev, `{"labels":{"env":"dev"}}`, "allow"},
		"and is there twice":      {dev, `{"labels":{"env":"dev","env ":"prod"}}`, "require_approval"},
		"an empty agent":          {anybody, `{}`, "require_approval"},
		"any agent":               {anybody, `{"agent":"x"}`, "allow"},
	} {
		t.Run(name, func(t *testing.T) {
			files := []policy.File{file("p.yaml", c.text)}
			if c.text == team {
				files = append(files, file("base.yaml", "rules: [{tool: pay, auto_approve: true}]"))
			}
			call := strings.Replace(strings.Replace(c.call, "{", `{"tool":"pay",`, 1), ",}", "}", 1)
			if got, _, _ := strings.Cut(verdict(t, compile(t, files...), call), " | "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	// A layer that is perhaps not for the call lets nothing run.
	set := compile(t, file("p.yaml", lax))
	for call, want := range map[string]string{
		`{"tool":"pay"}`:                   "require_approval",
		`{"tool":"pay","team":"PAYMENTS"}`: "require_approval",
		`{"tool":"pay","team":"payments"}`: "allow",
		`{"tool":"pay","team":"support"}`:  "require_approval",
	} {
		if got, _, _ := strings.Cut(verdict(t, set, call), " | "); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
}

// What looks like another name is none: it is refused before any policy sees it.
func TestNamesWithWhatCantBeSeen(t *testing.T) {
	for doc, want := range map[string]string{
		`{"tool":"t","team":"pay\u200bments"}`:       "team holds characters that can't be seen",
		`{"tool":"t","agent":"bot\u2060-1"}`:         "agent holds characters that can't be seen",
		`{"tool":"t","labels":{"e\u00adnv":"prod"}}`: "labels: name holds characters that can't be seen",
		`{"tool":"t","labels":{"env":"prod\u3164"}}`: "labels: value holds characters that can't be seen",
		`{"tool":"t","team":"pagos españa"}`:         "",
		`{"tool":"t","reason":"zero\u200bwidth"}`:    "", // nothing is matched with it
	} {
		var c approval.Call
		if err := json.Unmarshal([]byte(doc), &c); err != nil {
			t.Fatal(err)
		}
		c.Normalize()
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

// Where scrutiny hangs on a label, the check warns: no token binds labels.
func TestTighteningOnLabelsIsWarnedOf(t *testing.T) {
	for text, warns := range map[string]bool{
		"rules: [{tool: t, labels: {env: prod}, deny: true}]":        true,
		"rules: [{tool: t, labels: {env: prod}}]":                    true,
		"applies_to: {labels: {env: prod}}\nrules: [{tool: t}]":      true,
		"deny: [{capability: t, labels: {env: prod}}]":               true,
		"rules: [{tool: t, labels: {env: dev}, auto_approve: true}]": false,
		"allow: [{capability: t, labels: {env: dev}}]":               false,
		"rules: [{tool: t, agent: bot, deny: true}]":                 false,
		"rules: [{tool: t, when: 'args.labels == 5', deny: true}]":   false,
		"applies_to: {team: x}\nrules: [{tool: t, deny: true}]":      false,
	} {
		if got := policy.Check(file("p.yaml", text)).Error(); strings.Contains(got, "no token binds") != warns {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// So does it where scrutiny hangs on exactly what the caller says.
func TestTighteningByExactWordsIsWarnedOf(t *testing.T) {
	for text, name := range map[string]string{
		`rules: [{tool: t, deny: true, when: 'team == "payments"'}]`:                     "team",
		`rules: [{tool: t, when: '"env" in labels && labels.env == "prod"'}]`:            "labels",
		`deny: [{capability: t, when: 'agent.startsWith("bot-")'}]`:                      "agent",
		`require_approval: [{capability: t, when: 'args.x > 5 && team != "a"'}]`:         "team",
		`rules: [{tool: t, auto_approve: true, when: 'team == "payments"'}]`:             "",
		`rules: [{tool: t, deny: true, when: 'args.team == "payments" || tool == "a"'}]`: "",
	} {
		got, want := policy.Check(file("p.yaml", text)).Error(), "exactly what the caller says in "+name+":"
		if (got == "") != (name == "") || name != "" && !strings.Contains(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
