package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// group is a group whose members a file knows.
type group struct {
	members int
	where   string
}

// groupUse is where a rule asks people of a group.
type groupUse struct {
	group string
	count int
	at    yamlfile.Value
	layer *layer
}

// readGroups reads who is in which group, as far as the policy knows.
func (r *reader) readGroups(v yamlfile.Value) {
	r.layer.groups = v.Present()
	for _, e := range v.Mapping().Entries() {
		if badName(e.Key, "the group's name", e.Name, "write it as rules name it") {
			continue
		}
		if first, taken := r.groups[e.Name]; taken {
			e.Key.Problem(fmt.Sprintf("the group %q exists already", e.Name),
				"keep one; the first is at "+first.where)
			continue
		}
		members := map[string]bool{}
		list, ok := e.Value.List()
		for _, member := range list {
			name, ok := member.Text()
			if ok && members[name] {
				member.Problem("the member is given twice", "keep one")
			}
			members[name] = true
		}
		if ok && len(list) == 0 {
			e.Value.Problem(fmt.Sprintf("the group %q is empty", e.Name), "name its members, or remove it")
		}
		r.groups[e.Name] = group{len(list), e.Key.Where()}
	}
}

// maxSuggested bounds for how many unknown groups a known one is suggested.
const maxSuggested = 100

// checkGroups compares what rules ask of groups with who is in them.
func (r *reader) checkGroups() {
	names := slices.Sorted(maps.Keys(r.groups))
	suggested := 0
	for _, a := range r.groupUses {
		g, known := r.groups[a.group]
		if known && a.count > g.members {
			a.at.Problem(fmt.Sprintf("the rule asks %d of the group %q, which has %d: it can never be met",
				a.count, a.group, g.members),
				"ask for fewer, or add members; the group is at "+g.where)
		}
		if known || suggested >= maxSuggested {
			continue
		}
		suggested++
		hint := ""
		if near := yamlfile.Nearest(a.group, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if a.layer.groups {
			hint = "add it to groups, whose names are " + approval.Display(firstFew(names), 300)
		}
		if hint != "" {
			a.at.Warn(fmt.Sprintf("the files do not define the group %q",
				approval.Display(a.group, 80)), hint)
		}
	}
}
