package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func TestErase(t *testing.T) {
	w := newWorld(t)
	w.request("open")
	w.ended("over", approval.StatusExecuted)
	const body = `{"reason":"case 812"}`
	expect(t, w.send("POST", "/api/calls/open/erase", body), 409, rest.CodeNotEnded)
	expect(t, w.send("POST", "/api/calls/none/erase", body), 404, approval.CodeNotFound)
	expect(t, w.send("POST", "/api/calls/ove/erase", body), 404, approval.CodeNotFound) // never by a prefix
	for _, bad := range []string{`{}`, `{"reason":" "}`, `{"reason":"x","more":1}`, `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`} {
		if rec := w.send("POST", "/api/calls/over/erase", bad); rec.Code != 400 && rec.Code != 413 {
			t.Errorf("%.40s: %d %s", bad, rec.Code, rec.Body)
		}
	}
	if len(w.store.entries) != 0 {
		t.Fatalf("on record: %v", w.store.entries)
	}
	for range 2 { // the second time changes nothing
		v := expect(t, w.send("POST", "/api/calls/over/erase", body), 200, "")
		if v["erased_at"] == nil || v["args"] != nil || v["status"] != "executed" || v["id"] != "over" {
			t.Errorf("%v", v)
		}
	}
	if len(w.store.entries) != 1 || w.store.entries[0].Kind != audit.KindErased ||
		!strings.Contains(string(w.store.entries[0].Payload), "case 812") {
		t.Errorf("on record: %v", w.store.entries)
	}
	if v := expect(t, w.get("/api/calls/over"), 200, ""); v["erased_at"] == nil || v["result"] != nil {
		t.Errorf("shown: %v", v)
	}
}

// What is erased is told on no way, though Temporal still knows it.
func TestErasedIsNotTold(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Callers = &fakeCallers{} })
	const call = `{"tool":"refund","args":{"order":"1"},"idempotency_key":"k1"}`
	id := expect(t, w.send("POST", "/api/calls", call), http.StatusAccepted, "")["id"].(string)
	w.ended(id, approval.StatusExecuted, func(r *store.Record) { r.View.Execution = approval.ExecutionCaller })
	w.temporal.complete(id, approval.Outcome{ID: id, Tool: "refund", Status: approval.StatusExecuted, Result: []byte(`"the secret"`)})
	ways := []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/calls/" + id, "", 200},
		{"GET", "/api/calls/" + id + "?wait=10ms", "", 200},
		{"GET", "/api/calls/" + id[:20], "", 200},
		{"POST", "/api/calls", call, 200},
		{"POST", "/api/calls/wait", `{"calls":[{"id":"` + id + `"}]}`, 200},
		{"POST", "/api/calls/" + id + "/start", `{"start_id":"0123456789abcdef"}`, 409},
	}
	for _, erased := range []bool{false, true} {
		if erased {
			expect(t, w.send("POST", "/api/calls/"+id+"/erase", `{"reason":"case 812"}`), http.StatusOK, "")
		}
		for _, way := range ways {
			rec := w.send(way.method, way.path, way.body)
			if told := strings.Contains(rec.Body.String(), "the secret"); rec.Code != way.status || told == erased {
				t.Errorf("erased %v: %s %s: %d %s", erased, way.method, way.path, rec.Code, rec.Body)
			}
		}
	}
}

func (s *fakeStore) Erase(_ context.Context, p store.EraseParams) (erased []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.begin(); err != nil {
		return nil, err
	}
	for _, id := range p.IDs {
		r := s.records[id]
		view, _, err := store.Tombstone(r, p.Entry.At)
		if err != nil {
			return nil, err
		}
		r.View = approval.View{}
		if err := json.Unmarshal([]byte(view), &r.View); err != nil {
			return nil, err
		}
		s.records[id] = r
	}
	s.entries = append(s.entries, p.Entry)
	return p.IDs, nil
}
