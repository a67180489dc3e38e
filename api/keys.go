package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// signed signs a decision about the call that the store shows, where somebody proved to make it and
// this API has a key.
func (s *Server) signed(
	ctx context.Context, v approval.View, d approval.Decision,
) (approval.Decision, error) {
	if s.o.Signer == nil || d.Method == "" {
		return d, nil
	}
	made, err := s.o.Signer.Sign(ctx, d, v.ID, v.Digest)
	if err == nil {
		return made, nil
	}
	p := unavailable(rest.CodeSigningUnavailable,
		"The decision can't be signed now, so it was not made; try again.", err)
	if errors.Is(err, auth.ErrKeyEnded) { // trying again does not help
		p = newProblem(http.StatusConflict, rest.CodeSigningUnavailable,
			"The decision was not made: the key that this API signs with was retired or revoked. "+
				"An administrator gives it a new one with 'pawl key rotate'.").because(err)
	}
	return d, p.about(v.ID, d.ID)
}

// rotateKey gives this API a new key, and answers with both.
func (s *Server) rotateKey(c *gin.Context) error {
	var in rest.RotateRequest
	if err := decode(c, &in, true); err != nil {
		return err
	}
	if s.o.Signer == nil {
		return newProblem(http.StatusConflict, rest.CodeSigningUnavailable, "This API has no signing key.")
	}
	// Not given up halfway because a client hung up.
	rotated, err := s.o.Signer.Rotate(context.WithoutCancel(c.Request.Context()),
		principal(c).Subject, via(c), in.RevokeOld)
	switch {
	case errors.Is(err, auth.ErrKeyUnknown), errors.Is(err, store.ErrReadOnly):
		return newProblem(http.StatusConflict, rest.CodeReadOnly,
			"This API may not write to its store: change the key on the database itself, "+
				"with 'pawl key rotate --database-url …', and start the API again.").because(err)
	case err != nil:
		return newProblem(http.StatusInternalServerError, rest.CodeSigningUnavailable,
			"The key was not changed, or only partly: the log says how far, "+
				"and 'pawl key list' which keys are trusted.").because(err)
	}
	s.o.Logger.InfoContext(c.Request.Context(), "signing key rotated", "key", rotated.Key.ID,
		"old", rotated.Old.ID, "old_revoked", in.RevokeOld, "by", principal(c).Subject)
	return reply(c, http.StatusOK, rotated)
}

// endKey answers once the key has ended in every process, also if it had before.
func (s *Server) endKey(revoke bool) handler {
	return func(c *gin.Context) error {
		const unknownKey = "No signing key has this ID."
		return ended(c, unknownKey, func(ctx context.Context, id, by string) (any, error) {
			k, changed, err := s.o.Store.EndKey(ctx,
				store.EndKeyParams{ID: id, By: by, Via: via(c), Revoke: revoke, At: time.Now()})
			if changed {
				s.o.Logger.InfoContext(ctx, "signing key ended", "key", k.ID, "revoked", revoke, "by", by)
			}
			return k, err
		})
	}
}
