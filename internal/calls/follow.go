package calls

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// Follow waits for a call to end as long as waiting lets it, and looks at least once. It returns
// the call's outcome; or nil and what Temporal says of a workflow that is still open, or was closed
// without an outcome. A call that was reset meanwhile is followed in its new run. Errors:
// ErrUnknown, ErrNoOutcome, *UnreadableError, *Error.
func (c *Client) Follow(ctx, waiting context.Context, id string) (*approval.Outcome, *Description, error) {
	for last := ""; ; {
		d, err := c.Describe(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		run := d.WorkflowExecution.RunID
		switch {
		case d.Status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
			fetch, cancel := context.WithTimeout(ctx, c.o.Timeout)
			defer cancel()
			o, err := c.Outcome(fetch, id, run)
			if errors.Is(err, ErrClosed) { // it was deleted just now
				err = &Error{Err: err}
			}
			return o, d, err
		case !IsOpen(d.Status), waiting.Err() != nil:
			return nil, d, nil
		case run == last: // Temporal does not agree with itself yet
			return nil, d, nil
		}
		o, err := c.Outcome(waiting, id, run)
		switch {
		case err == nil:
			return o, d, nil
		case waiting.Err() != nil:
			return nil, d, nil
		case !errors.Is(err, ErrClosed):
			return nil, nil, err
		}
		last = run // a reset may have opened a new one
	}
}

// Outcome waits for a run to end and returns what it ended with. Errors: ErrClosed, ErrNoOutcome,
// *UnreadableError, *Error.
func (c *Client) Outcome(ctx context.Context, id, run string) (*approval.Outcome, error) {
	var raw json.RawMessage
	err := Await(ctx, c.o.Temporal.GetWorkflow(ctx, id, run), &raw)
	switch {
	case errors.As(err, new(*temporal.WorkflowExecutionError)), isNotFound(err):
		return nil, ErrClosed
	case err != nil && undecodable(err):
		return nil, &UnreadableError{What: "its result", Err: err}
	case err != nil:
		return nil, Classify(err)
	}
	var o approval.Outcome
	if json.Unmarshal(raw, &o) != nil || !o.Status.Ended() {
		return nil, ErrNoOutcome
	}
	return &o, nil
}

// How long one long poll for a call's end is held before the next one.
const (
	firstPoll = time.Second
	maxPoll   = 20 * time.Second // Temporal's own
)

// Await waits for a run's end and decodes its result. Errors are those of client.WorkflowRun.Get.
//
// Temporal's server holds one notice for each long poll and drops the next if that one was not yet
// taken (events/notifier.go in its history service): on a busy machine a poll can miss the end, and
// would learn of it only when it is asked again, after 20 s. So the first polls are short.
func Await(ctx context.Context, run client.WorkflowRun, into any) error {
	for hold := firstPoll; ; hold = min(2*hold, maxPoll) {
		poll, cancel := Within(ctx, hold)
		err := run.Get(poll, into)
		ours := poll.Err() != nil && ctx.Err() == nil // the poll ended, the waiting did not
		cancel()
		if err == nil || !ours || errors.As(err, new(*temporal.WorkflowExecutionError)) {
			return err
		}
	}
}
