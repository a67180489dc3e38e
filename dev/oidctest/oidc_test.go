package oidctest

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/oidc"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

func (i *issuer) authenticator(change func(*oidc.Options)) *oidc.Authenticator {
	i.t.Helper()
	o := oidc.Options{
		Issuer: i.URL, Audience: []string{clientID}, Claims: oidc.Claims{Subject: "sub", Owner: "owner"},
		Roles: map[rest.Role][]string{rest.RoleReviewer: {"pawl-reviewers"}, rest.RoleAgent: {"pawl-agents"}},
	}
	if change != nil {
		change(&o)
	}
	a, err := oidc.New(o)
	if err != nil {
		i.t.Fatal(err)
	}
	return a
}

func TestSignIn(t *testing.T) {
	i := newIssuer(t)
	a := i.authenticator(nil)
	if err := a.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := a.Authenticate(t.Context(), i.signIn("rita"))
	if err != nil {
		t.Fatal(err)
	}
	if life := time.Until(p.Expires); life <= 0 || life > 6*time.Minute {
		t.Errorf("it ends in %v", life)
	}
	p.Expires = time.Time{}
	want := auth.Principal{
		Subject: "rita", Kind: rest.KindPerson, Owner: "rita", Roles: []rest.Role{rest.RoleReviewer},
		Groups: []string{"pawl-reviewers", "finance"}, Method: rest.MethodOIDC,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, want %+v", p, want)
	}
	if p, err := i.authenticator(func(o *oidc.Options) { o.Claims.Subject = "email" }).Authenticate(t.Context(), i.signIn("rita")); err != nil || p.Subject != "rita@example.com" {
		t.Errorf("by email: %+v, %v", p, err)
	}

	// A group that was taken away is gone with the next token.
	i.groups = []string{"finance"}
	if p, err := a.Authenticate(t.Context(), i.signIn("rita")); err != nil || p.Has(rest.RoleReviewer) {
		t.Errorf("without the group: %+v, %v", p, err)
	}
}

// Pawl's own way to the issuer and back, as people go it in browsers: the code is good with its verifier
// alone, and once.
func TestLogin(t *testing.T) {
	i := newIssuer(t)
	a := i.authenticator(func(o *oidc.Options) { o.ClientID, o.ClientSecret, o.Scopes = clientID, secret, []string{} })
	redirect := i.URL + "/back"
	begin := func() (session.Login, url.Values) {
		l := session.NewLogin("/")
		address, err := a.LoginURL(t.Context(), l, redirect)
		if err != nil {
			t.Fatal(err)
		}
		answer := i.browse("rita", address)
		if answer.Get("state") != l.State() {
			t.Fatalf("the issuer sends back %v", answer)
		}
		return l, answer
	}
	l, answer := begin()
	p, err := a.Exchange(t.Context(), l, redirect, answer)
	if err != nil || p.Subject != "rita" || !p.Has(rest.RoleReviewer) || p.Method != rest.MethodOIDC {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := a.Exchange(t.Context(), l, redirect, answer); err == nil {
		t.Errorf("the code is good twice: %+v", p)
	}
	_, answer = begin()
	if p, err := a.Exchange(t.Context(), l, redirect, answer); err == nil {
		t.Errorf("the code is good with another sign-in's verifier: %+v", p)
	}
}

func TestProgram(t *testing.T) {
	i := newIssuer(t)
	p, err := i.authenticator(nil).Authenticate(t.Context(), i.program())
	if err != nil {
		t.Fatal(err)
	}
	p.Expires = time.Time{}
	want := auth.Principal{
		Subject: "agent:pawl", Kind: rest.KindAgent, Owner: "ana", Roles: []rest.Role{rest.RoleAgent}, Groups: []string{"pawl-agents"}, Method: rest.MethodOIDC,
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, want %+v", p, want)
	}
}

func TestRefused(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	a := i.authenticator(nil)
	for what, c := range map[string]struct {
		a    *oidc.Authenticator
		text string
		code string
	}{
		"another issuer's":      {a, other.signIn("rita"), rest.CodeTokenUnknown}, // its key has our key's name
		"another audience":      {i.authenticator(func(o *oidc.Options) { o.Audience = []string{"elsewhere"} }), i.signIn("rita"), rest.CodeTokenForeign},
		"unsigned":              {a, "eyJhbGciOiJub25lIn0.e30.", rest.CodeTokenUnknown},
		"cut":                   {a, i.program()[:100], rest.CodeTokenUnknown},
		"signed by another key": {a, flip(i.signIn("rita")), rest.CodeTokenUnknown},
	} {
		_, err := c.a.Authenticate(t.Context(), c.text)
		if r := auth.Refused(err); r == nil || r.Code != c.code {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
}

// flip changes one character of a signature.
func flip(text string) string {
	at := len(text) - 20
	c := byte('A')
	if text[at] == c {
		c = 'B'
	}
	return text[:at] + string(c) + text[at+1:]
}

func TestRotationAndOutage(t *testing.T) {
	i := newIssuer(t)
	first := i.signIn("rita")
	a := i.authenticator(nil) // has no keys yet
	i.stop(true)
	if _, err := a.Authenticate(t.Context(), first); err == nil || auth.Refused(err) != nil {
		t.Errorf("while the issuer is away: %v, want that it can't be told", err)
	}
	i.stop(false)

	a = i.authenticator(nil)
	if _, err := a.Authenticate(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	i.stop(true)
	if _, err := a.Authenticate(t.Context(), first); err != nil {
		t.Errorf("with keys, while the issuer is away: %v", err)
	}
	i.stop(false)
	i.rotate()
	second := i.signIn("rita")
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := a.Authenticate(t.Context(), second) // the issuer is asked for keys once in some seconds
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new key is not taken: %v", err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	if _, err := a.Authenticate(t.Context(), first); auth.Refused(err) == nil {
		t.Errorf("a token of the key that is gone: %v", err)
	}
}
