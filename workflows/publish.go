package workflows

import (
	"time"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// PublishTools puts the tools of an agent's process into the catalogue, and
// waits until the store has them. It fails only for a publication that can't
// be read.
func PublishTools(ctx workflow.Context, in approval.Publication) (out approval.Published, err error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 200 * time.Millisecond, MaximumInterval: 10 * time.Second},
	})
	err = workflow.ExecuteActivity(ctx, steps.Publish, in).Get(ctx, &out)
	return out, err
}
