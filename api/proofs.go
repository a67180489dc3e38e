package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// sealPause is after how many seconds what is written now is likely to be sealed.
const sealPause = "10"

// notSealed is the problem of who asks for what no checkpoint covers yet.
func notSealed(what string) *problem {
	p := newProblem(http.StatusConflict, rest.CodeNotSealed, what+" A worker that has the log's key seals what is "+
		"new every few seconds: try again then. 'pawl doctor' says whether one does.")
	p.retryAfter = sealPause
	return p
}

// fromLog is fromStore of what proves the log.
func fromLog(err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return fromStore(err)
	}
	return newProblem(http.StatusInternalServerError, rest.CodeLogDamaged, "What the store holds is not what was "+
		"sealed, so nothing is proved by it. 'pawl audit verify' says what was changed.").because(err)
}

// getCheckpoint answers with the last checkpoint, as whoever verifies the log takes it.
func (s *Server) getCheckpoint(c *gin.Context) error {
	last, err := s.o.Store.LastCheckpoint(c.Request.Context())
	if err != nil {
		return fromStore(err)
	}
	if last.Size == 0 {
		return notSealed("The audit log has no checkpoint yet.")
	}
	signed, err := tree.Signed(last)
	if err != nil {
		return fromLog(err)
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(signed))
	return nil
}

// proveAudit answers with the proofs of a page of a call's entries.
func (s *Server) proveAudit(c *gin.Context) error {
	id, err := pathParam(c, "id")
	if err != nil {
		return err
	}
	limit, err := limitParam(c)
	if err != nil {
		return err
	}
	cursor := c.Query("cursor")
	found, err := tree.ProveAll(c.Request.Context(), s.o.Store, id, cursor, limit)
	if err != nil {
		return fromLog(err)
	}
	if len(found.Proofs) == 0 && found.Unsealed > 0 && cursor == "" {
		return notSealed("These entries are not sealed yet.").about(found.ID, "")
	}
	return reply(c, http.StatusOK, found)
}
