package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/worker"
)

type apiCommand struct{ process }

// api is named serve here: the package api has the better claim.
func (a *app) serve() *cobra.Command {
	s := &apiCommand{}
	s.Database.KeepSchema = true
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Long: `Serve the HTTP API; workers are other processes. Any number of APIs may run at
once. Decisions go through Temporal. To the store the API writes policies,
tokens, and which decisions it refused. It can't do that with --read-only, or
beside a worker on SQLite, which owns the file.

Without --auth callers are not authenticated, so only a loopback address is
served. Other addresses need --auth and either a certificate or a proxy that
ends TLS.

` + cli.TemporalHelp + `

When it is ready, one line of JSON goes to stdout; the log goes to stderr.
SIGINT, SIGTERM and SIGHUP stop it: requests under way are answered first. A
second signal ends it at once.`,
		Example: `  pawl api --database-url sqlite://.pawl/pawl.db --listen 127.0.0.1:7296
  pawl api --auth tokens --listen :7295 --tls-cert cert.pem --tls-key key.pem`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.begin(a, cmd); err != nil {
				return err
			}
			if err := s.Database.Validate(); err != nil {
				return cli.UsageError(err)
			}
			s.Database.ReadOnly = s.ReadOnly || s.Database.SQLite()
			if err := errors.Join(s.checkCodec(), s.checkAccess()); err != nil {
				return cli.UsageError(err)
			}
			return s.run(cmd)
		},
	}
	s.AddFlags(cmd, settings.API)
	return cmd
}

func (s *apiCommand) checkCodec() error {
	switch {
	case len(s.CodecOrigins) > 0 && s.PayloadKeys == "":
		return errors.New("--codec-origin needs --payload-keys: without a keyring there is nothing to decode")
	case s.CodecEncode && len(s.CodecOrigins) == 0:
		return errors.New("--codec-encode needs --codec-origin: the codec endpoint is off")
	}
	return nil
}

// codec is what the API serves under /codec/, or nil.
func (s *apiCommand) codec(keys *codec.Keyring) *api.CodecOptions {
	if len(s.CodecOrigins) == 0 {
		return nil
	}
	return &api.CodecOptions{Keyring: keys, Origins: s.CodecOrigins, Encode: s.CodecEncode}
}

// callers serves those who run tools themselves, where this API may write its store. A call is judged
// once more when it starts, by the policy that is active then.
func (s *apiCommand) callers(ctx context.Context, opened store.Store) (api.Callers, func(), error) {
	if s.Database.ReadOnly {
		return nil, func() {}, nil
	}
	judge, err := active.Follow(ctx, active.Options{Store: opened, Logger: s.log})
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	callers, err := worker.NewCallers(ctx, opened, judge, s.log)
	return callers, judge.Close, err
}

func (s *apiCommand) run(cmd *cobra.Command) (err error) {
	ctx := cmd.Context()
	options, keys, err := s.temporalOptions()
	if err != nil {
		return err
	}
	exposure, err := s.exposure()
	if err != nil {
		return err
	}
	if err := exposure.Check(); err != nil {
		return err
	}
	listener, err := exposure.Listen(s.APIListen, !s.hasAuth(settings.AuthNone))
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
	if err := health.SameStore(ctx, temporal, s.TaskQueue, id); err != nil {
		return err
	}
	authenticator, err := s.authenticator(opened, s.log)
	if err != nil {
		return err
	}
	if s.hasAuth(settings.AuthTokens) && !s.hasAuth(settings.AuthOIDC) {
		if tokens, err := admin.Tokens(ctx, opened); err == nil && len(admin.LiveAdmins(tokens)) == 0 {
			s.log.WarnContext(ctx, "there is no administrator's token "+
				"that works", "advice", admin.AdviceFirstToken)
		}
	}
	signer, err := s.signer(ctx, opened, cmd.Flag("signing-key").Changed, s.log)
	if err != nil {
		return err
	}
	callers, stop, err := s.callers(ctx, opened)
	if err != nil {
		return err
	}
	defer stop()
	server, err := api.New(api.Options{
		Callers:  callers,
		Temporal: temporal, Namespace: options.Namespace, Converter: options.DataConverter,
		Store: opened, TaskQueue: s.TaskQueue,
		Hosts: s.Hosts, PublicURL: s.PublicURL, Logger: s.log,
		Auth: authenticator, Login: s.login(authenticator), Signer: signer, Exposure: exposure,
		Codec:  s.codec(keys),
		Limits: api.Limits{PerSecond: float64(s.MaxRate), Pending: s.MaxPending},
	})
	if err != nil {
		return err
	}
	err = announceReady(cmd.OutOrStdout(), map[string]any{
		"api": exposure.URL(listener.Addr()), "task_queue": s.TaskQueue, "namespace": options.Namespace,
	})
	if err != nil {
		return err
	}
	return server.Serve(ctx, listener)
}
