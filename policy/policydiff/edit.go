package policydiff

import (
	"fmt"
	"slices"
	"strings"

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
	old, new spot // in either policy, or nowhere
	terms    bool // a call that the rule counts for under both policies shows it
	shown    bool
}

// spot is a rule of a layer by its place, or with none the layer.
type spot struct{ layer, where string }

var nowhere = spot{where: "-"}

func (s *subject) spot() spot { return spot{s.layer, s.where} }

// edits finds the rules and layers for some calls only that are not the same in
// both sets: the calls of a corpus may not show what such an edit does. Left out
// is what makes no verdict laxer: new rules that deny, and layers that only
// observe.
func edits(old, new *policy.Set) []watched {
	was, will := subjects(old), subjects(new)
	sameLayers(was, will)
	var out []watched
	one := func(what string, s *subject, old, new spot) {
		out = append(out, watched{Edit: Edit{s.place, what}, old: old, new: new})
	}

	pairs, gone, made := pair(layers(was), layers(will), func(s *subject) string { return s.as })
	for _, p := range pairs {
		if p[0].conditions != p[1].conditions && !(p[0].observes && p[1].observes) {
			one(layerChanged, p[1], p[0].spot(), p[1].spot())
		}
	}
	for _, s := range gone {
		if s.conditional() && !s.observes {
			one(layerGone, s, s.spot(), nowhere)
		}
	}
	for _, s := range made {
		if s.conditional() && !s.observes {
			one(layerNew, s, nowhere, s.spot())
		}
	}

	changed := func(what string, pairs [][2]*subject) {
		for _, p := range pairs {
			if p[0].conditional() || p[1].conditional() {
				out = append(out, watched{Edit{p[1].place, what}, p[0].spot(), p[1].spot(), what == termsChanged, false})
			}
		}
	}
	// First those that are the same, up to how a condition is written.
	gone, made = deciding(was), deciding(will)
	for _, write := range []func(string) string{strings.TrimSpace, policy.Canonical} {
		pairs, gone, made = pair(gone, made, func(s *subject) string {
			return s.key(s.patterns, s.conditions, write(s.when))
		})
		changed(termsChanged, slices.DeleteFunc(pairs, func(p [2]*subject) bool { return p[0].terms == p[1].terms }))
	}
	pairs, gone, made = pair(gone, made, func(s *subject) string { return s.key(s.patterns) })
	changed(conditionChanged, pairs)
	pairs, gone, made = pair(gone, made, func(s *subject) string { return s.key(s.conditions, policy.Canonical(s.when)) })
	changed(toolsChanged, pairs)
	for _, s := range gone {
		if s.conditional() {
			one(ruleGone, s, s.spot(), nowhere)
		}
	}
	for _, s := range made {
		if s.conditional() && !s.denies {
			one(ruleNew, s, nowhere, s.spot())
		}
	}
	return out
}

// key is for pair.
func (s *subject) key(more ...string) string {
	return fmt.Sprintf("%q", append([]string{s.as, s.list}, more...))
}

// sameLayers takes layers of other names for the same where it is clear which:
// a layer that states none goes by its file's.
func sameLayers(was, will []subject) {
	_, gone, made := pair(layers(was), layers(will), func(s *subject) string { return s.as })
	if len(gone) != 1 || len(made) != 1 {
		return
	}
	from, to := made[0].layer, gone[0].layer
	for i := range will {
		if will[i].layer == from {
			will[i].as = to
		}
	}
}

// layers returns the subjects that are layers.
func layers(all []subject) []*subject {
	var out []*subject
	for i := range all {
		if all[i].kind == aLayer {
			out = append(out, &all[i])
		}
	}
	return out
}

// deciding returns the rules of layers that decide.
func deciding(all []subject) []*subject {
	observes := map[string]bool{}
	for _, l := range layers(all) {
		observes[l.layer] = l.observes
	}
	var out []*subject
	for i := range all {
		if s := &all[i]; s.kind == aRule && !observes[s.layer] {
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

// watch is a set of edits by what they are about.
type watch struct {
	open int // how many are not shown
	at   map[spot][]*watched
}

func newWatch(edits []watched) *watch {
	w := &watch{len(edits), map[spot][]*watched{}}
	for i := range edits {
		e := &edits[i]
		w.at[e.old] = append(w.at[e.old], e)
		if e.new != e.old {
			w.at[e.new] = append(w.at[e.new], e)
		}
	}
	return w
}

// show marks the edits that a call shows whose verdict changes: the rule counts
// for it under one of the policies, or otherwise than under the other.
func (w *watch) show(old, new []policy.Counted) {
	index := func(counted []policy.Counted) map[spot]policy.Counted {
		out := make(map[spot]policy.Counted, len(counted))
		for _, c := range counted {
			out[spot{c.Layer, c.Where}] = c
		}
		return out
	}
	was, is := index(old), index(new)
	for _, c := range slices.Concat(old, new) {
		for _, e := range w.at[spot{c.Layer, c.Where}] {
			before, counted := was[e.old]
			after, counts := is[e.new]
			shown := counted != counts || before.Unsure != after.Unsure || e.terms && counted && !before.Unsure
			if shown && !e.shown {
				e.shown = true
				w.open--
			}
		}
	}
}
