package approval

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pawlhq/pawl/strictjson"
)

// Limits of a call. Sizes are bytes of JSON text.
const (
	MaxArgs    = 256 << 10
	MaxResult  = 1 << 20
	MaxNotes   = 4 << 10
	maxName    = 200
	maxText    = 4 << 10
	maxLabels  = 32
	maxKey     = 256
	maxNonce   = 128
	maxCallDoc = MaxArgs + 192<<10 // every other field at its longest, escaped
)

// Call is one guarded tool call, as the agent asks for it: the input of the workflow. Only Tool is
// needed. What runs is exactly this, frozen.
type Call struct {
	Tool           string            `json:"tool"`
	Args           json.RawMessage   `json:"args,omitempty"` // a JSON object
	Agent          string            `json:"agent,omitempty"`
	Team           string            `json:"team,omitempty"`
	Session        string            `json:"session,omitempty"`
	Reason         string            `json:"reason,omitempty"` // why the agent wants it; untrusted text
	Title          string            `json:"title,omitempty"`
	Description    string            `json:"description,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Requester      string            `json:"requester,omitempty"` // set by whoever authenticated the caller
	Owner          string            `json:"owner,omitempty"`     // who answers for the requester; set likewise
	IdempotencyKey string            `json:"idempotency_key,omitempty"`

	// A call may ask for more scrutiny than the policy does, never for less.
	RequireApproval bool     `json:"require_approval,omitempty"`
	Timeout         Duration `json:"timeout,omitempty"` // shortens the policy's wait

	// Nonce is secret and random: it keeps redacted values from being guessed from the digest.
	// Starters that leave it out get a weaker one (the first run's ID, which Temporal shows).
	Nonce string `json:"nonce,omitempty"`

	Execution    Execution `json:"execution,omitempty"`     // who runs the tool; empty means a worker
	ReportWithin Duration  `json:"report_within,omitempty"` // of a caller that runs it, after its start

	// AttemptOf is the whole ID of an earlier call that this one tries again: by the same agent for the
	// same requester, and judged by the policy before. Reviewers see what became of that one.
	AttemptOf string `json:"attempt_of,omitempty"`
}

// ErrNoAttempt: a call's AttemptOf names no call that it can be an attempt of. It tells nobody whether
// somebody else has such a call.
var ErrNoAttempt = Errorf(CodeInvalid, "attempt_of: this agent has no earlier call with this ID; "+
	"give the whole ID of a call that the same agent made for the same requester")

var toolName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$`)

// ParseCall reads a call strictly: unknown fields, duplicate keys, wrong types and everything
// Validate refuses are errors with CodeInvalid, but for keys that differ in case only. Workflows
// read their input with it, also those that began before such keys were refused. Arguments that are
// absent or null become {}.
func ParseCall(doc []byte) (Call, error) {
	var c Call
	if len(doc) > maxCallDoc {
		return c, Errorf(CodeInvalid, "the call is %d bytes of JSON; at most %d are taken", len(doc), maxCallDoc)
	}
	if err := strictjson.Decode(doc, &c); err != nil {
		return c, err
	}
	c.Normalize()
	return c, c.check()
}

// Normalize fills in what an absent field means.
func (c *Call) Normalize() {
	if len(c.Args) == 0 || string(bytes.TrimSpace(c.Args)) == "null" {
		c.Args = json.RawMessage("{}")
	}
}

// Validate checks everything that can be known without a tool or a policy.
func (c Call) Validate() error {
	if err := cmp.Or(c.check(), c.checkVisible()); err != nil {
		return err
	}
	labels, err := json.Marshal(c.Labels)
	if err == nil && c.Labels != nil {
		err = strictjson.CheckFolded("labels", labels, len(labels))
	}
	return cmp.Or(err, strictjson.CheckFolded("args", c.Args, MaxArgs))
}

// checkVisible refuses characters that can't be seen in what policies match: they would make another
// name of one that reads the same. Tokens refuse them, too.
func (c Call) checkVisible() error {
	names := [][2]string{{"agent", c.Agent}, {"team", c.Team}}
	for _, k := range strictjson.SortedKeys(c.Labels) {
		names = append(names, [2]string{"labels: name", k}, [2]string{"labels: value", c.Labels[k]})
	}
	for _, n := range names {
		if shown := Display(n[1], 0); shown != n[1] {
			return Errorf(CodeInvalid, "%s holds characters that can't be seen: %s", n[0], Display(n[1], 80))
		}
	}
	return nil
}

func (c Call) check() error {
	if err := CheckTool(c.Tool); err != nil {
		return err
	}
	for _, f := range []struct {
		name, value string
		max         int
		lines       bool
	}{
		{"agent", c.Agent, maxName, false},
		{"team", c.Team, maxName, false},
		{"session", c.Session, maxName, false},
		{"requester", c.Requester, maxName, false},
		{"owner", c.Owner, maxName, false},
		{"title", c.Title, maxName, false},
		{"reason", c.Reason, maxText, true},
		{"description", c.Description, maxText, true},
		{"idempotency_key", c.IdempotencyKey, maxKey, false},
		{"nonce", c.Nonce, maxNonce, false},
	} {
		if err := checkText(f.name, f.value, f.max, f.lines); err != nil {
			return err
		}
	}
	if len(c.Labels) > maxLabels {
		return Errorf(CodeInvalid, "labels: %d given; at most %d are taken", len(c.Labels), maxLabels)
	}
	for _, k := range strictjson.SortedKeys(c.Labels) {
		if k == "" {
			return Errorf(CodeInvalid, "labels: a label has no name")
		}
		if err := cmp.Or(CheckName("labels: name", k), CheckName("labels: value", c.Labels[k])); err != nil {
			return err
		}
	}
	if c.Timeout < 0 || c.Timeout > MaxTimeout {
		return Errorf(CodeInvalid, "timeout %v is not in (0, %v]", c.Timeout, MaxTimeout)
	}
	if err := c.checkExecution(); err != nil {
		return err
	}
	if c.AttemptOf != "" && CheckID(c.AttemptOf) != nil {
		return Errorf(CodeInvalid,
			"attempt_of is not a call's ID: give 1 to %d characters of printable ASCII", MaxID)
	}
	if err := strictjson.CheckObject("args", c.Args, MaxArgs); err != nil {
		return err
	}
	// What crosses the wire counts, there and everywhere after: marshalling escapes some characters.
	wire, err := json.Marshal(c.Args)
	if err != nil {
		return Errorf(CodeInvalid, "args: not JSON")
	}
	if len(wire) > MaxArgs {
		return Errorf(CodeInvalid, "args: %d bytes of JSON with the characters < > & escaped as \\u003c "+
			"and so on; at most %d are taken", len(wire), MaxArgs)
	}
	return nil
}

func (c Call) checkExecution() error {
	switch c.Execution {
	case "", ExecutionWorker, ExecutionCaller:
	default:
		return Errorf(CodeInvalid, "execution %q is not offered: leave it out, or use worker or caller",
			Display(string(c.Execution), 40))
	}
	if c.ReportWithin < 0 || c.ReportWithin > MaxReportWithin {
		return Errorf(CodeInvalid, "report_within %v is not in (0, %v]", c.ReportWithin, MaxReportWithin)
	}
	return nil
}

// CheckTool checks the form of a tool's name; whether anyone offers the tool is the catalogue's to
// say. The error's code is CodeInvalid.
func CheckTool(name string) error {
	if name == "" {
		return Errorf(CodeInvalid, "tool is missing: name the tool to call")
	}
	if len(name) > maxName || !toolName.MatchString(name) {
		return Errorf(CodeInvalid, "tool is not a tool name: use at most %d letters, digits and _ . : / -", maxName)
	}
	return nil
}

func checkText(name, value string, most int, lines bool) error {
	if len(value) > most {
		return Errorf(CodeInvalid, "%s is %d bytes long; at most %d are taken", name, len(value), most)
	}
	if !utf8.ValidString(value) {
		return Errorf(CodeInvalid, "%s is not valid UTF-8", name)
	}
	for _, r := range value {
		if r == 0 || (unicode.IsControl(r) && !(lines && (r == '\n' || r == '\t' || r == '\r'))) {
			return Errorf(CodeInvalid, "%s holds the control character %U", name, r)
		}
	}
	return nil
}

// CheckNotes checks a reviewer's notes.
func CheckNotes(notes string) error { return checkText("notes", notes, MaxNotes, true) }

// CheckName checks a reviewer's name, a decision ID and their like.
func CheckName(field, value string) error { return checkText(field, value, maxName, false) }

// Digest is what reviewers approve: SHA-256, in hex, over the RFC 8785 canonical JSON of the call's
// ID and the whole call with its nonce. Equal digests mean the same call, byte for byte of meaning.
func (c Call) Digest(id string) (string, error) {
	return canonicalSum(struct {
		V    int    `json:"v"`
		ID   string `json:"id"`
		Call Call   `json:"call"`
	}{1, id, c})
}

// Fingerprint tells whether two starts under one idempotency key ask for the same call: the digest
// without ID and nonce. It can be guessed by whoever knows most of the call, so it stays in
// Temporal, beside the call itself.
func (c Call) Fingerprint() (string, error) {
	c.Nonce = ""
	return canonicalSum(c)
}

func canonicalSum(v any) (string, error) {
	canonical, err := strictjson.Canonical(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewID makes the ID of a call without an idempotency key.
func NewID() string { return "pawl-" + strings.ToLower(rand.Text()) }

// NewNonce makes a nonce with 128 bits of randomness or more.
func NewNonce() string { return rand.Text() }

// KeyedID is the call ID, and so the workflow ID, that an idempotency key gives. Keys of different
// requesters never meet. The key itself can't be read from it.
func KeyedID(requester, key string) string {
	h := sha256.New()
	h.Write([]byte("pawl idempotency key\x00"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(requester))))
	h.Write([]byte(requester))
	h.Write([]byte(key))
	return "pawl-" + strings.ToLower(idEncoding.EncodeToString(h.Sum(nil))[:26])
}
