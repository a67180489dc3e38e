package api

import (
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func duplicateOf(id, first string) approval.Outcome {
	return approval.Outcome{
		ID: id, Tool: "refund", Status: approval.StatusBlocked, DuplicateOf: first,
		Error: &approval.CallError{Code: approval.CodeDuplicate, Message: "the identical call waits"},
	}
}

// Whoever starts a call that is collapsed into an identical one is answered as for that one.
func TestDuplicates(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  func(w *world)
		status int
		code   string
		id     string // whom the answer is about; empty: the duplicate
		want   any    // the call's status
	}{
		{"it has ended", func(w *world) { w.request("first"); w.temporal.complete("first", executed("first")) }, 200, "", "first", "executed"},
		{"it waits", func(w *world) { w.request("first") }, 202, "", "first", "pending"},
		{"it is gone", func(w *world) {
			w.request("first").close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
		}, 409, rest.CodeWorkflowGone, "first", nil},
		{"nobody knows it", func(*world) {}, 200, "", "", "blocked"},
		{"forged: they name each other", func(w *world) {
			w.request("first")
			w.temporal.complete("first", duplicateOf("first", approval.KeyedID(auth.LocalSubject, "k1")))
		}, 200, "", "first", "blocked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.first(w)
			w.temporal.onStart = func(f *fakeWorkflow) { w.temporal.complete(f.id, duplicateOf(f.id, "first")) }
			own := approval.KeyedID(auth.LocalSubject, "k1")
			for _, body := range []string{
				`{"tool":"refund","idempotency_key":"k1","wait":"50ms"}`, // started
				`{"tool":"refund","idempotency_key":"k1"}`,               // continued
			} {
				rec := w.send("POST", "/api/calls", body)
				got := expect(t, rec, c.status, c.code)
				about, collapsed := c.id, own
				if about == "" {
					about, collapsed = own, ""
				}
				if got["id"] != about || c.want != nil && got["status"] != c.want {
					t.Errorf("%s", rec.Body)
				}
				if h := rec.Header(); h.Get("Pawl-Collapsed") != collapsed || h.Get("Location") != callPath(about) {
					t.Errorf("headers %v", h)
				}
			}
			// Asked for by its own ID, it is what it is.
			got := expect(t, w.get("/api/calls/"+own), 200, "")
			if got["status"] != "blocked" || got["same_as"] != "first" || got["id"] != own {
				t.Errorf("%v", got)
			}
		})
	}
}

// A workflow's result can be forged by whoever may write to Temporal: it opens nobody else's call.
func TestDuplicatesOfOthersStayClosed(t *testing.T) {
	w := guardedWorld(t)
	v := view("first", approval.StatusPending)
	v.Requester = "other-bot"
	w.store.put(store.Record{View: v, IsRequest: true})
	w.temporal.add(&fakeWorkflow{id: "first", state: approval.State{View: v}})
	w.temporal.complete("first", executed("first"))
	w.temporal.onStart = func(f *fakeWorkflow) { w.temporal.complete(f.id, duplicateOf(f.id, "first")) }
	rec := w.with(w.token("bot", rest.RoleAgent), "POST", "/api/calls", `{"tool":"refund","wait":"1s"}`)
	if got := expect(t, rec, 200, ""); got["status"] != "blocked" || got["id"] == "first" || got["result"] != nil || rec.Header().Get("Pawl-Collapsed") != "" {
		t.Errorf("%s", rec.Body)
	}
}
