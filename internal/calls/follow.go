package calls

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
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

// MaxSweep bounds one Sweep. An ID is some 30 bytes, and the query has to stay a size that every
// visibility store takes.
const MaxSweep = 200

// Sweep looks at up to MaxSweep calls at once: which seem to have ended, and which are not to be
// seen. It may lag behind. Errors: *Error.
func (c *Client) Sweep(ctx context.Context, ids []string) (ended, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	quoted := make([]string, 0, len(ids))
	for _, id := range ids {
		if !strings.ContainsAny(id, "'\"\\`") { // never one of Pawl's; it can't be asked for in a list
			quoted = append(quoted, "'"+id+"'")
		}
	}
	open := map[string]bool{} // by the IDs that were seen
	for page := []byte(nil); len(quoted) > 0; {
		r, err := c.o.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowId IN (" + strings.Join(quoted, ",") + ")", PageSize: 2 * MaxSweep, NextPageToken: page,
		})
		if err != nil {
			return nil, nil, Classify(err)
		}
		for _, e := range r.GetExecutions() {
			id := e.GetExecution().GetWorkflowId()
			open[id] = open[id] || IsOpen(e.GetStatus())
		}
		if page = r.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	for _, id := range ids {
		switch open, seen := open[id]; {
		case !seen:
			missing = append(missing, id)
		case !open:
			ended = append(ended, id)
		}
	}
	return ended, missing, nil
}

// queries asks workflows for their state. Temporal buffers one query for a workflow that is busy
// and refuses others, so there is one query at a time for each call, and everybody who came while
// it ran shares the next: an answer is always from a query that began after its waiter came, and so
// reflects a signal that was acknowledged to the waiter before.
type queries struct {
	mu sync.Mutex
	// next holds each call that is being asked, with the round after that; nil while nobody waits for
	// one.
	next map[string]*round
}

// round is one query and those who wait for it.
type round struct {
	waiting int // guarded by queries.mu
	done    chan struct{}
	state   approval.State
	err     error
}

// State asks the workflow how the call stands; one that has closed answers, too. It fails when ctx
// ends, or when the workflow does not answer within Options.Query. Errors: ErrUnknown,
// *UnreadableError, *Error.
func (c *Client) State(ctx context.Context, id string) (approval.State, error) {
	q := &c.queries
	q.mu.Lock()
	r, busy := q.next[id]
	if r == nil {
		r = &round{done: make(chan struct{})}
		if q.next[id] = r; !busy {
			q.next[id] = nil
			go c.answer(id, r)
		}
	}
	r.waiting++
	q.mu.Unlock()

	select {
	case <-r.done:
		return r.state, r.err
	case <-ctx.Done():
		q.mu.Lock()
		r.waiting--
		q.mu.Unlock()
		return approval.State{}, ctx.Err()
	}
}

// answer asks round after round, until nobody waits.
func (c *Client) answer(id string, r *round) {
	q := &c.queries
	for r != nil {
		r.state, r.err = c.query(id)
		close(r.done)

		q.mu.Lock()
		r, q.next[id] = q.next[id], nil
		if r == nil || r.waiting == 0 {
			delete(q.next, id)
			r = nil
		}
		q.mu.Unlock()
	}
}

func (c *Client) query(id string) (approval.State, error) {
	ctx, cancel := Within(context.Background(), c.o.Query)
	defer cancel()
	return ask[approval.State](ctx, c, id, approval.QueryState, "the workflow's answer")
}

// Call asks the workflow for the call that it was started with, not redacted. Whoever may not be
// believed to be a worker could answer: compare its digest with the store's. Errors: ErrUnknown,
// *UnreadableError, *Error.
func (c *Client) Call(ctx context.Context, id string) (approval.Call, error) {
	ctx, cancel := Within(ctx, c.o.Timeout)
	defer cancel()
	return ask[approval.Call](ctx, c, id, approval.QueryCall, "the call's arguments")
}

// ask sends a query to a call's workflow, whose answer is what the error calls what.
func ask[T any](ctx context.Context, c *Client, id, query, what string) (answer T, err error) {
	var none T
	if approval.CheckID(id) != nil {
		return none, ErrUnknown
	}
	v, err := c.o.Temporal.QueryWorkflow(ctx, id, "", query)
	switch {
	case isNotFound(err):
		return none, ErrUnknown
	case err != nil:
		return none, Classify(err)
	}
	if err := v.Get(&answer); err != nil {
		return none, &UnreadableError{What: what, Err: err}
	}
	return answer, nil
}

// Within returns a context that ends after d but shows no deadline: Temporal's SDK gives up at half
// of a deadline it can see, to leave time for another try.
func Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	return undated{ctx}, cancel
}

type undated struct{ context.Context }

func (undated) Deadline() (at time.Time, ok bool) { return }
