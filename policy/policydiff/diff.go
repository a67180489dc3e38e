package policydiff

import (
	"context"
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
	// Unknown are the edits that show in no change: it can't be told what they
	// make laxer.
	Unknown []Edit
}

// Clear reports whether nothing becomes laxer as far as the calls tell, and
// whether they show what every edit does that is for some calls only.
func (r Report) Clear() bool { return len(r.Laxer()) == 0 && len(r.Unknown) == 0 }

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

// Within is a corpus that ends when ctx does, and then sets cut: there were
// more calls.
func Within(ctx context.Context, corpus iter.Seq[policytest.Case], cut *bool) iter.Seq[policytest.Case] {
	return func(yield func(policytest.Case) bool) {
		for c := range corpus {
			if *cut = ctx.Err() != nil; *cut || !yield(c) {
				return
			}
		}
	}
}

// Diff compares what two policies say to the calls of a corpus. It takes as
// long as the corpus has calls: Within bounds that.
func Diff(old, new *policy.Set, corpus iter.Seq[policytest.Case]) Report {
	var r Report
	edits := edits(old, new)
	watch := newWatch(edits)
	for c := range corpus {
		r.Calls++
		was, will := old.Evaluate(c.Call, c.At), new.Evaluate(c.Call, c.At)
		if shifts := Compare(was, will); len(shifts) > 0 {
			r.Changes = append(r.Changes, Change{c, was, will, shifts})
			if watch.open > 0 {
				watch.show(old.Counting(c.Call, c.At), new.Counting(c.Call, c.At))
			}
		}
	}
	for _, e := range edits {
		if !e.shown {
			r.Unknown = append(r.Unknown, e.Edit)
		}
	}
	return r
}
