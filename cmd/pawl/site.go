package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/store"
)

// retryPause lies between two tries at start.
const retryPause = 500 * time.Millisecond

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// site is what the operators' commands share: worker, api, setup and doctor.
// Which Temporal they talk to is no setting of Pawl's.
type site struct {
	database     database
	payloadKeys  string // file; empty: payloads are plain
	taskQueue    string
	logLevel     string
	logFormat    string
	startTimeout time.Duration // zero: try once

	log     *slog.Logger
	started time.Time
}

// flags adds what all of them take.
func (s *site) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("config", "", "configuration `file`; paths in it are relative to it (default $PAWL_CONFIG)")
	f.StringVar(&s.database.url, "database-url", "", "`URL` of the store: sqlite://PATH or postgres://USER@HOST:PORT/DATABASE. Other users can see flags: a password belongs into $PAWL_DATABASE_URL, $PGPASSWORD or a passfile")
	f.StringVar(&s.logLevel, "log-level", "info", "least `level` of the log on stderr: debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "`form` of the log: text or json")
}

func (s *site) queueFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.taskQueue, "task-queue", approval.TaskQueue, "Temporal task `queue` of calls")
}

func (s *site) startFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&s.startTimeout, "start-timeout", 30*time.Second, "how long to wait at start for Temporal, its namespace and the store; 0s tries once")
}

func (s *site) keysFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.payloadKeys, "payload-keys", "", "keyring `file`: with it everything that goes to Temporal is encrypted. See 'pawl keyring --help' (default none: plain text)")
}

// encrypt lets a client encrypt by the keyring that was named. It returns nil
// if none was.
func (s *site) encrypt(o *client.Options) (*codec.Keyring, error) {
	if s.payloadKeys == "" {
		return nil, nil
	}
	keys, err := codec.Load(s.payloadKeys)
	if err == nil {
		err = keys.Configure(o)
	}
	if err != nil {
		return nil, err
	}
	if keys.ReadsPlain() {
		s.log.Warn("payloads that are not encrypted are read, too, as the keyring says; switch that off with 'pawl keyring plain refuse' when all calls from before have ended")
	}
	return keys, nil
}

// begin reads the settings, checks them and makes the logger.
func (s *site) begin(a *app, cmd *cobra.Command) error {
	inSight := cmd.Flag("database-url").Changed
	if err := a.settle(cmd); err != nil {
		return err
	}
	if inSight && s.database.password() {
		a.note("warning: other users of this machine can see the password in --database-url; set PAWL_DATABASE_URL instead")
	}
	s.started = time.Now()
	if s.startTimeout < 0 {
		return usage(errors.New("--start-timeout is negative"))
	}
	var err error
	s.log, err = newLogger(a.Stderr, s.logLevel, s.logFormat)
	return usage(err)
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if !slices.Contains(logLevels, level) || least.UnmarshalText([]byte(level)) != nil {
		return nil, fmt.Errorf("the log level is not %s", strings.Join(logLevels, ", "))
	}
	o := &slog.HandlerOptions{Level: least}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("the log format is not %s", strings.Join(logFormats, " or "))
}

// openStore waits for a store that is about to come up.
func (s *site) openStore(ctx context.Context) (opened store.Store, err error) {
	err = s.await(ctx, "the store", func(ctx context.Context) error {
		opened, err = s.database.open(ctx)
		return err
	}, mayHeal)
	return opened, err
}

// await tries until it works, fails in a way that waiting can't mend, or the
// start's time is over. It says what it waits for, and again when that changes.
func (s *site) await(ctx context.Context, what string, try func(context.Context) error, heals func(error) bool) error {
	deadline := s.started.Add(s.startTimeout)
	said := ""
	for {
		err := try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting for %s: %w", what, ctx.Err())
		case !heals(err), time.Now().Add(retryPause).After(deadline):
			return err
		}
		if text := err.Error(); text != said {
			s.log.WarnContext(ctx, "waiting at start", "for", what, "until", deadline.UTC().Format(time.RFC3339), "error", err)
			said = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// announce writes the one line that scripts wait for.
func announce(w io.Writer, fields map[string]any) error {
	fields["ready"] = true
	return json.NewEncoder(w).Encode(fields)
}

func urlOf(l net.Listener) string { return "http://" + l.Addr().String() }
