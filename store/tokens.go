package store

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

// Tokens keeps who may use the API by token. What a token says never changes; it can be revoked,
// once and for good.
type Tokens interface {
	// AddToken keeps a new token, and puts that on record. A repeat changes nothing. Another token's
	// ID is an error with approval.CodeInvalid.
	AddToken(ctx context.Context, t Token) error
	// RevokeToken revokes a token, puts that on record, and returns the token as it is then; fresh is
	// false if it was revoked before. Errors: ErrNotFound.
	RevokeToken(ctx context.Context, r RevokeParams) (t Token, fresh bool, err error)
	TokenReader
}

// TokenReader finds tokens.
type TokenReader interface {
	// Token returns one token by its ID, or ErrNotFound. It is never cached: whoever asks after a
	// revocation was acknowledged sees it, in any process.
	Token(ctx context.Context, id string) (Token, error)
	// Tokens returns one page, the newest first.
	Tokens(ctx context.Context, q Paging) (Page[Token], error)
}

// Token is one token as it is kept: what it proves, and never its text. Its JSON is rest.Token's.
type Token struct {
	rest.Token
	Hash [32]byte     `json:"-"` // SHA-256 of the token's text
	Via  approval.Via `json:"-"` // how it was made: for the record, and kept nowhere else
}

// Check refuses what could not be read back.
func (t Token) Check() error {
	switch {
	case t.ID == "" || !utf8.ValidString(t.ID) || strings.ContainsRune(t.ID, 0):
		return approval.Errorf(approval.CodeInvalid, "token: its ID is missing or not valid")
	case t.Subject == "":
		return approval.Errorf(approval.CodeInvalid, "token: it names nobody")
	case t.CreatedAt.IsZero():
		return approval.Errorf(approval.CodeInvalid, "token: its creation time is missing")
	case t.Hash == [32]byte{}:
		return approval.Errorf(approval.CodeInvalid, "token: its hash is missing")
	case t.RevokedAt != nil || t.RevokedBy != "":
		return approval.Errorf(approval.CodeInvalid, "token: a new one can't be revoked")
	}
	return nil
}

// Entry is the record of a new token.
func (t Token) Entry() (audit.Entry, error) {
	return audit.New(audit.SubjectToken+t.ID, "created", t.CreatedAt,
		audit.TokenCreated{Token: t.Token, Via: t.Via})
}

// RevokeParams revokes a token.
type RevokeParams struct {
	ID, By string
	Via    approval.Via
	At     time.Time
}

// Check refuses a revocation without a time.
func (r RevokeParams) Check() error {
	if r.At.IsZero() {
		return approval.Errorf(approval.CodeInvalid, "token: the time of its revocation is missing")
	}
	return nil
}

// Entry is the record of a revocation.
func (r RevokeParams) Entry() (audit.Entry, error) {
	revoked := audit.TokenRevoked{TokenID: r.ID, RevokedBy: r.By, Via: r.Via}
	return audit.New(audit.SubjectToken+r.ID, "revoked", r.At, revoked)
}
