package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Whoami returns who the API takes this client for. Errors: *Error (HTTPStatus 401 for a token that
// is not good), *UnreachableError.
func (c *Client) Whoami(ctx context.Context) (rest.Principal, error) {
	return ask[rest.Principal](ctx, c, request{path: "/api/whoami"})
}

// NewToken makes a token and returns its text, which is shown this once. It is sent once: when no
// answer comes, the token may have been made all the same; Tokens shows it, and RevokeToken takes
// it back. Errors: *Error,
// *UnreachableError.
func (c *Client) NewToken(ctx context.Context, spec rest.TokenSpec) (text string, t rest.Token, err error) {
	made, err := ask[rest.NewToken](ctx, c, request{method: http.MethodPost, path: "/api/tokens", body: spec})
	if err != nil {
		return "", t, err
	}
	if made.ID == "" || !strings.Contains(made.Text, "_"+made.ID+"_") {
		return "", t, answerError("it holds no token")
	}
	return made.Text, made.Token, nil
}

// Tokens lists all tokens, the newest first, without their secrets.
func (c *Client) Tokens(ctx context.Context) (Page[rest.Token], error) {
	return list[rest.Token](ctx, c, "/api/tokens", url.Values{}, "", 0)
}

// RevokeToken revokes a token. When it returns nil nobody can use the token any more; it may be
// repeated. Errors: *Error (approval.CodeNotFound),
// *UnreachableError.
func (c *Client) RevokeToken(ctx context.Context, id string) (rest.Token, error) {
	if err := checkID("the token's ID", id); err != nil {
		return rest.Token{}, err
	}
	return ask[rest.Token](ctx, c, request{method: http.MethodPost, path: path("api", "tokens", id, "revoke")})
}

// Keys lists the keys whose signatures on decisions are trusted, the newest first, with those that
// have ended.
func (c *Client) Keys(ctx context.Context) (Page[rest.SigningKey], error) {
	return list[rest.SigningKey](ctx, c, "/api/keys", url.Values{}, "", 0)
}

// RotateKey gives the API that answers a new signing key. It is sent once: when no answer comes,
// the key may have been changed all the same; Keys shows it. Errors: *Error, *UnreachableError.
func (c *Client) RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error) {
	body := rest.RotateRequest{RevokeOld: revokeOld}
	return ask[rest.Rotated](ctx, c, request{method: http.MethodPost, path: "/api/keys/rotate", body: body})
}

// EndKey retires a signing key, or revokes it. It may be repeated. Errors:
// *Error (approval.CodeNotFound), *UnreachableError.
func (c *Client) EndKey(ctx context.Context, id string, revoke bool) (rest.SigningKey, error) {
	if err := checkID("the key's ID", id); err != nil {
		return rest.SigningKey{}, err
	}
	end := "retire"
	if revoke {
		end = "revoke"
	}
	return ask[rest.SigningKey](ctx, c, request{method: http.MethodPost, path: path("api", "keys", id, end)})
}

// Policy returns the active policy. Errors: *Error, *UnreachableError.
func (c *Client) Policy(ctx context.Context) (rest.ActivePolicy, error) {
	return ask[rest.ActivePolicy](ctx, c, request{path: "/api/policy"})
}

// PolicyText returns the policy with this digest, or the only one whose digest begins so: any that
// was ever applied. Errors: *Error (approval.CodeNotFound, or a digest that fits several),
// *UnreachableError.
func (c *Client) PolicyText(ctx context.Context, digest string) (rest.PolicySet, error) {
	if err := checkID("the policy's digest", digest); err != nil {
		return rest.PolicySet{}, err
	}
	return ask[rest.PolicySet](ctx, c, request{path: path("api", "policy", digest)})
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
	err = c.resend(ctx, "", func() error {
		a, err = putPolicy[rest.AppliedPolicy](ctx, c, change)
		return err
	})
	return a, err
}

// TryPolicy says what ApplyPolicy would do, and changes nothing. change.Expect does not matter.
// Errors are those of ApplyPolicy.
func (c *Client) TryPolicy(ctx context.Context, change rest.PolicyChange) (rest.PolicyTrial, error) {
	change.DryRun = true
	return putPolicy[rest.PolicyTrial](ctx, c, change)
}

func putPolicy[T any](ctx context.Context, c *Client, change rest.PolicyChange) (answer T, err error) {
	for _, l := range change.Layers { // JSON would change it on its way
		if !utf8.ValidString(l.Text) || !utf8.ValidString(l.Name) {
			return answer, approval.Errorf(approval.CodeInvalid,
				"%s: it is not valid UTF-8; save it as UTF-8", approval.Display(l.Name, 200))
		}
	}
	return ask[T](ctx, c, request{method: http.MethodPut, path: "/api/policy", body: change})
}

// NewSignInLink makes a code with which whoever this client is signs in with a browser, once, within
// a minute. Errors: *Error, *UnreachableError.
func (c *Client) NewSignInLink(ctx context.Context) (rest.SignInLink, error) {
	return ask[rest.SignInLink](ctx, c, request{method: http.MethodPost, path: "/auth/links"})
}

// Erase erases what a call that has ended said, for good; the reason stays. Errors: *Error
// (rest.CodeNotEnded), *UnreachableError.
func (c *Client) Erase(ctx context.Context, id, reason string) (View, error) {
	if err := checkID("the call's ID", id); err != nil {
		return View{}, err
	}
	return c.view(ctx, id, true, request{
		method: http.MethodPost, path: path("api", "calls", id, "erase"), body: rest.EraseRequest{Reason: reason},
	})
}
