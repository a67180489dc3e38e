package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/oidc"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/store"
)

// access is what `pawl api` is told about who may reach it; `pawl doctor` looks
// at the same.
type access struct {
	modes    []string
	issuer   string
	audience []string
	skew     time.Duration
	claims   []string // name=claim
	roles    []string // role=value

	signingKey        string
	certFile, keyFile string
	proxies           []string
	perSecond         int
	pending           int
}

func (x *access) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&x.modes, "auth", []string{cli.AuthNone}, "how callers are known: none (loopback only), tokens, oidc, or `tokens,oidc`")
	f.StringVar(&x.issuer, "oidc-issuer", "", "`URL` of the OpenID Connect issuer, to the letter as it calls itself")
	f.StringArrayVar(&x.audience, "oidc-audience", nil, "`name` that its tokens must be made for, often a client ID; repeatable")
	f.DurationVar(&x.skew, "oidc-skew", oidc.DefaultSkew, "how far the issuer's clock may differ")
	f.StringArrayVar(&x.claims, "oidc-claim", nil, "`what=claim` to read: "+strings.Join(cli.ClaimNames, ", ")+" (default subject=sub, groups=groups); repeatable")
	f.StringArrayVar(&x.roles, "oidc-role", nil, "`role=group` whose members have the role: agent, reviewer, auditor or admin; repeatable")
	f.StringVar(&x.signingKey, "signing-key", cli.DefaultSigningKey, "`file` with the key that signs the decisions of authenticated reviewers; made if it is not there")
	f.StringVar(&x.certFile, "tls-cert", "", "PEM `file` with the API's certificate and its chain; read again when it changes")
	f.StringVar(&x.keyFile, "tls-key", "", "PEM `file` with the certificate's key")
	f.StringArrayVar(&x.proxies, "behind-proxy", nil, "`address` or network of a proxy that ends TLS; only it may then connect without, and its X-Forwarded-For counts; repeatable")
	f.IntVar(&x.perSecond, "max-rate", api.DefaultPerSecond, "changes in a second that one caller may ask for; -1: any number")
	f.IntVar(&x.pending, "max-pending", api.DefaultPending, "calls of one caller that may wait for people; -1: any number")
}

func (x *access) has(mode string) bool { return slices.Contains(x.modes, mode) }

// check refuses what does not go together, before anything is opened. Its
// errors are the command line's.
func (x *access) check() error {
	if len(x.modes) == 0 {
		x.modes = []string{cli.AuthNone}
	}
	for _, mode := range x.modes {
		if !slices.Contains(cli.AuthModes, mode) {
			return fmt.Errorf("--auth %q is not none, tokens or oidc", mode)
		}
	}
	switch {
	case x.has(cli.AuthNone) && len(x.modes) > 1:
		return errors.New("--auth none goes with nothing else: either callers are known or they are not")
	case !x.has(cli.AuthOIDC) && (x.issuer != "" || len(x.audience)+len(x.claims)+len(x.roles) > 0):
		return errors.New("an OpenID Connect issuer is set up and not used: add --auth oidc, or leave --oidc-… out")
	case (x.certFile == "") != (x.keyFile == ""):
		return errors.New("--tls-cert needs --tls-key, and --tls-key needs --tls-cert")
	case x.certFile != "" && len(x.proxies) > 0:
		return errors.New("either this API ends TLS or a proxy does: give --tls-cert or --behind-proxy")
	case x.perSecond == 0 || x.perSecond < -1:
		return errors.New("--max-rate must be 1 or more, or -1 for any number")
	case x.pending == 0 || x.pending < -1 || x.pending > store.ExactTotal:
		return fmt.Errorf("--max-pending must be from 1 to %d, or -1 for any number", store.ExactTotal)
	}
	if x.has(cli.AuthOIDC) {
		if _, err := x.oidc(nil); err != nil {
			return err
		}
	}
	_, err := x.exposure()
	return err
}

func (x *access) exposure() (api.Exposure, error) {
	e := api.Exposure{CertFile: x.certFile, KeyFile: x.keyFile}
	for _, text := range x.proxies {
		p, err := cli.ParseProxy(text)
		if err != nil {
			return e, fmt.Errorf("--behind-proxy %w", err)
		}
		e.Proxies = append(e.Proxies, p)
	}
	return e, nil
}

func (x *access) limits() api.Limits {
	return api.Limits{PerSecond: float64(x.perSecond), Pending: x.pending}
}

// authenticator makes what --auth asks for; nil is none.
func (x *access) authenticator(tokens store.TokenReader, log *slog.Logger) (auth.Authenticator, error) {
	if x.has(cli.AuthNone) {
		return nil, nil
	}
	var any auth.Any
	if x.has(cli.AuthTokens) {
		any.Tokens = auth.NewTokens(tokens)
	}
	if x.has(cli.AuthOIDC) {
		issuer, err := x.oidc(log)
		if err != nil {
			return nil, err
		}
		any.OIDC = issuer
	}
	return any, nil
}

func (x *access) oidc(log *slog.Logger) (*oidc.Authenticator, error) {
	o := oidc.Options{Issuer: x.issuer, Audience: x.audience, Skew: x.skew, Roles: map[auth.Role][]string{}, Logger: log}
	for _, pair := range x.claims {
		what, claim, _ := strings.Cut(pair, "=")
		into := map[string]*string{
			"subject": &o.Claims.Subject, "groups": &o.Claims.Groups, "group_prefix": &o.Claims.GroupPrefix, "roles": &o.Claims.Roles,
			"team": &o.Claims.Team, "owner": &o.Claims.Owner, "agents": &o.Claims.Agents,
		}[what]
		if into == nil || claim == "" {
			return nil, fmt.Errorf("--oidc-claim %q is not what=claim, where what is one of %s", pair, strings.Join(cli.ClaimNames, ", "))
		}
		*into = claim
	}
	for _, pair := range x.roles {
		name, value, _ := strings.Cut(pair, "=")
		role, err := auth.ParseRole(name)
		if err != nil || value == "" {
			return nil, fmt.Errorf("--oidc-role %q is not role=group, where role is agent, reviewer, auditor or admin", pair)
		}
		o.Roles[role] = append(o.Roles[role], value)
	}
	return oidc.New(o)
}

// signer makes what signs decisions; nil where nobody is authenticated. chosen
// says that the key's file was. An API that may not write its store, and whose
// key nobody made known, goes on without: its decisions count as
// unauthenticated.
func (x *access) signer(ctx context.Context, s store.Store, chosen bool, log *slog.Logger) (*auth.Signer, error) {
	if x.has(cli.AuthNone) {
		return nil, nil
	}
	signer, err := auth.OpenSigner(ctx, auth.SignerOptions{File: x.signingKey, Store: s, By: "pawl api"})
	switch {
	case err == nil:
		return signer, nil
	case errors.Is(err, auth.ErrKeyUnknown) && !chosen:
		log.WarnContext(ctx, "decisions are not signed, and recorded as unauthenticated: this API may not write its store, and its key is not known there",
			"advice", "pawl key add "+x.signingKey+" --database-url …, or --signing-key with the file of a key that is known")
		return nil, nil
	}
	return nil, fmt.Errorf("the key that signs decisions (--signing-key %s): %w", x.signingKey, err)
}
