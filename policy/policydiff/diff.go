package policydiff

import (
	"slices"

	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
)

// Change is a call whose verdict is another one under the new policy.
type Change struct {
	Case     policytest.Case
	Old, New policy.Explanation
	Shifts   []Shift // at least one
}

// Laxer reports whether the verdict is laxer in any respect, however much
// stricter it is in others.
func (c Change) Laxer() bool { return isLaxer(c.Shifts) }

func isLaxer(shifts []Shift) bool {
	return slices.ContainsFunc(shifts, func(s Shift) bool { return s.Laxer })
}

// Report is how two policies differ over a corpus of calls.
type Report struct {
	Calls   int      // compared
	Changes []Change // in the corpus's order
}

// Laxer returns the changes that are laxer in any respect.
func (r Report) Laxer() []Change { return r.only(true) }

// Stricter returns the changes that are stricter, and laxer in no respect.
func (r Report) Stricter() []Change { return r.only(false) }

func (r Report) only(laxer bool) []Change {
	var out []Change
	for _, c := range r.Changes {
		if c.Laxer() == laxer {
			out = append(out, c)
		}
	}
	return out
}

// Diff compares what two policies say to the calls of a corpus.
func Diff(old, new *policy.Set, corpus []policytest.Case) Report {
	r := Report{Calls: len(corpus)}
	for _, c := range corpus {
		if shifts := Compare(old.Evaluate(c.Call, c.At), new.Evaluate(c.Call, c.At)); len(shifts) > 0 {
			r.Changes = append(r.Changes, Change{c, old.Explain(c.Call, c.At), new.Explain(c.Call, c.At), shifts})
		}
	}
	return r
}
