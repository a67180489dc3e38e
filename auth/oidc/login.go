package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

// MaxSession is how long a session of the issuer's lasts at most: after that the issuer is asked
// again whether somebody still has their groups.
const MaxSession = 24 * time.Hour

// errNoAnswer does not repeat what the issuer says: that may hold what was sent.
var errNoAnswer = errors.New("the issuer's token endpoint gives no ID token")

var _ session.Issuer = (*Authenticator)(nil)

// LoginURL implements session.Issuer.
func (a *Authenticator) LoginURL(ctx context.Context, l session.Login, redirect string) (string, error) {
	where, err := a.keys.endpoints(ctx)
	if err != nil {
		return "", fmt.Errorf("where the issuer signs people in: %w", err)
	}
	u, err := url.Parse(where.Authorization)
	if err != nil {
		return "", err
	}
	challenge := sha256.Sum256([]byte(l.Verifier()))
	query := u.Query()
	for name, value := range map[string]string{
		"response_type": "code", "client_id": a.o.ClientID, "redirect_uri": redirect,
		"scope": strings.Join(append([]string{"openid"}, a.o.Scopes...), " "),
		"state": l.State(), "nonce": l.Nonce(),
		"code_challenge":        base64.RawURLEncoding.EncodeToString(challenge[:]),
		"code_challenge_method": "S256",
	} {
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Exchange implements session.Issuer.
func (a *Authenticator) Exchange(
	ctx context.Context, l session.Login, redirect string, answer url.Values,
) (auth.Principal, error) {
	// RFC 9207: another issuer's code is not sent to this one.
	if from := answer.Get("iss"); from != "" && from != a.o.Issuer {
		return auth.Principal{}, refuse(rest.CodeTokenForeign, "The answer is of another issuer.")
	}
	code := answer.Get("code")
	if code == "" {
		return auth.Principal{}, refuse(rest.CodeTokenUnknown, "The issuer sent no code.")
	}
	where, err := a.keys.endpoints(ctx)
	if err != nil {
		return auth.Principal{}, fmt.Errorf("where the issuer gives tokens: %w", err)
	}
	idToken, err := a.exchange(ctx, where, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect},
		"code_verifier": {l.Verifier()}, "client_id": {a.o.ClientID},
	})
	if err != nil {
		return auth.Principal{}, err
	}
	_, claims, err := a.verify(ctx, idToken, []string{a.o.ClientID})
	if err != nil {
		return auth.Principal{}, err
	}
	nonce, _ := claims["nonce"].(string)
	if subtle.ConstantTimeCompare([]byte(nonce), []byte(l.Nonce())) != 1 {
		return auth.Principal{}, refuse(rest.CodeTokenForeign, "The ID token is not of this sign-in.")
	}
	if party, ok := claims["azp"]; ok && party != a.o.ClientID {
		return auth.Principal{}, refuse(rest.CodeTokenForeign, "The ID token was made for another client.")
	}
	p, err := a.principal(claims)
	p.Expires = time.Now().Add(MaxSession)
	return p, err
}

// exchange sends a code to the issuer, and returns the ID token that answers.
func (a *Authenticator) exchange(ctx context.Context, where endpoints, form url.Values) (string, error) {
	basic := len(where.Methods) == 0 || slices.Contains(where.Methods, "client_secret_basic")
	if a.o.ClientSecret != "" && !basic {
		form.Set("client_secret", a.o.ClientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, where.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if a.o.ClientSecret != "" && basic {
		r.SetBasicAuth(url.QueryEscape(a.o.ClientID), url.QueryEscape(a.o.ClientSecret)) // RFC 6749, 2.3.1
	}
	// A redirect would carry the code, and perhaps the secret, elsewhere.
	client := *a.keys.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var tokens struct {
		ID string `json:"id_token"`
	}
	if err := do(&client, r, &tokens); err != nil {
		return "", err
	}
	if tokens.ID == "" {
		return "", errNoAnswer
	}
	return tokens.ID, nil
}
