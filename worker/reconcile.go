package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/enums/v1"
)

const (
	reconcileEvery = 10 * time.Minute
	// settleTime is how long a call is left alone after it was asked for: Temporal's lists lag.
	settleTime = 10 * time.Minute

	// lostEnd, and its run, is the step at which a call ends that the store does not have. Not "end": that
	// is of a call that was admitted, as this one may still be, by a reset or under its key.
	lostEnd = "lost-end/"
)

// openStatuses are those of calls that have not ended.
func openStatuses() []approval.Status {
	return slices.DeleteFunc(slices.Clone(approval.Statuses), approval.Status.Ended)
}

// reconcile looks, once, for calls on which Temporal and the store disagree, and ends them: those that
// are open in the store, and unknown in Temporal, because their workflows were deleted or Temporal was
// restored from a backup; those that are open in the store and have ended in Temporal, because the
// store was; and those that wait in Temporal, and that such a store does not have. The first time it
// also looks for those that have ended in the store and wait in Temporal, because that was restored, and
// puts on record those that have ended in Temporal and that a restored store does not have. A call that it
// can't deal with does not stop it, and is looked at again the next time.
func (s *sweeper) reconcile(ctx context.Context) error {
	first := s.endLost(ctx)
	if !s.caughtUp {
		err := cmp.Or(s.recordLostEnds(ctx), s.endRepeated(ctx))
		first, s.caughtUp = cmp.Or(first, err), err == nil
	}
	err := Disagreeing(ctx, s.o.Store, s.calls, settleTime, func(p Disagreement) (bool, error) {
		for _, id := range p.Ended {
			first = cmp.Or(first, s.endCompleted(ctx, id))
		}
		for _, id := range p.Missing {
			first = cmp.Or(first, s.endMissing(ctx, id))
		}
		return true, ctx.Err()
	})
	return cmp.Or(first, err)
}

// Disagreement is what Temporal's lists, which may lag, say of a page of calls that are open in the store.
type Disagreement struct {
	Looked  int      // at calls of the store
	Ended   []string // calls whose workflows have ended
	Missing []string // calls whose workflows are not to be seen
	Last    bool     // no page follows
}

// Disagreeing tells visit, the newest first and page by page until it says no, of calls that are open in
// the store and were asked for longer than age ago. Errors: what the store, Temporal and visit say; a row
// that can't be read is passed over, and told of at the end.
func Disagreeing(
	ctx context.Context, s store.Reader, c *calls.Client, age time.Duration,
	visit func(Disagreement) (more bool, err error),
) error {
	var damaged error
	for q := (store.CallQuery{Statuses: openStatuses(), Limit: calls.MaxSweep}); ; {
		page, err := s.Calls(ctx, q)
		if errors.Is(err, store.ErrDamagedRow) {
			if q.Limit > 1 { // look for the row in ever smaller pages
				q.Limit /= 2
				continue
			}
			damaged, err = cmp.Or(damaged, err), nil
		}
		if err != nil {
			return err
		}
		var ids []string
		for _, v := range page.Items {
			if time.Since(v.CreatedAt) > age {
				ids = append(ids, v.ID)
			}
		}
		p := Disagreement{Looked: len(page.Items), Last: page.Next == ""}
		if p.Ended, p.Missing, err = c.Sweep(ctx, ids); err != nil {
			return err
		}
		if more, err := visit(p); err != nil || !more || p.Last {
			return cmp.Or(err, damaged)
		}
		q.Cursor, q.Limit = page.Next, min(2*q.Limit, calls.MaxSweep)
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

// endCompleted ends a call whose workflow has ended by itself, if the store does not know: it was
// restored from a backup of before. What ran by a permit that the store has lost has an unknown outcome
// here: the workflow's word alone is no proof of a result.
func (s *sweeper) endCompleted(ctx context.Context, id string) error {
	d, err := s.calls.Describe(ctx, id)
	if errors.Is(err, calls.ErrUnknown) || err == nil && d.Status != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		return nil // it is gone, open again, or swept
	}
	if err != nil {
		return err
	}
	run := d.WorkflowExecution.RunID
	said, err := s.calls.Outcome(ctx, id, run)
	if errors.Is(err, calls.ErrNoOutcome) || errors.As(err, new(*calls.UnreadableError)) {
		said, err = &approval.Outcome{Status: approval.StatusOutcomeUnknown}, nil
	}
	if err != nil {
		return err
	}
	record, err := s.o.Store.Call(ctx, id)
	if err != nil || record.View.Status.Ended() {
		return err
	}
	why := fmt.Sprintf("the workflow ended %s in Temporal, and the store, which was restored from an older "+
		"backup, had lost that", said.Status)
	at := time.Now().UTC().Truncate(time.Microsecond) // the entry is new, and waits for its seal since now
	if said.Status.Denied() {
		return s.endOutside(ctx, record, run, at, why)
	}
	out := outside(record, at, why+"; look at the tool's own records")
	out.Status, out.Decision = approval.StatusOutcomeUnknown, record.View.Decision
	return s.finish(ctx, out, run, at, true)
}

// endLost ends calls that wait in Temporal since before the store was restored, and that it does not
// have: no step of theirs can be done any more. One that was let go may be running its tool: that is put
// on record, once, and left to a person, who is told of it by 'pawl doctor', too.
func (s *sweeper) endLost(ctx context.Context) error {
	return Lost(ctx, s.o.Client, s.o.Namespace, s.o.TaskQueue, s.o.Store, func(id, run string) error {
		if s.told[run] {
			return nil
		}
		state, err := s.calls.State(ctx, id)
		switch status := state.View.Status; {
		case errors.Is(err, calls.ErrUnknown), err == nil && status == approval.StatusEvaluating:
			return nil // it has gone meanwhile, or is about to be admitted
		case err != nil:
			return fmt.Errorf("asking the workflow of call %s: %w", id, err)
		case status != approval.StatusPending:
			if _, err := approval.ParseStatus(string(status)); err != nil { // whoever writes to Temporal says it
				status = approval.StatusOutcomeUnknown
			}
			err := s.recordLost(ctx, id, audit.Lost{
				Run: run, Status: status, Tool: state.View.Tool, Digest: state.View.Digest,
			})
			if err != nil {
				return err
			}
			s.told[run] = true
			s.o.Logger.WarnContext(ctx, "a call goes on in Temporal that the restored store does not have, and may "+
				"be running its tool: look at the tool's own records, and terminate its workflow",
				"call", id, "status", status)
			return nil
		}
		const why = "the store, which was restored from an older backup, does not have the call"
		at := time.Now().UTC().Truncate(time.Microsecond)
		out := outside(store.Record{View: state.View}, at, why+"; nothing ran")
		entry, err := audit.New(id, lostEnd+run, at, audit.Ended{Outcome: out, Run: run})
		if err == nil {
			err = s.o.Store.Append(ctx, entry)
		}
		if err == nil {
			err = s.o.Client.TerminateWorkflow(ctx, id, run, why)
		}
		if err != nil {
			return fmt.Errorf("ending call %s: %w", id, err)
		}
		s.o.Logger.WarnContext(ctx, "call ended: "+why, "call", id)
		return nil
	})
}

// recordLost puts on record what Temporal says of a call that the store does not have.
func (s *sweeper) recordLost(ctx context.Context, id string, said audit.Lost) error {
	said.Tool = approval.Display(said.Tool, approval.MaxID)
	said.Digest, said.Code = approval.Display(said.Digest, 64), approval.Display(said.Code, 64)
	e, err := audit.New(id, "lost/"+said.Run, time.Now(), said)
	if err == nil {
		err = s.o.Store.Append(ctx, e) // another worker may have written it
	}
	if err != nil {
		return fmt.Errorf("recording that the store does not have call %s: %w", id, err)
	}
	return nil
}

// recordLostEnds puts on record the calls that ended in Temporal before somebody said that the store was
// restored, and that it does not have.
func (s *sweeper) recordLostEnds(ctx context.Context) error {
	return lostEnds(ctx, s.o.Client, s.o.Namespace, s.o.TaskQueue, s.o.Store, func(id, run string) error {
		out, err := s.calls.Outcome(ctx, id, run)
		switch {
		case errors.Is(err, calls.ErrNoOutcome), errors.As(err, new(*calls.UnreadableError)):
			out = &approval.Outcome{Status: approval.StatusOutcomeUnknown}
		case errors.Is(err, calls.ErrClosed): // terminated, say, and its tool may have run
			if gone, err := s.forgotten(ctx, id, run); gone || err != nil {
				return err
			}
			out = &approval.Outcome{Status: approval.StatusOutcomeUnknown}
		case err != nil:
			return fmt.Errorf("asking how call %s ended: %w", id, err)
		case out.Status == approval.StatusBlocked:
			return nil // of one that was never admitted there is no row, and nothing ran
		}
		said := audit.Lost{Run: run, Status: out.Status, Tool: out.Tool, Digest: out.Digest}
		if out.Error != nil {
			said.Code = out.Error.Code
		}
		s.o.Logger.WarnContext(ctx, "a call ended in Temporal that the restored store does not have",
			"call", id, "status", out.Status)
		return s.recordLost(ctx, id, said)
	})
}

// forgotten reports whether there is nothing to put on record of a run that was closed: it has gone
// meanwhile, or endLost closed it, and said so, before the store was restored a second time.
func (s *sweeper) forgotten(ctx context.Context, id, run string) (bool, error) {
	if _, err := s.calls.Describe(ctx, id); err != nil {
		if errors.Is(err, calls.ErrUnknown) {
			return true, nil
		}
		return false, fmt.Errorf("looking at the workflow of call %s: %w", id, err)
	}
	log, err := s.o.Store.Entries(ctx, store.EntryQuery{Subject: id, Kind: audit.KindEnded})
	return slices.ContainsFunc(log.Items, func(e audit.Entry) bool { return e.Step == lostEnd+run }), err
}

// endRepeated withdraws calls that wait in Temporal, and that had ended in the store long ago: a Temporal
// that was restored repeats that time, with nobody to decide again. Their workflows find the end that
// the store has, and end so.
func (s *sweeper) endRepeated(ctx context.Context) error {
	now := time.Now()
	return running(ctx, s.o.Client, s.o.Namespace, s.o.TaskQueue, now, func(id, _ string) error {
		record, err := s.o.Store.Call(ctx, id)
		ended := record.View.EndedAt
		if errors.Is(err, store.ErrNotFound) || err == nil && (ended == nil || now.Sub(*ended) < settleTime) {
			return nil
		}
		if err == nil {
			err = s.calls.Signal(ctx, id, approval.SignalCancel, approval.CancelSignal{
				By: "pawl", Channel: "worker", Notes: "the call has ended before: " + string(record.View.Status),
			})
		}
		if errors.Is(err, calls.ErrEnded) || errors.Is(err, calls.ErrTooManySignals) {
			return nil // it has ended meanwhile, or ends by its deadline
		}
		return err
	})
}

// outside is the end of a call that its workflow did not give it.
func outside(record store.Record, at time.Time, why string) approval.Outcome {
	return approval.Outcome{
		ID: record.View.ID, Tool: record.View.Tool, Digest: record.View.Digest, Status: approval.StatusCancelled,
		Error:    &approval.CallError{Code: approval.CodeTerminated, Message: why},
		Decision: &approval.FinalDecision{Kind: approval.FinalCancel, Channel: "temporal", At: at},
	}
}

// endOutside ends a call whose workflow can't.
func (s *sweeper) endOutside(
	ctx context.Context, record store.Record, run string, at time.Time, why string,
) error {
	out := outside(record, at, why+"; nothing ran")
	err := s.finish(ctx, out, run, at, false)
	if errors.Is(err, store.ErrStarted) {
		out.Status, out.Decision = approval.StatusOutcomeUnknown, record.View.Decision
		out.Error.Message = why + " after its tool was permitted to run; look at the tool's own records"
		err = s.finish(ctx, out, run, at, false)
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
