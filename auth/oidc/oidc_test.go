package oidc

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

func TestAuthenticate(t *testing.T) {
	i := newIssuer(t)
	a := i.authenticator()
	for name, text := range map[string]string{
		"RS256":               sign(t, jose.RS256, rsaKey, "r", good()),
		"ES256":               sign(t, jose.ES256, ecKey, "e", good()),
		"EdDSA":               sign(t, jose.EdDSA, edKey, "d", good()),
		"no key ID":           sign(t, jose.ES256, ecKey, "", good()),
		"access token":        sign(t, jose.RS256, rsaKey, "r", good(), "typ", "at+JWT"),
		"access token, whole": sign(t, jose.RS256, rsaKey, "r", good(), "typ", "application/at+jwt"),
		"several audiences":   sign(t, jose.RS256, rsaKey, "r", good(set("aud", []string{"a", audience}))),
	} {
		p, err := a.Authenticate(t.Context(), text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p.Expires = time.Time{}
		want := auth.Principal{
			Subject: "ana", Kind: rest.KindPerson, Owner: "ana", Roles: []rest.Role{rest.RoleReviewer},
			Groups: []string{"approvers", "finance"}, Method: rest.MethodOIDC,
		}
		if !reflect.DeepEqual(p, want) {
			t.Errorf("%s: %+v, want %+v", name, p, want)
		}
	}
	if n := i.fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestRefusedTokens(t *testing.T) {
	i := newIssuer(t)
	i.keys = append(i.keys, jose.JSONWebKey{Key: []byte("a secret that is no public key...."), KeyID: "o"},
		jose.JSONWebKey{Key: otherRSA.Public(), KeyID: "enc", Use: "enc"})
	a := i.authenticator()
	now := time.Now()
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hs := func(key []byte, kid string) string {
		header := fmt.Sprintf(`{"alg":"HS256","typ":"JWT","kid":%q}`, kid)
		unsigned := strings.TrimSuffix(byHand(header, good(), nil), ".")
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(unsigned))
		return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	whole := sign(t, jose.RS256, rsaKey, "r", good())
	parts := strings.Split(whole, ".")
	other := strings.Split(sign(t, jose.RS256, rsaKey, "r", good(set("sub", "root"))), ".")
	embeddedSigner, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: otherRSA}, (&jose.SignerOptions{EmbedJWK: true}).WithHeader("kid", "r"))
	if err != nil {
		t.Fatal(err)
	}
	withJWK, err := embeddedSigner.Sign([]byte(`{"iss":"` + issuerURL + `","aud":"pawl","sub":"ana","exp":4000000000}`))
	if err != nil {
		t.Fatal(err)
	}
	withJWKText, err := withJWK.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct{ text, code string }{
		"nothing":                     {"", rest.CodeTokenUnknown},
		"rubbish":                     {"a.b.c", rest.CodeTokenUnknown},
		"alg none":                    {byHand(`{"alg":"none","typ":"JWT"}`, good(), nil), rest.CodeTokenUnknown},
		"alg None":                    {byHand(`{"alg":"None","typ":"JWT","kid":"r"}`, good(), nil), rest.CodeTokenUnknown},
		"alg none with signature":     {byHand(`{"alg":"none","kid":"r"}`, good(), []byte("x")), rest.CodeTokenUnknown},
		"no alg":                      {byHand(`{"kid":"r"}`, good(), []byte("x")), rest.CodeTokenUnknown},
		"RS256 without signature":     {parts[0] + "." + parts[1] + ".", rest.CodeTokenUnknown},
		"HS256 with the public PEM":   {hs(public, "r"), rest.CodeTokenUnknown},
		"HS256 with the public DER":   {hs(der, "r"), rest.CodeTokenUnknown},
		"HS256 with a key of the set": {hs([]byte("a secret that is no public key...."), "o"), rest.CodeTokenUnknown},
		"another's key, our ID":       {sign(t, jose.RS256, otherRSA, "r", good()), rest.CodeTokenUnknown},
		"another's key, embedded":     {withJWKText, rest.CodeTokenUnknown},
		"another's key, by address":   {sign(t, jose.RS256, otherRSA, "x", good(), "jku", "https://evil.example/keys"), rest.CodeTokenUnknown},
		"a key for encryption":        {sign(t, jose.RS256, otherRSA, "enc", good()), rest.CodeTokenUnknown},
		"another algorithm":           {sign(t, jose.RS512, rsaKey, "r", good()), rest.CodeTokenUnknown},
		"unknown key ID":              {sign(t, jose.RS256, rsaKey, "x", good()), rest.CodeTokenUnknown},
		"claims of another":           {parts[0] + "." + other[1] + "." + parts[2], rest.CodeTokenUnknown},
		"cut":                         {whole[:len(whole)-4], rest.CodeTokenUnknown},
		"with more behind":            {whole + ".x", rest.CodeTokenUnknown},
		"too long":                    {whole + strings.Repeat("A", auth.MaxCredential), rest.CodeTokenUnknown},

		"another issuer":           {sign(t, jose.RS256, rsaKey, "r", good(set("iss", "https://id.example.com"))), rest.CodeTokenForeign},
		"no issuer":                {sign(t, jose.RS256, rsaKey, "r", good(unset("iss"))), rest.CodeTokenForeign},
		"issuer with a slash":      {sign(t, jose.RS256, rsaKey, "r", good(set("iss", issuerURL+"/"))), rest.CodeTokenForeign},
		"another audience":         {sign(t, jose.RS256, rsaKey, "r", good(set("aud", "other"))), rest.CodeTokenForeign},
		"no audience":              {sign(t, jose.RS256, rsaKey, "r", good(unset("aud"))), rest.CodeTokenForeign},
		"audience in another case": {sign(t, jose.RS256, rsaKey, "r", good(set("aud", "Pawl"))), rest.CodeTokenForeign},
		"logout token":             {sign(t, jose.RS256, rsaKey, "r", good(), "typ", "logout+jwt"), rest.CodeTokenForeign},
		"no expiry":                {sign(t, jose.RS256, rsaKey, "r", good(unset("exp"))), rest.CodeTokenForeign},
		"expired":                  {sign(t, jose.RS256, rsaKey, "r", good(set("exp", now.Add(-DefaultSkew-5*time.Second).Unix()))), rest.CodeTokenExpired},
		"not yet":                  {sign(t, jose.RS256, rsaKey, "r", good(set("nbf", now.Add(DefaultSkew+time.Minute).Unix()))), rest.CodeTokenEarly},
		"issued in the future":     {sign(t, jose.RS256, rsaKey, "r", good(set("iat", now.Add(DefaultSkew+time.Minute).Unix()))), rest.CodeTokenEarly},
		"no subject":               {sign(t, jose.RS256, rsaKey, "r", good(unset("sub"))), rest.CodeTokenForeign},
		"subject is a number":      {sign(t, jose.RS256, rsaKey, "r", good(set("sub", 7))), rest.CodeTokenUnknown},
		"subject of Pawl's own":    {sign(t, jose.RS256, rsaKey, "r", good(set("sub", "Policy"))), rest.CodeTokenForeign},
		"subject that hides":       {sign(t, jose.RS256, rsaKey, "r", good(set("sub", "ana\u202e"))), rest.CodeTokenForeign},
		"groups of numbers":        {sign(t, jose.RS256, rsaKey, "r", good(set("groups", []any{"a", 1}))), rest.CodeTokenForeign},
		"groups are an object":     {sign(t, jose.RS256, rsaKey, "r", good(set("groups", map[string]any{}))), rest.CodeTokenForeign},
		"groups elsewhere": {sign(t, jose.RS256, rsaKey, "r", good(unset("groups"),
			set("_claim_names", map[string]any{"groups": "src1"}), set("_claim_sources", map[string]any{"src1": map[string]any{"endpoint": "https://evil.example"}}))), rest.CodeTokenForeign},
		"too many groups": {sign(t, jose.RS256, rsaKey, "r", good(set("groups", strings.Fields(strings.Repeat("a ", 101))), func(c claims) {
			var many []string
			for n := range 101 {
				many = append(many, fmt.Sprint("g", n))
			}
			c["groups"] = many
		})), rest.CodeTokenForeign},
	} {
		_, err := a.Authenticate(t.Context(), c.text)
		refused(t, name, err, c.code)
		if err != nil && len(c.text) > 20 && strings.Contains(err.Error(), c.text[:20]) {
			t.Errorf("%s: the refusal repeats the token", name)
		}
	}
}

func TestSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		a := i.authenticator(func(o *Options) { o.Skew = time.Minute })
		now := time.Now()
		for _, c := range []struct {
			claim string
			off   time.Duration
			code  string
		}{
			{"exp", -59 * time.Second, ""},
			{"exp", -61 * time.Second, rest.CodeTokenExpired},
			{"nbf", 59 * time.Second, ""},
			{"nbf", 61 * time.Second, rest.CodeTokenEarly},
			{"iat", 59 * time.Second, ""},
			{"iat", 61 * time.Second, rest.CodeTokenEarly},
		} {
			_, err := a.Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "e", good(set(c.claim, now.Add(c.off).Unix()))))
			if c.code != "" {
				refused(t, fmt.Sprint(c.claim, c.off), err, c.code)
			} else if err != nil {
				t.Errorf("%s %v: %v", c.claim, c.off, err)
			}
		}
	})
}

func TestClaims(t *testing.T) {
	named := func(c Claims) func(*Options) { return func(o *Options) { o.Claims = c } }
	for _, c := range []struct {
		name   string
		option func(*Options)
		claims claims
		want   auth.Principal // what differs from a person ana without anything
		code   string
	}{
		{"no groups", nil, good(unset("groups")), auth.Principal{}, ""},
		{"one group as text", nil, good(set("groups", "leads")), auth.Principal{Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"leads"}}, ""},
		{"groups twice", nil, good(set("groups", []string{"x", "x"})), auth.Principal{Groups: []string{"x"}}, ""},
		{"group that only looks like one", nil, good(set("groups", []string{"Approvers", "approvers ", "pproverS"})), auth.Principal{}, rest.CodeTokenForeign},
		{"nested roles", named(Claims{Roles: "realm_access.roles"}), good(set("realm_access", map[string]any{"roles": []string{"leads"}})),
			auth.Principal{Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"approvers", "finance"}}, ""},
		{"a name with dots", named(Claims{Groups: "https://example.com/groups"}), good(set("https://example.com/groups", []string{"leads"})),
			auth.Principal{Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"leads"}}, ""},
		{"prefix", named(Claims{GroupPrefix: "fin"}), good(), auth.Principal{Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}}, ""},
		{"team", named(Claims{Team: "department"}), good(set("department", "sales"), unset("groups")), auth.Principal{Team: "sales"}, ""},
		{"team missing", named(Claims{Team: "department"}), good(), auth.Principal{}, rest.CodeTokenForeign},
		{"verified email", named(Claims{Subject: "email"}), good(set("email", "ana@example.com"), set("email_verified", true), unset("groups")),
			auth.Principal{Subject: "ana@example.com", Owner: "ana@example.com"}, ""},
		{"email, not verified", named(Claims{Subject: "email"}), good(set("email", "ana@example.com"), set("email_verified", false)), auth.Principal{}, rest.CodeTokenForeign},
		{"email, nothing said", named(Claims{Subject: "email"}), good(set("email", "ana@example.com")), auth.Principal{}, rest.CodeTokenForeign},
		{"agent", nil, good(set("groups", []string{"agents"})), auth.Principal{Kind: rest.KindAgent, Roles: []rest.Role{rest.RoleAgent}, Groups: []string{"agents"}}, ""},
		{"agent of somebody", named(Claims{Owner: "owner", Agents: "agents"}), good(set("groups", []string{"agents"}), set("owner", "ben"), set("agents", []string{"billing"})),
			auth.Principal{Kind: rest.KindAgent, Owner: "ben", Roles: []rest.Role{rest.RoleAgent}, Groups: []string{"agents"}, Agents: []string{"billing"}}, ""},
		{"agent of an email that is not verified", named(Claims{Owner: "email"}), good(set("groups", []string{"agents"}), set("email", "ben@example.com")), auth.Principal{}, rest.CodeTokenForeign},
		{"agent of nobody", named(Claims{Owner: "owner"}), good(set("groups", []string{"agents"})), auth.Principal{}, rest.CodeTokenForeign},
		{"a person has no other owner", named(Claims{Owner: "owner"}), good(set("owner", "ben")),
			auth.Principal{Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"approvers", "finance"}}, ""},
		{"person who is an agent, too", nil, good(set("groups", []string{"agents", "leads"})),
			auth.Principal{Roles: []rest.Role{rest.RoleAgent, rest.RoleReviewer}, Groups: []string{"agents", "leads"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var options []func(*Options)
			if c.option != nil {
				options = append(options, c.option)
			}
			p, err := newIssuer(t).authenticator(options...).Authenticate(t.Context(), sign(t, jose.ES256, ecKey, "e", c.claims))
			if c.code != "" {
				refused(t, c.name, err, c.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			want.Method, want.Expires = rest.MethodOIDC, p.Expires
			if want.Subject == "" {
				want.Subject = "ana"
			}
			if want.Owner == "" {
				want.Owner = "ana"
			}
			if want.Kind == "" {
				want.Kind = rest.KindPerson
			}
			if !reflect.DeepEqual(p, want) {
				t.Errorf("%+v, want %+v", p, want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	roles := map[rest.Role][]string{rest.RoleAdmin: {"admins"}}
	ok := Options{Issuer: issuerURL, Audience: []string{"a"}, Roles: roles}
	for name, change := range map[string]func(*Options){
		"no issuer":            func(o *Options) { o.Issuer = "" },
		"not a URL":            func(o *Options) { o.Issuer = "id.example.com" },
		"plain HTTP":           func(o *Options) { o.Issuer = "http://id.example.com" },
		"a password":           func(o *Options) { o.Issuer = "https://a:b@id.example.com" },
		"a query":              func(o *Options) { o.Issuer = "https://id.example.com?a=b" },
		"no audience":          func(o *Options) { o.Audience = nil },
		"an empty audience":    func(o *Options) { o.Audience = []string{""} },
		"negative skew":        func(o *Options) { o.Skew = -1 },
		"a day's skew":         func(o *Options) { o.Skew = 24 * time.Hour },
		"no roles":             func(o *Options) { o.Roles = nil },
		"a role of nobody's":   func(o *Options) { o.Roles = map[rest.Role][]string{rest.RoleAdmin: nil} },
		"a role of everybody":  func(o *Options) { o.Roles = map[rest.Role][]string{rest.RoleAdmin: {""}} },
		"a role that is not":   func(o *Options) { o.Roles = map[rest.Role][]string{"root": {"admins"}} },
		"a port and no host":   func(o *Options) { o.Issuer = "https://:443" },
		"loopback by its name": func(o *Options) { o.Issuer = "http://localhost.evil.example" },
	} {
		o := ok
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "a:b") {
			t.Errorf("%s: %v repeats a password", name, err)
		}
	}
	for _, address := range []string{issuerURL, "http://127.0.0.1:5556/dex", "http://[::1]:1", "http://localhost:8080"} {
		o := ok
		o.Issuer = address
		if _, err := New(o); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Nobody is kept from approving what an agent asks for that has no other owner: the operator reads so.
func TestAgentsWithoutOwnersAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		role  rest.Role
		claim string
		want  bool
	}{
		{rest.RoleAgent, "", true}, {rest.RoleAgent, "owner", false}, {rest.RoleReviewer, "", false}, {rest.RoleAdmin, "owner", false},
	} {
		var log bytes.Buffer
		_, err := New(Options{
			Issuer: issuerURL, Audience: []string{"pawl"}, Roles: map[rest.Role][]string{c.role: {"x"}},
			Claims: Claims{Owner: c.claim}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil || strings.Contains(log.String(), "their own owners") != c.want {
			t.Errorf("%s with %q: %v, %s", c.role, c.claim, err, log.String())
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	t := &testing.T{}
	i := newIssuer(t)
	a, err := New(Options{
		Issuer: issuerURL, Audience: []string{audience}, HTTP: &http.Client{Transport: i},
		Roles: map[rest.Role][]string{rest.RoleReviewer: {"approvers"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	foreign := sign(t, jose.RS256, otherRSA, "r", good())
	for _, seed := range []string{"", "a.b.c", foreign, byHand(`{"alg":"none"}`, good(), nil), byHand(`{"alg":"HS256","kid":"r"}`, good(), []byte("x")), "{}", `{"payload":"","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := a.Authenticate(t.Context(), text); auth.Refused(err) == nil {
			t.Fatalf("%q: %+v, %v", text, p, err)
		}
	})
}

// What a request's token costs while the issuer's keys are known.
func BenchmarkAuthenticate(b *testing.B) {
	a, err := New(Options{
		Issuer: issuerURL, Audience: []string{audience}, HTTP: &http.Client{Transport: newIssuer(nil)},
		Roles: map[rest.Role][]string{rest.RoleReviewer: {"approvers"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"RS256": sign(b, jose.RS256, rsaKey, "r", good()), "ES256": sign(b, jose.ES256, ecKey, "e", good()),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
