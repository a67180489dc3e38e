package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	pawlworker "github.com/pawlhq/pawl/worker"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// What whoever has access to Temporal can do to a call, by its command line or by a worker of their
// own.

func TestAnswersWhileNoWorkerRuns(t *testing.T) {
	w := newWorld(t)
	inTime := w.pending(`{"tool":"hasty","args":{"to":"in time"}}`)
	late := w.pending(`{"tool":"hasty","args":{"to":"late"}}`)
	silent := w.pending(`{"tool":"hasty","args":{"to":"silent"}}`)
	w.StopWorker()

	a := w.decide(inTime, "approve", "ana", ``)
	if a.code != http.StatusAccepted || a.text("outcome") != "not_judged_yet" || a.text("decision_id") == "" {
		t.Fatalf("%d %v", a.code, a.doc)
	}
	deadline := *w.view(late).Deadline
	w.until("the deadline is over", func() bool { return time.Now().After(deadline.Add(200 * time.Millisecond)) })
	if err := w.Client.SignalWorkflow(t.Context(), late, "", approval.SignalApprove, approval.DecisionSignal{DecisionID: "too-late"}); err != nil {
		t.Fatal(err)
	}
	if err := w.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}

	out := w.ends(inTime, approval.StatusExecuted, 1)
	if d := out["decision"].(map[string]any); d["at"].(string) >= w.view(inTime).Deadline.Format(time.RFC3339Nano) {
		t.Errorf("the decision is dated %v, after the deadline", d["at"])
	}
	w.ends(late, approval.StatusExpired, 0)
	w.ends(silent, approval.StatusExpired, 0)
	if answer, _ := w.live(late).Find("too-late"); answer.Outcome != approval.AnswerExpired {
		t.Errorf("late answer: %+v", answer)
	}
	poll := w.get("/api/requests/" + inTime + "/decisions/" + a.text("decision_id"))
	if poll.code != http.StatusOK || poll.text("outcome") != "resolved" {
		t.Errorf("%d %v", poll.code, poll.doc)
	}
}

func (w *world) view(id string) approval.View {
	w.t.Helper()
	r, err := w.Store.Call(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.View
}

// reset goes back to the run's first workflow task, as an operator can.
func (w *world) reset(id string) {
	w.t.Helper()
	const first = 4 // the first workflow task's completion; the store shows the call a moment before
	w.until("the first workflow task has completed", func() bool {
		d, err := w.Client.DescribeWorkflowExecution(w.t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.HistoryLength >= first
	})
	_, err := w.Client.ResetWorkflowExecution(w.t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace:         "default",
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
		Reason:            "test", RequestId: approval.NewID(),
		WorkflowTaskFinishEventId: first,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestNothingRunsTwice(t *testing.T) {
	w := newWorld(t)
	t.Run("reset after the end", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		w.decide(id, "approve", "ana", ``)
		w.ends(id, approval.StatusExecuted, 1)
		before := w.checkEntries(id)
		w.reset(id)
		w.until("the new run has ended", func() bool {
			d, err := w.Client.DescribeWorkflowExecution(t.Context(), id, "")
			return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
		})
		w.ends(id, approval.StatusExecuted, 1)
		// Temporal hands the old approval to the new run, where it is refused.
		after := slices.DeleteFunc(w.checkEntries(id), func(k audit.Kind) bool { return k == audit.KindRefused })
		if !slices.Equal(before, after) {
			t.Errorf("entries %v, before the reset %v", after, before)
		}
	})
	t.Run("reset of an allowed call", func(t *testing.T) {
		a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`)
		id := a.text("id")
		w.reset(id)
		w.ends(id, approval.StatusExecuted, 1)
	})
	t.Run("a fresh workflow under the same ID", func(t *testing.T) {
		for i, input := range []string{`{"tool":"read","args":{"to":"x"},"requester":"local","idempotency_key":"again"}`, `{"tool":"read","args":{"to":"other"}}`} {
			a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"idempotency_key":"again","wait":"20s"}`)
			id := a.text("id")
			run, err := w.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
				ID: id, TaskQueue: approval.TaskQueue, WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			}, approval.WorkflowType, json.RawMessage(input))
			if err != nil {
				t.Fatal(err)
			}
			var out approval.Outcome
			if err := run.Get(t.Context(), &out); err != nil {
				t.Fatal(err)
			}
			want := []approval.Status{approval.StatusExecuted, approval.StatusBlocked}[i]
			if out.Status != want || w.runs(id) != 1 {
				t.Errorf("%+v after %d runs", out, w.runs(id))
			}
			if i == 1 && out.Error.Code != approval.CodeConflict {
				t.Errorf("%+v", out.Error)
			}
		}
	})
	t.Run("an execute step scheduled by somebody else", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		// The forger reads the call, nonce included, from Temporal's history.
		first, err := w.Client.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
		if err != nil {
			t.Fatal(err)
		}
		call, err := approval.ParseCall(first.GetWorkflowExecutionStartedEventAttributes().Input.Payloads[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		handle, err := w.Client.ExecuteActivity(t.Context(), client.StartActivityOptions{
			ID: "forged", TaskQueue: approval.TaskQueue, StartToCloseTimeout: time.Minute,
		}, "Execute", activities.ExecuteInput{ID: id, Run: "forged", Digest: w.view(id).Digest, Call: call})
		var unimplemented *serviceerror.Unimplemented
		if errors.As(err, &unimplemented) {
			t.Skip("this Temporal offers no standalone activities")
		}
		if err == nil {
			err = handle.Get(t.Context(), nil)
		}
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.Type() != approval.CodeNoPermit || w.runs(id) != 0 {
			t.Errorf("error %v, %d runs", err, w.runs(id))
		}
	})
	t.Run("terminated", func(t *testing.T) {
		id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
		if err := w.Client.TerminateWorkflow(t.Context(), id, "", "test"); err != nil {
			t.Fatal(err)
		}
		if a := w.decide(id, "approve", "ana", ``); a.code != http.StatusConflict || a.text("code") != "workflow_gone" {
			t.Errorf("%d %v", a.code, a.doc)
		}
		if a := w.get("/api/calls/" + id); a.code != http.StatusOK || !strings.Contains(fmt.Sprint(a.doc["error"]), "workflow_terminated") {
			t.Errorf("%d %v", a.code, a.doc)
		}
	})
}

// Calls whose workflows were closed by other hands than Pawl's are ended, too, by the next worker
// that looks.
func TestClosedFromOutside(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.behave = func(http.ResponseWriter, *http.Request) { <-release }
	waits := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	runs := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	w.decide(runs, "approve", "ana", ``)
	w.until("the tool runs", func() bool { return w.runs(runs) == 1 })
	for _, id := range []string{waits, runs} {
		if err := w.Client.TerminateWorkflow(t.Context(), id, "", "test"); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	reset := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	w.reset(reset)
	w.StopWorker()
	if err := w.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]approval.Status{waits: approval.StatusCancelled, runs: approval.StatusOutcomeUnknown} {
		w.until("the call has ended", func() bool { return w.status(id).Ended() })
		if v := w.view(id); v.Status != want || v.Error == nil || v.Error.Code != approval.CodeTerminated {
			t.Errorf("%s, %+v; want %s", v.Status, v.Error, want)
		}
		if kinds := w.checkEntries(id); kinds[len(kinds)-1] != audit.KindEnded {
			t.Errorf("the log is %v", kinds)
		}
		if a := w.get("/api/calls/" + id); a.text("status") != string(want) {
			t.Errorf("the API shows %v", a.doc)
		}
	}
	w.decide(reset, "reject", "ana", ``)
	w.ends(reset, approval.StatusRejected, 0)
}

// A task queue's calls are kept in one store: with another, they could be judged anew, and their
// tools run again.
func TestOneStoreForEachQueue(t *testing.T) {
	w := newWorld(t)
	other, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "other.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	start := func(s store.Store, queue string) error {
		rules, err := policy.Load(w.config.Policy...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pawlworker.New(t.Context(), pawlworker.Options{Client: w.Client, Store: s, Policy: rules, TaskQueue: queue})
		return err
	}
	if err := start(other, approval.TaskQueue); !errors.Is(err, health.ErrOtherStore) {
		t.Errorf("a worker with another store: %v, want %v", err, health.ErrOtherStore)
	}
	if err := start(w.Store, approval.TaskQueue); err != nil {
		t.Errorf("one more worker with the same store: %v", err)
	}
	if err := start(other, "another-queue"); err != nil {
		t.Errorf("another store for another task queue: %v", err)
	}
	id := approval.StoreWorkflowID(approval.TaskQueue)
	if err := w.Client.TerminateWorkflow(t.Context(), id, "", "test"); err != nil {
		t.Fatal(err)
	}
	if err := start(other, approval.TaskQueue); err != nil {
		t.Errorf("after an operator gave the task queue away: %v", err)
	}
}

func TestForeignStarters(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		input  []any
		status approval.Status
	}{
		"a call":              {[]any{map[string]any{"tool": "read", "args": map[string]string{"to": "x"}}}, approval.StatusExecuted},
		"a second argument":   {[]any{map[string]any{"tool": "read", "args": map[string]string{"to": "x"}}, "ignored"}, approval.StatusExecuted},
		"nothing":             {nil, approval.StatusBlocked},
		"null":                {[]any{nil}, approval.StatusBlocked},
		"text":                {[]any{"read"}, approval.StatusBlocked},
		"unknown field":       {[]any{map[string]any{"tool": "read", "require_aproval": true}}, approval.StatusBlocked},
		"arguments as a list": {[]any{map[string]any{"tool": "read", "args": []int{1}}}, approval.StatusBlocked},
		"big integer":         {[]any{json.RawMessage(`{"tool":"read","args":{"to":"x","n":9007199254740993}}`)}, approval.StatusBlocked},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := w.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: approval.TaskQueue}, approval.WorkflowType, tc.input...)
			if err != nil {
				t.Fatal(err)
			}
			var out approval.Outcome
			if err := run.Get(t.Context(), &out); err != nil {
				t.Fatalf("the workflow failed, which it never may: %v", err)
			}
			if out.Status != tc.status {
				t.Errorf("%+v %+v", out, out.Error)
			}
		})
	}
}

func TestOrdinarySteps(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) { c.OrdinarySteps = true })
	a := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`)
	w.ends(a.text("id"), approval.StatusExecuted, 1)
	id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	w.decide(id, "approve", "ana", ``)
	w.ends(id, approval.StatusExecuted, 1)

	// The switch may be thrown while calls wait: each goes on as it began.
	waiting := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	w.stop()
	w.config.OrdinarySteps = false
	w.start()
	w.decide(waiting, "approve", "ana", ``)
	w.ends(waiting, approval.StatusExecuted, 1)
}
