package hosts_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const plugin = "../../examples/claude-code-plugin"

// withoutLicense is what Claude Code's plugin directory says of a project that has not chosen a licence.
const withoutLicense = "LICENSE_MISSING"

// Claude Code has nothing to say about the plugin, but that it lacks a licence.
func TestPluginIsValid(t *testing.T) {
	claude, _ := realClaude(t)
	cmd := exec.CommandContext(t.Context(), claude, "plugin", "validate", "--strict", "--json", plugin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	var report struct {
		Success  bool
		Manifest struct{ Errors, Warnings []any }
		Contents []any
		Provides struct{ Hooks []struct{ Command string } }
		// Directory is what the catalog of plugins would object to.
		Directory struct {
			Findings []struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err != nil || !report.Success || len(report.Manifest.Errors)+len(report.Manifest.Warnings)+len(report.Contents) > 0 {
		t.Errorf("%v: %+v", err, report)
	}
	if len(report.Provides.Hooks) != 5 {
		t.Errorf("its hooks are %v", report.Provides.Hooks)
	}
	for _, f := range report.Directory.Findings {
		if f.Code != withoutLicense {
			t.Errorf("%s: %s", f.Code, f.Message)
		}
	}
}

// The plugin alone guards as the hook in the settings does. Where it denies, it says to disable the plugin:
// there is nothing to uninstall.
func TestPluginGuards(t *testing.T) {
	claude, programs := realClaude(t)
	t.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	dir, err := filepath.Abs(plugin)
	if err != nil {
		t.Fatal(err)
	}
	c := pawlDev(t, programs, policy)
	for name, tt := range map[string]struct {
		api   string
		ran   int
		words []string
	}{
		"allowed":         {c.URL(), 1, nil},
		"the API is down": {"http://127.0.0.1:1", 0, []string{"disable the plugin pawl", "pawl-dev"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{t: t, model: newModel(t), pawl: c, claude: claude, home: t.TempDir(), folder: t.TempDir()}
			h.api = tt.api
			h.model.does(once("echo allowed >> ran"))
			h.run("go on", "--plugin-dir", dir)
			h.want(tt.ran, tt.words...)
		})
	}
}
