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
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	"go.temporal.io/api/serviceerror"
)

// Codes of problems, beside those of package approval and of decisions'
// outcomes. They are part of the contract.
const (
	codeInvalidRequest   = "invalid_request"        // body, parameter or header can't be read or breaks a rule
	codeNoRoute          = "no_such_route"          // GET / lists the routes
	codeNoMethod         = "method_not_allowed"     // Allow lists the methods
	codeHost             = "host_not_allowed"       // Host header
	codeOrigin           = "cross_origin"           // another site's page
	codeMediaType        = "unsupported_media_type" // not JSON
	codeTooLarge         = "body_too_large"         // more than maxBody
	codeReviewerRequired = "reviewer_required"      // a decision, or a policy, by nobody, where nobody is authenticated
	codeUnauthenticated  = "unauthenticated"        // no token; those of refused tokens are auth.Code…
	codeAuthUnavailable  = "authentication_unavailable"
	codeNotPermitted     = "not_permitted"        // a role is missing
	codeIdentity         = "identity_mismatch"    // the body claims to be somebody else
	codeTooManyFailures  = "too_many_failures"    // refused credentials from one address
	codeTooManyRequests  = "too_many_requests"    // Options.Limits
	codeTooManyPending   = "too_many_pending"     // Options.Limits
	codeAmbiguous        = "ambiguous"            // the ID prefix fits several calls
	codeWorkflowGone     = "workflow_gone"        // the workflow was ended outside Pawl
	codePolicyChanged    = "policy_changed"       // another policy was applied in the meantime
	codeReadOnly         = "read_only"            // this API may not write its store
	codeTemporal         = "temporal_unavailable" // try again
	codeStore            = "store_unavailable"    // try again
	codeSigning          = "signing_unavailable"  // the API's key can't be used, or changed
	codeKeyMissing       = "key_missing"          // the API lacks a key of the payloads'
)

// statusClientGone is what the access log shows for requests nobody waits for
// any more.
const statusClientGone = 499

const internalDetail = "Something is wrong inside Pawl; the log says what."

// retryAfter is what an unavailable answer advises, in seconds.
const retryAfter = "2"

// problem is an error as a client gets it (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	// What it is about, where that is known.
	Outcome    approval.AnswerOutcome `json:"outcome,omitempty"`
	ID         string                 `json:"id,omitempty"`
	DecisionID string                 `json:"decision_id,omitempty"`
	CallStatus approval.Status        `json:"call_status,omitempty"`
	Location   string                 `json:"location,omitempty"`
	Problems   []yamlfile.Problem     `json:"problems,omitempty"` // of a policy, all of them

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
		return &problem{Status: http.StatusBadRequest, Code: codeInvalidRequest, Detail: ours.Message}
	case errors.As(err, &badJSON):
		return &problem{Status: http.StatusBadRequest, Code: codeInvalidRequest, Detail: badJSON.Error()}
	case errors.Is(err, errBeginning):
		return &problem{Status: http.StatusNotFound, Code: approval.CodeNotFound,
			Detail: "No call has this ID. If it is the beginning of one: agents name calls by their whole IDs."}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, calls.ErrUnknown):
		return &problem{Status: http.StatusNotFound, Code: approval.CodeNotFound, Detail: "No call has this ID."}
	case errors.Is(err, store.ErrAmbiguous):
		return &problem{Status: http.StatusConflict, Code: codeAmbiguous, Detail: "Several calls have IDs that begin like this; give more of it."}
	case errors.Is(err, store.ErrReadOnly):
		return &problem{Status: http.StatusForbidden, Code: codeReadOnly, cause: err,
			Detail: "This API may not write its store: it was started so, or a SQLite store belongs to its worker. Use another API, or 'pawl token … --direct'."}
	case errors.As(err, &ofStore):
		return &problem{Status: http.StatusServiceUnavailable, Code: codeStore, Detail: "Pawl's store can't be reached now; try again.", cause: err}
	case errors.As(err, new(*codec.KeyError)):
		return &problem{Status: http.StatusServiceUnavailable, Code: codeKeyMissing, Detail: "The call was encrypted with a key that this API does not have; its operator has to give it the workers' keyring.", cause: err}
	case errors.As(err, new(*calls.Error)) && !errors.As(err, new(*serviceerror.InvalidArgument)): // those are our own fault
		return &problem{Status: http.StatusServiceUnavailable, Code: codeTemporal, Detail: "Temporal can't be reached now, or does not take the request; try again.", cause: err}
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
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
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
	if body, err := marshal(p); err == nil {
		c.Data(p.Status, "application/problem+json", body)
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
