package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/worker"
)

// rpcTimeout bounds one exchange with Temporal.
const rpcTimeout = 10 * time.Second

// temporalOptions reads Temporal's own settings: its environment variables, and the profile of its
// configuration file.
func temporalOptions(logger *slog.Logger) (client.Options, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return o, fmt.Errorf("settings of Temporal (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, … or its TOML "+
			"file): %w", err)
	}
	o.HostPort = cmp.Or(o.HostPort, client.DefaultHostPort)
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	o.Logger = sdklog.NewStructuredLogger(logger)
	worker.PrepareClient(&o)
	return o, nil
}

// dial connects, and waits for a Temporal that is about to come up.
func (p *process) dial(ctx context.Context, o client.Options) (c client.Client, err error) {
	err = p.await(ctx, "Temporal", func(ctx context.Context) error {
		if c, err = client.DialContext(ctx, o); err != nil {
			return fmt.Errorf("no answer from Temporal at %s (TLS %s): %w; check TEMPORAL_ADDRESS, "+
				"TEMPORAL_TLS and related settings", o.HostPort, tlsOf(o), err)
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

// tlsOf says whether a connection is encrypted. An API key alone makes it so.
func tlsOf(o client.Options) string {
	if !o.ConnectionOptions.TLSDisabled && (o.ConnectionOptions.TLS != nil || o.Credentials != nil) {
		return "on"
	}
	return "off"
}
