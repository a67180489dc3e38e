// Package workflows holds GuardedCall, the workflow that is one guarded call.
package workflows

import (
	"cmp"
	"slices"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/redact"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// steps names the activities by reference, so that the compiler checks them. It is never called.
var steps *activities.Activities

// GuardedCall is one guarded tool call: policy, wait, claim, tool, record. Its input is an
// approval.Call in JSON, and how its starter asked, if that is known. It never fails: every ending,
// Temporal's own cancel included, is an approval.Outcome.
func GuardedCall(ctx workflow.Context, input, via converter.RawValue) (approval.Outcome, error) {
	g, err := newGuarded(ctx, input)
	g.via = parseVia(via)
	if err != nil {
		return approval.Outcome{}, err
	}
	return g.run(ctx), nil
}

// guarded is the state of one call. One coroutine owns it: signals are taken from their channels in
// pump, between steps, never beside them.
type guarded struct {
	call    approval.Call
	via     approval.Via
	problem string // why the input is not a call
	digest  string

	adm     activities.Admission
	view    approval.View // what the query shows
	claimed activities.Permit
	// redactor has learnt from the arguments; nil until somebody wrote notes.
	redactor *redact.Redactor
	again    bool // an attempt at the tool, before the last one, ended unknown
	tally    ballot.Tally
	change   string          // what the call takes by now, if that is more than at first; for people
	timer    workflow.Future // fires at the deadline

	inbox     inbox
	ignoring  bool // signals, of which the call has got too many
	cancelled *approval.FinalDecision
	answers   answers
	settling  *decision  // would settle the call, once its permit is taken
	judges    bool       // the call is judged again then; false for those settled before that came
	early     []decision // came before the policy answered
	held      []decision // came while the call was claimed
	late      []decision // came around the deadline, or their envelope's: history decides
	unknown   []decision // signed with a key that came after the call was admitted, or that nobody trusts
	keys      []sign.PublicKey
	lookups   int // how often keys were asked for

	stopped bool // the claim ended the call

	caller callerWait

	refusals    []activities.Refusal
	refusedMore int                 // beyond maxRefusals
	counted     []approval.Decision // left the call waiting, and are not on record yet
	noting      workflow.Future
	refuseSeq   int
}

func newGuarded(ctx workflow.Context, input converter.RawValue) (*guarded, error) {
	info := workflow.GetInfo(ctx)
	g := &guarded{inbox: openInbox(ctx)}
	id, err := callID(ctx)
	call := approval.Call{}
	if err == nil {
		call, err = parseInput(input)
	}
	if err != nil {
		g.problem = err.Error()
	} else {
		g.call = call
		if g.call.Nonce == "" {
			g.call.Nonce = info.FirstRunID // random, and the same after a reset
		}
		if g.digest, err = g.call.Digest(id); err != nil {
			g.problem, g.call = err.Error(), approval.Call{} // what has no digest is shown nowhere
		}
	}
	g.view = approval.View{
		ID: id, Tool: g.call.Tool, Digest: g.digest,
		Status: approval.StatusEvaluating, CreatedAt: stamp(info.WorkflowStartTime),
	}
	about := workflow.QueryHandlerOptions{
		Description: "The call as reviewers see it, its votes and deadline, and the latest decisions' answers.",
	}
	err = workflow.SetQueryHandlerWithOptions(ctx, approval.QueryState, g.state, about)
	if err != nil {
		return g, err
	}
	raw := workflow.QueryHandlerOptions{
		Description: "The call as it was asked for, for the caller that runs its tool.",
	}
	return g, workflow.SetQueryHandlerWithOptions(ctx, approval.QueryCall, g.asked, raw)
}

// state answers the query. Results and error texts are left to the outcome (raw, for the caller)
// and the store (redacted, for everyone else).
func (g *guarded) state() (approval.State, error) {
	judging := g.settling != nil ||
		len(g.early)+len(g.held)+len(g.late)+len(g.unknown)+len(g.caller.withdrawals) > 0
	return approval.State{
		View: g.view, Answers: g.answers.list, Judging: judging, TooManySignals: g.ignoring,
	}, nil
}

func (g *guarded) run(ctx workflow.Context) approval.Outcome {
	out := g.admit(ctx)
	if out == nil && !g.adm.Claimed {
		g.ask(ctx)
		for again := true; again && out == nil; {
			if out = g.wait(ctx); out == nil {
				out, again = g.claim(ctx)
			} else {
				out = g.record(ctx, *out)
			}
		}
	}
	switch {
	case out != nil:
	case g.adm.Execution == approval.ExecutionCaller:
		out = g.awaitCaller(ctx)
	default:
		out = g.record(ctx, g.execute(ctx))
	}
	g.close(ctx, *out)
	return *out
}

// admit runs the policy activity. It returns an outcome if the call has ended there: blocked, or
// ended long ago by an earlier run.
func (g *guarded) admit(ctx workflow.Context) *approval.Outcome {
	info := workflow.GetInfo(ctx)
	in := activities.AdmitInput{
		ID: g.view.ID, Run: info.WorkflowExecution.RunID,
		Call: g.call, Digest: g.digest, Problem: g.problem, Via: g.via,
		CreatedAt: g.view.CreatedAt, Now: now(ctx),
	}
	g.step(ctx, localTimeout, steps.Admit, in, &g.adm)
	g.view, g.claimed, g.keys = g.adm.View, g.adm.Permit, g.adm.Keys
	if g.adm.Execution == approval.ExecutionCaller && !g.view.Status.Ended() {
		// A worker that does not know of callers would let a worker run the tool. The marker keeps it from
		// taking the call up.
		workflow.GetVersion(ctx, "caller-execution", workflow.DefaultVersion, 1)
	}
	if g.call.AttemptOf != "" && !g.view.Status.Ended() {
		// A worker that does not know of attempts can't read the call. The marker keeps it from taking the
		// call up, and ending it.
		workflow.GetVersion(ctx, "attempts", workflow.DefaultVersion, 1)
	}
	if g.view.Status.Ended() {
		out := g.view.Outcome()
		return &out
	}
	if g.adm.Claimed {
		g.answerVotes()
	}
	return nil
}

// ask shows people a call that waits for them. The timer is there before anybody can answer:
// silence is denial.
func (g *guarded) ask(ctx workflow.Context) {
	deadline := *g.view.Deadline
	g.tally = ballot.New(g.rules(ctx))
	g.markBallot(ctx)
	summary := workflow.TimerOptions{Summary: "deadline of the approval"}
	g.timer = workflow.NewTimerWithOptions(detached(ctx), deadline.Sub(workflow.Now(ctx)), summary)
	g.show(ctx)
	g.judgeHeld(ctx)
}

// wait is where people decide. It returns nil when they approved.
func (g *guarded) wait(ctx workflow.Context) *approval.Outcome {
	deadline := *g.view.Deadline
	for {
		g.until(ctx, func() bool {
			return g.withdrawn(ctx) != nil || g.tally.Settled() != nil || g.overdue(ctx) || g.mustNote() ||
				len(g.unknown)+len(g.late) > 0
		})
		g.startNoting(ctx)
		g.detail(ctx)
		switch {
		case g.withdrawn(ctx) != nil:
			return g.denied(approval.StatusCancelled, approval.CodeCancelled, "the call was withdrawn",
				g.withdrawn(ctx))
		case g.tally.Settled() != nil:
			s := g.tally.Settled().Final()
			s.Notes = g.redacted(s.Notes)
			if s.Kind == approval.FinalApprove {
				if !g.judges {
					g.view.Decision, g.view.Status = s, approval.StatusApproved
				}
				return nil
			}
			return g.denied(approval.StatusRejected, approval.CodeRejected, rejection(*s), s)
		case len(g.unknown) > 0:
			g.lookUpKeys(ctx)
		case len(g.late) > 0:
			g.judgeLate(ctx, deadline)
		case g.overdue(ctx):
			return g.denied(approval.StatusExpired, approval.CodeExpired, g.overdueMessage(),
				&approval.FinalDecision{Kind: approval.FinalExpire, At: deadline})
		}
	}
}

func rejection(s approval.FinalDecision) string {
	message := cmp.Or(s.By, "a reviewer") + " rejected the call"
	if s.Notes != "" {
		message += ": " + s.Notes
	}
	return message
}

func (g *guarded) denied(
	status approval.Status, code, message string, by *approval.FinalDecision,
) *approval.Outcome {
	g.view.Status, g.view.Decision = status, by
	err := &approval.CallError{Code: code, Message: message}
	return &approval.Outcome{Status: status, Error: err, Decision: by}
}

// overdue reports whether the deadline has come, by timer or by clock: after an outage a worker may
// see late answers before the timer that is due.
func (g *guarded) overdue(ctx workflow.Context) bool {
	return g.timer.IsReady() || !workflow.Now(ctx).Before(*g.view.Deadline)
}

func (g *guarded) overdueMessage() string {
	if g.change != "" {
		return "not enough people approved the call before its deadline: " + g.change
	}
	return "nobody approved the call before its deadline"
}

// claim judges the call again and takes the permit. It returns an outcome if there is none to take,
// and again if the policy demands more by now, so that the call waits on. The local attempt may
// have taken the permit in a workflow task that was lost: then this run's outcome names the
// decisions for which it was taken. If an answer with precedence has come meanwhile, the unused
// permit is void. Decisions that come before the claim has returned are judged after it.
func (g *guarded) claim(ctx workflow.Context) (out *approval.Outcome, again bool) {
	in := activities.ClaimInput{
		ID: g.view.ID, Run: runID(ctx), Digest: g.digest, Call: g.call, Redact: g.adm.Verdict.Redact,
		RedactValues: g.adm.Verdict.RedactValues,
		Votes:        g.tally.Votes(), Queue: g.adm.Queue, Now: now(ctx), Revision: g.adm.Revision,
	}
	var res activities.ClaimResult
	if !g.judges { // a call of before: its vote was answered when it came
		g.step(ctx, claimTimeout, steps.Claim, in, &res)
		if res.Outcome == nil {
			g.claimed, g.view.Decision, g.view.Votes = res.Permit, res.Decision, res.Votes
		}
		return res.Outcome, false
	}
	g.step(ctx, claimTimeout, steps.JudgeAndClaim, in, &res)
	switch {
	case res.Outcome != nil:
		g.stopped = true
		g.view.Status, g.view.Decision, g.view.Votes = res.Outcome.Status, res.Outcome.Decision, res.Votes
	case res.WaitsOn():
		g.countAgain(ctx, res)
	default:
		g.claimed, g.view.Decision, g.view.Votes = res.Permit, res.Decision, res.Votes
		g.view.Status = approval.StatusExecuting
		if g.adm.Execution == approval.ExecutionCaller {
			g.view.Status = approval.StatusApproved // until the caller starts the tool
		}
	}
	if res.WaitsOn() && g.tally.Settled() != nil {
		return nil, true // the votes meet that, too: claim again at once
	}
	g.answerSettling(ctx)
	g.judgeHeld(ctx)
	g.detail(ctx)
	return res.Outcome, res.WaitsOn()
}

// countAgain counts the votes of a call that was not claimed: it takes more than it did, or
// rejections are on record whose signals have not come yet.
func (g *guarded) countAgain(ctx workflow.Context, res activities.ClaimResult) {
	g.view.Decision = nil
	if res.Requirement != nil {
		g.change = "the policy changed, and the call needs " + ballot.Needs(*res.Requirement)
		g.adm.Revision, g.view.Requirement = res.Revision, res.Requirement
		g.markBallot(ctx)
	}
	before := g.tally.Votes()
	dropped := g.recount(ctx, before, res.Rejections)
	g.answerDropped(ctx, before, dropped)
	for _, d := range res.Rejections {
		g.answers.add(approval.Answer{DecisionID: d.ID, Outcome: approval.AnswerRecorded})
	}
	if g.tally.Settled() == nil {
		g.showVotes()
	}
}

// answerSettling answers the vote that would have settled the call, by what came of its claim.
func (g *guarded) answerSettling(ctx workflow.Context) {
	d := g.settling
	if d == nil {
		return // settled before in this run: the claim comes again
	}
	g.settling = nil
	isIt := func(v approval.Decision) bool { return v.ID == d.ID }
	switch {
	case g.view.Status == approval.StatusExecuting, g.view.Status == approval.StatusApproved:
		g.answer(*d, approval.AnswerResolved, "")
	case g.stopped: // the claim has put it on record
		g.answers.add(g.afterClaim(*d))
	case slices.ContainsFunc(g.tally.Votes(), isIt):
		g.answer(*d, approval.AnswerRecorded, g.change)
		g.noteVote(ctx, d.ID)
	default:
		g.answer(*d, approval.AnswerForbidden, g.change+": decide again")
	}
}

// afterClaim is the answer to a decision about a call that its claim has ended.
func (g *guarded) afterClaim(d decision) approval.Answer {
	a := ballot.Closed(g.view, d.Decision.Decision)
	if a.Message == "" && !a.Outcome.Counted() {
		a.Message = "the call is " + string(g.view.Status) + ": it may not run any more"
	}
	return a
}

// record writes the outcome and returns the one that the store holds.
func (g *guarded) record(ctx workflow.Context, out approval.Outcome) *approval.Outcome {
	out.ID, out.Tool, out.Digest, out.Execution = g.view.ID, g.call.Tool, g.digest, g.adm.Execution
	in := activities.RecordInput{
		ID: out.ID, Run: runID(ctx), Call: g.call, Redact: g.adm.Verdict.Redact,
		RedactValues: g.adm.Verdict.RedactValues, Outcome: out, At: now(ctx), Again: g.again,
	}
	if !out.Status.NeedsPermit() { // else the claim wrote them
		in.Votes = g.tally.Votes()
	}
	var res activities.RecordResult
	if out.Status.NeedsPermit() && g.adm.Execution == "" {
		g.step(ctx, localTimeout, steps.Record, in, &res)
	} else {
		// A denial is final in the store at once, while a permit can be voided until the tool starts; and so
		// is the silence of a caller. So the history must hold its cause first.
		g.ordinary(ctx, steps.Record, in, &res)
	}
	if res.Outcome != nil {
		return res.Outcome
	}
	return &out
}

// close answers the last signals, puts on record what is not yet, and shows the end.
func (g *guarded) close(ctx workflow.Context, out approval.Outcome) {
	at := now(ctx)
	g.view.Status, g.view.Decision, g.view.EndedAt = out.Status, out.Decision, &at
	g.show(ctx)
	g.judgeHeld(ctx)
	g.refuseLeft(ctx)
	g.pump(ctx)
	// Bounded, so that a flood of signals can't keep a finished call open. What is left then is in
	// Temporal's history alone.
	for range 10 {
		g.startNoting(ctx)
		if g.noting == nil {
			return
		}
		g.until(ctx, g.noting.IsReady)
		g.pump(ctx)
	}
}
