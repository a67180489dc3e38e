package calls_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/internal/calls"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// deafRun is a run whose end no long poll is told of: only a new one sees it.
type deafRun struct {
	client.WorkflowRun
	end   time.Time
	err   error // how it ended
	polls int
}

func (r *deafRun) Get(ctx context.Context, into any) error {
	r.polls++
	if time.Now().Before(r.end) {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.err == nil {
		*into.(*string) = "done"
	}
	return r.err
}

func TestAwaitAsksAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		ends  time.Duration
		seen  time.Duration
		polls int
	}{
		{"there already", 0, 0, 1},
		{"a moment later", 5 * time.Millisecond, time.Second, 2},
		{"after a while", 2 * time.Second, 3 * time.Second, 3},
		{"after an hour", time.Hour, 3611 * time.Second, 185},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run, began, got := &deafRun{end: time.Now().Add(c.ends)}, time.Now(), ""
				if err := calls.Await(t.Context(), run, &got); err != nil || got != "done" {
					t.Fatalf("Await = %v, result %q", err, got)
				}
				if took := time.Since(began); took != c.seen || run.polls != c.polls {
					t.Errorf("seen after %v and %d polls; want %v and %d", took, run.polls, c.seen, c.polls)
				}
			})
		})
	}
}

func TestAwaitEnds(t *testing.T) {
	closed := &temporal.WorkflowExecutionError{}
	lost := errors.New("connection lost")
	synctest.Test(t, func(t *testing.T) {
		if err := calls.Await(t.Context(), &deafRun{err: closed}, nil); !errors.Is(err, closed) {
			t.Errorf("a run that failed: %v", err)
		}
		if err := calls.Await(t.Context(), &deafRun{err: lost}, nil); !errors.Is(err, lost) {
			t.Errorf("a poll that failed: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := calls.Await(ctx, &deafRun{end: time.Now().Add(time.Hour)}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting that was given up: %v", err)
		}
	})
}
