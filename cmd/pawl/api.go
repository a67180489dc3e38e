package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/store/sqlite"
)

// api is named serve here: the package api has the better claim.
func (a *app) serve() *cobra.Command {
	var listen, database string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Long: `Serve the HTTP API, next to a worker that runs elsewhere: in the dev stack, for
instance. As many of them as wanted may run at once. The store is read only, and
everything that is decided goes through Temporal.

Which Temporal is told by its own environment variables and configuration file
(TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_API_KEY, …).

There is no authentication yet, so only a loopback address is served.`,
		Example: `  TEMPORAL_ADDRESS=127.0.0.1:7233 pawl api --database-url sqlite://.pawl/pawl.db --listen 127.0.0.1:7296`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if database == "" {
				database = a.Getenv("PAWL_DATABASE_URL")
			}
			path, err := sqlitePath(database)
			if err != nil {
				return usage(err)
			}
			logger := slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return serveAPI(cmd, path, listen, hosts, logger)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:7295", "loopback `address` to serve; port 0 picks one")
	f.StringVar(&database, "database-url", "", "the store, as sqlite://`PATH` (default $PAWL_DATABASE_URL)")
	f.StringArrayVar(&hosts, "host", nil, "further host `name` under which the API may be addressed")
	return cmd
}

func sqlitePath(url string) (string, error) {
	path, ok := strings.CutPrefix(url, "sqlite://")
	switch {
	case url == "":
		return "", errors.New("which store? give --database-url sqlite://PATH, or PAWL_DATABASE_URL")
	case !ok || path == "":
		// The address itself stays out: it may hold a password.
		return "", errors.New("the database URL must be sqlite://PATH; other databases are not offered by this version")
	}
	return path, nil
}

func serveAPI(cmd *cobra.Command, path, listen string, hosts []string, logger *slog.Logger) error {
	ctx := cmd.Context()
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return fmt.Errorf("settings of Temporal: %w", err)
	}
	options.Logger = sdklog.NewStructuredLogger(logger)
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("no answer from Temporal at %s: %w; set TEMPORAL_ADDRESS", options.HostPort, err)
	}
	defer temporal.Close()
	store, err := sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		return err
	}
	defer store.Close()
	server, err := api.New(api.Options{Temporal: temporal, Namespace: options.Namespace, Store: store, Hosts: hosts, Logger: logger})
	if err != nil {
		return err
	}
	listener, err := api.Listen(listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "{\"ready\":true,\"api\":\"http://%s\"}\n", listener.Addr())
	return server.Serve(ctx, listener)
}
