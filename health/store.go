package health

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// ErrOtherStore: the calls of the task queue are kept in another store. With this one they could be
// judged anew, and their tools run again.
var ErrOtherStore = errors.New("the task queue's calls are kept in another store")

// ErrUnreadable: this process and the workers of the task queue do not encrypt payloads alike.
var ErrUnreadable = errors.New("this process can't read what the task queue's workers write: " +
	"all need the same keyring (--payload-keys, PAWL_PAYLOAD_KEYS), or none")

// Describer looks at workflows; a client.Client is one.
type Describer interface {
	DescribeWorkflow(ctx context.Context, workflowID, runID string) (*client.WorkflowExecutionDescription, error)
}

// SameStore looks whether a task queue's calls are kept in the store with this ID. Nobody may have
// begun to keep any: then they are. Errors: ErrOtherStore, ErrUnreadable, and what Temporal says.
func SameStore(ctx context.Context, temporal Describer, queue, id string) error {
	theirs, kept, err := keptIn(ctx, temporal, queue)
	switch {
	case err != nil:
		return err
	case kept && theirs != id:
		return fmt.Errorf("%w: those of %q in %.8s…, this is %.8s…. "+
			"Use the store that they started with, or another task queue. If that store is gone for good, "+
			"terminate the workflow %s in Temporal: calls that wait can't continue as they were",
			ErrOtherStore, queue, approval.Display(theirs, 40), id, approval.StoreWorkflowID(queue))
	}
	return nil
}

// SamePayloads looks whether this process reads what the workers of a task queue write. Where no
// worker has been yet, it does. Errors: ErrUnreadable, and what Temporal says.
func SamePayloads(ctx context.Context, temporal Describer, queue string) error {
	_, _, err := keptIn(ctx, temporal, queue)
	return err
}

// keptIn returns the ID of the store that the queue's calls are kept in, if there is one.
func keptIn(ctx context.Context, temporal Describer, queue string) (id string, kept bool, err error) {
	d, err := temporal.DescribeWorkflow(ctx, approval.StoreWorkflowID(queue), "")
	var unknown *serviceerror.NotFound
	switch {
	case errors.As(err, &unknown):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("looking up the task queue's store: %w", err)
	case !calls.IsOpen(d.Status):
		return "", false, nil
	}
	if err := d.GetMemoValue(approval.MemoStore, &id); err != nil {
		return "", false, fmt.Errorf("looking up the task queue's store: %w: %w", ErrUnreadable, err)
	}
	return id, true, nil
}
