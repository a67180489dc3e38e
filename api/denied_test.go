package api

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func how(channel, method string) approval.Via { return approval.Via{Channel: channel, Method: method} }

// payloadsOf are what is on record of one kind.
func (w *world) payloadsOf(kind audit.Kind) (found []audit.Payload) {
	w.t.Helper()
	for _, e := range w.store.entries {
		if e.Kind != kind {
			continue
		}
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, p)
	}
	return found
}

func TestFailedSignInsAreOnRecord(t *testing.T) {
	for name, c := range map[string]struct {
		try  func(w *world, old string)
		want audit.SignInFailed
	}{
		"unknown token": {func(w *world, _ string) { w.with("pawl_person_secret", "GET", "/api/whoami", "") },
			audit.SignInFailed{Code: rest.CodeTokenUnknown, Via: how("api", "token")}},
		"another issuer's": {func(w *world, _ string) { w.with("secret.secret.secret", "GET", "/api/whoami", "") },
			audit.SignInFailed{Code: rest.CodeTokenUnknown, Via: how("api", "oidc")}},
		"revoked token": {func(w *world, old string) {
			w.with(old, "GET", "/api/whoami", "", "User-Agent", "pawl-cli/1")
		}, audit.SignInFailed{Code: rest.CodeTokenRevoked, Subject: "rita", TokenID: "its", Via: how("cli", "token")}},
		"token on the page": {func(w *world, _ string) { w.send("POST", sessionPath, `{"token":"pawl_person_secret"}`) },
			audit.SignInFailed{Code: rest.CodeTokenUnknown, Via: how("api", "token")}},
		"code": {func(w *world, _ string) { w.send("POST", sessionPath, `{"code":"secret"}`) },
			audit.SignInFailed{Code: rest.CodeCodeUnknown, Via: how("api", "code")}},
		"session": {func(w *world, _ string) { w.with("pawl_session_secret", "GET", "/api/whoami", "") },
			audit.SignInFailed{Code: rest.CodeSessionEnded, Via: how("api", "session")}},
	} {
		w := guardedWorld(t)
		old := w.token("rita", rest.RoleReviewer)
		r := store.RevokeParams{ID: tokenID(t, old), By: "root", At: testTime}
		if _, _, err := w.store.RevokeToken(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c.try(w, old)
		}
		got := w.payloadsOf(audit.KindSignInFailed)
		if len(got) != 1 {
			t.Errorf("%s: %d entries after three", name, len(got))
			continue
		}
		f := got[0].(audit.SignInFailed)
		if f.Since.IsZero() || f.Count != 1 || f.Remote != "192.0.2.1" {
			t.Errorf("%s: %+v", name, f)
		}
		if c.want.TokenID != "" && f.TokenID != "" {
			f.TokenID = c.want.TokenID
		}
		c.want.Remote, c.want.Count, c.want.Since = f.Remote, f.Count, f.Since
		if f != c.want {
			t.Errorf("%s: %+v, want %+v", name, f, c.want)
		}
		for _, e := range w.store.entries {
			if strings.Contains(string(e.Payload)+e.Step, "secret") {
				t.Errorf("%s: the record holds what was sent: %s", name, e.Payload)
			}
		}
	}
}

// Who has no role for what they ask is on record; so is who says to be somebody else.
func TestForbiddenRequestsAreOnRecord(t *testing.T) {
	w := guardedWorld(t)
	w.request("pawl-1")
	agent := w.token("agent:a", rest.RoleAgent)
	for range 3 {
		expect(t, w.with(agent, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`), 403, rest.CodeNotPermitted)
	}
	expect(t, w.with(agent, "GET", "/api/tokens", ""), 403, rest.CodeNotPermitted)
	expect(t, w.with(agent, "POST", "/api/calls", `{"tool":"t","requester":"ana"}`), 403, rest.CodeIdentity)
	rita := w.token("rita", rest.RoleReviewer)
	expect(t, w.with(rita, "GET", "/api/audit", ""), 403, rest.CodeNotPermitted)
	expect(t, w.with(rita, "GET", "/api/whoami", ""), 200, "")
	var got []string
	for _, p := range w.payloadsOf(audit.KindForbidden) {
		f := p.(audit.Forbidden)
		if f.TokenID == "" || f.Channel != "api" || f.Method != "token" || f.Count != 1 || f.Remote == "" {
			t.Errorf("%+v", f)
		}
		got = append(got, f.By+" "+f.Route+" "+f.Code)
	}
	want := []string{
		"agent:a POST /api/requests/:id/approve not_permitted", "agent:a GET /api/tokens not_permitted",
		"agent:a POST /api/calls " + rest.CodeIdentity, "rita GET /api/audit not_permitted",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("on record are\n%s", strings.Join(got, "\n"))
	}
}

// Entries about tokens, keys and policies say how whoever changed them was known, and came.
func TestChangesSayHowTheyWereMade(t *testing.T) {
	w, _ := signingWorld(t)
	root := w.token("root", rest.RoleAdmin)
	made := expect(t, w.with(root, "POST", "/api/tokens", `{"subject":"ana","roles":["admin"]}`), 201, "")
	cli := []string{"User-Agent", "pawl-cli/1"}
	expect(t, w.with(root, "POST", "/api/tokens/"+made["id"].(string)+"/revoke", "", cli...), 200, "")
	expect(t, w.with(root, "POST", "/api/keys/rotate", "", cli...), 200, "")
	expect(t, w.with(root, "POST", "/api/keys/"+w.store.keys[0].ID+"/revoke", ""), 200, "")
	policy := `{"expect":0,"layers":[{"name":"p.yaml","text":"rules:\n  - tool: t\n    auto_approve: true\n"}]}`
	expect(t, w.with(root, "PUT", "/api/policy", policy), 200, "")
	last := func(kind audit.Kind) string {
		found := w.store.entries
		for i := len(found) - 1; i >= 0; i-- {
			if found[i].Kind == kind {
				return string(found[i].Payload)
			}
		}
		return ""
	}
	for kind, want := range map[audit.Kind]string{
		audit.KindTokenCreated:  `"channel":"api","method":"token"`,
		audit.KindTokenRevoked:  `"channel":"cli","method":"token"`,
		audit.KindKeyAdded:      `"channel":"cli"`,
		audit.KindKeyRetired:    `"channel":"cli"`,
		audit.KindKeyRevoked:    `"channel":"api"`,
		audit.KindPolicyApplied: `"method":"token"`,
	} {
		if got := last(kind); !strings.Contains(got, want) {
			t.Errorf("%s says %s, without %s", kind, got, want)
		}
	}
}
