package approval

import "time"

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
	Authenticated bool         `json:"authenticated"`
	// Groups the reviewer is in, and the method by which they were
	// authenticated: mere claims unless Authenticated.
	Groups []string  `json:"groups,omitempty"`
	Method string    `json:"method,omitempty"`
	Notes  string    `json:"notes,omitempty"`
	At     time.Time `json:"at"`
}

// Settlement is the decision as the one that settled its call.
func (d Decision) Settlement() *Settlement {
	return &Settlement{
		Kind: SettlementKind(d.Kind), By: d.Reviewer, Channel: d.Channel,
		Authenticated: d.Authenticated, Notes: d.Notes, At: d.At,
	}
}

// Tally turns decisions into a verdict. One reject settles it; approvals
// settle it once every group has its count of distinct reviewers. Reviewers
// without a name are one and the same person, so namelessness never adds up.
// The zero value is not usable; make one with NewTally.
type Tally struct {
	requirement Requirement
	votes       []Decision
	settled     *Decision
}

// NewTally counts toward r, which must be valid.
func NewTally(r Requirement) *Tally { return &Tally{requirement: r} }

// Add counts one decision and tells what it did. A settled tally never
// changes again. An unknown kind is invalid and counts for nothing.
func (t *Tally) Add(d Decision) AnswerOutcome {
	if t.settled != nil {
		return AnswerAlreadyResolved
	}
	switch d.Kind {
	case Reject:
		t.votes = append(t.votes, d)
		t.settled = &d
		return AnswerResolved
	case Approve:
		if !t.voted(d.Reviewer) {
			t.votes = append(t.votes, d)
		}
		if len(t.votes) >= t.needed() {
			t.settled = &d
			return AnswerResolved
		}
		return AnswerRecorded
	}
	return AnswerInvalid
}

// Settled returns the decision that settled the tally, or nil.
func (t *Tally) Settled() *Decision { return t.settled }

// Votes returns the counted decisions in order.
func (t *Tally) Votes() []Decision { return t.votes }

func (t *Tally) voted(reviewer string) bool {
	for _, v := range t.votes {
		if v.Reviewer == reviewer {
			return true
		}
	}
	return false
}

func (t *Tally) needed() int {
	most := 1
	for _, a := range t.requirement.Approvals {
		most = max(most, a.Count)
	}
	return most
}
