package api

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/rest"
)

// At the default level the log has one line for each change of who may do what, and by which rules. It
// holds no secret and nothing of a policy.
func TestChangesAreLogged(t *testing.T) {
	var log bytes.Buffer
	w, _ := signingWorld(t)
	w.server.o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	root := w.token("root", rest.RoleAdmin)
	made := expect(t, w.with(root, "POST", "/api/tokens", `{"subject":"rita","roles":["reviewer"],"note":"hunter2"}`), 201, "")
	token, secret := made["id"].(string), made["token"].(string)
	key := w.store.keys[0].ID
	policy := `{"expect":0,"layers":[{"name":"p.yaml","text":"rules:\n  - tool: hunter2\n    auto_approve: true\n"}]}`
	for _, c := range []struct {
		method, path, body string
		says               []string // in its one line; empty: there is none
	}{
		{"POST", "/api/tokens/" + token + "/revoke", "", []string{`msg="token revoked"`, "token=" + token, "subject=rita", "by=root"}},
		{"POST", "/api/tokens/" + token + "/revoke", "", nil}, // it was already
		{"POST", "/api/keys/rotate", "", []string{`msg="signing key rotated"`, "old=" + key, "old_revoked=false", "by=root"}},
		{"POST", "/api/keys/" + key + "/revoke", "", []string{`msg="signing key ended"`, "key=" + key, "revoked=true", "by=root"}},
		{"POST", "/api/keys/" + key + "/revoke", "", nil},
		{"PUT", "/api/policy", policy, []string{`msg="policy applied"`, "version=1", "digest=", "by=root"}},
		{"GET", "/api/tokens", "", nil},
		{"GET", "/api/keys", "", nil},
	} {
		log.Reset()
		expect(t, w.with(root, c.method, c.path, c.body), 200, "")
		want := min(1, len(c.says))
		if strings.Count(log.String(), "\n") != want {
			t.Errorf("%s %s: %q", c.method, c.path, log.String())
		}
		for _, s := range append(c.says, "") {
			if !strings.Contains(log.String(), s) {
				t.Errorf("%s %s: no %s in %q", c.method, c.path, s, log.String())
			}
		}
		if strings.Contains(log.String(), "hunter2") || strings.Contains(log.String(), secret) {
			t.Errorf("the log holds what it must not: %q", log.String())
		}
	}
	log.Reset()
	expect(t, w.with(root, "POST", "/api/tokens", `{"subject":"agent:a","owner":"ana","roles":["agent"],"note":"hunter2"}`), 201, "")
	line := log.String()
	if strings.Count(line, "\n") != 1 || !strings.Contains(line, `msg="token made"`) || !strings.Contains(line, "subject=agent:a") || strings.Contains(line, "hunter2") {
		t.Errorf("%q", line)
	}
}
