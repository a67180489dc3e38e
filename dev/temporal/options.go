package temporal

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/common/searchattribute/sadefs"
)

// Defaults of [Options].
const (
	DefaultListen        = "127.0.0.1:7233"
	DefaultNamespace     = "default"
	DefaultRetention     = 72 * time.Hour
	DefaultHistoryShards = 4
)

const (
	// minRetention is what Temporal itself allows for a namespace that lives in one cluster.
	minRetention = time.Hour
	// maxHistoryShards bounds the background work: every shard runs its own task queues, and all of
	// them share one SQLite connection.
	maxHistoryShards = 512
)

// Options say what the embedded server runs. Only DataDir is required.
type Options struct {
	// DataDir holds temporal.db (histories, timers and visibility) and temporal.lock. It is created
	// with mode 0700 if absent. One process at a time may use it. Required.
	DataDir string

	// Listen is the host:port of Temporal's gRPC frontend. Port 0 picks a free one. There is no
	// authentication, so keep it on loopback. Defaults to 127.0.0.1:7233.
	Listen string

	// UIListen is the host:port of Temporal's web UI. Port 0 picks a free one. The UI answers only
	// requests whose Host is a loopback name or this host; listening on all addresses adds no name.
	// Defaults to "": no UI.
	UIListen string

	// CodecEndpoint is the URL of what decodes payloads for the UI's pages. Defaults to none.
	CodecEndpoint string

	// Namespace is created if absent. Defaults to "default".
	Namespace string

	// Retention is how long finished workflows stay, at least an hour. Every start applies it to
	// Namespace again. Defaults to 72 hours.
	Retention time.Duration

	// HistoryShards is fixed at the first start of a data directory; a later start with another value
	// fails with [ErrShardsFixed]. A shard handles one write at a time. Defaults to 4.
	HistoryShards int

	// SearchAttributes are custom search attributes that Namespace must have. Those it already has are
	// kept, also when a later start no longer names them. Defaults to none.
	SearchAttributes map[string]enumspb.IndexedValueType

	// Logger receives the server's log at the server's own levels, which are chatty below Warn.
	// Defaults to discarding it.
	Logger *slog.Logger
}

// withDefaults returns o with every empty field set to its default.
func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.Retention == 0 {
		o.Retention = DefaultRetention
	}
	if o.HistoryShards == 0 {
		o.HistoryShards = DefaultHistoryShards
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate reports every problem at once. It expects defaults to be set.
func (o Options) validate() error {
	var errs []error
	if o.DataDir == "" {
		errs = append(errs, errors.New("temporal: DataDir is required: name a directory for temporal.db"))
	}
	if err := validateAddress("Listen", o.Listen); err != nil {
		errs = append(errs, err)
	}
	if o.UIListen != "" {
		if err := validateAddress("UIListen", o.UIListen); err != nil {
			errs = append(errs, err)
		}
	}
	if o.Namespace == primitives.SystemLocalNamespace {
		errs = append(errs, fmt.Errorf("temporal: Namespace %q is Temporal's own: choose another", o.Namespace))
	}
	if o.Retention < minRetention {
		errs = append(errs, fmt.Errorf("temporal: Retention %s is too short: "+
			"Temporal keeps finished workflows for at least %s", o.Retention, minRetention))
	}
	if o.HistoryShards < 1 || o.HistoryShards > maxHistoryShards {
		errs = append(errs, fmt.Errorf("temporal: HistoryShards %d is out of range: use 1 to %d",
			o.HistoryShards, maxHistoryShards))
	}
	for _, name := range slices.Sorted(maps.Keys(o.SearchAttributes)) {
		typ := o.SearchAttributes[name]
		switch {
		case name == "":
			errs = append(errs, errors.New("temporal: a search attribute has an empty name"))
		case sadefs.IsReserved(name):
			errs = append(errs,
				fmt.Errorf("temporal: search attribute name %q is taken by Temporal: choose another", name))
		case typ <= enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED || enumspb.IndexedValueType_name[int32(typ)] == "":
			errs = append(errs, fmt.Errorf("temporal: search attribute %q has unknown type %d", name, typ))
		}
	}
	return errors.Join(errs...)
}

func validateAddress(field, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("temporal: %s %q is not host:port: %w", field, addr, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("temporal: %s %q: port %q is not a number from 0 to 65535", field, addr, port)
	}
	return nil
}

// absolute resolves DataDir, so that a later change of working directory cannot split the data.
func (o Options) absolute() (Options, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return o, fmt.Errorf("temporal: resolve data directory %q: %w", o.DataDir, err)
	}
	o.DataDir = dir
	return o, nil
}
