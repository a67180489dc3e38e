// Package health looks whether what Pawl needs around it is there: Temporal, its namespace and
// search attributes, and workers that poll. The API's readiness, the worker's, `pawl doctor` and
// `pawl setup` all go by it.
package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// Alive is how long ago a worker may have polled at last. A poll waits for a minute at most, so a
// worker that lives has polled within that; Temporal itself remembers dead ones for five minutes.
const Alive = 90 * time.Second

// Attributes are the search attributes that a namespace should have. Calls do without those that
// are missing.
func Attributes() map[string]enums.IndexedValueType {
	return map[string]enums.IndexedValueType{
		approval.SearchStatus: enums.INDEXED_VALUE_TYPE_KEYWORD,
		approval.SearchTool:   enums.INDEXED_VALUE_TYPE_KEYWORD,
		approval.SearchAgent:  enums.INDEXED_VALUE_TYPE_KEYWORD,
	}
}

// MissingAttributes returns the names of Attributes that the namespace does not have, or has with
// another type, sorted.
func MissingAttributes(
	ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string,
) ([]string, error) {
	r := &operatorservice.ListSearchAttributesRequest{Namespace: namespace}
	answer, err := operator.ListSearchAttributes(ctx, r)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range []string{approval.SearchAgent, approval.SearchStatus, approval.SearchTool} {
		if answer.GetCustomAttributes()[name] != Attributes()[name] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

// Polled reports whether a worker polls the task queue for workflow tasks or activity tasks:
// whether one did within Alive.
func Polled(
	ctx context.Context, service workflowservice.WorkflowServiceClient,
	namespace, queue string, kind enums.TaskQueueType,
) (bool, error) {
	answer, err := service.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: queue}, TaskQueueType: kind,
	})
	if err != nil {
		return false, err
	}
	return Polls(answer.GetPollers()), nil
}

// Polls reports whether one of a task queue's pollers is alive, for those who ask Temporal
// themselves.
func Polls(pollers []*taskqueue.PollerInfo) bool {
	return slices.ContainsFunc(pollers, func(p *taskqueue.PollerInfo) bool {
		return time.Since(p.GetLastAccessTime().AsTime()) < Alive
	})
}

// Namespace returns an error that wraps ErrMissing if Temporal does not know the namespace, another
// if it does not say.
func Namespace(ctx context.Context, service workflowservice.WorkflowServiceClient, namespace string) error {
	_, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if errors.As(err, new(*serviceerror.NamespaceNotFound)) || errors.As(err, new(*serviceerror.NotFound)) {
		return fmt.Errorf("namespace: %w", ErrMissing)
	}
	return err
}

// SearchAttributes returns an error that wraps ErrMissing, and names them, if MissingAttributes
// finds any.
func SearchAttributes(
	ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string,
) error {
	missing, err := MissingAttributes(ctx, operator, namespace)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("search attributes %s: %w", strings.Join(missing, ", "), ErrMissing)
	}
	return err
}

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
