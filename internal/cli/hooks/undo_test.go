package hooks_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

const toolCall = `{"session_id":"s","cwd":"/","hook_event_name":"PreToolUse","tool_name":"Bash",` +
	`"tool_input":{"command":"ls"},"tool_use_id":"u"}`

func inPath(name string) (string, error) { return "/usr/bin/" + name, nil }

// command is the command line that the settings name for a hook before tools.
func command(t *testing.T, settings string) []string {
	t.Helper()
	doc, err := os.ReadFile(settings)
	var s struct {
		Hooks map[string][]struct{ Hooks []struct{ Command string } }
	}
	if err == nil {
		err = json.Unmarshal(doc, &s)
	}
	if err != nil || len(s.Hooks["PreToolUse"]) != 1 {
		t.Fatalf("%v\n%s", err, doc)
	}
	return strings.Fields(s.Hooks["PreToolUse"][0].Hooks[0].Command)
}

// A denial names the command that takes out the very hook that denies, and says how to start Pawl where that
// helps.
func TestDenialsNameTheirUndo(t *testing.T) {
	for name, tt := range map[string]struct {
		install []string
		env     map[string]string
		want    string
	}{
		"yours":                   {nil, map[string]string{"CLAUDE_PROJECT_DIR": "/shop"}, " hook claude-code uninstall`."},
		"a project's":             {[]string{"--project"}, map[string]string{"CLAUDE_PROJECT_DIR": "/shop"}, " hook claude-code uninstall --project` in /shop."},
		"a project's, unknown":    {[]string{"--project"}, nil, " hook claude-code uninstall --project` in the project's folder."},
		"a project's, in a hurry": {[]string{"--project", "--wait", "1m", "--headless"}, nil, "uninstall --project`"},
		"a plugin's":              {nil, map[string]string{"CLAUDE_PLUGIN_ROOT": "/plugins/pawl"}, "disable the plugin pawl"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			project := filepath.Join(dir, "shop")
			if err := os.Mkdir(project, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Chdir(project)
			line := clitest.CommandLine{API: api(t, none).URL, LookPath: inPath}
			line.Run(t, append([]string{"hook", "claude-code", "install", "--claude", claude}, tt.install...)...).
				Want(t, cli.ExitDone, nil, nil)
			settings, undo := filepath.Join(dir, ".claude", "settings.json"), []string{"hook", "claude-code", "uninstall"}
			if len(tt.install) > 0 {
				settings, undo = filepath.Join(project, ".claude", "settings.json"), append(undo, "--project")
			}
			run := command(t, settings)

			down := clitest.NewAPI(t)
			down.Close()
			bad := clitest.NewAPI(t)
			bad.On("POST /api/calls", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
			refuses := clitest.NewAPI(t)
			refuses.On("POST /api/calls", clitest.Reply(403, `{"code":"not_permitted","detail":"no role"}`))
			for url, start := range map[string]bool{down.URL: true, bad.URL: true, refuses.URL: false, "ftp://x": false} {
				hook := clitest.CommandLine{API: url, Env: tt.env, Stdin: strings.NewReader(toolCall)}
				args := append(run[1:len(run):len(run)], "--api", url, "--wait", "1s")
				r := hook.Run(t, args...)
				said := r.Out + r.Err
				if !strings.Contains(said, tt.want) || strings.Contains(said, "start Pawl (`pawl-dev`") != start {
					t.Errorf("%s: %d %s", url, r.Code, said)
				}
			}
			// So does a mistake in settings that somebody has written by hand.
			for _, more := range []string{"--nonsense", "now"} {
				hook := clitest.CommandLine{API: down.URL, Env: tt.env, Stdin: strings.NewReader(toolCall)}
				r := hook.Run(t, append(run[1:len(run):len(run)], more)...)
				if r.Code != 2 || !strings.Contains(r.Err, tt.want) || strings.Contains(r.Err, "`pawl-dev`") {
					t.Errorf("%s: %d %s%s", more, r.Code, r.Out, r.Err)
				}
			}
			if line.Run(t, undo...).Want(t, cli.ExitDone, []string{"---"}, nil); installed(t, settings) {
				t.Error("what the denial names leaves the hook where it is")
			}
		})
	}
}
