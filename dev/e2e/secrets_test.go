//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/leak"
)

// secrets knows what is secret, and looks for it.
type secrets struct {
	t     *testing.T
	known map[string]string // by what it is
}

func (v *secrets) keep(what, secret string) {
	v.t.Helper()
	if len(secret) < 16 {
		v.t.Fatalf("%s is too short to be looked for", what)
	}
	v.known[what] = secret
}

// search fails if a text shows a secret, but for those that belong there.
func (v *secrets) search(where string, text []byte, belong ...string) {
	v.t.Helper()
	for what, secret := range v.known {
		if leak.Shows(text, secret) && !strings.Contains(strings.Join(belong, ","), what) {
			at := bytes.Index(text, []byte(secret))
			v.t.Errorf("%s shows %s (at %d of %d bytes)", where, what, at, len(text))
		}
	}
}

// token reads a file that 'pawl token new --out' wrote, and keeps what is secret of it.
func (v *secrets) token(path string) string {
	v.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	v.keep("the token of "+filepath.Base(path), token[strings.LastIndex(token, "_")+1:])
	return token
}

// sent is what went over a wire.
type sent struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *sent) add(a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(&s.text, a...)
}

func (s *sent) all() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text.Bytes())
}

// TestPlantedSecrets runs worker, API and command line as processes of their own, as talkative as
// they can be, with every secret they may hold. Then it looks through everything that they said,
// sent and stored.
func TestPlantedSecrets(t *testing.T) {
	s := newDeployment(t)
	v := &secrets{t: t, known: map[string]string{}}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }

	database := s.database(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	v.keep("the database's password", password)
	keys, err := codec.Create(file("keys.json"), false)
	if err != nil {
		t.Fatal(err)
	}
	v.keyring(file("keys.json"), len(keys.Keys()))
	const credential, hidden = "planted-tool-credential-77c1", "planted-password-in-arguments-3e9a"
	v.keep("the tool's credential", credential)
	v.keep("a redacted argument", hidden)

	var toTool sent
	tool := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		toTool.add(r.URL, r.Header)
		rw.Header().Set("Content-Type", "application/json")
		if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("break")) {
			http.Error(rw, "no such user with "+hidden, http.StatusUnprocessableEntity)
			return
		}
		fmt.Fprintf(rw, `{"password":%q,"said":"logged in with %s"}`, hidden, hidden)
	}))
	t.Cleanup(tool.Close)
	tools := write(t, dir, "tools.yaml", fmt.Sprintf("tools:\n  - {name: log_in, http: {url: %q, headers: {Authorization: \"Bearer ${TOOL_CREDENTIAL}\"}}}\n", tool.URL))
	policy := write(t, dir, "policy.yaml", "redact_fields: [password]\ndecisions: signed\nrules:\n  - {tool: log_in, require_approval: true}\n")
	args := write(t, dir, "args.json", `{"user":"ann","password":"`+hidden+`"}`)
	broken := write(t, dir, "broken.json", `{"user":"break","password":"`+hidden+`"}`)

	env := append(s.environment("secrets", database), "PAWL_PAYLOAD_KEYS="+file("keys.json"), "PAWL_SIGNING_KEY="+file("signing.pem"), "TOOL_CREDENTIAL="+credential, "PAWL_LOG_LEVEL=debug")
	pawl := func(belong string, want int, args ...string) string {
		t.Helper()
		out, code := s.run(t, env, args...)
		if code != want {
			t.Errorf("pawl %v: exit code %d, want %d\n%s", args, code, want, out)
		}
		v.search("pawl "+args[0], []byte(out), belong)
		return out
	}
	pawl("", 0, "setup")
	pawl("", 0, "token", "new", "root", "--role", "admin", "--direct", "--out", file("root"))
	worker := s.serve(t, env, "worker", "--policy", policy, "--tools", tools, "--health-listen", "127.0.0.1:0")
	api := s.serve(t, env, "api", "--auth", "tokens", "--listen", "127.0.0.1:0")
	root := v.token(file("root"))
	v.signingKey(file("signing.pem"))

	// What the command line asks for goes through here.
	var toAPI sent
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		toAPI.add(r.URL)
		out, err := http.NewRequestWithContext(r.Context(), r.Method, api.API+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		resp, err := http.DefaultClient.Do(out)
		if err != nil {
			http.Error(rw, "away", http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name := range resp.Header {
			rw.Header().Set(name, resp.Header.Get(name))
		}
		rw.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(rw, resp.Body)
	}))
	t.Cleanup(front.Close)
	env = append(env, "PAWL_API="+front.URL)
	as := func(name string, args ...string) []string { return append(args, "--token-file", file(name)) }
	for _, spec := range [][]string{
		{"support", "--role", "agent", "--owner", "ana"}, {"rita", "--role", "reviewer"}, {"otto", "--role", "auditor"}, {"gone", "--role", "reviewer"},
	} {
		pawl("", 0, as("root", append([]string{"token", "new", spec[0], "--out", file(spec[0])}, spec[1:]...)...)...)
	}
	support, rita, otto, gone := v.token(file("support")), v.token(file("rita")), v.token(file("otto")), v.token(file("gone"))
	pawl("", 0, as("root", "token", "revoke", strings.Split(gone, "_")[2])...)

	// A call from start to end, with the secret in its arguments, its reason, the reviewer's notes,
	// its result; another whose tool complains.
	pending := func() (id string) {
		waitFor(t, "a call waits", func() bool {
			var list struct{ Items []struct{ ID string } }
			out, code := s.run(t, env, as("rita", "pending", "-o", "json")...)
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Items) == 0 {
				return false
			}
			id = list.Items[0].ID
			return true
		})
		return id
	}
	for _, c := range []struct {
		args string
		code int
	}{{args, 0}, {broken, 4}} {
		var said bytes.Buffer
		call := s.start(t, env, &said, as("support", "call", "log_in", "--args", "@"+c.args, "--reason", "she forgot "+hidden, "--wait", "1m", "-o", "json")...)
		id := pending()
		v.processes(worker, api, call)
		pawl("", 0, as("rita", "show", id)...)
		pawl("", 0, as("rita", "approve", id, "--notes", "I know "+hidden)...)
		if code := call.exit(); code != c.code || c.code == 0 && !bytes.Contains(said.Bytes(), []byte(hidden)) {
			t.Errorf("exit code %d, want %d; the caller gets the raw result: %s", code, c.code, said.String())
		}
		v.search("the caller's result", said.Bytes(), "a redacted argument") // which is its own
		v.search("the caller's log", []byte(call.stderr()), "a redacted argument")
		for _, who := range []string{"rita", "otto"} {
			if out := pawl("", 0, as(who, "show", id, "-o", "json")...); !strings.Contains(out, "[redacted]") {
				t.Errorf("nothing is redacted in\n%s", out)
			}
		}
	}
	if !bytes.Contains(toTool.all(), []byte(credential)) {
		t.Error("the tool did not get its credential")
	}
	v.search("what the tool was sent", toTool.all(), "the tool's credential")

	for _, line := range []string{"audit list -o json", "tools -o json", "whoami", "token list -o json", "policy show", "key list -o json", "pending -o json"} {
		name := "root"
		if line == "pending -o json" {
			name = "otto"
		}
		pawl("", 0, as(name, strings.Fields(line)...)...)
	}
	s.run(t, env, "doctor") // as it is
	out, _ := s.run(t, env, "doctor", "--policy", policy, "--tools", tools)
	v.search("pawl doctor", []byte(out))
	if out := pawl("", 1, as("gone", "whoami")...); !strings.Contains(out, "revoked") {
		t.Errorf("a revoked token: %s", out)
	}
	out, _ = s.run(t, env, "whoami", "--token", rita)
	v.search("pawl --token", []byte(out))

	// Secrets where none belong, and what the API says to that.
	ask := func(method, path, body, authorization string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, api.API+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		v.search(fmt.Sprintf("the answer %d to %s", resp.StatusCode, method), fmt.Append(text, resp.Header))
	}
	for _, token := range []string{root, support, rita, otto, gone, gone[:len(gone)-1] + "0"} {
		for _, path := range []string{"/api/audit", "/api/requests?status=all", "/api/tools", "/api/tokens", "/api/policy", "/readyz", "/api/whoami?token=" + token, "/" + token} {
			ask("GET", path, "", "Bearer "+token)
			ask("GET", path, "", token)
		}
		ask("POST", "/api/calls", `{"tool":`+token+`}`, "Bearer "+token)
		ask("POST", "/api/calls", `{"tool":"log_in","args":{"password":"`+hidden+`"},"idempotency_key":""`, "Bearer "+support)
	}
	v.search("what the API was asked for", toAPI.all())

	// What is kept.
	v.tables(database)

	// The database goes away: everybody complains.
	s.postgres.Stop(t)
	waitFor(t, "the worker says so", func() bool { code, _ := worker.readyz(); return code == http.StatusServiceUnavailable })
	ask("GET", "/api/audit", "", "Bearer "+otto)
	ask("GET", "/readyz", "", "Bearer "+root)
	out, _ = s.run(t, env, "doctor", "--timeout", "3s")
	v.search("pawl doctor without a database", []byte(out))
	s.postgres.Start(t)
	for _, p := range []*process{worker, api} {
		p.Signal(syscall.SIGTERM)
		p.exit()
		v.search("the log of "+p.args[0], []byte(p.stderr()))
		if !strings.Contains(p.stderr(), "level=DEBUG") {
			t.Errorf("%s is not as talkative as it can be", p.args[0])
		}
	}
	if !strings.Contains(api.stderr(), "a credential was refused") {
		t.Error("the API's log says nothing of refused credentials")
	}
}

// keyring keeps the keys of a keyring's file.
func (v *secrets) keyring(path string, n int) {
	v.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	var doc struct{ Keys []struct{ Key []byte } }
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Keys) != n {
		v.t.Fatalf("%d keys, %v", len(doc.Keys), err)
	}
	for i, k := range doc.Keys {
		v.keep(fmt.Sprintf("payload key %d", i), string(k.Key))
	}
}

// signingKey keeps the private half of a key that signs decisions.
func (v *secrets) signingKey(path string) {
	v.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		v.t.Fatalf("%s is not PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		v.t.Fatal(err)
	}
	v.keep("the signing key", string(key.(ed25519.PrivateKey).Seed()))
}

// processes looks at what every user of a machine can see of processes.
func (v *secrets) processes(list ...*process) {
	v.t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	for _, p := range list {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
		if err != nil || len(line) == 0 {
			v.t.Errorf("%q, %v", line, err)
		}
		belong := "" // who starts the call writes its reason
		if p.args[0] == "call" {
			belong = "a redacted argument"
		}
		v.search("the process list", line, belong)
	}
}

// tables looks at every row that Pawl keeps.
func (v *secrets) tables(database string) {
	v.t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		v.t.Fatal(err)
	}
	defer db.Close()
	db.SetConnMaxIdleTime(time.Second)
	names, err := column(db, `SELECT tablename FROM pg_tables WHERE schemaname = 'pawl'`)
	if err != nil || len(names) < 6 {
		v.t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		rows, err := column(db, `SELECT t::text FROM pawl."`+name+`" t`)
		if err != nil {
			v.t.Fatal(err)
		}
		if name == "entries" && !leak.Shows([]byte(strings.Join(rows, "\n")), "[redacted]") {
			v.t.Error("the record redacts nothing")
		}
		v.search("the table "+name, []byte(strings.Join(rows, "\n")))
	}
}

func column(db *sql.DB, query string) (list []string, err error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}
