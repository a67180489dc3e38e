package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// A call that was flooded with signals can't be told anything. It says so, and a rejection holds all
// the same. Temporal's bound, or the workflow's own, makes no difference.
func TestFloodedCalls(t *testing.T) {
	for _, c := range []struct {
		name, path string
		rejected   bool // on record
	}{
		{"approve", "/api/requests/pawl-1/approve", false},
		{"reject", "/api/requests/pawl-1/reject", true},
		{"withdraw", "/api/calls/pawl-1/cancel", false},
	} {
		for by, flood := range map[string]func(f *fakeWorkflow){
			"by Temporal's bound": func(f *fakeWorkflow) { f.flooded = true },
			"by the workflow's":   func(f *fakeWorkflow) { f.state.TooManySignals = true },
		} {
			t.Run(c.name+", "+by, func(t *testing.T) {
				w := newWorld(t)
				flood(w.request("pawl-1"))
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
				for _, path := range []string{"/api/requests/pawl-1", "/api/calls/pawl-1"} {
					if body := w.get(path).Body.String(); !strings.Contains(body, `"code":"too_many_signals"`) {
						t.Errorf("%s is shown without the problem: %s", path, body)
					}
				}
			})
		}
	}
	w := newWorld(t)
	w.request("pawl-1")
	if body := w.get("/api/requests/pawl-1").Body.String(); strings.Contains(body, "too_many_signals") {
		t.Errorf("an ordinary call: %s", body)
	}
}

// Of a call that ignores signals, what it has answered is still answered, and what its status says.
func TestDecisionsAboutFloodedCalls(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		change           func(f *fakeWorkflow)
		status           int
		code             string
	}{
		{"repeats one that counted", "approve", `{"decision_id":"d"}`, func(f *fakeWorkflow) {
			f.state.Answers = []approval.Answer{{DecisionID: "d", Outcome: approval.AnswerRecorded}}
		}, 200, "recorded"},
		{"is laid aside", "approve", `{"decision_id":"d"}`, func(f *fakeWorkflow) { f.state.Judging = true }, 202, "not_judged_yet"},
		{"comes while the tool runs", "approve", "", func(f *fakeWorkflow) { f.state.Status = approval.StatusExecuting }, 409, "already_resolved"},
		{"rejects while the tool runs", "reject", "", func(f *fakeWorkflow) { f.state.Status = approval.StatusExecuting }, 409, "already_resolved"},
		{"is about something else", "approve", `{"digest":"d0"}`, func(*fakeWorkflow) {}, 409, "stale"},
		{"comes before the policy's answer", "approve", "", func(f *fakeWorkflow) { f.state.Status = approval.StatusEvaluating }, 429, "too_many_signals"},
	} {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", Temporal takes no more: ", full), func(t *testing.T) {
				if full && c.status == 202 {
					c.status, c.code = 429, "too_many_signals" // it can't have been laid aside
				}
				w := newWorld(t)
				f := w.request("pawl-1")
				f.flooded, f.state.TooManySignals = full, true
				c.change(f)
				rec := w.as("ana", "/api/requests/pawl-1/"+c.path, c.body)
				if rec.Code != c.status || !strings.Contains(rec.Body.String(), `"`+c.code+`"`) {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			})
		}
	}
	t.Run("is asked for later", func(t *testing.T) {
		w := newWorld(t)
		w.request("pawl-1").state.TooManySignals = true
		rec := w.get("/api/requests/pawl-1/decisions/d")
		if rec.Code != 202 || !strings.Contains(rec.Body.String(), "too many signals") {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
	for status, code := range map[approval.Status]int{
		approval.StatusPending: 429, approval.StatusApproved: 429, approval.StatusExecuting: 409,
	} {
		t.Run("withdraws what is "+string(status), func(t *testing.T) {
			w := newWorld(t)
			f := w.request("pawl-1")
			f.state.TooManySignals, f.state.Status = true, status
			want := map[int]string{409: "already_resolved", 429: rest.CodeTooManySignals}[code]
			expect(t, w.as("ana", "/api/calls/pawl-1/cancel", ""), code, want)
		})
	}
	t.Run("is not offered", func(t *testing.T) {
		w := newWorld(t)
		w.request("pawl-1").state.TooManySignals = true
		var r rest.Request
		if err := json.Unmarshal(w.get("/api/requests/pawl-1").Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.You == nil || len(r.You.May) > 0 || !strings.Contains(r.You.Why, "too many signals") || r.Error != nil {
			t.Errorf("%+v, %+v", r.You, r.Error)
		}
	})
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
