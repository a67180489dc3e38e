package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

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

func TestDangerousNames(t *testing.T) {
	for name, want := range map[string]string{
		"delete_file": "delete", "deleteFile": "delete", "file-delete": "delete", "files.delete": "delete", "FileDELETE": "delete",
		"DELETEFile": "delete", "DELETEfile": "delete", "HTTPDelete": "delete", "delete2": "delete", "s3_rm": "rm", "db/drop/table": "drop",
		"mcp:shell.exec": "shell", "get_and_delete": "delete", "DELETE": "delete", "transferFunds": "transfer", "create_payment": "create",
		"payments.create": "payments", "send_email": "send", "docs.get_x.send_y": "send",
		"prune_images": "prune", "prune_report": "prune", "prune_old_reports": "prune", "cleanup": "cleanup",

		"evaluate_model": "", "prune_old_logs_report": "", "sender_name": "", "get_payment": "", "list_transfers": "", "readEmail": "",
		"undeleted_items": "", "deletefile": "deletefile", "read_secrets": "read … secrets", "search": "", "resender": "", "retail": "", "formal_letter": "", "": "", "_": "", "9": "",
	} {
		if got := policy.DangerousWord(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// Many names, and the right answer for each.
func TestManyNames(t *testing.T) {
	text, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	tried, held := 0, false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			held = strings.HasPrefix(line, "[held]")
		default:
			for _, name := range strings.Fields(line) {
				tried++
				if word := policy.DangerousWord(name); (word != "") != held {
					t.Errorf("%s: held for %q, want it held: %v", name, word, held)
				}
			}
		}
	}
	if tried < 240 {
		t.Errorf("only %d names were tried", tried)
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
	f := file("p.yaml", "rules:\n  - {tool: t, allow_edit: true, approvals: 2}\n  - {tool: u, approvals: 2}\n")
	if _, err := policy.Compile(f); err == nil || !strings.Contains(err.Error(), "p.yaml:2:27: allow_edit is not executed") {
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
	if !e.Requirement.AllowEdit || e.Requirement.Approvals[0].Count != 2 {
		t.Errorf("explained: %+v", e.Requirement)
	}
	if err := e.Verdict.Validate(); err == nil {
		t.Error("a verdict that nothing executes is valid")
	}
	if _, err := policy.Inspect(file("p.yaml", "rules: [{tool: t, whn: x, allow_edit: true}]")); err == nil {
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
