package api

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// signingWorld is a guarded world whose API signs; it returns its key file.
func signingWorld(t *testing.T) (*world, string) {
	file := filepath.Join(t.TempDir(), "signing.pem")
	w := guardedWorld(t, func(o *Options) {
		var err error
		if o.Signer, err = auth.OpenSigner(t.Context(), auth.SignerOptions{File: file, Store: o.Store.(*fakeStore), By: "pawl api"}); err != nil {
			t.Fatal(err)
		}
	})
	return w, file
}

// verify looks at a signal as its workflow does.
func (w *world) verify(s fakeSignal, kind approval.DecisionKind, id, digest string) (sign.Statement, error) {
	w.t.Helper()
	var keys []sign.PublicKey
	for _, k := range w.store.keys {
		keys = append(keys, sign.PublicKey{ID: k.ID, Store: fakeStoreID, Public: k.Public})
	}
	return sign.Verify(approval.Decision{
		ID: s.DecisionID, Kind: kind, Reviewer: s.Reviewer, Channel: s.Channel, Groups: s.Groups, Method: s.Method, Notes: s.Notes,
		Envelope: s.Envelope, NotesSalt: s.NotesSalt,
	}, id, digest, keys)
}

func TestDecisionsAreSigned(t *testing.T) {
	w, _ := signingWorld(t)
	f := w.request("pawl-1")
	rita := w.tokenOf(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}})
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/reject", `{"notes":"no <way>","decision_id":"mine"}`), 200, "")
	before := time.Now()
	s, err := w.verify(f.signals[0], approval.Reject, "pawl-1", "d1")
	if err != nil || s.Reviewer != "rita" || s.Groups[0] != "finance" || s.Method != "token" || s.DecisionID != "mine" || s.At.After(before) {
		t.Errorf("%+v, %v", s, err)
	}

	f = w.request("pawl-2")
	expect(t, w.with(rita, "POST", "/api/requests/pawl-2/approve", `{"digest":"d0"}`), 409, string(approval.AnswerStale))
	if f.signals[0].Envelope != nil {
		t.Error("signed for a digest that nobody was shown here")
	}
}

func TestSignedDecisionsOnly(t *testing.T) {
	signed := func(w *world, id string) *fakeWorkflow {
		f := w.request(id)
		r := w.store.records[id]
		r.View.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, Decisions: approval.DecisionsSigned}
		w.store.put(r)
		return f
	}
	w := newWorld(t)
	f := signed(w, "pawl-1")
	p := expect(t, w.as("rita", "/api/requests/pawl-1/approve", ""), 403, string(approval.AnswerForbidden))
	if len(f.signals) != 0 || p["outcome"] != string(approval.AnswerForbidden) {
		t.Errorf("%v, and the workflow got %v", p, f.signals)
	}
	recorded := func(w *world, reviewer string) {
		t.Helper()
		last := w.store.entries[len(w.store.entries)-1]
		if last.Kind != audit.KindRefused || !strings.Contains(string(last.Payload), `"`+reviewer+`"`) {
			t.Errorf("on record: %s %s", last.Kind, last.Payload)
		}
	}
	recorded(w, "rita")

	w = guardedWorld(t) // which knows rita, and has no key
	f = signed(w, "pawl-1")
	expect(t, w.with(w.token("rita", rest.RoleReviewer), "POST", "/api/requests/pawl-1/approve", ""), 403, string(approval.AnswerForbidden))
	if len(f.signals) != 0 {
		t.Errorf("the workflow got %v", f.signals)
	}
	recorded(w, "rita")

	w, _ = signingWorld(t)
	f = signed(w, "pawl-1")
	expect(t, w.with(w.token("rita", rest.RoleReviewer), "POST", "/api/requests/pawl-1/approve", ""), 200, "")
	if _, err := w.verify(f.signals[0], approval.Approve, "pawl-1", "d1"); err != nil {
		t.Error(err)
	}
}

// What can't be signed is not sent.
func TestDecisionsThatCantBeSigned(t *testing.T) {
	w, _ := signingWorld(t)
	f := w.request("pawl-1")
	rita, root := w.token("rita", rest.RoleReviewer), w.token("root", rest.RoleAdmin)
	id := w.store.keys[0].ID
	expect(t, w.with(root, "POST", "/api/keys/"+id+"/revoke", ""), 200, "")
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/approve", ""), http.StatusConflict, rest.CodeSigningUnavailable)
	if len(f.signals) != 0 {
		t.Errorf("the workflow got %v", f.signals)
	}
	expect(t, w.with(root, "POST", "/api/keys/rotate", ""), 200, "")
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/approve", ""), 200, "")
}

func TestKeys(t *testing.T) {
	w, file := signingWorld(t)
	root := w.token("root", rest.RoleAdmin)
	first := w.store.keys[0]
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	var rotated rest.Rotated
	rec := w.with(root, "POST", "/api/keys/rotate", "")
	expect(t, rec, 200, "")
	if err := json.Unmarshal(rec.Body.Bytes(), &rotated); err != nil {
		t.Fatal(err)
	}
	if rotated.Old.ID != first.ID || rotated.Old.RetiredBy != "root" || rotated.Old.RevokedAt != nil || rotated.Key.CreatedBy != "root" {
		t.Errorf("%+v", rotated)
	}
	if after, _ := os.ReadFile(file); string(after) == string(before) {
		t.Error("the file holds the old key")
	}
	expect(t, w.with(root, "POST", "/api/keys/rotate", `{"revoke_old":true}`), 200, "")
	expect(t, w.with(root, "POST", "/api/keys/rotate", `{"revoke":true}`), 400, rest.CodeInvalidRequest)
	if k := w.store.keys; len(k) != 3 || k[1].RevokedBy != "root" || k[2].RevokedAt != nil {
		t.Errorf("%+v", k)
	}

	expect(t, w.with(root, "POST", "/api/keys/"+first.ID+"/retire", ""), 200, "")
	if got := expect(t, w.with(root, "POST", "/api/keys/"+first.ID+"/revoke", ""), 200, ""); got["revoked_by"] != "root" || got["retired_by"] != "root" {
		t.Errorf("%v", got)
	}
	expect(t, w.with(root, "POST", "/api/keys/none/revoke", ""), 404, approval.CodeNotFound)
	expect(t, w.with(root, "POST", "/api/keys/none/retire", ""), 404, approval.CodeNotFound)
	if got := expect(t, w.with(root, "GET", "/api/keys", ""), 200, ""); got["total"] != 3.0 {
		t.Errorf("%v", got)
	}

	w.store.appendErr = store.ErrReadOnly
	expect(t, w.with(root, "POST", "/api/keys/rotate", ""), http.StatusConflict, rest.CodeReadOnly)
	w.store.appendErr = nil
	if err := os.RemoveAll(filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	expect(t, w.with(root, "POST", "/api/keys/rotate", ""), http.StatusInternalServerError, rest.CodeSigningUnavailable)
	none := guardedWorld(t)
	expect(t, none.with(none.token("root", rest.RoleAdmin), "POST", "/api/keys/rotate", ""), http.StatusConflict, rest.CodeSigningUnavailable)
}
