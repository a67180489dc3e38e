package api

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

var update = flag.Bool("update", false, "write the golden files")

// world is a server between a fake Temporal and a fake store.
type world struct {
	t        testing.TB
	temporal *fakeTemporal
	store    *fakeStore
	server   *Server
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	f, c := newFakeTemporal(t)
	w := &world{t: t, temporal: f, store: &fakeStore{records: map[string]store.Record{}}}
	o := Options{Temporal: c, Store: w.store}
	for _, f := range change {
		f(&o)
	}
	var err error
	if w.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// send makes one request, which has to agree with openapi.yaml; header holds names and values in
// turn. A body is sent as JSON unless header says otherwise; the value "-" removes a header.
func (w *world) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		switch name, value := header[i], header[i+1]; {
		case name == "Host":
			r.Host = value
		case value == "-":
			r.Header.Del(name)
		case name == "Content-Type":
			r.Header.Set(name, value)
		default:
			r.Header.Add(name, value)
		}
	}
	rec := httptest.NewRecorder()
	ctx, leave := context.WithCancel(r.Context())
	defer leave()
	w.server.ServeHTTP(&leaving{rec, leave}, r.WithContext(ctx))
	agrees(w.t, r, body, rec)
	return rec
}

func (w *world) get(path string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send("GET", path, "")
}

// as decides under a reviewer's name.
func (w *world) as(reviewer, path, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send("POST", path, body, "X-Pawl-Reviewer", reviewer)
}

// expect checks status and code ("" for no problem) and returns the body.
func expect(t testing.TB, rec *httptest.ResponseRecorder, status int, code string) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatalf("answer is not JSON: %v\n%s", err, rec.Body)
	}
	mediaType, got := rec.Header().Get("Content-Type"), ""
	if mediaType == rest.ProblemType {
		got, _ = body["code"].(string)
		if body["status"] != float64(rec.Code) || body["title"] != http.StatusText(rec.Code) || body["type"] != "about:blank" || body["detail"] == "" {
			t.Errorf("not a whole problem: %s", rec.Body)
		}
	}
	if rec.Code != status || got != code || (code != "") != (mediaType == rest.ProblemType) {
		t.Errorf("got %d %q (%s), want %d %q\n%s", rec.Code, got, mediaType, status, code, rec.Body)
	}
	return body
}

// golden compares an answer's body with testdata/name.json.
func golden(t *testing.T, name string, rec *httptest.ResponseRecorder) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, rec.Body.Bytes(), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s differs (go test ./api -update writes it anew):\n%s", path, got.Bytes())
	}
}

// view is a call as the store holds it.
func view(id string, status approval.Status) approval.View {
	deadline := testDeadline
	return approval.View{
		ID: id, Tool: "refund", Args: raw(`{"amount":120,"card":"[redacted]"}`), Digest: "d1", Status: status,
		Risk: approval.RiskHigh, Agent: "billing", Session: "s1", Reason: "customer asked",
		Labels: map[string]string{"environment": "production"}, Requester: auth.LocalSubject,
		CreatedAt: testTime, Deadline: &deadline,
		Policy:      &approval.PolicyRef{Digest: "p1", Layer: "org", Rule: "org.yaml:3 refund"},
		Requirement: approval.OneApproval(),
	}
}

func refundTool() store.Tool {
	return store.Tool{
		Name: "refund", Description: "Pay <back>.", Schema: raw(`{"type":"object"}`), SchemaDigest: "s1", Queue: "pawl", Kind: "http",
		Timeout: approval.Duration(10 * time.Second), Publisher: "pawl",
	}
}

// request puts a call that waits for people into store and Temporal. Its workflow counts with
// package ballot.
func (w *world) request(id string) *fakeWorkflow {
	v := view(id, approval.StatusPending)
	w.store.put(store.Record{View: v, IsRequest: true})
	w.store.tools = []store.Tool{refundTool()}
	tally := ballot.New(ballot.RulesOf(v))
	return w.temporal.add(&fakeWorkflow{
		id: id, state: approval.State{View: v},
		onSignal: func(f *fakeWorkflow, s fakeSignal) {
			a := approval.Answer{DecisionID: s.DecisionID, Outcome: tally.Add(ballot.Decision{Digest: s.Digest, Decision: approval.Decision{
				ID: s.DecisionID, Kind: approval.DecisionKind(s.name), Reviewer: s.Reviewer, Channel: s.Channel, Notes: s.Notes, At: testTime,
			}}).Outcome}
			if d := tally.Settled(); d != nil {
				f.state.Decision = d.Final()
				f.state.Status = map[approval.DecisionKind]approval.Status{
					approval.Approve: approval.StatusApproved, approval.Reject: approval.StatusRejected,
				}[d.Kind]
			}
			f.state.Votes = tally.Votes()
			f.state.Answers = append(f.state.Answers, a)
		},
	})
}

// ended puts a call that has ended into the store only.
func (w *world) ended(id string, status approval.Status, change ...func(*store.Record)) {
	v := view(id, status)
	v.End(approval.Outcome{Status: status}, testTime)
	r := store.Record{View: v, IsRequest: true}
	for _, f := range change {
		f(&r)
	}
	w.store.put(r)
}

func (w *world) entry(subject, step string, payload audit.Payload) {
	e, err := audit.NewSalted(subject, step, testTime, payload, make([]byte, audit.SaltSize))
	if err != nil {
		w.t.Fatal(err)
	}
	w.store.entries = append(w.store.entries, e)
}

// with sends a request with a bearer token.
func (w *world) with(token, method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.send(method, path, body, append([]string{"Authorization", "Bearer " + token}, header...)...)
}

// leaving is a client that leaves a stream once it got something. It takes deadlines as a connection does.
type leaving struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l *leaving) Flush()                         { l.leave() }
func (*leaving) SetReadDeadline(time.Time) error  { return nil }
func (*leaving) SetWriteDeadline(time.Time) error { return nil }

// guardedWorld is a world whose callers are authenticated by token.
func guardedWorld(t testing.TB, change ...func(*Options)) *world {
	return newWorld(t, append([]func(*Options){func(o *Options) {
		o.Auth = auth.Any{Tokens: auth.NewTokens(o.Store)}
		o.QueryBudget = 300 * time.Millisecond
		o.Callers = &fakeCallers{}
	}}, change...)...)
}

// token makes a token for a subject; an agent's owner is ana.
func (w *world) token(subject string, roles ...rest.Role) string {
	spec := rest.TokenSpec{Subject: subject, Roles: roles}
	if len(roles) == 1 && roles[0] == rest.RoleAgent {
		spec.Owner = "ana"
	}
	return w.tokenOf(spec)
}

func (w *world) tokenOf(spec rest.TokenSpec) string {
	w.t.Helper()
	text, k, err := auth.Issue(spec, "root", time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.AddToken(w.t.Context(), k); err != nil {
		w.t.Fatal(err)
	}
	return text
}

func tokenID(t testing.TB, text string) string {
	id, ok := auth.TokenID(text)
	if !ok {
		t.Fatal("not a token")
	}
	return id
}
