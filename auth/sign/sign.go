// Package sign makes and verifies signed decisions: who decided what about which call, under an
// Ed25519 signature, in a DSSE envelope (https://github.com/secure-systems-lab/dsse, v1.0.2).
//
// Verifying asks nobody and looks at no clock, so that workflows may do it. Everything is safe for
// concurrent use.
package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Life is how long after it was signed a decision may reach Temporal, and how long before, since
// the clocks of Pawl's API and of Temporal may differ. It bounds what a lost envelope is good for.
// It does not hurry anybody: a decision that Temporal took in time stands, however late it is
// judged.
const Life = 10 * time.Minute

// Overlap is how long a key goes on counting after it was replaced. One process replaces it while
// others sign: they see that a moment later, and their clocks differ. A key that somebody else has
// is not stopped by its retirement in any case, since what it signs may be dated back: for that
// there is revocation.
const Overlap = time.Minute

// CodeRefused is the code of a decision that has its form and proves nothing: forged, about another
// call, expired, or by a key that is not trusted.
const CodeRefused = "signature_refused"

// ErrUnknownKey: the key that is named is not among those given. It may be trusted since.
var ErrUnknownKey = errors.New("the decision was signed with a key that is not trusted")

const version = 1

// Statement is what is signed: one decision by one authenticated reviewer.
type Statement struct {
	Version int `json:"version"`
	// Store is the ID of the one that keeps the call: elsewhere the same call is another.
	Store      string                `json:"store"`
	CallID     string                `json:"call_id"`
	Digest     string                `json:"digest"`
	Decision   approval.DecisionKind `json:"decision"`
	DecisionID string                `json:"decision_id"`
	Reviewer   string                `json:"reviewer"`
	Groups     []string              `json:"groups"` // when the decision was made
	Method     string                `json:"method"` // of authentication
	Channel    string                `json:"channel"`
	// NotesHash is HMAC-SHA256 of the notes under a random salt, in hex; empty without notes. Stores
	// keep redacted notes, and what was hidden must not be guessed from the statement: the salt goes
	// beside it, and only as far as the notes themselves.
	NotesHash string    `json:"notes_hash,omitempty"`
	At        time.Time `json:"at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Sign signs a decision about the call with this digest in the store with this ID. It needs ID,
// Reviewer, Method and Channel; At is when it is made. It returns the decision with its envelope.
func Sign(k Key, d approval.Decision, storeID, callID, digest string) (approval.Decision, error) {
	d.NotesSalt = ""
	if d.Notes != "" {
		d.NotesSalt = rand.Text()
	}
	s := Statement{
		Version: version, Store: storeID, CallID: callID, Digest: digest, Decision: d.Kind, DecisionID: d.ID,
		Reviewer: d.Reviewer, Groups: append([]string{}, d.Groups...), Method: d.Method, Channel: d.Channel,
		NotesHash: notesHash(d.Notes, d.NotesSalt), At: d.At.UTC(), ExpiresAt: d.At.UTC().Add(Life),
	}
	if err := s.check(); err != nil {
		return d, err
	}
	payload, err := json.Marshal(s)
	if err != nil {
		return d, err
	}
	d.Envelope, err = seal(k, payload)
	return d, err
}

// Verify checks that the envelope of a decision about the call with this digest is signed with one
// of the keys, and that the decision says what was signed. Whether it came in time is left to
// Statement.Untimely. Errors: ErrUnknownKey; else approval.CodeInvalid for what can't be read, and
// CodeRefused.
func Verify(d approval.Decision, callID, digest string, keys []PublicKey) (Statement, error) {
	s, err := verified(d.Envelope, keys)
	if err != nil {
		return Statement{}, err
	}
	switch {
	case s.CallID != callID:
		return s, refused("the signed decision is about another call")
	case s.Digest != digest:
		return s, refused("the signed decision is about another digest than the call's")
	case s.Decision != d.Kind:
		return s, refused("the signed decision is to " + string(s.Decision) + ", and was sent as another one")
	case s.DecisionID != d.ID, s.Reviewer != d.Reviewer, !slices.Equal(s.Groups, d.Groups),
		s.Method != d.Method, s.Channel != d.Channel, s.NotesHash != notesHash(d.Notes, d.NotesSalt):
		return s, refused("the decision says something else than what was signed")
	}
	return s, nil
}

// VerifyKept is Verify for an envelope alone: what was signed is what counts.
func VerifyKept(doc []byte, callID, digest string, keys []PublicKey) (Statement, error) {
	s, err := verified(doc, keys)
	if err == nil && (s.CallID != callID || s.Digest != digest) {
		err = refused("the signed decision is about another call")
	}
	return s, err
}

// KeyID is the ID of the key that an envelope says it was signed with, which proves nothing. Errors
// have approval.CodeInvalid.
func KeyID(doc []byte) (string, error) {
	o, err := open(doc)
	return o.keyID, err
}

// Untimely reports whether Temporal can't have taken the decision at this time: it had expired, or
// was to be signed much later.
func (s Statement) Untimely(at time.Time) bool {
	return at.After(s.ExpiresAt) || at.Before(s.At.Add(-Life))
}

func verified(doc []byte, keys []PublicKey) (Statement, error) {
	var s Statement
	o, err := open(doc)
	if err != nil {
		return s, err
	}
	i := slices.IndexFunc(keys, func(k PublicKey) bool { return k.ID == o.keyID })
	if i < 0 {
		return s, ErrUnknownKey
	}
	k := keys[i]
	if len(k.Public) != ed25519.PublicKeySize || !ed25519.Verify(k.Public, pae(PayloadType, o.payload), o.sig) {
		return s, refused("the decision's signature is not its key's")
	}
	// The very bytes that were verified are read, once.
	if err := strictjson.Decode(o.payload, &s); err != nil {
		return s, approval.Errorf(approval.CodeInvalid, "signed statement: %w", err)
	}
	if err := s.check(); err != nil {
		return s, err
	}
	if s.Store != k.Store {
		return s, refused("the signed decision is about a call in another store")
	}
	if !k.RetiredAt.IsZero() && s.At.After(k.RetiredAt.Add(Overlap)) {
		return s, refused("the decision was signed with a key that had been replaced before")
	}
	return s, nil
}

// Methods of authentication that prove somebody.
var methods = []string{"token", "oidc"}

// check refuses what must never be signed, nor believed. Texts are judged where they are used.
func (s Statement) check() error {
	invalid := func(what string) error {
		return approval.Errorf(approval.CodeInvalid, "signed statement: %s", what)
	}
	switch {
	case s.Version != version:
		return invalid("its version is not known here")
	case s.Store == "", s.CallID == "", s.Digest == "", s.DecisionID == "", s.Reviewer == "", s.Channel == "":
		return invalid("store, call_id, digest, decision_id, reviewer and channel must be there")
	case s.Decision != approval.Approve && s.Decision != approval.Reject:
		return invalid("decision is neither approve nor reject")
	case !slices.Contains(methods, s.Method):
		return invalid("method does not authenticate anybody")
	case s.At.IsZero(), s.ExpiresAt.Before(s.At), s.ExpiresAt.After(s.At.Add(Life)):
		return invalid("it must expire within " + Life.String() + " after it was signed")
	}
	return nil
}

func notesHash(notes, salt string) string {
	if notes == "" {
		return ""
	}
	h := hmac.New(sha256.New, []byte(salt))
	h.Write([]byte(notes))
	return hex.EncodeToString(h.Sum(nil))
}

func refused(message string) error { return approval.Errorf(CodeRefused, "%s", message) }

// PayloadType is the DSSE payload type of a Statement in JSON.
const PayloadType = "application/vnd.pawl.decision+json"

// MaxEnvelope bounds an envelope, in bytes of JSON. A statement with as many groups as a principal
// may have fits.
const MaxEnvelope = 24 << 10

// envelope is DSSE's. Its keyid is a hint which key to try and proves nothing.
type envelope struct {
	PayloadType string            `json:"payloadType"`
	Payload     string            `json:"payload"`
	Signatures  []json.RawMessage `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// pae is DSSE's pre-authentication encoding: what is signed. Lengths are in bytes, so no two pairs
// of type and payload have the same.
func pae(payloadType string, payload []byte) []byte {
	b := []byte("DSSEv1 ")
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// seal signs a payload.
func seal(k Key, payload []byte) (json.RawMessage, error) {
	one, err := json.Marshal(signature{k.ID(), encode(ed25519.Sign(k.private, pae(PayloadType, payload)))})
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{PayloadType, encode(payload), []json.RawMessage{one}})
}

// opened is an envelope that has its form. Nothing of it is proved.
type opened struct {
	payload, sig []byte
	keyID        string
}

// open reads an envelope's form, which must be the one that seal gives: no field more, one
// signature, canonical base64.
func open(doc []byte) (o opened, err error) {
	if len(doc) > MaxEnvelope {
		return o, approval.Errorf(approval.CodeInvalid,
			"envelope: %d bytes; at most %d are taken", len(doc), MaxEnvelope)
	}
	var e envelope
	if err := strictjson.Decode(doc, &e); err != nil {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: %w", err)
	}
	if e.PayloadType != PayloadType {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: payloadType is not %s", PayloadType)
	}
	if len(e.Signatures) != 1 {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: %d signatures; one is taken", len(e.Signatures))
	}
	var s signature
	if err := strictjson.Decode(e.Signatures[0], &s); err != nil {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: signature: %w", err)
	}
	if o.payload, err = decode("payload", e.Payload); err != nil {
		return o, err
	}
	if o.sig, err = decode("sig", s.Sig); err != nil {
		return o, err
	}
	if len(o.sig) != ed25519.SignatureSize {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: sig is not an Ed25519 signature")
	}
	if !validKeyID(s.KeyID) {
		return o, approval.Errorf(approval.CodeInvalid, "envelope: keyid is not the ID of a key")
	}
	o.keyID = s.KeyID
	return o, nil
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decode takes the one spelling that encode gives: Go's decoder passes over line breaks.
func decode(field, text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 || encode(b) != text {
		return nil, approval.Errorf(approval.CodeInvalid,
			"envelope: %s is not base64 with padding and nothing else", field)
	}
	return b, nil
}

// Key signs. Its text forms show its ID alone.
type Key struct {
	id      string
	private ed25519.PrivateKey
}

// NewKey makes a key.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	return KeyOf(private)
}

// KeyOf is the key with this private part.
func KeyOf(private ed25519.PrivateKey) (Key, error) {
	if len(private) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("an Ed25519 private key has %d bytes; this one: %d",
			ed25519.PrivateKeySize, len(private))
	}
	public := ed25519.NewKeyFromSeed(private.Seed()).Public().(ed25519.PublicKey)
	if !public.Equal(private.Public()) {
		return Key{}, fmt.Errorf("the private key does not fit its public half")
	}
	return Key{IDOf(public), private}, nil
}

// ID names the key: see IDOf.
func (k Key) ID() string { return k.id }

// Public is the half that verifies, 32 bytes.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Private is the half that must stay secret.
func (k Key) Private() ed25519.PrivateKey { return k.private }

// String shows the ID: a key that is printed by mistake does not get out.
func (k Key) String() string   { return "key " + k.id }
func (k Key) GoString() string { return k.String() }

const keyIDBytes = 16 // of SHA-256: nobody finds a second key with an ID

// IDOf is a public key's name: the first half of its SHA-256, in hex.
func IDOf(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:keyIDBytes])
}

func validKeyID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == keyIDBytes && hex.EncodeToString(b) == id
}

// PublicKey is a key whose signatures are trusted.
type PublicKey struct {
	ID     string `json:"id"`
	Public []byte `json:"public"`
	Store  string `json:"store"` // the ID of the one that trusts it, for its own calls alone
	// RetiredAt is when it was replaced; zero: it was not. What it signed before, or within Overlap,
	// counts.
	RetiredAt time.Time `json:"retired_at,omitzero"`
}
