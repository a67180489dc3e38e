package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

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
