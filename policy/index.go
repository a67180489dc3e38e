package policy

import "iter"

// index finds the rules for a tool: exact names by a map, patterns in the order in which they were
// added.
type index struct {
	exact map[string][]*rule
	globs []namedRule
}

// namedRule is a rule under one of its patterns.
type namedRule struct {
	glob glob
	rule *rule
}

func (x *index) add(name string, r *rule) {
	switch {
	case isGlob(name):
		x.globs = append(x.globs, namedRule{glob(name), r})
	case x.exact == nil:
		x.exact = map[string][]*rule{name: {r}}
	default:
		x.exact[name] = append(x.exact[name], r)
	}
}

// rules goes through the rules for a tool, each under the name or pattern that it is found by.
func (x *index) rules(tool string) iter.Seq2[*rule, glob] {
	return func(yield func(*rule, glob) bool) {
		for _, r := range x.exact[tool] {
			if !yield(r, glob(tool)) {
				return
			}
		}
		for _, g := range x.globs {
			if g.glob.match(tool) && !yield(g.rule, g.glob) {
				return
			}
		}
	}
}
