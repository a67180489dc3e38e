package calls

import (
	"context"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// resourceHeader is where Temporal's SDK names the workflow that a request is about, for proxies.
const resourceHeader = "temporal-resource-id"

// PrintableHeaders makes the requests of a connection pass, whatever the ID of the workflow that they
// are about: the SDK puts it into a header as it is, and gRPC refuses headers that are not printable
// ASCII. Without this, a worker can't even end such a workflow.
func PrintableHeaders(o *client.Options) {
	c := &o.ConnectionOptions
	// Ours come after the SDK's own interceptors, which set the header.
	c.DialOptions = append(c.DialOptions, grpc.WithChainUnaryInterceptor(printable))
}

func printable(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	ids := md.Get(resourceHeader)
	if len(ids) == 1 && strings.ContainsFunc(ids[0], func(r rune) bool { return r < ' ' || r > '~' }) {
		md.Set(resourceHeader, approval.EscapeID(ids[0]))
		ctx = metadata.NewOutgoingContext(ctx, md)
	}
	return invoke(ctx, method, req, reply, cc, opts...)
}
