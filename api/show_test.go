package api

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func TestGetCall(t *testing.T) {
	const id = "pawl-1"
	for _, c := range []struct {
		name   string
		setup  func(w *world)
		path   string
		status int
		code   string
		golden string
	}{
		{"nobody knows it", func(*world) {}, id, 404, approval.CodeNotFound, ""},
		{"no ID at all", func(*world) {}, "%00", 404, approval.CodeNotFound, ""},
		{"ID too long", func(*world) {}, strings.Repeat("x", maxParam+1), 404, approval.CodeNotFound, ""},
		{"ended", func(w *world) {
			w.request(id)
			w.temporal.complete(id, executed(id))
		}, id + "?wait=30s", 200, "", "call_ended"},
		{"running", func(w *world) { w.request(id) }, id, 200, "", "call_pending"},
		{"running, still pending after the wait", func(w *world) { w.request(id) }, id + "?wait=20ms", 200, "", "call_pending"},
		{"the workflow does not answer", func(w *world) {
			w.request(id).silent = true
		}, id, 200, "", "call_pending"},
		{"before the policy has answered", func(w *world) {
			w.temporal.add(&fakeWorkflow{id: id, silent: true, task: taken()})
		}, id, 200, "", "call_evaluating"},
		{"not a call", func(w *world) {
			w.temporal.add(&fakeWorkflow{id: id, typ: "Payroll"})
			w.temporal.complete(id, approval.Outcome{ID: id, Status: approval.StatusExecuted, Result: raw(`"salary"`)})
		}, id, 404, approval.CodeNotFound, ""},
		{"recorded as executed, but not yet delivered", func(w *world) {
			f := w.request(id)
			f.state.End(approval.Outcome{Status: approval.StatusExecuted, Result: raw(`"[redacted]"`)}, testTime)
			f.task = taken()
		}, id, 200, "", "call_undelivered"},
		{"forgotten by Temporal", func(w *world) {
			w.ended(id, approval.StatusExecuted, func(r *store.Record) { r.View.Result = raw(`{"card":"[redacted]"}`) })
		}, id, 200, "", "call_stored"},
		{"forgotten by Temporal before its end", func(w *world) {
			w.store.put(store.Record{View: view(id, approval.StatusPending), IsRequest: true})
		}, id, 200, "", "call_forgotten"},
		{"terminated while pending", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
		}, id + "?wait=30s", 200, "", "call_terminated_pending"},
		{"terminated while executing", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, nil)
			w.store.put(store.Record{View: view(id, approval.StatusExecuting), IsRequest: true, Permit: &store.Permit{}})
		}, id, 200, "", "call_terminated_executing"},
		{"terminated after its end was recorded", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
			w.ended(id, approval.StatusRejected)
		}, id, 200, "", "call_terminated_rejected"},
		{"terminated before the policy answered", func(w *world) {
			w.temporal.add(&fakeWorkflow{id: id, status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED})
		}, id, 200, "", "call_terminated_evaluating"},
		{"another call's key", func(w *world) {
			w.request(id)
			w.temporal.complete(id, approval.Outcome{ID: id, Status: approval.StatusBlocked, Error: &approval.CallError{Code: approval.CodeConflict}})
		}, id, 409, approval.CodeConflict, ""},
		{"completed with something else", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, map[string]any{"status": "fine"})
		}, id, 500, approval.CodeInternalError, ""},
		{"completed with nothing", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, nil)
		}, id, 500, approval.CodeInternalError, ""},
		{"prefix, running", func(w *world) { w.request(id) }, "paw", 200, "", "call_pending"},
		{"prefix, forgotten", func(w *world) {
			w.ended(id, approval.StatusExecuted, func(r *store.Record) { r.View.Result = raw(`{"card":"[redacted]"}`) })
		}, "pawl", 200, "", "call_stored"},
		{"prefix of several", func(w *world) {
			w.request(id)
			w.request("pawl-2")
		}, "pawl", 409, rest.CodeAmbiguous, ""},
		{"ID with odd characters", func(w *world) {
			w.request("a/b+c d%")
		}, "a%2Fb+c%20d%25", 200, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 500 * time.Millisecond })
			c.setup(w)
			rec := w.get("/api/calls/" + c.path)
			expect(t, rec, c.status, c.code)
			if c.golden != "" {
				golden(t, c.golden, rec)
			}
		})
	}
}

func TestGetCallWaitsForTheEnd(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- w.get("/api/calls/pawl-1?wait=30s") }()
	waitFor(t, "the request waits", func() bool { return w.temporal.waiters() == 1 })
	w.temporal.complete("pawl-1", executed("pawl-1"))
	if body := expect(t, <-done, 200, ""); body["status"] != "executed" {
		t.Errorf("%v", body)
	}
}

func TestGetCallFollowsAReset(t *testing.T) {
	w := newWorld(t)
	f := w.request("pawl-1")
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- w.get("/api/calls/pawl-1?wait=30s") }()
	waitFor(t, "the request waits", func() bool { return w.temporal.waiters() == 1 })
	w.temporal.mu.Lock()
	f.status = enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	w.temporal.workflows["pawl-1"] = &fakeWorkflow{
		id: "pawl-1", run: "run-2", typ: f.typ, status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, closed: make(chan struct{}), started: testTime,
	}
	close(f.closed)
	w.temporal.mu.Unlock()
	w.temporal.complete("pawl-1", executed("pawl-1"))
	if body := expect(t, <-done, 200, ""); body["status"] != "executed" {
		t.Errorf("%v", body)
	}
}

// Every view of a call has the address of its page, where the API knows it.
func TestViewsHaveTheirAddress(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.PublicURL = "https://example.com/pawl/" })
	w.request("pawl-1")
	const want = "https://example.com/pawl/requests/pawl-1"
	list := expect(t, w.get("/api/requests"), 200, "")["items"].([]any)
	for what, body := range map[string]map[string]any{
		"the call":    expect(t, w.get("/api/calls/pawl-1"), 200, ""),
		"the request": expect(t, w.get("/api/requests/pawl-1"), 200, ""),
		"the list":    list[0].(map[string]any),
		"a decision":  expect(t, w.as("ana", "/api/requests/pawl-1/approve", ""), 200, ""),
	} {
		if body["url"] != want {
			t.Errorf("%s has the address %v", what, body["url"])
		}
	}
	if started := expect(t, w.send("POST", "/api/calls", `{"tool":"refund"}`), 202, ""); started["url"] != "https://example.com/pawl/requests/"+started["id"].(string) {
		t.Errorf("a new call has the address %v", started["url"])
	}
	if _, err := New(Options{Temporal: w.server.o.Temporal, Store: w.store, PublicURL: "pawl.example.com"}); err == nil {
		t.Error("an address without a scheme is taken")
	}
}
