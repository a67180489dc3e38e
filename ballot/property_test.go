package ballot_test

import (
	"slices"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/policy/requirement"
	"pgregory.net/rapid"
)

// The values that calls and decisions are made of: few, so that they meet.
var (
	people = []string{"ana", "Ana", "bo", "cy", "di", "olga", "bot", ""}
	groups = []string{"", "finance", "sre"}
)

var anyApprovals = rapid.Custom(func(t *rapid.T) approval.Approvals {
	return approval.Approvals{Group: rapid.SampledFrom(groups).Draw(t, "group"), Count: rapid.IntRange(1, 2).Draw(t, "count")}
})

var anyRequirement = rapid.Custom(func(t *rapid.T) approval.Requirement {
	r := approval.Requirement{
		DenyCount:     rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "deny_count"),
		SelfApproval:  rapid.Bool().Draw(t, "self_approval"),
		RequireReason: rapid.Bool().Draw(t, "require_reason"),
		Decisions:     rapid.SampledFrom(approval.DecisionLevels).Draw(t, "decisions"),
	}
	for _, name := range []string{"a", "b", "c"} {
		if rapid.IntRange(0, 2).Draw(t, "stage "+name) == 0 {
			list := rapid.SliceOfNDistinct(anyApprovals, 1, 2, func(a approval.Approvals) string { return a.Group }).Draw(t, "approvals of "+name)
			r.Stages = append(r.Stages, approval.Stage{Name: name, Approvals: list})
		}
	}
	if len(r.Stages) == 0 {
		r.Approvals = rapid.SliceOfNDistinct(anyApprovals, 1, 2, func(a approval.Approvals) string { return a.Group }).Draw(t, "approvals")
	}
	return r
})

var anyDecision = rapid.Custom(func(t *rapid.T) approval.Decision {
	d := approval.Decision{
		Kind:          rapid.SampledFrom([]approval.DecisionKind{approval.Approve, approval.Approve, approval.Approve, approval.Reject}).Draw(t, "kind"),
		Reviewer:      rapid.SampledFrom(people).Draw(t, "by"),
		Authenticated: rapid.Bool().Draw(t, "signed"),
		Groups:        rapid.SliceOfN(rapid.SampledFrom(groups[1:]), 0, 2).Draw(t, "groups"),
		Notes:         rapid.SampledFrom([]string{"", "checked"}).Draw(t, "notes"),
	}
	return d
})

func rulesFor(r approval.Requirement) ballot.Rules {
	return ballot.Rules{Requirement: r, Requester: "bot", Owner: "olga", Digest: "d"}
}

// Whatever the requirement and the decisions, a ballot keeps what people rely on.
func TestBallotKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rulesFor(anyRequirement.Draw(t, "requirement"))
		tally := ballot.New(rules)
		var rejected []string // people whose rejection counts
		for i, d := range rapid.SliceOfN(anyDecision, 0, 14).Draw(t, "decisions") {
			d.ID = string(rune('a' + i))
			before, would := tally.Settled(), tally.Judge(ballot.Decision{Decision: d})
			j := tally.Add(ballot.Decision{Decision: d})
			if j != would {
				t.Fatalf("%+v, foreseen %+v", j, would)
			}
			if before != nil && (tally.Settled() != before || j.Outcome != approval.AnswerAlreadyResolved) {
				t.Fatalf("a settled ballot changed: %+v", j)
			}
			if before == nil && d.Kind == approval.Reject && !j.Refused() {
				rejected = append(rejected, d.Reviewer)
			}
			if before == nil && d.Kind == approval.Reject && j.Refused() && rules.Requirement.Decisions != approval.DecisionsSigned {
				t.Fatalf("a rejection was refused: %+v", j)
			}
			again, refused := ballot.Count(rules, tally.Votes())
			if len(refused) > 0 || (again.Settled() == nil) != (tally.Settled() == nil) || again.Waiting() != tally.Waiting() {
				t.Fatalf("counted again: %v, %v", refused, again.Settled())
			}
		}
		by := tally.Settled()
		if by == nil || by.Kind != approval.Approve {
			return
		}
		var yes []approval.Decision
		for _, v := range tally.Votes() {
			own := approval.SamePerson(v.Reviewer, "olga") || approval.SamePerson(v.Reviewer, "bot")
			switch has := func(name string) bool { return approval.SamePerson(name, v.Reviewer) }; {
			case v.Kind != approval.Approve, slices.ContainsFunc(rejected, has):
				continue
			case own && !rules.Requirement.SelfApproval, own != v.SelfApproval,
				rules.Requirement.RequireReason && v.Notes == "",
				rules.Requirement.Decisions == approval.DecisionsSigned && !v.Authenticated:
				t.Fatalf("this vote may not count: %+v", v)
			}
			yes = append(yes, v)
		}
		if !meets(rules.Requirement, yes) {
			t.Fatalf("%+v is approved by %+v", rules.Requirement, yes)
		}
	})
}

// meets tries every way in which people can be given to stages, each to one.
func meets(r approval.Requirement, yes []approval.Decision) bool {
	stages := r.Stages
	if len(r.Approvals) > 0 {
		stages = append(slices.Clip(stages), approval.Stage{Approvals: r.Approvals})
	}
	var try func(i int, in [][]approval.Decision) bool
	try = func(i int, in [][]approval.Decision) bool {
		if i == len(yes) {
			for s, stage := range stages {
				if !means(approval.Requirement{Approvals: stage.Approvals}, in[s]) {
					return false
				}
			}
			return true
		}
		for s := range stages {
			next := slices.Clone(in)
			next[s] = append(slices.Clip(next[s]), yes[i])
			if try(i+1, next) {
				return true
			}
		}
		return false
	}
	return try(0, make([][]approval.Decision, len(stages)))
}

// What approves the sum of two requirements approves each of them: a policy of more layers is never
// laxer. And adding one again changes nothing.
func TestSumsAreNeverLaxer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRequirement.Draw(t, "a"), anyRequirement.Draw(t, "b")
		sum := requirement.Sum(&a, &b)
		if err := sum.Validate(); err != nil {
			t.Fatalf("%+v: %v", sum, err)
		}
		var shifts requirement.Shifts
		if requirement.Compare(&shifts, sum, requirement.Sum(sum, &b)); len(shifts) > 0 {
			t.Fatalf("added once more: %v", shifts)
		}
		decisions := rapid.SliceOfN(anyDecision, 0, 14).Draw(t, "decisions")
		tally := ballot.New(rulesFor(*sum))
		var yes []approval.Decision
		for _, d := range decisions {
			tally.Add(ballot.Decision{Decision: d})
		}
		if by := tally.Settled(); by == nil || by.Kind != approval.Approve {
			return
		}
		for _, v := range tally.Votes() {
			if v.Kind == approval.Approve && !slices.ContainsFunc(tally.Votes(), func(o approval.Decision) bool {
				return o.Kind == approval.Reject && approval.SamePerson(o.Reviewer, v.Reviewer)
			}) {
				yes = append(yes, v)
			}
		}
		for _, part := range []approval.Requirement{a, b} {
			if !meets(part, yes) {
				t.Fatalf("%+v\nis the sum of %+v\nand %+v, and lets through %+v", sum, a, b, yes)
			}
		}
	})
}
