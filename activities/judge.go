package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy/requirement"
	"github.com/pawlhq/pawl/store"
)

// Versioned is a Policy that follows the versions in the store. Permits are taken only by the
// version that is active there when they are.
type Versioned interface {
	Policy
	// Judge is Evaluate, and says which version judged.
	Judge(call approval.Call, now time.Time) (v approval.Verdict, version int64)
	// Refresh takes up the version that is active now. On an error the one before stays in force: the
	// store does not answer, or this process can't judge by the active one.
	Refresh(ctx context.Context) error
}

// evaluate judges a call by the policy in force here, and says which version of the store's that
// is, or store.UnversionedPolicy.
func (a *Activities) evaluate(call approval.Call, now time.Time) (approval.Verdict, int64) {
	var verdict approval.Verdict
	version := int64(store.UnversionedPolicy)
	if p, ok := a.Policy.(Versioned); ok {
		verdict, version = p.Judge(call, now)
	} else {
		verdict = a.Policy.Evaluate(call, now)
	}
	if verdict.Requirement != nil {
		r := *verdict.Requirement
		r.Decisions = a.counting(r)
		verdict.Requirement = &r
	}
	return verdict, version
}

// counting says which decisions count for a call. Where several people are asked, and neither policy
// nor worker says, these are signed ones: else one person could be all of them.
func (a *Activities) counting(r approval.Requirement) approval.Decisions {
	switch {
	case a.Decisions == approval.DecisionsSigned:
		return approval.DecisionsSigned
	case r.Decisions == "" && r.AsksSeveral():
		return cmp.Or(a.Decisions, approval.DecisionsSigned)
	}
	return r.Decisions
}

// refresh takes up the policy that is active now. One that follows no store always is.
func (a *Activities) refresh(ctx context.Context) error {
	if p, ok := a.Policy.(Versioned); ok {
		return p.Refresh(ctx)
	}
	return nil
}

// maxJudgings bounds how often one attempt at a claim judges again, because something changed while
// it did. The next attempt goes on.
const maxJudgings = 4

// JudgeAndClaim takes a call's one permit. Before, it counts the decisions again, by what the store
// says is required and which keys are trusted now: the workflow may be anybody's, and a key revoked
// since. And it judges the call again, by the policy that is active now. What does not approve the
// call, or the policy forbids by now, ends it as blocked, and an approval older than its validity
// as expired; a call that has ended stays ended. If the policy demands more than the call required,
// the store keeps that, no permit is taken, and the call goes on waiting: see ClaimResult.
func (a *Activities) JudgeAndClaim(ctx context.Context, in ClaimInput) (ClaimResult, error) {
	return a.judgeAndClaim(ctx, &in)
}

func (a *Activities) judgeAndClaim(ctx context.Context, in *ClaimInput) (ClaimResult, error) {
	if err := a.mustBeOrdinary(ctx); err != nil {
		return ClaimResult{}, err
	}
	var err error
	for range maxJudgings {
		var res ClaimResult
		if res, err = a.claimOnce(ctx, in, serverNow(ctx, in.Now)); err == nil {
			return res, nil
		}
		if !errors.Is(err, store.ErrRevised) && !errors.Is(err, store.ErrPolicyChanged) {
			break
		}
	}
	return ClaimResult{}, fmt.Errorf("claiming call %s: %w", in.ID, err)
}

// judgeAgain judges a call, whose approval counts, by the policy that is active now. A result that
// is not nil is the end of the claim; else by, of this version, is what judged.
func (a *Activities) judgeAgain(ctx context.Context, in *ClaimInput, record store.Record, now time.Time) (
	res *ClaimResult, by approval.PolicyRef, version int64, err error) {
	if err := a.refresh(ctx); err != nil {
		return nil, by, 0, fmt.Errorf("judging again by the active policy: %w", err)
	}
	verdict, version := a.evaluate(in.Call, now)
	in.Redact = append(slices.Clip(in.Redact), verdict.Redact...)
	in.RedactValues = in.RedactValues.And(verdict.RedactValues)
	in.policy = &verdict.Policy
	c := requirement.Changed(in.Call, record.View, verdict)
	if c.Forbids != "" {
		ended, err := a.endUnclaimed(ctx, *in, now, approval.StatusBlocked, approval.FinalDeny,
			approval.CodePolicyChanged, c.Forbids+"; nothing ran")
		return &ended, by, version, err
	}
	if c.More == nil {
		return nil, verdict.Policy, version, nil
	}
	again, err := a.tighten(ctx, *in, record, c, verdict.Policy, now)
	return &again, by, version, err
}

// tighten keeps that a call takes more by now.
func (a *Activities) tighten(ctx context.Context, in ClaimInput, record store.Record, c requirement.Change,
	by approval.PolicyRef, now time.Time) (ClaimResult, error) {
	e, err := entry(in.ID, fmt.Sprintf("tighten/%d", record.Revision+1), now, audit.Tightened{
		Digest: in.Digest, Requirement: *c.More, Policy: by, Why: c.Why, Run: in.Run,
	})
	if err != nil {
		return ClaimResult{}, err
	}
	next, err := a.Store.Tighten(ctx, store.TightenParams{
		ID: in.ID, Digest: in.Digest, Revision: record.Revision, Requirement: *c.More, At: now,
		Entries: []audit.Entry{e},
	})
	if err == nil && (next.Revision == record.Revision || next.Permit != nil || next.View.Status.Ended()) {
		err = store.ErrRevised // somebody else was first: look again
	}
	return tightened(next), err
}

// tightened sends a call back to wait for what the store says that it requires now.
func tightened(r store.Record) ClaimResult {
	return ClaimResult{Requirement: r.View.Requirement, Revision: r.Revision}
}

// forbidden judges a call once more, just before its permit is used, by the policy that is active
// now, or in force here if that can't be found out. It returns why the call may not run any more:
// the policy forbids it, or allowed it without asking anybody and now does not. by is what judged.
func (a *Activities) forbidden(
	ctx context.Context, in ExecuteInput, now time.Time,
) (why string, by approval.PolicyRef, err error) {
	_ = a.refresh(ctx) // the policy has logged it, and a store that is away has no permit either
	verdict, _ := a.evaluate(in.Call, now)
	by = verdict.Policy
	if why := requirement.Forbids(verdict); why != "" || verdict.Kind == approval.VerdictAllow {
		return why, by, nil
	}
	record, err := a.Store.Call(ctx, in.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", by, nil // the permit's use says what is wrong
	}
	if d := record.View.Decision; err == nil && d != nil && d.Kind == approval.FinalAllow {
		return "the policy that is active now wants people asked first (" + by.Rule + ")", by, nil
	}
	return "", by, err
}
