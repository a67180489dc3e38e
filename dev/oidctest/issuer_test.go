// Package oidctest signs in with an OpenID Connect issuer that is another project's work, as a
// person in a browser and as a program would, and takes the tokens to Pawl.
package oidctest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

const (
	clientID = "pawl"
	secret   = "the client's secret, of no use elsewhere"
)

// issuer is fosite behind an HTTP server, with discovery and keys.
type issuer struct {
	*httptest.Server
	t        *testing.T
	provider fosite.OAuth2Provider
	groups   []string // of everybody who signs in

	mu   sync.Mutex
	key  any // that signs now
	kid  string
	keys []jose.JSONWebKey // that are shown
	down bool
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{t: t, groups: []string{"pawl-reviewers", "finance"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /keys", i.jwks)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		down := i.down
		i.mu.Unlock()
		if down {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.Close)

	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	store := storage.NewMemoryStore()
	store.Clients[clientID] = &fosite.DefaultClient{
		ID: clientID, Secret: hash, RedirectURIs: []string{i.URL + "/back"},
		ResponseTypes: []string{"code"}, GrantTypes: []string{"authorization_code", "client_credentials"},
		Scopes: []string{"openid"}, Audience: []string{clientID},
	}
	config := &fosite.Config{
		GlobalSecret: []byte("thirty-two bytes that sign codes"), AccessTokenIssuer: i.URL, IDTokenIssuer: i.URL,
		AccessTokenLifespan: 5 * time.Minute, IDTokenLifespan: 5 * time.Minute, ClientSecretsHasher: &fosite.BCrypt{Config: &fosite.Config{HashCost: bcrypt.MinCost}},
	}
	key := func(context.Context) (any, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.key, nil
	}
	i.provider = compose.Compose(config, store, &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2JWTStrategy(key, compose.NewOAuth2HMACStrategy(config), config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(key, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: key},
	}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OpenIDConnectExplicitFactory, compose.OAuth2PKCEFactory)

	first, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.sign("first", first, first.Public())
	return i
}

// sign makes a key the only one that signs and is shown.
func (i *issuer) sign(kid string, key, public any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.kid, i.keys = key, kid, []jose.JSONWebKey{{Key: public, KeyID: kid, Use: "sig"}}
}

func (i *issuer) rotate() {
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.sign("second", next, next.Public())
}

func (i *issuer) stop(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]string{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
	})
}

func (i *issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
}

func (i *issuer) kidNow() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.kid
}

// person is the session of somebody who signed in.
func (i *issuer) person(name string) fosite.Session {
	now := time.Now()
	return &personSession{openid.DefaultSession{
		Claims: &jwt.IDTokenClaims{
			Subject: name, IssuedAt: now, RequestedAt: now, AuthTime: now,
			Extra: map[string]any{"groups": i.groups, "email": name + "@example.com", "email_verified": true},
		},
		Headers: &jwt.Headers{Extra: map[string]any{"kid": i.kidNow()}},
		Subject: name,
	}}
}

// personSession also has what access tokens, which are not used, are made of.
type personSession struct{ openid.DefaultSession }

func (s *personSession) GetJWTClaims() jwt.JWTClaimsContainer {
	return &jwt.JWTClaims{Subject: s.Subject}
}
func (s *personSession) GetJWTHeader() *jwt.Headers { return s.Headers }
func (s *personSession) Clone() fosite.Session {
	return &personSession{*s.DefaultSession.Clone().(*openid.DefaultSession)}
}

// authorize takes everybody's word for who they are: the name is the hint.
func (i *issuer) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	ask, err := i.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		i.provider.WriteAuthorizeError(ctx, w, ask, err)
		return
	}
	for _, scope := range ask.GetRequestedScopes() {
		ask.GrantScope(scope)
	}
	answer, err := i.provider.NewAuthorizeResponse(ctx, ask, i.person(r.FormValue("login_hint")))
	if err != nil {
		i.provider.WriteAuthorizeError(ctx, w, ask, err)
		return
	}
	i.provider.WriteAuthorizeResponse(ctx, w, ask, answer)
}

func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	var session fosite.Session = i.person("")
	if r.FormValue("grant_type") == "client_credentials" {
		session = &oauth2.JWTSession{
			JWTClaims: &jwt.JWTClaims{Subject: "agent:" + clientID, Extra: map[string]any{"groups": []string{"pawl-agents"}, "owner": "ana"}},
			JWTHeader: &jwt.Headers{Extra: map[string]any{"kid": i.kidNow()}},
		}
	}
	ask, err := i.provider.NewAccessRequest(ctx, r, session)
	if err != nil {
		i.provider.WriteAccessError(ctx, w, ask, err)
		return
	}
	for _, audience := range ask.GetRequestedAudience() {
		ask.GrantAudience(audience)
	}
	answer, err := i.provider.NewAccessResponse(ctx, ask)
	if err != nil {
		i.provider.WriteAccessError(ctx, w, ask, err)
		return
	}
	i.provider.WriteAccessResponse(ctx, w, ask, answer)
}

// signIn is a browser's way to an ID token.
func (i *issuer) signIn(name string) string {
	i.t.Helper()
	code := i.browse(name, i.URL+"/authorize?"+url.Values{
		"client_id": {clientID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {i.URL + "/back"},
		"state": {"a state that is long enough"}, "nonce": {"a nonce that is long enough"},
	}.Encode()).Get("code")
	return i.fetch("id_token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {i.URL + "/back"}})
}

// browse goes to an address for signing in, and returns what the issuer sends back along with somebody.
func (i *issuer) browse(name, address string) url.Values {
	i.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	back, err := client.Get(address + "&" + url.Values{"login_hint": {name}}.Encode())
	if err != nil {
		i.t.Fatal(err)
	}
	_ = back.Body.Close()
	place, err := back.Location()
	if err != nil || place.Query().Get("code") == "" {
		i.t.Fatalf("sign-in answers %s to %v, %v", back.Status, place, err)
	}
	return place.Query()
}

// program is a program's way to an access token.
func (i *issuer) program() string {
	i.t.Helper()
	return i.fetch("access_token", url.Values{"grant_type": {"client_credentials"}, "audience": {clientID}})
}

func (i *issuer) fetch(which string, form url.Values) string {
	i.t.Helper()
	r, err := http.NewRequest(http.MethodPost, i.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		i.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer answer.Body.Close()
	var got map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		i.t.Fatal(err)
	}
	text, ok := got[which].(string)
	if !ok {
		i.t.Fatalf("the issuer answers %s: %v", answer.Status, got)
	}
	return text
}
