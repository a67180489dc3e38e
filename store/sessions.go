package store

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Sessions keeps who is signed in, and what is good for one sign-in: by the hashes of secrets that
// only a browser has. It is never cached: what has ended is over at once, in any process.
type Sessions interface {
	// AddSession keeps a new one, and forgets those that have expired; fresh is false if one of its
	// kind and hash is there.
	AddSession(ctx context.Context, s Session) (fresh bool, err error)
	// Session finds one, also if it has expired. Errors: ErrNotFound.
	Session(ctx context.Context, kind SessionKind, hash string) (Session, error)
	// TakeSession removes one and returns it; of several at once one gets it. Errors: ErrNotFound.
	TakeSession(ctx context.Context, kind SessionKind, hash string) (Session, error)
	// ExtendSession lets a session that is there expire later.
	ExtendSession(ctx context.Context, hash string, expires time.Time) error
	// EndSessions removes all sessions and codes of a subject, and says how many sessions there were.
	EndSessions(ctx context.Context, subject string) (ended int, err error)
}

// SessionKind says what a row of Sessions is.
type SessionKind string

// The kinds.
const (
	SignedIn   SessionKind = "session"
	SignInCode SessionKind = "code"  // good for one session
	UsedState  SessionKind = "state" // of a sign-in at an issuer: it is not taken again
)

// Session is one row. For UsedState it has no principal.
type Session struct {
	Kind      SessionKind
	Hash      string // of its secret, in hexadecimal
	Principal rest.Principal
	// CreatedAt is also the time by which AddSession forgets.
	CreatedAt, ExpiresAt time.Time
}

// Check refuses what could not be read back.
func (s Session) Check() error {
	switch {
	case s.Kind != SignedIn && s.Kind != SignInCode && s.Kind != UsedState:
		return approval.Errorf(approval.CodeInvalid, "session: its kind is not known")
	case len(s.Hash) != 64:
		return approval.Errorf(approval.CodeInvalid, "session: its hash is missing")
	case (s.Kind == UsedState) != (s.Principal.Subject == ""):
		return approval.Errorf(approval.CodeInvalid, "session: whose it is does not fit its kind")
	case s.CreatedAt.IsZero() || !s.ExpiresAt.After(s.CreatedAt):
		return approval.Errorf(approval.CodeInvalid, "session: its times can't be")
	}
	return nil
}
