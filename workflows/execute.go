package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// maxAttempts at a tool that is declared idempotent.
const maxAttempts = 3

// execute runs the tool and tells what is certain about its end.
func (g *guarded) execute(ctx workflow.Context) approval.Outcome {
	g.view.Status = approval.StatusExecuting
	goodUntil, validFor := g.goodUntil(ctx)
	if !workflow.Now(ctx).Before(goodUntil) {
		return *g.denied(approval.StatusExpired, approval.CodeExpired,
			"the approval ran out before the tool was started; nothing ran", g.view.Decision)
	}
	var out approval.Outcome
	if g.claimed.Queue == "" {
		out = g.runHere(ctx, goodUntil, validFor)
	} else {
		out = g.runRemote(ctx, goodUntil)
	}
	out.Decision = g.view.Decision
	return out
}

// goodUntil is until when the tool may be started. Not started by then means not started at all.
func (g *guarded) goodUntil(ctx workflow.Context) (until time.Time, validFor time.Duration) {
	validFor = g.adm.Verdict.GoodFor(g.adm.Execution)
	if d := g.view.Decision; d != nil {
		return d.At.Add(validFor), validFor
	}
	return workflow.Now(ctx).Add(validFor), validFor
}

// runHere lets our own executor run the tool, which checks the permit, and that it is still good,
// again.
func (g *guarded) runHere(
	ctx workflow.Context, goodUntil time.Time, validFor time.Duration,
) approval.Outcome {
	attempts := int32(1)
	if g.adm.Idempotent {
		attempts = maxAttempts
	}
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		good := goodUntil.Sub(workflow.Now(ctx))
		if good <= 0 { // not the first time: execute has checked it
			return notStarted()
		}
		actx := workflow.WithActivityOptions(detached(ctx), workflow.ActivityOptions{
			ScheduleToStartTimeout: good,
			// It may wait for the store first, and then runs the tool.
			StartToCloseTimeout: validFor + g.adm.Timeout.Std() + 10*time.Second,
			HeartbeatTimeout:    runner.HeartbeatTimeout,
			RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: attempts},
			WaitForCancellation: true,
			Summary:             g.call.Tool,
			Priority:            priority(g.view.Risk),
		})
		future := workflow.ExecuteActivity(actx, steps.Execute, activities.ExecuteInput{
			ID: g.view.ID, Run: runID(ctx), Digest: g.digest, Call: g.call, GoodUntil: goodUntil,
		})
		g.until(ctx, future.IsReady)
		var result json.RawMessage
		err := future.Get(detached(ctx), &result)
		switch {
		case err == nil:
			return approval.Outcome{Status: approval.StatusExecuted, Result: result}
		case !unread(err):
			return toolOutcome(err)
		}
		// Another worker may have the key. If an earlier attempt has run the tool, the permit is used up,
		// and the store says so.
		g.until(ctx, workflow.NewTimer(detached(ctx), pause).IsReady)
	}
}

// priority lets riskier tools run first where a queue is backed up. Which team it is for is inherited
// from the workflow.
func priority(risk approval.Risk) temporal.Priority {
	if i := slices.Index(approval.Risks, risk); i >= 0 {
		return temporal.Priority{PriorityKey: len(approval.Risks) - i}
	}
	return temporal.Priority{} // Temporal's middle one
}

// unread reports whether the worker that took a task lacked the key to read it.
func unread(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.Type() == codec.KeyMissing
}

// toolOutcome sorts the end of a tool that our executor ran: failed only where it certainly did not
// run or said so itself, expired where it was never started, else unknown.
func toolOutcome(err error) approval.Outcome {
	var app *temporal.ApplicationError
	switch {
	case neverStarted(err):
		return notStarted()
	case !errors.As(err, &app):
		return workerLost()
	}
	status, code := approval.StatusOutcomeUnknown, approval.CodeUnknown
	switch app.Type() {
	case approval.CodeToolFailed, approval.CodeDigest:
		status, code = approval.StatusFailed, app.Type()
	case approval.CodePolicyChanged: // found before the permit was used
		status, code = approval.StatusBlocked, app.Type()
	case approval.CodeNoPermit, approval.CodeUntrusted: // so the store holds no permit that can be used
		status, code = approval.StatusBlocked, app.Type()
	case approval.CodeExpired:
		status, code = approval.StatusExpired, app.Type()
	case approval.CodeAlreadyRan:
		code = app.Type()
	}
	return toolEnd(status, code, runner.Text(app))
}

// runRemote lets other workers run the tool, as an ordinary activity. They have no permit to use
// up, so this run checks that it holds the permit: after a reset, another run does.
func (g *guarded) runRemote(ctx workflow.Context, goodUntil time.Time) approval.Outcome {
	if g.claimed.Run != runID(ctx) {
		return toolEnd(approval.StatusOutcomeUnknown, approval.CodeAlreadyRan,
			"an earlier run of this call handed the tool to its workers; look at the tool's own records")
	}
	timeout := g.adm.Timeout.Std()
	if timeout <= 0 { // nobody offers the tool any more, or not yet again
		timeout = tool.DefaultTimeout
	}
	actx := workflow.WithValue(detached(ctx), forCallKey{}, forCall{g.view.ID, g.digest})
	for attempt := 1; ; attempt++ {
		good := goodUntil.Sub(workflow.Now(ctx))
		if attempt > 1 && good <= 0 {
			return workerLost()
		}
		future := workflow.ExecuteActivity(workflow.WithActivityOptions(actx, workflow.ActivityOptions{
			TaskQueue:              g.claimed.Queue,
			ScheduleToStartTimeout: good,
			StartToCloseTimeout:    timeout,
			HeartbeatTimeout:       g.adm.Heartbeat.Std(),
			// Attempts are made here: only the last error of Temporal's own would be known, and that one may
			// say less than the one before.
			RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
			WaitForCancellation: true,
			Summary:             g.call.Tool,
			Priority:            priority(g.view.Risk),
		}), g.call.Tool, g.call.Args)
		g.until(ctx, future.IsReady)
		var result converter.RawValue
		err := future.Get(detached(ctx), &result)
		g.again = attempt > 1
		out := remoteOutcome(result, err)
		switch {
		case out.Status == approval.StatusOutcomeUnknown && err != nil && g.adm.Idempotent && attempt < maxAttempts:
			continue
		case attempt > 1 && out.Status != approval.StatusExecuted:
			return toolEnd(approval.StatusOutcomeUnknown, approval.CodeUnknown,
				"an earlier attempt's end is unknown; the last one: "+out.Error.Message)
		}
		return out
	}
}

// remoteOutcome sorts the end of a tool that other workers ran. Its workers choose the error's
// type: only the one that says that the end is unknown is believed.
func remoteOutcome(result converter.RawValue, err error) approval.Outcome {
	var app *temporal.ApplicationError
	switch {
	case err == nil:
		doc, err := resultOf(result)
		if err != nil {
			return toolEnd(approval.StatusOutcomeUnknown, approval.CodeUnknown, err.Error())
		}
		return approval.Outcome{Status: approval.StatusExecuted, Result: doc}
	case neverStarted(err):
		return notStarted()
	case !errors.As(err, &app), interrupted(err):
		return workerLost()
	case app.Type() == approval.CodeUnknown:
		return toolEnd(approval.StatusOutcomeUnknown, approval.CodeUnknown, bounded(runner.Text(app)))
	}
	return toolEnd(approval.StatusFailed, approval.CodeToolFailed, bounded(runner.Text(app)))
}

// interrupted reports whether a run was cut short: workers that stop cancel what they run, and Go's
// then answer with the context's error even for a run that had a result. Other SDKs' workers answer
// with errors of their own, since Temporal takes no cancellation that nobody asked for.
func interrupted(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) {
		case *temporal.CanceledError:
			return true
		case *temporal.ApplicationError:
			if m := e.Message(); m == context.Canceled.Error() || m == context.DeadlineExceeded.Error() ||
				slices.Contains(cutShort, e.Type()) {
				return true
			}
		}
	}
	return false
}

// cutShort are the types of errors that workers of other SDKs report for what they cancelled when
// they stopped.
var cutShort = []string{
	"WorkerShutdown", // TypeScript, Python, .NET, Ruby: worker_shutdown_failure in their common core
	"CancelledError", // Python, of a task that was cancelled along with its worker
	"io.temporal.client.ActivityWorkerShutdownException", // Java
}

// bounded is an error's text, cut as those of our own tools are.
func bounded(text string) string { return tool.Failed(errors.New(text)).Error() }

// resultOf is a result in JSON, from a worker that may have sent anything.
func resultOf(raw converter.RawValue) (json.RawMessage, error) {
	p := payload(raw)
	switch enc := string(p.GetMetadata()[converter.MetadataEncoding]); enc {
	case "", converter.MetadataEncodingNil:
		if len(p.GetData()) > 0 {
			return nil, errors.New("the tool ran, but its result can't be delivered: " +
				"it does not say how it is encoded")
		}
		return tool.Deliver(nil)
	case converter.MetadataEncodingJSON:
		return tool.Deliver(p.GetData())
	default:
		return nil, fmt.Errorf("the tool ran, but its result can't be delivered: it must be JSON (%s), not %q",
			converter.MetadataEncodingJSON, approval.Display(enc, 40))
	}
}

func neverStarted(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == timeoutScheduleToStart
}

func notStarted() approval.Outcome {
	return toolEnd(approval.StatusExpired, approval.CodeExpired,
		"no worker started the tool while the approval was valid; nothing ran")
}

func workerLost() approval.Outcome {
	return toolEnd(approval.StatusOutcomeUnknown, approval.CodeUnknown,
		"the worker was lost while the tool ran; look at the tool's own records")
}

func toolEnd(status approval.Status, code, message string) approval.Outcome {
	return approval.Outcome{Status: status, Error: &approval.CallError{Code: code, Message: message}}
}
