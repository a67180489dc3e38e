package auth

import (
	"github.com/pawlhq/pawl/rest"
	"time"
)

// DefaultLife is how long a token works that does not say.
const DefaultLife = 90 * 24 * time.Hour

// PrincipalOf is who a new token will stand for, with what its specification leaves out filled in.
// Errors have approval.CodeInvalid.
func PrincipalOf(s rest.TokenSpec, now time.Time) (Principal, error) {
	p := Principal{
		Subject: s.Subject, Kind: s.Kind, Owner: s.Owner, Roles: s.Roles, Groups: s.Groups,
		Team: s.Team, Agents: s.Agents, Method: rest.MethodToken,
	}
	if p.Kind == "" {
		p.Kind = rest.KindPerson
		if len(p.Roles) == 1 && p.Roles[0] == rest.RoleAgent {
			p.Kind = rest.KindAgent
		}
	}
	switch {
	case p.Owner != "":
	case p.Kind == rest.KindPerson:
		p.Owner = p.Subject
	default:
		return p, invalid("owner is missing: name the person who is responsible for the agent %s, "+
			"exactly as they are named when they review", p.Subject)
	}
	switch {
	case s.NeverExpires && s.ExpiresAt != nil:
		return p, invalid("the token can't both expire and never expire")
	case s.ExpiresAt != nil && !s.ExpiresAt.After(now):
		return p, invalid("expires_at: %s is not in the future", s.ExpiresAt.Format(time.RFC3339))
	case s.ExpiresAt != nil:
		p.Expires = *s.ExpiresAt
	case !s.NeverExpires:
		p.Expires = now.Add(DefaultLife)
	}
	if len(p.Roles) == 0 {
		return p, invalid("roles are missing: name what the token is for: agent, reviewer, auditor or admin")
	}
	return p, p.Check()
}
