package auth

import (
	"context"
	"errors"
	"github.com/pawlhq/pawl/rest"
	"strings"
)

// Refusal is a credential that proves nobody. Its text never holds any of the credential, and is
// fit for whoever sent it.
type Refusal struct {
	Code    string // one of rest.CodeToken…
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Refused returns the refusal in err's chain, or nil.
func Refused(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}

// MaxCredential bounds a credential, in bytes.
const MaxCredential = 16 << 10

// Authenticator tells who holds a credential. It is safe for concurrent use.
type Authenticator interface {
	// Authenticate returns who holds a credential: the text behind "Bearer ". It is called for each
	// request, and remembers no answer. Errors: *Refusal; any other means that it could not check.
	Authenticate(ctx context.Context, credential string) (Principal, error)
	// Ready fails if Authenticate would fail for everybody now. It is quick.
	Ready(ctx context.Context) error
}

// Any is an Authenticator for credentials of both kinds. Their form says which kind they are, so
// one is never tried as the other.
type Any struct {
	Tokens Authenticator // of Pawl's own; nil: none are taken
	OIDC   Authenticator // of an issuer's; nil: none are taken
}

func (a Any) Authenticate(ctx context.Context, credential string) (Principal, error) {
	ours := strings.HasPrefix(credential, tokenPrefix)
	switch {
	case len(credential) > MaxCredential:
		return Principal{}, &Refusal{rest.CodeTokenUnknown, "The credential is longer than any token."}
	case ours && a.Tokens != nil:
		return a.Tokens.Authenticate(ctx, credential)
	case !ours && a.OIDC != nil:
		return a.OIDC.Authenticate(ctx, credential)
	case ours:
		return Principal{}, &Refusal{rest.CodeTokenUnknown,
			"This API does not accept Pawl's own tokens: send one of its OpenID Connect issuer."}
	}
	return Principal{}, &Refusal{rest.CodeTokenUnknown, "This API accepts only Pawl's own tokens, " +
		"which begin with " + tokenPrefix + ": is it cut, or pasted with its quotes?"}
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
