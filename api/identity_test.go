package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func TestCallsAreTheirPrincipals(t *testing.T) {
	one := rest.TokenSpec{Subject: "agent:billing", Owner: "ana", Roles: []rest.Role{rest.RoleAgent}, Team: "finance", Agents: []string{"billing"}}
	two, any := one, one
	two.Agents = []string{"billing", "refunds"}
	any.Agents, any.Team = nil, ""
	for _, c := range []struct {
		name, body string
		spec       rest.TokenSpec
		code       string
		agent      string
	}{
		{"says nothing", `{"tool":"t"}`, one, "", "billing"},
		{"says what is true", `{"tool":"t","requester":"agent:billing","owner":"ana","team":"finance","agent":"billing"}`, one, "", "billing"},
		{"another requester", `{"tool":"t","requester":"agent:hr"}`, one, rest.CodeIdentity, ""},
		{"another owner", `{"tool":"t","owner":"ben"}`, one, rest.CodeIdentity, ""},
		{"another team", `{"tool":"t","team":"hr"}`, one, rest.CodeIdentity, ""},
		{"a team, where there is none", `{"tool":"t","team":"hr"}`, any, rest.CodeIdentity, ""},
		{"another agent", `{"tool":"t","agent":"hr"}`, one, rest.CodeIdentity, ""},
		{"another case", `{"tool":"t","agent":"Billing"}`, one, rest.CodeIdentity, ""},
		{"any agent", `{"tool":"t","agent":"hr"}`, any, "", "hr"},
		{"no agent", `{"tool":"t"}`, any, "", ""},
		{"one of two", `{"tool":"t","agent":"refunds"}`, two, "", "refunds"},
		{"none of two", `{"tool":"t"}`, two, rest.CodeIdentity, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := guardedWorld(t)
			rec := w.with(w.tokenOf(c.spec), "POST", "/api/calls", c.body)
			if c.code != "" {
				expect(t, rec, http.StatusForbidden, c.code)
				if len(w.temporal.starts) != 0 {
					t.Error("a call was started")
				}
				return
			}
			id, _ := expect(t, rec, 202, "")["id"].(string)
			call := w.temporal.get(id).call
			if call.Requester != "agent:billing" || call.Owner != "ana" || call.Team != c.spec.Team || call.Agent != c.agent {
				t.Errorf("the workflow got %+v", call)
			}
			if got := string(w.temporal.starts[0].Memo.Fields[approval.MemoRequester].Data); got != `"agent:billing"` {
				t.Errorf("the memo says %s", got)
			}
		})
	}
	// Where nobody is authenticated, nobody is held to it.
	w := newWorld(t)
	id, _ := expect(t, w.send("POST", "/api/calls", `{"tool":"t","owner":"ana","team":"hr","agent":"x"}`), 202, "")["id"].(string)
	if call := w.temporal.get(id).call; call.Requester != auth.LocalSubject || call.Owner != "" || call.Team != "hr" {
		t.Errorf("the workflow got %+v", call)
	}
}

func TestDecisionsAreTheirPrincipals(t *testing.T) {
	w := guardedWorld(t)
	f := w.request("pawl-1")
	rita := w.tokenOf(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance", "leads"}})
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`, "X-Pawl-Reviewer", "ana"), 403, rest.CodeIdentity)
	if len(f.signals) != 0 {
		t.Fatal("a decision under another name was sent")
	}
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`, "X-Pawl-Reviewer", "rita"), 200, "")
	s := f.signals[0]
	if s.Reviewer != "rita" || !slices.Equal(s.Groups, []string{"finance", "leads"}) || s.Method != "token" {
		t.Errorf("the workflow got %+v", s.DecisionSignal)
	}
	w.request("pawl-2")
	expect(t, w.with(w.token("root", rest.RoleAdmin), "POST", "/api/calls/pawl-2/cancel", ``), 202, "")
	if by := w.temporal.get("pawl-2").signals[0].by; by != "root" {
		t.Errorf("withdrawn by %q", by)
	}

	// Nobody is authenticated by a header, and nothing says so.
	w = newWorld(t)
	f = w.request("pawl-1")
	expect(t, w.as("rita", "/api/requests/pawl-1/approve", ""), 200, "")
	if s := f.signals[0]; s.Reviewer != "rita" || s.Groups != nil || s.Method != "" {
		t.Errorf("the workflow got %+v", s.DecisionSignal)
	}
}

// A token decides as what it is at that moment.
func TestGroupIsGoneBeforeTheDecision(t *testing.T) {
	w := guardedWorld(t)
	f := w.request("pawl-1")
	rita := w.tokenOf(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}})
	r := store.RevokeParams{ID: tokenID(t, rita), By: "root", At: time.Now()}
	if _, _, err := w.store.RevokeToken(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	expect(t, w.with(rita, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`), 401, rest.CodeTokenRevoked)
	if len(f.signals) != 0 {
		t.Error("a revoked token's decision was sent")
	}
	without := w.token("rita", rest.RoleReviewer)
	expect(t, w.with(without, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`), 200, "")
	if s := f.signals[0]; s.Groups != nil {
		t.Errorf("the decision still says the group: %+v", s.DecisionSignal)
	}
}

func TestWhoAskedCantApprove(t *testing.T) {
	for _, c := range []struct {
		name, requester, owner, reviewer string
		forbidden                        bool
	}{
		{"the owner of the agent", "agent:billing", "ana", "ana", true},
		{"the owner, in another case", "agent:billing", "ana", "ANA", true},
		{"who asked", "ana", "ana", "ana", true},
		{"somebody else", "agent:billing", "ana", "rita", false},
		{"somebody with a longer name", "agent:billing", "ana", "anastasia", false},
		{"a call that nobody authenticated", "ana", "", "ana", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, verb := range []string{"approve", "reject"} {
				w := guardedWorld(t, func(o *Options) { o.QueryBudget = time.Minute }) // a busy machine is slow
				f := w.request("pawl-1")
				r := w.store.records["pawl-1"]
				r.View.Requester, r.View.Owner = c.requester, c.owner
				w.store.put(r)
				token := w.token(c.reviewer, rest.RoleReviewer, rest.RoleAgent)
				w.store.entries = nil
				rec := w.with(token, "POST", "/api/requests/pawl-1/"+verb, `{"digest":"d1","decision_id":"x"}`)
				if verb == "reject" || !c.forbidden {
					expect(t, rec, 200, "")
					continue
				}
				body := expect(t, rec, 403, "forbidden")
				if body["outcome"] != "forbidden" || len(f.signals) != 0 {
					t.Errorf("%v, and %d signals", body, len(f.signals))
				}
				if len(w.store.entries) != 1 || w.store.entries[0].Kind != audit.KindRefused || w.store.entries[0].Subject != "pawl-1" ||
					!bytes.Contains(w.store.entries[0].Payload, []byte(`"reviewer":"`+c.reviewer+`"`)) {
					t.Errorf("on record is %+v", w.store.entries)
				}
				w.store.appendErr = store.ErrReadOnly // it is refused all the same
				expect(t, w.with(token, "POST", "/api/requests/pawl-1/"+verb, `{"digest":"d1"}`), 403, "forbidden")
			}
		})
	}
}

// Whoever makes a token of an agent that answers for itself is warned.
func TestTokensOfTheirOwnOwners(t *testing.T) {
	for body, warned := range map[string]bool{
		`{"subject":"agent:hr","owner":"agent:hr","roles":["agent"]}`:          true,
		`{"subject":"agent:straße","owner":"AGENT:STRASSE","roles":["agent"]}`: true,
		`{"subject":"agent:hr","owner":"ben","roles":["agent"]}`:               false,
		`{"subject":"agent:hr","owner":"agent:hr2","roles":["agent"]}`:         false,
		`{"subject":"ben","roles":["reviewer","agent"]}`:                       false, // a person
	} {
		w := guardedWorld(t)
		rec := w.with(w.token("root", rest.RoleAdmin), "POST", "/api/tokens", body)
		made := expect(t, rec, 201, "")
		warnings, _ := made["warnings"].([]any)
		if (len(warnings) == 1) != warned || warned && !strings.Contains(fmt.Sprint(warnings...), "is its own owner, so no person") {
			t.Errorf("%s: %v", body, made)
		}
	}
}

func TestTokenRoutes(t *testing.T) {
	w := guardedWorld(t)
	root := w.token("root", rest.RoleAdmin)
	rec := w.with(root, "POST", "/api/tokens", `{"subject":"agent:hr","owner":"ben","roles":["agent"],"team":"hr"}`)
	body := expect(t, rec, 201, "")
	text, _ := body["token"].(string)
	if id, ok := auth.TokenID(text); !ok || id != body["id"] || body["created_by"] != "root" || body["expires_at"] == nil {
		t.Errorf("made %v", body)
	}
	if who := expect(t, w.with(text, "GET", "/api/whoami", ""), 200, ""); who["subject"] != "agent:hr" || who["owner"] != "ben" {
		t.Errorf("it is %v", who)
	}
	list := w.with(root, "GET", "/api/tokens", "")
	expect(t, list, 200, "")
	if secret := text[strings.LastIndex(text, "_")+1:]; strings.Contains(list.Body.String(), secret) || strings.Contains(list.Body.String(), "hash") {
		t.Error("the list shows a secret")
	}
	path := "/api/tokens/" + tokenID(t, text) + "/revoke"
	for range 2 { // again does nothing more
		if body := expect(t, w.with(root, "POST", path, ""), 200, ""); body["revoked_by"] != "root" {
			t.Errorf("revoked: %v", body)
		}
	}
	expect(t, w.with(text, "GET", "/api/whoami", ""), 401, rest.CodeTokenRevoked)
	expect(t, w.with(root, "POST", "/api/tokens/none/revoke", ""), 404, approval.CodeNotFound)
	kinds := map[audit.Kind]int{}
	for _, e := range w.store.entries {
		kinds[e.Kind]++
	}
	if kinds[audit.KindTokenCreated] != 2 || kinds[audit.KindTokenRevoked] != 1 {
		t.Errorf("on record are %v", kinds)
	}
	for _, bad := range []string{`{}`, `{"subject":"x"}`, `{"subject":"x","roles":["root"]}`, `{"subject":"x","roles":["agent"]}`,
		`{"subject":"x","roles":["admin"],"expires_at":"2001-01-01T00:00:00Z"}`, `{"subject":"x","roles":["admin"],"created_by":"me"}`, `[]`} {
		expect(t, w.with(root, "POST", "/api/tokens", bad), 400, rest.CodeInvalidRequest)
	}
	w.store.appendErr = store.ErrReadOnly
	expect(t, w.with(root, "POST", "/api/tokens", `{"subject":"x","roles":["admin"]}`), 403, rest.CodeReadOnly)

	// Whoever may use a machine where nobody is authenticated could lay tokens up for the day when
	// somebody is.
	open := newWorld(t)
	expect(t, open.send("POST", "/api/tokens", `{"subject":"x","roles":["admin"]}`), 403, rest.CodeNotPermitted)
	expect(t, open.send("POST", "/api/tokens/x/revoke", ""), 403, rest.CodeNotPermitted)
	expect(t, open.get("/api/tokens"), 403, rest.CodeNotPermitted)
}

// A token that is revoked while its long poll waits gets no answer.
func TestRevokedWhileWaiting(t *testing.T) {
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/calls/pawl-1?wait=1m", ""},
		{"POST", "/api/calls", `{"tool":"refund","idempotency_key":"k","wait":"1m"}`},
		{"POST", "/api/calls", `{"tool":"refund","wait":"1m"}`},
		{"POST", "/api/calls/wait", `{"calls":[{"id":"pawl-1","revision":"` + revision(view("", approval.StatusPending)) + `"}],"wait":"1m"}`},
	} {
		t.Run(c.method+" "+c.body, func(t *testing.T) {
			callers := &fakeCallers{}
			w := guardedWorld(t, func(o *Options) { o.QueryBudget, o.Callers = time.Second, callers })
			agent := w.token("agent:billing", rest.RoleAgent)
			id := "pawl-1"
			v := view(id, approval.StatusPending)
			v.Requester = "agent:billing"
			w.store.put(store.Record{View: v, IsRequest: true})
			w.temporal.add(&fakeWorkflow{id: id, state: approval.State{View: v}})
			if strings.Contains(c.body, "key") {
				id, _ = expect(t, w.with(agent, "POST", "/api/calls", strings.Replace(c.body, "1m", "0s", 1)), 202, "")["id"].(string)
			}
			answer := make(chan *http.Response, 1)
			go func() { answer <- w.with(agent, c.method, c.path, c.body).Result() }()
			waitFor(t, "the long poll", func() bool {
				q := w.server.quotas
				q.mu.Lock()
				defer q.mu.Unlock()
				return q.quota("agent:billing").waits > 0 && (w.temporal.waiters() > 0 || c.path == "/api/calls/wait")
			})
			if strings.HasSuffix(c.body, `"refund","wait":"1m"}`) {
				id = w.temporal.starts[0].WorkflowId
			}
			r := store.RevokeParams{ID: tokenID(t, agent), By: "root", At: time.Now()}
			if _, _, err := w.store.RevokeToken(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			end := approval.Outcome{ID: id, Status: approval.StatusRejected, Execution: approval.ExecutionCaller}
			w.temporal.complete(id, end)
			v.End(end, testTime)
			w.store.put(store.Record{View: v, IsRequest: true})
			got := <-answer
			var p struct{ Code string }
			if err := json.NewDecoder(got.Body).Decode(&p); err != nil || got.StatusCode != 401 || p.Code != rest.CodeTokenRevoked {
				t.Errorf("it got %d %s, %v", got.StatusCode, p.Code, err)
			}
			if len(callers.delivered) > 0 {
				t.Errorf("the end of %q counts as told", callers.delivered)
			}
		})
	}
}

// Tokens are planted in every place of a request; then everything that the server says and logs is
// looked through.
func TestSecretsStayInside(t *testing.T) {
	var log bytes.Buffer
	w := guardedWorld(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Limits = Limits{PerSecond: -1, Pending: -1}
	})
	w.request("pawl-1")
	elsewhere := guardedWorld(t)
	tokens := []string{
		w.token("rita", rest.RoleReviewer), w.token("agent:a", rest.RoleAgent), w.token("root", rest.RoleAdmin), w.token("otto", rest.RoleAuditor),
		elsewhere.token("root", rest.RoleAdmin),
	}
	var secrets []string
	for _, text := range tokens {
		secrets = append(secrets, text[strings.LastIndex(text, "_")+1:])
	}
	leak := func(what, text string) {
		t.Helper()
		for i, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Fatalf("%s shows the token %d:\n%s", what, i, text)
			}
		}
	}
	for _, token := range tokens {
		for _, r := range w.server.routes() {
			for _, odd := range []struct {
				path, body string
				header     []string
			}{
				{path: strings.NewReplacer("{id}", "pawl-1", "{decision_id}", "d").Replace(r.path)},
				{path: strings.NewReplacer("{id}", token, "{decision_id}", token).Replace(r.path)},
				{path: r.path + "?token=" + token},
				{path: r.path, header: []string{"Host", token}},
				{path: r.path, header: []string{"Origin", token, "X-Forwarded-For", token, "X-Pawl-Reviewer", token, "Idempotency-Key", token + "\x01"}},
				{path: strings.Replace(r.path, "{id}", "pawl-1", 1), body: `{"` + token + `":1}`},
				{path: strings.Replace(r.path, "{id}", "pawl-1", 1), body: `{"tool":"` + token + ` !","subject":"` + token + `\n","roles":["` + token + `"]}`},
				{path: strings.Replace(r.path, "{id}", "pawl-1", 1), body: token},
			} {
				for _, bearer := range []string{"Bearer " + token, token, "Bearer  " + token + " "} {
					rec := w.send(r.method, odd.path, odd.body, append([]string{"Authorization", bearer}, odd.header...)...)
					if !strings.Contains(odd.path+odd.body, token) { // what somebody sends as an argument may be named in the answer
						leak("an answer", rec.Body.String()+fmt.Sprint(rec.Header()))
					}
				}
			}
		}
	}
	w.store.err = fmt.Errorf("the store is away")
	for _, token := range tokens {
		leak("an answer without a store", w.with(token, "GET", "/api/tools", "").Body.String())
	}
	leak("the log", log.String())
	if !strings.Contains(log.String(), "a credential was refused") {
		t.Error("the log says nothing of refused credentials")
	}
}

func TestReadyzToStrangers(t *testing.T) {
	w := guardedWorld(t)
	w.temporal.deserted[approval.TaskQueue] = true
	rec := w.get("/readyz")
	body := expect(t, rec, 200, "")
	if body["detail"] != nil || body["checks"].(map[string]any)["authentication"] != "ok" {
		t.Errorf("a stranger is shown %v", body)
	}
	body = expect(t, w.with(w.token("rita", rest.RoleReviewer), "GET", "/readyz", ""), 200, "")
	if body["detail"] == nil {
		t.Errorf("a reviewer is shown %v", body)
	}
}
