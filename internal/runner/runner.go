// Package runner is what every Go activity that runs a tool has in common: Pawl's own executor, and
// an agent's process that serves the functions it guards.
package runner

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// HeartbeatTimeout is how long the process of a running tool may be silent before Temporal takes it
// for dead, and the call's end for unknown.
const HeartbeatTimeout = 10 * time.Second

// Run runs the tool once, inside an activity. Its errors are those of Ended, with
// approval.CodeToolFailed or approval.CodeUnknown; the latter may be tried again if the workflow
// lets it.
func Run(ctx context.Context, t *tool.Tool, c tool.Invocation) (json.RawMessage, error) {
	result, err := t.Run(ctx, c)
	switch {
	case err == nil:
		return result, nil
	case tool.IsUnknown(err):
		return nil, temporal.NewApplicationError(noResult, approval.CodeUnknown, err.Error())
	}
	return nil, Ended(approval.CodeToolFailed, err.Error())
}

// Ended is how a tool ended other than with a result; Temporal does not try it again. The text goes
// into the error's details, so that no log gets to see it.
func Ended(code, text string) error {
	return temporal.NewNonRetryableApplicationError(noResult, code, nil, text)
}

const noResult = "the tool gave no result; the details say why"

// Text is what an error of Ended says, or the message of anybody else's.
func Text(err *temporal.ApplicationError) string {
	var text string
	if !err.HasDetails() || err.Details(&text) != nil {
		return err.Message()
	}
	return text
}

// Heartbeat tells Temporal that this process lives, until stop is called.
func Heartbeat(ctx context.Context) (stop func()) {
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
