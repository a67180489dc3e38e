package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// maxPolicyBody bounds the body that holds a policy: the largest, and room for its escapes.
const maxPolicyBody = 2*active.MaxSize + 64<<10

func (s *Server) getPolicy(c *gin.Context) error {
	ctx := c.Request.Context()
	v, err := active.Version(ctx, s.o.Store)
	if err != nil {
		return fromStore(err)
	}
	set, err := active.Source(ctx, s.o.Store, v.Digest)
	if err != nil {
		return fromStore(err)
	}
	return reply(c, http.StatusOK, rest.ActivePolicy{PolicyVersion: rest.PolicyVersion(v), Layers: layers(set)})
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
	return reply(c, http.StatusOK, rest.PolicySet{Digest: set.Digest, Layers: layers(set)})
}

// putPolicy makes a policy the active one. Repeating it does no harm.
func (s *Server) putPolicy(c *gin.Context) error {
	var in rest.PolicyChange
	err := decode(c, &in, false)
	if err != nil {
		return err
	}
	change := active.Change{Channel: channel(c), Note: in.Note}
	for _, l := range in.Layers {
		change.Files = append(change.Files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	if in.DryRun {
		return s.tryPolicy(c, change)
	}
	if change.By, err = reviewer(c, "applies it"); err != nil {
		return err
	}
	change.Authenticated = principal(c).Authenticated()
	if in.Expect == nil {
		return invalid("expect is missing: give the version that this replaces, as GET /api/policy shows it")
	}
	change.Expect = *in.Expect
	ctx := c.Request.Context()
	v, err := active.Apply(ctx, s.o.Store, change)
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return newProblem(http.StatusConflict, rest.CodePolicyChanged,
			policyChanged(change.Expect, v.PolicyVersion))
	case err != nil:
		return refusedPolicy(err)
	}
	if v.Fresh {
		s.o.Logger.InfoContext(ctx, "policy applied", "version", v.Version, "digest", v.Digest, "by", v.By)
	}
	return reply(c, http.StatusOK, rest.AppliedPolicy{
		Changed: v.Fresh, PolicyVersion: rest.PolicyVersion(v.PolicyVersion), Warnings: listed(v.Warnings),
	})
}

func policyChanged(expect int64, there store.PolicyVersion) string {
	if there.Version == 0 {
		return fmt.Sprintf("Version %d is not the active one: no policy was applied yet. Expect version 0.", expect)
	}
	return fmt.Sprintf("Version %d is not the active one: "+
		"version %d is, applied by %s at %s. Nothing was changed. Look at it, then apply over it.",
		expect, there.Version, approval.Display(there.By, 80), there.At.Format(time.RFC3339))
}

// tryPolicy says what applying would do, and does nothing.
func (s *Server) tryPolicy(c *gin.Context, change active.Change) error {
	set, err := active.Prepare(change.Files...)
	if err != nil {
		return refusedPolicy(err)
	}
	v, err := active.Version(c.Request.Context(), s.o.Store)
	if err != nil {
		return fromStore(err)
	}
	return reply(c, http.StatusOK, rest.PolicyTrial{
		DryRun: true, Changed: set.Digest() != v.Digest, Digest: set.Digest(),
		Active: rest.PolicyVersion(v), Warnings: listed(set.Warnings()),
	})
}

// listed is a list that JSON never writes as null.
func listed(problems yamlfile.Problems) []rest.FileProblem {
	list := make([]rest.FileProblem, len(problems))
	for i, p := range problems {
		list[i] = rest.FileProblem(p)
	}
	return list
}

func layers(set store.PolicySet) []rest.PolicyLayer {
	list := make([]rest.PolicyLayer, len(set.Layers))
	for i, l := range set.Layers {
		list[i] = rest.PolicyLayer(l)
	}
	return list
}

// refusedPolicy tells what is wrong with a policy from what is wrong with the store.
func refusedPolicy(err error) error {
	if problems, ok := errors.AsType[yamlfile.Problems](err); ok {
		p := newProblem(http.StatusUnprocessableEntity, approval.CodeInvalid,
			fmt.Sprintf("The policy was not applied, mistakes: %d. The active one stays.", len(problems)))
		p.Problems = listed(problems)
		return p
	}
	if approval.CodeOf(err) == approval.CodeInvalid {
		return err
	}
	return fromStore(err)
}
