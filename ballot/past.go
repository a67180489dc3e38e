package ballot

import "github.com/pawlhq/pawl/approval"

// Answers returns what each vote of a call did, in the order of its votes. Votes are kept for good,
// so this tells it when the answers themselves are gone.
func Answers(v approval.View) []approval.Answer {
	var out []approval.Answer
	for i, vote := range v.Votes {
		a := approval.Answer{DecisionID: vote.ID, Outcome: approval.AnswerRecorded}
		if by := v.Decision; by != nil && i == len(v.Votes)-1 && by.Kind == approval.SettlementKind(vote.Kind) {
			a.Outcome = approval.AnswerResolved
		}
		out = append(out, a)
	}
	return out
}

// Closed answers a decision about a call that takes none: it has ended, or never was a request. A
// repeat of one that counted gets its answer.
func Closed(v approval.View, d approval.Decision) approval.Answer {
	a := approval.Answer{DecisionID: d.ID, Outcome: approval.AnswerAlreadyResolved}
	if v.Status == approval.StatusExpired {
		a.Outcome = approval.AnswerExpired
	}
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
