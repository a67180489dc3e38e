package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
)

// apiCommand holds the settings of `pawl api`.
type apiCommand struct {
	site
	access       access
	listen       string
	hosts        []string
	readOnly     bool
	codecOrigins []string
	codecEncode  bool
}

// api is named serve here: the package api has the better claim.
func (a *app) serve() *cobra.Command {
	s := &apiCommand{}
	s.database.keepSchema = true
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Long: `Serve the HTTP API, next to workers that run elsewhere. As many of them as
wanted may run at once. Everything that is decided goes through Temporal; to the
store the API writes the policies that it is told to apply, tokens, and which
decisions it refused. It can't do that with --read-only, or beside a worker on
SQLite, which owns the file.

Without --auth nobody is known, so only a loopback address is served. Other
addresses need --auth and either a certificate or a proxy that ends TLS.

` + settingsHelp + `

When it serves, one line of JSON goes to stdout; the log goes to stderr. SIGINT,
SIGTERM and SIGHUP stop it: requests under way are answered first. A second
signal ends it at once.`,
		Example: `  pawl api --database-url sqlite://.pawl/pawl.db --listen 127.0.0.1:7296
  pawl api --auth tokens --listen :7295 --host pawl.example.com --tls-cert cert.pem --tls-key key.pem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.begin(a, cmd); err != nil {
				return err
			}
			if err := s.database.validate(); err != nil {
				return usage(err)
			}
			s.database.readOnly = s.readOnly || s.database.sqlite()
			if err := errors.Join(s.checkCodec(), s.access.check()); err != nil {
				return usage(err)
			}
			return s.run(cmd)
		},
	}
	s.flags(cmd)
	s.queueFlag(cmd)
	s.keysFlag(cmd)
	s.startFlag(cmd)
	f := cmd.Flags()
	s.access.flags(cmd)
	f.StringVar(&s.listen, "listen", "127.0.0.1:7295", "`address` to serve; port 0 picks one")
	f.BoolVar(&s.readOnly, "read-only", false, "never write to the store: no policies, tokens and signing keys by this API")
	f.StringArrayVar(&s.hosts, "host", nil, "further host `name` under which the API may be addressed")
	f.StringArrayVar(&s.codecOrigins, "codec-origin", nil, "`origin` of Temporal's UI, https://HOST: its pages may have payloads decoded under /codec/ (default none: the codec endpoint is off)")
	f.BoolVar(&s.codecEncode, "codec-encode", false, "let the codec endpoint encrypt, too: for signals with a payload from Temporal's UI")
	return cmd
}

func (s *apiCommand) checkCodec() error {
	switch {
	case len(s.codecOrigins) > 0 && s.payloadKeys == "":
		return errors.New("--codec-origin needs --payload-keys: without a keyring there is nothing to decode")
	case s.codecEncode && len(s.codecOrigins) == 0:
		return errors.New("--codec-encode needs --codec-origin: the codec endpoint is off")
	}
	for _, origin := range s.codecOrigins {
		if err := codec.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--codec-origin: %w", err)
		}
	}
	return nil
}

// codec is what the API serves under /codec/, or nil.
func (s *apiCommand) codec(keys *codec.Keyring) *api.CodecOptions {
	if len(s.codecOrigins) == 0 {
		return nil
	}
	return &api.CodecOptions{Keyring: keys, Origins: s.codecOrigins, Encode: s.codecEncode}
}

func (s *apiCommand) run(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	options, err := temporalOptions(s.log)
	if err != nil {
		return err
	}
	keys, err := s.encrypt(&options)
	if err != nil {
		return err
	}
	exposure, err := s.access.exposure()
	if err != nil {
		return err
	}
	if err := exposure.Check(); err != nil {
		return err
	}
	listener, err := exposure.Listen(s.listen, !s.access.has(authNone))
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	defer listener.Close() // Serve closes it, too
	temporal, err := s.dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	opened, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	id, err := opened.ID(ctx)
	if err != nil {
		return err
	}
	if err := health.SameStore(ctx, temporal, s.taskQueue, id); err != nil {
		return err
	}
	authenticator, err := s.access.authenticator(opened, s.log)
	if err != nil {
		return err
	}
	if s.access.has(authTokens) && !s.access.has(authOIDC) {
		if admins, err := adminTokens(ctx, opened); err == nil && len(admins) == 0 {
			s.log.WarnContext(ctx, "there is no administrator's token that works", "advice", adviceFirstToken)
		}
	}
	signer, err := s.access.signer(ctx, opened, cmd.Flag("signing-key").Changed, s.log)
	if err != nil {
		return err
	}
	server, err := api.New(api.Options{
		Temporal: temporal, Namespace: options.Namespace, Store: opened, TaskQueue: s.taskQueue, Hosts: s.hosts, Logger: s.log,
		Auth: authenticator, Signer: signer, Exposure: exposure, Limits: s.access.limits(), Codec: s.codec(keys),
	})
	if err != nil {
		return err
	}
	if err := announce(cmd.OutOrStdout(), map[string]any{"api": exposure.URL(listener.Addr()), "task_queue": s.taskQueue, "namespace": options.Namespace}); err != nil {
		return err
	}
	return server.Serve(ctx, listener)
}
