package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// TestReplay runs the workflow's code over recorded histories: a change that calls waiting at an
// upgrade could not follow fails here. The code is changed then, with workflow.GetVersion, and
// never the history.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil {
		t.Fatal(err)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(workflows.GuardedCall, workflow.RegisterOptions{Name: approval.WorkflowType})
	seen := map[approval.Status]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			doc, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer doc.Close()
			history, err := client.HistoryFromJSON(doc, client.HistoryJSONOptions{})
			if err != nil {
				t.Fatal(err)
			}
			start := history.Events[0].GetWorkflowExecutionStartedEventAttributes()
			err = replayer.ReplayWorkflowHistoryWithOptions(quiet{}, history, worker.ReplayWorkflowHistoryOptions{
				// Signed decisions name the call.
				OriginalExecution: workflow.Execution{ID: start.GetWorkflowId(), RunID: start.GetOriginalExecutionRunId()},
			})
			if err != nil {
				t.Errorf("%v\nCalls that wait at an upgrade could not go on: let a change take effect by workflow.GetVersion only", err)
			}
		})
		for _, s := range approval.Statuses {
			if slug := strings.ReplaceAll(string(s), "_", "-"); strings.HasPrefix(name, slug) {
				seen[s] = true
			}
		}
	}
	for _, s := range approval.Statuses {
		if s.Ended() && !seen[s] {
			t.Errorf("no history ends %s", s)
		}
	}
}
