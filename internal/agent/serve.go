package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
)

// Serve implements Backend: an activity-only worker.
func (t *Temporal) Serve(ctx context.Context, o ServeOptions) (func(), error) {
	// Starting a worker can't be given up half-way, so ask first.
	if _, err := t.client.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return nil, calls.Classify(err)
	}
	tasks, cutOff := context.WithCancel(context.Background())
	w := worker.New(t.client, o.Queue, worker.Options{
		DisableWorkflowWorker:              true,
		MaxConcurrentActivityExecutionSize: o.Running,
		WorkerStopTimeout:                  o.Drain + reportTime,
		OnFatalError:                       o.Died,
		Interceptors:                       []interceptor.WorkerInterceptor{&headers{}},
	})
	register(w, func(ctx context.Context, task Task) (json.RawMessage, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(tasks, cancel)()
		return o.Run(ctx, task)
	})
	if err := w.Start(); err != nil {
		cutOff()
		return nil, calls.Classify(err)
	}
	return func() {
		drained := time.AfterFunc(o.Drain, cutOff)
		w.Stop()
		drained.Stop()
		cutOff()
	}, nil
}

// reportTime is how long a run that was cut off may take to report that its end is unknown. Once a
// worker has stopped, the SDK turns every answer, results too, into an ordinary failure, which
// would look like the tool's own.
const reportTime = 5 * time.Second

// register dispatches by the activity's name, so that tools may be guarded while the worker runs.
func register(r worker.ActivityRegistry, run func(context.Context, Task) (json.RawMessage, error)) {
	r.RegisterDynamicActivity(func(ctx context.Context, input converter.EncodedValues) (json.RawMessage, error) {
		task, err := taskOf(ctx, input)
		if err != nil {
			return nil, runner.Ended(approval.CodeToolFailed, "nothing ran: "+err.Error())
		}
		defer runner.Heartbeat(ctx)()
		result, err := run(ctx, task)
		if errors.Is(context.Cause(ctx), worker.ErrWorkerShutdown) {
			// It is too late to answer. Without an answer Temporal takes the run for lost, which it is.
			return nil, activity.ErrResultPending
		}
		return result, err
	}, activity.DynamicRegisterOptions{})
}

// taskOf reads what Pawl's workflow sent, and refuses what somebody else scheduled here, by
// accident or by hand.
func taskOf(ctx context.Context, input converter.EncodedValues) (Task, error) {
	info := activity.GetInfo(ctx)
	header, _ := ctx.Value(headerKey{}).(map[string]*commonpb.Payload)
	task := Task{Attempt: int(info.Attempt), Invocation: tool.Invocation{Tool: info.ActivityType.Name}}
	fields := map[string]*string{approval.HeaderCallID: &task.CallID, approval.HeaderDigest: &task.Digest}
	for key, into := range fields {
		p, ok := header[key]
		if !ok {
			return Task{}, fmt.Errorf("the task has no header %s, so it is not from Pawl", key)
		}
		if converter.GetDefaultDataConverter().FromPayload(p, into) != nil || *into == "" {
			return Task{}, fmt.Errorf("the task's header %s is not a JSON string", key)
		}
	}
	if task.CallID != info.WorkflowExecution.ID ||
		info.WorkflowType == nil || info.WorkflowType.Name != approval.WorkflowType {
		return Task{}, fmt.Errorf("the task does not come from the workflow of the call that its header %s names",
			approval.HeaderCallID)
	}
	if sum, err := hex.DecodeString(task.Digest); err != nil || len(sum) != 32 {
		return Task{}, fmt.Errorf("the task's header %s is not a digest", approval.HeaderDigest)
	}
	if err := input.Get(&task.Args); err != nil {
		return Task{}, &calls.UnreadableError{What: "the task's arguments", Err: err}
	}
	return task, nil
}

// headers hands the header of an activity down to its function: the SDK shows it to interceptors
// only.
type headers struct {
	interceptor.WorkerInterceptorBase
}

type headerKey struct{}

func (*headers) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	return &headersInbound{interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type headersInbound struct {
	interceptor.ActivityInboundInterceptorBase
}

func (h *headersInbound) ExecuteActivity(
	ctx context.Context, in *interceptor.ExecuteActivityInput,
) (any, error) {
	return h.Next.ExecuteActivity(context.WithValue(ctx, headerKey{}, interceptor.Header(ctx)), in)
}
