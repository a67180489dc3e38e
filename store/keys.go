package store

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// Keys keeps the public keys whose signatures on decisions are trusted. A key is trusted when it is
// added, may be retired once, and revoked once and for good; nothing else of it changes.
type Keys interface {
	// AddKey trusts a key, puts that on record, and returns the key as it is then; fresh is false if
	// it was there before, also if it is retired or revoked since. Another key's ID is an error with
	// approval.CodeInvalid.
	AddKey(ctx context.Context, k NewKey) (kept SigningKey, fresh bool, err error)
	// EndKey retires or revokes a key, puts that on record, and returns the key as it is then; fresh
	// is false if that was done before. A revoked one can't be retired. Errors: ErrNotFound.
	EndKey(ctx context.Context, e EndKeyParams) (kept SigningKey, fresh bool, err error)
	KeyReader
}

// KeyReader finds keys. It is never cached: whoever asks after a change was acknowledged sees it,
// in any process.
type KeyReader interface {
	// TrustedKeys returns those of the keys with these IDs that are not revoked; without IDs, the
	// newest MaxTrusted of all. They come newest first.
	TrustedKeys(ctx context.Context, ids ...string) ([]SigningKey, error)
	// SigningKeys returns one page of all keys, the newest first.
	SigningKeys(ctx context.Context, q Paging) (Page[SigningKey], error)
}

// MaxTrusted bounds what TrustedKeys returns without IDs.
const MaxTrusted = 20

// NewKey is a key that is about to be trusted.
type NewKey struct {
	SigningKey
	Via approval.Via // how it was added: for the record
}

// Check refuses what could not be read back, and a new key that has ended.
func (k NewKey) Check() error {
	switch {
	case k.ID == "" || !utf8.ValidString(k.ID) || strings.ContainsRune(k.ID, 0):
		return approval.Errorf(approval.CodeInvalid, "signing key: its ID is missing or not valid")
	case len(k.Public) != 32:
		return approval.Errorf(approval.CodeInvalid, "signing key: its public half is missing or not valid")
	case k.CreatedAt.IsZero():
		return approval.Errorf(approval.CodeInvalid, "signing key: its creation time is missing")
	case k.RetiredAt != nil, k.RetiredBy != "", k.RevokedAt != nil, k.RevokedBy != "":
		return approval.Errorf(approval.CodeInvalid, "signing key: a new one can't be retired or revoked")
	}
	return nil
}

// Entry is the record of a new key.
func (k NewKey) Entry() (audit.Entry, error) {
	return audit.New(audit.SubjectKey+k.ID, "added", k.CreatedAt, audit.KeyAdded{Key: k.SigningKey, Via: k.Via})
}

// EndKeyParams retires a key, or revokes it.
type EndKeyParams struct {
	ID, By string
	Via    approval.Via
	Revoke bool // else it is retired
	At     time.Time
}

// Check refuses an ending without a time.
func (e EndKeyParams) Check() error {
	if e.At.IsZero() {
		return approval.Errorf(approval.CodeInvalid, "signing key: the time of its end is missing")
	}
	return nil
}

// Entry is the record of an ending.
func (e EndKeyParams) Entry() (audit.Entry, error) {
	if e.Revoke {
		revoked := audit.KeyRevoked{KeyID: e.ID, RevokedBy: e.By, Via: e.Via}
		return audit.New(audit.SubjectKey+e.ID, "revoked", e.At, revoked)
	}
	retired := audit.KeyRetired{KeyID: e.ID, RetiredBy: e.By, Via: e.Via}
	return audit.New(audit.SubjectKey+e.ID, "retired", e.At, retired)
}

// Done reports whether the key has ended this way, or a way that includes it.
func (e EndKeyParams) Done(k SigningKey) bool {
	return k.RevokedAt != nil || !e.Revoke && k.RetiredAt != nil
}
