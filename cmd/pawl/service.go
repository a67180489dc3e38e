package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/store"
)

// retryPause lies between two tries at start.
const retryPause = 500 * time.Millisecond

// service is what `pawl worker` and `pawl api` share: processes that run until
// they are told to stop.
type service struct {
	database     database
	taskQueue    string
	logLevel     string
	logFormat    string
	startTimeout time.Duration

	log     *slog.Logger
	started time.Time
}

// flags adds what every service takes.
func (s *service) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.database.url, "database-url", "", "the store: sqlite://`PATH` or postgres://USER@HOST:PORT/DATABASE; other users can see flags: a password belongs into $PAWL_DATABASE_URL or $PGPASSWORD")
	f.StringVar(&s.taskQueue, "task-queue", "pawl", "Temporal task `queue` of calls")
	f.StringVar(&s.logLevel, "log-level", "info", "least `level` of the log on stderr: debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "`form` of the log: text or json")
	f.DurationVar(&s.startTimeout, "start-timeout", 30*time.Second, "how long to wait at start for Temporal, its namespace and the store to come up; 0s tries once")
}

// begin checks the settings and makes the logger.
func (s *service) begin(a *app) error {
	if s.database.url == "" {
		s.database.url = a.Getenv("PAWL_DATABASE_URL")
	}
	s.started = time.Now()
	if err := s.database.validate(); err != nil {
		return usage(err)
	}
	if s.startTimeout < 0 {
		return usage(fmt.Errorf("--start-timeout is negative"))
	}
	var err error
	s.log, err = newLogger(a.Stderr, s.logLevel, s.logFormat)
	return usage(err)
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	least, ok := levels[strings.ToLower(level)]
	if !ok {
		return nil, fmt.Errorf("the log level is not debug, info, warn or error")
	}
	o := &slog.HandlerOptions{Level: least}
	switch strings.ToLower(format) {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("the log format is not text or json")
}

// openStore waits for a store that is about to come up.
func (s *service) openStore(ctx context.Context) (opened store.Store, err error) {
	err = s.await(ctx, "the store", func(ctx context.Context) error {
		opened, err = s.database.open(ctx)
		return err
	}, mayHeal)
	return opened, err
}

// await tries until it works, fails in a way that waiting can't mend, or the
// start's time is over. It says once what it waits for, and again what changes.
func (s *service) await(ctx context.Context, what string, try func(context.Context) error, heals func(error) bool) error {
	deadline := s.started.Add(s.startTimeout)
	said := ""
	for {
		err := try(ctx)
		if err == nil || ctx.Err() != nil || !heals(err) || time.Now().Add(retryPause).After(deadline) {
			return err
		}
		if text := err.Error(); text != said {
			s.log.WarnContext(ctx, "waiting at start", "for", what, "until", deadline.Format(time.TimeOnly), "error", err)
			said = text
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// ready writes the one line that scripts wait for.
func ready(w io.Writer, fields map[string]any) error {
	fields["ready"] = true
	return json.NewEncoder(w).Encode(fields)
}

func urlOf(l net.Listener) string { return "http://" + l.Addr().String() }
