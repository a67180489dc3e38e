package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// conditionFile is a file of one rule under one condition.
func conditionFile(when string) policy.File {
	quoted, err := json.Marshal(when)
	if err != nil {
		panic(err)
	}
	return file("p.yaml", "rules: [{tool: t, deny: true, when: "+string(quoted)+"}]")
}

// nested is a text of so many levels.
func nested(open, inside, end string, levels int) string {
	return strings.Repeat(open, levels) + inside + strings.Repeat(end, levels)
}

// Conditions that stop the compiler, or keep it busy, are problems, and what people write is not.
func TestConditionsTheCompilerCanTake(t *testing.T) {
	for _, tt := range []struct {
		name, when string
		problem    string // "": none
	}{
		{"a counted repetition", `args.pin.matches("^[0-9]{4}$")`, ""},
		{"a repetition with bounds", `args.host.matches("^[a-z0-9-]{1,63}$")`, ""},
		{"a repetition of repetitions", `args.s.matches("((a{1,10}){1,10}){1,10}")`, "or too large"},
		{"macros in each other", nested("args.a.all(x, ", "x > 1.0", ")", 8), ""},
		{"macros too deep", nested("args.a.map(x, ", "x", ")", 9) + " == []", "nested deeper than 8"},
		{"lists too deep", nested("[", "1", "]", 300) + " == []", "nested too deep"},
		{"a sum too long", strings.Repeat("1.0 + ", 500) + "1.0 == 1.0", "nested too deep"},
		{"many alternatives", strings.Repeat("args.a || ", 300) + "args.b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Compile(conditionFile(tt.when))
			switch {
			case tt.problem == "" && err != nil:
				t.Error(err)
			case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
				t.Errorf("got %v, want %q", err, tt.problem)
			case err != nil && strings.Contains(err.Error(), "line -1"):
				t.Errorf("a place that is none: %v", err)
			}
		})
	}
}

// Files that compare much, or add up much, load in about as long as others of their size. Each took
// more than ten times as long as is allowed here.
func TestLoadingStaysCheap(t *testing.T) {
	write := func(head string, n int, line func(i int) string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			b.WriteString(line(i))
		}
		return b.String()
	}
	slow := func(i int) string { return fmt.Sprintf(`"*%sb%d"`, strings.Repeat("a", 90), i) }
	for name, text := range map[string]string{
		"patterns in rules": write("rules:\n", 500, func(i int) string { return "  - tool: " + slow(i) + "\n" }) +
			write("", 8_000, func(i int) string { return fmt.Sprintf("  - tool: \"%s%d*\"\n", strings.Repeat("a", 190), i) }),
		"patterns in sections": write("deny:\n", 500, func(i int) string { return "  - " + slow(i) + "\n" }) +
			write("allow:\n", 8_000, func(i int) string { return fmt.Sprintf("  - %s%d\n", strings.Repeat("a", 190), i) }),
		"redactions": "redact_fields: [" + write("", 10_000, func(i int) string { return fmt.Sprintf("n%d,", i) }) + "]\n" +
			write("rules:\n", 10_000, func(i int) string { return fmt.Sprintf("  - {tool: a%d, redact_fields: [x]}\n", i) }),
		"groups": "groups:\n" + write("", 10_000, func(i int) string { return fmt.Sprintf("  g%d: [ana]\n", i) }) +
			write("rules:\n", 10_000, func(i int) string { return fmt.Sprintf("  - {tool: a%d, escalate: {after: 1m, to: h%d}}\n", i, i) }),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if _, err := policy.Inspect(file("p.yaml", text)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("%d bytes took %v", len(text), took)
			}
		})
	}
}

// callWithList is a call with a list of so many numbers.
func callWithList(n int) approval.Call {
	return approval.Call{Tool: "t", Args: json.RawMessage(`{"l": [1` + strings.Repeat(",1", n-1) + `]}`)}
}

// No layer undoes what another demands, not even by using up what conditions may take.
func TestLayersTakeNothingFromEachOther(t *testing.T) {
	for _, observe := range []string{"true", "false"} {
		set := compile(t,
			file("a.yaml", "layer: a\nobserve: "+observe+"\nrules: [{tool: t, auto_approve: true, when: 'args.l.all(x, args.l.all(y, x == y))'}]"),
			file("b.yaml", "layer: b\nrules: [{tool: t, deny: true, when: 'args.l.all(x, args.l[0] == x)'}]"))
		e := set.Explain(callWithList(1000), now)
		if e.Kind != approval.VerdictDeny || !strings.Contains(e.Layers[0].Why, "too long") {
			t.Errorf("observe: %s: got %+v", observe, e)
		}
	}
}

// What a verdict is explained by is what it came from: conditions are not counted twice.
func TestExplainingCountsOnce(t *testing.T) {
	set := compile(t, file("b.yaml", `deny:
  - {capability: t, when: 'args.l.all(x, args.l.all(y, x == y))'}
  - {capability: t, when: 'args.l.all(x, args.l.all(y, y == x))'}
`))
	for n := 1; ; n += 1 + n/5 {
		e := set.Explain(callWithList(n), now)
		if says := e.Layers[0].Says; says != e.Kind || e.Layers[0].Why != e.Policy.Why {
			t.Errorf("%d: the verdict is %s (%s), the layer says %s (%s)", n, e.Kind, e.Policy.Why, says, e.Layers[0].Why)
		}
		if e.Policy.Why != "" {
			return
		}
	}
}

// Every way to write "all tools" is "*": it goes last, names no tool, and is warned of.
func TestEveryToolInOtherWords(t *testing.T) {
	for _, pattern := range []string{"*", "**", "?*", "*?", "***"} {
		rules := compile(t, file("p.yaml", "classify: true\nrules:\n  - {tool: '"+pattern+"', auto_approve: true}\n  - {tool: drop_*, deny: true}"))
		sections := compile(t, file("p.yaml", "classify: true\nallow: ['"+pattern+"']"))
		for tool, want := range map[string]approval.VerdictKind{
			"drop_table": approval.VerdictDeny, "delete_all": approval.VerdictRequire, "read": approval.VerdictAllow,
		} {
			if got := rules.Evaluate(approval.Call{Tool: tool}, now).Kind; got != want {
				t.Errorf("%s in rules: %s: %s", pattern, tool, got)
			}
		}
		if got := sections.Evaluate(approval.Call{Tool: "delete_all"}, now).Kind; got != approval.VerdictRequire {
			t.Errorf("%s in allow: %s", pattern, got)
		}
	}
	if len(compile(t, file("p.yaml", "allow: ['**']")).Warnings()) == 0 {
		t.Error("nothing warns of **")
	}
	if got := compile(t, file("p.yaml", "allow: ['??*']")).Evaluate(approval.Call{Tool: "x"}, now).Kind; got != approval.VerdictRequire {
		t.Errorf("??* takes x: %s", got)
	}
}

// No letter gets a word past contains that is the same word to others.
func TestContainsInEveryCase(t *testing.T) {
	set := compile(t, file("p.yaml", "deny: [{capability: t, contains: [Kill, STRASSE, ΣΑΣ]}]\nallow: [t]"))
	for _, text := range []string{"kill", "KILL", "\u212Aill", "\u017Ftra\u017F\u017Fe", "σας", "σασ", "ΣΑς"} {
		doc, err := json.Marshal(map[string]any{"deep": []any{map[string]string{"text": "<" + text + ">"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := set.Evaluate(approval.Call{Tool: "t", Args: doc}, now).Kind; got != approval.VerdictDeny {
			t.Errorf("%q: %s", text, got)
		}
	}
	if got := set.Evaluate(approval.Call{Tool: "t", Args: json.RawMessage(`{"text":"ki ll"}`)}, now).Kind; got != approval.VerdictAllow {
		t.Errorf("got %s", got)
	}
}

// Folding large arguments is done once, not for every rule.
func TestContainsIsCheapInManyRules(t *testing.T) {
	var b strings.Builder
	b.WriteString("deny:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {capability: t, contains: word%d}\n", i)
	}
	set := compile(t, file("p.yaml", b.String()))
	call := approval.Call{Tool: "t", Args: json.RawMessage(`{"text":"` + strings.Repeat("ΑΒΓ", 40_000) + `"}`)}
	began := time.Now()
	set.Evaluate(call, now)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

// Searching is bounded as conditions are, by what the expressions compile to: what is cut off
// counts for an approval, and says so.
func TestSearchingIsBounded(t *testing.T) {
	slow := "(x+x+)+y{1,100}$"
	for _, tt := range []struct {
		section string
		entries int
		size    int
		want    approval.VerdictKind
		cut     bool
	}{
		{"deny", 1, 1_000, approval.VerdictRequire, false},
		{"deny", 1, 200_000, approval.VerdictRequire, true},
		{"deny", 1000, 200_000, approval.VerdictRequire, true},
		{"allow", 1000, 200_000, approval.VerdictRequire, true},
		{"require_approval", 1000, 200_000, approval.VerdictRequire, true},
	} {
		text := tt.section + ":\n" + strings.Repeat(fmt.Sprintf("  - {capability: t, match_regex: '%s'}\n", slow), tt.entries) + "unmatched: require_approval"
		set := compile(t, file("p.yaml", text))
		began := time.Now()
		v := set.Evaluate(approval.Call{Tool: "t", Args: json.RawMessage(`{"a":"` + strings.Repeat("x", tt.size) + `"}`)}, now)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%+v: took %v", tt, took)
		}
		if v.Kind != tt.want || strings.Contains(v.Policy.Why, "too long") != tt.cut {
			t.Errorf("%+v: got %+v", tt, v)
		}
	}
}

// Expressions that would take much time or memory are refused before they do.
func TestExpressionsTheCompilerCanTake(t *testing.T) {
	repeated := func(n int, entry func(i int) string) string {
		var b strings.Builder
		b.WriteString("deny:\n")
		for i := range n {
			b.WriteString("  - {capability: t, match_regex: '" + entry(i) + "'}\n")
		}
		return b.String()
	}
	for name, c := range map[string]struct{ text, problem string }{
		"a counted repetition":   {repeated(1, func(int) string { return "^[a-z0-9-]{1,63}$" }), ""},
		"a large repetition":     {repeated(1, func(int) string { return "x{600}" }), "too large"},
		"repeated repetitions":   {repeated(2000, func(i int) string { return fmt.Sprintf("((x{10}){10}){10}%d", i) }), "too large"},
		"a long one":             {repeated(1, func(int) string { return strings.Repeat("x|", 3000) }), "longer than 4096 bytes"},
		"many of them":           {repeated(4000, func(i int) string { return fmt.Sprintf("(x{1,10}){1,20}%d", i) }), "too large together"},
		"many times the same":    {repeated(10_000, func(int) string { return "(x{1,10}){1,20}" }), ""},
		"many small ones":        {repeated(10_000, func(i int) string { return fmt.Sprintf(`^rm\s+-rf /%d`, i) }), ""},
		"nested deep":            {repeated(1, func(int) string { return nested("(", "x", ")", 1500) }), "nests too deeply"},
		"what others understand": {repeated(1, func(int) string { return `(?P<name>a)\d\bx` }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := policy.Compile(file("p.yaml", c.text))
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if c.problem == "" && err != nil || c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("got %.300v, want %q", err, c.problem)
			}
		})
	}
}
