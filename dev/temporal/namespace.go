package temporal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	persistenceclient "go.temporal.io/server/common/persistence/client"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	"go.temporal.io/server/common/telemetry"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ensureNamespaces creates or updates Temporal's own namespace and the one of o while no service
// runs: each service reads them into its cache when it starts, so nothing has to wait for a
// refresh.
func ensureNamespaces(ctx context.Context, o Options, cfg *config.Config, logger log.Logger) error {
	ctx = headers.SetCallerInfo(ctx, headers.SystemBackgroundHighCallerInfo)
	serializer := serialization.NewSerializer()
	stores := persistenceclient.DataStoreFactoryProvider(
		clusterName, resolver.NewNoopResolver(), &cfg.Persistence, nil, logger,
		metrics.NoopMetricsHandler, telemetry.NoopTracerProvider, serializer)
	factory := persistenceclient.FactoryProvider(persistenceclient.NewFactoryParams{
		DataStoreFactory: stores,
		Cfg:              &cfg.Persistence,
		ClusterName:      clusterName,
		MetricsHandler:   metrics.NoopMetricsHandler,
		Logger:           logger,
		Serializer:       serializer,
	})
	defer factory.Close()
	namespaces, err := factory.NewMetadataManager()
	if err != nil {
		return fmt.Errorf("temporal: open namespace store: %w", err)
	}
	defer namespaces.Close()

	if err := namespaces.InitializeSystemNamespaces(ctx, clusterName); err != nil {
		return fmt.Errorf("temporal: create system namespace: %w", err)
	}
	if err := ensureNamespace(ctx, namespaces, o); err != nil {
		return fmt.Errorf("temporal: namespace %q: %w", o.Namespace, err)
	}
	return nil
}

func ensureNamespace(ctx context.Context, namespaces persistence.MetadataManager, o Options) error {
	stored, err := namespaces.GetNamespace(ctx, &persistence.GetNamespaceRequest{Name: o.Namespace})
	var absent *serviceerror.NamespaceNotFound
	switch {
	case errors.As(err, &absent):
		detail := newNamespace(o.Namespace)
		if _, err := configure(detail.Config, o.Retention, o.SearchAttributes); err != nil {
			return err
		}
		create := &persistence.CreateNamespaceRequest{Namespace: detail}
		if _, err := namespaces.CreateNamespace(ctx, create); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	}

	changed, err := configure(stored.Namespace.Config, o.Retention, o.SearchAttributes)
	if err != nil || !changed {
		return err
	}
	version, err := namespaces.GetMetadata(ctx)
	if err != nil {
		return fmt.Errorf("read version: %w", err)
	}
	stored.Namespace.ConfigVersion++
	if err := namespaces.UpdateNamespace(ctx, &persistence.UpdateNamespaceRequest{
		Namespace:           stored.Namespace,
		IsGlobalNamespace:   stored.IsGlobalNamespace,
		NotificationVersion: version.NotificationVersion,
	}); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

func newNamespace(name string) *persistencespb.NamespaceDetail {
	return &persistencespb.NamespaceDetail{
		Info: &persistencespb.NamespaceInfo{
			Id:    uuid.NewString(),
			Name:  name,
			State: enumspb.NAMESPACE_STATE_REGISTERED,
		},
		Config: &persistencespb.NamespaceConfig{
			HistoryArchivalState:    enumspb.ARCHIVAL_STATE_DISABLED,
			VisibilityArchivalState: enumspb.ARCHIVAL_STATE_DISABLED,
		},
		ReplicationConfig: &persistencespb.NamespaceReplicationConfig{
			ActiveClusterName: clusterName,
			Clusters:          []string{clusterName},
		},
		FailoverVersion:             common.EmptyVersion,
		FailoverNotificationVersion: -1,
	}
}

// configure brings cfg to what the options ask for and says whether that changed anything.
//
// With a SQL store a custom search attribute is a name in the namespace for one of the columns that
// every namespace has, a few per type ("Keyword01" to "Keyword10").
func configure(
	cfg *persistencespb.NamespaceConfig, retention time.Duration, attributes map[string]enumspb.IndexedValueType,
) (changed bool, err error) {
	if cfg.GetRetention().AsDuration() != retention {
		cfg.Retention = durationpb.New(retention)
		changed = true
	}
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	columnOf := make(map[string]string, len(cfg.CustomSearchAttributeAliases))
	for column, name := range cfg.CustomSearchAttributeAliases {
		columnOf[name] = column
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		want := attributes[name]
		if column, ok := columnOf[name]; ok {
			if have := columns[column]; have != want {
				errs = append(errs, fmt.Errorf("search attribute %q is %s already, not %s: "+
					"a type cannot be changed, use another name", name, have, want))
			}
			continue
		}
		column, ok := freeColumn(columns, cfg.CustomSearchAttributeAliases, want)
		if !ok {
			errs = append(errs, fmt.Errorf("no room for search attribute %q: every column of type %s is taken",
				name, want))
			continue
		}
		if cfg.CustomSearchAttributeAliases == nil {
			cfg.CustomSearchAttributeAliases = map[string]string{}
		}
		cfg.CustomSearchAttributeAliases[column] = name
		changed = true
	}
	return changed, errors.Join(errs...)
}

func freeColumn(
	columns map[string]enumspb.IndexedValueType, taken map[string]string, want enumspb.IndexedValueType,
) (string, bool) {
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		if _, used := taken[column]; !used && columns[column] == want {
			return column, true
		}
	}
	return "", false
}
