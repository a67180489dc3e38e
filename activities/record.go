package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/tool"
)

// ClaimInput asks for the one permit of a call that people approved.
type ClaimInput struct {
	ID, Run, Digest string
	Votes           []approval.Decision // with their envelopes, and not redacted
	Queue           string              // of the workers that run the tool, as admitted; empty: Execute does
	Call            approval.Call
	Redact          []string
	RedactValues    approval.RedactValues `json:",omitempty"`
	Now             time.Time             // the workflow's now
	Revision        int64                 // of the call, by which the workflow counted

	execution approval.Execution  // as the store has it
	policy    *approval.PolicyRef // that judged the call again
}

// ClaimResult says whether a call may run. If Outcome is not nil the call has ended so, as the
// store holds it, redacted. If Requirement is not nil the call does not run yet: it takes that much
// now, and its decisions are counted again. So they are if there are Rejections: these are on record
// and not among the votes, and with them the call is not approved yet.
type ClaimResult struct {
	Outcome     *approval.Outcome
	Requirement *approval.Requirement `json:",omitempty"`
	Revision    int64                 `json:",omitempty"` // that of Requirement
	Rejections  []approval.Decision   `json:",omitempty"`
	// Of a call that may run: the permit and, as the store holds it, the decision that it was given
	// for. An earlier claim of the same approval, whose workflow task was lost, has another time.
	Permit   Permit
	Decision *approval.FinalDecision `json:",omitempty"`
	Votes    []approval.Decision     `json:",omitempty"` // as the store holds them, unless the call waits on
}

// WaitsOn reports whether the call goes on waiting for people.
func (r ClaimResult) WaitsOn() bool { return r.Requirement != nil || len(r.Rejections) > 0 }

// Claim is JudgeAndClaim for calls that were admitted before there was one. Their workflows know no
// way back to waiting: what the policy demands by now blocks them.
func (a *Activities) Claim(ctx context.Context, in ClaimInput) (ClaimResult, error) {
	res, err := a.judgeAndClaim(ctx, &in)
	if err != nil || !res.WaitsOn() {
		return res, err
	}
	return a.endUnclaimed(ctx, in, serverNow(ctx, in.Now), approval.StatusBlocked, approval.FinalDeny,
		approval.CodePolicyChanged, "the active policy demands more than the call was approved with; nothing ran")
}

// claimOnce is one try at a claim. It makes in hide what the store's verdict hides, and the active
// policy's, whatever the workflow said.
func (a *Activities) claimOnce(ctx context.Context, in *ClaimInput, now time.Time) (ClaimResult, error) {
	record, err := a.Store.Call(ctx, in.ID)
	if err != nil {
		return ClaimResult{}, err
	}
	in.Redact, in.RedactValues = record.Verdict.Redact, record.Verdict.RedactValues
	in.execution = record.View.Execution
	switch {
	case in.Digest != record.View.Digest || !isOf(record, in.Call):
		return a.endUnclaimed(ctx, *in, now, approval.StatusBlocked, approval.FinalDeny, approval.CodeDigest,
			"the call is not the one that was admitted; nothing ran")
	case record.View.Status.Ended() || record.Permit != nil:
		return claimed(record), nil
	case record.Revision > in.Revision:
		return tightened(record), nil
	}
	rejections, sent, err := a.sent(ctx, in.ID)
	if err != nil {
		return ClaimResult{}, err
	}
	votes, by, why, err := a.approved(ctx, record, in.Votes, rejections)
	validFor := record.Verdict.GoodFor(record.View.Execution)
	switch {
	case err != nil:
		return ClaimResult{}, err
	case why != "":
		return a.endUnclaimed(ctx, *in, now, approval.StatusBlocked, approval.FinalDeny,
			approval.CodeUntrusted, why+"; nothing ran")
	case by == nil:
		return ClaimResult{Rejections: uncounted(rejections, in.Votes)}, nil
	case by.Kind == approval.Reject:
		return a.endRejected(ctx, *in, now, rejections, *by)
	case now.After(by.At.Add(validFor)):
		return a.endUnclaimed(ctx, *in, now, approval.StatusExpired, approval.FinalExpire, approval.CodeExpired,
			fmt.Sprintf("the approval was valid for %v and ran out before the call could be claimed", validFor))
	}
	switch offered, err := a.offered(ctx, record.View, in.Queue); {
	case err != nil:
		return ClaimResult{}, err
	case !offered:
		return a.endUnclaimed(ctx, *in, now, approval.StatusBlocked, approval.FinalDeny, approval.CodeUnknownTool,
			"the tool is no longer offered on the task queue where it was when the call was admitted; nothing ran")
	}
	again, policy, version, err := a.judgeAgain(ctx, in, record, now)
	switch {
	case err != nil:
		return ClaimResult{}, err
	case again != nil:
		return *again, nil
	}
	r := in.redactor()
	claiming := store.ClaimParams{
		ID: in.ID, Run: in.Run, Digest: in.Digest, At: now, GoodUntil: by.At.Add(validFor), Queue: in.Queue,
		Revision: record.Revision, Sent: sent, Policy: version,
		Votes: shown(r, votes), Decision: redactFinal(r, by.Final()),
	}
	if claiming.Evidence, err = evidence(votes); err != nil {
		return ClaimResult{}, err
	}
	if claiming.Entries, err = decisionEntries(in.ID, in.Run, in.Call.Nonce, redactVotes(r, votes)); err != nil {
		return ClaimResult{}, err
	}
	entry, err := entry(in.ID, "claim", now, audit.Claimed{
		Digest: in.Digest, Decision: claiming.Decision, Run: in.Run, Queue: in.Queue, Policy: &policy,
	})
	if err != nil {
		return ClaimResult{}, err
	}
	claiming.Entries = append(claiming.Entries, entry)
	record, err = a.Store.Claim(ctx, claiming)
	if err != nil {
		return ClaimResult{}, err
	}
	return claimed(record), nil
}

// offered reports whether a tool runs on the task queue that a workflow names: of what other
// workers are said to run any result is believed, so the workflow's word is not enough. Of a tool
// of Pawl's workers that is gone Execute tells. What a caller runs is on no queue.
func (a *Activities) offered(ctx context.Context, v approval.View, queue string) (bool, error) {
	if v.Execution == approval.ExecutionCaller {
		return queue == "", nil
	}
	t, err := a.find(ctx, v.Tool)
	if err != nil || t == nil {
		return queue == "", err
	}
	return t.Queue() == queue, nil
}

// claimed is the result of a claim by what the store holds after it.
func claimed(record store.Record) ClaimResult {
	if out := ended(record); out != nil {
		return ClaimResult{Outcome: out, Votes: record.View.Votes}
	}
	return ClaimResult{Permit: permit(record.Permit), Decision: record.View.Decision, Votes: record.View.Votes}
}

// endUnclaimed ends a call that people approved and that may not run.
func (a *Activities) endUnclaimed(ctx context.Context, in ClaimInput, at time.Time,
	status approval.Status, kind approval.FinalKind, code, message string) (ClaimResult, error) {
	return a.endClaim(ctx, in, at, status, &approval.CallError{Code: code, Message: message},
		approval.FinalDecision{Kind: kind, By: "pawl", At: at})
}

// endRejected ends a call whose rejections are on record, though its workflow did not count them all.
// Those that ended it, the last one being by, are among the call's votes from then on: whoever sent
// them is told that they counted.
func (a *Activities) endRejected(
	ctx context.Context, in ClaimInput, at time.Time, rejections []approval.Decision, by approval.Decision,
) (ClaimResult, error) {
	// They count first, so if by is none of them, all have.
	if last := slices.IndexFunc(rejections, func(d approval.Decision) bool { return d.ID == by.ID }); last >= 0 {
		rejections = rejections[:last+1]
	}
	in.Votes = append(slices.Clip(in.Votes), uncounted(rejections, in.Votes)...)
	why := &approval.CallError{Code: approval.CodeRejected, Message: by.Reviewer + " rejected the call"}
	return a.endClaim(ctx, in, at, approval.StatusRejected, why, *by.Final())
}

func (a *Activities) endClaim(ctx context.Context, in ClaimInput, at time.Time,
	status approval.Status, why *approval.CallError, by approval.FinalDecision) (ClaimResult, error) {
	out := approval.Outcome{
		ID: in.ID, Tool: in.Call.Tool, Digest: in.Digest, Status: status, Error: why, Decision: &by,
		Execution: in.execution,
	}
	end := RecordInput{
		ID: in.ID, Run: in.Run, Call: in.Call, Redact: in.Redact, RedactValues: in.RedactValues, Votes: in.Votes,
		At: at, policy: in.policy,
	}
	ended, err := a.finishAs(ctx, end, out)
	return ClaimResult{Outcome: ended, Votes: shown(end.redactor(), in.Votes)}, err
}

// RecordInput is how a call ended, as the workflow knows it.
type RecordInput struct {
	ID, Run string
	Call    approval.Call // its arguments teach the redactor what to hide
	Redact  []string
	// RedactValues, as the call's verdict has it.
	RedactValues approval.RedactValues `json:",omitempty"`
	Outcome      approval.Outcome
	Votes        []approval.Decision
	At           time.Time
	// Again is whether an earlier attempt at the tool ended unknown.
	Again bool `json:",omitempty"`

	policy *approval.PolicyRef // that judged the call last, if it was judged here
}

// RecordResult holds how the call ended, as the store holds it, if that is not as Record was told:
// an earlier run of the call was first, or its tool's answer says that it did not do what was asked.
type RecordResult struct {
	Outcome *approval.Outcome
}

// Record writes the outcome.
func (a *Activities) Record(ctx context.Context, in RecordInput) (RecordResult, error) {
	if err := a.mustBeOrdinary(ctx); err != nil {
		return RecordResult{}, err
	}
	record, err := a.Store.Call(ctx, in.ID)
	switch {
	case err != nil:
		return RecordResult{}, fmt.Errorf("reading call %s: %w", in.ID, err)
	case in.Outcome.Status.NeedsPermit() && !isOf(record, in.Call):
		// A denial counts whatever the call is said to be: its arguments only teach what else to hide, and
		// a workflow that can't read its input any more still has a deadline.
		return RecordResult{}, refuse(approval.CodeDigest, "the call is not the one that was admitted", nil)
	}
	in.hide(record)
	in.Outcome.Digest, in.Call.Tool = record.View.Digest, record.View.Tool
	if judged := a.judged(in); judged != nil {
		out, err := a.finishAs(ctx, in, *judged)
		return RecordResult{Outcome: out}, err
	}
	out, err := a.finish(ctx, in)
	return RecordResult{Outcome: out}, err
}

// judged is how a call ended whose tool ran on another task queue and whose answer says that it did
// not do what was asked. nil is as the input says: those that ran here were judged where they ran.
func (a *Activities) judged(in RecordInput) *approval.Outcome {
	t, ok := a.Tools.Lookup(in.Call.Tool)
	if !ok || t.Queue() == "" || in.Outcome.Status != approval.StatusExecuted {
		return nil
	}
	err := t.Judge(in.Outcome.Result)
	if err == nil {
		return nil
	}
	status, code := approval.StatusFailed, approval.CodeToolFailed
	if in.Again {
		err = tool.Unknown(fmt.Errorf("an earlier attempt's end is unknown; the last one: %w", err))
	}
	if tool.IsUnknown(err) {
		status, code = approval.StatusOutcomeUnknown, approval.CodeUnknown
	}
	out := in.Outcome
	out.ID, out.Tool, out.Result, out.Status = in.ID, in.Call.Tool, nil, status
	out.Error = &approval.CallError{Code: code, Message: err.Error()}
	return &out
}

// finish ends a call. It returns how the call ended before, or nil if it ends as the input says.
func (a *Activities) finish(ctx context.Context, in RecordInput) (*approval.Outcome, error) {
	record, fresh, err := a.end(ctx, in)
	switch {
	case errors.Is(err, store.ErrStarted):
		return a.endStarted(ctx, in)
	case errors.Is(err, store.ErrNoPermit):
		// Either somebody runs workflows of their own, or the store was set back. Both need a person; the
		// step is retried until one came.
		return nil, fmt.Errorf("call %s can't end %s: the store holds no permit for it: %w",
			in.ID, in.Outcome.Status, err)
	case err != nil:
		return nil, fmt.Errorf("recording the outcome of call %s: %w", in.ID, err)
	case fresh, record.View.Status == in.Outcome.Status && in.Outcome.Status.NeedsPermit():
		// It ends as the input says, by this attempt or one before. The workflow has the raw result,
		// which the store does not.
		return nil, nil
	}
	return ended(record), nil
}

// end ends a call in the store, unless it has ended before. Errors: those of store.Calls.Finish.
func (a *Activities) end(ctx context.Context, in RecordInput) (record store.Record, fresh bool, err error) {
	r := in.redactor()
	out := in.Outcome
	out.ID, out.Tool = in.ID, in.Call.Tool
	out.Result = r.JSON(out.Result)
	out.Decision = redactFinal(r, out.Decision)
	if out.Error != nil {
		out.Error = &approval.CallError{Code: out.Error.Code, Message: r.Text(out.Error.Message)}
	}
	votes, _, err := a.believed(ctx, in.ID, in.Outcome.Digest, in.Votes)
	if err != nil {
		return record, false, err
	}
	if err := a.checkFinal(ctx, in.ID, out.Decision, votes); err != nil {
		return record, false, err
	}
	entries, err := decisionEntries(in.ID, in.Run, in.Call.Nonce, redactVotes(r, votes))
	if err != nil {
		return record, false, err
	}
	said := audit.Ended{Outcome: entryOutcome(out), Run: in.Run}
	if out.Error != nil && out.Error.Code == approval.CodePolicyChanged {
		said.Policy = in.policy
	}
	end, err := entry(in.ID, "end", in.At, said)
	if err != nil {
		return record, false, err
	}
	record, fresh, err = a.Store.Finish(ctx, store.FinishParams{
		Outcome: out, Run: in.Run, Votes: shown(r, votes), At: in.At, Entries: append(entries, end),
	})
	if fresh {
		a.logEnd(ctx, record.View)
	}
	return record, fresh, err
}

// checkFinal keeps a decision from looking authenticated on the workflow's word: one of the
// votes must be it, or what the store holds already.
func (a *Activities) checkFinal(
	ctx context.Context, id string, d *approval.FinalDecision, votes []approval.Decision,
) error {
	if d == nil || !d.Authenticated {
		return nil
	}
	if slices.ContainsFunc(votes, func(v approval.Decision) bool {
		return v.Authenticated && v.Reviewer == d.By && approval.FinalKind(v.Kind) == d.Kind
	}) {
		return nil
	}
	record, err := a.Store.Call(ctx, id)
	if err != nil {
		return fmt.Errorf("reading call %s: %w", id, err)
	}
	held := record.View.Decision
	d.Authenticated = held != nil && held.Authenticated && held.By == d.By && held.Kind == d.Kind
	return nil
}

// finishAs ends the call with an outcome that the workflow does not know of, and so has to be told.
func (a *Activities) finishAs(
	ctx context.Context, in RecordInput, out approval.Outcome,
) (*approval.Outcome, error) {
	in.Outcome = out
	ended, err := a.finish(ctx, in)
	if err == nil && ended == nil {
		ended = &out
	}
	return ended, err
}

// endStarted ends a call whose tool an earlier run started, and about which nothing more is known.
// Who allowed it stays on record.
func (a *Activities) endStarted(ctx context.Context, in RecordInput) (*approval.Outcome, error) {
	record, err := a.Store.Call(ctx, in.ID)
	if err != nil {
		return nil, fmt.Errorf("reading call %s: %w", in.ID, err)
	}
	why := &approval.CallError{Code: approval.CodeAlreadyRan,
		Message: "an earlier run of this call started the tool and did not say how it ended; " +
			"look at the tool's own records"}
	if record.View.Execution == approval.ExecutionCaller {
		why = &approval.CallError{Code: approval.CodeNotReported, Message: NotReported}
	}
	return a.finishAs(ctx, in, approval.Outcome{
		ID: in.ID, Tool: in.Call.Tool, Digest: record.View.Digest, Status: approval.StatusOutcomeUnknown,
		Error: why, Decision: record.View.Decision, Execution: record.View.Execution,
	})
}

// isOf reports whether a record is that of a call, by the digest that the call's arguments have.
func isOf(r store.Record, call approval.Call) bool {
	digest, err := call.Digest(r.View.ID)
	return err == nil && digest == r.View.Digest
}

// ended is how a call ended, or nil.
func ended(record store.Record) *approval.Outcome {
	if !record.View.Status.Ended() {
		return nil
	}
	out := record.View.Outcome()
	return &out
}
