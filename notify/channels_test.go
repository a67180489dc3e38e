package notify

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	secret := secretPrefix + base64.StdEncoding.EncodeToString(secretBytes)
	env := func(name string) (string, bool) {
		text, ok := map[string]string{"SECRET": secret, "TWO": secret + " " + secret, "BAD": "hush", "URL": "https://h/hush"}[name]
		return text, ok
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(text string) ([]Channel, error) {
		path := filepath.Join(dir, "notify.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Load(path, env)
	}
	got, err := load(`channels:
  - {name: ops, url: "https://h/x", secret_file: secret}
  - {name: dev, url_env: URL, secret_env: TWO, types: [call.unknown], timeout: 3s, per_minute: 60}
`)
	if err != nil || len(got) != 2 || len(got[0].secrets) != 1 || len(got[1].secrets) != 2 || got[1].Within != 3*time.Second ||
		got[1].Every != time.Second || !slices.Equal(got[1].Types, []Type{Unknown}) || got[0].Within != DefaultWithin {
		t.Errorf("%+v, %v", got, err)
	}
	const good = `name: ops, url: "https://h/x", secret_env: SECRET`
	for text, want := range map[string]string{
		`{name: ops, secret_env: SECRET}`:                                 "url_env",
		`{name: ops, url: "https://h", url_env: URL, secret_env: SECRET}`: "exactly one way",
		`{name: ops, url: "http://h/x", secret_env: SECRET}`:              "write https://",
		`{name: ops, url: "https://u:hush@h/x", secret_env: SECRET}`:      "without user",
		`{name: ops, url: "https://h/x"}`:                                 "secret_env",
		`{name: ops, url: "https://h/x", secret: hush}`:                   "does not belong",
		`{name: ops, url: "https://h/x", secret_env: BAD}`:                "openssl rand",
		`{name: ops, url: "https://h/x", secret_env: NONE}`:               "is not set",
		`{name: ops, url: "https://h/x", secret_env: $hush-}`:             "name of a variable",
		`{name: ops, url: "https://h/x", secret_env: PAWL_HOOK}`:          "begin with PAWL_",
		`{name: ops, url_env: PAWL_URL, secret_env: SECRET}`:              "another name",
		`{name: ops, url: "https://h/x", secret_file: none}`:              "can't be read",
		`{name: O, url: "https://h/x", secret_env: SECRET}`:               "small letters",
		`{` + good + `, types: [all]}`:                                    "no messages of the type",
		`{` + good + `, timeout: 2h}`:                                     "timeout",
		`{` + good + `, per_minute: 0}`:                                   "per_minute",
		`{` + good + `, retries: 3}`:                                      "retries",
		"{" + good + "}\n  - {" + good + "}":                              "exists already",
	} {
		if _, err := load("channels:\n  - " + text + "\n"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush@") {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// The file that the documentation shows can be used.
func TestDocumentedFile(t *testing.T) {
	text, err := os.ReadFile("../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```text\n")
	body, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/notifications.md shows no file")
	}
	dir, secret := t.TempDir(), secretPrefix+base64.StdEncoding.EncodeToString(secretBytes)
	for name, text := range map[string]string{"notify.yaml": body, "oncall.secret": secret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(name string) (string, bool) {
		text, ok := map[string]string{"OPS_WEBHOOK_SECRET": secret, "ONCALL_WEBHOOK_URL": "https://h/"}[name]
		return text, ok
	}
	if got, err := Load(filepath.Join(dir, "notify.yaml"), env); err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}
