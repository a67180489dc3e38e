package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// HeartbeatTimeout is how long a running tool's worker may be silent before
// Temporal takes it for dead, and the call's end for unknown.
const HeartbeatTimeout = 10 * time.Second

// ExecuteInput is the call to run. The executor trusts the store, not this.
type ExecuteInput struct {
	ID, Run, Digest string
	Call            approval.Call
	WaitForStore    approval.Duration // how long the approval stays good while the store is away
}

// Execute runs the tool, once: it uses up the permit in the store first, and
// is refused if that was done before. Its errors carry what the workflow needs
// to tell failed from unknown: CodeToolFailed means that the tool certainly
// did not run or said so itself, CodeAlreadyRan that an earlier run started
// it; everything else is unknown. A second attempt, of an idempotent tool, is
// certain of nothing but a result: the first may have run.
func (a *Activities) Execute(ctx context.Context, in ExecuteInput) (json.RawMessage, error) {
	defer heartbeat(ctx)()
	result, err := a.execute(ctx, in)
	var app *temporal.ApplicationError
	if activity.GetInfo(ctx).Attempt > 1 && errors.As(err, &app) && app.Type() == approval.CodeToolFailed {
		return nil, refuse(approval.CodeUnknown, "the first attempt's end is unknown; the next one: "+app.Message(), nil)
	}
	return result, err
}

func (a *Activities) execute(ctx context.Context, in ExecuteInput) (json.RawMessage, error) {
	digest, err := in.Call.Digest(in.ID)
	if err != nil || digest != in.Digest {
		return nil, refuse(approval.CodeDigest, "the call is not the one that was approved; nothing ran", err)
	}
	t, ok := a.Tools.Lookup(in.Call.Tool)
	if !ok {
		return nil, refuse(approval.CodeToolFailed, "no worker offers the tool any more; nothing ran", nil)
	}
	if err := t.CheckArgs(in.Call.Args); err != nil {
		return nil, refuse(approval.CodeToolFailed, "the tool's schema changed since the call was admitted; nothing ran: "+err.Error(), nil)
	}
	if err := a.usePermit(ctx, in, t); err != nil {
		return nil, err
	}

	result, err := t.Run(ctx, tool.Invocation{CallID: in.ID, Digest: digest, Tool: in.Call.Tool, Args: in.Call.Args})
	switch {
	case err == nil:
		return result, nil
	case tool.IsUnknown(err):
		return nil, temporal.NewApplicationError(err.Error(), approval.CodeUnknown)
	}
	return nil, refuse(approval.CodeToolFailed, err.Error(), nil)
}

// usePermit takes the permit out of the store. While the store is away it
// tries again, for as long as the approval is good: until it answers, the tool
// certainly has not run. A try whose answer was lost may have been written, so
// later tries of this attempt may find their own mark.
func (a *Activities) usePermit(ctx context.Context, in ExecuteInput, t *tool.Tool) error {
	info := activity.GetInfo(ctx)
	started := info.StartedTime.UTC().Truncate(time.Microsecond)
	entry, err := audit.New(in.ID, "start", audit.KindStarted, started,
		map[string]any{"digest": in.Digest, "run": in.Run, "schema_digest": t.SchemaDigest()})
	if err != nil {
		return refuse(approval.CodeInternalError, err.Error(), err)
	}
	use := store.Use{
		ID: in.ID, Digest: in.Digest, Run: in.Run, Activity: info.ActivityID,
		Retry: t.Idempotent() && info.Attempt > 1, At: started, Entries: []audit.Entry{entry},
	}
	giveUp := time.NewTimer(in.WaitForStore.Std())
	defer giveUp.Stop()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := a.Store.Use(ctx, use)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrStarted):
			return refuse(approval.CodeAlreadyRan, "an earlier run of this call started the tool", nil)
		case errors.Is(err, store.ErrNoClaim), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrDigest):
			return refuse(approval.CodeToolFailed, "the store holds no permit for this call; nothing ran: "+err.Error(), nil)
		}
		a.Logger.WarnContext(ctx, "store does not answer; tool waits", "call", in.ID, "error", err)
		use.Retry = true // it is this attempt that may have left the mark
		select {
		case <-time.After(pause):
		case <-giveUp.C:
			return refuse(approval.CodeToolFailed, "the store did not answer while the approval was valid; nothing ran", nil)
		case <-ctx.Done():
			return refuse(approval.CodeToolFailed, "the worker stopped before the tool was started; nothing ran", nil)
		}
	}
}

// heartbeat tells Temporal that this worker lives, until the returned func is
// called.
func heartbeat(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(HeartbeatTimeout / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				activity.RecordHeartbeat(ctx)
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
