package operate_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestOperatorsUsageErrors(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"worker", "which store? set PAWL_DATABASE_URL"},
		{"api", "which store?"},
		{"setup", "which store?"},
		{"worker extra", "takes flags only"},
		{"worker --bogus", "unknown flag"},
		{"worker --database-url mysql://a:hunter2@b/c", "must be sqlite://PATH or postgres://"},
		{"worker --database-url sqlite://", "names no file"},
		{"worker --database-url sqlite://x --stop-timeout 0s", "--stop-timeout must be more than 0s"},
		{"worker --database-url sqlite://x --start-timeout -1s", "--start-timeout is negative"},
		{"worker --database-url sqlite://x --log-level loud", `--log-level "loud" is not debug`},
		{"api --database-url sqlite://x --log-format xml", `--log-format "xml" is not text or json`},
		{"api --database-url sqlite://x --policy p.yaml", "unknown flag: --policy"},
		{"setup --database-url sqlite://x --retention 1h", "from 24h to 8760h"},
		{"setup --database-url sqlite://x --retention soon", "not a length of time"},
		{"setup --database-url postgres://a:hunter2@h/d?sslmode=nonsense", "the Postgres store's URL can't be used"},
		{"worker --database-url postgres://a:hunter2@h/d?sslmode=nonsense", "the Postgres store's URL can't be used"},
		{"api --database-url sqlite://x --auth maybe", `--auth "maybe" is not none, tokens or oidc`},
		{"api --database-url sqlite://x --auth none,tokens", "goes with nothing else"},
		{"api --database-url sqlite://x --oidc-issuer https://id.example.com", "add --auth oidc"},
		{"api --database-url sqlite://x --auth oidc", "the issuer must be a URL"},
		{"api --database-url sqlite://x --auth oidc --oidc-issuer http://id.example.com", "https://"},
		{"api --database-url sqlite://x --auth oidc --oidc-issuer https://id.example.com", "audience is missing"},
		{"api --database-url sqlite://x --auth oidc --oidc-issuer https://id.example.com --oidc-audience p", "no role is given"},
		{"api --database-url sqlite://x --auth oidc --oidc-role boss=x", `--oidc-role "boss=x" is not role=group`},
		{"api --database-url sqlite://x --auth oidc --oidc-role admin=", "is not role=group"},
		{"api --database-url sqlite://x --auth oidc --oidc-claim colour=x", "is not what=claim"},
		{"api --database-url sqlite://x --tls-cert c.pem", "--tls-cert needs --tls-key"},
		{"api --database-url sqlite://x --tls-cert c.pem --tls-key k.pem --behind-proxy 10.0.0.1", "either this API ends TLS"},
		{"api --database-url sqlite://x --behind-proxy proxy.internal", "is neither an address"},
		{"api --database-url sqlite://x --behind-proxy 0.0.0.0/0", "is everybody"},
		{"api --database-url sqlite://x --max-rate 0", "--max-rate must be"},
		{"api --database-url sqlite://x --max-pending 5000", "--max-pending must be"},
		{"api --database-url sqlite://x --public-url pawl.example.com", "--public-url must be an address"},
		{"doctor --auth maybe", "is not none, tokens or oidc"},
		{"notify test", "CHANNEL is missing"},
		{"notify test ops", "which channels?"},
		{"token new", "SUBJECT is missing"},
		{"token new ana", "roles are missing"},
		{"token new ana --role boss", `role "boss" is not one of`},
		{"token new bot --role agent", "owner is missing"},
		{"token new policy --role admin", "a name that Pawl uses itself"},
		{"token new ana --role admin --expires soon", "--expires must be"},
		{"token new ana --role admin --expires 0", "--expires must be"},
		{"token revoke", "ID is missing"},
		{"token list --direct", "which store?"},
		{"token list --database-url sqlite://x", "--database-url is for --direct"},
		{"token revoke pawl_agent_x", "never write a token into a command line"},
		{"whoami --token a --token-file b", "either --token-file or --token"},
		{"tools forget", "NAME is missing"},
		{"tools forget a", "which store?"},
		{"tools forget a --database-url mysql://a:hunter2@b/c", "must be sqlite://PATH or postgres://"},
		{"doctor --timeout 0s", "--timeout must be more than 0s"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			r := clitest.CommandLine{}.Run(t, strings.Fields(tt.line)...)
			r.Want(t, cli.ExitUsage, nil, []string{tt.want, "--help'"})
			if r.Out != "" || strings.Contains(r.Err, "hunter2") {
				t.Errorf("stdout %q, stderr %q", r.Out, r.Err)
			}
		})
	}
}

// TestPasswordsStaySecret sends every kind of bad database URL through every command.
func TestPasswordsStaySecret(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	for _, url := range []string{
		"postgres://u:hunter2@127.0.0.1:1/d", "postgres://u:hunter2@127.0.0.1:1/d?sslmode=nonsense", "postgres://u:hunter2@%zz/d",
		"postgresql://u:hunter2@127.0.0.1:port/d", "postgres://127.0.0.1:1/d?password=hunter2&connect_timeout=x",
		"postgres//u:hunter2@h/d", "Postgres://u:hunter2@h/d", "u:hunter2@h",
	} {
		for _, line := range []string{"worker --start-timeout 0s", "api --start-timeout 0s --listen 127.0.0.1:0", "setup --start-timeout 0s", "doctor --timeout 2s", "tools forget a"} {
			r := clitest.CommandLine{Env: map[string]string{"PAWL_DATABASE_URL": url}}.Run(t, strings.Fields(line)...)
			if r.Code == cli.ExitDone || strings.Contains(r.Out+r.Err, "hunter2") {
				t.Errorf("%s: %d %s %s", line, r.Code, r.Out, r.Err)
			}
			configured := configFile(t, "database_url: \""+url+"\"\n")
			r = clitest.CommandLine{}.Run(t, append(strings.Fields(line), "--config", configured)...)
			if r.Code == cli.ExitDone || strings.Contains(r.Out+r.Err, "hunter2") {
				t.Errorf("%s with the file: %d %s %s", line, r.Code, r.Out, r.Err)
			}
		}
	}
	r := clitest.CommandLine{}.Run(t, "worker", "--start-timeout", "0s", "--database-url", "postgres://u:hunter2@127.0.0.1:1/d")
	r.Want(t, cli.ExitError, nil, []string{"can see the password in --database-url", "no answer from Temporal at 127.0.0.1:1", "TEMPORAL_ADDRESS"})
}

func TestFilesAreReadBeforeAnythingIsConnected(t *testing.T) {
	policy := configFile(t, "rules: [{tool: a, require_aproval: true}]\n")
	began := time.Now()
	r := clitest.CommandLine{}.Run(t, "worker", "--database-url", "sqlite://"+filepath.Join(t.TempDir(), "x.db"), "--policy", policy, "--start-timeout", "1m")
	r.Want(t, cli.ExitError, nil, []string{"pawl.yaml:1:", `did you mean "require_approval"?`})
	if time.Since(began) > 30*time.Second {
		t.Error("it waited before it said so")
	}
}

func TestDoctorWithEverythingDown(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	good := configFile(t, "rules: [{tool: a, auto_approve: true}]\n")
	r := clitest.CommandLine{}.Run(t, "doctor", "--database-url", "postgres://u@127.0.0.1:1/d", "--policy", good, "--tools", good, "--timeout", "3s")
	r.Want(t, cli.ExitError, []string{"no answer from 127.0.0.1:1 (TLS off)", "skipped        namespace", "the database server is not available",
		"ok             policy", "failed         tools", `unknown field "rules"`, "→ check TEMPORAL_ADDRESS"}, nil)
	r = clitest.CommandLine{}.Run(t, "doctor", "-o", "json", "--timeout", "3s")
	r.Want(t, cli.ExitError, []string{`{"ok":false,"checks":[{"name":"temporal","state":"failed"`, `which store?`}, nil)
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A channel is tried with a signed message, and the command says what came of it.
func TestNotifyTest(t *testing.T) {
	var signed []string
	answer := http.StatusNoContent
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		signed = append(signed, r.Header.Get("webhook-signature")+string(body))
		w.WriteHeader(answer)
	}))
	defer receiver.Close()
	t.Setenv("NOTIFY_SECRET", "whsec_"+strings.Repeat("QUJD", 10))
	file := filepath.Join(t.TempDir(), "notify.yaml")
	text := "channels:\n  - {name: ops, url: " + receiver.URL + "/hush, secret_env: NOTIFY_SECRET}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	try := func(line string, code int, want string) {
		t.Helper()
		r := clitest.CommandLine{}.Run(t, append(strings.Fields(line), "--notify", file)...)
		if all := r.Out + r.Err; r.Code != code || !strings.Contains(all, want) || strings.Contains(all, "hush") {
			t.Errorf("%s: %d %s; want %d %s", line, r.Code, all, code, want)
		}
	}
	try("notify test ops", cli.ExitDone, "took the message")
	if len(signed) != 1 || !strings.HasPrefix(signed[0], "v1,") || !strings.Contains(signed[0], `"type":"pawl.test"`) {
		t.Errorf("sent %q", signed)
	}
	try("notify test dev", cli.ExitError, "there is no channel dev")
	answer = http.StatusTeapot
	try("notify test ops", cli.ExitError, "it answered 418")
}
