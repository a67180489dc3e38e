package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

const (
	clientID     = "pawl-browser"
	clientSecret = "s:e/c r"
	redirect     = "https://pawl.example.com/auth/callback"
)

// tokenEndpoint answers for an issuer's; other requests go to the issuer.
type tokenEndpoint struct {
	*issuer
	methods   []string
	idToken   string
	challenge string // what the code was given for
	redirects bool
	form      url.Values
	user      string
}

func (e *tokenEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	switch r.URL.String() {
	case issuerURL + "/.well-known/openid-configuration":
		_ = json.NewEncoder(rec).Encode(map[string]any{
			"issuer": issuerURL, "jwks_uri": issuerURL + "/keys", "authorization_endpoint": issuerURL + "/authorize?tenant=1",
			"token_endpoint": issuerURL + "/token", "token_endpoint_auth_methods_supported": e.methods,
		})
	case issuerURL + "/token":
		body, _ := io.ReadAll(r.Body)
		e.form, _ = url.ParseQuery(string(body))
		user, password, _ := r.BasicAuth()
		e.user = user + " " + password
		verifier := sha256.Sum256([]byte(e.form.Get("code_verifier")))
		switch {
		case e.redirects:
			rec.Header().Set("Location", "https://evil.example/token")
			rec.WriteHeader(http.StatusTemporaryRedirect)
		case e.form.Get("code") != "c1" || base64.RawURLEncoding.EncodeToString(verifier[:]) != e.challenge:
			rec.WriteHeader(http.StatusBadRequest)
		default:
			_ = json.NewEncoder(rec).Encode(map[string]string{"id_token": e.idToken, "access_token": "other"})
		}
	default:
		return e.issuer.RoundTrip(r)
	}
	return rec.Result(), nil
}

func (e *tokenEndpoint) login(t *testing.T, secret string) (*Authenticator, session.Login, url.Values) {
	t.Helper()
	a := e.authenticator(func(o *Options) {
		o.HTTP, o.ClientID, o.ClientSecret = &http.Client{Transport: e}, clientID, secret
	})
	l := session.NewLogin("/")
	address, err := a.LoginURL(t.Context(), l, redirect)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, issuerURL+"/authorize?") {
		t.Fatalf("%s, %v", address, err)
	}
	e.challenge = u.Query().Get("code_challenge")
	return a, l, u.Query()
}

func idClaims(l session.Login, change ...func(claims)) claims {
	return good(append([]func(claims){set("aud", clientID), set("nonce", l.Nonce())}, change...)...)
}

func TestLogin(t *testing.T) {
	for name, c := range map[string]struct {
		secret     string
		methods    []string
		user, form string
	}{
		"basic":  {clientSecret, nil, clientID + " " + url.QueryEscape(clientSecret), ""},
		"post":   {clientSecret, []string{"client_secret_post"}, " ", clientSecret},
		"public": {"", []string{"client_secret_basic"}, " ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &tokenEndpoint{issuer: newIssuer(t), methods: c.methods}
			a, l, query := e.login(t, c.secret)
			for name, want := range map[string]string{
				"tenant": "1", "response_type": "code", "client_id": clientID, "redirect_uri": redirect, "state": l.State(),
				"nonce": l.Nonce(), "code_challenge_method": "S256", "scope": "openid profile email",
			} {
				if query.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, query.Get(name), want)
				}
			}
			if strings.Contains(query.Encode(), l.Verifier()) || strings.Contains(query.Encode(), l.Cookie()) {
				t.Error("the address shows a secret")
			}
			e.idToken = sign(t, jose.RS256, rsaKey, "r", idClaims(l))
			p, err := a.Exchange(t.Context(), l, redirect, url.Values{"code": {"c1"}, "iss": {issuerURL}})
			if err != nil {
				t.Fatal(err)
			}
			if p.Subject != "ana" || !p.Has(rest.RoleReviewer) || p.Method != rest.MethodOIDC || time.Until(p.Expires) > MaxSession {
				t.Errorf("%+v", p)
			}
			if e.user != c.user || e.form.Get("client_secret") != c.form || e.form.Get("redirect_uri") != redirect {
				t.Errorf("sent %q and %v", e.user, e.form)
			}
			if again, err := a.Again(t.Context(), p); err != nil || again.Subject != "ana" {
				t.Errorf("again: %v, %v", again, err)
			}
			p.Expires = time.Now()
			if _, err := a.Again(t.Context(), p); auth.Refused(err) == nil {
				t.Errorf("after a day: %v", err)
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	code := url.Values{"code": {"c1"}}
	for name, c := range map[string]struct {
		change  []func(claims)
		answer  url.Values
		refused bool // else it could not be told
		spoil   func(*tokenEndpoint)
	}{
		"another nonce":       {[]func(claims){set("nonce", "x")}, code, true, nil},
		"no nonce":            {[]func(claims){unset("nonce")}, code, true, nil},
		"another audience":    {[]func(claims){set("aud", audience)}, code, true, nil},
		"another party":       {[]func(claims){set("azp", "other")}, code, true, nil},
		"another issuer":      {[]func(claims){set("iss", "https://evil.example")}, code, true, nil},
		"expired":             {[]func(claims){set("exp", time.Now().Add(-time.Hour).Unix())}, code, true, nil},
		"the answer's issuer": {nil, url.Values{"code": {"c1"}, "iss": {"https://evil.example"}}, true, nil},
		"no code":             {nil, url.Values{}, true, nil},
		"another code":        {nil, url.Values{"code": {"c2"}}, false, nil},
		"another verifier":    {nil, code, false, func(e *tokenEndpoint) { e.challenge = "x" }},
		"a redirect":          {nil, code, false, func(e *tokenEndpoint) { e.redirects = true }},
	} {
		t.Run(name, func(t *testing.T) {
			e := &tokenEndpoint{issuer: newIssuer(t)}
			a, l, _ := e.login(t, clientSecret)
			e.idToken = sign(t, jose.RS256, rsaKey, "r", idClaims(l, c.change...))
			if c.spoil != nil {
				c.spoil(e)
			}
			_, err := a.Exchange(context.Background(), l, redirect, c.answer)
			if err == nil || (auth.Refused(err) != nil) != c.refused {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "c1") || strings.Contains(err.Error(), clientSecret)) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}
