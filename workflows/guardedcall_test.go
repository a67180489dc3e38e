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
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/workflows"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
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
	for _, name := range []string{"read", "send", "sign", "teams"} {
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
	h.acts = &activities.Activities{Store: h.store, StoreID: storeID, Policy: set, Tools: registry, Logger: slog.New(slog.DiscardHandler)}
	h.again("call-1")
	return h
}

// again makes a fresh run over the same store, as a reset or a start after retention would.
func (h *harness) again(id string) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	h.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	h.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: approval.TaskQueue})
	h.SetWorkerOptions(worker.Options{})
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

func TestAllowedRunsAtOnce(t *testing.T) {
	h := setup(t)
	out := h.call(`{"tool":"read","args":{"to":"x"}}`)
	h.want(out, approval.StatusExecuted, "", 1)
	if string(out.Result) != `{"echo":"","sent":"x"}` || out.Decision.Kind != approval.SettledAllow {
		t.Errorf("%s %+v", out.Result, out.Decision)
	}
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindClaimed, audit.KindStarted, audit.KindEnded})
}

func TestAllowedRunsAtOnceWithOrdinarySteps(t *testing.T) {
	h := setup(t)
	h.acts.Ordinary = true
	var ordinary atomic.Int32
	h.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { ordinary.Add(1) })
	h.want(h.call(`{"tool":"read","args":{"to":"x"}}`), approval.StatusExecuted, "", 1)
	if ordinary.Load() != 3 {
		t.Errorf("%d ordinary activities, want Admit, Execute and Record", ordinary.Load())
	}
}

func TestApproved(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		s := h.state()
		if s.Status != approval.StatusPending || s.Deadline == nil || s.Requirement == nil || s.Risk != approval.RiskHigh {
			t.Errorf("pending state: %+v", s.View)
		}
		if strings.Contains(string(s.Args), "hunter2") || strings.Contains(s.Reason, "hunter2") {
			t.Errorf("the secret shows: %s %s", s.Args, s.Reason)
		}
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "d1", Reviewer: "ana", Notes: "fine, hunter2", Digest: s.Digest})
	})
	out := h.call(sendDoc)
	h.want(out, approval.StatusExecuted, "", 1)
	if string(out.Result) != `{"echo":"hunter2","sent":"ann"}` {
		t.Errorf("the caller must get the raw result, got %s", out.Result)
	}
	if d := out.Decision; d.Kind != approval.SettledApprove || d.By != "ana" || d.Authenticated || d.Channel != "temporal" {
		t.Errorf("decision %+v", d)
	}
	h.answered("d1", approval.AnswerResolved)
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindStarted, audit.KindEnded})
	record, _ := h.store.Call(context.Background(), "call-1")
	if doc, _ := json.Marshal(record.View); strings.Contains(string(doc), "hunter2") {
		t.Errorf("the secret is in the store: %s", doc)
	}
	if len(record.View.Votes) != 1 {
		t.Errorf("votes in the store: %+v", record.View.Votes)
	}
}

func TestRejected(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalReject, approval.DecisionSignal{DecisionID: "d1", Reviewer: "bo", Notes: "not today"})
	})
	out := h.call(sendDoc)
	h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
	if out.Error.Message != "bo rejected the call: not today" {
		t.Errorf("message %q", out.Error.Message)
	}
	equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindEnded})
}

func TestSilenceIsDenial(t *testing.T) {
	h := setup(t)
	start := h.Now()
	out := h.call(sendDoc)
	h.want(out, approval.StatusExpired, approval.CodeExpired, 0)
	if waited := h.Now().Sub(start); waited < 59*time.Second || waited > 2*time.Minute {
		t.Errorf("waited %v", waited)
	}
}

func TestCallShortensTheTimeout(t *testing.T) {
	h := setup(t)
	start := h.Now()
	h.want(h.call(`{"tool":"send","args":{"to":"x"},"timeout":"5s"}`), approval.StatusExpired, approval.CodeExpired, 0)
	if waited := h.Now().Sub(start); waited > 10*time.Second {
		t.Errorf("waited %v", waited)
	}
}

func TestBlocked(t *testing.T) {
	for name, tc := range map[string]struct{ doc, code, message string }{
		"unknown tool":  {`{"tool":"nope"}`, approval.CodeUnknownTool, "no worker offers"},
		"bad arguments": {`{"tool":"send","args":{"to":7,"secret":"hunter2"}}`, approval.CodeBadArguments, "/to"},
		"not a call":    {`{"tool":"send","require_aproval":true}`, approval.CodeInvalid, "unknown field"},
		"no object":     {`"send"`, approval.CodeInvalid, "must be a JSON object"},
		"nothing":       {`null`, approval.CodeInvalid, "must be a JSON object"},
		"not a tool":    {`{"tool":"a b"}`, approval.CodeInvalid, "not a tool name"},
	} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			out := h.call(tc.doc)
			h.want(out, approval.StatusBlocked, tc.code, 0)
			if !strings.Contains(out.Error.Message, tc.message) || strings.Contains(out.Error.Message, "hunter2") {
				t.Errorf("message %q", out.Error.Message)
			}
			equal(t, h.kinds("call-1"), []audit.Kind{audit.KindBlocked})
		})
	}
	t.Run("no input at all", func(t *testing.T) {
		h := setup(t)
		h.ExecuteWorkflow(approval.WorkflowType)
		h.want(h.outcome(), approval.StatusBlocked, approval.CodeInvalid, 0)
	})
	t.Run("bytes instead of JSON", func(t *testing.T) {
		h := setup(t)
		h.ExecuteWorkflow(approval.WorkflowType, []byte(sendDoc))
		h.want(h.outcome(), approval.StatusBlocked, approval.CodeInvalid, 0)
	})
}

func TestToolEnds(t *testing.T) {
	approve := func(h *harness) {
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
	}
	t.Run("says so itself", func(t *testing.T) {
		h := setup(t)
		h.fail = errors.New("mailbox of hunter2 is full")
		approve(h)
		out := h.call(sendDoc)
		h.want(out, approval.StatusFailed, approval.CodeToolFailed, 1)
		if !strings.Contains(out.Error.Message, "mailbox of hunter2") {
			t.Errorf("the caller must get the raw text, got %q", out.Error.Message)
		}
		record, _ := h.store.Call(context.Background(), "call-1")
		if strings.Contains(record.View.Error.Message, "hunter2") {
			t.Errorf("the store has the secret: %q", record.View.Error.Message)
		}
		h.kinds("call-1")
	})
	t.Run("unknown", func(t *testing.T) {
		h := setup(t)
		h.fail = tool.Unknown(errors.New("connection lost after sending"))
		approve(h)
		h.want(h.call(sendDoc), approval.StatusOutcomeUnknown, approval.CodeUnknown, 1)
	})
	t.Run("idempotent tools are tried again", func(t *testing.T) {
		h := setup(t)
		approve(h)
		h.want(h.call(`{"tool":"retry","args":{"to":"x"}}`), approval.StatusExecuted, "", 3)
	})
	t.Run("a second attempt that failed leaves the first unknown", func(t *testing.T) {
		h := setup(t)
		h.fail = errors.New("mailbox full")
		approve(h)
		h.want(h.call(`{"tool":"retry","args":{"to":"x"}}`), approval.StatusOutcomeUnknown, approval.CodeUnknown, 2)
	})
	for kind, want := range map[string]struct {
		err    error
		status approval.Status
		code   string
	}{
		"never started":   {temporal.NewTimeoutError(workflows.ScheduleToStart, nil), approval.StatusExpired, approval.CodeExpired},
		"worker lost":     {temporal.NewHeartbeatTimeoutError(), approval.StatusOutcomeUnknown, approval.CodeUnknown},
		"too slow":        {temporal.NewTimeoutError(workflows.StartToClose, nil), approval.StatusOutcomeUnknown, approval.CodeUnknown},
		"another error":   {errors.New("surprise"), approval.StatusOutcomeUnknown, approval.CodeUnknown},
		"other digest":    {temporal.NewNonRetryableApplicationError("m", approval.CodeDigest, nil), approval.StatusFailed, approval.CodeDigest},
		"cancelled":       {temporal.NewCanceledError(), approval.StatusOutcomeUnknown, approval.CodeUnknown},
		"already started": {temporal.NewNonRetryableApplicationError("m", approval.CodeAlreadyRan, nil), approval.StatusOutcomeUnknown, approval.CodeAlreadyRan},
	} {
		t.Run(kind, func(t *testing.T) {
			h := setup(t)
			approve(h)
			h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).Return(nil, want.err)
			h.want(h.call(sendDoc), want.status, want.code, 0)
		})
	}
}

// A worker that lacks the key to a call's payloads runs nothing, so another one gets the call as
// long as its approval is good.
func TestToolOfAWorkerWithoutTheKey(t *testing.T) {
	lacks := temporal.NewApplicationError("no key", codec.KeyMissing)
	t.Run("another one has it", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
		h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).Return(nil, lacks).Times(3)
		h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).Return(h.acts.Execute).Once()
		h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	})
	t.Run("none has it", func(t *testing.T) {
		h := setup(t)
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, nil) })
		h.OnActivity(h.acts.Execute, mock.Anything, mock.Anything).Return(nil, lacks)
		h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	})
}

// A tool may answer anything that is JSON: it ran, and that is recorded.
func TestOddResultsAreRecorded(t *testing.T) {
	for _, odd := range []string{`{"m":"\ud83d \"x\" y"}`, `{"a":1,"a":2}`, `9007199254740993`, `1e400`, `"\u0000"`, `"\ud800"`, `[]`} {
		h := setup(t)
		h.odd = odd
		out := h.call(`{"tool":"odd","args":{"to":"x"}}`)
		h.want(out, approval.StatusExecuted, "", 1)
		if string(out.Result) != odd {
			t.Errorf("the caller gets %s for %s", out.Result, odd)
		}
		equal(t, h.kinds("call-1"), []audit.Kind{audit.KindRequested, audit.KindClaimed, audit.KindStarted, audit.KindEnded})
	}
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
