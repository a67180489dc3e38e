package hooks_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
)

// home is an empty home folder, with a Claude Code of this version beside it.
func home(t *testing.T, version string) (dir, claude string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("LOUD: Windows runs no shell scripts, so there is no Claude Code to ask for its version")
	}
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, ".config"))
	t.Chdir(dir)
	claude = filepath.Join(dir, "claude")
	if err := os.WriteFile(claude, []byte("#!/bin/sh\necho '"+version+" (Claude Code)'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, claude
}

const none = `{"subject":"local","kind":"person","roles":["agent","reviewer","auditor","admin"],"method":"none"}`

func api(t *testing.T, whoami string) *clitest.API {
	t.Helper()
	a := clitest.NewAPI(t)
	a.On("GET /api/version", clitest.Reply(200, `{"version":"devel","features":["caller"]}`))
	a.On("GET /api/whoami", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer pawl_tok1_secret" {
			clitest.Reply(200, `{"subject":"claude-code:ana","kind":"agent","owner":"ana","roles":["agent"],`+
				`"agents":["claude-code"],"method":"token","token_id":"tok1","expires":"2026-05-01T00:00:00Z"}`)(w, r)
			return
		}
		clitest.Reply(200, whoami)(w, r)
	})
	a.On("GET /api/policy", clitest.Reply(200, `{"version":3,"digest":"d","channel":"api","layers":[{"name":"org.yaml","text":"rules: []"}]}`))
	a.On("PUT /api/policy", clitest.Reply(200, `{"changed":true,"version":4,"digest":"e","warnings":[]}`))
	return a
}

func installed(t *testing.T, path string) bool {
	t.Helper()
	doc, err := os.ReadFile(path)
	return err == nil && hook.Installed(doc)
}

func TestInstall(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	a := api(t, none)
	var change rest.PolicyChange
	refused := 0
	a.On("PUT /api/policy", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			t.Error(err)
		}
		if refused++; refused == 1 { // somebody else was faster
			clitest.Reply(409, `{"code":"policy_changed","detail":"another one is active"}`)(w, r)
			return
		}
		clitest.Reply(200, `{"changed":true,"version":4,"digest":"e","warnings":[]}`)(w, r)
	})
	settings := filepath.Join(dir, ".claude", "settings.json")
	line := clitest.CommandLine{API: a.URL}
	r := line.Run(t, "hook", "claude-code", "install", "--claude", claude, "--dry-run")
	if r.Want(t, cli.ExitDone, []string{"+++", "onFailure"}, nil); installed(t, settings) {
		t.Fatal("a dry run installs it")
	}
	line.Run(t, "hook", "claude-code", "install", "--claude", claude).Want(t, cli.ExitDone, []string{"was added"}, nil)
	if !installed(t, settings) || len(change.Layers) != 2 || change.Layers[0].Name != "org.yaml" || change.Expect == nil || *change.Expect != 3 {
		t.Errorf("installed %v, layers %+v", installed(t, settings), change.Layers)
	}
	line.Run(t, "hook", "claude-code", "install", "--claude", claude).Want(t, cli.ExitDone, []string{"as it should be"}, nil)
	line.Run(t, "hook", "claude-code", "uninstall").Want(t, cli.ExitDone, []string{"---"}, nil)
	if _, err := os.Stat(settings); err == nil {
		t.Error("the settings are still there, which were not there before")
	}
	line.Run(t, "hook", "claude-code", "uninstall").Want(t, cli.ExitDone, []string{"as it should be"}, nil)
}

func TestInstallRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		version, whoami string
		args            []string
		prepare         func(dir string, a *clitest.API)
		words           string
	}{
		"an old Claude Code":  {"2.1.294", none, nil, nil, "2.1.295"},
		"no Claude Code":      {"2.1.332", none, []string{"--claude", "/nowhere/claude"}, nil, "--claude"},
		"no administrator":    {"2.1.332", reviewer, nil, nil, "pawl token new claude-code"},
		"pawl not in PATH":    {"2.1.332", none, []string{"--project"}, nil, "PATH"},
		"a token that is not": {"2.1.332", admin, []string{"--agent-token-file", "none"}, nil, "none"},
		"an old Pawl": {"2.1.332", none, nil, func(_ string, a *clitest.API) {
			a.On("GET /api/version", clitest.Reply(200, `{"version":"devel","features":[]}`))
		}, "upgrade it"},
		"settings with a mistake": {"2.1.332", none, nil, func(dir string, _ *clitest.API) {
			_ = os.Mkdir(filepath.Join(dir, ".claude"), 0o700)
			_ = os.WriteFile(filepath.Join(dir, ".claude", "settings.json"), []byte("{"), 0o600)
		}, "correct them first"},
		"no time": {"2.1.332", none, []string{"--wait", "0s"}, nil, "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, tt.version)
			a := api(t, tt.whoami)
			if tt.prepare != nil {
				tt.prepare(dir, a)
			}
			args := append([]string{"hook", "claude-code", "install", "--claude", claude}, tt.args...)
			r := clitest.CommandLine{API: a.URL}.Run(t, args...)
			if r.Code == cli.ExitDone || !strings.Contains(r.Err, tt.words) {
				t.Errorf("%d %s", r.Code, r.Err)
			}
			if installed(t, filepath.Join(dir, ".claude", "settings.json")) {
				t.Error("it was installed")
			}
		})
	}
}

// Where Pawl knows its callers, the agent gets a token of its own, once.
func TestInstallMakesAToken(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	a := api(t, `{"subject":"ana","kind":"person","roles":["admin"],"method":"token"}`)
	var spec rest.TokenSpec
	made := 0
	a.On("POST /api/tokens", func(w http.ResponseWriter, r *http.Request) {
		made++
		if err := json.NewDecoder(r.Body).Decode(&spec); err != nil {
			t.Error(err)
		}
		clitest.Reply(201, `{"token":"pawl_tok1_secret","id":"tok1","subject":"claude-code:ana","kind":"agent","owner":"ana","roles":["agent"],"created_at":"2026-01-02T03:04:05Z","created_by":"ana"}`)(w, r)
	})
	for range 2 {
		clitest.CommandLine{API: a.URL}.Run(t, "hook", "claude-code", "install", "--claude", claude).Want(t, cli.ExitDone, nil, nil)
	}
	file := tokenFile(t, dir)
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "pawl_tok1_secret\n" || made != 1 {
		t.Errorf("%q, %v after %d tokens", text, err, made)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if spec.Kind != rest.KindAgent || spec.Owner != "ana" || len(spec.Roles) != 1 || spec.Roles[0] != rest.RoleAgent || spec.Agents[0] != "claude-code" {
		t.Errorf("%+v", spec)
	}
	settings, err := os.ReadFile(filepath.Join(dir, ".claude", "settings.json"))
	if err != nil || !strings.Contains(string(settings), "--token-file "+file+" --api "+a.URL+" ") || strings.Contains(string(settings), "secret") {
		t.Errorf("%v\n%s", err, settings)
	}
}

// Whatever is wrong with the command itself blocks, and says what to do: exit code 2 is Claude Code's for that.
func TestTheHookBlocks(t *testing.T) {
	home(t, "2.1.332")
	for name, args := range map[string][]string{
		"an unknown flag": {"--nonsense"}, "an argument": {"now"}, "a wait that is none": {"--wait", "soon"},
		"an address that is none": {"--api", "ftp://x"}, "a token that is not there": {"--token-file", "/nowhere"},
		"no event": nil,
	} {
		r := clitest.CommandLine{}.Run(t, append([]string{"hook", "claude-code"}, args...)...)
		if r.Code != 2 || r.Out != "" {
			t.Errorf("%s: %d %q", name, r.Code, r.Out)
		}
		noToken := args != nil && args[0] == "--token-file"
		if !strings.Contains(r.Err, "hook claude-code uninstall") || strings.Contains(r.Err, "start Pawl") ||
			strings.Contains(r.Err, "hook claude-code install") != noToken {
			t.Errorf("%s: %q", name, r.Err)
		}
	}
}
