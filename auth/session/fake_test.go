package session

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// shelf is a store.Sessions in memory.
type shelf struct {
	mu       sync.Mutex
	rows     map[string]store.Session
	extended int
	err      error // of everything
	writeErr error // of all that writes
}

func key(kind store.SessionKind, hash string) string { return string(kind) + " " + hash }

func (s *shelf) AddSession(_ context.Context, k store.Session) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, s.writeErr, k.Check()); err != nil {
		return false, err
	}
	maps.DeleteFunc(s.rows, func(_ string, old store.Session) bool { return !old.ExpiresAt.After(k.CreatedAt) })
	if _, there := s.rows[key(k.Kind, k.Hash)]; there {
		return false, nil
	}
	s.rows[key(k.Kind, k.Hash)] = k
	return true, nil
}

func (s *shelf) Session(_ context.Context, kind store.SessionKind, hash string) (store.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, there := s.rows[key(kind, hash)]
	if !there {
		return k, cmp.Or(s.err, store.ErrNotFound)
	}
	return k, s.err
}

func (s *shelf) TakeSession(_ context.Context, kind store.SessionKind, hash string) (store.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, there := s.rows[key(kind, hash)]
	if err := cmp.Or(s.err, s.writeErr); err != nil {
		return store.Session{}, err
	}
	if !there {
		return k, store.ErrNotFound
	}
	delete(s.rows, key(kind, hash))
	return k, nil
}

func (s *shelf) ExtendSession(_ context.Context, hash string, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extended++
	if err := cmp.Or(s.err, s.writeErr); err != nil {
		return err
	}
	if k, there := s.rows[key(store.SignedIn, hash)]; there {
		k.ExpiresAt = expires
		s.rows[key(store.SignedIn, hash)] = k
	}
	return nil
}

func (s *shelf) EndSessions(_ context.Context, subject string) (ended int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, s.writeErr); err != nil {
		return 0, err
	}
	maps.DeleteFunc(s.rows, func(_ string, k store.Session) bool {
		if k.Principal.Subject == subject && k.Kind == store.SignedIn {
			ended++
		}
		return k.Principal.Subject == subject
	})
	return ended, nil
}

// credentials are what the sessions stand for: who of them is still somebody, and who they are now.
type credentials struct {
	auth.Authenticator
	mu  sync.Mutex
	now map[string]auth.Principal // by subject
	err error
}

func (c *credentials) Again(_ context.Context, p auth.Principal) (auth.Principal, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, there := c.now[p.Subject]
	if !there {
		return auth.Principal{}, cmp.Or(c.err, error(&auth.Refusal{Code: rest.CodeTokenRevoked, Message: "It was revoked."}))
	}
	return now, c.err
}

func person(subject string, roles ...rest.Role) auth.Principal {
	return auth.Principal{Kind: rest.KindPerson, Subject: subject, Roles: roles}
}

// world has one person, rita, who may sign in.
func world(t *testing.T) (*Sessions, *shelf, *credentials) {
	t.Helper()
	s := &shelf{rows: map[string]store.Session{}}
	c := &credentials{now: map[string]auth.Principal{
		"rita": person("rita", rest.RoleReviewer), "otto": person("otto", rest.RoleAuditor),
	}}
	return New(s, c, slog.New(slog.DiscardHandler)), s, c
}
