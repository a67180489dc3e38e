package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/active"
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
	change.Authenticated = principal(c).Authenticated()
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
