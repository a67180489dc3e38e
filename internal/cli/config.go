package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/oidc"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/store"
)

const SettingsHelp = `Settings come from flags, else from the environment, else from the file that
--config names. A flag's variable is PAWL_ and its name in capitals, with _ for
-: PAWL_STOP_TIMEOUT for --stop-timeout; lists are separated by commas there.
Which Temporal is told by Temporal's own variables and TOML file alone:
TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_API_KEY, ….`

// MaxCache is more workflows than fit into memory.
const MaxCache = 10_000_000

// MaxRetention is how long Temporal may keep ended calls.
const MaxRetention = 365 * 24 * time.Hour

// maxPause bounds the lengths of time in settings.
const maxPause = 24 * time.Hour

// fromFile holds the values of a configuration file by the flags they stand
// for.
type fromFile map[string][]string

// ReadSettings gives every setting that has no flag on the command line the value of
// its environment variable, else that of the configuration file. Everything
// that is wrong is told at once.
func (a *App) ReadSettings(cmd *cobra.Command) error {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	if path == "" {
		path = strings.TrimSpace(a.Getenv("PAWL_CONFIG"))
	}
	file := fromFile{}
	if path != "" {
		if file, err = LoadConfig(path); err != nil {
			return fmt.Errorf("configuration:\n%w", err)
		}
	}
	var problems []error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "config" || f.Name == "help" {
			return
		}
		name := Variable(f.Name)
		if value := strings.TrimSpace(a.Getenv(name)); value != "" {
			// The value stays out of the error: it may be a secret in the wrong place.
			if err := set(f, split(f, value)); err != nil {
				problems = append(problems, fmt.Errorf("%s can't be used: %w", name, err))
			}
			return
		}
		if values, ok := file[f.Name]; ok {
			if err := set(f, values); err != nil {
				problems = append(problems, fmt.Errorf("%s: --%s can't be set from it: %w", path, f.Name, err))
			}
		}
	})
	return UsageError(errors.Join(problems...))
}

// Variable is the environment variable of a flag.
func Variable(flag string) string {
	return OwnPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func split(f *pflag.Flag, value string) []string {
	if _, list := f.Value.(pflag.SliceValue); !list {
		return []string{value}
	}
	var values []string
	for v := range strings.SplitSeq(value, ",") {
		if v = strings.TrimSpace(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// set marks the flag as changed, too: its value was chosen by somebody.
func set(f *pflag.Flag, values []string) error {
	f.Changed = true
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return list.Replace(values)
	}
	err := f.Value.Set(values[0])
	switch {
	case err == nil:
		return nil
	case f.Value.Type() == "bool":
		return errors.New("use true or false")
	case f.Value.Type() == "duration":
		return errors.New(`use a form like "90s", "30m", "24h"`)
	}
	return err
}

// LoadConfig reads a configuration file. Every setting of every command is
// checked, so that one file serves all of them.
func LoadConfig(path string) (fromFile, error) {
	var problems yamlfile.Problems
	c := configReader{dir: filepath.Dir(path), values: fromFile{}}
	if data, ok := yamlfile.ReadFile(path, &problems); ok {
		c.read(yamlfile.Parse(path, data, &problems).Mapping())
	}
	return c.values, problems.Err()
}

type configReader struct {
	dir    string
	values fromFile
}

func (c configReader) read(m *yamlfile.Mapping) {
	c.database(m.Field("database_url"))
	c.text("task-queue", m.Field("task_queue"))
	c.duration("start-timeout", m.Field("start_timeout"), maxPause)
	c.path("payload-keys", m.Field("payload_keys"))

	log := m.Field("log").Mapping()
	c.choice("log-level", log.Field("level"), logLevels...)
	c.choice("log-format", log.Field("format"), logFormats...)
	log.Done()

	w := m.Field("worker").Mapping()
	c.paths("policy", w.Field("policy"))
	c.path("tools", w.Field("tools"))
	c.flag("ordinary-steps", w.Field("ordinary_steps"))
	c.choice("decisions", w.Field("decisions"), string(approval.DecisionsAny), string(approval.DecisionsSigned))
	c.number("workflow-cache", w.Field("workflow_cache"), 1, MaxCache)
	c.duration("stop-timeout", w.Field("stop_timeout"), maxPause)
	c.text("health-listen", w.Field("health_listen"))
	c.flag("keep-schema", w.Field("keep_schema"))
	w.Done()

	api := m.Field("api").Mapping()
	c.text("listen", api.Field("listen"))
	c.texts("host", api.Field("hosts"))
	c.flag("read-only", api.Field("read_only"))
	c.textsThat("codec-origin", api.Field("codec_origins"), func(v yamlfile.Value, s string) bool {
		err := codec.CheckOrigin(s)
		if err != nil {
			v.Problem(err.Error(), "write it like https://temporal.internal")
		}
		return err == nil
	})
	c.flag("codec-encode", api.Field("codec_encode"))
	c.access(api)
	api.Done()

	setup := m.Field("setup").Mapping()
	c.duration("retention", setup.Field("retention"), MaxRetention)
	setup.Done()
	m.Done()
}

func (c configReader) text(flag string, v yamlfile.Value) {
	if s, ok := v.Text(); ok {
		c.values[flag] = []string{s}
	}
}

func (c configReader) choice(flag string, v yamlfile.Value, words ...string) {
	if s, ok := v.Text(); ok && oneOf(v, s, words) {
		c.values[flag] = []string{s}
	}
}

func oneOf(v yamlfile.Value, s string, words []string) bool {
	known := slices.Contains(words, s)
	if !known {
		v.Problem(fmt.Sprintf("%q is not known here", approval.Display(s, 40)), "use "+strings.Join(words, ", "))
	}
	return known
}

func (c configReader) flag(flag string, v yamlfile.Value) {
	if b, ok := v.Bool(); ok {
		c.values[flag] = []string{fmt.Sprint(b)}
	}
}

func (c configReader) number(flag string, v yamlfile.Value, least, most int) {
	if n, ok := v.Int(least, most); ok {
		c.values[flag] = []string{strconv.Itoa(n)}
	}
}

func (c configReader) duration(flag string, v yamlfile.Value, most time.Duration) {
	if d, ok := v.Duration(approval.Duration(most)); ok {
		c.values[flag] = []string{d.Std().String()}
	}
}

func (c configReader) path(flag string, v yamlfile.Value) {
	if s, ok := v.Text(); ok {
		c.values[flag] = []string{within(c.dir, s)}
	}
}

func (c configReader) texts(flag string, v yamlfile.Value) {
	c.textsThat(flag, v, func(yamlfile.Value, string) bool { return true })
}

// textsThat reads a list of texts; good notes what is wrong with one.
func (c configReader) textsThat(flag string, v yamlfile.Value, good func(yamlfile.Value, string) bool) {
	list, _ := v.List()
	for _, entry := range list {
		if s, ok := entry.Text(); ok && good(entry, s) {
			c.values[flag] = append(c.values[flag], s)
		}
	}
}

func (c configReader) paths(flag string, v yamlfile.Value) {
	c.texts(flag, v)
	for i, path := range c.values[flag] {
		c.values[flag][i] = within(c.dir, path)
	}
}

// database takes care never to show the URL: it may hold a password.
func (c configReader) database(v yamlfile.Value) {
	url, ok := v.Text()
	if !ok {
		return
	}
	if err := (Database{URL: url}).form(); err != nil {
		v.Problem("the database URL can't be used", "write sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
		return
	}
	if path, lite := strings.CutPrefix(url, sqliteScheme); lite {
		url = sqliteScheme + within(c.dir, path)
	}
	c.values["database-url"] = []string{url}
}

// within makes a path of a file relative to the file's folder.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// access reads who may reach the API.
func (c configReader) access(api *yamlfile.Mapping) {
	c.textsThat("auth", api.Field("auth"), func(v yamlfile.Value, s string) bool { return oneOf(v, s, AuthModes) })
	c.number("max-rate", api.Field("max_rate"), -1, 1_000_000)
	c.number("max-pending", api.Field("max_pending"), -1, store.ExactTotal)
	c.textsThat("behind-proxy", api.Field("behind_proxy"), func(v yamlfile.Value, s string) bool {
		_, err := ParseProxy(s)
		if err != nil {
			v.Problem(err.Error(), "write the address that the proxy connects from")
		}
		return err == nil
	})

	c.path("signing-key", api.Field("signing_key"))

	tls := api.Field("tls").Mapping()
	c.path("tls-cert", tls.Field("cert"))
	c.path("tls-key", tls.Field("key"))
	tls.Done()

	issuer := api.Field("oidc").Mapping()
	c.text("oidc-issuer", issuer.Field("issuer"))
	c.texts("oidc-audience", issuer.Field("audience"))
	c.duration("oidc-skew", issuer.Field("skew"), oidc.MaxSkew)
	claims := issuer.Field("claims").Mapping()
	for _, name := range ClaimNames {
		if s, ok := claims.Field(name).Text(); ok {
			c.values["oidc-claim"] = append(c.values["oidc-claim"], name+"="+s)
		}
	}
	claims.Done()
	roles := issuer.Field("roles").Mapping()
	for _, role := range auth.Roles {
		groups, _ := roles.Field(string(role)).List()
		for _, group := range groups {
			if s, ok := group.Text(); ok {
				c.values["oidc-role"] = append(c.values["oidc-role"], string(role)+"="+s)
			}
		}
	}
	roles.Done()
	issuer.Done()
}

// Ways in which the API knows its callers.
const (
	AuthNone   = "none"
	AuthTokens = "tokens"
	AuthOIDC   = "oidc"
)

var AuthModes = []string{AuthNone, AuthTokens, AuthOIDC}

// ClaimNames are what --oidc-claim can say, in the order of help.
var ClaimNames = []string{"subject", "groups", "group_prefix", "roles", "team", "owner", "agents"}

func ParseProxy(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, errAddr := netip.ParseAddr(text)
		if errAddr != nil {
			return p, fmt.Errorf("%q is no address like 10.0.0.5 and no network like 10.0.0.0/24", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%s is everybody: name where the proxy stands", text)
	}
	return p.Masked(), nil
}
