package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// rpcTimeout bounds one exchange. The SDK uses half of a deadline it can see and keeps trying until
// then.
const rpcTimeout = 10 * time.Second

// Temporal is the Backend that agents run on.
type Temporal struct {
	*calls.Client
	client    client.Client
	queue     string
	namespace string
	owned     bool
}

// NewTemporal talks to Temporal by c, which stays the caller's to close; calls start on queue.
func NewTemporal(c client.Client, queue string) *Temporal {
	o := calls.Options{Temporal: c, TaskQueue: queue, Timeout: rpcTimeout, Query: rpcTimeout}
	return &Temporal{Client: calls.New(o), client: c, queue: queue}
}

// On returns the Backend of an agent that is given the client c: Temporal, or c itself if it is a
// Backend, as package pawltest's is.
func On(c client.Client, queue string) Backend {
	if b, ok := c.(Backend); ok {
		return b
	}
	return NewTemporal(c, queue)
}

// Connect dials Temporal, and Close closes the connection. A namespace that is missing is
// health.ErrMissing, payloads that are encrypted otherwise than here are health.ErrUnreadable.
func Connect(ctx context.Context, o client.Options, queue string) (*Temporal, error) {
	calls.PrintableHeaders(&o)
	c, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, err
	}
	t := NewTemporal(c, queue)
	t.namespace, t.owned = cmp.Or(o.Namespace, client.DefaultNamespace), true
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	// Any other answer proves nothing: credentials for a namespace's calls need not suffice to
	// describe it.
	if err := health.Namespace(ctx, c.WorkflowService(), t.namespace); errors.Is(err, health.ErrMissing) {
		c.Close()
		return nil, err
	}
	// Likewise for payloads: only a clear answer keeps the agent from starting.
	if err := health.SamePayloads(ctx, c, queue); errors.Is(err, health.ErrUnreadable) {
		c.Close()
		return nil, err
	}
	return t, nil
}

// End implements Backend.
func (t *Temporal) End(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	o, err := t.ownEnd(ctx, id, run, wait)
	if err != nil || o.DuplicateOf == "" {
		return o, err
	}
	same, err := t.ownEnd(ctx, o.DuplicateOf, "", wait)
	if errors.Is(err, calls.ErrUnknown) {
		return o, nil
	}
	return same, err
}

// ownEnd is how the call itself ended, if it was a duplicate, too.
func (t *Temporal) ownEnd(ctx context.Context, id, run string, wait bool) (approval.Outcome, error) {
	if run != "" && wait {
		if o, err := t.Outcome(ctx, id, run); !errors.Is(err, calls.ErrClosed) {
			return ended(o, err)
		}
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if !wait {
		cancel()
	}
	o, d, err := t.Follow(ctx, waiting, id)
	switch {
	case o != nil || err != nil:
		return ended(o, err)
	case !calls.IsOpen(d.Status):
		return approval.Outcome{}, &GoneError{How: calls.HowClosed(d.Status)}
	case wait && ctx.Err() == nil:
		return approval.Outcome{}, errors.New("Temporal does not say yet whether the workflow is open")
	}
	return approval.Outcome{}, ErrPending
}

// ended makes a GoneError of an end that holds no outcome which could be read.
func ended(o *approval.Outcome, err error) (approval.Outcome, error) {
	switch {
	case errors.Is(err, calls.ErrNoOutcome):
		err = &GoneError{How: "ended with a result that is not an outcome"}
	case errors.As(err, new(*calls.UnreadableError)):
		err = &GoneError{How: "ended, and " + err.Error()}
	}
	if err != nil {
		return approval.Outcome{}, err
	}
	return *o, nil
}

// Publish implements Backend. One content has one ID, so that whoever publishes it again, after a
// lost answer or from another process of the agent, finds the run that is under way.
func (t *Temporal) Publish(ctx context.Context, p approval.Publication) (approval.Published, error) {
	var done approval.Published
	doc, err := json.Marshal(p)
	if err != nil {
		return done, &calls.Error{Err: err, Refused: true}
	}
	sum := sha256.Sum256(doc)
	start, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	run, err := t.client.ExecuteWorkflow(start, client.StartWorkflowOptions{
		ID:                       "pawl-publish-" + hex.EncodeToString(sum[:16]),
		TaskQueue:                t.queue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            approval.Plural(len(p.Tools), "tool") + " of an agent",
	}, approval.WorkflowPublish, p)
	if err != nil {
		return done, calls.Classify(err)
	}
	err = calls.Await(ctx, run, &done)
	// Said by Pawl's worker; all other ends come from an operator or an outage.
	if said, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		if text := runner.Text(said); text != encodedFailure {
			return done, &calls.Error{Err: errors.New(text), Refused: true}
		}
		return done, &calls.UnreadableError{What: "the answer of Pawl's worker", Err: err}
	}
	return done, calls.Classify(err)
}

// Polled implements Backend.
func (t *Temporal) Polled(ctx context.Context) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
	defer cancel()
	where := "task queue " + t.queue + " in the namespace of the agent's client"
	if t.namespace != "" {
		where = "task queue " + t.queue + " in namespace " + t.namespace
	}
	// Not by health.Polled: the client does not say which namespace it is for.
	answer, err := t.client.DescribeTaskQueue(ctx, t.queue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return false, where, calls.Classify(err)
	}
	return health.Polls(answer.GetPollers()), where, nil
}

// Close implements Backend.
func (t *Temporal) Close() {
	if t.owned {
		t.client.Close()
	}
}

// encodedFailure is what the SDK makes of an error that it can't decode.
const encodedFailure = "Encoded failure"

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
