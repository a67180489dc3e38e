package rest

import (
	"net/http"

	"github.com/pawlhq/pawl/approval"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is every answer that is no success (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"` // of HTTP
	Detail string `json:"detail"`
	// Code is one of the constants Code…, approval.CodeInvalid, CodeConflict, CodeNotFound,
	// CodeExpired or CodeInternalError, or a decision's outcome.
	Code string `json:"code"`
	// What it is about, where that is known.
	Outcome    approval.AnswerOutcome `json:"outcome,omitempty"` // what became of a decision
	ID         string                 `json:"id,omitempty"`      // the call's
	DecisionID string                 `json:"decision_id,omitempty"`
	CallStatus approval.Status        `json:"call_status,omitempty"`

	CallOutcome *approval.Outcome `json:"call_outcome,omitempty"` // how the call had ended

	Location string        `json:"location,omitempty"`
	Problems []FileProblem `json:"problems,omitempty"` // of a policy, all of them
}

// NewProblem is a problem that is about nothing in particular.
func NewProblem(status int, code, detail string) Problem {
	return Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail,
	}
}

// Codes of problems, beside those of package approval and of decisions' outcomes.
const (
	CodeInvalidRequest     = "invalid_request"        // body, parameter or header can't be read or breaks a rule
	CodeNoRoute            = "no_such_route"          // GET / lists the routes
	CodeNoMethod           = "method_not_allowed"     // Allow lists the methods
	CodeHost               = "host_not_allowed"       // Host header
	CodeCrossOrigin        = "cross_origin"           // another site's page
	CodeMediaType          = "unsupported_media_type" // not JSON
	CodeTooLarge           = "body_too_large"
	CodeReviewerRequired   = "reviewer_required" // without authentication, reviewers name themselves
	CodeUnauthenticated    = "unauthenticated"   // no token
	CodeNotPermitted       = "not_permitted"     // a role is missing
	CodeIdentity           = "identity_mismatch" // the body claims to be somebody else
	CodeTooManyFailures    = "too_many_failures" // refused credentials from one address
	CodeTooManyRequests    = "too_many_requests" // by one principal
	CodeTooManyPending     = "too_many_pending"  // of one principal's calls
	CodeTooManyWaits       = "too_many_waits"    // of one principal's requests hold for calls to end
	CodeTooManySignals     = "too_many_signals"  // of one call: none arrives any more
	CodeAmbiguous          = "ambiguous"         // what an ID or a digest begins with fits several
	CodeWorkflowGone       = "workflow_gone"     // the workflow was ended outside Pawl: no outcome will come
	CodePolicyChanged      = "policy_changed"    // another version is active than the one to be replaced
	CodeNotApproved        = "not_approved"      // the tool may not be started: still judged, or waiting
	CodeStarted            = "started"           // somebody else has started the tool
	CodeNotStarted         = "not_started"       // nobody has, so there is nothing to report
	CodeEnded              = "ended"             // the call has, see CallOutcome
	CodeReportedLate       = "reported_late"     // the call had ended otherwise before
	CodeNotUnknown         = "not_unknown"       // the call's outcome is known, or still open: nothing to settle
	CodeNotEnded           = "not_ended"         // the call has not: nothing of it is erased
	CodeSettled            = "already_settled"   // somebody said something else of what became of the call
	CodeNotSealed          = "not_sealed"        // no checkpoint covers it yet: try again in a few seconds
	CodeLogDamaged         = "log_damaged"       // the store's audit log is not what was sealed
	CodeToolTaken          = "tool_taken"        // workers run tools of these names
	CodeReadOnly           = "read_only"         // this API may not write to its store
	CodeSigningUnavailable = "signing_unavailable"

	CodeTemporalUnavailable = "temporal_unavailable" // try again; likewise the others of this group
	CodeStoreUnavailable    = "store_unavailable"
	CodeAuthUnavailable     = "authentication_unavailable"
	CodeKeyMissing          = "key_missing" // the API lacks a key that payloads are encrypted with

	CodeTokenUnknown = "token_unknown" // it is nobody's, or not the one it looks like
	CodeTokenExpired = "token_expired"
	CodeTokenRevoked = "token_revoked"
	CodeTokenEarly   = "token_not_yet_valid"
	CodeTokenForeign = "token_not_for_pawl" // proved, but made for somebody else, or it says what can't be used

	CodeCodeUnknown  = "code_unknown"  // of a sign-in: used, too old, or none
	CodeSessionEnded = "session_ended" // signed out, idle for too long, or its credential has ended
	CodeNoSessions   = "no_sessions"   // nobody signs in here, or not so
)
