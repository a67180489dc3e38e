package approval

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	// Groups the reviewer is in, and the method by which they were
	// authenticated: mere claims unless Authenticated.
	Groups []string `json:"groups,omitempty"`
	Method string   `json:"method,omitempty"`
	Notes  string   `json:"notes,omitempty"`
	// Envelope is the signed decision that proves all of this but At, and
	// NotesSalt ties Notes to it; see package auth/sign. Views leave them out.
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

// Tally turns decisions into a verdict. One reject settles it; approvals
// settle it once every group has its count of distinct reviewers. Names of the
// SamePerson are one reviewer's, and reviewers without a name are one and the
// same person, so namelessness never adds up. Groups are believed of
// authenticated decisions only, and whoever is in two groups counts in both.
// The zero value is not usable; make one with NewTally.
type Tally struct {
	requirement Requirement
	votes       []Decision
	settled     *Decision
}

// NewTally counts toward r, which must be valid.
func NewTally(r Requirement) *Tally { return &Tally{requirement: r} }

// Add counts one decision and tells what it did. A settled tally never
// changes again. An unknown kind is invalid, and what r does not take is
// forbidden; neither counts.
func (t *Tally) Add(d Decision) Answer {
	answer := func(o AnswerOutcome, message string) Answer {
		return Answer{DecisionID: d.ID, Outcome: o, Message: message}
	}
	switch {
	case t.settled != nil:
		return answer(AnswerAlreadyResolved, "")
	case d.Kind != Approve && d.Kind != Reject:
		return answer(AnswerInvalid, "the decision is neither approve nor reject")
	case t.requirement.Decisions == DecisionsSigned && !d.Authenticated:
		return answer(AnswerForbidden, "this call takes signed decisions only: decide through Pawl's API or command line, with a token")
	case d.Kind == Approve && !slices.ContainsFunc(t.requirement.Approvals, func(a Approvals) bool { return a.takes(d) }):
		return answer(AnswerForbidden, "this call takes approvals by "+t.requirement.groups()+" only")
	}
	if d.Kind == Reject {
		t.votes = append(t.votes, d)
		t.settled = &d
		return answer(AnswerResolved, "")
	}
	before, again := t.requirement.Missing(t.votes), t.vote(d)
	missing := t.requirement.Missing(t.votes)
	if again && slices.Equal(before, missing) {
		return answer(AnswerRecorded, "you have approved already; "+others(missing))
	}
	if len(missing) > 0 {
		return answer(AnswerRecorded, "")
	}
	t.settled = &d
	return answer(AnswerResolved, "")
}

// Settled returns the decision that settled the tally, or nil.
func (t *Tally) Settled() *Decision { return t.settled }

// Votes returns the counted decisions in order.
func (t *Tally) Votes() []Decision { return t.votes }

// vote adds an approval, and reports whether its reviewer had approved before. Of one reviewer the first stands, unless this one is
// authenticated: its groups are those of now, and the first may be anybody's.
func (t *Tally) vote(d Decision) (again bool) {
	i := slices.IndexFunc(t.votes, func(v Decision) bool { return SamePerson(v.Reviewer, d.Reviewer) })
	switch {
	case i < 0:
	case d.Authenticated:
		t.votes = slices.Concat(t.votes[:i], t.votes[i+1:])
	default:
		return true
	}
	t.votes = append(t.votes, d)
	return i >= 0
}

// others says whose approvals are missing, to somebody whose own is there.
func others(missing []Approvals) string {
	var parts []string
	for _, a := range missing {
		what := "one more approval by another person"
		if a.Count > 1 {
			what = fmt.Sprintf("%d more approvals by other people", a.Count)
		}
		if a.Group != "" {
			what += fmt.Sprintf(" in %q", Display(a.Group, 80))
		}
		parts = append(parts, what)
	}
	if len(missing) == 1 && missing[0].Count == 1 {
		return parts[0] + " is needed"
	}
	return strings.Join(parts, " and ") + " are needed"
}

// Missing is what these votes, of different reviewers, leave to be approved.
func (r Requirement) Missing(votes []Decision) []Approvals {
	var out []Approvals
	for _, a := range r.Approvals {
		for _, v := range votes {
			if v.Kind == Approve && a.takes(v) {
				a.Count--
			}
		}
		if a.Count > 0 {
			out = append(out, a)
		}
	}
	return out
}

// takes reports whether a decision counts toward a.
func (a Approvals) takes(d Decision) bool {
	return a.Group == "" || d.Authenticated && slices.Contains(d.Groups, a.Group)
}

// groups names the groups that r asks, for people.
func (r Requirement) groups() string {
	var names []string
	for _, a := range r.Approvals {
		names = append(names, fmt.Sprintf("%q", Display(a.Group, 80)))
	}
	return "authenticated members of " + strings.Join(names, " and ")
}
