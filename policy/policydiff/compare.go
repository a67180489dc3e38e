package policydiff

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/requirement"
)

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
	c.Rank("verdict", slices.Index(kinds, old.Kind), slices.Index(kinds, new.Kind),
		string(old.Kind), string(new.Kind))
	if new.Kind != approval.VerdictDeny {
		rank := func(r approval.Risk) int { return slices.Index(approval.Risks, r) }
		c.Rank("risk", rank(old.Risk), rank(new.Risk), risk(old.Risk), risk(new.Risk))
	}
	c.Names("redact", old.Redact, new.Redact, strings.EqualFold)
	if old.Kind == new.Kind && new.Kind != approval.VerdictDeny {
		c.Demand("audited", old.Audited, new.Audited)
		c.Limit("valid_for", old.ValidFor, new.ValidFor)
	}
	if old.Kind == approval.VerdictRequire && new.Kind == approval.VerdictRequire {
		c.Limit("timeout", old.Timeout, new.Timeout)
		c.Demand("collapse", old.Collapse, new.Collapse) // with it, at most as much runs
		requirement.Compare(&c, cmp.Or(old.Requirement, &nothing), cmp.Or(new.Requirement, &nothing))
	}
	return c
}

// kinds from the laxest on. One that is not known is laxer than all.
var kinds = []approval.VerdictKind{approval.VerdictAllow, approval.VerdictRequire, approval.VerdictDeny}

// nothing is what is asked of people where nothing is stated.
var nothing approval.Requirement

func risk(r approval.Risk) string {
	if r == "" {
		return "none"
	}
	return string(r)
}
