package agent

import (
	"context"
	"errors"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
)

// server answers as Temporal would.
type server struct {
	client.Client
	describe func() (*client.WorkflowExecutionDescription, error)
	get      func(run string) (any, error)
}

func (s *server) DescribeWorkflow(context.Context, string, string) (*client.WorkflowExecutionDescription, error) {
	return s.describe()
}

func (s *server) GetWorkflow(_ context.Context, _, id string) client.WorkflowRun { return run{s, id} }

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
	paused     = enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED
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
		"paused":             {s: &server{describe: described(paused, "r1", approval.WorkflowType)}, want: ErrPending},
		"paused for a while": {s: &server{get: fine, describe: described(paused, "r1", approval.WorkflowType)}, wait: true},
		"another workflow":   {s: &server{describe: described(open, "r1", "Backup")}, wait: true, want: calls.ErrUnknown},
		"terminated":         {s: &server{describe: described(terminated, "r1", approval.WorkflowType)}, want: gone},
		"no outcome":         {s: &server{get: func(string) (any, error) { return "hm", nil }}, run: "r1", wait: true, want: gone},
		"no such call":       {s: &server{describe: func() (*client.WorkflowExecutionDescription, error) { return nil, serviceerror.NewNotFound("") }}, want: calls.ErrUnknown},
		"reset in between":   {s: resetting(), run: "r0", wait: true},
		"passing trouble":    {s: &server{get: func(string) (any, error) { return nil, serviceerror.NewUnavailable("") }}, run: "r1", wait: true, want: new(serviceerror.Unavailable)},
		"it does not agree":  {s: &server{get: closedRun, describe: described(open, "r1", approval.WorkflowType)}, wait: true, want: errors.ErrUnsupported},
		"codec is missing":   {s: &server{get: func(string) (any, error) { return nil, converter.ErrUnableToDecode }}, run: "r1", wait: true, want: gone},
		"permission refused": {s: &server{get: func(string) (any, error) { return nil, serviceerror.NewPermissionDenied("", "") }}, run: "r1", wait: true, want: new(calls.Error)},
	} {
		o, err := NewTemporal(c.s, "pawl").End(t.Context(), "id", c.run, c.wait)
		var wantGone *GoneError
		var wantRefused *calls.Error
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
		case c.want == ErrPending || c.want == calls.ErrUnknown:
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
