package calls

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"
)

// beginnings answers what a workflow was started with.
type beginnings struct {
	Temporal
	service
}

type service struct {
	workflowservice.WorkflowServiceClient
	started *historypb.WorkflowExecutionStartedEventAttributes
	err     error
	asked   *workflowservice.GetWorkflowExecutionHistoryRequest
}

func (b *beginnings) WorkflowService() workflowservice.WorkflowServiceClient { return &b.service }

func (b *service) GetWorkflowExecutionHistory(
	_ context.Context, r *workflowservice.GetWorkflowExecutionHistoryRequest, _ ...grpc.CallOption,
) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	b.asked = r
	return &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{{
		Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{WorkflowExecutionStartedEventAttributes: b.started},
	}}}}, b.err
}

func TestInput(t *testing.T) {
	keys, err := codec.Create(filepath.Join(t.TempDir(), "keys.json"), false)
	if err != nil {
		t.Fatal(err)
	}
	sealed := client.Options{}
	if err := keys.Configure(&sealed); err != nil {
		t.Fatal(err)
	}
	plain := converter.GetDefaultDataConverter()
	const secret = "hunter2"
	call := map[string]any{"tool": "pay", "args": map[string]any{"card": secret}}
	for name, c := range map[string]struct {
		write, read converter.DataConverter
		typ         string
		input       any
		err         error
		want        error  // or an UnreadableError that
		says        string // says this
	}{
		"plain":               {plain, nil, approval.WorkflowType, call, nil, nil, ""},
		"encrypted":           {sealed.DataConverter, sealed.DataConverter, approval.WorkflowType, call, nil, nil, ""},
		"without the keyring": {sealed.DataConverter, nil, approval.WorkflowType, call, nil, nil, "the keyring"},
		"plain, by a keyring": {plain, sealed.DataConverter, approval.WorkflowType, call, nil, nil, codec.ErrPlain.Error()},
		"no call":             {plain, nil, approval.WorkflowType, map[string]any{"tool": secret, "x": secret}, nil, nil, "the keyring"},
		"another workflow":    {plain, nil, "Payroll", call, nil, ErrUnknown, ""},
		"forgotten":           {plain, nil, approval.WorkflowType, call, serviceerror.NewNotFound(""), ErrUnknown, ""},
		"no answer":           {plain, nil, approval.WorkflowType, call, serviceerror.NewUnavailable(secret), &Error{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			input, err := c.write.ToPayloads(c.input)
			if err != nil {
				t.Fatal(err)
			}
			b := &beginnings{service: service{err: c.err, started: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: c.typ}, Input: input, FirstExecutionRunId: "r1",
			}}}
			got, err := New(Options{Temporal: b, Namespace: "ns", Converter: c.read}).Input(t.Context(), "pawl-1")
			unreadable, is := errors.AsType[*UnreadableError](err)
			switch {
			case c.says != "":
				if !is || !strings.Contains(unreadable.Error(), c.says) || strings.Contains(unreadable.Error(), secret) {
					t.Errorf("%v, want one that says %q", err, c.says)
				}
			case c.want == ErrUnknown:
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("%v", err)
				}
			case c.want != nil:
				if !errors.As(err, new(*Error)) {
					t.Errorf("%v", err)
				}
			case err != nil || got.Tool != "pay" || !strings.Contains(string(got.Args), secret) || got.Nonce != "r1":
				t.Errorf("%+v, %v", got, err)
			}
			if b.asked.Namespace != "ns" || b.asked.Execution.WorkflowId != "pawl-1" || b.asked.MaximumPageSize != 1 {
				t.Errorf("asked %v", b.asked)
			}
		})
	}
	if _, err := New(Options{}).Input(t.Context(), "\x00"); !errors.Is(err, ErrUnknown) {
		t.Errorf("of an ID that no call has: %v", err)
	}
}
