package api

import (
	"context"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// asker asks workflows for their state. Temporal buffers one query for a
// workflow that is busy and refuses others, so there is one query at a time
// for each call, and everybody who came while it ran shares the next: an
// answer is always from a query that began after its waiter came, and so
// reflects a signal that was acknowledged to the waiter before.
type asker struct {
	temporal Temporal
	budget   time.Duration

	mu    sync.Mutex
	calls map[string]*turn
}

// turn stands in asker.calls as long as a query of its call runs.
type turn struct {
	next *round // nil: nobody waits for another query
}

// round is one query and those who wait for it.
type round struct {
	waiting int // guarded by asker.mu
	done    chan struct{}
	state   approval.State
	err     error
}

func newAsker(t Temporal, budget time.Duration) *asker {
	return &asker{temporal: t, budget: budget, calls: map[string]*turn{}}
}

// state returns the call's state, or an error when ctx ends or the workflow
// can't answer within the budget.
func (a *asker) state(ctx context.Context, id string) (approval.State, error) {
	a.mu.Lock()
	var r *round
	if t := a.calls[id]; t == nil {
		r = &round{done: make(chan struct{})}
		a.calls[id] = &turn{}
		go a.run(id, r)
	} else {
		if t.next == nil {
			t.next = &round{done: make(chan struct{})}
		}
		r = t.next
	}
	r.waiting++
	a.mu.Unlock()

	select {
	case <-r.done:
		return r.state, r.err
	case <-ctx.Done():
		a.mu.Lock()
		r.waiting--
		a.mu.Unlock()
		return approval.State{}, ctx.Err()
	}
}

// run asks round after round, until nobody waits.
func (a *asker) run(id string, r *round) {
	for r != nil {
		r.state, r.err = a.query(id)
		close(r.done)

		a.mu.Lock()
		t := a.calls[id]
		r, t.next = t.next, nil
		if r == nil || r.waiting == 0 {
			delete(a.calls, id)
			r = nil
		}
		a.mu.Unlock()
	}
}

func (a *asker) query(id string) (approval.State, error) {
	ctx, cancel := within(context.Background(), a.budget)
	defer cancel()
	var state approval.State
	resp, err := a.temporal.QueryWorkflowWithOptions(ctx, &client.QueryWorkflowWithOptionsRequest{
		WorkflowID:           id,
		QueryType:            approval.QueryState,
		QueryRejectCondition: enumspb.QUERY_REJECT_CONDITION_NONE, // closed workflows answer too
	})
	if err != nil {
		return state, fromTemporal(err)
	}
	if err := resp.QueryResult.Get(&state); err != nil {
		return approval.State{}, fromTemporal(err)
	}
	return state, nil
}
