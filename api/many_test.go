package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Each of many decisions is judged and answered as if it came alone.
func TestManyDecisions(t *testing.T) {
	w := newWorld(t)
	for id, outcome := range map[string]approval.AnswerOutcome{
		"pawl-1": approval.AnswerResolved, "pawl-2": approval.AnswerRecorded, "pawl-3": approval.AnswerStale,
	} {
		w.request(id).onSignal = answers(outcome)
	}
	w.ended("pawl-4", approval.StatusExpired)
	body := `{"decision":"approve","notes":"all checked","items":[{"id":"pawl-1","digest":"d1","decision_id":"x"},{"id":"pawl-2","digest":"d1"},
		{"id":"pawl-3","digest":"d0"},{"id":"pawl-4","digest":"d1"},{"id":"pawl-5","digest":"d1"},{"id":"\u00e9","digest":"d1"}]}`
	rec := w.as("ana", "/api/decisions", body)
	expect(t, rec, http.StatusOK, "")
	var out rest.DecisionsAnswer
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	want := []string{"pawl-1 resolved ", "pawl-2 recorded ", "pawl-3 stale stale", "pawl-4 expired approval_expired", "pawl-5 unknown unknown", "é unknown unknown"}
	for i, r := range out.Results {
		if got := fmt.Sprintf("%s %s %s", r.ID, r.Outcome, r.Code); got != want[i] || r.Code != "" && r.Message == "" {
			t.Errorf("%q, want %q: %s", got, want[i], r.Message)
		}
	}
	if len(out.Results) != len(want) || out.Results[0].DecisionID != "x" || out.Results[1].DecisionID == "" {
		t.Errorf("%+v", out.Results)
	}
	for _, f := range w.temporal.workflows {
		for _, s := range f.signals {
			if s.Notes != "all checked" || s.Reviewer != "ana" || s.name != approval.SignalApprove {
				t.Errorf("%+v", s)
			}
		}
	}
}

func TestManyDecisionsThatCantBeRead(t *testing.T) {
	w := newWorld(t)
	f := w.request("pawl-1")
	many := strings.Repeat(`{"id":"pawl-1","digest":"d1"},`, rest.MaxDecisions) + `{"id":"pawl-1","digest":"d1"}`
	for name, body := range map[string]string{
		"no decision":  `{"items":[{"id":"pawl-1","digest":"d1"}]}`,
		"another word": `{"decision":"allow","items":[{"id":"pawl-1","digest":"d1"}]}`,
		"no items":     `{"decision":"reject","items":[]}`,
		"too many":     `{"decision":"reject","items":[` + many + `]}`,
		"no digest":    `{"decision":"reject","items":[{"id":"pawl-1"}]}`,
		"no ID":        `{"decision":"reject","items":[{"digest":"d1"}]}`,
		"one twice":    `{"decision":"reject","items":[{"id":"pawl-1","digest":"d1"},{"id":"pawl-1","digest":"d1"}]}`,
		"more said":    `{"decision":"reject","items":[{"id":"pawl-1","digest":"d1","edit":[]}]}`,
	} {
		rec := w.as("ana", "/api/decisions", body)
		if rec.Code != http.StatusBadRequest || len(f.signals) > 0 {
			t.Errorf("%s: %d %s, %d signals", name, rec.Code, rec.Body, len(f.signals))
		}
	}
	expect(t, w.as("", "/api/decisions", `{"decision":"reject","items":[{"id":"pawl-1","digest":"d1"}]}`), http.StatusUnauthorized, rest.CodeReviewerRequired)
}

// A session's cancel withdraws what waits of the caller's own, and of everybody's for an administrator.
func TestSessionCancel(t *testing.T) {
	w := guardedWorld(t)
	bot := w.token("bot", rest.RoleAgent)
	admin := w.token("root", rest.RoleAdmin)
	place := func(id, session, requester string, status approval.Status) *fakeWorkflow {
		f := w.request(id)
		r := w.store.records[id]
		r.View.Session, r.View.Requester, r.View.Status = session, requester, status
		w.store.put(r)
		return f
	}
	mine := place("pawl-1", "s 1", "bot", approval.StatusPending)
	going := place("pawl-2", "s 1", "bot", approval.StatusApproved)
	runs := place("pawl-3", "s 1", "bot", approval.StatusExecuting)
	other := place("pawl-4", "s 1", "eve", approval.StatusPending)
	elsewhere := place("pawl-5", "s 2", "bot", approval.StatusPending)
	cancel := func(token, path string) (ids []string) {
		t.Helper()
		rec := w.with(token, "POST", path, `{"notes":"over"}`)
		expect(t, rec, http.StatusAccepted, "")
		var out rest.SessionCancelled
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		return out.IDs
	}
	if ids := cancel(bot, "/api/sessions/s%201/cancel"); len(ids) != 2 || len(mine.signals) != 1 || len(going.signals) != 1 || len(other.signals) != 0 {
		t.Errorf("%q", ids)
	}
	if s := mine.signals[0]; s.name != approval.SignalCancel || s.by != "bot" || s.Notes != "over" {
		t.Errorf("%+v", s)
	}
	if ids := cancel(admin, "/api/sessions/s%201/cancel"); len(ids) != 3 || len(other.signals) != 1 {
		t.Errorf("an administrator's: %q", ids)
	}
	if ids := cancel(bot, "/api/sessions/nothing/cancel"); ids == nil || len(ids) != 0 {
		t.Errorf("of no session: %q", ids)
	}
	if len(runs.signals)+len(elsewhere.signals) != 0 {
		t.Error("a call that runs, or of another session, was withdrawn")
	}
}

// One call that takes no signals any more keeps no other from being withdrawn.
func TestSessionCancelBesideAFloodedCall(t *testing.T) {
	for _, flooded := range []string{"pawl-1", "pawl-2", "pawl-3"} {
		w := newWorld(t)
		for _, id := range []string{"pawl-1", "pawl-2", "pawl-3"} {
			w.request(id).flooded = id == flooded
		}
		problem := expect(t, w.send("POST", "/api/sessions/s1/cancel", ""), http.StatusTooManyRequests, rest.CodeTooManySignals)
		if detail, _ := problem["detail"].(string); problem["id"] != flooded || !strings.HasPrefix(detail, "2 of 3 calls") {
			t.Errorf("%v", problem)
		}
		for id, f := range w.temporal.workflows {
			if got := len(f.signals) == 1; got == (id == flooded) {
				t.Errorf("%s was flooded, %s was withdrawn: %v", flooded, id, got)
			}
		}
	}
}

// A path of its own names its own methods, also where another route's parameter could be its last word.
func TestMethodsOfPaths(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/api/calls/wait": "POST", "/api/decisions": "POST", "/api/requests": "GET, HEAD"} {
		rec := w.send(http.MethodDelete, path, "")
		expect(t, rec, http.StatusMethodNotAllowed, rest.CodeNoMethod)
		if got := rec.Header().Get("Allow"); got != want {
			t.Errorf("%s takes %q, want %q", path, got, want)
		}
	}
}
