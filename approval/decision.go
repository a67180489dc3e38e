package approval

import (
	"encoding/json"
	"time"
)

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
	At        time.Time       `json:"at"`
}

// Shown is the decision as views show it: without what proves it.
func (d Decision) Shown() Decision {
	d.Envelope, d.NotesSalt = nil, ""
	return d
}

// Settlement is the decision as the one that settled its call.
func (d Decision) Settlement() *Settlement {
	return &Settlement{
		Kind: SettlementKind(d.Kind), By: d.Reviewer, Channel: d.Channel,
		Authenticated: d.Authenticated, Notes: d.Notes, At: d.At,
	}
}
