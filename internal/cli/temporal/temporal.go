// Package temporal reads the settings of Temporal, which are no settings of Pawl's.
package temporal

import (
	"cmp"
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/worker"
)

// Options reads Temporal's own settings: its environment variables, and the profile of its
// configuration file.
func Options(logger *slog.Logger) (client.Options, error) {
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

// Encrypting is Options, of a client that encrypts by the keyring in a file. The keyring is nil if
// no file is named.
func Encrypting(logger *slog.Logger, file string) (client.Options, *codec.Keyring, error) {
	o, err := Options(logger)
	if err != nil || file == "" {
		return o, nil, err
	}
	keys, err := codec.Load(file)
	if err == nil {
		err = keys.Configure(&o)
	}
	if err != nil {
		return o, nil, err
	}
	if keys.ReadsPlain() {
		logger.Warn("payloads that are not encrypted are read, too, as the keyring says; switch that off " +
			"with 'pawl keyring plain refuse' when all calls from before have ended")
	}
	return o, keys, nil
}

// NoAnswer says that a Temporal does not answer, and what to do.
func NoAnswer(o client.Options, err error) error {
	return fmt.Errorf("no answer from Temporal at %s (TLS %s): %w; check TEMPORAL_ADDRESS, "+
		"TEMPORAL_TLS and related settings", o.HostPort, TLS(o), err)
}

// TLS says whether a connection is encrypted. An API key alone makes it so.
func TLS(o client.Options) string {
	if !o.ConnectionOptions.TLSDisabled && (o.ConnectionOptions.TLS != nil || o.Credentials != nil) {
		return "on"
	}
	return "off"
}
