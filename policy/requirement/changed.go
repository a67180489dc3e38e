package requirement

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Change is what a verdict that is given now means for a call that people were asked about before.
type Change struct {
	Forbids string                // why the call may not run any more; empty: it may
	More    *approval.Requirement // what it takes now, if that is more than it took; else nil
	Why     string                // what is stricter: "approvals: 1 → 3"
	Shifts  Shifts                // in what the active policy asks people for more or less, if it asks them
}

// Forbids says why a verdict of the active policy lets no call run, or nothing.
func Forbids(now approval.Verdict) string {
	if err := now.Validate(); err != nil {
		return "the policy that is active now gave no verdict that can be used: " + err.Error()
	}
	if now.Kind == approval.VerdictDeny {
		return "the policy that is active now forbids this call (" + now.Policy.Rule + ")"
	}
	return ""
}

// Changed says what the active policy's verdict changes for a call that waits, of which view is what
// the store keeps. It never asks for less.
func Changed(call approval.Call, view approval.View, now approval.Verdict) (c Change) {
	if c.Forbids = Forbids(now); c.Forbids != "" || now.Kind == approval.VerdictAllow {
		return c
	}
	Compare(&c.Shifts, view.Requirement, now.Requirement)
	if now.Executor(call) != view.Execution {
		c.Forbids = "the policy that is active now has the tool run by somebody else"
		return c
	}
	stored := *view.Requirement
	for _, word := range []string{"input", "validate", "preview"} {
		if slices.Contains(now.Requirement.Uses(), word) && !slices.Contains(stored.Uses(), word) {
			c.Forbids = "the policy that is active now asks for " + word +
				", which was not asked for when the call was admitted"
			return c
		}
	}
	more, sum := Clone(&stored), Sum(&stored, now.Requirement)
	more.Approvals, more.Stages, more.Decisions = sum.Approvals, sum.Stages, sum.Decisions
	more.DenyCount, more.SelfApproval, more.RequireReason = sum.DenyCount, sum.SelfApproval, sum.RequireReason
	var shifts Shifts
	Compare(&shifts, &stored, more)
	var stricter []string
	for _, s := range shifts {
		if !s.Laxer {
			stricter = append(stricter, s.String())
		}
	}
	if len(stricter) > 0 {
		c.More, c.Why = more, strings.Join(stricter, "; ")
	}
	return c
}
