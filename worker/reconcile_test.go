package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
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
)

// otherTemporal has calls that completed, with their status, and calls that are open. Its list shows
// none of the open ones, as one that lags.
type otherTemporal struct {
	client.Client
	completed map[string]approval.Status
	open      []string
}

func (o *otherTemporal) ListWorkflow(
	_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	var found workflowservice.ListWorkflowExecutionsResponse
	if strings.Contains(r.GetQuery(), "'Completed'") && !strings.Contains(r.GetQuery(), "CloseTime >") {
		for id := range o.completed {
			found.Executions = append(found.Executions, &workflowpb.WorkflowExecutionInfo{
				Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run"}})
		}
	}
	return &found, nil
}

func (o *otherTemporal) DescribeWorkflow(
	_ context.Context, id, _ string,
) (*client.WorkflowExecutionDescription, error) {
	for _, open := range o.open {
		if open == id {
			d := &client.WorkflowExecutionDescription{}
			d.Status, d.WorkflowType.Name = enums.WORKFLOW_EXECUTION_STATUS_RUNNING, approval.WorkflowType
			return d, nil
		}
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

func admitted(t *testing.T, s store.Store, id string, ago time.Duration, ends bool) {
	t.Helper()
	at := time.Now().Add(-ago)
	_, _, err := s.Admit(t.Context(), store.AdmitParams{
		View: approval.View{ID: id, Tool: "search", Digest: "digest", Args: json.RawMessage("{}"),
			Status: approval.StatusPending, CreatedAt: at},
		Verdict: approval.Verdict{Kind: approval.VerdictRequire}, Run: "run", IsRequest: true,
	})
	if err == nil && ends {
		_, _, err = s.Finish(t.Context(), store.FinishParams{
			Outcome: approval.Outcome{ID: id, Status: approval.StatusRejected}, At: time.Now()})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCheckRestored(t *testing.T) {
	for name, c := range map[string]struct {
		completed map[string]approval.Status
		older     bool
	}{
		"nothing ended":                      {nil, false},
		"what ended is known":                {map[string]approval.Status{"ended": approval.StatusRejected}, false},
		"what ended waits here":              {map[string]approval.Status{"waits": approval.StatusRejected}, true},
		"what ran is unknown":                {map[string]approval.Status{"unknown": approval.StatusExecuted}, true},
		"what may have run is unknown":       {map[string]approval.Status{"unknown": approval.StatusOutcomeUnknown}, true},
		"what was never admitted is unknown": {map[string]approval.Status{"unknown": approval.StatusBlocked}, false},
		"one of many is unknown":             {map[string]approval.Status{"ended": approval.StatusRejected, "x": approval.StatusFailed}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := restoredStore(t)
			admitted(t, s, "ended", time.Hour, true)
			admitted(t, s, "waits", time.Hour, false)
			temporal := &otherTemporal{completed: c.completed}
			check := func() error { return CheckRestored(t.Context(), temporal, "default", "pawl", s) }
			if err := check(); errors.Is(err, ErrRestored) != c.older || err != nil && !c.older {
				t.Errorf("%v", err)
			}
			e, err := audit.New(audit.SubjectStore, "restored/now", time.Now(), audit.Restored{By: "ana"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Restored(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if err := check(); err != nil {
				t.Errorf("after somebody said so: %v", err)
			}
		})
	}
}

// What Temporal does not know any more ends, once; what its lists only lag behind does not.
func TestReconcileEndsWhatTemporalForgot(t *testing.T) {
	s := restoredStore(t)
	admitted(t, s, "deleted", time.Hour, false)
	admitted(t, s, "there", time.Hour, false)
	admitted(t, s, "new", time.Second, false)
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
	temporal := &otherTemporal{open: []string{"there"}}
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	for range 2 {
		if err := w.reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]approval.Status{
		"deleted": approval.StatusCancelled, "permitted": approval.StatusOutcomeUnknown,
		"there": approval.StatusPending, "new": approval.StatusPending,
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
