package auth

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/internal/keyfile"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// SignerOptions say with which key a Signer signs.
type SignerOptions struct {
	// File holds the private key, in PEM; it is made if it is not there. Required.
	File string
	// Store keeps the public key, and the calls that decisions are about. Required. If it is read
	// only, it must know the key already.
	Store interface {
		store.Keys
		ID(ctx context.Context) (string, error)
	}
	// By names who adds the key, and Via how, for the record. Required; default: by a process that starts.
	By  string
	Via approval.Via

	host string // where the key is, for people
}

func (o *SignerOptions) validate() error {
	switch {
	case o.File == "":
		return errors.New("auth: SignerOptions.File is missing")
	case o.Store == nil:
		return errors.New("auth: SignerOptions.Store is missing")
	case o.By == "":
		return errors.New("auth: SignerOptions.By is missing")
	}
	o.Via = cmp.Or(o.Via, approval.Via{Channel: "process"})
	if name, err := os.Hostname(); err == nil && approval.CheckName("note", name) == nil {
		o.host = name
	}
	return nil
}

// ErrKeyEnded: the key was retired or revoked, and the file holds no other one.
var ErrKeyEnded = errors.New("the signing key was retired or revoked")

// ErrKeyUnknown: the store does not know the key, and this process may not add it.
var ErrKeyUnknown = errors.New("the signing key is not known to the store")

// Signer signs decisions with the key in a file that the store trusts. It is safe for concurrent
// use, and several processes may share a file.
type Signer struct {
	o       SignerOptions
	storeID string

	// replacing is held while the key is replaced, so over exchanges with the store; mu only guards key.
	replacing sync.Mutex
	mu        sync.Mutex
	// key is the file's, as far as is known; it may be replaced by another process.
	key sign.Key
}

// OpenSigner reads the key, or makes it, and has the store trust it. Errors: ErrKeyEnded,
// ErrKeyUnknown, those of the file and of the store.
func OpenSigner(ctx context.Context, o SignerOptions) (*Signer, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	id, err := o.Store.ID(ctx)
	if err != nil {
		return nil, err
	}
	s := &Signer{o: o, storeID: id}
	return s, s.load(ctx)
}

// KeyID is the ID of the key that is in use.
func (s *Signer) KeyID() string { return s.inUse().ID() }

func (s *Signer) inUse() sign.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

func (s *Signer) use(key sign.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// load takes the file's key into use.
func (s *Signer) load(ctx context.Context) error {
	key, err := keyOf(keyfile.Load(s.o.File))
	if err != nil {
		return fmt.Errorf("signing key: %w", err)
	}
	kept, err := s.add(ctx, key, s.o.By, s.o.Via)
	switch {
	case err != nil:
		return err
	case kept.RetiredAt != nil || kept.RevokedAt != nil:
		return fmt.Errorf("%w: the one in %s, %s; move the file away and start again, and a new one is made",
			ErrKeyEnded, s.o.File, key.ID())
	}
	s.use(key)
	return nil
}

// add has the store trust a key, unless it does already: an API's database user may lack the right
// to add keys.
func (s *Signer) add(
	ctx context.Context, key sign.Key, by string, via approval.Via,
) (store.SigningKey, error) {
	known, err := s.o.Store.TrustedKeys(ctx, key.ID())
	if err != nil {
		return store.SigningKey{}, err
	}
	if len(known) == 1 {
		return known[0], nil
	}
	kept, _, err := s.o.Store.AddKey(ctx, store.NewKey{Via: via, SigningKey: store.SigningKey{
		ID: key.ID(), Public: key.Public(), Note: s.o.host, CreatedAt: now(), CreatedBy: by,
	}})
	if errors.Is(err, store.ErrReadOnly) {
		err = fmt.Errorf("%w, or was revoked there, and this process may only read it: "+
			"%s; make it known on the database itself, with 'pawl key add %s'", ErrKeyUnknown, key.ID(), s.o.File)
	}
	return kept, err
}

// Sign signs a decision about the call with this digest, as made now. Errors: ErrKeyEnded; those of
// sign.Sign, and of the store, which is asked each time whether the key is good: what it refuses to
// believe is better not sent.
func (s *Signer) Sign(
	ctx context.Context, d approval.Decision, callID, digest string,
) (approval.Decision, error) {
	for {
		key := s.inUse()
		good, err := s.good(ctx, key)
		if err == nil && !good {
			key, err = s.reload(ctx, key)
		}
		if err != nil {
			return d, err
		}
		d.At = now()
		// A key that is replaced is ended after that, so what was signed before stays good.
		if s.inUse().ID() == key.ID() {
			return sign.Sign(key, d, s.storeID, callID, digest)
		}
	}
}

func (s *Signer) good(ctx context.Context, key sign.Key) (bool, error) {
	keys, err := s.o.Store.TrustedKeys(ctx, key.ID())
	return err == nil && len(keys) == 1 && keys[0].RetiredAt == nil, err
}

// reload returns the key that is in use instead of one that is not good any more: another process may
// have replaced the file.
func (s *Signer) reload(ctx context.Context, old sign.Key) (sign.Key, error) {
	s.replacing.Lock()
	defer s.replacing.Unlock()
	if key := s.inUse(); key.ID() != old.ID() {
		return key, nil // it was replaced meanwhile
	}
	err := s.load(ctx)
	return s.inUse(), err
}

// Rotate replaces the key with a new one, in the file and in the store, and retires the old one, or
// revokes it: the one in the file, should another process have put it there, and the one that was
// in use here, too. by names who wants it, via how. After an error the old key may be in use, or the new one
// with the old one still trusted; the error says so.
func (s *Signer) Rotate(
	ctx context.Context, by string, via approval.Via, revoke bool,
) (r rest.Rotated, err error) {
	s.replacing.Lock()
	defer s.replacing.Unlock()
	key, err := sign.NewKey()
	if err != nil {
		return r, err
	}
	old := []sign.Key{s.inUse()}
	if there, err := keyOf(keyfile.Read(s.o.File)); err == nil && there.ID() != old[0].ID() {
		old = append(old, there)
	}
	beside, err := keyfile.Write(s.o.File, key.Private())
	if err != nil {
		return r, fmt.Errorf("signing key: its file can't be replaced, so nothing was changed: %w", err)
	}
	// From here on a crash leaves a key that is trusted and used by nobody.
	if r.Key, err = s.add(ctx, key, by, via); err != nil {
		return r, errors.Join(err, os.Remove(beside))
	}
	if err := os.Rename(beside, s.o.File); err != nil {
		_, _, undo := s.o.Store.EndKey(ctx,
			store.EndKeyParams{ID: key.ID(), By: by, Via: via, Revoke: true, At: now()})
		return r, errors.Join(fmt.Errorf("signing key: "+
			"its file can't be replaced, so the old one stays: %w", err), undo, os.Remove(beside))
	}
	s.use(key)
	err = osfile.SyncDir(filepath.Dir(s.o.File))
	for _, k := range old {
		kept, _, ended := s.o.Store.EndKey(ctx,
			store.EndKeyParams{ID: k.ID(), By: by, Via: via, Revoke: revoke, At: now()})
		switch {
		case ended == nil:
			r.Old = kept
		case !errors.Is(ended, store.ErrNotFound): // a file that no API has read yet: nobody trusts its key
			err = errors.Join(err, fmt.Errorf("the new signing key %s is in use, but the old one, %s, could "+
				"not be ended: do that with 'pawl key retire' or 'pawl key revoke': %w", key.ID(), k.ID(), ended))
		}
	}
	return r, err
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// keyOf is the key with a private part that was read from a file.
func keyOf(private ed25519.PrivateKey, err error) (sign.Key, error) {
	if err != nil {
		return sign.Key{}, err
	}
	return sign.KeyOf(private)
}
