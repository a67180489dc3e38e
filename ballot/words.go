package ballot

import (
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

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
