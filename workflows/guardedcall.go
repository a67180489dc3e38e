// Package workflows holds GuardedCall, the workflow that is one guarded call.
package workflows

import (
	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"
)

// steps names the activities by reference, so that the compiler checks them. It is never called.
var steps *activities.Activities

// GuardedCall is one guarded tool call: policy, wait, claim, tool, record. Its input is an
// approval.Call in JSON. It never fails: every ending, Temporal's own cancel included, is an
// approval.Outcome.
func GuardedCall(ctx workflow.Context, input converter.RawValue) (approval.Outcome, error) {
	g, err := newGuarded(ctx, input)
	if err != nil {
		return approval.Outcome{}, err
	}
	return g.run(ctx), nil
}

// guarded is the state of one call. One coroutine owns it: signals are taken from their channels in
// pump, between steps, never beside them.
type guarded struct {
	call    approval.Call
	problem string // why the input is no call
	digest  string

	adm     activities.Admission
	view    approval.View // what the query shows
	claimed activities.Permit
	tally   ballot.Tally
	timer   workflow.Future // fires at the deadline

	inbox     inbox
	cancelled *approval.Settlement
	answers   answers
	early     []decision // came before the policy answered
	late      []decision // came around the deadline, or their envelope's: history decides
	unknown   []decision // signed with a key that came after the call was admitted, or that nobody trusts
	keys      []sign.PublicKey
	lookups   int // how often keys were asked for

	refusals    []activities.Refusal
	refusedMore int // beyond maxRefusals
	refusing    workflow.Future
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
	return g, workflow.SetQueryHandlerWithOptions(ctx, approval.QueryState, g.state, about)
}

// callID is the workflow's ID, or why a call can't have it and how it is written then.
func callID(ctx workflow.Context) (string, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	err := approval.CheckID(id)
	if err == nil || workflow.GetVersion(ctx, "printable-ids", workflow.DefaultVersion, 1) < 1 {
		return id, nil
	}
	return approval.EscapeID(id), err
}

func parseInput(input converter.RawValue) (approval.Call, error) {
	p := payload(input)
	if p == nil {
		return approval.Call{}, approval.Errorf(approval.CodeInvalid,
			"the workflow was started without a call: give {\"tool\": …, \"args\": {…}} as input")
	}
	if enc := string(p.GetMetadata()[converter.MetadataEncoding]); enc != converter.MetadataEncodingJSON {
		return approval.Call{}, approval.Errorf(approval.CodeInvalid, "the call must be JSON (%s), not %q",
			converter.MetadataEncodingJSON, approval.Display(enc, 40))
	}
	return approval.ParseCall(p.GetData())
}

// state answers the query. Results and error texts are left to the outcome (raw, for the caller)
// and the store (redacted, for everyone else).
func (g *guarded) state() (approval.State, error) {
	judging := len(g.early)+len(g.late)+len(g.unknown) > 0
	return approval.State{View: g.view, Answers: g.answers.list, Judging: judging}, nil
}

func (g *guarded) run(ctx workflow.Context) approval.Outcome {
	out := g.admit(ctx)
	if out == nil && !g.adm.Claimed {
		if out = g.wait(ctx); out == nil {
			out = g.claim(ctx)
		} else {
			out = g.record(ctx, *out)
		}
	}
	if out == nil {
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
		Call: g.call, Digest: g.digest, Problem: g.problem,
		CreatedAt: g.view.CreatedAt, Now: now(ctx),
	}
	g.step(ctx, localTimeout, steps.Admit, in, &g.adm)
	g.view, g.claimed, g.keys = g.adm.View, g.adm.Permit, g.adm.Keys
	if g.view.Status.Ended() {
		out := g.view.Outcome()
		return &out
	}
	if g.adm.Claimed {
		g.answerVotes()
	}
	return nil
}

// wait is where people decide. It returns nil when they approved. The timer is there before anybody
// can answer: silence is denial.
func (g *guarded) wait(ctx workflow.Context) *approval.Outcome {
	deadline := *g.view.Deadline
	g.tally = ballot.New(g.rules(ctx))
	summary := workflow.TimerOptions{Summary: "deadline of the approval"}
	g.timer = workflow.NewTimerWithOptions(detached(ctx), deadline.Sub(workflow.Now(ctx)), summary)
	g.show(ctx)
	g.judgeHeld(ctx)

	for {
		g.until(ctx, func() bool {
			return g.withdrawn(ctx) != nil || g.tally.Settled() != nil || g.overdue(ctx) || g.mustRefuse() ||
				len(g.unknown)+len(g.late) > 0
		})
		g.startRefusing(ctx)
		g.detail(ctx)
		switch {
		case g.withdrawn(ctx) != nil:
			return g.denied(approval.StatusCancelled, approval.CodeCancelled, "the call was withdrawn",
				g.withdrawn(ctx))
		case g.tally.Settled() != nil:
			s := g.tally.Settled().Settlement()
			s.Notes = g.redacted(s.Notes)
			g.view.Decision = s
			if s.Kind == approval.SettledApprove {
				g.view.Status = approval.StatusApproved
				return nil
			}
			return g.denied(approval.StatusRejected, approval.CodeRejected, rejection(*s), s)
		case len(g.unknown) > 0:
			g.lookUpKeys(ctx)
		case len(g.late) > 0:
			g.judgeLate(ctx, deadline)
		case g.overdue(ctx):
			return g.denied(approval.StatusExpired, approval.CodeExpired,
				"nobody approved the call before its deadline",
				&approval.Settlement{Kind: approval.SettledExpire, At: deadline})
		}
	}
}

func rejection(s approval.Settlement) string {
	message := "a reviewer rejected the call"
	if s.By != "" {
		message = s.By + " rejected the call"
	}
	if s.Notes != "" {
		message += ": " + s.Notes
	}
	return message
}

func (g *guarded) denied(
	status approval.Status, code, message string, by *approval.Settlement,
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

// claim takes the permit. It returns an outcome if there is none to take. The local attempt may
// have taken it in a workflow task that was lost: then this run's outcome names the decisions for
// which it was taken. Should an answer that goes first have come meanwhile, the unused permit is
// void.
func (g *guarded) claim(ctx workflow.Context) *approval.Outcome {
	in := activities.ClaimInput{
		ID: g.view.ID, Run: runID(ctx), Digest: g.digest, Call: g.call, Redact: g.adm.Verdict.Redact,
		Votes: g.tally.Votes(), Queue: g.adm.Queue, Now: now(ctx),
	}
	var res activities.ClaimResult
	g.step(ctx, claimTimeout, steps.Claim, in, &res)
	if res.Outcome == nil {
		g.claimed, g.view.Decision, g.view.Votes = res.Permit, res.Decision, res.Votes
	}
	return res.Outcome
}

// record writes the outcome and returns the one that the store holds.
func (g *guarded) record(ctx workflow.Context, out approval.Outcome) *approval.Outcome {
	out.ID, out.Tool, out.Digest = g.view.ID, g.call.Tool, g.digest
	in := activities.RecordInput{
		ID: out.ID, Run: runID(ctx), Call: g.call, Redact: g.adm.Verdict.Redact,
		Outcome: out, At: now(ctx),
	}
	if !out.Status.NeedsPermit() { // else the claim wrote them
		in.Votes = g.tally.Votes()
	}
	var res activities.RecordResult
	if out.Status.NeedsPermit() {
		g.step(ctx, localTimeout, steps.Record, in, &res)
	} else {
		// A denial is final in the store at once, where a permit can be voided until the tool starts. So
		// history fixes first what it follows from.
		g.ordinary(ctx, steps.Record, in, &res)
	}
	if res.Outcome != nil {
		return res.Outcome
	}
	return &out
}

// close answers the last signals, puts the refused ones on record and shows the end.
func (g *guarded) close(ctx workflow.Context, out approval.Outcome) {
	at := now(ctx)
	g.view.Status, g.view.Decision, g.view.EndedAt = out.Status, out.Decision, &at
	g.show(ctx)
	g.judgeHeld(ctx)
	g.pump(ctx)
	// Bounded, so that a flood of signals can't keep a finished call open. What is left then is in
	// Temporal's history alone.
	for range 10 {
		g.startRefusing(ctx)
		if g.refusing == nil {
			return
		}
		g.until(ctx, g.refusing.IsReady)
		g.pump(ctx)
	}
}
