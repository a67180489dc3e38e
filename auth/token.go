package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// A token is pawl_KIND_ID_SECRET: the ID finds it, the secret proves it. The secret's last six
// characters are a CRC-32 of all before, so that scanners for leaked secrets know a token without
// asking anybody.
const (
	tokenPrefix = "pawl_"
	idDigits    = 12
	secretBits  = 256
	keyDigits   = 43 // of 256 bits in base 62
	sumDigits   = 6  // of 32 bits

	// TokenPattern is the form of a token, for scanners (RE2, PCRE).
	TokenPattern = `pawl_(?:agent|person)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}`
)

var tokenForm = regexp.MustCompile(`^` + TokenPattern + `$`)

// TokenID returns the ID in a token's text, and whether it is a whole token: text that was cut,
// mistyped or made up has another checksum. It asks nobody.
func TokenID(text string) (id string, ok bool) {
	if len(text) > 100 || !tokenForm.MatchString(text) {
		return "", false
	}
	end := len(text) - sumDigits
	if text[end:] != checksum(text[:end]) {
		return "", false
	}
	secret := end - keyDigits
	return text[secret-1-idDigits : secret-1], true
}

// hashToken is what is kept of a token. A plain SHA-256 is right for a secret of 256 random bits:
// there is nothing to guess that slowness would protect.
func hashToken(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func checksum(text string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), sumDigits)
}

// base62 writes n in so many digits, leading zeros included.
func base62(n *big.Int, digits int) string {
	text := n.Text(62)
	return strings.Repeat("0", max(0, digits-len(text))) + text
}

func random(bits uint, digits int) string {
	limit := new(big.Int).Lsh(big.NewInt(1), bits)
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		panic(err) // crypto/rand.Reader never fails
	}
	return base62(n, digits)
}

// Issue makes a token: its text, which is to be shown once and is kept nowhere, and what the store
// keeps of it. by names who makes it. Errors have approval.CodeInvalid.
func Issue(s rest.TokenSpec, by string, now time.Time) (text string, t store.Token, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	p, err := PrincipalOf(s, now)
	if err != nil {
		return "", t, err
	}
	if s.Note != "" {
		if err := checkName("note", s.Note); err != nil {
			return "", t, err
		}
	}
	t.Token = rest.Token{
		ID:      random(71, idDigits), // 71 bits always fit twelve digits
		Subject: p.Subject, Kind: string(p.Kind), Owner: p.Owner, Groups: p.Groups, Team: p.Team, Agents: p.Agents,
		Note: s.Note, CreatedAt: now, CreatedBy: by,
	}
	for _, r := range p.Roles {
		t.Roles = append(t.Roles, string(r))
	}
	if !p.Expires.IsZero() {
		at := p.Expires.UTC().Truncate(time.Microsecond)
		t.ExpiresAt = &at
	}
	text = tokenPrefix + t.Kind + "_" + t.ID + "_" + random(secretBits, keyDigits)
	text += checksum(text)
	t.Hash = hashToken(text)
	return text, t, nil
}

// Tokens is the Authenticator of Pawl's own tokens. It looks each one up at each request: what was
// revoked stops working at once, in every process.
type Tokens struct {
	store store.TokenReader
}

// NewTokens makes one on a store.
func NewTokens(s store.TokenReader) *Tokens { return &Tokens{s} }

// unknown is said of every token that was not made here, whatever is wrong with it.
var unknown = &Refusal{Code: rest.CodeTokenUnknown,
	Message: "The token is not known here: is it complete, and from this Pawl?"}

// Authenticate implements Authenticator.
func (a *Tokens) Authenticate(ctx context.Context, text string) (Principal, error) {
	id, ok := TokenID(text)
	if !ok {
		return Principal{}, unknown
	}
	return a.holder(ctx, id, func(t store.Token) bool {
		hash := hashToken(text)
		return subtle.ConstantTimeCompare(hash[:], t.Hash[:]) == 1
	})
}

// Again implements Authenticator.
func (a *Tokens) Again(ctx context.Context, p Principal) (Principal, error) {
	return a.holder(ctx, p.TokenID, func(store.Token) bool { return true })
}

// holder returns who holds the token with an ID, if it is the right one and good now.
func (a *Tokens) holder(ctx context.Context, id string, right func(store.Token) bool) (Principal, error) {
	t, err := a.store.Token(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, unknown
	}
	if err != nil {
		return Principal{}, fmt.Errorf("look up the token %s: %w", id, err)
	}
	if !right(t) {
		return Principal{}, unknown
	}
	switch { // who gets these answers has, or had, the token
	case t.RevokedAt != nil:
		return Principal{}, &Refusal{Code: rest.CodeTokenRevoked, Message: "The token was revoked.",
			Subject: t.Subject, TokenID: t.ID}
	case t.ExpiresAt != nil && !time.Now().Before(*t.ExpiresAt):
		return Principal{}, &Refusal{Code: rest.CodeTokenExpired, Subject: t.Subject, TokenID: t.ID,
			Message: "The token expired on " + t.ExpiresAt.Format(time.RFC3339) + "."}
	}
	p, err := principalOf(t)
	if err != nil {
		return Principal{}, fmt.Errorf("the token %s is kept in a form that can't be used: %w", id, err)
	}
	return p, nil
}

// Ready implements Authenticator. Whether the store can be used is a check of its own.
func (a *Tokens) Ready(context.Context) error { return nil }

func principalOf(t store.Token) (Principal, error) {
	p := Principal{
		Subject: t.Subject, Kind: rest.Kind(t.Kind), Owner: t.Owner, Groups: t.Groups,
		Team: t.Team, Agents: t.Agents, Method: rest.MethodToken, TokenID: t.ID,
	}
	for _, r := range t.Roles {
		p.Roles = append(p.Roles, rest.Role(r))
	}
	if t.ExpiresAt != nil {
		p.Expires = *t.ExpiresAt
	}
	return p, p.Check()
}

// Warnings says, in sentences for people, what whoever made a token may not have meant.
func Warnings(t rest.Token) []string {
	if t.Kind != string(rest.KindAgent) || !approval.SamePerson(t.Subject, t.Owner) {
		return nil
	}
	return []string{"The agent " + approval.Display(t.Subject, 80) + " is its own owner, so no person is kept " +
		"from approving what it asks for on their behalf. Name as its owner who is responsible for it."}
}

// Refusal is a credential that proves nobody. Its text never holds any of the credential, and is
// fit for whoever sent it.
type Refusal struct {
	Code    string // one of rest.CodeToken…
	Message string
	// Whose token it was, and its ID, where it was one that does not work any more: for the record.
	Subject, TokenID string
}

func (r *Refusal) Error() string { return r.Message }

// Refused returns the refusal in err's chain, or nil.
func Refused(err error) *Refusal {
	r, _ := errors.AsType[*Refusal](err)
	return r
}

// MaxCredential bounds a credential, in bytes.
const MaxCredential = 16 << 10

// Authenticator tells who holds a credential. It is safe for concurrent use.
type Authenticator interface {
	// Authenticate returns who holds a credential: the text behind "Bearer ". It is called for each
	// request, and remembers no answer. Errors: *Refusal; any other means that it could not check.
	Authenticate(ctx context.Context, credential string) (Principal, error)
	// Again returns who a principal is now that Authenticate returned before: nobody, if the credential
	// was revoked or is not taken any more. Errors are Authenticate's.
	Again(ctx context.Context, p Principal) (Principal, error)
	// Ready fails if Authenticate would fail for everybody now. It is quick.
	Ready(ctx context.Context) error
}

// MethodOf is the method by which a credential would prove something, by its form.
func MethodOf(credential string) rest.Method {
	if strings.HasPrefix(credential, tokenPrefix) {
		return rest.MethodToken
	}
	return rest.MethodOIDC
}

// Any is an Authenticator for credentials of both kinds. Their form says which kind they are, so
// one is never tried as the other.
type Any struct {
	Tokens Authenticator // of Pawl's own; nil: none are taken
	OIDC   Authenticator // of an issuer's; nil: none are taken
}

func (a Any) Authenticate(ctx context.Context, credential string) (Principal, error) {
	ours := MethodOf(credential) == rest.MethodToken
	switch {
	case len(credential) > MaxCredential:
		return Principal{}, &Refusal{Code: rest.CodeTokenUnknown, Message: "The credential is longer than any token."}
	case ours && a.Tokens != nil:
		return a.Tokens.Authenticate(ctx, credential)
	case !ours && a.OIDC != nil:
		return a.OIDC.Authenticate(ctx, credential)
	case ours:
		return Principal{}, &Refusal{Code: rest.CodeTokenUnknown,
			Message: "This API does not accept Pawl's own tokens: send one of its OpenID Connect issuer."}
	}
	return Principal{}, &Refusal{Code: rest.CodeTokenUnknown, Message: "This API accepts only Pawl's own tokens, " +
		"which begin with " + tokenPrefix + ": is it cut, or pasted with its quotes?"}
}

// Again implements Authenticator.
func (a Any) Again(ctx context.Context, p Principal) (Principal, error) {
	switch {
	case p.Method == rest.MethodToken && a.Tokens != nil:
		return a.Tokens.Again(ctx, p)
	case p.Method == rest.MethodOIDC && a.OIDC != nil:
		return a.OIDC.Again(ctx, p)
	}
	return Principal{}, &Refusal{
		Code: rest.CodeTokenUnknown, Message: "This API does not take this kind of credential any more.",
	}
}

func (a Any) Ready(ctx context.Context) error {
	var errs []error
	for _, one := range []Authenticator{a.Tokens, a.OIDC} {
		if one != nil {
			errs = append(errs, one.Ready(ctx))
		}
	}
	return errors.Join(errs...)
}
