// Package auth says who uses the API and what they may do there: principals and their roles, and
// tokens. Package auth/oidc knows those that an OpenID Connect issuer vouches for.
package auth

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Principal is who uses the API, as far as that was proved. It holds nothing secret.
type Principal rest.Principal

// Local is everybody where nobody is authenticated. It has every role.
func Local() Principal {
	return Principal{Subject: LocalSubject, Kind: rest.KindPerson,
		Roles: slices.Clone(rest.Roles), Method: rest.MethodNone}
}

// LocalSubject is the subject of Local.
const LocalSubject = "local"

// reserved are subjects that stand for something else in records.
var reserved = []string{LocalSubject, "pawl", "policy"}

// Authenticated reports whether somebody proved to be this principal.
func (p Principal) Authenticated() bool {
	return p.Method == rest.MethodToken || p.Method == rest.MethodOIDC
}

// Has reports whether it has a role.
func (p Principal) Has(r rest.Role) bool { return slices.Contains(p.Roles, r) }

// Bounds of what a principal says: all of it goes into its decisions.
const (
	maxGroups     = 100
	maxGroupBytes = 4 << 10
	maxAgents     = 32
)

// Check refuses a principal that could pass for something else. The error's code is
// approval.CodeInvalid.
func (p Principal) Check() error {
	if err := cmp.Or(CheckPerson("subject", p.Subject), CheckPerson("owner", p.Owner)); err != nil {
		return err
	}
	switch p.Kind {
	case rest.KindPerson:
		if p.Owner != p.Subject {
			return invalid("owner: a person has no other owner than themselves")
		}
	case rest.KindAgent:
		if len(p.Roles) != 1 || p.Roles[0] != rest.RoleAgent {
			return invalid("roles: an agent has the role agent and no other")
		}
	default:
		return invalid("kind %q is not agent or person", approval.Display(string(p.Kind), 40))
	}
	for i, r := range p.Roles {
		if _, err := rest.ParseRole(string(r)); err != nil {
			return err
		}
		if slices.Contains(p.Roles[:i], r) {
			return invalid("roles: %s is given twice", r)
		}
	}
	if err := checkNames("groups", p.Groups, maxGroups); err != nil {
		return err
	}
	if size := len(strings.Join(p.Groups, "")); size > maxGroupBytes {
		return invalid("groups: their names are %d bytes together; at most %d are taken", size, maxGroupBytes)
	}
	if err := checkNames("agents", p.Agents, maxAgents); err != nil {
		return err
	}
	if p.Team == "" {
		return nil
	}
	return checkName("team", p.Team)
}

// CheckPerson refuses names that nobody may act under: those that can't be read as what they are, and
// those that stand for something else in records. The error's code is approval.CodeInvalid.
func CheckPerson(field, name string) error {
	if err := checkName(field, name); err != nil {
		return err
	}
	if slices.ContainsFunc(reserved, func(r string) bool { return approval.SamePerson(r, name) }) {
		return invalid("%s: %s is a name that Pawl uses itself: choose another", field, name)
	}
	return nil
}

// checkName takes names that look like what they are.
func checkName(field, name string) error {
	switch {
	case name == "":
		return invalid("%s is missing", field)
	case approval.Display(name, 0) != name || strings.TrimSpace(name) != name:
		return invalid("%s holds characters that can't be seen, or begins or ends with a space", field)
	}
	return approval.CheckName(field, name)
}

func checkNames(field string, names []string, most int) error {
	if len(names) > most {
		return invalid("%s: there are %d; at most %d are taken", field, len(names), most)
	}
	for i, name := range names {
		if err := checkName(field, name); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return invalid("%s: %s is given twice", field, name)
		}
	}
	return nil
}

func invalid(format string, a ...any) error {
	return approval.Errorf(approval.CodeInvalid, format, a...)
}

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
