package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// A call that was flooded with signals can't be told anything. It says so, and a rejection holds all
// the same.
func TestFloodedCalls(t *testing.T) {
	for _, c := range []struct {
		name, path string
		rejected   bool // on record
	}{
		{"approve", "/api/requests/pawl-1/approve", false},
		{"reject", "/api/requests/pawl-1/reject", true},
		{"withdraw", "/api/calls/pawl-1/cancel", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.request("pawl-1").flooded = true
			for range 2 {
				rec := w.as("ana", c.path, "")
				expect(t, rec, 429, rest.CodeTooManySignals)
				if rec.Header().Get("Retry-After") != "3600" {
					t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
				}
			}
			if on := len(sent(t, w)) > 0; on != c.rejected {
				t.Errorf("a rejection is on record: %v", on)
			}
			body := w.get("/api/requests/pawl-1").Body.String()
			if !strings.Contains(body, `"code":"too_many_signals"`) {
				t.Errorf("shown without the problem: %s", body)
			}
		})
	}
	w := newWorld(t)
	w.request("pawl-1")
	if body := w.get("/api/requests/pawl-1").Body.String(); strings.Contains(body, "too_many_signals") {
		t.Errorf("an ordinary call: %s", body)
	}
}

// Each rejection is on record before its workflow hears of it, in every mode; nothing else is.
func TestRejectionsAreRecordedFirst(t *testing.T) {
	for _, c := range []struct {
		name, verb, body string
		change           func(w *world)
		status, recorded int
	}{
		{"rejected", "reject", `{"decision_id":"d","notes":"hunter2"}`, nil, 200, 1},
		{"rejected, about what was shown", "reject", `{"decision_id":"d","digest":"d1"}`, nil, 200, 1},
		{"rejected, about something else", "reject", `{"decision_id":"d","digest":"d0"}`, nil, 409, 0},
		{"approved", "approve", `{"decision_id":"d"}`, nil, 200, 0},
		{"rejected too late", "reject", `{"decision_id":"d"}`, func(w *world) { w.ended("pawl-1", approval.StatusExpired) }, 410, 0},
		{"in a store that may only be read", "reject", `{"decision_id":"d"}`, func(w *world) { w.store.appendErr = store.ErrReadOnly }, 200, 0},
		{"in a store that can't be written", "reject", `{"decision_id":"d"}`, func(w *world) { w.store.appendErr = errors.New("full") }, 200, 0},
	} {
		for mode, token := range map[string]bool{"known": true, "nobody known": false} {
			t.Run(c.name+", "+mode, func(t *testing.T) {
				w := newWorld(t)
				if token {
					w = guardedWorld(t)
				}
				who := "ana"
				if token {
					who = w.token("ana", rest.RoleReviewer)
				}
				f := w.request("pawl-1")
				before := -1
				f.onSignal = func(f *fakeWorkflow, s fakeSignal) {
					before = len(sent(t, w))
					answers(map[bool]approval.AnswerOutcome{true: approval.AnswerResolved, false: approval.AnswerStale}[c.status == 200])(f, s)
				}
				if c.change != nil {
					c.change(w)
				}
				path := "/api/requests/pawl-1/" + c.verb
				rec := w.as("ana", path, c.body)
				if token {
					rec = w.with(who, "POST", path, c.body)
				}
				if rec.Code != c.status {
					t.Fatalf("%d %s", rec.Code, rec.Body)
				}
				got := sent(t, w)
				if len(got) != c.recorded || before >= 0 && before != c.recorded {
					t.Fatalf("%d on record, %d when the signal came", len(got), before)
				}
				for _, s := range got {
					if s.Reviewer != "ana" || s.DecisionID != "d" || s.Digest != "d1" || (s.Method == "token") != token || s.At.IsZero() {
						t.Errorf("%+v", s)
					}
				}
			})
		}
	}
}

// sent are the rejections on record.
func sent(t *testing.T, w *world) (all []audit.Sent) {
	t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, e := range w.store.entries {
		if e.Kind != audit.KindSent {
			continue
		}
		var s audit.Sent
		if err := json.Unmarshal(e.Payload, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}
