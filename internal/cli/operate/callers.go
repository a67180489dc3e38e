package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/oidc"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// This file holds who may reach the API and how callers are identified, for 'pawl api' and 'pawl
// doctor'.

func (p *process) hasAuth(mode string) bool { return slices.Contains(p.Auth, mode) }

// checkAccess refuses settings that contradict each other, before anything is opened. Its errors are
// usage errors.
func (p *process) checkAccess() error {
	if len(p.Auth) == 0 {
		p.Auth = []string{settings.AuthNone}
	}
	switch {
	case p.hasAuth(settings.AuthNone) && len(p.Auth) > 1:
		return errors.New("--auth none goes with nothing else: either callers are known or they are not")
	case !p.hasAuth(settings.AuthOIDC) &&
		(p.OIDCIssuer+p.OIDCClientID != "" || len(p.OIDCAudience)+len(p.OIDCClaims)+len(p.OIDCRoles) > 0):
		return errors.New("an OpenID Connect issuer is set up and not used: add --auth oidc, or leave " +
			"--oidc-… out")
	case p.OIDCClientID == "" && (p.OIDCSecretFile != "" || len(p.OIDCScopes) > 0):
		return errors.New("--oidc-client-secret-file and --oidc-scope need --oidc-client-id")
	case p.OIDCClientID != "" && !strings.HasPrefix(p.PublicURL, "https://"):
		return errors.New("--oidc-client-id needs a --public-url with https://, where the issuer sends " +
			"people back to")
	case (p.TLSCert == "") != (p.TLSKey == ""):
		return errors.New("--tls-cert needs --tls-key, and --tls-key needs --tls-cert")
	case p.TLSCert != "" && len(p.Proxies) > 0:
		return errors.New("either this API ends TLS or a proxy does: give --tls-cert or --behind-proxy")
	}
	if p.hasAuth(settings.AuthOIDC) {
		_, err := p.oidcAuthenticator(nil)
		return err
	}
	return nil
}

func (p *process) exposure() (api.Exposure, error) {
	e := api.Exposure{CertFile: p.TLSCert, KeyFile: p.TLSKey}
	for _, text := range p.Proxies {
		proxy, err := settings.ParseProxy(text)
		if err != nil {
			return e, err
		}
		e.Proxies = append(e.Proxies, proxy)
	}
	return e, nil
}

// authenticator makes what --auth asks for; nil is none.
func (p *process) authenticator(tokens store.TokenReader, log *slog.Logger) (auth.Authenticator, error) {
	if p.hasAuth(settings.AuthNone) {
		return nil, nil
	}
	var any auth.Any
	if p.hasAuth(settings.AuthTokens) {
		any.Tokens = auth.NewTokens(tokens)
	}
	if p.hasAuth(settings.AuthOIDC) {
		issuer, err := p.oidcAuthenticator(log)
		if err != nil {
			return nil, err
		}
		any.OIDC = issuer
	}
	return any, nil
}

func (p *process) oidcAuthenticator(log *slog.Logger) (*oidc.Authenticator, error) {
	o := oidc.Options{
		Issuer: p.OIDCIssuer, Audience: p.OIDCAudience, Skew: p.OIDCSkew, Roles: map[rest.Role][]string{},
		ClientID: p.OIDCClientID, Scopes: p.OIDCScopes, Logger: log,
	}
	if p.OIDCSecretFile != "" {
		secret, err := os.ReadFile(p.OIDCSecretFile)
		if err != nil {
			return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
		o.ClientSecret = strings.TrimSpace(string(secret))
	}
	for _, pair := range p.OIDCClaims {
		what, claim, _ := strings.Cut(pair, "=")
		into := map[string]*string{
			"subject": &o.Claims.Subject, "groups": &o.Claims.Groups, "group_prefix": &o.Claims.GroupPrefix,
			"roles": &o.Claims.Roles, "team": &o.Claims.Team, "owner": &o.Claims.Owner, "agents": &o.Claims.Agents,
		}[what]
		if into == nil || claim == "" {
			return nil, fmt.Errorf("--oidc-claim %q is not what=claim, where what is "+
				"one of %s", pair, strings.Join(settings.ClaimNames, ", "))
		}
		*into = claim
	}
	for _, pair := range p.OIDCRoles {
		name, value, _ := strings.Cut(pair, "=")
		role, err := rest.ParseRole(name)
		if err != nil || value == "" {
			return nil, fmt.Errorf("--oidc-role %q is not role=group, where role is agent, reviewer, "+
				"auditor or admin", pair)
		}
		o.Roles[role] = append(o.Roles[role], value)
	}
	return oidc.New(o)
}

// login returns where people sign in with browsers; nil: at no issuer.
func (p *process) login(a auth.Authenticator) session.Issuer {
	if any, ok := a.(auth.Any); ok && p.OIDCClientID != "" {
		if issuer, ok := any.OIDC.(*oidc.Authenticator); ok {
			return issuer
		}
	}
	return nil
}

// signer makes what signs decisions; nil where nobody is authenticated. chosen says that somebody set
// the key's file. An API that may not write to its store, and whose key the store does not know, goes
// on without a signer: its decisions count as unauthenticated.
func (p *process) signer(
	ctx context.Context, s store.Store, chosen bool, log *slog.Logger,
) (*auth.Signer, error) {
	if p.hasAuth(settings.AuthNone) {
		return nil, nil
	}
	signer, err := auth.OpenSigner(ctx, auth.SignerOptions{File: p.SigningKey, Store: s, By: "pawl api"})
	switch {
	case err == nil:
		return signer, nil
	case errors.Is(err, auth.ErrKeyUnknown) && !chosen:
		log.WarnContext(ctx, "decisions are not signed, and recorded as unauthenticated: this API may "+
			"not write its store, and its key is not known there",
			"advice", "pawl key add "+p.SigningKey+" --database-url …, or --signing-key with the file of "+
				"a key that is known")
		return nil, nil
	}
	return nil, fmt.Errorf("the key that signs decisions (--signing-key %s): %w", p.SigningKey, err)
}
