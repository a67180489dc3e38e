package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
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
}

// core is what the parts of a Runtime have in common.
type core struct {
	b   Backend
	log *slog.Logger
	ctx context.Context
}

// Runtime is what runs in an agent's process: it publishes the tools that are
// guarded there, runs them once they are permitted, and waits for calls to end.
// It is safe for concurrent use.
type Runtime struct {
	core // its context ends when Close has drained
	*watcher
	publish *publisher
	host    *host
	begun   atomic.Bool

	cancel  context.CancelFunc
	noWork  context.CancelFunc // ends the serving
	closing sync.Once
}

// New makes a Runtime, which closes b. It contacts nobody.
func New(b Backend, o Options) *Runtime {
	ctx, cancel := context.WithCancel(context.Background())
	work, noWork := context.WithCancel(ctx)
	c := core{b, o.Logger, ctx}
	r := &Runtime{
		core: c, watcher: &watcher{core: c, waits: map[string]*Wait{}}, publish: newPublisher(c, o.Agent),
		cancel: cancel, noWork: noWork,
	}
	r.host = &host{core: core{b, o.Logger, work}, o: ServeOptions{
		Queue: approval.AgentQueue(o.Agent), Drain: o.Drain, Running: o.Running, Run: r.runTask,
	}}
	return r
}

// Context ends when the Runtime is closed.
func (r *Runtime) Context() context.Context { return r.ctx }

// Begin starts what a waiting call needs in this process. One that guards
// nothing takes no tasks: they are for the agent's other processes.
func (r *Runtime) Begin() {
	r.begun.Store(true)
	if len(r.publish.names()) > 0 {
		r.host.begin()
	}
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

// Serve publishes the tools that are guarded so far, and returns nil when ctx
// ends; where no Pawl worker runs it waits for one. Errors: *PublishError,
// ErrClosed.
func (r *Runtime) Serve(ctx context.Context) error {
	r.Begin()
	for _, name := range r.publish.names() {
		err := r.publish.await(ctx, name)
		for errors.Is(err, errNoWorker) { // who serves has the time to wait for one
			err = r.publish.await(ctx, name)
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

// Start publishes the call's tool, if it is guarded here, and starts the call.
// It returns its run, or "" where the call was started before; sent is false if
// it certainly was not started. Errors: *PublishError, those of Ask.
func (r *Runtime) Start(ctx context.Context, s calls.Start) (run string, sent bool, err error) {
	if err := r.publish.await(ctx, s.Call.Tool); err != nil {
		return "", false, err
	}
	err = r.Ask(ctx, func(b Backend) (err error) {
		sent = true
		run, err = b.Start(ctx, s)
		return err
	})
	return run, sent, err
}

// Close takes no more work, waits for tools that run here, at most
// Options.Drain, and then ends every waiting with ErrClosed.
func (r *Runtime) Close() {
	r.closing.Do(func() {
		r.noWork()
		r.host.close()
		r.cancel()
		r.watcher.close()
		r.publish.close()
		r.b.Close()
	})
}

// Ask asks Temporal, and again as long as it does not answer, until ctx or the
// Runtime ends. Errors: those for which Permanent holds; ErrClosed; ctx's,
// joined with Temporal's last one.
func (r *Runtime) Ask(ctx context.Context, ask func(Backend) error) error {
	warned := false
	var pause retry.Backoff
	for {
		if r.ctx.Err() != nil {
			return ErrClosed
		}
		if ctx.Err() != nil {
			return Stopped(ctx)
		}
		err := ask(r.b)
		switch {
		case err == nil || Permanent(err):
			return err
		case ctx.Err() != nil:
			return errors.Join(Stopped(ctx), err)
		}
		if !warned {
			warned = true
			r.log.WarnContext(ctx, "Temporal does not answer; trying again", "error", err)
		}
		both, cancel := context.WithCancel(ctx)
		release := context.AfterFunc(r.ctx, cancel)
		waited := pause.Wait(both)
		release()
		cancel()
		if !waited && ctx.Err() != nil {
			return errors.Join(Stopped(ctx), err)
		}
	}
}

// runTask runs one task that Pawl permitted, in this process.
func (r *Runtime) runTask(ctx context.Context, task Task) (json.RawMessage, error) {
	t := r.publish.find(ctx, task.Tool)
	switch {
	case t == nil:
		return nil, runner.Ended(approval.CodeToolFailed, "nothing ran: this process of the agent does not guard the tool")
	case task.Attempt > 1 && !t.Idempotent(): // Pawl's workflow makes one attempt
		return nil, runner.Ended(approval.CodeUnknown, "an earlier attempt may have run the tool, so this one did not")
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
