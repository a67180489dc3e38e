package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// ErrRestored: the store is older than what Temporal knows of its calls.
var ErrRestored = errors.New("the store was restored from a backup, and Temporal knows more of its calls")

// recentEnds is how many calls that ended last are compared at a start. A store that was restored
// lacks the last ones.
const recentEnds = 50

// CheckRestored compares the calls that ended last in Temporal with the store: a workflow that has
// completed wrote its end there before. Calls that ended before somebody said that the store was
// restored don't count. Errors: ErrRestored, and what Temporal and the store say.
func CheckRestored(
	ctx context.Context, temporal client.Client, namespace, queue string, s store.Reader,
) error {
	since, err := restoredAt(ctx, s)
	if err != nil {
		return err
	}
	query := fmt.Sprintf("WorkflowType = '%s' AND TaskQueue = '%s' AND ExecutionStatus = 'Completed'",
		approval.WorkflowType, queue)
	if !since.IsZero() {
		query += fmt.Sprintf(" AND CloseTime > '%s'", since.Format(time.RFC3339Nano))
	}
	listed, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: namespace, Query: query, PageSize: recentEnds,
	})
	if err != nil {
		return fmt.Errorf("listing the calls that ended last: %w", err)
	}
	c := calls.New(calls.Options{
		Temporal: temporal, Namespace: namespace, TaskQueue: queue, Timeout: sweepEvery,
	})
	for _, w := range listed.GetExecutions() {
		id := w.GetExecution().GetWorkflowId()
		r, err := s.Call(ctx, id)
		switch {
		case err == nil && r.View.Status.Ended():
			continue
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case err != nil: // of a call that was never admitted there is no row
			o, err := c.Outcome(ctx, id, w.GetExecution().GetRunId())
			if err != nil || !o.Status.NeedsPermit() {
				continue
			}
		}
		return fmt.Errorf("%w: %s ended there at %s. Run 'pawl store restored', which voids the permits "+
			"that were not used, and look at the calls since the backup in Temporal",
			ErrRestored, approval.Display(id, 80),
			w.GetCloseTime().AsTime().Format(time.RFC3339))
	}
	return nil
}

// restoredAt is when somebody last said that the store was restored; zero: never.
func restoredAt(ctx context.Context, s store.Reader) (time.Time, error) {
	page, err := s.Entries(ctx, store.EntryQuery{Kind: audit.KindRestored, Newest: true, Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return time.Time{}, err
	}
	return page.Items[0].At, nil
}

const (
	reconcileEvery = 10 * time.Minute
	// settleTime is how long a call is left alone after it was asked for: Temporal's lists lag.
	settleTime = 10 * time.Minute
)

// reconcile looks, once, for requests that are open in the store and unknown in Temporal, because
// their workflows were deleted or Temporal was restored from a backup, and ends them.
func (s *sweeper) reconcile(ctx context.Context) error {
	open := []approval.Status{approval.StatusPending, approval.StatusApproved, approval.StatusExecuting}
	for q := (store.CallQuery{Requests: true, Statuses: open, Limit: calls.MaxSweep}); ; {
		page, err := s.o.Store.Calls(ctx, q)
		if err != nil {
			return err
		}
		var ids []string
		for _, v := range page.Items {
			if time.Since(v.CreatedAt) > settleTime {
				ids = append(ids, v.ID)
			}
		}
		if len(ids) > 0 {
			_, missing, err := s.calls.Sweep(ctx, ids)
			if err != nil {
				return err
			}
			for _, id := range missing {
				if err := s.endMissing(ctx, id); err != nil {
					return err
				}
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

// endMissing ends a call if Temporal does not know its workflow.
func (s *sweeper) endMissing(ctx context.Context, id string) error {
	_, err := s.calls.Describe(ctx, id)
	if !errors.Is(err, calls.ErrUnknown) {
		return err // it is there: the list lagged
	}
	record, err := s.o.Store.Call(ctx, id)
	if err != nil || record.View.Status.Ended() {
		return err
	}
	return s.endOutside(ctx, record, "", time.Now().UTC().Truncate(time.Microsecond),
		"the workflow was deleted from Temporal, or Temporal was restored from a backup of before it")
}

// endOutside ends a call whose workflow can't.
func (s *sweeper) endOutside(
	ctx context.Context, record store.Record, run string, at time.Time, why string,
) error {
	out := approval.Outcome{
		ID: record.View.ID, Tool: record.View.Tool, Digest: record.View.Digest, Status: approval.StatusCancelled,
		Error:    &approval.CallError{Code: approval.CodeTerminated, Message: why + "; nothing ran"},
		Decision: &approval.FinalDecision{Kind: approval.FinalCancel, Channel: "temporal", At: at},
	}
	err := s.finish(ctx, out, run, at)
	if errors.Is(err, store.ErrStarted) {
		out.Status, out.Decision = approval.StatusOutcomeUnknown, record.View.Decision
		out.Error.Message = why + " after its tool was permitted to run; look at the tool's own records"
		err = s.finish(ctx, out, run, at)
	}
	if err != nil {
		return fmt.Errorf("ending call %s: %w", out.ID, err)
	}
	s.o.Logger.WarnContext(ctx,
		"call ended, because its workflow was closed from outside", "call", out.ID, "status", out.Status)
	return nil
}

// gone reports whether a workflow ended without giving its call an end.
func gone(status enums.WorkflowExecutionStatus) bool {
	return !calls.IsOpen(status) && status != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
}
