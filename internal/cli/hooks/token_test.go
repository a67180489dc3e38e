package hooks_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

const (
	admin    = `{"subject":"ana","kind":"person","roles":["admin"],"method":"token"}`
	reviewer = `{"subject":"ana","kind":"person","roles":["reviewer"],"method":"token"}`
)

// tokenFile is the one file with a token.
func tokenFile(t *testing.T, home string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, ".config", "pawl", "claude-*.token"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	return files[0]
}

// makesTokens counts the tokens that an API makes, and those that it revokes.
func makesTokens(a *clitest.API) (made, revoked *int) {
	made, revoked = new(int), new(int)
	a.On("POST /api/tokens", func(w http.ResponseWriter, r *http.Request) {
		*made++
		clitest.Reply(201, `{"token":"pawl_tok1_secret","id":"tok1","subject":"claude-code:ana","kind":"agent","owner":"ana","roles":["agent"],"created_at":"2026-01-02T03:04:05Z","created_by":"ana"}`)(w, r)
	})
	a.On("POST /api/tokens/old/revoke", func(w http.ResponseWriter, r *http.Request) {
		*revoked++
		clitest.Reply(200, `{"id":"old"}`)(w, r)
	})
	return made, revoked
}

// The settings of a project name no file and no address of one machine. Each user's hook has its own token,
// for the API that it was made for, and without one says what to run.
func TestProjectsShareNoToken(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	a := api(t, admin)
	made, _ := makesTokens(a)
	var shown string
	a.On("POST /api/calls", func(w http.ResponseWriter, r *http.Request) {
		if shown = r.Header.Get("Authorization"); shown == "" {
			clitest.Reply(401, `{"code":"unauthenticated","detail":"Say who you are."}`)(w, r)
			return
		}
		clitest.Reply(422, `{"code":"invalid","detail":"not today"}`)(w, r)
	})
	line := clitest.CommandLine{API: a.URL, LookPath: inPath}
	install := []string{"hook", "claude-code", "install", "--project", "--claude", claude}
	line.Run(t, append(install, "--agent-token-file", claude)...).Want(t, cli.ExitError, nil,
		[]string{"name no file of one machine", filepath.Join(dir, ".config", "pawl")})
	line.Run(t, install...).Want(t, cli.ExitDone, []string{"token is in"}, nil)
	settings := filepath.Join(dir, ".claude", "settings.json")
	shared, err := os.ReadFile(settings)
	if err != nil || strings.Contains(string(shared), dir) || *made != 1 {
		t.Errorf("%v, %d tokens\n%s", err, *made, shared)
	}
	run := command(t, settings)[1:]
	fire := func(more ...string) clitest.Result {
		hook := clitest.CommandLine{Stdin: strings.NewReader(toolCall), Env: map[string]string{"CLAUDE_PROJECT_DIR": dir}}
		shown = ""
		return hook.Run(t, append(run[:len(run):len(run)], more...)...)
	}
	if fire().Want(t, 0, []string{"not today"}, nil); shown != "Bearer pawl_tok1_secret" {
		t.Errorf("it shows %q", shown)
	}
	// Another API, which the shared settings may name some day, does not get the token.
	other := clitest.NewAPI(t)
	other.On("POST /api/calls", a.Replies["POST /api/calls"])
	if fire("--api", other.URL).Want(t, 0, []string{"deny"}, nil); shown != "" {
		t.Errorf("another API is shown %q", shown)
	}
	// Who has the project, and no token yet.
	if err := os.Remove(tokenFile(t, dir)); err != nil {
		t.Fatal(err)
	}
	fire().Want(t, 2, nil, []string{"no such file", "hook claude-code install --api " + a.URL + " --project` in " + dir,
		"hook claude-code uninstall --project` in " + dir})
	if err := os.Remove(filepath.Join(dir, ".config", "pawl", "claude-code.json")); err != nil {
		t.Fatal(err)
	}
	fire().Want(t, 0, []string{"deny", "Say who you are.", "hook claude-code install --api " + a.URL + " --project` in " + dir,
		"hook claude-code uninstall --project` in " + dir}, nil)
	if line.Run(t, install...).Want(t, cli.ExitDone, []string{"as it should be", "token is in"}, nil); *made != 2 {
		t.Errorf("%d tokens were made", *made)
	}
}

// What a repository's settings put into the environment redirects no hook of a user's own settings.
func TestTheEnvironmentRedirectsNoHook(t *testing.T) {
	for name, whoami := range map[string]string{"sign-in": admin, "none": none} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			a, evil := api(t, whoami), clitest.NewAPI(t)
			makesTokens(a)
			asked := ""
			a.On("POST /api/calls", func(w http.ResponseWriter, r *http.Request) {
				asked = "by " + r.Header.Get("Authorization")
				clitest.Reply(422, `{"code":"invalid","detail":"not today"}`)(w, r)
			})
			install := []string{"hook", "claude-code", "install", "--claude", claude}
			clitest.CommandLine{API: a.URL}.Run(t, install...).Want(t, cli.ExitDone, nil, nil)
			run := command(t, filepath.Join(dir, ".claude", "settings.json"))[1:]
			env := map[string]string{"PAWL_API": evil.URL, "PAWL_TOKEN": "evil", "PAWL_TOKEN_FILE": "/nowhere"}
			if whoami == none {
				env = map[string]string{"PAWL_API": evil.URL}
			}
			hook := clitest.CommandLine{Env: env, Stdin: strings.NewReader(toolCall)}
			hook.Run(t, run...).Want(t, 0, []string{"not today"}, nil)
			if len(evil.Requests("POST"))+len(evil.Requests("GET")) > 0 || strings.Contains(asked, "evil") {
				t.Errorf("asked %q, and another API", asked)
			}
		})
	}
}

// A token that is there already is kept as long as Pawl takes it, and renewed when it ends soon.
func TestInstallChecksTheToken(t *testing.T) {
	who := func(more string) http.HandlerFunc {
		return clitest.Reply(200, `{"subject":"claude-code:ana","kind":"agent","owner":"ana","method":"token","token_id":"old"`+more+`}`)
	}
	const agent, soon, later = `,"roles":["agent"]`, `,"expires":"2026-03-10T00:00:00Z"`, `,"expires":"2026-04-01T00:00:00Z"`
	gone := clitest.Reply(401, `{"code":"token_expired","detail":"The token expired on 2026-02-01."}`)
	for name, tt := range map[string]struct {
		me            string
		who           http.HandlerFunc
		args          []string
		code          int
		made, revoked int
		words         string
	}{
		"good":                      {admin, who(agent + later), nil, cli.ExitDone, 0, 0, ""},
		"for ever":                  {reviewer, who(agent), nil, cli.ExitDone, 0, 0, ""},
		"good for this agent":       {admin, who(agent + `,"agents":["claude-code"]`), nil, cli.ExitDone, 0, 0, ""},
		"expired":                   {admin, gone, nil, cli.ExitDone, 1, 0, "token is in"},
		"expired, a dry run":        {admin, gone, []string{"--dry-run"}, cli.ExitDone, 0, 0, "would be written"},
		"expired, no administrator": {reviewer, gone, nil, cli.ExitError, 0, 0, "The token expired on 2026-02-01."},
		"it ends soon":              {admin, who(agent + soon), nil, cli.ExitDone, 1, 1, "token is in"},
		"somebody else's ends soon": {admin, who(agent + soon), nil, cli.ExitDone, 1, 0, "token is in"},
		"soon, no administrator":    {reviewer, who(agent + soon), nil, cli.ExitDone, 0, 0, "warning: the agent's token ends 2026-03-10"},
		"a person's":                {admin, who(`,"roles":["reviewer"]`), nil, cli.ExitError, 0, 0, "no agent's"},
		"another agent's":           {admin, who(agent + `,"agents":["billing"]`), nil, cli.ExitError, 0, 0, "not for the agent claude-code"},
		"an API that fails":         {admin, clitest.Reply(500, `{"code":"internal_error","detail":"broken"}`), nil, cli.ExitError, 0, 0, "broken"},
		"given, and expired":        {admin, gone, []string{"--agent-token-file", "given"}, cli.ExitError, 0, 0, "The token expired"},
		"given, and good":           {reviewer, who(agent), []string{"--agent-token-file", "given"}, cli.ExitDone, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			a := api(t, admin)
			made, revoked := makesTokens(a)
			line := clitest.CommandLine{API: a.URL}
			install := []string{"hook", "claude-code", "install", "--claude", claude}
			line.Run(t, install...).Want(t, cli.ExitDone, nil, nil)
			file := tokenFile(t, dir)
			write(t, file, "old\n", 0o600)
			write(t, filepath.Join(dir, "given"), "old\n", 0o600)
			*made = 0
			if record := filepath.Join(dir, ".config", "pawl", "claude-code.json"); name == "it ends soon" { // install made it
				doc, err := os.ReadFile(record)
				write(t, record, strings.Replace(string(doc), `"tok1"`, `"old"`, 1), 0o600)
				if err != nil {
					t.Error(err)
				}
			}
			a.On("GET /api/whoami", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer old" {
					tt.who(w, r)
				} else {
					clitest.Reply(200, tt.me)(w, r)
				}
			})
			r := line.Run(t, append(install, tt.args...)...)
			if r.Code != tt.code || *made != tt.made || *revoked != tt.revoked || !strings.Contains(r.Out+r.Err, tt.words) {
				t.Errorf("%d, %d made, %d revoked: %s%s", r.Code, *made, *revoked, r.Out, r.Err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != "old\n" != (tt.made > 0) {
				t.Errorf("the file holds %q, %v", text, err)
			}
			if tt.me == reviewer && tt.code == cli.ExitError {
				want := fmt.Sprintf("--agent claude-code \\\n    --owner ana --out TOKEN-FILE\nThen have that file as\n  %s\n", file)
				if !strings.Contains(r.Err, want) {
					t.Errorf("%s does not say %s", r.Err, want)
				}
			}
		})
	}
}

// A token that lies there is shown to the API that its file's name is for, and to no other. Once somebody else
// has put theirs there, uninstall leaves that as it is.
func TestTokensOfSomebodyElse(t *testing.T) {
	for name, again := range map[string]bool{"installed again": true, "replaced since": false} {
		t.Run(name, func(t *testing.T) {
			dir, claude := home(t, "2.1.332")
			a, other := api(t, admin), api(t, admin)
			makesTokens(a)
			makesTokens(other)
			install := []string{"hook", "claude-code", "install", "--claude", claude}
			clitest.CommandLine{API: a.URL}.Run(t, install...).Want(t, cli.ExitDone, nil, nil)
			file := tokenFile(t, dir)
			write(t, file, "theirs\n", 0o600)
			write(t, filepath.Join(dir, ".config", "pawl", "claude-code.token"), "nobody's\n", 0o600)
			a.On("GET /api/whoami", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer theirs" {
					clitest.Reply(200, `{"subject":"claude-code:ana","kind":"agent","roles":["agent"],"token_id":"t2"}`)(w, r)
				} else {
					clitest.Reply(200, admin)(w, r)
				}
			})
			if again {
				clitest.CommandLine{API: a.URL}.Run(t, install...).Want(t, cli.ExitDone, nil, nil)
			}
			revoked := 0
			a.On("POST /api/tokens/tok1/revoke", func(w http.ResponseWriter, r *http.Request) {
				revoked++
				clitest.Reply(200, `{"id":"tok1"}`)(w, r)
			})
			uninstall := clitest.CommandLine{API: a.URL}
			uninstall.Run(t, "hook", "claude-code", "uninstall", "--yes").Want(t, cli.ExitDone, []string{"token stays, as somebody else"}, nil)
			if text, err := os.ReadFile(file); err != nil || string(text) != "theirs\n" || revoked > 0 == again {
				t.Errorf("%q, %v, %d revoked", text, err, revoked)
			}
			whoami := other.Replies["GET /api/whoami"]
			other.On("GET /api/whoami", func(w http.ResponseWriter, r *http.Request) {
				if shown := r.Header.Get("Authorization"); strings.Contains(shown, "theirs") || strings.Contains(shown, "nobody's") {
					t.Errorf("another API is shown %q", shown)
				}
				whoami(w, r)
			})
			clitest.CommandLine{API: other.URL}.Run(t, install...).Want(t, cli.ExitDone, []string{"token is in"}, nil)
			if text, err := os.ReadFile(file); err != nil || string(text) != "theirs\n" {
				t.Errorf("the first API's token became %q, %v", text, err)
			}
		})
	}
}

// A crash at any write leaves what uninstall needs: what was begun is noted before it is done.
func TestInstallNotesFirst(t *testing.T) {
	dir, claude := home(t, "2.1.332")
	a, _ := policyAPI(t, admin)
	makesTokens(a)
	noted := func(want string) {
		doc, err := os.ReadFile(filepath.Join(dir, ".config", "pawl", "claude-code.json"))
		if err != nil || !strings.Contains(string(doc), want) {
			t.Errorf("%s is not noted: %v\n%s", want, err, doc)
		}
	}
	change := a.Replies["PUT /api/policy"]
	a.On("PUT /api/policy", func(w http.ResponseWriter, r *http.Request) {
		noted(`"layer": "`)
		change(w, r)
	})
	line := clitest.CommandLine{API: a.URL}
	install := []string{"hook", "claude-code", "install", "--claude", claude}
	line.Run(t, install...).Want(t, cli.ExitDone, nil, nil)
	noted(`"token_id": "tok1"`)
	noted(filepath.Join(dir, ".claude", "settings.json"))
	if err := os.Remove(filepath.Join(dir, ".claude", "settings.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(tokenFile(t, dir)); err != nil {
		t.Fatal(err)
	}
	revoked := 0
	a.On("POST /api/tokens/tok1/revoke", func(w http.ResponseWriter, r *http.Request) {
		revoked++
		clitest.Reply(200, `{"id":"tok1"}`)(w, r)
	})
	line.Run(t, "hook", "claude-code", "uninstall", "--yes").Want(t, cli.ExitDone, []string{"was taken out", "token was revoked"}, nil)
	doc, err := os.ReadFile(filepath.Join(dir, ".config", "pawl", "claude-code.json"))
	if err != nil || strings.Contains(string(doc), "apis") || strings.Contains(string(doc), "settings") || revoked != 1 {
		t.Errorf("%v, %d revoked, the record is\n%s", err, revoked, doc)
	}
}

// Installs at the same time lose none of each other's notes.
func TestInstallsAtOnce(t *testing.T) {
	dir, _ := home(t, "2.1.332")
	var all sync.WaitGroup
	const installs = 8
	for range installs {
		a, _ := policyAPI(t, none)
		all.Go(func() {
			clitest.CommandLine{API: a.URL}.Run(t, "hook", "claude-code", "install", "--policy-only").Want(t, cli.ExitDone, nil, nil)
		})
	}
	all.Wait()
	doc, err := os.ReadFile(filepath.Join(dir, ".config", "pawl", "claude-code.json"))
	if n := strings.Count(string(doc), `"layer"`); err != nil || n != installs {
		t.Errorf("%v, %d are noted:\n%s", err, n, doc)
	}
}
