package api

import (
	"reflect"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func TestListRequestsAsksTheStore(t *testing.T) {
	pending := []approval.Status{approval.StatusPending}
	for path, want := range map[string]store.CallQuery{
		"/api/requests":                 {Statuses: pending, Limit: store.DefaultPage},
		"/api/requests?status=all":      {Limit: store.DefaultPage},
		"/api/requests?status=executed": {Statuses: []approval.Status{approval.StatusExecuted}, Limit: store.DefaultPage},
		"/api/requests?tool=a&agent=b+c&session=d%2Fe&risk=high&cursor=f&limit=7": {
			Statuses: pending, Tool: "a", Agent: "b c", Session: "d/e", Risk: approval.RiskHigh, Cursor: "f", Limit: 7,
		},
	} {
		w := newWorld(t)
		expect(t, w.get(path), 200, "")
		want.Requests = true
		if !reflect.DeepEqual(w.store.asked, want) {
			t.Errorf("%s: asked %+v", path, w.store.asked)
		}
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	golden(t, "list_empty", w.get("/api/requests"))
	golden(t, "tools_empty", w.get("/api/tools"))
	w.request("pawl-1")
	w.request("pawl-2")
	w.ended("pawl-3", approval.StatusExecuted)
	w.entry("pawl-1", "admit", audit.KindRequested, map[string]any{"tool": "refund"})
	w.entry("pawl-2", "admit", audit.KindRequested, map[string]any{"tool": "refund"})
	w.store.entries[1].Payload = nil // removed by retention
	w.store.tools = []store.Tool{{
		Name: "refund", Description: "Pay <back>.", Schema: raw(`{"type":"object"}`), SchemaDigest: "s1", Queue: "pawl", Kind: "http",
		Timeout: approval.Duration(10 * time.Second),
	}}
	golden(t, "list_requests", w.get("/api/requests?limit=1"))
	golden(t, "tools", w.get("/api/tools"))
	golden(t, "audit", w.get("/api/audit"))
	if body := expect(t, w.get("/api/requests?status=all"), 200, ""); body["total"] != 3.0 {
		t.Errorf("%v", body)
	}
	if body := expect(t, w.get("/api/audit?request_id=pawl-1&kind=call.requested&cursor=c&limit=3"), 200, ""); body["total"] != 1.0 {
		t.Errorf("%v", body)
	}
	if want := (store.EntryQuery{Call: "pawl-1", Kind: audit.KindRequested, Cursor: "c", Limit: 3}); w.store.askedE != want {
		t.Errorf("asked %+v", w.store.askedE)
	}
	expect(t, w.get("/api/audit?request_id=pawl"), 409, codeAmbiguous)
	expect(t, w.get("/api/audit?request_id=none"), 404, approval.CodeNotFound)
}

func TestGetRequest(t *testing.T) {
	const id = "pawl-1"
	recorded := func(f *fakeWorkflow) {
		f.state.Votes = []approval.Decision{{ID: "mine", Kind: approval.Approve, Reviewer: "ana", Channel: "cli", At: testTime}}
		answers(approval.AnswerRecorded)(f, signalNamed("mine"))
	}
	for _, c := range []struct {
		name   string
		setup  func(w *world)
		path   string
		status int
		code   string
		golden string
	}{
		{"unknown", func(*world) {}, id, 404, approval.CodeNotFound, ""},
		{"pending, live", func(w *world) { recorded(w.request(id)) }, id, 200, "", "request_live"},
		{"by prefix", func(w *world) { recorded(w.request(id)) }, "paw", 200, "", "request_live"},
		{"ambiguous", func(w *world) { w.request(id); w.request("pawl-2") }, "paw", 409, codeAmbiguous, ""},
		{"workflow silent", func(w *world) { w.request(id).silent = true }, id, 200, "", "request_stored"},
		{"workflow of another digest", func(w *world) {
			f := w.request(id)
			recorded(f)
			f.state.Digest = "d2"
		}, id, 200, "", "request_stored"},
		{"ended", func(w *world) { w.ended(id, approval.StatusRejected) }, id, 200, "", "request_ended"},
		{"terminated", func(w *world) { w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }, id, 200, "", "request_terminated"},
		{"forgotten by Temporal", func(w *world) {
			w.store.put(store.Record{View: view(id, approval.StatusPending), Waits: true})
		}, id, 200, "", "request_forgotten"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 50 * time.Millisecond })
			c.setup(w)
			w.entry(id, "admit", audit.KindRequested, map[string]any{"tool": "refund"})
			rec := w.get("/api/requests/" + c.path)
			expect(t, rec, c.status, c.code)
			if c.golden != "" {
				golden(t, c.golden, rec)
			}
		})
	}
}
