package ballot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Tally adds the decisions about one call up, in the order in which they came. Approvals settle it
// once every stage has what it asks for, and rejections once so many people have rejected it as end
// it: one, if nothing else is said. Of one person one approval and one rejection count, and the
// rejection outweighs the approval: it can't be taken back. Names of the SamePerson are one
// person's, and people without a name are one and the same, so that namelessness never adds up.
//
// A Tally is a value: a copy counts on its own. Make one with New or Count.
type Tally struct {
	rules   Rules
	votes   []approval.Decision // never changed in place: copies share it
	settled *approval.Decision
}

// New is the tally before anybody has decided.
func New(r Rules) Tally { return Tally{rules: r} }

// Count adds decisions up that are said to have counted, and returns what it refused of them. Rejections
// count whatever the rules say of them now: they did when they came, and a No is never dropped.
func Count(r Rules, decisions []approval.Decision) (t Tally, refused []Judgement) {
	t = New(r)
	for _, d := range decisions {
		if d.Kind == approval.Reject && t.settled == nil {
			t, _ = t.withRejection(Decision{Decision: d}, Judgement{})
		} else if j := t.Add(Decision{Decision: d}); j.Refused() {
			refused = append(refused, j)
		}
	}
	return t, refused
}

// Rejections are those among votes.
func Rejections(votes []approval.Decision) []approval.Decision {
	return slices.DeleteFunc(slices.Clone(votes), func(d approval.Decision) bool {
		return d.Kind != approval.Reject
	})
}

// Recount is Count, of votes beside rejections that are on record. These count whatever the votes and
// the rules say of them, and first, so that they outweigh approvals of the same people.
func Recount(r Rules, votes, rejections []approval.Decision) (t Tally, refused []Judgement) {
	t = New(r)
	for _, d := range rejections {
		if i := slices.IndexFunc(votes, same(d)); i >= 0 {
			d = votes[i] // with what proves it
		}
		if t.settled == nil {
			t, _ = t.withRejection(Decision{Decision: d}, Judgement{})
		}
	}
	for _, d := range votes {
		switch {
		case t.settled != nil || slices.ContainsFunc(rejections, same(d)):
		case d.Kind == approval.Approve && t.rejected(d.Reviewer):
			t.keep(d) // it has no effect
		default:
			if j := t.Add(Decision{Decision: d}); j.Refused() {
				refused = append(refused, j)
			}
		}
	}
	return t, refused
}

// same finds a decision among others.
func same(d approval.Decision) func(approval.Decision) bool {
	return func(other approval.Decision) bool { return other.ID == d.ID && other.Kind == d.Kind }
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
	switch {
	case j.Outcome != "" || j.Needs != "":
		return t, j
	case d.Kind == approval.Reject:
		return t.withRejection(d, j)
	case t.rejected(d.Reviewer):
		return t, refuse(d, approval.AnswerForbidden, Turned,
			"you have rejected the call, and a rejection can't be turned into an approval")
	}
	before := t.missing()
	d.SelfApproval = t.rules.asked(d.Reviewer)
	again := t.keep(d.Decision)
	j.Outcome = approval.AnswerRecorded
	switch missing := t.missing(); {
	case again && slices.Equal(before, missing):
		j.Message, j.Reason = "you have approved already; "+others(missing), Again
	case len(missing) == 0:
		t.settled, j.Outcome = &d.Decision, approval.AnswerResolved
	}
	return t, j
}

func (t Tally) withRejection(d Decision, j Judgement) (Tally, Judgement) {
	again := t.keep(d.Decision)
	switch n, all := t.rejections(), denyCount(t.rules.Requirement); {
	case n >= all:
		t.settled, j.Outcome = &d.Decision, approval.AnswerResolved
	case again:
		j.Outcome, j.Reason = approval.AnswerRecorded, Again
		j.Message = fmt.Sprintf("you have rejected already; %d of %d rejections that end the call", n, all)
	default:
		j.Outcome = approval.AnswerRecorded
		j.Message = fmt.Sprintf("%d of %d rejections that end the call", n, all)
	}
	return t, j
}

// keep adds a vote, and reports whether its reviewer had given one like it before. Of one reviewer
// the first counts, unless this one is authenticated: its groups are those of now, and the first may
// be anybody's. A rejection stays in its place then, before whatever was approved after it: who counts
// the votes again must not find the call approved without it.
func (t *Tally) keep(d approval.Decision) (again bool) {
	i := t.of(d.Kind, d.Reviewer)
	switch {
	case i < 0:
		t.votes = append(slices.Clip(t.votes), d)
	case d.Authenticated && d.Kind == approval.Reject:
		t.votes = slices.Clone(t.votes)
		t.votes[i] = d
	case d.Authenticated:
		t.votes = append(slices.Concat(t.votes[:i], t.votes[i+1:]), d)
	}
	return i >= 0
}

// Needs says what a requirement takes: how many people of which groups, one stage after the other,
// and what else a decision needs.
func Needs(r approval.Requirement) string {
	var parts []string
	for _, s := range stagesOf(r) {
		text := People(s.Approvals)
		if s.Name != "" {
			text = approval.Display(s.Name, 80) + ": " + text
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ", then ")
	if r.Decisions == approval.DecisionsSigned {
		text += ", signed"
	}
	if r.RequireReason {
		text += ", with a reason"
	}
	if n := denyCount(r); n > 1 {
		text += fmt.Sprintf("; %d rejections end it", n)
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
	stages := t.stages()
	next := slices.IndexFunc(stages, func(s stage) bool { return len(t.missingIn(s)) > 0 })
	if next < 0 {
		return "the answers to be judged"
	}
	open := stages[next]
	missing := t.missingIn(open)
	most := map[string]int{}
	for _, a := range missing {
		most[a.Group] = max(most[a.Group], a.Count)
	}
	var who []string
	for _, a := range missing {
		if a.Count == most[a.Group] { // who satisfies this one satisfies all of the group's
			who = append(who, t.rules.waiting(a, len(open.votes)))
		}
	}
	text := strings.Join(who, ", and ")
	if open.Name != "" {
		text += fmt.Sprintf(" (stage %d of %d: %s)", next+1, len(stages), approval.Display(open.Name, 80))
	}
	return text
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

// askers says whose approval can't count because they asked, or nothing where it can or where nobody
// knows who did.
func (r Rules) askers() string {
	switch {
	case r.Owner == "" || r.Requirement.SelfApproval:
		return ""
	case approval.SamePerson(r.Owner, r.Requester):
		return "who asked"
	}
	return "who asked and " + approval.Display(r.Owner, 80) + ", who owns the agent"
}
