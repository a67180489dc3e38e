package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
)

// matrix says again, for people, what the table of routes says for the server: a(ll), o(wn) or -
// for agent, reviewer, auditor and admin; "public" for all.
var matrix = map[string]string{
	"GET /":                                          "public",
	"GET /healthz":                                   "public",
	"GET /openapi.yaml":                              "public",
	"GET /api/version":                               "public",
	"GET /readyz":                                    "public",
	"GET /api/whoami":                                "aaaa",
	"GET /auth/session":                              "public",
	"POST /auth/session":                             "public",
	"DELETE /auth/session":                           "aaaa",
	"POST /auth/links":                               "aaaa",
	"GET /auth/login":                                "public",
	"GET /auth/callback":                             "public",
	"POST /api/calls":                                "o---",
	"GET /api/calls/{id}":                            "o---",
	"POST /api/calls/{id}/cancel":                    "o--a",
	"POST /api/calls/wait":                           "o---",
	"POST /api/calls/{id}/erase":                     "---a",
	"POST /api/calls/{id}/release":                   "o---",
	"POST /api/calls/{id}/start":                     "o---",
	"POST /api/calls/{id}/outcome":                   "o---",
	"PUT /api/agents/{agent}/tools":                  "o---",
	"GET /api/requests":                              "oaaa",
	"GET /api/requests/{id}":                         "oaaa",
	"GET /api/requests/{id}/decisions/{decision_id}": "oaaa",
	"GET /api/events":                                "oaaa",
	"POST /api/requests/{id}/approve":                "-a--",
	"POST /api/requests/{id}/reject":                 "-a--",
	"POST /api/requests/{id}/settle":                 "-a--",
	"GET /api/audit":                                 "--aa",
	"GET /api/audit/export":                          "--aa",
	"GET /api/audit/checkpoint":                      "--aa",
	"GET /api/audit/proof/{id}":                      "--aa",
	"POST /api/sessions/{session}/cancel":            "o--a",
	"POST /api/decisions":                            "-a--",
	"GET /api/tools":                                 "aaaa",
	"GET /api/policy":                                "-aaa",
	"GET /api/policy/history":                        "-aaa",
	"GET /api/policy/{digest}":                       "-aaa",
	"PUT /api/policy":                                "---a",
	"POST /codec/decode":                             "---a",
	"POST /codec/encode":                             "---a",
	"GET /api/tokens":                                "--aa",
	"POST /api/tokens":                               "---a",
	"POST /api/tokens/{id}/revoke":                   "---a",
	"GET /api/keys":                                  "--aa",
	"POST /api/keys/rotate":                          "---a",
	"POST /api/keys/{id}/retire":                     "---a",
	"POST /api/keys/{id}/revoke":                     "---a",
}

// row writes what a route allows as matrix does.
func row(a access) string {
	if a.public {
		return "public"
	}
	text := ""
	for _, role := range rest.Roles {
		text += map[reach]string{nothing: "-", own: "o", all: "a"}[a.of(role)]
	}
	return text
}

func TestAccessIsWhatItShouldBe(t *testing.T) {
	w := newWorld(t)
	routes := map[string]bool{}
	for _, r := range w.server.routes() {
		key := r.method + " " + r.path
		routes[key] = true
		if got := row(r.access); got != matrix[key] {
			t.Errorf("%s is open to %q, and should be to %q", key, got, matrix[key])
		}
	}
	for key := range matrix {
		if !routes[key] {
			t.Errorf("%s is no route", key)
		}
	}
}

// docs/security.md shows the same table.
func TestAccessIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[byte]string{'-': "", 'o': "own", 'a': "all"}
	line := regexp.MustCompile("(?m)^\\| `([A-Z]+ [^`]+)` \\|(.*)\\|$")
	shown := map[string]string{}
	for _, m := range line.FindAllStringSubmatch(string(doc), -1) {
		shown[m[1]] = m[2]
	}
	for _, r := range newWorld(t).server.routes() {
		key, want := r.method+" "+r.path, " everybody | everybody | everybody | everybody "
		if !r.access.public {
			var cells []string
			for _, c := range []byte(row(r.access)) {
				cells = append(cells, words[c])
			}
			want = " " + strings.Join(cells, " | ") + " "
		}
		if got := shown[key]; strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
			t.Errorf("docs/security.md shows %s as |%s|, and it is |%s|", key, got, want)
		}
		delete(shown, key)
	}
	for key := range shown {
		t.Errorf("docs/security.md shows %s, which is no route", key)
	}
}

// A route that somebody adds and forgets here is closed.
func TestRouteWithoutARuleIsClosed(t *testing.T) {
	for _, w := range []*world{newWorld(t), guardedWorld(t)} {
		w.server.engine.GET("/api/forgotten", func(*gin.Context) { t.Error("the route was served") })
		rec := w.send("GET", "/api/forgotten", "", "Authorization", "Bearer "+w.token("root", rest.RoleAdmin))
		expect(t, rec, http.StatusForbidden, rest.CodeNotPermitted)
	}
}

// untouched fails if a request got as far as Temporal or changed the store, but for the note that it
// came.
func (w *world) untouched(t *testing.T, what string, before int) {
	t.Helper()
	w.temporal.mu.Lock()
	defer w.temporal.mu.Unlock()
	signals := 0
	for _, f := range w.temporal.workflows {
		signals += len(f.signals)
	}
	written := 0
	for _, e := range w.store.entries {
		if e.Subject != audit.SubjectAccess {
			written++
		}
	}
	if len(w.temporal.starts) != 0 || signals != 0 || w.temporal.queries != 0 || written != before {
		t.Errorf("%s: it reached Temporal, or was written down", what)
	}
}

// Every route with every identity.
func TestEveryRouteWithEveryIdentity(t *testing.T) {
	fresh := func(t *testing.T) (*world, map[string]string) {
		w := guardedWorld(t)
		w.request("pawl-1")
		w.entry("pawl-1", "admit", audit.Requested{})
		spare := w.token("spare", rest.RoleAuditor)
		identities := map[string]string{
			"agent": w.token("agent:billing", rest.RoleAgent), "reviewer": w.token("rita", rest.RoleReviewer),
			"auditor": w.token("otto", rest.RoleAuditor), "admin": w.token("root", rest.RoleAdmin), "spare": tokenID(t, spare),
		}
		now := time.Now()
		for name, change := range map[string]func(*store.Token){
			"expired": func(k *store.Token) { k.ExpiresAt = &now }, "revoked": func(k *store.Token) { k.RevokedAt = &now },
		} {
			text := w.token(name, rest.RoleAgent, rest.RoleReviewer, rest.RoleAuditor, rest.RoleAdmin)
			k := w.store.tokens[tokenID(t, text)]
			change(&k)
			w.store.tokens[k.ID] = k
			identities[name] = text
		}
		return w, identities
	}
	for key, wanted := range matrix {
		method, path, _ := strings.Cut(key, " ")
		if strings.HasPrefix(path, codecPath) {
			continue // see TestCodecIsForAdmins
		}
		_, elsewhere := fresh(t)
		for _, id := range []struct {
			name, token, code string // code: of a 401
			role              int    // in a row of matrix; -1: none
		}{
			{"nobody", "", rest.CodeUnauthenticated, -1},
			{"a made-up token", "pawl_agent_made-up", rest.CodeTokenUnknown, -1},
			{"a token of another Pawl", elsewhere["admin"], rest.CodeTokenUnknown, -1},
			{"an expired token", "expired", rest.CodeTokenExpired, -1},
			{"a revoked token", "revoked", rest.CodeTokenRevoked, -1},
			{"an agent", "agent", "", 0}, {"a reviewer", "reviewer", "", 1}, {"an auditor", "auditor", "", 2}, {"an admin", "admin", "", 3},
		} {
			for _, verb := range []string{method, strings.Replace(method, "GET", "HEAD", 1)} {
				if verb == method && strings.HasPrefix(verb, "HEAD") {
					continue
				}
				t.Run(verb+" "+path+" by "+id.name, func(t *testing.T) {
					w, identities := fresh(t)
					token := id.token
					if known, ok := identities[token]; ok {
						token = known
					}
					at := strings.Replace(path, "{decision_id}", "d1", 1)
					body := ""
					switch {
					case strings.HasPrefix(at, "/api/tokens"):
						at = strings.Replace(at, "{id}", identities["spare"], 1)
						if at == "/api/tokens" && verb == "POST" {
							body = `{"subject":"new","roles":["reviewer"]}`
						}
					case at == "/api/calls":
						body = `{"tool":"refund"}`
					case strings.HasPrefix(at, "/api/agents/"):
						body = `{"tools":[{"name":"ls"}]}`
					case at == sessionPath && verb == "POST":
						body = fmt.Sprintf(`{"token":%q}`, identities["reviewer"])
					case at == "/api/calls/wait":
						body = `{"calls":[{"id":"pawl-2"}]}`
					case verb == "PUT":
						body = `{"layers":[{"name":"org","text":"rules: [{tool: x, auto_approve: true}]"}],"expect":0}`
					default:
						at = strings.Replace(at, "{id}", "pawl-1", 1)
					}
					before := len(w.store.entries)
					var header []string
					if token != "" {
						header = []string{"Authorization", "Bearer " + token}
					}
					rec := w.send(verb, at, body, header...)
					var code string
					if rec.Header().Get("Content-Type") == rest.ProblemType {
						var p struct{ Code string }
						_ = json.Unmarshal(rec.Body.Bytes(), &p)
						code = p.Code
					}
					switch {
					case wanted == "public" && id.token == "", wanted == "public" && id.code == "":
						want := 200
						if at == "/auth/login" || at == callbackPath {
							want = 404 // without an issuer; see TestLogin
						}
						if rec.Code != want {
							t.Errorf("answers %d %s", rec.Code, rec.Body)
						}
					case id.code != "":
						if rec.Code != 401 || code != id.code || !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer ") {
							t.Errorf("answers %d %s (WWW-Authenticate %q), want 401 %s", rec.Code, code, rec.Header().Get("WWW-Authenticate"), id.code)
						}
						w.untouched(t, "a refused request", before)
					case wanted[id.role] == '-':
						if rec.Code != 403 || code != rest.CodeNotPermitted {
							t.Errorf("answers %d %s, want 403 %s", rec.Code, code, rest.CodeNotPermitted)
						}
						w.untouched(t, "a refused request", before)
					case wanted[id.role] == 'o' && strings.Contains(at, "pawl-1"): // somebody else's
						if rec.Code != 404 {
							t.Errorf("answers %d %s, want 404", rec.Code, code)
						}
						w.untouched(t, "a request for somebody else's call", before)
					default:
						if rec.Code == 401 || rec.Code == 403 || rec.Code == 400 || rec.Code >= 500 {
							t.Errorf("answers %d %s", rec.Code, rec.Body)
						}
					}
				})
			}
		}
	}
}

// What a call is to who asked for something else must be what no call is.
func TestOthersCallsAreNotThere(t *testing.T) {
	w := guardedWorld(t)
	mine, other := w.token("agent:billing", rest.RoleAgent), w.token("agent:hr", rest.RoleAgent)
	memo := &commonpb.Memo{Fields: map[string]*commonpb.Payload{approval.MemoRequester: payloads("agent:billing").Payloads[0]}}
	var ids []string
	put := func(id string, status approval.Status, inStore, inTemporal bool) {
		v := view(id, status)
		v.Requester, v.Owner = "agent:billing", "ana"
		if status.Ended() {
			v.End(approval.Outcome{ID: id, Tool: "refund", Status: status, Result: raw(`"raw secret"`)}, testTime)
		}
		if inStore {
			w.store.put(store.Record{View: v, IsRequest: true})
			w.entry(id, "admit", audit.Requested{})
		}
		if inTemporal {
			w.temporal.add(&fakeWorkflow{id: id, memo: memo, state: approval.State{View: v}})
			if status.Ended() {
				w.temporal.complete(id, v.Outcome())
			}
		}
		ids = append(ids, id)
	}
	put("pawl-pending", approval.StatusPending, true, true)
	put("pawl-evaluating", approval.StatusEvaluating, false, true)
	put("pawl-ended", approval.StatusExecuted, true, true)
	put("pawl-forgotten", approval.StatusRejected, true, false)
	w.temporal.add(&fakeWorkflow{id: "not-pawls", typ: "Other"})
	w.temporal.add(&fakeWorkflow{id: "pawl-raw", state: approval.State{View: view("pawl-raw", approval.StatusPending)}}) // started by hand, without a memo

	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/calls/%s", ""},
		{"GET", "/api/calls/%s?wait=5ms", ""},
		{"POST", "/api/calls/%s/cancel", `{}`},
		{"GET", "/api/requests/%s", ""},
		{"GET", "/api/requests/%s/decisions/d1", ""},
	} {
		absent := w.with(other, c.method, fmt.Sprintf(c.path, "pawl-absent"), c.body)
		expect(t, absent, 404, approval.CodeNotFound)
		for _, id := range append([]string{"not-pawls", "pawl-raw", "pawl-pend", "pawl-", "p"}, ids...) {
			rec := w.with(other, c.method, fmt.Sprintf(c.path, id), c.body)
			if rec.Code != absent.Code || rec.Body.String() != absent.Body.String() || fmt.Sprint(rec.Header()) != fmt.Sprint(absent.Header()) {
				t.Errorf("%s %s to somebody else: %d %s\nan absent call: %d %s", c.method, fmt.Sprintf(c.path, id), rec.Code, rec.Body, absent.Code, absent.Body)
			}
		}
	}
	const hint = "agents name calls by their whole IDs"
	for id, hinted := range map[string]bool{approval.KeyedID("x", "y"): false, approval.KeyedID("x", "y")[:30]: true, "order-1": true, strings.Repeat("order-", 9): false} {
		rec := w.with(other, "GET", "/api/requests/"+id, "")
		if expect(t, rec, 404, approval.CodeNotFound); strings.Contains(rec.Body.String(), hint) != hinted {
			t.Errorf("%s to an agent: %s", id, rec.Body)
		}
		if rec := w.with(w.token("rita", rest.RoleReviewer), "GET", "/api/requests/"+id, ""); strings.Contains(rec.Body.String(), hint) {
			t.Errorf("%s to a reviewer: %s", id, rec.Body)
		}
	}
	if f := w.temporal.get("pawl-pending"); len(f.signals) != 0 {
		t.Errorf("somebody else's withdrawal was sent: %+v", f.signals)
	}

	for _, id := range ids {
		if rec := w.with(mine, "GET", "/api/calls/"+id, ""); rec.Code != 200 {
			t.Errorf("its own %s: %d %s", id, rec.Code, rec.Body)
		}
	}
	list := func(token string) string {
		rec := w.with(token, "GET", "/api/requests?status=all", "")
		expect(t, rec, 200, "")
		return rec.Body.String()
	}
	if got := list(other); got != `{"items":[],"total":0,"next_cursor":""}`+"\n" {
		t.Errorf("somebody else is shown %s", got)
	}
	if got := list(mine); !strings.Contains(got, "pawl-pending") {
		t.Errorf("it is not shown its own: %s", got)
	}
	// Keys are each requester's own.
	first := expect(t, w.with(mine, "POST", "/api/calls", `{"tool":"t","idempotency_key":"k"}`), 202, "")
	second := expect(t, w.with(other, "POST", "/api/calls", `{"tool":"t","idempotency_key":"k"}`), 202, "")
	again := w.with(mine, "POST", "/api/calls", `{"tool":"t","idempotency_key":"k"}`)
	if body := expect(t, again, 202, ""); first["id"] == second["id"] || body["id"] != first["id"] || again.Header().Get("Pawl-Attached") != "true" {
		t.Errorf("one key of two is %v and %v, and continued as %v", first["id"], second["id"], body["id"])
	}
	// A stranger's token of the same subject is the same agent.
	if rec := w.with(w.token("agent:billing", rest.RoleAgent), "GET", "/api/calls/pawl-pending", ""); rec.Code != 200 {
		t.Errorf("a newer token of the same agent: %d", rec.Code)
	}
}
