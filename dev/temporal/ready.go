package temporal

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	readyTimeout  = 30 * time.Second
	readyInterval = 10 * time.Millisecond
)

// waitReady returns when a client's first call will find everything in place.
func waitReady(ctx context.Context, frontend string, o Options, failed *failure) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := grpc.NewClient(frontend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("temporal: connect to own frontend: %w", err)
	}
	defer func() { _ = conn.Close() }()

	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for {
		err := probe(ctx, conn, o)
		if err == nil {
			return nil
		}
		select {
		case dead := <-failed.err:
			return dead
		case <-ctx.Done():
			return fmt.Errorf("temporal: server was not ready within %s: %w", readyTimeout, err)
		case <-tick.C:
		}
	}
}

func probe(ctx context.Context, conn *grpc.ClientConn, o Options) error {
	workflows := workflowservice.NewWorkflowServiceClient(conn)
	describe := &workflowservice.DescribeNamespaceRequest{Namespace: o.Namespace}
	if _, err := workflows.DescribeNamespace(ctx, describe); err != nil {
		return fmt.Errorf("describe namespace %q: %w", o.Namespace, err)
	}
	// A workflow that does not exist takes a loaded history shard to be not found.
	_, err := workflows.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: o.Namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: "pawl-readiness-probe"},
	})
	var absent *serviceerror.NotFound
	if err := serviceerror.FromStatus(serviceerror.ToStatus(err)); err != nil && !errors.As(err, &absent) {
		return fmt.Errorf("reach history service: %w", err)
	}
	attributes, err := operatorservice.NewOperatorServiceClient(conn).ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: o.Namespace})
	if err != nil {
		return fmt.Errorf("list search attributes: %w", err)
	}
	for name, want := range o.SearchAttributes {
		if have := attributes.GetCustomAttributes()[name]; have != want {
			return fmt.Errorf("search attribute %q is %s, not %s", name, have, want)
		}
	}
	return nil
}
