package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// within returns a context that ends after d but shows no deadline: the SDK
// gives up at half of a deadline it can see, to leave time for another try.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if d <= 0 {
		cancel()
		return ctx, cancel
	}
	timer := time.AfterFunc(d, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// waiting is within, but ends early when the server stops.
func waiting(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	waiting, cancel := within(ctx, d)
	release := context.AfterFunc(stopping(ctx), cancel)
	return waiting, func() {
		release()
		cancel()
	}
}

// describe looks at the latest run of a call's workflow; it needs no worker.
// A workflow of another type is nobody's call, so ErrNotFound: the namespace
// may hold other people's.
func (s *Server) describe(ctx context.Context, id string) (*client.WorkflowExecutionDescription, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	d, err := s.o.Temporal.DescribeWorkflow(ctx, id, "")
	switch {
	case isNotFound(err):
		return nil, store.ErrNotFound
	case err != nil:
		return nil, fromTemporal(err)
	case d.WorkflowType.Name != approval.WorkflowType:
		return nil, store.ErrNotFound
	}
	return d, nil
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

func running(d *client.WorkflowExecutionDescription) bool { return isOpen(d.Status) }

// isOpen reports whether a workflow may still go on: also after somebody
// paused it.
func isOpen(s enumspb.WorkflowExecutionStatus) bool {
	return s == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || s == enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
}

func execution(id string) *commonpb.WorkflowExecution {
	return &commonpb.WorkflowExecution{WorkflowId: id}
}

// signal sends a signal that the caller's leaving does not take back.
func (s *Server) signal(ctx context.Context, id, name string, arg any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rpcTimeout)
	defer cancel()
	return s.o.Temporal.SignalWorkflow(ctx, id, "", name, arg)
}

// outcome waits for a run to end and returns what it ended with.
func outcome(ctx context.Context, run client.WorkflowRun) (*approval.Outcome, error) {
	var o approval.Outcome
	if err := calls.Await(ctx, run, &o); err != nil {
		return nil, fromTemporal(err)
	}
	if !o.Status.Ended() {
		return nil, fmt.Errorf("the workflow completed with a result that is no outcome (status %q)", approval.Display(string(o.Status), 40))
	}
	return &o, nil
}

// follow waits for a call to end, at most wait. It returns its outcome; or nil
// and what Temporal says of a workflow that is still running, or was closed
// without an outcome. Without wait, it looks once.
func (s *Server) follow(ctx context.Context, id string, wait time.Duration) (*approval.Outcome, *client.WorkflowExecutionDescription, error) {
	waiting, cancel := waiting(ctx, wait)
	defer cancel()
	for last := ""; ; {
		d, err := s.describe(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		run := d.WorkflowExecution.RunID
		switch {
		case d.Status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
			fetch, cancel := context.WithTimeout(ctx, rpcTimeout)
			defer cancel()
			o, err := outcome(fetch, s.o.Temporal.GetWorkflow(fetch, id, run))
			return o, d, err
		case !running(d), waiting.Err() != nil, run == last:
			return nil, d, nil
		}
		o, err := outcome(waiting, s.o.Temporal.GetWorkflow(waiting, id, run))
		var closed *temporal.WorkflowExecutionError
		switch {
		case err == nil:
			return o, d, nil
		case waiting.Err() != nil:
			return nil, d, nil
		case !errors.As(err, &closed):
			return nil, nil, err
		}
		last = run // closed without an outcome; a reset has opened a new run
	}
}

// standing is how a call stands whose workflow is open: as the workflow says
// where it is to be asked and answers in time, else as the store does. It is
// nil before the policy has answered.
func (s *Server) standing(ctx context.Context, id string, ask bool) (*approval.View, error) {
	if ask && stopping(ctx).Err() == nil {
		budget, cancel := within(ctx, s.o.QueryBudget)
		state, err := s.ask.state(budget, id)
		cancel()
		if err == nil {
			return undelivered(state.View), nil
		}
		s.o.Logger.DebugContext(ctx, "the workflow did not say how it stands", "id", id, "error", err)
	}
	r, err := s.o.Store.Call(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fromStore(err)
	}
	return undelivered(r.View), nil
}

// undelivered takes back the end of a call whose workflow is still about to
// close: its view is redacted, and nobody may take that for the result that
// the caller is to get.
func undelivered(v approval.View) *approval.View {
	if v.Status.NeedsClaim() {
		v.Status, v.Result, v.Error, v.EndedAt = approval.StatusExecuting, nil, nil, nil
	}
	return &v
}

// lost says why a call without an outcome will not get one: somebody closed
// its workflow in Temporal. d is nil where Temporal has no such workflow.
func lost(d *client.WorkflowExecutionDescription, r store.Record) *approval.CallError {
	how := "is no longer known to Temporal"
	if d != nil {
		switch d.Status {
		case enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED:
			how = "was terminated in Temporal by an operator"
		case enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
			how = "ran into a time limit that an operator or starter set in Temporal"
		case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
			how = "was cancelled in Temporal before it could answer"
		default:
			how = "was closed in Temporal without an outcome"
		}
	}
	tool := "Its tool was never permitted to run."
	if r.Claim != nil {
		tool = "Its tool was permitted to run and may have run: find out before you ask for it again."
	}
	return &approval.CallError{
		Code:    approval.CodeTerminated,
		Message: "The workflow of this call " + how + ", so the call goes no further and nothing can be decided any more. " + tool,
	}
}
