package ballot

import (
	"slices"

	"github.com/pawlhq/pawl/approval"
)

// Tally adds the decisions about one call up, in the order in which they came. One rejection
// settles the call; approvals settle it once every group has its count of distinct people. Names of
// the SamePerson are one person's, and people without a name are one and the same, so that
// namelessness never adds up. Whoever is in two groups counts in both.
//
// A Tally is a value: a copy counts on its own. Make one with New or Count.
type Tally struct {
	rules   Rules
	votes   []approval.Decision // never changed in place: copies share it
	settled *approval.Decision
}

// New is the tally before anybody has decided.
func New(r Rules) Tally { return Tally{rules: r} }

// Count adds decisions up that are said to have counted, and returns what it refused of them.
func Count(r Rules, decisions []approval.Decision) (t Tally, refused []Judgement) {
	t = New(r)
	for _, d := range decisions {
		if j := t.Add(Decision{Decision: d}); j.Refused() {
			refused = append(refused, j)
		}
	}
	return t, refused
}

// Votes returns the decisions that count, in order. The caller must not change them.
func (t Tally) Votes() []approval.Decision { return t.votes }

// Settled returns the decision that settled the call, or nil.
func (t Tally) Settled() *approval.Decision { return t.settled }

// Judge says what a decision would do now.
func (t Tally) Judge(d Decision) Judgement {
	_, j := t.with(d)
	return j
}

// Add counts a decision, if it counts, and says what it did. A settled tally never changes again.
func (t *Tally) Add(d Decision) Judgement {
	next, j := t.with(d)
	*t = next
	return j
}

// with is the tally with one decision more.
func (t Tally) with(d Decision) (Tally, Judgement) {
	if t.settled != nil {
		return t, refuse(d, approval.AnswerAlreadyResolved, "", "the call was "+done(t.settled.Kind)+" before")
	}
	j := t.rules.Judge(d)
	if j.Outcome != "" || j.Needs != "" {
		return t, j
	}
	if d.Kind == approval.Reject {
		t.votes = append(slices.Clip(t.votes), d.Decision)
		t.settled, j.Outcome = &d.Decision, approval.AnswerResolved
		return t, j
	}
	before := t.missing()
	again := t.approve(d.Decision)
	j.Outcome = approval.AnswerRecorded
	switch missing := t.missing(); {
	case again && slices.Equal(before, missing):
		j.Message, j.Reason = "you have approved already; "+others(missing), Again
	case len(missing) == 0:
		t.settled, j.Outcome = &d.Decision, approval.AnswerResolved
	}
	return t, j
}

// approve adds an approval, and reports whether its reviewer had approved before. Of one reviewer
// the first approval counts, unless this one is authenticated: its groups are those of now, and the
// first may be anybody's.
func (t *Tally) approve(d approval.Decision) (again bool) {
	i := slices.IndexFunc(t.votes, func(v approval.Decision) bool {
		return t.rules.same(v.Reviewer, d.Reviewer)
	})
	switch {
	case i < 0:
		t.votes = append(slices.Clip(t.votes), d)
	case d.Authenticated:
		t.votes = append(slices.Concat(t.votes[:i], t.votes[i+1:]), d)
	}
	return i >= 0
}

// missing is what the votes leave to be approved.
func (t Tally) missing() []approval.Approvals {
	var out []approval.Approvals
	for _, a := range t.rules.Requirement.Approvals {
		for _, v := range t.votes {
			if v.Kind == approval.Approve && takes(a, v) {
				a.Count--
			}
		}
		if a.Count > 0 {
			out = append(out, a)
		}
	}
	return out
}
