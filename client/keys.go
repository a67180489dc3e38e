package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pawlhq/pawl/rest"
)

// Keys lists the keys whose signatures on decisions are trusted, the newest first, with those that
// have ended.
func (c *Client) Keys(ctx context.Context) (Page[rest.SigningKey], error) {
	return list[rest.SigningKey](ctx, c, "/api/keys", url.Values{}, "", 0)
}

// RotateKey gives the API that answers a new signing key. It is sent once: when no answer comes,
// the key may have been changed all the same; Keys shows it. Errors: *Error, *UnreachableError.
func (c *Client) RotateKey(ctx context.Context, revokeOld bool) (r rest.Rotated, err error) {
	body := rest.RotateRequest{RevokeOld: revokeOld}
	err = c.fetchInto(ctx, request{method: http.MethodPost, path: "/api/keys/rotate", body: body}, &r)
	return r, err
}

// EndKey retires a signing key, or revokes it. It may be repeated. Errors:
// *Error (approval.CodeNotFound), *UnreachableError.
func (c *Client) EndKey(ctx context.Context, id string, revoke bool) (k rest.SigningKey, err error) {
	if err := checkID("the key's ID", id); err != nil {
		return k, err
	}
	end := "retire"
	if revoke {
		end = "revoke"
	}
	err = c.fetchInto(ctx, request{method: http.MethodPost, path: path("api", "keys", id, end)}, &k)
	return k, err
}
