package main

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
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestTokensOnTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	run := func(args ...string) result {
		t.Helper()
		return cmdline{env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}.run(t, append(append([]string{"token"}, args...), "--direct")...)
	}
	run("list").want(t, exitError, nil, []string{"there is no store here"})
	run("new", "ana", "--role", "admin").want(t, exitError, nil, []string{"there is no store here"})
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a store was made")
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	run("new", "ana", "--role", "admin").want(t, exitError, nil, []string{"another Pawl process owns it"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	r := run("new", "ana", "--role", "admin", "--role", "reviewer", "--group", "leads", "--note", "laptop")
	r.want(t, exitDone, nil, []string{"for ana (admin, reviewer)", "made in SQLite " + path, "shown this once"})
	text := strings.TrimSpace(r.out)
	id, ok := auth.TokenID(text)
	if !ok || strings.Contains(r.err, text) {
		t.Fatalf("stdout is %q", r.out)
	}
	r = run("new", "agent:billing", "--role", "agent", "--owner", "ana", "--team", "finance", "--agent", "billing", "--expires", "never", "-o", "json")
	r.want(t, exitDone, []string{`"token":"pawl_agent_`, `"owner":"ana"`, `"agents":["billing"]`}, nil)
	var agent struct{ ID, Token string }
	if err := json.Unmarshal([]byte(r.out), &agent); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rita.token")
	r = run("new", "rita", "--role", "reviewer", "--out", file)
	r.want(t, exitDone, nil, []string{"written to " + file})
	written, err := os.ReadFile(file)
	if _, ok := auth.TokenID(strings.TrimSpace(string(written))); err != nil || !ok || strings.Contains(r.out+r.err, string(written[12:])) {
		t.Errorf("the file holds %q, %v; printed was %s %s", written, err, r.out, r.err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	run("new", "rita", "--role", "reviewer", "--out", file).want(t, exitError, nil, []string{"is there already"})
	r = run("new", "rita", "--role", "reviewer", "--out", file+"2", "-o", "json")
	if r.want(t, exitDone, []string{`"file":"` + file + `2"`}, nil); strings.Contains(r.out, `"token"`) {
		t.Errorf("stdout is %s", r.out)
	}

	for _, tt := range []struct{ args, want string }{
		{"ana --role reviewer --expires 48h", ""},
		{"zoe --role reviewer", ""},
		{"Ana --role reviewer", "warning: ana has tokens, too, and counts as the same as Ana: names that differ in case only are one approver"},
		{"rita --role agent --owner ana", "warning: rita (person) has tokens, too, and counts as the same as rita (agent): what one of them asks for"},
		{"Agent:billing --role reviewer", "warning: agent:billing (agent) has tokens, too, and counts as the same as Agent:billing (person)"},
	} {
		r := run(append(strings.Fields("new "+tt.args), "-o", "json")...)
		if r.code != exitDone || !strings.Contains(r.err, tt.want) || strings.Count(r.err, "warning") != strings.Count(tt.want, "warning") {
			t.Errorf("%s: %d %s", tt.args, r.code, r.err)
		}
	}

	run("revoke", agent.ID, "none").want(t, exitError, []string{"revoked: " + agent.ID + " (agent:billing)"}, []string{"none: ", "not found"})
	run("revoke", agent.ID).want(t, exitDone, []string{"revoked: "}, nil)
	run("revoke", agent.ID[:8]).want(t, exitDone, []string{"revoked: " + agent.ID}, nil)
	run("revoke", agent.ID[:leastTokenID-1]).want(t, exitError, nil, []string{"not found"})
	list := run("list")
	list.want(t, exitDone, nil, nil)
	for _, line := range []string{
		id + ` +ana +admin,reviewer +leads +- +ana +works +20`, agent.ID + ` +agent:billing +agent +- +finance +ana +revoked +never`,
	} {
		if !regexp.MustCompile(line).MatchString(list.out) {
			t.Errorf("no line like %q in\n%s", line, list.out)
		}
	}
	run("list", "-o", "json").want(t, exitDone, []string{`"total":9`, `"revoked_by":"database:`}, nil)
	for _, secret := range []string{text, agent.Token} {
		if secret = secret[strings.LastIndex(secret, "_")+1:]; strings.Contains(list.out+list.err, secret) {
			t.Error("the list shows a secret")
		}
	}

	s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, err := auth.NewTokens(s).Authenticate(t.Context(), text); err != nil || p.Subject != "ana" || !p.Has(auth.RoleAdmin) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := auth.NewTokens(s).Authenticate(t.Context(), agent.Token); auth.Refused(err) == nil {
		t.Errorf("the revoked one: %v", err)
	}
	for kind, want := range map[audit.Kind]int{audit.KindTokenCreated: 9, audit.KindTokenRevoked: 1} {
		if page, err := s.Entries(t.Context(), store.EntryQuery{Kind: kind}); err != nil || len(page.Items) != want {
			t.Errorf("%d entries %s, %v", len(page.Items), kind, err)
		}
	}
}

func TestTokensByTheAPI(t *testing.T) {
	text, kept, err := auth.Issue(auth.TokenSpec{Subject: "rita", Roles: []auth.Role{auth.RoleReviewer}}, "root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	row, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	api := newFakeAPI(t)
	api.replies["POST /api/tokens"] = reply(201, `{"token":"`+text+`",`+string(row[1:]))
	api.replies["GET /api/tokens"] = reply(200, `{"items":[`+string(row)+`],"total":1,"next_cursor":""}`)
	api.replies["POST /api/tokens/"+kept.ID+"/revoke"] = reply(200, string(row))
	run := func(args ...string) result {
		t.Helper()
		return cmdline{env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.run(t, append([]string{"token"}, args...)...)
	}
	r := run("new", "rita", "--role", "reviewer", "--group", "leads", "--expires", "1h")
	r.want(t, exitDone, nil, []string{"by the API at " + api.URL})
	if r.out != text+"\n" {
		t.Errorf("stdout is %q", r.out)
	}
	if seen := strings.Join(api.seen, "\n"); !strings.Contains(seen, `"subject":"rita","roles":["reviewer"],"groups":["leads"],"expires_at":"20`) {
		t.Errorf("asked for %s", seen)
	}
	run("list").want(t, exitDone, []string{kept.ID, "rita"}, nil)
	run("revoke", kept.ID).want(t, exitDone, []string{"revoked: " + kept.ID}, nil)
	if r := run("revoke", kept.ID); strings.Contains(r.err, "warning") {
		t.Errorf("a reviewer's token: %s", r.err)
	}
	admin := kept
	admin.ID, admin.Roles, admin.RevokedAt = "admin1", []string{"admin"}, nil
	other := admin
	other.ID = "admin2"
	document := func(t store.Token) string { text, _ := json.Marshal(t); return string(text) }
	api.replies["GET /api/tokens"] = reply(200, `{"items":[`+document(admin)+`,`+document(other)+`],"total":2,"next_cursor":""}`)
	for _, a := range []store.Token{admin, other} {
		api.replies["POST /api/tokens/"+a.ID+"/revoke"] = reply(200, document(a))
	}
	if r := run("revoke", "admin1"); strings.Contains(r.err, "warning") {
		t.Errorf("one of two administrators' tokens: %s", r.err)
	}
	run("revoke", "admin1", "admin2").want(t, exitDone, nil, []string{"warning: no administrator's token works now", "--direct"})
	run("revoke", "none").want(t, exitError, nil, []string{"none: "})
	run("revoke", "admin").want(t, exitError, nil, []string{"admin: several tokens have IDs that begin like this"})

	api.replies["POST /api/tokens"] = reply(201, `{"token":"surprise","id":"x"}`)
	file := filepath.Join(t.TempDir(), "f")
	run("new", "rita", "--role", "reviewer", "--out", file).want(t, exitError, nil, []string{"holds no token"})
	if _, err := os.Stat(file); err == nil {
		t.Error("an empty file is left")
	}
}

func TestWhoami(t *testing.T) {
	api := newFakeAPI(t)
	r := cmdline{env: map[string]string{"PAWL_API": api.URL}}.run(t, "whoami")
	r.want(t, exitDone, []string{"Subject     local\n", "agent, reviewer, auditor, admin", "Known by    none"}, []string{"authenticates nobody"})
	if strings.Contains(r.err, "looked at") {
		t.Error(r.err)
	}
	r = cmdline{env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.run(t, "whoami")
	r.want(t, exitDone, nil, []string{"your token was not looked at"})
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
	api := newFakeAPI(t)
	sent := ""
	api.replies["GET /api/whoami"] = func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Get("Authorization")
		reply(200, `{"subject":"x"}`)(w, r)
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
			r := cmdline{env: env}.run(t, append([]string{"whoami"}, c.args...)...)
			if sent != c.sent || !strings.Contains(r.err, c.says) || c.says == "" && r.err != "" || strings.Contains(r.err, "hunter2") {
				t.Errorf("sent %q, want %q; stderr %s", sent, c.sent, r.err)
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
	doctor := func(args ...string) result {
		t.Helper()
		return cmdline{}.run(t, append([]string{"doctor", "--timeout", "2s", "--database-url", "sqlite://" + path}, args...)...)
	}
	doctor().want(t, exitError, []string{"authentication      none is configured here", "'pawl whoami' asks it"}, nil)
	doctor("--auth", "tokens").want(t, exitError, []string{"missing        tokens", "→ make the first one"}, nil)
	_, k, err := auth.Issue(auth.TokenSpec{Subject: "ana", Roles: []auth.Role{auth.RoleAdmin}}, "test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddToken(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	doctor("--auth", "tokens", "--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem").want(t, exitError,
		[]string{"ok             tokens              1 of administrators work", "failed         certificate"}, nil)
	doctor("--auth", "oidc", "--oidc-issuer", "http://127.0.0.1:1", "--oidc-audience", "p", "--oidc-role", "admin=a").want(t, exitError,
		[]string{"failed         OpenID Connect", "→ see that this host reaches the issuer"}, nil)
}
