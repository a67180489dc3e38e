package api

import (
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// A call that was started a moment ago is known, though the policy has not judged it.
func TestDecisionBeforeTheAdmission(t *testing.T) {
	const id = "pawl-1"
	start := func(w *world) *fakeWorkflow { return w.temporal.add(&fakeWorkflow{id: id}) }
	for _, c := range []struct {
		name    string
		arrange func(w *world)
		status  int
		code    string
	}{
		{"it is judged meanwhile", func(w *world) {
			start(w).onSignal = answers(approval.AnswerResolved)
			time.AfterFunc(admissionWait/3, func() {
				v := view(id, approval.StatusPending)
				w.temporal.get(id).state.View = v
				w.store.put(store.Record{View: v, IsRequest: true})
			})
		}, 200, ""},
		{"it is allowed meanwhile", func(w *world) {
			start(w)
			time.AfterFunc(admissionWait/3, func() { w.store.put(store.Record{View: view(id, approval.StatusExecuting)}) })
		}, 409, "already_resolved"},
		{"it is not judged", func(w *world) { start(w) }, 409, "not_waiting_yet"},
		{"its workflow is paused", func(w *world) { start(w).status = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED }, 409, "not_waiting_yet"},
		{"its workflow was terminated", func(w *world) { start(w).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }, 409, rest.CodeWorkflowGone},
		{"nobody knows it", func(*world) {}, 404, approval.CodeNotFound},
		{"it is another workflow", func(w *world) { w.temporal.add(&fakeWorkflow{id: id, typ: "Other"}) }, 404, approval.CodeNotFound},
		{"Temporal does not say", func(w *world) {
			w.server.o.Temporal = brokenTemporal{w.server.o.Temporal, serviceerror.NewUnavailable("away")}
			*w = *newWorld(w.t, func(o *Options) { o.Temporal = w.server.o.Temporal })
		}, 503, rest.CodeTemporalUnavailable},
	} {
		for _, verb := range []string{"approve", "reject"} {
			t.Run(c.name+": "+verb, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				c.arrange(w)
				expect(t, w.as("ana", "/api/requests/"+id+"/"+verb, `{"decision_id":"d"}`), c.status, c.code)
			})
		}
	}
}

func TestShowBeforeTheAdmission(t *testing.T) {
	w := newWorld(t)
	w.temporal.add(&fakeWorkflow{id: "pawl-1"})
	for path, judged := range map[string]bool{
		"/api/requests/pawl-1": false, "/api/requests/pawl-1/decisions/d": false, "/api/requests/pawl-2": true,
	} {
		got := expect(t, w.get(path), 404, approval.CodeNotFound)
		if said := got["detail"] == "No call has this ID."; said != judged {
			t.Errorf("%s: %v", path, got["detail"])
		}
	}
}
