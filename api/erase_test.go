package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
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

// What is erased is not told by any route, though Temporal still has the workflow's result.
func TestErasedIsNotTold(t *testing.T) {
	const start = "0123456789abcdef0123456789abcdef"
	id := approval.KeyedID(auth.LocalSubject, "k1")
	body := func(more string) string {
		return `{"tool":"refund","args":{"amount":120},"idempotency_key":"k1","wait":0` + more + `}`
	}
	own := body(`,"execution":"caller"`)
	for _, c := range []struct {
		name, begin  string
		status       approval.Status
		method, path string
		body         string
		want         int
		code         string
	}{
		{"by its ID", body(""), approval.StatusExecuted, "GET", "/api/calls/" + id, "", 200, ""},
		{"by its ID, with a wait", body(""), approval.StatusExecuted, "GET", "/api/calls/" + id + "?wait=1s", "", 200, ""},
		{"by a prefix", body(""), approval.StatusExecuted, "GET", "/api/calls/" + id[:len(id)-3], "", 200, ""},
		{"the same key", body(""), approval.StatusExecuted, "POST", "/api/calls", body(""), 200, ""},
		{"the same key, of a caller", own, approval.StatusExecuted, "POST", "/api/calls", own, 200, ""},
		{"a copy", body(""), approval.StatusExecuted, "POST", "/api/calls",
			strings.NewReplacer("k1", "copy", `"wait":0`, `"wait":"5s"`).Replace(body("")), 200, ""},
		{"the wait of many", body(""), approval.StatusExecuted, "POST", "/api/calls/wait",
			`{"calls":[{"id":"` + id + `"}],"wait":0}`, 200, ""},
		{"a start", own, approval.StatusExecuted, "POST", "/api/calls/" + id + "/start",
			`{"start_id":"` + start + `"}`, 409, rest.CodeEnded},
		{"a late report", own, approval.StatusExecuted, "POST", "/api/calls/" + id + "/outcome",
			`{"start_id":"` + start + `","status":"executed","result":{}}`, 409, rest.CodeReportedLate},
		{"a decision's answer", body(""), approval.StatusExecuted, "GET", "/api/requests/" + id + "/decisions/mine", "", 200, ""},
		{"a withdrawal", body(""), approval.StatusCancelled, "POST", "/api/calls/" + id + "/cancel", "", 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Callers = &fakeCallers{} })
			expect(t, w.send("POST", "/api/calls", c.begin), 202, "")
			o := executed(id)
			o.Status = c.status
			if c.begin == own {
				o.Execution = approval.ExecutionCaller
			}
			o.Decision.Notes = "the card is 4111"
			v := view(id, c.status)
			v.End(o, testTime)
			v.Execution = o.Execution
			w.store.put(store.Record{View: v, IsRequest: true, Permit: &store.Permit{
				UsedAt: testTime, Start: approval.HashStartID(start),
			}})
			w.temporal.get(id).state = approval.State{View: v, Answers: []approval.Answer{
				{DecisionID: "mine", Outcome: approval.AnswerStale, Message: "ana has seen that the card is 4111"},
			}}
			w.temporal.complete(id, o)
			w.temporal.onStart = func(f *fakeWorkflow) { // of the copy
				w.temporal.complete(f.id, approval.Outcome{ID: f.id, Status: c.status, DuplicateOf: id})
			}
			send := func() string {
				rec := w.send(c.method, c.path, c.body)
				expect(t, rec, c.want, c.code)
				return rec.Body.String()
			}
			if said := send(); !strings.Contains(said, "4111") {
				t.Fatalf("it was not told before: %s", said)
			}
			expect(t, w.send("POST", "/api/calls/"+id+"/erase", `{"reason":"case 812"}`), 200, "")
			said := send()
			if strings.Contains(said, "4111") || !strings.Contains(said, `"status":"`+string(c.status)+`"`) ||
				!strings.Contains(said, id) {
				t.Errorf("told: %s", said)
			}
		})
	}
}

// Whether a call is erased only the store says: without it nothing of a call's end is told.
func TestNothingOfAnEndIsToldWithoutTheStore(t *testing.T) {
	w := newWorld(t)
	id := expect(t, w.send("POST", "/api/calls", `{"tool":"refund","idempotency_key":"k1"}`), 202, "")["id"].(string)
	w.temporal.complete(id, executed(id))
	expect(t, w.get("/api/calls/"+id), 200, "") // Temporal alone has it
	w.store.err = errors.New("away")
	expect(t, w.get("/api/calls/"+id), 503, rest.CodeStoreUnavailable)
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
