package policies_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

const (
	digest3      = "3f2a91bc1234567890abcdef3f2a91bc1234567890abcdef3f2a91bc12345678"
	versionThree = `"version":3,"digest":"` + digest3 + `","at":"2026-03-01T09:00:00Z","by":"ana\u001b[2J","channel":"cli","authenticated":false,"note":"why\nnot"`
	activeThree  = `{` + versionThree + `,"layers":[{"name":"org.yaml","text":"rules:\n  - {tool: a}\n"},{"name":"old.yaml","text":"layer: old\n"}]}`
)

func TestExplainAndDiffByTheStoresPolicies(t *testing.T) {
	inFolder(t, map[string]string{
		"new.yaml": "rules: [{tool: mail, auto_approve: true}]\n", "active/other.yaml": "rules: [{tool: mail, deny: true}]\n",
		"calls.ndjson": `{"tool":"mail"}` + "\n",
	})
	digest, doc := activePolicy(t, 3, "org.yaml", "rules:\n  - {tool: mail, timeout: 5m}\n")
	f := clitest.NewAPI(t)
	f.On("GET /api/policy", clitest.Reply(200, doc))
	f.On("GET /api/policy/"+digest[:12], clitest.Reply(200, doc))
	c := clitest.CommandLine{API: f.URL}
	const call = `{"tool":"mail"}`

	c.Run(t, "policy", "explain", "--call", call).Want(t, cli.ExitDone,
		[]string{"mail  require_approval\n", "Rule        org org.yaml:2 tool mail\n", "Policy      " + digest}, []string{"the active policy: version 3, applied", "digest " + digest})
	c.Run(t, "policy", "explain", "--policy", "@"+digest[:12]+"…", "--call", call).Want(t, cli.ExitDone, []string{"Timeout     5m, "}, []string{"the policy with digest " + digest})
	r := c.Run(t, "policy", "explain", "--call", call, "-o", "json")
	if decodeJSON(t, r); !strings.HasPrefix(r.Out, `{"verdict":"require_approval",`) {
		t.Errorf("%s", r.Out)
	}
	c.Run(t, "policy", "diff", "active", "new.yaml", "--calls", "calls.ndjson").Want(t, cli.ExitError, []string{"! verdict: require_approval → allow\n"}, nil)
	c.Run(t, "policy", "diff", "new.yaml", "@"+digest[:12], "--calls", "calls.ndjson").Want(t, cli.ExitDone, []string{"stricter"}, nil)
	c.Run(t, "policy", "diff", "active", "./active", "--calls", "calls.ndjson").Want(t, cli.ExitDone, []string{"verdict: require_approval → deny\n"}, nil)
	c.Run(t, "policy", "diff", "@none", "active", "--calls", "calls.ndjson").Want(t, cli.ExitError, nil, []string{"no such call"})

	f.On("GET /api/policy", clitest.Reply(200, strings.Replace(doc, "5m", "9m", 1)))
	c.Run(t, "policy", "explain", "--call", call).Want(t, cli.ExitError, nil, []string{"has another digest here"})
	f.On("GET /api/policy", clitest.Reply(200, strings.Replace(doc, "timeout", "later", 1)))
	c.Run(t, "policy", "explain", "--call", call).Want(t, cli.ExitError, nil, []string{"org.yaml:2:18: unknown field"})
	clitest.CommandLine{API: "http://127.0.0.1:1"}.Run(t, "policy", "explain", "--call", call).Want(t, cli.ExitError, nil, []string{"127.0.0.1:1"})
}

func TestPolicyShowAndHistory(t *testing.T) {
	f := clitest.NewAPI(t)
	f.On("GET /api/policy", clitest.Reply(200, activeThree))
	f.On("GET /api/policy/3f2a", clitest.Reply(200, `{"digest":"`+digest3+`","layers":[{"name":"org.yaml","text":"rules: [] # \u202e\r\n"}]}`))
	f.On("GET /api/policy/history", clitest.Reply(200, `{"items":[{`+versionThree+`}],"total":3,"next_cursor":"x"}`))
	c := clitest.CommandLine{API: f.URL}

	c.Run(t, "policy", "show").Want(t, cli.ExitDone,
		[]string{"# ---- org.yaml ----\nrules:\n  - {tool: a}\n# ---- old.yaml ----\nlayer: old\n"},
		[]string{"version 3, applied 2026-03-01T09:00:00Z by ana⟦ESC⟧[2J (cli, unauthenticated)\ndigest " + digest3 + "\nnote: why⟦U+000A⟧not"})
	r := c.Run(t, "policy", "show", "3f2a…")
	r.Want(t, cli.ExitDone, nil, []string{"digest " + digest3})
	if r.Out != "rules: [] # \u202e\r\n" {
		t.Errorf("a file is not byte for byte what was applied: %q", r.Out)
	}
	c.Terminal = true
	c.Run(t, "policy", "show", "3f2a").Want(t, cli.ExitDone, []string{"rules: [] # \\u{202E}\n"}, nil)
	c.Terminal = false
	c.Run(t, "policy", "show", "-o", "json").Want(t, cli.ExitDone, []string{activeThree}, nil)
	c.Run(t, "policy", "show", "3f2a", "-o", "json").Want(t, cli.ExitDone, []string{`"digest":"` + digest3}, nil)
	c.Run(t, "policy", "show", "none").Want(t, cli.ExitError, nil, []string{"no such call"})
	c.Run(t, "policy", "show", "a", "b").Want(t, cli.ExitUsage, nil, []string{"takes one VERSION or DIGEST"})

	c.Run(t, "policy", "history", "--limit", "1").Want(t, cli.ExitDone, []string{
		"VERSION  APPLIED", "3        2026-03-01T09:00:00Z  ana⟦ESC⟧[2J  no", "3f2a91bc1234…", "why⟦U+000A⟧not"}, []string{"1 shown of 3"})
	c.Run(t, "policy", "history", "--limit", "1", "-o", "json").Want(t, cli.ExitDone, []string{`{"items":[{` + versionThree}, nil)

	f.On("GET /api/policy", clitest.Reply(200, `{"version":0,"digest":"d","layers":[]}`))
	f.On("GET /api/policy/history", clitest.Reply(200, `{"items":[],"total":0,"next_cursor":""}`))
	r = c.Run(t, "policy", "show")
	r.Want(t, cli.ExitDone, nil, []string{"no policy was applied yet"})
	if r.Out != "" {
		t.Errorf("it shows %q", r.Out)
	}
	c.Run(t, "policy", "history").Want(t, cli.ExitDone, nil, []string{"no policy was applied yet"})
}

func TestPolicyApply(t *testing.T) {
	dir := t.TempDir()
	org := writeFile(t, dir, "org.yaml", "rules:\n  - {tool: a}\n  - {tool: b}\n")
	team := writeFile(t, dir, "team.yaml", "layer: team\nrules: []\n")
	f := clitest.NewAPI(t)
	_, doc := activePolicy(t, 3, "org.yaml", "rules:\n  - {tool: a, deny: true}\n")
	f.On("GET /api/policy", clitest.Reply(200, doc))
	f.On("GET /api/audit", clitest.Reply(200, `{"items":[
		{"kind":"call.blocked","payload":{"call":{"id":"pawl-1","tool":"a","created_at":"2026-03-01T12:00:00Z"}}}],"total":1,"next_cursor":""}`))
	f.On("PUT /api/policy", clitest.Reply(200, `{"changed":true,"version":4,"digest":"`+digest3+`","warnings":[{"file":"team.yaml","line":1,"column":2,"message":"odd"}]}`))
	c := clitest.CommandLine{API: f.URL, Env: map[string]string{"PAWL_AS": "ana"}}
	sent := func() (change struct {
		Layers []struct{ Name, Text string }
		Expect int64
		Note   string
		DryRun bool `json:"dry_run"`
	}) {
		t.Helper()
		all := f.Requests("PUT")
		if err := json.Unmarshal([]byte(strings.TrimPrefix(all[len(all)-1], "PUT /api/policy ")), &change); err != nil {
			t.Fatal(err)
		}
		return change
	}

	c.Run(t, "policy", "apply", org, team, "--note", "refunds").Want(t, cli.ExitDone, []string{
		"Applied: version 4, digest 3f2a91bc1234…, is active.", "\nOver the calls recorded in the last 30 days:\nLAXER !! 2 calls of 1 tool\n       ! verdict: deny → require_approval\n",
	}, []string{team + ":1:2: warning: odd\n"})
	if s := sent(); len(s.Layers) != 2 || s.Layers[0].Name != "org.yaml" || s.Layers[1].Text != "layer: team\nrules: []\n" || s.Expect != 3 || s.Note != "refunds" || s.DryRun {
		t.Errorf("sent %+v", s)
	}
	c.Run(t, "policy", "apply", org, "--expect", "2", "-o", "json").Want(t, cli.ExitDone, []string{`{"changed":true,"version":4`}, nil)
	if s := sent(); s.Expect != 2 {
		t.Errorf("sent %+v", s)
	}
	f.On("PUT /api/policy", clitest.Reply(200, `{"changed":false,"version":3}`))
	c.Run(t, "policy", "apply", org).Want(t, cli.ExitDone, []string{"Nothing to do: these files are version 3"}, nil)
	f.On("GET /api/policy", clitest.Reply(200, activeThree))
	f.On("PUT /api/policy", clitest.Reply(200, `{"changed":true,"version":4,"digest":"d"}`))
	c.Run(t, "policy", "apply", org).Want(t, cli.ExitDone, []string{"Applied: version 4"}, []string{"Pawl can't say which calls are judged less strictly"})

	f.On("PUT /api/policy", clitest.Reply(409, `{"code":"policy_changed","detail":"Version 4 is active."}`))
	c.Run(t, "policy", "apply", org).Want(t, cli.ExitError, nil, []string{"Version 4 is active.", "--dry-run"})
	f.On("PUT /api/policy", clitest.Reply(422, `{"code":"invalid","detail":"2 problems.","problems":[
		{"file":"org.yaml","line":2,"column":5,"message":"what\u001b","hint":"mend"},{"file":"team.yaml","message":"large"}]}`))
	r := c.Run(t, "policy", "apply", org, team)
	r.Want(t, cli.ExitError, nil, []string{org + ":2:5: what\\u{001B}; mend\n" + team + ": large\n", "2 problems."})

	c.Env = nil
	c.Run(t, "policy", "apply", org).Want(t, cli.ExitUsage, nil, []string{"--as"})
	c.Run(t, "policy", "apply").Want(t, cli.ExitUsage, nil, []string{"FILE is missing"})
	c.Run(t, "policy", "apply", org, "--as", "ana", "--expect", "-2").Want(t, cli.ExitUsage, nil, []string{"--expect"})
	c.Run(t, "policy", "apply", org, "--as", "ana", "--database-url", "sqlite://x").Want(t, cli.ExitUsage, nil, []string{"--direct"})
	c.Run(t, "policy", "apply", filepath.Join(dir, "none"), t.TempDir(), "--as", "ana").Want(t, cli.ExitError, nil, []string{"none: can't be read", "the folder holds no policy"})
	writeFile(t, dir, "org_test.yaml", "a suite")
	f.On("PUT /api/policy", clitest.Reply(200, `{"changed":false,"version":3}`))
	c.Run(t, "policy", "apply", dir, "--as", "ana").Want(t, cli.ExitDone, []string{"Nothing to do"}, nil)
	if s := sent(); len(s.Layers) != 2 || s.Layers[1].Name != "team.yaml" {
		t.Errorf("of a folder it sent %+v", s)
	}
	c.Run(t, "policy", "apply", org, "--as", "ana", "--note", "a\x00").Want(t, cli.ExitUsage, nil, []string{"--note"})
}

func TestPolicyDryRun(t *testing.T) {
	dir := t.TempDir()
	org := writeFile(t, dir, "org.yaml", "rules:\n  - {tool: b} # \x1b\n")
	team := writeFile(t, dir, "team.yaml", "layer: team")
	f := clitest.NewAPI(t)
	f.On("GET /api/policy", clitest.Reply(200, activeThree))
	trial := `{"dry_run":true,"changed":%v,"digest":"d","active":{"version":%d},"warnings":[{"file":"org.yaml","message":"odd"}]}`
	f.On("PUT /api/policy", clitest.Reply(200, fmt.Sprintf(trial, true, 3)))
	c := clitest.CommandLine{API: f.URL}

	r := c.Run(t, "policy", "apply", org, team, "--dry-run")
	// Nobody knows what a policy does that can't be read here: it counts as laxer.
	r.Want(t, cli.ExitError, nil, []string{org + ": warning: odd\n", "Pawl can't say which calls are judged less strictly", "nothing was applied", "--expect 3"})
	want := `--- old.yaml (active)
+++ old.yaml (gone)
@@ -1 +0,0 @@
-layer: old
--- org.yaml (active)
+++ org.yaml (new)
@@ -1,2 +1,2 @@
 rules:
-  - {tool: a}
+  - {tool: b} # \u{001B}
--- team.yaml (not there)
+++ team.yaml (new)
@@ -0,0 +1 @@
+layer: team
\ No newline at end of file
`
	if r.Out != want {
		t.Errorf("it shows\n%s\nwant\n%s", r.Out, want)
	}
	if puts := f.Requests("PUT"); len(puts) != 1 || !strings.Contains(puts[0], `"dry_run":true`) {
		t.Errorf("sent %q", puts)
	}
	c.Run(t, "policy", "apply", org, "--dry-run", "-o", "json").Want(t, cli.ExitError, []string{`"dry_run":true`, `"effect":{"error":`}, nil)
	c.Run(t, "policy", "apply", org, "--dry-run", "--expect", "2").Want(t, cli.ExitError, nil, []string{"version 3 is active, not 2"})
	c.Terminal = true
	c.Run(t, "policy", "apply", org, "--dry-run").Want(t, cli.ExitError, []string{"\x1b[32m+  - {tool: b} # \\u{001B}\x1b[0m\n", "\x1b[31m-  - {tool: a}\x1b[0m"}, nil)
	c.Terminal = false
	f.On("PUT /api/policy", clitest.Reply(200, fmt.Sprintf(trial, true, 4)))
	c.Run(t, "policy", "apply", org, "--dry-run").Want(t, cli.ExitError, nil, []string{"version 4 is active, not 3"})
	f.On("PUT /api/policy", clitest.Reply(200, fmt.Sprintf(trial, false, 3)))
	c.Run(t, "policy", "apply", org, "--dry-run").Want(t, cli.ExitDone, []string{"Nothing to do"}, nil)
}

func TestPolicyDirect(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	good := writeFile(t, dir, "good.yaml", "rules: []\n")
	other := writeFile(t, dir, "other.yaml", "rules: [{tool: a, auto_approve: true}]\n")
	bad := writeFile(t, dir, "bad.yaml", "rulez: []\n")
	direct := func(args ...string) clitest.Result {
		t.Helper()
		c := clitest.CommandLine{API: "http://127.0.0.1:1", Env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path, "PAWL_AS": "ana"}}
		return c.Run(t, append([]string{"policy", "apply", "--direct"}, args...)...)
	}
	direct(good).Want(t, cli.ExitError, nil, []string{"there is no store here"})
	if _, err := os.Stat(path); err == nil {
		t.Error("a store was made")
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	direct(good).Want(t, cli.ExitError, nil, []string{"another Pawl process owns it"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	direct(good, "--dry-run").Want(t, cli.ExitError, []string{"+rules: []"}, []string{"nothing was compared", "--expect 0"})
	direct(good, "--note", "first").Want(t, cli.ExitDone, []string{"Applied: version 1"}, nil)
	direct(good).Want(t, cli.ExitDone, []string{"Nothing to do"}, nil)
	direct(bad).Want(t, cli.ExitError, nil, []string{bad + ":1:1: ", "was not applied, mistakes: 2"})
	direct(bad, "--dry-run").Want(t, cli.ExitError, nil, []string{bad + ":1:1: "})
	direct(other, "--expect", "0").Want(t, cli.ExitError, nil, []string{"version 1 is active, not 0"})
	direct(other, "-o", "json").Want(t, cli.ExitDone, []string{`"changed":true`, `"version":2`}, nil)
	clitest.CommandLine{}.Run(t, "policy", "apply", good, "--direct", "--database-url", "sqlite://"+path).Want(t, cli.ExitUsage, nil, []string{"--as"})
	clitest.CommandLine{}.Run(t, "policy", "apply", good, "--direct", "--as", "ana").Want(t, cli.ExitUsage, nil, []string{"--database-url"})

	s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.PolicyVersions(t.Context(), store.Paging{})
	if err != nil || page.Total != 2 || page.Items[1].By != "ana" || page.Items[1].Channel != "direct" || page.Items[1].Note != "first" {
		t.Errorf("%+v, %v", page, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e, err := audit.New("pawl-1", "requested", now, audit.Requested{Call: approval.View{ID: "pawl-1", Tool: "a", CreatedAt: now}})
	if err := errors.Join(err, s.Append(t.Context(), e), s.Close()); err != nil {
		t.Fatal(err)
	}
	direct(good, "--dry-run").Want(t, cli.ExitDone, []string{"verdict: allow → require_approval", "1 call: 1 stricter, none laxer\n"}, nil)
}

func TestDoctorLooksAtTheActivePolicy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	file := writeFile(t, dir, "policy.yaml", "rules: []\n")
	doctor := func(want string, args ...string) {
		t.Helper()
		c := clitest.CommandLine{Env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}
		t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
		r := c.Run(t, append([]string{"doctor", "--timeout", "300ms"}, args...)...)
		if !strings.Contains(r.Out, want) {
			t.Errorf("%q is missing in\n%s%s", want, r.Out, r.Err)
		}
	}
	doctor("skipped        active policy")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	doctor("ok             active policy       none was applied yet: everything")
	doctor("ok             active policy       none was applied yet; the first worker", "--policy", file)
	_, err = active.Apply(t.Context(), s, active.Change{Files: []policy.File{{Name: "p.yaml", Data: []byte("layer: x\nrules: []\n")}}, By: "ana", Channel: "cli"})
	if err != nil {
		t.Fatal(err)
	}
	doctor("ok             active policy       version 1, digest ")
	doctor("; the --policy files are different, and were never applied\n               → apply them", "--policy", file)
	apply := func(expect int64, name, text string) {
		t.Helper()
		_, err := active.Apply(t.Context(), s, active.Change{Files: []policy.File{{Name: name, Data: []byte(text)}}, Expect: expect, By: "ana", Channel: "cli"})
		if err != nil {
			t.Fatal(err)
		}
	}
	apply(1, "policy.yaml", "rules: []\n")
	doctor("by ana\n", "--policy", file)
	apply(2, "p.yaml", "layer: y\nrules: []\n")
	doctor("ok             active policy       version 3, digest ", "--policy", file)
	doctor("; the --policy files are an earlier policy, and are ignored\n", "--policy", file)
	_, _, err = s.ApplyPolicy(t.Context(), store.ApplyParams{
		Set:    store.PolicySet{Digest: digest3, Layers: []store.PolicyLayer{{Name: "p.yaml", Text: "later: 1\n"}}},
		Expect: 3, At: time.Now(), By: "newer", Channel: "cli",
	})
	if err != nil {
		t.Fatal(err)
	}
	doctor("failed         active policy       version 4 of the policy can't be used by this version of Pawl: p.yaml:1:1: ")
}

func TestPolicyShowByVersion(t *testing.T) {
	const other = "aa"
	f := clitest.NewAPI(t)
	f.On("GET /api/policy/history", clitest.Reply(200, `{"items":[{"version":4,"digest":"`+digest3+`","by":"bo"},{`+versionThree+`},{"version":1,"digest":"`+other+`","by":"ana"}]}`))
	f.On("GET /api/policy/"+digest3, clitest.Reply(200, `{"digest":"`+digest3+`","layers":[{"name":"p.yaml","text":"rules: []"}]}`))
	f.On("GET /api/policy/3f2a", clitest.Reply(200, `{"digest":"`+digest3+`","layers":[{"name":"p.yaml","text":"rules: []"}]}`))
	c := clitest.CommandLine{API: f.URL}
	r := c.Run(t, "policy", "show", "3")
	r.Want(t, cli.ExitDone, []string{"rules: []\n"}, []string{"version 3, applied", "digest " + digest3})
	if strings.Contains(r.Err, "version 4") {
		t.Errorf("%s", r.Err)
	}
	c.Run(t, "policy", "show", "3f2a").Want(t, cli.ExitDone, []string{"rules: []\n"}, []string{"version 4, applied", "by bo", "version 3, applied"})
	c.Run(t, "policy", "show", "3", "-o", "json").Want(t, cli.ExitDone, []string{digest3}, nil)
	c.Run(t, "policy", "show", "7").Want(t, cli.ExitError, nil, []string{"no version 7 was applied"})
}
