package policies

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// directPolicies applies policies to a store without an API between, and
// answers as the API's client does.
type directPolicies struct {
	store store.Store
	by    string
}

// Entries implements policyApplier. It returns one page of payloads.
func (d directPolicies) Entries(ctx context.Context, q client.EntryQuery) (page client.Page[rest.Entry], err error) {
	found, err := d.store.Entries(ctx, store.EntryQuery{Kind: audit.Kind(q.Kind), Since: q.Since, Cursor: q.Cursor, Limit: q.Limit})
	for _, e := range found.Items {
		page.Items = append(page.Items, rest.Entry{Kind: q.Kind, At: e.At, Payload: e.Payload})
	}
	page.Next = found.Next
	return page, err
}

// Policy implements policyApplier.
func (d directPolicies) Policy(ctx context.Context) (p rest.ActivePolicy, err error) {
	v, err := active.Version(ctx, d.store)
	if err != nil {
		return p, err
	}
	set, err := active.Source(ctx, d.store, v.Digest)
	if err != nil {
		return p, err
	}
	p.PolicyVersion = rest.PolicyVersion(v)
	for _, l := range set.Layers {
		p.Layers = append(p.Layers, rest.PolicyLayer(l))
	}
	return p, nil
}

// TryPolicy implements policyApplier.
func (d directPolicies) TryPolicy(ctx context.Context, change rest.PolicyChange) (t rest.PolicyTrial, err error) {
	set, err := active.Prepare(filesOf(change.Layers)...)
	if err != nil {
		return t, directRefusal(err)
	}
	v, err := active.Version(ctx, d.store)
	if err != nil {
		return t, err
	}
	return rest.PolicyTrial{
		DryRun: true, Changed: v.Digest != set.Digest(), Digest: set.Digest(), Active: rest.PolicyVersion(v), Warnings: problemsOf(set.Warnings()),
	}, nil
}

// ApplyPolicy implements policyApplier.
func (d directPolicies) ApplyPolicy(ctx context.Context, change rest.PolicyChange) (a rest.AppliedPolicy, err error) {
	v, err := active.Apply(ctx, d.store, active.Change{
		Files: filesOf(change.Layers), Expect: *change.Expect, By: d.by, Channel: "direct", Note: change.Note,
	})
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return a, &client.Error{Code: rest.CodePolicyChanged,
			Detail: fmt.Sprintf("version %d is active, not %d; nothing was changed", v.Version, *change.Expect)}
	case err != nil:
		return a, directRefusal(err)
	}
	return rest.AppliedPolicy{Changed: v.Fresh, PolicyVersion: rest.PolicyVersion(v.PolicyVersion), Warnings: problemsOf(v.Warnings)}, nil
}

func directRefusal(err error) error {
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	return &client.Error{
		Code: approval.CodeInvalid, Detail: fmt.Sprintf("the policy was not applied, problems: %d; the one that is active stays", len(problems)),
		Problems: problemsOf(problems),
	}
}

func problemsOf(problems yamlfile.Problems) []rest.FileProblem {
	out := []rest.FileProblem{}
	for _, p := range problems {
		out = append(out, rest.FileProblem(p))
	}
	return out
}

func filesOf(layers []rest.PolicyLayer) (files []policy.File) {
	for _, l := range layers {
		files = append(files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	return files
}
