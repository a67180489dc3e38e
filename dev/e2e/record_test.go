package e2e_test

import (
	"errors"
	"flag"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

var record = flag.Bool("record", false, "write the histories that package workflows replays and that are not there yet")

// TestRecordHistories writes one history for each way a call can end, and for the roads there that
// differ. What was recorded once is never written again: it is what calls of an earlier version
// look like, and they must replay. Those without a scenario here (…-refused) can come about no
// more.
func TestRecordHistories(t *testing.T) {
	if !*record {
		t.Skip("make record adds histories")
	}
	for name, change := range map[string]func(*stack.Config){
		"": func(*stack.Config) {}, "ordinary-": func(c *stack.Config) { c.OrdinarySteps = true },
	} {
		recordPlain(newWorld(t, change), name)
		recordDecisions(t, name, change)
	}
	recordSigned(t)
}

func recordPlain(w *world, prefix string) {
	approve := func(id string) { w.decide(id, "approve", "ana", `{"notes":"ok"}`) }
	const send, read = `{"tool":"send","args":{"to":"x","secret":"hunter2"},"agent":"bot"}`, `{"tool":"read","args":{"to":"x"}}`
	record := func(name string, scenario func() string) { w.record(prefix+name, scenario) }

	record("allowed", func() string {
		id := w.call(read)
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("executed", func() string {
		id := w.pending(send)
		approve(id)
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("rejected", func() string {
		id := w.pending(send)
		w.decide(id, "approve", "ana", `{"digest":"00"}`)
		w.decide(id, "reject", "bo", ``)
		w.ends(id, approval.StatusRejected, 0)
		return id
	})
	record("rejected-by-known-fields", func() string {
		id := w.pending(send)
		w.signal(id, approval.SignalReject, map[string]string{"reviewer": "bo", "colour": "red"})
		w.ends(id, approval.StatusRejected, 0)
		return id
	})
	record("cancelled-by-known-fields", func() string {
		id := w.pending(send)
		w.signal(id, approval.SignalCancel, map[string]string{"by": "bot", "colour": "red"})
		w.ends(id, approval.StatusCancelled, 0)
		return id
	})
	record("rejected-before-the-policy-answered", func() string {
		w.StopWorker()
		id := w.call(send)
		w.signal(id, approval.SignalApprove, approval.DecisionSignal{DecisionID: "early", Reviewer: "ana"})
		w.signal(id, approval.SignalReject, approval.DecisionSignal{Reviewer: "bo"})
		w.startWorker()
		w.ends(id, approval.StatusRejected, 0)
		return id
	})
	record("expired", func() string {
		id := w.pending(`{"tool":"hasty","args":{"to":"x"}}`)
		w.ends(id, approval.StatusExpired, 0)
		return id
	})
	record("blocked", func() string {
		id := w.call(`{"tool":"nope"}`)
		w.ends(id, approval.StatusBlocked, 0)
		return id
	})
	record("cancelled", func() string {
		id := w.pending(send)
		w.post("/api/calls/"+id+"/cancel", ``)
		w.ends(id, approval.StatusCancelled, 0)
		return id
	})
	record("cancelled-by-temporal", func() string {
		id := w.pending(send)
		if err := w.Client.CancelWorkflow(w.t.Context(), id, ""); err != nil {
			w.t.Fatal(err)
		}
		w.ends(id, approval.StatusCancelled, 0)
		return id
	})
	record("executed-answered-in-time-seen-late", func() string {
		id := w.pending(`{"tool":"hasty","args":{"to":"x"}}`)
		w.StopWorker()
		approve(id)
		w.passDeadline(id)
		w.startWorker()
		w.ends(id, approval.StatusExecuted, 1)
		return id
	})
	record("failed", func() string {
		w.behave = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", 400) }
		id := w.call(read)
		w.ends(id, approval.StatusFailed, 1)
		return id
	})
	record("outcome-unknown", func() string {
		w.behave = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		id := w.pending(send)
		approve(id)
		w.ends(id, approval.StatusOutcomeUnknown, 1)
		return id
	})
}

// recordSigned records calls that take signed decisions only, by two people, and get decisions of
// all kinds, some while no worker runs and until after the deadline.
func recordSigned(t *testing.T) {
	policy := write(t, t.TempDir(), "policy.yaml", `
rules:
  - {tool: hasty, approvals: [{group: finance}, {count: 2}], timeout: 6s}
  - {tool: send, approvals: [{group: finance}, {count: 2}]}
`)
	b := newBesieged(t, func(c *stack.Config) { c.Policy = []string{policy} })
	stranger, err := sign.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	by := func(reviewer string, groups ...string) func(*approval.Decision, *string, *string) {
		return func(d *approval.Decision, _, _ *string) { d.Reviewer, d.Groups = reviewer, groups }
	}
	// noise is decisions that never count, and one withdrawal's worth less than those that do.
	noise := func(v approval.View) {
		stale := b.sealed(stranger, v)
		stale.Digest = "00"
		for _, s := range []approval.DecisionSignal{
			{}, {DecisionID: "unsigned", Reviewer: "rita"}, stale, b.sealed(stranger, v), b.sealed(b.key, v, by("olga", "finance")),
			b.sealed(b.key, v, func(d *approval.Decision, _, _ *string) { d.At = d.At.Add(-sign.Life - time.Minute) }),
		} {
			b.signal(v.ID, approval.SignalApprove, s)
		}
		b.signal(v.ID, approval.SignalReject, approval.DecisionSignal{Reviewer: "rita"})
	}
	ends := func(v approval.View, status approval.Status) string {
		b.until("the call has ended", func() bool { return b.status(v.ID) == status })
		return v.ID
	}
	b.record("executed-signed", func() string {
		v := b.asks("send")
		noise(v)
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v, by("ben", "staff")))
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v, by("ben", "staff")))
		b.until("ben's approval counts", func() bool { return len(b.live(v.ID).Votes) == 1 })
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v))
		return ends(v, approval.StatusExecuted)
	})
	b.record("rejected-signed", func() string {
		v := b.asks("send")
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v))
		b.until("the approval counts", func() bool { return len(b.live(v.ID).Votes) == 1 })
		b.signal(v.ID, approval.SignalReject, b.sealed(b.key, v, func(d *approval.Decision, _, _ *string) { d.Kind = approval.Reject }))
		return ends(v, approval.StatusRejected)
	})
	b.record("expired-signed-seen-late", func() string {
		v := b.asks("hasty")
		b.StopWorker()
		noise(v)
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v))
		b.passDeadline(v.ID)
		noise(v)
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v, by("ben", "staff")))
		b.startWorker()
		return ends(v, approval.StatusExpired)
	})
	b.record("executed-signed-seen-late", func() string {
		v := b.asks("hasty")
		b.StopWorker()
		noise(v)
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v))
		b.signal(v.ID, approval.SignalApprove, b.sealed(b.key, v, by("ben", "staff")))
		b.passDeadline(v.ID)
		noise(v)
		b.startWorker()
		return ends(v, approval.StatusExecuted)
	})
}

func (w *world) signal(id, name string, payload any) {
	w.t.Helper()
	if err := w.Client.SignalWorkflow(w.t.Context(), id, "", name, payload); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startWorker() {
	w.t.Helper()
	if err := w.StartWorker(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// passDeadline returns once the call's deadline is over.
func (w *world) passDeadline(id string) {
	w.t.Helper()
	deadline := w.view(id).Deadline.Add(200 * time.Millisecond)
	w.until("the deadline is over", func() bool { return time.Now().After(deadline) })
}

// identities are process IDs and host names of whoever recorded.
var identities = regexp.MustCompile(`("identity": *)"[^"]*"`)

// record writes the history of the call that a scenario returns, unless there is one of that name.
func (w *world) record(name string, scenario func() string) {
	w.t.Helper()
	path := filepath.Join("..", "..", "workflows", "testdata", "histories", name+".json")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	id := scenario()
	w.until("the workflow has closed", func() bool {
		d, err := w.Client.DescribeWorkflowExecution(w.t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
	var h historypb.History
	events := w.Client.GetWorkflowHistory(w.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			w.t.Fatal(err)
		}
		h.Events = append(h.Events, e)
	}
	doc, err := protojson.MarshalOptions{Indent: " "}.Marshal(&h)
	if err != nil {
		w.t.Fatal(err)
	}
	doc = identities.ReplaceAll(doc, []byte(`${1}"somebody"`))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(doc, '\n'), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
