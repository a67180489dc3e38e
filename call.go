package pawl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
)

// Call is a guarded call that was started. It costs nothing while nobody waits
// for it, and no goroutine of the caller while somebody does. It is safe for
// concurrent use.
type Call struct {
	agent *Agent
	id    string
	tool  string // empty if another process started it
	run   string

	mu     sync.Mutex
	pinned *wait             // of Done
	end    *approval.Outcome // how it ended, once that is known
}

// ID is the call's ID: what reviewers see, and what Agent.Continue takes. A call
// that is identical to one that waits ends as that one does, where the policy
// says so: then the outcome has that one's ID.
func (c *Call) ID() string { return c.id }

// Wait returns how the call ended, whichever way: Outcome.Status says which,
// and Result turns it into a value or an error. It rides over restarts of
// everything but this process. Errors: *PendingError if ctx or the agent ends
// first, while the call goes on; *GoneError; ErrUnknownCall if it was deleted.
func (c *Call) Wait(ctx context.Context) (approval.Outcome, error) {
	if o := c.known(); o != nil {
		return *o, nil
	}
	c.agent.begin() // its tool may be one of ours
	x := c.agent.watch.join(c.id, c.run)
	defer c.agent.watch.leave(x)
	select {
	case <-x.done:
	case <-ctx.Done():
		select {
		case <-x.done: // both: the end is what the caller wants to know
		default:
			return approval.Outcome{}, x.pending(c.tool, stopped(ctx))
		}
	}
	if errors.Is(x.err, ErrClosed) {
		return approval.Outcome{}, x.pending(c.tool, ErrClosed)
	}
	if x.err != nil {
		return approval.Outcome{}, x.err
	}
	return *c.keep(x.outcome), nil
}

// Outcome is Wait for those who do not wait: *PendingError if the call has not
// ended yet.
func (c *Call) Outcome(ctx context.Context) (approval.Outcome, error) {
	if o := c.known(); o != nil {
		return *o, nil
	}
	o, err := c.agent.look(ctx, c.id)
	if errors.Is(err, agent.ErrPending) {
		return approval.Outcome{}, &PendingError{ID: c.id, Tool: c.tool}
	}
	if err != nil {
		return approval.Outcome{}, err
	}
	return *c.keep(o), nil
}

// Done returns a channel that is closed when Wait returns at once: the call
// has ended, or the agent is closed. From the first Done on, the call is
// waited for until then.
func (c *Call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pinned == nil {
		c.agent.begin()
		if c.end != nil {
			c.pinned = &wait{done: closedChan}
		} else {
			c.pinned = c.agent.watch.join(c.id, c.run)
		}
	}
	return c.pinned.done
}

var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// View returns the call as reviewers see it: redacted, with its requirement,
// votes and deadline. It needs a Pawl worker that answers; its Status and
// Result are not for the caller to go by.
func (c *Call) View(ctx context.Context) (approval.View, error) {
	s, err := c.agent.b.State(ctx, c.id)
	if err != nil {
		return approval.View{}, told(c.id, err)
	}
	return s.View, nil
}

// Cancel withdraws the call. Once that is sent the call ends cancelled, unless
// its tool is started first: Wait says which. Errors: ErrEnded, ErrUnknownCall,
// ctx's, what approval.CheckNotes says.
func (c *Call) Cancel(ctx context.Context, notes string) error {
	if err := approval.CheckNotes(notes); err != nil {
		return err
	}
	s := approval.CancelSignal{DecisionID: approval.NewNonce(), By: c.agent.requester(), Channel: "sdk", Notes: notes}
	err := c.agent.insist(ctx, func() error { return c.agent.b.Cancel(ctx, c.id, s) })
	if err != nil {
		return told(c.id, err)
	}
	return nil
}

func (c *Call) known() *approval.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil && c.pinned != nil {
		select {
		case <-c.pinned.done:
			if c.pinned.err == nil {
				c.end = &c.pinned.outcome
			}
		default:
		}
	}
	return c.end
}

func (c *Call) keep(o approval.Outcome) *approval.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = &o
	return c.end
}

// Start starts a call of any tool, guarded by this agent or not, and does not
// wait for its end. Agent, Requester and Nonce are filled in, Team and Session
// if they are empty; IdempotencyKey makes it the same call whenever it is
// started again. Errors: *approval.Error with approval.CodeInvalid for what is
// no call; ErrConflict; *PublishError for an own tool; *PendingError with
// Uncertain if ctx ended before Temporal confirmed.
func (a *Agent) Start(ctx context.Context, call approval.Call) (*Call, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if call.Agent != "" && call.Agent != a.o.Agent {
		return nil, approval.Errorf(approval.CodeInvalid, "the call is another agent's: leave Agent out")
	}
	call.Agent, call.Requester, call.Nonce = a.o.Agent, a.requester(), approval.NewNonce()
	set(&call.Team, orElse(call.Team, a.o.Team))
	set(&call.Session, orElse(call.Session, a.o.Session))
	s, err := calls.Prepare(call)
	if err != nil {
		return nil, err
	}
	a.begin()
	if err := a.publish.await(ctx, s.Call.Tool); err != nil {
		return nil, err
	}
	var run string
	sent := false
	err = a.insist(ctx, func() (err error) {
		sent = true
		run, err = a.b.Start(ctx, s)
		return err
	})
	switch {
	case err == nil:
		return &Call{agent: a, id: s.ID, tool: s.Call.Tool, run: run}, nil
	case !sent:
		return nil, fmt.Errorf("pawl: %s was not started: %w", s.Call.Tool, err)
	case !agent.Permanent(err): // ctx or the agent ended before an answer came
		p := &PendingError{ID: s.ID, Tool: s.Call.Tool, Uncertain: true, trouble: err, why: ErrClosed}
		if ctx.Err() != nil {
			p.why = stopped(ctx)
		}
		return nil, p
	}
	return nil, told(s.ID, err)
}

func orElse(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

// Continue takes up a call that was started before, by this process or any
// other: after the agent itself was restarted, say. It makes sure that there
// is such a call, and does not wait for its end. Errors: ErrUnknownCall.
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
	o, err := a.look(ctx, id)
	switch {
	case err == nil:
		c.tool = o.Tool
		c.keep(o)
	case errors.Is(err, ErrGone), errors.Is(err, agent.ErrPending): // Wait says what became of it
	default:
		return nil, err
	}
	return c, nil
}

// ContinueKey is Continue for the call that this agent started under an
// idempotency key.
func (a *Agent) ContinueKey(ctx context.Context, key string) (*Call, error) {
	if key == "" {
		return nil, approval.Errorf(approval.CodeInvalid, "the idempotency key is missing")
	}
	c, err := a.Continue(ctx, approval.KeyedID(a.requester(), key))
	if errors.Is(err, ErrUnknownCall) {
		return nil, fmt.Errorf("%w, which idempotency key %q of agent %s stands for", err, approval.Display(key, 200), approval.Display(a.o.Agent, 200))
	}
	return c, err
}

// look asks once how a call ended: agent.ErrPending if it did not.
func (a *Agent) look(ctx context.Context, id string) (o approval.Outcome, err error) {
	err = a.insist(ctx, func() (err error) {
		o, err = a.b.End(ctx, id, "", false)
		return err
	})
	if err == nil || errors.Is(err, agent.ErrPending) {
		return o, err
	}
	return o, told(id, err)
}

// insist asks again as long as Temporal does not answer, until ctx or the
// agent ends.
func (a *Agent) insist(ctx context.Context, ask func() error) error {
	warned := false
	var pause retry.Backoff
	for {
		if err := a.ctx.Err(); err != nil {
			return ErrClosed
		}
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		err := ask()
		switch {
		case err == nil || agent.Permanent(err):
			return err
		case ctx.Err() != nil:
			return errors.Join(stopped(ctx), err)
		}
		if !warned {
			warned = true
			a.o.Logger.WarnContext(ctx, "Temporal does not answer; trying again", "error", err)
		}
		both, cancel := context.WithCancel(ctx)
		release := context.AfterFunc(a.ctx, cancel)
		slept := pause.Wait(both)
		release()
		cancel()
		if !slept && ctx.Err() != nil {
			return errors.Join(stopped(ctx), err)
		}
	}
}

// Result turns the end of a call into what a guarded function returns: the
// tool's result, or *DeniedError, *FailedError, *OutcomeUnknownError,
// *ResultError.
func Result[Out any](o approval.Outcome) (Out, error) { return result[Out](o, nil) }

// Await waits for the call and returns what a guarded function would have: see
// Call.Wait and Result. So a process that comes back gets the typed result of
// a call that it had started before.
func Await[Out any](ctx context.Context, c *Call) (Out, error) {
	o, err := c.Wait(ctx)
	if err != nil {
		var none Out
		return none, err
	}
	return result[Out](o, c.agent.causes.of(o))
}

func result[Out any](o approval.Outcome, cause error) (Out, error) {
	var out, none Out
	if err := ended(o, cause); err != nil {
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
		return "it does not fit " + typeName[Out]() + " at " + orElse(wrong.Field, "the top")
	}
	return "it does not fit " + typeName[Out]()
}

// causes holds the errors that guarded functions returned in this process,
// for the callers that wait in it. The oldest are forgotten first.
type causes struct {
	mu    sync.Mutex
	byID  map[string]error
	order []string
}

const maxCauses = 1024

func (c *causes) add(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]error{}
	}
	if _, again := c.byID[id]; !again {
		c.order = append(c.order, id)
	}
	c.byID[id] = err
	if len(c.order) > maxCauses {
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
}

// of returns the error that the outcome tells of. The tool may have run
// elsewhere, too: then the texts differ.
func (c *causes) of(o approval.Outcome) error {
	if o.Error == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.byID[o.ID]; err != nil && says(err, o.Error.Message) {
		return err
	}
	return nil
}
