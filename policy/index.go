package policy

import (
	"iter"
	"slices"
	"strings"
)

// index finds the rules for a tool: exact names by a map, patterns in the order in which they were
// added. Rules that spread are found for what is under their names, too.
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
	if r.spreads() {
		name = capability(name)
	}
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
		for name := range above(tool) {
			for _, r := range x.exact[name] {
				if (name == tool || r.spreads()) && !yield(r, glob(name)) {
					return
				}
			}
		}
		for _, g := range x.globs {
			if g.rule.takes(g.glob, tool) && !yield(g.rule, g.glob) {
				return
			}
		}
	}
}

// spreads reports whether the rule is for everything under its names, too: who denies a capability,
// or has people asked about it, means all of it, whatever more a call's name says.
func (r *rule) spreads() bool { return r.form == formDeny || r.form == formRequire }

// takes reports whether a tool is one of those that a name or pattern of the rule means.
func (r *rule) takes(name glob, tool string) bool {
	if !r.spreads() {
		return name.match(tool)
	}
	name = glob(capability(string(name)))
	for higher := range above(tool) {
		if name.match(higher) {
			return true
		}
	}
	return false
}

// about reports whether the rule is for calls of a tool.
func (r *rule) about(tool string) bool {
	return slices.ContainsFunc(r.names, func(name string) bool { return r.takes(glob(name), tool) })
}

// capability is a name or pattern without the .* behind it, which says nothing where what is under
// it is meant, too: github.push.* is github.push.
func capability(name string) string {
	for {
		shorter, ok := strings.CutSuffix(name, ".*")
		if !ok || shorter == "" {
			return name
		}
		name = shorter
	}
}

// above goes through a tool's name and what it is under: payments.refund.production, payments.refund
// and payments.
func above(tool string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for end := len(tool); end > 0; end = strings.LastIndexAny(tool[:end], ".:/") {
			if !yield(tool[:end]) {
				return
			}
		}
	}
}
