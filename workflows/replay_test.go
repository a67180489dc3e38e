package workflows_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// TestReplay runs the workflow's code over recorded histories: a change that
// calls waiting at an upgrade could not follow fails here.
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
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(quiet{}, file); err != nil {
				t.Errorf("%v\nIf the change is meant, record the histories anew with `make record` (only before release 0.1)", err)
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
