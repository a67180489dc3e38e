package backend

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// sessionDoc is the part of a session that is kept as JSON.
type sessionDoc struct {
	Principal rest.Principal `json:"principal"`
	CreatedAt time.Time      `json:"created_at"`
}

// AddSession implements store.Sessions.
func (b Base) AddSession(ctx context.Context, s store.Session) (fresh bool, err error) {
	if err := s.Check(); err != nil {
		return false, err
	}
	doc, err := store.Encode(sessionDoc{s.Principal, store.Micros(s.CreatedAt)})
	if err != nil {
		return false, err
	}
	const forget = `DELETE FROM pawl.sessions WHERE expires_at < $1`
	const add = `INSERT INTO pawl.sessions (kind, hash, subject, session, expires_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, hash) DO NOTHING RETURNING hash`
	err = b.db.Write(ctx, "keep a session", "", func(tx Tx) error {
		if err := tx.Exec(ctx, forget, s.CreatedAt); err != nil {
			return err
		}
		added, err := all(ctx, tx, add,
			[]any{string(s.Kind), s.Hash, s.Principal.Subject, doc, s.ExpiresAt}, scanText)
		fresh = len(added) > 0
		return err
	})
	return fresh && err == nil, err
}

// Session implements store.Sessions.
func (b Base) Session(ctx context.Context, kind store.SessionKind, hash string) (store.Session, error) {
	const query = `SELECT kind, hash, session, expires_at FROM pawl.sessions WHERE hash = $1 AND kind = $2`
	return one(ctx, b.db, "session", query, hash, scanSession, string(kind))
}

// TakeSession implements store.Sessions.
func (b Base) TakeSession(
	ctx context.Context, kind store.SessionKind, hash string,
) (s store.Session, err error) {
	const take = `DELETE FROM pawl.sessions WHERE kind = $1 AND hash = $2
		RETURNING kind, hash, session, expires_at`
	if !Storable(hash) {
		return s, store.ErrNotFound
	}
	err = b.db.Write(ctx, "take a session", "", func(tx Tx) error {
		taken, err := all(ctx, tx, take, []any{string(kind), hash}, scanSession)
		switch {
		case err != nil:
			return err
		case len(taken) == 0:
			return store.ErrNotFound
		}
		s = taken[0]
		return nil
	})
	if err != nil {
		return store.Session{}, err
	}
	return s, nil
}

// ExtendSession implements store.Sessions.
func (b Base) ExtendSession(ctx context.Context, hash string, expires time.Time) error {
	const extend = `UPDATE pawl.sessions SET expires_at = $1
		WHERE kind = 'session' AND hash = $2 AND expires_at < $1 RETURNING hash`
	_, err := b.update(ctx, "extend a session", extend, expires, hash)
	return err
}

// EndSessions implements store.Sessions.
func (b Base) EndSessions(ctx context.Context, subject string) (int, error) {
	const end = `DELETE FROM pawl.sessions WHERE subject = $1 AND subject <> '' RETURNING kind`
	if !Storable(subject) {
		return 0, nil
	}
	kinds, err := b.update(ctx, "end sessions", end, subject)
	ended := 0
	for _, kind := range kinds {
		if kind == string(store.SignedIn) {
			ended++
		}
	}
	return ended, err
}

func scanSession(row Row, _ ...any) (s store.Session, err error) {
	var doc string
	if err := row.Scan((*string)(&s.Kind), &s.Hash, &doc, (*instant)(&s.ExpiresAt)); err != nil {
		return s, err
	}
	var kept sessionDoc
	if err := decode(doc, &kept); err != nil {
		return s, err
	}
	s.Principal, s.CreatedAt = kept.Principal, kept.CreatedAt
	return s, nil
}
