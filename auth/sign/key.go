package sign

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

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
