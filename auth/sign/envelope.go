package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

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
		return Key{}, fmt.Errorf("an Ed25519 private key has %d bytes, not %d",
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
