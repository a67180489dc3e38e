package health_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/health"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// temporal answers what health asks; anything else panics.
type temporal struct {
	workflowservice.WorkflowServiceClient
	operatorservice.OperatorServiceClient
	err        error
	polled     []time.Duration // how long ago
	attributes map[string]enums.IndexedValueType
	asked      *workflowservice.DescribeTaskQueueRequest
}

func (f *temporal) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest, ...grpc.CallOption) (*workflowservice.DescribeNamespaceResponse, error) {
	return nil, f.err
}

func (f *temporal) ListSearchAttributes(context.Context, *operatorservice.ListSearchAttributesRequest, ...grpc.CallOption) (*operatorservice.ListSearchAttributesResponse, error) {
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: f.attributes}, f.err
}

func (f *temporal) DescribeTaskQueue(_ context.Context, r *workflowservice.DescribeTaskQueueRequest, _ ...grpc.CallOption) (*workflowservice.DescribeTaskQueueResponse, error) {
	f.asked = r
	var out workflowservice.DescribeTaskQueueResponse
	for _, ago := range f.polled {
		out.Pollers = append(out.Pollers, &taskqueue.PollerInfo{LastAccessTime: timestamppb.New(time.Now().Add(-ago))})
	}
	return &out, f.err
}

func TestNamespace(t *testing.T) {
	for _, c := range []struct {
		err             error
		failed, missing bool
	}{
		{nil, false, false},
		{serviceerror.NewNamespaceNotFound("n"), true, true},
		{serviceerror.NewNotFound("n"), true, true},
		{serviceerror.NewUnavailable("down"), true, false},
	} {
		err := health.Namespace(t.Context(), &temporal{err: c.err}, "n")
		if (err != nil) != c.failed || errors.Is(err, health.ErrMissing) != c.missing {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

func TestSearchAttributes(t *testing.T) {
	all := map[string]enums.IndexedValueType{}
	for _, name := range health.Attributes {
		all[name] = health.AttributeType
	}
	if err := health.SearchAttributes(t.Context(), &temporal{attributes: all}, "n"); err != nil {
		t.Error(err)
	}
	delete(all, approval.SearchAgent)
	all[approval.SearchTool] = enums.INDEXED_VALUE_TYPE_TEXT
	err := health.SearchAttributes(t.Context(), &temporal{attributes: all}, "n")
	if !errors.Is(err, health.ErrMissing) || !strings.Contains(err.Error(), "PawlAgent, PawlTool") {
		t.Error(err)
	}
	down := serviceerror.NewUnavailable("down")
	if err := health.SearchAttributes(t.Context(), &temporal{err: down}, "n"); !errors.Is(err, down) || errors.Is(err, health.ErrMissing) {
		t.Error(err)
	}
}

func TestPolled(t *testing.T) {
	for _, c := range []struct {
		ago  []time.Duration
		want bool
	}{
		{nil, false},
		{[]time.Duration{2 * health.Alive}, false},
		{[]time.Duration{2 * health.Alive, time.Second}, true},
	} {
		f := &temporal{polled: c.ago}
		got, err := health.Polled(t.Context(), f, "n", "q", enums.TASK_QUEUE_TYPE_ACTIVITY)
		if got != c.want || err != nil {
			t.Errorf("%v: %v %v", c.ago, got, err)
		}
		if r := f.asked; r.Namespace != "n" || r.TaskQueue.Name != "q" || r.TaskQueueType != enums.TASK_QUEUE_TYPE_ACTIVITY {
			t.Errorf("asked %v", r)
		}
	}
	if _, err := health.Polled(t.Context(), &temporal{err: serviceerror.NewUnavailable("down")}, "n", "q", enums.TASK_QUEUE_TYPE_WORKFLOW); err == nil {
		t.Error("silence is no answer")
	}
}
