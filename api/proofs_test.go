package api

import (
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// The checkpoint and the proofs of a real log, by a token of each role, as a third party checks them.
func TestProofs(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := guardedWorld(t)
	log := guardedWorld(t, func(o *Options) { o.Store, o.Auth = s, w.server.o.Auth })
	auditor := w.token("otto", rest.RoleAuditor)
	get := func(path string) map[string]any { return expect(t, log.with(auditor, "GET", path, ""), 200, "") }

	expect(t, log.with(auditor, "GET", "/api/audit/proof/pawl-abc", ""), 404, "unknown")
	early := log.with(auditor, "GET", "/api/audit/checkpoint", "")
	expect(t, early, 409, rest.CodeNotSealed)
	if early.Header().Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	for _, id := range []string{"pawl-abcdefgh", "pawl-ijklmnop"} {
		a, err := storetest.Sample(id, true)
		if err == nil {
			_, _, err = s.Admit(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// A call that a restored store has no row of goes by its whole ID, which may begin another's.
	lost := func(steps ...string) {
		t.Helper()
		for _, step := range steps {
			e, err := audit.New("pawl-ijk", step, time.Now(), audit.Lost{Run: step, Status: approval.StatusExecuted})
			if err == nil {
				err = s.Append(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	lost("lost/1", "lost/2")
	expect(t, log.with(auditor, "GET", "/api/audit/proof/pawl-abc", ""), 409, rest.CodeNotSealed)
	expect(t, log.with(auditor, "GET", "/api/audit/proof/pawl-", ""), 409, rest.CodeAmbiguous)
	expect(t, log.with(auditor, "GET", "/api/audit/proof/@policy", ""), 404, "unknown")
	expect(t, log.with(auditor, "GET", "/api/audit/proof/pawl-abc?cursor=x", ""), 400, rest.CodeInvalidRequest)

	keys, err := tree.OpenKeys(t.Context(), s, filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: keys})
	if err == nil {
		_, err = sealer.Seal(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	rec := log.with(auditor, "GET", "/api/audit/checkpoint", "")
	origin, _, err := tree.ParseText(rec.Body.String())
	if rec.Code != 200 || err != nil || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v %s, %v", rec.Code, rec.Header(), rec.Body, err)
	}
	got := get("/api/audit/proof/pawl-abc")
	proofs := got["proofs"].([]any)
	if got["id"] != "pawl-abcdefgh" || got["unsealed"] != 0.0 || got["next_cursor"] != "" || len(proofs) != 1 {
		t.Fatalf("%v", got)
	}
	lost("lost/3")
	first := get("/api/audit/proof/pawl-ijk?limit=2")
	if first["id"] != "pawl-ijk" || len(first["proofs"].([]any)) != 2 || first["unsealed"] != 0.0 {
		t.Errorf("%v", first)
	}
	last := get("/api/audit/proof/pawl-ijk?limit=2&cursor=" + first["next_cursor"].(string))
	if last["id"] != "pawl-ijk" || len(last["proofs"].([]any)) != 0 || last["unsealed"] != 1.0 || last["next_cursor"] != "" {
		t.Errorf("%v", last)
	}
	public, err := keys.Verifiers(origin)
	if err != nil {
		t.Fatal(err)
	}
	file, key := filepath.Join(dir, "proof"), filepath.Join(dir, "log.pub")
	err = os.WriteFile(file, []byte(proofs[0].(map[string]any)["proof"].(string)), 0o600)
	if err == nil {
		err = os.WriteFile(key, []byte(public[0]+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command("python3", "../examples/verify/verify.py", "--key", key, file).CombinedOutput()
	if err != nil || !strings.Contains(string(said), "ok: pawl-abcdefgh/requested") {
		t.Errorf("a third party says %s, %v", said, err)
	}

	for subject, roles := range map[string][]rest.Role{"bot": {rest.RoleAgent}, "rita": {rest.RoleReviewer}} {
		for _, path := range []string{"/api/audit/checkpoint", "/api/audit/proof/pawl-abc"} {
			expect(t, log.with(w.token(subject, roles...), "GET", path, ""), 403, rest.CodeNotPermitted)
		}
	}
	// Where nobody is authenticated, everybody may.
	open := newWorld(t, func(o *Options) { o.Store = s })
	expect(t, open.get("/api/audit/proof/pawl-abc"), 200, "")

	db, err := sql.Open("sqlite", filepath.Join(dir, "pawl.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{`DROP TRIGGER entries_are_final`, `UPDATE entries SET payload = CAST('{}' AS BLOB)`} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, log.with(auditor, "GET", "/api/audit/proof/pawl-abc", ""), 500, rest.CodeLogDamaged)
}
