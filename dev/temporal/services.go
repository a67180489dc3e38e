package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/common/resource"
	"go.temporal.io/server/service/frontend"
	"go.temporal.io/server/service/history"
	"go.temporal.io/server/service/history/replication"
	"go.temporal.io/server/service/matching"
	"go.temporal.io/server/service/worker"
	"go.temporal.io/server/temporal"
	"go.uber.org/fx"
)

// serviceStartTimeout bounds the start of one service. On an idle machine all four take 0.2 s.
const serviceStartTimeout = 30 * time.Second

// service is one of Temporal's four, as its own fx application, like in Temporal's own server.
type service struct {
	name   primitives.ServiceName
	app    *fx.App
	opened *resources
}

// serviceOrder is the order of starting: each service calls those before it.
var serviceOrder = []primitives.ServiceName{
	primitives.MatchingService,
	primitives.HistoryService,
	primitives.FrontendService,
	primitives.WorkerService,
}

// buildServices puts the services together without starting them. With an error it answers those
// that must be closed all the same.
//
// It stands in for temporal.NewServer, from the same exported parts, because that one opens its
// ports itself long after they were chosen, cannot be cancelled, leaves services running when a
// later one does not start, and sets up trace exporters from the environment.
func buildServices(
	cfg *config.Config, listeners map[primitives.ServiceName]net.Listener, logger log.Logger,
) ([]service, error) {
	claims := func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }
	options := []temporal.ServerOption{
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(staticHosts(listeners)),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(claims),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	}
	var shared temporal.ServiceProviderParamsCommon
	root := fx.New(
		fx.Supply(options),
		fx.Provide(
			temporal.ServerOptionsProvider,
			temporal.ApplyClusterMetadataConfigProvider,
			temporal.TaskCategoryRegistryProvider,
			resource.ArchivalMetadataProvider,
			func() []trace.SpanExporter { return nil },
		),
		dynamicconfig.Module,
		serialization.Module,
		temporal.FxLogAdapter,
		fx.Invoke(func(p temporal.ServiceProviderParamsCommon) { shared = p }),
	)
	if err := root.Err(); err != nil {
		return nil, fmt.Errorf("temporal: configure server: %w", err)
	}

	modules := map[primitives.ServiceName]fx.Option{
		primitives.MatchingService: matching.Module,
		primitives.HistoryService:  fx.Options(history.QueueModule, history.Module, replication.Module),
		primitives.FrontendService: fx.Options(fx.Supply(shared.CustomFrontendInterceptors), frontend.Module),
		primitives.WorkerService:   worker.Module,
	}
	services := make([]service, 0, len(serviceOrder))
	for _, name := range serviceOrder {
		opened := &resources{}
		app := fx.New(shared.GetCommonServiceOptions(name), modules[name], opened.option(listeners[name]))
		services = append(services, service{name: name, app: app, opened: opened})
		if err := app.Err(); err != nil {
			return services, fmt.Errorf("temporal: build %s service: %w", name, err)
		}
	}
	return services, nil
}

// start starts the service. What it opened must be closed with stop even if that fails.
func (s *service) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, serviceStartTimeout)
	defer cancel()
	if err := s.app.Start(ctx); err != nil {
		return fmt.Errorf("temporal: start %s service: %w", s.name, err)
	}
	return nil
}

// stop ends the service, started or not.
func (s *service) stop(ctx context.Context) error {
	defer s.opened.close()
	if err := s.app.Stop(ctx); err != nil {
		return fmt.Errorf("temporal: stop %s service: %w", s.name, err)
	}
	return nil
}

// startServices starts all in order.
//
// Cancelling ctx takes effect between services: fx would otherwise stop a service whose start is
// still running.
func startServices(ctx context.Context, services []service) error {
	for i := range services {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := services[i].start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// stopServices stops all in reverse order.
func stopServices(ctx context.Context, services []service) error {
	var errs []error
	for i := range slices.Backward(services) {
		errs = append(errs, services[i].stop(ctx))
	}
	return errors.Join(errs...)
}
