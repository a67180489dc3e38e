package operate

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/internal/settings"
)

// expiresSoon is how long before its end doctor warns of a certificate.
const expiresSoon = 7 * 24 * time.Hour

// checkCallers reports whether the API could know its callers, as it is set up.
func (d *doctorCommand) checkCallers(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	findings := []finding{found("authentication", stateOK, "%s", strings.Join(d.Auth, ", "))}
	if d.hasAuth(settings.AuthNone) {
		findings[0].Detail = "none is configured here: 'pawl api' with these settings would serve only " +
			"this machine, and believe everybody; 'pawl whoami' shows how a running API identifies " +
			"its callers"
	}
	if d.hasAuth(settings.AuthTokens) {
		findings = append(findings, d.tokens(ctx))
	}
	if d.hasAuth(settings.AuthOIDC) {
		findings = append(findings, d.issuer(ctx))
	}
	if d.TLSCert != "" {
		findings = append(findings, d.certificate(time.Now()))
	}
	return findings
}

func (d *doctorCommand) tokens(ctx context.Context) finding {
	const what = "tokens"
	if d.store == nil {
		return found(what, stateSkipped, "the store that keeps them did not open")
	}
	tokens, err := admin.Tokens(ctx, d.store)
	admins := admin.LiveAdmins(tokens)
	switch {
	case err != nil:
		return failed(what, err, "")
	case len(admins) == 0 && !d.hasAuth(settings.AuthOIDC):
		return found(what, stateMissing, "no administrator's token works").advise(admin.AdviceFirstToken)
	}
	return found(what, stateOK, "%d of administrators work", len(admins))
}

func (d *doctorCommand) issuer(ctx context.Context) finding {
	const what = "OpenID Connect"
	issuer, err := d.oidcAuthenticator(slog.New(slog.DiscardHandler))
	if err == nil {
		err = issuer.Check(ctx)
	}
	if err != nil {
		return failed(what, err, "check that this host reaches the issuer, and that --oidc-issuer is "+
			"exactly its name; until then it identifies nobody")
	}
	return found(what, stateOK, "%s, its keys are there", d.OIDCIssuer)
}

func (d *doctorCommand) certificate(now time.Time) finding {
	const what, advice = "certificate", "put a new one there; a running API reads it by itself"
	pair, err := tls.LoadX509KeyPair(d.TLSCert, d.TLSKey)
	switch {
	case err != nil:
		return failed(what, err, "check that both files are PEM, belong together, and may be read")
	case now.After(pair.Leaf.NotAfter):
		return failed(what, fmt.Errorf("%s expired on %s", d.TLSCert, cli.Timestamp(pair.Leaf.NotAfter)), advice)
	case now.Add(expiresSoon).After(pair.Leaf.NotAfter):
		return found(what, stateOK, "%s, only until %s", d.TLSCert, cli.Timestamp(pair.Leaf.NotAfter)).
			advise(advice)
	}
	return found(what, stateOK, "%s, until %s", d.TLSCert, cli.Timestamp(pair.Leaf.NotAfter))
}
