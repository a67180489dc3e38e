package pawltest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/temporal"
)

// maxAttempts is what Pawl grants an idempotent tool.
const maxAttempts = 3

// temporal is what a Fake's agent takes for Temporal: package agent uses a client that is a Backend
// as it is, and never as a client.
type temporal struct {
	client.Client
	*Fake
}

var _ agent.Backend = temporal{}

func (f temporal) Start(_ context.Context, s calls.Start) (string, error) { return "", f.begin(s) }

// begin starts a call, and lets the script decide about it. A call that is there already goes on.
func (f *Fake) begin(s calls.Start) error {
	f.mu.Lock()
	first := f.calls[s.ID]
	if first != nil {
		defer f.mu.Unlock()
		if first.fingerprint != s.Fingerprint {
			return calls.ErrConflict
		}
		return nil
	}
	c := &call{
		Call: Call{ID: s.ID, Call: s.Call}, began: time.Now(), fingerprint: s.Fingerprint,
		done: make(chan struct{}),
	}
	f.calls[s.ID] = c
	f.order = append(f.order, c)
	blocked := f.check(c)
	decide := f.script[s.Call.Tool]
	f.mu.Unlock()

	var a Answer
	switch {
	case blocked != nil:
		a = *blocked
	case decide != nil:
		a = decide(s.Call)
	default:
		a = Block("the test does not say what becomes of calls of this tool")
		if f.t != nil {
			f.t.Helper()
			f.t.Errorf("pawltest: a call of the tool %s was not scripted: say what becomes of it with On", s.Call.Tool)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.tools[s.Call.Tool]; blocked == nil && a.runs() && !known {
		b := Block("no worker offers the tool; Return lets the test answer for it")
		b.code = approval.CodeUnknownTool
		a = b
	}
	f.decide(c, a)
	return nil
}

// check is what Pawl checks before it asks anybody.
func (f *Fake) check(c *call) *Answer {
	spec, known := f.tools[c.Call.Call.Tool]
	if !known {
		return nil
	}
	t, err := toolOf(spec)
	if err == nil {
		err = t.CheckArgs(c.Call.Call.Args)
	}
	if err == nil {
		return nil
	}
	b := Block(err.Error())
	b.code = approval.CodeBadArguments
	return &b
}

func toolOf(s approval.ToolSpec) (*tool.Tool, error) {
	never := func(context.Context, tool.Invocation) (json.RawMessage, error) {
		return nil, errors.New("it runs in another process")
	}
	o := tool.Options{Description: s.Description, Idempotent: s.Idempotent, Timeout: s.Timeout.Std()}
	return tool.Custom(s.Name, s.Schema, never, o)
}

// runs reports whether the answer lets the tool run.
func (a Answer) runs() bool {
	return a.status == "" && (a.kind == approval.FinalAllow || a.kind == approval.FinalApprove)
}

// decide applies an answer to a call that waits for one. The caller holds f.mu.
func (f *Fake) decide(c *call, a Answer) {
	if a.kind == "" || c.executing || c.mayStart || c.ended() {
		return
	}
	defer f.tell()
	by := &approval.FinalDecision{Kind: a.kind, By: a.by, Notes: a.notes, At: time.Now().UTC()}
	if a.runs() && c.Call.Call.Execution == approval.ExecutionCaller {
		c.mayStart, c.settled = true, by
		return
	}
	if a.runs() {
		c.executing = true
		f.runs.Go(func() {
			o := f.execute(c)
			o.Decision = by
			f.mu.Lock()
			defer f.mu.Unlock()
			f.end(c, o)
		})
		return
	}
	o, err := a.outcome()
	if err != nil {
		o = failed(approval.StatusOutcomeUnknown, approval.CodeUnknown, err.Error())
	}
	o.Decision = by
	f.end(c, o)
}

// tell wakes who waits for news. The caller holds f.mu.
func (f *Fake) tell() {
	close(f.news)
	f.news = make(chan struct{})
}

// end writes an outcome. The caller holds f.mu.
func (f *Fake) end(c *call, o approval.Outcome) {
	defer f.tell()
	o.ID, o.Tool, o.Execution = c.ID, c.Call.Call.Tool, c.Call.Call.Execution
	o.Digest, _ = c.Call.Call.Digest(c.ID) // a call that was started has one
	c.Outcome = o
	close(c.done)
}

// execute runs the tool as soon as the agent serves it.
func (f *Fake) execute(c *call) approval.Outcome {
	<-f.served
	f.mu.Lock()
	run, idempotent := f.serves.Run, f.tools[c.Call.Call.Tool].Idempotent
	f.mu.Unlock()
	digest, err := c.Call.Call.Digest(c.ID)
	if err != nil {
		return failed(approval.StatusFailed, approval.CodeDigest, err.Error())
	}
	task := agent.Task{Invocation: tool.Invocation{
		CallID: c.ID, Digest: digest, Tool: c.Call.Call.Tool, Args: c.Call.Call.Args,
	}}
	for task.Attempt = 1; ; task.Attempt++ {
		result, err := run(context.Background(), task)
		if err == nil {
			return approval.Outcome{Status: approval.StatusExecuted, Result: result}
		}
		var app *sdk.ApplicationError
		if !errors.As(err, &app) {
			return failed(approval.StatusOutcomeUnknown, approval.CodeUnknown, "the tool's end is not known")
		}
		if idempotent && !app.NonRetryable() && task.Attempt < maxAttempts {
			continue
		}
		switch {
		case task.Attempt > 1:
			return failed(approval.StatusOutcomeUnknown, approval.CodeUnknown,
				"an earlier attempt's end is unknown; the last one: "+runner.Text(app))
		case app.Type() == approval.CodeToolFailed:
			return failed(approval.StatusFailed, app.Type(), runner.Text(app))
		}
		return failed(approval.StatusOutcomeUnknown, app.Type(), runner.Text(app))
	}
}

func failed(status approval.Status, code, text string) approval.Outcome {
	return approval.Outcome{Status: status, Error: &approval.CallError{Code: code, Message: text}}
}

func (f temporal) End(ctx context.Context, id, _ string, wait bool) (approval.Outcome, error) {
	f.mu.Lock()
	c := f.calls[id]
	f.mu.Unlock()
	if c == nil {
		return approval.Outcome{}, calls.ErrUnknown
	}
	if wait {
		select {
		case <-c.done:
		case <-ctx.Done():
			return approval.Outcome{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !c.ended() {
		return approval.Outcome{}, agent.ErrPending
	}
	return c.Outcome, nil
}

func (f temporal) Sweep(_ context.Context, ids []string) (ended, missing []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		switch c := f.calls[id]; {
		case c == nil:
			missing = append(missing, id)
		case c.ended():
			ended = append(ended, id)
		}
	}
	return ended, missing, nil
}

func (f temporal) State(_ context.Context, id string) (approval.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.calls[id]
	if c == nil {
		return approval.State{}, calls.ErrUnknown
	}
	return approval.State{View: c.view()}, nil
}

// view is the call as it stands.
func (c *call) view() approval.View {
	in := c.Call.Call
	deadline := c.began.Add(cmp.Or(in.Timeout, approval.DefaultTimeout).Std()).UTC()
	digest, _ := in.Digest(c.ID) // a call that was started has one
	v := approval.View{
		ID: c.ID, Tool: in.Tool, Args: in.Args, Digest: digest, Status: approval.StatusPending,
		Execution: in.Execution,
		Agent:     in.Agent, Team: in.Team, Session: in.Session, Labels: in.Labels,
		Title: in.Title, Description: in.Description, Reason: in.Reason,
		Requester: in.Requester, CreatedAt: c.began.UTC(), Deadline: &deadline,
	}
	switch {
	case c.ended():
		v.Status, v.Decision = c.Outcome.Status, c.Outcome.Decision
	case c.mayStart:
		v.Status = approval.StatusApproved
	case c.executing:
		v.Status = approval.StatusExecuting
	}
	return v
}

// Cancel withdraws a call that is held.
func (f temporal) Cancel(_ context.Context, id string, s approval.CancelSignal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.calls[id]
	switch {
	case c == nil:
		return calls.ErrUnknown
	case c.ended():
		return calls.ErrEnded
	case !c.executing: // else the tool's end is what counts
		o := failed(approval.StatusCancelled, approval.CodeCancelled, "the call was withdrawn")
		o.Decision = &approval.FinalDecision{
			Kind: approval.FinalCancel, By: s.By, Notes: s.Notes, Channel: s.Channel, Method: s.Method, At: time.Now().UTC(),
		}
		f.end(c, o)
	}
	return nil
}

func (f temporal) Publish(_ context.Context, p approval.Publication) (approval.Published, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var done approval.Published
	for _, s := range p.Tools {
		reason, no := f.refuse[s.Name]
		if _, err := toolOf(s); err != nil && !no {
			reason, no = err.Error(), true
		}
		if no {
			done.Refused = append(done.Refused, approval.RefusedTool{Name: s.Name, Reason: reason})
			continue
		}
		f.tools[s.Name] = s
	}
	return done, nil
}

func (f temporal) Polled(context.Context) (bool, string, error) { return true, "", nil }

func (f temporal) Serve(_ context.Context, o agent.ServeOptions) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.serves == nil {
		f.serves = &o
		close(f.served)
	}
	return func() {
		ended := make(chan struct{})
		go func() {
			f.runs.Wait()
			close(ended)
		}()
		limit := time.NewTimer(o.Drain)
		defer limit.Stop()
		select {
		case <-ended:
		case <-limit.C:
		}
	}, nil
}

func (f temporal) Close() {}
