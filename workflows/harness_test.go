package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/workflows"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const rules = `
rules:
  - tool: read
    auto_approve: true
  - tool: odd
    auto_approve: true
  - tool: send
    require_approval: true
    timeout: 60s
    risk_level: high
    redact_fields: [secret]
  - tool: sign
    decisions: signed
    timeout: 60s
    redact_fields: [secret]
  - tool: two
    approvals: 2
    decisions: any
    timeout: 60s
  - tool: teams
    approvals: [{group: finance}, {group: security}]
    timeout: 60s
`

// harness runs GuardedCall in Temporal's test environment, with the real activities, policy, tools
// and store.
type harness struct {
	*testsuite.TestWorkflowEnvironment
	t     *testing.T
	store *sqlite.Store
	acts  *activities.Activities
	runs  atomic.Int32 // of the tool
	fail  error        // what the tool answers instead
	odd   string       // what the tool "odd" answers
}

type toolArgs struct {
	To     string `json:"to"`
	Secret string `json:"secret,omitempty"`
}

func setup(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t}
	h.store = openStore(t)
	set, err := policy.Compile(policy.File{Name: "test.yaml", Data: []byte(rules)})
	if err != nil {
		t.Fatal(err)
	}
	var tools []*tool.Tool
	for _, name := range []string{"read", "send", "sign", "two", "teams"} {
		tools = append(tools, mustTool(tool.New(name, func(_ context.Context, in toolArgs) (map[string]string, error) {
			h.runs.Add(1)
			return map[string]string{"sent": in.To, "echo": in.Secret}, h.fail
		}, tool.Options{})))
	}
	tools = append(tools, mustTool(tool.New("retry", func(_ context.Context, in toolArgs) (int32, error) {
		if n := h.runs.Add(1); n == 2 && h.fail != nil {
			return n, h.fail
		} else if n < 3 {
			return n, tool.Unknown(errors.New("connection lost"))
		}
		return 3, nil
	}, tool.Options{Idempotent: true})))
	tools = append(tools, mustTool(tool.New("odd", func(context.Context, toolArgs) (json.RawMessage, error) {
		h.runs.Add(1)
		return json.RawMessage(h.odd), nil
	}, tool.Options{})))
	registry, err := tool.NewRegistry(tools...)
	if err != nil {
		t.Fatal(err)
	}
	h.acts = &activities.Activities{Decisions: approval.DecisionsAny, Store: h.store, StoreID: storeID, Policy: set, Tools: registry, Logger: slog.New(slog.DiscardHandler)}
	h.again("call-1")
	return h
}

// again makes a fresh run over the same store, as a reset or a start after retention would.
func (h *harness) again(id string) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	h.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	h.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: approval.TaskQueue})
	h.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 5 * time.Second}) // as package worker has it
	h.RegisterWorkflowWithOptions(workflows.GuardedCall, workflow.RegisterOptions{Name: approval.WorkflowType})
	h.RegisterActivity(h.acts)
	h.SetTestTimeout(20 * time.Second)
}

func (h *harness) call(doc string) approval.Outcome {
	h.t.Helper()
	h.ExecuteWorkflow(approval.WorkflowType, json.RawMessage(doc))
	return h.outcome()
}

func (h *harness) outcome() approval.Outcome {
	h.t.Helper()
	if !h.IsWorkflowCompleted() {
		h.t.Fatal("the workflow did not end")
	}
	var out approval.Outcome
	if err := h.GetWorkflowResult(&out); err != nil {
		h.t.Fatalf("the workflow failed, which it never may: %v", err)
	}
	record, err := h.store.Call(context.Background(), out.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	if record.View.Status != out.Status && (out.Error == nil || out.Error.Code != approval.CodeConflict) {
		h.t.Errorf("the store says %s, the workflow %s", record.View.Status, out.Status)
	}
	return out
}

func (h *harness) state() approval.State {
	h.t.Helper()
	v, err := h.QueryWorkflow(approval.QueryState)
	if err != nil {
		h.t.Fatal(err)
	}
	var s approval.State
	if err := v.Get(&s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *harness) after(d time.Duration, f func()) { h.RegisterDelayedCallback(f, d) }

// want checks an outcome's status, code and how often the tool has run.
func (h *harness) want(out approval.Outcome, status approval.Status, code string, runs int32) {
	h.t.Helper()
	got := ""
	if out.Error != nil {
		got = out.Error.Code
	}
	if out.Status != status || got != code || h.runs.Load() != runs {
		h.t.Errorf("ended %s/%s after %d runs, want %s/%s after %d (%+v)", out.Status, got, h.runs.Load(), status, code, runs, out)
	}
}

func (h *harness) answered(id string, want approval.AnswerOutcome) {
	h.t.Helper()
	a, ok := h.state().Find(id)
	if !ok || a.Outcome != want {
		h.t.Errorf("decision %s: %q (known: %v), want %q", id, a.Outcome, ok, want)
	}
}

func (h *harness) kinds(id string) []audit.Kind {
	h.t.Helper()
	page, err := h.store.Entries(context.Background(), store.EntryQuery{Subject: id})
	if err != nil {
		h.t.Fatal(err)
	}
	var kinds []audit.Kind
	for _, e := range page.Items {
		if err := e.Check(); err != nil {
			h.t.Error(err)
		}
		if strings.Contains(string(e.Payload), "hunter2") {
			h.t.Errorf("a secret shows in the entry %s: %s", e.Step, e.Payload)
		}
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func openStore(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustTool(t *tool.Tool, err error) *tool.Tool {
	if err != nil {
		panic(err)
	}
	return t
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

const sendDoc = `{"tool":"send","args":{"to":"ann","secret":"hunter2"},"reason":"with hunter2"}`

func signal(id, reviewer string) approval.DecisionSignal {
	return approval.DecisionSignal{DecisionID: id, Reviewer: reviewer, Channel: "api"}
}

func equal(t *testing.T, got, want []audit.Kind) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("entries %v, want %v", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("entries %v, want %v", got, want)
			return
		}
	}
}

func policyOf(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, err := policy.Compile(policy.File{Name: "test.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// activities is where somebody schedules steps by hand.
func (h *harness) activities() *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(h.acts)
	return env
}
