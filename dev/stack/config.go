// Package stack runs everything Pawl needs in one process: Temporal with its UI, the store, a
// worker and the API. It is what pawl-dev starts, and what end-to-end tests start in parts.
package stack

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/temporal"
	"github.com/pawlhq/pawl/internal/settings"
)

// DefaultFile is the configuration that is read if none is named.
const DefaultFile = "temporal-dev.yaml"

// Config says what the stack runs. Default fills it; a file and flags change it. Of Pawl's own
// settings it takes DatabaseURL (a Postgres for Pawl's store; Temporal keeps its own files; empty:
// SQLite under Data), APIListen, PublicURL, OrdinarySteps, Decisions, Policy (files, one layer
// each, applied now and as they change; none: the store's policy stays), Tools, PayloadKeys
// (implies Encrypt) and LogLevel.
type Config struct {
	settings.Settings

	Data      string // directory of all files; created if absent
	Namespace string

	TemporalListen    string
	TemporalRetention time.Duration
	TemporalLogLevel  string // of Temporal's server: debug, info, warn, error
	HistoryShards     int

	UIListen string
	Auth     string // how the API knows its callers: AuthNone or AuthTokens

	NoUI, NoAPI, NoWorker bool

	SampleTools bool
	Encrypt     bool // encrypt payloads by the keyring in Data, which is made at the first start
}

// table is every setting of the dev stack: Pawl's own, some at other places, and the stack's.
func (c *Config) table() settings.Table {
	pawl := c.Settings.Table()
	return settings.Table{
		{Flag: "config", Kind: settings.Text(&c.Config, DefaultFile), Help: "configuration file"},
		{Flag: "data", Place: "data", Kind: settings.Path(&c.Data, ".pawl"), Help: "directory of all data"},
		{Place: "namespace", Kind: settings.Text(&c.Namespace, temporal.DefaultNamespace)},
		pawl.Row("database-url").As("database-url", "database_url",
			"Postgres for Pawl's store, postgres://USER@HOST:PORT/DATABASE; a password belongs into $PGPASSWORD "+
				"(default SQLite in the data directory)"),
		{Flag: "temporal-listen", Place: "temporal.listen",
			Kind: settings.Text(&c.TemporalListen, temporal.DefaultListen),
			Help: "address of Temporal; port 0 picks one"},
		{Place: "temporal.history_shards",
			Kind: settings.Number(&c.HistoryShards, temporal.DefaultHistoryShards, 1, 512)},
		{Place: "temporal.retention",
			Kind: settings.Duration(&c.TemporalRetention, temporal.DefaultRetention, settings.MaxRetention)},
		{Place: "temporal.log_level",
			Kind: settings.Choice(&c.TemporalLogLevel, "error", "debug", "info", "warn", "error")},
		{Flag: "ui-listen", Place: "ui.listen", Kind: settings.Text(&c.UIListen, "127.0.0.1:8233"),
			Help: "address of Temporal's UI; port 0 picks one"},
		pawl.Row("listen").As("api-listen", "api.listen", "address of Pawl's API; port 0 picks one"),
		pawl.Row("public-url"),
		{Flag: "auth", Place: "api.auth", Kind: settings.Choice(&c.Auth, AuthNone, AuthNone, AuthTokens),
			Help: "how the API knows its callers: none, or tokens; then the first administrator's token is " +
				"written to admin.token in the data directory"},
		{Flag: "sample-tools", Place: "worker.sample_tools", Kind: settings.Yes(&c.SampleTools),
			Help: "offer harmless tools to try Pawl with"},
		pawl.Row("ordinary-steps").As("ordinary-steps", "worker.ordinary_steps",
			"show every step of a call in Temporal's UI"),
		pawl.Row("decisions").As("decisions", "worker.decisions",
			"which decisions count: any, or signed, which takes --auth tokens"),
		pawl.Row("policy").As("policy", "policy", "policy file; repeat it for more layers"),
		pawl.Row("tools").As("tools", "tools", "tools file"),
		{Flag: "encrypt", Place: "encrypt", Kind: settings.Yes(&c.Encrypt),
			Help: "encrypt arguments and results in Temporal, by a keyring in the data directory that is made " +
				"if it is missing; the UI shows them decoded"},
		pawl.Row("payload-keys").As("payload-keys", "payload_keys", "encrypt by this keyring file instead"),
		{Flag: "no-ui", Kind: settings.Yes(&c.NoUI), Help: "leave out Temporal's UI"},
		{Flag: "no-api", Kind: settings.Yes(&c.NoAPI), Help: "leave out Pawl's API"},
		{Flag: "no-worker", Kind: settings.Yes(&c.NoWorker),
			Help: "leave out the worker: calls and answers are taken, and wait"},
		pawl.Row("log-level"),
	}
}

// Default is the stack without any file: no policy, no tools.
func Default() Config {
	c := new(Config)
	c.AddFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	return *c
}

// AddFlags adds the flags of the configuration, which then has its default values.
func (c *Config) AddFlags(f *pflag.FlagSet) {
	c.table().AddFlags(f)
	settings.Default(f, "log-level", "warn")
}

// Read gives what no flag says, after f was parsed, the value of the file that --config names.
// Paths in it, and the default of Data, are relative to its folder. A missing file is an error only
// if it was named.
func (c *Config) Read(f *pflag.FlagSet) error {
	table := c.table()
	var file settings.File
	if _, err := os.Stat(c.Config); err == nil || f.Changed("config") {
		if file, err = table.ReadFile(c.Config); err != nil {
			return err
		}
	}
	if err := table.Set(f, func(string) string { return "" }, file); err != nil {
		return err
	}
	if !f.Changed("data") && file.Path != "" {
		c.Data = filepath.Join(filepath.Dir(file.Path), c.Data)
	}
	return nil
}

// loopback refuses addresses that other machines can reach: whoever reaches Temporal or its UI can
// approve calls, and nobody is authenticated there; and the API has no TLS here.
func loopback(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q is not host:port: %w", flag, address, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s %s: the dev stack serves loopback addresses only: use 127.0.0.1. "+
		"For other machines run 'pawl api', with --auth and TLS", flag, address)
}

const adviceDatabase = "write postgres://USER@HOST:PORT/DATABASE, " +
	"or leave it out for SQLite in the data directory"

// counting says which decisions count. Without authentication nothing could be signed.
func (c Config) counting() approval.Decisions {
	if c.Auth != AuthTokens {
		return cmp.Or(c.Decisions, approval.DecisionsAny)
	}
	return c.Decisions
}

// Validate refuses what can't be started. Errors name the flag.
func (c Config) Validate() error {
	if c.DatabaseURL != "" && !settings.IsPostgres(c.DatabaseURL) { // the URL stays out: it may hold a password
		return errors.New("--database-url can't be used: " + adviceDatabase)
	}
	if err := c.table().Check(); err != nil {
		return err
	}
	if c.Decisions == approval.DecisionsSigned && c.Auth != AuthTokens && !c.NoAPI {
		return errors.New("--decisions signed needs --auth tokens: " +
			"the API signs for those whom it knows, so nobody could decide")
	}
	if c.Data == "" {
		return errors.New("no data directory: name one with --data")
	}
	for flag, address := range map[string]string{
		"--temporal-listen": c.TemporalListen, "--ui-listen": c.UIListen, "--api-listen": c.APIListen,
	} {
		if err := loopback(flag, address); err != nil {
			return err
		}
	}
	return nil
}
