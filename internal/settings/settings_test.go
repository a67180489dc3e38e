package settings

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

const wholeConfig = `
database_url: sqlite://data/pawl.db
public_url: https://file.example.com
task_queue: file-queue
start_timeout: 5s
payload_keys: keys.json
log: {level: warn, format: json}
retention: {payloads: 720h, rows: 8760h, tokens: 24h}
worker:
  policy: [org.yaml, /abs/team.yaml]
  tools: tools.yaml
  notify: notify.yaml
  sealing: {keys: [new.pem, /abs/old.pem], witnesses: witnesses.txt, checkpoint_file: log.checkpoint, checkpoint_webhook: https://hooks.internal/log}
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
    client_id: pawl-browser
    client_secret_file: client-secret
    scopes: [email, groups]
    skew: 10s
    claims: {subject: email, groups: roles, group_prefix: p-, roles: realm.roles, team: t, owner: o, agents: a}
    roles: {reviewer: [leads, "a=b"], admin: [root]}
setup: {retention: 48h}
`

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// read reads the settings of a command as it does, and returns their values.
func read(t *testing.T, env map[string]string, command Command, args ...string) (map[string]string, error) {
	t.Helper()
	s := new(Settings)
	table := s.Table().For(command)
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	table.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	var file File
	var err error
	if path := cmp.Or(s.Config, env["PAWL_CONFIG"]); path != "" {
		if file, err = s.Table().ReadFile(path); err != nil {
			return nil, err
		}
	}
	err = errors.Join(table.Set(flags, func(name string) string { return env[name] }, file), table.Check())
	values := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) { values[f.Name] = f.Value.String() })
	return values, err
}

func TestFlagsOverEnvironmentOverFile(t *testing.T) {
	path := configFile(t, wholeConfig)
	dir := filepath.Dir(path)
	fromFile := map[string]string{
		"database-url": "sqlite://" + dir + "/data/pawl.db", "keep-schema": "true", "task-queue": "file-queue", "start-timeout": "5s",
		"log-level": "warn", "log-format": "json", "policy": "[" + dir + "/org.yaml,/abs/team.yaml]", "tools": dir + "/tools.yaml", "notify": dir + "/notify.yaml",
		"ordinary-steps": "true", "decisions": "signed", "workflow-cache": "500", "stop-timeout": "1m30s", "health-listen": "127.0.0.1:1",
		"retain-payloads": "720h0m0s", "retain-rows": "8760h0m0s", "retain-tokens": "24h0m0s",
		"payload-keys": dir + "/keys.json", "log-key": "[" + dir + "/new.pem,/abs/old.pem]",
		"checkpoint-file": dir + "/log.checkpoint", "checkpoint-webhook": "https://hooks.internal/log",
	}
	env := map[string]string{
		"PAWL_CONFIG": path, "PAWL_DATABASE_URL": "sqlite://env.db", "PAWL_KEEP_SCHEMA": "false", "PAWL_TASK_QUEUE": "env-queue",
		"PAWL_START_TIMEOUT": "6s", "PAWL_LOG_LEVEL": "error", "PAWL_LOG_FORMAT": "text", "PAWL_POLICY": "a.yaml, b.yaml",
		"PAWL_TOOLS": "env-tools.yaml", "PAWL_NOTIFY": "env-notify.yaml", "PAWL_ORDINARY_STEPS": "false", "PAWL_STOP_TIMEOUT": "7s", "PAWL_HEALTH_LISTEN": ":3",
		"PAWL_WORKFLOW_CACHE": "600", "PAWL_PAYLOAD_KEYS": "env-keys.json",
		"PAWL_LOG_KEY": "new.pem,old.pem", "PAWL_CHECKPOINT_FILE": "env.checkpoint", "PAWL_CHECKPOINT_WEBHOOK": "http://env/log",
	}
	fromEnv := map[string]string{
		"database-url": "sqlite://env.db", "keep-schema": "false", "task-queue": "env-queue", "start-timeout": "6s",
		"log-level": "error", "log-format": "text", "policy": "[a.yaml,b.yaml]", "tools": "env-tools.yaml", "notify": "env-notify.yaml",
		"ordinary-steps": "false", "workflow-cache": "600", "stop-timeout": "7s", "health-listen": ":3", "payload-keys": "env-keys.json",
		"log-key": "[new.pem,old.pem]", "checkpoint-file": "env.checkpoint", "checkpoint-webhook": "http://env/log",
	}
	given := []string{"--config", path, "--database-url", "sqlite://flag.db", "--keep-schema", "--task-queue", "flag-queue", "--start-timeout", "8s",
		"--log-level", "debug", "--log-format", "json", "--policy", "c.yaml", "--policy", "d,e.yaml", "--tools", "flag-tools.yaml", "--notify", "flag-notify.yaml",
		"--ordinary-steps", "--workflow-cache", "700", "--stop-timeout", "9s", "--health-listen", ":4", "--payload-keys", "flag-keys.json",
		"--log-key", "flag.pem", "--checkpoint-file", "flag.checkpoint", "--checkpoint-webhook", "http://flag/log"}
	fromFlags := map[string]string{
		"database-url": "sqlite://flag.db", "keep-schema": "true", "task-queue": "flag-queue", "start-timeout": "8s",
		"log-level": "debug", "log-format": "json", "policy": `[c.yaml,"d,e.yaml"]`, "tools": "flag-tools.yaml", "notify": "flag-notify.yaml",
		"ordinary-steps": "true", "workflow-cache": "700", "stop-timeout": "9s", "health-listen": ":4", "payload-keys": "flag-keys.json",
		"log-key": "[flag.pem]", "checkpoint-file": "flag.checkpoint", "checkpoint-webhook": "http://flag/log",
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
		got, err := read(t, tt.env, Worker, tt.args...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for name, want := range tt.want {
			if got[name] != want {
				t.Errorf("%s: --%s is %q, want %q", tt.name, name, got[name], want)
			}
		}
	}
	got, err := read(t, map[string]string{"PAWL_MAX_RATE": "5", "PAWL_AUTH": "tokens"}, API, "--config", path, "--oidc-role", "admin=x")
	for name, want := range map[string]string{
		"public-url": "https://file.example.com",
		"auth":       "[tokens]", "max-rate": "5", "max-pending": "20", "behind-proxy": "[10.0.0.5,fd00::/8]", "signing-key": dir + "/signing.pem", "tls-cert": dir + "/cert.pem", "tls-key": "/abs/key.pem",
		"oidc-issuer": "https://id.example.com", "oidc-audience": "[pawl]", "oidc-skew": "10s", "oidc-role": "[admin=x]",
		"oidc-client-id": "pawl-browser", "oidc-client-secret-file": dir + "/client-secret", "oidc-scope": "[email,groups]",
		"oidc-claim": "[subject=email,groups=roles,group_prefix=p-,roles=realm.roles,team=t,owner=o,agents=a]",
	} {
		if err != nil || got[name] != want {
			t.Errorf("api: --%s is %q, want %q; %v", name, got[name], want, err)
		}
	}
	if got, err := read(t, nil, Doctor, "--config", path); err != nil || got["oidc-role"] != "[reviewer=leads,reviewer=a=b,admin=root]" {
		t.Errorf("doctor: %v, %v", got, err)
	}
	got, err = read(t, map[string]string{"PAWL_HOST": "a,b:1"}, API, "--config", path)
	if err != nil || got["listen"] != "127.0.0.1:2" || got["host"] != "[a,b:1]" || got["task-queue"] != "file-queue" || got["read-only"] != "true" ||
		got["payload-keys"] != dir+"/keys.json" || got["codec-origin"] != "[https://ui.internal]" || got["codec-encode"] != "true" {
		t.Errorf("api: %v %v", got, err)
	}
	for _, build := range []Command{Setup, Doctor} {
		if got, err := read(t, nil, build, "--config", path); err != nil || got["database-url"] != fromFile["database-url"] {
			t.Errorf("%v %v", got, err)
		}
	}
}

// TestEverySettingCanComeFromEverywhere keeps the one rule for names whole.
func TestEverySettingCanComeFromEverywhere(t *testing.T) {
	file, err := readConfig(configFile(t, wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	perCommand := []string{"config", "dry-run", "timeout"} // of one run
	for _, r := range new(Settings).Table() {
		if Variable(r.Flag) != "PAWL_"+strings.ToUpper(strings.ReplaceAll(r.Flag, "-", "_")) {
			t.Errorf("--%s is %s", r.Flag, Variable(r.Flag))
		}
		if _, ok := file.values[r.Flag]; !ok && r.Takes&processes != 0 && !slices.Contains(perCommand, r.Flag) {
			t.Errorf("--%s can't be set in the file", r.Flag)
		}
		if r.Help == "" || r.Takes == 0 {
			t.Errorf("--%s lacks a help or a command", r.Flag)
		}
	}
}

func readConfig(path string) (File, error) { return new(Settings).Table().ReadFile(path) }

func TestBadConfigFiles(t *testing.T) {
	path := configFile(t, `databse_url: x
database_url: mysql://u:hunter2@h/d
log: {level: loud, format: xml}
worker:
  policy: one.yaml
  stop_timeout: -1
  ordinary_steps: yes
api: {listen: 7295, hosts: [1]}
setup: {retention: 20000h}
`)
	apis := configFile(t, `api:
  auth: [token, tokens, OIDC]
  behind_proxy: [10.0.0.5, proxy.internal, 0.0.0.0/0]
  codec_origins: ["temporal.internal"]
worker: {decisions: sign, policy: [1]}
log: {level: loud}
`)
	if _, err := read(t, nil, API, "--config", apis); err == nil {
		t.Error("nonsense of the API was loaded")
	} else {
		for _, want := range []string{
			`pawl.yaml:2:10: "token" is not known here; use none, tokens, oidc`, `pawl.yaml:2:25: "OIDC" is not known here`,
			`pawl.yaml:3:28: "proxy.internal" is neither an address like 10.0.0.5`, "pawl.yaml:3:44: 0.0.0.0/0 is everybody", "pawl.yaml:4:19: ",
			`pawl.yaml:5:21: "sign" is not known here; use any, signed`, `pawl.yaml:6:14: "loud"`, "pawl.yaml:5:36: ",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in\n%v", want, err)
			}
		}
	}
	_, err := read(t, nil, Worker, "--config", path)
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
		if _, err := readConfig(configFile(t, text)); err == nil {
			t.Errorf("%q was loaded", text)
		}
	}
}

func TestBadEnvironment(t *testing.T) {
	env := map[string]string{"PAWL_STOP_TIMEOUT": "hunter2", "PAWL_ORDINARY_STEPS": "hunter2", "PAWL_DATABASE_URL": "sqlite://x.db"}
	_, err := read(t, env, Worker)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	for _, want := range []string{`PAWL_STOP_TIMEOUT can't be used: use a form like "90s"`, "PAWL_ORDINARY_STEPS can't be used: use true or false"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

func TestDocumentedConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```text\n# pawl.yaml\n")
	body, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/operations.md shows no pawl.yaml")
	}
	shown, err := readConfig(configFile(t, body))
	if err != nil {
		t.Fatal(err)
	}
	all, err := readConfig(configFile(t, wholeConfig))
	if err != nil {
		t.Fatal(err)
	}
	for name := range all.values {
		if shown.values[name] == nil {
			t.Errorf("the file in docs/operations.md does not show what sets --%s", name)
		}
	}
}

var update = flag.Bool("update", false, "write what the documentation shows of settings anew")

// TestDocumentedTable keeps the table of settings in docs/operations.md as the rows have it.
func TestDocumentedTable(t *testing.T) {
	const path, begin, end = "../../docs/operations.md", "<!-- settings -->\n", "<!-- /settings -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	shown, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table of settings", path)
	}
	want := markdown(new(Settings).Table())
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if shown != want {
		t.Errorf("%s shows other settings; go test ./internal/settings -run Documented -update writes it", path)
	}
}

// markdown is the table as documentation shows it.
func markdown(table Table) string {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	table.AddFlags(flags)
	commands := []struct {
		command Command
		name    string
	}{{Worker, "worker"}, {API, "api"}, {Setup, "setup"}, {Doctor, "doctor"}, {Direct, "`--direct`"}, {KeyFile, "key rotate"}, {Keyring, "keyring"}, {Notify, "notify"}, {Client, "all others"}}
	var b strings.Builder
	b.WriteString("| flag | in the file | of | default | meaning |\n|---|---|---|---|---|\n")
	for _, r := range table {
		var takes []string
		for _, c := range commands {
			if r.Takes&c.command != 0 {
				takes = append(takes, c.name)
			}
		}
		f := flags.Lookup(r.Flag)
		value := strings.Trim(f.DefValue, "[]")
		if value == "false" || value == "0" {
			value = ""
		}
		place := r.Place
		if place != "" {
			place = "`" + place + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s | %s | %s |\n", r.Flag, place, strings.Join(takes, ", "), value, r.Help)
	}
	return b.String()
}
