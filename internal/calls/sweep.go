package calls

import (
	"context"
	"strings"

	"go.temporal.io/api/workflowservice/v1"
)

// MaxSweep bounds one Sweep. An ID is some 30 bytes, and the query has to stay a size that every
// visibility store takes.
const MaxSweep = 200

// Sweep looks at up to MaxSweep calls at once: which seem to have ended, and which are not to be
// seen. It may lag behind. Errors: *Error.
func (c *Client) Sweep(ctx context.Context, ids []string) (ended, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	quoted := make([]string, 0, len(ids))
	for _, id := range ids {
		if !strings.ContainsAny(id, "'\"\\`") { // never one of Pawl's; it can't be asked for in a list
			quoted = append(quoted, "'"+id+"'")
		}
	}
	open := map[string]bool{} // by the IDs that were seen
	for page := []byte(nil); len(quoted) > 0; {
		r, err := c.o.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowId IN (" + strings.Join(quoted, ",") + ")", PageSize: 2 * MaxSweep, NextPageToken: page,
		})
		if err != nil {
			return nil, nil, Classify(err)
		}
		for _, e := range r.GetExecutions() {
			id := e.GetExecution().GetWorkflowId()
			open[id] = open[id] || IsOpen(e.GetStatus())
		}
		if page = r.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	for _, id := range ids {
		switch open, seen := open[id]; {
		case !seen:
			missing = append(missing, id)
		case !open:
			ended = append(ended, id)
		}
	}
	return ended, missing, nil
}
