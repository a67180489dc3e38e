package calls

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// queries asks workflows for their state. Temporal buffers one query for a
// workflow that is busy and refuses others, so there is one query at a time for
// each call, and everybody who came while it ran shares the next: an answer is
// always from a query that began after its waiter came, and so reflects a
// signal that was acknowledged to the waiter before.
type queries struct {
	mu     sync.Mutex
	byCall map[string]*turn
}

// turn stands in queries.byCall as long as a query of its call runs.
type turn struct {
	next *round // nil: nobody waits for another query
}

// round is one query and those who wait for it.
type round struct {
	waiting int // guarded by queries.mu
	done    chan struct{}
	state   approval.State
	err     error
}

// State asks the workflow how the call stands; one that has closed answers, too.
// It fails when ctx ends, or when the workflow does not answer within
// Options.Query. Errors: ErrUnknown, *UnreadableError, *Error.
func (c *Client) State(ctx context.Context, id string) (approval.State, error) {
	q := &c.queries
	q.mu.Lock()
	var r *round
	if t := q.byCall[id]; t == nil {
		r = &round{done: make(chan struct{})}
		q.byCall[id] = &turn{}
		go c.answer(id, r)
	} else {
		if t.next == nil {
			t.next = &round{done: make(chan struct{})}
		}
		r = t.next
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
		t := q.byCall[id]
		r, t.next = t.next, nil
		if r == nil || r.waiting == 0 {
			delete(q.byCall, id)
			r = nil
		}
		q.mu.Unlock()
	}
}

func (c *Client) query(id string) (state approval.State, err error) {
	ctx, cancel := Within(context.Background(), c.o.Query)
	defer cancel()
	v, err := c.o.Temporal.QueryWorkflow(ctx, id, "", approval.QueryState)
	switch {
	case IsNotFound(err):
		return state, ErrUnknown
	case err != nil:
		return state, Classify(err)
	}
	if err := v.Get(&state); err != nil {
		return approval.State{}, &UnreadableError{What: "the workflow's answer", Err: err}
	}
	return state, nil
}

// Within returns a context that ends after d but shows no deadline: Temporal's
// SDK gives up at half of a deadline it can see, to leave time for another try.
func Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
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
