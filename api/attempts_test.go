package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// An attempt of somebody else's call is refused like one of a call that is not there.
func TestAttemptsOfOthersAreRefused(t *testing.T) {
	w := guardedWorld(t)
	mine := w.token("agent:billing", rest.RoleAgent)
	for id, requester := range map[string]string{"pawl-mine": "agent:billing", "pawl-theirs": "agent:hr"} {
		w.ended(id, approval.StatusRejected, func(r *store.Record) { r.View.Requester = requester })
	}
	w.ended("pawl-agent", approval.StatusRejected, func(r *store.Record) {
		r.View.Requester, r.View.Agent = "agent:billing", "another"
	})
	start := func(id string) (body string) {
		return fmt.Sprintf(`{"tool":"refund","agent":"billing","attempt_of":%q}`, id)
	}
	absent := w.with(mine, "POST", "/api/calls", start("pawl-absent"))
	if p := expect(t, absent, http.StatusBadRequest, rest.CodeInvalidRequest); p["detail"] != approval.ErrNoAttempt.Error() {
		t.Errorf("%v", p)
	}
	for _, id := range []string{"pawl-theirs", "pawl-agent", "pawl-min", "pawl-mine2"} {
		rec := w.with(mine, "POST", "/api/calls", start(id))
		if rec.Code != absent.Code || rec.Body.String() != absent.Body.String() {
			t.Errorf("%s: %d %s", id, rec.Code, rec.Body)
		}
	}
	if n := len(w.temporal.starts); n != 0 {
		t.Errorf("%d calls were started", n)
	}
	expect(t, w.with(mine, "POST", "/api/calls", start("pawl-mine")), http.StatusAccepted, "")
	if n := len(w.temporal.starts); n != 1 {
		t.Errorf("%d calls were started", n)
	}
}

func TestRequestShowsAttempts(t *testing.T) {
	w := newWorld(t)
	no := func(id, of, args, notes string) {
		w.ended(id, approval.StatusRejected, func(r *store.Record) {
			r.View.AttemptOf, r.View.Args = of, raw(args)
			r.View.Decision = &approval.FinalDecision{Kind: approval.FinalReject, By: "ana", Notes: notes, At: testTime}
		})
	}
	no("pawl-1", "", `{"amount":500,"card":"[redacted]"}`, "too much")
	no("pawl-2", "pawl-1", `{"amount":300,"card":"[redacted]"}`, "still too much")
	w.request("pawl-3")
	r, err := w.store.Call(t.Context(), "pawl-3")
	if err != nil {
		t.Fatal(err)
	}
	r.View.AttemptOf = "pawl-2"
	w.store.put(r)
	other := r.View
	other.ID, other.AttemptOf, other.CreatedAt = "pawl-0", "", testTime.Add(-time.Hour)
	w.store.previous = map[string][]approval.View{"pawl-3": {other}}
	rec := w.get("/api/requests/pawl-3")
	body := expect(t, rec, http.StatusOK, "")
	attempts, _ := body["attempts"].([]any)
	previous, _ := body["previous"].([]any)
	if len(attempts) != 2 || len(previous) != 1 {
		t.Fatalf("%s", rec.Body)
	}
	for _, want := range []string{
		`{"id":"pawl-1","status":"rejected","by":"ana","notes":"too much"`, `{"path":"/amount","was":500,"now":300}`,
		`{"path":"/card","was":"[redacted]","now":"[redacted]","hidden":true}`, `{"path":"/amount","was":300,"now":120}`,
		`{"id":"pawl-0","status":"pending","at":`,
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%s is not in\n%s", want, rec.Body)
		}
	}
	w.store.err = store.ErrDamaged
	if rec := w.get("/api/requests/pawl-3"); rec.Code < 500 {
		t.Errorf("a store that fails: %d", rec.Code)
	}
}
