package access_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/access"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestTokensOnTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	run := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{Env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}.Run(t, append(append([]string{"token"}, args...), "--direct")...)
	}
	run("list").Want(t, cli.ExitError, nil, []string{"there is no store here"})
	run("new", "ana", "--role", "admin").Want(t, cli.ExitError, nil, []string{"there is no store here"})
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a store was made")
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	run("new", "ana", "--role", "admin").Want(t, cli.ExitError, nil, []string{"another Pawl process owns it"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	r := run("new", "ana", "--role", "admin", "--role", "reviewer", "--group", "leads", "--note", "laptop")
	r.Want(t, cli.ExitDone, nil, []string{"for ana (admin, reviewer)", "made in SQLite " + path, "shown only once"})
	text := strings.TrimSpace(r.Out)
	id, ok := auth.TokenID(text)
	if !ok || strings.Contains(r.Err, text) {
		t.Fatalf("stdout is %q", r.Out)
	}
	r = run("new", "agent:billing", "--role", "agent", "--owner", "ana", "--team", "finance", "--agent", "billing", "--expires", "never", "-o", "json")
	r.Want(t, cli.ExitDone, []string{`"token":"pawl_agent_`, `"owner":"ana"`, `"agents":["billing"]`}, nil)
	var agent struct{ ID, Token string }
	if err := json.Unmarshal([]byte(r.Out), &agent); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rita.token")
	r = run("new", "rita", "--role", "reviewer", "--out", file)
	r.Want(t, cli.ExitDone, nil, []string{"written to " + file})
	written, err := os.ReadFile(file)
	if _, ok := auth.TokenID(strings.TrimSpace(string(written))); err != nil || !ok || strings.Contains(r.Out+r.Err, string(written[12:])) {
		t.Errorf("the file holds %q, %v; printed was %s %s", written, err, r.Out, r.Err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	run("new", "rita", "--role", "reviewer", "--out", file).Want(t, cli.ExitError, nil, []string{"exists already"})
	r = run("new", "rita", "--role", "reviewer", "--out", file+"2", "-o", "json")
	if r.Want(t, cli.ExitDone, []string{`"file":"` + file + `2"`}, nil); strings.Contains(r.Out, `"token"`) {
		t.Errorf("stdout is %s", r.Out)
	}

	for _, tt := range []struct{ args, want string }{
		{"ana --role reviewer --expires 48h", ""},
		{"zoe --role reviewer", ""},
		{"Ana --role reviewer", "warning: ana has tokens, too, and counts as the same as Ana: names that differ in case only are one approver"},
		{"agent:own --role agent --owner Agent:own", "warning: The agent agent:own is its own owner"},
		{"rita --role agent --owner ana", "warning: rita (person) has tokens, too, and counts as the same as rita (agent): what one of them asks for"},
		{"Agent:billing --role reviewer", "warning: agent:billing (agent) has tokens, too, and counts as the same as Agent:billing (person)"},
	} {
		r := run(append(strings.Fields("new "+tt.args), "-o", "json")...)
		if r.Code != cli.ExitDone || !strings.Contains(r.Err, tt.want) || strings.Count(r.Err, "warning") != strings.Count(tt.want, "warning") {
			t.Errorf("%s: %d %s", tt.args, r.Code, r.Err)
		}
	}

	run("revoke", agent.ID, "none").Want(t, cli.ExitError, []string{"revoked: " + agent.ID + " (agent:billing)"}, []string{"none: ", "not found"})
	run("revoke", agent.ID).Want(t, cli.ExitDone, []string{"revoked: "}, nil)
	run("revoke", agent.ID[:8]).Want(t, cli.ExitDone, []string{"revoked: " + agent.ID}, nil)
	run("revoke", agent.ID[:access.LeastTokenID-1]).Want(t, cli.ExitError, nil, []string{"not found"})
	list := run("list")
	list.Want(t, cli.ExitDone, nil, nil)
	for _, line := range []string{
		id + ` +ana +admin,reviewer +leads +- +ana +works +20`, agent.ID + ` +agent:billing +agent +- +finance +ana +revoked +never`,
	} {
		if !regexp.MustCompile(line).MatchString(list.Out) {
			t.Errorf("no line like %q in\n%s", line, list.Out)
		}
	}
	run("list", "-o", "json").Want(t, cli.ExitDone, []string{`"total":10`, `"revoked_by":"database:`}, nil)
	for _, secret := range []string{text, agent.Token} {
		if secret = secret[strings.LastIndex(secret, "_")+1:]; strings.Contains(list.Out+list.Err, secret) {
			t.Error("the list shows a secret")
		}
	}

	s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := auth.NewTokens(s).Authenticate(t.Context(), text); err != nil || p.Subject != "ana" || !p.Has(rest.RoleAdmin) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := auth.NewTokens(s).Authenticate(t.Context(), agent.Token); auth.Refused(err) == nil {
		t.Errorf("the revoked one: %v", err)
	}
	for kind, want := range map[audit.Kind]int{audit.KindTokenCreated: 10, audit.KindTokenRevoked: 1} {
		if page, err := s.Entries(t.Context(), store.EntryQuery{Kind: kind}); err != nil || len(page.Items) != want {
			t.Errorf("%d entries %s, %v", len(page.Items), kind, err)
		}
	}
}

func TestTokensByTheAPI(t *testing.T) {
	text, kept, err := auth.Issue(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}}, "root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	row, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	api := clitest.NewAPI(t)
	api.Replies["POST /api/tokens"] = clitest.Reply(201, `{"token":"`+text+`",`+string(row[1:]))
	api.Replies["GET /api/tokens"] = clitest.Reply(200, `{"items":[`+string(row)+`],"total":1,"next_cursor":""}`)
	api.Replies["POST /api/tokens/"+kept.ID+"/revoke"] = clitest.Reply(200, string(row))
	run := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{Env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.Run(t, append([]string{"token"}, args...)...)
	}
	r := run("new", "rita", "--role", "reviewer", "--group", "leads", "--expires", "1h")
	r.Want(t, cli.ExitDone, nil, []string{"by the API at " + api.URL})
	if r.Out != text+"\n" {
		t.Errorf("stdout is %q", r.Out)
	}
	if seen := strings.Join(api.Seen, "\n"); !strings.Contains(seen, `"subject":"rita","roles":["reviewer"],"groups":["leads"],"expires_at":"20`) {
		t.Errorf("asked for %s", seen)
	}
	run("list").Want(t, cli.ExitDone, []string{kept.ID, "rita"}, nil)
	run("revoke", kept.ID).Want(t, cli.ExitDone, []string{"revoked: " + kept.ID}, nil)
	if r := run("revoke", kept.ID); strings.Contains(r.Err, "warning") {
		t.Errorf("a reviewer's token: %s", r.Err)
	}
	admin := kept
	admin.ID, admin.Roles, admin.RevokedAt = "admin1", []string{"admin"}, nil
	other := admin
	other.ID = "admin2"
	document := func(t store.Token) string { text, _ := json.Marshal(t); return string(text) }
	api.Replies["GET /api/tokens"] = clitest.Reply(200, `{"items":[`+document(admin)+`,`+document(other)+`],"total":2,"next_cursor":""}`)
	for _, a := range []store.Token{admin, other} {
		api.Replies["POST /api/tokens/"+a.ID+"/revoke"] = clitest.Reply(200, document(a))
	}
	if r := run("revoke", "admin1"); strings.Contains(r.Err, "warning") {
		t.Errorf("one of two administrators' tokens: %s", r.Err)
	}
	run("revoke", "admin1", "admin2").Want(t, cli.ExitDone, nil, []string{"warning: no administrator's token works now", "--direct"})
	run("revoke", "none").Want(t, cli.ExitError, nil, []string{"none: "})
	run("revoke", "admin").Want(t, cli.ExitError, nil, []string{"admin: several tokens have IDs that begin like this"})

	api.Replies["POST /api/tokens"] = clitest.Reply(201, `{"token":"surprise","id":"x"}`)
	file := filepath.Join(t.TempDir(), "f")
	run("new", "rita", "--role", "reviewer", "--out", file).Want(t, cli.ExitError, nil, []string{"holds no token"})
	if _, err := os.Stat(file); err == nil {
		t.Error("an empty file is left")
	}
}

func TestWhoami(t *testing.T) {
	api := clitest.NewAPI(t)
	r := clitest.CommandLine{Env: map[string]string{"PAWL_API": api.URL}}.Run(t, "whoami")
	r.Want(t, cli.ExitDone, []string{"Subject     local\n", "agent, reviewer, auditor, admin", "Known by    none"}, []string{"authenticates nobody"})
	if strings.Contains(r.Err, "looked at") {
		t.Error(r.Err)
	}
	r = clitest.CommandLine{Env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.Run(t, "whoami")
	r.Want(t, cli.ExitDone, nil, []string{"your token was ignored"})
}

// A token comes from a flag, a file or the environment, in that order.
func TestWhereTokensComeFrom(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, open := write("good", " from-file\n", 0o600), write("open", "from-open", 0o644)
	empty, binary := write("empty", "\n", 0o600), write("binary", "two lines\nof a hunter2", 0o600)
	huge := write("huge", strings.Repeat("hunter2", 10000), 0o600)
	api := clitest.NewAPI(t)
	sent := ""
	api.Replies["GET /api/whoami"] = func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		clitest.Reply(200, `{"subject":"x"}`)(w, r)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		sent string
		says string // in an error or warning
	}{
		{"nothing", nil, nil, "", ""},
		{"environment", map[string]string{"PAWL_TOKEN": "from-env"}, nil, "Bearer from-env", ""},
		{"file of the environment", map[string]string{"PAWL_TOKEN_FILE": good}, nil, "Bearer from-file", ""},
		{"both of the environment", map[string]string{"PAWL_TOKEN": "from-env", "PAWL_TOKEN_FILE": good}, nil, "Bearer from-env", "PAWL_TOKEN is used"},
		{"file over environment", map[string]string{"PAWL_TOKEN": "from-env"}, []string{"--token-file", good}, "Bearer from-file", ""},
		{"flag over environment", map[string]string{"PAWL_TOKEN": "from-env", "PAWL_TOKEN_FILE": good}, []string{"--token", "from-flag"}, "Bearer from-flag", "can see --token"},
		{"a file that others may read", nil, []string{"--token-file", open}, "Bearer from-open", "may read"},
		{"an empty file", nil, []string{"--token-file", empty}, "", "is empty"},
		{"a file of something else", nil, []string{"--token-file", binary}, "", "no token has"},
		{"a huge file", nil, []string{"--token-file", huge}, "", "holds no token"},
		{"a folder", nil, []string{"--token-file", dir}, "", "holds no token"},
		{"no file", nil, []string{"--token-file", dir + "/none"}, "", "the token's file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent = ""
			env := map[string]string{"PAWL_API": api.URL}
			for k, v := range c.env {
				env[k] = v
			}
			r := clitest.CommandLine{Env: env}.Run(t, append([]string{"whoami"}, c.args...)...)
			if sent != c.sent || !strings.Contains(r.Err, c.says) || c.says == "" && r.Err != "" || strings.Contains(r.Err, "hunter2") {
				t.Errorf("sent %q, want %q; stderr %s", sent, c.sent, r.Err)
			}
		})
	}
}

func TestDoctorLooksAtAccess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	doctor := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{}.Run(t, append([]string{"doctor", "--timeout", "2s", "--database-url", "sqlite://" + path}, args...)...)
	}
	doctor().Want(t, cli.ExitError, []string{"authentication      none is configured here", "'pawl whoami' shows how"}, nil)
	doctor("--auth", "tokens").Want(t, cli.ExitError, []string{"missing        tokens", "→ make the first one"}, nil)
	_, k, err := auth.Issue(rest.TokenSpec{Subject: "ana", Roles: []rest.Role{rest.RoleAdmin}}, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddToken(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	doctor("--auth", "tokens", "--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem").Want(t, cli.ExitError,
		[]string{"ok             tokens              1 of administrators work", "failed         certificate"}, nil)
	doctor("--auth", "oidc", "--oidc-issuer", "http://127.0.0.1:1", "--oidc-audience", "p", "--oidc-role", "admin=a").Want(t, cli.ExitError,
		[]string{"failed         OpenID Connect", "→ check that this host reaches the issuer"}, nil)
}
