package settings

import (
	"time"

	"github.com/pawlhq/pawl/approval"
)

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
	Client  // commands that ask the API
)

const (
	processes = Worker | API | Setup | Doctor
	onStore   = processes | Direct
)

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
	OrdinarySteps bool
	Decisions     approval.Decisions
	WorkflowCache int // zero: the default
	StopTimeout   time.Duration
	HealthListen  string
	KeepSchema    bool

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
	OIDCSkew              time.Duration
	OIDCClaims, OIDCRoles []string // name=claim, role=group

	Retention Length // zero: as it is
	DryRun    bool
	Timeout   time.Duration
}
