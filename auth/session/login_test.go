package session

import (
	"encoding/base64"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := NewLogin("/requests/pawl-1?x=1")
		for _, wait := range []time.Duration{0, time.Minute, LoginLife - 2*time.Minute} {
			time.Sleep(wait)
			l, ok := ParseLogin(began.Cookie())
			if !ok || l.To != began.To || l.State() != began.State() || l.Nonce() != began.Nonce() || l.Verifier() != began.Verifier() {
				t.Errorf("after %v: %+v, %v", wait, l, ok)
			}
		}
		time.Sleep(2 * time.Minute)
		if _, ok := ParseLogin(began.Cookie()); ok {
			t.Error("a sign-in lasts longer than its life")
		}
	})
}

// What goes to the issuer shows nothing of what the browser keeps, and none of it can be made from
// another part.
func TestLoginsShowNothing(t *testing.T) {
	a, b := NewLogin("/"), NewLogin("/")
	seen := map[string]bool{}
	for _, l := range []Login{a, b} {
		for _, sent := range []string{l.State(), l.Nonce(), l.Verifier()} {
			random, _, _ := strings.Cut(l.Cookie(), ".")
			if seen[sent] || strings.Contains(sent, random) || len(sent) < 43 {
				t.Errorf("%q is sent", sent)
			}
			seen[sent] = true
		}
	}
}

func TestLoginsThatAreNone(t *testing.T) {
	good := NewLogin("/x").Cookie()
	parts := strings.Split(good, ".")
	for name, cookie := range map[string]string{
		"nothing": "", "no parts": "abc", "no time": parts[0] + ".x." + parts[2], "no path": parts[0] + "." + parts[1] + ".!!",
		"old": parts[0] + ".1700000000." + parts[2], "of the future": parts[0] + ".99999999999." + parts[2], "dots": "...",
	} {
		if l, ok := ParseLogin(cookie); ok {
			t.Errorf("%s: %+v", name, l)
		}
	}
	// Another path is another sign-in: its state is not the one that the issuer got.
	moved := parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte("https://evil.example"))
	was, _ := ParseLogin(good)
	if l, ok := ParseLogin(moved); !ok || l.State() == was.State() || l.Verifier() == was.Verifier() {
		t.Errorf("%+v, %v", l, ok)
	}
}

// Whoever brings an issuer's answer a second time is not signed in, also by another process.
func TestStatesWorkOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, kept, known := world(t)
		other := New(kept, known, s.log)
		l := NewLogin("/")
		for i, use := range []*Sessions{s, s, other} {
			if first, err := use.UseState(t.Context(), l); first != (i == 0) || err != nil {
				t.Errorf("use %d: first %v, %v", i+1, first, err)
			}
		}
		if first, err := s.UseState(t.Context(), NewLogin("/")); !first || err != nil {
			t.Errorf("another sign-in: %v, %v", first, err)
		}
		// It is remembered for longer than the cookie is taken.
		time.Sleep(LoginLife + time.Minute)
		signedIn(t, s, "rita") // which forgets what has expired
		if first, err := other.UseState(t.Context(), l); first || err != nil {
			t.Errorf("after its life: %v, %v", first, err)
		}
	})
}
