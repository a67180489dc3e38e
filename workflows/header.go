package workflows

import (
	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// CallHeader is the interceptor that tells other workers which call they run a tool for:
// approval.HeaderCallID and approval.HeaderDigest, on their activities only. Workers that run
// GuardedCall need it.
func CallHeader() interceptor.WorkerInterceptor { return &callHeader{} }

type callHeader struct {
	interceptor.WorkerInterceptorBase
}

func (*callHeader) InterceptWorkflow(
	_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	in := &headerInbound{}
	in.Next = next
	return in
}

type headerInbound struct {
	interceptor.WorkflowInboundInterceptorBase
}

func (in *headerInbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &headerOutbound{}
	out.Next = next
	return in.Next.Init(out)
}

type headerOutbound struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// forCall is, in a workflow's context, the call whose tool other workers run.
type forCall struct{ id, digest string }

type forCallKey struct{}

func (out *headerOutbound) ExecuteActivity(
	ctx workflow.Context, activity string, args ...any,
) workflow.Future {
	if c, ok := ctx.Value(forCallKey{}).(forCall); ok {
		header := interceptor.WorkflowHeader(ctx)
		text := converter.NewJSONPayloadConverter() // text always has a JSON form
		header[approval.HeaderCallID], _ = text.ToPayload(c.id)
		header[approval.HeaderDigest], _ = text.ToPayload(c.digest)
	}
	return out.Next.ExecuteActivity(ctx, activity, args...)
}
