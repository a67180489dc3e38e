package session

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// signedIn begins a session.
func signedIn(t *testing.T, s *Sessions, subject string) string {
	t.Helper()
	secret, err := s.Begin(t.Context(), person(subject))
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func newCode(t *testing.T, s *Sessions, subject string) string {
	t.Helper()
	code, _, err := s.NewCode(t.Context(), person(subject))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// want checks whether a session lasts, and otherwise why it does not.
func want(t *testing.T, s *Sessions, secret, code string) {
	t.Helper()
	p, err := s.Authenticate(t.Context(), secret, false)
	var refused *auth.Refusal
	switch {
	case code == "" && (err != nil || p.Subject == ""):
		t.Errorf("the session is refused: %v", err)
	case code != "" && (!errors.As(err, &refused) || refused.Code != code || p.Subject != ""):
		t.Errorf("the session is %q's, %v; want %s", p.Subject, err, code)
	}
}

// Nobody can choose the secret of a session: what a browser was given before it signed in is never a
// session, and each sign-in has its own.
func TestSecretsAreNewAndNotKept(t *testing.T) {
	s, kept, _ := world(t)
	seen := map[string]bool{}
	for range 100 {
		secret := signedIn(t, s, "rita")
		if seen[secret] || !strings.HasPrefix(secret, Prefix) || len(secret) < len(Prefix)+26 {
			t.Fatalf("the secret %q", secret)
		}
		seen[secret] = true
	}
	for at, row := range kept.rows {
		for secret := range seen {
			random := strings.TrimPrefix(secret, Prefix)
			if strings.Contains(at+row.Hash+row.Principal.Subject, random) {
				t.Fatal("the store keeps a secret")
			}
		}
	}
	before := len(kept.rows)
	for _, planted := range []string{
		"", Prefix, Prefix + "AAAAAAAAAAAAAAAAAAAAAAAAAA", "pawl_person_x", strings.Repeat("x", 100),
		Prefix + strings.Repeat("x", auth.MaxCredential), Prefix + "\x00", newCode(t, s, "rita"), Prefix + newCode(t, s, "rita"),
	} {
		want(t, s, planted, rest.CodeSessionEnded)
	}
	if len(kept.rows) != before+2 {
		t.Errorf("%d rows became %d", before, len(kept.rows))
	}
}

func TestSessionsAreWhoTheirCredentialIsNow(t *testing.T) {
	s, _, known := world(t)
	secret := signedIn(t, s, "rita")
	known.now["rita"] = person("rita", rest.RoleAdmin)
	p, err := s.Authenticate(t.Context(), secret, true)
	if err != nil || len(p.Roles) != 1 || p.Roles[0] != rest.RoleAdmin {
		t.Errorf("%+v, %v", p, err)
	}
	known.now["rita"] = person("mallory", rest.RoleAdmin)
	want(t, s, secret, rest.CodeSessionEnded)
	known.now["rita"] = person("rita")
	want(t, s, secret, "")
}

// A session ends with its credential, at once, however much it is used; that is its absolute end.
func TestSessionsEndWithTheirCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, known := world(t)
		secret, other, code := signedIn(t, s, "rita"), signedIn(t, s, "otto"), newCode(t, s, "rita")
		time.AfterFunc(30*24*time.Hour, func() { // the credential ends
			known.mu.Lock()
			defer known.mu.Unlock()
			delete(known.now, "rita")
		})
		for day := range 30 {
			for range 4 {
				if p, err := s.Authenticate(t.Context(), secret, true); err != nil || p.Subject != "rita" {
					t.Fatalf("on day %d: %v", day, err)
				}
				if _, err := s.Authenticate(t.Context(), other, true); err != nil {
					t.Fatal(err)
				}
				time.Sleep(6 * time.Hour)
			}
		}
		synctest.Wait()
		want(t, s, secret, rest.CodeTokenRevoked)
		want(t, s, other, "")
		if _, err := s.Redeem(t.Context(), code); err == nil {
			t.Error("a code outlives its credential")
		}
	})
}

func TestIdleSessionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		uses  []time.Duration // how long after each other
		after time.Duration
		code  string
	}{
		{"never used", nil, Idle - time.Second, ""},
		{"never used, and over", nil, Idle, rest.CodeSessionEnded},
		{"used late", []time.Duration{Idle - time.Second}, Idle - time.Second, ""},
		{"used late, and over", []time.Duration{Idle - time.Second}, Idle, rest.CodeSessionEnded},
		{"used again and again", []time.Duration{6 * time.Hour, 6 * time.Hour, 6 * time.Hour}, 11 * time.Hour, ""},
		// A use in the first minutes is not written down, and costs at most these.
		{"used at once", []time.Duration{extendAfter}, Idle - extendAfter - time.Second, ""},
		{"used too late", []time.Duration{Idle}, time.Second, rest.CodeSessionEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, _ := world(t)
				secret := signedIn(t, s, "rita")
				for _, use := range tt.uses {
					time.Sleep(use)
					_, _ = s.Authenticate(t.Context(), secret, true)
				}
				time.Sleep(tt.after)
				want(t, s, secret, tt.code)
			})
		})
	}
}

// A page that is open and watched by nobody does not keep its session, and a page in use does not write
// at each request.
func TestOnlyUseKeepsASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kept, _ := world(t)
		secret := signedIn(t, s, "rita")
		for range 12 * 60 {
			_, _ = s.Authenticate(t.Context(), secret, false)
			time.Sleep(time.Minute)
		}
		want(t, s, secret, rest.CodeSessionEnded)
		if kept.extended != 0 {
			t.Errorf("%d writes", kept.extended)
		}
		secret = signedIn(t, s, "rita")
		for range 60 {
			if _, err := s.Authenticate(t.Context(), secret, true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if most := int(time.Hour / extendAfter); kept.extended == 0 || kept.extended > most {
			t.Errorf("%d writes in an hour, at most %d", kept.extended, most)
		}
	})
}

func TestSignOut(t *testing.T) {
	s, _, _ := world(t)
	first, second, others := signedIn(t, s, "rita"), signedIn(t, s, "rita"), signedIn(t, s, "otto")
	code, othersCode := newCode(t, s, "rita"), newCode(t, s, "otto")
	for i, ended := range []int{1, 0} {
		if n, err := s.End(t.Context(), first); n != ended || err != nil {
			t.Errorf("sign-out %d ended %d, %v", i+1, n, err)
		}
	}
	want(t, s, first, rest.CodeSessionEnded)
	want(t, s, second, "")
	if n, err := s.End(t.Context(), code); n != 0 || err != nil {
		t.Errorf("a code was ended as a session: %d, %v", n, err)
	}

	third := signedIn(t, s, "rita")
	if n, err := s.EndAll(t.Context(), "rita"); n != 2 || err != nil {
		t.Errorf("ended %d everywhere, %v", n, err)
	}
	want(t, s, second, rest.CodeSessionEnded)
	want(t, s, third, rest.CodeSessionEnded)
	want(t, s, others, "")
	if _, err := s.Redeem(t.Context(), code); !isRefusal(err, rest.CodeCodeUnknown) {
		t.Errorf("a code of before: %v", err)
	}
	if p, err := s.Redeem(t.Context(), othersCode); p.Subject != "otto" || err != nil {
		t.Errorf("somebody else's code: %q, %v", p.Subject, err)
	}
	want(t, s, signedIn(t, s, "rita"), "")
}

func isRefusal(err error, code string) bool {
	var refused *auth.Refusal
	return errors.As(err, &refused) && refused.Code == code
}

func TestCodesWorkOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, known := world(t)
		code := newCode(t, s, "rita")
		var good atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if p, err := s.Redeem(t.Context(), code); err == nil && p.Subject == "rita" {
					good.Add(1)
				} else if !isRefusal(err, rest.CodeCodeUnknown) {
					t.Errorf("%q, %v", p.Subject, err)
				}
			})
		}
		all.Wait()
		if good.Load() != 1 {
			t.Errorf("the code worked %d times", good.Load())
		}
		for _, bad := range []string{"", "guess", signedIn(t, s, "rita"), Prefix} {
			if _, err := s.Redeem(t.Context(), bad); !isRefusal(err, rest.CodeCodeUnknown) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		code = newCode(t, s, "rita")
		time.Sleep(CodeLife - time.Second)
		if _, err := s.Redeem(t.Context(), code); err != nil {
			t.Errorf("in its last second: %v", err)
		}
		code = newCode(t, s, "rita")
		time.Sleep(CodeLife)
		if _, err := s.Redeem(t.Context(), code); !isRefusal(err, rest.CodeCodeUnknown) {
			t.Errorf("after a minute: %v", err)
		}
		code = newCode(t, s, "rita")
		delete(known.now, "rita")
		if _, err := s.Redeem(t.Context(), code); !isRefusal(err, rest.CodeTokenRevoked) {
			t.Errorf("of a revoked token: %v", err)
		}
	})
}

// What can't be checked is neither a session nor the end of one.
func TestStoresThatFail(t *testing.T) {
	broken := errors.New("the disk is gone")
	s, kept, known := world(t)
	secret, code := signedIn(t, s, "rita"), newCode(t, s, "rita")
	kept.err = broken
	for name, err := range map[string]error{
		"authenticate": second(s.Authenticate(t.Context(), secret, true)), "redeem": second(s.Redeem(t.Context(), code)),
		"begin": second(s.Begin(t.Context(), person("rita"))), "end": second(s.End(t.Context(), secret)),
		"end all": second(s.EndAll(t.Context(), "rita")),
	} {
		if !errors.Is(err, broken) || errors.As(err, new(*auth.Refusal)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kept.err, known.err = nil, broken
	if p, err := s.Authenticate(t.Context(), secret, true); !errors.Is(err, broken) || p.Subject != "rita" && p.Subject != "" {
		t.Errorf("credentials that can't be checked: %q, %v", p.Subject, err)
	}
	known.err = nil
	want(t, s, secret, "")

	// A use that can't be written down is a use.
	row := kept.rows[key(store.SignedIn, hashOf(secret))]
	row.ExpiresAt = time.Now().Add(time.Hour)
	kept.rows[key(store.SignedIn, hashOf(secret))] = row
	kept.writeErr = store.ErrReadOnly
	if p, err := s.Authenticate(t.Context(), secret, true); p.Subject != "rita" || err != nil || kept.extended == 0 {
		t.Errorf("%q, %v, %d writes", p.Subject, err, kept.extended)
	}
}

func second[T any](_ T, err error) error { return err }
