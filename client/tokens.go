package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/store"
)

// Whoami returns who the API takes this client for. Errors: *Error (HTTPStatus
// 401 for a token that is not good), *UnreachableError.
func (c *Client) Whoami(ctx context.Context) (auth.Principal, error) {
	var p auth.Principal
	res, err := c.send(ctx, request{method: http.MethodGet, path: "/api/whoami"})
	if err == nil {
		err = decodeInto(res.body, &p)
	}
	return p, err
}

// NewToken makes a token and returns its text, which is shown this once. It is
// sent once: when no answer comes, the token may have been made all the same;
// Tokens shows it, and RevokeToken takes it back. Errors: *Error,
// *UnreachableError.
func (c *Client) NewToken(ctx context.Context, spec auth.TokenSpec) (text string, t store.Token, err error) {
	res, err := c.send(ctx, request{method: http.MethodPost, path: "/api/tokens", body: spec})
	if err != nil {
		return "", t, err
	}
	var made struct {
		Text string `json:"token"`
		store.Token
	}
	if err := decodeInto(res.body, &made); err != nil {
		return "", t, err
	}
	if id, ok := auth.TokenID(made.Text); !ok || id != made.ID {
		return "", t, answerError("it holds no token")
	}
	return made.Text, made.Token, nil
}

// Tokens lists all tokens, the newest first, without their secrets.
func (c *Client) Tokens(ctx context.Context) (Page[store.Token], error) {
	return list[store.Token](ctx, c, "/api/tokens", url.Values{}, "", 0)
}

// RevokeToken revokes a token. When it returns nil nobody can use the token any
// more; it may be repeated. Errors: *Error (approval.CodeNotFound),
// *UnreachableError.
func (c *Client) RevokeToken(ctx context.Context, id string) (t store.Token, err error) {
	if err := checkID("the token's ID", id); err != nil {
		return t, err
	}
	res, err := c.send(ctx, request{method: http.MethodPost, path: path("api", "tokens", id, "revoke")})
	if err == nil {
		err = decodeInto(res.body, &t)
	}
	return t, err
}

func decodeInto(doc []byte, v any) error {
	if err := json.Unmarshal(doc, v); err != nil {
		return answerError("it is JSON of another form than expected")
	}
	return nil
}
