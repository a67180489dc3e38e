package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Where nobody is authenticated every route is everybody's, for all calls, but for tokens and keys, which
// mean nothing there. What people decide needs a name.
func TestEveryRouteWithoutAuthentication(t *testing.T) {
	w := newWorld(t)
	rows := map[string]access{}
	for _, r := range w.server.routes() {
		rows[r.method+" "+r.path] = r.access
	}
	for key := range matrix {
		method, path, _ := strings.Cut(key, " ")
		if strings.HasPrefix(path, codecPath) {
			continue // see TestCodecIsForAdmins
		}
		t.Run(key, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Callers, o.QueryBudget = &fakeCallers{}, 100*time.Millisecond })
			w.request("pawl-1")
			w.entry("pawl-1", "admit", audit.Requested{})
			r := w.store.records["pawl-1"]
			r.View.Requester = "agent:billing" // nobody's word is taken for who that is
			w.store.put(r)
			body := map[string]string{
				"POST /api/calls":                `{"tool":"refund"}`,
				"POST /api/calls/wait":           `{"calls":[{"id":"pawl-1"}]}`,
				"POST /api/calls/{id}/start":     `{"start_id":"0123456789abcdef"}`,
				"POST /api/calls/{id}/outcome":   `{"start_id":"0123456789abcdef","status":"not_run"}`,
				"PUT /api/agents/{agent}/tools":  `{"tools":[{"name":"ls"}]}`,
				"POST /api/decisions":            `{"decision":"reject","items":[{"id":"pawl-1","digest":"d1"}]}`,
				"POST /api/requests/{id}/settle": `{"ran":true,"notes":"seen"}`,
				"PUT /api/policy":                `{"layers":[{"name":"org","text":"rules: []"}],"expect":0}`,
				"POST /api/requests/{id}/reject": `{}`, "POST /api/requests/{id}/approve": `{"digest":"d1"}`,
			}[key]
			at := strings.NewReplacer("{id}", "pawl-1", "{decision_id}", "d1").Replace(path)
			rec := w.send(method, at, body)
			var problem rest.Problem
			_ = json.Unmarshal(rec.Body.Bytes(), &problem) // other answers have no code
			decides := rows[key] == reviewers || key == "PUT /api/policy"
			switch {
			case rows[key].proved:
				if rec.Code != http.StatusForbidden || problem.Code != rest.CodeNotPermitted {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			case decides:
				if rec.Code != http.StatusUnauthorized || problem.Code != rest.CodeReviewerRequired {
					t.Errorf("without a name: %d %s", rec.Code, rec.Body)
				}
				rec = w.send(method, at, body, rest.HeaderReviewer, "ana")
				undecided := rec.Code == http.StatusConflict && strings.HasSuffix(path, "/settle") // it has not ended
				if rec.Code != http.StatusOK && rec.Code != http.StatusAccepted && !undecided {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			case rec.Code == http.StatusUnauthorized, rec.Code == http.StatusForbidden, rec.Code == http.StatusBadRequest,
				rec.Code >= http.StatusInternalServerError, rec.Code == http.StatusNotFound && strings.Contains(at, "pawl-1"):
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
}

// What its callers run is theirs: to start it, to report about it, to wait for it, and to withdraw it with
// its session. To others it is what no call is.
func TestOthersCallersAreNotThere(t *testing.T) {
	const body = `{"start_id":"0123456789abcdef","status":"executed"}`
	w := guardedWorld(t)
	mine, other := w.token("agent:billing", rest.RoleAgent), w.token("agent:hr", rest.RoleAgent)
	for id, change := range map[string]func(*store.Record){
		"pawl-waits":    func(r *store.Record) {},
		"pawl-approved": func(r *store.Record) { r.View.Status = approval.StatusApproved },
		"pawl-runs":     func(r *store.Record) { r.View.Status = approval.StatusExecuting },
	} {
		w.request(id)
		r := w.store.records[id]
		r.View.Requester, r.View.Execution, r.View.Session = "agent:billing", approval.ExecutionCaller, "s"
		change(&r)
		w.store.put(r)
	}
	w.ended("pawl-ended", approval.StatusRejected, func(r *store.Record) {
		r.View.Requester, r.View.Execution = "agent:billing", approval.ExecutionCaller
	})
	ids := []string{"pawl-waits", "pawl-approved", "pawl-runs", "pawl-ended"}
	for _, step := range []struct{ path, body string }{
		{"/start", `{"start_id":"0123456789abcdef"}`}, {"/outcome", body},
	} {
		absent := w.with(other, "POST", "/api/calls/pawl-absent"+step.path, step.body)
		expect(t, absent, http.StatusNotFound, approval.CodeNotFound)
		for _, id := range ids {
			rec := w.with(other, "POST", "/api/calls/"+id+step.path, step.body)
			if rec.Code != absent.Code || rec.Body.String() != absent.Body.String() {
				t.Errorf("%s%s to somebody else: %d %s", id, step.path, rec.Code, rec.Body)
			}
			if rec := w.with(mine, "POST", "/api/calls/"+id+step.path, step.body); rec.Code != http.StatusConflict {
				t.Errorf("%s%s to its caller: %d %s", id, step.path, rec.Code, rec.Body)
			}
		}
	}
	for _, id := range append(ids, "pawl-absent") {
		rec := w.with(other, "POST", "/api/calls/wait", `{"calls":[{"id":"`+id+`"}]}`)
		expect(t, rec, http.StatusOK, "")
		want := `{"calls":[{"id":"` + id + `","code":"` + approval.CodeNotFound + `"}]}` + "\n"
		if rec.Body.String() != want {
			t.Errorf("waiting for somebody else's: %s", rec.Body)
		}
	}
	rec := w.with(other, "POST", "/api/sessions/s/cancel", "")
	if expect(t, rec, http.StatusAccepted, ""); rec.Body.String() != `{"ids":[]}`+"\n" {
		t.Errorf("somebody else's session: %s", rec.Body)
	}
	for id, f := range w.temporal.workflows {
		if len(f.signals) != 0 {
			t.Errorf("%s got %+v", id, f.signals)
		}
	}
	bound := w.tokenOf(rest.TokenSpec{
		Subject: "agent:billing", Owner: "ana", Agents: []string{"billing"}, Roles: []rest.Role{rest.RoleAgent},
	})
	for agent, code := range map[string]int{"billing": 200, "hr": 403, "Billing": 403, "billing2": 403} {
		if rec := w.with(bound, "PUT", "/api/agents/"+agent+"/tools", `{"tools":[]}`); rec.Code != code {
			t.Errorf("the tools of %s: %d %s", agent, rec.Code, rec.Body)
		}
	}
}
