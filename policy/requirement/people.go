package requirement

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
)

// people is the row of approvals. It also looks at stages, since members of a group count in
// either.
func people() word {
	w := row[[]approval.Approvals]{
		name:  "approvals",
		part:  func(r *requirement) *[]approval.Approvals { return &r.Approvals },
		clone: slices.Clone[[]approval.Approvals],
	}.word()
	w.join = func(sum, other *requirement) {
		sum.Approvals = joinApprovals(sum.Approvals, other.Approvals)
		// What the stages ask for together needs no stage of its own.
		staged := counts(&requirement{Stages: sum.Stages})
		sum.Approvals = slices.DeleteFunc(sum.Approvals, func(a approval.Approvals) bool {
			return a.Count <= staged[a.Group]
		})
	}
	w.compare, w.describe = comparePeople, describePeople
	return w
}

// joinApprovals asks each group for the higher of the counts.
func joinApprovals(a, b []approval.Approvals) []approval.Approvals {
	for _, one := range b {
		i := slices.IndexFunc(a, func(other approval.Approvals) bool { return other.Group == one.Group })
		if i < 0 {
			a = append(a, one)
		} else {
			a[i].Count = max(a[i].Count, one.Count)
		}
	}
	slices.SortStableFunc(a, func(a, b approval.Approvals) int { return strings.Compare(a.Group, b.Group) })
	return a
}

func cloneStages(stages []approval.Stage) []approval.Stage {
	stages = slices.Clone(stages)
	for i := range stages {
		stages[i].Approvals = slices.Clone(stages[i].Approvals)
	}
	return stages
}

// joinStages adds up stages of one name. The others of b follow those of a.
func joinStages(a, b []approval.Stage) []approval.Stage {
	for _, s := range b {
		if i := slices.IndexFunc(a, named(s.Name)); i >= 0 {
			a[i].Approvals = joinApprovals(a[i].Approvals, s.Approvals)
		} else {
			a = append(a, s)
		}
	}
	return a
}

func named(name string) func(approval.Stage) bool {
	return func(s approval.Stage) bool { return s.Name == name }
}

// comparePeople compares how many people of which groups must approve. A member of a group is a
// person, too, so in each stage "anyone" counts as met by the largest count of any group.
func comparePeople(s *Shifts, old, new *requirement) {
	was, is := counts(old), counts(new)
	groups := maps.Clone(was)
	maps.Copy(groups, is)
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		field := "approvals"
		if group != anyone {
			field = "approvals by " + approval.Display(group, 80)
		}
		s.Count(field, was[group], is[group], false)
	}
}

const anyone = "" // the group of those who may be anyone

// counts says how many people must approve at least, in all stages together, and of each group.
func counts(r *requirement) map[string]int {
	sum := map[string]int{}
	take := func(list []approval.Approvals) {
		most := 0
		for _, a := range list {
			if a.Group != anyone {
				sum[a.Group] += a.Count
			}
			most = max(most, a.Count)
		}
		sum[anyone] += most
	}
	take(r.Approvals)
	for _, s := range r.Stages {
		take(s.Approvals)
	}
	return sum
}

// compareStages compares stages of one name. Their order says who is asked first, and is neither
// laxer nor stricter.
func compareStages(s *Shifts, name string, old, new []approval.Stage) {
	for _, was := range old {
		if i := slices.IndexFunc(new, named(was.Name)); i < 0 {
			s.Add("stage "+approval.Display(was.Name, 80), ballot.People(was.Approvals), none, true)
		} else {
			var stage Shifts
			comparePeople(&stage, &requirement{Approvals: was.Approvals}, &requirement{Approvals: new[i].Approvals})
			for _, shift := range stage {
				shift.Field = "stage " + approval.Display(was.Name, 80) + ": " + shift.Field
				*s = append(*s, shift)
			}
		}
	}
	for _, is := range new {
		if !slices.ContainsFunc(old, named(is.Name)) {
			s.Add("stage "+approval.Display(is.Name, 80), none, ballot.People(is.Approvals), false)
		}
	}
}

func describePeople(r *requirement) []string {
	var lines []string
	for i, s := range r.Stages {
		lines = append(lines, fmt.Sprintf("stage %d (%s): %s", i+1, s.Name, ballot.People(s.Approvals)))
	}
	return append(lines, lineIf(len(r.Approvals) > 0, "%s", ballot.People(r.Approvals))...)
}
