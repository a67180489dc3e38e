package policy_test

import (
	"strings"
	"testing"
)

func TestSectionsLookFieldsUp(t *testing.T) {
	for name, c := range map[string]struct{ entry, call, deny, allow string }{
		"in the arguments":      {"amount_gt: 100", `{"args":{"amount":101}}`, "deny", "allow"},
		"the bound itself":      {"amount_gt: 100", `{"args":{"amount":100}}`, "", ""},
		"or equal":              {"amount_gte: 100", `{"args":{"amount":100}}`, "deny", "allow"},
		"less":                  {"amount_lt: 0.5", `{"args":{"amount":0.25}}`, "deny", "allow"},
		"less or equal":         {"amount_lte: 0.5", `{"args":{"amount":0.75}}`, "", ""},
		"another amount":        {"total_gt: 100", `{"args":{"total":101}}`, "deny", "allow"},
		"in the labels":         {"amount_gt: 100", `{"labels":{"amount":"101"}}`, "deny", "allow"},
		"in neither":            {"amount_gt: 100", `{}`, "deny", ""},
		"as text":               {"amount_gt: 100", `{"args":{"amount":"5"}}`, "deny", ""},
		"as null":               {"amount_gt: 100", `{"args":{"amount":null}}`, "deny", ""},
		"label without number":  {"amount_gt: 100", `{"labels":{"amount":"NaN"}}`, "deny", ""},
		"the label says more":   {"amount_gt: 100", `{"args":{"amount":5},"labels":{"amount":"101"}}`, "deny", ""},
		"the label says less":   {"amount_gt: 100", `{"args":{"amount":500},"labels":{"amount":"1"}}`, "deny", ""},
		"equal text":            {"environment: production", `{"args":{"environment":"production"}}`, "deny", "allow"},
		"other text":            {"environment: production", `{"args":{"environment":"staging"}}`, "", ""},
		"other type":            {"environment: production", `{"args":{"environment":["production"]}}`, "deny", ""},
		"one of several":        {"environment: [production, live]", `{"labels":{"environment":"live"}}`, "deny", "allow"},
		"equal number":          {"tier: 3", `{"args":{"tier":3.0}}`, "deny", "allow"},
		"a number as a label":   {"tier: 3", `{"labels":{"tier":"3"}}`, "deny", "allow"},
		"equal bool":            {"vip: false", `{"args":{"vip":false}}`, "deny", "allow"},
		"other bool":            {"vip: false", `{"args":{"vip":true}}`, "", ""},
		"a bool as a label":     {"vip: true", `{"labels":{"vip":"true"}}`, "deny", "allow"},
		"two fields":            {"a: x, b: y", `{"args":{"a":"x","b":"z"}}`, "", ""},
		"two fields, one there": {"a: x, b: y", `{"args":{"a":"x"}}`, "deny", ""},
		"a word":                {"contains: secret", `{"args":{"x":[{"y":"the SECRET plan"}]}}`, "deny", "allow"},
		"a word as a key":       {"contains: secret", `{"args":{"secret":1}}`, "deny", ""},
		"no such word":          {"contains: secret", `{"args":{"x":"nothing"}}`, "", ""},
		"one of two words":      {"contains: [secret, plan]", `{"args":{"x":"a plan"}}`, "deny", "allow"},
		"an expression":         {"match_regex: 'pl.n$'", `{"args":{"x":[{"y":"the secret plan"}]}}`, "deny", "allow"},
		"in this case only":     {"match_regex: plan", `{"args":{"x":"PLAN"}}`, "", ""},
		"whatever its case":     {"match_regex: '(?i)plan'", `{"args":{"x":"PLAN"}}`, "deny", "allow"},
		"matching a key":        {"match_regex: ^secret$", `{"args":{"secret":null}}`, "deny", ""},
		"matching a number":     {"match_regex: ^1000000$", `{"args":{"port":1e6}}`, "deny", ""},
		"matching a bool":       {"match_regex: ^true$", `{"args":{"force":true}}`, "deny", ""},
		"matching a label":      {"match_regex: prod", `{"labels":{"env":"prod"}}`, "", ""},
		"matching nothing":      {"match_regex: plan", `{"args":{"x":"none"}}`, "", ""},
		"of two expressions":    {"match_regex: [plan, ^no]", `{"args":{"x":"none"}}`, "deny", "allow"},
		"across two texts":      {"match_regex: a.*b", `{"args":{"x":["a","b"]}}`, "deny", ""},
		"in their order":        {"match_regex: b.*a", `{"args":{"x":["a","b"]}}`, "", ""},
		"across two fields":     {"match_regex: '^rm -rf /$'", `{"args":{"cmd":"rm","args":["-rf","/"]}}`, "deny", ""},
		"words across fields":   {"contains: rm -rf", `{"args":{"cmd":"rm","args":["-rf","/"]}}`, "deny", ""},
		"as a number":           {"contains: '500'", `{"args":{"x":{"n":1500}}}`, "deny", ""},
		"as another spells it":  {"contains: 'none'", `{"args":{"x":null}}`, "deny", ""},
		"True, as others spell": {"match_regex: '^True$'", `{"args":{"x":[true]}}`, "deny", ""},
		"a backslash, doubled":  {`contains: 'c:\\secret'`, `{"args":{"x":"C:\\secret\\a"}}`, "deny", ""},
		"a blank of another":    {`match_regex: '^DELETE\s+FROM$'`, `{"args":{"x":"DELETE\u00a0FROM"}}`, "deny", ""},
		"a vertical tab":        {`match_regex: '^DELETE\s+FROM$'`, `{"args":{"x":"DELETE\u000bFROM"}}`, "deny", ""},
		"no blank of ours":      {`match_regex: '^cat \S+$'`, `{"args":{"x":"cat a\u00a0b"}}`, "deny", ""},
		"a digit of another":    {`match_regex: '^\d+$'`, `{"args":{"x":"٣"}}`, "deny", ""},
		"a letter of another":   {`match_regex: '^user=\w+$'`, `{"args":{"x":"user=é"}}`, "deny", ""},
		"beside a number":       {"match_regex: ^ls$", `{"args":{"x":"ls","uid":0}}`, "deny", ""},
		"beside true":           {"match_regex: ^ls$", `{"args":{"x":"ls","sudo":true}}`, "deny", ""},
		"beside null":           {"match_regex: ^ls$", `{"args":{"x":"ls","in":null}}`, "deny", ""},
		"beside an empty list":  {"match_regex: ^ls$", `{"args":{"x":"ls","in":[]}}`, "deny", ""},
		"beside what matches":   {"match_regex: '^(ls|0)$'", `{"args":{"x":"ls","uid":0}}`, "deny", "allow"},
		"a word, and a number":  {"contains: docs", `{"args":{"x":"the docs","n":5}}`, "deny", ""},
		"before a line break":   {"match_regex: ^prod$", `{"args":{"x":"prod\n"}}`, "deny", ""},
		"no text at all":        {"match_regex: .*", `{}`, "", ""},
		"under it":              {"path_prefix: /tmp", `{"args":{"path":"/tmp/x"}}`, "deny", "allow"},
		"not under it":          {"path_prefix: /tmp", `{"args":{"path":"/etc/x"}}`, "", ""},
		"under one of two":      {"path_prefix: [/srv, /tmp]", `{"args":{"file":"/tmp/x"}}`, "deny", "allow"},
		"no path":               {"path_prefix: /tmp", `{"args":{"source":"/tmp/x"}}`, "deny", ""},
		"a path that is none":   {"path_prefix: /tmp", `{"args":{"path":5}}`, "deny", ""},
		"a path that is null":   {"path_prefix: /tmp", `{"args":{"path":null}}`, "deny", ""},
		"no path in the list":   {"path_prefix: /tmp", `{"args":{"path":[]}}`, "deny", ""},
		"a number in the list":  {"path_prefix: /tmp", `{"args":{"path":["/tmp/x",5]}}`, "deny", ""},
		"all in the list":       {"path_prefix: /tmp", `{"args":{"path":["/tmp/x","/tmp/y"]}}`, "deny", "allow"},
		"one in the list":       {"path_prefix: /tmp", `{"args":{"path":["/etc/x","/tmp/y"]}}`, "deny", ""},
		"none in the list":      {"path_prefix: /tmp", `{"args":{"path":["/etc/x","/srv/y"]}}`, "", ""},
		"under each prefix one": {"path_prefix: [/srv, /tmp]", `{"args":{"path":["/srv/x","/tmp/y"]}}`, "deny", "allow"},
		"two fields, one under": {"path_prefix: /tmp", `{"args":{"file":"/etc/x","target":"/tmp/x"}}`, "deny", ""},
		"two fields, both":      {"path_prefix: /tmp", `{"args":{"file":"/tmp/x","dir":"/tmp"}}`, "deny", "allow"},
		"in another case, too":  {"path_prefix: /tmp", `{"args":{"path":"/tmp/x","Path":"/tmp/x"}}`, "deny", ""},
		"elsewhere, but case":   {"path_prefix: /tmp", `{"args":{"path":"/etc/x","PATH":"/etc/x"}}`, "deny", ""},
		"the label as well":     {"path_prefix: /tmp", `{"args":{"file":"/tmp/x"},"labels":{"root":"/"}}`, "deny", ""},
		"the label alone":       {"path_prefix: /tmp", `{"labels":{"root":"/tmp/x"}}`, "deny", "allow"},
		"no agent":              {"agent: bot-*", `{}`, "deny", ""},
		"the agent":             {"agent: bot-*", `{"agent":"bot-1"}`, "deny", "allow"},
		"another agent":         {"agent: bot-*", `{"agent":"human"}`, "", ""},
		"no such label":         {"labels: {env: prod}", `{}`, "deny", ""},
		"another label":         {"labels: {env: prod}", `{"labels":{"env":"test"}}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			call := strings.Replace(strings.Replace(c.call, "{", `{"tool":"pay",`, 1), ",}", "}", 1)
			for section, want := range map[string]string{"deny": c.deny, "allow": c.allow, "require_approval": ""} {
				set := compile(t, file("p.yaml", section+": [{capability: pay, "+c.entry+"}]"))
				if want == "" {
					want = "require_approval" // as nothing matches, or as the section says
				}
				if got, _, _ := strings.Cut(verdict(t, set, call), " | "); got != want {
					t.Errorf("%s: got %s, want %s", section, got, want)
				}
			}
		})
	}
}

func TestSectionsGoBeforeEachOther(t *testing.T) {
	set := compile(t, file("p.yaml", `
deny: [{capability: a.*}, b.one]
require_approval:
  - {capability: "a.*", approvals: 3}
  - {capability: b.two, approvals: 2}
  - {capability: "b.*", contains: x, approvals: 4}
allow: ["*"]
rules:
  - {tool: c.ruled, approvals: 5}
  - {tool: b.two, auto_approve: true}
`))
	for call, want := range map[string]string{
		`{"tool":"a.one"}`:                    "deny",
		`{"tool":"b.one"}`:                    "deny",
		`{"tool":"b.two"}`:                    "require_approval 2",
		`{"tool":"b.two","args":{"y":"x"}}`:   "require_approval 4",
		`{"tool":"b.three"}`:                  "allow",
		`{"tool":"b.three","args":{"y":"x"}}`: "require_approval 4",
		`{"tool":"c.ruled"}`:                  "require_approval 5",
		`{"tool":"c.other"}`:                  "allow",
	} {
		if got := verdict(t, set, call); got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
}
