package workflows

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/redact"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/text/unicode/norm"
)

// rules are those of the call. One whose names were compared before case was folded in full goes on
// as it began; the claim of its permit counts again, by today's rule.
func (g *guarded) rules(ctx workflow.Context) ballot.Rules {
	r := ballot.RulesOf(g.view)
	r.SamePerson = func(a, b string) bool {
		same := approval.SamePerson(a, b)
		before := strings.EqualFold(norm.NFKC.String(a), norm.NFKC.String(b))
		if same != before && workflow.GetVersion(ctx, "full-case-folding", workflow.DefaultVersion, 1) < 1 {
			return before
		}
		return same
	}
	return r
}

// markBallot keeps workers that would count differently away from calls whose requirement they do not
// know in full: they can't replay past the mark.
func (g *guarded) markBallot(ctx workflow.Context) {
	r := g.view.Requirement
	if r != nil && (len(r.Stages) > 0 || r.DenyCount > 1 || r.SelfApproval || r.RequireReason) {
		workflow.GetVersion(ctx, "stages-and-counts", workflow.DefaultVersion, 1)
	}
}

// answerVotes answers the decisions for which the call was claimed before: by an earlier run, or in
// a workflow task that was lost with all its answers. Their signals come again.
func (g *guarded) answerVotes() {
	for _, a := range ballot.Answers(g.view) {
		g.answers.add(a)
	}
}

// judge answers one decision, or lays it aside until what its answer depends on is known.
func (g *guarded) judge(ctx workflow.Context, d decision) {
	switch status := g.view.Status; {
	case g.settling != nil:
		g.held = append(g.held, d)
	case status == approval.StatusEvaluating && d.Kind == approval.Approve && d.Digest != g.digest:
		// Nobody can have seen the call yet, so nobody can approve of it, except who names its digest,
		// which holds the nonce: the store shows a call before its workflow knows, and a crash may lie
		// between.
		g.answer(d, approval.AnswerInvalid,
			"the call was not waiting for approval yet: look at it, then decide again")
	case status == approval.StatusEvaluating:
		g.early = append(g.early, d)
	case g.stopped:
		a := g.afterClaim(d)
		g.answer(d, a.Outcome, a.Message)
	case status == approval.StatusExpired:
		g.answer(d, approval.AnswerExpired, "the call expired before this decision")
	case d.signal == approval.SignalCancel && g.caller.mayStart:
		g.caller.withdrawals = append(g.caller.withdrawals, d)
	case status != approval.StatusPending:
		g.answer(d, approval.AnswerAlreadyResolved, "the call is "+string(status))
	case g.withdrawn(ctx) != nil:
		g.answer(d, approval.AnswerAlreadyResolved, "the call was withdrawn before")
	case d.signal == approval.SignalCancel && g.tally.Settled() == nil:
		g.cancelled = &approval.FinalDecision{
			Kind: approval.FinalCancel, By: d.Reviewer, Channel: d.Channel, Method: d.Method,
			Notes: g.redacted(d.Notes), At: d.At,
		}
		g.answer(d, approval.AnswerResolved, "")
	default:
		g.count(ctx, d)
	}
}

// count lets the ballot judge a decision. If that depends on what is not known yet, it is found
// out: first whether its envelope is genuine, then, where it matters, when it came.
func (g *guarded) count(ctx workflow.Context, d decision) {
	at := d.At
	if !d.timed {
		at = now(ctx) // at the latest
	}
	d.Unverified = len(d.Envelope) > 0 && !d.Authenticated
	d.Untimely = d.Authenticated && d.statement.Untimely(at)
	d.Untimed = !d.timed && (g.overdue(ctx) || d.Untimely)
	switch j := g.tally.Add(d.Decision); j.Needs {
	case ballot.NeedsProof:
		g.verify(ctx, d)
	case ballot.NeedsTime:
		g.late = append(g.late, d)
	default:
		if d.Kind == approval.Approve && j.Outcome == approval.AnswerResolved && g.judgesAgain(ctx) {
			g.settling = &d // it is shown when it is answered
			return
		}
		g.answer(d, j.Outcome, j.Message)
		g.showVotes()
		if j.Outcome == approval.AnswerRecorded {
			g.noteVote(ctx, d.ID)
		}
	}
}

// noteVote has a vote put on record that left the call waiting, as the tally holds it: who follows the
// record hears of it now, and a vote that a later one replaces is not lost. A repeat that changes
// nothing is no vote. A call that went on without this goes on without.
func (g *guarded) noteVote(ctx workflow.Context, id string) {
	votes := g.tally.Votes()
	i := slices.IndexFunc(votes, func(v approval.Decision) bool { return v.ID == id })
	if i >= 0 && workflow.GetVersion(ctx, "votes-on-record", workflow.DefaultVersion, 1) >= 1 {
		g.counted = append(g.counted, votes[i])
	}
}

// judgesAgain reports whether the call is judged again before its permit is taken: not if it was
// settled when claims did not do that yet.
func (g *guarded) judgesAgain(ctx workflow.Context) bool {
	g.judges = workflow.GetVersion(ctx, "judge-again", workflow.DefaultVersion, 1) >= 1
	return g.judges
}

// recount counts votes again by what the call takes now, and returns what does not count any more. A No
// that counted does, but in a call that dropped one before that was so.
func (g *guarded) recount(ctx workflow.Context, votes, rejections []approval.Decision) []ballot.Judgement {
	tally, dropped := ballot.Recount(g.rules(ctx), votes, rejections)
	noes := ballot.Rejections(votes)
	lost := slices.ContainsFunc(dropped, func(j ballot.Judgement) bool {
		return slices.ContainsFunc(noes, func(d approval.Decision) bool { return d.ID == j.DecisionID })
	})
	if lost && workflow.GetVersion(ctx, "no-is-kept", workflow.DefaultVersion, 1) >= 1 {
		tally, dropped = ballot.Recount(g.rules(ctx), votes, slices.Concat(rejections, noes))
	}
	g.tally = tally
	return dropped
}

// answerDropped tells those whose votes counted before the call took more, and puts it on record. A
// call that was counted again before that came goes on without.
func (g *guarded) answerDropped(
	ctx workflow.Context, before []approval.Decision, dropped []ballot.Judgement,
) {
	for _, j := range dropped {
		isIt := func(v approval.Decision) bool { return v.ID == j.DecisionID }
		i := slices.IndexFunc(before, isIt)
		if i < 0 || g.settling != nil && g.settling.ID == j.DecisionID { // its own answer comes
			continue
		}
		if workflow.GetVersion(ctx, "dropped-votes-are-answered", workflow.DefaultVersion, 1) < 1 {
			return
		}
		d := decision{signal: string(before[i].Kind)}
		d.Decision.Decision = before[i]
		g.answer(d, approval.AnswerForbidden, g.change+": decide again")
	}
}

func (g *guarded) showVotes() {
	g.view.Votes = nil
	for _, v := range g.tally.Votes() {
		v.Notes = g.redacted(v.Notes)
		g.view.Votes = append(g.view.Votes, v.Shown())
	}
}

// maxLookups bounds how often a run asks for keys, and maxUnknown how many decisions wait for one
// answer: a flood of made-up keys must not grow its history without bound.
const (
	maxLookups = 100
	maxUnknown = 100
)

// verify judges a decision that carries an envelope: it counts as signed, or not at all.
func (g *guarded) verify(ctx workflow.Context, d decision) {
	s, err := sign.Verify(d.Decision.Decision, g.view.ID, g.digest, g.keys)
	switch {
	case err == nil:
		d.Authenticated, d.statement = true, s
		g.count(ctx, d)
	case errors.Is(err, sign.ErrUnknownKey) && !d.asked && g.lookups < maxLookups && len(g.unknown) < maxUnknown:
		g.unknown = append(g.unknown, d)
	case approval.CodeOf(err) == approval.CodeInvalid:
		g.answer(d, approval.AnswerInvalid, err.Error())
	default:
		g.answer(d, approval.AnswerForbidden, err.Error())
	}
}

// lookUpKeys asks for the keys that decisions name and the admission does not know, and judges them
// anew: a key may have been added since.
func (g *guarded) lookUpKeys(ctx workflow.Context) {
	var in activities.KeysInput
	for i := range g.unknown {
		g.unknown[i].asked = true // further ones may come meanwhile
		if id, err := sign.KeyID(g.unknown[i].Envelope); err == nil && !slices.Contains(in.IDs, id) {
			in.IDs = append(in.IDs, id)
		}
	}
	var keys []sign.PublicKey
	g.lookups++
	g.step(ctx, localTimeout, steps.Keys, in, &keys)
	g.keys = append(g.keys, keys...)
	held := g.unknown
	g.unknown = nil
	for _, d := range held {
		g.judge(ctx, d) // one whose key was not asked for is laid aside again
	}
}

// judgeHeld judges all decisions that were laid aside: when the call begins to wait, those that
// came before; when it has ended, whatever is left.
func (g *guarded) judgeHeld(ctx workflow.Context) {
	held := slices.Concat(g.early, g.held, g.late, g.unknown)
	g.early, g.held, g.late, g.unknown = nil, nil, nil, nil
	for _, d := range held {
		if !g.answers.has(d.ID) {
			g.judge(ctx, d)
		}
	}
}

// judgeLate lets the event times in history decide between the deadline and the answers that were
// there with it.
func (g *guarded) judgeLate(ctx workflow.Context, deadline time.Time) {
	var answers activities.Answers
	in := activities.AnswersInput{ID: g.view.ID, Run: runID(ctx), Deadline: deadline}
	g.ordinary(ctx, steps.AnswerTimes, in, &answers)
	var inTime, tooLate []decision
	for _, d := range g.late {
		d.At, d.timed = deadline, true // at the earliest
		if times := answers.InTime[d.signal]; d.nth <= len(times) {
			d.At = stamp(times[d.nth-1])
			inTime = append(inTime, d)
		} else {
			tooLate = append(tooLate, d)
		}
	}
	g.late = nil
	// Those that came in time go first: if one of them settles the call, its claim has a say about the
	// others.
	for _, d := range slices.Concat(inTime, tooLate) {
		g.judge(ctx, d)
	}
}

// answered reports whether a decision has its answer already. Of one that counted that is never
// forgotten, except in a call that went on without it before.
func (g *guarded) answered(ctx workflow.Context, id string) bool {
	if g.answers.has(id) {
		return true
	}
	a, counted := g.answers.counted[id]
	if !counted || workflow.GetVersion(ctx, "counted-ids-are-kept", workflow.DefaultVersion, 1) < 1 {
		return false
	}
	g.answers.add(a) // whoever sent it again looks for it among the latest
	return true
}

// holds reports whether a decision with this ID was laid aside.
func (g *guarded) holds(id string) bool {
	if g.settling != nil && g.settling.ID == id {
		return true
	}
	laidAside := slices.Concat(g.early, g.held, g.late, g.unknown, g.caller.withdrawals)
	return slices.ContainsFunc(laidAside, func(d decision) bool { return d.ID == id })
}

// withdrawn returns who withdrew the call: by signal, or by Temporal's cancel.
func (g *guarded) withdrawn(ctx workflow.Context) *approval.FinalDecision {
	if g.cancelled == nil && ctx.Err() != nil {
		g.cancelled = &approval.FinalDecision{Kind: approval.FinalCancel, Channel: channelTemporal, At: now(ctx)}
	}
	return g.cancelled
}

// redacted is what a reviewer wrote, without the values that the policy hides.
func (g *guarded) redacted(notes string) string {
	if notes == "" {
		return notes
	}
	// A redactor gathers its values from maps; what it hides does not depend on their order.
	if g.redactor == nil {
		g.redactor = redact.New(g.adm.Verdict.Redact, g.adm.Verdict.RedactValues)
		g.redactor.Args(g.call.Args) //workflowcheck:ignore
	}
	return g.redactor.Text(notes) //workflowcheck:ignore
}

// answer keeps what a decision did for the query, and what did not count for the record.
func (g *guarded) answer(d decision, outcome approval.AnswerOutcome, message string) {
	a := approval.Answer{DecisionID: d.ID, Outcome: outcome, Message: message}
	g.answers.add(a)
	if outcome.Counted() {
		return
	}
	if len(g.refusals) >= maxRefusals {
		g.refusedMore++
		return
	}
	g.refusals = append(g.refusals,
		activities.Refusal{Answer: a, Signal: d.signal, Reviewer: d.Reviewer, Channel: d.Channel})
}

// maxRefusals bounds how many refusals one entry lists: a flood of signals must not grow an
// activity's input beyond what Temporal takes.
const maxRefusals = 100

// answers holds the latest answers, and those of all decisions that counted. Other IDs beyond
// approval.MaxAnswers are forgotten with their answers: a repeat of one that old is judged anew.
type answers struct {
	list    []approval.Answer
	counted map[string]approval.Answer // by decision ID
}

func (a *answers) has(id string) bool {
	return slices.ContainsFunc(a.list, func(x approval.Answer) bool { return x.DecisionID == id })
}

func (a *answers) add(x approval.Answer) {
	if x.Outcome.Counted() {
		if a.counted == nil {
			a.counted = map[string]approval.Answer{}
		}
		a.counted[x.DecisionID] = x
	} else {
		delete(a.counted, x.DecisionID) // it counted, until the call took more
	}
	a.list = append(a.list, x)
	if extra := len(a.list) - approval.MaxAnswers; extra > 0 {
		a.list = append([]approval.Answer(nil), a.list[extra:]...)
	}
}
