package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/sqlite"
)

// SettingsHelp belongs into the help of each command with a Config.
const SettingsHelp = `Settings come from flags, else from the environment (--stop-timeout is
PAWL_STOP_TIMEOUT; lists have commas), else from the file that --config names.
Temporal's own variables and TOML file say which Temporal: TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_API_KEY, ….`

// Config holds the settings of one command.
type Config struct {
	settings.Settings
	Database Database // its URL is that of the settings
	table    settings.Table
}

// AddFlags adds the flags of all settings that the command takes.
func (c *Config) AddFlags(cmd *cobra.Command, takes settings.Command) {
	c.table = c.Table().For(takes)
	c.table.AddFlags(cmd.Flags())
}

// Read reads the settings from everywhere, and checks them.
func (c *Config) Read(a *App, cmd *cobra.Command) error {
	visible := cmd.Flags().Changed("database-url")
	var file settings.File
	if path := a.Setting(cmd, "config"); path != "" {
		var err error
		if file, err = new(settings.Settings).Table().ReadFile(path); err != nil {
			return fmt.Errorf("configuration:\n%w", err)
		}
	}
	if err := errors.Join(c.table.Set(cmd.Flags(), a.Getenv, file), c.table.Check()); err != nil {
		return UsageError(err)
	}
	c.Database.URL = c.DatabaseURL
	if visible && c.Database.password() {
		a.Note("warning: other users of this machine can see the password in --database-url; set " +
			"PAWL_DATABASE_URL instead")
	}
	return nil
}

// UnknownVariables returns a message about each variable of the environment that begins like Pawl's
// and is not one of them.
func (a *App) UnknownVariables() []string {
	return new(settings.Settings).Table().Unknown(a.Environ())
}

// Database says which store a command uses and what it may do there.
type Database struct {
	URL        string // sqlite://PATH, postgres://… or postgresql://…
	ReadOnly   bool
	KeepSchema bool         // in Postgres: leave the schema as it is
	Logger     *slog.Logger // of a process that owns the store; nil: nothing is logged
}

// Validate checks the URL and the files that it names, so that a bad one is reported before anything
// is started. Errors never hold the URL: it may hold a password.
func (d Database) Validate() error {
	switch {
	case d.URL == "":
		return errors.New("which store? set PAWL_DATABASE_URL, or give --database-url: sqlite://PATH or " +
			"postgres://USER@HOST:PORT/DATABASE")
	case d.URL == settings.SQLite:
		return errors.New("the database URL names no file: write sqlite://PATH")
	case d.postgres():
		return postgres.Options{URL: d.URL}.Check()
	case !d.SQLite():
		return errors.New("the database URL must be sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
	}
	return nil
}

func (d Database) SQLite() bool { return strings.HasPrefix(d.URL, settings.SQLite) }

func (d Database) postgres() bool { return settings.IsPostgres(d.URL) }

// String names the store without user, password and parameters.
func (d Database) String() string {
	u, err := url.Parse(d.URL)
	switch {
	case d.SQLite():
		return "SQLite " + strings.TrimPrefix(d.URL, settings.SQLite)
	case err != nil || !d.postgres():
		return "unreadable URL"
	}
	return "Postgres " + u.Host + u.Path
}

// password reports whether the URL holds one.
func (d Database) password() bool {
	u, err := url.Parse(d.URL)
	if err != nil {
		return false
	}
	_, given := u.User.Password()
	return given || u.Query().Has("password")
}

// Open opens the store. Errors name host and database or the file, and never repeat the URL.
func (d Database) Open(ctx context.Context) (store.Store, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if d.SQLite() {
		path := strings.TrimPrefix(d.URL, settings.SQLite)
		return orNil(sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: d.ReadOnly, Logger: d.Logger}))
	}
	return orNil(postgres.Open(ctx,
		postgres.Options{URL: d.URL, ReadOnly: d.ReadOnly, KeepSchema: d.KeepSchema}))
}

// orNil keeps a nil pointer from becoming an interface that is not nil.
func orNil[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenExisting opens a store that is there with this Pawl's schema, and changes neither: for
// writing, SQLite would make one that is missing, and upgrade an older one.
func (d Database) OpenExisting(ctx context.Context) (store.Store, error) {
	look := d
	look.ReadOnly, d.KeepSchema = true, true
	opened, err := look.Open(ctx)
	if err != nil || d.ReadOnly {
		return opened, err
	}
	if err := opened.Close(); err != nil {
		return nil, err
	}
	return d.Open(ctx)
}

// MayRecover reports whether a store that did not open may do so soon: its server starts, its owner
// ends, or somebody is about to set it up or upgrade it.
func MayRecover(err error) bool {
	return errors.Is(err, postgres.ErrUnavailable) || errors.Is(err, postgres.ErrBusy) ||
		errors.Is(err, postgres.ErrStandby) || errors.Is(err, sqlite.ErrOwned) || NeedsSetup(err)
}

// NeedsSetup reports that there is no store yet, or one for an older Pawl.
func NeedsSetup(err error) bool {
	missing := errors.Is(err, postgres.ErrMissing) || errors.Is(err, sqlite.ErrMissing)
	return (missing || errors.Is(err, store.ErrSchema)) && !errors.Is(err, store.ErrNewer)
}
