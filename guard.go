package pawl

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/tool"
)

// Tool describes a guarded function beyond its name and types. The zero value will do.
type Tool struct {
	// Description tells agents and reviewers what it does: at most 4 KiB. Default: none.
	Description string
	// Idempotent declares that running it twice for one call ID (tool.FromContext) does no more than
	// running it once. Default: false, so it runs at most once.
	Idempotent bool
	// Timeout is how long one run may take. Default: tool.DefaultTimeout.
	Timeout time.Duration
}

// Guard returns a function that looks like fn and asks first: each time it is called, a guarded
// call named name starts, waits for policy and people, and where they let it go runs fn in one of
// the agent's processes and returns its result. Put it wherever fn was.
//
// In is a struct or map[string]any; arguments and results cross the wire as JSON, and the schema
// that calls are checked against is derived from In (see tool.New). fn must be safe for concurrent
// use. An error that it returns means that it did not do what was asked; where it can't know, it
// returns tool.Unknown(err). tool.FromContext gives it the call's ID, which is the idempotency key
// to pass on. fn's context is not the caller's.
//
// The context of the returned function bounds the waiting, never the call; With puts into it what
// reviewers should know. Its errors:
//
//   - *DeniedError: ErrRejected, ErrExpired, ErrBlocked, ErrCancelled. Nothing ran.
//   - *FailedError: fn's own error, which errors.Is finds if fn ran in this process.
//   - *OutcomeUnknownError, *ResultError: it ran or may have. Do not ask again.
//   - *PendingError: the context ended first; see Agent.Continue.
//   - *PublishError, ErrConflict, an *approval.Error (approval.CodeBadArguments,
//     approval.CodeInvalid): nothing was started.
//   - *GoneError, ErrUnknownCall, ErrClosed.
//
// A result comes with a nil error only, and then it is what fn returned. Guard fails if the name is
// taken, or is no tool name, or In has no schema.
func Guard[In, Out any](
	a *Agent, name string, fn func(context.Context, In) (Out, error), o Tool,
) (func(context.Context, In) (Out, error), error) {
	if a == nil {
		return nil, approval.Errorf(approval.CodeInvalid, "pawl.Guard needs an agent: see Connect")
	}
	ask := func(ctx context.Context, _ *tool.Tool, c approval.Call) (approval.Outcome, error) {
		call, err := a.Start(ctx, c)
		if err != nil {
			return approval.Outcome{}, err
		}
		return call.Wait(ctx)
	}
	return guarded(name, fn, o, &a.causes, a.runtime.Guard, ask)
}

// guarded makes a tool of fn, which offer takes in, and returns the function that asks first: ask
// starts a call of the tool and waits for its end.
func guarded[In, Out any](
	name string, fn func(context.Context, In) (Out, error), o Tool, causes *agent.Causes,
	offer func(*tool.Tool) error,
	ask func(context.Context, *tool.Tool, approval.Call) (approval.Outcome, error),
) (func(context.Context, In) (Out, error), error) {
	inner := fn
	if fn != nil {
		inner = func(ctx context.Context, in In) (Out, error) {
			out, err := fn(ctx, in)
			if c, ok := tool.FromContext(ctx); ok && err != nil {
				causes.Add(c.CallID, err)
			}
			return out, err
		}
	}
	t, err := tool.New(name, inner, tool.Options{
		Description: o.Description, Idempotent: o.Idempotent, Timeout: o.Timeout,
	})
	if err != nil {
		return nil, err
	}
	if err := offer(t); err != nil {
		return nil, err
	}
	return func(ctx context.Context, in In) (Out, error) {
		var none Out
		args, err := json.Marshal(in)
		if err != nil { // its text could quote an argument
			return none, approval.Errorf(approval.CodeBadArguments,
				"tool %s: %v can't be written as JSON; nothing was started", name, reflect.TypeFor[In]())
		}
		if err := t.CheckArgs(args); err != nil {
			return none, err
		}
		out, err := ask(ctx, t, aboutOf(ctx).call(name, args))
		if err != nil {
			return none, err
		}
		return result[Out](out, causes.Of(out))
	}, nil
}

// MustGuard is Guard for programs that can't go on without: it panics where Guard fails. The
// function it returns never panics.
func MustGuard[In, Out any](
	a *Agent, name string, fn func(context.Context, In) (Out, error), o Tool,
) func(context.Context, In) (Out, error) {
	guarded, err := Guard(a, name, fn, o)
	if err != nil {
		panic(err)
	}
	return guarded
}

// About describes a call to reviewers and the policy, beyond its tool and arguments. A guarded
// function takes it from its context; see With. The zero value says nothing.
type About struct {
	Reason      string            // why the agent wants the call
	Title       string            // one line that names it
	Description string            // more than one line
	Session     string            // the conversation or task it belongs to; default: Options.Session
	Labels      map[string]string // what the policy's conditions may look at

	// Key is an idempotency key: the same call under the same key is started once, also after a crash,
	// and everybody who asks gets its one outcome. Another call under that key is ErrConflict. Keys
	// are the agent's own. Default: none, so that each call is a new one.
	Key string

	// AttemptOf is the ID of an earlier call of this agent, which the call tries again in another way:
	// reviewers see what became of that one, and what changed. See Retry. Default: none.
	AttemptOf string

	RequireApproval bool          // ask people, whatever the policy says
	Timeout         time.Duration // shortens the policy's wait for people; default: the policy's
}

type aboutKey struct{}

// With returns a context whose About goes with the guarded calls made with it. What about leaves
// empty is inherited from ctx; labels add up.
func With(ctx context.Context, about About) context.Context {
	a := aboutOf(ctx)
	a.Reason = cmp.Or(about.Reason, a.Reason)
	a.Title = cmp.Or(about.Title, a.Title)
	a.Description = cmp.Or(about.Description, a.Description)
	a.Session = cmp.Or(about.Session, a.Session)
	a.Key = cmp.Or(about.Key, a.Key)
	a.AttemptOf = cmp.Or(about.AttemptOf, a.AttemptOf)
	a.Timeout = cmp.Or(about.Timeout, a.Timeout)
	a.RequireApproval = a.RequireApproval || about.RequireApproval
	if len(about.Labels) > 0 {
		labels := map[string]string{}
		maps.Copy(labels, a.Labels)
		maps.Copy(labels, about.Labels)
		a.Labels = labels
	}
	return context.WithValue(ctx, aboutKey{}, a)
}

func aboutOf(ctx context.Context) About {
	a, _ := ctx.Value(aboutKey{}).(About)
	return a
}

func (a About) call(tool string, args []byte) approval.Call {
	return approval.Call{
		Tool: tool, Args: args, Session: a.Session, Labels: a.Labels, IdempotencyKey: a.Key,
		Reason: a.Reason, Title: a.Title, Description: a.Description, AttemptOf: a.AttemptOf,
		RequireApproval: a.RequireApproval, Timeout: approval.Duration(a.Timeout),
	}
}
