package pawl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
)

// Call is a guarded call that was started. It costs nothing while nobody waits for it, and no
// goroutine of the caller while somebody does. It is safe for concurrent use.
type Call struct {
	agent *Agent
	id    string
	tool  string // empty if another process started it
	run   string

	mu     sync.Mutex
	pinned *agent.Wait // of Done, or of an end that is known
}

// ID is the call's ID: what reviewers see, and what Agent.Continue takes. A call that is identical
// to one that waits ends as that one does, where the policy says so: then the outcome has that
// one's ID.
func (c *Call) ID() string { return c.id }

// Wait returns how the call ended, whichever way: Outcome.Status says which, and Result turns it
// into a value or an error. It survives restarts of everything but this process. Errors:
// *PendingError if ctx or the agent ends first, while the call goes on; *GoneError; ErrUnknownCall
// if it was deleted.
func (c *Call) Wait(ctx context.Context) (approval.Outcome, error) {
	if o, ok := c.known(); ok {
		return o, nil
	}
	c.agent.begin() // its tool may be one of ours
	x := c.agent.runtime.Join(c.id, c.run)
	defer c.agent.runtime.Leave(x)
	select {
	case <-x.Done:
	case <-ctx.Done():
		select {
		case <-x.Done: // both: the end is what the caller wants to know
		default:
			return approval.Outcome{}, c.pending(x, agent.Stopped(ctx))
		}
	}
	switch {
	case errors.Is(x.Err, ErrClosed):
		return approval.Outcome{}, c.pending(x, ErrClosed)
	case x.Err != nil:
		return approval.Outcome{}, callError(c.id, x.Err)
	}
	return c.keep(x.Outcome), nil
}

// pending says that the waiting ended first.
func (c *Call) pending(x *agent.Wait, stopped error) *PendingError {
	deadline, trouble := x.Trouble()
	return &PendingError{ID: c.id, Tool: c.tool, Deadline: deadline, stopped: stopped, trouble: trouble}
}

// Outcome is Wait for those who do not wait: *PendingError if the call has not ended yet.
func (c *Call) Outcome(ctx context.Context) (approval.Outcome, error) {
	if o, ok := c.known(); ok {
		return o, nil
	}
	o, err := c.agent.outcome(ctx, c.id)
	switch {
	case errors.Is(err, agent.ErrPending):
		return approval.Outcome{}, &PendingError{ID: c.id, Tool: c.tool}
	case err != nil:
		return approval.Outcome{}, callError(c.id, err)
	}
	return c.keep(o), nil
}

// Done returns a channel that is closed when Wait returns at once: the call has ended, or the agent
// is closed. From the first Done on, the call is waited for until then.
func (c *Call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned == nil {
		c.agent.begin()
		c.pinned = c.agent.runtime.Join(c.id, c.run)
	}
	return c.pinned.Done
}

// View returns the call as reviewers see it: redacted, with its requirement, votes and deadline. It
// needs a Pawl worker that answers; its Status and Result are not for the caller to go by.
func (c *Call) View(ctx context.Context) (approval.View, error) {
	s, err := c.agent.b.State(ctx, c.id)
	if err != nil {
		return approval.View{}, callError(c.id, err)
	}
	return s.View, nil
}

// Cancel withdraws the call. Once that is sent the call ends cancelled, unless its tool is started
// first: Wait says which. Errors: ErrEnded, ErrUnknownCall, ctx's, what approval.CheckNotes says.
func (c *Call) Cancel(ctx context.Context, notes string) error {
	if err := approval.CheckNotes(notes); err != nil {
		return err
	}
	s := approval.CancelSignal{
		DecisionID: approval.NewNonce(), By: c.agent.requester(), Channel: "sdk", Notes: notes,
	}
	err := c.agent.runtime.Ask(ctx, func(b agent.Backend) error { return b.Cancel(ctx, c.id, s) })
	return callError(c.id, err)
}

// known returns how the call ended, if that is known here.
func (c *Call) known() (approval.Outcome, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned != nil {
		select {
		case <-c.pinned.Done:
			return c.pinned.Outcome, c.pinned.Err == nil
		default:
		}
	}
	return approval.Outcome{}, false
}

func (c *Call) keep(o approval.Outcome) approval.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinned = agent.Ended(o)
	return o
}

// Start starts a call of any tool, guarded by this agent or not, and does not wait for its end.
// Agent, Requester and Nonce are filled in, Team and Session if they are empty; IdempotencyKey
// makes it the same call whenever it is started again. Errors: *approval.Error with
// approval.CodeInvalid for what is no call; ErrConflict; *PublishError for an own tool;
// *PendingError with Uncertain if ctx ended before Temporal confirmed.
func (a *Agent) Start(ctx context.Context, call approval.Call) (*Call, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if call.Agent != "" && call.Agent != a.o.Agent {
		return nil, approval.Errorf(approval.CodeInvalid, "the call is another agent's: leave Agent out")
	}
	call.Agent, call.Requester, call.Nonce = a.o.Agent, a.requester(), approval.NewNonce()
	call.Team, call.Session = cmp.Or(call.Team, a.o.Team), cmp.Or(call.Session, a.o.Session)
	s, err := calls.Prepare(call)
	if err != nil {
		return nil, err
	}
	a.begin()
	if err := a.runtime.Published(ctx, s.Call.Tool); err != nil {
		return nil, err
	}
	c, sent := &Call{agent: a, id: s.ID, tool: s.Call.Tool}, false
	err = a.runtime.Ask(ctx, func(b agent.Backend) (err error) {
		sent = true
		c.run, err = b.Start(ctx, s)
		return err
	})
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, ErrClosed):
		return nil, fmt.Errorf("%w: %s was not started", ErrClosed, s.Call.Tool)
	case !sent:
		return nil, fmt.Errorf("pawl: %s was not started: %w", s.Call.Tool, err)
	case !agent.Permanent(err): // ctx or the agent ended before an answer came
		p := &PendingError{ID: s.ID, Tool: s.Call.Tool, Uncertain: true, trouble: err, stopped: ErrClosed}
		if ctx.Err() != nil {
			p.stopped = agent.Stopped(ctx)
		}
		return nil, p
	}
	return nil, callError(s.ID, err)
}

// Continue takes up a call that was started before, by this process or any other: after the agent
// itself was restarted, say. It makes sure that there is such a call, and does not wait for its
// end. Errors: ErrUnknownCall.
func (a *Agent) Continue(ctx context.Context, id string) (*Call, error) {
	if err := approval.CheckName("the call's ID", id); err != nil {
		return nil, err
	}
	if id == "" {
		return nil, approval.Errorf(approval.CodeInvalid, "the call's ID is missing")
	}
	if err := a.open(); err != nil {
		return nil, err
	}
	a.begin()
	c := &Call{agent: a, id: id}
	o, err := a.outcome(ctx, id)
	switch {
	case err == nil:
		c.tool = o.Tool
		c.keep(o)
	case errors.As(err, new(*agent.GoneError)), errors.Is(err, agent.ErrPending):
		// Wait says what became of it.
	default:
		return nil, callError(id, err)
	}
	return c, nil
}

// ContinueKey is Continue for the call that this agent started under an idempotency key.
func (a *Agent) ContinueKey(ctx context.Context, key string) (*Call, error) {
	if key == "" {
		return nil, approval.Errorf(approval.CodeInvalid, "the idempotency key is missing")
	}
	c, err := a.Continue(ctx, approval.KeyedID(a.requester(), key))
	if errors.Is(err, ErrUnknownCall) {
		return nil, fmt.Errorf("%w, which idempotency key %q of agent %s stands for",
			err, approval.Display(key, 200), approval.Display(a.o.Agent, 200))
	}
	return c, err
}

// outcome asks once how a call ended: agent.ErrPending if it did not.
func (a *Agent) outcome(ctx context.Context, id string) (o approval.Outcome, err error) {
	err = a.runtime.Ask(ctx, func(b agent.Backend) (err error) {
		o, err = b.End(ctx, id, "", false)
		return err
	})
	return o, err
}

// Result turns the end of a call into what a guarded function returns: the tool's result, or
// *DeniedError, *FailedError, *OutcomeUnknownError,
// *ResultError.
func Result[Out any](o approval.Outcome) (Out, error) { return result[Out](o, nil) }

// Await waits for the call and returns what a guarded function would have: see Call.Wait and
// Result. So a process that comes back gets the typed result of a call that it had started before.
func Await[Out any](ctx context.Context, c *Call) (Out, error) {
	o, err := c.Wait(ctx)
	if err != nil {
		var none Out
		return none, err
	}
	return result[Out](o, c.agent.causes.Of(o))
}

func result[Out any](o approval.Outcome, cause error) (Out, error) {
	var out, none Out
	if err := outcomeError(o, cause); err != nil {
		return none, err
	}
	if problem := decode(o.Result, &out); problem != "" {
		return none, &ResultError{ID: o.ID, Tool: o.Tool, Problem: problem}
	}
	return out, nil
}

// decode reads a result. Its errors quote nothing of it.
func decode[Out any](doc json.RawMessage, out *Out) string {
	if len(doc) == 0 {
		return "there is none"
	}
	if string(doc) == "null" && !nullable(out) {
		return "it is null, which " + typeName[Out]() + " can't tell from its zero value"
	}
	err := json.Unmarshal(doc, out)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &wrong):
		return "it does not fit " + typeName[Out]() + " at " + cmp.Or(wrong.Field, "the top")
	}
	return "it does not fit " + typeName[Out]()
}

func typeName[T any]() string { return reflect.TypeFor[T]().String() }

// nullable reports whether null is a value of its own for the type.
func nullable(v any) bool {
	if _, own := v.(json.Unmarshaler); own {
		return true
	}
	switch reflect.TypeOf(v).Elem().Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return false
}
