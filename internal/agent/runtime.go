// Package agent is the runtime of the Go SDK: what runs in an agent's process below package pawl. A
// Backend is what it needs of Temporal; package pawltest brings its own.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
)

// ErrClosed is returned once the Runtime is closed. It is pawl.ErrClosed.
var ErrClosed = errors.New("pawl: the agent is closed")

// Options configure a Runtime. All are required.
type Options struct {
	Agent   string
	Drain   time.Duration // how long Close waits for tools that run
	Running int           // how many tools run at once
	Logger  *slog.Logger
	// Unpublished makes the error for a tool that is not in the catalogue, and must wrap cause: reason
	// says why it was refused, and is empty where the waiting ended first; then trouble is Temporal's
	// last error, or nil.
	Unpublished func(tool, reason string, cause, trouble error) error
	// Waiting is called once for each call that was waited for longer than a second, with its state or
	// the reason why Pawl does not say it.
	Waiting func(id string, s approval.State, err error)
}

// core is what the parts of a Runtime have in common.
type core struct {
	b   Backend
	log *slog.Logger
	ctx context.Context
}

// Runtime is what runs in an agent's process: it publishes the tools that are guarded there, runs
// them once they are permitted, and waits for calls to end. It is safe for concurrent use.
type Runtime struct {
	core // its context ends when Close has drained
	*watcher
	publish *publisher
	begun   atomic.Bool
	cancel  context.CancelFunc
	closing sync.Once

	serve   ServeOptions
	work    context.Context // ends when no more work is taken
	noWork  context.CancelFunc
	hosting sync.Once
	host    sync.WaitGroup
}

// New makes a Runtime, which closes b. It contacts nobody.
func New(b Backend, o Options) *Runtime {
	ctx, cancel := context.WithCancel(context.Background())
	c := core{b, o.Logger, ctx}
	r := &Runtime{
		core: c, watcher: &watcher{core: c, waiting: o.Waiting, waits: map[string]*Wait{}}, cancel: cancel,
		publish: &publisher{core: c, agent: o.Agent, unpublished: o.Unpublished, more: make(chan struct{})},
	}
	r.work, r.noWork = context.WithCancel(ctx)
	r.serve = ServeOptions{
		Queue: approval.AgentQueue(o.Agent), Drain: o.Drain, Running: o.Running, Run: r.runTask,
	}
	return r
}

// Context ends when the Runtime is closed.
func (r *Runtime) Context() context.Context { return r.ctx }

// Begin starts what a waiting call needs in this process, and waits for nothing: an approved call
// is patient. A process that guards nothing takes no tasks: they are for the agent's other
// processes.
func (r *Runtime) Begin() {
	r.begun.Store(true)
	if len(r.publish.names()) == 0 {
		return
	}
	r.hosting.Do(func() {
		if r.work.Err() == nil {
			r.host.Go(r.keepServing)
		}
	})
}

// Guard adds a tool. It is published when it is first needed.
func (r *Runtime) Guard(t *tool.Tool) error {
	if err := r.publish.offer(t); err != nil {
		return err
	}
	if r.begun.Load() {
		r.Begin()
	}
	return nil
}

// Serve publishes the tools that are guarded so far, and returns nil when ctx ends; where no Pawl
// worker runs it waits for one. Errors: those of Published.
func (r *Runtime) Serve(ctx context.Context) error {
	r.Begin()
	for _, name := range r.publish.names() {
		err := r.Published(ctx, name)
		for errors.Is(err, errNoWorker) { // who serves has the time to wait for one
			err = r.Published(ctx, name)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return nil
	case <-r.ctx.Done():
		return ErrClosed
	}
}

// Published returns once the tool is in the catalogue, and at once if it is not guarded here.
// Errors: those of Options.Unpublished, ErrClosed.
func (r *Runtime) Published(ctx context.Context, tool string) error {
	return r.publish.await(ctx, tool)
}

// Close takes no more work, waits for tools that run here, at most Options.Drain, and then ends
// every waiting with ErrClosed.
func (r *Runtime) Close() {
	r.closing.Do(func() {
		r.noWork()
		r.hosting.Do(func() {}) // nothing begins any more
		r.host.Wait()
		r.cancel()
		r.watcher.close()
		r.publish.close()
		r.b.Close()
	})
}

// Ask asks Temporal, and again as long as it does not answer, until ctx or the Runtime ends.
// Errors: those for which Permanent holds; ErrClosed; ctx's, joined with Temporal's last one.
func (r *Runtime) Ask(ctx context.Context, ask func(Backend) error) error {
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	var pause retry.Backoff
	var trouble error
	for {
		switch {
		case r.ctx.Err() != nil:
			return ErrClosed
		case ctx.Err() != nil:
			return errors.Join(Stopped(ctx), trouble)
		}
		err := ask(r.b)
		if err == nil || Permanent(err) {
			return err
		}
		if trouble == nil && either.Err() == nil {
			r.log.WarnContext(ctx, "Temporal does not answer; trying again", "error", err)
		}
		trouble = err
		pause.Wait(either)
	}
}

// keepServing keeps a worker on the agent's queue until no more work is taken.
func (r *Runtime) keepServing() {
	var pause retry.Backoff
	for {
		died := make(chan error, 1)
		o := r.serve
		o.Died = func(err error) {
			select {
			case died <- err:
			default:
			}
		}
		stop, err := r.b.Serve(r.work, o)
		if err == nil {
			pause.Reset()
			select {
			case <-r.work.Done():
				stop() // drains
				return
			case err = <-died:
				stop()
			}
		}
		if r.work.Err() != nil {
			return
		}
		r.log.WarnContext(r.work, "the agent's tools can't be served; trying again", "queue", o.Queue, "error", err)
		if !pause.Wait(r.work) {
			return
		}
	}
}

// runTask runs one task that Pawl permitted, in this process.
func (r *Runtime) runTask(ctx context.Context, task Task) (json.RawMessage, error) {
	t := r.publish.find(ctx, task.Tool)
	switch {
	case t == nil:
		return nil, runner.Ended(approval.CodeToolFailed,
			"nothing ran: this process of the agent does not guard the tool")
	case task.Attempt > 1 && !t.Idempotent(): // Pawl's workflow makes one attempt
		return nil, runner.Ended(approval.CodeUnknown,
			"an earlier attempt may have run the tool, so this one did not")
	}
	return runner.Run(ctx, t, task.Invocation)
}

// Stopped is ctx's error and, where it says more, its cause.
func Stopped(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return errors.Join(err, cause)
}

// Causes holds the errors that guarded functions returned in this process, for the callers that
// wait in it. The oldest are forgotten first. The zero value is ready, and safe for concurrent use.
type Causes struct {
	mu    sync.Mutex
	byID  map[string]error
	order []string
}

const maxCauses = 1024

// Add keeps the error that a run for this call returned.
func (c *Causes) Add(callID string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]error{}
	}
	if _, again := c.byID[callID]; !again {
		c.order = append(c.order, callID)
	}
	c.byID[callID] = err
	if len(c.order) > maxCauses {
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
}

// Of returns the error that made the outcome, or nil. The tool may have run in another process,
// too: then the texts differ.
func (c *Causes) Of(o approval.Outcome) error {
	if o.Error == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.byID[o.ID]; err != nil && tool.Failed(err).Error() == o.Error.Message {
		return err
	}
	return nil
}

// ErrPending: the call has not ended yet.
var ErrPending = errors.New("the call has not ended yet")

// GoneError is the end of a call without an outcome.
type GoneError struct{ How string }

func (e *GoneError) Error() string { return e.How }

// Permanent reports whether asking a Backend again would bring the same answer. Every other error
// is temporary.
func Permanent(err error) bool {
	settled := []error{ErrPending, calls.ErrUnknown, calls.ErrConflict, calls.ErrEnded}
	if slices.ContainsFunc(settled, func(end error) bool { return errors.Is(err, end) }) {
		return true
	}
	if answer, ok := errors.AsType[*calls.Error](err); ok {
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
