package cli

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

// RetryPause lies between two tries at start.
const RetryPause = 500 * time.Millisecond

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// Site is what the operators' commands share: worker, api, setup and doctor.
// Which Temporal they talk to is no setting of Pawl's.
type Site struct {
	Database     Database
	PayloadKeys  string // file; empty: payloads are plain
	TaskQueue    string
	LogLevel     string
	logFormat    string
	startTimeout time.Duration // zero: try once

	Log     *slog.Logger
	started time.Time
}

// Flags adds what all of them take.
func (s *Site) Flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("config", "", "configuration `file`; paths in it are relative to it (default $PAWL_CONFIG)")
	f.StringVar(&s.Database.URL, "database-url", "", "`URL` of the store: sqlite://PATH or postgres://USER@HOST:PORT/DATABASE. Other users can see flags: a password belongs into $PAWL_DATABASE_URL, $PGPASSWORD or a passfile")
	f.StringVar(&s.LogLevel, "log-level", "info", "least `level` of the log on stderr: debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "`form` of the log: text or json")
}

func (s *Site) QueueFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.TaskQueue, "task-queue", approval.TaskQueue, "Temporal task `queue` of calls")
}

func (s *Site) StartFlag(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&s.startTimeout, "start-timeout", 30*time.Second, "how long to wait at start for Temporal, its namespace and the store; 0s tries once")
}

func (s *Site) KeysFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.PayloadKeys, "payload-keys", "", "keyring `file`: with it everything that goes to Temporal is encrypted. See 'pawl keyring --help' (default none: plain text)")
}

// Encrypt lets a client encrypt by the keyring that was named. It returns nil
// if none was.
func (s *Site) Encrypt(o *client.Options) (*codec.Keyring, error) {
	if s.PayloadKeys == "" {
		return nil, nil
	}
	keys, err := codec.Load(s.PayloadKeys)
	if err == nil {
		err = keys.Configure(o)
	}
	if err != nil {
		return nil, err
	}
	if keys.ReadsPlain() {
		s.Log.Warn("payloads that are not encrypted are read, too, as the keyring says; switch that off with 'pawl keyring plain refuse' when all calls from before have ended")
	}
	return keys, nil
}

// Begin reads the settings, checks them and makes the logger.
func (s *Site) Begin(a *App, cmd *cobra.Command) error {
	inSight := cmd.Flag("database-url").Changed
	if err := a.ReadSettings(cmd); err != nil {
		return err
	}
	if inSight && s.Database.password() {
		a.Note("warning: other users of this machine can see the password in --database-url; set PAWL_DATABASE_URL instead")
	}
	s.started = time.Now()
	if s.startTimeout < 0 {
		return UsageError(errors.New("--start-timeout is negative"))
	}
	var err error
	s.Log, err = newLogger(a.Stderr, s.LogLevel, s.logFormat)
	return UsageError(err)
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

// OpenStore waits for a store that is about to come up.
func (s *Site) OpenStore(ctx context.Context) (opened store.Store, err error) {
	err = s.Await(ctx, "the store", func(ctx context.Context) error {
		opened, err = s.Database.Open(ctx)
		return err
	}, MayRecover)
	return opened, err
}

// Await tries until it works, fails in a way that waiting can't mend, or the
// start's time is over. It says what it waits for, and again when that changes.
func (s *Site) Await(ctx context.Context, what string, try func(context.Context) error, heals func(error) bool) error {
	deadline := s.started.Add(s.startTimeout)
	said := ""
	for {
		err := try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting for %s: %w", what, ctx.Err())
		case !heals(err), time.Now().Add(RetryPause).After(deadline):
			return err
		}
		if text := err.Error(); text != said {
			s.Log.WarnContext(ctx, "waiting at start", "for", what, "until", deadline.UTC().Format(time.RFC3339), "error", err)
			said = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(RetryPause):
		}
	}
}

// AnnounceReady writes the one line that scripts wait for.
func AnnounceReady(w io.Writer, fields map[string]any) error {
	fields["ready"] = true
	return json.NewEncoder(w).Encode(fields)
}

func URLOf(l net.Listener) string { return "http://" + l.Addr().String() }
