package workflows

import "go.temporal.io/sdk/workflow"

// KeepStore is approval.WorkflowStore: it runs until somebody ends it.
func KeepStore(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return false })
}
