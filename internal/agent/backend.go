// Package agent is the runtime of the Go SDK: what runs in an agent's process below package pawl. A
// Backend is what it needs of Temporal; package pawltest brings its own.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/tool"
)

// ErrPending: the call has not ended yet.
var ErrPending = errors.New("the call has not ended yet")

// GoneError is the end of a call without an outcome.
type GoneError struct{ How string }

func (e *GoneError) Error() string { return e.How }

// Permanent reports whether asking a Backend again would bring the same answer. Every other error
// is temporary.
func Permanent(err error) bool {
	for _, settled := range []error{ErrPending, calls.ErrUnknown, calls.ErrConflict, calls.ErrEnded} {
		if errors.Is(err, settled) {
			return true
		}
	}
	var answer *calls.Error
	if errors.As(err, &answer) {
		return answer.Refused
	}
	return errors.As(err, new(*GoneError)) || errors.As(err, new(*calls.UnreadableError))
}

// Backend is safe for concurrent use.
type Backend interface {
	// Start, Sweep, State and Cancel are those of calls.Client.
	Start(ctx context.Context, s calls.Start) (run string, err error)
	Sweep(ctx context.Context, ids []string) (ended, missing []string, err error)
	State(ctx context.Context, id string) (approval.State, error)
	Cancel(ctx context.Context, id string, s approval.CancelSignal) error

	// End returns how a call ended. With wait it returns when that is so, or ctx ends; else
	// ErrPending. A call that was blocked as the duplicate of another one ends as that one does, for
	// as long as Temporal knows it, and under its ID. A run may be given if it is known. Errors:
	// calls.ErrUnknown, *GoneError.
	End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error)

	// Publish puts tools into the catalogue and returns when that is done.
	Publish(ctx context.Context, p approval.Publication) (approval.Published, error)

	// Polled reports whether a worker is there to take publications and calls, and names the task
	// queue and namespace where it should be.
	Polled(ctx context.Context) (polled bool, where string, err error)

	// Serve runs the tasks of a queue until stop is called, which waits for those that run.
	Serve(ctx context.Context, o ServeOptions) (stop func(), err error)

	Close()
}

// Task is one run of a tool for a call.
type Task struct {
	tool.Invocation
	Attempt int // from 1
}

// ServeOptions configure Serve.
type ServeOptions struct {
	Queue   string
	Drain   time.Duration // how long stop waits for running tasks
	Running int           // how many tasks run at once
	// Run runs a task. Its errors are those of runner.Ended.
	Run func(ctx context.Context, t Task) (json.RawMessage, error)
	// Died is called if serving ends by itself.
	Died func(err error)
}
