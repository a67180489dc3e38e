package policytest

import (
	"strings"

	"github.com/pawlhq/pawl/policy"
)

// Coverage says which rules of a policy no test reaches: what they say is not tested by anything.
type Coverage struct {
	Policy []string          `json:"policy"` // its files
	Digest string            `json:"digest"`
	Rules  int               `json:"rules"`
	Missed []policy.RuleInfo `json:"missed"` // never the rule that counted in its layer
}

// Percent is how many of the rules are reached, rounded down; 100 if there are none.
func (c Coverage) Percent() int {
	if c.Rules == 0 {
		return 100
	}
	return (c.Rules - len(c.Missed)) * 100 / c.Rules
}

// coverage collects the rules that tests reach, policy by policy.
type coverage struct {
	index    map[string]int // of a policy, by its digest
	policies []covered
}

type covered struct {
	paths []string
	set   *policy.Set
	hit   map[string]bool // by spot
}

// use begins to count for a policy, and reports whether it is a new one.
func (c *coverage) use(paths []string, set *policy.Set) bool {
	if _, known := c.index[set.Digest()]; known {
		return false
	}
	c.index[set.Digest()] = len(c.policies)
	c.policies = append(c.policies, covered{paths, set, map[string]bool{}})
	return true
}

// spot tells the rules of a policy apart, wherever its files lie: suites may know the same files by
// different paths.
func spot(layer string, r policy.RuleRef) string {
	at := r.Where
	for range 2 { // line and column
		at = at[:max(0, strings.LastIndexByte(at, ':'))]
	}
	return layer + r.Where[len(at):]
}

// hit notes the rules that counted: those that decided in their layers, and those whose conditions
// could not be evaluated.
func (c *coverage) hit(e policy.Explanation) {
	hit := c.policies[c.index[e.Policy.Digest]].hit
	for _, l := range e.Layers {
		if l.Rule != nil {
			hit[spot(l.Layer, *l.Rule)] = true
		}
		for _, r := range l.Counted {
			hit[spot(l.Layer, r)] = true
		}
	}
}

func (c *coverage) result() []Coverage {
	var out []Coverage
	for _, p := range c.policies {
		rules := p.set.Rules()
		made := Coverage{
			Policy: p.paths, Digest: p.set.Digest(), Rules: len(rules), Missed: []policy.RuleInfo{},
		}
		for _, r := range rules {
			if !p.hit[spot(r.Layer, r.RuleRef)] {
				made.Missed = append(made.Missed, r)
			}
		}
		out = append(out, made)
	}
	return out
}
