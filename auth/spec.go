package auth

import (
	"time"
)

// DefaultLife is how long a token works that does not say.
const DefaultLife = 90 * 24 * time.Hour

// TokenSpec says what a new token is to be.
type TokenSpec struct {
	Subject string   `json:"subject"`
	Kind    Kind     `json:"kind,omitempty"`  // default: agent if that is its only role, else person
	Owner   string   `json:"owner,omitempty"` // needed for an agent; a person's is the subject
	Roles   []Role   `json:"roles"`
	Groups  []string `json:"groups,omitempty"`
	Team    string   `json:"team,omitempty"`
	Agents  []string `json:"agents,omitempty"`
	Note    string   `json:"note,omitempty"`
	// ExpiresAt is when it ends; default: in DefaultLife. NeverExpires instead
	// makes one that does not.
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	NeverExpires bool       `json:"never_expires,omitempty"`
}

// Principal is who the token will stand for, with what was left out filled in.
// Errors have approval.CodeInvalid.
func (s TokenSpec) Principal(now time.Time) (Principal, error) {
	p := Principal{
		Subject: s.Subject, Kind: s.Kind, Owner: s.Owner, Roles: s.Roles, Groups: s.Groups,
		Team: s.Team, Agents: s.Agents, Method: MethodToken,
	}
	if p.Kind == "" {
		p.Kind = KindPerson
		if len(p.Roles) == 1 && p.Roles[0] == RoleAgent {
			p.Kind = KindAgent
		}
	}
	switch {
	case p.Owner != "":
	case p.Kind == KindPerson:
		p.Owner = p.Subject
	default:
		return p, invalid("owner is missing: name the person who answers for the agent %s, as they are known when they review", p.Subject)
	}
	switch {
	case s.NeverExpires && s.ExpiresAt != nil:
		return p, invalid("the token can't both expire and never expire")
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
