package rest

import (
	"fmt"
	"time"
)

// PolicyLayer is one file of a policy.
type PolicyLayer struct {
	Name string `json:"name"` // the file's, as problems and verdicts call it
	Text string `json:"text"`
}

// PolicySet is a policy as it was applied.
type PolicySet struct {
	Digest string        `json:"digest"` // 64 digits in hex
	Layers []PolicyLayer `json:"layers"`
}

// PolicyVersion says which policy was made active, by whom and when.
type PolicyVersion struct {
	// Version counts from 1 on, without gaps; 0: none was applied yet, and everything needs approval.
	Version       int64     `json:"version"`
	Digest        string    `json:"digest"`
	At            time.Time `json:"at,omitzero"`
	By            string    `json:"by,omitempty"`
	Channel       string    `json:"channel,omitempty"` // api, cli, …: a label, no evidence
	Authenticated bool      `json:"authenticated"`
	Note          string    `json:"note,omitempty"`
}

// ActivePolicy is the policy that calls are judged by: the answer of GET /api/policy.
type ActivePolicy struct {
	PolicyVersion
	Layers []PolicyLayer `json:"layers"`
}

// PolicyChange is a policy to be applied: the body of PUT /api/policy.
type PolicyChange struct {
	Layers []PolicyLayer `json:"layers"`
	Expect *int64        `json:"expect,omitempty"` // the version it is to replace; needed unless DryRun
	Note   string        `json:"note,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"` // say what applying would do, and do nothing
}

// AppliedPolicy is the version that is active now.
type AppliedPolicy struct {
	Changed bool `json:"changed"` // false: it was active already
	PolicyVersion
	Warnings []FileProblem `json:"warnings"` // what is probably not meant in the policy
}

// PolicyTrial says what applying would do.
type PolicyTrial struct {
	DryRun   bool          `json:"dry_run"` // true
	Changed  bool          `json:"changed"` // false: it is active already
	Digest   string        `json:"digest"`
	Active   PolicyVersion `json:"active"`
	Warnings []FileProblem `json:"warnings"`
}

// FileProblem is one thing that is wrong with a file. Its texts are fit to show: they hold no values,
// and names from the file only with what is invisible written out.
type FileProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 means the file as a whole
	Column  int    `json:"column,omitempty"` // in characters, from 1
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // how to mend it
	// Warning marks what keeps no file from being loaded, and is hardly meant.
	Warning bool `json:"warning,omitempty"`
}

// String is "file:line:column: message; hint", a warning's message with "warning: " before it.
func (p FileProblem) String() string {
	s := p.Where() + ": "
	if p.Warning {
		s += "warning: "
	}
	s += p.Message
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// Where is "file:line:column", or the file where the problem is of all of it.
func (p FileProblem) Where() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}
