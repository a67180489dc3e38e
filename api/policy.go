package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/policy/requirement"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// maxPolicyBody bounds the body that holds a policy: the largest, and room for its escapes.
const maxPolicyBody = 2*active.MaxSize + 64<<10

func (s *Server) getPolicy(c *gin.Context) error {
	p, err := active.Current(c.Request.Context(), s.o.Store)
	if err != nil {
		return fromStore(err)
	}
	return reply(c, http.StatusOK, p)
}

// getPolicyText serves any policy that a verdict can name.
func (s *Server) getPolicyText(c *gin.Context) error {
	digest, err := pathParam(c, "digest")
	var set store.PolicySet
	if err == nil {
		set, err = active.Source(c.Request.Context(), s.o.Store, digest)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown("No policy with this digest was ever applied.")
	case errors.Is(err, store.ErrAmbiguous):
		return newProblem(http.StatusConflict, rest.CodeAmbiguous,
			"Several policies have digests that begin like this; give more of it.")
	case err != nil:
		return fromStore(err)
	}
	return reply(c, http.StatusOK, set)
}

// putPolicy makes a policy the active one. Repeating it does no harm.
func (s *Server) putPolicy(c *gin.Context) error {
	var in rest.PolicyChange
	err := decode(c, &in, false)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	change := active.Change{Files: active.Files(in.Layers), Channel: channel(c), Note: in.Note}
	if in.DryRun {
		trial, err := active.Try(ctx, s.o.Store, change.Files...)
		if err != nil {
			return refusedPolicy(err)
		}
		return reply(c, http.StatusOK, trial)
	}
	if change.By, err = reviewer(c, "applies it"); err != nil {
		return err
	}
	change.Authenticated, change.Method = principal(c).Authenticated(), via(c).Method
	if in.Expect == nil {
		return invalid("expect is missing: give the version that this replaces, as GET /api/policy shows it")
	}
	change.Expect = *in.Expect
	v, err := active.Apply(ctx, s.o.Store, change)
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return newProblem(http.StatusConflict, rest.CodePolicyChanged,
			policyChanged(change.Expect, v.PolicyVersion))
	case err != nil:
		return refusedPolicy(err)
	}
	if v.Changed {
		s.o.Logger.InfoContext(ctx, "policy applied", "version", v.Version, "digest", v.Digest, "by", v.By)
	}
	return reply(c, http.StatusOK, v)
}

func policyChanged(expect int64, there store.PolicyVersion) string {
	if there.Version == 0 {
		return fmt.Sprintf("Version %d is not the active one: no policy was applied yet. Expect version 0.", expect)
	}
	return fmt.Sprintf("Version %d is not the active one: "+
		"version %d is, applied by %s at %s. Nothing was changed. Look at it, then apply over it.",
		expect, there.Version, approval.Display(there.By, 80), there.At.Format(time.RFC3339))
}

// policyNow is what the active policy says of a call that waits, where that differs from what is
// kept of the call. problem is why it can't be told. Both are empty where nobody can tell for want
// of the store or Temporal, whose trouble shows elsewhere.
func (s *Server) policyNow(ctx context.Context, r store.Record, status approval.Status) (
	now *rest.PolicyNow, problem string) {
	if status != approval.StatusPending && status != approval.StatusApproved || r.View.Requirement == nil {
		return nil, ""
	}
	ctx, cancel := calls.Within(ctx, s.o.QueryBudget)
	defer cancel()
	id := r.View.ID
	version, set, err := s.policy.Load(ctx, s.o.Store)
	switch {
	case errors.As(err, new(*active.UnusableError)):
		return nil, fmt.Sprintf("Version %d of the policy, which is active, "+
			"can't be used by this version of Pawl. "+
			"Nothing runs by a policy that can't be used: upgrade Pawl, or apply a policy that it knows.",
			version.Version)
	case err != nil:
		s.o.Logger.DebugContext(ctx, "the store did not say which policy is active", "id", id, "error", err)
		return nil, ""
	case version.Version == 0, set.Digest() == r.Verdict.Policy.Digest && !set.DependsOnTime():
		return nil, ""
	}
	call, err := s.calls.Input(ctx, id)
	switch {
	case errors.As(err, new(*calls.UnreadableError)):
		return nil, "The policy has changed since the call was admitted. What it says of the call now " +
			"is not known, because " + err.Error()
	case err != nil:
		s.o.Logger.DebugContext(ctx, "Temporal did not say what a call was started with", "id", id, "error", err)
		return nil, ""
	}
	if digest, err := call.Digest(id); err != nil || digest != r.View.Digest {
		return nil, "The workflow of this call was started with other arguments than those that are on record. " +
			"The call will not run: reject it, and find out who may write to Temporal."
	}
	return compared(call, r, set.Evaluate(call, time.Now()), version), ""
}

// compared says what another verdict changes for a call that waits, in the terms of the claim. It is
// nil if nothing changes.
func compared(
	call approval.Call, r store.Record, verdict approval.Verdict, version store.PolicyVersion,
) *rest.PolicyNow {
	now := &rest.PolicyNow{
		Action: verdict.Kind, Rule: verdict.Policy.Rule, Version: version.Version, At: version.At,
	}
	change := requirement.Changed(call, r.View, verdict)
	switch {
	case change.Forbids != "" && r.Permit != nil:
		now.Effect = rest.EffectBlocked
		now.Reason = "It is approved, and ends as blocked if it is started now: " + change.Forbids + "."
	case change.Forbids != "":
		now.Effect = rest.EffectBlocked
		now.Reason = "If it is approved now, it ends as blocked and nothing runs: " + change.Forbids + "."
	case r.Permit != nil: // a permit that is not forbidden is final
		return nil
	case change.More != nil:
		now.Effect, now.Requirement = rest.EffectWaits, change.More
		now.Reason = "The policy that is active now demands more than when the call came: " + change.Why + "."
	case verdict.Kind == approval.VerdictAllow:
		now.Effect = rest.EffectNone
		now.Reason = "The policy that is active now would let such a call run without asking. " +
			"This one goes on waiting: a policy that asks for less changes nothing about it."
	default:
		return nil
	}
	// Verdicts quote nothing of a call. This is in case that one day they do.
	hidden := redact.New(slices.Concat(r.Verdict.Redact, verdict.Redact),
		r.Verdict.RedactValues.And(verdict.RedactValues))
	hidden.Args(call.Args)
	hidden.Labels(call.Labels)
	now.Rule, now.Reason = hidden.Text(now.Rule), hidden.Text(now.Reason)
	changes := policyChanges(r, verdict, change.Shifts)
	for i, c := range changes {
		changes[i].Was, changes[i].Now = hidden.Text(c.Was), hidden.Text(c.Now)
	}
	now.Compare = present.ComparePolicies(changes)
	return now
}

var verdicts = map[approval.VerdictKind]string{
	approval.VerdictAllow: "runs without asking", approval.VerdictRequire: "needs approval",
	approval.VerdictDeny: "denied",
}

// policyChanges are the respects in which the active policy's verdict differs from what is kept of a
// call that waits.
func policyChanges(r store.Record, now approval.Verdict, shifts requirement.Shifts) []present.PolicyChange {
	var list []present.PolicyChange
	add := func(what, was, now, note string) {
		if was != now {
			list = append(list, present.PolicyChange{What: what, Was: was, Now: now, Note: note})
		}
	}
	add("verdict", verdicts[approval.VerdictRequire], cmp.Or(verdicts[now.Kind], string(now.Kind)), "")
	add("rule", r.Verdict.Policy.Rule, now.Policy.Rule, "")
	if now.Kind != approval.VerdictDeny {
		const none = "not stated"
		add("risk", cmp.Or(string(r.Verdict.Risk), none), cmp.Or(string(now.Risk), none),
			"of new calls; this one keeps its own")
	}
	for _, s := range shifts {
		note := ""
		if s.Laxer {
			note = "asks for less: this call keeps what it took"
		}
		add(strings.ReplaceAll(s.Field, "_", " "), s.Old, s.New, note)
	}
	return list
}

// refusedPolicy tells what is wrong with a policy from what is wrong with the store.
func refusedPolicy(err error) error {
	if problems, ok := errors.AsType[yamlfile.Problems](err); ok {
		p := newProblem(http.StatusUnprocessableEntity, approval.CodeInvalid,
			fmt.Sprintf("The policy was not applied, mistakes: %d. The active one stays.", len(problems)))
		p.Problems = problems
		return p
	}
	if approval.CodeOf(err) == approval.CodeInvalid {
		return err
	}
	return fromStore(err)
}
