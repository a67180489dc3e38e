package policies_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/policy/policytest"
)

// inFolder makes files in a new folder, and that the working directory.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

const (
	teamPolicy = "layer: team\nrules:\n  - {tool: mail, timeout: 2h, risk_level: high}\n  - {tool: read, auto_approve: true}\n  - {tool: pay, when: args.amount > 5}\n"
	teamSuite  = "policy: [team.yaml]\ntests:\n  - {name: mail waits, call: {tool: mail}, expect: {verdict: require_approval, timeout: 2h}}\n  - {name: reading runs, call: {tool: read}, expect: {verdict: allow}}\n"
)

func decodeJSON(t *testing.T, r clitest.Result) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.Out), &doc); err != nil {
		t.Fatalf("%v in %s", err, r.Out)
	}
	return doc
}

func TestPolicyCheck(t *testing.T) {
	inFolder(t, map[string]string{
		"team.yaml":      teamPolicy,
		"a_test.yaml":    teamSuite,
		"bad.yaml":       "ruls: []\nredact_fields: 3\n",
		"watch.yaml":     "observe: true\nrules: [{tool: '*', auto_approve: true}]\n",
		"later.yaml":     "rules: [{tool: a, grant: {max: 1h}}]\n",
		"empty/notes.md": "",
	})
	var c clitest.CommandLine
	c.Run(t, "policy", "check", "team.yaml").Want(t, cli.ExitDone, []string{"OK: 3 rules in 1 layer\n", "team   3      yes      team.yaml", "digest "}, nil)
	c.Run(t, "policy", "check", "watch.yaml", "team.yaml").Want(t, cli.ExitDone, []string{"watch  1      no, it observes  watch.yaml"}, []string{"watch.yaml:2:9: warning: every tool"})
	c.Run(t, "policy", "check", "bad.yaml", "no.yaml").Want(t, cli.ExitError, nil, []string{
		"bad.yaml:1:1: unknown field \"ruls\"; did you mean \"rules\"?\n", "bad.yaml:2:16: redact_fields is a number, must be a list", "no.yaml: can't be read", "the policy does not load"})
	c.Run(t, "policy", "check", "later.yaml").Want(t, cli.ExitError, nil, []string{"later.yaml:1:26: grant is not executed by this version of Pawl"})
	c.Run(t, "policy", "check", ".").Want(t, cli.ExitError, nil, []string{"bad.yaml:1:1"})
	c.Run(t, "policy", "check", "empty", "bad.yaml").Want(t, cli.ExitError, nil, []string{"empty: the folder holds no policy", "bad.yaml:1:1"})
	c.Run(t, "policy", "check", "a_test.yaml").Want(t, cli.ExitUsage, nil, []string{"run it with 'pawl policy test'"})
	c.Run(t, "policy", "check", "no\x1b[2J.yaml").Want(t, cli.ExitError, nil, []string{`no\u{001B}[2J.yaml: can't be read`})

	ok := decodeJSON(t, c.Run(t, "policy", "check", "team.yaml", "-o", "json"))
	if ok["ok"] != true || len(ok["digest"].(string)) != 64 || len(ok["layers"].([]any)) != 1 || ok["problems"] == nil {
		t.Errorf("%v", ok)
	}
	r := c.Run(t, "policy", "check", "bad.yaml", "watch.yaml", "-o", "json")
	r.Want(t, cli.ExitError, []string{`"line":1,"column":1,`, `"hint":"did you mean \"rules\"?"`, `"warning":true`}, nil)
	if bad := decodeJSON(t, r); bad["ok"] != false || len(bad["problems"].([]any)) < 2 || len(bad["warnings"].([]any)) != 1 || bad["digest"] != nil {
		t.Errorf("%v", bad)
	}
}

func TestPolicyExplain(t *testing.T) {
	inFolder(t, map[string]string{
		"team.yaml":  teamPolicy,
		"watch.yaml": "observe: true\nrules: [{tool: mail, deny: true}]\n",
		"call.json":  `{"tool":"pay","args":{"amount":6}}`,
		"later.yaml": "rules: [{tool: a, stages: [{name: first, approvals: 1}, {name: second, approvals: [{group: ops, count: 2}]}], deny_count: 2, self_approval: true, require_reason: true, allow_edit: true, input: {type: object}, execution: caller, remind_every: 10m, escalate: {after: 20m, to: boss}, grant: {max: 1h}, validate: v, preview: p}]\n",
		"night.yaml": "rules: [{tool: a, when: now.getHours() < 6, deny: true}]",
		"shows.yaml": "{redact_values: none, rules: [{tool: a}]}",
		"bad.yaml":   "ruls: []",
	})
	c := clitest.CommandLine{Stdin: strings.NewReader(`{"tool":"read"}`)}
	c.Run(t, "policy", "explain", "--policy", "team.yaml", "--policy", "watch.yaml", "--call", `{"tool":"mail","timeout":"5m"}`).Want(t, cli.ExitDone, []string{
		"mail  require_approval\n", "Rule        team team.yaml:3 tool mail\n", "Risk        high\n", "Needs       1 approval\n", "Timeout     5m, ",
		"Observed    watch would say deny: watch.yaml:2 tool mail\n", "Call        the call asks to wait",
		"Layer team (team.yaml) says require_approval\n  counts    team.yaml:3:5 tool mail: require_approval\n  not       2 rules for other tools\n",
		"Layer watch (watch.yaml) would say deny, but only observes\n",
	}, nil)
	c.Run(t, "policy", "explain", "--policy", ".", "--call", "-").Want(t, cli.ExitError, nil, []string{"bad.yaml:1:1: unknown field"})
	c.Stdin = strings.NewReader(`{"tool":"read"}`)
	c.Run(t, "policy", "explain", "--policy", "team.yaml", "--call", "-").Want(t, cli.ExitDone, []string{"read  allow\n"}, nil)
	c.Run(t, "policy", "explain", "--policy", "team.yaml", "--call", `{"tool":"other"}`).Want(t, cli.ExitDone, []string{"Rule        no rule matches\n", "Layer team (team.yaml) has no say\n"}, nil)
	c.Run(t, "policy", "explain", "--policy", "later.yaml", "--call", `{"tool":"a"}`).Want(t, cli.ExitDone, []string{
		"Needs       stage 1 (first): 1 approval\n", "Needs       stage 2 (second): 2 approvals by different people of ops\n", "2 rejections", "the requester may approve, too", "a reason with each approval",
		"may change the arguments", "input from the reviewer", "the caller runs the tool", "a reminder every 10m", "boss is asked after 20m", "for at most 1h", "must succeed before: v", "return: p",
	}, []string{"allow_edit is not executed", "no worker loads this policy as it is"})
	const shown = "Shown       well-known secrets, by redact_values: none\n"
	c.Run(t, "policy", "explain", "--policy", "shows.yaml", "--call", `{"tool":"a"}`).Want(t, cli.ExitDone, []string{shown}, nil)
	if r := c.Run(t, "policy", "explain", "--policy", "night.yaml", "--call", `{"tool":"a"}`); strings.Contains(r.Out, "Shown") {
		t.Errorf("%s", r.Out)
	}
	c.Run(t, "policy", "explain", "--policy", "night.yaml", "--call", `{"tool":"a"}`, "--at", "2026-01-05T03:00:00Z").Want(t, cli.ExitDone, []string{"a  deny\n"}, nil)
	c.Run(t, "policy", "explain", "--policy", "night.yaml", "--call", `{"tool":"a"}`).Want(t, cli.ExitDone, []string{"a  require_approval\n", "its condition (when) is false"}, nil)

	r := c.Run(t, "policy", "explain", "--policy", "team.yaml", "--call", "@call.json", "-o", "json")
	if doc := decodeJSON(t, r); !strings.HasPrefix(r.Out, `{"verdict":"require_approval",`) || len(doc["layers"].([]any)) != 1 {
		t.Errorf("%s", r.Out)
	}

	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--policy", "team.yaml"}, "which call?"},
		{[]string{"--policy", "@", "--call", `{"tool":"a"}`}, "@ is without a digest"},
		{[]string{"--policy", "active", "--policy", "team.yaml", "--call", `{"tool":"a"}`}, "active is a whole policy"},
		{[]string{"--policy", "team.yaml", "--call", "{}"}, "--call: tool is missing"},
		{[]string{"--policy", "team.yaml", "--call", `{"tool":"a","arg":{}}`}, `--call: unknown field "arg"`},
		{[]string{"--policy", "team.yaml", "--call", "secret"}, "--call: not JSON, at byte 1"},
		{[]string{"--policy", "team.yaml", "--call", "@"}, "name a file after the @"},
		{[]string{"--policy", "team.yaml", "--call", `{"tool":"a"}`, "--at", "noon"}, "--at is not a time"},
		{[]string{"team.yaml"}, "takes flags only"},
	} {
		r := c.Run(t, append([]string{"policy", "explain"}, tt.args...)...)
		r.Want(t, cli.ExitUsage, nil, []string{tt.want})
		if strings.Contains(r.Err, "secret") {
			t.Error("the error quotes the call")
		}
	}
}

func TestPolicyTest(t *testing.T) {
	inFolder(t, map[string]string{
		"team.yaml":     teamPolicy,
		"a_test.yaml":   teamSuite,
		"calls.yaml":    "policy: [team.yaml]\ncalls: [{name: pay, call: {tool: pay}}]\n",
		"bad.yaml":      "policy: [team.yaml]\ntest: []\n",
		"new/team.yaml": strings.Replace(teamPolicy, "2h", "3h", 1),
	})
	var c clitest.CommandLine
	c.Run(t, "policy", "test").Want(t, cli.ExitDone, []string{"ok   a_test.yaml: 2 tests\n", "coverage: 66% of 3 rules in team.yaml\n     never hit: team.yaml:5:5 tool pay, when args.amount > 5"}, nil)
	c.Run(t, "policy", "test", "--coverage-min", "66").Want(t, cli.ExitDone, nil, nil)
	c.Run(t, "policy", "test", "--coverage-min", "67%").Want(t, cli.ExitError, []string{"FAIL coverage: 66% of 3 rules in team.yaml, at least 67% are demanded\n"}, nil)
	c.Run(t, "policy", "test", "--require-coverage").Want(t, cli.ExitError, []string{"at least 100% are demanded"}, nil)
	c.Run(t, "policy", "test", ".", "calls.yaml", "--require-coverage").Want(t, cli.ExitDone, []string{"coverage: 100% of 3 rules"}, []string{"1 call with nothing expected; --golden FILE compares"})
	c.Run(t, "policy", "test", "--policy", "new").Want(t, cli.ExitError, []string{
		"FAIL a_test.yaml:3: mail waits\n     timeout: expected 2h, got 3h\n", "     Layer team (new/team.yaml) says require_approval\n", "FAIL a_test.yaml: 2 tests, 1 failed\n"}, nil)
	c.Run(t, "policy", "test", "bad.yaml", "no.yaml").Want(t, cli.ExitError, nil, []string{"bad.yaml:1:1: tests is missing", `bad.yaml:2:1: unknown field "test"`, "no.yaml: can't be read"})
	c.Run(t, "policy", "test", "new").Want(t, cli.ExitError, nil, []string{"new: the folder holds no suite"})

	c.Run(t, "policy", "test", "--golden", "g").Want(t, cli.ExitError, nil, []string{"write it with --update"})
	c.Run(t, "policy", "test", "--golden", "g", "--update").Want(t, cli.ExitDone, []string{"wrote g\n"}, nil)
	c.Run(t, "policy", "test", "--golden", "g").Want(t, cli.ExitDone, nil, nil)
	c.Run(t, "policy", "test", "--golden", "g", "--policy", "new").Want(t, cli.ExitError, []string{
		"GOLDEN a_test.yaml: mail waits\n-timeout: 2h\n+timeout: 3h\n\n", "FAIL g: 1 verdict changed"}, nil)
	c.Run(t, "policy", "test", "--update").Want(t, cli.ExitUsage, nil, []string{"name it with --golden"})
	c.Run(t, "policy", "test", "--coverage-min", "101").Want(t, cli.ExitUsage, nil, []string{"give a percentage from 0 to 100"})
	c.Run(t, "policy", "test", "").Want(t, cli.ExitUsage, nil, []string{"one SUITE is empty"})

	r := c.Run(t, "policy", "test", "--policy", "new/team.yaml", "--golden", "g", "--coverage-min", "90", "-o", "json")
	r.Want(t, cli.ExitError, []string{
		`{"ok":false,"tests":2,"failed":1,"results":[{"suite":"a_test.yaml","name":"mail waits","place":"a_test.yaml:3","ok":false,"mismatches":[{"field":"timeout","expected":"2h","got":"3h"}],"explanation":{"verdict":"require_approval"`,
		`"golden":[{"test":"a_test.yaml: mail waits","old":`, `"percent":66,"ok":false}`, `"warnings":[]`,
	}, nil)
	if r.Err != "" {
		t.Errorf("stderr %s", r.Err)
	}
}

func TestPolicyDiff(t *testing.T) {
	inFolder(t, map[string]string{
		"old/team.yaml":   teamPolicy,
		"lax.yaml":        strings.NewReplacer("2h", "3h", "> 5", "> 6").Replace(teamPolicy),
		"strict.yaml":     strings.Replace(teamPolicy, "auto_approve: true", "deny: true", 1),
		"moved.yaml":      "# moved\n\n" + teamPolicy,
		"bad.yaml":        "ruls: []",
		"old/a_test.yaml": teamSuite,
		"calls.ndjson":    `{"tool":"mail","args":{"to":"someone"}}` + "\n",
		"bad.ndjson":      "secret\n",
		"none.ndjson":     "\n",
	})
	var c clitest.CommandLine
	c.Run(t, "policy", "diff", "old", "moved.yaml", "--calls", "old").Want(t, cli.ExitDone, []string{"no difference over 2 calls\n"}, nil)
	c.Run(t, "policy", "diff", "old", "strict.yaml", "--calls", "old").Want(t, cli.ExitDone, []string{"stricter 1 call of 1 tool\n       - verdict: allow → deny\n         read, 1 call\n", "2 calls: 1 stricter, none laxer\n"}, nil)
	c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "old/a_test.yaml").Want(t, cli.ExitError, []string{"LAXER !! 1 call of 1 tool\n       ! timeout: 2h → 3h\n", "1 LAXER, 0 stricter\n", "old: team team.yaml:3 tool mail\n             new: team lax.yaml:3 tool mail\n"}, nil)
	r := c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "calls.ndjson", "--calls", "old/a_test.yaml")
	r.Want(t, cli.ExitError, []string{"           calls.ndjson:1 mail\n", "           old/a_test.yaml:3 mail waits\n", "3 calls: 2 LAXER, 0 stricter\n"}, nil)
	if strings.Contains(r.Out, "someone") {
		t.Error("arguments of a real call are shown")
	}
	c.Stdin = strings.NewReader(`{"tool":"other"}`)
	c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "-").Want(t, cli.ExitDone, []string{"no difference over 1 call\n"}, nil)
	c.Stdin = strings.NewReader(`{"tool":"other"}`)
	c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "-", "--calls", "calls.ndjson").Want(t, cli.ExitError, []string{"LAXER"}, nil)

	coloured := clitest.CommandLine{Terminal: true}
	if r := coloured.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "old"); !strings.Contains(r.Out, "\x1b[31mLAXER !!\x1b[0m") {
		t.Errorf("no colour on a terminal: %q", r.Out)
	}

	r = c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "calls.ndjson", "-o", "json")
	r.Want(t, cli.ExitError, []string{`"calls":1,"redacted":0,"laxer":1,"stricter":0,"changes":[{"name":"mail","place":"calls.ndjson:1","tool":"mail","laxer":true,"shifts":[{"field":"timeout","old":"2h","new":"3h","laxer":true}],"old":{"verdict":`}, nil)
	r = c.Run(t, "policy", "diff", "old", "moved.yaml", "--calls", "old", "-o", "json")
	r.Want(t, cli.ExitDone, []string{`"calls":2,`, `"changes":[]}`}, nil)

	c.Run(t, "policy", "diff", "old", "bad.yaml", "--calls", "old").Want(t, cli.ExitError, nil, []string{"bad.yaml:1:1: unknown field"})
	c.Run(t, "policy", "diff", "old", "lax.yaml", "--calls", "bad.ndjson").Want(t, cli.ExitError, nil, []string{"bad.ndjson:1:1: not JSON, at byte 1; write one call as JSON on each line"})
	// Nothing compared is no all-clear.
	for _, output := range []string{"table", "json"} {
		r = c.Run(t, "policy", "diff", "old", "moved.yaml", "--calls", "none.ndjson", "-o", output)
		if r.Want(t, cli.ExitError, nil, []string{"nothing was compared"}); r.Out != "" {
			t.Errorf("it says %q", r.Out)
		}
	}
	c.Run(t, "policy", "diff", "old", "moved.yaml", "--calls", ".").Want(t, cli.ExitError, nil, []string{"the folder holds no suite"})
	c.Run(t, "policy", "diff", "old").Want(t, cli.ExitUsage, nil, []string{"name two policies: OLD and NEW"})
	c.Run(t, "policy", "diff", "old", "").Want(t, cli.ExitUsage, nil, []string{"one policy is empty"})
	c.Run(t, "policy", "diff", "old", "moved.yaml").Want(t, cli.ExitUsage, nil, []string{"no calls to compare over: give --recorded or --calls"})
	c.Run(t, "policy", "diff", "old", "moved.yaml", "--calls", "old", "--since", "24h").Want(t, cli.ExitUsage, nil, []string{"--since is for --recorded"})
	c.Run(t, "policy", "diff", "old", "moved.yaml", "--recorded", "--since", "0s").Want(t, cli.ExitUsage, nil, []string{"--since is how long ago"})
}

// mailRecorded is the answer of the audit log of one call, of which a value was hidden.
const mailRecorded = `{"items":[
	{"call_id":"pawl-1","kind":"call.requested","at":"2026-03-01T12:00:00Z","payload":{"call":{"id":"pawl-1","tool":"mail","args":{"pin":"[redacted]"},"status":"pending","created_at":"2026-03-01T12:00:00Z"}}},
	{"call_id":"pawl-2","kind":"call.requested","at":"2026-03-01T12:00:00Z"}],"total":2,"next_cursor":""}`

func TestPolicyDiffRecorded(t *testing.T) {
	inFolder(t, map[string]string{
		"old.yaml": "layer: a\n" + teamPolicy[len("layer: team\n"):], "new.yaml": "layer: a\nrules: []\n",
		"calls.ndjson": `{"tool":"mail"}` + "\n",
	})
	api := clitest.NewAPI(t)
	api.On("GET /api/audit", clitest.Reply(200, mailRecorded))
	c := clitest.CommandLine{API: api.URL}
	hidden := "warning: in 2 calls values were redacted when recorded"
	c.Run(t, "policy", "diff", "old.yaml", "new.yaml", "--recorded").Want(t, cli.ExitError, []string{"risk: high → none", "pawl-1 mail\n"}, []string{hidden})
	for _, kind := range []string{"call.requested", "call.blocked"} {
		asked := false
		for _, r := range api.Requests("GET") {
			asked = asked || strings.Contains(r, "kind="+kind) && strings.Contains(r, "since=20")
		}
		if !asked {
			t.Errorf("recent entries of %s were not asked for: %q", kind, api.Requests("GET"))
		}
	}
	c.Run(t, "policy", "diff", "old.yaml", "new.yaml", "--recorded", "--since", "24h", "--calls", "calls.ndjson", "-o", "json").Want(t, cli.ExitError, []string{`"calls":3,"redacted":2,`}, []string{hidden})
	api.On("GET /api/audit", clitest.Reply(200, `{"items":[],"total":0,"next_cursor":""}`))
	c.Run(t, "policy", "diff", "old.yaml", "old.yaml", "--recorded").Want(t, cli.ExitError, nil, []string{"nothing was compared"})
	api.On("GET /api/audit", clitest.Reply(403, `{"code":"not_permitted","detail":"No."}`))
	c.Run(t, "policy", "diff", "old.yaml", "old.yaml", "--recorded", "--calls", "calls.ndjson").Want(t, cli.ExitError, nil, []string{"No."})
}

func TestPolicySchema(t *testing.T) {
	for line, want := range map[string]string{"policy schema": `"title": "Pawl policy"`, "policy schema policy": `"title": "Pawl policy"`, "policy schema suite": `"title": "Pawl policy suite"`} {
		r := clitest.CommandLine{}.Run(t, strings.Fields(line)...)
		r.Want(t, cli.ExitDone, []string{want}, nil)
		decodeJSON(t, r)
	}
	clitest.CommandLine{}.Run(t, "policy", "schema", "tools").Want(t, cli.ExitUsage, nil, []string{`there is no schema of "tools": use policy or suite`})
	clitest.CommandLine{}.Run(t, "policy", "schema", "policy", "suite").Want(t, cli.ExitUsage, nil, []string{"takes one word"})
}

func TestFullDiskIsTold(t *testing.T) {
	inFolder(t, map[string]string{"team.yaml": teamPolicy, "a_test.yaml": teamSuite})
	for _, line := range []string{"policy check team.yaml", "policy explain --policy team.yaml --call {\"tool\":\"a\"}", "policy test", "policy diff team.yaml team.yaml --calls a_test.yaml", "policy schema"} {
		var errs strings.Builder
		code := clitest.Execute(t.Context(), cli.Env{
			Stdin: strings.NewReader(""), Stdout: brokenWriter{}, Stderr: &errs, Getenv: func(string) string { return "" }, Environ: func() []string { return nil },
			IsTerminal: func(any) bool { return false }, Now: policytest.Noon.Local,
		}, strings.Fields(line)...)
		if code != cli.ExitError || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s: exit code %d, %s", line, code, errs.String())
		}
	}
}

// brokenWriter fails like a full disk.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }
