package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/pawlhq/pawl/tool"
)

// AdmitInput is a call as its workflow received it.
type AdmitInput struct {
	ID, Run   string
	Call      approval.Call
	Digest    string
	Problem   string    // why the input is not a call; then Call and Digest are empty
	CreatedAt time.Time // when the run started, by Temporal's clock
	Now       time.Time // the workflow's now
	Via       approval.Via
}

// Admission is what the rest of the workflow depends on.
type Admission struct {
	View    approval.View // redacted; an ended status means: return this outcome
	Verdict approval.Verdict
	Claimed bool // the permit is taken: by policy, or by an earlier run of this call

	Permit // if Claimed; else only its Queue is set: where the tool would run

	Timeout    approval.Duration // of one run of the tool
	Heartbeat  approval.Duration // of a tool elsewhere; 0: it sends none
	Idempotent bool              // the tool may be run again when its end is unknown

	Execution approval.Execution `json:",omitempty"` // ExecutionCaller, or empty: a worker runs the tool

	// Keys are the trusted signing keys, for a call that waits. The workflow asks for newer ones when
	// a decision names them, and Claim finds revoked ones.
	Keys []sign.PublicKey `json:",omitempty"`

	Revision int64 `json:",omitempty"` // of the call; see ClaimInput

	Ordinary         bool // see Activities
	SearchAttributes bool
	PublicURL        string `json:",omitempty"` // see Activities
}

// Permit says who holds a call's permit.
type Permit struct {
	Run   string // the run that claimed
	Queue string // of the workers that run the tool; empty: Execute does
}

func permit(c *store.Permit) Permit { return Permit{Run: c.Run, Queue: c.Queue} }

// Admit is the policy activity: it resolves the tool, evaluates the policy, checks the arguments
// and writes the call's row and audit entry, in one transaction with the permit where the policy
// allows the call outright. If the ID is known already, the store keeps what it has, and that is
// the answer.
func (a *Activities) Admit(ctx context.Context, in AdmitInput) (Admission, error) {
	if err := a.mustBeOrdinary(ctx); err != nil {
		return Admission{}, err
	}
	now := serverNow(ctx, in.Now)
	if in.Problem == "" {
		// People approve a digest by what they see, so it must be the digest of what they see, whoever
		// runs the workflow.
		if digest, err := in.Call.Digest(in.ID); err != nil || digest != in.Digest {
			return Admission{}, refuse(approval.CodeDigest, "the digest is not the call's", err)
		}
	}
	t, err := a.find(ctx, in.Call.Tool)
	if err != nil {
		return Admission{}, err
	}
	admission, err := a.judge(ctx, in, t, now)
	if err != nil {
		return Admission{}, err
	}
	record, fresh, err := a.Store.Admit(ctx, admission)
	if held := (*store.DuplicateError)(nil); errors.As(err, &held) {
		// A crash before the next line leaves nothing behind: the call is judged again from the start.
		if admission, err = endedDuplicate(in, held, admission, now); err != nil {
			return Admission{}, err
		}
		record, fresh, err = a.Store.Admit(ctx, admission)
	}
	if err != nil {
		return Admission{}, fmt.Errorf("admitting call %s: %w", in.ID, err)
	}
	if !fresh && record.View.Digest != in.Digest {
		if record, err = a.readmit(ctx, in, now, record); err != nil {
			return Admission{}, err
		}
	}
	if fresh && record.View.Status.Ended() {
		a.logEnd(ctx, record.View)
	}
	out := Admission{
		View: record.View, Verdict: record.Verdict,
		Claimed:  record.Permit != nil && !record.Permit.Void,
		Revision: record.Revision,
		Ordinary: a.Ordinary, SearchAttributes: a.SearchAttributes,
	}
	out.Execution = record.View.Execution
	if record.IsRequest {
		out.PublicURL = a.PublicURL
	}
	if t != nil && out.Execution == "" {
		out.Queue, out.Idempotent = t.Queue(), t.Idempotent()
		out.Timeout, out.Heartbeat = approval.Duration(t.Timeout()), approval.Duration(t.Heartbeat())
	}
	if out.Claimed {
		out.Permit = permit(record.Permit)
	} else if !out.View.Status.Ended() {
		if out.Keys, err = a.trusted(ctx); err != nil {
			return Admission{}, err
		}
	}
	return out, nil
}

// judge turns the input into the row to be written. t is nil if nobody offers the tool.
func (a *Activities) judge(
	ctx context.Context, in AdmitInput, t *tool.Tool, now time.Time,
) (store.AdmitParams, error) {
	verdict, version := approval.Verdict{Kind: approval.VerdictDeny}, int64(store.UnversionedPolicy)
	code, message := approval.CodeInvalid, in.Problem
	var alike, identical string
	noAttempt := store.CheckAttempt(ctx, a.Store.Call, in.Call)
	if noAttempt != nil && !errors.Is(noAttempt, approval.ErrNoAttempt) {
		return store.AdmitParams{}, noAttempt
	}
	if in.Problem == "" {
		key, err := a.alikeKey(ctx)
		if err != nil {
			return store.AdmitParams{}, err
		}
		identical = store.Identical(key, in.Call)
		verdict, version = a.evaluate(in.Call, now)
		if verdict.Executor(in.Call) == approval.ExecutionCaller {
			alike = store.Alike(key, in.Call)
			t, err = a.callersTool(ctx, in.Call, verdict, t)
		}
		switch {
		case noAttempt != nil:
			code, message = approval.CodeInvalid, noAttempt.Error()
		case errors.Is(err, errServed):
			code, message = approval.CodeExecution, err.Error()
		case err != nil:
			return store.AdmitParams{}, err
		default:
			code, message = blocks(in.Call, t, verdict)
		}
	}

	view, r := redactedView(in, verdict)
	if noAttempt != nil {
		view.AttemptOf = "" // the store links only what belongs together
	}
	if view.Execution == approval.ExecutionCaller {
		view.SchemaUnknown, view.ReportWithin = t == nil, reportWithin(in.Call, t)
	}
	admission := store.AdmitParams{
		Verdict: verdict, Run: in.Run, Policy: version, Alike: alike, Identical: identical,
	}
	switch {
	case code != "":
		view.End(blocked(code, r.Text(message), now), now)
	case verdict.Kind == approval.VerdictAllow:
		view.Status = approval.StatusExecuting
		view.Decision = &approval.FinalDecision{Kind: approval.FinalAllow, By: "policy", At: now}
		admission.TakePermit, admission.GoodUntil = true, now.Add(verdict.GoodFor(view.Execution))
		if view.Execution == approval.ExecutionCaller {
			view.Status = approval.StatusApproved // until the caller starts the tool
		} else {
			admission.Queue = t.Queue()
		}
	default:
		deadline := now.Add(verdict.Timeout.Std())
		view.Status, view.Deadline, view.Requirement = approval.StatusPending, &deadline, verdict.Requirement
		admission.IsRequest, admission.DuplicateKey = true, duplicateKey(in, view, verdict)
	}
	admission.View = view

	requested, err := admitted(in, view, verdict, now)
	if err != nil {
		return store.AdmitParams{}, err
	}
	admission.Entries = []audit.Entry{requested}
	if admission.TakePermit {
		claimed, err := entry(in.ID, "claim", now, audit.Claimed{
			Digest: in.Digest, Decision: view.Decision, Run: in.Run, Queue: admission.Queue,
		})
		if err != nil {
			return store.AdmitParams{}, err
		}
		admission.Entries = append(admission.Entries, claimed)
	}
	return admission, nil
}

// admitted is the audit entry of a call's admission.
func admitted(
	in AdmitInput, view approval.View, verdict approval.Verdict, now time.Time,
) (audit.Entry, error) {
	if view.Status == approval.StatusBlocked {
		return entry(in.ID, "admit", now, audit.Blocked{Call: &view, Verdict: &verdict, Run: in.Run, Via: in.Via})
	}
	return entry(in.ID, "admit", now, audit.Requested{Call: view, Verdict: verdict, Run: in.Run, Via: in.Via})
}

// blocked is the end of a call that may not run.
func blocked(code, message string, at time.Time) approval.Outcome {
	return approval.Outcome{
		Status: approval.StatusBlocked, Error: &approval.CallError{Code: code, Message: message},
		Decision: &approval.FinalDecision{Kind: approval.FinalDeny, By: "pawl", At: at},
	}
}

// blocks returns the code and message of what stops the call before any person is asked, or an
// empty code.
func blocks(call approval.Call, t *tool.Tool, verdict approval.Verdict) (code, message string) {
	if err := verdict.Validate(); err != nil {
		return approval.CodeInternalError, "the policy gave no verdict that can be used: " + err.Error()
	}
	if err := call.Validate(); err != nil { // whoever started the workflow may not have
		return approval.CodeInvalid, err.Error()
	}
	callers := verdict.Executor(call) == approval.ExecutionCaller
	if t == nil && !callers {
		return approval.CodeUnknownTool, fmt.Sprintf("no worker offers the tool %q", call.Tool)
	}
	if verdict.Kind == approval.VerdictDeny {
		return approval.CodePolicyDenied, "the policy forbids this call (" + verdict.Policy.Rule + ")"
	}
	if t == nil {
		return "", "" // reviewers are told that nothing checked the arguments
	}
	if err := t.CheckArgs(call.Args); err != nil {
		return approval.CodeBadArguments, err.Error()
	}
	return "", ""
}

// redactedView is the call as others see it, and the redactor that made it.
func redactedView(in AdmitInput, verdict approval.Verdict) (approval.View, *redact.Redactor) {
	view := approval.View{
		ID: in.ID, Tool: in.Call.Tool, Digest: in.Digest, Status: approval.StatusEvaluating,
		Agent: in.Call.Agent, Team: in.Call.Team, Session: in.Call.Session,
		Requester: in.Call.Requester, Owner: in.Call.Owner,
		Risk: verdict.Risk, CreatedAt: in.CreatedAt, Execution: verdict.Executor(in.Call),
		AttemptOf: in.Call.AttemptOf,
	}
	if verdict.Policy != (approval.PolicyRef{}) {
		view.Policy = &verdict.Policy
	}
	r := redact.New(verdict.Redact, verdict.RedactValues)
	view.Args = r.Args(in.Call.Args)
	view.Labels = r.Labels(in.Call.Labels) // before the texts, which may repeat what is hidden here
	view.Title, view.Description = r.Text(in.Call.Title), r.Text(in.Call.Description)
	view.Reason = r.Text(in.Call.Reason)
	return view, r
}

// readmit handles an ID that is known with another digest: a fresh workflow under an old
// idempotency key, after Temporal forgot the first one. Only one workflow of an ID runs at a time,
// so the first one is gone for good.
func (a *Activities) readmit(
	ctx context.Context, in AdmitInput, now time.Time, record store.Record,
) (store.Record, error) {
	if !sameCall(in, record) {
		message := "the idempotency key was used for another call; use a new key for a new call"
		said := audit.Blocked{Run: in.Run, Digest: in.Digest, Code: approval.CodeConflict, By: in.Call.Requester, Via: in.Via}
		step, err := contentStep("conflict/"+in.Run, in.Call.Nonce, said)
		if err != nil {
			return record, err
		}
		e, err := entry(in.ID, step, now, said)
		if err != nil {
			return record, err
		}
		if err := a.Store.Append(ctx, e); err != nil {
			return record, fmt.Errorf("recording conflict of call %s: %w", in.ID, err)
		}
		view, _ := redactedView(in, record.Verdict)
		view.End(blocked(approval.CodeConflict, message, now), now)
		return store.Record{View: view, Verdict: record.Verdict}, nil
	}
	if record.View.Status.Ended() {
		return record, nil
	}
	// The first workflow ended without an outcome (terminated, or lost with its server). Nothing of it
	// can go on: its digest is of another nonce.
	_, err := a.finish(ctx, RecordInput{
		ID: in.ID, Run: in.Run, Call: in.Call, Redact: record.Verdict.Redact,
		RedactValues: record.Verdict.RedactValues, At: now,
		Outcome: approval.Outcome{
			Status: approval.StatusCancelled,
			Error: &approval.CallError{Code: approval.CodeCancelled,
				Message: "an operator ended an earlier workflow of this call before the call had ended; " +
					"start the call again with a new key"},
			Decision: &approval.FinalDecision{Kind: approval.FinalCancel, By: "pawl", At: now},
		},
	})
	if err != nil {
		return record, err
	}
	return a.Store.Call(ctx, in.ID)
}

// sameCall compares what the store holds of a call with the call asked for. What can't be compared
// is another call: hidden values, and what a call asks for beyond what the store keeps of it.
func sameCall(in AdmitInput, record store.Record) bool {
	call, then := in.Call, record.View
	if (len(record.Verdict.Redact) > 0 || record.Verdict.RedactValues.On()) && marked(then) {
		return false
	}
	return !call.RequireApproval && call.Timeout == 0 && call.ReportWithin == 0 && call.Tool == then.Tool &&
		(call.Execution == approval.ExecutionCaller) == (then.Execution == approval.ExecutionCaller) &&
		sameJSON(call.Args, then.Args) && call.Agent == then.Agent && call.Team == then.Team &&
		call.Session == then.Session && call.Title == then.Title && call.Description == then.Description &&
		call.Reason == then.Reason && maps.Equal(call.Labels, then.Labels) &&
		call.Requester == then.Requester && call.Owner == then.Owner && call.AttemptOf == then.AttemptOf
}

// marked reports whether anything was hidden in what is redacted of a call before it is stored.
func marked(v approval.View) bool {
	texts := []string{string(v.Args), v.Title, v.Description, v.Reason}
	for _, text := range v.Labels {
		texts = append(texts, text)
	}
	return slices.ContainsFunc(texts, redact.Marked)
}

func sameJSON(a, b json.RawMessage) bool {
	x, errX := strictjson.Canonical(a)
	y, errY := strictjson.Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
