package client

import (
	"context"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Policy returns the active policy. Errors: *Error, *UnreachableError.
func (c *Client) Policy(ctx context.Context) (p rest.ActivePolicy, err error) {
	err = c.fetchInto(ctx, request{path: "/api/policy"}, &p)
	return p, err
}

// PolicyText returns the policy with this digest, or the only one whose digest begins so: any that
// was ever applied. Errors: *Error (approval.CodeNotFound, or a digest that fits several),
// *UnreachableError.
func (c *Client) PolicyText(ctx context.Context, digest string) (p rest.PolicySet, err error) {
	if err := checkID("the policy's digest", digest); err != nil {
		return p, err
	}
	err = c.fetchInto(ctx, request{path: path("api", "policy", digest)}, &p)
	return p, err
}

// PolicyHistory lists what was applied, the latest first, until limit versions (0: all) are there.
// Errors: *Error, *UnreachableError.
func (c *Client) PolicyHistory(
	ctx context.Context, cursor string, limit int,
) (Page[rest.PolicyVersion], error) {
	return list[rest.PolicyVersion](ctx, c, "/api/policy/history", url.Values{}, cursor, limit)
}

// ApplyPolicy makes a policy the active one. Errors: *Error, whose Problems say what is wrong with
// the policy, or whose Code is rest.CodePolicyChanged or rest.CodeReadOnly; an *approval.Error with
// CodeInvalid; *UnreachableError; and *UncertainError, after which the same change can be sent
// again safely.
func (c *Client) ApplyPolicy(
	ctx context.Context, change rest.PolicyChange,
) (a rest.AppliedPolicy, err error) {
	change.DryRun = false
	err = c.resend(ctx, "", func() error { return c.putPolicy(ctx, change, &a) })
	return a, err
}

// TryPolicy says what ApplyPolicy would do, and changes nothing. change.Expect does not matter.
// Errors are those of ApplyPolicy.
func (c *Client) TryPolicy(ctx context.Context, change rest.PolicyChange) (t rest.PolicyTrial, err error) {
	change.DryRun = true
	err = c.putPolicy(ctx, change, &t)
	return t, err
}

func (c *Client) putPolicy(ctx context.Context, change rest.PolicyChange, answer any) error {
	for _, l := range change.Layers { // JSON would change it on its way
		if !utf8.ValidString(l.Text) || !utf8.ValidString(l.Name) {
			return approval.Errorf(approval.CodeInvalid,
				"%s: it is not valid UTF-8; save it as UTF-8", approval.Display(l.Name, 200))
		}
	}
	return c.fetchInto(ctx, request{method: http.MethodPut, path: "/api/policy", body: change}, answer)
}
