package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func session(kind store.SessionKind, secret, subject string) store.Session {
	hash := sha256.Sum256([]byte(secret))
	s := store.Session{Kind: kind, Hash: hex.EncodeToString(hash[:]), CreatedAt: after(1), ExpiresAt: after(60)}
	if kind != store.UsedState {
		s.Principal = rest.Principal{Subject: subject, Kind: rest.KindPerson, Owner: subject,
			Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{awkward}, Method: rest.MethodToken, TokenID: "k"}
	}
	return s
}

func addSession(t *testing.T, s store.Store, k store.Session, fresh bool) {
	t.Helper()
	if got, err := s.AddSession(t.Context(), k); err != nil || got != fresh {
		t.Fatalf("AddSession(%s): %v, %v, want %v", k.Kind, got, err, fresh)
	}
}

func sessionsKept(t *testing.T, s store.Store) {
	k := session(store.SignedIn, "k", awkward)
	addSession(t, s, k, true)
	addSession(t, s, k, false)
	got, err := s.Session(t.Context(), store.SignedIn, k.Hash)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the stored session", got, k)
	for _, hash := range []string{"", "a\x00b", "\xff", session(store.SignedIn, "other", "ana").Hash} {
		_, err := s.Session(t.Context(), store.SignedIn, hash)
		fails(t, fmt.Sprintf("Session(%q)", hash), err, store.ErrNotFound)
		_, err = s.TakeSession(t.Context(), store.SignedIn, hash)
		fails(t, fmt.Sprintf("TakeSession(%q)", hash), err, store.ErrNotFound)
	}
	// A secret of one kind is none of another.
	_, err = s.Session(t.Context(), store.SignInCode, k.Hash)
	fails(t, "a session as a code", err, store.ErrNotFound)

	k.ExpiresAt = after(90)
	for _, at := range []int{90, 70} { // never earlier
		if err := s.ExtendSession(t.Context(), k.Hash, after(at)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = s.Session(t.Context(), store.SignedIn, k.Hash); err != nil {
		t.Fatal(err)
	}
	same(t, "the extended session", got, k)

	late := session(store.SignedIn, "late", "ana")
	late.CreatedAt, late.ExpiresAt = after(91), after(100)
	addSession(t, s, late, true)
	_, err = s.Session(t.Context(), store.SignedIn, k.Hash)
	fails(t, "a session that expired, after another began", err, store.ErrNotFound)

	for name, change := range map[string]func(*store.Session){
		"kind": func(k *store.Session) { k.Kind = "x" }, "hash": func(k *store.Session) { k.Hash = "" },
		"nobody's": func(k *store.Session) { k.Principal.Subject = "" }, "expired": func(k *store.Session) { k.ExpiresAt = k.CreatedAt },
	} {
		bad := session(store.SignedIn, "bad", "ana")
		change(&bad)
		if _, err := s.AddSession(t.Context(), bad); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sessionsTaken(t *testing.T, s store.Store) {
	code := session(store.SignInCode, "c", "ana")
	addSession(t, s, code, true)
	var took atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if got, err := s.TakeSession(t.Context(), store.SignInCode, code.Hash); err == nil {
				took.Add(1)
				same(t, "the code", got, code)
			}
		})
	}
	wait.Wait()
	if n := took.Load(); n != 1 {
		t.Errorf("%d took one code", n)
	}
	var fresh atomic.Int32
	for range 8 {
		wait.Go(func() {
			if first, err := s.AddSession(t.Context(), session(store.UsedState, "s", "")); err == nil && first {
				fresh.Add(1)
			}
		})
	}
	wait.Wait()
	if n := fresh.Load(); n != 1 {
		t.Errorf("%d used one state first", n)
	}
}

func sessionsEnd(t *testing.T, s store.Store) {
	for _, k := range []store.Session{
		session(store.SignedIn, "a1", "ana"), session(store.SignedIn, "a2", "ana"), session(store.SignInCode, "a3", "ana"),
		session(store.SignedIn, "b", "ben"), session(store.UsedState, "s", ""),
	} {
		addSession(t, s, k, true)
	}
	for _, c := range []struct {
		subject string
		want    int
	}{{"ana", 2}, {"ana", 0}, {"", 0}, {"Ben", 0}, {"a\x00b", 0}} {
		if n, err := s.EndSessions(t.Context(), c.subject); err != nil || n != c.want {
			t.Errorf("EndSessions(%q): %d, %v, want %d", c.subject, n, err, c.want)
		}
	}
	_, err := s.TakeSession(t.Context(), store.SignInCode, session(store.SignInCode, "a3", "ana").Hash)
	fails(t, "a code of whoever signed out everywhere", err, store.ErrNotFound)
	if _, err := s.Session(t.Context(), store.SignedIn, session(store.SignedIn, "b", "ben").Hash); err != nil {
		t.Errorf("another's session: %v", err)
	}
	addSession(t, s, session(store.UsedState, "s", ""), false)
}
