// Package agent is what runs inside an agent's process below package pawl, and
// Backend the few things that it needs of Temporal. Package pawltest puts
// another one there.
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

// Errors that settle a question. Every other error of a Backend, but for those
// that Permanent knows, is a passing trouble: ask again.
var (
	ErrPending  = errors.New("the call has not ended yet")
	ErrUnknown  = errors.New("no such call is known to Temporal")
	ErrConflict = errors.New("the idempotency key was used for another call")
	ErrEnded    = errors.New("the call had ended before")
)

// GoneError is the end of a call without an outcome.
type GoneError struct{ How string }

func (e *GoneError) Error() string { return e.How }

// RefusedError holds an answer that asking again does not mend.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns what Temporal said.
func (e *RefusedError) Unwrap() error { return e.Err }

// Permanent reports whether asking again would bring the same answer.
func Permanent(err error) bool {
	var gone *GoneError
	var refused *RefusedError
	return errors.Is(err, ErrPending) || errors.Is(err, ErrUnknown) || errors.Is(err, ErrConflict) || errors.Is(err, ErrEnded) ||
		errors.As(err, &gone) || errors.As(err, &refused)
}

// Backend is safe for concurrent use.
type Backend interface {
	// Start starts the call under its ID and returns its run, or nothing where
	// the same call was started before. Errors: ErrConflict.
	Start(ctx context.Context, s calls.Start) (run string, err error)

	// End returns how a call ended. With wait it returns when that is so, or
	// ctx ends; else ErrPending. A call that was blocked as the duplicate of
	// another one ends as that one does, for as long as Temporal knows it, and
	// under its ID. A run may be given if it is known. Errors:
	// ErrUnknown, *GoneError.
	End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error)

	// Sweep looks at up to MaxSweep calls at once: which seem to have ended,
	// and which are not to be seen. It may lag behind.
	Sweep(ctx context.Context, ids []string) (ended, missing []string, err error)

	// State asks how a call stands. Errors: ErrUnknown.
	State(ctx context.Context, id string) (approval.State, error)

	// Cancel withdraws a call. Errors: ErrEnded, ErrUnknown.
	Cancel(ctx context.Context, id string, s approval.CancelSignal) error

	// Publish puts tools into the catalogue and returns when that is done.
	Publish(ctx context.Context, p approval.Publication) (approval.Published, error)

	// Polled reports whether a worker is there to take publications and calls,
	// and names the task queue and namespace where it should be.
	Polled(ctx context.Context) (polled bool, where string, err error)

	// Serve runs the tasks of a queue until stop is called, which waits for
	// those that run.
	Serve(ctx context.Context, o ServeOptions) (stop func(), err error)

	Close()
}

// MaxSweep bounds one Sweep. An ID is some 30 bytes, and the query has to stay
// a size that every visibility store takes.
const MaxSweep = 200

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
	// Died is called if serving ends otherwise than by stop.
	Died func(err error)
}
