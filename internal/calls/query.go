package calls

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
)

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

func (c *Client) query(id string) (state approval.State, err error) {
	ctx, cancel := Within(context.Background(), c.o.Query)
	defer cancel()
	if !CanBe(id) {
		return state, ErrUnknown
	}
	v, err := c.o.Temporal.QueryWorkflow(ctx, id, "", approval.QueryState)
	switch {
	case isNotFound(err):
		return state, ErrUnknown
	case err != nil:
		return state, Classify(err)
	}
	if err := v.Get(&state); err != nil {
		return approval.State{}, &UnreadableError{What: "the workflow's answer", Err: err}
	}
	return state, nil
}

// Within returns a context that ends after d but shows no deadline: Temporal's SDK gives up at half
// of a deadline it can see, to leave time for another try.
func Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, d)
	return undated{ctx}, cancel
}

type undated struct{ context.Context }

func (undated) Deadline() (at time.Time, ok bool) { return }
