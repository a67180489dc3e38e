package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestKeysOnTheDatabase(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "keys", "signing.pem")
	run := func(args ...string) result {
		t.Helper()
		if args[0] != "add" {
			args = append(args, "--direct")
		}
		return cmdline{env: map[string]string{"PAWL_DATABASE_URL": "sqlite://" + path}}.run(t, append([]string{"key"}, args...)...)
	}
	run("list").want(t, exitError, nil, []string{"there is no store here"})
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run("list").want(t, exitDone, nil, []string{"there are no signing keys"})
	run("add", file).want(t, exitDone, []string{"trusted: "}, nil)
	first := only(t, run("list", "-o", "json"))[0].ID
	run("add", file).want(t, exitDone, []string{"trusted: " + first}, nil)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	private, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	run("rotate", "--signing-key", file).want(t, exitDone, []string{"in use: ", "retired: " + first}, nil)
	second := only(t, run("list", "-o", "json"))[0].ID
	run("revoke", first, "none").want(t, exitError, []string{"revoked: " + first}, []string{"none: ", "not found"})
	run("rotate", "--signing-key", file, "--revoke-old").want(t, exitDone, []string{"revoked: " + second}, nil)
	r := run("retire", only(t, run("list", "-o", "json"))[0].ID, "-o", "json")
	r.want(t, exitDone, []string{`"retired_by":"database:`}, nil)
	list := run("list")
	for _, line := range []string{`retired 20\d\d-.* database:`, first + ` .* revoked 20\d\d-`} {
		if !regexp.MustCompile(line).MatchString(list.out) {
			t.Errorf("no line like %q in\n%s", line, list.out)
		}
	}
	if secret := strings.Split(string(private), "\n")[1]; strings.Contains(list.out+list.err+r.out, secret) {
		t.Error("a private key shows")
	}
	run("add", file).want(t, exitError, nil, []string{"was retired or revoked", "move the file away"})
	run("revoke").want(t, exitUsage, nil, []string{"ID is missing"})
	run("add").want(t, exitUsage, nil, []string{"FILE"})
	run("list", "--database-url", "mysql://x").want(t, exitUsage, nil, []string{"database"})
}

func only(t *testing.T, r result) []store.SigningKey {
	t.Helper()
	var list struct{ Items []store.SigningKey }
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || len(list.Items) == 0 {
		t.Fatalf("%s%s: %v", r.out, r.err, err)
	}
	return list.Items
}

func TestKeysByTheAPI(t *testing.T) {
	const key, old = `{"id":"k2","public":"AA==","created_at":"2026-01-02T03:04:05Z","created_by":"ana","note":"\u001b[2Jhost"}`, `{"id":"k1","public":"AA==","created_at":"2026-01-02T03:04:05Z","created_by":"ana","retired_at":"2026-01-02T03:04:05Z","retired_by":"ana"}`
	api := newFakeAPI(t)
	api.replies["GET /api/keys"] = reply(200, `{"items":[`+key+`,`+old+`],"total":2,"next_cursor":""}`)
	api.replies["POST /api/keys/rotate"] = reply(200, `{"key":`+key+`,"old":`+old+`}`)
	api.replies["POST /api/keys/k1/retire"] = reply(200, old)
	run := func(args ...string) result {
		t.Helper()
		return cmdline{env: map[string]string{"PAWL_API": api.URL, "PAWL_TOKEN": "t"}}.run(t, append([]string{"key"}, args...)...)
	}
	r := run("list")
	r.want(t, exitDone, []string{"k2", "trusted", "k1", "retired 2026-"}, nil)
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("%q", r.out)
	}
	run("rotate").want(t, exitDone, []string{"in use: k2", "retired: k1"}, nil)
	run("rotate", "--revoke-old", "-o", "json").want(t, exitDone, []string{`"old":{"id":"k1"`}, nil)
	if seen := strings.Join(api.seen, "\n"); !strings.Contains(seen, `{"revoke_old":true}`) {
		t.Errorf("asked for %s", seen)
	}
	run("retire", "k1").want(t, exitDone, []string{"retired: k1"}, nil)
	run("revoke", "none").want(t, exitError, nil, []string{"none: "})
	api.replies["POST /api/keys/rotate"] = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) } // it dies on the way
	run("rotate", "--revoke-old").want(t, exitError, nil, []string{"may have been replaced", "pawl key list", "pawl key revoke"})
	run("rotate", "--signing-key", "f").want(t, exitUsage, nil, []string{"--signing-key is for --direct"})
}

// An API that may not write its store, and was not told which key to use, does
// without. One that was told does not.
func TestSignerOfAReadOnlyAPI(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	x := access{modes: []string{authTokens}, signingKey: filepath.Join(dir, "key.pem")}
	log := slog.New(slog.DiscardHandler)
	if signer, err := x.signer(t.Context(), read, false, log); err != nil || signer != nil {
		t.Errorf("%v, %v", signer, err)
	}
	if _, err := x.signer(t.Context(), read, true, log); err == nil || !strings.Contains(err.Error(), "pawl key add") || !strings.Contains(err.Error(), "--signing-key") {
		t.Errorf("%v", err)
	}
	if signer, err := (&access{modes: []string{authNone}}).signer(t.Context(), read, true, log); err != nil || signer != nil {
		t.Errorf("%v, %v", signer, err)
	}
}
