package policy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/strictjson"
)

// Whatever the file and the call: no panic, either a set or problems, and every verdict is valid,
// never laxer than the call asks for, the same as the one that is explained, and the same after the
// sources are compiled again.
func FuzzCompile(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.yaml")
	more, err2 := filepath.Glob("testdata/cases/*/*.yaml")
	if err != nil || err2 != nil || len(paths) == 0 || len(more) == 0 {
		f.Fatal("no testdata", err, err2)
	}
	for _, path := range append(paths, more...) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "send_email", `{"amount":150,"environment":"production"}`, int64(0), false)
	}
	f.Add([]byte("rules: [{tool: '*', auto_approve: true, timeout: 1e-9}]"), "*", "{", int64(-1), true)
	f.Add([]byte("{layer: x, default_timeout: 2592000, rules: []}"), "", "null", int64(1), true)
	f.Fuzz(func(t *testing.T, data []byte, tool, args string, timeout int64, asks bool) {
		other := policy.File{Name: "other.yaml", Data: []byte("{layer: other, rules: [{tool: a, auto_approve: true}]}")}
		mine := policy.File{Name: "p.yaml", Data: data}
		problems := policy.Check(mine, other)
		set, err := policy.Compile(mine, other)
		if (set == nil) != (err != nil) || (err != nil) != (problems.Err() != nil) {
			t.Fatalf("set %v, error %v, problems %v", set, err, problems)
		}
		for _, p := range problems {
			if p.Message == "" || p.Hint == "" || p.File == "" {
				t.Errorf("a problem that does not help: %+v", p)
			}
		}
		if err != nil {
			return
		}
		again, err := policy.Compile(set.Sources()...)
		if err != nil || again.Digest() != set.Digest() {
			t.Fatalf("the sources compile to another set: %v", err)
		}
		for _, tool := range []string{tool, "a", "send_email", "*", ""} {
			call := approval.Call{Tool: tool, Args: json.RawMessage(args), Timeout: approval.Duration(timeout), RequireApproval: asks}
			v := set.Evaluate(call, now)
			if err := v.Validate(); err != nil {
				t.Errorf("tool %q: %v", tool, err)
			}
			if asks && v.Kind == approval.VerdictAllow {
				t.Errorf("tool %q: allowed, but the call asks for approval", tool)
			}
			if timeout > 0 && v.Timeout > call.Timeout {
				t.Errorf("tool %q: waits %v, but the call asks for %v", tool, v.Timeout, call.Timeout)
			}
			if !reflect.DeepEqual(v, again.Evaluate(call, now)) {
				t.Errorf("tool %q: two verdicts", tool)
			}
			if e := set.Explain(call, now); !reflect.DeepEqual(v, e.Verdict) {
				t.Errorf("tool %q: explained as %+v, evaluated to %+v", tool, e.Verdict, v)
			}
		}
	})
}

// Whatever the condition and the arguments: a rule allows exactly what cel-go itself finds true,
// and denies nothing that it does not.
func FuzzCondition(f *testing.F) {
	for _, when := range []string{
		`args.amount > 100`, `args.a == args.b`, `args.l.exists(x, x > 1.0)`, `args[args.k]`, `args.s.matches("t.*")`,
		`args.a + args.b`, `!args.a`, `has(args.a) && args.a`, `size(args) > 2`, `args == {}`, `int(args.a) / int(args.b) > 0`,
		`timestamp(args.t) < now`, `duration(args.d) > duration("1h")`, `labels.x == ""`, `type(args.a) == string`, `args.a ? true : args.b`,
	} {
		f.Add(when, `{"amount":150,"a":1,"b":"x","l":[1,2.5,"y"],"k":"a","s":"text","t":"2026-01-01T00:00:00Z","d":"1h"}`)
	}
	env, err := cel.NewEnv(cel.Variable("tool", cel.StringType), cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("agent", cel.StringType), cel.Variable("team", cel.StringType), cel.Variable("session", cel.StringType),
		cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)), cel.Variable("requester", cel.StringType),
		cel.Variable("now", cel.TimestampType), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, when, args string) {
		quoted, err := json.Marshal(when)
		if err != nil || strictjson.CheckObject("args", []byte(args), 1<<10) != nil || len(when) > 200 {
			return
		}
		text := "rules:\n  - tool: t\n    when: " + string(quoted) + "\n    "
		allows, err := policy.Compile(policy.File{Name: "p.yaml", Data: []byte(text + "auto_approve: true")})
		if err != nil {
			return
		}
		denies := compile(t, policy.File{Name: "p.yaml", Data: []byte(text + "deny: true")})
		ast, issues := env.Compile(when)
		if issues.Err() != nil {
			t.Fatalf("cel-go does not take what the policy does: %v", issues.Err())
		}
		program, err := env.Program(ast, cel.CostLimit(1_000_000))
		if err != nil {
			t.Fatal(err)
		}
		var decoded map[string]any
		if err := json.Unmarshal([]byte(args), &decoded); err != nil {
			t.Fatal(err)
		}
		out, _, err := program.Eval(map[string]any{"tool": "t", "args": decoded, "agent": "", "team": "", "session": "",
			"labels": map[string]string{}, "requester": "", "now": now})
		holds := err == nil && out.Value() == true
		call := approval.Call{Tool: "t", Args: json.RawMessage(args)}
		a, d := allows.Evaluate(call, now), denies.Evaluate(call, now)
		if tooLong := strings.Contains(a.Policy.Why, "too long"); tooLong {
			holds = false
		}
		if (a.Kind == approval.VerdictAllow) != holds || (d.Kind == approval.VerdictDeny) != holds {
			t.Errorf("%s over %s: cel-go says %v (%v), the policy %s and %s", when, args, out, err, a.Kind, d.Kind)
		}
	})
}

// A section lets nothing through that a plain reading of its words would hold.
func FuzzSections(f *testing.F) {
	f.Add(`{"amount":50,"environment":"test"}`, "", "")
	f.Add(`{"amount":"50","environment":["test"]}`, "5", "test")
	f.Add(`{"amount":1e999}`, "NaN", "production")
	f.Add(`{"note":"Unknown","amount":5,"environment":"test"}`, "0x5", "")
	set, err := policy.Compile(policy.File{Name: "p.yaml", Data: []byte(`
deny: [{capability: pay, contains: unknown}]
require_approval: [{capability: pay, environment: production}]
allow: [{capability: pay, amount_lte: 100, environment: [test, staging]}]
`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, args, amount, environment string) {
		call := approval.Call{Tool: "pay", Args: json.RawMessage(args), Labels: map[string]string{}}
		if amount != "" {
			call.Labels["amount"] = amount
		}
		if environment != "" {
			call.Labels["environment"] = environment
		}
		if set.Evaluate(call, now).Kind != approval.VerdictAllow {
			return
		}
		var a map[string]any
		if err := json.Unmarshal([]byte(args), &a); err != nil {
			if args == "" {
				return
			}
			t.Fatalf("allowed with arguments that are no JSON: %v", err)
		}
		n, number := a["amount"].(float64)
		if _, there := a["amount"]; there && (!number || n > 100) || !there && amount == "" {
			t.Errorf("allowed with amount %v, label %q", a["amount"], amount)
		}
		s, _ := a["environment"].(string)
		if _, there := a["environment"]; there && s != "test" && s != "staging" || environment == "production" {
			t.Errorf("allowed in %v, label %q", a["environment"], environment)
		}
	})
}

// A pattern matches what the same pattern as a regular expression does.
func FuzzPattern(f *testing.F) {
	f.Add("db.*", "db.read")
	f.Add("*a*b?c", "xaybzc")
	f.Add("**??", "ü")
	f.Add("a*aab", "aaaaaaab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 50 || len(name) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		quoted := strings.NewReplacer(`\*`, "(?s:.*)", `\?`, "(?s:.)").Replace(regexp.QuoteMeta(pattern))
		if want, got := regexp.MustCompile(`\A`+quoted+`\z`).MatchString(name), policy.Match(pattern, name); got != want {
			t.Errorf("%q on %q: got %v, want %v", pattern, name, got, want)
		}
	})
}

// A dangerous word is always a whole word of the name, whatever the name.
func FuzzDangerousWord(f *testing.F) {
	for _, name := range []string{"delete_file", "deleteFile", "prune_old_logs_report", "HTTPDelete", "a.b/c:d", "9\xff_rm"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		word := policy.DangerousWord(name)
		if word == "" || strings.Contains(word, " … ") {
			return
		}
		at := strings.Index(strings.ToLower(name), word)
		if at < 0 {
			t.Fatalf("%q does not hold %q", name, word)
		}
		if got := policy.DangerousWord(strings.ToLower("x" + word + "y")); got != "" {
			t.Errorf("%q inside a word is taken for %q", word, got)
		}
		if got := policy.DangerousWord("zz_" + word); got == "" && word != "prune" {
			t.Errorf("%q is not found at the end", word)
		}
	})
}
