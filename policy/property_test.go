package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// chooser makes random policies and calls that have much to do with each other.
type chooser struct{ *rand.Rand }

func (c chooser) of(from ...string) string { return from[c.IntN(len(from))] }

func (c chooser) maybe(text string) string {
	if c.IntN(3) == 0 {
		return text
	}
	return ""
}

func (c chooser) tool() string { return c.of("pay", "pay.out", "drop_table", "read", "x") }

func (c chooser) pattern() string {
	return c.of("pay", "pay.out", "drop_table", "read", "pay*", "*.out", "d*", "?", "*", "**", "[pay, 'd*']")
}

func (c chooser) conditions() string {
	return c.maybe(", agent: "+c.of("bot", "'b*'", "[bot, other]")) +
		c.maybe(", team: "+c.of("a", "b")) +
		c.maybe(", labels: {env: "+c.of("prod", "'*'")+"}") +
		c.maybe(", when: '"+c.of(`args.amount > 100`, `args.amount <= 100`, `labels.env == "prod"`, `has(args.note)`, `agent == "bot" || args.amount > 5`,
			`args.list.all(x, args.list.all(y, x == y))`, `args.list.exists(x, x > 1.0)`, `tool.startsWith("pay")`, `now.getHours() < 12`)+"'")
}

func (c chooser) forms() string {
	return c.maybe(", match_regex: "+c.of("'^drop'", "'^(drop it|[0-9]+)$'", "[x, 'it$']", "'(?i)^DROP .*$'", "'.'")) +
		c.maybe(", path_prefix: "+c.of("/srv", "/", "[/tmp/, /srv/a]", "./work", "~/.ssh", "'C:\\work'"))
}

func (c chooser) terms() string {
	return c.maybe(", redact_fields: ["+c.of("card", "note", "CARD, pin")+"]") + c.maybe(", timeout: "+c.of("30", "10m", "3h")) + c.maybe(", valid_for: "+c.of("1m", "2h"))
}

func (c chooser) file(name string) policy.File {
	var b strings.Builder
	fmt.Fprintf(&b, "layer: %s\n", name)
	b.WriteString(c.maybe("observe: true\n"))
	b.WriteString(c.maybe("applies_to: {" + c.of("team: a", "agent: 'b*'", "tool: 'pay*'", "labels: {env: prod}") + "}\n"))
	b.WriteString(c.maybe("default_timeout: " + c.of("20m", "2h") + "\n"))
	b.WriteString(c.maybe("redact_fields: [" + c.of("pin", "card, note") + "]\n"))
	b.WriteString(c.maybe("classify: true\n"))
	b.WriteString(c.maybe("unmatched: " + c.of("allow", "deny", "require_approval") + "\n"))
	b.WriteString("rules:\n  - {tool: never_called}\n")
	for range c.IntN(5) {
		says := c.of("auto_approve: true", "audit: true", "deny: true", "require_approval: true", "approvals: 2", "risk_level: high")
		fmt.Fprintf(&b, "  - {tool: %s, %s%s%s}\n", quotedPattern(c.pattern()), says, c.conditions(), c.terms())
	}
	for _, section := range []string{"deny", "require_approval", "allow"} {
		if c.IntN(2) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s:\n", section)
		for range 1 + c.IntN(3) {
			pattern := c.pattern()
			if strings.HasPrefix(pattern, "[") {
				pattern = "pay"
			}
			fmt.Fprintf(&b, "  - {capability: %s%s%s%s%s%s}\n", quotedPattern(pattern), c.maybe(", amount_gt: 50"), c.maybe(", environment: prod"),
				c.maybe(", contains: drop"), c.conditions()+c.forms(), c.terms())
		}
	}
	return file(name+".yaml", b.String())
}

func quotedPattern(p string) string {
	if strings.HasPrefix(p, "[") {
		return p
	}
	return "'" + p + "'"
}

func (c chooser) call() approval.Call {
	call := approval.Call{Tool: c.tool(), Agent: c.of("", "bot", "else"), Team: c.of("", "a", "b"), Session: "s"}
	call.Args = json.RawMessage(c.of(`{}`, `{"amount":150}`, `{"amount":50,"note":"drop it"}`, `{"amount":"150"}`, `{"amount":null,"environment":"prod"}`,
		`{"list":[1,1,2],"amount":60}`, `{"list":[1`+strings.Repeat(",1", 200)+`],"amount":5}`, `{"list":"x","environment":5}`, `{"path":"/srv/a/x"}`, `{"path":["/srv/a","/tmp/x"],"note":"drop it"}`, `{"file":"work/x","dir":"/srv"}`, `{"path":"/srv/../etc","amount":60}`,
		`{"target":"~/.ssh/id"}`, `{"path":5,"amount":150}`, `{"root":"C:\\work\\x","Path":"/"}`, `[]`, `{"amount":1e999}`, `nonsense`, ``))
	if c.IntN(2) == 0 {
		call.Labels = map[string]string{"env": c.of("prod", "test"), "amount": c.of("1", "1000", "NaN")}
		if c.IntN(3) == 0 {
			call.Labels["path"] = c.of("/srv/a", "/etc", "x")
		}
	}
	call.RequireApproval = c.IntN(5) == 0
	if c.IntN(5) == 0 {
		call.Timeout = approval.Duration(1 + c.Int64N(int64(approval.MaxTimeout)))
	}
	return call
}

// sets makes random sets until enough is shown.
func sets(t *testing.T, try func(c chooser, set *policy.Set, text string)) {
	t.Helper()
	made := 0
	for seed := range uint64(300) {
		c := chooser{rand.New(rand.NewPCG(seed, 4))}
		var files []policy.File
		for i := range 1 + c.IntN(3) {
			files = append(files, c.file(fmt.Sprintf("l%d", i)))
		}
		set, err := policy.Inspect(files...)
		if err != nil { // two rules of which one can never match, mostly
			continue
		}
		made++
		var text strings.Builder
		for _, f := range files {
			fmt.Fprintf(&text, "%s\n", f.Data)
		}
		try(c, set, text.String())
	}
	if made < 80 {
		t.Fatalf("only %d of the policies compile", made)
	}
}

var strictness = []approval.VerdictKind{policy.Nothing, approval.VerdictAllow, approval.VerdictRequire, approval.VerdictDeny}

// What is explained is what is evaluated, and comes from the rules that are shown: the strictest
// layer that decides gives the verdict, and its rule is the one that the verdict names.
func TestExplainAgreesWithEvaluate(t *testing.T) {
	sets(t, func(c chooser, set *policy.Set, text string) {
		kinds := map[string]approval.VerdictKind{}
		for _, r := range set.Rules() {
			kinds[r.Where] = r.Says
		}
		for range 8 {
			call := c.call()
			fail := func(what string, a ...any) {
				t.Helper()
				t.Fatalf("%s\n%s%+v", fmt.Sprintf(what, a...), text, call)
			}
			v, e := set.Evaluate(call, now), set.Explain(call, now)
			if !reflect.DeepEqual(v, e.Verdict) {
				fail("evaluated to %+v, explained as %+v", v, e.Verdict)
			}
			want, observed := policy.Nothing, 0
			for _, l := range e.Layers {
				strictest := policy.Nothing
				for _, r := range append(l.Counted, ruleOf(l)...) {
					kind, known := kinds[r.Where]
					if !known {
						fail("no such rule: %+v", r)
					}
					if strings.Contains(l.Why, "could not be evaluated") {
						// A failing condition counts for an approval, whatever its rule says.
						kind = policy.Nothing
					}
					strictest = stricter(strictest, kind)
				}
				if !strings.Contains(l.Why, "could not be evaluated") && strictest != l.Says {
					fail("layer %s says %s, its rules %s", l.Layer, l.Says, strictest)
				}
				switch {
				case l.Observe && l.Says != policy.Nothing:
					observed++
				case !l.Observe:
					want = stricter(want, l.Says)
				}
				if !l.Observe && l.Layer == v.Policy.Layer && v.Policy.Rule != "" && l.Rule == nil {
					fail("the verdict names a layer that says nothing")
				}
			}
			if want == policy.Nothing || want == approval.VerdictAllow && call.RequireApproval {
				want = approval.VerdictRequire
			}
			if v.Kind != want {
				fail("the verdict is %s, the layers say %s", v.Kind, want)
			}
			if len(v.Observed) != observed {
				fail("%d observe, the verdict has %d", observed, len(v.Observed))
			}
		}
	})
}

func ruleOf(l policy.LayerSays) []policy.RuleRef {
	if l.Rule == nil {
		return nil
	}
	return []policy.RuleRef{*l.Rule}
}

func stricter(a, b approval.VerdictKind) approval.VerdictKind {
	return strictness[max(slices.Index(strictness, a), slices.Index(strictness, b))]
}

// Where a layer has a say already, one more makes no verdict laxer. One that observes changes
// nothing but what is hidden.
func TestMoreLayersAreNeverLaxer(t *testing.T) {
	sets(t, func(c chooser, set *policy.Set, text string) {
		more := c.file(c.of("before", "more")) // layers are judged by name
		observing := file(more.Name, strings.Replace(strings.Replace(string(more.Data), "observe: true\n", "", 1), "rules:", "observe: true\nrules:", 1))
		deciding := file(more.Name, strings.Replace(string(more.Data), "observe: true\n", "", 1))
		bigger, err := policy.Inspect(append(set.Sources(), deciding)...)
		if err != nil {
			return
		}
		watched, err := policy.Inspect(append(set.Sources(), observing)...)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			call := c.call()
			was, is, seen := set.Explain(call, now), bigger.Evaluate(call, now), watched.Evaluate(call, now)
			says := slices.ContainsFunc(was.Layers, func(l policy.LayerSays) bool { return !l.Observe && l.Says != policy.Nothing })
			if says && stricter(was.Kind, is.Kind) != is.Kind {
				t.Fatalf("%s becomes %s\n%s%s%+v", was.Kind, is.Kind, text, deciding.Data, call)
			}
			for _, name := range was.Redact {
				same := func(other string) bool { return strings.EqualFold(name, other) }
				if was.Kind == is.Kind && !slices.ContainsFunc(is.Redact, same) || !slices.ContainsFunc(seen.Redact, same) {
					t.Fatalf("%s is shown\n%s%s%+v", name, text, deciding.Data, call)
				}
			}
			seen.Redact, seen.Observed, seen.Policy.Digest = was.Redact, was.Observed, was.Policy.Digest
			if !reflect.DeepEqual(seen, was.Verdict) {
				t.Fatalf("observed, it is %+v, else %+v\n%s%s%+v", seen, was.Verdict, text, deciding.Data, call)
			}
		}
	})
}

// What an entry of allow lets through by one of these conditions, the same entry of deny or
// require_approval holds; and what one of them takes, it takes with one more expression or prefix,
// too.
func TestFormsAreStricterInDeny(t *testing.T) {
	for seed := range uint64(200) {
		c := chooser{rand.New(rand.NewPCG(seed, 5))}
		forms := c.forms()
		set := func(section, forms string) *policy.Set {
			return compile(t, file("p.yaml", section+": [{capability: '*'"+forms+"}]"))
		}
		wider := strings.NewReplacer("match_regex: [", "match_regex: [other, ", "path_prefix: [", "path_prefix: [/other, ").Replace(forms)
		deny, require, allow := set("deny", forms), set("require_approval", forms+", approvals: 2"), set("allow", forms)
		for range 20 {
			call := c.call()
			call.RequireApproval = false
			denied, allowed := deny.Evaluate(call, now).Kind == approval.VerdictDeny, allow.Evaluate(call, now).Kind == approval.VerdictAllow
			required := require.Evaluate(call, now).Requirement.Approvals[0].Count == 2
			if allowed && !denied || denied != required {
				t.Errorf("%s: allowed %v, denied %v, required %v: %+v", forms, allowed, denied, required, call)
			}
			if denied && set("deny", wider).Evaluate(call, now).Kind != approval.VerdictDeny || allowed && set("allow", wider).Evaluate(call, now).Kind != approval.VerdictAllow {
				t.Errorf("%s takes less than %s: %+v", wider, forms, call)
			}
		}
	}
}
