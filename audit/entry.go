// Package audit defines the record that nobody can quietly change: entries, a payload type for each
// kind of them, their canonical bytes and their leaf hashes. It knows no database.
package audit

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
	"golang.org/x/mod/sumdb/tlog"
)

// Kind says what happened. New kinds may come; old ones keep their meaning.
type Kind string

const (
	KindRequested  Kind = "call.requested"   // admitted: verdict, arguments (redacted)
	KindBlocked    Kind = "call.blocked"     // refused before any person was asked
	KindDecided    Kind = "decision.counted" // a reviewer's decision that counts
	KindRefused    Kind = "decision.refused" // decisions that do not count, one entry for many
	KindSent       Kind = "decision.sent"    // a decision, before its workflow hears of it
	KindTightened  Kind = "call.tightened"   // by another policy, a call that waits takes more
	KindClaimed    Kind = "call.claimed"     // the one permit to run the tool was taken
	KindStarted    Kind = "tool.started"     // the permit was used: from here the tool may have run
	KindNotStarted Kind = "tool.not_started" // somebody asked for a tool without a valid permit
	KindReported   Kind = "tool.reported"    // how the tool ended, by the word of the caller that ran it
	KindEnded      Kind = "call.ended"       // the outcome
	KindErased     Kind = "call.erased"      // what calls said is gone, and hashes stay
	KindSettled    Kind = "call.settled"     // what a person says became of a call whose outcome is unknown

	KindRestored Kind = "store.restored" // from a backup: permits that were not used are void
	KindLost     Kind = "call.lost"      // Temporal has a call that the restored store does not have

	KindPolicyApplied Kind = "policy.applied" // another policy became the active one
	KindTokenCreated  Kind = "token.created"  // somebody may use the API from now on
	KindTokenRevoked  Kind = "token.revoked"  // and not any more

	KindKeyAdded   Kind = "key.added"   // decisions that it signs are believed from now on
	KindKeyRetired Kind = "key.retired" // and what it signed until now still is
	KindKeyRevoked Kind = "key.revoked" // nothing that it ever signed is

	KindLogRenamed Kind = "log.renamed" // the log goes on under another name, after a restore

	KindTokensPruned Kind = "token.pruned"     // tokens that ended long ago were deleted
	KindSignInFailed Kind = "signin.failed"    // credentials that were refused, one entry for many
	KindForbidden    Kind = "access.forbidden" // requests without the role, one entry for many
)

// Kinds lists every kind that this version writes.
var Kinds = []Kind{
	KindRequested, KindBlocked, KindDecided, KindRefused, KindSent, KindTightened, KindClaimed,
	KindStarted, KindNotStarted, KindReported, KindEnded, KindSettled,
	KindErased, KindRestored, KindLost,
	KindPolicyApplied, KindTokenCreated, KindTokenRevoked, KindKeyAdded, KindKeyRetired, KindKeyRevoked,
	KindLogRenamed, KindTokensPruned, KindSignInFailed, KindForbidden,
}

// ParseKind reads a kind. The error's code is approval.CodeInvalid.
func ParseKind(s string) (Kind, error) {
	if k := Kind(s); slices.Contains(Kinds, k) {
		return k, nil
	}
	return "", approval.Errorf(approval.CodeInvalid, "unknown kind %q; use one of %s",
		approval.Display(s, 40), approval.List(Kinds))
}

// SubjectPolicy is the Entry.Subject of entries about the policy instead of a call.
const SubjectPolicy = "@policy"

// SubjectToken begins the Entry.Subject of entries about a token; the token's ID ends it.
const SubjectToken = "@token/"

// SubjectKey is the same for signing keys.
const SubjectKey = "@key/"

// SubjectLog begins the Entry.Subject of entries about the log itself.
const SubjectLog = "@log"

// SubjectRetention is the Entry.Subject of entries about calls that were erased by their age.
const SubjectRetention = "@retention"

// SubjectStore is the Entry.Subject of entries about the store itself.
const SubjectStore = "@store"

// SubjectAccess is the Entry.Subject of entries about who was kept out of the API.
const SubjectAccess = "@access"

// Reserved reports whether an ID is kept for subjects that are no calls. No call may have such an
// ID: its entries could take the place of theirs.
func Reserved(id string) bool { return strings.HasPrefix(id, "@") }

// Entry is one audit record. Call and Step together are unique, so a step that is retried is
// written once.
type Entry struct {
	Subject string          `json:"call_id"` // or a reserved subject
	Step    string          `json:"step"`
	Kind    Kind            `json:"kind"`
	At      time.Time       `json:"at"`      // UTC, whole microseconds
	Payload json.RawMessage `json:"payload"` // canonical JSON, redacted

	// Metadata is the entry without its payload, but with the hash of salt and payload, as canonical
	// JSON: the bytes that Leaf is made of. Retention may remove a payload; the log still verifies.
	Metadata []byte `json:"-"`
	Leaf     Hash   `json:"leaf_hash"` // RFC 6962 leaf hash of Metadata
	// Salt is random, and removed with the payload, which then can't be guessed by its hash. Entries of
	// before it have none.
	Salt []byte `json:"-"`
	// PayloadHash is that hash, in an entry that was read from a store and has no payload any more.
	PayloadHash []byte `json:"-"`

	// Index is the entry's number in the sealed log. Nil: it is not sealed yet.
	Index *int64 `json:"index,omitempty"`

	// Cursor is the place of an entry that was read from a store in the order written, for lists that go
	// on behind it.
	Cursor string `json:"-"`

	// Damage says what does not fit in an entry that was read from a store; see Stored.
	Damage string `json:"damage,omitempty"`
}

// Hash is a SHA-256 sum, in hex where it is text.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes hex.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hex.
func (h *Hash) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(h) {
		return fmt.Errorf("not a SHA-256 hash in hex")
	}
	copy(h[:], raw)
	return nil
}

// metadata is what an entry's leaf hash covers. Its shape is part of the log: a change needs a new
// V.
type metadata struct {
	V       int    `json:"v"`
	Call    string `json:"call_id"`
	Step    string `json:"step"`
	Kind    Kind   `json:"kind"`
	At      string `json:"at"`
	Payload string `json:"payload_sha256"` // of version 1: of the payload; of 2: of salt and payload
}

// SaltSize is the length of Entry.Salt.
const SaltSize = 16

// timeLayout has six digits always, so equal times have equal bytes.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// New makes an entry with a new salt. What payload holds must be redacted already; at is cut to whole
// microseconds, as stores keep it.
func New(subject, step string, at time.Time, payload Payload) (Entry, error) {
	salt := make([]byte, SaltSize)
	_, _ = rand.Read(salt) // it never fails
	return NewSalted(subject, step, at, payload, salt)
}

// NewSalted is New with a salt that is known; without one it makes an entry of version 1.
func NewSalted(subject, step string, at time.Time, payload Payload, salt []byte) (Entry, error) {
	if subject == "" || step == "" || at.IsZero() {
		return Entry{}, fmt.Errorf("audit entry needs subject, step and time (subject %q, step %q)", subject, step)
	}
	body, err := strictjson.Canonical(payload)
	if err != nil {
		return Entry{}, fmt.Errorf("audit entry %s/%s: payload: %w", subject, step, err)
	}
	at = at.UTC().Truncate(time.Microsecond)
	e := Entry{Subject: subject, Step: step, Kind: payload.Kind(), At: at, Payload: body, Salt: salt}
	if e.Metadata, err = e.covered(); err != nil {
		return Entry{}, fmt.Errorf("audit entry %s/%s: %w", subject, step, err)
	}
	e.Leaf = Hash(tlog.RecordHash(e.Metadata))
	return e, e.Check() // what would not verify is never written
}

// payloadHash is what metadata says of salt and payload, and the version of metadata.
func (e Entry) payloadHash() (version int, hash []byte) {
	switch {
	case e.Payload == nil && len(e.PayloadHash) > 0:
		return 2, e.PayloadHash
	case len(e.Salt) == 0:
		sum := sha256.Sum256(e.Payload)
		return 1, sum[:]
	}
	sum := sha256.New()
	sum.Write(e.Salt)
	sum.Write(e.Payload)
	return 2, sum.Sum(nil)
}

// covered is the metadata of an entry, by its other fields. A call makes some ten of them, to write
// and to check: plain ones are written out, in RFC 8785's order of keys.
func (e Entry) covered() ([]byte, error) {
	version, hash := e.payloadHash()
	m := metadata{
		V: version, Call: e.Subject, Step: e.Step, Kind: e.Kind,
		At: e.At.UTC().Format(timeLayout), Payload: hex.EncodeToString(hash),
	}
	if !e.plain() {
		return strictjson.Canonical(m)
	}
	return []byte(`{"at":"` + m.At + `","call_id":"` + m.Call + `","kind":"` + string(m.Kind) +
		`","payload_sha256":"` + m.Payload + `","step":"` + m.Step + `","v":` + strconv.Itoa(version) + `}`), nil
}

// plain reports whether the entry's texts are the same in JSON.
func (e Entry) plain() bool {
	return !strings.ContainsFunc(e.Subject+e.Step+string(e.Kind), func(c rune) bool {
		return c < ' ' || c > '~' || c == '"' || c == '\\'
	})
}

// Stored is an entry as it was read from a store, which keeps no metadata but that of version 1: it is
// made of the other fields. sealed is the leaf hash that was sealed under its index. If the entry does
// not fit its hashes, because somebody changed it there, Damage says what differs; a payload that is
// no JSON then is shown as text. An entry is never left out for that.
func Stored(e Entry, leaf, sealed []byte) Entry {
	copy(e.Leaf[:], leaf)
	made := len(e.Metadata) == 0
	if made {
		e.Metadata, _ = e.covered()
	}
	fits := made && e.Payload != nil && len(e.Salt) == SaltSize && Hash(tlog.RecordHash(e.Metadata)) == e.Leaf
	if e.Damage = ""; !fits { // most fit, and what is made of the other fields need not be made again
		e.Damage = e.damage()
	}
	switch {
	case len(leaf) != len(e.Leaf):
		e.Damage = "its leaf hash is missing"
	case e.Damage != "" && made:
		e.Damage = "it differs from its leaf hash"
	}
	if e.Damage == "" && e.Index != nil && !bytes.Equal(leaf, sealed) {
		e.Damage = fmt.Sprintf("it is not the entry that was sealed as number %d", *e.Index)
	}
	if e.Payload != nil && e.Damage != "" && !json.Valid(e.Payload) {
		e.Payload, _ = json.Marshal(string(e.Payload)) // text can always be marshalled
	}
	return e
}

// Check recomputes an entry from what it says and reports the first thing that does not fit. An
// entry whose payload was removed (nil) is checked by its metadata alone.
func (e Entry) Check() error {
	if found := e.damage(); found != "" {
		return fmt.Errorf("audit entry %s/%s: %s", e.Subject, e.Step, found)
	}
	return nil
}

func (e Entry) damage() string {
	if e.Payload != nil && e.plain() { // most entries, quickly
		want, err := e.covered()
		if err == nil && bytes.Equal(e.Metadata, want) && Hash(tlog.RecordHash(e.Metadata)) == e.Leaf {
			return ""
		}
	}
	var m metadata
	if err := strictjson.Decode(e.Metadata, &m); err != nil {
		return "its metadata can't be read: " + err.Error()
	}
	_, hash := e.payloadHash()
	switch {
	case m.V != 1 && m.V != 2:
		return fmt.Sprintf("its format %d is not known to this version", m.V)
	case m.Call != e.Subject, m.Step != e.Step, m.Kind != e.Kind, m.At != e.At.UTC().Format(timeLayout):
		return "its columns differ from its metadata"
	case Hash(tlog.RecordHash(e.Metadata)) != e.Leaf:
		return "its metadata differs from its leaf hash"
	case e.Payload != nil && (hex.EncodeToString(hash) != m.Payload || (m.V == 2) != (len(e.Salt) == SaltSize)):
		return "its payload differs from its payload hash"
	}
	return ""
}
