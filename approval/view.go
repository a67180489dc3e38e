package approval

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Outcome is how a call ended, and the result of its workflow.
type Outcome struct {
	ID       string          `json:"id"`
	Tool     string          `json:"tool"`
	Status   Status          `json:"status"`
	Result   json.RawMessage `json:"result,omitempty"` // what the tool answered
	Error    *CallError      `json:"error,omitempty"`
	Decision *FinalDecision  `json:"decision,omitempty"`
	Digest   string          `json:"digest,omitempty"`
	Edited   bool            `json:"edited,omitempty"` // a reviewer changed the arguments

	Execution Execution `json:"execution,omitempty"` // ExecutionCaller, or empty: a worker

	// Settled is what a person found out, of StatusOutcomeUnknown. Only the store knows it: an outcome
	// that comes from Temporal has none.
	Settled *Settled `json:"settled,omitempty"`

	// DuplicateOf is the ID of the identical call that waited for people when this one ended as
	// CodeDuplicate: that call's outcome is the caller's, too.
	DuplicateOf string `json:"same_as,omitempty"`
}

// CallError says why a call did not end executed.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// FinalDecision is the decision that settled a call, whoever made it.
type FinalDecision struct {
	Kind          FinalKind `json:"kind"`
	By            string    `json:"by,omitempty"`
	Channel       string    `json:"channel,omitempty"`
	Method        string    `json:"method,omitempty"` // of a withdrawal: as in Via, and a mere claim
	Authenticated bool      `json:"authenticated"`
	Notes         string    `json:"notes,omitempty"`
	At            time.Time `json:"at"`
}

// FinalKind is the kind of decision that settled a call.
type FinalKind string

const (
	FinalAllow   FinalKind = "allow"   // by policy
	FinalDeny    FinalKind = "deny"    // by policy, catalogue or limits
	FinalApprove FinalKind = "approve" // by people
	FinalReject  FinalKind = "reject"  // by people
	FinalExpire  FinalKind = "expire"  // by silence
	FinalCancel  FinalKind = "cancel"  // by whoever withdrew it
)

// View is the one JSON object in which a call is shown, by the API, the query and the command line.
// Everything in it is redacted by the call's verdict.
type View struct {
	ID          string            `json:"id"`
	Tool        string            `json:"tool,omitempty"` // empty: not known before the policy has answered
	Args        json.RawMessage   `json:"args,omitempty"`
	Digest      string            `json:"digest,omitempty"`
	Status      Status            `json:"status"`
	Risk        Risk              `json:"risk,omitempty"`
	Agent       string            `json:"agent,omitempty"`
	Team        string            `json:"team,omitempty"`
	Session     string            `json:"session,omitempty"`
	Title       string            `json:"title,omitempty"`
	Description string            `json:"description,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Requester   string            `json:"requester,omitempty"`
	Owner       string            `json:"owner,omitempty"` // see Call.Owner
	CreatedAt   time.Time         `json:"created_at,omitzero"`
	Deadline    *time.Time        `json:"deadline,omitempty"`
	EndedAt     *time.Time        `json:"ended_at,omitempty"`
	Policy      *PolicyRef        `json:"policy,omitempty"`
	Requirement *Requirement      `json:"requirement,omitempty"`
	Votes       []Decision        `json:"votes,omitempty"`
	Decision    *FinalDecision    `json:"decision,omitempty"`
	Result      json.RawMessage   `json:"result,omitempty"`
	Error       *CallError        `json:"error,omitempty"`
	Settled     *Settled          `json:"settled,omitempty"` // what became of it, with StatusOutcomeUnknown
	AttemptOf   string            `json:"attempt_of,omitempty"`
	ErasedAt    *time.Time        `json:"erased_at,omitempty"` // what the call said is gone since then

	// Of a call whose caller runs the tool.
	Execution     Execution  `json:"execution,omitempty"`      // ExecutionCaller; empty: a worker runs it
	SchemaUnknown bool       `json:"schema_unknown,omitempty"` // nobody published the tool: nothing checked Args
	ReportWithin  Duration   `json:"report_within,omitempty"`  // how long after the start it has to report
	StartedAt     *time.Time `json:"started_at,omitempty"`     // when its caller started the tool
	Report        *Report    `json:"report,omitempty"`         // that ended the call
	LateReport    *Report    `json:"late_report,omitempty"`    // the first that came after the call had ended
	DuplicateOf   string     `json:"same_as,omitempty"`        // see Outcome.DuplicateOf
}

// Outcome is the view's ending; its result and error text are redacted. It is meaningful only when
// v.Status.Ended().
func (v View) Outcome() Outcome {
	return Outcome{
		ID: v.ID, Tool: v.Tool, Status: v.Status, Result: v.Result,
		Error: v.Error, Decision: v.Decision, Digest: v.Digest, DuplicateOf: v.DuplicateOf,
		Execution: v.Execution, Settled: v.Settled,
	}
}

// Settled is what a person says became of a call whose outcome is unknown. The call's status stays.
type Settled struct {
	Ran    bool            `json:"ran"` // the tool did what it was asked to
	By     string          `json:"by"`
	At     time.Time       `json:"at"`
	Notes  string          `json:"notes"`            // how they know
	Result json.RawMessage `json:"result,omitempty"` // what the tool answered, where they found that, too
	// SelfApproval marks who asked for the call, or owns the agent that did, which its requirement
	// permits.
	SelfApproval bool `json:"self_approval,omitempty"`
}

// Check refuses what nobody could make use of: a reason is needed, and a tool that did not run has no
// result.
func (s Settled) Check() error {
	switch {
	case strings.TrimSpace(s.Notes) == "":
		return Errorf(CodeInvalid, "notes: say how you know what became of the call")
	case !s.Ran && len(s.Result) > 0:
		return Errorf(CodeInvalid, "result: a tool that did not run has none; leave it out")
	case len(s.Result) > MaxResult:
		return Errorf(CodeInvalid, "result: it is %d bytes; at most %d are taken", len(s.Result), MaxResult)
	}
	return CheckNotes(s.Notes)
}

// Same reports whether two people, or one twice, say the same under one name, whenever they do.
func (s Settled) Same(other Settled) bool {
	return s.Ran == other.Ran && s.By == other.By && s.Notes == other.Notes &&
		bytes.Equal(s.Result, other.Result)
}

// Report is what a caller said of the tool that it ran, without the result itself.
type Report struct {
	Status       Status    `json:"status"`                  // executed, failed or outcome_unknown
	Code         string    `json:"code,omitempty"`          // CodeNotRun, or nothing
	ResultDigest string    `json:"result_digest,omitempty"` // SHA-256 in hex, of the result's bytes
	ResultSize   int64     `json:"result_size,omitempty"`   // in bytes
	At           time.Time `json:"at"`
}

// Same reports whether two reports say the same, whenever they came.
func (r Report) Same(other Report) bool {
	r.At, other.At = time.Time{}, time.Time{}
	return r == other
}

// End writes an outcome into the view.
func (v *View) End(o Outcome, at time.Time) {
	v.Status, v.Result, v.Error = o.Status, o.Result, o.Error
	v.Decision, v.DuplicateOf = o.Decision, o.DuplicateOf
	v.EndedAt = &at
}

// DecisionKind is what a reviewer said.
type DecisionKind string

const (
	Approve DecisionKind = "approve"
	Reject  DecisionKind = "reject"
)

// Decision is one reviewer's counted approve or reject.
type Decision struct {
	ID            string       `json:"decision_id"`
	Kind          DecisionKind `json:"kind"`
	Reviewer      string       `json:"reviewer,omitempty"`
	Channel       string       `json:"channel,omitempty"`
	Authenticated bool         `json:"authenticated"` // its Envelope was verified
	// Groups the reviewer is in, and the method by which they were authenticated: mere claims unless
	// Authenticated.
	Groups []string `json:"groups,omitempty"`
	Method string   `json:"method,omitempty"`
	Notes  string   `json:"notes,omitempty"`
	// Envelope is the signed decision that proves all of this but At, and NotesSalt ties Notes to it;
	// see package auth/sign. Views leave them out.
	Envelope  json.RawMessage `json:"envelope,omitempty"`
	NotesSalt string          `json:"notes_salt,omitempty"`
	// SelfApproval marks an approval by who asked for the call, or owns the agent that did, which its
	// requirement permits.
	SelfApproval bool      `json:"self_approval,omitempty"`
	At           time.Time `json:"at"`
}

// Shown is the decision as views show it: without what proves it.
func (d Decision) Shown() Decision {
	d.Envelope, d.NotesSalt = nil, ""
	return d
}

// Final is the decision as the one that settled its call.
func (d Decision) Final() *FinalDecision {
	return &FinalDecision{
		Kind: FinalKind(d.Kind), By: d.Reviewer, Channel: d.Channel,
		Authenticated: d.Authenticated, Notes: d.Notes, At: d.At,
	}
}

// What a reader may do about a call: values of You.May.
const (
	MayApprove = "approve"
	MayReject  = "reject"
	MaySettle  = "settle" // say what became of a call whose outcome is unknown
)

// You is what one reader may do about a call. Its texts are finished sentences, made to be shown as
// they are: nobody has to work out groups or counts again.
type You struct {
	May       []string     `json:"may"`                  // never null
	Why       string       `json:"why,omitempty"`        // why approving is not among them
	IfApprove string       `json:"if_approve,omitempty"` // what an approval would do
	IfReject  string       `json:"if_reject,omitempty"`
	Voted     DecisionKind `json:"voted,omitempty"` // what the reader decided before, if it counts
}

// Segment is one thing that a call takes before it runs: an approval, or the run itself.
type Segment struct {
	State SegmentState `json:"state"`
	Label string       `json:"label"`
	Note  string       `json:"note,omitempty"`
	At    *time.Time   `json:"at,omitempty"` // when it was met
}

// Standing is how far the approvals of a call are.
type Standing struct {
	Given   int    `json:"given"`
	Needed  int    `json:"needed"`
	Missing string `json:"missing,omitempty"` // like "one person from security"
}

// SegmentState says how far a Segment is.
type SegmentState string

const (
	SegmentMet   SegmentState = "met"
	SegmentNext  SegmentState = "next"  // it can be met now
	SegmentLater SegmentState = "later" // others come before it
)
