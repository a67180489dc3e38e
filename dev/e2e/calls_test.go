package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/api/enums/v1"
)

func TestCalls(t *testing.T) {
	w := newWorld(t)

	t.Run("allowed", func(t *testing.T) {
		a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`)
		if a.code != http.StatusOK || a.text("status") != "executed" || fmt.Sprint(a.doc["result"]) != "map[got:map[to:x]]" {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		w.ends(a.text("id"), approval.StatusExecuted, 1)
		if n := w.events(a.text("id")); n > 13 {
			t.Errorf("%d events, at most 13 were promised", n)
		}
	})
	t.Run("approved", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x","secret":"hunter2"},"reason":"mail hunter2","agent":"bot"}`)
		shown := w.get("/api/requests/" + id)
		if s := fmt.Sprint(shown.doc); strings.Contains(s, "hunter2") {
			t.Errorf("the secret shows: %s", s)
		}
		a := w.decide(id, "approve", "ana", `{"notes":"go on","digest":"`+shown.text("digest")+`"}`)
		if a.code != http.StatusOK || a.text("outcome") != "resolved" {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		out := w.ends(id, approval.StatusExecuted, 1)
		if !strings.Contains(fmt.Sprint(out["result"]), "hunter2") {
			t.Errorf("the caller must get the raw result: %v", out["result"])
		}
		if n := w.events(id); n > 25 {
			t.Errorf("%d events, at most 25 were promised", n)
		}
	})
	t.Run("rejected", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		if a := w.decide(id, "reject", "bo", `{"notes":"no"}`); a.code != http.StatusOK || a.text("outcome") != "resolved" {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		w.ends(id, approval.StatusRejected, 0)
		if a := w.decide(id, "approve", "ana", ``); a.code != http.StatusConflict || a.text("outcome") != "already_resolved" {
			t.Errorf("%d %v", a.code, a.doc)
		}
	})
	t.Run("expired, then answered", func(t *testing.T) {
		id := w.pending(`{"tool":"hasty","args":{"to":"x"}}`)
		w.ends(id, approval.StatusExpired, 0)
		if a := w.decide(id, "approve", "ana", ``); a.code != http.StatusGone || a.text("outcome") != "expired" || a.text("code") != "approval_expired" {
			t.Errorf("%d %v", a.code, a.doc)
		}
	})
	t.Run("cancelled by the API", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		if a := w.post("/api/calls/"+id+"/cancel", `{"notes":"never mind"}`); a.code > 202 {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		w.ends(id, approval.StatusCancelled, 0)
	})
	t.Run("cancelled by Temporal", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		if err := w.Client.CancelWorkflow(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		w.ends(id, approval.StatusCancelled, 0)
	})
	t.Run("tool says no", func(t *testing.T) {
		w.behave = func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "mailbox of hunter2 is full", http.StatusConflict)
		}
		a := w.post("/api/calls", `{"tool":"read","args":{"to":"x","secret":"hunter2"},"wait":"20s"}`)
		if !strings.Contains(fmt.Sprint(a.doc["error"]), "mailbox of hunter2 is full") {
			t.Errorf("the caller must get the tool's words: %v", a.doc)
		}
		w.ends(a.text("id"), approval.StatusFailed, 1)
	})
	t.Run("tool hangs up after the request", func(t *testing.T) {
		w.behave = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`)
		w.ends(a.text("id"), approval.StatusOutcomeUnknown, 1)
		w.settles(w.API, a.text("id"))
	})
	t.Run("tool answers 500", func(t *testing.T) {
		w.behave = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "oops", 500) }
		a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`)
		w.ends(a.text("id"), approval.StatusOutcomeUnknown, 1)
	})
	for name, tc := range map[string]struct{ doc, code string }{
		"unknown tool":       {`{"tool":"nope","wait":"20s"}`, approval.CodeUnknownTool},
		"bad arguments":      {`{"tool":"send","args":{"to":7},"wait":"20s"}`, approval.CodeBadArguments},
		"unwanted arguments": {`{"tool":"read","args":{"to":"x","cc":"y"},"wait":"20s"}`, approval.CodeBadArguments},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.post("/api/calls", tc.doc)
			if e, _ := a.doc["error"].(map[string]any); e["code"] != tc.code {
				t.Errorf("%d %v", a.code, a.doc)
			}
			w.ends(a.text("id"), approval.StatusBlocked, 0)
		})
	}
}

// Temporal's queues, where they are backed up, run riskier tools first and give every team its turn.
func TestPriority(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) {
		c.Policy = []string{write(t, t.TempDir(), "policy.yaml", "rules: [{tool: read, auto_approve: true, risk_level: critical}, {tool: send, auto_approve: true, risk_level: low}, {tool: hasty, auto_approve: true}]")}
	})
	teams := map[string]string{}
	for tool, want := range map[string]int32{"read": 1, "send": 4, "hasty": 0} {
		id := w.post("/api/calls", fmt.Sprintf(`{"tool":%q,"args":{"to":"x"},"team":%q,"wait":"20s"}`, tool, tool+" team")).text("id")
		events := w.Client.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			if started := e.GetWorkflowExecutionStartedEventAttributes(); started != nil {
				teams[started.GetPriority().GetFairnessKey()] = tool
			}
			if s := e.GetActivityTaskScheduledEventAttributes(); s.GetActivityType().GetName() == "Execute" && s.GetPriority().GetPriorityKey() != want {
				t.Errorf("%s: %v, want %d", tool, s.GetPriority(), want)
			}
		}
	}
	if len(teams) != 3 || teams[""] != "" || strings.Contains(fmt.Sprint(teams), "team") {
		t.Errorf("the keys of teams are %v", teams)
	}
}

func (w *world) events(id string) (n int) {
	w.t.Helper()
	history := w.Client.GetWorkflowHistory(context.Background(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		if _, err := history.Next(); err != nil {
			w.t.Fatal(err)
		}
		n++
	}
	return n
}

// secondAPI starts `pawl api` in a process of its own, beside the stack's.
func (w *world) secondAPI() string {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(programs.Build(w.t, "pawl"), "pawl"),
		"api", "--listen", "127.0.0.1:0", "--database-url", "sqlite://"+w.StorePath())
	cmd.Env = programs.Environment("TEMPORAL_ADDRESS=" + w.Temporal)
	p, err := child.Start(cmd, child.Options{Kill: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if p.End(context.Background()); p.Err() != nil {
			w.t.Errorf("pawl api did not stop cleanly: %v\n%s", p.Err(), p.Log)
		}
	})
	at, err := p.Ready(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return at.API
}

func TestTwoDozenReviewersAtOnce(t *testing.T) {
	w := newWorld(t)
	apis := []string{w.API, w.secondAPI()}
	id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	const reviewers = 24
	outcomes := make([]string, reviewers)
	var wg sync.WaitGroup
	for i := range reviewers {
		wg.Go(func() {
			what := []string{"approve", "reject"}[i%3%2]
			a := w.http(http.MethodPost, apis[i%2]+"/api/requests/"+id+"/"+what, ``, "X-Pawl-Reviewer", fmt.Sprint("reviewer-", i))
			outcomes[i] = a.text("outcome")
			if (a.code == http.StatusOK) != (outcomes[i] == "resolved") {
				t.Errorf("%d %v", a.code, a.doc)
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, o := range outcomes {
		count[o]++
	}
	if count["resolved"] != 1 || count["already_resolved"] != reviewers-1 {
		t.Fatalf("outcomes %v", count)
	}
	w.until("the call ends", func() bool { return w.status(id).Ended() })
	w.until("the refusals are on record", func() bool {
		refused := 0
		for _, k := range w.checkEntries(id) {
			if k == audit.KindRefused {
				refused++
			}
		}
		return refused > 0
	})
}
