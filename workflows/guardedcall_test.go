package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/workflows"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

func TestAllowedRunsAtOnce(t *testing.T) {
	h := setup(t)
	out := h.call(`{"tool":"read","args":{"to":"x"}}`)
	h.want(out, approval.StatusExecuted, "", 1)
	if string(out.Result) != `{"echo":"","sent":"x"}` || out.Decision.Kind != approval.FinalAllow {
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
	if d := out.Decision; d.Kind != approval.FinalApprove || d.By != "ana" || d.Authenticated || d.Channel != "temporal" {
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
