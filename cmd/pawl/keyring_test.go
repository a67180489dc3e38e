package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
)

func TestKeyring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	keyring := func(args ...string) result {
		t.Helper()
		return cmdline{env: map[string]string{"PAWL_PAYLOAD_KEYS": path}}.run(t, append([]string{"keyring"}, args...)...)
	}
	keyring("list").want(t, exitError, nil, []string{"keyring new"})
	keyring("new").want(t, exitDone, []string{"read and write", "not encrypted are refused"}, nil)
	keyring("new").want(t, exitError, nil, []string{"exists"})
	first := one(t, path).Active().ID

	keyring("add").want(t, exitDone, []string{first, " read\n"}, nil)
	if one(t, path).Active().ID != first {
		t.Error("a new key is written with before others can read it")
	}
	second := one(t, path).Keys()[1].ID
	keyring("activate", second[:9]).want(t, exitDone, []string{second}, nil)
	if one(t, path).Active().ID != second {
		t.Error("not activated")
	}
	keyring("activate", "pk-none").want(t, exitError, nil, []string{"no key"})
	keyring("activate").want(t, exitUsage, nil, []string{"which key?"})
	keyring("forget", first).want(t, exitUsage, nil, []string{"--yes"})
	keyring("forget", second, "--yes").want(t, exitError, nil, []string{"active"})
	keyring("forget", first, "--yes", "-o", "json").want(t, exitDone, []string{`"id":"` + second, `"active":true`, `"reads_plain":false`}, nil)
	keyring("plain", "read").want(t, exitDone, []string{"are read, too"}, nil)
	keyring("plain", "maybe").want(t, exitUsage, nil, []string{"read or refuse"})
	keyring("add", "--activate").want(t, exitDone, nil, nil)
	if r := one(t, path); !r.ReadsPlain() || len(r.Keys()) != 2 || r.Active() != r.Keys()[1] {
		t.Errorf("%v", r)
	}
	cmdline{}.run(t, "keyring", "list").want(t, exitUsage, nil, []string{"--payload-keys"})

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []result{keyring("list"), keyring("list", "-o", "json")} {
		for line := range strings.Lines(string(text)) {
			if _, key, ok := strings.Cut(line, `"key": "`); ok && strings.Contains(shown.out+shown.err, strings.TrimRight(key, "\",\n")) {
				t.Error("a key is shown")
			}
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"keyring", "list"}, {"worker", "--database-url", "sqlite://" + path + ".db"}, {"api", "--database-url", "sqlite://" + path + ".db", "--listen", "127.0.0.1:0"}} {
		cmdline{env: map[string]string{"PAWL_PAYLOAD_KEYS": path}}.run(t, command...).want(t, exitError, nil, []string{"0644", "chmod 600"})
	}
}

func one(t *testing.T, path string) *codec.Keyring {
	t.Helper()
	r, err := codec.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCodecSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--codec-origin", "https://ui"}, "--payload-keys"},
		{[]string{"--codec-encode", "--payload-keys", "k"}, "--codec-origin"},
		{[]string{"--codec-origin", "*", "--payload-keys", "k"}, "https://host"},
	} {
		cmdline{}.run(t, append([]string{"api", "--database-url", "sqlite://x.db"}, c.args...)...).want(t, exitUsage, nil, []string{c.want})
	}
}

func TestDoctorLooksAtKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	look := func() finding {
		t.Helper()
		return (&doctorCommand{site: site{payloadKeys: path}}).lookAtKeys()
	}
	if f := look(); f.State != stateFailed {
		t.Errorf("missing: %+v", f)
	}
	if _, err := codec.Create(path, true); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || !strings.Contains(f.Advice, "plain refuse") {
		t.Errorf("in transition: %+v", f)
	}
	if err := codec.SetPlain(path, false); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || f.Advice != "" {
		t.Errorf("%+v", f)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	year := one(t, path).Active().Created.Format("2006-")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"created": "`+year, `"created": "2001-`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || !strings.Contains(f.Advice, "old") {
		t.Errorf("old: %+v", f)
	}
}
