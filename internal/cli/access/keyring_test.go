package access_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestKeyring(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	keyring := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{Env: map[string]string{"PAWL_PAYLOAD_KEYS": path}}.Run(t, append([]string{"keyring"}, args...)...)
	}
	keyring("list").Want(t, cli.ExitError, nil, []string{"keyring new"})
	keyring("new").Want(t, cli.ExitDone, []string{"read and write", "not encrypted are refused"}, nil)
	keyring("new").Want(t, cli.ExitError, nil, []string{"exists"})
	first := one(t, path).Active().ID

	keyring("add").Want(t, cli.ExitDone, []string{first, " read\n"}, nil)
	if one(t, path).Active().ID != first {
		t.Error("a new key is written with before others can read it")
	}
	second := one(t, path).Keys()[1].ID
	keyring("activate", second[:9]).Want(t, cli.ExitDone, []string{second}, nil)
	if one(t, path).Active().ID != second {
		t.Error("not activated")
	}
	keyring("activate", "pk-none").Want(t, cli.ExitError, nil, []string{"no key"})
	keyring("activate").Want(t, cli.ExitUsage, nil, []string{"which key?"})
	keyring("forget", first).Want(t, cli.ExitUsage, nil, []string{"--yes"})
	keyring("forget", second, "--yes").Want(t, cli.ExitError, nil, []string{"active"})
	keyring("forget", first, "--yes", "-o", "json").Want(t, cli.ExitDone, []string{`"id":"` + second, `"active":true`, `"reads_plain":false`}, nil)
	keyring("plain", "read").Want(t, cli.ExitDone, []string{"are read, too"}, nil)
	keyring("plain", "maybe").Want(t, cli.ExitUsage, nil, []string{"read or refuse"})
	keyring("add", "--activate").Want(t, cli.ExitDone, nil, nil)
	if r := one(t, path); !r.ReadsPlain() || len(r.Keys()) != 2 || r.Active() != r.Keys()[1] {
		t.Errorf("%v", r)
	}
	clitest.CommandLine{}.Run(t, "keyring", "list").Want(t, cli.ExitUsage, nil, []string{"--payload-keys"})

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []clitest.Result{keyring("list"), keyring("list", "-o", "json")} {
		for line := range strings.Lines(string(text)) {
			if _, key, ok := strings.Cut(line, `"key": "`); ok && strings.Contains(shown.Out+shown.Err, strings.TrimRight(key, "\",\n")) {
				t.Error("a key is shown")
			}
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"keyring", "list"}, {"worker", "--database-url", "sqlite://" + path + ".db"}, {"api", "--database-url", "sqlite://" + path + ".db", "--listen", "127.0.0.1:0"}} {
		clitest.CommandLine{Env: map[string]string{"PAWL_PAYLOAD_KEYS": path}}.Run(t, command...).Want(t, cli.ExitError, nil, []string{"0644", "chmod 600"})
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
