package oidc

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

const (
	issuerURL = "https://id.example.com/realm"
	audience  = "pawl"
)

// issuer is an OpenID Connect issuer without a network. It is an http.RoundTripper. Package
// dev/oidctest has one that is another's work.
type issuer struct {
	t *testing.T

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	down    bool
	names   string // the issuer it says it is
	jwksURI string
	asked   int // for keys
}

// Keys are made once: RSA's take a while.
var (
	rsaKey, _    = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _     = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _  = ed25519.GenerateKey(rand.Reader)
	otherRSA, _  = rsa.GenerateKey(rand.Reader, 2048)
	rsaPublicKey = jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r", Algorithm: "RS256", Use: "sig"}
)

func newIssuer(t *testing.T) *issuer {
	return &issuer{t: t, names: issuerURL, jwksURI: issuerURL + "/keys", keys: []jose.JSONWebKey{
		rsaPublicKey,
		{Key: ecKey.Public(), KeyID: "e", Use: "sig"},
		{Key: edKey.Public(), KeyID: "d"},
	}}
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	rec := httptest.NewRecorder()
	switch {
	case i.down:
		rec.WriteHeader(http.StatusBadGateway)
	case r.URL.String() == issuerURL+"/.well-known/openid-configuration":
		_ = json.NewEncoder(rec).Encode(map[string]string{"issuer": i.names, "jwks_uri": i.jwksURI})
	case r.URL.String() == i.jwksURI:
		i.asked++
		_ = json.NewEncoder(rec).Encode(jose.JSONWebKeySet{Keys: i.keys})
	default:
		rec.WriteHeader(http.StatusNotFound)
	}
	return rec.Result(), nil
}

// change does something to the issuer.
func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func (i *issuer) fetches() (n int) {
	i.change(func() { n = i.asked })
	return n
}

func (i *issuer) authenticator(change ...func(*Options)) *Authenticator {
	i.t.Helper()
	o := Options{
		Issuer: issuerURL, Audience: []string{audience}, HTTP: &http.Client{Transport: i},
		Roles: map[rest.Role][]string{rest.RoleReviewer: {"approvers", "leads"}, rest.RoleAgent: {"agents"}},
	}
	for _, f := range change {
		f(&o)
	}
	a, err := New(o)
	if err != nil {
		i.t.Fatal(err)
	}
	return a
}

type claims map[string]any

// good are the claims of a token that works.
func good(change ...func(claims)) claims {
	now := time.Now()
	c := claims{
		"iss": issuerURL, "aud": audience, "sub": "ana", "groups": []string{"approvers", "finance"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func set(name string, value any) func(claims) { return func(c claims) { c[name] = value } }

func unset(name string) func(claims) { return func(c claims) { delete(c, name) } }

// sign makes a token; header holds names and values in turn.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, c claims, header ...string) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	for i := 0; i < len(header); i += 2 {
		o = o.WithHeader(jose.HeaderKey(header[i]), header[i+1])
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// byHand makes a token that no library would.
func byHand(header string, c claims, signature []byte) string {
	body, _ := json.Marshal(c)
	enc := base64.RawURLEncoding.EncodeToString
	return strings.Join([]string{enc([]byte(header)), enc(body), enc(signature)}, ".")
}

func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	if r := auth.Refused(err); r == nil || r.Code != code {
		t.Errorf("%s: %v, want the refusal %s", what, err, code)
	}
}
