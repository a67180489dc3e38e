package policy_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// verdict is a verdict in a few words: its kind, how many people, why.
func verdict(t *testing.T, set *policy.Set, call string) string {
	t.Helper()
	c, err := approval.ParseCall([]byte(call))
	if err != nil {
		t.Fatalf("%s: %v", call, err)
	}
	v := set.Evaluate(c, now)
	if err := v.Validate(); err != nil {
		t.Errorf("%s: invalid verdict: %v", call, err)
	}
	words := []string{string(v.Kind)}
	if v.Requirement != nil && v.Requirement.Approvals[0].Count != 1 {
		words = append(words, fmt.Sprint(v.Requirement.Approvals[0].Count))
	}
	if v.Audited {
		words = append(words, "audited")
	}
	if v.Policy.Why != "" {
		words = append(words, "| "+v.Policy.Why)
	}
	return strings.Join(words, " ")
}

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
		"across two texts":      {"match_regex: a.*b", `{"args":{"x":["a","b"]}}`, "", ""},
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

func TestConditionsSeeTheCall(t *testing.T) {
	for when, want := range map[string]string{
		`args.amount > 100`:                        "allow",
		`args.amount > 100.5`:                      "allow",
		`args.amount == 150`:                       "allow",
		`args.amount in [150, 200]`:                "allow",
		`args.amount * 2.0 > 299`:                  "allow",
		`args.rate < 1`:                            "allow",
		`args.lines[0].n == 1`:                     "allow",
		`args.lines.exists(l, l.n == 2)`:           "allow",
		`args["to"].endsWith("@example.com")`:      "allow",
		`args.to.matches("^[a-z]+@")`:              "allow",
		`has(args.missing) || true`:                "allow",
		`!("missing" in args)`:                     "allow",
		`tool == "pay" && agent == "bot"`:          "allow",
		`team == "" && session == "s"`:             "allow",
		`requester == "r"`:                         "allow",
		`labels.env == "prod"`:                     "allow",
		`"env" in labels && !("x" in labels)`:      "allow",
		`now > timestamp("2026-01-01T00:00:00Z")`:  "allow",
		`now.getHours() == 15`:                     "allow",
		`now.getHours("Europe/Berlin") == 16`:      "allow",
		`args.confirmed`:                           "allow",
		`args.amount > 1000`:                       "require_approval",
		`args.missing > 5`:                         "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: missing is missing",
		`args.lines[0].price > 5`:                  "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: price is missing",
		`args[args.to] == 5`:                       "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: a field is missing",
		`labels.stage == "x"`:                      "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: stage is missing",
		`args.to > 5`:                              "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: a value has another type than the condition is for",
		`args.amount + 5 > 10`:                     "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: a value has another type than the condition is for",
		`args.to`:                                  "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it gives neither true nor false",
		`timestamp(args.to) > now`:                 "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it can't be computed for these values",
		`int(args.to) > 5`:                         "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it can't be computed for these values",
		`args.lines.matches("x")`:                  "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: a value has another type than the condition is for",
		`now.getHours("No/Where") == 1`:            "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it can't be computed for these values",
		`args.lines[5].n == 1`:                     "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it can't be computed for these values",
		`"a" < "b" && 5 / (size(tool) - 3) > 0`:    "require_approval | the condition of p.yaml:2 tool pay could not be evaluated: it can't be computed for these values",
		`args.missing > 5 || args.amount > 100`:    "allow", // CEL's own: one side is true, whatever the other is
		`args.missing > 5 && args.amount > 100000`: "require_approval",
	} {
		t.Run(when, func(t *testing.T) {
			quoted, _ := json.Marshal(when)
			set := compile(t, file("p.yaml", "rules:\n  - tool: pay\n    auto_approve: true\n    when: "+string(quoted)))
			got := verdict(t, set, `{"tool":"pay","agent":"bot","session":"s","requester":"r","labels":{"env":"prod"},
				"args":{"amount":150,"rate":0.5,"to":"someone@example.com","confirmed":true,"lines":[{"n":1},{"n":2}]}}`)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// Whatever a rule would say if its condition were known, not knowing it never allows, and never
// loosens what stands without it.
func TestUnknownConditionsCountBothWays(t *testing.T) {
	const unknown = "    when: args.missing\n"
	for name, c := range map[string]struct{ rules, want string }{
		"allow":                      {"  - tool: t\n    auto_approve: true\n" + unknown, "require_approval"},
		"deny":                       {"  - tool: t\n    deny: true\n" + unknown, "require_approval"},
		"require":                    {"  - tool: t\n    approvals: 2\n" + unknown, "require_approval 2"},
		"allow, then allow":          {"  - tool: t\n    auto_approve: true\n" + unknown + "  - {tool: t, auto_approve: true}\n", "require_approval"},
		"deny, then allow":           {"  - tool: t\n    deny: true\n" + unknown + "  - {tool: \"*\", auto_approve: true}\n", "require_approval"},
		"allow, then deny":           {"  - tool: t\n    auto_approve: true\n" + unknown + "  - {tool: t, deny: true}\n", "deny"},
		"require, then more of them": {"  - tool: t\n    approvals: 2\n" + unknown + "  - {tool: \"*\", approvals: 3}\n", "require_approval 3"},
	} {
		t.Run(name, func(t *testing.T) {
			set := compile(t, file("p.yaml", "rules:\n"+c.rules))
			got, why, _ := strings.Cut(verdict(t, set, `{"tool":"t"}`), " | ")
			if got != c.want || c.want != "deny" && why == "" {
				t.Errorf("got %s because %q, want %s", got, why, c.want)
			}
		})
	}
	for section, want := range map[string]string{"deny": "require_approval", "require_approval": "require_approval", "allow": "require_approval"} {
		set := compile(t, file("p.yaml", section+": [{capability: t, when: args.missing}]\nunmatched: allow\nclassify: true\n"))
		if got, _, _ := strings.Cut(verdict(t, set, `{"tool":"t"}`), " | "); got != want {
			t.Errorf("%s: got %s, want %s", section, got, want)
		}
	}
	set := compile(t, file("p.yaml", "rules: [{tool: t, when: args.x == 1, auto_approve: true}]"))
	if v := set.Evaluate(approval.Call{Tool: "t", Args: json.RawMessage(`{"x":1`)}, now); v.Kind != require || v.Policy.Why == "" {
		t.Errorf("arguments that can't be read: %+v", v)
	}
}

// Many costly conditions take hardly more than one.
func TestConditionsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 200 {
		fmt.Fprintf(&b, "  - tool: t\n    auto_approve: true\n    when: args.l.all(x, args.l.all(y, args.l.all(z, x + y + z > %d.0)))\n", -i)
	}
	set := compile(t, file("p.yaml", b.String()))
	args, _ := json.Marshal(map[string]any{"l": make([]int, 2000)})
	began := time.Now()
	v := set.Evaluate(approval.Call{Tool: "t", Args: args}, now)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if v.Kind != require || !strings.Contains(v.Policy.Why, "too long") {
		t.Errorf("got %+v", v)
	}
}

func TestNothingOfTheCallIsQuoted(t *testing.T) {
	set := compile(t, file("p.yaml", `
rules:
  - tool: t
    when: int(args.a) > 5 || args[args.b] || timestamp(args.a) > now || duration(args.a) == duration("1s") || args.a > 5
    auto_approve: true
  - tool: t
    agent: x
    labels: {k: v}
deny: [{capability: t, a: other}, {capability: t, match_regex: hu.h, path_prefix: /etc}]
require_approval: [{capability: t, match_regex: hu.h, path_prefix: /etc}, {capability: t, path_prefix: /srv}]
allow: [{capability: t, match_regex: ^hu.h-a$, path_prefix: /}]
`))
	call := approval.Call{Tool: "t", Agent: "hush-agent", Labels: map[string]string{"k": "hush-label"}}
	for _, path := range []string{`"/srv/hush"`, `"/etc/hush"`, `"hush"`, `["/hush",5]`, `"/hush"`, `{"hush":"/hush"}`, `"/tmp/../hush"`} {
		call.Args = json.RawMessage(`{"a":"hush-a","b":"hush-b","path":` + path + `}`)
		doc, err := json.Marshal(set.Explain(call, now))
		if err != nil || strings.Contains(string(doc), "hush") {
			t.Errorf("%v: %s", err, doc)
		}
	}
}

func TestDangerousNames(t *testing.T) {
	for name, want := range map[string]string{
		"delete_file": "delete", "deleteFile": "delete", "file-delete": "delete", "files.delete": "delete", "FileDELETE": "delete",
		"DELETEFile": "delete", "DELETEfile": "delete", "HTTPDelete": "delete", "delete2": "delete", "s3_rm": "rm", "db/drop/table": "drop",
		"mcp:shell.exec": "shell", "get_and_delete": "delete", "DELETE": "delete", "transferFunds": "transfer", "create_payment": "payment",
		"payments.create": "payments", "send_email": "send", "docs.get_x.send_y": "send",
		"prune_images": "prune", "prune_report": "prune", "prune_old_reports": "prune", "cleanup": "cleanup",

		"evaluate_model": "", "prune_old_logs_report": "", "sender_name": "", "get_payment": "", "list_transfers": "", "readEmail": "",
		"undeleted_items": "", "deletefile": "", "search": "", "resender": "", "retail": "", "formal_letter": "", "": "", "_": "", "9": "",
	} {
		if got := policy.DangerousWord(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for pattern, names := range map[string]struct{ yes, no []string }{
		"db.*":    {[]string{"db.", "db.a", "db.a.b"}, []string{"db", "xdb.a", "DB.a"}},
		"*":       {[]string{"", "a"}, nil},
		"?":       {[]string{"a", "ü"}, []string{"", "ab"}},
		"a*b*c":   {[]string{"abc", "aXbXc", "abbcc"}, []string{"ab", "acb", "abcd"}},
		"*a":      {[]string{"a", "ba", "aa"}, []string{"", "ab"}},
		"a?c*":    {[]string{"abc", "abcd"}, []string{"ac", "abd"}},
		"**a":     {[]string{"a", "xa"}, []string{"ax"}},
		"exactly": {[]string{"exactly"}, []string{"exactl", "exactlyy"}},
		"ü*":      {[]string{"üx"}, []string{"u"}},
		"*aab":    {[]string{"aaab", "aab"}, []string{"aaa"}},
	} {
		for _, name := range names.yes {
			if !policy.Match(pattern, name) {
				t.Errorf("%s does not match %s", pattern, name)
			}
		}
		for _, name := range names.no {
			if policy.Match(pattern, name) {
				t.Errorf("%s matches %s", pattern, name)
			}
		}
	}
}

func TestInspectTakesWhatNothingExecutes(t *testing.T) {
	f := file("p.yaml", "rules:\n  - {tool: t, require_reason: true, approvals: 2}\n  - {tool: u, approvals: 2}\n")
	if _, err := policy.Compile(f); err == nil || !strings.Contains(err.Error(), "p.yaml:2:31: require_reason is not executed") {
		t.Errorf("compiled with %v", err)
	}
	set, err := policy.Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Unexecuted(); len(got) != 1 || got[0].Line != 2 {
		t.Errorf("unexecuted: %v", got)
	}
	if got := policy.Check(f); len(got) != 1 || got[0].Warning {
		t.Errorf("checked: %v", got)
	}
	e := set.Explain(approval.Call{Tool: "t"}, now)
	if !e.Requirement.RequireReason || e.Requirement.Approvals[0].Count != 2 {
		t.Errorf("explained: %+v", e.Requirement)
	}
	if err := e.Verdict.Validate(); err == nil {
		t.Error("a verdict that nothing executes is valid")
	}
	if _, err := policy.Inspect(file("p.yaml", "rules: [{tool: t, whn: x, require_reason: true}]")); err == nil {
		t.Error("Inspect takes mistakes")
	}
}

func TestRegexErrorsSayWhatIsMissing(t *testing.T) {
	for expression, want := range map[string]string{
		`(`: `close it with ), or write \(`, `a)`: `or write \)`, `[a`: `close it with ]`, `*a`: "put before it what is to be repeated", `a**`: "write one of them",
		`a{2,1}`: "write the smaller number first", `[z-a]`: "write the smaller character first", `a\`: `write \\ for`, `(?=a)`: "without look-ahead", `(?<!a)`: "without look-ahead",
		`(a)\1`: "back-references", `[[:no:]]`: "or name a class that RE2 knows",
	} {
		_, err := policy.Inspect(file("p.yaml", "deny: [{capability: a, match_regex: '"+expression+"'}]"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", expression, err, want)
		}
	}
}

func TestWarningsStopNothing(t *testing.T) {
	for text, want := range map[string]string{
		`rules: [{tool: "*", auto_approve: true}]`:                                 `p.yaml:1:9: warning: every tool that no other rule names runs without asking`,
		`rules: [{tool: "*", auto_approve: true, team: a}]`:                        "",
		`{unmatched: allow}`:                                                       `p.yaml:1:13: warning: every tool that no rule of this layer is about runs without asking`,
		`{unmatched: allow, classify: true}`:                                       "",
		`{observe: true, rules: []}`:                                               `p.yaml:1:11: warning: no layer decides`,
		`rules: [{tool: a.*}, {tool: a.b*}]`:                                       `p.yaml:1:29: warning: the rule for "a.b*" can never match`,
		`rules: [{tool: a.b*}, {tool: a.*}]`:                                       "",
		`rules: [{tool: a.*, team: x}, {tool: a.b*}]`:                              "",
		`{deny: [a.*], allow: [a.b]}`:                                              `p.yaml:1:23: warning: allow never comes to say anything about "a.b": the entry of deny at p.yaml:1:9 takes`,
		`{deny: [{capability: a.b, x: 1}], allow: [a.b]}`:                          "",
		`{require_approval: [a.b], allow: [{capability: a.b, x_lt: 5}]}`:           `p.yaml:1:48: warning: allow never comes to say anything about "a.b"`,
		`{groups: {ops: [ana]}, rules: [{tool: a, approvals: [{group: nobody}]}]}`: `p.yaml:1:62: warning: the files do not define the group "nobody"; add it to groups, whose names are ops`,
		`{groups: {ops: [ana]}, rules: [{tool: a, approvals: [{group: opps}]}]}`:   `p.yaml:1:62: warning: the files do not define the group "opps"; did you mean "ops"?`,
		`{rules: [{tool: a, approvals: [{group: nobody}]}]}`:                       "",
		`{allow: ["*"]}`: `p.yaml:1:10: warning: every tool`,
		`{deny: [{capability: a, amounts_gt: 5}, {capability: b, amount_gt: 5, note: x}]}`: "",
	} {
		set := compile(t, file("p.yaml", text))
		got := set.Warnings()
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), want)) {
			t.Errorf("%s: got %v, want %q", text, got, want)
		}
	}
}

func rulesOf(rules []policy.RuleInfo, layer string) []policy.RuleInfo {
	return slices.DeleteFunc(slices.Clone(rules), func(r policy.RuleInfo) bool { return r.Layer != layer })
}

func TestSetsAreForManyAtOnce(t *testing.T) {
	set, err := policy.Load("testdata/cases/conditions/policy.yaml", "testdata/cases/layers/org.yaml")
	if err != nil {
		t.Fatal(err)
	}
	call := approval.Call{Tool: "pay", Args: json.RawMessage(`{"amount":150,"currency":"EUR"}`)}
	want := set.Evaluate(call, now)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				if got := set.Evaluate(call, now); !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, want %+v", got, want)
				}
				set.Explain(call, now)
			}
		})
	}
	wait.Wait()
}
