package api

import (
	"cmp"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/calls"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// fakeTemporal is a Temporal namespace in memory, below a real SDK client: it answers the client's
// RPCs, so errors and results are the SDK's own.
type fakeTemporal struct {
	mu        sync.Mutex
	workflows map[string]*fakeWorkflow
	starts    []*workflowservice.StartWorkflowExecutionRequest
	queries   int
	begins    int            // how often a history was read from its beginning
	asking    map[string]int // queries under way, by workflow
	most      int            // the most at once to one workflow
	polling   int            // long polls under way
	onQuery   func() error
	onStart   func(*fakeWorkflow)
	healthErr error

	deserted  map[string]bool // task queues that nobody polls: "name", or "name/Activity"
	looks     map[string]int  // at task queues
	lookErr   error
	onLook    func(context.Context)
	namespace string // the only one there is
	lacks     string // a search attribute
}

type fakeWorkflow struct {
	id, run, typ string
	status       enumspb.WorkflowExecutionStatus
	memo         *commonpb.Memo
	started      time.Time
	call         approval.Call
	input        *commonpb.Payloads // nil: its history can't be found
	state        approval.State
	silent       bool // does not answer queries
	flooded      bool // it got as many signals as Temporal takes
	result       *commonpb.Payloads
	closed       chan struct{}
	signals      []fakeSignal
	task         *workflowpb.PendingWorkflowTaskInfo
	pending      []*workflowpb.PendingActivityInfo
	onSignal     func(w *fakeWorkflow, s fakeSignal)
}

type fakeSignal struct {
	name string
	approval.DecisionSignal
	by string
}

var (
	testTime     = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	testDeadline = testTime.Add(time.Hour)
)

func newFakeTemporal(t testing.TB) (*fakeTemporal, client.Client) {
	f := &fakeTemporal{
		workflows: map[string]*fakeWorkflow{}, asking: map[string]int{},
		deserted: map[string]bool{}, looks: map[string]int{}, namespace: client.DefaultNamespace,
	}
	c, err := client.NewLazyClient(client.Options{
		HostPort: "passthrough:///nowhere",
		Logger:   quiet{},
		ConnectionOptions: client.ConnectionOptions{
			DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(f.answer)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return f, c
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func (f *fakeTemporal) answer(ctx context.Context, _ string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	var resp proto.Message
	var err error
	switch req := req.(type) {
	case *workflowservice.GetSystemInfoRequest:
		resp = &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}
	case *workflowservice.StartWorkflowExecutionRequest:
		resp, err = f.start(req)
	case *workflowservice.DescribeWorkflowExecutionRequest:
		resp, err = f.describe(req.GetExecution().GetWorkflowId())
	case *workflowservice.SignalWorkflowExecutionRequest:
		resp, err = &workflowservice.SignalWorkflowExecutionResponse{}, f.signal(req)
	case *workflowservice.QueryWorkflowRequest:
		resp, err = f.query(ctx, req.GetExecution().GetWorkflowId())
	case *workflowservice.GetWorkflowExecutionHistoryRequest:
		if req.WaitNewEvent {
			resp, err = f.history(ctx, req.GetExecution().GetWorkflowId())
		} else {
			resp, err = f.begin(req.GetExecution().GetWorkflowId())
		}
	case *workflowservice.DescribeTaskQueueRequest:
		resp, err = f.look(ctx, req)
	case *workflowservice.DescribeNamespaceRequest:
		resp = &workflowservice.DescribeNamespaceResponse{}
		if req.Namespace != f.namespace {
			err = serviceerror.NewNamespaceNotFound(req.Namespace)
		}
	case *operatorservice.ListSearchAttributesRequest:
		attributes := map[string]enumspb.IndexedValueType{}
		for _, name := range health.Attributes {
			if name != f.lacks {
				attributes[name] = health.AttributeType
			}
		}
		resp = &operatorservice.ListSearchAttributesResponse{CustomAttributes: attributes}
	case *healthpb.HealthCheckRequest:
		resp, err = &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, f.healthErr
	default:
		err = serviceerror.NewUnimplemented("not in the fake")
	}
	if err != nil {
		return serviceerror.ToStatus(err).Err()
	}
	proto.Merge(reply.(proto.Message), resp)
	return nil
}

func payloads(v any) *commonpb.Payloads {
	p, err := converter.GetDefaultDataConverter().ToPayloads(v)
	if err != nil {
		panic(err)
	}
	return p
}

func unpack(p *commonpb.Payloads, v any) {
	if err := converter.GetDefaultDataConverter().FromPayloads(p, v); err != nil {
		panic(err)
	}
}

// add puts a workflow into the namespace.
func (f *fakeTemporal) add(w *fakeWorkflow) *fakeWorkflow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.put(w)
}

// put is add under the lock.
func (f *fakeTemporal) put(w *fakeWorkflow) *fakeWorkflow {
	w.run = cmp.Or(w.run, "run-1")
	w.typ = cmp.Or(w.typ, approval.WorkflowType)
	w.started = testTime
	w.closed = make(chan struct{})
	if w.status == 0 {
		w.status = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	}
	if w.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		close(w.closed)
	}
	f.workflows[w.id] = w
	return w
}

func (f *fakeTemporal) get(id string) *fakeWorkflow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workflows[id]
}

// close ends a workflow; call it with f.mu held, or from onSignal.
func (w *fakeWorkflow) close(status enumspb.WorkflowExecutionStatus, result any) {
	w.status = status
	if result != nil {
		w.result = payloads(result)
	}
	close(w.closed)
}

// complete ends a workflow with an outcome.
func (f *fakeTemporal) complete(id string, o approval.Outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.workflows[id]
	w.state.Status = o.Status
	w.close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, o)
}

func notFound() error {
	return serviceerror.NewNotFound("workflow execution already completed")
}

func (f *fakeTemporal) start(req *workflowservice.StartWorkflowExecutionRequest) (proto.Message, error) {
	w := &fakeWorkflow{id: req.WorkflowId, memo: req.Memo, typ: req.WorkflowType.Name}
	unpack(req.Input, &w.call)
	f.mu.Lock()
	f.starts = append(f.starts, req)
	known := f.workflows[req.WorkflowId]
	if known == nil {
		f.put(w)
	}
	f.mu.Unlock()
	if known != nil {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("already started", req.RequestId, known.run)
	}
	if f.onStart != nil {
		f.onStart(w)
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: w.run, Started: true}, nil
}

func (f *fakeTemporal) describe(id string) (proto.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.workflows[id]
	if w == nil {
		return nil, serviceerror.NewNotFound("workflow not found for ID")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Execution:        &commonpb.WorkflowExecution{WorkflowId: id, RunId: w.run},
			Type:             &commonpb.WorkflowType{Name: w.typ},
			Status:           w.status,
			Memo:             w.memo,
			SearchAttributes: &commonpb.SearchAttributes{},
			StartTime:        timestamppb.New(w.started),
			HistoryLength:    int64(map[bool]int{false: 40, true: calls.MaxSignals + 40}[w.flooded]),
		},
		PendingWorkflowTask: w.task,
		PendingActivities:   w.pending,
	}, nil
}

func (f *fakeTemporal) look(ctx context.Context, req *workflowservice.DescribeTaskQueueRequest) (proto.Message, error) {
	f.mu.Lock()
	queue, onLook := req.TaskQueue.Name, f.onLook
	f.looks[queue]++
	lonely := f.deserted[queue] || f.deserted[queue+"/"+req.TaskQueueType.String()]
	err := f.lookErr
	f.mu.Unlock()
	if onLook != nil {
		onLook(ctx)
	}
	resp := &workflowservice.DescribeTaskQueueResponse{}
	if !lonely {
		resp.Pollers = []*taskqueuepb.PollerInfo{{Identity: "somebody", LastAccessTime: timestamppb.Now()}}
	}
	return resp, err
}

func (f *fakeTemporal) signal(req *workflowservice.SignalWorkflowExecutionRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.workflows[req.GetWorkflowExecution().GetWorkflowId()]
	if w == nil || w.status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return notFound()
	}
	if w.flooded {
		return serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events")
	}
	s := fakeSignal{name: req.SignalName}
	if s.name == approval.SignalCancel {
		var cancel approval.CancelSignal
		unpack(req.Input, &cancel)
		s.by, s.Notes, s.Channel, s.DecisionID = cancel.By, cancel.Notes, cancel.Channel, cancel.DecisionID
		s.Method = cancel.Method
	} else if s.name == approval.SignalReport {
		var report approval.SentReport
		unpack(req.Input, &report)
		s.by, s.Channel, s.Method = report.By, report.Channel, report.Method
	} else {
		unpack(req.Input, &s.DecisionSignal)
	}
	w.signals = append(w.signals, s)
	if w.onSignal != nil && !w.state.TooManySignals {
		w.onSignal(w, s)
	}
	return nil
}

// query answers as the server does: a second query to the same workflow at the same time finds the
// buffer full.
func (f *fakeTemporal) query(ctx context.Context, id string) (proto.Message, error) {
	f.mu.Lock()
	w := f.workflows[id]
	if w == nil {
		f.mu.Unlock()
		return nil, serviceerror.NewNotFound("workflow not found for ID")
	}
	f.queries++
	f.asking[id]++
	f.most = max(f.most, f.asking[id])
	onQuery, silent := f.onQuery, w.silent
	state := w.state // as it is when the query begins
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.asking[id]--
		f.mu.Unlock()
	}()
	if onQuery != nil {
		if err := onQuery(); err != nil {
			return nil, err
		}
	}
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &workflowservice.QueryWorkflowResponse{QueryResult: payloads(state)}, nil
}

func (f *fakeTemporal) history(ctx context.Context, id string) (proto.Message, error) {
	w := f.get(id)
	if w == nil {
		return nil, serviceerror.NewNotFound("workflow not found for ID")
	}
	f.count(1)
	defer f.count(-1)
	select {
	case <-w.closed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	event := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED}
	if w.status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		event = &historypb.HistoryEvent{
			EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
				WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: w.result},
			},
		}
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{event}}}, nil
}

func (f *fakeTemporal) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.polling += n
}

// waiters is how many long polls are under way.
func (f *fakeTemporal) waiters() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.polling
}
