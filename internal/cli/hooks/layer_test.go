package hooks_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/examples/policy/ready"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
)

// policyAPI keeps a policy, as an API does.
func policyAPI(t *testing.T, whoami string) (a *clitest.API, active *rest.ActivePolicy) {
	a = api(t, whoami)
	active = &rest.ActivePolicy{
		PolicyVersion: rest.PolicyVersion{Version: 3, Digest: "d", Channel: "api"},
		Layers:        []rest.PolicyLayer{{Name: "org.yaml", Text: "rules: []"}},
	}
	a.On("GET /api/policy", func(w http.ResponseWriter, r *http.Request) {
		doc, err := json.Marshal(active)
		if err != nil {
			t.Error(err)
		}
		clitest.Reply(200, string(doc))(w, r)
	})
	a.On("PUT /api/policy", func(w http.ResponseWriter, r *http.Request) {
		var change rest.PolicyChange
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			t.Error(err)
		}
		if change.DryRun {
			clitest.Reply(200, `{"dry_run":true,"changed":true,"digest":"e","active":{"version":3,"digest":"d"},"warnings":[]}`)(w, r)
			return
		}
		if change.Expect == nil || *change.Expect != active.Version {
			clitest.Reply(409, `{"code":"policy_changed","detail":"another one is active"}`)(w, r)
			return
		}
		active.Version, active.Layers, active.Channel = active.Version+1, change.Layers, "api"
		clitest.Reply(200, `{"changed":true,"version":4,"digest":"e","warnings":[]}`)(w, r)
	})
	return a, active
}

func layers(p *rest.ActivePolicy) (names string) {
	for _, l := range p.Layers {
		names += l.Name + " "
	}
	return names
}

// Where the layer could not be added, install says so with its exit code and what to do, and the hook is
// installed all the same: it asks about more then.
func TestInstallSaysThatTheLayerIsMissing(t *testing.T) {
	refuse := func(status int, code string) func(*clitest.API, *rest.ActivePolicy) {
		return func(a *clitest.API, _ *rest.ActivePolicy) {
			a.On("PUT /api/policy", clitest.Reply(status, `{"code":"`+code+`","detail":"not now"}`))
		}
	}
	const run = "\n  pawl hook claude-code install --policy-only --api http"
	for name, tt := range map[string]struct {
		prepare func(*clitest.API, *rest.ActivePolicy)
		words   []string
	}{
		"no right":       {refuse(403, "forbidden"), []string{"not now", run}},
		"an error":       {refuse(500, "internal_error"), []string{"not now", run}},
		"read only":      {refuse(409, "read_only"), []string{"not now", run}},
		"always another": {refuse(409, "policy_changed"), []string{"not now", run}},
		"no policy to see": {func(a *clitest.API, _ *rest.ActivePolicy) {
			a.On("GET /api/policy", clitest.Reply(403, `{"code":"forbidden","detail":"not now"}`))
		}, []string{"not now", run}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			a, active := policyAPI(t, none)
			tt.prepare(a, active)
			r := clitest.CommandLine{API: a.URL}.Run(t, "hook", "claude-code", "install", "--claude", claude)
			r.Want(t, cli.ExitError, []string{"Restart"}, tt.words)
			if !installed(t, filepath.Join(dir, ".claude", "settings.json")) {
				t.Error("the hook is not there")
			}
			if !strings.Contains(r.Err, "EVERYTHING MAY WAIT") || len(active.Layers) != 1 {
				t.Errorf("%s\n%s", layers(active), r.Err)
			}
		})
	}
}

// Over files that a process follows the layer counts until they are applied again: that is not done until
// they have it. A worker takes its files once.
func TestInstallOverPolicyFiles(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	a, active := policyAPI(t, none)
	line := clitest.CommandLine{API: a.URL}
	install := []string{"hook", "claude-code", "install", "--claude", claude}
	file := filepath.Join(dir, ".config", "pawl", "coding-agent.yaml")
	active.Channel, active.By = "file", "pawl-dev"
	for _, words := range []string{"was added", "already"} {
		line.Run(t, install...).Want(t, cli.ExitError, []string{words, "Restart"}, []string{"WILL BE LOST", "\n  " + file + "\n"})
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != ready.CodingAgent || layers(active) != "org.yaml coding-agent.yaml " {
		t.Errorf("%v: %q, %s", err, text, layers(active))
	}
	write(t, file, "rules: [] # mine\n", 0o600)
	line.Run(t, install...).Want(t, cli.ExitError, nil, []string{"WILL BE LOST", "stays as it is"})
	if text, err := os.ReadFile(file); err != nil || string(text) != "rules: [] # mine\n" {
		t.Errorf("what somebody has edited became %q, %v", text, err)
	}
	active.Channel = "file" // the file was given to the process
	line.Run(t, install...).Want(t, cli.ExitDone, []string{"already"}, nil)
	active.Channel = "api" // and somebody has added another since
	line.Run(t, install...).Want(t, cli.ExitDone, []string{"already"}, nil)
	line.Run(t, "hook", "claude-code", "uninstall", "--yes").Want(t, cli.ExitDone,
		[]string{"for everybody who uses this Pawl", "file stays, for the process that follows it, if one does:\n  " + file}, nil)
	active.Layers = append(active.Layers, rest.PolicyLayer{Name: "coding-agent.yaml", Text: ready.CodingAgent})

	_, claude = home(t, "2.1.332")
	active.Channel, active.By, active.Layers = "file", "pawl worker", active.Layers[:1]
	install = []string{"hook", "claude-code", "install", "--claude", claude}
	line.Run(t, install...).Want(t, cli.ExitDone, []string{"was added"}, nil)
}

// An administrator adds and removes the layer alone, from any machine.
func TestPolicyOnly(t *testing.T) {
	dir, _ := home(t, "2.1.332")
	a, active := policyAPI(t, admin)
	line := clitest.CommandLine{API: a.URL}
	hook := []string{"hook", "claude-code"}
	for range 2 {
		line.Run(t, append(hook, "install", "--policy-only")...).Want(t, cli.ExitDone, []string{"layer coding-agent"}, nil)
	}
	if _, err := os.Stat(filepath.Join(dir, ".claude")); err == nil || layers(active) != "org.yaml coding-agent.yaml " {
		t.Errorf("%v, %s", err, layers(active))
	}
	for _, words := range []string{"was taken out", "has no layer"} {
		line.Run(t, append(hook, "uninstall", "--policy-only", "--yes")...).Want(t, cli.ExitDone, []string{words}, nil)
	}
	if layers(active) != "org.yaml " {
		t.Error(layers(active))
	}
	line.Run(t, append(hook, "install", "--policy-only", "--no-policy")...).Want(t, cli.ExitUsage, nil, nil)
}

// uninstall takes out what install put in, layer and token too: shown, and never without a yes.
func TestUninstallTakesBack(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare  func(t *testing.T, a *clitest.API, p *rest.ActivePolicy, project []string) // between both
		args     []string
		stdin    string
		code     int
		out, err []string
		layer    bool // is there afterwards
		token    bool
	}{
		"confirmed":    {nil, nil, "y\n", cli.ExitDone, []string{"-layer: coding-agent", "[y/N]", "was taken out", "token was revoked"}, nil, false, false},
		"with --yes":   {nil, []string{"--yes"}, "", cli.ExitDone, []string{"was taken out"}, nil, false, false},
		"a dry run":    {nil, []string{"--dry-run"}, "", cli.ExitDone, []string{"would be taken out", "would be revoked"}, nil, true, true},
		"no":           {nil, nil, "n\n", cli.ExitDone, []string{"stays: you did not say yes"}, nil, true, false},
		"nobody there": {nil, nil, "", cli.ExitError, nil, []string{"stays: nobody can be asked here", "--yes"}, true, false},
		"somebody is faster": {func(_ *testing.T, a *clitest.API, _ *rest.ActivePolicy, _ []string) {
			next := a.Replies["PUT /api/policy"]
			a.On("PUT /api/policy", func(w http.ResponseWriter, r *http.Request) {
				a.On("PUT /api/policy", next)
				clitest.Reply(409, `{"code":"policy_changed","detail":"another one is active"}`)(w, r)
			})
		}, nil, "y\n", cli.ExitDone, []string{"was taken out"}, nil, false, false},
		"changed since": {func(_ *testing.T, _ *clitest.API, p *rest.ActivePolicy, _ []string) { p.Layers[1].Text += "\n" },
			[]string{"--yes"}, "", cli.ExitDone, []string{"stays: somebody has changed it", "pawl policy apply"}, nil, true, false},
		"the only one": {func(_ *testing.T, _ *clitest.API, p *rest.ActivePolicy, _ []string) { p.Layers = p.Layers[1:] },
			[]string{"--yes"}, "", cli.ExitDone, []string{"stays: it is the only one"}, nil, true, false},
		"from followed files": {func(_ *testing.T, _ *clitest.API, p *rest.ActivePolicy, _ []string) { p.Channel = "file" },
			[]string{"--yes"}, "", cli.ExitDone, []string{"stays: it comes from files"}, nil, true, false},
		"gone already": {func(_ *testing.T, _ *clitest.API, p *rest.ActivePolicy, _ []string) { p.Layers = p.Layers[:1] },
			nil, "", cli.ExitDone, []string{"has no layer"}, nil, false, false},
		"no right any more": {func(_ *testing.T, a *clitest.API, _ *rest.ActivePolicy, _ []string) {
			a.On("PUT /api/policy", clitest.Reply(403, `{"code":"forbidden","detail":"not yours"}`))
			a.On("POST /api/tokens/tok1/revoke", clitest.Reply(403, `{"code":"forbidden","detail":"not yours"}`))
		}, []string{"--yes"}, "", cli.ExitError, nil, []string{"uninstall --policy-only --api http", "pawl token revoke tok1 --api http"}, true, true},
		"Pawl is down": {func(_ *testing.T, a *clitest.API, _ *rest.ActivePolicy, _ []string) { a.Close() },
			[]string{"--yes"}, "", cli.ExitError, []string{"---"}, []string{"stays, until this is run again"}, true, true},
		"other settings": {func(t *testing.T, a *clitest.API, _ *rest.ActivePolicy, project []string) {
			clitest.CommandLine{API: a.URL, LookPath: inPath}.Run(t, project...).Want(t, cli.ExitDone, nil, nil)
		}, []string{"--yes"}, "", cli.ExitDone, []string{"stay, as these settings need them:\n  /"}, nil, true, true},
		"other settings, with a mistake": {func(t *testing.T, a *clitest.API, _ *rest.ActivePolicy, project []string) {
			clitest.CommandLine{API: a.URL, LookPath: inPath}.Run(t, project...).Want(t, cli.ExitDone, nil, nil)
			file := filepath.Join(".claude", "settings.json")
			doc, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, append([]byte("{,"), doc[1:]...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, []string{"--yes"}, "", cli.ExitDone, []string{"stay, as these settings need them:\n  /"}, nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			project := filepath.Join(dir, "shop")
			if err := os.Mkdir(project, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Chdir(project)
			a, active := policyAPI(t, admin)
			makesTokens(a)
			a.On("POST /api/tokens/tok1/revoke", clitest.Reply(200, `{"id":"tok1"}`))
			line := clitest.CommandLine{API: a.URL}
			install := []string{"hook", "claude-code", "install", "--claude", claude}
			line.Run(t, install...).Want(t, cli.ExitDone, []string{"was added", "token is in"}, nil)
			token := tokenFile(t, dir)
			if tt.prepare != nil {
				tt.prepare(t, a, active, append(install, "--project"))
			}
			uninstall := clitest.CommandLine{API: a.URL, Stdin: strings.NewReader(tt.stdin)}
			uninstall.Run(t, append([]string{"hook", "claude-code", "uninstall"}, tt.args...)...).Want(t, tt.code, tt.out, tt.err)
			dry := len(tt.args) > 0 && tt.args[0] == "--dry-run"
			if installed(t, filepath.Join(dir, ".claude", "settings.json")) != dry {
				t.Error("the settings are wrong")
			}
			if there := len(active.Layers) > 0 && active.Layers[len(active.Layers)-1].Name == "coding-agent.yaml"; there != tt.layer {
				t.Errorf("the layers are %s", layers(active))
			}
			if _, err := os.Stat(token); os.IsNotExist(err) == tt.token {
				t.Errorf("the token's file: %v", err)
			}
			// What was not undone is known, also to whoever does not say which Pawl it was.
			_, err := os.Stat(filepath.Join(dir, ".config", "pawl", "claude-code.json"))
			if os.IsNotExist(err) != (!tt.layer && !tt.token) {
				t.Errorf("the record: %v", err)
			}
			if name == "no" {
				again := clitest.CommandLine{Env: map[string]string{"PAWL_API": ""}}
				again.Run(t, "hook", "claude-code", "uninstall", "--yes").Want(t, cli.ExitDone, []string{"was taken out"}, nil)
			}
		})
	}
}
