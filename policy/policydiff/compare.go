package policydiff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Shift is one respect in which a verdict changes. Its texts are fit to show.
type Shift struct {
	Field string `json:"field"` // as the verdict's JSON calls it, and more where that is not enough
	Old   string `json:"old"`
	New   string `json:"new"`
	Laxer bool   `json:"laxer"` // else stricter
}

func (s Shift) String() string { return fmt.Sprintf("%s: %s → %s", s.Field, s.Old, s.New) }

// Compare says in what the verdict for a call is laxer or stricter than the old
// one was. Laxer are
//
//   - another kind: deny is stricter than require_approval, and that than allow,
//   - a lower risk, unless the call is denied,
//   - fields that are no longer hidden,
//   - an allowed call that is no longer recorded as audited,
//   - a longer wait for people, and approvals that stay valid for longer,
//   - identical calls that wait and no longer collapse to one,
//   - everything by which a requirement asks people for less.
//
// What people must do is compared only where both verdicts ask them. A change
// that can't be ranked counts as laxer. Which rule decided, and what observing
// layers say, makes no difference.
func Compare(old, new approval.Verdict) []Shift {
	c := &comparison{}
	c.ordered("verdict", slices.Index(kinds, old.Kind), slices.Index(kinds, new.Kind), string(old.Kind), string(new.Kind))
	if new.Kind != approval.VerdictDeny {
		c.ordered("risk", slices.Index(approval.Risks, old.Risk), slices.Index(approval.Risks, new.Risk), risk(old.Risk), risk(new.Risk))
	}
	c.list("redact", old.Redact, new.Redact, strings.EqualFold)
	if old.Kind == new.Kind && new.Kind != approval.VerdictDeny {
		c.wish("audited", old.Audited, new.Audited)
		c.limit("valid_for", old.ValidFor, new.ValidFor)
	}
	if old.Kind == approval.VerdictRequire && new.Kind == approval.VerdictRequire {
		c.limit("timeout", old.Timeout, new.Timeout)
		c.wish("collapse", old.Collapse, new.Collapse) // with it, at most as much runs
		c.requirement(value(old.Requirement), value(new.Requirement))
	}
	return c.shifts
}

// kinds from the laxest on. One that is not known is laxer than all.
var kinds = []approval.VerdictKind{approval.VerdictAllow, approval.VerdictRequire, approval.VerdictDeny}

func value(r *approval.Requirement) approval.Requirement {
	if r == nil {
		return approval.Requirement{}
	}
	return *r
}

func risk(r approval.Risk) string {
	if r == "" {
		return none
	}
	return string(r)
}

const none = "none"

// comparison collects shifts.
type comparison struct{ shifts []Shift }

func (c *comparison) add(field, old, new string, laxer bool) {
	c.shifts = append(c.shifts, Shift{field, old, new, laxer})
}

// ordered compares ranks of which the higher is the stricter.
func (c *comparison) ordered(field string, old, new int, oldText, newText string) {
	if old != new {
		c.add(field, oldText, newText, new < old)
	}
}

// wish compares what makes a verdict stricter by being there.
func (c *comparison) wish(field string, old, new bool) {
	if old != new {
		c.add(field, fmt.Sprint(old), fmt.Sprint(new), old)
	}
}

// freedom compares what makes a verdict laxer by being there.
func (c *comparison) freedom(field string, old, new bool) {
	if old != new {
		c.add(field, fmt.Sprint(old), fmt.Sprint(new), new)
	}
}

// limit compares lengths of time of which the longer is the laxer.
func (c *comparison) limit(field string, old, new approval.Duration) {
	if old != new {
		c.add(field, old.Short(), new.Short(), new > old)
	}
}

// list compares names of which more are stricter.
func (c *comparison) list(field string, old, new []string, same func(a, b string) bool) {
	without := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(name string) bool {
			return slices.ContainsFunc(b, func(other string) bool { return same(name, other) })
		})
	}
	if lost := without(old, new); len(lost) > 0 {
		c.add(field, shown(lost), none, true)
	}
	if added := without(new, old); len(added) > 0 {
		c.add(field, none, shown(added), false)
	}
}

func shown(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = approval.Display(name, 80)
	}
	return strings.Join(out, ", ")
}
