package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/policy/requirement"
)

// Summary says in one line how a call ended, or that it goes on.
func Summary(v client.View) string {
	text := fmt.Sprintf("%s (%s) ", Cell(cmp.Or(v.Tool, "the call"), 80), approval.Display(v.ID, 0))
	if v.Lost() {
		return text + "goes no further: " + Cell(v.Error.Message, 400)
	}
	switch v.Status {
	case approval.StatusExecuted:
		text += "was executed"
	case approval.StatusExpired:
		text += "expired: no approval came in time"
	case approval.StatusRejected, approval.StatusBlocked, approval.StatusCancelled:
		text += "was " + string(v.Status)
	case approval.StatusFailed:
		text += "failed"
	case approval.StatusOutcomeUnknown:
		text += "has an unknown outcome: the tool may have run; find out before trying again"
	case approval.StatusPending:
		text += "waits for approval"
	case approval.StatusEvaluating:
		text += "is being evaluated"
	default:
		text += "is " + string(v.Status)
	}
	named := v.Decision != nil && v.Decision.By != ""
	if d := v.Decision; named {
		if verb := PastTense(string(d.Kind)); verb != string(v.Status) {
			text += ", " + Cell(verb, 20)
		}
		text += " by " + Cell(d.By, 80)
		if d.Notes != "" {
			text += ", who says: " + Cell(d.Notes, 300)
		}
	}
	if v.Error != nil {
		if v.Status != approval.StatusRejected || !named { // else it repeats who rejected and why
			text += ": " + Cell(v.Error.Message, 300)
		}
		text += " [" + Cell(v.Error.Code, 40) + "]"
	}
	return text
}

// PastTense writes the kind of a vote or settlement as what was done.
func PastTense(kind string) string { return cmp.Or(pastTenses[kind], kind) }

var pastTenses = map[string]string{
	string(approval.SettledAllow): "allowed", string(approval.SettledDeny): "denied",
	string(approval.SettledApprove): "approved", string(approval.SettledReject): "rejected",
	string(approval.SettledExpire): "expired", string(approval.SettledCancel): "cancelled",
}

// ObservedFields writes whether a verdict is audited, and what layers that only observe would say.
func ObservedFields(s *Sheet, v approval.Verdict) {
	if v.Audited {
		s.Field("Recorded", "as audited")
	}
	for _, o := range v.Observed {
		text := fmt.Sprintf("%s would say %s: %s", o.Layer, o.Kind, o.Rule)
		if o.Risk != "" && o.Risk != v.Risk {
			text += ", at risk " + string(o.Risk)
		}
		needs := strings.Join(requirement.Describe(o.Requirement), ", and ")
		if needs != "" && needs != strings.Join(requirement.Describe(v.Requirement), ", and ") {
			text += ", needs " + needs
		}
		if o.Why != "" {
			text += ", " + o.Why
		}
		s.Field("Observed", text)
	}
}

// Plural writes "1 rule", "2 rules".
func Plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
