package api

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func TestListRequestsAsksTheStore(t *testing.T) {
	pending := []approval.Status{approval.StatusPending}
	for path, want := range map[string]store.CallQuery{
		"/api/requests":                 {Statuses: pending, Limit: store.DefaultPage},
		"/api/requests?status=all":      {Limit: store.DefaultPage},
		"/api/requests?status=ended":    {Ended: true, Limit: store.DefaultPage},
		"/api/requests?status=executed": {Statuses: []approval.Status{approval.StatusExecuted}, Limit: store.DefaultPage},
		"/api/requests?tool=a&agent=b+c&session=d%2Fe&risk=high&cursor=f&limit=7": {
			Statuses: pending, Tool: "a", Agent: "b c", Session: "d/e", Risk: approval.RiskHigh, Cursor: "f", Limit: 7,
		},
		"/api/requests?order=newest":                  {Statuses: pending, Limit: store.DefaultPage},
		"/api/requests?order=deadline&status=pending": {Statuses: pending, Nearest: true, Limit: store.DefaultPage},
		"/api/requests?by=ana&since=2026-01-05T00:00:00Z&until=2026-01-06T00:00:00.5Z": {
			Statuses: pending, By: "ana", Limit: store.DefaultPage,
			Since: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 1, 6, 0, 0, 0, 5e8, time.UTC),
		},
	} {
		w := newWorld(t)
		expect(t, w.get(path), 200, "")
		want.Requests = true
		if !reflect.DeepEqual(w.store.asked, want) {
			t.Errorf("%s: asked %+v", path, w.store.asked)
		}
	}
	for query, field := range map[string]string{
		"status=over": "status", "order=oldest": "order", "since=today": "since", "until=2026-01-05": "until", "since=2026-13-01T00:00:00Z": "since",
	} {
		body := expect(t, newWorld(t).get("/api/requests?"+query), 400, rest.CodeInvalidRequest)
		if detail := body["detail"].(string); !strings.HasPrefix(detail, field+": must be ") {
			t.Errorf("%s: %q", query, detail)
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
	w.entry("pawl-1", "admit", audit.Requested{Call: approval.View{Tool: "refund"}})
	w.entry("pawl-2", "admit", audit.Requested{Call: approval.View{Tool: "refund"}})
	w.store.entries[1].Payload = nil // removed by retention
	golden(t, "list_requests", w.get("/api/requests?limit=1"))
	golden(t, "tools", w.get("/api/tools"))
	golden(t, "audit", w.get("/api/audit"))
	if body := expect(t, w.get("/api/requests?status=all"), 200, ""); body["total"] != 3.0 {
		t.Errorf("%v", body)
	}
	if body := expect(t, w.get("/api/audit?request_id=pawl-1&kind=call.requested&since=2026-01-05T12:00:00Z&cursor=c&limit=3"), 200, ""); body["total"] != 1.0 {
		t.Errorf("%v", body)
	}
	if want := (store.EntryQuery{Subject: "pawl-1", Kind: audit.KindRequested, Since: time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC), Cursor: "c", Limit: 3}); w.store.askedE != want {
		t.Errorf("asked %+v", w.store.askedE)
	}
	expect(t, w.get("/api/audit?status=expired&risk=high&until=2026-01-05T12:00:00%2B01:00&order=newest"), 200, "")
	if want := (store.EntryQuery{
		Status: approval.StatusExpired, Risk: approval.RiskHigh, Newest: true,
		Until: time.Date(2026, 1, 5, 11, 0, 0, 0, time.UTC),
	}); !w.store.askedE.Until.Equal(want.Until) || w.store.askedE.Status != want.Status ||
		w.store.askedE.Risk != want.Risk || !w.store.askedE.Newest {
		t.Errorf("asked %+v", w.store.askedE)
	}
	for _, query := range []string{"status=maybe", "risk=some", "until=tomorrow"} {
		expect(t, w.get("/api/audit?"+query), 400, rest.CodeInvalidRequest)
	}
	expect(t, w.get("/api/audit?request_id=pawl"), 409, rest.CodeAmbiguous)
	expect(t, w.get("/api/audit?request_id=none"), 404, approval.CodeNotFound)
	expect(t, w.get("/api/audit?since=yesterday"), 400, rest.CodeInvalidRequest)
}

func TestEntriesThatWereChangedAreMarked(t *testing.T) {
	const damage = "its payload differs from its payload hash"
	w := newWorld(t)
	w.request("pawl-1")
	w.entry("pawl-1", "admit", audit.Requested{})
	w.store.entries[0].Damage = damage
	list, timeline := expect(t, w.get("/api/audit"), 200, "")["items"], expect(t, w.get("/api/requests/pawl-1"), 200, "")["timeline"]
	for _, entries := range []any{list, timeline} {
		if e := entries.([]any)[0].(map[string]any); e["damage"] != damage {
			t.Errorf("%v", e)
		}
	}
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
		{"ambiguous", func(w *world) { w.request(id); w.request("pawl-2") }, "paw", 409, rest.CodeAmbiguous, ""},
		{"workflow silent", func(w *world) { w.request(id).silent = true }, id, 200, "", "request_stored"},
		{"workflow of another digest", func(w *world) {
			f := w.request(id)
			recorded(f)
			f.state.Digest = "d2"
		}, id, 200, "", "request_stored"},
		{"ended", func(w *world) { w.ended(id, approval.StatusRejected) }, id, 200, "", "request_ended"},
		{"terminated", func(w *world) { w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }, id, 200, "", "request_terminated"},
		{"forgotten by Temporal", func(w *world) {
			w.store.put(store.Record{View: view(id, approval.StatusPending), IsRequest: true})
		}, id, 200, "", "request_forgotten"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 500 * time.Millisecond })
			c.setup(w)
			w.entry(id, "admit", audit.Requested{Call: approval.View{Tool: "refund"}})
			rec := w.get("/api/requests/" + c.path)
			expect(t, rec, c.status, c.code)
			if c.golden != "" {
				golden(t, c.golden, rec)
			}
		})
	}
}

func TestToolsSayWhetherTheyAreServed(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.QueryBudget = time.Second })
	for name, queue := range map[string]string{"here": "pawl", "there": "tools-python", "nowhere": "tools-old", "nowhere_too": "tools-old"} {
		w.store.tools = append(w.store.tools, store.Tool{Name: name, Kind: "activity", Queue: queue})
	}
	w.temporal.deserted["tools-old/Activity"] = true
	served := func() map[string]any {
		t.Helper()
		got := map[string]any{}
		for _, item := range expect(t, w.get("/api/tools"), 200, "")["items"].([]any) {
			tool := item.(map[string]any)
			got[tool["name"].(string)] = tool["served"]
		}
		return got
	}
	want := map[string]any{"here": true, "there": true, "nowhere": false, "nowhere_too": false}
	for range 2 {
		if got := served(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
	}
	if want := map[string]int{"pawl": 1, "tools-python": 1, "tools-old": 1}; !reflect.DeepEqual(w.temporal.looks, want) {
		t.Errorf("looked %v", w.temporal.looks)
	}

	// Nobody can tell: the catalogue is shown all the same.
	w.server.pollers = newCache(w.server.isPolled)
	w.temporal.onLook = func(ctx context.Context) { <-ctx.Done() }
	want = map[string]any{"here": nil, "there": nil, "nowhere": nil, "nowhere_too": nil}
	if got := served(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}
