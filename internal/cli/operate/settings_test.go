package operate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/internal/cli/operate"
)

const wholeConfig = `
database_url: sqlite://data/pawl.db
task_queue: file-queue
start_timeout: 5s
payload_keys: keys.json
log: {level: warn, format: json}
worker:
  policy: [org.yaml, /abs/team.yaml]
  tools: tools.yaml
  ordinary_steps: true
  decisions: signed
  workflow_cache: 500
  stop_timeout: 90
  health_listen: 127.0.0.1:1
  keep_schema: true
api:
  listen: 127.0.0.1:2
  hosts: [pawl.internal]
  read_only: true
  codec_origins: [https://ui.internal]
  codec_encode: true
  auth: [tokens, oidc]
  max_rate: 10
  max_pending: 20
  behind_proxy: [10.0.0.5, fd00::/8]
  signing_key: signing.pem
  tls: {cert: cert.pem, key: /abs/key.pem}
  oidc:
    issuer: https://id.example.com
    audience: [pawl]
    skew: 10s
    claims: {subject: email, groups: roles, group_prefix: p-, roles: realm.roles, team: t, owner: o, agents: a}
    roles: {reviewer: [leads, "a=b"], admin: [root]}
setup: {retention: 48h}
`

// settings settles one command's flags and returns their values.
func settings(t *testing.T, env map[string]string, name string, args ...string) (map[string]string, error) {
	t.Helper()
	a := &cli.App{Env: cli.Env{Getenv: func(name string) string { return env[name] }}}
	root := cli.NewRoot(a.Env, operate.Commands)
	cmd, _, err := root.Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	err = a.ReadSettings(cmd)
	values := map[string]string{}
	for _, name := range []string{"database-url", "keep-schema", "task-queue", "start-timeout", "log-level", "log-format", "policy",
		"tools", "ordinary-steps", "decisions", "signing-key", "workflow-cache", "stop-timeout", "health-listen", "listen", "host", "read-only",
		"payload-keys", "codec-origin", "codec-encode",
		"auth", "max-rate", "max-pending", "behind-proxy", "tls-cert", "tls-key",
		"oidc-issuer", "oidc-audience", "oidc-skew", "oidc-claim", "oidc-role"} {
		if f := cmd.Flag(name); f != nil {
			values[name] = f.Value.String()
		}
	}
	return values, err
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	path := clitest.ConfigFile(t, wholeConfig)
	dir := filepath.Dir(path)
	fromFile := map[string]string{
		"database-url": "sqlite://" + dir + "/data/pawl.db", "keep-schema": "true", "task-queue": "file-queue", "start-timeout": "5s",
		"log-level": "warn", "log-format": "json", "policy": "[" + dir + "/org.yaml,/abs/team.yaml]", "tools": dir + "/tools.yaml",
		"ordinary-steps": "true", "decisions": "signed", "workflow-cache": "500", "stop-timeout": "1m30s", "health-listen": "127.0.0.1:1",
		"payload-keys": dir + "/keys.json",
	}
	env := map[string]string{
		"PAWL_CONFIG": path, "PAWL_DATABASE_URL": "sqlite://env.db", "PAWL_KEEP_SCHEMA": "false", "PAWL_TASK_QUEUE": "env-queue",
		"PAWL_START_TIMEOUT": "6s", "PAWL_LOG_LEVEL": "error", "PAWL_LOG_FORMAT": "text", "PAWL_POLICY": "a.yaml, b.yaml",
		"PAWL_TOOLS": "env-tools.yaml", "PAWL_ORDINARY_STEPS": "false", "PAWL_STOP_TIMEOUT": "7s", "PAWL_HEALTH_LISTEN": ":3",
		"PAWL_WORKFLOW_CACHE": "600", "PAWL_PAYLOAD_KEYS": "env-keys.json",
	}
	fromEnv := map[string]string{
		"database-url": "sqlite://env.db", "keep-schema": "false", "task-queue": "env-queue", "start-timeout": "6s",
		"log-level": "error", "log-format": "text", "policy": "[a.yaml,b.yaml]", "tools": "env-tools.yaml",
		"ordinary-steps": "false", "workflow-cache": "600", "stop-timeout": "7s", "health-listen": ":3", "payload-keys": "env-keys.json",
	}
	given := []string{"--config", path, "--database-url", "sqlite://flag.db", "--keep-schema", "--task-queue", "flag-queue", "--start-timeout", "8s",
		"--log-level", "debug", "--log-format", "json", "--policy", "c.yaml", "--policy", "d,e.yaml", "--tools", "flag-tools.yaml",
		"--ordinary-steps", "--workflow-cache", "700", "--stop-timeout", "9s", "--health-listen", ":4", "--payload-keys", "flag-keys.json"}
	fromFlags := map[string]string{
		"database-url": "sqlite://flag.db", "keep-schema": "true", "task-queue": "flag-queue", "start-timeout": "8s",
		"log-level": "debug", "log-format": "json", "policy": `[c.yaml,"d,e.yaml"]`, "tools": "flag-tools.yaml",
		"ordinary-steps": "true", "workflow-cache": "700", "stop-timeout": "9s", "health-listen": ":4", "payload-keys": "flag-keys.json",
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		want map[string]string
	}{
		{"file", nil, []string{"--config", path}, fromFile},
		{"file named by the environment", map[string]string{"PAWL_CONFIG": path, "PAWL_TOOLS": " "}, nil, fromFile},
		{"environment", env, nil, fromEnv},
		{"flags", env, given, fromFlags},
	} {
		got, err := settings(t, tt.env, "worker", tt.args...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for name, want := range tt.want {
			if got[name] != want {
				t.Errorf("%s: --%s is %q, want %q", tt.name, name, got[name], want)
			}
		}
	}
	got, err := settings(t, map[string]string{"PAWL_MAX_RATE": "5", "PAWL_AUTH": "tokens"}, "api", "--config", path, "--oidc-role", "admin=x")
	for name, want := range map[string]string{
		"auth": "[tokens]", "max-rate": "5", "max-pending": "20", "behind-proxy": "[10.0.0.5,fd00::/8]", "signing-key": dir + "/signing.pem", "tls-cert": dir + "/cert.pem", "tls-key": "/abs/key.pem",
		"oidc-issuer": "https://id.example.com", "oidc-audience": "[pawl]", "oidc-skew": "10s", "oidc-role": "[admin=x]",
		"oidc-claim": "[subject=email,groups=roles,group_prefix=p-,roles=realm.roles,team=t,owner=o,agents=a]",
	} {
		if err != nil || got[name] != want {
			t.Errorf("api: --%s is %q, want %q; %v", name, got[name], want, err)
		}
	}
	if got, err := settings(t, nil, "doctor", "--config", path); err != nil || got["oidc-role"] != "[reviewer=leads,reviewer=a=b,admin=root]" {
		t.Errorf("doctor: %v, %v", got, err)
	}
	got, err = settings(t, map[string]string{"PAWL_HOST": "a,b:1"}, "api", "--config", path)
	if err != nil || got["listen"] != "127.0.0.1:2" || got["host"] != "[a,b:1]" || got["task-queue"] != "file-queue" || got["read-only"] != "true" ||
		got["payload-keys"] != dir+"/keys.json" || got["codec-origin"] != "[https://ui.internal]" || got["codec-encode"] != "true" {
		t.Errorf("api: %v %v", got, err)
	}
	for _, build := range []string{"setup", "doctor"} {
		if got, err := settings(t, nil, build, "--config", path); err != nil || got["database-url"] != fromFile["database-url"] {
			t.Errorf("%v %v", got, err)
		}
	}
}

// TestEverySettingCanComeFromEverywhere keeps the one rule for names whole.
func TestEverySettingCanComeFromEverywhere(t *testing.T) {
	file, err := cli.LoadConfig(clitest.ConfigFile(t, wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	perCommand := []string{"config", "help", "dry-run", "timeout"} // not of a site, but of one run
	for _, name := range []string{"worker", "api", "setup", "doctor"} {
		cmd, _, err := cli.NewRoot(cli.Env{Getenv: func(string) string { return "" }}, operate.Commands).Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		flags := cmd.LocalNonPersistentFlags()
		for flag := range file {
			if cli.Variable(flag) != "PAWL_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) {
				t.Errorf("--%s is %s", flag, cli.Variable(flag))
			}
		}
		for _, flag := range strings.Fields(flags.FlagUsages()) {
			if !strings.HasPrefix(flag, "--") || flags.Lookup(flag[2:]) == nil || slices.Contains(perCommand, flag[2:]) {
				continue
			}
			if _, ok := file[flag[2:]]; !ok {
				t.Errorf("pawl %s: %s can't be set in the file", name, flag)
			}
		}
	}
}

func TestBadConfigFiles(t *testing.T) {
	path := clitest.ConfigFile(t, `databse_url: x
database_url: mysql://u:hunter2@h/d
log: {level: loud, format: xml}
worker:
  policy: one.yaml
  stop_timeout: -1
  ordinary_steps: yes
api: {listen: 7295, hosts: [1]}
setup: {retention: 20000h}
`)
	apis := clitest.ConfigFile(t, `api:
  auth: [token, tokens, OIDC]
  behind_proxy: [10.0.0.5, proxy.internal, 0.0.0.0/0]
  codec_origins: ["temporal.internal"]
worker: {decisions: sign, policy: [1]}
log: {level: loud}
`)
	if _, err := settings(t, nil, "api", "--config", apis); err == nil {
		t.Error("nonsense of the API was loaded")
	} else {
		for _, want := range []string{
			`pawl.yaml:2:10: "token" is not known here; use none, tokens, oidc`, `pawl.yaml:2:25: "OIDC" is not known here`,
			`pawl.yaml:3:28: "proxy.internal" is no address like 10.0.0.5`, "pawl.yaml:3:44: 0.0.0.0/0 is everybody", "pawl.yaml:4:19: ",
			`pawl.yaml:5:21: "sign" is not known here; use any, signed`, `pawl.yaml:6:14: "loud"`, "pawl.yaml:5:36: ",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in\n%v", want, err)
			}
		}
	}
	_, err := settings(t, nil, "worker", "--config", path)
	if err == nil {
		t.Fatal("nonsense was loaded")
	}
	for _, want := range []string{
		`pawl.yaml:1:1: unknown field "databse_url"; did you mean "database_url"?`, "pawl.yaml:2:15: the database URL can't be used",
		"pawl.yaml:3:14: \"loud\" is not known here; use debug, info, warn, error", "pawl.yaml:3:28: ", "pawl.yaml:5:11: policy is text, must be a list",
		"pawl.yaml:6:17: stop_timeout is ", "pawl.yaml:7:19: ordinary_steps is", "pawl.yaml:8:15: ", "pawl.yaml:8:29: ", "pawl.yaml:9:20: retention is out of bounds",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	for _, text := range []string{"", "- list", "a: b: c", "worker: &a {}\napi: *a\n"} {
		if _, err := cli.LoadConfig(clitest.ConfigFile(t, text)); err == nil {
			t.Errorf("%q was loaded", text)
		}
	}
}

func TestBadEnvironment(t *testing.T) {
	env := map[string]string{"PAWL_STOP_TIMEOUT": "hunter2", "PAWL_ORDINARY_STEPS": "hunter2", "PAWL_DATABASE_URL": "sqlite://x.db"}
	_, err := settings(t, env, "worker")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	for _, want := range []string{`PAWL_STOP_TIMEOUT can't be used: use a form like "90s"`, "PAWL_ORDINARY_STEPS can't be used: use true or false"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

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
		{"worker --database-url sqlite://x --log-level loud", "log level is not debug"},
		{"api --database-url sqlite://x --log-format xml", "log format is not text or json"},
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
		{"api --database-url sqlite://x --behind-proxy proxy.internal", "is no address"},
		{"api --database-url sqlite://x --behind-proxy 0.0.0.0/0", "is everybody"},
		{"api --database-url sqlite://x --max-rate 0", "--max-rate must be"},
		{"api --database-url sqlite://x --max-pending 5000", "--max-pending must be"},
		{"doctor --auth maybe", "is not none, tokens or oidc"},
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

// TestPasswordsStaySecret sends every kind of bad database URL through every
// command.
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
			configured := clitest.ConfigFile(t, "database_url: \""+url+"\"\n")
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
	policy := clitest.ConfigFile(t, "rules: [{tool: a, require_aproval: true}]\n")
	began := time.Now()
	r := clitest.CommandLine{}.Run(t, "worker", "--database-url", "sqlite://"+filepath.Join(t.TempDir(), "x.db"), "--policy", policy, "--start-timeout", "1m")
	r.Want(t, cli.ExitError, nil, []string{"pawl.yaml:1:", `did you mean "require_approval"?`})
	if time.Since(began) > 30*time.Second {
		t.Error("it waited before it said so")
	}
}

func TestDoctorWithEverythingDown(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	good := clitest.ConfigFile(t, "rules: [{tool: a, auto_approve: true}]\n")
	r := clitest.CommandLine{}.Run(t, "doctor", "--database-url", "postgres://u@127.0.0.1:1/d", "--policy", good, "--tools", good, "--timeout", "3s")
	r.Want(t, cli.ExitError, []string{"no answer from 127.0.0.1:1 (TLS off)", "skipped        namespace", "the database server is not available",
		"ok             policy", "failed         tools", `unknown field "rules"`, "→ check TEMPORAL_ADDRESS"}, nil)
	r = clitest.CommandLine{}.Run(t, "doctor", "-o", "json", "--timeout", "3s")
	r.Want(t, cli.ExitError, []string{`{"ok":false,"checks":[{"name":"temporal","state":"failed"`, `which store?`}, nil)
}

func TestDocumentedConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```text\n# pawl.yaml\n")
	body, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/operations.md shows no pawl.yaml")
	}
	shown, err := cli.LoadConfig(clitest.ConfigFile(t, body))
	if err != nil {
		t.Fatal(err)
	}
	all, err := cli.LoadConfig(clitest.ConfigFile(t, wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		if shown[name] == nil {
			t.Errorf("the file in docs/operations.md does not show what sets --%s", name)
		}
	}
}
