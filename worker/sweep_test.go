package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// closedRuns is a Temporal whose listed runs were all closed from outside. It does not describe the
// one that is hidden.
type closedRuns struct {
	client.Client
	ids    []string
	hidden string
	open   map[string]enums.WorkflowExecutionStatus // whose latest run is open again, and how
	looks  []string
}

func (c *closedRuns) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	var r workflowservice.ListWorkflowExecutionsResponse
	for _, id := range c.ids {
		r.Executions = append(r.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "run-" + id}})
	}
	return &r, nil
}

func (c *closedRuns) DescribeWorkflow(_ context.Context, id, _ string) (*client.WorkflowExecutionDescription, error) {
	c.looks = append(c.looks, id)
	if id == c.hidden {
		return nil, serviceerror.NewUnavailable("its shard moves")
	}
	d := &client.WorkflowExecutionDescription{}
	closed := time.Now()
	d.Status, d.WorkflowExecution.RunID = enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, "run-"+id
	d.WorkflowType.Name, d.WorkflowCloseTime = approval.WorkflowType, &closed
	if status, ok := c.open[id]; ok {
		d.Status, d.WorkflowCloseTime = status, nil
	}
	return d, nil
}

// A call that can't be looked at holds up no other, and is not forgotten.
func TestSweepGoesOnPastTrouble(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	deadline := time.Now().Add(time.Hour)
	for _, id := range []string{"a", "b", "c", "paused", "reset"} {
		if _, _, err := s.Admit(t.Context(), store.AdmitParams{
			View: approval.View{ID: id, Tool: "search", Digest: "digest", Args: json.RawMessage("{}"), Status: approval.StatusPending,
				CreatedAt: time.Now(), Deadline: &deadline},
			Verdict: approval.Verdict{Kind: approval.VerdictRequire}, Run: "run-" + id, IsRequest: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
	temporal := &closedRuns{ids: []string{"a", "elsewhere", "b", "c", "paused", "reset"}, hidden: "a",
		open: map[string]enums.WorkflowExecutionStatus{
			"paused": enums.WORKFLOW_EXECUTION_STATUS_PAUSED, "reset": enums.WORKFLOW_EXECUTION_STATUS_RUNNING,
		}}
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	status := func(id string) approval.Status {
		r, err := s.Call(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r.View.Status
	}
	if err := w.sweep(t.Context()); err == nil {
		t.Error("the trouble is not told")
	}
	if status("a") != approval.StatusPending || status("b") != approval.StatusCancelled || status("c") != approval.StatusCancelled {
		t.Errorf("a is %s, b %s, c %s", status("a"), status("b"), status("c"))
	}
	if status("paused") != approval.StatusPending || status("reset") != approval.StatusPending {
		t.Errorf("a call whose workflow goes on was ended: paused is %s, reset %s", status("paused"), status("reset"))
	}
	temporal.hidden, temporal.looks = "", nil
	if err := w.sweep(t.Context()); err != nil || status("a") != approval.StatusCancelled || len(temporal.looks) != 1 {
		t.Errorf("a is %s, %v after looks at %v", status("a"), err, temporal.looks)
	}
}
