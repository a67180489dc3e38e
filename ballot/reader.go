package ballot

import (
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Reader is somebody who looks at a call and may want to decide.
type Reader struct {
	Name          string
	Groups        []string
	Reviewer      bool // may decide at all, by their role
	Authenticated bool // and what they decide gets signed
}

func (r Reader) decision(kind approval.DecisionKind) Decision {
	return Decision{Decision: approval.Decision{
		Kind: kind, Reviewer: r.Name, Groups: r.Groups, Authenticated: r.Authenticated,
	}}
}

// For says what a reader may do about a call and shows, as segments, what the call takes. It goes
// by the votes and the status of the view, and takes whatever is decided now to be in time.
func For(v approval.View, r Reader) (approval.You, []approval.Segment) {
	t, _ := Count(RulesOf(v), v.Votes)
	you := approval.You{May: []string{}}
	for _, vote := range t.votes {
		if r.Name != "" && approval.SamePerson(vote.Reviewer, r.Name) {
			you.Voted = vote.Kind
		}
	}
	switch {
	case v.Status == approval.StatusEvaluating:
		you.Why = "The policy is still judging it."
	case v.Status == approval.StatusPending && !waits(v):
		you.Why = v.Error.Message
	case !waits(v):
		you.Why = "Nothing can be decided any more: the call is " + words(v.Status) + "."
	case !r.Reviewer:
		you.Why = "Only reviewers decide, and you are not one here."
	default:
		yours := t.offer(&you, r)
		return you, t.rack(v, yours)
	}
	return you, t.rack(v, nil)
}

// waits reports whether people can decide: a call whose workflow is gone waits for nobody.
func waits(v approval.View) bool { return v.Status == approval.StatusPending && v.Error == nil }

// offer fills in what a reviewer may do about a call that waits. It returns the groups for which
// their approval would count, "" among them for anybody's.
func (t Tally) offer(you *approval.You, r Reader) (yours map[string]bool) {
	yours = map[string]bool{}
	next, j := t.with(r.decision(approval.Approve))
	switch {
	case j.Refused():
		you.Why = t.rules.Why(j, r)
	case j.Reason == Again:
		you.Why = "Your approval counts already. You may change it to a rejection."
	default:
		you.May = append(you.May, approval.MayApprove)
		teeth := next.teeth()
		for _, o := range teeth {
			if o.by == &next.votes[len(next.votes)-1] {
				yours[o.group] = true
			}
		}
		you.IfApprove = "Yours is the last approval it needs: approving lets it run at once."
		if j.Outcome == approval.AnswerRecorded {
			met, all := progress(teeth)
			you.IfApprove = fmt.Sprintf("If you approve: %d of %d, then it waits for %s.", met, all, still(teeth))
		}
	}
	if !t.Judge(r.decision(approval.Reject)).Refused() {
		you.May = append(you.May, approval.MayReject)
		you.IfReject = "If you reject, it ends now and nothing runs."
	}
	return yours
}

// Why says to a reader why a decision of theirs does not count, and what they may do instead.
func (r Rules) Why(j Judgement, reader Reader) string {
	switch j.Reason {
	case Own:
		whose := "you asked for it"
		if !approval.SamePerson(reader.Name, r.Requester) {
			whose = "the agent that asked is yours"
		}
		return "You can't approve this one: " + whose + ". Somebody else has to. You may reject it."
	case Unsigned:
		return "You can't decide this one: it takes signed decisions only, and this API does not know " +
			"who you are. It has to run with --auth tokens or oidc."
	case NoMember:
		in := "no group"
		if len(reader.Groups) > 0 {
			in = approval.Display(strings.Join(reader.Groups, ", "), 200)
		}
		return "You can't approve this one: it takes approvals by " + groups(r.Requirement) +
			" only. You are in " + in + "."
	}
	if j.Message == "" {
		return ""
	}
	return strings.ToUpper(j.Message[:1]) + j.Message[1:] + "."
}
