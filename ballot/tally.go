package ballot

import (
	"fmt"
	"slices"
	"strings"

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

// Needs says what a requirement takes: how many people of which groups, and whether decisions must
// be signed.
func Needs(r approval.Requirement) string {
	text := People(r.Approvals)
	if r.Decisions == approval.DecisionsSigned {
		text += ", signed"
	}
	return text
}

// People says how many people of which groups must approve.
func People(list []approval.Approvals) string {
	var parts []string
	for _, a := range list {
		text := "1 approval"
		if a.Count != 1 {
			text = fmt.Sprintf("%d approvals by different people", a.Count)
		}
		if a.Group != "" {
			text += " of " + a.Group
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", and ")
}

// done is what was done to a call.
func done(kind approval.DecisionKind) string {
	if kind == approval.Reject {
		return "rejected"
	}
	return "approved"
}

// others says whose approvals are missing, to somebody whose own is there.
func others(missing []approval.Approvals) string {
	var parts []string
	for _, a := range missing {
		what := "one more approval by another person"
		if a.Count > 1 {
			what = fmt.Sprintf("%d more approvals by other people", a.Count)
		}
		if a.Group != "" {
			what += fmt.Sprintf(" in %q", approval.Display(a.Group, 80))
		}
		parts = append(parts, what)
	}
	if len(missing) == 1 && missing[0].Count == 1 {
		return parts[0] + " is needed"
	}
	return strings.Join(parts, " and ") + " are needed"
}

// Waiting says whom the call waits for. It reads on after "waits for".
func (t Tally) Waiting() string {
	missing := t.missing()
	most := map[string]int{}
	for _, a := range missing {
		most[a.Group] = max(most[a.Group], a.Count)
	}
	have := 0
	for _, v := range t.votes {
		if v.Kind == approval.Approve {
			have++
		}
	}
	var who []string
	for _, a := range missing {
		if a.Count == most[a.Group] { // who satisfies this one satisfies all of the group's
			who = append(who, t.rules.waiting(a, have))
		}
	}
	if len(who) == 0 {
		return "the answers to be judged"
	}
	return strings.Join(who, ", and ")
}

// waiting says what is missing of one group, or of anybody beside those who have approved and those
// who asked.
func (r Rules) waiting(a approval.Approvals, have int) string {
	group, askers := approval.Display(a.Group, 80), r.askers()
	switch {
	case a.Group != "" && a.Count == 1:
		return fmt.Sprintf("one approval by a member of %q", group)
	case a.Group != "":
		return fmt.Sprintf("%d approvals by different members of %q", a.Count, group)
	case have == 0 && a.Count == 1 && askers != "":
		return "one approval by anybody but " + askers
	case have == 0 && askers != "":
		return fmt.Sprintf("%d approvals by different people, not by %s", a.Count, askers)
	case have == 0 && a.Count == 1:
		return "one approval by anybody"
	case have == 0:
		return fmt.Sprintf("%d approvals by different people", a.Count)
	case a.Count == 1:
		return fmt.Sprintf("one more approval by somebody else (%d of %d so far)", have, have+1)
	}
	return fmt.Sprintf("%d more approvals by different other people (%d of %d so far)",
		a.Count, have, have+a.Count)
}

// askers says whose approval can't count because they asked, or nothing where nobody knows who did.
func (r Rules) askers() string {
	switch {
	case r.Owner == "":
		return ""
	case approval.SamePerson(r.Owner, r.Requester):
		return "who asked"
	}
	return "who asked and " + approval.Display(r.Owner, 80) + ", who owns the agent"
}
