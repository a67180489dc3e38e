package api

import (
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func TestCancel(t *testing.T) {
	const id = "pawl-1"
	end := func(status approval.Status) func(*fakeWorkflow, fakeSignal) {
		return func(f *fakeWorkflow, _ fakeSignal) {
			f.close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, approval.Outcome{ID: id, Tool: "refund", Status: status})
		}
	}
	for _, c := range []struct {
		name    string
		setup   func(w *world)
		status  int
		code    string
		signals int
	}{
		{"withdrawn", func(w *world) { w.request(id).onSignal = end(approval.StatusCancelled) }, 200, "", 1},
		{"not certain yet", func(w *world) { w.request(id).onSignal = nil }, 202, "", 1},
		{"not certain, not admitted", func(w *world) { w.temporal.add(&fakeWorkflow{id: id}) }, 202, "", 1},
		{"too late, still executing", func(w *world) {
			w.request(id).onSignal = func(f *fakeWorkflow, s fakeSignal) {
				f.state.Status = approval.StatusExecuting
				answers(approval.AnswerAlreadyResolved)(f, s)
			}
		}, 409, "already_resolved", 1},
		{"the tool ran first", func(w *world) { w.request(id).onSignal = end(approval.StatusExecuted) }, 409, "already_resolved", 1},
		{"ended before", func(w *world) { w.request(id); w.temporal.complete(id, executed(id)) }, 409, "already_resolved", 0},
		{"withdrawn before", func(w *world) {
			w.request(id)
			w.temporal.complete(id, approval.Outcome{ID: id, Status: approval.StatusCancelled})
		}, 200, "", 0},
		{"ended long ago", func(w *world) { w.ended(id, approval.StatusExpired) }, 409, "already_resolved", 0},
		{"terminated", func(w *world) { w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }, 409, rest.CodeWorkflowGone, 0},
		{"unknown", func(*world) {}, 404, approval.CodeNotFound, 0},
		{"not a call", func(w *world) { w.temporal.add(&fakeWorkflow{id: id, typ: "Payroll"}) }, 404, approval.CodeNotFound, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 50 * time.Millisecond })
			c.setup(w)
			rec := w.send("POST", "/api/calls/"+id+"/cancel", `{"notes":"no longer needed"}`)
			body := expect(t, rec, c.status, c.code)
			if c.code == "already_resolved" && body["outcome"] != c.code {
				t.Errorf("the outcome is %v", body["outcome"])
			}
			if c.status == 202 && rec.Header().Get("Location") != "/api/calls/"+id {
				t.Errorf("headers %v", rec.Header())
			}
			f := w.temporal.get(id)
			if f == nil {
				f = &fakeWorkflow{}
			}
			if len(f.signals) != c.signals {
				t.Fatalf("%d signals", len(f.signals))
			}
			for _, s := range f.signals {
				if s.name != approval.SignalCancel || s.Notes != "no longer needed" || s.by != auth.LocalSubject || s.Channel != "api" || s.DecisionID == "" {
					t.Errorf("signal %+v", s)
				}
			}
		})
	}
}

func TestCancelSaysWho(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.QueryBudget = 10 * time.Millisecond })
	f := w.request("pawl-1")
	expect(t, w.as("ana", "/api/calls/pawl-1/cancel", ""), 202, "")
	if f.signals[0].by != "ana" {
		t.Errorf("signal %+v", f.signals[0])
	}
	expect(t, w.as("a\x01b", "/api/calls/pawl-1/cancel", ""), 400, rest.CodeInvalidRequest)
}

// By what somebody is known goes to the workflow with their withdrawal or report, and by nobody's word.
func TestSignalsSayHow(t *testing.T) {
	w := guardedWorld(t)
	f := w.request("pawl-1")
	v := view("pawl-1", approval.StatusExecuting)
	v.Execution, v.Requester = approval.ExecutionCaller, "agent:bot"
	const start = "0123456789abcdef"
	w.store.put(store.Record{View: v, Permit: &store.Permit{UsedAt: testTime, Start: approval.HashStartID(start)}})
	w.with(w.token("root", rest.RoleAdmin), "POST", "/api/calls/pawl-1/cancel", "")
	f.onSignal = func(f *fakeWorkflow, _ fakeSignal) {
		f.close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, approval.Outcome{ID: "pawl-1", Status: approval.StatusExecuted})
	}
	bot := w.token("agent:bot", rest.RoleAgent)
	claims := `{"start_id":"` + start + `","status":"not_run","by":"ana"}`
	expect(t, w.with(bot, "POST", "/api/calls/pawl-1/outcome", claims), 400, rest.CodeInvalidRequest)
	w.with(bot, "POST", "/api/calls/pawl-1/outcome", `{"start_id":"`+start+`","status":"not_run"}`)
	if len(f.signals) != 2 {
		t.Fatalf("signals %+v", f.signals)
	}
	for i, by := range []string{"root", "agent:bot"} {
		if s := f.signals[i]; s.by != by || s.Method != string(rest.MethodToken) || s.Channel != "api" {
			t.Errorf("%s by %q, known by %q, through %q", s.name, s.by, s.Method, s.Channel)
		}
	}
}
