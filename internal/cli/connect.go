package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/sqlite"
)

// Setting reads a global flag, or --config, else its environment variable.
func (a *App) Setting(cmd *cobra.Command, flag string) string {
	if f := cmd.Flag(flag); f.Changed {
		return strings.TrimSpace(f.Value.String())
	}
	return strings.TrimSpace(a.Getenv(settings.Variable(flag)))
}

// Client makes the client that the global flags ask for.
func (a *App) Client(cmd *cobra.Command) (*client.Client, error) {
	token, err := a.credential(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{
		URL: a.Setting(cmd, "api"), Token: token,
		Reviewer: a.Setting(cmd, "as"), UserAgent: "pawl-cli/" + build.Version(),
	})
	if err != nil {
		return nil, UsageError(err)
	}
	if token != "" {
		if cmd.Flag("token").Changed {
			a.Note("warning: other users of this machine can see --token; set PAWL_TOKEN instead")
		}
		if strings.HasPrefix(c.URL(), "http://") && !c.Local() {
			a.Note("warning: the token goes to %s unencrypted; use https", c.URL())
		}
	}
	return c, nil
}

// Ask makes the RunE of a command that does nothing before it asks the API.
func (a *App) Ask(
	do func(*cobra.Command, *client.Client, []string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.Client(cmd)
		if err != nil {
			return err
		}
		return do(cmd, c, args)
	}
}

// credential returns the token to send, or none.
func (a *App) credential(cmd *cobra.Command) (string, error) {
	byFlag, byFile := cmd.Flag("token").Changed, cmd.Flag("token-file").Changed
	if byFlag && byFile {
		return "", UsageError(errors.New("give either --token-file or --token"))
	}
	token := a.Setting(cmd, "token")
	path := a.Setting(cmd, "token-file")
	if path == "" || !byFile && token != "" {
		if path != "" && !byFlag {
			a.Note("note: PAWL_TOKEN and PAWL_TOKEN_FILE are both set; PAWL_TOKEN is used")
		}
		return token, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	// What a file holds that is no token is never shown: it may be another secret.
	if !info.Mode().IsRegular() || info.Size() > auth.MaxCredential {
		return "", fmt.Errorf("the token's file %s holds no token: is it the right file?", path)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		a.Note("warning: other users of this machine may read %s; 'chmod 600' keeps them out", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	if token = strings.TrimSpace(string(text)); token == "" {
		return "", fmt.Errorf("the token's file %s is empty", path)
	}
	return token, nil
}

// CheckReviewer refuses to go on where nobody says who decides.
func (a *App) CheckReviewer(cmd *cobra.Command) error {
	if a.Setting(cmd, "token") == "" && a.Setting(cmd, "token-file") == "" && a.Setting(cmd, "as") == "" {
		return UsageError(errors.New("who are you? Give your token with PAWL_TOKEN or --token-file, " +
			"or, where the API authenticates nobody, your name with --as NAME or PAWL_AS"))
	}
	return nil
}

// Reviewer makes a client for deciding, which needs somebody who decides.
func (a *App) Reviewer(cmd *cobra.Command) (*client.Client, error) {
	if err := a.CheckReviewer(cmd); err != nil {
		return nil, err
	}
	return a.Client(cmd)
}

const (
	ownID     = "pawl-" // begins the IDs that Pawl makes
	WhichCall = "which call? 'pawl pending' lists those that wait"

	// leastID is how many characters after ownID stand for a call that is to be decided.
	leastID = 6
	// ShortID is the shortest beginning of an ID that lists show.
	ShortID = len(ownID) + 7
)

// Find returns a call by ID or prefix, also of what follows ownID. Calls the store has not seen
// yet, while no worker runs, are looked up by whole ID where they wait.
func Find(ctx context.Context, c *client.Client, id string) (client.View, error) {
	v, err := c.Request(ctx, id)
	if approval.CodeOf(err) == approval.CodeNotFound {
		if waiting, e := c.Get(ctx, id, 0); e == nil {
			return waiting, nil
		}
		if !strings.HasPrefix(id, ownID) {
			if bare, e := c.Request(ctx, ownID+id); approval.CodeOf(e) != approval.CodeNotFound {
				v, err = bare, e
			}
		}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", id, err)
	}
	return v, nil
}

// WholeID returns the ID that a prefix stands for.
func WholeID(ctx context.Context, c *client.Client, id string) (string, error) {
	if len(id) == len(approval.KeyedID("", "")) && strings.HasPrefix(id, ownID) {
		return id, nil
	}
	v, err := Find(ctx, c, id)
	return cmp.Or(v.ID, id), err
}

// SettingsHelp belongs into the help of each command with a Config.
const SettingsHelp = `Settings come from flags, else from the environment (PAWL_ and the flag's name
in capitals, with _ for -; lists have commas), else from the file that --config
names.`

// TemporalHelp is SettingsHelp for a command that also asks Temporal.
const TemporalHelp = SettingsHelp + `
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
	case settings.IsPostgres(d.URL):
		return postgres.Options{URL: d.URL}.Check()
	case !d.SQLite():
		return errors.New("the database URL must be sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
	}
	return nil
}

func (d Database) SQLite() bool { return strings.HasPrefix(d.URL, settings.SQLite) }

// String names the store without user, password and parameters.
func (d Database) String() string {
	u, err := url.Parse(d.URL)
	switch {
	case d.SQLite():
		return "SQLite " + strings.TrimPrefix(d.URL, settings.SQLite)
	case err != nil || !settings.IsPostgres(d.URL):
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

// Exposed says what of a SQLite store every user of the machine may change: its file or the folder
// around it. It is empty where nothing is.
func (d Database) Exposed() string {
	path, sqlite := strings.CutPrefix(d.URL, settings.SQLite)
	for _, p := range []string{path, filepath.Dir(path)} {
		if sqlite && osfile.OthersMayWrite(p) {
			return "every user of this machine may change " + p + ", and with it calls, permits and the audit log: " +
				"chmod o-w " + p
		}
	}
	return ""
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

// FindToDecide is Find for what changes a call: the beginning of an ID must have some length, and
// stands only for a call that has not ended.
func FindToDecide(ctx context.Context, c *client.Client, id string) (client.View, error) {
	v, err := Find(ctx, c, id)
	if approval.CodeOf(err) == rest.CodeAmbiguous {
		v, err = findPending(ctx, c, id, err)
	}
	if err != nil || v.ID == id || v.ID == ownID+id {
		return v, err
	}
	least, given := ShortID, len(id)
	if strings.HasPrefix(v.ID, ownID) {
		least, given = leastID, len(strings.TrimPrefix(id, ownID))
	}
	switch {
	case given < least:
		return v, fmt.Errorf("%s: too little of an ID to decide a call by: give at least %d characters%s, "+
			"or the whole ID", id, least, map[bool]string{true: " after " + ownID}[least == leastID])
	case v.Status.Ended():
		return v, fmt.Errorf("%s: no call that waits has an ID that begins like this; %s has ended (%s)",
			id, v.ID, v.Status)
	}
	return v, nil
}

// findPending returns the one call among those that fit an ambiguous ID that waits for people.
func findPending(ctx context.Context, c *client.Client, id string, ambiguous error) (
	found client.View, err error) {
	page, err := c.Requests(ctx, client.RequestQuery{Limit: client.MoreThan})
	if err != nil {
		return found, err
	}
	for _, v := range page.Items {
		if !strings.HasPrefix(v.ID, id) && !strings.HasPrefix(v.ID, ownID+id) {
			continue
		}
		if found.ID != "" {
			return client.View{}, ambiguous
		}
		found = v
	}
	if found.ID == "" || page.Next != "" {
		return client.View{}, ambiguous
	}
	return found, nil
}
