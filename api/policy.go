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
	"github.com/pawlhq/pawl/store"
)

// maxPolicyBody bounds the body that holds a policy: the largest, and room for
// its escapes.
const maxPolicyBody = 2*active.MaxSize + 64<<10

// policyReply is the active policy.
type policyReply struct {
	store.PolicyVersion
	Layers []store.PolicyLayer `json:"layers"`
}

// policyChange is a policy to be applied.
type policyChange struct {
	Layers []store.PolicyLayer `json:"layers"`
	Expect *int64              `json:"expect"` // the version it is to replace; needed unless DryRun
	Note   string              `json:"note"`
	DryRun bool                `json:"dry_run"`
}

// appliedReply says what is active now.
type appliedReply struct {
	Changed bool `json:"changed"` // false: it was active already
	store.PolicyVersion
	Warnings []yamlfile.Problem `json:"warnings"` // what is hardly meant in the policy
}

// dryRunReply says what applying would do.
type dryRunReply struct {
	DryRun  bool                `json:"dry_run"`
	Changed bool                `json:"changed"`
	Digest  string              `json:"digest"`
	Active  store.PolicyVersion `json:"active"`

	Warnings []yamlfile.Problem `json:"warnings"`
}

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
	return reply(c, http.StatusOK, policyReply{v, set.Layers})
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
		return &problem{Status: http.StatusNotFound, Code: approval.CodeNotFound, Detail: "No policy with this digest was ever applied."}
	case errors.Is(err, store.ErrAmbiguous):
		return &problem{Status: http.StatusConflict, Code: codeAmbiguous, Detail: "Several policies have digests that begin like this; give more of it."}
	case err != nil:
		return fromStore(err)
	}
	return reply(c, http.StatusOK, set)
}

// putPolicy makes a policy the active one. Repeating it does no harm.
func (s *Server) putPolicy(c *gin.Context) error {
	var in policyChange
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
		return invalid("expect is missing: say which version is to be replaced, as GET /api/policy shows it")
	}
	change.Expect = *in.Expect
	ctx := c.Request.Context()
	v, err := active.Apply(ctx, s.o.Store, change)
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return &problem{Status: http.StatusConflict, Code: codePolicyChanged, Detail: policyChanged(change.Expect, v.PolicyVersion)}
	case errors.Is(err, store.ErrReadOnly):
		return &problem{Status: http.StatusForbidden, Code: codeReadOnly, cause: err,
			Detail: "This API may not write its store: it was started so, or a SQLite store belongs to its worker, or the database user lacks the right. " +
				"Use another API, or 'pawl policy apply --direct'."}
	case err != nil:
		return refusedPolicy(err)
	}
	if v.Fresh {
		s.o.Logger.InfoContext(ctx, "policy applied", "version", v.Version, "digest", v.Digest, "by", v.By)
	}
	return reply(c, http.StatusOK, appliedReply{v.Fresh, v.PolicyVersion, listed(v.Warnings)})
}

func policyChanged(expect int64, there store.PolicyVersion) string {
	if there.Version == 0 {
		return fmt.Sprintf("Version %d is not the active one: no policy was applied yet. Expect version 0.", expect)
	}
	return fmt.Sprintf("Version %d is not the active one: version %d is, applied by %s at %s. Nothing was changed. Look at it, then apply over it.",
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
	return reply(c, http.StatusOK, dryRunReply{
		DryRun: true, Changed: set.Digest() != v.Digest, Digest: set.Digest(), Active: v, Warnings: listed(set.Warnings()),
	})
}

// listed is a list that JSON never writes as null.
func listed(problems yamlfile.Problems) []yamlfile.Problem {
	return append([]yamlfile.Problem{}, problems...)
}

// refusedPolicy tells what is wrong with a policy from what is wrong with the
// store.
func refusedPolicy(err error) error {
	if problems, ok := errors.AsType[yamlfile.Problems](err); ok {
		return &problem{Status: http.StatusUnprocessableEntity, Code: approval.CodeInvalid, Problems: problems,
			Detail: fmt.Sprintf("The policy was not applied, problems: %d. The one that is active stays.", len(problems))}
	}
	if approval.CodeOf(err) == approval.CodeInvalid {
		return err
	}
	return fromStore(err)
}
