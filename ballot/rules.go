// Package ballot judges people's decisions about one call: who may decide, what a decision does,
// what is missing still, and how to say so. It is pure, so that workflows may use it.
//
// It is the one judge. The API asks it before it sends a decision, the workflow counts with it, and
// the claim of the permit counts again with it, by what the store says of the call.
package ballot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// Rules is everything about a call that its decisions are judged by.
type Rules struct {
	Requirement approval.Requirement // must be valid
	Requester   string               // who asked: see approval.Call
	Owner       string               // the person who answers for Requester; empty: nobody knows who asked
	Digest      string               // what decisions are about
	Deadline    time.Time            // a decision has to come before it; zero: there is none
	// SamePerson reports whether two names are one person's. Default: approval.SamePerson.
	SamePerson func(a, b string) bool
}

func (r Rules) same(a, b string) bool {
	if r.SamePerson == nil {
		return approval.SamePerson(a, b)
	}
	return r.SamePerson(a, b)
}

// RulesOf takes the rules from a call's view. A view without a requirement is judged as if the call
// needed one approval.
func RulesOf(v approval.View) Rules {
	r := Rules{Requirement: *approval.OneApproval(), Requester: v.Requester, Owner: v.Owner, Digest: v.Digest}
	if v.Requirement != nil {
		r.Requirement = *v.Requirement
	}
	if v.Deadline != nil {
		r.Deadline = *v.Deadline
	}
	return r
}

// Decision is a decision as it came, and what is known of it.
type Decision struct {
	approval.Decision // At is when it came; zero counts as in time

	Digest     string // the call's, as whoever decided saw it; empty: they did not say
	Unverified bool   // it carries an envelope that was not verified yet
	Untimed    bool   // whether it came at At is not certain
	Untimely   bool   // its envelope was verified, and was not valid at At
}

// Judgement is what a decision does, or why it does nothing, or what has to be found out before
// that can be said. Then Outcome is empty and Needs is not.
type Judgement struct {
	approval.Answer
	Reason Reason
	Needs  Need
}

// Refused reports whether the decision does not count.
func (j Judgement) Refused() bool { return j.Outcome != "" && !j.Outcome.Counted() }

// Need is what has to be found out about a decision.
type Need string

const (
	NeedsProof Need = "proof" // whether its envelope is genuine
	NeedsTime  Need = "time"  // when it came
)

// Reason is why a decision does not count, or changes nothing, where more can be said about it than
// its answer does.
type Reason string

const (
	Own      Reason = "own"       // who asked can't approve
	Unsigned Reason = "unsigned"  // only signed decisions count
	NoReason Reason = "no_reason" // an approval needs notes
	NoMember Reason = "no_member" // its reviewer is in no group that is asked
	Turned   Reason = "turned"    // its reviewer has rejected the call, and that can't be taken back
	Again    Reason = "again"     // it changes nothing: its reviewer has decided so already
)

func refuse(d Decision, o approval.AnswerOutcome, why Reason, message string) Judgement {
	return Judgement{Answer: approval.Answer{DecisionID: d.ID, Outcome: o, Message: message}, Reason: why}
}

// Judge says what the rules alone say of a decision, whoever else has decided. A decision that they
// let count has neither Outcome nor Needs; what it does is for the Tally to say.
//
// The order is part of how open calls replay: what needs to be found out is asked for only where
// nothing before it refuses the decision.
func (r Rules) Judge(d Decision) Judgement {
	const invalid, forbidden = approval.AnswerInvalid, approval.AnswerForbidden
	switch {
	case !d.Untimed && !r.Deadline.IsZero() && !d.At.Before(r.Deadline):
		return refuse(d, approval.AnswerExpired, "", "the decision came after the deadline")
	case d.Kind != approval.Approve && d.Kind != approval.Reject:
		return refuse(d, invalid, "", "the decision is neither approve nor reject")
	case d.Digest != "" && d.Digest != r.Digest:
		return refuse(d, approval.AnswerStale, "", "the decision is about another digest than the call's")
	case d.Unverified:
		return Judgement{Needs: NeedsProof}
	case d.Kind == approval.Approve && r.asked(d.Reviewer) && !r.Requirement.SelfApproval:
		return refuse(d, forbidden, Own, "who asked for a call, or owns the agent that did, "+
			"may reject it but not approve it: somebody else must approve")
	case d.Untimed:
		return Judgement{Needs: NeedsTime}
	case d.Untimely:
		return refuse(d, forbidden, "", "the signed decision had expired before it came, "+
			"or its time was still in the future: decide again, and check the clock of Pawl's API")
	case r.Requirement.Decisions == approval.DecisionsSigned && !d.Authenticated:
		return refuse(d, forbidden, Unsigned,
			"this call needs signed decisions: decide through Pawl's API or command line, with a token")
	case d.Kind == approval.Reject: // needs no reason, and no group: a No is never lost
	case r.Requirement.RequireReason && strings.TrimSpace(d.Notes) == "":
		return refuse(d, invalid, NoReason, "this call needs a reason with each approval: decide again, with notes")
	case len(r.Requirement.Unexecuted()) > 0:
		return refuse(d, forbidden, "", "this version of Pawl can't judge approvals of this call: it needs "+
			approval.List(r.Requirement.Unexecuted()))
	case !slices.ContainsFunc(everyone(r.Requirement), func(a approval.Approvals) bool {
		return takes(a, d.Decision)
	}):
		return refuse(d, forbidden, NoMember, "this call needs approvals by "+groups(r.Requirement)+" only")
	}
	return Judgement{Answer: approval.Answer{DecisionID: d.ID}}
}

// asked reports whether the call is this person's own: they asked for it, or own the agent that
// did. It is never true of a call without an owner: nobody knows who asked for that.
func (r Rules) asked(name string) bool {
	return r.Owner != "" && (r.same(name, r.Owner) || r.same(name, r.Requester))
}

// MaySettle reports whether a reviewer may say what became of a call, and whether the call is their
// own: then they may only where they might have approved it.
func MaySettle(v approval.View, name string) (may, own bool) {
	r := RulesOf(v)
	own = r.asked(name)
	return !own || r.Requirement.SelfApproval, own
}

// takes reports whether a decision counts toward a. Groups are believed of authenticated decisions
// only.
func takes(a approval.Approvals, d approval.Decision) bool {
	return a.Group == "" || d.Authenticated && slices.Contains(d.Groups, a.Group)
}

// groups names the groups that r asks, for people.
func groups(r approval.Requirement) string {
	var names []string
	for _, a := range everyone(r) {
		if name := fmt.Sprintf("%q", approval.Display(a.Group, 80)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return "authenticated members of " + strings.Join(names, " and ")
}

// Answers returns what each vote of a call did, in the order of its votes. Votes are kept for good,
// so this tells it when the answers themselves are gone.
func Answers(v approval.View) []approval.Answer {
	var out []approval.Answer
	inVain := stopped(v)
	for i, vote := range v.Votes {
		a := approval.Answer{DecisionID: vote.ID, Outcome: approval.AnswerRecorded}
		switch by := v.Decision; {
		case vote.ID == inVain:
			a.Outcome = afterEnd(v)
		case by != nil && i == len(v.Votes)-1 && by.Kind == approval.FinalKind(vote.Kind):
			a.Outcome = approval.AnswerResolved
		}
		out = append(out, a)
	}
	return out
}

// stopped is the ID of the approval that met what the call takes, where the call's claim found that
// it may not run for all that; empty: there is none.
func stopped(v approval.View) string {
	if !v.Status.Ended() || v.Decision == nil || v.Decision.Kind == approval.FinalApprove {
		return ""
	}
	tally, _ := Count(RulesOf(v), v.Votes)
	if by := tally.Settled(); by != nil && by.Kind == approval.Approve {
		return by.ID
	}
	return ""
}

// afterEnd answers what can't count any more.
func afterEnd(v approval.View) approval.AnswerOutcome {
	if v.Status == approval.StatusExpired {
		return approval.AnswerExpired
	}
	return approval.AnswerAlreadyResolved
}

// Closed answers a decision about a call that takes none: it has ended, or never was a request. A
// repeat of one that counted gets its answer.
func Closed(v approval.View, d approval.Decision) approval.Answer {
	a := approval.Answer{DecisionID: d.ID, Outcome: afterEnd(v)}
	for _, past := range Answers(v) {
		if past.DecisionID == d.ID {
			a = past
		}
	}
	return Same(a, v, d)
}

// Same refuses to let the answer to one decision stand for another one that was sent under the same
// ID: then it returns that the decision is invalid, else the answer.
func Same(a approval.Answer, v approval.View, d approval.Decision) approval.Answer {
	for _, vote := range v.Votes {
		if vote.ID == d.ID && (vote.Kind != d.Kind || !approval.SamePerson(vote.Reviewer, d.Reviewer)) {
			return approval.Answer{
				DecisionID: d.ID, Outcome: approval.AnswerInvalid,
				Message: "The decision_id was used before, for another decision. Nothing was changed.",
			}
		}
	}
	return a
}
