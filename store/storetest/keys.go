package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func signingKey(id string) store.SigningKey {
	return store.SigningKey{
		ID: id, Public: bytes.Repeat([]byte{id[0]}, 32), Note: awkward, CreatedAt: after(1), CreatedBy: awkward,
	}
}

func addKey(t *testing.T, s store.Store, id string) store.SigningKey {
	t.Helper()
	k, fresh, err := s.AddKey(t.Context(), store.NewKey{SigningKey: signingKey(id)})
	if err != nil || !fresh {
		t.Fatalf("AddKey(%q): fresh %v, %v", id, fresh, err)
	}
	return k
}

func keyEnding(id string, revoke bool, at time.Time) store.EndKeyParams {
	return store.EndKeyParams{ID: id, By: "ben", Revoke: revoke, At: at}
}

func endKey(t *testing.T, s store.Store, e store.EndKeyParams, fresh bool) store.SigningKey {
	t.Helper()
	k, got, err := s.EndKey(t.Context(), e)
	if err != nil || got != fresh {
		t.Fatalf("EndKey(%+v): fresh %v, %v", e, got, err)
	}
	return k
}

// trusted returns the IDs that TrustedKeys answers.
func trusted(t *testing.T, s store.Store, ids ...string) []string {
	t.Helper()
	keys, err := s.TrustedKeys(t.Context(), ids...)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, k := range keys {
		if k.RevokedAt != nil || !bytes.Equal(k.Public, signingKey(k.ID).Public) {
			t.Errorf("the trusted key %s is %+v", k.ID, k)
		}
		got = append(got, k.ID)
	}
	return got
}

func keysKept(t *testing.T, s store.Store) {
	same(t, "a new key", addKey(t, s, "k"), signingKey("k"))
	again, fresh, err := s.AddKey(t.Context(), store.NewKey{SigningKey: signingKey("k")})
	if err != nil || fresh {
		t.Errorf("a repeat: fresh %v, %v", fresh, err)
	}
	same(t, "the answer to a repeat", again, signingKey("k"))
	other := signingKey("k")
	other.Public[0] ^= 1
	_, _, err = s.AddKey(t.Context(), store.NewKey{SigningKey: other})
	invalid(t, "another key with the ID", err)
	wrote(t, s, audit.SubjectKey+"k", "added")
}

func keysEnded(t *testing.T, s store.Store) {
	addKey(t, s, "k")
	at := after(5)
	want := signingKey("k")
	want.RetiredAt, want.RetiredBy = &at, "ben"
	same(t, "a retired key", endKey(t, s, keyEnding("k", false, at), true), want)
	same(t, "retired again", endKey(t, s, keyEnding("k", false, after(6)), false), want)
	again, _, _ := s.AddKey(t.Context(), store.NewKey{SigningKey: signingKey("k")})
	same(t, "added again", again, want)
	later := after(7)
	want.RevokedAt, want.RevokedBy = &later, "ben"
	same(t, "a revoked key", endKey(t, s, keyEnding("k", true, later), true), want)
	same(t, "revoked again", endKey(t, s, keyEnding("k", true, after(8)), false), want)
	wrote(t, s, audit.SubjectKey+"k", "added", "retired", "revoked")

	addKey(t, s, "l")
	endKey(t, s, keyEnding("l", true, at), true)
	if k := endKey(t, s, keyEnding("l", false, later), false); k.RetiredAt != nil {
		t.Errorf("a revoked key was retired: %+v", k)
	}
	for _, id := range []string{"", "none", "K", "a\x00b", "\xff"} {
		_, _, err := s.EndKey(t.Context(), store.EndKeyParams{ID: id, At: at})
		fails(t, fmt.Sprintf("EndKey(%q)", id), err, store.ErrNotFound)
	}
}

func keysAtOnce(t *testing.T, s store.Store) {
	added, revoked := make([]bool, many), make([]bool, many)
	together(many, func(i int) {
		var err error
		if _, added[i], err = s.AddKey(t.Context(), store.NewKey{SigningKey: signingKey("k")}); err != nil {
			t.Error(err)
		}
	})
	together(many, func(i int) {
		var err error
		if _, revoked[i], err = s.EndKey(t.Context(), keyEnding("k", true, after(5))); err != nil {
			t.Error(err)
		}
	})
	once(t, "added", added)
	once(t, "revoked", revoked)
	wrote(t, s, audit.SubjectKey+"k", "added", "revoked")
}

func keysTrusted(t *testing.T, s store.Store) {
	if got := trusted(t, s); len(got) != 0 {
		t.Errorf("an empty store trusts %v", got)
	}
	var newest []string
	for i := range store.MaxTrusted + 5 {
		id := string(rune('A' + i))
		addKey(t, s, id)
		newest = append([]string{id}, newest...)
	}
	endKey(t, s, keyEnding("A", false, after(5)), true)
	endKey(t, s, keyEnding(newest[0], true, after(5)), true)
	if got := trusted(t, s); !slices.Equal(got, newest[1:store.MaxTrusted+1]) {
		t.Errorf("the newest are %v", got)
	}
	got := trusted(t, s, "A", newest[0], "B", "none", "a\x00b", "\xff")
	if !slices.Equal(got, []string{"B", "A"}) {
		t.Errorf("those asked for are %v", got)
	}
	if got := trusted(t, s, newest[0]); len(got) != 0 {
		t.Errorf("a revoked one is trusted: %v", got)
	}
}

func keysPaged(t *testing.T, s store.Store) {
	for i := range 7 {
		addKey(t, s, fmt.Sprint(i))
	}
	endKey(t, s, keyEnding("3", true, after(5)), true)
	id := func(k store.SigningKey) string { return k.ID }
	for _, k := range newestFirst(t, s.SigningKeys, id, "tokens-1") {
		if (k.RevokedAt != nil) != (k.ID == "3") {
			t.Errorf("%+v", k)
		}
	}
}

func keysInvalid(t *testing.T, s store.Store) {
	at := after(1)
	for what, change := range map[string]func(*store.SigningKey){
		"no ID":           func(k *store.SigningKey) { k.ID = "" },
		"an ID with NUL":  func(k *store.SigningKey) { k.ID = "a\x00" },
		"half a key":      func(k *store.SigningKey) { k.Public = k.Public[:16] },
		"no time":         func(k *store.SigningKey) { k.CreatedAt = time.Time{} },
		"retired already": func(k *store.SigningKey) { k.RetiredAt = &at },
		"revoked already": func(k *store.SigningKey) { k.RevokedAt = &at },
	} {
		k := signingKey("k")
		change(&k)
		_, _, err := s.AddKey(t.Context(), store.NewKey{SigningKey: k})
		invalid(t, what, err)
	}
	_, _, err := s.EndKey(t.Context(), store.EndKeyParams{ID: "k"})
	invalid(t, "an ending without a time", err)
	if got := trusted(t, s); len(got) != 0 {
		t.Errorf("the store trusts %v", got)
	}
}

// A permit that rests on signed decisions is not used up by somebody who did not verify them.
func useVerified(t *testing.T, s store.Store) {
	admit(t, s, waiting(t, "a"))
	c := claiming(t, "a")
	c.Evidence = `[{"payload":"<&🦀"}]`
	claimed := claim(t, s, c)
	if claimed.Permit.Evidence != c.Evidence {
		t.Errorf("the claim rests on %q", claimed.Permit.Evidence)
	}
	isStored(t, s, claimed)
	u := using(t, "a")
	fails(t, "Use without looking", s.Use(t.Context(), u), store.ErrUnverified)
	isStored(t, s, claimed)
	wrote(t, s, "a", "requested", "claimed")

	u.Verified = true
	use(t, s, u)
	u.Verified = false
	fails(t, "a second Use", s.Use(t.Context(), u), store.ErrStarted)

	admit(t, s, waiting(t, "b"))
	plain := using(t, "b")
	plain.Verified = true
	claim(t, s, claiming(t, "b"))
	use(t, s, plain) // of a claim that rests on none
}
