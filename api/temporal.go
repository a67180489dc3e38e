package api

import (
	"context"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
)

// waiting is calls.Within, but ends early when the server stops.
func waiting(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	waiting, cancel := calls.Within(ctx, d)
	release := context.AfterFunc(stopping(ctx), cancel)
	return waiting, func() {
		release()
		cancel()
	}
}

// renewal says when a wait renews the lease of its calls: see renewAfter.
type renewal struct {
	next time.Time
	done bool // once at least
	last bool // the wait is over, and its caller still there
}

func newRenewal() *renewal { return &renewal{next: time.Now().Add(renewAfter)} }

// due reports whether to renew now; what is due is done.
func (r *renewal) due() bool {
	due := !time.Now().Before(r.next) || r.last && !r.done
	if due {
		r.next, r.done = time.Now().Add(renewEvery), true
	}
	return due
}

// sleep reports whether the wait goes on, for one last look if its time is up. ctx is the request's.
func (r *renewal) sleep(ctx, waiting context.Context, pause time.Duration) bool {
	r.last = !retry.Sleep(waiting, pause)
	return ctx.Err() == nil && (!r.last || errors.Is(waiting.Err(), context.DeadlineExceeded))
}

// follow waits for a call to end, at most wait, as calls.Client.Follow does. Without wait, it looks
// once.
func (s *Server) follow(
	ctx context.Context, id string, wait time.Duration,
) (*approval.Outcome, *calls.Description, error) {
	waiting, cancel := waiting(ctx, wait)
	defer cancel()
	return s.end(ctx, waiting, id)
}

// end is calls.Client.Follow, but of a call that was erased only the end that the store has left: Temporal
// may still know the rest. Where the store does not say, there is no answer.
func (s *Server) end(ctx, waiting context.Context, id string) (*approval.Outcome, *calls.Description, error) {
	o, d, err := s.calls.Follow(ctx, waiting, id)
	if o == nil || err != nil {
		return o, d, err
	}
	switch r, err := s.o.Store.Call(ctx, id); {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, nil, fromStore(err)
	case r.View.ErasedAt != nil:
		left := r.View.Outcome()
		return &left, d, nil
	}
	return o, d, nil
}

// openState is the state of a call whose workflow is open: with ask, and if the workflow answers in
// time, the workflow's own, else the store's. It is nil before the policy has answered.
func (s *Server) openState(ctx context.Context, id string, ask bool) (*approval.State, error) {
	if ask && stopping(ctx).Err() == nil {
		budget, cancel := calls.Within(ctx, s.o.QueryBudget)
		state, err := s.calls.State(budget, id)
		cancel()
		if err == nil {
			state.View = s.withStart(ctx, state.View)
			return withoutEnd(state), nil
		}
		s.o.Logger.DebugContext(ctx, "the workflow did not say its state", "id", id, "error", err)
	}
	r, err := s.o.Store.Call(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fromStore(err)
	}
	return withoutEnd(approval.State{View: r.View}), nil
}

// withStart lays over a workflow's view what the store knows first: that the caller has started the
// tool.
func (s *Server) withStart(ctx context.Context, v approval.View) approval.View {
	if v.Execution != approval.ExecutionCaller || v.Status != approval.StatusApproved {
		return v
	}
	if r, err := s.o.Store.Call(ctx, v.ID); err == nil && r.View.Status == approval.StatusExecuting {
		v.Status, v.StartedAt = r.View.Status, r.View.StartedAt
	}
	return v
}

// withoutEnd leaves out the end of a call whose workflow is about to close: the view is redacted,
// so its result is not the one that the caller gets.
func withoutEnd(s approval.State) *approval.State {
	if s.Status.NeedsPermit() {
		s.Status, s.Result, s.Error, s.EndedAt = approval.StatusExecuting, nil, nil, nil
	}
	return &s
}

// noOutcome says why a call will never have an outcome: somebody closed its workflow in Temporal. d
// is nil where Temporal has no such workflow.
func noOutcome(d *calls.Description, r store.Record) *approval.CallError {
	how := "is no longer known to Temporal"
	if d != nil {
		how = calls.HowClosed(d.Status)
	}
	tool := "Its tool was never permitted to run."
	if r.Permit != nil {
		tool = "Its tool was permitted to run and may have run: find out before you ask for it again."
	}
	return &approval.CallError{
		Code: approval.CodeTerminated,
		Message: "The workflow of this call " + how +
			", so the call does not continue and nothing can be decided any more. " + tool,
	}
}
