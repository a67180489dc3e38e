package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
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
// restored don't count, nor does one whose row can't be read: damaged, unless it is nil, is told of it.
// Errors: ErrRestored, and what Temporal and the store say.
func CheckRestored(
	ctx context.Context, temporal client.Client, namespace, queue string, s store.Reader,
	damaged func(id string, err error),
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
		case errors.Is(err, store.ErrDamagedRow): // it has one
			if damaged != nil {
				damaged(id, err)
			}
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

// noteDamaged tells of a row that can't be read.
func noteDamaged(ctx context.Context, log *slog.Logger, id string, err error) {
	log.ErrorContext(ctx, "the row of a call can't be read: it is not compared with what Temporal knows, and "+
		"the others are; run 'pawl audit verify', and look at the call in Temporal", "call", id, "error", err)
}

// awaitCompared is CheckRestored, again while Temporal gives no answer: its lists may be away for longer
// than the rest of it, and a store that was not compared with them must not be served.
func awaitCompared(ctx context.Context, o Options) error {
	for pause := (retry.Backoff{}); ; {
		err := CheckRestored(ctx, o.Client, o.Namespace, o.TaskQueue, o.Store,
			func(id string, err error) { noteDamaged(ctx, o.Logger, id, err) })
		if err == nil || errors.Is(err, ErrRestored) {
			return err
		}
		err = fmt.Errorf("looking whether the store is older than what Temporal knows: %w", err)
		if !silent(err) {
			return err
		}
		o.Logger.WarnContext(ctx, "the worker does not serve yet: Temporal's list of calls, which shows whether "+
			"the store was restored from a backup, can't be read; trying again", "error", err)
		if !pause.Wait(ctx) {
			return err
		}
	}
}

// restoredAt is when somebody last said that the store was restored; zero: never.
func restoredAt(ctx context.Context, s store.Reader) (time.Time, error) {
	page, err := s.Entries(ctx, store.EntryQuery{Kind: audit.KindRestored, Newest: true, Limit: 1})
	if err != nil || len(page.Items) == 0 {
		return time.Time{}, err
	}
	return page.Items[0].At, nil
}

// Lost tells visit of each call that goes on in Temporal since before somebody said that the store was
// restored, and that the store does not have. It may have been admitted after the backup: then none of
// its steps can be done any more. An error of visit stops nothing but by ctx; the first one is returned.
func Lost(
	ctx context.Context, temporal client.Client, namespace, queue string, s store.Reader,
	visit func(id, run string) error,
) error {
	since, err := restoredAt(ctx, s)
	if err != nil || since.IsZero() {
		return err
	}
	return running(ctx, temporal, namespace, queue, since, func(id, run string) error {
		_, err := s.Call(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			err = visit(id, run)
		}
		if errors.Is(err, store.ErrDamagedRow) {
			err = nil // the store has a row of it
		}
		return err
	})
}

// lostEnds tells visit of each call that ended in Temporal, however its workflow did, before somebody said
// that the store was restored, and that the store does not have. Temporal lists the last ones first: it is
// done with a page of calls whose ends the store knew before, since those of the backup are older still.
// Errors are as of Lost.
func lostEnds(
	ctx context.Context, temporal client.Client, namespace, queue string, s store.Reader,
	visit func(id, run string) error,
) error {
	since, err := restoredAt(ctx, s)
	if err != nil || since.IsZero() {
		return err
	}
	query := fmt.Sprintf("WorkflowType = '%s' AND TaskQueue = '%s' AND ExecutionStatus != 'Running' AND "+
		"CloseTime <= '%s'", approval.WorkflowType, queue, since.Format(time.RFC3339Nano))
	var first error
	for page, more := []byte(nil), true; more; {
		listed, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: namespace, Query: query, PageSize: store.MaxPage, NextPageToken: page,
		})
		if err != nil {
			return fmt.Errorf("listing the calls that ended before the restore: %w", err)
		}
		known := true
		for _, w := range listed.GetExecutions() {
			id := w.GetExecution().GetWorkflowId()
			if approval.CheckID(id) != nil {
				continue
			}
			r, err := s.Call(ctx, id)
			switch ended := r.View.EndedAt; {
			case errors.Is(err, store.ErrNotFound):
				known, err = false, visit(id, w.GetExecution().GetRunId())
			case err == nil:
				known = known && ended != nil && ended.Before(since)
			case errors.Is(err, store.ErrDamagedRow):
				known, err = false, nil // the store has a row of it, that does not say when it ended
			}
			first = cmp.Or(first, err)
			if ctx.Err() != nil {
				return cmp.Or(first, ctx.Err())
			}
		}
		page = listed.GetNextPageToken()
		more = !known && len(page) > 0
	}
	return first
}

// running tells visit of each call that goes on in Temporal and was started before a time. Errors are as
// of Lost.
func running(
	ctx context.Context, temporal client.Client, namespace, queue string, before time.Time,
	visit func(id, run string) error,
) error {
	query := fmt.Sprintf("WorkflowType = '%s' AND TaskQueue = '%s' AND ExecutionStatus = 'Running' AND "+
		"StartTime < '%s'", approval.WorkflowType, queue, before.UTC().Format(time.RFC3339Nano))
	var first error
	for page := []byte(nil); ; {
		listed, err := temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: namespace, Query: query, NextPageToken: page,
		})
		if err != nil {
			return fmt.Errorf("listing the calls that go on: %w", err)
		}
		for _, w := range listed.GetExecutions() {
			id := w.GetExecution().GetWorkflowId()
			if approval.CheckID(id) != nil { // it ends blocked
				continue
			}
			first = cmp.Or(first, visit(id, w.GetExecution().GetRunId()))
			if ctx.Err() != nil {
				return cmp.Or(first, ctx.Err())
			}
		}
		if page = listed.GetNextPageToken(); len(page) == 0 {
			return first
		}
	}
}
