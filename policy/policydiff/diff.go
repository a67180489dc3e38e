// Package policydiff says in what one policy is laxer or stricter than another over calls that it
// is given: those of suites, and recorded ones. It derives no calls from policies, so it says
// nothing of calls that nobody gave it.
package policydiff

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/policy/requirement"
	"github.com/pawlhq/pawl/redact"
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
	return slices.DeleteFunc(slices.Clone(r.Changes), func(c Change) bool { return c.Laxer() != laxer })
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

// Shift is one respect in which a verdict changes.
type Shift = requirement.Shift

// Compare says in what the verdict for a call is laxer or stricter than the old one was. Laxer are
//
//   - another kind: deny is stricter than require_approval, and that than allow,
//   - a lower risk, unless the call is denied,
//   - fields that are no longer hidden,
//   - an allowed call that is no longer recorded as audited,
//   - a longer wait for people, and approvals that stay valid for longer,
//   - identical calls that wait and no longer collapse to one,
//   - everything by which a requirement asks people for less.
//
// What people must do is compared only where both verdicts ask them. A change that can't be ranked
// counts as laxer. Which rule decided, and what observing layers say, makes no difference.
func Compare(old, new approval.Verdict) []Shift {
	var c requirement.Shifts
	kinds := approval.VerdictKinds // one that is not known is laxer than all
	c.Rank("verdict", slices.Index(kinds, old.Kind), slices.Index(kinds, new.Kind),
		string(old.Kind), string(new.Kind))
	if new.Kind != approval.VerdictDeny {
		rank := func(r approval.Risk) int { return slices.Index(approval.Risks, r) }
		c.Rank("risk", rank(old.Risk), rank(new.Risk), risk(old.Risk), risk(new.Risk))
	}
	c.Names("redact", old.Redact, new.Redact,
		func(a, b string) bool { return redact.Key(a) == redact.Key(b) })
	if old.RedactValues != new.RedactValues {
		c.Add("redact_values", redactValues(old), redactValues(new), !new.RedactValues.On())
	}
	if old.Kind == new.Kind && new.Kind != approval.VerdictDeny {
		c.Flag("audited", old.Audited, new.Audited, false)
		c.Limit("valid_for", old.ValidFor, new.ValidFor)
	}
	if old.Kind == approval.VerdictRequire && new.Kind == approval.VerdictRequire {
		c.Limit("timeout", old.Timeout, new.Timeout)
		c.Flag("collapse", old.Collapse, new.Collapse, false) // with it, at most as much runs
		requirement.Compare(&c, cmp.Or(old.Requirement, &nothing), cmp.Or(new.Requirement, &nothing))
	}
	return c
}

func redactValues(v approval.Verdict) string {
	return cmp.Or(string(v.RedactValues), "default")
}

// nothing is what is asked of people where nothing is stated.
var nothing approval.Requirement

func risk(r approval.Risk) string {
	return cmp.Or(string(r), "none")
}

// Given goes through cases that are at hand.
func Given(cases []policytest.Case) iter.Seq2[policytest.Case, error] {
	return func(yield func(policytest.Case, error) bool) {
		for _, c := range cases {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Lister returns the payloads of one page of the audit entries of a kind, and the cursor of the
// next page: empty after the last one.
type Lister func(ctx context.Context, kind, cursor string) (page []json.RawMessage, next string, err error)

// Recorded goes through the calls in an audit log, as they were asked for: those that were allowed
// or had to wait for people, then those that were blocked. It ends with an error where list fails
// or ctx ends. Values that were redacted are missing from the calls; see policytest.Case.Redacted.
func Recorded(ctx context.Context, list Lister) iter.Seq2[policytest.Case, error] {
	return func(yield func(policytest.Case, error) bool) {
		for _, kind := range policytest.EntryKinds {
			for cursor, more := "", true; more; more = cursor != "" {
				payloads, next, err := list(ctx, kind, cursor)
				if err != nil {
					yield(policytest.Case{}, err)
					return
				}
				for _, payload := range payloads {
					if err := context.Cause(ctx); err != nil {
						yield(policytest.Case{}, err)
						return
					}
					if c, ok := policytest.FromEntry(payload); ok && !yield(c, nil) {
						return
					}
				}
				cursor = next
			}
		}
	}
}

// Group is changes that are alike: the verdicts shift in the same way.
type Group struct {
	Shifts []Shift
	Tools  []ToolChanges // at least one
}

// ToolChanges is a group's changes of one tool.
type ToolChanges struct {
	Tool    string
	Changes []Change // at least one
}

// Calls counts the group's changes.
func (g Group) Calls() int {
	n := 0
	for _, t := range g.Tools {
		n += len(t.Changes)
	}
	return n
}

// Laxer is Change.Laxer of all its changes.
func (g Group) Laxer() bool { return isLaxer(g.Shifts) }

// Groups gathers the changes that are alike. First come those to a laxer kind of verdict, then what
// is laxer otherwise, then what is only stricter; among them, the corpus's order stays.
func (r Report) Groups() []Group {
	var groups []Group
	index := map[string]int{}
	for _, c := range r.Changes {
		key := fmt.Sprintf("%q", c.Shifts)
		i, known := index[key]
		if !known {
			i = len(groups)
			index[key] = i
			groups = append(groups, Group{Shifts: c.Shifts})
		}
		groups[i].add(c)
	}
	slices.SortStableFunc(groups, func(a, b Group) int { return a.rank() - b.rank() })
	return groups
}

func (g *Group) add(c Change) {
	tool := c.Case.Call.Tool
	i := slices.IndexFunc(g.Tools, func(t ToolChanges) bool { return t.Tool == tool })
	if i < 0 {
		i = len(g.Tools)
		g.Tools = append(g.Tools, ToolChanges{Tool: tool})
	}
	g.Tools[i].Changes = append(g.Tools[i].Changes, c)
}

func (g Group) rank() int {
	switch {
	case slices.ContainsFunc(g.Shifts, func(s Shift) bool { return s.Laxer && s.Field == "verdict" }):
		return 0
	case g.Laxer():
		return 1
	}
	return 2
}
