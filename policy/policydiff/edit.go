package policydiff

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/policy"
)

// Edit is a change of what a rule says, or whom it is for, where it is for some
// calls only. Its texts are fit to show.
type Edit struct {
	Place string `json:"place"`  // file:line of the new policy, or of the old one for what is gone
	What  string `json:"change"` // "the condition changed"
}

// Kinds of edits.
const (
	conditionChanged = "the condition changed"
	termsChanged     = "what a rule with a condition says changed"
	toolsChanged     = "the tools of a rule with a condition changed"
	ruleGone         = "a rule with a condition is gone"
	ruleNew          = "a rule with a condition is new"
	layerChanged     = "applies_to or observe changed"
	layerGone        = "a layer with applies_to is gone"
	layerNew         = "a layer with applies_to is new"
)

func (e Edit) String() string {
	return e.Place + ": " + e.What + ", and no call shows a difference by it"
}

// watched is an edit until a call is found whose verdict it changes.
type watched struct {
	Edit
	layer    string
	old, new string // where the rule is in either policy; both empty: the layer itself
	terms    bool   // a call that the rule counts for under both policies shows it
}

// edits finds the rules and layers for some calls only that are not the same in
// both sets: the calls of a corpus may not show what such an edit does. Left out
// is what makes no verdict laxer: new rules that deny, and layers that only
// observe.
func edits(old, new *policy.Set) []watched {
	was, will := subjects(old), subjects(new)
	var out []watched

	pairs, gone, made := pair(deciding(was, true), deciding(will, true), func(s *subject) string { return s.layer })
	for _, p := range pairs {
		if p[0].conditions != p[1].conditions {
			out = append(out, watched{Edit: Edit{p[1].place, layerChanged}, layer: p[1].layer})
		}
	}
	for i, s := range slices.Concat(gone, made) {
		what := layerGone
		if i >= len(gone) {
			what = layerNew
		}
		if s.conditional() {
			out = append(out, watched{Edit: Edit{s.place, what}, layer: s.layer})
		}
	}

	changed := func(what string, pairs [][2]*subject) {
		for _, p := range pairs {
			if p[0].conditional() || p[1].conditional() {
				out = append(out, watched{Edit{p[1].place, what}, p[1].layer, p[0].where, p[1].where, what == termsChanged})
			}
		}
	}
	// First those that are the same, up to how a condition is written.
	gone, made = deciding(was, false), deciding(will, false)
	for _, write := range []func(string) string{strings.TrimSpace, canonical} {
		pairs, gone, made = pair(gone, made, func(s *subject) string {
			return s.key(s.patterns, s.conditions, write(s.when))
		})
		changed(termsChanged, slices.DeleteFunc(pairs, func(p [2]*subject) bool { return p[0].terms == p[1].terms }))
	}
	pairs, gone, made = pair(gone, made, func(s *subject) string { return s.key(s.patterns) })
	changed(conditionChanged, pairs)
	pairs, gone, made = pair(gone, made, func(s *subject) string { return s.key(s.conditions, canonical(s.when)) })
	changed(toolsChanged, pairs)
	for _, s := range gone {
		if s.conditional() {
			out = append(out, watched{Edit: Edit{s.place, ruleGone}, layer: s.layer, old: s.where})
		}
	}
	for _, s := range made {
		if s.conditional() && !s.denies {
			out = append(out, watched{Edit: Edit{s.place, ruleNew}, layer: s.layer, new: s.where})
		}
	}
	return out
}

// key is for pair.
func (s *subject) key(more ...string) string {
	return fmt.Sprintf("%q", append([]string{s.layer, s.list}, more...))
}

// deciding returns the subjects that are layers, or those that are rules, of
// layers that decide.
func deciding(all []subject, layers bool) []*subject {
	var out []*subject
	observes := map[string]bool{}
	for i := range all {
		if all[i].kind == aLayer && all[i].observes {
			observes[all[i].layer] = true
		}
	}
	for i := range all {
		s := &all[i]
		if layers && s.kind == aLayer || !layers && s.kind == aRule && !observes[s.layer] {
			out = append(out, s)
		}
	}
	return out
}

// pair puts those together that have the same key, in their order, and returns
// what is left over.
func pair(old, new []*subject, key func(*subject) string) (pairs [][2]*subject, oldRest, newRest []*subject) {
	byKey := map[string][]*subject{}
	for _, s := range old {
		byKey[key(s)] = append(byKey[key(s)], s)
	}
	paired := map[*subject]bool{}
	for _, s := range new {
		if same := byKey[key(s)]; len(same) > 0 {
			pairs = append(pairs, [2]*subject{same[0], s})
			paired[same[0]] = true
			byKey[key(s)] = same[1:]
			continue
		}
		newRest = append(newRest, s)
	}
	for _, s := range old {
		if !paired[s] {
			oldRest = append(oldRest, s)
		}
	}
	return pairs, oldRest, newRest
}

var celParser = sync.OnceValues(func() (*cel.Env, error) { return cel.NewEnv(cel.EnableMacroCallTracking()) })

// canonical is the same for CEL expressions that differ in spaces and comments
// alone.
func canonical(expression string) string {
	env, err := celParser()
	if err != nil || expression == "" {
		return expression
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return expression
	}
	text, err := cel.AstToString(parsed)
	if err != nil {
		return expression
	}
	return text
}

// unshown returns the edits that a call whose verdict changes does not show:
// the rule counts for it under both policies in the same way, or under neither.
func unshown(open []watched, old, new []policy.Counted) []watched {
	type at struct{ layer, where string }
	index := func(counted []policy.Counted) map[at]policy.Counted {
		out := make(map[at]policy.Counted, len(counted))
		for _, c := range counted {
			out[at{c.Layer, c.Where}] = c
		}
		return out
	}
	was, is := index(old), index(new)
	return slices.DeleteFunc(open, func(w watched) bool {
		before, counted := was[at{w.layer, w.old}]
		after, counts := is[at{w.layer, w.new}]
		return counted != counts || before.Unsure != after.Unsure || w.terms && counted && !before.Unsure
	})
}
