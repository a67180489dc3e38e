package policies_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

// A renamed file is compared with what it was, not shown as removed and added.
func TestRenamedFilesAreCompared(t *testing.T) {
	const rules = "rules:\n  - {tool: a}\n  - {tool: b}\n  - {tool: c}\n"
	for name, c := range map[string]struct {
		name, text, want string
	}{
		"text stays": {"base.yaml", rules, "org.yaml is renamed to base.yaml, and its text stays\n"},
		"text changes": {"base.yaml", rules + "  - {tool: d}\n", `--- org.yaml (active)
+++ base.yaml (new)
@@ -2,3 +2,4 @@
   - {tool: a}
   - {tool: b}
   - {tool: c}
+  - {tool: d}
`},
		"lines move": {"base.yaml", "rules:\n  - {tool: c}\n  - {tool: a}\n  - {tool: b}\n", `--- org.yaml (active)
+++ base.yaml (new)
@@ -1,4 +1,4 @@
 rules:
+  - {tool: c}
   - {tool: a}
   - {tool: b}
-  - {tool: c}
`},
		"hardly anything stays": {"base.yaml", "rules:\n  - {tool: x}\n", `--- base.yaml (not there)
+++ base.yaml (new)
@@ -0,0 +1,2 @@
+rules:
+  - {tool: x}
--- org.yaml (active)
+++ org.yaml (gone)
@@ -1,4 +0,0 @@
-rules:
-  - {tool: a}
-  - {tool: b}
-  - {tool: c}
`},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, t.TempDir(), c.name, c.text)
			_, doc := activePolicy(t, 3, "org.yaml", rules)
			f := clitest.NewAPI(t)
			f.On("GET /api/policy", clitest.Reply(200, doc))
			f.On("PUT /api/policy", clitest.Reply(200,
				`{"dry_run":true,"changed":true,"digest":"d","active":{"version":3},"warnings":[]}`))
			f.On("GET /api/audit", clitest.Reply(200, mailRecorded))
			r := clitest.CommandLine{API: f.URL}.Run(t, "policy", "apply", file, "--dry-run")
			got, _, _ := strings.Cut(r.Out, "\nOver the calls")
			if got != c.want {
				t.Errorf("it shows\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// PAWL_DRY_RUN is for setup. Applying although it is set would surprise whoever set it.
func TestApplyRefusesTheDryRunOfSetup(t *testing.T) {
	file := writeFile(t, t.TempDir(), "p.yaml", "rules: []\n")
	for _, c := range []struct {
		value   string
		args    []string
		refused bool
	}{
		{"true", []string{"--direct"}, true},
		{"1", []string{"--direct"}, true},
		{"yes", nil, true},
		{"true", []string{"--direct", "--dry-run=false"}, false},
		{"true", []string{"--dry-run"}, false},
		{"false", []string{"--direct"}, false},
		{"", []string{"--direct"}, false},
	} {
		line := clitest.CommandLine{API: "http://127.0.0.1:1", Env: map[string]string{"PAWL_DRY_RUN": c.value, "PAWL_AS": "ana"}}
		r := line.Run(t, append([]string{"policy", "apply", file}, c.args...)...)
		if refused := strings.Contains(r.Err, "PAWL_DRY_RUN is set"); refused != c.refused || refused && r.Code != cli.ExitUsage {
			t.Errorf("PAWL_DRY_RUN=%q %q: exit %d, %s", c.value, c.args, r.Code, r.Err)
		}
	}
}

func TestPolicyDryRunSaysWhatBecomesLaxer(t *testing.T) {
	dir := t.TempDir()
	lax := writeFile(t, dir, "lax.yaml", "layer: org\nrules: [{tool: mail, auto_approve: true}]\n")
	strict := writeFile(t, dir, "strict.yaml", "layer: org\nrules: [{tool: mail, deny: true}]\n")
	same := writeFile(t, dir, "same.yaml", "layer: org\nrules: [{tool: mail}] # the same\n")
	_, doc := activePolicy(t, 3, "org.yaml", "rules: [{tool: mail}]\n")
	f := clitest.NewAPI(t)
	f.On("GET /api/policy", clitest.Reply(200, doc))
	f.On("PUT /api/policy", clitest.Reply(200, `{"dry_run":true,"changed":true,"digest":"d","active":{"version":3},"warnings":[]}`))
	f.On("GET /api/audit", clitest.Reply(200, mailRecorded))
	c := clitest.CommandLine{API: f.URL}

	c.Run(t, "policy", "apply", lax, "--dry-run").Want(t, cli.ExitError, []string{
		"+rules: [{tool: mail, auto_approve: true}]\n", "\nOver the calls recorded in the last 30 days:\nLAXER !! 2 calls of 1 tool\n       ! verdict: require_approval → allow\n", "2 LAXER, 0 stricter\n",
	}, []string{"in 2 calls values were redacted when recorded", "nothing was applied"})
	c.Run(t, "policy", "apply", strict, "--dry-run").Want(t, cli.ExitDone, []string{"2 calls: 2 stricter, none laxer\n"}, nil)
	c.Run(t, "policy", "apply", same, "--dry-run").Want(t, cli.ExitDone, []string{"no difference over 2 calls\n"}, nil)
	r := c.Run(t, "policy", "apply", lax, "--dry-run", "-o", "json")
	r.Want(t, cli.ExitError, []string{`"changed":true`, `"warnings":[]`}, nil)
	if effect := decodeJSON(t, r)["effect"].(map[string]any); effect["laxer"] != 2.0 || effect["redacted"] != 2.0 || effect["stricter"] != 0.0 || effect["cut"] != nil {
		t.Errorf("%v", effect)
	}
	c.Terminal = true
	c.Run(t, "policy", "apply", lax, "--dry-run").Want(t, cli.ExitError, []string{"\x1b[31mLAXER !!\x1b[0m"}, nil)
	c.Terminal = false

	// Nothing compared is no all-clear: trying it does not pass, applying it warns.
	f.On("GET /api/audit", clitest.Reply(200, `{"items":[],"total":0,"next_cursor":""}`))
	nothing := "warning: nothing was compared: no call was recorded in the last 30 days"
	c.Run(t, "policy", "apply", same, "--dry-run").Want(t, cli.ExitError, nil, []string{nothing})
	c.Run(t, "policy", "apply", same, "--dry-run", "-o", "json").Want(t, cli.ExitError, []string{`"calls":0,`}, nil)
	f.On("PUT /api/policy", clitest.Reply(200, `{"changed":true,"version":4,"digest":"d"}`))
	c.Env = map[string]string{"PAWL_AS": "ana"}
	c.Run(t, "policy", "apply", same).Want(t, cli.ExitDone, []string{"Applied: version 4"}, []string{nothing})
}
