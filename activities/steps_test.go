package activities_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/sdk/testsuite"
)

// A worker registers every method, and whoever may write to its namespace may schedule each: so all
// must be steps that trust the store alone.
func TestOnlyStepsCanBeScheduled(t *testing.T) {
	steps := []string{
		"Admit", "AnswerTimes", "CallerState", "Claim", "Execute", "JudgeAndClaim", "Keys", "Publish", "Record", "RecordVotes", "Refuse",
		"Report",
	}
	var methods []string
	for m := range reflect.TypeFor[*activities.Activities]().Methods() {
		methods = append(methods, m.Name)
	}
	if !slices.Equal(methods, steps) {
		t.Errorf("a worker offers %v, want %v: whoever may write to its namespace may schedule each", methods, steps)
	}
}

// What an API does for callers, it does for those who are allowed to ask.
func TestCallersPartsCantBeScheduled(t *testing.T) {
	start := approval.HashStartID("start-of-an-attacker")
	tools := []store.OwnTool{{Name: "bash", Description: "harmless"}}
	for name, args := range map[string][]any{
		"StartCaller": {"c1", approval.Call{Tool: "bash"}, start, approval.Actor{By: "ana"}},
		"ReportLate":  {"c1", approval.Call{Tool: "bash"}, approval.SentReport{ReportSignal: approval.ReportSignal{StartID: "start-of-an-attacker"}}},
		"OfferOwn":    {"coder", tools},
		"Settle":      {"c1", approval.Call{Tool: "bash"}, audit.Settled{Settled: approval.Settled{By: "ana", Notes: "forged"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivity(b.acts)
			defer func() {
				if recover() == nil {
					t.Error("it was scheduled")
				}
			}()
			if _, err := env.ExecuteActivity(name, args...); err != nil {
				panic(err)
			}
		})
	}
}
