package storetest

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func token(id string) store.Token {
	expires := after(1000)
	return store.Token{Token: rest.Token{
		ID: id, Subject: "agent:billing", Kind: "agent", Owner: awkward,
		Roles: []string{"agent"}, Groups: []string{"a", awkward}, Team: "finance", Agents: []string{"billing"},
		Note: awkward, CreatedAt: after(1), CreatedBy: "ana", ExpiresAt: &expires,
	}, Hash: sha256.Sum256([]byte(id))}
}

func revocation(id string) store.RevokeParams {
	return store.RevokeParams{ID: id, By: "ben", At: after(9)}
}

func addToken(t *testing.T, s store.Store, k store.Token) {
	t.Helper()
	if err := s.AddToken(t.Context(), k); err != nil {
		t.Fatalf("AddToken(%q): %v", k.ID, err)
	}
}

// tokenStands fails unless the stored token is k.
func tokenStands(t *testing.T, s store.Store, k store.Token) {
	t.Helper()
	got, err := s.Token(t.Context(), k.ID)
	if err != nil {
		t.Fatalf("Token(%q): %v", k.ID, err)
	}
	same(t, "the stored token", got, k)
	if got.Hash != k.Hash {
		t.Error("the token's hash is another one")
	}
}

func tokensKept(t *testing.T, s store.Store) {
	k, bare := token("k"), store.Token{Token: rest.Token{ID: "bare", Subject: "ana", CreatedAt: after(2)}, Hash: [32]byte{1}}
	addToken(t, s, k)
	addToken(t, s, bare)
	tokenStands(t, s, k)
	tokenStands(t, s, bare)
	for _, id := range []string{"", "K", "k ", "%", "a\x00b", "\xff"} {
		_, err := s.Token(t.Context(), id)
		fails(t, fmt.Sprintf("Token(%q)", id), err, store.ErrNotFound)
	}

	addToken(t, s, k) // a repeat
	wrote(t, s, audit.SubjectToken+"k", "created")
	other := k
	other.Hash[0] ^= 1
	other.Subject = "mallory"
	invalid(t, "another token with the ID", s.AddToken(t.Context(), other))
	tokenStands(t, s, k)
	wrote(t, s, audit.SubjectToken+"k", "created")
}

func tokensRevoked(t *testing.T, s store.Store) {
	k := token("k")
	addToken(t, s, k)
	got, fresh, err := s.RevokeToken(t.Context(), revocation("k"))
	if err != nil || !fresh {
		t.Fatalf("RevokeToken: fresh %v, %v", fresh, err)
	}
	at := after(9)
	k.RevokedAt, k.RevokedBy = &at, "ben"
	same(t, "the revoked token", got, k)
	tokenStands(t, s, k)
	wrote(t, s, audit.SubjectToken+"k", "created", "revoked")

	again := revocation("k")
	again.By, again.At = "mallory", after(10)
	if got, fresh, err = s.RevokeToken(t.Context(), again); err != nil || fresh {
		t.Errorf("a second RevokeToken: fresh %v, %v", fresh, err)
	}
	same(t, "the token after a second revocation", got, k)
	unrevoked := token("k")
	addToken(t, s, unrevoked) // a late repeat does not bring it back
	tokenStands(t, s, k)
	wrote(t, s, audit.SubjectToken+"k", "created", "revoked")

	_, _, err = s.RevokeToken(t.Context(), revocation("none"))
	fails(t, "RevokeToken of none", err, store.ErrNotFound)
	wrote(t, s, audit.SubjectToken+"none")
}

func tokensAtOnce(t *testing.T, s store.Store) {
	k := token("k")
	wins := make([]bool, many)
	together(many, func(int) {
		if err := s.AddToken(t.Context(), k); err != nil {
			t.Error(err)
		}
	})
	together(many, func(i int) {
		var err error
		if _, wins[i], err = s.RevokeToken(t.Context(), revocation("k")); err != nil {
			t.Error(err)
		}
	})
	once(t, "revoked", wins)
	wrote(t, s, audit.SubjectToken+"k", "created", "revoked")
}

func tokensPaged(t *testing.T, s store.Store) {
	for i := range 7 {
		addToken(t, s, token(fmt.Sprint(i)))
	}
	for _, k := range newestFirst(t, s.Tokens, func(k store.Token) string { return k.ID }, "calls-1") {
		if k.Hash != token(k.ID).Hash {
			t.Errorf("the token %s is listed with another hash", k.ID)
		}
	}
}

func tokensInvalid(t *testing.T, s store.Store) {
	at := after(1)
	for what, change := range map[string]func(*store.Token){
		"no ID":           func(k *store.Token) { k.ID = "" },
		"an ID with NUL":  func(k *store.Token) { k.ID = "a\x00" },
		"nobody":          func(k *store.Token) { k.Subject = "" },
		"no hash":         func(k *store.Token) { k.Hash = [32]byte{} },
		"no time":         func(k *store.Token) { k.CreatedAt = time.Time{} },
		"revoked already": func(k *store.Token) { k.RevokedAt = &at },
	} {
		k := token("k")
		change(&k)
		invalid(t, what, s.AddToken(t.Context(), k))
	}
	r := revocation("k")
	r.At = time.Time{}
	_, _, err := s.RevokeToken(t.Context(), r)
	invalid(t, "a revocation without a time", err)
	page, err := s.Tokens(t.Context(), store.Paging{})
	if err != nil || len(page.Items) != 0 {
		t.Errorf("the store keeps %d tokens, %v", len(page.Items), err)
	}
}
