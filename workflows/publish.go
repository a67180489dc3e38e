package workflows

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// PublishTools puts the tools of an agent's process into the catalogue, and waits until the store
// has them. It fails only for a publication that can't be read.
func PublishTools(ctx workflow.Context, input converter.RawValue) (out approval.Published, err error) {
	var in approval.Publication
	if err := readPublication(input, &in); err != nil {
		return out, temporal.NewNonRetryableApplicationError("the publication can't be read: "+err.Error(),
			approval.CodeInvalid, nil)
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, MaximumInterval: 10 * time.Second,
		},
	})
	err = workflow.ExecuteActivity(ctx, steps.Publish, in).Get(ctx, &out)
	return out, err
}

func readPublication(input converter.RawValue, into *approval.Publication) error {
	p := payload(input)
	enc := string(p.GetMetadata()[converter.MetadataEncoding])
	switch {
	case enc != converter.MetadataEncodingJSON:
		return approval.Errorf(approval.CodeInvalid, "it must be JSON (%s), not %q",
			converter.MetadataEncodingJSON, approval.Display(enc, 40))
	case json.Unmarshal(p.GetData(), into) != nil:
		return errors.New("it is not JSON of the right form")
	}
	return nil
}
