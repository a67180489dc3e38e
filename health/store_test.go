package health_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pawlhq/pawl/health"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// keeper is the workflow that says which store keeps a task queue's calls; it has no memo that
// could be read.
type keeper enums.WorkflowExecutionStatus

func (k keeper) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	if k == 0 {
		return nil, serviceerror.NewNotFound("")
	}
	d := &client.WorkflowExecutionDescription{}
	d.Status = enums.WorkflowExecutionStatus(k)
	return d, nil
}

func TestOnlyOpenKeepersCount(t *testing.T) {
	for status, want := range map[enums.WorkflowExecutionStatus]error{
		0: nil, enums.WORKFLOW_EXECUTION_STATUS_TERMINATED: nil, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED: nil,
		enums.WORKFLOW_EXECUTION_STATUS_RUNNING: health.ErrUnreadable, enums.WORKFLOW_EXECUTION_STATUS_PAUSED: health.ErrUnreadable,
	} {
		if err := health.SameStore(t.Context(), keeper(status), "pawl", "id"); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", status, err, want)
		}
	}
}
