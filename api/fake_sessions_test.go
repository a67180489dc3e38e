package api

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/pawlhq/pawl/store"
)

// fakeSessions are the fake store's.
type fakeSessions map[string]store.Session

func sessionKey(kind store.SessionKind, hash string) string { return string(kind) + " " + hash }

func (s *fakeStore) AddSession(_ context.Context, k store.Session) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.begin(), s.appendErr, k.Check()); err != nil {
		return false, err
	}
	if s.sessions == nil {
		s.sessions = fakeSessions{}
	}
	if _, there := s.sessions[sessionKey(k.Kind, k.Hash)]; there {
		return false, nil
	}
	s.sessions[sessionKey(k.Kind, k.Hash)] = k
	return true, nil
}

func (s *fakeStore) Session(_ context.Context, kind store.SessionKind, hash string) (store.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, there := s.sessions[sessionKey(kind, hash)]
	if !there {
		return k, cmp.Or(s.begin(), store.ErrNotFound)
	}
	return k, s.begin()
}

func (s *fakeStore) TakeSession(ctx context.Context, kind store.SessionKind, hash string) (store.Session, error) {
	k, err := s.Session(ctx, kind, hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.appendErr, err); err != nil {
		return store.Session{}, err
	}
	delete(s.sessions, sessionKey(kind, hash))
	return k, nil
}

func (s *fakeStore) ExtendSession(_ context.Context, hash string, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, there := s.sessions[sessionKey(store.SignedIn, hash)]; there && s.appendErr == nil {
		k.ExpiresAt = expires
		s.sessions[sessionKey(store.SignedIn, hash)] = k
	}
	return cmp.Or(s.begin(), s.appendErr)
}

func (s *fakeStore) EndSessions(_ context.Context, subject string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := 0
	maps.DeleteFunc(s.sessions, func(_ string, k store.Session) bool {
		ends := k.Principal.Subject == subject
		if ends && k.Kind == store.SignedIn {
			before++
		}
		return ends
	})
	return before, cmp.Or(s.begin(), s.appendErr)
}
