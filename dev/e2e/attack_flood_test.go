package e2e_test

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	pawlclient "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// mostSignals is how many signals a call reads.
const mostSignals = 1000

// floods sends a call so many signals, none of which counts, many at a time. It returns how many
// Temporal took: it takes 10,000 of a run.
func (b *besieged) floods(v approval.View, signals int) int {
	b.t.Helper()
	const senders = 32
	stranger, err := sign.NewKey()
	if err != nil {
		b.t.Fatal(err)
	}
	forged := b.sealed(stranger, v)
	var taken atomic.Int32
	failed := make(chan error, senders)
	for i := range senders {
		go func() {
			for n := i; n < signals; n += senders {
				var payload any
				switch n % 3 {
				case 1:
					s := forged
					s.DecisionID = approval.NewID()
					payload = s
				case 2:
					payload = approval.DecisionSignal{Reviewer: "rita", DecisionID: approval.NewID()}
				}
				name := []string{approval.SignalApprove, approval.SignalReject}[n%2]
				err := b.Client.SignalWorkflow(b.t.Context(), v.ID, "", name, payload)
				switch {
				case err == nil:
					taken.Add(1)
				case !errors.As(err, new(*serviceerror.InvalidArgument)):
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range senders {
		if err := <-failed; err != nil {
			b.t.Fatal(err)
		}
	}
	b.until("what the call reads of the flood is on record", func() bool {
		n := 0
		for _, of := range b.refusals(v.ID) {
			n += of
		}
		return n > mostSignals
	})
	return int(taken.Load())
}

// tooMany checks that neither decision nor withdrawal arrives, and that the call says so.
func (b *besieged) tooMany(v approval.View) {
	b.t.Helper()
	for _, who := range []*pawlclient.Client{b.rita, b.ben} {
		if a, err := b.approves(who, v); approval.CodeOf(err) != rest.CodeTooManySignals {
			b.t.Errorf("an approval is answered %+v, %v", a, err)
		}
	}
	if _, err := b.agent.Cancel(b.t.Context(), v.ID, ""); approval.CodeOf(err) != rest.CodeTooManySignals {
		b.t.Errorf("a withdrawal is answered %v", err)
	}
	_, err := b.ben.Decide(b.t.Context(), v.ID, pawlclient.Decision{Kind: approval.Reject, Digest: v.Digest})
	rejections := 0
	for _, e := range b.entries(v.ID, audit.KindSent) {
		if !strings.Contains(string(e.Payload), `"decision":"approve"`) {
			rejections++
		}
	}
	if approval.CodeOf(err) != rest.CodeTooManySignals || rejections != 1 {
		b.t.Errorf("a rejection is answered %v; on record: %d", err, rejections)
	}
	shown, err := b.rita.Request(b.t.Context(), v.ID)
	named := func(o rest.Obstacle) bool { return o.Code == rest.ObstacleSignals }
	if err != nil || shown.Waiting == nil || !slices.ContainsFunc(shown.Waiting.Problems, named) {
		b.t.Errorf("it waits for %+v, %v", shown.Waiting, err)
	}
	if b.status(v.ID) != approval.StatusPending || b.allRuns() != 0 {
		b.t.Errorf("it is %s after %d runs", b.status(v.ID), b.allRuns())
	}
}

// history reads a call's history, and checks that the workflow's code can go on from it.
func (b *besieged) history(id string) []*historypb.HistoryEvent {
	b.t.Helper()
	h := &historypb.History{}
	events := b.Client.GetWorkflowHistory(b.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		h.Events = append(h.Events, e)
		// Temporal itself closes a task during which too many signals came.
		f := e.GetWorkflowTaskFailedEventAttributes()
		if f != nil && f.Cause != enums.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND {
			b.t.Errorf("a workflow task failed: %s %s", f.Cause, f.GetFailure().GetMessage())
		}
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(workflows.GuardedCall, workflow.RegisterOptions{Name: approval.WorkflowType})
	start := h.Events[0].GetWorkflowExecutionStartedEventAttributes()
	err := replayer.ReplayWorkflowHistoryWithOptions(nil, h, worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: id, RunID: start.GetOriginalExecutionRunId()},
	})
	if err != nil {
		b.t.Errorf("its history can't be replayed: %v", err)
	}
	return h.Events
}

// A flood neither approves a call nor breaks it: the call reads so many signals, and then its
// deadline denies.
func TestAttackByFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of signals")
	}
	b := newBesieged(t)
	t.Run("until the deadline", func(t *testing.T) {
		call := approval.Call{Tool: "send", Args: []byte(`{"to":"x"}`), Timeout: approval.Duration(30 * time.Second)}
		started, _, err := b.agent.Start(t.Context(), call, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.until("the call waits", func() bool { return b.status(started.ID) == approval.StatusPending })
		record, err := b.Store.Call(t.Context(), started.ID)
		if err != nil {
			t.Fatal(err)
		}
		taken := b.floods(record.View, mostSignals+100)
		b.tooMany(record.View)
		b.until("the deadline has denied it", func() bool { return b.status(started.ID) == approval.StatusExpired })
		t.Logf("%d signals taken, %d events in its history", taken, len(b.history(started.ID)))
	})
	t.Run("as many as Temporal takes", func(t *testing.T) {
		v := b.asks("send")
		taken := b.floods(v, 10_000)
		b.tooMany(v)
		events := len(b.history(v.ID))
		if taken < 9_000 || events > 40_000 { // Temporal ends a run with 51,200
			t.Errorf("%d signals taken, %d events in its history", taken, events)
		}
		t.Logf("%d signals taken, %d events in its history", taken, events)
		if err := b.Client.CancelWorkflow(t.Context(), v.ID, ""); err != nil {
			t.Fatal(err)
		}
		b.until("it has ended", func() bool { return b.status(v.ID) == approval.StatusCancelled })
	})
}
