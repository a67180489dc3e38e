package api

import (
	"cmp"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot/ballottest"
	"github.com/pawlhq/pawl/rest"
)

// What the workflow would forbid is not sent, and everything else is: the API judges as the ballot
// does.
func TestSequences(t *testing.T) {
	for _, s := range ballottest.Sequences(t) {
		t.Run(s.Name, func(t *testing.T) {
			for i, step := range s.Steps {
				if step.By == "" {
					continue // the API takes decisions by somebody only
				}
				w := newWorld(t)
				if step.Signed {
					w, _ = signingWorld(t)
				}
				f := w.request("pawl-1")
				f.onSignal = answers(step.Answer)
				r, need := w.store.records["pawl-1"], s.Requirement
				r.View.Requester, r.View.Owner, r.View.Requirement = s.Requester, s.Owner, &need
				w.store.put(r)
				digest := map[string]string{"same": "d1"}[step.Digest]
				doc, err := json.Marshal(rest.DecisionRequest{Digest: cmp.Or(digest, step.Digest), Notes: step.Notes})
				if err != nil {
					t.Fatal(err)
				}
				body := string(doc)
				path := "/api/requests/pawl-1/" + string(step.Decides)
				var rec *httptest.ResponseRecorder
				if step.Signed {
					token := w.tokenOf(rest.TokenSpec{Subject: step.By, Roles: []rest.Role{rest.RoleReviewer}, Groups: step.Groups})
					rec = w.with(token, "POST", path, body)
				} else {
					rec = w.as(step.By, path, body)
				}
				code := ""
				if !step.Answer.Counted() {
					code = string(step.Answer)
				}
				expect(t, rec, answerStatus[step.Answer], code)
				if forbidden := step.Answer == approval.AnswerForbidden && !step.Turned; forbidden != (len(f.signals) == 0) {
					t.Errorf("step %d: %s, and %d signals were sent", i, step.Answer, len(f.signals))
				}
			}
		})
	}
}
