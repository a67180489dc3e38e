package policydiff

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
)

// maxProbes bounds the probes of one rule whose conditions name many fields.
const maxProbes = 128

// Probes derives calls from the rules of policies: for each rule its tools,
// with and without the values that its conditions name, and just beside
// numbers; and tools that no rule names. What a condition computes from a call
// can't be read off its text, so probes find most differences, and never prove
// that there are none. Their names are the calls as JSON.
//
// The rules that are not in all sets go first: whoever can't wait for the last
// probe has seen those that matter most.
func Probes(sets ...*policy.Set) iter.Seq[policytest.Case] {
	return func(yield func(policytest.Case) bool) {
		p := prober{yield: yield, seen: map[string]bool{}}
		p.add(subject{tools: unnamed})
		for _, s := range changedFirst(sets) {
			if p.stopped {
				return
			}
			p.add(s)
		}
	}
}

// changedFirst returns the subjects of all sets, first those that not every set
// has.
func changedFirst(sets []*policy.Set) []subject {
	var all []subject
	in := map[string]int{} // how many sets have a rule
	for _, set := range sets {
		once := map[string]bool{}
		for _, s := range subjects(set) {
			if all = append(all, s); !once[s.text] {
				once[s.text] = true
				in[s.text]++
			}
		}
	}
	slices.SortStableFunc(all, func(a, b subject) int { return cmp.Compare(in[a.text], in[b.text]) })
	return all
}

type prober struct {
	yield   func(policytest.Case) bool
	stopped bool // nobody wants more
	seen    map[string]bool
}

// add makes the probes of one rule: every combination of its fields' values
// where those are few, else each value by itself, among the first ones of the
// others and among none.
func (p *prober) add(s subject) {
tools:
	for _, tool := range s.tools {
		if p.stopped {
			return
		}
		p.call(s.place, tool, nil)
		combinations := 1
		for _, f := range s.fields {
			combinations = min(combinations*(len(f.values)+1), maxProbes+1)
		}
		if combinations <= maxProbes {
			p.product(s, tool, s.fields, nil)
			continue
		}
		var first []setting
		for _, f := range s.fields {
			first = append(first, setting{f.path, f.values[0]})
		}
		p.call(s.place, tool, first)
		tries := 0
		for i, f := range s.fields {
			p.call(s.place, tool, slices.Delete(slices.Clone(first), i, i+1))
			for _, v := range f.values {
				if tries++; tries > maxProbes {
					continue tools
				}
				others := slices.Clone(first)
				others[i].value = v
				p.call(s.place, tool, others)
				p.call(s.place, tool, []setting{{f.path, v}})
			}
		}
	}
}

func (p *prober) product(s subject, tool string, left []field, chosen []setting) {
	if len(left) == 0 {
		p.call(s.place, tool, chosen)
		return
	}
	p.product(s, tool, left[1:], chosen)
	for _, v := range left[0].values {
		p.product(s, tool, left[1:], append(slices.Clone(chosen), setting{left[0].path, v}))
	}
}

// setting is one value of a call.
type setting struct {
	path  path
	value any
}

func (p *prober) call(place, tool string, settings []setting) {
	if p.stopped {
		return
	}
	c := policytest.Case{Place: place, At: policytest.Noon, Call: approval.Call{Tool: tool}}
	args := map[string]any{}
	for _, s := range settings {
		switch s.path.root {
		case "args":
			put(args, s.path.keys, s.value) // into args itself, which is there
		case "labels":
			if c.Call.Labels == nil {
				c.Call.Labels = map[string]string{}
			}
			c.Call.Labels[s.path.keys[0]] = fmt.Sprint(s.value)
		case "agent":
			c.Call.Agent = fmt.Sprint(s.value)
		case "team":
			c.Call.Team = fmt.Sprint(s.value)
		case "session":
			c.Call.Session = fmt.Sprint(s.value)
		case "requester":
			c.Call.Requester = fmt.Sprint(s.value)
		case "now":
			c.At = s.value.(time.Time)
		}
	}
	doc, err := json.Marshal(args)
	if err != nil {
		return // a number that JSON can't write
	}
	c.Call.Args = doc
	if c.Call.Validate() != nil {
		return // nobody can start it
	}
	if doc, err = json.Marshal(c.Call); err != nil {
		return
	}
	c.Name = string(doc)
	if !c.At.Equal(policytest.Noon) {
		c.Name += " at " + c.At.Format(time.RFC3339)
	}
	if !p.seen[c.Name] {
		p.seen[c.Name] = true
		p.stopped = !p.yield(c)
	}
}

// put returns a value with another one under keys, unless something that is
// neither object nor list stands in its way.
func put(in any, keys []string, value any) any {
	if len(keys) == 0 {
		return value
	}
	if keys[0] == element {
		list, ok := in.([]any)
		if in == nil {
			list, ok = []any{nil}, true
		}
		if ok {
			list[0] = put(list[0], keys[1:], value)
			return list
		}
		return in
	}
	object, ok := in.(map[string]any)
	if in == nil {
		object, ok = map[string]any{}, true
	}
	if ok {
		object[keys[0]] = put(object[keys[0]], keys[1:], value)
		return object
	}
	return in
}
