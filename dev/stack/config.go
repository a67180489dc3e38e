// Package stack runs everything Pawl needs in one process: Temporal with its
// UI, the store, a worker and the API. It is what pawl-dev starts, and what
// end-to-end tests start in parts.
package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/temporal"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

const maxRetention = approval.Duration(365 * 24 * time.Hour)

// DefaultFile is the configuration that is read if none is named.
const DefaultFile = "temporal-dev.yaml"

// Config says what the stack runs. Default fills it; a file and flags change it.
type Config struct {
	Data      string // directory of all files; created if absent
	Namespace string

	// DatabaseURL is a Postgres for Pawl's store, postgres://…; Temporal keeps
	// its own files. Empty: SQLite under Data.
	DatabaseURL string

	TemporalListen string
	HistoryShards  int
	Retention      time.Duration
	LogLevel       string // of Temporal's server: debug, info, warn, error

	UIListen  string
	APIListen string
	Auth      string // how the API knows its callers: AuthNone (also if empty) or AuthTokens

	NoUI, NoAPI, NoWorker bool

	SampleTools   bool
	OrdinarySteps bool
	Decisions     approval.Decisions // which count; empty: any
	Policy        []string           // files, one layer each, applied now and as they change; none: the store's policy stays
	Tools         string             // tools file; empty: none

	// Encrypt encrypts payloads by the keyring in Data, which is made at the
	// first start. PayloadKeys names another keyring, and implies it.
	Encrypt     bool
	PayloadKeys string
}

// Default is the stack without any file: no policy, no tools.
func Default() Config {
	return Config{
		Data: ".pawl", Namespace: temporal.DefaultNamespace,
		TemporalListen: temporal.DefaultListen, HistoryShards: temporal.DefaultHistoryShards,
		Retention: temporal.DefaultRetention, LogLevel: "error",
		UIListen: "127.0.0.1:8233", APIListen: "127.0.0.1:7295", Auth: AuthNone,
	}
}

// LoadConfig reads a configuration file over the defaults. Paths in it are
// relative to its folder. A missing file is an error only if it was named.
func LoadConfig(path string, named bool) (Config, error) {
	c := Default()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !named {
		return c, nil
	}
	var problems yamlfile.Problems
	if data, ok := yamlfile.ReadFile(path, &problems); ok {
		c.read(yamlfile.Parse(path, data, &problems).Mapping())
	}
	if err := problems.Err(); err != nil {
		return Config{}, err
	}
	dir := filepath.Dir(path)
	c.Data, c.Tools, c.PayloadKeys = within(dir, c.Data), within(dir, c.Tools), within(dir, c.PayloadKeys)
	for i, p := range c.Policy {
		c.Policy[i] = within(dir, p)
	}
	return c, nil
}

func (c *Config) read(m *yamlfile.Mapping) {
	text(m.Field("data"), &c.Data)
	text(m.Field("namespace"), &c.Namespace)
	url := m.Field("database_url")
	if text(url, &c.DatabaseURL); !c.databaseFits() {
		url.Problem("database_url can't be used", adviceDatabase)
	}

	t := m.Field("temporal").Mapping()
	text(t.Field("listen"), &c.TemporalListen)
	if n, ok := t.Field("history_shards").Int(1, 512); ok {
		c.HistoryShards = n
	}
	if d, ok := t.Field("retention").Duration(maxRetention); ok {
		c.Retention = d.Std()
	}
	text(t.Field("log_level"), &c.LogLevel)
	t.Done()

	ui := m.Field("ui").Mapping()
	text(ui.Field("listen"), &c.UIListen)
	ui.Done()
	api := m.Field("api").Mapping()
	text(api.Field("listen"), &c.APIListen)
	text(api.Field("auth"), &c.Auth)
	api.Done()

	w := m.Field("worker").Mapping()
	yes(w.Field("sample_tools"), &c.SampleTools)
	yes(w.Field("ordinary_steps"), &c.OrdinarySteps)
	decisions := w.Field("decisions")
	if word, ok := decisions.Text(); ok {
		var err error
		if c.Decisions, err = approval.ParseDecisions(word); err != nil {
			decisions.Problem("decisions is neither any nor signed", "write signed where only decisions that the API signed may count")
		}
	}
	w.Done()

	if list, ok := m.Field("policy").List(); ok {
		c.Policy = nil
		for _, v := range list {
			if path, ok := v.Text(); ok {
				c.Policy = append(c.Policy, path)
			}
		}
	}
	text(m.Field("tools"), &c.Tools)
	yes(m.Field("encrypt"), &c.Encrypt)
	text(m.Field("payload_keys"), &c.PayloadKeys)
	m.Done()
}

func text(v yamlfile.Value, into *string) {
	if s, ok := v.Text(); ok {
		*into = s
	}
}

func yes(v yamlfile.Value, into *bool) {
	if b, ok := v.Bool(); ok {
		*into = b
	}
}

func within(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// loopback refuses addresses that other machines can reach: whoever reaches
// Temporal or its UI can approve calls, and nobody is authenticated there; and
// the API has no TLS here.
func loopback(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s %q is not host:port: %w", flag, address, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s %s: the dev stack serves loopback addresses only: use 127.0.0.1. For other machines run 'pawl api', with --auth and TLS", flag, address)
}

const adviceDatabase = "write postgres://USER@HOST:PORT/DATABASE, or leave it out for SQLite in the data directory"

func (c Config) databaseFits() bool {
	return c.DatabaseURL == "" || strings.HasPrefix(c.DatabaseURL, "postgres://") || strings.HasPrefix(c.DatabaseURL, "postgresql://")
}

// Validate refuses what can't be started. Errors name the flag.
func (c Config) Validate() error {
	if !c.databaseFits() { // the URL stays out: it may hold a password
		return errors.New("--database-url can't be used: " + adviceDatabase)
	}
	if c.Auth != "" && c.Auth != AuthNone && c.Auth != AuthTokens {
		return fmt.Errorf("--auth %q is not none or tokens; more is for 'pawl api'", c.Auth)
	}
	if c.Decisions != "" {
		if _, err := approval.ParseDecisions(string(c.Decisions)); err != nil {
			return fmt.Errorf("--decisions: %w", err)
		}
	}
	if c.Decisions == approval.DecisionsSigned && c.Auth != AuthTokens && !c.NoAPI {
		return errors.New("--decisions signed needs --auth tokens: the API signs for those whom it knows, so nobody could decide")
	}
	if c.Data == "" {
		return errors.New("no data directory: name one with --data")
	}
	for flag, address := range map[string]string{"--temporal-listen": c.TemporalListen, "--ui-listen": c.UIListen, "--api-listen": c.APIListen} {
		if err := loopback(flag, address); err != nil {
			return err
		}
	}
	switch strings.ToLower(c.LogLevel) {
	case "debug", "info", "warn", "error":
		return nil
	}
	return fmt.Errorf("temporal.log_level %q is not debug, info, warn or error", c.LogLevel)
}
