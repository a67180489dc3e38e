package workflows

import (
	"cmp"
	"encoding/json"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// callID is the workflow's ID, or why a call can't have it and how it is written then.
func callID(ctx workflow.Context) (string, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	err := approval.CheckID(id)
	if err == nil || workflow.GetVersion(ctx, "printable-ids", workflow.DefaultVersion, 1) < 1 {
		return id, nil
	}
	return approval.EscapeID(id), err
}

func parseInput(input converter.RawValue) (approval.Call, error) {
	p := payload(input)
	if p == nil {
		return approval.Call{}, approval.Errorf(approval.CodeInvalid,
			"the workflow was started without a call: give {\"tool\": …, \"args\": {…}} as input")
	}
	if enc := string(p.GetMetadata()[converter.MetadataEncoding]); enc != converter.MetadataEncodingJSON {
		return approval.Call{}, approval.Errorf(approval.CodeInvalid, "the call must be JSON (%s), not %q",
			converter.MetadataEncodingJSON, approval.Display(enc, 40))
	}
	return approval.ParseCall(p.GetData())
}

// parseVia reads how the starter asked. It is only a note: what is not one is left out.
func parseVia(input converter.RawValue) (via approval.Via) {
	doc := payload(input).GetData()
	if json.Unmarshal(doc, &via) != nil ||
		cmp.Or(approval.CheckName("channel", via.Channel), approval.CheckName("method", via.Method)) != nil {
		return approval.Via{}
	}
	return via
}
