package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/runner"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const callID = "default-test-workflow-id" // what the test environment calls its workflow

var digest = strings.Repeat("ab", 32)

func header(t *testing.T, fields map[string]any) *commonpb.Header {
	t.Helper()
	h := &commonpb.Header{Fields: map[string]*commonpb.Payload{}}
	for k, v := range fields {
		p, err := converter.GetDefaultDataConverter().ToPayload(v)
		if err != nil {
			t.Fatal(err)
		}
		h.Fields[k] = p
	}
	return h
}

// schedule runs a workflow, of the type GuardedCall or another, that does what Pawl's does: it
// schedules the tool as an activity with the call in a header.
func schedule(t *testing.T, workflowType string, fields map[string]any, run func(context.Context, Task) (json.RawMessage, error), args ...any) (result json.RawMessage, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&headers{}, &sender{h: header(t, fields)}}})
	env.RegisterWorkflowWithOptions(func(ctx workflow.Context) (out json.RawMessage, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: runner.HeartbeatTimeout, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		err = workflow.ExecuteActivity(ctx, "refund", args...).Get(ctx, &out)
		return out, err
	}, workflow.RegisterOptions{Name: workflowType})
	register(env, run)
	env.ExecuteWorkflow(workflowType)
	if err := env.GetWorkflowError(); err != nil {
		return nil, err
	}
	return result, env.GetWorkflowResult(&result)
}

type sender struct {
	interceptor.WorkerInterceptorBase
	h *commonpb.Header
}

func (s *sender) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &senderInbound{WorkflowInboundInterceptorBase: interceptor.WorkflowInboundInterceptorBase{Next: next}, h: s.h}
}

type senderInbound struct {
	interceptor.WorkflowInboundInterceptorBase
	h *commonpb.Header
}

func (s *senderInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return s.Next.Init(&senderOutbound{WorkflowOutboundInterceptorBase: interceptor.WorkflowOutboundInterceptorBase{Next: next}, h: s.h})
}

type senderOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	h *commonpb.Header
}

func (s *senderOutbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	for k, v := range s.h.Fields {
		interceptor.WorkflowHeader(ctx)[k] = v
	}
	return s.Next.ExecuteActivity(ctx, name, args...)
}

func fromPawl() map[string]any {
	return map[string]any{approval.HeaderCallID: callID, approval.HeaderDigest: digest}
}

func TestTasksOfPawl(t *testing.T) {
	got, err := schedule(t, approval.WorkflowType, fromPawl(), func(_ context.Context, task Task) (json.RawMessage, error) {
		if task.Tool != "refund" || task.CallID != callID || task.Digest != digest || string(task.Args) != `{"a":1}` || task.Attempt != 1 {
			t.Errorf("%+v", task)
		}
		return json.RawMessage(`{"ok":true}`), nil
	}, json.RawMessage(`{"a":1}`))
	if err != nil || string(got) != `{"ok":true}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTasksOfOthersDoNotRun(t *testing.T) {
	without := func(key string, value any) map[string]any {
		fields := fromPawl()
		if delete(fields, key); value != nil {
			fields[key] = value
		}
		return fields
	}
	for name, c := range map[string]struct {
		workflow string
		fields   map[string]any
		args     []any
	}{
		"no header":          {approval.WorkflowType, nil, []any{json.RawMessage(`{}`)}},
		"no call":            {approval.WorkflowType, without(approval.HeaderCallID, nil), []any{json.RawMessage(`{}`)}},
		"no digest":          {approval.WorkflowType, without(approval.HeaderDigest, nil), []any{json.RawMessage(`{}`)}},
		"another call":       {approval.WorkflowType, without(approval.HeaderCallID, "pawl-2"), []any{json.RawMessage(`{}`)}},
		"call is a number":   {approval.WorkflowType, without(approval.HeaderCallID, 7), []any{json.RawMessage(`{}`)}},
		"digest is none":     {approval.WorkflowType, without(approval.HeaderDigest, "abc"), []any{json.RawMessage(`{}`)}},
		"another workflow":   {"Handmade", fromPawl(), []any{json.RawMessage(`{}`)}},
		"no arguments":       {approval.WorkflowType, fromPawl(), nil},
		"arguments are null": {approval.WorkflowType, fromPawl(), []any{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			ran := false
			_, err := schedule(t, c.workflow, c.fields, func(_ context.Context, task Task) (json.RawMessage, error) {
				ran = name != "arguments are null" // the tool's own schema refuses those
				return nil, runner.Ended(approval.CodeToolFailed, "nothing ran")
			}, c.args...)
			var app *temporal.ApplicationError
			if ran || !errors.As(err, &app) || app.Type() != approval.CodeToolFailed || !strings.Contains(runner.Text(app), "nothing ran") ||
				strings.Contains(err.Error(), "hunter2") || strings.Contains(runner.Text(app), "hunter2") {
				t.Errorf("ran %t, %v", ran, err)
			}
		})
	}
}
