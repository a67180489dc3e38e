package hooks_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
)

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// uninstall removes the folder that install has made, if nothing else is in it, and no other.
func TestTheFolderThatInstallMade(t *testing.T) {
	for name, tt := range map[string]struct {
		flags         []string
		before, after func(folder string) // install
		stays         bool
	}{
		"made by install":            {before: func(string) {}, after: func(string) {}},
		"made by install, a project": {flags: []string{"--project"}, before: func(string) {}, after: func(string) {}},
		"empty before": {flags: []string{"--project"}, stays: true, after: func(string) {},
			before: func(folder string) { _ = os.Mkdir(folder, 0o700) }},
		"settings before": {flags: []string{"--project"}, stays: true, after: func(string) {},
			before: func(folder string) { write(t, filepath.Join(folder, "settings.json"), "{}", 0o600) }},
		"another file since": {flags: []string{"--project"}, stays: true, before: func(string) {},
			after: func(folder string) { write(t, filepath.Join(folder, "settings.local.json"), "{}", 0o600) }},
		"another setting since": {flags: []string{"--project"}, stays: true, before: func(string) {},
			after: func(folder string) {
				file := filepath.Join(folder, "settings.json")
				doc, _ := os.ReadFile(file)
				write(t, file, strings.Replace(string(doc), "{", "{\n  \"model\": \"x\",", 1), 0o600)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			folder := filepath.Join(dir, ".claude")
			tt.before(folder)
			line := clitest.CommandLine{API: api(t, none).URL, LookPath: inPath}
			hook := []string{"hook", "claude-code"}
			for range 2 {
				line.Run(t, append(append(hook, "install", "--claude", claude), tt.flags...)...).Want(t, cli.ExitDone, nil, nil)
			}
			tt.after(folder)
			for range 2 {
				line.Run(t, append(append(hook, "uninstall"), tt.flags...)...).Want(t, cli.ExitDone, nil, nil)
			}
			if _, err := os.Stat(folder); os.IsNotExist(err) == tt.stays {
				t.Errorf("the folder: %v", err)
			}
			lists, err := filepath.Glob(filepath.Join(dir, ".config", "pawl", "*.json"))
			if err != nil || !tt.stays && len(lists) != 0 {
				t.Errorf("%v is left, %v", lists, err)
			}
		})
	}
}

// Settings that can't be written to stop everything else, too, and stay as they are.
func TestSettingsThatAreReadOnly(t *testing.T) {
	const text = "{\n  \"model\": \"x\"\n}\n"
	for name, protect := range map[string]func(t *testing.T, file string) (protected string){
		"the file":   func(_ *testing.T, file string) string { return file },
		"the folder": func(_ *testing.T, file string) string { return filepath.Dir(file) },
		"a linked file": func(t *testing.T, file string) string {
			real := filepath.Join(t.TempDir(), "own.json")
			if err := os.Rename(file, real); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(real, file); err != nil {
				t.Fatal(err)
			}
			return real
		},
		"the folder of a linked file": func(t *testing.T, file string) string {
			real := filepath.Join(t.TempDir(), "dotfiles", "own.json")
			write(t, real, text, 0o600)
			_ = os.Remove(file)
			if err := os.Symlink(real, file); err != nil {
				t.Fatal(err)
			}
			return filepath.Dir(real)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			a := api(t, `{"subject":"ana","kind":"person","roles":["admin"],"method":"token"}`)
			a.On("POST /api/tokens", clitest.Reply(201, `{"token":"pawl_tok1_secret","id":"tok1","subject":"claude-code:ana","kind":"agent","owner":"ana","roles":["agent"],"created_at":"2026-01-02T03:04:05Z","created_by":"ana"}`))
			file := filepath.Join(dir, ".claude", "settings.json")
			write(t, file, text, 0o600)
			protected := protect(t, file)
			refuse := func(bits os.FileMode, args ...string) clitest.Result {
				t.Helper()
				info, err := os.Stat(protected)
				if err == nil {
					err = os.Chmod(protected, info.Mode().Perm()&^bits)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Chmod(protected, info.Mode().Perm()) }()
				before, _ := os.ReadFile(file)
				r := clitest.CommandLine{API: a.URL}.Run(t, append([]string{"hook", "claude-code"}, args...)...)
				after, err := os.ReadFile(file)
				if err != nil || string(after) != string(before) {
					t.Errorf("it was changed, %v:\n%s", err, after)
				}
				return r
			}
			install := []string{"install", "--claude", claude}
			want := []string{"nothing was changed", "\n  " + protected + "\n"}
			refuse(0o222, install...).Want(t, cli.ExitError, nil, want)
			if made := a.Requests("POST"); len(made) != 0 || len(a.Requests("PUT")) != 0 {
				t.Errorf("something else was changed: %v", made)
			}
			refuse(0o222, append(install, "--dry-run")...).Want(t, cli.ExitDone, []string{"+++"}, nil)
			clitest.CommandLine{API: a.URL}.Run(t, append([]string{"hook", "claude-code"}, install...)...).Want(t, cli.ExitDone, nil, nil)
			refuse(0o222, install...).Want(t, cli.ExitDone, []string{"as it should be"}, nil)
			refuse(0o222, "uninstall").Want(t, cli.ExitError, nil, want)
			left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
			if err != nil || len(left) != 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// Settings with a byte-order mark keep it, and others than UTF-8 are named.
func TestSettingsOfOtherEditors(t *testing.T) {
	for name, tt := range map[string]struct{ text, words string }{
		"a mark":             {"\uFEFF{\r\n  \"model\": \"x\"\r\n}\r\n", ""},
		"nothing but a mark": {"\uFEFF", ""},
		"UTF-16":             {"\xFF\xFE{\x00}\x00", "save them as UTF-8"},
		"two marks":          {"\uFEFF\uFEFF{}", "correct them first"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			file := filepath.Join(dir, ".claude", "settings.json")
			write(t, file, tt.text, 0o600)
			line := clitest.CommandLine{API: api(t, none).URL}
			r := line.Run(t, "hook", "claude-code", "install", "--claude", claude)
			if tt.words != "" {
				r.Want(t, cli.ExitError, nil, []string{tt.words, file})
			} else if r.Want(t, cli.ExitDone, nil, nil); !installed(t, file) {
				t.Error("it was not installed")
			}
			line.Run(t, "hook", "claude-code", "uninstall")
			if doc, err := os.ReadFile(file); string(doc) != tt.text && len(tt.text) > 3 {
				t.Errorf("%v, %q became %q", err, tt.text, doc)
			}
		})
	}
}

// Where the API knows nobody and the system has no user's name, one is asked for.
func TestInstallWithoutAName(t *testing.T) {
	_, claude := home(t, "2.1.332")
	a := api(t, none)
	a.On("PUT /api/policy", clitest.Reply(401, `{"code":"reviewer_required","detail":"Say who changes the policy: send their name in the header Pawl-Reviewer."}`))
	nobody := map[string]string{"USER": "", "USERNAME": ""}
	for _, env := range []map[string]string{nil, nobody} {
		r := clitest.CommandLine{API: a.URL, Env: env}.Run(t, "hook", "claude-code", "install", "--claude", claude)
		r.Want(t, cli.ExitError, []string{"Restart"}, []string{"--as YOUR-NAME", "coding-agent"})
		if strings.Contains(r.Err, rest.HeaderReviewer) || strings.Contains(r.Err, "administrator") {
			t.Errorf("it names what nobody can give: %s", r.Err)
		}
	}
}

// What install and uninstall say fits 80 columns with the paths of a usual machine, but for the
// settings themselves.
func TestTextsFit(t *testing.T) {
	refuse := func(status int, code, detail string) func(*clitest.API) {
		return func(a *clitest.API) {
			a.On("PUT /api/policy", clitest.Reply(status, `{"code":"`+code+`","detail":"`+detail+`"}`))
		}
	}
	files := func(a *clitest.API) {
		a.On("GET /api/policy", clitest.Reply(200, `{"version":3,"digest":"d","channel":"file","layers":[{"name":"org.yaml","text":"rules: []"}]}`))
	}
	layered := func(a *clitest.API) {
		a.On("GET /api/policy", clitest.Reply(200, `{"version":3,"digest":"d","channel":"api","layers":[{"name":"coding-agent","text":"rules: []"}]}`))
	}
	old := func(a *clitest.API) {
		a.On("GET /api/version", clitest.Reply(200, `{"version":"devel","features":[]}`))
	}
	for name, tt := range map[string]struct {
		whoami  string
		prepare func(*clitest.API)
		version string
		args    []string
		settled string // settings before
	}{
		"plain":                  {},
		"a project":              {args: []string{"--project"}},
		"a dry run with a token": {whoami: admin, args: []string{"--dry-run"}},
		"a token":                {whoami: admin},
		"no token":               {whoami: reviewer},
		"policy files":           {prepare: files},
		"policy files, dry":      {prepare: files, args: []string{"--dry-run"}},
		"a layer that is there":  {prepare: layered},
		"no right":               {prepare: refuse(403, "forbidden", "You may not change the policy.")},
		"no name":                {prepare: refuse(401, "reviewer_required", "Send their name in the header Pawl-Reviewer.")},
		"an old API":             {prepare: old},
		"an old host":            {version: "2.1.200"},
		"no version":             {version: "twelve"},
		"no host":                {args: []string{"--claude", "/Users/ana.martinez/Library/Application Support/claude"}},
		"no time":                {args: []string{"--wait", "0s"}},
		"settings with mistakes": {settled: "{"},
		"settings in UTF-16":     {settled: "\xFF\xFE{\x00}\x00"},
		"hooks of another kind":  {settled: `{"hooks":{"PreToolUse":{}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			version := tt.version
			if version == "" {
				version = "2.1.332"
			}
			dir, claude := home(t, version)
			t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "Library", "Application Support"))
			if tt.settled != "" {
				write(t, filepath.Join(dir, ".claude", "settings.json"), tt.settled, 0o600)
			}
			who := tt.whoami
			if who == "" {
				who = none
			}
			a := api(t, who)
			a.On("POST /api/tokens", clitest.Reply(201, `{"token":"pawl_tok1_secret","id":"tok1","subject":"claude-code:ana","kind":"agent","owner":"ana","roles":["agent"],"created_at":"2026-01-02T03:04:05Z","created_by":"ana"}`))
			if tt.prepare != nil {
				tt.prepare(a)
			}
			line := clitest.CommandLine{API: a.URL, LookPath: inPath}
			uninstall := []string{"hook", "claude-code", "uninstall"}
			if len(tt.args) > 0 && tt.args[0] == "--project" {
				uninstall = append(uninstall, "--project")
			}
			install := append([]string{"hook", "claude-code", "install", "--claude", claude}, tt.args...)
			for _, args := range [][]string{install, install, append(uninstall, "--dry-run"), uninstall, uninstall} {
				r := line.Run(t, args...)
				said := strings.ReplaceAll(r.Out+r.Err, dir, "/Users/ana.martinez")
				for text := range strings.Lines(said) {
					text = strings.TrimSuffix(text, "\n")
					change := strings.ContainsRune("+-", rune((text + " ")[0])) || strings.HasPrefix(text, "     ")
					if utf8.RuneCountInString(text) > 80 && !change {
						t.Errorf("%v: %d columns: %s", args[2], utf8.RuneCountInString(text), text)
					}
				}
			}
		})
	}
}

// Claude Code that is told of another folder has its settings there.
func TestSettingsElsewhere(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	file := filepath.Join(dir, "elsewhere", "settings.json")
	line := clitest.CommandLine{API: api(t, none).URL, Env: map[string]string{"CLAUDE_CONFIG_DIR": filepath.Dir(file)}}
	line.Run(t, "hook", "claude-code", "install", "--claude", claude).Want(t, cli.ExitDone, nil, nil)
	if _, err := os.Stat(filepath.Join(dir, ".claude")); err == nil || !installed(t, file) {
		t.Errorf("it is in the wrong place: %v", err)
	}
	line.Run(t, "hook", "claude-code", "uninstall").Want(t, cli.ExitDone, nil, nil)
	if _, err := os.Stat(file); err == nil {
		t.Error("it is still there")
	}
}

// A record that can't be read takes none away, and says so.
func TestAListThatIsNone(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	line := clitest.CommandLine{API: api(t, none).URL}
	line.Run(t, "hook", "claude-code", "install", "--claude", claude).Want(t, cli.ExitDone, nil, nil)
	list := filepath.Join(dir, ".config", "pawl", "claude-code.json")
	doc, err := os.ReadFile(list)
	var noted struct{ Folders []string }
	if err != nil || json.Unmarshal(doc, &noted) != nil || len(noted.Folders) != 1 {
		t.Fatalf("%s, %v", doc, err)
	}
	write(t, list, "[", 0o600)
	line.Run(t, "hook", "claude-code", "uninstall").Want(t, cli.ExitError, nil, []string{"was taken out", list})
	if _, err := os.Stat(filepath.Join(dir, ".claude")); err != nil {
		t.Error(err)
	}
	if installed(t, filepath.Join(dir, ".claude", "settings.json")) {
		t.Error("it is still there")
	}
}
