package rest

import (
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// Role is what a principal may do. Package api says what each role may do on which route.
type Role string

const (
	RoleAgent    Role = "agent"    // start calls; see and withdraw its own
	RoleReviewer Role = "reviewer" // see all requests, approve and reject
	RoleAuditor  Role = "auditor"  // see everything that is redacted, change nothing
	RoleAdmin    Role = "admin"    // that, withdraw any call, make and revoke tokens; decides nothing
)

// Roles lists every role.
var Roles = []Role{RoleAgent, RoleReviewer, RoleAuditor, RoleAdmin}

// ParseRole reads a role. The error's code is approval.CodeInvalid.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", approval.Errorf(approval.CodeInvalid,
		"role %q is not one of agent, reviewer, auditor, admin", approval.Display(s, 40))
}

// Kind tells software from people.
type Kind string

const (
	KindAgent  Kind = "agent"  // asks, and never decides; a person, its owner, answers for it
	KindPerson Kind = "person" // its own owner
)

// Method is how a principal was authenticated.
type Method string

const (
	MethodNone  Method = "none"  // not at all
	MethodToken Method = "token" // by one of Pawl's tokens
	MethodOIDC  Method = "oidc"  // by a token of the OpenID Connect issuer
)

// Principal is who the API takes a caller for, as far as that was proved: the answer of GET
// /api/whoami.
type Principal struct {
	// Subject names who acts: it is the requester of its calls and the reviewer of its decisions. Two
	// credentials with one subject are one principal.
	Subject string `json:"subject"`
	Kind    Kind   `json:"kind"`
	// Owner is the person who answers for it, and so may not approve what it asked for. A person is
	// its own.
	Owner string `json:"owner,omitempty"`
	Roles []Role `json:"roles"`
	// Groups are what approval requirements ask for.
	Groups []string `json:"groups,omitempty"`
	// Team is the one it may start calls for; empty: for none.
	Team string `json:"team,omitempty"`
	// Agents are the names under which it may start calls; empty: any.
	Agents []string `json:"agents,omitempty"`
	Method Method   `json:"method"`
	// TokenID is the token's, with MethodToken.
	TokenID string `json:"token_id,omitempty"`
	// Expires is when the credential ends; zero: never.
	Expires time.Time `json:"expires,omitzero"`
}

// TokenSpec says what a new token is to be: the body of POST /api/tokens.
type TokenSpec struct {
	Subject string   `json:"subject"`
	Kind    Kind     `json:"kind,omitempty"`  // default: agent if that is its only role, else person
	Owner   string   `json:"owner,omitempty"` // needed for an agent; a person's is the subject
	Roles   []Role   `json:"roles"`
	Groups  []string `json:"groups,omitempty"`
	Team    string   `json:"team,omitempty"`
	Agents  []string `json:"agents,omitempty"`
	Note    string   `json:"note,omitempty"`
	// ExpiresAt is when it ends; default: in 90 days. NeverExpires instead makes one that does not.
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	NeverExpires bool       `json:"never_expires,omitempty"`
}

// Token is one token, without its text.
type Token struct {
	ID        string     `json:"id"`
	Subject   string     `json:"subject"`
	Kind      string     `json:"kind"`
	Owner     string     `json:"owner"`
	Roles     []string   `json:"roles"`
	Groups    []string   `json:"groups,omitempty"`
	Team      string     `json:"team,omitempty"`
	Agents    []string   `json:"agents,omitempty"`
	Note      string     `json:"note,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil: never
	RevokedAt *time.Time `json:"revoked_at,omitempty"` // nil: it is not
	RevokedBy string     `json:"revoked_by,omitempty"`
}

// Live reports whether the token works now.
func (t Token) Live(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || now.Before(*t.ExpiresAt))
}

// Has reports whether the token stands for somebody with a role.
func (t Token) Has(r Role) bool { return slices.Contains(t.Roles, string(r)) }

// NewToken is the one answer that holds a token's text.
type NewToken struct {
	Text string `json:"token"`
	Token
	// Warnings are finished sentences about what its maker may not have meant.
	Warnings []string `json:"warnings,omitempty"`
}

// SigningKey is a key that signs decisions. Its private half is kept by its API alone.
type SigningKey struct {
	ID        string     `json:"id"`
	Public    []byte     `json:"public"`         // Ed25519, 32 bytes
	Note      string     `json:"note,omitempty"` // where its private half is, for people
	CreatedAt time.Time  `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	RetiredAt *time.Time `json:"retired_at,omitempty"` // what it signed before counts
	RetiredBy string     `json:"retired_by,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"` // nothing that it ever signed counts
	RevokedBy string     `json:"revoked_by,omitempty"`
}

// RotateRequest is the body of POST /api/keys/rotate. It may be left out.
type RotateRequest struct {
	RevokeOld bool `json:"revoke_old,omitempty"` // others may know the old key
}

// Rotated answers it.
type Rotated struct {
	Key SigningKey `json:"key"` // in use now
	Old SigningKey `json:"old"`
}

// SignIn is the body of POST /auth/session: one of the two.
type SignIn struct {
	Token string `json:"token,omitempty"` // any credential that goes into the header Authorization
	Code  string `json:"code,omitempty"`  // of a SignInLink
}

// SignedIn is the answer to SignIn.
type SignedIn struct {
	Principal Principal `json:"principal"`
	// Bearer goes into the header Authorization; empty: the answer set a cookie.
	Bearer string `json:"bearer,omitempty"`
}

// SignInWays say how people sign in here: the answer to GET /auth/session.
type SignInWays struct {
	Tokens bool `json:"tokens"` // POST /auth/session takes tokens
	OIDC   bool `json:"oidc"`   // GET /auth/login leads to the issuer
}

// SignedOut is the answer to DELETE /auth/session.
type SignedOut struct {
	Ended int `json:"ended"` // so many sessions
}

// SignInLink is the answer to POST /auth/links: a code that is good for one session.
type SignInLink struct {
	Code string `json:"code"`
	// URL is where the page takes the code; empty: this API has no public URL.
	URL       string    `json:"url,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}
