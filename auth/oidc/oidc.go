// Package oidc knows principals by the JSON Web Tokens of an OpenID Connect issuer. Issuer,
// audience, signature and times are checked; which claims make subject, groups and roles is the
// operator's to say.
package oidc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

// Defaults and bounds of Options.
const (
	DefaultSkew = 30 * time.Second
	MaxSkew     = 5 * time.Minute
)

// DefaultScopes are the claims that most issuers give.
var DefaultScopes = []string{"profile", "email"}

// algorithms are the signatures that count: all with a public key, so that who can check a token
// can't make one. "none" and HMAC are not among them.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// types are the "typ" of tokens that say who somebody is: ID tokens, and access tokens of RFC 9068.
// Others, such as logout tokens, have other uses.
var types = []string{"", "jwt", "at+jwt"}

// Options say whose tokens are taken, and what is read from them.
type Options struct {
	// Issuer is the issuer's URL, to the letter as it calls itself. It must be https, but for loopback
	// addresses. Required.
	Issuer string
	// Audience is what tokens must be made for; one of these is enough. Required.
	Audience []string
	// Skew is how far the issuer's clock and this one's may differ. Default: DefaultSkew; at most
	// MaxSkew.
	Skew time.Duration
	// Claims name what is read.
	Claims Claims
	// Roles say which values of Claims.Roles give a role. Without a role somebody is known and may do
	// nothing. Required.
	Roles map[rest.Role][]string
	// ClientID and ClientSecret are what the issuer knows Pawl by, where people sign in with browsers.
	// Default: they do not. A client without a secret is a public one.
	ClientID, ClientSecret string
	// Scopes are asked for beside openid. Default: DefaultScopes.
	Scopes []string
	// HTTP fetches the issuer's documents. Default: a client of its own.
	HTTP *http.Client
	// Logger gets a line when the issuer's keys can't be fetched. Default: nothing is logged.
	Logger *slog.Logger
}

// Claims name the claims of a token. A name with dots, such as realm_access.roles, is first looked
// for as it is, then as a path.
type Claims struct {
	// Subject names who it is. Default: sub. An email must be verified.
	Subject string
	// Groups is a list of names. Default: groups.
	Groups string
	// GroupPrefix keeps the groups that begin so, as they are. Default: all.
	GroupPrefix string
	// Roles is a list that Options.Roles are found in. Default: Groups.
	Roles string
	// Team and Owner are read if they are named; an owner's email must be verified, too. Default: no
	// team, and an agent is its own owner.
	Team, Owner string
	// Agents is a list of agents' names, read if it is named. Default: any.
	Agents string
}

func (o *Options) validate() error {
	issuer, err := url.Parse(o.Issuer)
	if err != nil || !secure(issuer) || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" {
		return errors.New("oidc: the issuer must be a URL like https://id.example.com, " +
			"without user, query and fragment")
	}
	if len(o.Audience) == 0 || slices.Contains(o.Audience, "") {
		return errors.New("oidc: the audience is missing: " +
			"name what the issuer makes Pawl's tokens for, often a client ID")
	}
	if o.Skew < 0 || o.Skew > MaxSkew {
		return fmt.Errorf("oidc: the clock skew %v is not in 0s to %v", o.Skew, MaxSkew)
	}
	given := 0
	for role, values := range o.Roles {
		if _, err := rest.ParseRole(string(role)); err != nil {
			return fmt.Errorf("oidc: %w", err)
		}
		if slices.Contains(values, "") {
			return fmt.Errorf("oidc: the role %s: an empty name would match everybody", role)
		}
		given += len(values)
	}
	if given == 0 {
		return errors.New("oidc: no role is given to anybody: say for at least one role which groups have it")
	}
	if o.Scopes == nil {
		o.Scopes = DefaultScopes
	}
	o.Skew = cmp.Or(o.Skew, DefaultSkew)
	o.Claims.Subject = cmp.Or(o.Claims.Subject, "sub")
	o.Claims.Groups = cmp.Or(o.Claims.Groups, "groups")
	o.Claims.Roles = cmp.Or(o.Claims.Roles, o.Claims.Groups)
	o.HTTP = cmp.Or(o.HTTP, &http.Client{})
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if len(o.Roles[rest.RoleAgent]) > 0 && o.Claims.Owner == "" {
		o.Logger.Warn("agents that sign in with the OpenID Connect issuer are their own owners, " +
			"so nobody is kept from approving what an agent of theirs asks for: name the claim that holds the owner")
	}
	return nil
}

// secure tells URLs whose answers nobody else can give.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && local)
}

// Authenticator is an auth.Authenticator. It is safe for concurrent use.
type Authenticator struct {
	o    Options
	keys *keySet
}

var _ auth.Authenticator = (*Authenticator)(nil)

// New makes one, and contacts nobody: an issuer that is down keeps no API from starting.
func New(o Options) (*Authenticator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Authenticator{o: o, keys: newKeySet(o.Issuer, o.HTTP, o.Logger)}, nil
}

// Ready implements auth.Authenticator: it fails while there are no keys to check tokens with.
func (a *Authenticator) Ready(ctx context.Context) error {
	_, err := a.keys.current(ctx)
	return err
}

// Check fetches the issuer's documents anew and says what is wrong with them.
func (a *Authenticator) Check(ctx context.Context) error {
	_, where, err := fetch(ctx, a.keys.client, a.o.Issuer)
	if err == nil && a.o.ClientID != "" {
		err = where.check()
	}
	return err
}

func refuse(code, message string) error { return &auth.Refusal{Code: code, Message: message} }

// Authenticate implements auth.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, credential string) (auth.Principal, error) {
	standard, claims, err := a.verify(ctx, credential, a.o.Audience)
	if err != nil {
		return auth.Principal{}, err
	}
	p, err := a.principal(claims)
	if err != nil {
		return auth.Principal{}, err
	}
	p.Expires = standard.Expiry.Time().Add(a.o.Skew)
	return p, nil
}

// verify returns what a token says that the issuer signed for one of these audiences, and that is
// good now.
func (a *Authenticator) verify(
	ctx context.Context, credential string, audience []string,
) (standard jwt.Claims, claims map[string]any, err error) {
	const notOurs = "The token is not a JSON Web Token that is signed by the issuer this API trusts."
	if len(credential) > auth.MaxCredential {
		return standard, nil, refuse(rest.CodeTokenUnknown, notOurs)
	}
	token, err := jwt.ParseSigned(credential, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return standard, nil, refuse(rest.CodeTokenUnknown, notOurs)
	}
	header := token.Headers[0]
	typ, _ := header.ExtraHeaders[jose.HeaderType].(string)
	if !slices.Contains(types, strings.TrimPrefix(strings.ToLower(typ), "application/")) {
		return standard, nil, refuse(rest.CodeTokenForeign,
			"The token's type does not say who somebody is: send an access token or ID token.")
	}
	claims = map[string]any{}
	err = a.keys.verify(ctx, header, func(key jose.JSONWebKey) error {
		return token.Claims(key, &standard, &claims)
	})
	switch {
	case errors.Is(err, errNoKey):
		return standard, nil, refuse(rest.CodeTokenUnknown, notOurs)
	case err != nil:
		return standard, nil, fmt.Errorf("the issuer's keys: %w", err)
	}
	return standard, claims, a.valid(standard, audience, time.Now())
}

// Again implements auth.Authenticator. The issuer is not asked: what it said is good until then.
func (a *Authenticator) Again(_ context.Context, p auth.Principal) (auth.Principal, error) {
	if !time.Now().Before(p.Expires) {
		return auth.Principal{}, expired
	}
	return p, nil
}

var expired = refuse(rest.CodeTokenExpired, "The token expired: sign in again.")

// valid checks whose token it is, for whom, and when.
func (a *Authenticator) valid(c jwt.Claims, audience []string, now time.Time) error {
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: a.o.Issuer, AnyAudience: audience, Time: now}, a.o.Skew)
	switch {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return refuse(rest.CodeTokenForeign, "The token is of another issuer than the one this API trusts.")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refuse(rest.CodeTokenForeign, "The token is made for another audience than this API.")
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return refuse(rest.CodeTokenEarly, "The token is not valid yet: do the clocks here and there agree?")
	case errors.Is(err, jwt.ErrExpired):
		return expired
	case err != nil:
		return refuse(rest.CodeTokenForeign, "The token can't be used here.")
	case c.Expiry == nil:
		return refuse(rest.CodeTokenForeign, "The token has no time at which it expires.")
	}
	return nil
}

// principal reads the claims.
func (a *Authenticator) principal(claims map[string]any) (auth.Principal, error) {
	r := reader{claims: claims}
	p := auth.Principal{Subject: r.person(a.o.Claims.Subject), Kind: rest.KindPerson, Method: rest.MethodOIDC}
	roles := r.names(a.o.Claims.Roles)
	p.Groups = slices.DeleteFunc(r.names(a.o.Claims.Groups), func(group string) bool {
		return !strings.HasPrefix(group, a.o.Claims.GroupPrefix)
	})
	if a.o.Claims.Team != "" {
		p.Team = r.text(a.o.Claims.Team)
	}
	if a.o.Claims.Agents != "" {
		p.Agents = r.names(a.o.Claims.Agents)
	}
	for _, role := range rest.Roles {
		if slices.ContainsFunc(a.o.Roles[role], func(v string) bool { return slices.Contains(roles, v) }) {
			p.Roles = append(p.Roles, role)
		}
	}
	p.Owner = p.Subject
	if len(p.Roles) == 1 && p.Roles[0] == rest.RoleAgent {
		p.Kind = rest.KindAgent
		if a.o.Claims.Owner != "" {
			p.Owner = r.person(a.o.Claims.Owner)
		}
	}
	if r.problem != "" {
		return auth.Principal{}, refuse(rest.CodeTokenForeign, "The token can't be used here: "+r.problem+".")
	}
	if err := p.Check(); err != nil {
		return auth.Principal{}, refuse(rest.CodeTokenForeign, "The token can't be used here: "+err.Error()+".")
	}
	return p, nil
}

// reader reads claims and keeps the first thing that is wrong with them.
type reader struct {
	claims  map[string]any
	problem string
}

func (r *reader) bad(format string, a ...any) {
	if r.problem == "" {
		r.problem = fmt.Sprintf(format, a...)
	}
}

// find returns a claim, or nil.
func (r *reader) find(name string) any {
	if v, ok := r.claims[name]; ok {
		return v
	}
	var v any = r.claims
	for step := range strings.SplitSeq(name, ".") {
		object, _ := v.(map[string]any)
		v = object[step]
	}
	return v
}

// person returns a claim that names somebody: who could write another's address there would be that
// other, or keep who owns an agent from being known.
func (r *reader) person(name string) string {
	const email = "email"
	if verified := r.claims["email_verified"]; name == email && verified != true && verified != "true" {
		r.bad("the issuer does not say that the email is verified")
	}
	return r.text(name)
}

// text returns a claim that must be there.
func (r *reader) text(name string) string {
	s, ok := r.find(name).(string)
	if !ok || s == "" {
		r.bad("the claim %s is missing, or not a text", approval.Display(name, 80))
	}
	return s
}

// names returns a list of texts, each once; one text alone counts as a list. A claim that is not
// there is an empty list, but not one that was left out because it was too long.
func (r *reader) names(name string) (list []string) {
	switch v := r.find(name).(type) {
	case nil:
		if moved, _ := r.claims["_claim_names"].(map[string]any); moved[name] != nil {
			r.bad("the claim %s did not fit into it: have the issuer send only the groups that this API needs",
				approval.Display(name, 80))
		}
	case string:
		list = append(list, v)
	case []any:
		for _, one := range v {
			s, ok := one.(string)
			if !ok {
				r.bad("the claim %s is not a list of texts", approval.Display(name, 80))
				return nil
			}
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	default:
		r.bad("the claim %s is not a list of texts", approval.Display(name, 80))
	}
	return list
}
