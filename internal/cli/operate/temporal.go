package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli/temporal"
)

// rpcTimeout bounds one exchange with Temporal.
const rpcTimeout = 10 * time.Second

// dial connects, and waits for a Temporal that is about to come up.
func (p *process) dial(ctx context.Context, o client.Options) (c client.Client, err error) {
	err = p.await(ctx, "Temporal", func(ctx context.Context) error {
		if c, err = client.DialContext(ctx, o); err != nil {
			return temporal.NoAnswer(o, err)
		}
		return nil
	}, func(err error) bool { return !refused(err) })
	return c, err
}

// awaitNamespace waits until the namespace is there: it may be being set up.
func (p *process) awaitNamespace(ctx context.Context, c client.Client, name string) error {
	return p.await(ctx, "the namespace", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, rpcTimeout)
		defer cancel()
		switch err := health.Namespace(ctx, c.WorkflowService(), name); {
		case errors.Is(err, health.ErrMissing):
			return fmt.Errorf("there is no namespace %q in Temporal: create it with 'pawl setup', or "+
				"name another with TEMPORAL_NAMESPACE", name)
		case err != nil:
			return fmt.Errorf("the namespace %q in Temporal: %w; check TEMPORAL_NAMESPACE and the "+
				"credentials", name, err)
		}
		return nil
	}, func(err error) bool { return !refused(err) })
}

// refused reports a refusal of Temporal that waiting does not change.
func refused(err error) bool {
	return errors.As(err, new(*serviceerror.PermissionDenied)) ||
		errors.As(err, new(*serviceerror.InvalidArgument)) ||
		status.Code(err) == codes.Unauthenticated
}
