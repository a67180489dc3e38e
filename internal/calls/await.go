package calls

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// How long one long poll for a call's end is held before the next one.
const (
	firstPoll = time.Second
	maxPoll   = 20 * time.Second // Temporal's own
)

// Await waits for a run's end and decodes its result. Errors are those of
// client.WorkflowRun.Get.
//
// Temporal's server holds one notice for each long poll and drops the next if
// that one was not yet taken (events/notifier.go in its history service): on a
// busy machine a poll can miss the end, and would learn of it only when it is
// asked again, after 20 s. So the first polls are short.
func Await(ctx context.Context, run client.WorkflowRun, into any) error {
	for hold := firstPoll; ; hold = min(2*hold, maxPoll) {
		// Not WithTimeout: the SDK gives up at half of a deadline that it can see.
		poll, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(hold, cancel)
		err := run.Get(poll, into)
		ours := poll.Err() != nil && ctx.Err() == nil // the poll ended, the waiting did not
		timer.Stop()
		cancel()
		var closed *temporal.WorkflowExecutionError
		if err == nil || !ours || errors.As(err, &closed) {
			return err
		}
	}
}
