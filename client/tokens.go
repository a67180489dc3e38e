package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/pawlhq/pawl/rest"
)

// Whoami returns who the API takes this client for. Errors: *Error (HTTPStatus 401 for a token that
// is not good), *UnreachableError.
func (c *Client) Whoami(ctx context.Context) (p rest.Principal, err error) {
	err = c.fetchInto(ctx, request{path: "/api/whoami"}, &p)
	return p, err
}

// NewToken makes a token and returns its text, which is shown this once. It is sent once: when no
// answer comes, the token may have been made all the same; Tokens shows it, and RevokeToken takes
// it back. Errors: *Error,
// *UnreachableError.
func (c *Client) NewToken(ctx context.Context, spec rest.TokenSpec) (text string, t rest.Token, err error) {
	var made rest.NewToken
	err = c.fetchInto(ctx, request{method: http.MethodPost, path: "/api/tokens", body: spec}, &made)
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
func (c *Client) RevokeToken(ctx context.Context, id string) (t rest.Token, err error) {
	if err := checkID("the token's ID", id); err != nil {
		return t, err
	}
	err = c.fetchInto(ctx, request{method: http.MethodPost, path: path("api", "tokens", id, "revoke")}, &t)
	return t, err
}
