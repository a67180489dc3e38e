package policydiff

import (
	"iter"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
)

// Change is a call whose verdict is another one under the new policy.
type Change struct {
	Case     policytest.Case
	Old, New approval.Verdict
	Shifts   []Shift // at least one
}

// Laxer reports whether the verdict is laxer in any respect, however much stricter it is in others.
func (c Change) Laxer() bool { return isLaxer(c.Shifts) }

func isLaxer(shifts []Shift) bool {
	return slices.ContainsFunc(shifts, func(s Shift) bool { return s.Laxer })
}

// Report is how two policies differ over calls.
type Report struct {
	Calls    int      // compared
	Redacted int      // of those, the ones in which values were hidden; see policytest.Case.Redacted
	Changes  []Change // in the calls' order
}

// Clear reports whether calls were compared and none of them is judged laxer.
func (r Report) Clear() bool { return r.Calls > 0 && len(r.Laxer()) == 0 }

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

// Diff compares what two policies say to calls, one sequence after the other. Where one ends with an
// error, it returns that, and the report on the calls before it.
func Diff(old, new *policy.Set, corpus ...iter.Seq2[policytest.Case, error]) (Report, error) {
	var r Report
	for _, calls := range corpus {
		for c, err := range calls {
			if err != nil {
				return r, err
			}
			r.add(old, new, c)
		}
	}
	return r, nil
}

func (r *Report) add(old, new *policy.Set, c policytest.Case) {
	r.Calls++
	if c.Redacted() {
		r.Redacted++
	}
	was, will := old.Evaluate(c.Call, c.At), new.Evaluate(c.Call, c.At)
	if shifts := Compare(was, will); len(shifts) > 0 {
		r.Changes = append(r.Changes, Change{c, was, will, shifts})
	}
}
