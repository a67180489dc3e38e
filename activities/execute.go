package activities

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// ExecuteInput is the call to run. The executor trusts the store, not this.
type ExecuteInput struct {
	ID, Run, Digest string
	Call            approval.Call
	GoodUntil       time.Time // when to give up on a store that does not answer
}

// Execute runs the tool, once: it uses up the permit in the store first, and is refused if that was
// done before. Its errors carry a code that tells the workflow what is certain: CodeToolFailed,
// CodeDigest, CodeNoPermit and CodeExpired mean that the tool did not run or said so itself,
// CodeAlreadyRan that an earlier run started it; everything else is unknown. After a second
// attempt, of an idempotent tool, only a result is certain, because the first attempt may have run.
// What the tool said is in the error's details, so that no log gets to see it.
func (a *Activities) Execute(ctx context.Context, in ExecuteInput) (json.RawMessage, error) {
	defer runner.Heartbeat(ctx)()
	result, err := a.execute(ctx, in)
	a.recordRefusal(ctx, in, err)
	var app *temporal.ApplicationError
	if activity.GetInfo(ctx).Attempt > 1 && errors.As(err, &app) && app.Type() != approval.CodeUnknown {
		return nil, runner.Ended(approval.CodeUnknown,
			"the first attempt's end is unknown; the next one: "+runner.Text(app))
	}
	return result, err
}

// recordTimeout bounds the writing of a refused attempt to the record.
const recordTimeout = 5 * time.Second

// recordRefusal puts on record that somebody asked for a tool without a valid permit: perhaps from
// a workflow of their own, or from an activity without a workflow. The entry is about who asked,
// which Temporal vouches for, not about the call that was named.
func (a *Activities) recordRefusal(ctx context.Context, in ExecuteInput, err error) {
	var app *temporal.ApplicationError
	noPermit := []string{approval.CodeNoPermit, approval.CodeDigest, approval.CodeUntrusted}
	if !errors.As(err, &app) || !slices.Contains(noPermit, app.Type()) {
		return
	}
	info := activity.GetInfo(ctx)
	id, run, workflow := info.WorkflowExecution.ID, info.WorkflowExecution.RunID, ""
	switch {
	case id == "":
		id = "activity " + info.ActivityID
	case audit.Reserved(id):
		id = "workflow " + id
	}
	if info.WorkflowType != nil {
		workflow = info.WorkflowType.Name
	}
	a.Logger.WarnContext(ctx, "a tool was not run: its call has no valid permit",
		"asked_by", id, "run", run, "code", app.Type())
	step := fmt.Sprintf("not started/%s/%s", run, info.ActivityID)
	e, err := entry(id, step, info.StartedTime, audit.NotStarted{
		Run: run, WorkflowType: workflow, Code: app.Type(),
		CallID: approval.Display(in.ID, 200), Tool: approval.Display(in.Call.Tool, 200),
	})
	if err == nil {
		// A worker that stops cancels ctx, so that would lose the record, and does not wait for long.
		recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		err = a.Store.Append(recording, e)
	}
	if err != nil {
		a.Logger.ErrorContext(ctx, "that a tool was not run could not be put on record",
			"asked_by", id, "error", err)
	}
}

func (a *Activities) execute(ctx context.Context, in ExecuteInput) (json.RawMessage, error) {
	digest, err := in.Call.Digest(in.ID)
	if err != nil || digest != in.Digest {
		return nil, runner.Ended(approval.CodeDigest, "the call is not the one that was approved; nothing ran")
	}
	t, ok := a.Tools.Lookup(in.Call.Tool)
	if !ok {
		return nil, runner.Ended(approval.CodeToolFailed, "no worker offers the tool any more; nothing ran")
	}
	if err := t.CheckArgs(in.Call.Args); err != nil {
		return nil, runner.Ended(approval.CodeToolFailed,
			"the tool's schema changed since the call was admitted; nothing ran: "+err.Error())
	}
	if err := a.usePermit(ctx, in, t); err != nil {
		return nil, err
	}

	return runner.Run(ctx, t,
		tool.Invocation{CallID: in.ID, Digest: digest, Tool: in.Call.Tool, Args: in.Call.Args})
}

// usePermit takes the permit out of the store. While the store does not answer it tries again,
// until the permit has run out; until then the tool has certainly not run. A try whose answer was
// lost may have been written: by its token, which nobody else has, this execution recognises its
// own use of the permit. Run and activity would not do, because after a reset another execution has
// the same ones.
func (a *Activities) usePermit(ctx context.Context, in ExecuteInput, t *tool.Tool) error {
	info := activity.GetInfo(ctx)
	began, started := time.Now(), info.StartedTime.UTC().Truncate(time.Microsecond)
	said := audit.Started{Digest: in.Digest, Run: info.WorkflowExecution.RunID, SchemaDigest: t.SchemaDigest()}
	use := store.UseParams{
		ID: in.ID, Digest: in.Digest,
		Run: info.WorkflowExecution.RunID, Activity: info.ActivityID, Token: rand.Text(),
		Retry: t.Idempotent() && info.Attempt > 1,
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		// The server's clock when it started this attempt, and what has passed since.
		tried := time.Now()
		use.At = started.Add(tried.Sub(began))
		err := a.use(ctx, in, use, started, said)
		forbidden, isForbidden := errors.AsType[forbiddenError](err)
		switch {
		case isForbidden:
			a.endForbidden(ctx, in, use, forbidden)
			return runner.Ended(approval.CodePolicyChanged, err.Error()+"; nothing ran")
		case err == nil && time.Since(tried) > runner.HeartbeatTimeout:
			// The process may have been asleep, and the call may have ended since: nobody expects the tool
			// to run any more.
			return runner.Ended(approval.CodeToolFailed,
				"the store's answer about the permit came too late; nothing ran")
		case err == nil:
			return nil
		case errors.Is(err, store.ErrStarted):
			return runner.Ended(approval.CodeAlreadyRan, "an earlier run of this call started the tool")
		case errors.Is(err, errUntrusted):
			return runner.Ended(approval.CodeUntrusted, err.Error()+"; nothing ran")
		case errors.Is(err, store.ErrRunOut):
			return runner.Ended(approval.CodeExpired, "the approval ran out before the tool was started; nothing ran")
		case errors.Is(err, store.ErrNoPermit), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDigest):
			return runner.Ended(approval.CodeNoPermit,
				"the store holds no permit for this call; nothing ran: "+err.Error())
		}
		a.Logger.WarnContext(ctx, "store does not answer; tool waits", "call", in.ID, "error", err)
		if use.At.After(in.GoodUntil) {
			return runner.Ended(approval.CodeExpired,
				"the store did not answer while the approval was valid; nothing ran")
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return runner.Ended(approval.CodeToolFailed, "the worker stopped before the tool was started; nothing ran")
		}
	}
}

// forbiddenError is why, by the policy that is active now, a call may not run any more.
type forbiddenError struct {
	why string
	by  approval.PolicyRef
}

func (e forbiddenError) Error() string { return e.why }

// endForbidden ends a call that the policy forbids by now, so that its record says which one: the
// workflow, which would end it so, does not know. It is left to the workflow where that fails, and where
// the permit is not one that could be used: then somebody else asks for the tool.
func (a *Activities) endForbidden(ctx context.Context, in ExecuteInput, use store.UseParams, by forbiddenError) {
	record, err := a.Store.Call(ctx, in.ID)
	if err == nil && (record.View.Digest != in.Digest || record.Permit == nil || !record.Permit.CanVoid(use.Run)) {
		return
	}
	if err == nil {
		end := a.ending(record, in.Call, use.At)
		end.Run, end.policy = use.Run, &by.by
		end.Outcome = approval.Outcome{
			Status: approval.StatusBlocked, Decision: record.View.Decision, Digest: in.Digest,
			Error: &approval.CallError{Code: approval.CodePolicyChanged, Message: by.why + "; nothing ran"},
		}
		_, _, err = a.end(ctx, end)
	}
	if err != nil && !errors.Is(err, store.ErrStarted) {
		a.Logger.WarnContext(ctx, "which policy forbade a call is not on record", "call", in.ID, "error", err)
	}
}

// use uses the permit up, and before that judges the call again and verifies the signed decisions
// that the permit rests on. An allowed call has none, and costs no query. On a retry they were
// verified before, but a key may have been revoked since. said goes on record, with what judged.
func (a *Activities) use(
	ctx context.Context, in ExecuteInput, u store.UseParams, at time.Time, said audit.Started,
) error {
	why, by, err := a.forbidden(ctx, in, u.At)
	if err != nil {
		return err
	}
	if why != "" {
		return forbiddenError{why, by}
	}
	unchanged, err := entry(in.ID, "start", at, said)
	if err != nil {
		return err
	}
	said.Policy = &by
	judged, err := entry(in.ID, "start", at, said)
	if err != nil {
		return err
	}
	u.Policy, u.Entries, u.Unchanged = by, []audit.Entry{judged}, []audit.Entry{unchanged}
	if !u.Retry {
		if err := a.Store.Use(ctx, u); !errors.Is(err, store.ErrUnverified) {
			return err
		}
	}
	if err := a.reverify(ctx, u.ID); err != nil {
		return err
	}
	u.Verified = true
	return a.Store.Use(ctx, u)
}
