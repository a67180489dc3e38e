package api

import (
	"bytes"
	"context"
	"encoding/json"
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

const internalDetail = "Something is wrong inside Pawl; the log says what."

// retryAfter is what an unavailable answer advises, in seconds.
const retryAfter = "2"

// problem is an error that a client gets as a rest.Problem.
type problem struct {
	Status int
	Detail string
	Code   string
	// What it is about, where that is known; see rest.Problem.
	Outcome    approval.AnswerOutcome
	ID         string
	DecisionID string
	CallStatus approval.Status
	Location   string
	Problems   []rest.FileProblem

	cause      error  // for the log only
	challenge  string // WWW-Authenticate of a 401
	retryAfter string // in seconds
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }
func (p *problem) Unwrap() error { return p.cause }

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
		return &problem{Status: http.StatusBadRequest, Code: rest.CodeInvalidRequest, Detail: ours.Message}
	case errors.As(err, &badJSON):
		return &problem{Status: http.StatusBadRequest, Code: rest.CodeInvalidRequest, Detail: badJSON.Error()}
	case errors.Is(err, errBeginning):
		return &problem{Status: http.StatusNotFound, Code: approval.CodeNotFound,
			Detail: "No call has this ID. If it is the beginning of one: agents name calls by their whole IDs."}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, calls.ErrUnknown):
		return &problem{Status: http.StatusNotFound, Code: approval.CodeNotFound, Detail: "No call has this ID."}
	case errors.Is(err, store.ErrAmbiguous):
		return &problem{Status: http.StatusConflict, Code: rest.CodeAmbiguous, Detail: "Several calls have IDs that begin like this; give more of it."}
	case errors.Is(err, store.ErrReadOnly):
		return &problem{Status: http.StatusForbidden, Code: rest.CodeReadOnly, cause: err,
			Detail: "This API may not write to its store: it was started read-only, or a SQLite store belongs to its worker. Use another API, or 'pawl token … --direct'."}
	case errors.As(err, &ofStore):
		return &problem{Status: http.StatusServiceUnavailable, Code: rest.CodeStoreUnavailable, Detail: "Pawl's store can't be reached now; try again.", cause: err}
	case errors.As(err, new(*codec.KeyError)):
		return &problem{Status: http.StatusServiceUnavailable, Code: rest.CodeKeyMissing, Detail: "The call was encrypted with a key that this API does not have; its operator has to give it the workers' keyring.", cause: err}
	case errors.As(err, new(*calls.Error)) && !errors.As(err, new(*serviceerror.InvalidArgument)): // those are our own fault
		return &problem{Status: http.StatusServiceUnavailable, Code: rest.CodeTemporalUnavailable, Detail: "Temporal can't be reached now, or does not take the request; try again.", cause: err}
	}
	return &problem{Status: http.StatusInternalServerError, Code: approval.CodeInternalError, Detail: internalDetail, cause: err}
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
	if p.cause != nil {
		level := slog.LevelError
		if p.Status == http.StatusServiceUnavailable {
			level = slog.LevelWarn
		}
		s.o.Logger.Log(ctx, level, "request failed", "route", c.FullPath(), "code", p.Code, "id", p.ID, "error", p.cause)
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
	if body, err := marshal(p.wire()); err == nil {
		c.Data(p.Status, rest.ProblemType, body)
	}
}

// wire is the problem as it is answered.
func (p *problem) wire() rest.Problem {
	return rest.Problem{
		Type: "about:blank", Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail, Code: p.Code,
		Outcome: p.Outcome, ID: p.ID, DecisionID: p.DecisionID, CallStatus: p.CallStatus, Location: p.Location,
		Problems: p.Problems,
	}
}

// reply answers with v as JSON.
func reply(c *gin.Context, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return fmt.Errorf("marshal the answer: %w", err)
	}
	c.Data(status, "application/json", body)
	return nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}
