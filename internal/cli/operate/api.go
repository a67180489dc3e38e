package operate

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
)

// apiCommand holds the settings of `pawl api`.
type apiCommand struct {
	cli.Site
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
	s.Database.KeepSchema = true
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

` + cli.SettingsHelp + `

When it serves, one line of JSON goes to stdout; the log goes to stderr. SIGINT,
SIGTERM and SIGHUP stop it: requests under way are answered first. A second
signal ends it at once.`,
		Example: `  pawl api --database-url sqlite://.pawl/pawl.db --listen 127.0.0.1:7296
  pawl api --auth tokens --listen :7295 --host pawl.example.com --tls-cert cert.pem --tls-key key.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Begin(a.App, cmd); err != nil {
				return err
			}
			if err := s.Database.Validate(); err != nil {
				return cli.UsageError(err)
			}
			s.Database.ReadOnly = s.readOnly || s.Database.SQLite()
			if err := errors.Join(s.checkCodec(), s.access.check()); err != nil {
				return cli.UsageError(err)
			}
			return s.run(cmd)
		},
	}
	s.Flags(cmd)
	s.QueueFlag(cmd)
	s.KeysFlag(cmd)
	s.StartFlag(cmd)
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
	case len(s.codecOrigins) > 0 && s.PayloadKeys == "":
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
	options, err := temporalOptions(s.Log)
	if err != nil {
		return err
	}
	keys, err := s.Encrypt(&options)
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
	listener, err := exposure.Listen(s.listen, !s.access.has(cli.AuthNone))
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	defer listener.Close() // Serve closes it, too
	temporal, err := dial(ctx, &s.Site, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	opened, err := s.OpenStore(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	id, err := opened.ID(ctx)
	if err != nil {
		return err
	}
	if err := health.SameStore(ctx, temporal, s.TaskQueue, id); err != nil {
		return err
	}
	authenticator, err := s.access.authenticator(opened, s.Log)
	if err != nil {
		return err
	}
	if s.access.has(cli.AuthTokens) && !s.access.has(cli.AuthOIDC) {
		if admins, err := cli.AdminTokens(ctx, opened); err == nil && len(admins) == 0 {
			s.Log.WarnContext(ctx, "there is no administrator's token that works", "advice", cli.AdviceFirstToken)
		}
	}
	signer, err := s.access.signer(ctx, opened, cmd.Flag("signing-key").Changed, s.Log)
	if err != nil {
		return err
	}
	server, err := api.New(api.Options{
		Temporal: temporal, Namespace: options.Namespace, Store: opened, TaskQueue: s.TaskQueue, Hosts: s.hosts, Logger: s.Log,
		Auth: authenticator, Signer: signer, Exposure: exposure, Limits: s.access.limits(), Codec: s.codec(keys),
	})
	if err != nil {
		return err
	}
	if err := cli.AnnounceReady(cmd.OutOrStdout(), map[string]any{"api": exposure.URL(listener.Addr()), "task_queue": s.TaskQueue, "namespace": options.Namespace}); err != nil {
		return err
	}
	return server.Serve(ctx, listener)
}
