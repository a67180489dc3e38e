package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func (s *Server) newToken(c *gin.Context) error {
	var spec rest.TokenSpec
	if err := decode(c, &spec, false); err != nil {
		return err
	}
	text, t, err := auth.Issue(spec, principal(c).Subject, time.Now())
	if err != nil {
		return err
	}
	t.Via = via(c)
	if err := s.o.Store.AddToken(c.Request.Context(), t); err != nil {
		return fromStore(err)
	}
	s.o.Logger.InfoContext(c.Request.Context(), "token made",
		"token", t.ID, "subject", t.Subject, "kind", t.Kind, "roles", t.Roles, "by", t.CreatedBy)
	made := rest.NewToken{Text: text, Token: t.Token, Warnings: auth.Warnings(t.Token)}
	return reply(c, http.StatusCreated, made)
}

// revokeToken answers once nobody can use the token any more, also if it was revoked before.
func (s *Server) revokeToken(c *gin.Context) error {
	const unknownToken = "No token has this ID."
	return ended(c, unknownToken, func(ctx context.Context, id, by string) (any, error) {
		revoke := store.RevokeParams{ID: id, By: by, Via: via(c), At: time.Now()}
		t, changed, err := s.o.Store.RevokeToken(ctx, revoke)
		if changed {
			s.events.Check()
			s.o.Logger.InfoContext(ctx, "token revoked", "token", t.ID, "subject", t.Subject, "by", t.RevokedBy)
		}
		return t.Token, err
	})
}

// ended lets end make an end of what the path's ID names, and answers with it. missing is what there is
// to say where nothing has that ID.
func ended(
	c *gin.Context, missing string, end func(ctx context.Context, id, by string) (any, error),
) error {
	id, err := idParam(c)
	if err != nil {
		return unknown(missing)
	}
	var none struct{}
	if err := decode(c, &none, true); err != nil {
		return err
	}
	what, err := end(c.Request.Context(), id, principal(c).Subject)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown(missing)
	case err != nil:
		return fromStore(err)
	}
	return reply(c, http.StatusOK, what)
}
