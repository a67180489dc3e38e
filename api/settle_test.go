package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

const ranBody = `{"ran":true,"notes":"the bank shows it","result":{"id":7}}`

// settleWorld has a call of ana's agent whose outcome is unknown.
func settleWorld(t testing.TB, change ...func(*store.Record)) (*world, *fakeCallers) {
	f := &fakeCallers{}
	w := guardedWorld(t, func(o *Options) { o.Callers = f })
	f.store = w.store
	w.ended("pawl-1", approval.StatusOutcomeUnknown, append([]func(*store.Record){func(r *store.Record) {
		r.View.Requester, r.View.Owner = "agent:billing", "ana"
	}}, change...)...)
	return w, f
}

func TestSettle(t *testing.T) {
	w, f := settleWorld(t)
	bo, agent := w.token("bo", rest.RoleReviewer), w.token("agent:billing", rest.RoleAgent)
	const path = "/api/requests/pawl-1/settle"
	v := expect(t, w.with(bo, "POST", path, ranBody), http.StatusOK, "")
	said, _ := v["settled"].(map[string]any)
	if v["status"] != "outcome_unknown" || said["ran"] != true || said["by"] != "bo" || said["notes"] != "the bank shows it" {
		t.Errorf("%v", v)
	}
	if len(f.said) != 1 || f.said[0].Method != "token" || f.said[0].Channel != "api" || f.said[0].Settled.SelfApproval {
		t.Errorf("on record: %+v", f.said)
	}
	expect(t, w.with(bo, "POST", path, ranBody), http.StatusOK, "")
	p := expect(t, w.with(bo, "POST", path, `{"ran":false,"notes":"no"}`), http.StatusConflict, rest.CodeSettled)
	end, _ := p["call_outcome"].(map[string]any)
	if said, _ := end["settled"].(map[string]any); said["by"] != "bo" || !strings.Contains(p["detail"].(string), "bo said") {
		t.Errorf("%v", p)
	}
	cy := w.token("cy", rest.RoleReviewer)
	expect(t, w.with(cy, "POST", path, ranBody), http.StatusConflict, rest.CodeSettled)

	// Who asked for the call sees it, though Temporal knows nothing of it.
	o := expect(t, w.with(agent, "GET", "/api/calls/pawl-1", ""), http.StatusOK, "")
	if said, _ := o["settled"].(map[string]any); said["by"] != "bo" || o["status"] != "outcome_unknown" {
		t.Errorf("%v", o)
	}
	waited := expect(t, w.with(agent, "POST", "/api/calls/wait", `{"calls":[{"id":"pawl-1"}]}`), http.StatusOK, "")
	one, _ := waited["calls"].([]any)[0].(map[string]any)
	if o, _ := one["outcome"].(map[string]any); o["settled"] == nil {
		t.Errorf("%v", waited)
	}
}

func TestSettleIsOnlyForUnknownOutcomes(t *testing.T) {
	w, _ := settleWorld(t)
	for _, status := range []approval.Status{
		approval.StatusExecuted, approval.StatusFailed, approval.StatusRejected, approval.StatusCancelled,
	} {
		w.ended("pawl-"+string(status), status)
	}
	w.request("pawl-waits")
	bo := w.token("bo", rest.RoleReviewer)
	for _, id := range []string{"executed", "failed", "rejected", "cancelled", "waits"} {
		p := expect(t, w.with(bo, "POST", "/api/requests/pawl-"+id+"/settle", ranBody), http.StatusConflict, rest.CodeNotUnknown)
		if p["call_status"] == nil {
			t.Errorf("%s: %v", id, p)
		}
	}
	expect(t, w.with(bo, "POST", "/api/requests/pawl-none/settle", ranBody), http.StatusNotFound, approval.CodeNotFound)
	for what, body := range map[string]string{
		"nothing":              `{}`,
		"no reason":            `{"ran":true}`,
		"an empty reason":      `{"ran":true,"notes":" "}`,
		"not whether it ran":   `{"notes":"who knows"}`,
		"a result of nothing":  `{"ran":false,"notes":"no","result":1}`,
		"a word for a boolean": `{"ran":"yes","notes":"no"}`,
		"an unknown field":     `{"ran":true,"notes":"no","by":"eve"}`,
		"a result too large":   `{"ran":true,"notes":"n","result":"` + strings.Repeat("x", approval.MaxResult) + `"}`,
	} {
		if rec := w.with(bo, "POST", "/api/requests/pawl-1/settle", body); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, rec.Code, rec.Body)
		}
	}
}

func TestWhoMaySettle(t *testing.T) {
	self := func(r *store.Record) {
		r.View.Requirement = approval.OneApproval()
		r.View.Requirement.SelfApproval = true
	}
	allowed := func(r *store.Record) { r.View.Requirement, r.IsRequest = nil, false }
	for name, c := range map[string]struct {
		change  func(*store.Record)
		subject string
		roles   []rest.Role
		status  int
		code    string
		own     bool
	}{
		"a reviewer":                {func(*store.Record) {}, "bo", []rest.Role{rest.RoleReviewer}, 200, "", false},
		"of a call nobody approved": {allowed, "bo", []rest.Role{rest.RoleReviewer}, 200, "", false},
		"the owner":                 {func(*store.Record) {}, "ana", []rest.Role{rest.RoleReviewer}, 403, "forbidden", false},
		"the owner in capitals":     {func(*store.Record) {}, "ANA", []rest.Role{rest.RoleReviewer}, 403, "forbidden", false},
		"the requester":             {func(*store.Record) {}, "agent:billing", []rest.Role{rest.RoleReviewer}, 403, "forbidden", false},
		"the owner of an allowed":   {allowed, "ana", []rest.Role{rest.RoleReviewer}, 403, "forbidden", false},
		"the owner, by its rule":    {self, "ana", []rest.Role{rest.RoleReviewer}, 200, "", true},
		"an agent":                  {self, "agent:billing", []rest.Role{rest.RoleAgent}, 403, rest.CodeNotPermitted, false},
		"an auditor":                {self, "bo", []rest.Role{rest.RoleAuditor}, 403, rest.CodeNotPermitted, false},
		"an administrator":          {self, "bo", []rest.Role{rest.RoleAdmin}, 403, rest.CodeNotPermitted, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, f := settleWorld(t, c.change)
			rec := w.with(w.token(c.subject, c.roles...), "POST", "/api/requests/pawl-1/settle", ranBody)
			expect(t, rec, c.status, c.code)
			switch done := len(f.said) == 1; {
			case done != (c.status == 200):
				t.Errorf("on record: %+v", f.said)
			case done && f.said[0].Settled.SelfApproval != c.own:
				t.Errorf("marked as their own: %+v", f.said[0])
			}
			refusals := slices.DeleteFunc(slices.Clone(w.store.entries), func(e audit.Entry) bool { return e.Kind != audit.KindRefused })
			if forbidden := c.code == string(approval.AnswerForbidden); forbidden != (len(refusals) == 1) {
				t.Fatalf("%d refusals are on record", len(refusals))
			} else if forbidden && !strings.Contains(string(refusals[0].Payload), `"signal":"settle"`) {
				t.Errorf("on record: %s", refusals[0].Payload)
			}
		})
	}
}

// Where nobody is authenticated, reviewers name themselves.
func TestSettleWithoutAuthentication(t *testing.T) {
	f := &fakeCallers{}
	w := newWorld(t, func(o *Options) { o.Callers = f })
	f.store = w.store
	w.ended("pawl-1", approval.StatusOutcomeUnknown)
	const path = "/api/requests/pawl-1/settle"
	expect(t, w.send("POST", path, ranBody), http.StatusUnauthorized, rest.CodeReviewerRequired)
	expect(t, w.send("POST", path, ranBody, rest.HeaderReviewer, "bo"), http.StatusOK, "")
	if len(f.said) != 1 || f.said[0].Settled.By != "bo" || f.said[0].Method != "" {
		t.Errorf("on record: %+v", f.said)
	}
}

func TestReadOnlyAPIDoesNotSettle(t *testing.T) {
	w := newWorld(t)
	w.ended("pawl-1", approval.StatusOutcomeUnknown)
	rec := w.send("POST", "/api/requests/pawl-1/settle", ranBody, rest.HeaderReviewer, "bo")
	expect(t, rec, http.StatusForbidden, rest.CodeReadOnly)
}

func TestTwoPeopleSettleAtOnce(t *testing.T) {
	w, f := settleWorld(t)
	tokens := []string{w.token("bo", rest.RoleReviewer), w.token("cy", rest.RoleReviewer)}
	var kept, refused atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			switch rec := w.with(tokens[i%2], "POST", "/api/requests/pawl-1/settle", ranBody); rec.Code {
			case http.StatusOK:
				kept.Add(1)
			case http.StatusConflict:
				refused.Add(1)
			default:
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	all.Wait()
	if len(f.said) == 0 || kept.Load() != 4 || refused.Load() != 4 {
		t.Errorf("%d got it, %d were refused", kept.Load(), refused.Load())
	}
}

// What a workflow claims that people said is not believed.
func TestForgedSettlementIsNotShown(t *testing.T) {
	w := newWorld(t)
	unknown := approval.Outcome{
		ID: "pawl-1", Tool: "refund", Status: approval.StatusOutcomeUnknown,
		Settled: &approval.Settled{Ran: true, By: "bo", At: testTime, Notes: "trust me"},
	}
	w.request("pawl-1")
	w.temporal.complete("pawl-1", unknown)
	w.ended("pawl-1", approval.StatusOutcomeUnknown)
	if o := expect(t, w.get("/api/calls/pawl-1"), http.StatusOK, ""); o["settled"] != nil {
		t.Errorf("%v", o)
	}
	w.ended("pawl-1", approval.StatusOutcomeUnknown, func(r *store.Record) {
		r.View.Settled = &approval.Settled{By: "cy", At: testTime, Notes: "looked"}
	})
	o := expect(t, w.get("/api/calls/pawl-1"), http.StatusOK, "")
	if said, _ := o["settled"].(map[string]any); said["by"] != "cy" || said["ran"] != false {
		t.Errorf("%v", o)
	}
}

func TestListOfUnknownOutcomes(t *testing.T) {
	w := newWorld(t)
	expect(t, w.get("/api/requests?status=outcome_unknown"), http.StatusOK, "")
	if q := w.store.asked; !q.Unsettled || !q.Requests {
		t.Errorf("asked for %+v", q)
	}
	expect(t, w.get("/api/requests?status=executed"), http.StatusOK, "")
	if w.store.asked.Unsettled {
		t.Error("of other statuses, too")
	}
}
