package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/workflowservice/v1"
)

// sweepEvery is how often a worker looks for calls whose workflows were closed outside Pawl.
// Nothing waits for it: such a call goes no further, but lists would show it as pending for ever.
const sweepEvery = time.Minute

// queryTime bounds a query of a workflow: this worker, or another one, answers it.
const queryTime = 10 * time.Second

// closed lists runs that ended without an outcome, which GuardedCall never does by itself. A reset
// closes one, too, and opens another.
const closed = "WorkflowType = '" + approval.WorkflowType + "' " +
	"AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed', 'Canceled')"

// sweeper ends calls whose workflows an operator terminated, or a time limit of the starter's did.
type sweeper struct {
	o     Options
	calls *calls.Client
	done  map[string]bool // runs that need no further look
	told  map[string]bool // runs of calls that a person has to look at

	damaged map[string]bool // calls whose rows can't be read, and that it told of

	fatal func(error) // told once of ErrRestored: the worker must not serve any more

	reconciled time.Time // the last time
	caughtUp   bool      // it was looked for calls that a restored Temporal repeats
}

func newSweeper(o Options) sweeper {
	return sweeper{o: o, told: map[string]bool{}, damaged: map[string]bool{}, calls: calls.New(calls.Options{
		Temporal: o.Client, Namespace: o.Namespace, TaskQueue: o.TaskQueue,
		Timeout: sweepEvery, Query: queryTime,
	})}
}

// run looks after calls until ctx ends, or the store turns out to be restored.
func (s *sweeper) run(ctx context.Context) {
	for again := true; again; again = retry.Sleep(ctx, sweepEvery) {
		err := s.look(ctx)
		if errors.Is(err, ErrRestored) {
			s.o.Logger.ErrorContext(ctx, "the worker stops", "error", err)
			s.fatal(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			s.o.Logger.WarnContext(ctx,
				"could not look for calls whose workflows were closed from outside; trying again", "error", err)
		}
	}
}

// look sweeps, and reconciles now and then. It touches nothing where the store was restored and nobody
// has said so: ErrRestored.
func (s *sweeper) look(ctx context.Context) error {
	err := CheckRestored(ctx, s.o.Client, s.o.Namespace, s.o.TaskQueue, s.o.Store, func(id string, err error) {
		if !s.damaged[id] {
			s.damaged[id] = true
			noteDamaged(ctx, s.o.Logger, id, err)
		}
	})
	if err != nil {
		return err
	}
	err = s.sweep(ctx)
	if time.Since(s.reconciled) >= reconcileEvery {
		s.reconciled = time.Now()
		err = errors.Join(err, s.reconcile(ctx))
	}
	return err
}

// sweep looks at each run once. One that it can't deal with does not stop it, and is looked at
// again the next time.
func (s *sweeper) sweep(ctx context.Context) error {
	seen := map[string]bool{}
	var first error
	for page := []byte(nil); ; {
		listed, err := s.o.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: s.o.Namespace, Query: closed, NextPageToken: page,
		})
		if err != nil {
			return fmt.Errorf("listing closed workflows: %w", err)
		}
		for _, w := range listed.GetExecutions() {
			run := w.GetExecution().GetRunId()
			if !s.done[run] {
				if err := s.end(ctx, w.GetExecution().GetWorkflowId()); err != nil {
					if ctx.Err() != nil {
						return err
					}
					first = cmp.Or(first, err)
					continue
				}
			}
			seen[run] = true
		}
		if page = listed.GetNextPageToken(); len(page) == 0 {
			s.done = seen // forget what Temporal has forgotten
			return first
		}
	}
}

// end ends the call if its latest run is closed without an outcome and the store does not know. A
// run that is opened later, by a reset, finds the call ended and ends the same way.
func (s *sweeper) end(ctx context.Context, id string) error {
	record, err := s.o.Store.Call(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // closed before it was admitted, or another store's
	case err != nil:
		return err
	case record.View.Status.Ended():
		return nil
	}
	d, err := s.calls.Describe(ctx, id)
	if err != nil {
		return fmt.Errorf("looking at the workflow of call %s: %w", id, err)
	}
	if !gone(d.Status) {
		return nil
	}
	return s.endOutside(ctx, record, d.WorkflowExecution.RunID,
		d.WorkflowCloseTime.UTC().Truncate(time.Microsecond),
		"the workflow was closed in Temporal by an operator or a time limit")
}

// finish writes the ending. It gives the store no run: whoever closed the workflow did not know
// whether other workers had started its tool.
func (s *sweeper) finish(
	ctx context.Context, out approval.Outcome, run string, at time.Time, lost bool,
) error {
	entry, err := audit.New(out.ID, "end", at, audit.Ended{Outcome: out, Run: run})
	if err != nil {
		return err
	}
	_, _, err = s.o.Store.Finish(ctx, store.FinishParams{
		Outcome: out, At: at, Entries: []audit.Entry{entry}, Lost: lost,
	})
	return err
}
