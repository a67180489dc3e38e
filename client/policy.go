package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
)

// Codes of a policy that was not applied.
const (
	CodePolicyChanged = "policy_changed" // another version is active than the one it was to replace
	CodeReadOnly      = "read_only"      // this API may not write its store
)

// PolicyLayer is one file of a policy.
type PolicyLayer struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// PolicySet is a policy as it was applied.
type PolicySet struct {
	Digest string          `json:"digest"`
	Layers []PolicyLayer   `json:"layers"`
	Raw    json.RawMessage `json:"-"` // as it was received
}

// PolicyVersion says which policy was made active, by whom and when.
type PolicyVersion struct {
	Version       int64     `json:"version"` // 0: none was applied yet, and everything needs approval
	Digest        string    `json:"digest"`
	At            time.Time `json:"at"`
	By            string    `json:"by"`
	Channel       string    `json:"channel"`
	Authenticated bool      `json:"authenticated"`
	Note          string    `json:"note"`
}

// ActivePolicy is the policy that calls are judged by.
type ActivePolicy struct {
	PolicyVersion
	Layers []PolicyLayer   `json:"layers"`
	Raw    json.RawMessage `json:"-"` // as it was received
}

// PolicyChange is a policy to be applied.
type PolicyChange struct {
	Layers []PolicyLayer `json:"layers"`
	Expect int64         `json:"expect"` // the version it is to replace: ActivePolicy.Version
	Note   string        `json:"note,omitempty"`
}

// AppliedPolicy is the version that is active now.
type AppliedPolicy struct {
	Changed bool `json:"changed"` // false: it was active already
	PolicyVersion
	Warnings []PolicyProblem `json:"warnings"` // what is hardly meant in the policy
	Raw      json.RawMessage `json:"-"`        // as it was received
}

// PolicyTrial says what applying would do.
type PolicyTrial struct {
	Changed  bool            `json:"changed"` // false: it is active already
	Digest   string          `json:"digest"`
	Active   PolicyVersion   `json:"active"`
	Warnings []PolicyProblem `json:"warnings"` // what is hardly meant in the policy
	Raw      json.RawMessage `json:"-"`        // as it was received
}

// PolicyProblem is one thing that is wrong with a policy, or a warning.
type PolicyProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // from 1; 0: the file as a whole
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint"` // how to mend it
}

// Policy returns the active policy. Errors: *Error, *UnreachableError.
func (c *Client) Policy(ctx context.Context) (p ActivePolicy, err error) {
	p.Raw, err = c.fetchInto(ctx, "/api/policy", &p)
	return p, err
}

// PolicyText returns the policy with this digest, or the only one whose digest
// begins so: any that was ever applied. Errors: *Error (approval.CodeNotFound,
// or a digest that fits several), *UnreachableError.
func (c *Client) PolicyText(ctx context.Context, digest string) (p PolicySet, err error) {
	if err := checkID("the policy's digest", digest); err != nil {
		return p, err
	}
	p.Raw, err = c.fetchInto(ctx, path("api", "policy", digest), &p)
	return p, err
}

// PolicyHistory lists what was applied, the latest first, until limit versions
// (0: all) are there. Errors: *Error, *UnreachableError.
func (c *Client) PolicyHistory(ctx context.Context, cursor string, limit int) (Page[PolicyVersion], error) {
	return list[PolicyVersion](ctx, c, "/api/policy/history", url.Values{}, cursor, limit)
}

// ApplyPolicy makes a policy the active one. Errors: *Error, whose Problems say
// what is wrong with the policy, or whose Code is CodePolicyChanged or
// CodeReadOnly; an *approval.Error with CodeInvalid; *UnreachableError; and *UncertainError, after which the same
// change can be sent again safely.
func (c *Client) ApplyPolicy(ctx context.Context, change PolicyChange) (a AppliedPolicy, err error) {
	if err := change.check(); err != nil {
		return a, err
	}
	err = c.resend(ctx, "", func() (err error) {
		a.Raw, err = c.putPolicy(ctx, change, &a)
		return err
	})
	return a, err
}

// TryPolicy says what ApplyPolicy would do, and changes nothing.
// change.Expect does not matter. Errors are those of ApplyPolicy.
func (c *Client) TryPolicy(ctx context.Context, change PolicyChange) (t PolicyTrial, err error) {
	if err := change.check(); err != nil {
		return t, err
	}
	t.Raw, err = c.putPolicy(ctx, struct {
		PolicyChange
		DryRun bool `json:"dry_run"`
	}{change, true}, &t)
	return t, err
}

// check refuses what JSON would change on its way.
func (p PolicyChange) check() error {
	for _, l := range p.Layers {
		if !utf8.ValidString(l.Text) || !utf8.ValidString(l.Name) {
			return approval.Errorf(approval.CodeInvalid, "%s: it is not valid UTF-8; save it as UTF-8", approval.Display(l.Name, 200))
		}
	}
	return nil
}

func (c *Client) putPolicy(ctx context.Context, body, answer any) (json.RawMessage, error) {
	res, err := c.send(ctx, request{method: http.MethodPut, path: "/api/policy", body: body})
	if err != nil {
		return nil, err
	}
	return res.body, read(res.body, answer)
}

func (c *Client) fetchInto(ctx context.Context, route string, answer any) (json.RawMessage, error) {
	res, err := c.send(ctx, request{method: http.MethodGet, path: route})
	if err != nil {
		return nil, err
	}
	return res.body, read(res.body, answer)
}

func read(doc []byte, into any) error {
	if err := json.Unmarshal(doc, into); err != nil {
		return answerError(err.Error())
	}
	return nil
}
