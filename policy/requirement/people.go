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
		clone: slices.Clone[[]approval.Approvals], join: joinApprovals,
	}.word()
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

// comparePeople compares how many people of which groups must approve, in any stage or at the end.
// A member of a group is a person, too, so "anyone" counts as met by the largest count of any
// group.
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

func counts(r *requirement) map[string]int {
	most := map[string]int{}
	take := func(list []approval.Approvals) {
		for _, a := range list {
			most[a.Group] = max(most[a.Group], a.Count)
			most[anyone] = max(most[anyone], a.Count)
		}
	}
	take(r.Approvals)
	for _, s := range r.Stages {
		take(s.Approvals)
	}
	return most
}

// compareStages compares stage by stage, since they come one after the other.
func compareStages(s *Shifts, name string, old, new []approval.Stage) {
	s.Count(name, len(old), len(new), false)
	for i := range min(len(old), len(new)) {
		var stage Shifts
		was, is := requirement{Approvals: old[i].Approvals}, requirement{Approvals: new[i].Approvals}
		comparePeople(&stage, &was, &is)
		for _, shift := range stage {
			shift.Field = fmt.Sprintf("stage %d: %s", i+1, shift.Field)
			*s = append(*s, shift)
		}
	}
}

func describePeople(r *requirement) []string {
	var lines []string
	for i, s := range r.Stages {
		name := fmt.Sprintf("stage %d", i+1)
		if s.Name != "" {
			name += " (" + s.Name + ")"
		}
		lines = append(lines, name+": "+ballot.People(s.Approvals))
	}
	return append(lines, lineIf(len(r.Approvals) > 0, "%s", ballot.People(r.Approvals))...)
}
