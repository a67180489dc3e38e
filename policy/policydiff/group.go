package policydiff

import (
	"fmt"
	"slices"
)

// Group is changes that are alike: the verdicts shift in the same way.
type Group struct {
	Shifts []Shift
	Tools  []ToolChanges // at least one
}

// ToolChanges is a group's changes of one tool.
type ToolChanges struct {
	Tool    string
	Changes []Change // at least one
}

// Calls counts the group's changes.
func (g Group) Calls() int {
	n := 0
	for _, t := range g.Tools {
		n += len(t.Changes)
	}
	return n
}

// Laxer is Change.Laxer of all its changes.
func (g Group) Laxer() bool { return isLaxer(g.Shifts) }

// Groups gathers the changes that are alike. First come those to a laxer kind of verdict, then what
// is laxer otherwise, then what is only stricter; among them, the corpus's order stays.
func (r Report) Groups() []Group {
	var groups []Group
	index := map[string]int{}
	for _, c := range r.Changes {
		key := fmt.Sprintf("%q", c.Shifts)
		i, known := index[key]
		if !known {
			i = len(groups)
			index[key] = i
			groups = append(groups, Group{Shifts: c.Shifts})
		}
		groups[i].add(c)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return a.rank() - b.rank() })
	return groups
}

func (g *Group) add(c Change) {
	tool := c.Case.Call.Tool
	i := slices.IndexFunc(g.Tools, func(t ToolChanges) bool { return t.Tool == tool })
	if i < 0 {
		i = len(g.Tools)
		g.Tools = append(g.Tools, ToolChanges{Tool: tool})
	}
	g.Tools[i].Changes = append(g.Tools[i].Changes, c)
}

func (g Group) rank() int {
	switch {
	case slices.ContainsFunc(g.Shifts, func(s Shift) bool { return s.Laxer && s.Field == "verdict" }):
		return 0
	case g.Laxer():
		return 1
	}
	return 2
}
