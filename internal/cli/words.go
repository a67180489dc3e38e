package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// Ending says in one line how a call ended, or that it goes on.
func Ending(v client.View) string {
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
		if verb := Deed(string(d.Kind)); verb != string(v.Status) {
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

// Deed writes the kind of a vote or settlement as what was done.
func Deed(kind string) string { return cmp.Or(deeds[kind], kind) }

var deeds = map[string]string{
	string(approval.SettledAllow): "allowed", string(approval.SettledDeny): "denied",
	string(approval.SettledApprove): "approved", string(approval.SettledReject): "rejected",
	string(approval.SettledExpire): "expired", string(approval.SettledCancel): "cancelled",
}

func people(count int) string {
	if count == 1 {
		return "1 approval"
	}
	return fmt.Sprintf("%d approvals by different people", count)
}

// Beside writes what a verdict has beside its decision.
func Beside(s *Sheet, v approval.Verdict) {
	if v.Audited {
		s.Field("Recorded", "as audited")
	}
	for _, o := range v.Observed {
		text := fmt.Sprintf("%s would say %s: %s", o.Layer, o.Kind, o.Rule)
		if o.Risk != "" && o.Risk != v.Risk {
			text += ", at risk " + string(o.Risk)
		}
		needs := strings.Join(Demands(o.Requirement), ", and ")
		if needs != "" && needs != strings.Join(Demands(v.Requirement), ", and ") {
			text += ", needs " + needs
		}
		if o.Why != "" {
			text += ", " + o.Why
		}
		s.Field("Observed", text)
	}
}

// Demands writes a requirement as what people must do, one line each.
func Demands(r *approval.Requirement) []string {
	if r == nil {
		return nil
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i, s := range r.Stages {
		name := fmt.Sprintf("stage %d", i+1)
		if s.Name != "" {
			name += " (" + s.Name + ")"
		}
		add("%s: %s", name, Approvals(s.Approvals))
	}
	if len(r.Approvals) > 0 {
		add("%s", Approvals(r.Approvals))
	}
	if r.Decisions == approval.DecisionsSigned {
		add("signed decisions: from Pawl's API, by somebody who is authenticated")
	}
	if r.DenyCount > 1 {
		add("%d rejections before the call is denied", r.DenyCount)
	}
	if r.SelfApproval {
		add("the requester may approve, too")
	}
	if r.RequireReason {
		add("a reason with each decision")
	}
	if r.AllowEdit {
		add("reviewers may change the arguments")
	}
	if len(r.Input) > 0 {
		add("input from the reviewer")
	}
	if r.Execution != "" && r.Execution != approval.ExecutionWorker {
		add("the %s runs the tool", r.Execution)
	}
	if r.RemindEvery > 0 {
		add("a reminder every %s", r.RemindEvery.Short())
	}
	for _, e := range r.Escalate {
		add("%s is asked after %s", e.To, e.After.Short())
	}
	if r.Grant != nil {
		add("reviewers may approve calls like this one in advance, for at most %s", r.Grant.Max.Short())
	}
	if len(r.Checks) > 0 {
		add("these tools must succeed before: %s", strings.Join(r.Checks, ", "))
	}
	if len(r.Previews) > 0 {
		add("people see what these tools return: %s", strings.Join(r.Previews, ", "))
	}
	return lines
}

func Approvals(list []approval.Approvals) string {
	var groups []string
	for _, g := range list {
		text := people(g.Count)
		if g.Group != "" {
			text += " of " + g.Group
		}
		groups = append(groups, text)
	}
	return strings.Join(groups, ", and ")
}

// Plural writes "1 rule", "2 rules".
func Plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
