package settings

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/auth/oidc"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Table is every setting there is. Another one is another row, and a field of Settings.
func (s *Settings) Table() Table {
	return Table{
		// Commands that ask the API read these by their names. The variables are no defaults of the
		// flags: help would print a token.
		{"api", "", Client, Text(new(string), ""),
			"the API's `address` (default $PAWL_API, else " + client.DefaultURL + ")"},
		{"token-file", "", Client, Text(new(string), ""), "`file` with your token (default $PAWL_TOKEN_FILE)"},
		{"token", "", Client, Text(new(string), ""),
			"your `token`; better --token-file or $PAWL_TOKEN: other users can see flags"},
		{"as", "", Client, Text(new(string), ""),
			"your `name` as a reviewer, where the API runs without authentication (default $PAWL_AS)"},

		{"config", "", onStore | Keyring | Notify, Text(&s.Config, ""),
			"configuration `file`; paths in it are relative to it (default $PAWL_CONFIG)"},
		{"database-url", "database_url", onStore, textKind(&s.DatabaseURL, "", storeURL),
			"`URL` of the store: sqlite://PATH or postgres://USER@HOST:PORT/DATABASE. Other users can see " +
				"flags: a password belongs in $PAWL_DATABASE_URL, $PGPASSWORD or a passfile"},
		{"task-queue", "task_queue", Worker | API | Doctor | Histories, Text(&s.TaskQueue, approval.TaskQueue),
			"Temporal task `queue` of calls"},
		{"public-url", "public_url", Worker | API | Doctor | Notify,
			Text(&s.PublicURL, "").unless(func() bool {
				return s.PublicURL != "" && approval.CheckPublicURL(s.PublicURL) != nil
			}, "must be an address like https://pawl.example.com, without user, query and fragment"),
			"`address` under which people reach Pawl: requests are shown with the address of their page " +
				"(default none)"},
		{"payload-keys", "payload_keys", Worker | API | Doctor | Keyring | Histories, Path(&s.PayloadKeys, ""),
			"keyring `file`: with it everything that goes to Temporal is encrypted. See 'pawl keyring --help' " +
				"(default none: plain text)"},
		{"start-timeout", "start_timeout", Worker | API | Setup,
			Duration(&s.StartTimeout, 30*time.Second, maxPause).
				unless(func() bool { return s.StartTimeout < 0 }, "is negative"),
			"how long to wait at start for Temporal, its namespace and the store; 0s tries once"},
		{"log-level", "log.level", onStore, Choice(&s.LogLevel, "info", "debug", "info", "warn", "error"),
			"least `level` of the log on stderr: debug, info, warn or error"},
		{"log-format", "log.format", onStore, Choice(&s.LogFormat, "text", "text", "json"),
			"`form` of the log: text or json"},

		{"policy", "worker.policy", Worker | Doctor, Paths(&s.Policy),
			"policy `file` for a store that has no policy yet; repeat it for more layers. Without any policy " +
				"everything needs approval"},
		{"tools", "worker.tools", Worker | Doctor, Path(&s.Tools, ""), "tools `file`"},
		{"notify", "worker.notify", Worker | Doctor | Notify, Path(&s.Notify, ""),
			"`file` with the channels that people are notified by (default none)"},
		{"stop-timeout", "worker.stop_timeout", Worker,
			Duration(&s.StopTimeout, 25*time.Second, maxPause).
				unless(func() bool { return s.StopTimeout <= 0 }, "must be more than 0s"),
			"how long running tools may go on when the worker is stopped"},
		{"health-listen", "worker.health_listen", Worker, Text(&s.HealthListen, ""),
			"`address` for /healthz and /readyz, reachable by anybody; they show nothing secret (default none)"},
		{"keep-schema", "worker.keep_schema", Worker, Yes(&s.KeepSchema),
			"in Postgres, expect the schema that 'pawl setup' created, for a database user without the right to " +
				"change it"},
		{"log-key", "worker.sealing.keys", Worker | LogKey, Paths(&s.LogKeys),
			"`file` with the key that seals the audit log (default .pawl/log-key.pem); made if it is missing. " +
				"Repeat it while a key is replaced: all of them sign"},
		{"witnesses", "worker.sealing.witnesses", Worker | Histories, Path(&s.Witnesses, ""),
			"`file` with the witnesses that sign checkpoints, too, and how many are enough (default none)"},
		{"checkpoint-file", "worker.sealing.checkpoint_file", Worker, Path(&s.CheckpointFile, ""),
			"`file` that holds the log's last checkpoint, where the database's administrators can't write " +
				"(default none)"},
		{"checkpoint-webhook", "worker.sealing.checkpoint_webhook", Worker,
			Text(&s.CheckpointWebhook, "").unless(func() bool {
				_, err := tree.NewWebhook(s.CheckpointWebhook)
				return s.CheckpointWebhook != "" && err != nil
			}, "must be an address like https://HOST/PATH"),
			"`address` that each checkpoint is posted to (default none)"},
		{"decisions", "worker.decisions", Worker,
			Choice((*string)(&s.Decisions), "", string(approval.DecisionsAny), string(approval.DecisionsSigned)),
			"which decisions count: `any`, or only signed ones; policies can be stricter (default any, but signed " +
				"where several people are asked). Set the same on all workers"},
		{"ordinary-steps", "worker.ordinary_steps", Worker, Yes(&s.OrdinarySteps),
			"show every step of a call in Temporal's UI, at some cost"},
		{"retain-payloads", "retention.payloads", Worker, retention(&s.RetainPayloads),
			"how long the payloads of audit entries are kept after their call's end; see 'Retention' in " +
				"docs/operations.md (default for good)"},
		{"retain-rows", "retention.rows", Worker, retention(&s.RetainRows),
			"how long calls are kept after their end, but for a tombstone (default for good)"},
		{"retain-tokens", "retention.tokens", Worker, retention(&s.RetainTokens),
			"how long tokens are kept after their end (default for good)"},
		{"workflow-cache", "worker.workflow_cache", Worker,
			Number(&s.WorkflowCache, 0, 1, maxCache).
				unless(func() bool { return s.WorkflowCache < 0 || s.WorkflowCache > maxCache },
					fmt.Sprintf("must be from 1 to %d", maxCache)),
			"how `many` waiting calls stay in memory; the others are replayed when something happens to " +
				"them (default 1000)"},

		{"listen", "api.listen", API, Text(&s.APIListen, "127.0.0.1:7295"), "`address` to serve; port 0 picks one"},
		{"host", "api.hosts", API, List(&s.Hosts, nil, ""),
			"another host `name` by which clients may address the API"},
		{"read-only", "api.read_only", API, Yes(&s.ReadOnly),
			"never write to the store: this API can't change policies, tokens or signing keys"},
		{"codec-origin", "api.codec_origins", API,
			List(&s.CodecOrigins, api.CheckOrigin, "write it like https://temporal.internal"),
			"`origin` of Temporal's UI, https://HOST: its pages may decode payloads under /codec/ " +
				"(default none: the codec endpoint is off)"},
		{"codec-encode", "api.codec_encode", API, Yes(&s.CodecEncode),
			"let the codec endpoint encrypt, too: for signals with a payload from Temporal's UI"},

		{"auth", "api.auth", API | Doctor, Choices(&s.Auth, AuthNone, AuthNone, AuthTokens, AuthOIDC),
			"how callers are identified: none (loopback only), tokens, oidc, or `tokens,oidc`"},
		{"oidc-issuer", "api.oidc.issuer", API | Doctor, Text(&s.OIDCIssuer, ""),
			"`URL` of the OpenID Connect issuer, exactly as it calls itself"},
		{"oidc-audience", "api.oidc.audience", API | Doctor, List(&s.OIDCAudience, nil, ""),
			"`name` that its tokens must be made for, often a client ID; repeatable"},
		{"oidc-client-id", "api.oidc.client_id", API | Doctor, Text(&s.OIDCClientID, ""),
			"`ID` by which the issuer knows Pawl: people sign in there with browsers (needs an https --public-url)"},
		{"oidc-client-secret-file", "api.oidc.client_secret_file", API | Doctor, Path(&s.OIDCSecretFile, ""),
			"`file` with the secret of that client; none for a public client"},
		{"oidc-scope", "api.oidc.scopes", API | Doctor, List(&s.OIDCScopes, nil, ""),
			"`scope` to ask for beside openid (default profile and email); repeatable"},
		{"oidc-skew", "api.oidc.skew", API | Doctor, Duration(&s.OIDCSkew, oidc.DefaultSkew, oidc.MaxSkew),
			"how far the issuer's clock may differ"},
		{"oidc-claim", "api.oidc.claims", API | Doctor, pairs(&s.OIDCClaims, false, ClaimNames...),
			"`what=claim` to read: " + strings.Join(ClaimNames, ", ") +
				" (default subject=sub, groups=groups); repeatable"},
		{"oidc-role", "api.oidc.roles", API | Doctor, pairs(&s.OIDCRoles, true, roleNames()...),
			"`role=group` whose members have the role: agent, reviewer, auditor or admin; repeatable"},
		{"signing-key", "api.signing_key", API | Doctor | KeyFile, Path(&s.SigningKey, ".pawl/signing-key.pem"),
			"`file` with the key that signs the decisions of authenticated reviewers; made if it is missing"},
		{"tls-cert", "api.tls.cert", API | Doctor, Path(&s.TLSCert, ""),
			"PEM `file` with the API's certificate and its chain; read again when it changes"},
		{"tls-key", "api.tls.key", API | Doctor, Path(&s.TLSKey, ""), "PEM `file` with the certificate's key"},
		{"behind-proxy", "api.behind_proxy", API | Doctor,
			List(&s.Proxies, checkProxy, "write the address that the proxy connects from"),
			"`address` or network of a proxy that ends TLS; then only it may connect without TLS, and its " +
				"X-Forwarded-For counts; repeatable"},
		{"max-rate", "api.max_rate", API | Doctor,
			Number(&s.MaxRate, api.DefaultPerSecond, -1, 1_000_000).
				unless(func() bool { return s.MaxRate == 0 || s.MaxRate < -1 },
					"must be 1 or more, or -1 for any number"),
			"changes in a second that one caller may ask for; -1: any number"},
		{"max-pending", "api.max_pending", API | Doctor,
			Number(&s.MaxPending, api.DefaultPending, -1, store.ExactTotal).
				unless(func() bool { return s.MaxPending == 0 || s.MaxPending < -1 || s.MaxPending > store.ExactTotal },
					fmt.Sprintf("must be from 1 to %d, or -1 for any number", store.ExactTotal)),
			"calls of one caller that may wait for people; -1: any number"},

		{"retention", "setup.retention", Setup, OptionalDuration(&s.Retention, MaxRetention),
			"how `long` Temporal keeps ended calls (default 720h for a new namespace, else as it is)"},
		{"dry-run", "", Setup, Yes(&s.DryRun), "only say what would be done"},
		{"timeout", "", Doctor,
			Duration(&s.Timeout, 10*time.Second, 0).
				unless(func() bool { return s.Timeout <= 0 }, "must be more than 0s"),
			"how long each check may take"},
	}
}

func roleNames() (names []string) {
	for _, r := range rest.Roles {
		names = append(names, string(r))
	}
	return names
}

func checkProxy(text string) error {
	_, err := ParseProxy(text)
	return err
}

// ParseProxy reads the address or network of a proxy.
func ParseProxy(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, errAddr := netip.ParseAddr(text)
		if errAddr != nil {
			return p, fmt.Errorf("%q is neither an address like 10.0.0.5 nor a network like 10.0.0.0/24", text)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%s is everybody, not a proxy", text)
	}
	return p.Masked(), nil
}

// SQLite begins the URL of a SQLite store; the path of its file follows.
const SQLite = "sqlite://"

// IsPostgres reports whether a store's URL is that of a Postgres.
func IsPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// storeURL reads the URL of a store. Errors never hold it: it may hold a password.
func storeURL(v yamlfile.Value, dir string) (string, bool) {
	url, ok := v.Text()
	path, isSQLite := strings.CutPrefix(url, SQLite)
	switch {
	case ok && isSQLite && path != "":
		return SQLite + within(dir, path), true
	case ok && !IsPostgres(url):
		v.Problem("the database URL can't be used", "write sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
		return "", false
	}
	return url, ok
}

// Command is a set of commands that take settings.
type Command uint

const (
	Worker Command = 1 << iota
	API
	Setup
	Doctor
	Direct  // commands that can use the store itself
	KeyFile // the command that needs the file of a signing key
	Keyring // commands on a keyring's file
	Notify  // commands on channels of notifications
	LogKey  // commands that check the audit log
	Client  // commands that ask the API

	Histories // the command that verifies the audit log, also by Temporal's histories
)

const (
	processes = Worker | API | Setup | Doctor
	onStore   = processes | Direct
)

// DefaultLogKey is the file of the key that seals the audit log, where none is named.
const DefaultLogKey = ".pawl/log-key.pem"

// Ways in which the API knows its callers.
const (
	AuthNone   = "none"
	AuthTokens = "tokens"
	AuthOIDC   = "oidc"
)

const (
	// maxCache is more workflows than fit into memory.
	maxCache = 10_000_000
	// MinRetention and MaxRetention bound how long Temporal may keep ended calls.
	MinRetention = 24 * time.Hour // Temporal's own
	MaxRetention = 365 * 24 * time.Hour

	maxPause = 24 * time.Hour // bounds the lengths of time in files
)

// ClaimNames are what --oidc-claim can say, in the order of help.
var ClaimNames = []string{"subject", "groups", "group_prefix", "roles", "team", "owner", "agents"}

// retention is how long something is kept. worker.Retention says the same.
func retention(into *time.Duration) Kind {
	const least, most = 24 * time.Hour, 100 * 365 * 24 * time.Hour
	return Duration(into, 0, most).unless(func() bool { return *into != 0 && *into < least },
		"must be 24h or more")
}

// Settings are the values of all settings. A command reads those that it takes.
type Settings struct {
	Config              string
	DatabaseURL         string
	LogLevel, LogFormat string
	TaskQueue           string
	PublicURL           string
	StartTimeout        time.Duration // zero: try once
	PayloadKeys         string        // file; empty: payloads are plain

	Policy        []string
	Tools         string
	Notify        string
	OrdinarySteps bool
	Decisions     approval.Decisions
	WorkflowCache int // zero: the default
	StopTimeout   time.Duration
	HealthListen  string
	KeepSchema    bool

	RetainPayloads, RetainRows, RetainTokens time.Duration // zero: for good

	LogKeys           []string // none: DefaultLogKey
	Witnesses         string
	CheckpointFile    string
	CheckpointWebhook string

	APIListen             string
	Hosts                 []string
	ReadOnly              bool
	CodecOrigins          []string
	CodecEncode           bool
	Auth                  []string
	SigningKey            string
	TLSCert, TLSKey       string
	Proxies               []string
	MaxRate, MaxPending   int // -1: no bound
	OIDCIssuer            string
	OIDCAudience          []string
	OIDCClientID          string
	OIDCSecretFile        string
	OIDCScopes            []string
	OIDCSkew              time.Duration
	OIDCClaims, OIDCRoles []string // name=claim, role=group

	Retention Length // zero: as it is
	DryRun    bool
	Timeout   time.Duration
}
