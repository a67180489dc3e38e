package approval

import (
	"encoding/json"
	"time"
)

// Outcome is how a call ended, and the result of its workflow.
type Outcome struct {
	ID       string          `json:"id"`
	Tool     string          `json:"tool"`
	Status   Status          `json:"status"`
	Result   json.RawMessage `json:"result,omitempty"` // what the tool answered
	Error    *CallError      `json:"error,omitempty"`
	Decision *Settlement     `json:"decision,omitempty"`
	Digest   string          `json:"digest,omitempty"`
	Edited   bool            `json:"edited,omitempty"` // a reviewer changed the arguments

	// DuplicateOf is the ID of the identical call that waited for people when this one ended as
	// CodeDuplicate: the caller goes by how that one ends.
	DuplicateOf string `json:"same_as,omitempty"`
}

// CallError says why a call did not end executed.
type CallError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Settlement is the decision that settled a call, whoever made it.
type Settlement struct {
	Kind          SettlementKind `json:"kind"`
	By            string         `json:"by,omitempty"`
	Channel       string         `json:"channel,omitempty"`
	Authenticated bool           `json:"authenticated"`
	Notes         string         `json:"notes,omitempty"`
	At            time.Time      `json:"at"`
}

// SettlementKind is the kind of decision that settled a call.
type SettlementKind string

const (
	SettledAllow   SettlementKind = "allow"   // by policy
	SettledDeny    SettlementKind = "deny"    // by policy, catalogue or limits
	SettledApprove SettlementKind = "approve" // by people
	SettledReject  SettlementKind = "reject"  // by people
	SettledExpire  SettlementKind = "expire"  // by silence
	SettledCancel  SettlementKind = "cancel"  // by whoever withdrew it
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
	Decision    *Settlement       `json:"decision,omitempty"`
	Result      json.RawMessage   `json:"result,omitempty"`
	Error       *CallError        `json:"error,omitempty"`
	AttemptOf   string            `json:"attempt_of,omitempty"`
	DuplicateOf string            `json:"same_as,omitempty"` // see Outcome.DuplicateOf
}

// Outcome is the view's ending; its result and error text are redacted. It is meaningful only when
// v.Status.Ended().
func (v View) Outcome() Outcome {
	return Outcome{
		ID: v.ID, Tool: v.Tool, Status: v.Status, Result: v.Result,
		Error: v.Error, Decision: v.Decision, Digest: v.Digest, DuplicateOf: v.DuplicateOf,
	}
}

// End writes an outcome into the view.
func (v *View) End(o Outcome, at time.Time) {
	v.Status, v.Result, v.Error = o.Status, o.Result, o.Error
	v.Decision, v.DuplicateOf = o.Decision, o.DuplicateOf
	v.EndedAt = &at
}
