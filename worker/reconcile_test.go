package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// otherTemporal has calls that completed, with their status, and calls that are open. Its list shows
// none of the open ones, as one that lags.
type otherTemporal struct {
	client.Client
	completed  map[string]approval.Status
	open       []string
	closed     []string                   // whose runs an operator terminated
	running    map[string]approval.Status // calls that go on since before the restore
	terminated []string
	withdrawn  []string
}

func (o *otherTemporal) SignalWorkflow(_ context.Context, id, _, signal string, _ any) error {
	o.withdrawn = append(o.withdrawn, signal+" "+id)
	return nil
}

func (o *otherTemporal) ListWorkflow(
	_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	var found workflowservice.ListWorkflowExecutionsResponse
	add := func(id string, status enums.WorkflowExecutionStatus) {
		found.Executions = append(found.Executions, &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run of " + id}, Status: status})
	}
	q := r.GetQuery()
	switch {
	case strings.Contains(q, "ExecutionStatus = 'Running'"):
		for id := range o.running {
			if !slices.Contains(o.terminated, id) {
				add(id, enums.WORKFLOW_EXECUTION_STATUS_RUNNING)
			}
		}
	case q == closed, strings.Contains(q, "!= 'Running'"):
		for _, id := range o.closed {
			add(id, enums.WORKFLOW_EXECUTION_STATUS_TERMINATED)
		}
		for id := range o.completed {
			if q != closed {
				add(id, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED)
			}
		}
	case strings.Contains(q, "'Completed'") && !strings.Contains(q, "CloseTime >"), strings.Contains(q, "WorkflowId IN"):
		for id := range o.completed {
			add(id, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED)
		}
	}
	return &found, nil
}

func (o *otherTemporal) TerminateWorkflow(_ context.Context, id, _, _ string, _ ...any) error {
	o.terminated = append(o.terminated, id)
	return nil
}

type stateAnswer struct {
	converter.EncodedValue
	state approval.State
}

func (a stateAnswer) Get(into any) error {
	*into.(*approval.State) = a.state
	return nil
}

func (o *otherTemporal) QueryWorkflow(_ context.Context, id, _, _ string, _ ...any) (converter.EncodedValue, error) {
	return stateAnswer{state: approval.State{View: approval.View{ID: id, Tool: "search", Digest: "digest", Status: o.running[id]}}}, nil
}

func (o *otherTemporal) DescribeWorkflow(
	_ context.Context, id, _ string,
) (*client.WorkflowExecutionDescription, error) {
	d := &client.WorkflowExecutionDescription{}
	d.Status, d.WorkflowType.Name = enums.WORKFLOW_EXECUTION_STATUS_RUNNING, approval.WorkflowType
	if slices.Contains(o.open, id) {
		return d, nil
	}
	at := time.Now()
	if slices.Contains(o.closed, id) {
		d.Status, d.WorkflowExecution.RunID, d.WorkflowCloseTime = enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, "run", &at
		return d, nil
	}
	if o.completed[id] != "" {
		d.Status, d.WorkflowExecution.RunID, d.WorkflowCloseTime = enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, "run", &at
		return d, nil
	}
	return nil, serviceerror.NewNotFound("no such workflow")
}

func (o *otherTemporal) GetWorkflow(_ context.Context, id, _ string) client.WorkflowRun {
	return result{status: o.completed[id], id: id}
}

type result struct {
	client.WorkflowRun
	id     string
	status approval.Status
}

func (r result) Get(_ context.Context, into any) error {
	if r.status == "" {
		return &temporal.WorkflowExecutionError{}
	}
	doc, err := json.Marshal(approval.Outcome{ID: r.id, Status: r.status})
	*into.(*json.RawMessage) = doc
	return err
}

func restoredStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sayRestored(t *testing.T, s store.Store) {
	t.Helper()
	e, err := audit.New(audit.SubjectStore, "restored/now", time.Now(), audit.Restored{By: "ana"})
	if err == nil {
		_, err = s.Restored(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func admitted(t *testing.T, s store.Store, id string, ago time.Duration, ends bool) {
	t.Helper()
	admittedAs(t, s, id, ago, ends, true)
}

// admittedAs is admitted of a call that people are asked about, or that is allowed.
func admittedAs(t *testing.T, s store.Store, id string, ago time.Duration, ends, asked bool) {
	t.Helper()
	at := time.Now().Add(-ago)
	p := store.AdmitParams{
		View: approval.View{ID: id, Tool: "search", Digest: "digest", Args: json.RawMessage("{}"),
			Status: approval.StatusPending, CreatedAt: at},
		Verdict: approval.Verdict{Kind: approval.VerdictRequire}, Run: "run", IsRequest: asked,
	}
	if !asked {
		p.View.Status, p.Verdict.Kind, p.TakePermit, p.GoodUntil = approval.StatusExecuting, approval.VerdictAllow, true, at.Add(time.Hour)
	}
	_, _, err := s.Admit(t.Context(), p)
	if err == nil && ends {
		_, _, err = s.Finish(t.Context(), store.FinishParams{
			Outcome: approval.Outcome{ID: id, Status: approval.StatusRejected}, At: time.Now()})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What Temporal does not know any more ends, once; what its lists only lag behind does not.
func TestReconcileEndsWhatTemporalForgot(t *testing.T) {
	s := restoredStore(t)
	admitted(t, s, "deleted", time.Hour, false)
	admitted(t, s, "there", time.Hour, false)
	admitted(t, s, "new", time.Second, false)
	admittedAs(t, s, "allowed", time.Hour, false, false)
	admittedAs(t, s, "allowed there", time.Hour, false, false)
	admitted(t, s, "rejected there", time.Hour, false)
	admitted(t, s, "executed there", time.Hour, false)
	admittedAs(t, s, "allowed and executed there", time.Hour, false, false)
	admitted(t, s, "permitted", time.Hour, false)
	if _, err := s.Claim(t.Context(), store.ClaimParams{
		ID: "permitted", Run: "run", Digest: "digest", At: time.Now(), GoodUntil: time.Now().Add(time.Hour),
		Policy: store.UnversionedPolicy,
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(t.Context(), store.UseParams{
		ID: "permitted", Digest: "digest", Run: "run", Activity: "1", Token: "t", At: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	temporal := &otherTemporal{open: []string{"there", "allowed there"}, completed: map[string]approval.Status{
		"rejected there": approval.StatusRejected, "executed there": approval.StatusExecuted,
		"allowed and executed there": approval.StatusExecuted,
	}}
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err := w.look(t.Context()); !errors.Is(err, ErrRestored) {
		t.Fatalf("before anybody said that it was restored: %v", err)
	}
	sayRestored(t, s)
	for range 2 {
		if err := w.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]approval.Status{
		"deleted": approval.StatusCancelled, "permitted": approval.StatusOutcomeUnknown,
		"there": approval.StatusPending, "new": approval.StatusPending,
		"allowed": approval.StatusCancelled, "allowed there": approval.StatusExecuting,
		"rejected there": approval.StatusCancelled, "executed there": approval.StatusOutcomeUnknown,
		"allowed and executed there": approval.StatusOutcomeUnknown,
	} {
		r, err := s.Call(t.Context(), id)
		if err != nil || r.View.Status != want {
			t.Errorf("%s is %s, %v; want %s", id, r.View.Status, err, want)
		}
		log, err := s.Entries(t.Context(), store.EntryQuery{Subject: id, Kind: audit.KindEnded})
		if ended := want.Ended(); err != nil || len(log.Items) == 1 != ended {
			t.Errorf("%s has %d ends on record, %v", id, len(log.Items), err)
		}
	}
}

// Calls that wait in Temporal, and that a restored store does not have, end once; what may be running is
// left to a person.
func TestReconcileEndsWhatARestoredStoreLacks(t *testing.T) {
	s := restoredStore(t)
	admitted(t, s, "known", time.Hour, false)
	temporal := &otherTemporal{running: map[string]approval.Status{
		"known": approval.StatusPending, "waits": approval.StatusPending, "new": approval.StatusEvaluating,
		"runs": approval.StatusExecuting, "approved": approval.StatusApproved,
	}, open: []string{"known"}}
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err := w.reconcile(t.Context()); err != nil || len(temporal.terminated) > 0 {
		t.Fatalf("before anybody said that it was restored: %v, %v", temporal.terminated, err)
	}
	sayRestored(t, s)
	for range 2 {
		if err := w.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(temporal.terminated, []string{"waits"}) {
		t.Errorf("terminated: %v", temporal.terminated)
	}
	log, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindEnded})
	if err != nil || len(log.Items) != 1 || log.Items[0].Subject != "waits" || !strings.Contains(string(log.Items[0].Payload), approval.CodeTerminated) {
		t.Errorf("on record: %+v, %v", log.Items, err)
	}
	// Asked for again, with its key, it is allowed and runs: its end is its own.
	admittedAs(t, s, "waits", 0, false, false)
	out := approval.Outcome{ID: "waits", Tool: "search", Digest: "digest", Status: approval.StatusOutcomeUnknown}
	if err := w.finish(t.Context(), out, "run 2", time.Now(), true); err != nil {
		t.Fatal(err)
	}
	log, err = s.Entries(t.Context(), store.EntryQuery{Subject: "waits", Kind: audit.KindEnded})
	if r, unread := s.Call(t.Context(), "waits"); unread != nil || r.View.Status != out.Status || err != nil || len(log.Items) != 2 {
		t.Errorf("admitted again: %+v, %v; on record: %+v, %v", r.View, unread, log.Items, err)
	}
}

// Calls that ran or run in Temporal, and that a restored store does not have, are on record: each once,
// however many workers look, and however often.
func TestReconcileRecordsWhatARestoredStoreLacks(t *testing.T) {
	s := restoredStore(t)
	admitted(t, s, "known", time.Hour, true)
	sayRestored(t, s)
	temporal := &otherTemporal{
		running: map[string]approval.Status{
			"runs": approval.StatusExecuting, "approved": approval.StatusApproved, "forged": approval.Status(strings.Repeat("x", 1e6)),
		},
		completed: map[string]approval.Status{
			"known": approval.StatusRejected, "ran": approval.StatusExecuted, "rejected": approval.StatusRejected,
			"never admitted": approval.StatusBlocked, "gone meanwhile": "",
		},
		closed: []string{"terminated", "ended by a worker"},
	}
	ended, err := audit.New("ended by a worker", "lost-end/run of ended by a worker", time.Now(), audit.Ended{})
	if err == nil {
		err = s.Append(t.Context(), ended)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
		for range 2 {
			if err := w.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindLost})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]approval.Status{}
	for _, e := range page.Items {
		p, err := audit.ReadPayload(e.Kind, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		got[e.Subject] = p.(audit.Lost).Status
	}
	want := map[string]approval.Status{
		"runs": approval.StatusExecuting, "approved": approval.StatusApproved,
		"ran": approval.StatusExecuted, "rejected": approval.StatusRejected,
		"terminated": approval.StatusOutcomeUnknown, "forged": approval.StatusOutcomeUnknown,
	}
	if !maps.Equal(got, want) || len(page.Items) != len(want) {
		t.Errorf("on record: %v in %d entries, want %v", got, len(page.Items), want)
	}
}

// What has ended long ago in the store and waits in Temporal, which was restored, is withdrawn, once.
func TestReconcileEndsWhatARestoredTemporalRepeats(t *testing.T) {
	s := restoredStore(t)
	admitted(t, s, "ended just now", time.Hour, true)
	admitted(t, s, "ended", time.Hour, false)
	admitted(t, s, "waits", time.Hour, false)
	_, _, err := s.Finish(t.Context(), store.FinishParams{
		Outcome: approval.Outcome{ID: "ended", Status: approval.StatusRejected}, At: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	temporal := &otherTemporal{running: map[string]approval.Status{
		"ended": approval.StatusPending, "ended just now": approval.StatusPending, "waits": approval.StatusPending,
		"unknown": approval.StatusPending,
	}, open: []string{"waits"}}
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	for range 2 {
		if err := w.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(temporal.withdrawn, []string{"cancel_call ended"}) {
		t.Errorf("withdrawn: %q", temporal.withdrawn)
	}
}
