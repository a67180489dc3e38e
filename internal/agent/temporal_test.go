package agent

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// server answers as Temporal would.
type server struct {
	client.Client
	start    func(client.StartWorkflowOptions) error
	describe func() (*client.WorkflowExecutionDescription, error)
	get      func(run string) (any, error)
	list     []*workflowservice.ListWorkflowExecutionsResponse
	signal   error
}

func (s *server) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	if err := s.start(o); err != nil {
		return nil, err
	}
	return run{s, "r1"}, nil
}

func (s *server) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	return s.describe()
}

func (s *server) GetWorkflow(_ context.Context, _, id string) client.WorkflowRun { return run{s, id} }

func (s *server) SignalWorkflow(context.Context, string, string, string, any) error { return s.signal }

func (s *server) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if len(s.list) == 0 {
		return nil, serviceerror.NewUnavailable("away")
	}
	page := s.list[0]
	s.list = s.list[1:]
	return page, nil
}

type run struct {
	s  *server
	id string
}

func (r run) GetID() string                  { return "id" }
func (r run) GetRunID() string               { return r.id }
func (r run) GetFirstExecutionRunID() string { return r.id }

func (r run) GetWithOptions(ctx context.Context, to any, _ client.WorkflowRunGetOptions) error {
	return r.Get(ctx, to)
}

func (r run) Get(_ context.Context, to any) error {
	v, err := r.s.get(r.id)
	if err != nil {
		return err
	}
	p, err := converter.GetDefaultDataConverter().ToPayload(v)
	if err != nil {
		return err
	}
	return converter.GetDefaultDataConverter().FromPayload(p, to)
}

func described(status enumspb.WorkflowExecutionStatus, run, workflowType string) func() (*client.WorkflowExecutionDescription, error) {
	d := &client.WorkflowExecutionDescription{}
	d.Status = status
	d.WorkflowExecution.RunID = run
	d.WorkflowType.Name = workflowType
	return func() (*client.WorkflowExecutionDescription, error) { return d, nil }
}

const (
	open       = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	completed  = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	terminated = enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
)

func TestEnd(t *testing.T) {
	fine := func(string) (any, error) { return approval.Outcome{ID: "id", Status: approval.StatusRejected}, nil }
	gone := new(GoneError)
	for name, c := range map[string]struct {
		s    *server
		run  string
		wait bool
		want error // nil: an outcome
	}{
		"known run":          {s: &server{get: fine}, run: "r1", wait: true},
		"unknown run":        {s: &server{get: fine, describe: described(open, "r1", approval.WorkflowType)}, wait: true},
		"ended":              {s: &server{get: fine, describe: described(completed, "r1", approval.WorkflowType)}},
		"open":               {s: &server{describe: described(open, "r1", approval.WorkflowType)}, want: ErrPending},
		"another workflow":   {s: &server{describe: described(open, "r1", "Backup")}, wait: true, want: ErrUnknown},
		"terminated":         {s: &server{describe: described(terminated, "r1", approval.WorkflowType)}, want: gone},
		"no outcome":         {s: &server{get: func(string) (any, error) { return "hm", nil }}, run: "r1", wait: true, want: gone},
		"no such call":       {s: &server{describe: func() (*client.WorkflowExecutionDescription, error) { return nil, serviceerror.NewNotFound("") }}, want: ErrUnknown},
		"reset in between":   {s: resetting(), run: "r0", wait: true},
		"passing trouble":    {s: &server{get: func(string) (any, error) { return nil, serviceerror.NewUnavailable("") }}, run: "r1", wait: true, want: new(serviceerror.Unavailable)},
		"it does not agree":  {s: &server{get: closedRun, describe: described(open, "r1", approval.WorkflowType)}, wait: true, want: errors.ErrUnsupported},
		"codec is missing":   {s: &server{get: func(string) (any, error) { return nil, converter.ErrUnableToDecode }}, run: "r1", wait: true, want: gone},
		"permission refused": {s: &server{get: func(string) (any, error) { return nil, serviceerror.NewPermissionDenied("", "") }}, run: "r1", wait: true, want: new(RefusedError)},
	} {
		o, err := NewTemporal(c.s, "pawl").End(t.Context(), "id", c.run, c.wait)
		var wantGone *GoneError
		var wantRefused *RefusedError
		switch {
		case c.want == nil:
			if err != nil || o.Status != approval.StatusRejected {
				t.Errorf("%s: %+v, %v", name, o, err)
			}
		case errors.As(c.want, &wantGone):
			if !errors.As(err, &wantGone) || !Permanent(err) {
				t.Errorf("%s: %v", name, err)
			}
		case errors.As(c.want, &wantRefused):
			if !errors.As(err, &wantRefused) || !Permanent(err) {
				t.Errorf("%s: %v", name, err)
			}
		case c.want == ErrPending || c.want == ErrUnknown:
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if err == nil || Permanent(err) {
				t.Errorf("%s: %v is not for trying again", name, err)
			}
		}
	}
}

func closedRun(string) (any, error) { return nil, &temporal.WorkflowExecutionError{} }

// resetting has a run r0 that a reset closed, and a run r1 that ends well.
func resetting() *server {
	return &server{
		describe: described(open, "r1", approval.WorkflowType),
		get: func(run string) (any, error) {
			if run == "r0" {
				return closedRun(run)
			}
			return approval.Outcome{ID: "id", Status: approval.StatusRejected}, nil
		},
	}
}

func TestStart(t *testing.T) {
	s, err := calls.Prepare(approval.Call{Tool: "t", Requester: "agent:a", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	twice := func(client.StartWorkflowOptions) error {
		return serviceerror.NewWorkflowExecutionAlreadyStarted("", "", "")
	}
	for name, c := range map[string]struct {
		start    func(client.StartWorkflowOptions) error
		describe func() (*client.WorkflowExecutionDescription, error)
		run      string
		want     error
	}{
		"new": {start: func(o client.StartWorkflowOptions) error {
			if o.ID != s.ID || o.TaskQueue != "pawl" || !o.WorkflowExecutionErrorWhenAlreadyStarted || o.EnableEagerStart ||
				o.WorkflowIDReusePolicy != enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE {
				t.Errorf("%+v", o)
			}
			return nil
		}, run: "r1"},
		"nobody can say":   {start: twice, describe: described(open, "r1", approval.WorkflowType), want: ErrConflict},
		"another workflow": {start: twice, describe: described(open, "r1", "Backup"), want: ErrConflict},
	} {
		run, err := NewTemporal(&server{start: c.start, describe: c.describe}, "pawl").Start(t.Context(), s)
		if run != c.run || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", name, run, err)
		}
	}
}

func TestSweep(t *testing.T) {
	seen := func(id string, status enumspb.WorkflowExecutionStatus) *workflowpb.WorkflowExecutionInfo {
		return &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: id}, Status: status}
	}
	s := &server{list: []*workflowservice.ListWorkflowExecutionsResponse{
		{NextPageToken: []byte("more"), Executions: []*workflowpb.WorkflowExecutionInfo{seen("open", open), seen("ended", completed), seen("reset", terminated)}},
		{Executions: []*workflowpb.WorkflowExecutionInfo{seen("reset", open), seen("cut", terminated)}},
	}}
	b := NewTemporal(s, "pawl")
	ended, missing, err := b.Sweep(t.Context(), []string{"open", "ended", "reset", "cut", "unseen", "it's odd"})
	slices.Sort(missing)
	if err != nil || !slices.Equal(ended, []string{"ended", "cut"}) || !slices.Equal(missing, []string{"it's odd", "unseen"}) {
		t.Errorf("ended %q, missing %q, %v", ended, missing, err)
	}
	if _, _, err := b.Sweep(t.Context(), []string{"a"}); err == nil || Permanent(err) {
		t.Errorf("%v", err)
	}
}

func TestCancel(t *testing.T) {
	for name, c := range map[string]struct {
		s    *server
		want error
	}{
		"open":             {&server{describe: described(open, "r1", approval.WorkflowType)}, nil},
		"ended":            {&server{describe: described(completed, "r1", approval.WorkflowType), signal: serviceerror.NewNotFound("")}, ErrEnded},
		"another workflow": {&server{describe: described(open, "r1", "Backup"), signal: errors.New("it was signalled")}, ErrUnknown},
	} {
		if err := NewTemporal(c.s, "pawl").Cancel(t.Context(), "id", approval.CancelSignal{}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
