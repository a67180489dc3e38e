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
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
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
