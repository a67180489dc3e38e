package access_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestKeysOnTheDatabase(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "keys", "signing.pem")
	run := func(args ...string) clitest.Result {
		t.Helper()
		if args[0] != "add" {
			args = append(args, "--direct")
		}
		return clitest.CommandLine{Env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}.Run(t, append([]string{"key"}, args...)...)
	}
	run("list").Want(t, cli.ExitError, nil, []string{"there is no store here"})
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run("list").Want(t, cli.ExitDone, nil, []string{"there are no signing keys"})
	run("add", file).Want(t, cli.ExitDone, []string{"trusted: "}, nil)
	first := only(t, run("list", "-o", "json"))[0].ID
	run("add", file).Want(t, cli.ExitDone, []string{"trusted: " + first}, nil)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	run("rotate", "--signing-key", file).Want(t, cli.ExitDone, []string{"in use: ", "retired: " + first}, nil)
	second := only(t, run("list", "-o", "json"))[0].ID
	run("revoke", first, "none").Want(t, cli.ExitError, []string{"revoked: " + first}, []string{"none: ", "not found"})
	run("rotate", "--signing-key", file, "--revoke-old").Want(t, cli.ExitDone, []string{"revoked: " + second}, nil)
	r := run("retire", only(t, run("list", "-o", "json"))[0].ID, "-o", "json")
	r.Want(t, cli.ExitDone, []string{`"retired_by":"database:`}, nil)
	list := run("list")
	for _, line := range []string{`retired 20\d\d-.* database:`, first + ` .* revoked 20\d\d-`} {
		if !regexp.MustCompile(line).MatchString(list.Out) {
			t.Errorf("no line like %q in\n%s", line, list.Out)
		}
	}
	if secret := strings.Split(string(private), "\n")[1]; strings.Contains(list.Out+list.Err+r.Out, secret) {
		t.Error("a private key shows")
	}
	run("add", file).Want(t, cli.ExitError, nil, []string{"was retired or revoked", "move the file away"})
	run("revoke").Want(t, cli.ExitUsage, nil, []string{"ID is missing"})
	run("add").Want(t, cli.ExitUsage, nil, []string{"FILE"})
	run("list", "--database-url", "mysql://x").Want(t, cli.ExitUsage, nil, []string{"database"})
}

func only(t *testing.T, r clitest.Result) []store.SigningKey {
	t.Helper()
	var list struct{ Items []store.SigningKey }
	if err := json.Unmarshal([]byte(r.Out), &list); err != nil || len(list.Items) == 0 {
		t.Fatalf("%s%s: %v", r.Out, r.Err, err)
	}
	return list.Items
}

func TestKeysByTheAPI(t *testing.T) {
	const key, old = `{"id":"k2","public":"AA==","created_at":"2026-01-02T03:04:05Z","created_by":"ana","note":"\u001b[2Jhost"}`, `{"id":"k1","public":"AA==","created_at":"2026-01-02T03:04:05Z","created_by":"ana","retired_at":"2026-01-02T03:04:05Z","retired_by":"ana"}`
	api := clitest.NewAPI(t)
	api.Replies["GET /api/keys"] = clitest.Reply(200, `{"items":[`+key+`,`+old+`],"total":2,"next_cursor":""}`)
	api.Replies["POST /api/keys/rotate"] = clitest.Reply(200, `{"key":`+key+`,"old":`+old+`}`)
	api.Replies["POST /api/keys/k1/retire"] = clitest.Reply(200, old)
	run := func(args ...string) clitest.Result {
		t.Helper()
		return clitest.CommandLine{Env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.Run(t, append([]string{"key"}, args...)...)
	}
	r := run("list")
	r.Want(t, cli.ExitDone, []string{"k2", "trusted", "k1", "retired 2026-"}, nil)
	if strings.Contains(r.Out, "\x1b") {
		t.Errorf("%q", r.Out)
	}
	run("rotate").Want(t, cli.ExitDone, []string{"in use: k2", "retired: k1"}, nil)
	run("rotate", "--revoke-old", "-o", "json").Want(t, cli.ExitDone, []string{`"old":{"id":"k1"`}, nil)
	if seen := strings.Join(api.Seen, "\n"); !strings.Contains(seen, `{"revoke_old":true}`) {
		t.Errorf("asked for %s", seen)
	}
	run("retire", "k1").Want(t, cli.ExitDone, []string{"retired: k1"}, nil)
	run("revoke", "none").Want(t, cli.ExitError, nil, []string{"none: "})
	api.Replies["POST /api/keys/rotate"] = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) } // it dies on the way
	run("rotate", "--revoke-old").Want(t, cli.ExitError, nil, []string{"may have been replaced", "pawl key list", "pawl key revoke"})
	run("rotate", "--signing-key", "f").Want(t, cli.ExitUsage, nil, []string{"--signing-key is for --direct"})
}
