// Package session signs people in with their browsers: sessions, codes that are good for one
// session, and the state of a sign-in at an OpenID Connect issuer.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

const (
	// Prefix begins the secret of every session, so that it is taken for nothing else.
	Prefix = "pawl_session_"
	// Idle is how long a session lasts that nobody uses.
	Idle = 12 * time.Hour
	// CodeLife is how long a code can be used.
	CodeLife = time.Minute

	// extendAfter is how much of Idle may pass before a use is written down.
	extendAfter = 5 * time.Minute
)

// Sessions begins, finds and ends sessions. A session stands for the credential that it began with:
// it ends with that, at once. It is safe for concurrent use.
type Sessions struct {
	store store.Sessions
	auth  auth.Authenticator
	log   *slog.Logger
}

// New makes one on a store, for those whom a knows.
func New(s store.Sessions, a auth.Authenticator, log *slog.Logger) *Sessions {
	return &Sessions{s, a, log}
}

var (
	ended = &auth.Refusal{Code: rest.CodeSessionEnded, Message: "The session has ended: sign in again."}
	// used is said of every code that is not good, whatever is wrong with it.
	used = &auth.Refusal{Code: rest.CodeCodeUnknown,
		Message: "The code is not good any more: it works once, for a minute. Run pawl open again."}
)

func hashOf(secret string) string {
	hash := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(hash[:])
}

// add keeps a new session or code of p's, and returns its secret.
func (s *Sessions) add(
	ctx context.Context, kind store.SessionKind, prefix string, p auth.Principal, life time.Duration,
) (secret string, expires time.Time, err error) {
	secret = prefix + rand.Text()
	now := store.Micros(time.Now())
	expires = now.Add(life)
	fresh, err := s.store.AddSession(ctx, store.Session{
		Kind: kind, Hash: hashOf(secret), Principal: rest.Principal(p), CreatedAt: now, ExpiresAt: expires,
	})
	if err == nil && !fresh {
		err = errors.New("a secret was made twice")
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("keep a %s: %w", kind, err)
	}
	return secret, expires, nil
}

// Begin signs somebody in, and returns the session's secret. It is always a new one.
func (s *Sessions) Begin(ctx context.Context, p auth.Principal) (secret string, err error) {
	secret, _, err = s.add(ctx, store.SignedIn, Prefix, p, Idle)
	return secret, err
}

// Authenticate returns whose session it is. active says that a person uses it now, which keeps it
// from ending as idle. Errors: *auth.Refusal; any other means that it could not check.
func (s *Sessions) Authenticate(ctx context.Context, secret string, active bool) (auth.Principal, error) {
	if !strings.HasPrefix(secret, Prefix) || len(secret) > auth.MaxCredential {
		return auth.Principal{}, ended
	}
	k, err := s.store.Session(ctx, store.SignedIn, hashOf(secret))
	p, err := s.again(ctx, k, err, ended)
	if err != nil || !active || time.Until(k.ExpiresAt) > Idle-extendAfter {
		return p, err
	}
	if err := s.store.ExtendSession(ctx, k.Hash, store.Micros(time.Now().Add(Idle))); err != nil {
		s.log.WarnContext(ctx, "the use of a session could not be written down, so it may end as idle",
			"subject", p.Subject, "error", err)
	}
	return p, nil
}

// again returns who a session's or code's principal is now; found is the error of finding it.
func (s *Sessions) again(
	ctx context.Context, k store.Session, found error, refusal *auth.Refusal,
) (auth.Principal, error) {
	switch {
	case errors.Is(found, store.ErrNotFound), found == nil && !time.Now().Before(k.ExpiresAt):
		return auth.Principal{}, refusal
	case found != nil:
		return auth.Principal{}, fmt.Errorf("look up a session: %w", found)
	}
	p, err := s.auth.Again(ctx, auth.Principal(k.Principal))
	if err == nil && p.Subject != k.Principal.Subject {
		return auth.Principal{}, refusal
	}
	return p, err
}

// End ends one session, if it is there.
func (s *Sessions) End(ctx context.Context, secret string) (int, error) {
	_, err := s.store.TakeSession(ctx, store.SignedIn, hashOf(secret))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return 1, nil
}

// EndAll ends all sessions of a subject, and its codes.
func (s *Sessions) EndAll(ctx context.Context, subject string) (int, error) {
	return s.store.EndSessions(ctx, subject)
}

// NewCode makes a code with which p can begin one session elsewhere.
func (s *Sessions) NewCode(
	ctx context.Context, p auth.Principal,
) (code string, expires time.Time, err error) {
	return s.add(ctx, store.SignInCode, "", p, CodeLife)
}

// Redeem uses a code, and returns whose it was. Errors are Authenticate's.
func (s *Sessions) Redeem(ctx context.Context, code string) (auth.Principal, error) {
	k, err := s.store.TakeSession(ctx, store.SignInCode, hashOf(code))
	return s.again(ctx, k, err, used)
}
