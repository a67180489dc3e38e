package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/client"
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

func policyFileNamed(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// activePolicy is what the API answers for an active policy of one file.
func activePolicy(t *testing.T, version int, name, text string) (digest, doc string) {
	t.Helper()
	set, err := policy.Inspect(policy.File{Name: name, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	layer, err := json.Marshal(client.PolicyLayer{Name: name, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return set.Digest(), fmt.Sprintf(`{"version":%d,"digest":%q,"by":"ana","layers":[%s]}`, version, set.Digest(), layer)
}

func TestExplainAndDiffByTheStoresPolicies(t *testing.T) {
	inFolder(t, map[string]string{"new.yaml": "rules: [{tool: mail, auto_approve: true}]\n", "active/other.yaml": "rules: [{tool: mail, deny: true}]\n"})
	digest, doc := activePolicy(t, 3, "org.yaml", "rules:\n  - {tool: mail, timeout: 5m}\n")
	f := newFakeAPI(t)
	f.on("GET /api/policy", reply(200, doc))
	f.on("GET /api/policy/"+digest[:12], reply(200, doc))
	c := cmdline{api: f.URL}
	const call = `{"tool":"mail"}`

	c.run(t, "policy", "explain", "--call", call).want(t, exitDone,
		[]string{"mail  require_approval\n", "Rule        org org.yaml:2 tool mail\n", "Policy      " + digest}, []string{"the active policy: version 3, applied", "digest " + digest})
	c.run(t, "policy", "explain", "--policy", "@"+digest[:12]+"…", "--call", call).want(t, exitDone, []string{"Timeout     5m, "}, []string{"the policy with digest " + digest})
	r := c.run(t, "policy", "explain", "--call", call, "-o", "json")
	if decodeJSON(t, r); !strings.HasPrefix(r.out, `{"verdict":"require_approval",`) {
		t.Errorf("%s", r.out)
	}
	c.run(t, "policy", "diff", "active", "new.yaml").want(t, exitError, []string{"! verdict: require_approval → allow\n"}, nil)
	c.run(t, "policy", "diff", "new.yaml", "@"+digest[:12]).want(t, exitDone, []string{"stricter"}, nil)
	c.run(t, "policy", "diff", "active", "./active").want(t, exitDone, []string{"verdict: require_approval → deny\n"}, nil)
	c.run(t, "policy", "diff", "@none", "active").want(t, exitError, nil, []string{"no such call"})

	f.on("GET /api/policy", reply(200, strings.Replace(doc, "5m", "9m", 1)))
	c.run(t, "policy", "explain", "--call", call).want(t, exitError, nil, []string{"has another digest here"})
	f.on("GET /api/policy", reply(200, strings.Replace(doc, "timeout", "later", 1)))
	c.run(t, "policy", "explain", "--call", call).want(t, exitError, nil, []string{"org.yaml:2:18: unknown field"})
	cmdline{api: "http://127.0.0.1:1"}.run(t, "policy", "explain", "--call", call).want(t, exitError, nil, []string{"127.0.0.1:1"})
}

func TestPolicyShowAndHistory(t *testing.T) {
	f := newFakeAPI(t)
	f.on("GET /api/policy", reply(200, activeThree))
	f.on("GET /api/policy/3f2a", reply(200, `{"digest":"`+digest3+`","layers":[{"name":"org.yaml","text":"rules: [] # \u202e\r\n"}]}`))
	f.on("GET /api/policy/history", reply(200, `{"items":[{`+versionThree+`}],"total":3,"next_cursor":"x"}`))
	c := cmdline{api: f.URL}

	c.run(t, "policy", "show").want(t, exitDone,
		[]string{"# ---- org.yaml ----\nrules:\n  - {tool: a}\n# ---- old.yaml ----\nlayer: old\n"},
		[]string{"version 3, applied 2026-03-01T09:00:00Z by ana\\u{001B}[2J (cli, unauthenticated)\ndigest " + digest3 + "\nnote: why\\u{000A}not"})
	r := c.run(t, "policy", "show", "3f2a…")
	r.want(t, exitDone, nil, []string{"digest " + digest3})
	if r.out != "rules: [] # \u202e\r\n" {
		t.Errorf("a file is not byte for byte what was applied: %q", r.out)
	}
	c.terminal = true
	c.run(t, "policy", "show", "3f2a").want(t, exitDone, []string{"rules: [] # \\u{202E}\n"}, nil)
	c.terminal = false
	c.run(t, "policy", "show", "-o", "json").want(t, exitDone, []string{activeThree}, nil)
	c.run(t, "policy", "show", "3f2a", "-o", "json").want(t, exitDone, []string{`"digest":"` + digest3}, nil)
	c.run(t, "policy", "show", "none").want(t, exitError, nil, []string{"no such call"})
	c.run(t, "policy", "show", "a", "b").want(t, exitUsage, nil, []string{"takes one VERSION or DIGEST"})

	c.run(t, "policy", "history", "--limit", "1").want(t, exitDone, []string{
		"VERSION  APPLIED", "3        2026-03-01T09:00:00Z  ana\\u{001B}[2J  no", "3f2a91bc1234…", "why\\u{000A}not"}, []string{"1 shown of 3"})
	c.run(t, "policy", "history", "--limit", "1", "-o", "json").want(t, exitDone, []string{`{"items":[{` + versionThree}, nil)

	f.on("GET /api/policy", reply(200, `{"version":0,"digest":"d","layers":[]}`))
	f.on("GET /api/policy/history", reply(200, `{"items":[],"total":0,"next_cursor":""}`))
	r = c.run(t, "policy", "show")
	r.want(t, exitDone, nil, []string{"no policy was applied yet"})
	if r.out != "" {
		t.Errorf("it shows %q", r.out)
	}
	c.run(t, "policy", "history").want(t, exitDone, nil, []string{"no policy was applied yet"})
}

func TestPolicyApply(t *testing.T) {
	dir := t.TempDir()
	org := policyFileNamed(t, dir, "org.yaml", "rules:\n  - {tool: a}\n  - {tool: b}\n")
	team := policyFileNamed(t, dir, "team.yaml", "layer: team\nrules: []\n")
	f := newFakeAPI(t)
	_, doc := activePolicy(t, 3, "org.yaml", "rules:\n  - {tool: a, deny: true}\n")
	f.on("GET /api/policy", reply(200, doc))
	f.on("PUT /api/policy", reply(200, `{"changed":true,"version":4,"digest":"`+digest3+`","warnings":[{"file":"team.yaml","line":1,"column":2,"message":"odd"}]}`))
	c := cmdline{api: f.URL, env: map[string]string{"PAWL_AS": "ana"}}
	sent := func() (change struct {
		Layers []struct{ Name, Text string }
		Expect int64
		Note   string
		DryRun bool `json:"dry_run"`
	}) {
		t.Helper()
		all := f.requests("PUT")
		if err := json.Unmarshal([]byte(strings.TrimPrefix(all[len(all)-1], "PUT /api/policy ")), &change); err != nil {
			t.Fatal(err)
		}
		return change
	}

	c.run(t, "policy", "apply", org, team, "--note", "refunds").want(t, exitDone, []string{
		"Applied: version 4, digest 3f2a91bc1234…, is active.", "Over calls derived from the rules:\nLAXER !! 1 call of 1 tool\n       ! verdict: deny → require_approval\n",
	}, []string{team + ":1:2: warning: odd\n"})
	if s := sent(); len(s.Layers) != 2 || s.Layers[0].Name != "org.yaml" || s.Layers[1].Text != "layer: team\nrules: []\n" || s.Expect != 3 || s.Note != "refunds" || s.DryRun {
		t.Errorf("sent %+v", s)
	}
	c.run(t, "policy", "apply", org, "--expect", "2", "-o", "json").want(t, exitDone, []string{`{"changed":true,"version":4`}, nil)
	if s := sent(); s.Expect != 2 {
		t.Errorf("sent %+v", s)
	}
	f.on("PUT /api/policy", reply(200, `{"changed":false,"version":3}`))
	c.run(t, "policy", "apply", org).want(t, exitDone, []string{"Nothing to do: these files are version 3"}, nil)
	f.on("GET /api/policy", reply(200, activeThree))
	f.on("PUT /api/policy", reply(200, `{"changed":true,"version":4,"digest":"d"}`))
	c.run(t, "policy", "apply", org).want(t, exitDone, []string{"Applied: version 4"}, []string{"it can't be told which calls are judged less strictly"})

	f.on("PUT /api/policy", reply(409, `{"code":"policy_changed","detail":"Version 4 is active."}`))
	c.run(t, "policy", "apply", org).want(t, exitError, nil, []string{"Version 4 is active.", "--dry-run"})
	f.on("PUT /api/policy", reply(422, `{"code":"invalid","detail":"2 problems.","problems":[
		{"file":"org.yaml","line":2,"column":5,"message":"what\u001b","hint":"mend"},{"file":"team.yaml","message":"large"}]}`))
	r := c.run(t, "policy", "apply", org, team)
	r.want(t, exitError, nil, []string{org + ":2:5: what\\u{001B}; mend\n" + team + ": large\n", "2 problems."})

	c.env = nil
	c.run(t, "policy", "apply", org).want(t, exitUsage, nil, []string{"--as"})
	c.run(t, "policy", "apply").want(t, exitUsage, nil, []string{"FILE is missing"})
	c.run(t, "policy", "apply", org, "--as", "ana", "--expect", "-2").want(t, exitUsage, nil, []string{"--expect"})
	c.run(t, "policy", "apply", org, "--as", "ana", "--database-url", "sqlite://x").want(t, exitUsage, nil, []string{"--direct"})
	c.run(t, "policy", "apply", filepath.Join(dir, "none"), t.TempDir(), "--as", "ana").want(t, exitError, nil, []string{"none: can't be read", "the folder holds no policy"})
	policyFileNamed(t, dir, "org_test.yaml", "a suite")
	f.on("PUT /api/policy", reply(200, `{"changed":false,"version":3}`))
	c.run(t, "policy", "apply", dir, "--as", "ana").want(t, exitDone, []string{"Nothing to do"}, nil)
	if s := sent(); len(s.Layers) != 2 || s.Layers[1].Name != "team.yaml" {
		t.Errorf("of a folder it sent %+v", s)
	}
	c.run(t, "policy", "apply", org, "--as", "ana", "--note", "a\x00").want(t, exitUsage, nil, []string{"--note"})
}

func TestPolicyDryRun(t *testing.T) {
	dir := t.TempDir()
	org := policyFileNamed(t, dir, "org.yaml", "rules:\n  - {tool: b} # \x1b\n")
	team := policyFileNamed(t, dir, "team.yaml", "layer: team")
	f := newFakeAPI(t)
	f.on("GET /api/policy", reply(200, activeThree))
	trial := `{"dry_run":true,"changed":%v,"digest":"d","active":{"version":%d},"warnings":[{"file":"org.yaml","message":"odd"}]}`
	f.on("PUT /api/policy", reply(200, fmt.Sprintf(trial, true, 3)))
	c := cmdline{api: f.URL}

	r := c.run(t, "policy", "apply", org, team, "--dry-run")
	// Nobody knows what a policy does that can't be read here: it counts as laxer.
	r.want(t, exitError, nil, []string{org + ": warning: odd\n", "it can't be told which calls are judged less strictly", "nothing was applied", "--expect 3"})
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
	if r.out != want {
		t.Errorf("it shows\n%s\nwant\n%s", r.out, want)
	}
	if puts := f.requests("PUT"); len(puts) != 1 || !strings.Contains(puts[0], `"dry_run":true`) {
		t.Errorf("sent %q", puts)
	}
	c.run(t, "policy", "apply", org, "--dry-run", "-o", "json").want(t, exitError, []string{`"dry_run":true`, `"effect":{"error":`}, nil)
	c.run(t, "policy", "apply", org, "--dry-run", "--expect", "2").want(t, exitError, nil, []string{"version 3 is active, not 2"})
	c.terminal = true
	c.run(t, "policy", "apply", org, "--dry-run").want(t, exitError, []string{"\x1b[32m+  - {tool: b} # \\u{001B}\x1b[0m\n", "\x1b[31m-  - {tool: a}\x1b[0m"}, nil)
	c.terminal = false
	f.on("PUT /api/policy", reply(200, fmt.Sprintf(trial, true, 4)))
	c.run(t, "policy", "apply", org, "--dry-run").want(t, exitError, nil, []string{"version 4 is active, not 3"})
	f.on("PUT /api/policy", reply(200, fmt.Sprintf(trial, false, 3)))
	c.run(t, "policy", "apply", org, "--dry-run").want(t, exitDone, []string{"Nothing to do"}, nil)
}

func TestPolicyDryRunSaysWhatBecomesLaxer(t *testing.T) {
	dir := t.TempDir()
	lax := policyFileNamed(t, dir, "lax.yaml", "layer: org\nrules: [{tool: mail, auto_approve: true}]\n")
	strict := policyFileNamed(t, dir, "strict.yaml", "layer: org\nrules: [{tool: mail, deny: true}]\n")
	same := policyFileNamed(t, dir, "same.yaml", "layer: org\nrules: [{tool: mail}] # the same\n")
	_, doc := activePolicy(t, 3, "org.yaml", "rules: [{tool: mail}]\n")
	f := newFakeAPI(t)
	f.on("GET /api/policy", reply(200, doc))
	f.on("PUT /api/policy", reply(200, `{"dry_run":true,"changed":true,"digest":"d","active":{"version":3},"warnings":[]}`))
	c := cmdline{api: f.URL}

	c.run(t, "policy", "apply", lax, "--dry-run").want(t, exitError, []string{
		"+rules: [{tool: mail, auto_approve: true}]\n", "\nOver calls derived from the rules:\nLAXER !! 1 call of 1 tool\n       ! verdict: require_approval → allow\n", "1 LAXER, 0 stricter\n",
	}, []string{"nothing was applied"})
	c.run(t, "policy", "apply", strict, "--dry-run").want(t, exitDone, []string{"1 stricter, none laxer\n"}, nil)
	c.run(t, "policy", "apply", same, "--dry-run").want(t, exitDone, []string{"no difference over "}, nil)
	r := c.run(t, "policy", "apply", lax, "--dry-run", "-o", "json")
	r.want(t, exitError, []string{`"changed":true`, `"warnings":[]`}, nil)
	if effect := decodeJSON(t, r)["effect"].(map[string]any); effect["laxer"] != 1.0 || effect["stricter"] != 0.0 || effect["cut"] != nil {
		t.Errorf("%v", effect)
	}
	c.terminal = true
	c.run(t, "policy", "apply", lax, "--dry-run").want(t, exitError, []string{"\x1b[31mLAXER !!\x1b[0m"}, nil)
	c.terminal = false

	// An edit that no call shows: trying it does not pass, applying it warns.
	far := policyFileNamed(t, dir, "far.yaml", "layer: org\nrules: [{tool: mail}, {tool: pay, when: 'args.n.size() % 971 == 96', auto_approve: true}]\n")
	unknown := "UNKNOWN !! it can't be told what becomes laxer by 1 edit\n       ? far.yaml:2: a rule with a condition is new, and no call shows a difference by it\n"
	c.run(t, "policy", "apply", far, "--dry-run").want(t, exitError, []string{unknown}, nil)
	c.run(t, "policy", "apply", far, "--dry-run", "-o", "json").want(t, exitError, []string{`"unknown":[{"place":"far.yaml:2","change":"a rule with a condition is new"}]`}, nil)
	f.on("PUT /api/policy", reply(200, `{"changed":true,"version":4,"digest":"d"}`))
	c.env = map[string]string{"PAWL_AS": "ana"}
	c.run(t, "policy", "apply", far).want(t, exitDone, []string{"Applied: version 4", unknown}, nil)
}

func TestPolicyDirect(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	good := policyFileNamed(t, dir, "good.yaml", "rules: []\n")
	other := policyFileNamed(t, dir, "other.yaml", "rules: [{tool: a, auto_approve: true}]\n")
	bad := policyFileNamed(t, dir, "bad.yaml", "rulez: []\n")
	direct := func(args ...string) result {
		t.Helper()
		c := cmdline{api: "http://127.0.0.1:1", env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path, "PAWL_AS": "ana"}}
		return c.run(t, append([]string{"policy", "apply", "--direct"}, args...)...)
	}
	direct(good).want(t, exitError, nil, []string{"there is no store here"})
	if _, err := os.Stat(path); err == nil {
		t.Error("a store was made")
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	direct(good).want(t, exitError, nil, []string{"another Pawl process owns it"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	direct(good, "--dry-run").want(t, exitDone, []string{"+rules: []"}, []string{"--expect 0"})
	direct(good, "--note", "first").want(t, exitDone, []string{"Applied: version 1"}, nil)
	direct(good).want(t, exitDone, []string{"Nothing to do"}, nil)
	direct(bad).want(t, exitError, nil, []string{bad + ":1:1: ", "was not applied, problems: 2"})
	direct(bad, "--dry-run").want(t, exitError, nil, []string{bad + ":1:1: "})
	direct(other, "--expect", "0").want(t, exitError, nil, []string{"version 1 is active, not 0"})
	direct(other, "-o", "json").want(t, exitDone, []string{`"changed":true`, `"version":2`}, nil)
	cmdline{}.run(t, "policy", "apply", good, "--direct", "--database-url", "sqlite://"+path).want(t, exitUsage, nil, []string{"--as"})
	cmdline{}.run(t, "policy", "apply", good, "--direct", "--as", "ana").want(t, exitUsage, nil, []string{"--database-url"})

	s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	page, err := s.PolicyVersions(t.Context(), store.Paging{})
	if err != nil || page.Total != 2 || page.Items[1].By != "ana" || page.Items[1].Channel != "direct" || page.Items[1].Note != "first" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestDoctorLooksAtTheActivePolicy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	file := policyFileNamed(t, dir, "policy.yaml", "rules: []\n")
	doctor := func(want string, args ...string) {
		t.Helper()
		c := cmdline{env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}
		t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
		r := c.run(t, append([]string{"doctor", "--timeout", "300ms"}, args...)...)
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is missing in\n%s%s", want, r.out, r.err)
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
	doctor("; the files given by --policy say something else, and were never applied\n               → apply them", "--policy", file)
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
	doctor("; the files given by --policy are one from before, and left out of account\n", "--policy", file)
	_, _, err = s.ApplyPolicy(t.Context(), store.Applying{
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
	f := newFakeAPI(t)
	f.on("GET /api/policy/history", reply(200, `{"items":[{"version":4,"digest":"`+digest3+`","by":"bo"},{`+versionThree+`},{"version":1,"digest":"`+other+`","by":"ana"}]}`))
	f.on("GET /api/policy/"+digest3, reply(200, `{"digest":"`+digest3+`","layers":[{"name":"p.yaml","text":"rules: []"}]}`))
	f.on("GET /api/policy/3f2a", reply(200, `{"digest":"`+digest3+`","layers":[{"name":"p.yaml","text":"rules: []"}]}`))
	c := cmdline{api: f.URL}
	r := c.run(t, "policy", "show", "3")
	r.want(t, exitDone, []string{"rules: []\n"}, []string{"version 3, applied", "digest " + digest3})
	if strings.Contains(r.err, "version 4") {
		t.Errorf("%s", r.err)
	}
	c.run(t, "policy", "show", "3f2a").want(t, exitDone, []string{"rules: []\n"}, []string{"version 4, applied", "by bo", "version 3, applied"})
	c.run(t, "policy", "show", "3", "-o", "json").want(t, exitDone, []string{digest3}, nil)
	c.run(t, "policy", "show", "7").want(t, exitError, nil, []string{"no version 7 was applied"})
}
