package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/api/serviceerror"
)

// statusClientGone is what the access log shows for requests nobody waits for any more.
const statusClientGone = 499

// retryAfter is what an unavailable answer advises, in seconds.
const retryAfter = "2"

// problem is an error that a client gets as a rest.Problem.
type problem struct {
	rest.Problem
	cause      error  // for the log only
	challenge  string // WWW-Authenticate of a 401
	retryAfter string // in seconds
}

func newProblem(status int, code, detail string) *problem {
	return &problem{Problem: rest.NewProblem(status, code, detail)}
}

// because sets what went wrong underneath: for the log, and for errors.Is.
func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

// about sets which call and which decision the problem is about, as far as there are any.
func (p *problem) about(id, decisionID string) *problem {
	p.ID, p.DecisionID = id, decisionID
	return p
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }
func (p *problem) Unwrap() error { return p.cause }

func internalError(err error) *problem {
	return newProblem(http.StatusInternalServerError, approval.CodeInternalError,
		"Something is wrong inside Pawl; the log says what.").because(err)
}

func unavailable(code, detail string, err error) *problem {
	return newProblem(http.StatusServiceUnavailable, code, detail).because(err)
}

func unknown(detail string) *problem {
	return newProblem(http.StatusNotFound, approval.CodeNotFound, detail)
}

// storeError says that an error comes from the store.
type storeError struct{ err error }

func (e storeError) Error() string { return "store: " + e.err.Error() }
func (e storeError) Unwrap() error { return e.err }

func fromStore(err error) error {
	if err == nil {
		return nil
	}
	return storeError{err}
}

// problemOf is the one place where errors become HTTP.
func problemOf(err error) *problem {
	var p *problem
	var ours *approval.Error
	var badJSON *strictjson.Error
	var ofStore storeError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &ours) && ours.Code == approval.CodeInvalid:
		return newProblem(http.StatusBadRequest, rest.CodeInvalidRequest, ours.Message)
	case errors.As(err, &badJSON):
		return newProblem(http.StatusBadRequest, rest.CodeInvalidRequest, badJSON.Error())
	case errors.Is(err, errBeginning):
		return unknown("No call has this ID. If it is the beginning of one: agents name calls by their whole IDs.")
	case errors.Is(err, store.ErrNotFound), errors.Is(err, calls.ErrUnknown):
		return unknown("No call has this ID.")
	case errors.Is(err, calls.ErrTooManySignals):
		return tooMany(rest.CodeTooManySignals, signalsPause, nothingArrives)
	case errors.Is(err, store.ErrAmbiguous):
		return newProblem(http.StatusConflict, rest.CodeAmbiguous,
			"Several calls have IDs that begin like this; give more of it.")
	case errors.Is(err, store.ErrReadOnly):
		return newProblem(http.StatusForbidden, rest.CodeReadOnly,
			"This API may not write to its store: it was started read-only, or a SQLite store belongs to its worker, "+
				"or the database user lacks the right. Use another API, or the command line with --direct.").because(err)
	case errors.As(err, &ofStore):
		return unavailable(rest.CodeStoreUnavailable, "Pawl's store can't be used now; try again.", err)
	case errors.As(err, new(*codec.KeyError)):
		return unavailable(rest.CodeKeyMissing, "The call was encrypted with a key that this API does not have; "+
			"its operator has to give it the workers' keyring.", err)
	case errors.As(err, new(*serviceerror.InvalidArgument)): // our own fault
		return internalError(err)
	case errors.As(err, new(*calls.Error)):
		return unavailable(rest.CodeTemporalUnavailable,
			"Temporal can't be reached now, or does not take the request; try again.", err)
	}
	return internalError(err)
}

// fail answers with err's problem and ends the request.
func (s *Server) fail(c *gin.Context, err error) {
	c.Abort()
	ctx := c.Request.Context()
	p := problemOf(err)
	if errors.Is(ctx.Err(), context.Canceled) && p.Status != http.StatusRequestTimeout {
		c.Status(statusClientGone)
		return // the client is gone: what failed is most likely its own leaving
	}
	if p.Code == rest.CodeIdentity {
		s.forbidden(c.Request, principal(c), c.Request.Method+" "+c.FullPath(), p.Code)
	}
	if p.cause != nil {
		level := slog.LevelError
		if p.Status == http.StatusServiceUnavailable { // it may last, and fail every request
			level = s.pace.Level(p.Code, slog.LevelWarn)
		}
		s.o.Logger.Log(ctx, level, "request failed",
			"route", c.FullPath(), "code", p.Code, "id", p.ID, "error", p.cause)
	}
	if p.Status == http.StatusServiceUnavailable {
		c.Header("Retry-After", retryAfter)
	}
	if p.retryAfter != "" {
		c.Header("Retry-After", p.retryAfter)
	}
	if p.challenge != "" {
		c.Header("WWW-Authenticate", p.challenge)
	}
	if p.Location != "" {
		c.Header("Location", p.Location)
	}
	if body, err := strictjson.Marshal(p.Problem); err == nil {
		c.Data(p.Status, rest.ProblemType, append(body, '\n'))
	}
}

// reply answers with v as JSON.
func reply(c *gin.Context, status int, v any) error {
	body, err := strictjson.Marshal(v)
	if err != nil {
		return fmt.Errorf("marshal the answer: %w", err)
	}
	c.Data(status, "application/json", append(body, '\n'))
	return nil
}
