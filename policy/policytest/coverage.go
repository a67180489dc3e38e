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

// spot tells the rules of a policy apart, wherever its files lie: suites may know the same files by
// different paths.
func spot(layer string, r policy.RuleRef) string {
	at := r.Where
	for range 2 { // line and column
		at = at[:max(0, strings.LastIndexByte(at, ':'))]
	}
	return layer + r.Where[len(at):]
}

// covered is which rules of a policy, by their spots, no test reaches. Reached are the rules that
// decided in their layers, and those whose conditions could not be evaluated.
func covered(paths []string, set *policy.Set, results []Result) Coverage {
	hit := map[string]bool{}
	for _, r := range results {
		if r.Explanation.Policy.Digest != set.Digest() {
			continue
		}
		for _, l := range r.Explanation.Layers {
			if l.Rule != nil {
				hit[spot(l.Layer, *l.Rule)] = true
			}
			for _, counted := range l.Counted {
				hit[spot(l.Layer, counted)] = true
			}
		}
	}
	rules := set.Rules()
	made := Coverage{Policy: paths, Digest: set.Digest(), Rules: len(rules), Missed: []policy.RuleInfo{}}
	for _, r := range rules {
		if !hit[spot(r.Layer, r.RuleRef)] {
			made.Missed = append(made.Missed, r)
		}
	}
	return made
}
