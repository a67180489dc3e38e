package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// releaseRule is what two people of two groups must approve, and one may stop.
const releaseRule = `
  - tool: release
    stages: [{name: finance, approvals: [{group: finance}]}, {name: ops, approvals: [{group: ops}]}]
`

type release struct {
	Version string `json:"version"`
}

// callersWithTokens: what an agent runs itself is its own. Another agent, and the reviewers, can neither
// start it nor report about it, nor find out that it is there; and it takes one person of each group.
func callersWithTokens(t *testing.T, w *world, agent, other string, finance, ops, both *client.Client) {
	mine, theirs := w.by(agent), w.by(other)
	call := approval.Call{Tool: "release", Args: []byte(`{"version":"7"}`), IdempotencyKey: "release-7"}
	const start, anothers = "the-start-of-the-agent", "the-start-of-another"
	b, err := mine.StartAs(t.Context(), call, start, 0)
	if err != nil || b.Started {
		t.Fatalf("%+v, %v", b, err)
	}
	id := b.ID
	waits := func() client.View {
		t.Helper()
		var v client.View
		w.until("it waits", func() bool {
			v, err = both.Request(t.Context(), id)
			return err == nil && v.Status == approval.StatusPending
		})
		return v
	}
	v := waits()
	others := func(when string) {
		t.Helper()
		if _, err := theirs.StartTool(t.Context(), id, anothers); approval.CodeOf(err) != approval.CodeNotFound {
			t.Errorf("%s, another agent starts it: %v", when, err)
		}
		report := approval.ReportSignal{StartID: anothers, Status: approval.ReportExecuted}
		if _, err := theirs.Report(t.Context(), id, report); approval.CodeOf(err) != approval.CodeNotFound {
			t.Errorf("%s, another agent reports: %v", when, err)
		}
		news, err := theirs.WaitChanged(t.Context(), 0, rest.WaitCall{ID: id})
		if err != nil || len(news) != 1 || news[0].Code != approval.CodeNotFound {
			t.Errorf("%s, another agent waits: %+v, %v", when, news, err)
		}
		if _, err := both.StartTool(t.Context(), id, anothers); approval.CodeOf(err) != rest.CodeNotPermitted {
			t.Errorf("%s, a reviewer starts it: %v", when, err)
		}
		if _, err := both.Report(t.Context(), id, report); approval.CodeOf(err) != rest.CodeNotPermitted {
			t.Errorf("%s, a reviewer reports: %v", when, err)
		}
	}
	others("while it waits")
	if _, err := mine.StartTool(t.Context(), id, start); approval.CodeOf(err) != rest.CodeNotApproved {
		t.Errorf("a start before the approval: %v", err)
	}
	decide := func(who *client.Client, kind approval.DecisionKind, want approval.AnswerOutcome) {
		t.Helper()
		answer, err := who.Decide(t.Context(), id, client.Decision{Kind: kind, Digest: v.Digest})
		if answer.Outcome != want && approval.CodeOf(err) != string(want) {
			t.Errorf("%s: %+v, %v; want %s", kind, answer, err, want)
		}
	}
	decide(ops, approval.Approve, approval.AnswerRecorded) // it waits for its stage
	decide(ops, approval.Approve, approval.AnswerRecorded) // and counts in one
	if v := waits(); v.Status != approval.StatusPending {
		t.Errorf("one person approved, and it is %s", v.Status)
	}
	decide(finance, approval.Approve, approval.AnswerResolved)
	w.until("it may start", func() bool {
		b, err = mine.StartTool(t.Context(), id, start)
		return err == nil && b.Started
	})
	others("while it runs")
	if _, err := mine.Report(t.Context(), id, approval.ReportSignal{StartID: start, Status: approval.ReportExecuted}); err != nil {
		t.Error(err)
	}
	others("at its end")
	me, err := mine.Whoami(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []audit.Kind{audit.KindStarted, audit.KindReported} {
		page, err := w.Store.Entries(t.Context(), store.EntryQuery{Subject: id, Kind: kind, By: me.Subject})
		if err != nil || len(page.Items) != 1 || !strings.Contains(string(page.Items[0].Payload), `"method":"token"`) {
			t.Errorf("%s does not say who, and how they were known: %+v, %v", kind, page.Items, err)
		}
	}

	// Whoever approved may turn that into a rejection, and never back.
	call.IdempotencyKey = "release-8"
	if b, err = mine.StartAs(t.Context(), call, start, 0); err != nil {
		t.Fatal(err)
	}
	id = b.ID
	v = waits()
	decide(both, approval.Approve, approval.AnswerRecorded)
	decide(both, approval.Reject, approval.AnswerResolved)
	decide(both, approval.Approve, approval.AnswerAlreadyResolved)
	if end, err := mine.Wait(t.Context(), id); err != nil || end.Status != approval.StatusRejected {
		t.Errorf("%s, %v", end.Status, err)
	}

	// The tools of an agent are its own, and its token says which agent it is.
	if err := mine.PutOwnTools(t.Context(), "billing", "", rest.OwnTool{Name: "release"}); err != nil {
		t.Error(err)
	}
	if err := mine.PutOwnTools(t.Context(), "hr", "", rest.OwnTool{Name: "release"}); err == nil {
		t.Error("it published tools as another agent")
	}
	guarded(t, w.API, agent, func(id string) {
		for _, who := range []*client.Client{finance, ops} {
			v, err := who.Request(t.Context(), id)
			if err == nil {
				_, err = who.Decide(t.Context(), id, client.Decision{Kind: approval.Approve, Digest: v.Digest})
			}
			if err != nil {
				t.Error(err)
			}
		}
	}, both)
}

// guarded runs a release by the SDK, over HTTP alone. approve approves it; lists shows what waits.
func guarded(t *testing.T, api, token string, approve func(id string), lists *client.Client) {
	t.Helper()
	a, err := pawl.ConnectHTTP(t.Context(), pawl.HTTPOptions{Agent: "billing", URL: api, Token: token, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	run, err := pawl.GuardHTTP(a, "release", func(_ context.Context, r release) (string, error) {
		runs++
		return "released " + r.Version, nil
	}, pawl.Tool{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(pawl.With(t.Context(), pawl.About{Session: "sdk"}), time.Minute)
	defer cancel()
	var deciding sync.WaitGroup
	deciding.Go(func() {
		waitFor(t, "it waits", func() bool {
			page, err := lists.Requests(ctx, client.RequestQuery{Session: "sdk"})
			if err != nil || len(page.Items) == 0 {
				return ctx.Err() != nil
			}
			approve(page.Items[0].ID)
			return true
		})
	})
	out, err := run(ctx, release{"9"})
	deciding.Wait()
	if err != nil || out != "released 9" || runs != 1 {
		t.Errorf("%q after %d runs, %v", out, runs, err)
	}
}

// callersByAll: callers on Postgres, by an API that has the rights of operations.md alone and one that
// has all, and by the command line and the SDK.
func callersByAll(t *testing.T, d *deployment, env []string, apis []string) {
	w := &world{t: t}
	full, limited := apis[0], apis[1]
	post := func(url, body string, code int) answer {
		t.Helper()
		a := w.http(http.MethodPost, url, body, "X-Pawl-Reviewer", "ana")
		if a.code != code {
			t.Fatalf("POST %s: %d %v, want %d", url, a.code, a.doc, code)
		}
		return a
	}
	begin := func(session, more string) string {
		t.Helper()
		body := fmt.Sprintf(`{"tool":"release","args":{"version":"1"},"execution":"caller","agent":"coder","session":%q,%s}`, session, more)
		id := post(limited+"/api/calls", body, http.StatusAccepted).text("id")
		waitFor(t, "it waits", func() bool {
			return w.http(http.MethodGet, limited+"/api/requests/"+id, "").text("status") == "pending"
		})
		return id
	}
	decide := func(id, what, who, says string) {
		t.Helper()
		d.want(t, env, 0, []string{says}, what, id, "--as", who, "--api", limited)
	}

	if a := w.http(http.MethodPut, limited+"/api/agents/coder/tools", `{"tools":[{"name":"release"}]}`); a.code != http.StatusOK {
		t.Errorf("%d %v", a.code, a.doc)
	}
	id := begin("a", `"idempotency_key":"a"`)
	decide(id, "approve", "ana", "")
	post(limited+"/api/calls/"+id+"/start", "{"+startOne+"}", http.StatusConflict) // one of two
	decide(id, "approve", "bo", "")
	waitFor(t, "it may start", func() bool {
		return w.http(http.MethodPost, limited+"/api/calls/"+id+"/start", "{"+startOne+"}").code == http.StatusOK
	})
	if a := post(full+"/api/calls/"+id+"/start", "{"+startTwo+"}", http.StatusConflict); a.text("code") != rest.CodeStarted {
		t.Errorf("%v", a.doc)
	}
	for _, api := range apis {
		a := post(api+"/api/calls/"+id+"/outcome", `{"status":"executed","result":[7],`+startOne+"}", http.StatusOK)
		if a.text("status") != "executed" {
			t.Errorf("%v", a.doc)
		}
	}
	post(limited+"/api/calls/"+id+"/outcome", `{"status":"failed",`+startOne+"}", http.StatusConflict) // late: kept as evidence

	// Two rejections end it, and an approval may become one of them.
	id = begin("b", `"idempotency_key":"b"`)
	decide(id, "approve", "ana", "")
	decide(id, "reject", "ana", "")
	if s := w.http(http.MethodGet, full+"/api/requests/"+id, "").text("status"); s != "pending" {
		t.Errorf("after one of two rejections it is %s", s)
	}
	decide(id, "reject", "bo", "")
	if a := w.http(http.MethodGet, full+"/api/calls/"+id+"?wait=20s", ""); a.text("status") != "rejected" {
		t.Errorf("%v", a.doc)
	}

	// One that could be attached to: decided with many at once, and withdrawn with its session.
	id = begin("c", `"attach":true`)
	digest := w.http(http.MethodGet, full+"/api/requests/"+id, "").text("digest")
	a := post(limited+"/api/decisions", fmt.Sprintf(`{"decision":"approve","items":[{"id":%q,"digest":%q}]}`, id, digest), http.StatusOK)
	if results, _ := a.doc["results"].([]any); len(results) != 1 || results[0].(map[string]any)["outcome"] != "recorded" {
		t.Errorf("%v", a.doc)
	}
	post(limited+"/api/sessions/c/cancel", `{}`, http.StatusAccepted)
	if a := w.http(http.MethodGet, limited+"/api/calls/"+id+"?wait=20s", ""); a.text("status") != "cancelled" {
		t.Errorf("%v", a.doc)
	}

	lists, err := client.New(client.Options{URL: full})
	if err != nil {
		t.Fatal(err)
	}
	guarded(t, limited, "", func(id string) {
		decide(id, "approve", "ana", "")
		decide(id, "approve", "cleo", "")
	}, lists)
}
